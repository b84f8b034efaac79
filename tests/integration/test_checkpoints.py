"""The engine's checkpoints without a criu: names, statuses, listings, what is asked of criu, and what becomes of a container
when criu fails or berthd is killed half-way. The criu is harness/fake_criu.py, which dumps and restores nothing."""
import glob
import json
import os
import signal
import time
import urllib.parse

from harness.engine import IMAGE, TOP, Engine, EngineCase, eventually

FAKE = os.path.join(TOP, "tests", "harness", "fake_criu.py")


class CheckpointCase(EngineCase):
    program = FAKE

    @classmethod
    def setUpClass(cls):
        cls.engine = Engine(cls.__name__)
        cls.mode_file = os.path.join(cls.engine.folder, "mode")
        cls.record = os.path.join(cls.engine.folder, "record")
        cls.engine.surroundings = {"CRIU": cls.program, "FAKE_CRIU_FILE": cls.mode_file, "FAKE_CRIU_RECORD": cls.record,
                                   "BERTH_FAILPOINT_FILE": os.path.join(cls.engine.folder, "point")}
        try:
            cls.engine.start()
            cls.engine.load_base_image()
        except BaseException:
            cls.engine.close()
            raise

    def setUp(self):
        super().setUp()
        self.only_berth("its checkpoints need a daemon in experimental mode, and another criu")
        self.criu_will("")

    def criu_will(self, mode):
        with open(self.mode_file, "w") as file:
            file.write(mode)

    def fail_at(self, point):
        with open(self.engine.surroundings["BERTH_FAILPOINT_FILE"], "w") as file:
            file.write(point + "\n")

    def asked(self):
        """The last whole line of what criu was asked; None: nothing so far."""
        try:
            with open(self.record) as file:
                lines = [line for line in file if line.endswith("\n")]
        except FileNotFoundError:
            return None
        return json.loads(lines[-1]) if lines else None

    def is_asked(self, kind):
        """Waits until criu has been asked to dump (1) or restore (2)."""
        def has_come():
            asked = self.asked()
            return asked is not None and asked["action"] == kind
        eventually(has_come, "criu is asked")

    def post(self, name, **body):
        return self.engine.api.post(f"/containers/{name}/checkpoints", body)

    def listed(self, name, query=""):
        answer = self.engine.api.get(f"/containers/{name}/checkpoints{query}")
        self.assertEqual(answer.status, 200, str(answer))
        return [each["Name"] for each in answer.json()]

    def refused(self, answer, status, *words):
        self.assertEqual(answer.status, status, str(answer))
        for word in words:
            self.assertIn(word, answer.message)

    def state(self, name):
        return self.engine.inspect(name)["State"]

    def actions(self, identifier, since):
        """Of the container's events, in their order."""
        filters = urllib.parse.quote(json.dumps({"container": [identifier]}))
        answer = self.engine.api.get(f"/events?since={since}&until={time.time():.9f}&filters={filters}")
        return [each["Action"] for each in answer.json_lines()]

    def runs_anew(self, name, pid):
        """Its policy has restarted it."""
        def running():
            state = self.state(name)
            return state["Status"] == "running" and state["Pid"] != pid
        eventually(running, f"{name} is restarted")

    def left_of(self, identifier):
        """What a container that does not run must not leave."""
        left = glob.glob(f"/sys/fs/cgroup/**/{identifier}", recursive=True)
        for process in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{process}/cmdline") as file:
                    line = file.read()
                left += [line] if identifier in line else []
            except (FileNotFoundError, ProcessLookupError):
                pass
        with open("/proc/self/mountinfo") as file:
            left += [line for line in file if identifier in line]
        return left + glob.glob(os.path.join(self.engine.exec, "containers", identifier))

    def is_thawed(self, group):
        for file, thawed in (("cgroup.freeze", "0"), ("freezer.state", "THAWED")):
            path = os.path.join(group, file)
            if os.path.exists(path):
                with open(path) as control:
                    return control.read().strip() == thawed
        return False


