"""What users get wrong: one clear line that names the thing, the cause and the way out, the right exit status,
and nothing half-done."""
import os
import socket
import subprocess

from harness import host
from harness.archives import docker_archive, entry, tar
from harness.engine import IMAGE, PROGRAMS, EngineCase, eventually, run


class CommandLine(EngineCase):
    def test_unknown_command(self):
        result = self.engine("frobnicate")
        self.assertNotEqual(result.code, 0)
        self.assertIn("frobnicate", result.err + result.out)

    def test_unknown_flags(self):
        for code, arguments in ((125, ("run", "--no-such-flag", IMAGE)), (125, ("ps", "--no-such-flag")),
                                (125, ("build", "--no-such-flag", ".")), (125, ("--no-such-flag", "ps"))):
            with self.subTest(arguments=arguments):
                result = self.engine(*arguments)
                self.assertEqual(result.code, code, str(result))
                self.assertIn("unknown flag: --no-such-flag", result.err)
                self.assertIn("--help", result.err)

    def test_missing_arguments(self):
        for verb in ("run", "exec", "stop", "rm", "logs", "inspect", "cp", "tag", "rename", "kill", "wait", "port", "rmi"):
            with self.subTest(verb=verb):
                result = self.engine(verb)
                self.assertNotEqual(result.code, 0)
                self.assertIn("requires", result.err)
                self.assertLess(len(result.err.splitlines()), 10)

    def test_values_of_the_wrong_kind(self):
        for flag, value in (("--memory", "lots"), ("--cpus", "many"), ("--pids-limit", "x"), ("--restart", "maybe"),
                            ("--health-interval", "often"), ("--shm-size", "big"), ("--ulimit", "x"), ("--mount", "type=odd,target=/x"),
                            ("--mount", "nonsense"), ("-v", "data:b"), ("--tmpfs", "relative"), ("--device", "/no/device"),
                            ("--env-file", "/no/such/file"), ("--security-opt", "nonsense"), ("--add-host", "nonsense"),
                            ("--label-file", "/no/such/file"), ("--sysctl", "nonsense"), ("--stop-signal", "NOSIG"),
                            ("--pull", "sometimes"), ("--cpuset-cpus", "a-b"), ("--ip", "1.2.3")):
            with self.subTest(flag=flag, value=value):
                before = set(self.ok("ps", "-aq").lines)
                result = self.engine("run", "--rm", flag, value, IMAGE, "true")
                if self.against_docker and value == "a:b":
                    continue  # 20.10 takes a relative target
                self.assertIn(result.code, (125, 127) if flag == "--device" else (125,), str(result))
                self.assertTrue(result.err.strip())
                self.assertEqual(set(self.ok("ps", "-aq").lines), before)

    def test_unknown_image(self):
        result = self.engine("run", "--rm", "no-such-image:1", "true")
        self.assertEqual(result.code, 125)
        self.assertIn("no-such-image:1", result.err)

    def test_unknown_image_without_pulling(self):
        result = self.engine("run", "--rm", "--pull", "never", "no-such-image:1", "true")
        self.assertEqual(result.code, 125)
        self.assertIn("No such image: no-such-image:1", result.err)

    def test_unknown_containers(self):
        for arguments in (("start", "nope"), ("stop", "nope"), ("restart", "nope"), ("kill", "nope"), ("rm", "nope"),
                          ("pause", "nope"), ("unpause", "nope"), ("wait", "nope"), ("logs", "nope"), ("top", "nope"),
                          ("port", "nope"), ("rename", "nope", "x"), ("attach", "nope"), ("exec", "nope", "true"),
                          ("diff", "nope"), ("export", "nope"), ("commit", "nope"), ("update", "--cpus", "1", "nope")):
            with self.subTest(arguments=arguments):
                result = self.engine(*arguments)
                self.assertEqual(result.code, 1, str(result))
                self.assertIn("no such container: nope", result.err.lower())

    def test_a_name_that_is_taken(self):
        name = self.start("sleep", "60")
        result = self.engine("run", "--name", name, IMAGE, "true")
        self.assertEqual(result.code, 125)
        self.assertIn(f'The container name "/{name}" is already in use by container', result.err)

    def test_names_that_are_no_names(self):
        for name in ("with space", "-dash", "a/b", "", "ü", "a" * 300 + "/"):
            with self.subTest(name=name):
                result = self.engine("create", "--name", name, IMAGE, "true")
                if name == "":
                    self.made.append(result.text)
                    continue
                self.assertEqual(result.code, 1, str(result))

    def test_ambiguous_ids(self):
        for _ in range(20):
            self.start("true")
        identifiers = self.ok("ps", "-aq", "--no-trunc").lines
        first = [identifier[0] for identifier in identifiers]
        prefix = max(set(first), key=first.count)
        result = self.engine("inspect", prefix)
        self.assertEqual(result.code, 1)

    def test_no_command(self):
        self.engine.load(docker_archive("empty:1", [tar([entry("x")])]))
        self.addCleanup(self.engine, "rmi", "-f", "empty:1")
        result = self.engine("run", "--rm", "empty:1")
        self.assertEqual(result.code, 125)
        self.assertIn("command", result.err.lower())

    def test_help_is_there_for_all(self):
        for arguments in ((), ("run",), ("build",), ("container",), ("image", "ls"), ("system", "prune")):
            with self.subTest(arguments=arguments):
                result = self.ok(*arguments, "--help")
                self.assertIn("Usage:", result.out)

    def test_output_to_a_closed_pipe(self):
        name = self.start("sh", "-c", "seq 100000")
        self.ok("wait", name)
        with self.engine.popen("logs", name) as client:
            client.stdout.readline()
            client.stdout.close()
            self.assertNotEqual(client.wait(20), None)
        self.assertEqual(self.engine.api.get("/_ping").status, 200)


