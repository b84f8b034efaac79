"""The engines and runtimes under measurement, each behind the same few calls.

An Engine has images, a log and a state, and is driven through its command line; a Runtime only runs a prepared
root. Both are private to one benchmark: data in its scratch folder, socket included.
"""
import json
import os
import shutil
import subprocess
import time

from .filter import default_filter
from .process import CommandFailed, processes_named, pss_of

START_SECONDS = 60


class Engine:
    """Base of berth, docker and podman. `command` is the argv prefix that reaches this private instance."""

    name = ""
    daemons = ()  # command names of what runs once
    per_container = ()  # command names of what runs for each container, the container itself excepted
    log_flags = ()
    environment = {}

    def __init__(self, runner, scratch):
        self.runner = runner
        self.scratch = os.path.join(scratch, self.name)
        os.makedirs(self.scratch)
        self.command = []
        self.process = None

    def start(self):
        raise NotImplementedError

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def argv(self, *arguments):
        return self.command + list(arguments)

    def timed(self, *arguments):
        return self.runner.timed(self.argv(*arguments), self.environment)

    def output(self, *arguments):
        return self.runner.output(self.argv(*arguments), self.environment)

    def all_of(self, argument_lists, at_once):
        return self.runner.all_of([self.argv(*arguments) for arguments in argument_lists], at_once, self.environment)

    def daemon_kib(self):
        return sum(pss_of(pid) for pid in processes_named(self.daemons)) if self.daemons else 0

    def attendants_kib(self):
        return sum(pss_of(pid) for pid in processes_named(self.per_container))

    def _start_daemon(self, argv, socket):
        """Starts argv and waits until the engine behind the socket answers `version`."""
        self.log_path = os.path.join(self.scratch, "daemon.log")
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self.process.poll() is not None:
                raise CommandFailed(f"{argv[0]} ended with {self.process.returncode}: {self._last_log()}")
            if os.path.exists(socket):
                try:
                    self.timed("version")
                    return
                except CommandFailed as error:
                    if time.monotonic() > deadline:
                        raise CommandFailed(f"{argv[0]} does not answer: {error}: {self._last_log()}") from error
            elif time.monotonic() > deadline:
                raise CommandFailed(f"{argv[0]} makes no socket: {self._last_log()}")
            time.sleep(0.05)

    def _last_log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()[-1500:]


class Berth(Engine):
    name = "berth"
    daemons = ("berthd",)
    per_container = ("berth-keeper",)

    def __init__(self, runner, scratch, programs):
        super().__init__(runner, scratch)
        self.programs = programs
        self.socket = os.path.join(self.scratch, "berth.sock")
        self.command = [os.path.join(programs, "berth"), "-H", f"unix://{self.socket}"]

    def start(self):
        self._start_daemon([os.path.join(self.programs, "berthd"),
                            "--data-root", os.path.join(self.scratch, "data"),
                            "--exec-root", os.path.join(self.scratch, "exec"),
                            "-H", f"unix://{self.socket}"], self.socket)

    @staticmethod
    def programs_in(build):
        return all(os.access(os.path.join(build, program), os.X_OK)
                   for program in ("berth", "berthd", "berth-keeper"))


class RootlessBerth(Engine):
    """berth's engine of an ordinary user, without a way out of its network namespace and with a single id: neither is
    on the path of a start. The command reaches it as root, so that it costs what it costs the other engine's."""

    name = "berth-rootless"
    USER = 65530

    def __init__(self, runner, scratch, programs):
        super().__init__(runner, scratch)
        self.programs = programs
        self.runtime = os.path.join(self.scratch, "run")
        os.makedirs(self.runtime, 0o700)
        for folder in (self.scratch, self.runtime):
            os.chown(folder, self.USER, self.USER)
        self.socket = os.path.join(self.runtime, "berth", "berth.sock")
        self.command = [os.path.join(programs, "berth"), "-H", f"unix://{self.socket}"]

    def start(self):
        self._start_daemon(["setpriv", f"--reuid={self.USER}", f"--regid={self.USER}", "--clear-groups", "env",
                            f"HOME={self.scratch}", f"XDG_RUNTIME_DIR={self.runtime}",
                            os.path.join(self.programs, "berthd"), "--rootless-network", "none"], self.socket)


class Docker(Engine):
    name = "docker"
    daemons = ("dockerd", "containerd")
    per_container = ("containerd-shim",)
    environment = {"DOCKER_BUILDKIT": "0"}  # the classic builder: the one that Debian's engine comes with

    def __init__(self, runner, scratch):
        super().__init__(runner, scratch)
        self.socket = os.path.join(self.scratch, "docker.sock")
        self.command = ["docker", "-H", f"unix://{self.socket}"]

    def start(self):
        self._start_daemon(["dockerd", "--data-root", os.path.join(self.scratch, "data"),
                            "--exec-root", os.path.join(self.scratch, "exec"),
                            "--pidfile", os.path.join(self.scratch, "pid"),
                            "-H", f"unix://{self.socket}"], self.socket)

    def daemon_kib(self):
        shims = set(processes_named(self.per_container))
        return sum(pss_of(pid) for pid in processes_named(("dockerd", "containerd")) if pid not in shims)

    @staticmethod
    def installed():
        return bool(shutil.which("docker") and shutil.which("dockerd") and shutil.which("containerd"))


