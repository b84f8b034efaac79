"""Failure at every step of a launch: nothing stays behind, the error names the step, and the next launch works."""
import glob
import os
import re
import tempfile

from harness.engine import IMAGE, EngineCase, eventually
from harness.host import Snapshot
from test_runtime import RuntimeCase

VARIABLE = "BERTH_FAILPOINT_FILE"
MOST_STEPS = 400


def choose(path, point):
    with open(path, "w") as file:
        file.write(point)


class EngineSteps(EngineCase):
    """berth run, through berthd and berth-keeper."""
    POINTS = ("start.directory", "start.networks", "start.shared-memory", "start.cgroup", "start.plan")

    @classmethod
    def setUpClass(cls):
        handle, cls.chosen = tempfile.mkstemp(prefix="failpoint.", dir="/tmp")
        os.close(handle)
        cls.addClassCleanup(os.unlink, cls.chosen)
        os.environ[VARIABLE] = cls.chosen
        try:
            super().setUpClass()
        finally:
            del os.environ[VARIABLE]

    def setUp(self):
        super().setUp()
        self.only_berth("failpoints are its own")
        choose(self.chosen, "")
        self.group = f"/berth-failing-{os.getpid()}"
        # What lasts as long as the engine (networks, pools) is there before anything is counted.
        self.ok("run", "--rm", "-p", "0:80", IMAGE, "true")
        eventually(lambda: not self.engine("ps", "-aq").out, "the first is gone")

    def tearDown(self):
        choose(self.chosen, "")
        super().tearDown()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        for hierarchy in glob.glob(f"/sys/fs/cgroup/*/berth-failing-{os.getpid()}") + glob.glob(f"/sys/fs/cgroup/berth-failing-{os.getpid()}"):
            os.rmdir(hierarchy)

    def settled(self, before):
        """What a failed start has left, pools of empty namespaces apart."""
        left = Snapshot().left_since(before)
        return [item for item in left if not item.startswith("network namespace") and
                (not item.startswith("cgroup") or self.group + "/" in item)]

    def fails_at(self, point, *flags):
        """Whether a start fails there; checks that nothing is left and that the point is named."""
        before = Snapshot()
        choose(self.chosen, point)
        result = self.engine("run", "--rm", "-p", "0:80", "--tmpfs", "/t", "--ipc", "shareable",
                             "--cgroup-parent", self.group, *flags, IMAGE, "true")
        choose(self.chosen, "")
        if result.code == 0:
            return False
        self.assertIn("failpoint", result.err, str(result))
        eventually(lambda: not self.engine("ps", "-aq").out, "no container is left")
        eventually(lambda: not self.settled(before), f"{point} leaves nothing: {self.settled(before)}")
        return result.err

    def test_points_of_the_engine(self):
        for point in self.POINTS:
            with self.subTest(point=point):
                self.assertIn(point, self.fails_at(point) or "")
        self.ok("run", "--rm", IMAGE, "true")

    def test_points_of_create(self):
        folders = os.path.join(self.engine.data, "containers")
        volumes = set(self.engine("volume", "ls", "-q").lines)
        before = set(os.listdir(folders))
        for point in ("create.name", "create.snapshot", "create.volumes"):
            with self.subTest(point=point):
                choose(self.chosen, point)
                result = self.engine("create", "--name", "again", "-v", "/data", IMAGE, "true")
                choose(self.chosen, "")
                self.assertNotEqual(result.code, 0)
                self.assertIn(point, result.err)
                self.assertEqual(self.engine("ps", "-aq").out, "")
                self.assertEqual(set(self.engine("volume", "ls", "-q").lines), volumes)
                eventually(lambda: set(os.listdir(folders)) == before, "the container's folder is gone")
        self.ok("create", "--name", "again", "-v", "/data", IMAGE, "true")
        self.ok("rm", "-v", "again")

    def test_every_step_of_the_plan(self):
        named = set()
        for number in range(1, MOST_STEPS):
            said = self.fails_at(f"step:{number}", "-u", "app", "--hostname", "h", "--sysctl", "net.ipv4.ip_forward=1")
            if not said:
                break
            named.add(re.search(r"([a-z/O ]+): failpoint", said).group(1).strip())
        self.assertGreater(number, 40)
        for step in ("enter cgroup", "mount overlay", "create filesystem", "mount", "pivot root", "resolve user",
                     "set credentials", "load seccomp filter", "exec"):
            self.assertIn(step, named)
        self.ok("run", "--rm", IMAGE, "true")


