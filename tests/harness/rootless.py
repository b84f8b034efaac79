"""An ordinary user with subordinate ids, made for a test, and the engine that this user's berth command starts."""
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile

from . import engine as harness
from .api import Api
from .engine import Engine, eventually, run

TUN = "/dev/net/tun"


def unavailable():
    """Why an ordinary user can have no engine on this host, or None."""
    for program in ("newuidmap", "useradd", "setpriv", "unshare"):
        if shutil.which(program) is None:
            return f"{program} is missing: \"scripts/install-packages test\" provides it"
    probe = run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "-U", "true"])
    return None if probe.code == 0 else f"ordinary users may not make user namespaces here: {probe.err.strip()}"


class User:
    """A temporary account; close() removes it, its processes and all that it owns."""

    def __init__(self, sub_ids=True):
        self.folder = tempfile.mkdtemp(prefix="bu.", dir="/tmp")
        os.chmod(self.folder, 0o755)
        self.name = "bt" + secrets.token_hex(4)
        self.home = os.path.join(self.folder, "home")
        made = run(["useradd", "--create-home", "--home-dir", self.home, "--shell", "/bin/sh", self.name])
        if made.code != 0:
            raise AssertionError(str(made))
        if not sub_ids:
            self._drop_sub_ids()
        entry = pwd.getpwnam(self.name)
        self.uid, self.gid = entry.pw_uid, entry.pw_gid
        self.runtime = os.path.join(self.folder, "run")
        os.mkdir(self.runtime, 0o700)
        os.chown(self.runtime, self.uid, self.gid)
        self.environment = {"HOME": self.home, "XDG_RUNTIME_DIR": self.runtime, "USER": self.name,
                            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}

    def program(self, name):
        """The program under test, as a copy that the user reaches wherever the repository lies."""
        folder = os.path.join(self.folder, "bin")
        os.makedirs(folder, exist_ok=True)
        copy = os.path.join(folder, name)
        if not os.path.exists(copy):
            shutil.copy2(os.path.join(harness.PROGRAMS, name), copy)
        return copy

    def _drop_sub_ids(self):
        for file, flag in (("/etc/subuid", "--del-subuids"), ("/etc/subgid", "--del-subgids")):
            with open(file) as lines:
                own = [line.strip().split(":") for line in lines if line.startswith(self.name + ":")]
            for _, first, count in own:
                run(["usermod", flag, f"{first}-{int(first) + int(count) - 1}", self.name])

    def sub_ids(self, file="/etc/subuid"):
        """First and count of the user's range."""
        with open(file) as lines:
            for line in lines:
                if line.startswith(self.name + ":"):
                    _, first, count = line.strip().split(":")
                    return int(first), int(count)
        return None

    def command(self, *argv):
        """These words as the user. Where /dev/net/tun is root's alone (udev makes it everybody's), the command sees a
        node of its own in its place."""
        become = ["setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", "--init-groups", "--inh-caps=-all", "env", "-i",
                  *(f"{key}={value}" for key, value in self.environment.items()), *argv]
        if not os.path.exists(TUN) or os.stat(TUN).st_mode & stat.S_IWOTH:
            return become
        node = os.path.join(self.folder, "tun")
        if not os.path.exists(node):
            os.mknod(node, 0o666 | stat.S_IFCHR, os.stat(TUN).st_rdev)
            os.chmod(node, 0o666)
        return ["unshare", "--mount", "sh", "-c", f"mount --bind {node} {TUN} && exec \"$@\"", "sh", *become]

    def processes(self):
        """{pid: name} of everything that runs under the user's id or a subordinate one."""
        first, count = self.sub_ids() or (0, 0)
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                owner = os.stat(f"/proc/{pid}").st_uid
                if owner == self.uid or first <= owner < first + count:
                    with open(f"/proc/{pid}/comm") as comm:
                        found[int(pid)] = comm.read().strip()
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found

    def close(self):
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        eventually(lambda: not self.processes(), f"the processes of {self.name} have gone")
        run(["userdel", self.name])
        shutil.rmtree(self.folder, ignore_errors=True)


class UserEngine(Engine):
    """The engine of a User: started by that user's first command, on the socket that the command finds by itself."""

    def __init__(self, user, flags=()):
        super().__init__("rootless", folder=user.folder)
        self.user = user
        self.data = os.path.join(user.home, ".local/share/berth")
        self.exec = os.path.join(user.runtime, "berth")
        self.socket = os.path.join(self.exec, "berth.sock")
        self.log_path = os.path.join(self.data, "berthd.log")
        self.api = Api(self.socket)
        self.berth = user.program("berth")
        user.program("berthd")
        user.program("berth-keeper")
        self.cli = user.command(self.berth)
        self.env = {}

    def start(self):
        result = run(self.user.command(self.berth, "version"))
        if result.code != 0:
            raise AssertionError(f"{result}\n{self.log()[-3000:]}")
        self.served = True
        return self

    @property
    def pid(self):
        with open(os.path.join(self.exec, "berthd.pid")) as file:
            return int(file.read())

    def load(self, data):
        path = os.path.join(self.folder, "image.tar")
        with open(path, "wb") as archive:
            archive.write(data)
        try:
            return self("load", "-i", path)
        finally:
            os.unlink(path)

    def running(self):
        return "berthd" in self.user.processes().values()

    def kill(self):
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not os.path.exists(f"/proc/{pid}"), "berthd has gone")

    def terminate(self, timeout=30):
        if not self.running():
            return
        pid = self.pid
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: not os.path.exists(f"/proc/{pid}"), "berthd has ended", timeout)

    def close(self):
        if self.served:
            if not self.running():
                self.start()
            self.remove_everything()
            self.terminate()
