"""berth-runtime as its callers use it: bundles, life cycle, hooks, exec, terminals, limits, bad input."""
import array
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import unittest

from harness.engine import PROGRAMS, eventually, run
from harness.host import Snapshot

RUNTIME = os.path.join(PROGRAMS, "berth-runtime")


class RuntimeCase(unittest.TestCase):
    maxDiff = 4000

    def setUp(self):
        self.before = Snapshot()
        self.folder = tempfile.mkdtemp(prefix="br.", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.root = os.path.join(self.folder, "root")
        self.rootfs = os.path.join(self.folder, "rootfs")
        os.makedirs(self.root)  # "list" of a root that is not there is an error
        for name in ("bin", "proc", "sys", "dev", "tmp", "etc"):
            os.makedirs(os.path.join(self.rootfs, name))
        shutil.copy("/bin/busybox", os.path.join(self.rootfs, "bin", "busybox"))
        for name in ("sh", "cat", "sleep", "id", "true", "ls", "hostname", "stty", "readlink", "grep", "head", "touch", "mkdir"):
            os.symlink("busybox", os.path.join(self.rootfs, "bin", name))
        self.made = []

    def tearDown(self):
        for name in self.made:
            self.call("delete", "--force", name)
        eventually(lambda: not self.left(), lambda: f"nothing is left: {self.left()}")

    def left(self):
        """What bears a name of this test's: groups, in which every process of a container is, mounts, and our own
        processes. Other engines may live beside it."""
        own = (self.folder, *self.made)
        return [item for item in Snapshot().left_since(self.before) if any(name in item for name in own)]

    def call(self, *arguments, input=None, log=None):
        flags = ["--log", log, "--log-format", "json"] if log else []
        return run([RUNTIME, "--root", self.root, *flags, *arguments], input=input)

    def ok(self, *arguments, **more):
        result = self.call(*arguments, **more)
        self.assertEqual(result.code, 0, str(result))
        return result

    def ok_detached(self, *arguments):
        """For what leaves a process behind, which keeps the streams it was given."""
        log = os.path.join(self.folder, "detached.log")
        done = subprocess.run([RUNTIME, "--root", self.root, "--log", log, *arguments], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
        said = open(log).read() if os.path.exists(log) else ""
        self.assertEqual(done.returncode, 0, f"{arguments}: {said}")

    def bundle(self, *args, change=None):
        """A bundle with the runtime's own example, running `args`; change(config) alters it. Its folder."""
        folder = tempfile.mkdtemp(prefix="bundle.", dir=self.folder)
        self.ok("spec", "--bundle", folder)
        path = os.path.join(folder, "config.json")
        with open(path) as file:
            config = json.load(file)
        config["root"]["path"] = self.rootfs
        config["process"]["terminal"] = False
        config["process"]["args"] = list(args)
        if change:
            change(config)
        with open(path, "w") as file:
            json.dump(config, file)
        return folder

    def name(self):
        # No beginning of another's: suites run beside each other.
        self.made.append(f"c{len(self.made)}-{os.getpid()}-r")
        return self.made[-1]

    def run_in(self, script, change=None, input=None):
        return self.call("run", "--bundle", self.bundle("sh", "-c", script, change=change), self.name(), input=input)

    def create(self, *args, change=None, flags=()):
        name = self.name()
        self.ok_detached("create", "--bundle", self.bundle(*args, change=change), *flags, name)
        return name

    def running(self, change=None):
        """The name of a container that sleeps."""
        name = self.create("sleep", "600", change=change)
        self.ok("start", name)
        return name

    def state(self, name):
        return json.loads(self.ok("state", name).out)


class Life(RuntimeCase):
    def test_from_create_to_delete(self):
        pid_file = os.path.join(self.folder, "pid")
        marker = os.path.join(self.rootfs, "tmp", "ran")
        name = self.create("sh", "-c", "touch /tmp/ran; sleep 600", flags=("--pid-file", pid_file),
                           change=lambda config: config["root"].update(readonly=False))
        state = self.state(name)
        self.assertEqual((state["id"], state["status"]), (name, "created"))
        with open(pid_file) as file:
            self.assertEqual(int(file.read()), state["pid"])
        self.assertFalse(os.path.exists(marker), "create runs nothing of the container")
        self.assertEqual(self.call("delete", "nobody").code, 1)
        self.ok("start", name)
        eventually(lambda: os.path.exists(marker), "the program runs")
        self.assertEqual(self.state(name)["status"], "running")
        self.assertIn("already running", self.call("start", name).err)
        self.assertIn("not stopped", self.call("delete", name).err)
        self.ok("pause", name)
        self.assertEqual(self.state(name)["status"], "paused")
        self.ok("resume", name)
        self.assertEqual([entry["id"] for entry in json.loads(self.ok("list", "--format", "json").out)], [name])
        self.ok("kill", name, "KILL")
        eventually(lambda: self.state(name)["status"] == "stopped", "it is stopped")
        self.assertIn("not running", self.call("kill", name).err)
        self.ok("delete", name)
        self.assertIn("does not exist", self.call("state", name).err)

    def test_run_gives_the_exit_code_and_leaves_nothing(self):
        self.assertEqual(self.run_in("exit 42").code, 42)
        self.assertEqual(self.run_in("kill -9 $$; true").code, 0, "pid 1 is immune to its own signals")
        self.assertEqual(self.ok("list", "--quiet").out, "")

    def test_later_edits_of_the_configuration_do_not_matter(self):
        folder = self.bundle("sh", "-c", "exit 3")
        name = self.name()
        self.ok_detached("create", "--bundle", folder, name)
        with open(os.path.join(folder, "config.json"), "w") as file:
            file.write("{}")
        self.ok("start", name)
        eventually(lambda: self.state(name)["status"] == "stopped", "it has run")

    def test_a_root_longer_than_a_sockets_address(self):
        """As dockerd's: /var/run/docker/runtime-runc/moby/ and an id of 64 digits."""
        self.root = os.path.join(self.folder, "r" * 60, "m" * 60)
        name = "a" * 64
        self.made.append(name)
        self.ok_detached("create", "--bundle", self.bundle("sleep", "600"), name)
        self.assertEqual(self.state(name)["status"], "created")
        self.ok("start", name)
        self.assertEqual(self.state(name)["status"], "running")

    def test_flags_stand_behind_the_id_too(self):
        name = self.create("sleep", "600")
        self.ok("update", name, "--pids-limit", "17")
        self.assertEqual(json.loads(self.ok("events", name, "--stats").out)["data"]["pids"]["limit"], 17)

    def test_created_and_never_started(self):
        name = self.create("sleep", "600")
        self.ok("delete", name)
        name = self.create("sleep", "600")
        self.ok("kill", name, "KILL")
        eventually(lambda: self.state(name)["status"] == "stopped", "it is stopped")
        self.assertNotEqual(self.call("start", name).code, 0)

    def test_names(self):
        name = self.create("sleep", "600")
        self.assertIn("exists", self.call("create", "--bundle", self.bundle("true"), name).err)
        for bad in ("", ".", "..", "a/b", "a b", "x" * 1025):
            self.assertEqual(self.call("create", "--bundle", self.bundle("true"), bad).code, 1, bad)
        self.ok("delete", "--force", "nobody-of-this-name")


class Hooks(RuntimeCase):
    KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")

    def hooks(self, *kinds, script="/bin/sh", more=None):
        log = os.path.join(self.folder, "hooks.log")
        inside = f"/tmp/{os.path.basename(log)}"

        def change(config):
            config["root"]["readonly"] = False
            config["hooks"] = {}
            for kind in kinds:
                # startContainer runs in the container's root, all others see the host's.
                to = inside if kind == "startContainer" else log
                command = f'echo {kind} $(cat | tr -d " \\n" | grep -o "status.:.[a-z]*") >> {to}'
                config["hooks"][kind] = [{"path": script, "args": ["sh", "-c", command], "env": ["PATH=/bin:/usr/bin"]}]
                config["hooks"][kind][0].update(more or {})
        return change, log, self.rootfs + inside

    def test_all_in_order_with_the_state_on_stdin(self):
        kinds = [kind for kind in self.KINDS if kind != "startContainer"]
        change, log, _ = self.hooks(*kinds)
        self.assertEqual(self.run_in("true", change).code, 0)
        with open(log) as file:
            self.assertEqual([line.replace('"', "").replace("status:", "") for line in file.read().splitlines()],
                             ["prestart creating", "createRuntime creating", "createContainer creating", "poststart running",
                              "poststop stopped"])

    def test_start_container_runs_inside(self):
        os.symlink("busybox", os.path.join(self.rootfs, "bin", "tr"))
        change, _, inside = self.hooks("startContainer")
        name = self.create("sleep", "600", change=change)
        self.assertFalse(os.path.exists(inside))
        self.ok("start", name)
        with open(inside) as file:
            self.assertIn("created", file.read())

    def test_start_container_has_no_more_rights_than_the_container(self):
        """What is run is the image's: it could be anything."""
        script = ("grep -E '^(Uid|CapEff|Seccomp|NoNewPrivs):' /proc/self/status > /tmp/hook; "
                  "grep -h pids /proc/self/cgroup >> /tmp/hook; readlink /proc/self/ns/pid >> /tmp/hook; ls /proc/self/fd >> /tmp/hook")

        def change(config):
            config["root"]["readonly"] = False
            config["process"]["user"] = {"uid": 7, "gid": 7}
            config["process"]["capabilities"] = {"bounding": ["CAP_KILL"]}
            config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW",
                                          "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL"}]}
            config["hooks"] = {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
        os.chmod(os.path.join(self.rootfs, "tmp"), 0o1777)
        done = self.run_in(script.replace("/tmp/hook", "/tmp/own"), change)
        self.assertEqual(done.code, 0, str(done))
        with open(os.path.join(self.rootfs, "tmp", "hook")) as hook, open(os.path.join(self.rootfs, "tmp", "own")) as own:
            self.assertEqual(hook.read(), own.read())
        script = "mkdir /tmp/folder"
        done = self.run_in("true", change)
        self.assertEqual(done.code, 1)
        self.assertIn("startContainer hook #0: /bin/sh: signal: Bad system call", done.err)
        self.assertEqual(self.ok("list", "--quiet").out, "")

    def test_a_failing_hook_fails_the_operation(self):
        for kind in ("prestart", "createRuntime", "createContainer"):
            def change(config, kind=kind):
                config["hooks"] = {kind: [{"path": "/bin/false"}]}
            result = self.call("create", "--bundle", self.bundle("true", change=change), self.name())
            self.assertEqual(result.code, 1, str(result))
            self.assertIn(kind, result.err)
            self.assertEqual(self.ok("list", "--quiet").out, "")

    def test_a_hook_that_hangs_is_killed(self):
        def change(config):
            config["hooks"] = {"prestart": [{"path": "/bin/sleep", "args": ["sleep", "600"], "timeout": 1}]}
        result = self.call("create", "--bundle", self.bundle("true", change=change), self.name())
        self.assertEqual(result.code, 1)
        self.assertIn("1 seconds", result.err)


class Inside(RuntimeCase):
    def test_identity_and_namespaces(self):
        result = self.run_in("id -u; hostname; cat /proc/self/cgroup | head -1; readlink /proc/self/ns/pid",
                             lambda config: config["process"].update(user={"uid": 12, "gid": 34}))
        lines = result.out.splitlines()
        self.assertEqual(lines[:2], ["12", "berth"], str(result))
        self.assertNotEqual(lines[3], os.readlink("/proc/self/ns/pid"))

    def test_limits(self):
        def change(config):
            config["linux"]["resources"] = {"memory": {"limit": 32 << 20}, "pids": {"limit": 17}}
        name = self.create("sleep", "600", change=change)
        self.ok("start", name)
        stats = json.loads(self.ok("events", "--stats", name).out)["data"]
        self.assertEqual((stats["memory"]["usage"]["limit"], stats["pids"]["limit"]), (32 << 20, 17))
        self.ok("update", "--resources", "-", name, input=json.dumps({"memory": {"limit": 64 << 20}}))
        stats = json.loads(self.ok("events", "--stats", name).out)["data"]
        self.assertEqual(stats["memory"]["usage"]["limit"], 64 << 20)
        # Each flag alone: the other limit is as it was, or goes with this one.
        for flags in (("--memory-swap", "-1"), ("--memory-swap", str(96 << 20)), ("--memory", "48M"), ("--memory", "-1")):
            self.ok("update", *flags, name)
        stats = json.loads(self.ok("events", "--stats", name).out)["data"]
        self.assertGreater(stats["memory"]["usage"]["limit"], 1 << 60)
        self.assertEqual(json.loads(self.ok("ps", "--format", "json", name).out), [self.state(name)["pid"]])

    def test_unknown_capabilities_are_warned_of(self):
        result = self.run_in("true", lambda config: config["process"]["capabilities"].update(bounding=["CAP_X"]))
        self.assertEqual(result.code, 0, str(result))
        self.assertIn("CAP_X", result.err)

    def test_unknown_capabilities_are_no_matter_to_execs_and_hooks(self):
        def change(config):
            config["process"]["capabilities"]["bounding"].append("CAP_NOBODY_KNOWS")
            config["hooks"] = {"startContainer": [{"path": "/bin/true"}]}
        self.assertEqual(self.ok("exec", self.running(change), "sh", "-c", "echo in").text, "in")

    def test_a_small_limit_of_descriptors(self):
        result = self.run_in("ulimit -n", lambda config: config["process"].update(
            rlimits=[{"type": "RLIMIT_NOFILE", "hard": 5, "soft": 5}]))
        self.assertEqual(result.out.strip(), "5", str(result))

    def test_a_shared_root(self):
        result = self.run_in("grep -cE '^[0-9]+ [0-9]+ [0-9:]+ [^ ]+ / [^-]*shared:' /proc/self/mountinfo",
                             lambda config: config["linux"].update(rootfsPropagation="shared"))
        self.assertEqual(result.code, 0, str(result))

    def test_seccomp(self):
        def change(config):
            config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW",
                                          "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}
        result = self.run_in("mkdir /tmp/x", change)
        self.assertIn("not supported", result.err, str(result))

    def test_user_namespace_and_idmapped_mount(self):
        source = os.path.join(self.folder, "source")
        os.mkdir(source)
        os.chmod(self.folder, 0o755)
        os.chown(source, 4321, 4321)

        def change(config):
            config["mounts"].append({"destination": "/tmp", "type": "bind", "source": source, "options": ["rbind", "idmap"],
                                     "uidMappings": [{"containerID": 4321, "hostID": 7, "size": 1}],
                                     "gidMappings": [{"containerID": 4321, "hostID": 7, "size": 1}]})
        result = self.run_in("ls -ldn /tmp", change)
        if "map owners of mount" in result.err:
            self.skipTest("the filesystem of /tmp has no idmapped mounts")
        self.assertEqual(result.out.split()[2:4], ["7", "7"], str(result))

        def userns(config):
            config["linux"]["namespaces"].append({"type": "user"})
            config["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 1000}]
            config["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 1000}]
        result = self.run_in("id -u; cat /proc/self/uid_map", userns)
        self.assertEqual(result.out.split(), ["0", "0", "100000", "1000"], str(result))

    def test_scheduling(self):
        def change(config):
            config["process"]["scheduler"] = {"policy": "SCHED_BATCH", "nice": 5}
            config["linux"]["personality"] = {"domain": "LINUX32"}
            config["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000}}
            config["linux"]["namespaces"].append({"type": "time"})
        result = self.run_in("cat /proc/self/stat; cat /proc/uptime; cat /proc/self/personality", change)
        stat, uptime, personality = result.out.splitlines()
        self.assertEqual(stat.rsplit(")", 1)[1].split()[16], "5", "nice")
        self.assertGreater(float(uptime.split()[0]), 1000000)
        self.assertEqual(personality, "00000008")

    def test_no_foreign_descriptors(self):
        self.assertEqual(self.run_in("ls /proc/self/fd").out.split(), ["0", "1", "2", "3"], "3 is that of ls itself")

    def test_preserved_descriptors(self):
        read_end, write_end = os.pipe()
        os.set_inheritable(write_end, True)
        bundle, name = self.bundle("sh", "-c", "echo through >&3"), self.name()
        # bash, as dash knows descriptors of one digit alone.
        child = subprocess.Popen(["bash", "-c", f'exec "$@" 3>&{write_end}', "bash", RUNTIME, "--root", self.root,
                                  "run", "--preserve-fds", "1", "--bundle", bundle, name],
                                 pass_fds=(write_end,), stdin=subprocess.DEVNULL)
        os.close(write_end)
        self.assertEqual(child.wait(30), 0)
        self.assertEqual(os.read(read_end, 100), b"through\n")
        os.close(read_end)


    def test_of_variables_given_twice_the_last_counts(self):
        with open(os.path.join(self.rootfs, "etc", "passwd"), "w") as file:
            file.write("root:x:0:0::/home/of/root:/bin/sh\n")
        def change(config):
            config["process"]["env"] += ["ONE=two", "ONE=three", "HOME=/given", "HOME="]
        self.assertEqual(self.run_in("cat /proc/self/environ", change).out.count("ONE="), 1)
        self.assertEqual(self.run_in("echo $ONE $HOME", change).text, "three /home/of/root")

    def test_pipes_are_the_users(self):
        def change(config):
            config["process"]["user"] = {"uid": 1000, "gid": 1001}
        os.symlink("busybox", os.path.join(self.rootfs, "bin", "stat"))
        self.assertEqual(self.run_in("stat -L -c %u:%g /proc/self/fd/1", change).text, "1000:1001")

    def test_names_by_sysctl(self):
        def change(key, value):
            return lambda config: config["linux"].update(sysctl={key: value})
        self.assertIn("is not allowed", self.run_in("true", change("kernel.hostname", "x")).err)
        self.assertEqual(self.run_in("cat /proc/sys/kernel/domainname", change("kernel.domainname", "x")).text, "x")


class Exec(RuntimeCase):
    def test_by_flags_and_by_document(self):
        name = self.running()
        result = self.ok("exec", "--cwd", "/tmp", "--env", "A=b", "--user", "5:6", name, "sh", "-c", "echo $A; pwd; id -u; id -g")
        self.assertEqual(result.out.split(), ["b", "/tmp", "5", "6"])
        document = os.path.join(self.folder, "process.json")
        with open(document, "w") as file:
            json.dump({"args": ["sh", "-c", "readlink /proc/self/ns/pid; exit 9"], "cwd": "/", "env": ["PATH=/bin"]}, file)
        result = self.call("exec", "--process", document, name)
        self.assertEqual(result.code, 9)
        self.assertEqual(result.out.strip(), os.readlink(f"/proc/{self.state(name)['pid']}/ns/pid"))

    def test_not_found_and_streams(self):
        name = self.running()
        log = os.path.join(self.folder, "log")
        result = self.call("exec", name, "nope", log=log)
        self.assertEqual(result.code, 255)
        with open(log) as file:
            record = json.loads(file.read().splitlines()[-1])
        self.assertEqual(record["level"], "error")
        self.assertIn("executable file not found in $PATH", record["msg"])
        self.assertEqual(self.ok("exec", name, "cat", input="abc" * 100000).out, "abc" * 100000)

    def test_detached_with_a_console_socket(self):
        name = self.running()
        path = os.path.join(self.folder, "console.sock")
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen(1)
        received = []

        def take():
            connection, _ = server.accept()
            _, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(4))
            received.append(array.array("i", ancillary[0][2][:4])[0])
            connection.close()

        thread = threading.Thread(target=take)
        thread.start()
        pid_file = os.path.join(self.folder, "exec-pid")
        self.ok_detached("exec", "--tty", "--detach", "--console-socket", path, "--pid-file", pid_file, name, "sh", "-c",
                "stty size; echo on-a-terminal; sleep 0.2")
        thread.join(20)
        server.close()
        text = b""
        try:
            while b"on-a-terminal" not in text:
                text += os.read(received[0], 1000)
        finally:
            os.close(received[0])
        self.assertTrue(os.path.exists(pid_file))

    def test_not_in_a_stopped_container(self):
        name = self.create("sleep", "600")
        self.ok("kill", name, "KILL")
        eventually(lambda: self.state(name)["status"] == "stopped", "it is stopped")
        self.assertIn("stopped", self.call("exec", name, "true").err)


class BadInput(RuntimeCase):
    def test_configurations(self):
        changes = {
            "ociVersion": lambda config: config.pop("ociVersion"),
            "rootfs": lambda config: config["root"].update(path="/no/such/folder"),
            "no command": lambda config: config["process"].update(args=[]),
            "absolute path": lambda config: config["process"].update(cwd="relative"),
            "duplicated": lambda config: config["linux"]["namespaces"].append({"type": "pid"}),
            "nope": lambda config: config["linux"]["namespaces"].append({"type": "nope"}),
            "RLIMIT_X": lambda config: config["process"].update(rlimits=[{"type": "RLIMIT_X", "hard": 1, "soft": 1}]),
            "SCHED_X": lambda config: config["process"].update(scheduler={"policy": "SCHED_X"}),
            "kernel.shmmax": lambda config: config["linux"].update(sysctl={"kernel.shmmax": "1"},
                                                                  namespaces=[{"type": "mount"}, {"type": "pid"}]) or config.pop("hostname"),
            "systemd": lambda config: config["linux"].update(cgroupsPath="a.slice:b:c"),
            "/no/source": lambda config: config["mounts"].append({"destination": "/x", "type": "bind", "source": "/no/source",
                                                                 "options": ["bind"]}),
        }
        for says, change in changes.items():
            with self.subTest(says=says):
                result = self.call("create", "--bundle", self.bundle("true", change=change), self.name())
                self.assertEqual(result.code, 1, str(result))
                self.assertIn(says, result.err)
                self.assertEqual(self.ok("list", "--quiet").out, "")

    def test_no_bundle_and_no_json(self):
        self.assertIn("config.json", self.call("create", "--bundle", self.folder, self.name()).err)
        with open(os.path.join(self.folder, "config.json"), "w") as file:
            file.write("{" * 100000)
        self.assertEqual(self.call("create", "--bundle", self.folder, self.name()).code, 1)

    def test_command_lines(self):
        self.assertEqual(self.call("--cgroup-manager", "other", "list").code, 1)
        self.assertIn("unknown command", self.call("nope").err)
        self.assertIn("unknown flag", self.call("list", "--nope").err)
        self.assertIn("missing", self.call("state").err)
        self.assertEqual(json.loads(self.ok("features").out)["ociVersionMax"], "1.3.0")

    def test_a_terminal_needs_a_console_socket(self):
        result = self.call("create", "--bundle", self.bundle("true", change=lambda config: config["process"].update(terminal=True)),
                           self.name())
        self.assertIn("console-socket", result.err)

    def test_its_own_program_cannot_be_written_to(self):
        def change(config):
            config["process"]["args"] = ["/proc/self/exe"]
        before = os.stat(RUNTIME)
        self.run_in("for i in 1 2 3; do (echo broken > /proc/$PPID/exe) 2>/dev/null; done; true")
        self.call("run", "--bundle", self.bundle("x", change=change), self.name())
        self.assertEqual((os.stat(RUNTIME).st_mtime_ns, os.stat(RUNTIME).st_size), (before.st_mtime_ns, before.st_size))
