"""berth-runtime's checkpoint and restore with a real criu, where one works with the kernel (BERTH_CRIU names it)."""
import os
import socket
import subprocess

from harness.criu import criu, with_criu
from harness.engine import eventually
from test_runtime import RUNTIME
from test_runtime_checkpoint import CheckpointCase

COUNT = "i=0; while :; do i=$((i + 1)); echo $i; sleep 0.1; done"


@with_criu
class WithCriu(CheckpointCase):
    """Real dumps."""

    def setUp(self):
        super().setUp()
        self.program, _ = criu()

    def pipes(self, folder, name, verb, *flags):
        """Runs a verb whose container writes into a pipe: that pipe's other end."""
        read, write = os.pipe()
        done = subprocess.run([RUNTIME, "--root", self.root, "--criu", self.program, verb, "--detach", "--bundle", folder, *flags,
                               name], stdin=subprocess.DEVNULL, stdout=write, stderr=write, timeout=60)
        os.close(write)
        self.assertEqual(done.returncode, 0, self.criu_logs())
        return os.fdopen(read, errors="replace")

    @staticmethod
    def lines(stream, count):
        return [stream.readline().strip() for _ in range(count)]

    def test_counts_on_in_another_pipe(self):
        folder, name = self.bundle("sh", "-c", COUNT), self.name()
        with self.pipes(folder, name, "run") as stream:
            self.assertEqual(self.lines(stream, 3), ["1", "2", "3"])
            self.succeeds(self.checkpoint(name))
            rest = [int(line) for line in stream.read().split()]
        last = rest[-1] if rest else 3
        for _ in range(2):
            with self.pipes(folder, name, "restore", "--image-path", self.images) as stream:
                self.assertEqual(self.lines(stream, 3), [str(last + 1), str(last + 2), str(last + 3)])
                self.assertEqual(self.ok("exec", name, "cat", "/proc/1/comm").text, "sh")
                self.succeeds(self.checkpoint(name))
                rest = [int(line) for line in stream.read().split()]
            last = rest[-1] if rest else last + 3

    def what_confines(self, name):
        """Of the first process and its mounts, without what is a number of the kernel's."""
        status = self.ok("exec", name, "grep", "-E", "^(Cap|Seccomp:|NoNewPrivs|Uid|Gid|Groups)", "/proc/1/status").lines
        mounts = {}
        for line in self.ok("exec", name, "cat", "/proc/1/mountinfo").lines:
            words = line.split()
            at = words.index("-")
            peers = [word.split(":")[0] for word in words[6:at]]
            mounts[words[4]] = (words[3], sorted(words[5].split(",")), peers, words[at + 1])
        return status, mounts

    def test_the_sandbox_is_the_same(self):
        data = os.path.join(self.folder, "data")
        os.makedirs(os.path.join(data, "below"))

        def change(config):
            config["process"].update(noNewPrivileges=True)
            config["linux"]["resources"] = {"pids": {"limit": 7}, "memory": {"limit": 64 << 20}}
            config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}
            config["mounts"] += [{"destination": "/data", "source": data, "type": "bind", "options": ["rbind", "ro", "nosuid"]},
                                 {"destination": "/scratch", "source": "tmpfs", "type": "tmpfs", "options": ["size=1m"]},
                                 {"destination": "/scratch/inner", "source": data, "type": "bind", "options": ["bind"]}]
        name, folder = self.started("sh", "-c", "echo kept > /scratch/file 2>/dev/null; while :; do sleep 1; done", change=change)
        before = self.what_confines(name)
        self.succeeds(self.checkpoint(name))
        self.succeeds(self.restore(name, folder))
        after = self.what_confines(name)
        self.assertEqual(before[0], after[0])
        self.assertEqual(before[1], after[1])
        pid = self.state(name)["pid"]
        with open(f"/proc/{pid}/cgroup") as file:
            self.assertTrue(all(line.strip().endswith(name) for line in file if "/berth-runtime/" in line))
        self.assertIn("7", self.ok("exec", name, "sh", "-c", "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; "
                                   "true").text.split())
        self.assertNotEqual(self.call("exec", name, "touch", "/data/file").code, 0)
        self.ok("kill", name, "KILL")
        eventually(lambda: self.status(name) == "stopped", "it is stopped")

    def test_memory_and_files_are_kept(self):
        def change(config):
            config["root"]["readonly"] = False
        name, folder = self.started("sh", "-c", "exec 5> /tmp/open; x=secret; echo first >&5; while ! [ -e /tmp/go ]; do sleep 0.1; "
                                    "done; echo $x >&5; sleep 600", change=change)
        kept = os.path.join(self.rootfs, "tmp", "open")
        eventually(lambda: os.path.exists(kept) and os.path.getsize(kept) == 6, "it has written")
        self.ok("pause", name)
        self.succeeds(self.checkpoint(name, "--leave-running"))
        self.assertEqual(self.status(name), "paused")
        self.ok("resume", name)
        self.succeeds(self.checkpoint(name))
        self.fails((self.call("state", name).code, ""))
        self.succeeds(self.restore(name, folder))
        with open(os.path.join(self.rootfs, "tmp", "go"), "w"):
            pass

        def whole():
            with open(kept) as file:
                return file.read() == "first\nsecret\n"
        eventually(whole, "it goes on with what it knew")

    def test_terminal(self):
        def change(config):
            config["process"]["terminal"] = True
        console = os.path.join(self.folder, "console")
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        server.bind(console)
        server.listen()

        def master():
            connection, _ = server.accept()
            with connection:
                _, fds, _, _ = socket.recv_fds(connection, 100, 1)
            return fds[0]
        folder, name = self.bundle("sh", "-c", "while read word; do echo got $word; done", change=change), self.name()
        self.ok_detached("create", "--bundle", folder, "--console-socket", console, name)
        first = master()
        self.ok("start", name)
        os.write(first, b"one\n")
        said = b""
        while b"got one" not in said:
            said += os.read(first, 100)
        self.succeeds(self.checkpoint(name))
        os.close(first)
        self.fails(self.restore(name, folder), "--console-socket")
        self.succeeds(self.restore(name, folder, "--console-socket", console))
        second = master()
        os.write(second, b"two\n")
        said = b""
        while b"got two" not in said:
            said += os.read(second, 100)
        os.close(second)

    def test_network_namespace_by_path(self):
        holder = subprocess.Popen(["unshare", "--net", "sleep", "600"])
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        path = f"/proc/{holder.pid}/ns/net"
        own = os.readlink("/proc/self/ns/net")
        eventually(lambda: os.readlink(path) != own, "the namespace is there")

        def change(config):
            config["linux"]["namespaces"] = [{**each, **({"path": path} if each["type"] == "network" else {})}
                                             for each in config["linux"]["namespaces"]]
        name, folder = self.started("sleep", "600", change=change)
        self.succeeds(self.checkpoint(name))
        self.succeeds(self.restore(name, folder))
        self.assertEqual(os.readlink(f"/proc/{self.state(name)['pid']}/ns/net"), os.readlink(path))

    def test_user_namespace(self):
        """Where nodes of /dev are bound, and masks are of one of them."""
        mappings = [{"containerID": 0, "hostID": 0, "size": 1}, {"containerID": 1, "hostID": 200001, "size": 1000}]

        def change(config):
            config["linux"]["namespaces"].append({"type": "user"})
            config["linux"].update(uidMappings=mappings, gidMappings=mappings)
        name, folder = self.started("sh", "-c", "while :; do sleep 1; done", change=change)
        self.succeeds(self.checkpoint(name))
        self.succeeds(self.restore(name, folder))
        maps = self.ok("exec", name, "cat", "/proc/1/uid_map").text.split()
        self.assertEqual(maps, ["0", "0", "1", "1", "200001", "1000"])
        self.assertEqual(self.ok("exec", name, "sh", "-c", "echo x > /dev/null; cat /proc/keys").text, "")

    def test_hosts_with_the_unified_hierarchy_alone(self):
        """As a mount namespace that has no other shows it."""
        def change(config):
            config["linux"]["namespaces"].append({"type": "cgroup"})
            config["linux"]["resources"] = {}
        within = ["unshare", "--mount", "sh", "-c", "umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"",
                  "sh", RUNTIME, "--root", self.root, "--criu", self.program]
        folder, name = self.bundle("sleep", "600", change=change), self.name()

        def done(*words):
            log = os.path.join(self.folder, "log")
            with open(log, "w") as file:
                code = subprocess.run([*within, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file,
                                      timeout=60).returncode
            with open(log) as file:
                self.assertEqual(code, 0, file.read() + self.criu_logs())
        done("run", "--detach", "--bundle", folder, name)
        done("checkpoint", "--image-path", self.images, name)
        done("restore", "--detach", "--bundle", folder, "--image-path", self.images, name)
        with open(f"/proc/{self.state(name)['pid']}/cgroup") as file:
            self.assertIn(f"0::/berth-runtime/{name}\n", file.read())
        done("delete", "--force", name)

    def test_connections(self):
        """Of two processes of the container, with its loopback."""
        kept = os.path.join(self.rootfs, "tmp", "heard")

        def change(config):
            config["root"]["readonly"] = False
        name, folder = self.started("sh", "-c", "sleep 1000 | busybox nc -l -p 5000 > /tmp/heard & "
                                    "while :; do while :; do echo x; sleep 0.1; done | busybox nc 127.0.0.1 5000; sleep 0.1; done", change=change)

        def heard():
            return os.path.getsize(kept) if os.path.exists(kept) else 0
        eventually(lambda: heard() >= 4, "something is heard", 60)
        self.fails(self.checkpoint(name), "--tcp-established")
        self.assertEqual(self.status(name), "running")
        self.succeeds(self.checkpoint(name, "--tcp-established", "--network-lock", "skip"))
        before = heard()
        self.succeeds(self.restore(name, folder, "--tcp-established"))
        eventually(lambda: heard() >= before + 6, "the connection goes on", 60)

    def test_foreground(self):
        """The caller gets the exit code of what was restored, and its hooks are run."""
        marker = os.path.join(self.folder, "stopped")

        def change(config):
            config["root"]["readonly"] = False
            config["hooks"] = {"poststop": [{"path": "/bin/touch", "args": ["touch", marker]}]}
        name, folder = self.started("sh", "-c", "trap 'exit 7' TERM; touch /tmp/ready; while :; do sleep 0.1; done", change=change)
        eventually(lambda: os.path.exists(os.path.join(self.rootfs, "tmp", "ready")), "it is ready for signals")
        self.succeeds(self.checkpoint(name))
        os.unlink(marker)
        process = subprocess.Popen([RUNTIME, "--root", self.root, "--criu", self.program, "restore", "--bundle", folder,
                                    "--image-path", self.images, name], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        eventually(lambda: self.call("state", name).code == 0 and self.status(name) == "running" and
                   self.call("exec", name, "true").code == 0, "it runs", 60)
        self.ok("kill", name, "TERM")
        self.assertEqual(process.wait(60), 7)
        self.assertTrue(os.path.exists(marker))
        self.fails((self.call("state", name).code, ""))

    def test_real_failures(self):
        """A file beyond the container cannot be dumped; images that are none cannot be restored."""
        name, folder = self.started("sh", "-c", "exec 7</proc/self/ns/mnt; sleep 600")
        self.succeeds(self.checkpoint(name, "--leave-running"))
        for each in os.listdir(self.images):
            if each.startswith("core-"):
                with open(os.path.join(self.images, each), "wb") as file:
                    file.write(b"not an image")
        other = self.name()
        self.fails(self.restore(other, folder), "criu could not restore")
        self.assertNotIn(other, os.listdir(self.root))
        self.assertEqual(self.status(name), "running")
