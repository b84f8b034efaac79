"""A private engine for a test: its own data, sockets and, at the end, nothing left.

BERTH_PROGRAMS names the folder of the programs under test (default build/release/bin). BERTH_CLIENT=docker drives
berthd with the docker command instead of berth: that is how compatibility is tested. BERTH_AGAINST=docker runs the
same tests against dockerd and the docker command: that is how the tests themselves are tested.
"""
import http.client
import json
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from . import archives
from .api import Api

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = os.environ.get("BERTH_PROGRAMS", os.path.join(TOP, "build", "release", "bin"))
AGAINST = os.environ.get("BERTH_AGAINST", "berth")
CLIENT = os.environ.get("BERTH_CLIENT", AGAINST)
IMAGE = "berth-test:base"
START_SECONDS = 30
COMMAND_SECONDS = 60


class Result:
    """What a command ended with."""

    def __init__(self, argv, code, out, err):
        self.argv, self.code, self.out, self.err = argv, code, out, err

    @property
    def text(self):
        return self.out.strip()

    @property
    def lines(self):
        return self.out.splitlines()

    def __str__(self):
        return f"{' '.join(self.argv)}\n  exit {self.code}\n  stdout: {self.out[-2000:]!r}\n  stderr: {self.err[-2000:]!r}"


def run(argv, input=None, timeout=COMMAND_SECONDS, env=None, text=True, cwd=None):
    """Runs argv to its end. Without input, stdin is /dev/null. A command that overstays is a failure."""
    if isinstance(input, str) and not text:
        input = input.encode()
    try:
        done = subprocess.run(argv, input=input, stdin=None if input is not None else subprocess.DEVNULL, cwd=cwd,
                              capture_output=True, timeout=timeout, env={**os.environ, **(env or {})}, text=text,
                              **({"errors": "replace"} if text else {}))
    except subprocess.TimeoutExpired as expired:
        raise AssertionError(f"{' '.join(argv)} did not end within {timeout} s; stdout so far {expired.stdout!r}, "
                             f"stderr {expired.stderr!r}") from None
    return Result(argv, done.returncode, done.stdout, done.stderr)


def docker_client():
    """The docker command to test compatibility with, or None."""
    for candidate in (shutil.which("docker"), os.path.join(TOP, "build", "tools", "bin", "docker")):
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    return None


def eventually(check, what, within=20.0, every=0.02):
    """Waits until check() is true and returns its value: for states that nothing announces to a test.

    `what`, a text or a function that makes one at the end of the wait, is the complaint.
    """
    deadline = time.monotonic() + within
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {what() if callable(what) else what}")
        time.sleep(every)


def fetch(host, port, timeout=5):
    """The body of GET / or None when nobody answers (yet)."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode().strip()
    except OSError:
        return None
    finally:
        connection.close()


def forward_packets():
    """An engine that has to switch forwarding on itself closes the host's FORWARD chain to all others, for good: the
    tests' engines find it switched on."""
    for setting in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        path = f"/proc/sys/net/{setting}"
        if os.access(path, os.W_OK) and open(path).read().strip() == "0":
            with open(path, "w") as file:
                file.write("1")


class Client(subprocess.Popen):
    """A command under way; leaving its `with` block ends it, so that a failed test does not wait for it."""

    def __exit__(self, *error):
        if self.poll() is None:
            self.kill()
        super().__exit__(*error)


