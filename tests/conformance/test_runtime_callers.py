"""berth-runtime under the engines that others wrote: docker, podman and containerd run containers on it."""
import os
import shutil
import subprocess
import unittest

from harness import archives
from harness.caller import Place
from harness.engine import PROGRAMS, docker_client, eventually

RUNTIME = os.path.join(PROGRAMS, "berth-runtime")
IMAGE = "localhost/base:1"


def installed(*programs):
    missing = [program for program in programs if shutil.which(program) is None]
    return unittest.skipIf(missing, f"{', '.join(missing)}: not installed (\"scripts/install-packages bench\" installs it)")


class CallerCase(unittest.TestCase):
    """Engines are started once for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        cls.place = Place(cls.__name__.lower())
        try:
            cls.archive = os.path.join(cls.place.folder, "base.tar")
            with open(cls.archive, "wb") as file:
                file.write(archives.busybox_archive(IMAGE))
            cls.start_engine()
        except BaseException:
            cls.place.close()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.place.close()

    @classmethod
    def load(cls, *words):
        done = cls.engine(*words)
        if done.code != 0:
            raise AssertionError(str(done))

    def ok(self, *words, **more):
        done = self.engine(*words, **more)
        self.assertEqual(done.code, 0, str(done))
        return done


class DockerLike:
    """What docker and podman are asked in the same words. `flags` are those of each run."""

    def setUp(self):
        self.made = []

    def tearDown(self):
        for name in self.made:
            self.engine("rm", *self.at_once, name)

    def running(self, *words, flags=()):
        name = f"c{len(self.made)}-{self._testMethodName[5:]}".replace("_", "-")
        self.made.append(name)
        self.ok("run", "-d", "--name", name, *self.flags, *flags, IMAGE, *words)
        return name

    def run_in(self, script, *flags, **more):
        return self.engine("run", "--rm", *self.flags, *flags, IMAGE, "sh", "-c", script, **more)

    def test_it_is_berth_that_runs_it(self):
        name = self.running("sleep", "1000")
        self.assertIn(self.runtime_name, self.ok("inspect", name).out)

    def test_run(self):
        self.assertEqual(self.run_in("echo out; echo err >&2; exit 42").code, 42)
        done = self.run_in("cat; id -u; pwd", "-i", "-u", "1000:1000", "-w", "/tmp", input="in\n")
        self.assertEqual((done.code, done.lines), (0, ["in", "1000", "/tmp"]), str(done))
        self.assertEqual(self.engine("run", "--rm", *self.flags, IMAGE, "nothing-of-that-name").code, 127)
        self.assertEqual(self.engine("run", "--rm", *self.flags, IMAGE, "/etc/passwd").code, 126)

    def test_terminal(self):
        # The client's own side of a terminal, by script(1).
        words = " ".join([*self.command, "run", "--rm", "-t", *self.flags, IMAGE, "sh", "-c", "'tty; stty size'"])
        done = self.place.run("script", "-qec", words, "/dev/null")
        self.assertEqual(done.code, 0, str(done))
        self.assertEqual(done.lines[0].strip(), "/dev/pts/0")

    def test_life(self):
        name = self.running("sh", "-c", "trap 'echo stopping; exit 3' TERM; echo up; while :; do sleep 0.1; done")
        eventually(lambda: "up" in self.engine("logs", name).out, "it has written a line")
        self.assertEqual(self.ok("exec", name, "sh", "-c", "echo $$; cat /proc/1/comm").lines[1], "sh")
        self.assertEqual(self.engine("exec", name, "sh", "-c", "exit 9").code, 9)
        self.ok("pause", name)
        self.assertIn("paused", self.ok("inspect", "--format", "{{.State.Status}}", name).out)
        self.ok("unpause", name)
        self.ok("stop", "-t", "20", name)
        self.assertEqual(self.ok("inspect", "--format", "{{.State.ExitCode}}", name).text, "3")
        self.assertIn("stopping", self.ok("logs", name).out)
        self.ok("start", name)
        eventually(lambda: self.engine("logs", name).out.count("up") == 2, "it is up again")
        self.ok("kill", name)
        self.assertEqual(self.ok("wait", name).text, "137")

    def test_exec_terminal_and_users(self):
        name = self.running("sleep", "1000")
        self.assertEqual(self.ok("exec", "-u", "12:34", name, "sh", "-c", "id -u; id -g").lines, ["12", "34"])
        words = " ".join([*self.command, "exec", "-t", name, "tty"])
        self.assertIn("/dev/pts/", self.place.run("script", "-qec", words, "/dev/null").out)
        self.ok("exec", "-d", name, "sh", "-c", "echo x > /made")
        eventually(lambda: self.engine("exec", name, "cat", "/made").text == "x", "the other exec has run")

    def test_limits_and_sandbox(self):
        done = self.run_in("cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; "
                           "grep -E '^(Seccomp|CapInh|NoNewPrivs):' /proc/self/status", "-m", "64m",
                           "--security-opt", "no-new-privileges")
        fields = dict(line.split(":\t") for line in done.lines[1:])
        self.assertEqual((done.lines[0], fields), ("67108864", {"Seccomp": "2", "CapInh": "0000000000000000", "NoNewPrivs": "1"}),
                         str(done))
        self.assertNotEqual(self.run_in("touch /x", "--read-only").code, 0)
        self.assertEqual(self.run_in("touch /t/x && mount | grep -c ' /t '", "--tmpfs", "/t").text, "1")

    def test_privileged_and_volumes(self):
        folder = os.path.join(self.place.folder, "volume")
        os.makedirs(folder, exist_ok=True)
        self.assertEqual(self.run_in("echo kept > /v/file; mount -t tmpfs x /tmp && echo mounted", "--privileged", "-v",
                                     f"{folder}:/v").text, "mounted")
        self.assertEqual(self.run_in("cat /v/file; echo no > /v/file", "-v", f"{folder}:/v:ro").text, "kept")


@installed("dockerd", "containerd", "script")
class Docker(DockerLike, CallerCase):
    at_once = ("-f",)
    runtime_name = '"Runtime": "berth"'

    @classmethod
    def start_engine(cls):
        folder = cls.place.folder
        socket = os.path.join(folder, "docker.sock")
        cls.flags = ["--runtime", "berth"]
        cls.command = [docker_client(), "-H", f"unix://{socket}"]
        log = cls.place.start("dockerd", "--data-root", os.path.join(folder, "data"), "--exec-root", os.path.join(folder, "exec"),
                              "--pidfile", os.path.join(folder, "pid"), "-H", f"unix://{socket}", "--iptables=false",
                              "--ip6tables=false", "--bridge=none", "--cgroup-parent", cls.place.group, "--add-runtime",
                              f"berth={RUNTIME}")
        cls.place.wait_for(log, lambda: cls.engine("version").code == 0)
        cls.load("load", "-i", cls.archive)

    @classmethod
    def engine(cls, *words, **more):
        return cls.place.run(*cls.command, *words, env={"DOCKER_CONFIG": os.path.join(cls.place.folder, "config")}, **more)

    def test_stats_and_top(self):
        name = self.running("sleep", "1000")
        self.assertIn("sleep 1000", self.ok("top", name).out)
        self.assertIn(name, self.ok("stats", "--no-stream", "--format", "{{.Name}}", name).out)
        self.ok("update", "-m", "96m", "--memory-swap", "96m", name)


@installed("podman", "conmon", "script")
class Podman(DockerLike, CallerCase):
    at_once = ("-f", "-t", "0")
    runtime_name = "berth-runtime"

    @classmethod
    def start_engine(cls):
        folder = cls.place.folder
        cls.settings = os.path.join(folder, "containers.conf")
        with open(cls.settings, "w") as file:
            file.write(f'[engine]\nruntime_supports_nocgroup = ["berth-runtime"]\n[engine.runtimes]\nberth-runtime = ["{RUNTIME}"]\n')
        cls.flags = ["--network", "none", "--cgroup-parent", cls.place.group]
        cls.command = ["podman", "--root", os.path.join(folder, "root"), "--runroot", os.path.join(folder, "runroot"), "--tmpdir",
                       "/run/podman", "--cgroup-manager", "cgroupfs", "--events-backend", "none", "--runtime", "berth-runtime"]
        cls.load("load", "-i", cls.archive)

    @classmethod
    def engine(cls, *words, **more):
        return cls.place.run(*cls.command, *words, env={"CONTAINERS_CONF": cls.settings}, **more)

    def test_user_namespaces_and_init(self):
        done = self.run_in("cat /proc/self/uid_map", "--uidmap", "0:100000:5000")
        self.assertEqual(done.text.split(), ["0", "100000", "5000"], str(done))

    def test_no_groups(self):
        done = self.engine("run", "--rm", "--network", "none", "--cgroups", "disabled", IMAGE, "cat", "/proc/self/cgroup")
        self.assertEqual(done.code, 0, str(done))
        self.assertNotIn("libpod", done.out)


@installed("containerd", "ctr", "containerd-shim-runc-v2")
class Containerd(CallerCase):
    @classmethod
    def start_engine(cls):
        folder = cls.place.folder
        settings = os.path.join(folder, "config.toml")
        socket = os.path.join(folder, "containerd.sock")
        with open(settings, "w") as file:
            file.write(f'version = 2\nroot = "{folder}/data"\nstate = "/run/state"\n'
                       'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
                       f'[grpc]\naddress = "{socket}"\n')
        log = cls.place.start("containerd", "--config", settings)
        cls.command = ["ctr", "-a", socket]
        cls.place.wait_for(log, lambda: cls.engine("version").code == 0)
        cls.load("images", "import", cls.archive)

    @classmethod
    def engine(cls, *words, **more):
        return cls.place.run(*cls.command, *words, **more)

    def run_in(self, name, *words, flags=()):
        return self.engine("run", "--runc-binary", RUNTIME, "--cgroup", f"{self.place.group}/{name}", *flags, IMAGE, name, *words)

    def test_run(self):
        done = self.run_in("one", "sh", "-c", "echo out; exit 5", flags=("--rm",))
        self.assertEqual((done.code, done.text), (5, "out"), str(done))

    def test_life(self):
        self.assertEqual(self.run_in("two", "sleep", "1000", flags=("-d",)).code, 0)
        self.assertIn("RUNNING", self.ok("tasks", "ls").out)
        self.assertEqual(self.ok("tasks", "exec", "--exec-id", "e", "two", "echo", "in").text, "in")
        self.ok("tasks", "pause", "two")
        self.assertIn("PAUSED", self.ok("tasks", "ls").out)
        self.ok("tasks", "resume", "two")
        self.assertIn("memory", self.ok("tasks", "metrics", "two").out)
        self.ok("tasks", "kill", "-s", "SIGKILL", "two")
        eventually(lambda: "STOPPED" in self.engine("tasks", "ls").out, "it is stopped")
        self.ok("tasks", "rm", "two")
        self.ok("containers", "rm", "two")