class RuntimeSteps(RuntimeCase):
    """berth-runtime create, start and exec."""

    def setUp(self):
        super().setUp()
        self.chosen = os.path.join(self.folder, "failpoint")
        choose(self.chosen, "")
        os.environ[VARIABLE] = self.chosen
        self.addCleanup(os.environ.pop, VARIABLE)

    def tearDown(self):
        choose(self.chosen, "")
        super().tearDown()

    def attempt(self, point, *arguments):
        choose(self.chosen, point)
        log = os.path.join(self.folder, "log")
        if os.path.exists(log):
            os.unlink(log)
        result = self.call(*arguments, log=log)
        choose(self.chosen, "")
        if result.code != 0:
            self.assertIn("failpoint", result.err, str(result))
        return result

    def nothing_of(self, before):
        eventually(lambda: not self.left_since(before), f"nothing is left: {self.left_since(before)}")
        self.assertEqual(self.ok("list", "-q").out, "")
        self.assertFalse(os.path.exists(self.root) and os.listdir(self.root), "no record is left")

    @staticmethod
    def left_since(before):
        return [item for item in Snapshot().left_since(before) if "berthd" not in item]

    def change(self, config):
        config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
        config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
        config["linux"]["namespaces"].append({"type": "cgroup"})
        config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 100}]
        config["hooks"] = {"createRuntime": [{"path": "/bin/true"}], "startContainer": [{"path": "/bin/true"}]}

    def test_points_of_create(self):
        bundle = self.bundle("true", change=self.change)
        for point in ("create.record", "create.group", "create.listener", "create.process", "create.ready", "create.pid-file"):
            with self.subTest(point=point):
                before = Snapshot()
                pid_file = os.path.join(self.folder, "pid")
                self.assertNotEqual(self.attempt(point, "create", "--bundle", bundle, "--pid-file", pid_file, self.name()).code, 0)
                self.assertFalse(os.path.exists(pid_file))
                self.nothing_of(before)
        self.assertEqual(self.attempt("", "run", "--bundle", bundle, self.name()).code, 0)

    def test_every_step_of_run(self):
        bundle = self.bundle("true", change=self.change)
        for number in range(1, MOST_STEPS):
            before = Snapshot()
            result = self.attempt(f"step:{number}", "run", "--bundle", bundle, self.name())
            self.nothing_of(before)
            if result.code == 0:
                break
        self.assertGreater(number, 40)

    def test_points_of_start(self):
        for point in ("start.hooks", "start.release", "start.poststart"):
            with self.subTest(point=point):
                name = self.create("sleep", "600", change=self.change)
                self.assertNotEqual(self.attempt(point, "start", name).code, 0)
                self.ok("delete", "--force", name)
        name = self.create("sleep", "600", change=self.change)
        self.ok("start", name)

    def test_every_step_of_exec(self):
        name = self.create("sleep", "600", change=self.change)
        self.ok("start", name)
        alone = self.ok("ps", "--format", "json", name).out
        for number in range(1, MOST_STEPS):
            result = self.attempt(f"step:{number}", "exec", name, "true")
            self.assertEqual(self.ok("ps", "--format", "json", name).out, alone)
            if result.code == 0:
                break
        self.assertGreater(number, 8)
        self.assertNotEqual(self.attempt("exec.running", "exec", "-d", name, "sleep", "600").code, 0)
        self.assertEqual(self.ok("ps", "--format", "json", name).out, alone)
        self.ok("exec", name, "true")



