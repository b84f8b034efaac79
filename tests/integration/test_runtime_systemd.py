"""berth-runtime --systemd-cgroup against a real systemd: the host's own programs, booted in a container with the unified
hierarchy alone. Controllers may be missing in it (hybrid hosts), so that limits are read from systemd."""
import json
import os
import unittest

from harness.engine import PROGRAMS, eventually
from test_runtime import RuntimeCase

SYSTEMD = "/usr/lib/systemd/systemd"
CAPABILITIES = ("CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP NET_ADMIN SYS_CHROOT SYS_PTRACE "
                "SYS_ADMIN SYS_NICE SYS_RESOURCE MKNOD SETFCAP BPF PERFMON").split()
BARE = "[Unit]\nDescription=nothing more\nDefaultDependencies=no\n"
BUS_SOCKET = "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/dbus/system_bus_socket\n"
BUS = ("[Unit]\nDefaultDependencies=no\nRequires=dbus.socket\n[Service]\nType=notify\n"
       "ExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation\n")
USER = 1000


@unittest.skipUnless(os.path.exists(SYSTEMD) and os.path.exists("/usr/bin/systemctl"), "systemd is not installed")
class SystemdCase(RuntimeCase):
    """`inside` runs a shell in a machine that systemd has booted; bundles are at /work in it, berth at /programs."""

    def setUp(self):
        super().setUp()
        machine = os.path.join(self.folder, "machine")
        files = {"etc/systemd/system/bare.target": BARE, "etc/systemd/user/bare.target": BARE,
                 "etc/systemd/system/dbus.socket": BUS_SOCKET, "etc/systemd/system/dbus.service": BUS,
                 "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
                 "etc/passwd": f"root:x:0:0::/root:/bin/sh\nmessagebus:x:100:100::/:/bin/false\nuser:x:{USER}:{USER}::/tmp:/bin/sh\n",
                 "etc/group": f"root:x:0:\nmessagebus:x:100:\nuser:x:{USER}:\n"}
        for name in ("proc", "sys", "dev", "run", "tmp", "usr", "var", "root", "work", "programs"):
            os.makedirs(os.path.join(machine, name))
        for name in ("bin", "sbin", "lib", "lib64"):
            os.symlink(f"usr/{name}", os.path.join(machine, name))
        for name, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(machine, name)), exist_ok=True)
            with open(os.path.join(machine, name), "w") as file:
                file.write(text)
        # An ordinary user of the machine comes to the bundles by this way.
        os.chmod(self.folder, 0o755)

        def change(config):
            names = [f"CAP_{name}" for name in CAPABILITIES]
            config["process"].update(noNewPrivileges=False, capabilities={each: names for each in ("bounding", "effective", "permitted")})
            config["process"]["env"].append("container=oci")
            config["root"] = {"path": machine, "readonly": False}
            config["linux"].update(maskedPaths=[], readonlyPaths=[], resources={})
            config["linux"]["namespaces"] = [{"type": each} for each in ("pid", "ipc", "uts", "mount", "network", "cgroup")]
            kept = [mount for mount in config["mounts"] if mount["destination"] not in ("/sys", "/sys/fs/cgroup")]
            config["mounts"] = kept + [
                {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev"]},
                {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]},
                {"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
                {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]},
                {"destination": "/work", "type": "bind", "source": self.folder, "options": ["rbind"]},
                {"destination": "/programs", "type": "bind", "source": PROGRAMS, "options": ["rbind", "ro"]}]
        self.machine = self.running_as("/bin/sh", "-c", "mount -t cgroup2 cgroup2 /sys/fs/cgroup && "
                                       f"exec {SYSTEMD} --unit=bare.target --log-target=null", change=change)
        eventually(lambda: self.inside("systemctl is-system-running").out.strip() == "running", "systemd has booted", within=60)

    def running_as(self, *args, change):
        name = self.create(*args, change=change)
        self.ok("start", name)
        return name

    def inside(self, script):
        return self.call("exec", self.machine, "/bin/sh", "-c", script)

    def there(self, script):
        result = self.inside(script)
        self.assertEqual(result.code, 0, str(result))
        return result.out

    def work(self, folder):
        return "/work" + folder[len(self.folder):]

    def bundle_there(self, change, *args):
        """A bundle for inside, as the machine knows its place."""
        def changed(config):
            config["root"]["path"] = "/work/rootfs"
            # The example is one of this host, which may have no unified hierarchy.
            if {"type": "cgroup"} not in config["linux"]["namespaces"]:
                config["linux"]["namespaces"].append({"type": "cgroup"})
            change(config)
        folder = self.bundle(*(args or ("sleep", "600")), change=changed)
        os.chmod(folder, 0o755)
        return self.work(folder)

    def runtime(self, *words, root="/tmp/containers", prefix="", manager="--systemd-cgroup"):
        return f"{prefix} /programs/berth-runtime --root {root} {manager} {' '.join(words)}"

    def properties(self, unit, names):
        text = self.there(f"systemctl show {unit} -p {','.join(names)}")
        return dict(line.split("=", 1) for line in text.splitlines())

    def is_gone(self, unit):
        return self.there(f"systemctl show {unit} -p LoadState").strip() == "LoadState=not-found"

    def run_there(self, name, change, **more):
        """Detached; its process keeps no stream of ours."""
        return self.inside(self.runtime("run", "-d", "--bundle", self.bundle_there(change), name, **more)
                           + f" >/tmp/{name}.out 2>&1 </dev/null; code=$?; cat /tmp/{name}.out; exit $code")