class Podman(Engine):
    name = "podman"
    per_container = ("conmon",)
    log_flags = ("--log-driver", "k8s-file")

    def start(self):
        self.command = ["podman", "--root", os.path.join(self.scratch, "root"),
                        "--runroot", os.path.join(self.scratch, "run"),
                        "--tmpdir", os.path.join(self.scratch, "tmp"),
                        "--storage-driver", "overlay", "--cgroup-manager", "cgroupfs",
                        "--events-backend", "file", "--runtime", "crun"]
        self.timed("version")

    @staticmethod
    def installed():
        return bool(shutil.which("podman") and shutil.which("crun") and shutil.which("conmon"))


class Compose:
    """A compose command with an engine behind it."""

    def __init__(self, name, engine, words, folder, environment):
        self.name, self.engine, self.environment = name, engine, environment
        self.words = [*words, "--project-name", "bench", "--file", os.path.join(folder, "compose.yaml")]

    def timed(self, *arguments):
        return self.engine.runner.timed([*self.words, *arguments], self.environment)


def compose_contestants(running, folder):
    """berth's own, and docker's (of version 2 where it is, else the old one) against both engines."""
    built = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "build", "clients", "compose", "docker-compose")
    has_plugin = shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0
    docker = [built] if os.access(built, os.X_OK) else ["docker", "compose"] if has_plugin else \
        ["docker-compose"] if shutil.which("docker-compose") else None
    contestants = []
    for engine in running:
        if engine.name not in ("berth", "docker"):
            continue
        environment = {"DOCKER_HOST": f"unix://{engine.socket}", "HOME": engine.scratch}
        if engine.name == "berth":
            contestants.append(Compose("berth", engine, [*engine.command, "compose"], folder, environment))
        if docker:
            contestants.append(Compose("docker" if engine.name == "docker" else "docker-on-berth", engine, docker, folder, environment))
    return contestants


class Runtime:
    """An OCI runtime with a prepared bundle: no image, no log, no state but its own."""

    def __init__(self, name, runner, scratch, root, program=None):
        self.name = name
        self.program = program or name
        self.runner = runner
        self.bundle = os.path.join(scratch, name)
        self.state = os.path.join(self.bundle, "state")
        os.makedirs(self.state)
        self.count = 0
        subprocess.run([self.program, "spec"], cwd=self.bundle, check=True, stdout=subprocess.DEVNULL)
        path = os.path.join(self.bundle, "config.json")
        with open(path) as file:
            self.spec = json.load(file)
        self.spec["ociVersion"] = "1.0.2"  # what all of them know
        self.spec["root"] = {"path": root, "readonly": True}
        self.spec["process"]["terminal"] = False

    def _write_spec(self, program, filtered=True):
        self.count += 1
        identifier = f"bench-{self.name}-{self.count}"
        self.spec["process"]["args"] = [program]
        self.spec.setdefault("linux", {})["cgroupsPath"] = f"/berth-bench-{identifier}"
        self.spec["linux"].pop("seccomp", None)
        if filtered:
            self.spec["linux"]["seccomp"] = default_filter()
        with open(os.path.join(self.bundle, "config.json"), "w") as file:
            json.dump(self.spec, file)
        return identifier

    def run_true(self, filtered=True):
        identifier = self._write_spec("/true", filtered)
        return self.runner.timed([self.program, "--root", self.state, "run", "--bundle", self.bundle, identifier])

    def start_idle(self):
        identifier = self._write_spec("/idle")
        self.runner.timed([self.program, "--root", self.state, "run", "--detach", "--bundle", self.bundle, identifier])
        return identifier

    def exec_true(self, identifier):
        return self.runner.timed([self.program, "--root", self.state, "exec", identifier, "/true"])

    def delete(self, identifier):
        self.runner.timed([self.program, "--root", self.state, "delete", "--force", identifier])


class Bubblewrap:
    name = "bubblewrap"

    def __init__(self, runner, root):
        self.runner = runner
        self.command = ["bwrap", "--unshare-all", "--ro-bind", root, "/", "--proc", "/proc", "--dev", "/dev", "/true"]

    def run_true(self):
        return self.runner.timed(self.command)


class Floor:
    """What the kernel takes: see programs/floor.cc."""

    name = "floor"

    def __init__(self, runner, scratch, programs, root):
        self.runner = runner
        self.program, self.root = os.path.join(programs, "floor"), root
        self.directory = os.path.join(scratch, self.name)

    def run_true(self):
        return self.runner.timed([self.program, self.root, self.directory, "berth-bench-floor", "/true"])

    def start_idle(self, name):
        return self.runner.timed(self._idle(name, "stay"))

    def end_idle(self, name):
        self.runner.timed(self._idle(name, "end"))

    def _idle(self, name, what):
        return [self.program, self.root, f"{self.directory}-{name}", f"berth-bench-floor-{name}", "/idle", what]


def prepare(engine, archives):
    """Starts an engine and loads the archives into it."""
    engine.start()
    for archive in archives:
        engine.timed("load", "-i", archive)


def engine_version(engine):
    if isinstance(engine, Podman):
        return engine.output("version", "--format", "{{.Client.Version}}")
    return engine.output("version", "--format", "{{.Server.Version}}")

