"""kill -9 at many instants of an operation: whatever the instant, the next berthd finds either all of it or
nothing, and what it finds works. The delays are the points at which the fault is injected."""
import glob
import os
import signal
import subprocess
import tempfile
import time

from harness import archives, host
from harness.archives import docker_archive, entry, tar
from harness.engine import IMAGE, EngineCase, eventually
from harness.registry import FakeRegistry, Image, digest_of

POINTS = 16  # instants per operation, spread evenly over the time that it takes undisturbed


class Sweep(EngineCase):
    def setUp(self):
        super().setUp()
        self.only_berth("it makes no such promise")
        self.ok("run", "--rm", IMAGE, "true")
        self.settle()
        self.before = host.Snapshot()

    def settle(self):
        eventually(lambda: not self.ok("ps", "-q").lines, "nothing runs")

    def remove_all(self):
        identifiers = self.ok("ps", "-aq", "--no-trunc").lines
        if identifiers:
            self.ok("rm", "-f", "-v", *identifiers)

    def nothing_is_left(self, context):
        def left():
            return [item for item in host.Snapshot().left_since(self.before)
                    if not (item.startswith("process ") and "berthd" in item)]

        try:
            eventually(lambda: not left(), "")
        except AssertionError:
            self.fail(f"{context}: left on the host: {left()}")
        for folder in (os.path.join(self.engine.data, "containers"), os.path.join(self.engine.exec, "containers")):
            if os.path.isdir(folder):
                eventually(lambda: not os.listdir(folder), f"{context}: {folder} is empty")

    def sweep(self, operation, verify, prepare=lambda: None):
        """Runs operation() (it returns a Popen) once to time it, then kills the engine at POINTS instants of it."""
        prepare()
        begin = time.monotonic()
        with operation() as client:
            client.wait(60)
        length = time.monotonic() - begin
        verify("undisturbed")
        self.remove_all()
        for point in range(POINTS):
            delay = length * point / POINTS
            context = f"killed {delay * 1000:.1f} ms into {length * 1000:.1f}"
            prepare()
            with operation() as client:
                time.sleep(delay)
                self.engine.kill()
                try:
                    client.wait(20)
                except subprocess.TimeoutExpired:
                    client.kill()
                    self.fail(f"{context}: the client hangs")
            self.engine.start()
            verify(context)
            self.remove_all()
            self.nothing_is_left(context)

    def containers_are_whole(self, context):
        """Every container that is known can be inspected, started and used."""
        for name in self.ok("ps", "-a", "--format", "{{.Names}}").lines:
            state = self.engine.inspect(name)["State"]["Status"]
            self.assertIn(state, ("created", "running", "exited"), context)
            if state != "running":
                self.assertEqual(self.engine("start", name).code, 0, context)
            self.assertEqual(self.engine("exec", name, "cat", "/etc/hostname").code, 0, context)

    def test_create(self):
        self.sweep(lambda: self.engine.popen("create", "--name", "swept", "-v", "/anonymous", IMAGE, "sleep", "600"),
                   self.containers_are_whole)

    def test_run(self):
        self.sweep(lambda: self.engine.popen("run", "-d", "--name", "swept", "-p", "127.0.0.1::80", "-v", "/anonymous", "-m", "64m",
                                             IMAGE, "sleep", "600"), self.containers_are_whole)

    def test_stop_and_rm(self):
        def prepare():
            self.ok("run", "-d", "--name", "swept", "-p", "127.0.0.1::80", IMAGE, "sleep", "600")

        self.sweep(lambda: self.engine.popen("rm", "-f", "swept"), self.containers_are_whole, prepare)

    def test_restart(self):
        def prepare():
            self.ok("run", "-d", "--name", "swept", "-p", "127.0.0.1::80", IMAGE, "sleep", "600")

        self.sweep(lambda: self.engine.popen("restart", "-t", "0", "swept"), self.containers_are_whole, prepare)

    def test_load(self):
        data = docker_archive("swept:1", [tar(archives.busybox_entries()), tar([entry("big", data=os.urandom(4 << 20))])],
                              {"Cmd": ["cat", "/etc/passwd"]})
        with tempfile.NamedTemporaryFile(dir=self.engine.folder, suffix=".tar") as archive:
            archive.write(data)
            archive.flush()

            def prepare():
                self.engine("rmi", "-f", "swept:1")

            def verify(context):
                listed = "swept:1" in self.ok("images", "--format", "{{.Repository}}:{{.Tag}}").lines
                if listed:
                    self.assertIn("root:x", self.ok("run", "--rm", "swept:1").out, context)
                self.ok("load", "-i", archive.name)
                self.assertIn("root:x", self.ok("run", "--rm", "swept:1").out, context)
                self.ok("rmi", "swept:1")

            self.sweep(lambda: self.engine.popen("load", "-i", archive.name), verify, prepare)

    def travelling(self):
        """A registry and an image of two layers for it."""
        registry = FakeRegistry()
        self.addCleanup(registry.close)
        return registry, Image([tar(archives.busybox_entries()), tar([entry("big", data=os.urandom(4 << 20))])],
                               {"Cmd": ["cat", "/etc/passwd"]})

    def test_pull(self):
        registry, image = self.travelling()
        name = registry.add("swept", "1", image)

        def prepare():
            self.engine("rmi", "-f", name)
            self.ok("system", "prune", "-f")

        def verify(context):
            if name in self.ok("images", "--format", "{{.Repository}}:{{.Tag}}").lines:
                self.assertIn("root:x", self.ok("run", "--rm", name).out, context)
            self.ok("pull", name)
            self.assertIn("root:x", self.ok("run", "--rm", name).out, context)
            self.assertEqual(self.engine.inspect(name)["RepoDigests"], [f"{registry.host}/swept@{image.digest}"], context)
            self.assertEqual(os.listdir(os.path.join(self.engine.data, "content", "ingest")), [], context)

        self.sweep(lambda: self.engine.popen("pull", name), verify, prepare)

    def test_push(self):
        registry, _ = self.travelling()
        name = f"{registry.host}/swept:1"
        digests = set()

        def prepare():
            self.ok("tag", IMAGE, name)
            registry.blobs.clear()
            registry.manifests.clear()

        def verify(context):
            self.assertIn("root:x", self.ok("run", "--rm", name, "cat", "/etc/passwd").out, context)
            self.ok("push", name)
            digests.add(digest_of(registry.manifests[("swept", "1")][1]))
            self.assertEqual(len(digests), 1, f"{context}: the image keeps its digest")

        self.sweep(lambda: self.engine.popen("push", name), verify, prepare)

    def test_build(self):
        context_folder = self.folder()
        with open(os.path.join(context_folder, "Dockerfile"), "w") as dockerfile:
            dockerfile.write(f"FROM {IMAGE}\nCOPY f /f\nRUN cp /f /g && usleep 30000\nRUN cat /g > /h\n")

        def prepare():
            self.engine("rmi", "-f", "swept:2")
            with open(os.path.join(context_folder, "f"), "wb") as file:  # so that nothing is cached
                file.write(os.urandom(200_000))

        def verify(context):
            self.ok("build", "-q", "-t", "swept:2", context_folder)
            self.ok("run", "--rm", "swept:2", "cmp", "/f", "/h")
            self.assertEqual(self.ok("ps", "-aq").out, "", context)

        self.sweep(lambda: self.engine.popen("build", "-t", "swept:2", context_folder), verify, prepare)

    def test_nothing_piles_up_on_the_disk(self):
        """What interrupted loads had written is gone once the engine has started again."""
        data = docker_archive("piled:1", [tar([entry("big", data=os.urandom(16 << 20))])])
        with tempfile.NamedTemporaryFile(dir=self.engine.folder, suffix=".tar") as archive:
            archive.write(data)
            archive.flush()
            begin = time.monotonic()
            self.ok("load", "-i", archive.name)
            length = time.monotonic() - begin
            self.ok("rmi", "piled:1")

            def used():
                return sum(os.lstat(path).st_blocks * 512 for path in glob.glob(os.path.join(self.engine.data, "**"), recursive=True))

            before = used()
            for point in range(1, 6):
                with self.engine.popen("load", "-i", archive.name) as client:
                    time.sleep(length * point / 6)
                    self.engine.kill()
                    client.wait(20)
                self.engine.start()
                self.engine("rmi", "-f", "piled:1")
            self.ok("image", "prune", "-f")
            eventually(lambda: used() - before < 4 << 20, "the disk is as before")


