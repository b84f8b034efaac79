"""berth-runtime's checkpoint and restore: what it asks of criu and what it does when criu fails, by a criu that is none."""
import json
import os
import subprocess

from harness.engine import TOP, eventually
from test_runtime import RUNTIME, RuntimeCase

FAKE = os.path.join(TOP, "tests", "harness", "fake_criu.py")


class CheckpointCase(RuntimeCase):
    program = FAKE

    def setUp(self):
        super().setUp()
        self.images = os.path.join(self.folder, "images")
        self.record = os.path.join(self.folder, "record")

    def criu(self, *words, mode="", point=None, timeout=60):
        """checkpoint or restore, with streams that can be dumped."""
        env = {"FAKE_CRIU": mode, "FAKE_CRIU_RECORD": self.record}
        if point:
            env["BERTH_FAILPOINT_FILE"] = os.path.join(self.folder, "point")
            with open(env["BERTH_FAILPOINT_FILE"], "w") as file:
                file.write(point + "\n")
        log = os.path.join(self.folder, "log")
        open(log, "w").close()
        done = subprocess.run([RUNTIME, "--root", self.root, "--criu", self.program, "--log", log, *words],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=timeout,
                              env={**os.environ, **env})
        with open(log) as file:
            return done.returncode, file.read()

    def checkpoint(self, name, *flags, **more):
        return self.criu("checkpoint", "--image-path", self.images, *flags, name, **more)

    def restore(self, name, folder, *flags, **more):
        return self.criu("restore", "--detach", "--bundle", folder, "--image-path", self.images, *flags, name, **more)

    def succeeds(self, result):
        self.assertEqual(result[0], 0, result[1] + self.criu_logs())

    def criu_logs(self):
        said = ""
        for name in ("dump.log", "restore.log"):
            path = os.path.join(self.images, name)
            if os.path.exists(path):
                with open(path, errors="replace") as file:
                    said += "".join(line for line in file if "Error" in line)
        return said

    def fails(self, result, *words):
        code, said = result
        self.assertNotEqual(code, 0)
        for word in words:
            self.assertIn(word, said)

    def asked(self):
        with open(self.record) as file:
            return json.loads(file.readlines()[-1])

    def status(self, name):
        return self.state(name)["status"]

    def started(self, *args, change=None):
        """(name, bundle) of a container that runs."""
        folder, name = self.bundle(*args, change=change), self.name()
        self.ok_detached("create", "--bundle", folder, name)
        self.ok("start", name)
        return name, folder