def scoped(path, resources=None, annotations=None):
    def change(config):
        config["linux"].update(cgroupsPath=path, resources=resources or {})
        config["annotations"] = annotations or {}
    return change


class Scopes(SystemdCase):
    def test_from_run_to_delete(self):
        limits = {"memory": {"limit": 64 << 20}, "pids": {"limit": 33}, "cpu": {"quota": 12345, "period": 100000, "shares": 2048, "cpus": "0"}}
        done = self.run_there("one", scoped("system.slice:docker:abc", limits, {"org.systemd.property.TimeoutStopSec": "7"}))
        self.assertEqual(done.code, 0, str(done))
        expected = {"Slice": "system.slice", "ControlGroup": "/system.slice/docker-abc.scope", "Delegate": "yes", "Description": "container one",
                    "MemoryMax": str(64 << 20), "TasksMax": "33", "CPUWeight": "174", "AllowedCPUs": "0",
                    # In whole percents, rounded up: the group's own file has it exactly.
                    "CPUQuotaPerSecUSec": "130ms", "TimeoutStopUSec": "7s", "ActiveState": "active"}
        self.assertEqual(self.properties("docker-abc.scope", expected), expected)
        # The container's process alone is in it: who stood in for it has gone.
        pid = str(json.loads(self.there(self.runtime("state", "one")))["pid"])
        self.assertEqual(self.there("cat /sys/fs/cgroup/system.slice/docker-abc.scope/cgroup.procs").split(), [pid])
        self.there(self.runtime("exec", "-d", "one", "sleep", "600") + " >/dev/null 2>&1 </dev/null")
        self.assertEqual(len(json.loads(self.there(self.runtime("ps", "--format", "json", "one")))), 2)

        self.there(self.runtime("update", "--memory", "100M", "--pids-limit", "44", "one"))
        self.assertEqual(self.properties("docker-abc.scope", ("MemoryMax", "TasksMax", "CPUWeight")),
                         {"MemoryMax": str(100 << 20), "TasksMax": "44", "CPUWeight": "174"})
        self.there(self.runtime("pause", "one"))
        self.assertEqual(json.loads(self.there(self.runtime("state", "one")))["status"], "paused")
        self.there(self.runtime("resume", "one"))
        self.there(self.runtime("delete", "--force", "one"))
        self.assertTrue(self.is_gone("docker-abc.scope"))
        self.assertEqual(self.inside("ls -d /sys/fs/cgroup/system.slice/docker-abc.scope").code, 2)

    def test_names(self):
        done = self.run_there("plain", lambda config: config["linux"].update(resources={}))
        self.assertEqual(done.code, 0, str(done))
        self.assertEqual(self.properties("berth-runtime-plain.scope", ("Slice", "ActiveState")), {"Slice": "system.slice", "ActiveState": "active"})
        done = self.run_there("deep", scoped("machine-pods-one.slice:libpod:x"))
        self.assertEqual(done.code, 0, str(done))
        self.assertEqual(self.properties("libpod-x.scope", ("ControlGroup",))["ControlGroup"],
                         "/machine.slice/machine-pods.slice/machine-pods-one.slice/libpod-x.scope")
        for path, words in (("/a/b", "is not of the form"), ("system.slice:docker:a/b", "no name of a scope"),
                            ("no:docker:a", "no name of a slice"), ("system.slice:a:b.slice", "a scope, not a slice")):
            with self.subTest(path):
                done = self.run_there("bad", scoped(path))
                self.assertEqual(done.code, 1, str(done))
                self.assertIn(words, done.out)
        self.there(self.runtime("delete", "-f", "plain") + " && " + self.runtime("delete", "-f", "deep"))

    def test_a_scope_that_is_there_is_not_shared(self):
        self.assertEqual(self.run_there("one", scoped("system.slice:docker:same")).code, 0)
        second = self.run_there("two", scoped("system.slice:docker:same"))
        self.assertEqual(second.code, 1, str(second))
        self.assertIn("docker-same.scope", second.out)
        # Nor ended by the one that could not have it.
        self.assertEqual(self.properties("docker-same.scope", ("ActiveState",)), {"ActiveState": "active"})
        self.assertEqual(self.there(self.runtime("list", "-q")).split(), ["one"])
        self.there(self.runtime("delete", "-f", "one"))

    def test_a_failure_leaves_no_scope(self):
        points = os.path.join(self.folder, "points")
        for point in ("create.scope", "create.group", "create.process", "create.ready"):
            with self.subTest(point):
                with open(points, "w") as file:
                    file.write(point)
                done = self.run_there("one", scoped("system.slice:docker:failing"), prefix="BERTH_FAILPOINT_FILE=/work/points")
                self.assertEqual(done.code, 1, str(done))
                self.assertIn("failpoint", done.out)
                eventually(lambda: self.is_gone("docker-failing.scope"), "the scope has gone")
                self.assertEqual(self.there("pgrep -c berth-runtime || true").strip(), "0")
        self.assertEqual(self.there(self.runtime("list", "-q")), "")

    def test_annotations_undo_no_limits(self):
        for name, value, words in (("MemoryMax", "uint64 18446744073709551615", "is not for annotations"), ("Slice", "'other.slice'", "is not for annotations"),
                                   ("CollectMode", "unquoted", "no value of type"), ("TimeoutStopSec", "soon", "no value of type")):
            with self.subTest(name):
                done = self.run_there("one", scoped("system.slice:docker:one", annotations={f"org.systemd.property.{name}": value}))
                self.assertEqual(done.code, 1, str(done))
                self.assertIn(words, done.out)

    def test_by_the_bus_where_systemd_has_no_socket_of_its_own(self):
        if not os.path.exists("/usr/bin/dbus-daemon"):
            self.skipTest("dbus-daemon is not installed")
        self.there("systemctl daemon-reload && systemctl start dbus.service")
        hidden = "unshare -m sh -c 'mount --bind /dev/null /run/systemd/private && exec \"$@\"' sh env"
        done = self.run_there("one", scoped("system.slice:docker:bus"), prefix=hidden)
        self.assertEqual(done.code, 0, str(done))
        self.assertEqual(self.properties("docker-bus.scope", ("ActiveState",)), {"ActiveState": "active"})
        self.there(self.runtime("delete", "-f", "one", prefix=hidden))
        self.assertTrue(self.is_gone("docker-bus.scope"))

    def test_no_systemd(self):
        nowhere = "unshare -m sh -c 'mount -t tmpfs tmpfs /run && exec \"$@\"' sh env"
        done = self.run_there("one", scoped("system.slice:docker:none"), prefix=nowhere)
        self.assertEqual(done.code, 1, str(done))
        self.assertIn("no systemd answers here", done.out)
        self.assertIn("cgroupfs", done.out)


