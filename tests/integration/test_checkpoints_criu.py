"""The engine's checkpoints with a real criu, where one works with the kernel (BERTH_CRIU names it)."""
import os
import signal

from harness.criu import criu, with_criu
from harness.engine import IMAGE, Lines, eventually
from test_checkpoints import CheckpointCase

COUNT = "i=0; while :; do i=$((i + 1)); echo $i; sleep 0.1; done"


@with_criu
class WithCriu(CheckpointCase):
    program = criu()[0]

    def counter(self, *flags, script=COUNT):
        name = self.start("sh", "-c", script, flags=flags)
        self.last_number(name)
        return name

    def checkpoint(self, name, checkpoint="one", *flags):
        result = self.engine("checkpoint", "create", *flags, name, checkpoint)
        self.assertEqual(result.code, 0, f"{result} {self.criu_errors(name)}")

    def restore(self, name, checkpoint="one", *flags):
        result = self.engine("start", "--checkpoint", checkpoint, *flags, name)
        self.assertEqual(result.code, 0, f"{result} {self.criu_errors(name)}")
        self.assertEqual(self.state(name)["Status"], "running")

    def criu_errors(self, name):
        said = ""
        for log in ("dump.log", "restore.log"):
            path = os.path.join(self.engine.data, "containers", self.engine.inspect(name)["Id"], "criu", log)
            if os.path.exists(path):
                with open(path, errors="replace") as file:
                    said += "".join(line for line in file if "Error" in line or "Warn" in line)
        return said

    def counts_on(self, name, beyond):
        eventually(lambda: self.last_number(name) > beyond + 3, "it counts on")

    def numbers(self, name):
        return [int(line) for line in self.ok("logs", name).lines]

    def test_goes_on(self):
        """In the same log, with the same address, under the same limits, and as usable as before."""
        data = self.folder()
        network = self.name("n")
        self.ok("network", "create", network)
        self.addCleanup(self.engine, "network", "rm", network)
        self.addCleanup(self.engine, "rm", "-f", *self.made)
        other = self.start("sleep", "600", flags=["--network", network])
        name = self.counter("--network", network, "-v", f"{data}:/data", "-v", "/volume", "--tmpfs", "/scratch", "-m", "64m", "--restart", "always",
                            "--cap-drop", "ALL", "--cap-add", "CHOWN")
        self.ok("exec", name, "sh", "-c", "echo kept > /scratch/file; echo file > /data/file; echo v > /volume/file")
        address = self.ok("exec", name, "ip", "-4", "-o", "addr", "show", "eth0").text.split()[3]
        status = self.ok("exec", name, "grep", "-E", "^(Cap|Seccomp:|NoNewPrivs|Uid|Gid)", "/proc/1/status").text
        for turn in range(2):
            self.checkpoint(name, f"turn{turn}")
            state = self.state(name)
            self.assertEqual((state["Status"], state["ExitCode"]), ("exited", 137))
            last = self.last_number(name)
            self.ok("rm", "-f", other)  # the first free address is not the one that it had
            self.restore(name, f"turn{turn}")
            self.counts_on(name, last)
            self.assertEqual(self.ok("exec", name, "cat", "/scratch/file", "/data/file", "/volume/file").lines,
                             ["kept", "file", "v"])
            self.assertEqual(self.ok("exec", name, "ip", "-4", "-o", "addr", "show", "eth0").text.split()[3], address)
            self.assertEqual(self.ok("exec", name, "grep", "-E", "^(Cap|Seccomp:|NoNewPrivs|Uid|Gid)", "/proc/1/status").text,
                             status)
        numbers = self.numbers(name)
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        self.assertEqual(self.engine.api.get(f"/containers/{name}/stats?stream=0&one-shot=1").json()["memory_stats"]["limit"],
                         64 << 20)
        pid = self.state(name)["Pid"]
        os.kill(pid, signal.SIGKILL)
        self.runs_anew(name, pid)
        self.ok("stop", "-t", "0", name)
        self.assertEqual(self.state(name)["Status"], "exited")

    def test_leaves_it_running(self):
        name = self.counter()
        pid = self.state(name)["Pid"]
        self.checkpoint(name, "one", "--leave-running")
        last = self.last_number(name)
        self.counts_on(name, last)
        self.assertEqual((self.state(name)["Status"], self.state(name)["Pid"]), ("running", pid))
        self.assertEqual(self.ok("exec", name, "echo", "here").text, "here")
        self.ok("kill", name)
        end = len(self.numbers(name))
        self.restore(name)
        # It counts from where the checkpoint was made.
        eventually(lambda: len(self.numbers(name)) > end + 3, "it counts on")
        again = self.numbers(name)[end:]
        self.assertLessEqual(again[0], end + 1)
        self.assertEqual(again, list(range(again[0], again[0] + len(again))))

    def test_survives_berthd(self):
        name = self.counter()
        self.checkpoint(name)
        self.restore(name)
        pid, last = self.state(name)["Pid"], self.last_number(name)
        self.engine.kill()
        self.engine.start()
        self.assertEqual((self.state(name)["Status"], self.state(name)["Pid"]), ("running", pid))
        self.counts_on(name, last)
        self.checkpoint(name, "two")
        last = self.last_number(name)
        self.restore(name, "two")
        self.counts_on(name, last)

    def attached(self, name):
        """An attached connection: what it is sent goes to the container's stdin."""
        return self.engine.api.hijack(f"/containers/{name}/attach?stream=1&stdin=1&stdout=1")

    def test_stdin(self):
        script = "while read word; do echo \"got $word\"; done"
        name = self.start("sh", "-c", script, flags=["-i"])
        self.checkpoint(name)
        self.restore(name)
        with self.engine.popen("attach", name, stdin=-1) as attached:
            attached.stdin.write(b"hello\n")
            attached.stdin.flush()
            self.assertEqual(Lines(attached.stdout).next(), "got hello")

    def test_terminal(self):
        name = self.start("sh", "-c", "stty -echo; while read word; do echo \"got $word\"; stty size; done", flags=["-it"])
        eventually(lambda: "-echo" in self.ok("exec", name, "sh", "-c", "stty -a < /dev/console").text, "its terminal is set")
        self.checkpoint(name)
        self.restore(name)
        self.assertEqual(self.engine.api.post(f"/containers/{name}/resize?h=33&w=77").status, 200)
        connection = self.attached(name)
        self.addCleanup(connection.raw.close)
        connection.send(b"hello\n")
        self.assertIn(b"got hello", connection.read_until(b"33 77"))

    def test_health_and_a_root_that_is_read_only(self):
        name = self.counter("--read-only", "--health-cmd", "true", "--health-interval", "1s")
        eventually(lambda: self.state(name)["Health"]["Status"] == "healthy", "it is healthy")
        self.checkpoint(name)
        last = self.last_number(name)
        self.restore(name)
        eventually(lambda: self.state(name)["Health"]["Status"] == "healthy", "it is healthy again")
        self.counts_on(name, last)

    def test_networks(self):
        network = self.name("n")
        self.ok("network", "create", network)
        self.addCleanup(self.engine, "network", "rm", network)
        self.addCleanup(self.engine, "rm", "-f", *self.made)
        server = self.start("sh", "-c", "mkdir /www; echo page > /www/index.html; exec httpd -f -h /www",
                            flags=["--network", network, "-p", "127.0.0.1::80"])
        client = self.start("sleep", "600", flags=["--network", network])
        asks = ("exec", client, "wget", "-q", "-O", "-", f"http://{server}/")
        eventually(lambda: self.engine(*asks).out == "page\n", "it serves")
        self.checkpoint(server)
        self.assertNotEqual(self.engine(*asks).code, 0)
        self.restore(server)
        self.assertEqual(self.ok(*asks).out, "page\n")
        self.assertIn("127.0.0.1:", self.ok("port", server, "80").text)
        self.ok("exec", server, "wget", "-q", "-O", "/dev/null", "http://127.0.0.1/")

    def test_host_network(self):
        name = self.counter("--network", "host")
        self.checkpoint(name)
        last = self.last_number(name)
        self.restore(name)
        self.counts_on(name, last)

    def test_in_another_container(self):
        name, folder = self.counter(), self.folder()
        self.checkpoint(name, "one", "--checkpoint-dir", folder)
        last = self.last_number(name)
        other = self.name()
        self.ok("create", "--name", other, IMAGE, "sh", "-c", COUNT)
        below = os.path.join(folder, self.engine.inspect(name)["Id"], "checkpoints")
        self.restore(other, "one", "--checkpoint-dir", below)
        self.assertGreaterEqual(self.last_number(other), last)
        self.counts_on(other, last)

    def test_images_that_are_damaged(self):
        name = self.counter()
        self.checkpoint(name)
        identifier = self.engine.inspect(name)["Id"]
        folder = os.path.join(self.engine.data, "containers", identifier, "checkpoints", "one")
        with open(os.path.join(folder, "pstree.img"), "r+b") as file:
            file.truncate(20)
        answer = self.engine.api.post(f"/containers/{name}/start?checkpoint=one")
        self.assertEqual(answer.status, 500, str(answer))
        self.assertIn("criu could not restore", answer.message)
        self.assertEqual(self.state(name)["Status"], "exited")
        eventually(lambda: not self.left_of(identifier), "nothing is left")
        self.ok("start", name)

    def test_what_criu_cannot_dump(self):
        """A connection to elsewhere: docker does not dump those either. The container runs on."""
        name = self.start("sh", "-c", "nc -l -p 7000 -e sleep 600 & until grep -q :1B58 /proc/net/tcp*; do sleep 0.1; done; "
                          f"sleep 600 | nc 127.0.0.1 7000 & {COUNT}")
        eventually(lambda: "ESTABLISHED" in self.ok("exec", name, "netstat", "-tn").text, "it is connected")
        pid = self.state(name)["Pid"]
        answer = self.post(name, CheckpointID="one", Exit=True)
        self.assertEqual(answer.status, 500, str(answer))
        self.assertIn("criu could not dump", answer.message)
        self.assertEqual((self.state(name)["Status"], self.state(name)["Pid"]), ("running", pid))
        self.counts_on(name, self.last_number(name))
        self.assertEqual(self.listed(name), [])