class Refusals(CheckpointCase):
    def test_no_criu_that_works(self):
        name, _ = self.started("sleep", "600")
        self.program = "/nowhere/criu"
        self.fails(self.checkpoint(name), "there is no program", "/nowhere/criu", "install criu")
        self.program = FAKE
        self.fails(self.checkpoint(name, mode="broken"), FAKE, "4.2", "vdso: a strange kernel", "newer")
        self.fails(self.checkpoint(name, mode="old"), "criu 3.15 or later", "is 3.14")
        self.program = "/bin/true"
        self.fails(self.checkpoint(name), "/bin/true does not answer")
        self.assertEqual(self.status(name), "running")

    def test_flags(self):
        name, folder = self.started("sleep", "600")
        for flags, said in ((("--manage-cgroups-mode", "x"), "strict"), (("--empty-ns", "pid"), "network"),
                            (("--page-server", "host"), "ADDRESS:PORT"), (("--status-fd", "77"), "no descriptor"),
                            (("--network-lock", "x"), "iptables"), (("--parent-path", "/x"), "must be relative"),
                            (("--parent-path", "../none"), "--parent-path"), (("--image-path", ""), "--image-path")):
            self.fails(self.checkpoint(name, *flags), said)
        self.fails(self.checkpoint(name, "--pre-dump", mode="untracked"), "CONFIG_MEM_SOFT_DIRTY")
        self.fails(self.restore(name + "x", folder, "--leave-running"), "unknown flag")
        self.assertEqual(self.status(name), "running")

    def test_status(self):
        name = self.create("sleep", "600")
        self.fails(self.checkpoint(name), "created: it must run")
        self.fails(self.checkpoint("nobody"), "does not exist")

    def test_containers_that_criu_cannot_restore(self):
        def idmapped(config):
            config["mounts"].append({"destination": "/data", "source": self.folder, "type": "bind", "options": ["bind"],
                                     "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
                                     "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}]})
        os.mkdir(self.images)
        with open(os.path.join(self.images, "descriptors.json"), "w") as file:
            file.write("[]")
        self.fails(self.restore(self.name(), self.bundle("sleep", "600", change=idmapped)), "mapped owners")

        def without_mounts(config):
            config["linux"]["namespaces"] = [each for each in config["linux"]["namespaces"] if each["type"] != "mount"]
        self.fails(self.restore(self.name(), self.bundle("sleep", "600", change=without_mounts)), "mount namespace")

    def test_images_that_are_no_checkpoint(self):
        folder = self.bundle("sleep", "600")
        self.fails(self.restore(self.name(), folder), "--image-path", "No such file")
        os.mkdir(self.images)
        self.fails(self.restore(self.name(), folder), "no descriptors.json")
        path = os.path.join(self.images, "descriptors.json")
        for content in ("{}", "[1]", "[", '["a","b","c","d"]', "[" * 100, '["' + "x" * 70000 + '"]'):
            with open(path, "w") as file:
                file.write(content)
            self.fails(self.restore(self.name(), folder))
        os.unlink(path)
        os.symlink("/etc/passwd", path)
        self.fails(self.restore(self.name(), folder), "descriptors.json")
        os.unlink(path)
        os.mkfifo(path)
        self.fails(self.restore(self.name(), folder), "no file")
        self.assertEqual(os.listdir(self.root), [])


class Requests(CheckpointCase):
    def test_dump(self):
        data = os.path.join(self.folder, "data")
        os.mkdir(data)
        os.symlink("/proc", os.path.join(self.rootfs, "link"))
        marker = os.path.join(self.folder, "stopped")

        def change(config):
            config["mounts"].append({"destination": "/data", "source": data, "type": "bind", "options": ["rbind", "ro"]})
            config["hooks"] = {"poststop": [{"path": "/bin/touch", "args": ["touch", marker]}]}
            config["annotations"] = {"org.criu.config": os.path.join(self.folder, "config")}
        name, _ = self.started("sleep", "600", change=change)
        pid = self.state(name)["pid"]
        self.succeeds(self.checkpoint(name, "--leave-running", "--tcp-established", "--file-locks"))
        asked = self.asked()
        self.assertEqual((asked["action"], asked["pid"], asked["leave_running"], asked["file_locks"]), (1, pid, 1, 1))
        self.assertIn("mnt[/data]:/data", asked["external"])
        self.assertTrue(os.path.isdir(asked["freeze_cgroup"]), asked)
        self.assertTrue(asked["config_file"].startswith("/etc/criu/"), asked)
        self.assertEqual(self.status(name), "running")
        with open(os.path.join(self.images, "descriptors.json")) as file:
            descriptors = json.load(file)
        self.assertEqual([each[:5] for each in descriptors], ["file["] * 3)
        self.assertTrue(set(descriptors) <= set(asked["external"]), asked)
        code, said = self.checkpoint(name)
        self.assertEqual(code, 0, said)
        self.assertIn("org.criu.config has no effect", said)
        self.fails((self.call("state", name).code, ""))
        self.assertTrue(os.path.exists(marker))

    def test_paused(self):
        name, _ = self.started("sleep", "600")
        self.ok("pause", name)
        self.succeeds(self.checkpoint(name, "--leave-running"))
        self.assertEqual(self.status(name), "paused")
        self.fails(self.checkpoint(name, mode="fail"))
        self.assertEqual(self.status(name), "paused")
        self.ok("resume", name)

    def test_cve_2026_53492_links_among_the_images(self):
        """CVE-2026-50195: in the place of what is written, logs among it."""
        name, folder = self.started("sleep", "600")
        os.mkdir(self.images)
        outside = os.path.join(self.folder, "outside")
        with open(outside, "w") as file:
            file.write("kept")

        def plant(*names):
            for each in names:
                path = os.path.join(self.images, each)
                if os.path.lexists(path):
                    os.unlink(path)
                os.symlink(outside, path)
        plant("descriptors.json", "dump.log", "stats-dump")
        self.fails(self.checkpoint(name, mode="fail"), "nothing works")
        plant("descriptors.json", "dump.log", "stats-dump")
        self.succeeds(self.checkpoint(name))
        plant("restore.log", "stats-restore")
        self.fails(self.restore(self.name(), folder, mode="fail"), "nothing works")
        with open(outside) as file:
            self.assertEqual(file.read(), "kept")
        self.assertFalse(os.path.islink(os.path.join(self.images, "stats-restore")))

    def test_cve_2026_119101_names_of_mounts(self):
        """A link of the root that would make criu take another directory of the host for a mount's source."""
        data = os.path.join(self.folder, "data")
        os.mkdir(data)
        os.makedirs(os.path.join(self.rootfs, "x]:", "etc"))
        os.symlink("/x]:/etc", os.path.join(self.rootfs, "data"))

        def change(config):
            config["mounts"].append({"destination": "/data", "source": data, "type": "bind", "options": ["bind"]})
        name, folder = self.started("sleep", "600", change=change)
        self.fails(self.checkpoint(name), "criu cannot be told of paths")
        self.assertEqual(self.status(name), "running")
        self.checkpointed()
        self.fails(self.restore(self.name(), folder), "criu cannot be told of paths")

        def directly(config):
            config["mounts"].append({"destination": "/y]:/etc", "source": data, "type": "bind", "options": ["bind"]})
        self.fails(self.restore(self.name(), self.bundle("sleep", "600", change=directly)), "criu cannot be told of paths")
        self.assertFalse(os.path.exists(self.record))

    def test_dump_that_fails(self):
        name, _ = self.started("sleep", "600")
        pid = self.state(name)["pid"]
        for mode, said in (("fail", "nothing works"), ("die", "ended before"), ("garbage", "no message"),
                           ("freeze", "ended before")):
            code, text = self.checkpoint(name, mode=mode)
            self.assertNotEqual(code, 0, mode)
            self.assertIn(said, text)
            self.assertNotIn("\x1b", text)
            self.assertNotIn("RLIMIT_NOFILE", text)
            self.assertEqual((self.status(name), self.state(name)["pid"]), ("running", pid), mode)
        self.fails(self.checkpoint(name, point="checkpoint.post-dump"), "failpoint checkpoint.post-dump")
        self.assertEqual(self.status(name), "running")

    def hooked(self):
        """A bundle whose hooks leave their names and the state that they saw."""
        said = os.path.join(self.folder, "hooks")

        def change(config):
            config["hooks"] = {kind: [{"path": "/bin/sh", "args": ["sh", "-c", f"echo {kind} $(cat) >> {said}"]}]
                               for kind in ("prestart", "createRuntime", "poststart", "poststop")}
            config["process"]["args"] = ["sleep", "600"]
        return self.bundle("sleep", "600", change=change), said

    def checkpointed(self):
        os.makedirs(self.images, exist_ok=True)
        with open(os.path.join(self.images, "descriptors.json"), "w") as file:
            json.dump(["", "file[1:2]", "pipe:[3]"], file)

    def test_restore(self):
        folder, said = self.hooked()
        self.checkpointed()
        name, pid_file = self.name(), os.path.join(self.folder, "pid")
        work = os.path.join(self.folder, "work")
        self.succeeds(self.restore(name, folder, "--pid-file", pid_file, "--work-path", work))
        state = self.state(name)
        self.assertEqual(state["status"], "running")
        with open(pid_file) as file:
            self.assertEqual(int(file.read()), state["pid"])
        asked = self.asked()
        self.assertEqual(asked["inherit_fd"], [["file[1:2]", 1], ["pipe:[3]", 2]])
        self.assertIn("mnt[/dev/null]:/dev/null", asked["external"])
        self.assertEqual((asked["rst_sibling"], asked["empty_ns"]), (1, 0x40000000))
        if asked["cg_root"]:
            self.assertTrue(all(name in path for _, path in asked["cg_root"]), asked)
        with open(said) as file:
            lines = [line.split(" ", 1) for line in file.read().replace("\n", " ").replace("} ", "}\n").splitlines()]
        self.assertEqual([line[0] for line in lines], ["prestart", "createRuntime", "poststart"])
        self.assertEqual(json.loads(lines[0][1])["pid"], state["pid"])
        self.assertIn(name, self.ok("list").out)
        self.ok("pause", name)
        self.assertEqual(self.status(name), "paused")
        self.ok("resume", name)
        self.ok("kill", name, "KILL")
        eventually(lambda: self.status(name) == "stopped", "it is stopped")
        self.ok("delete", name)
        with open(said) as file:
            self.assertIn("poststop", file.read())

    def nothing_of(self, name):
        self.assertNotIn(name, os.listdir(self.root))
        eventually(lambda: not self.left(), lambda: f"nothing is left: {self.left()}")

    def test_restore_that_fails(self):
        folder, _ = self.hooked()
        self.checkpointed()
        for mode in ("fail", "die", "garbage", "orphan"):
            name = self.name()
            self.fails(self.restore(name, folder, mode=mode), "criu")
            self.nothing_of(name)
        for point in ("criu", "setup-namespaces", "post-restore", "running"):
            name = self.name()
            self.fails(self.restore(name, folder, point=f"restore.{point}"), "failpoint")
            self.nothing_of(name)

    def test_restore_that_is_killed(self):
        """Its mounts end with it, and the rest goes by delete."""
        folder, _ = self.hooked()
        self.checkpointed()
        name = self.name()
        process = subprocess.Popen([RUNTIME, "--root", self.root, "--criu", FAKE, "restore", "--bundle", folder, "--image-path",
                                    self.images, name], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL,
                                   env={**os.environ, "FAKE_CRIU": "hang", "FAKE_CRIU_RECORD": self.record})
        self.addCleanup(process.wait)
        eventually(lambda: os.path.exists(self.record) and os.path.getsize(self.record) > 0, "criu is asked", 60)
        process.kill()
        process.wait()
        with open("/proc/self/mountinfo") as file:
            self.assertNotIn(self.folder, file.read())
        self.assertEqual(self.status(name), "creating")
        self.ok("delete", "--force", name)
        self.nothing_of(name)