class Requests(CheckpointCase):
    def test_names(self):
        name = self.start("sleep", "600")
        for bad in ("", "x", "../up", "a/b", "-a", ".ab", "a b", "a\0b", "a" * 129):
            self.refused(self.post(name, CheckpointID=bad), 400, "Invalid checkpoint ID")
        self.refused(self.engine.api.delete(f"/containers/{name}/checkpoints/..%2f..%2fconfig.json"), 404, "No such container")
        self.refused(self.engine.api.delete(f"/containers/{name}/checkpoints/.."), 400, "Invalid checkpoint")
        self.refused(self.engine.api.post(f"/containers/{name}/start?checkpoint=..%2fx"), 400, "Invalid checkpoint")
        self.refused(self.engine.api.post(f"/containers/{name}/checkpoints", b"[", headers={"Content-Type": "application/json"}), 400)
        self.refused(self.post(name, CheckpointID=7), 400, "CheckpointID")
        self.refused(self.post("nobody", CheckpointID="one"), 404, "No such container")

    def test_directories(self):
        name = self.start("sleep", "600")
        for bad in ("relative", "a\0b", "/" + "x" * 5000):
            self.refused(self.post(name, CheckpointID="one", CheckpointDir=bad), 400)
        self.refused(self.engine.api.get(f"/containers/{name}/checkpoints?dir=%2fnowhere"), 404, "/nowhere")
        self.refused(self.engine.api.get(f"/containers/{name}/checkpoints?dir=here"), 400, "absolute")
        folder = self.folder()
        self.assertEqual(self.listed(name, f"?dir={folder}"), [])
        file = os.path.join(folder, "file")
        open(file, "w").close()
        answer = self.post(name, CheckpointID="one", CheckpointDir=file)
        self.assertIn(answer.status, (400, 409, 500), str(answer))
        self.assertIn("file", answer.message)
        identifier = self.engine.inspect(name)["Id"]
        place = os.path.join(folder, identifier, "checkpoints", "one")
        os.makedirs(place)
        open(os.path.join(place, "mine"), "w").close()
        self.refused(self.post(name, CheckpointID="one", CheckpointDir=folder), 409, place, "no checkpoint of this engine")
        os.rename(os.path.join(place, "mine"), os.path.join(place, "descriptors.json"))
        self.assertEqual(self.post(name, CheckpointID="one", CheckpointDir=folder).status, 201)
        self.assertEqual(os.listdir(os.path.join(folder, identifier, "checkpoints")), ["one"])
        self.assertEqual((self.listed(name), self.listed(name, f"?dir={folder}")), ([], ["one"]))
        self.assertEqual(self.engine.api.delete(f"/containers/{name}/checkpoints/one?dir={folder}").status, 204)
        self.assertEqual(self.listed(name, f"?dir={folder}"), [])

    def test_statuses(self):
        name = self.start("sleep", "600")
        self.assertEqual(self.post(name, CheckpointID="one").status, 201)
        self.refused(self.post(name, CheckpointID="one"), 409, "checkpoint with name one already exists for container " + name)
        self.refused(self.engine.api.delete(f"/containers/{name}/checkpoints/two"), 404, "checkpoint two does not exist")
        self.assertEqual(self.engine.api.post(f"/containers/{name}/start?checkpoint=one").status, 304)
        self.ok("pause", name)
        self.refused(self.post(name, CheckpointID="two"), 409, "paused", "unpause")
        self.ok("unpause", name)
        self.ok("kill", name)
        self.refused(self.post(name, CheckpointID="two"), 409, "not running")
        self.refused(self.engine.api.post(f"/containers/{name}/start?checkpoint=two"), 404, "checkpoint two does not exist")
        self.assertEqual(self.state(name)["Status"], "exited")
        self.assertEqual(self.listed(name), ["one"])
        self.assertEqual(self.engine.api.delete(f"/containers/{name}/checkpoints/one").status, 204)
        self.assertEqual(self.listed(name), [])

    def test_containers_that_are_refused(self):
        cases = [(["--rm"], "--rm"), (["--pid", "host"], "--pid host"), (["--init"], "--init")]
        if not self.docker_command:
            cases.append((["--userns", "auto"], "user namespace"))
        for flags, said in cases:
            name = self.start("sleep", "600", flags=flags)
            answer = self.post(name, CheckpointID="one", Exit=True)
            self.assertIn(answer.status, (409, 501), str(answer))
            self.assertIn(said, answer.message)
            self.assertEqual(self.state(name)["Status"], "running")

    def test_no_criu_that_works(self):
        name = self.start("sleep", "600")
        self.assertEqual(self.post(name, CheckpointID="one").status, 201)
        self.criu_will("broken")
        self.refused(self.post(name, CheckpointID="two"), 501, FAKE, "4.2", "vdso: a strange kernel", "newer")
        self.ok("kill", name)
        self.refused(self.engine.api.post(f"/containers/{name}/start?checkpoint=one"), 501, FAKE, "strange kernel")
        self.assertEqual((self.state(name)["Status"], self.state(name)["Error"]), ("exited", ""))
        self.assertEqual(self.listed(name), ["one"])

    def test_what_criu_is_asked(self):
        data = self.folder()
        name = self.start("sh", "-c", "while :; do sleep 1; done", flags=["-i", "-v", f"{data}:/data", "--tmpfs", "/scratch"])
        self.assertEqual(self.post(name, CheckpointID="one").status, 201)
        asked = self.asked()
        pid = self.state(name)["Pid"]
        self.assertEqual((asked["action"], asked["pid"], asked["leave_running"], asked["file_locks"]), (1, pid, 1, 1))
        for external in ("mnt[/data]:/data", "mnt[/etc/hosts]:/etc/hosts", "mnt[/etc/resolv.conf]:/etc/resolv.conf",
                         f"net[{os.stat(f'/proc/{pid}/ns/net').st_ino}]:extRootNetNS"):
            self.assertIn(external, asked["external"])
        self.assertNotIn("mnt[/scratch]:/scratch", asked["external"])
        pipes = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)]
        folder = os.path.join(self.engine.data, "containers", self.engine.inspect(name)["Id"], "checkpoints", "one")
        with open(os.path.join(folder, "descriptors.json")) as file:
            self.assertEqual(json.load(file), pipes)
        self.assertEqual(os.stat(folder).st_mode & 0o777, 0o700)
        self.ok("kill", name)
        self.ok("start", "--checkpoint", "one", name)
        asked = self.asked()
        self.assertEqual(asked["rst_sibling"], 1)
        self.assertIn([pipes[1], 5], asked["inherit_fd"])
        self.assertIn(["extRootNetNS", 7], asked["inherit_fd"])
        self.assertIn(f"mnt[/data]:{data}", asked["external"])

    def test_life_of_what_is_restored(self):
        name = self.start("sleep", "600", flags=["-v", "/data"])
        identifier = self.engine.inspect(name)["Id"]
        since = f"{time.time():.9f}"
        self.assertEqual(self.post(name, CheckpointID="one", Exit=True).status, 201)
        state = self.state(name)
        self.assertEqual((state["Status"], state["ExitCode"], state["Error"]), ("exited", 137, ""))
        actions = self.actions(identifier, since)
        self.assertLess(actions.index("die"), actions.index("checkpoint"))
        self.ok("start", "--checkpoint", "one", name)
        state = self.state(name)
        self.assertEqual(state["Status"], "running")
        self.assertEqual(self.actions(identifier, since)[-1], "start")
        with open(f"/proc/{state['Pid']}/stat") as file:
            parent = int(file.read().rsplit(")", 1)[1].split()[1])
        with open(f"/proc/{parent}/comm") as file:
            self.assertEqual(file.read().strip(), "berth-keeper")
        self.engine.kill()
        self.engine.start()
        self.assertEqual((self.state(name)["Status"], self.state(name)["Pid"]), ("running", state["Pid"]))
        os.kill(state["Pid"], signal.SIGTERM)
        self.assertEqual(self.ok("wait", name).text, "143")
        self.assertEqual(self.listed(name), ["one"])
        folder = os.path.join(self.engine.data, "containers", identifier)
        self.ok("rm", name)
        eventually(lambda: not os.path.exists(folder), "its folder has gone")

    def test_command(self):
        name = self.start("sleep", "600")
        self.assertEqual(self.ok("checkpoint", "create", "--leave-running", name, "one").text, "one")
        self.assertEqual(self.ok("checkpoint", "create", name, "two").text, "two")
        self.assertEqual(self.state(name)["Status"], "exited")
        self.assertEqual(self.ok("checkpoint", "ls", name).lines, ["CHECKPOINT NAME", "one", "two"])
        self.fails(1, "checkpoint", "create", name, "three", says="not running")
        self.fails(1, "start", "--checkpoint", "three", name, says="does not exist")
        self.fails(1, "start", "--checkpoint", "one", name, name, says="you cannot restore multiple containers at once")
        self.ok("start", "--checkpoint", "one", name)
        self.assertEqual(self.state(name)["Status"], "running")
        for checkpoint in ("one", "two"):
            self.ok("checkpoint", "rm", name, checkpoint)
        self.assertEqual(self.ok("checkpoint", "list", name).lines, ["CHECKPOINT NAME"])
        self.fails(1, "checkpoint", "rm", name, "one", says="does not exist")

    def test_in_another_container(self):
        name, folder = self.start("sleep", "600"), self.folder()
        self.ok("checkpoint", "create", "--checkpoint-dir", folder, name, "one")
        other = self.name()
        self.ok("create", "--name", other, IMAGE, "sleep", "600")
        below = os.path.join(folder, self.engine.inspect(name)["Id"], "checkpoints")
        self.fails(1, "start", "--checkpoint", "one", "--checkpoint-dir", folder, other, says="does not exist")
        self.ok("start", "--checkpoint", "one", "--checkpoint-dir", below, other)
        self.assertEqual(self.state(other)["Status"], "running")

    def test_experimental(self):
        """What docker's command asks before it offers checkpoints."""
        self.assertEqual(self.engine.api.get("/_ping").headers["Docker-Experimental"], "true")
        self.assertEqual(self.engine.api.get("/info").json()["ExperimentalBuild"], True)