class Surroundings(EngineCase):
    def test_no_engine_at_that_socket(self):
        path = os.path.join(self.folder(), "none.sock")
        result = run([*self.engine.cli[:1], "-H", f"unix://{path}", "ps"])
        if result.code == 0:
            self.fail("something answered: " + str(result))
        self.assertIn(path, result.err)

    def test_a_socket_where_something_else_answers(self):
        path = os.path.join(self.folder(), "odd.sock")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            client = subprocess.Popen([*self.engine.cli[:1], "-H", f"unix://{path}", "ps"], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            with client:
                listener.settimeout(20)
                for _ in range(4):
                    try:
                        peer, _ = listener.accept()
                    except OSError:
                        break
                    peer.recv(1000)
                    peer.sendall(b"this is not HTTP\r\n\r\n")
                    peer.close()
                    listener.settimeout(1)
                self.assertNotEqual(client.wait(20), 0)
                self.assertTrue(client.stderr.read().strip())

    def test_an_ordinary_user_cannot_have_roots_folders(self):
        """Without root there is an engine too (test_rootless), but not there."""
        self.only_berth("its daemon tells it itself")
        result = run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", os.path.join(PROGRAMS, "berthd"),
                      "--data-root", "/var/lib/berth-no-root", "--exec-root", "/run/berth-no-root"], timeout=20)
        self.assertNotEqual(result.code, 0)
        self.assertIn("/run/berth-no-root: permission denied", result.err.lower(), str(result))
        self.assertLess(len(result.err.splitlines()), 4)

    def test_the_socket_is_refused_to_others(self):
        result = run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *self.engine.cli, "ps"])
        self.assertNotEqual(result.code, 0)
        self.assertIn("permission denied", result.err.lower())

    def test_bad_flags_of_the_daemon(self):
        self.only_berth("its words differ")
        for arguments, says in ((("--no-such",), "--no-such"), (("-H", "ftp://x"), "ftp"),
                                (("--data-root", "/proc/no/such"), "/proc/no/such")):
            with self.subTest(arguments=arguments):
                result = run([os.path.join(PROGRAMS, "berthd"), *arguments], timeout=20)
                self.assertNotEqual(result.code, 0)
                self.assertIn(says, result.err)


class NothingLeft(EngineCase):
    """Failures on the way to a running container must not leave parts of one."""

    def test_after_failed_starts(self):
        self.only_berth("the host's state of berth is compared")
        self.run_sh("true")
        eventually(lambda: not self.ok("ps", "-q").lines, "nothing runs")
        before = host.Snapshot()
        for flags in (("-v", "/no-such-file-here:/x:badmode"), ("--network", "nope"), ("--device", "/dev/nope"),
                      ("-w", "/proc/self/fd/9"), ("-u", "nobody-here"), ("--cpuset-cpus", "4095"), ("--sysctl", "kernel.panic=1"),
                      ("--mount", "type=bind,source=/nope,target=/x"), ("--memory", "1")):
            self.engine("run", "--rm", *flags, IMAGE, "true")
        self.engine("run", "--rm", "-p", "80", IMAGE, "no-such-program")
        eventually(lambda: not host.Snapshot().left_since(before), lambda: f"left on the host: {host.Snapshot().left_since(before)}")
        self.assertEqual(self.ok("ps", "-aq").out, "")

    def test_many_containers_come_and_go(self):
        self.only_berth("the host's state of berth is compared")
        self.run_sh("true")
        eventually(lambda: not self.ok("ps", "-q").lines, "nothing runs")
        before, descriptors = host.Snapshot(), host.settled_descriptors(self.engine.pid)
        for _ in range(40):
            self.run_sh("true", "-p", "80", "-v", "/anonymous", "--tmpfs", "/t", "-m", "32m")
        eventually(lambda: not host.Snapshot().left_since(before), lambda: f"left on the host: {host.Snapshot().left_since(before)}")
        eventually(lambda: host.descriptors(self.engine.pid) <= descriptors + 2, "the engine holds no more descriptors")