class KeeperKills(EngineCase):
    """berth-keeper is its container's parent: when it is killed, the container ends and that is told."""

    def setUp(self):
        super().setUp()
        self.only_berth("it has no keeper")

    def keeper_of(self, name):
        pid = self.engine.inspect(name)["State"]["Pid"]
        with open(f"/proc/{pid}/status") as status:
            parent = next(int(line.split()[1]) for line in status if line.startswith("PPid:"))
        with open(f"/proc/{parent}/comm") as comm:
            self.assertTrue(comm.read().startswith("berth-keeper"))
        return parent, pid

    def test_the_container_ends_and_is_reported(self):
        name = self.start("sleep", "600", flags=("-p", "127.0.0.1::80"))
        keeper, pid = self.keeper_of(name)
        os.kill(keeper, signal.SIGKILL)
        self.assertEqual(self.ok("wait", name).text, "137")
        eventually(lambda: not os.path.exists(f"/proc/{pid}"), "nothing of the container runs")
        self.assertEqual(self.engine.inspect(name)["State"]["Status"], "exited")
        self.ok("start", name)
        self.ok("rm", "-f", name)

    def test_a_policy_heals_it(self):
        name = self.start("sleep", "600", flags=("--restart", "always"))
        keeper, pid = self.keeper_of(name)
        os.kill(keeper, signal.SIGKILL)
        eventually(lambda: self.engine.inspect(name)["State"]["Pid"] not in (0, pid), "it is started again")

    def test_while_no_engine_runs(self):
        name = self.start("sleep", "600")
        keeper, pid = self.keeper_of(name)
        self.engine.kill()
        os.kill(keeper, signal.SIGKILL)
        eventually(lambda: not os.path.exists(f"/proc/{keeper}"), "the keeper is gone")
        self.engine.start()
        self.assertEqual(self.ok("wait", name).text, "137")
        eventually(lambda: not os.path.exists(f"/proc/{pid}"), "nothing of the container runs")

    def test_the_log_up_to_then_is_kept(self):
        name = self.start("sh", "-c", "seq 1000; sleep 600")
        eventually(lambda: len(self.ok("logs", name).lines) == 1000, "the lines are logged")
        os.kill(self.keeper_of(name)[0], signal.SIGKILL)
        self.ok("wait", name)
        self.assertEqual(len(self.ok("logs", name).lines), 1000)