class Failures(CheckpointCase):
    def test_dump_that_fails(self):
        name = self.start("sleep", "600", flags=["--restart", "always"])
        pid = self.state(name)["Pid"]
        for mode, said in (("fail", "nothing works"), ("die", "ended before"), ("garbage", "no message"),
                           ("freeze", "ended before")):
            self.criu_will(mode)
            answer = self.post(name, CheckpointID="one", Exit=True)
            self.assertEqual(answer.status, 500, str(answer))
            self.assertIn(said, answer.message)
            self.assertNotIn("\x1b", answer.message)
            self.assertTrue(self.is_thawed(self.asked()["freeze_cgroup"]), mode)
            self.assertEqual((self.state(name)["Status"], self.state(name)["Pid"]), ("running", pid), mode)
            self.assertEqual(self.listed(name), [])
        self.criu_will("")
        self.fail_at("checkpoint.post-dump")
        self.refused(self.post(name, CheckpointID="one", Exit=True), 500, "failpoint checkpoint.post-dump")
        self.fail_at("")
        # Its restart policy is as it was.
        os.kill(pid, signal.SIGKILL)
        self.runs_anew(name, pid)
        self.assertEqual(self.post(name, CheckpointID="one", Exit=True).status, 201)
        self.assertEqual(self.state(name)["Status"], "exited")
        self.assertEqual(self.engine.inspect(name)["RestartCount"], 1)

    def test_restore_that_fails(self):
        name = self.start("sleep", "600", flags=["-v", "/data"])
        self.assertEqual(self.post(name, CheckpointID="one", Exit=True).status, 201)
        identifier = self.engine.inspect(name)["Id"]
        for mode, said in (("fail", "nothing works"), ("die", "criu"), ("garbage", "no message"), ("orphan", "criu")):
            self.criu_will(mode)
            answer = self.engine.api.post(f"/containers/{name}/start?checkpoint=one")
            self.assertEqual(answer.status, 500, str(answer))
            self.assertIn(said, answer.message)
            self.assertIn("criu's log is in", answer.message)
            state = self.state(name)
            self.assertEqual((state["Status"], state["ExitCode"]), ("exited", 128), mode)
            self.assertIn(said, state["Error"])
            eventually(lambda: not self.left_of(identifier), f"nothing is left after {mode}")
        self.criu_will("")
        for point in ("restore.mounts", "restore.criu", "restore.setup-namespaces", "restore.post-restore", "restore.running",
                      "start.plan", "step:1", "step:4"):
            self.fail_at(point)
            self.refused(self.engine.api.post(f"/containers/{name}/start?checkpoint=one"), 500)
            self.assertEqual(self.state(name)["Status"], "exited", point)
            eventually(lambda: not self.left_of(identifier), f"nothing is left after {point}")
        self.fail_at("")
        self.ok("start", name)
        self.assertEqual(self.state(name)["Status"], "running")

    def test_restore_that_hangs(self):
        name = self.start("sleep", "600")
        identifier = self.engine.inspect(name)["Id"]
        self.assertEqual(self.post(name, CheckpointID="one", Exit=True).status, 201)
        self.criu_will("hang")
        open(self.record, "w").close()
        with self.engine.popen("start", "--checkpoint", "one", name) as waiting:
            self.is_asked(2)
            self.ok("rm", "-f", name)
            self.assertNotEqual(waiting.wait(timeout=60), 0)
        eventually(lambda: not self.left_of(identifier), "nothing is left")

    def test_berthd_killed_while_it_dumps(self):
        name = self.start("sleep", "600")
        pid = self.state(name)["Pid"]
        self.criu_will("wait")
        open(self.record, "w").close()
        waiting = self.engine.popen("checkpoint", "create", name, "one")
        with waiting:
            self.is_asked(1)
            self.engine.kill()
        self.criu_will("")
        self.engine.start()
        self.assertEqual((self.state(name)["Status"], self.state(name)["Pid"]), ("running", pid))
        self.assertEqual(self.listed(name), [])
        self.assertEqual(self.post(name, CheckpointID="one").status, 201)

    def test_berthd_killed_while_it_restores(self):
        name = self.start("sleep", "600")
        self.assertEqual(self.post(name, CheckpointID="one", Exit=True).status, 201)
        self.criu_will("wait")
        open(self.record, "w").close()
        waiting = self.engine.popen("start", "--checkpoint", "one", name)
        with waiting:
            self.is_asked(2)
            self.engine.kill()
        self.criu_will("")
        self.engine.start()
        eventually(lambda: self.state(name)["Status"] == "exited", "it is not running")
        identifier = self.engine.inspect(name)["Id"]
        eventually(lambda: not self.left_of(identifier), "nothing is left")
        self.ok("start", "--checkpoint", "one", name)
        self.assertEqual(self.state(name)["Status"], "running")
