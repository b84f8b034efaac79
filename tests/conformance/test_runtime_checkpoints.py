"""Checkpoints of docker, podman and containerd with berth-runtime under them. Skipped where no criu works with the kernel
(BERTH_CRIU names one). BERTH_RUNTIME names another runtime, to see what theirs does in the same place."""
import os
import tempfile

import test_runtime_callers as callers
from harness.criu import environment, with_criu
from harness.engine import eventually

callers.RUNTIME = os.environ.get("BERTH_RUNTIME", callers.RUNTIME)
COUNT = ("sh", "-c", "i=0; while :; do i=$((i + 1)); echo $i; sleep 0.1; done")


class CheckpointCase(callers.CallerCase):
    @classmethod
    def setUpClass(cls):
        # Engines and what they start look criu up.
        cls.path = os.environ.get("PATH", os.defpath)
        os.environ.update(environment())
        try:
            super().setUpClass()
        finally:
            os.environ["PATH"] = cls.path

    @classmethod
    def engine(cls, *words, **more):
        environ = {**getattr(cls, "environment", {}), **environment()}
        return cls.place.run(*cls.command, *words, env=environ, **more)

    def counts(self, name):
        return [int(line) for line in self.ok("logs", name).lines if line.isdigit()]

    def counted(self, name, least):
        eventually(lambda: self.counts(name) and max(self.counts(name)) >= least, f"{name} has counted to {least}", 60)
        return max(self.counts(name))

    def goes_on(self, name, before):
        """What was restored counts on from where it was."""
        self.counted(name, before + 3)
        self.assertEqual(self.counts(name).count(1), self.ones, self.counts(name))


@with_criu
class Docker(CheckpointCase):
    ones = 1

    @classmethod
    def start_engine(cls):
        start = cls.place.start
        cls.place.start = lambda *words: start(words[0], "--experimental", *words[1:])
        callers.Docker.start_engine.__func__(cls)

    def started(self, name):
        done = self.engine("start", "--checkpoint", "two", name)
        if done.code != 0:
            self.assertIn("already exists", done.err)
        return done.code == 0

    def test_checkpoint_and_start(self):
        name = "counter"
        self.addCleanup(self.engine, "rm", "-f", name)
        self.ok("run", "-d", "--name", name, *self.flags, "--network", "none", callers.IMAGE, *COUNT)
        self.counted(name, 3)
        self.ok("checkpoint", "create", "--leave-running", name, "one")
        self.counted(name, max(self.counts(name)) + 2)
        self.ok("checkpoint", "create", name, "two")
        self.assertEqual(self.ok("inspect", "--format", "{{.State.Status}}", name).text, "exited")
        self.assertEqual({line.strip() for line in self.ok("checkpoint", "ls", name).lines[1:]}, {"one", "two"})
        before = max(self.counts(name))
        # dockerd puts the images into containerd, where they still are until its collector has been round (moby#42900).
        eventually(lambda: self.started(name), "it can be started", 60, 1)
        self.goes_on(name, before)
        self.assertEqual(self.ok("exec", name, "echo", "in").text, "in")


@with_criu
class Podman(CheckpointCase):
    ones = 1

    @classmethod
    def start_engine(cls):
        callers.Podman.start_engine.__func__(cls)

    def running(self, name, *flags):
        self.addCleanup(self.engine, "rm", "-f", "-t", "0", name)
        self.ok("run", "-d", "--name", name, *self.flags, *flags, callers.IMAGE, *COUNT)
        return self.counted(name, 3)

    def test_checkpoint_and_restore(self):
        self.running("counter")
        self.ok("container", "checkpoint", "counter")
        self.assertEqual(self.ok("inspect", "--format", "{{.State.Status}}", "counter").text, "exited")
        before = max(self.counts("counter"))
        self.ok("container", "restore", "counter")
        self.goes_on("counter", before)
        self.assertEqual(self.ok("exec", "counter", "echo", "in").text, "in")
        self.ok("stop", "-t", "0", "counter")
        self.assertEqual(self.ok("inspect", "--format", "{{.State.ExitCode}}", "counter").text, "137")

    def test_leave_running(self):
        before = self.running("stays")
        self.ok("container", "checkpoint", "--leave-running", "stays")
        self.counted("stays", before + 3)

    def test_export_and_import(self):
        self.running("origin")
        with tempfile.TemporaryDirectory() as folder:
            archive = os.path.join(folder, "origin.tar.gz")
            self.ok("container", "checkpoint", "--export", archive, "--file-locks", "origin")
            before = max(self.counts("origin"))
            self.addCleanup(self.engine, "rm", "-f", "-t", "0", "copy")
            self.ok("container", "restore", "--import", archive, "--name", "copy", "--file-locks")
        self.goes_on("copy", before)


@with_criu
class Containerd(CheckpointCase):
    ones = 0

    @classmethod
    def start_engine(cls):
        callers.Containerd.start_engine.__func__(cls)

    def test_checkpoint_and_restore(self):
        self.addCleanup(self.engine, "tasks", "kill", "-s", "SIGKILL", "back")
        done = self.engine("run", "-d", "--runc-binary", callers.RUNTIME, "--cgroup", f"{self.place.group}/origin", callers.IMAGE,
                           "origin", "sh", "-c", "echo kept > /file; sleep 1000")
        self.assertEqual(done.code, 0, str(done))
        eventually(lambda: self.engine("tasks", "exec", "--exec-id", "e", "origin", "cat", "/file").text == "kept",
                   "it has written")
        self.ok("containers", "checkpoint", "--rw", "--image", "--task", "origin", "checkpoints/one")
        self.assertIn("RUNNING", self.ok("tasks", "ls").out)
        self.ok("tasks", "kill", "-s", "SIGKILL", "origin")
        eventually(lambda: "STOPPED" in self.engine("tasks", "ls").out, "it is stopped")
        self.ok("tasks", "rm", "origin")
        self.ok("containers", "rm", "origin")
        self.ok("containers", "restore", "--rw", "--live", "back", "checkpoints/one")
        eventually(lambda: "RUNNING" in self.engine("tasks", "ls").out, "it runs again")
        self.assertEqual(self.ok("tasks", "exec", "--exec-id", "f", "back", "cat", "/file").text, "kept")