class Engine:
    def __init__(self, name="test", folder=None, flags=()):
        self.folder = folder or tempfile.mkdtemp(prefix="bt.", dir="/tmp")
        self.data = os.path.join(self.folder, "data")
        self.exec = os.path.join(self.folder, "exec")
        self.socket = os.path.join(self.folder, "sock")
        self.log_path = os.path.join(self.folder, f"{name}.log")
        self.flags = list(flags)
        self.surroundings = {}  # of the daemon's environment
        self.process = None
        self.served = False  # whether it has ever answered
        self.api = Api(self.socket)
        if AGAINST == "docker":
            self.program = ["dockerd", "--pidfile", os.path.join(self.folder, "pid")]
        else:
            # A port of its own: engines of tests run side by side. And nothing is asked of the world's registries.
            self.program = [os.path.join(PROGRAMS, "berthd"), "--functions-addr", "127.0.0.1:0", "--functions-base-registry", ""]
        command = docker_client() if CLIENT == "docker" else os.path.join(PROGRAMS, "berth")
        if command is None:
            raise AssertionError("no docker command: \"scripts/install-packages test\" provides one")
        self.cli = [command, "-H", f"unix://{self.socket}"]
        # The client that is tested brings no plugins and no settings of whoever runs the tests.
        self.env = {"DOCKER_BUILDKIT": "0", "DOCKER_CONFIG": os.path.join(self.folder, "config")}

    # --- life -------------------------------------------------------------------------------------------------

    def start(self):
        """Starts the daemon and returns once it answers."""
        forward_packets()
        argv = [*self.program, "--data-root", self.data, "--exec-root", self.exec, "-H", f"unix://{self.socket}",
                *self.flags]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, **self.surroundings}, start_new_session=True)
        eventually(self._answers, f"{argv[0]} answers on {self.socket}; its log: {self.log()[-2000:]}", START_SECONDS)
        self.served = True
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.program[0]} ended with {self.process.returncode}: {self.log()[-3000:]}")
        try:
            return self.api.get("/_ping").status == 200
        except OSError:
            return False

    @property
    def pid(self):
        return self.process.pid

    def kill(self):
        """kill -9, as a crash or the kernel's OOM killer would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def terminate(self, timeout=30):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=timeout)

    def remove_everything(self):
        """Removes all containers, so that only the daemon remains."""
        listed = self.api.get("/containers/json?all=1")
        for container in listed.json():
            self.api.delete(f"/containers/{container['Id']}?force=1&v=1")

    def close(self):
        """Ends the engine and everything it runs, and removes its folder."""
        if not os.path.isdir(self.folder):
            return
        try:
            if self.served and self.process.poll() is not None:
                self.start()
            if self.served:
                self.remove_everything()
        finally:
            try:
                self.terminate()
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"{self.program[0]} did not end on SIGTERM") from None
            finally:
                shutil.rmtree(self.folder, ignore_errors=True)

    def log(self):
        try:
            with open(self.log_path, errors="replace") as log:
                return log.read()
        except FileNotFoundError:
            return ""

    # --- commands ---------------------------------------------------------------------------------------------

    def __call__(self, *arguments, input=None, timeout=COMMAND_SECONDS, env=None, text=True, cwd=None):
        """Runs the CLI with these arguments and returns its Result, whatever the exit status."""
        return run([*self.cli, *arguments], input, timeout, {**self.env, **(env or {})}, text, cwd)

    def ok(self, *arguments, **more):
        """Runs the CLI and fails the test unless it exits with 0."""
        result = self(*arguments, **more)
        if result.code != 0:
            log = "" if AGAINST == "docker" else f"\n  engine's log: {self.log()[-1500:]}"
            raise AssertionError(f"expected success: {result}{log}")
        return result

    def popen(self, *arguments, **more):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        return Client([*self.cli, *arguments], env={**os.environ, **self.env}, **options)

    def inspect(self, name, kind=None):
        return json.loads(self.ok("inspect", *(["--type", kind] if kind else []), name).out)[0]

    def load(self, data):
        """Loads an archive given as bytes, and returns the Result."""
        with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".tar") as archive:
            archive.write(data)
            archive.flush()
            return self("load", "-i", archive.name)

    def load_base_image(self):
        result = self.load(archives.busybox_archive(IMAGE))
        if result.code != 0:
            raise AssertionError(f"cannot load the test image: {result}\n{self.log()[-3000:]}")

    @property
    def functions_address(self):
        """IP:PORT of the functions' API."""
        with open(os.path.join(self.exec, "functions.addr")) as file:
            return file.read().strip()

    def wait_for_status(self, name, status, within=20.0):
        eventually(lambda: self.inspect(name)["State"]["Status"] == status, f"{name} is {status}", within)