class Users(SystemdCase):
    """An ordinary user, whose own systemd has a part of the hierarchy to itself, and who comes from outside of it."""

    def test_from_run_to_delete(self):
        if not os.path.exists("/usr/bin/dbus-daemon"):
            self.skipTest("dbus-daemon is not installed")
        self.there("systemctl daemon-reload && systemctl start dbus.service")
        environment = f"-E XDG_RUNTIME_DIR=/run/user/{USER} -E HOME=/tmp"
        self.there(f"mkdir -p /run/user/{USER} && chown {USER} /run/user/{USER} && "
                   f"systemd-run -q --unit=manager --uid={USER} --gid={USER} -p Delegate=yes -p Type=notify {environment} "
                   f"{SYSTEMD} --user --unit=bare.target")
        as_user = f"systemd-run -q --pipe --wait --uid={USER} --gid={USER} {environment}"

        def change(config):
            config["linux"].update(cgroupsPath="user.slice:libpod:mine", resources={"memory": {"limit": 64 << 20}})
            config["linux"]["namespaces"] = [each for each in config["linux"]["namespaces"] if each["type"] != "network"]
            config["linux"]["namespaces"].append({"type": "user"})
            for kind in ("uidMappings", "gidMappings"):
                config["linux"][kind] = [{"containerID": 0, "hostID": USER, "size": 1}]
            config["mounts"] = [mount for mount in config["mounts"] if mount["destination"] not in ("/sys", "/sys/fs/cgroup")]
            for mount in config["mounts"]:
                mount["options"] = [each for each in mount.get("options", []) if each != "gid=5"]
        folder = self.bundle_there(change)
        more = {"root": "/tmp/mine", "prefix": as_user}
        self.there(f"{as_user} sh -c '/programs/berth-runtime --root /tmp/mine --systemd-cgroup run -d --bundle {folder} one "
                   "</dev/null >/tmp/one.out 2>&1 || { cat /tmp/one.out; exit 1; }'")
        shown = self.there(f"{as_user} systemctl --user show libpod-mine.scope -p ControlGroup,MemoryMax,ActiveState")
        self.assertEqual(dict(line.split("=", 1) for line in shown.splitlines()), {"ControlGroup": "/system.slice/manager.service/user.slice/libpod-mine.scope", "MemoryMax": str(64 << 20),
                                 "ActiveState": "active"})
        self.assertEqual(self.there(self.runtime("exec", "one", "id", "-u", **more)).strip(), "0")
        self.there(self.runtime("pause", "one", **more))
        self.assertEqual(json.loads(self.there(self.runtime("state", "one", **more)))["status"], "paused")
        self.there(self.runtime("resume", "one", **more))
        self.there(self.runtime("delete", "-f", "one", **more))
        self.assertIn("not-found", self.there(f"{as_user} systemctl --user show libpod-mine.scope -p LoadState"))
        self.assertEqual(self.there("ls /sys/fs/cgroup/system.slice/manager.service/user.slice | grep -c scope || true").strip(), "0")
        self.there("systemctl stop manager")


class Elsewhere(RuntimeCase):
    def test_hosts_with_the_old_hierarchies(self):
        with open("/proc/self/mountinfo") as file:
            if " - cgroup " not in file.read():
                self.skipTest("this host has none")
        name = self.name()
        result = self.call("--systemd-cgroup", "run", "--bundle", self.bundle("true", change=scoped("system.slice:docker:x")), name)
        self.assertEqual(result.code, 1, str(result))
        self.assertIn("--systemd-cgroup: this host has control groups v1", result.err)
        self.assertEqual(self.ok("list", "-q").out, "")


if __name__ == "__main__":
    unittest.main()
