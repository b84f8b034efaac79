"""A place for engines that others wrote, and whatever they start: mount, network and pid namespaces of their own, a /run
of their own, and one folder. All of it ends with close()."""
import glob
import os
import shutil
import signal
import subprocess
import tempfile

from .engine import eventually, run
from .host import children

GROUPS = "/sys/fs/cgroup"
# The first process there reaps what the others leave to it.
KEEPER = "mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /dev/shm && : > \"$0\" && while :; do sleep 1000 & wait; done"


class Place:
    def __init__(self, name):
        self.folder = tempfile.mkdtemp(prefix="bc.", dir="/tmp")
        self.group = f"/berth-{name}-{os.getpid()}"
        self.started = []
        self.hierarchies = set(os.listdir(GROUPS))
        ready = os.path.join(self.folder, "ready")
        self.keeper = subprocess.Popen(["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
                                        KEEPER, ready], stdin=subprocess.DEVNULL)
        eventually(lambda: os.path.exists(ready), "the namespaces are there")
        first, = children(self.keeper.pid)
        self.enter = ["nsenter", "--target", str(first), "--mount", "--net", "--pid"]
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *argv, **more):
        """A command in there, to its end: its Result."""
        return run([*self.enter, *argv], **more)

    def start(self, *argv):
        """A daemon in there; the path of its log."""
        log = os.path.join(self.folder, os.path.basename(argv[0]) + ".log")
        with open(log, "ab") as file:
            self.started.append(subprocess.Popen([*self.enter, *argv], stdin=subprocess.DEVNULL, stdout=file, stderr=file))
        return log

    @staticmethod
    def wait_for(log, answers):
        """Until a daemon answers; what it has said, if it does not."""
        try:
            eventually(answers, "the daemon answers", 60)
        except AssertionError as error:
            with open(log, errors="replace") as file:
                raise AssertionError(f"{error}; its log: {file.read()[-2000:]}") from None

    def close(self):
        for each in [*self.started, self.keeper]:
            each.send_signal(signal.SIGTERM)
        for each in [*self.started, self.keeper]:
            try:
                each.wait(30)
            except subprocess.TimeoutExpired:
                each.kill()
                each.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        # podman makes plain folders for controllers that the host does not have.
        for name in os.listdir(GROUPS):
            place = os.path.join(GROUPS, name)
            if os.path.ismount(place) or os.path.islink(place) or not os.path.isdir(place + self.group):
                continue
            shutil.rmtree(place + self.group)
            if name not in self.hierarchies:
                shutil.rmtree(place)
        eventually(self._without_groups, f"the groups below {self.group} can go")

    def _without_groups(self):
        """The parent group stays where an engine made it: whoever chose its name takes it away."""
        left = glob.glob(f"{GROUPS}/*{self.group}") + glob.glob(f"{GROUPS}{self.group}")
        for path in left:
            for folder, _, _ in os.walk(path, topdown=False):
                try:
                    os.rmdir(folder)
                except OSError:
                    return False
        return True
