"""`exec`: streams, identity, exit codes, terminals, isolation of what is executed."""
import os
import pty
import subprocess
import threading

from harness.engine import IMAGE, EngineCase, eventually
from test_run import read_pty


class Exec(EngineCase):
    def setUp(self):
        super().setUp()
        self.box = self.start("sleep", "600", flags=("-e", "BASE=env", "-w", "/tmp"))

    def test_output_and_exit_code(self):
        result = self.engine("exec", self.box, "sh", "-c", "echo out; echo err >&2; exit 7")
        self.assertEqual((result.code, result.out, result.err), (7, "out\n", "err\n"))

    def test_stdin(self):
        self.assertEqual(self.ok("exec", "-i", self.box, "cat", input="in\n").out, "in\n")
        self.assertEqual(self.ok("exec", self.box, "cat", input="ignored\n").out, "")

    def test_large_binary_streams(self):
        data = os.urandom(2_000_000)
        self.assertEqual(self.ok("exec", "-i", self.box, "cat", input=data, text=False).out, data)

    def test_environment_user_and_folder(self):
        result = self.ok("exec", "-e", "MORE=yes", "-u", "app", "-w", "/home", self.box, "sh", "-c",
                         "echo $BASE $MORE $(id -u):$(id -g) $(pwd)")
        self.assertEqual(result.text, "env yes 1000:1000 /home")

    def test_folder_and_user_of_the_container_by_default(self):
        self.assertEqual(self.ok("exec", self.box, "sh", "-c", "pwd; id -u").lines, ["/tmp", "0"])

    def test_home_follows_the_user(self):
        self.assertEqual(self.ok("exec", "-u", "app", self.box, "sh", "-c", "echo $HOME").text, "/home/app")

    def test_not_found_and_not_executable(self):
        # docker puts the reason on stdout; it must be said, wherever.
        for program, code, says in (("no-such-program", 127, "executable file not found"),
                                    ("/etc/passwd", 126, "permission denied")):
            with self.subTest(program=program):
                result = self.engine("exec", self.box, program)
                self.assertIn(says, (result.out + result.err).lower(), str(result))
                if not self.against_docker:  # 20.10 answers 126 to both
                    self.assertEqual(result.code, code, str(result))

    def test_killed_by_a_signal(self):
        self.assertEqual(self.engine("exec", self.box, "sh", "-c", "kill -9 $$").code, 137)

    def test_unknown_and_stopped_containers(self):
        result = self.engine("exec", "no-such", "true")
        self.assertEqual(result.code, 1)
        self.assertIn("No such container: no-such", result.err)
        self.ok("stop", "-t", "0", self.box)
        result = self.engine("exec", self.box, "true")
        self.assertEqual(result.code, 1)
        self.assertIn("is not running", result.err)

    def test_detached(self):
        self.assertEqual(self.ok("exec", "-d", self.box, "sh", "-c", "echo made > /tmp/flag").out, "")
        eventually(lambda: self.engine("exec", self.box, "cat", "/tmp/flag").text == "made", "the command ran")

    def test_it_is_in_the_containers_namespaces_and_group(self):
        for kind in ("mnt", "pid", "net", "uts", "ipc", "cgroup"):
            with self.subTest(kind=kind):
                inside = self.ok("exec", self.box, "sh", "-c", f"readlink /proc/1/ns/{kind}; readlink /proc/self/ns/{kind}").lines
                self.assertEqual(inside[0], inside[1])
        groups = self.ok("exec", self.box, "sh", "-c", "cat /proc/1/cgroup; echo; cat /proc/self/cgroup").out.split("\n\n")
        self.assertEqual(groups[0].strip(), groups[1].strip())

    def test_capabilities_and_filter_are_the_containers(self):
        status = self.ok("exec", self.box, "cat", "/proc/self/status").out
        self.assertIn("CapEff:\t00000000a80425fb", status)
        self.assertIn("CapInh:\t0000000000000000", status)
        self.assertIn("Seccomp:\t2", status)

    def test_privileged(self):
        self.only_berth("runc fails where the machine itself withholds a capability")
        self.assertIn("CapInh:\t0000000000000000", self.ok("exec", "--privileged", self.box, "cat", "/proc/self/status").out)
        self.assertNotIn("CapEff:\t00000000a80425fb", self.ok("exec", "--privileged", self.box, "cat", "/proc/self/status").out)

    def test_no_foreign_descriptors(self):
        self.assertEqual(self.ok("exec", self.box, "ls", "/proc/self/fd").lines, ["0", "1", "2", "3"])

    def test_a_folder_by_descriptor_is_refused(self):
        for number in (3, 7, 10):
            with self.subTest(number=number):
                result = self.engine("exec", "-w", f"/proc/self/fd/{number}", self.box, "pwd")
                self.assertNotEqual(result.code, 0, str(result))

    def test_on_a_terminal(self):
        master, slave = pty.openpty()
        client = subprocess.Popen([*self.engine.cli, "exec", "-it", self.box, "sh"], stdin=slave, stdout=slave, stderr=slave,
                                  start_new_session=True)
        os.close(slave)
        try:
            read_pty(master, b"# ")
            os.write(master, b"tty && echo $((3*7))\n")
            shown = read_pty(master, b"\r\n21\r\n")
            self.assertIn(b"/dev/pts/", shown)
            os.write(master, b"exit 3\n")
            self.assertEqual(client.wait(20), 3)
        finally:
            client.kill()
            client.wait()
            os.close(master)

    def test_many_at_once(self):
        results = [None] * 16

        def one(index):
            results[index] = self.engine("exec", self.box, "sh", "-c", f"echo {index}; exit {index}")

        threads = [threading.Thread(target=one, args=(index,)) for index in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([(result.code, result.text) for result in results], [(index, str(index)) for index in range(16)])

    def test_what_it_leaves_behind_ends_with_the_container(self):
        self.ok("exec", "-d", self.box, "sleep", "98765")
        self.ok("rm", "-f", self.box)

        def gone():
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as line:
                        if b"98765" in line.read().split(b"\0"):
                            return False
                except OSError:
                    continue
            return True

        eventually(gone, "the sleeping process has ended")

    def test_output_after_the_command_ended_is_complete(self):
        for _ in range(5):
            self.assertEqual(len(self.ok("exec", self.box, "seq", "20000").lines), 20000)


class HangUp(EngineCase):
    """A terminal goes with whoever was at it, when that was asked for."""

    def setUp(self):
        super().setUp()
        self.only_berth("what it executes outlives its client")
        self.box = self.start("sleep", "600")

    def terminal(self, *command, **start):
        made = self.engine.api.post(f"/containers/{self.box}/exec", {"Cmd": list(command), "Tty": True, "AttachStdin": True,
                                                                     "AttachStdout": True, "AttachStderr": True})
        self.assertEqual(made.status, 201, str(made))
        self.identifier = made.json()["Id"]
        return self.engine.api.hijack(f"/exec/{self.identifier}/start", {"Tty": True, **start})

    def alone(self):
        return len(self.ok("top", self.box).lines) == 2

    def exec_code(self):
        seen = self.engine.api.get(f"/exec/{self.identifier}/json").json()
        return None if seen["Running"] else seen["ExitCode"]

    def test_at_any_moment(self):
        """At a prompt, in the midst of a command, before the shell has said anything."""
        for command, until in ((b"echo $((6*7))\n", b"42"), (b"sleep 500\n", b"sleep 500\r\n"), (b"", None),
                               (b"trap : INT; cat\n", b"cat\r\n"), (b"exec 2>/dev/null; while :; do echo busy; done\n", b"busy")):
            with self.subTest(command):
                stream = self.terminal("sh", HangUp=True)
                if command:
                    stream.send(command)
                    stream.read_until(until)
                stream.close()
                eventually(lambda: self.exec_code() is not None, "the shell has ended")
                eventually(self.alone, lambda: f"everything has ended: {self.ok('top', self.box).out}")

    def test_before_anything_has_begun(self):
        """The client may have gone before the keeper knows that there will be a terminal."""
        for _ in range(12):
            self.terminal("sh", HangUp=True).close()
            eventually(lambda: self.exec_code() is not None, "the shell has ended")
        eventually(self.alone, "everything has ended")

    def test_the_end_of_input_is_one(self):
        with self.terminal("sh", HangUp=True) as stream:
            stream.read_until(b"# ")
            stream.half_close()
            eventually(self.alone, "the shell has ended")

    def test_who_ignores_it_reads_the_end(self):
        with self.terminal("sh", "-c", "trap '' HUP; echo ready; cat; echo over >/tmp/end", HangUp=True) as stream:
            stream.read_until(b"ready")
        eventually(self.alone, "it has ended")
        self.assertEqual(self.ok("exec", self.box, "cat", "/tmp/end").text, "over")

    def test_detaching_is_none(self):
        with self.terminal("sh", "-c", "echo ready; exec sleep 300", HangUp=True) as stream:
            stream.read_until(b"ready")
            stream.send(b"\x10\x11")
            stream.read_rest()
        self.assertIsNone(self.exec_code())
        self.assertFalse(self.alone())

    def test_only_when_asked_for(self):
        """As with docker."""
        with self.terminal("sh", "-c", "echo ready; exec sleep 300") as stream:
            stream.read_until(b"ready")
        self.ok("exec", self.box, "true")
        self.assertIsNone(self.exec_code())
        self.assertFalse(self.alone())

    def test_the_command_asks_for_it(self):
        """A window that is closed, and a client that is killed."""
        self.only_our_command("it leaves the shell behind")
        for kill in (False, True):
            with self.subTest(killed=kill):
                master, slave = pty.openpty()
                client = subprocess.Popen([*self.engine.cli, "exec", "-it", self.box, "sh"], stdin=slave, stdout=slave, stderr=slave,
                                          start_new_session=True)
                os.close(slave)
                try:
                    read_pty(master, b"# ")
                    if kill:
                        client.kill()
                finally:
                    os.close(master)
                    if not kill:
                        client.terminate()
                    client.wait(20)
                eventually(self.alone, "the shell has ended")