class Lines:
    """Reads lines from a pipe of a running command, each within a deadline."""

    def __init__(self, stream):
        self.stream = stream
        self.pending = b""
        self.selector = selectors.DefaultSelector()
        self.selector.register(stream, selectors.EVENT_READ)

    def next(self, within=20.0):
        """The next line without its end; None at the end of the stream."""
        deadline = time.monotonic() + within
        while b"\n" not in self.pending:
            if not self.selector.select(max(0, deadline - time.monotonic())):
                raise AssertionError(f"no line within {within} s; so far {self.pending!r}")
            piece = os.read(self.stream.fileno(), 1 << 16)
            if not piece:
                rest, self.pending = self.pending, b""
                return rest.decode(errors="replace") if rest else None
            self.pending += piece
        line, self.pending = self.pending.split(b"\n", 1)
        return line.decode(errors="replace").rstrip("\r")

    def until(self, wanted, within=20.0):
        """Reads on until a line contains `wanted`, and returns that line."""
        seen = []
        while True:
            line = self.next(within)
            if line is None:
                raise AssertionError(f"the stream ended before a line with {wanted!r}; it had {seen[-20:]}")
            if wanted in line:
                return line
            seen.append(line)


class EngineCase(unittest.TestCase):
    """A test case whose module shares one engine, with the base image loaded. Containers that a test makes
    through new() are removed after it."""

    engine = None
    engine_flags = ()
    maxDiff = 4000
    against_docker = AGAINST == "docker"
    docker_command = CLIENT == "docker"

    @classmethod
    def setUpClass(cls):
        cls.engine = Engine(cls.__name__, flags=cls.engine_flags)
        try:
            cls.engine.start()
            cls.engine.load_base_image()
        except BaseException:
            cls.engine.close()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.engine.close()

    def setUp(self):
        self.made = []
        self.number = 0

    def tearDown(self):
        for name in self.made:
            self.engine("rm", "-f", "-v", name)

    def folder(self):
        folder = tempfile.mkdtemp(prefix="case.", dir=self.engine.folder)
        self.addCleanup(shutil.rmtree, folder, True)
        return folder

    def name(self, hint="c"):
        """A container name of this test's own, removed when it ends."""
        self.number += 1
        name = f"{hint}-{self._testMethodName[5:35]}-{self.number}".replace("_", "-")
        self.made.append(name)
        return name

    def ok(self, *arguments, **more):
        return self.engine.ok(*arguments, **more)

    def last_number(self, name):
        """The number at the head of the last line that a container has logged; waits for the first line."""
        return int(eventually(lambda: self.engine.ok("logs", "--tail", "1", name).text, f"{name} has written a line").split()[0])

    def run_sh(self, script, *flags, image=IMAGE, **more):
        """`run --rm FLAGS IMAGE sh -c SCRIPT`, expected to succeed; the Result."""
        return self.engine.ok("run", "--rm", *flags, image, "sh", "-c", script, **more)

    def start(self, *arguments, flags=(), image=IMAGE):
        """A detached container; returns its name."""
        name = self.name()
        self.engine.ok("run", "-d", "--name", name, *flags, image, *arguments)
        return name

    def fails(self, code, *arguments, says=None, **more):
        """Runs the CLI, expects this exit status and, on stderr, one of the given texts."""
        result = self.engine(*arguments, **more)
        self.assertEqual(result.code, code, str(result))
        for text in ([says] if isinstance(says, str) else says or []):
            self.assertIn(text.lower(), result.err.lower(), str(result))
        return result

    def only_berth(self, reason):
        """For what dockerd does not promise."""
        if self.against_docker:
            self.skipTest(f"docker differs: {reason}")

    def only_our_command(self, reason):
        """For what the docker command cannot be asked."""
        if self.docker_command:
            self.skipTest(f"not with the docker command: {reason}")
