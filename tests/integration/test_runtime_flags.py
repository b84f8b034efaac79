"""berth-runtime: terminals that it relays, and what each flag that it takes brings about."""
import fcntl
import glob
import json
import os
import struct
import subprocess
import termios

from harness.engine import run
from test_runtime import RUNTIME, RuntimeCase


class Terminals(RuntimeCase):
    @staticmethod
    def terminal(config):
        config["process"]["terminal"] = True

    def test_line_ends_are_as_they_were_written(self):
        """From the first byte on."""
        script = ("sh", "-c", "echo one; echo two")
        folder = self.bundle(*script, change=self.terminal)
        name = self.running()
        for _ in range(10):
            for words in (("run", "--bundle", folder, self.name()), ("exec", "--tty", name, *script)):
                done = subprocess.run([RUNTIME, "--root", self.root, *words], stdin=subprocess.DEVNULL, capture_output=True,
                                      timeout=60)
                self.assertEqual((done.returncode, done.stdout), (0, b"one\ntwo\n"), done.stderr)

    def test_size(self):
        def change(config):
            self.terminal(config)
            config["process"]["consoleSize"] = {"height": 10, "width": 110}
        self.assertEqual(self.run_in("stty size", change).text, "10 110")
        name = self.running()
        process = os.path.join(self.folder, "process.json")
        with open(process, "w") as file:
            json.dump({"args": ["/bin/stty", "size"], "cwd": "/", "terminal": True, "user": {"uid": 0, "gid": 0},
                       "consoleSize": {"height": 20, "width": 30}}, file)
        self.assertEqual(self.ok("exec", "--process", process, name).text, "20 30")

    def test_the_callers_terminal_gives_its_size_and_takes_the_output(self):
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 44, 0, 0))
        folder = self.bundle("sh", "-c", "stty size; readlink /proc/self/fd/0", change=self.terminal)
        # Its input is elsewhere: output alone is a terminal.
        done = subprocess.run([RUNTIME, "--root", self.root, "run", "--bundle", folder, self.name()],
                              stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, timeout=60)
        os.close(slave)
        said = b""
        while True:
            try:
                said += os.read(master, 4096)
            except OSError:  # the other end is closed
                break
        self.assertEqual(done.returncode, 0, said)
        self.assertEqual(said.split(), [b"33", b"44", b"/dev/pts/0"])


class Flags(RuntimeCase):
    """What a flag that is taken brings about."""

    def groups_of(self, *flags):
        folder = self.bundle("cat", "/proc/self/cgroup")
        return run([RUNTIME, "--root", self.root, *flags, "run", "--bundle", folder, self.name()])

    def test_rootless(self):
        for value in ("true", "false", "auto"):
            self.assertIn("/berth-runtime/", self.groups_of(f"--rootless={value}").out)
        self.assertIn("\"true\", \"false\" or \"auto\"", self.groups_of("--rootless=maybe").err)

    def test_no_groups(self):
        done = self.groups_of("--cgroup-manager", "disabled")
        self.assertEqual(done.code, 0, str(done))
        self.assertNotIn("/berth-runtime/", done.out)
        self.assertIn("is \"cgroupfs\"", self.groups_of("--cgroup-manager", "other").err)
        self.assertIn("cgroupfs", self.groups_of("--cgroup-manager", "systemd").err)

    def test_groups_that_may_not_be_made(self):
        """In a mount namespace where all hierarchies are read-only, but the first part of the paths is there."""
        folder = self.bundle("true")
        script = ("for each in $(awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts); do mount -o remount,bind,ro $each; done\n"
                  "exec \"$@\"")

        def without(*flags):
            return run(["unshare", "--mount", "sh", "-c", script, "sh", RUNTIME, "--root", self.root, *flags, "run",
                        "--bundle", folder, self.name()])
        self.assertEqual(without().code, 0)
        self.assertEqual(without("--rootless=true").code, 0)
        self.assertIn("no control groups that can be written to", without("--rootless=false").err)

    def test_a_group_that_may_not_be_made(self):
        """In a parent that is read-only, where the rest of the hierarchy is not."""
        parent = f"berth-closed-{os.getpid()}"
        hierarchy = "/sys/fs/cgroup/memory" if os.path.isdir("/sys/fs/cgroup/memory") else "/sys/fs/cgroup"
        closed = os.path.join(hierarchy, parent)
        os.mkdir(closed)
        folder = self.bundle("cat", "/proc/self/cgroup", change=lambda config: config["linux"].update(cgroupsPath=f"/{parent}/c"))
        script = f"mount --bind {closed} {closed} && mount -o remount,bind,ro {closed} && exec \"$@\""

        def closed_to(*flags):
            return run(["unshare", "--mount", "sh", "-c", script, "sh", RUNTIME, "--root", self.root, *flags, "run",
                        "--bundle", folder, self.name()])
        try:
            for flags in ((), ("--rootless=false",)):
                self.assertIn("create cgroup", closed_to(*flags).err)
            done = closed_to("--rootless=true")
        finally:
            self.forget(parent)  # what a runtime makes of the way to a group is whoever's that chose its path
        self.assertEqual(done.code, 0, str(done))
        self.assertNotIn(parent, done.out)
        self.assertIn("no control group", done.err)

    @staticmethod
    def forget(parent):
        for path in [*glob.glob(f"/sys/fs/cgroup/*/{parent}"), *glob.glob(f"/sys/fs/cgroup/{parent}")]:
            os.rmdir(path)

    def test_a_group_that_is_frozen_or_in_use(self):
        def change(config):
            config["linux"]["cgroupsPath"] = f"/berth-runtime/taken-{os.getpid()}"
        name = self.running(change)
        self.assertIn("is not empty", self.run_in("true", change).err)
        self.ok("pause", name)
        self.assertIn("unexpectedly frozen", self.run_in("true", change).err)
        self.ok("resume", name)

    def test_debug(self):
        log = os.path.join(self.folder, "debug.log")
        folder = self.bundle("true")
        for flags, wanted in (((), False), (("--debug",), True)):
            name = self.name()
            done = run([RUNTIME, "--root", self.root, "--log", log, *flags, "run", "--bundle", folder, name])
            self.assertEqual((done.code, done.err), (0, ""), str(done))
            with open(log) as file:
                self.assertEqual(f"{name}" in file.read(), wanted)

    def test_create_takes_no_flags_of_run(self):
        self.assertIn("unknown flag", self.call("create", "--detach", "--bundle", self.bundle("true"), self.name()).err)

    def test_preserve_fds_is_bounded(self):
        for verb in ("run", "exec"):
            for number in ("-1", "1001", "x"):
                self.assertIn("--preserve-fds", self.call(verb, "--preserve-fds", number, "none").err)
