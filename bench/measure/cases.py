"""What is measured. A case yields Sample(case, contestant, seconds or KiB) in interleaved rounds: in each round
every contestant has its turn, so that a slow minute of the machine falls on all of them alike.
"""
import hashlib
import os
import statistics
from collections import namedtuple

from . import engines, images
from .process import CommandFailed, wait_until_idle

Sample = namedtuple("Sample", "case contestant value unit")

# How often each kind of case is repeated: (normal, --quick).
SHORT, MEDIUM, LONG = "short", "medium", "long"
ROUNDS = {SHORT: (20, 5), MEDIUM: (5, 2), LONG: (3, 1)}
TITLES = {}


class Bench:
    """What the cases work with: engines, runtimes, how many rounds, and where to report."""

    def __init__(self, runner, engines, runtimes, options, report):
        self.runner = runner
        self.engines = engines
        self.runtimes = runtimes
        self.options = options
        self.report = report
        self.containers = 20 if options.quick else 100
        self.crowd = 100 if options.quick else 1000
        self.published = 40 if options.quick else 200
        self.lines = 100_000 if options.quick else 1_000_000
        self.mebibytes = 200 if options.quick else 700
        self.files = 8_000 if options.quick else 25_000
        self.functions = 200 if options.quick else 1000
        self.programs = options.programs
        self.small_programs = None  # where programs/ was built
        self.debian = None
        self.travel = None
        self.scratch = None
        self.context = None

    def rounds(self, kind):
        if self.options.rounds:
            return self.options.rounds
        return ROUNDS[kind][1 if self.options.quick else 0]

    def interleaved(self, case, unit, kind, contestants, measure):
        """Runs measure(contestant, round) for all in turn, after one unmeasured round to warm caches up.

        Who begins changes from round to round: what one does to the kernel's state (an RCU grace period that
        another then need not wait for) must not always fall to the same neighbour. A contestant that fails is
        named and left out of the rest of the case; the others go on.
        """
        alive = list(contestants)
        for number in range(-1 if kind == SHORT else 0, self.rounds(kind)):
            turn = max(number, 0) % max(len(alive), 1)
            for contestant in alive[turn:] + alive[:turn]:
                try:
                    value = measure(contestant, number)
                except CommandFailed as error:
                    alive.remove(contestant)
                    self.report.failed(case, contestant.name, str(error))
                    continue
                if number >= 0:
                    self.report.add(Sample(case, contestant.name, value, unit))


def case(name, title):
    def register(function):
        TITLES[name] = title
        function.case_name = name
        CASES[name] = function
        return function

    return register


CASES = {}


@case("run-none", "run --rm --network none of a program that does nothing")
def run_none(bench):
    def measure(contestant, _):
        if contestant in bench.engines:
            return contestant.timed("run", "--rm", "--network", "none", images.SMALL, "/true")
        return contestant.run_true()

    bench.interleaved("run-none", "ms", SHORT, bench.runtimes + bench.engines, measure)


@case("runtime-run", "run of a prepared bundle by the OCI runtimes: all namespaces, cgroups, a filter, the same configuration")
def runtime_run(bench):
    runtimes = [runtime for runtime in bench.runtimes if isinstance(runtime, engines.Runtime)]
    bench.interleaved("runtime-run", "ms", SHORT, runtimes, lambda runtime, _: runtime.run_true())


@case("seccomp", "what a run with the default filter takes more than one without")
def seccomp(bench):
    """Each sample is the difference of two runs, one right after the other: who begins changes."""
    def measure(contestant, number):
        def run(filtered):
            if contestant in bench.engines:
                flags = [] if filtered else ["--security-opt", "seccomp=unconfined"]
                return contestant.timed("run", "--rm", "--network", "none", *flags, images.SMALL, "/true")
            return contestant.run_true(filtered)
        times = {filtered: run(filtered) for filtered in ((True, False) if number % 2 else (False, True))}
        return times[True] - times[False]

    runtimes = [runtime for runtime in bench.runtimes if isinstance(runtime, engines.Runtime)]
    berth = [engine for engine in bench.engines if engine.name == "berth"]
    for _ in range(3):  # differences scatter more than what they are made of
        bench.interleaved("seccomp", "ms", SHORT, runtimes + berth, measure)


@case("run-bridge", "run --rm on the default bridge")
def run_bridge(bench):
    bench.interleaved("run-bridge", "ms", SHORT, bench.engines,
                      lambda engine, _: engine.timed("run", "--rm", images.SMALL, "/true"))


@case("run-rootless", "run --rm of the same, by an ordinary user's engine and by root's")
def run_rootless(bench):
    berth = next((engine for engine in bench.engines if engine.name == "berth"), None)
    if berth is None:
        return
    scratch = os.path.dirname(berth.scratch)
    rootless = engines.RootlessBerth(bench.runner, scratch, berth.programs)
    try:
        rootless.start()
        archive = os.path.join(scratch, "small.tar")
        rootless.timed("load", "-i", archive)
    except CommandFailed as error:
        bench.report.failed("run-rootless", rootless.name, str(error))
        rootless.stop()
        return
    bench.interleaved("run-rootless", "ms", SHORT, [berth, rootless],
                      lambda engine, _: engine.timed("run", "--rm", "--network", "none", images.SMALL, "/true"))
    rootless.stop()


@case("exec", "exec of a program that does nothing")
def exec_true(bench):
    running = {}
    contestants = [runtime for runtime in bench.runtimes if hasattr(runtime, "exec_true")] + bench.engines
    started = []
    for contestant in contestants:
        try:
            if contestant in bench.engines:
                contestant.timed("run", "-d", "--name", "bench-exec", "--network", "none", images.SMALL, "/idle")
                running[contestant] = "bench-exec"
            else:
                running[contestant] = contestant.start_idle()
            started.append(contestant)
        except CommandFailed as error:
            bench.report.failed("exec", contestant.name, str(error))

    def measure(contestant, _):
        if contestant in bench.engines:
            return contestant.timed("exec", running[contestant], "/true")
        return contestant.exec_true(running[contestant])

    bench.interleaved("exec", "ms", SHORT, started, measure)
    for contestant in started:
        if contestant in bench.engines:
            contestant.timed("rm", "-f", running[contestant])
        else:
            contestant.delete(running[contestant])


@case("idle-memory", "the engine at rest with its images loaded, PSS")
def idle_memory(bench):
    bench.interleaved("idle-memory", "KiB", LONG, [engine for engine in bench.engines if engine.daemons],
                      lambda engine, _: engine.daemon_kib())


@case("many", "a set of idle containers without a network: started, weighed, stopped, removed")
def many(bench):
    def measure_with(at_once, label):
        def measure(engine, number):
            names = [f"bench-{number}-{index}" for index in range(bench.containers)]
            before = engine.daemon_kib()
            started = engine.all_of(
                [("run", "-d", "--name", name, "--network", "none", images.SMALL, "/idle") for name in names], at_once)
            if at_once == 1:
                attendants = engine.attendants_kib() / len(names)
                grown = max(0, engine.daemon_kib() - before) / len(names)
                bench.report.add(Sample("container-memory", engine.name, attendants, "KiB"))
                bench.report.add(Sample("container-memory-daemon", engine.name, grown, "KiB"))
            removed = engine.all_of([("stop", name) for name in names], at_once)
            removed += engine.all_of([("rm", name) for name in names], at_once)
            bench.report.add(Sample(f"remove-{label}", engine.name, removed, "s"))
            return started

        return measure

    bench.interleaved("start-1", "s", LONG, bench.engines, measure_with(1, "1"))
    bench.interleaved("start-8", "s", LONG, bench.engines, measure_with(8, "8"))


def ends_of(values):
    """The medians of the first and the last tenth."""
    share = max(1, len(values) // 10)
    return statistics.median(values[:share]), statistics.median(values[-share:])


@case("crowd", "many idle containers at once: how long the first and the last take to start, and `ps` among them")
def crowd(bench):
    """Berth's alone: docker takes minutes for as many. The kernel's own crowd comes first, and is gone before berth's."""
    names = [f"bench-crowd-{index}" for index in range(bench.crowd)]

    def measure(contestant, start):
        try:
            first, last = ends_of([start(name) for name in names])
            bench.report.add(Sample("crowd-first", contestant.name, first, "ms"))
            bench.report.add(Sample("crowd-last", contestant.name, last, "ms"))
            return True
        except CommandFailed as error:
            return bench.report.failed("crowd", contestant.name, str(error))

    for floor in (runtime for runtime in bench.runtimes if runtime.name == "floor"):
        begun = []

        def start_and_note(name, floor=floor, begun=begun):
            begun.append(name)
            return floor.start_idle(name)

        measure(floor, start_and_note)
        for name in begun:
            try:
                floor.end_idle(name)
            except CommandFailed as error:
                bench.report.failed("crowd", floor.name, str(error))
        wait_until_idle()
    for engine in (engine for engine in bench.engines if engine.name == "berth"):
        if measure(engine, lambda name, by=engine: by.timed("run", "-d", "--name", name, "--network", "none", images.SMALL, "/idle")):
            for _ in range(10):
                bench.report.add(Sample("crowd-ps", engine.name, engine.timed("ps", "-q"), "ms"))
        engine.all_of([("rm", "-f", *names[at:at + 50]) for at in range(0, len(names), 50)], 1)


@case("publish", "containers with a published port: how long the first and the last take to start")
def publish(bench):
    for engine in (engine for engine in bench.engines if engine.name == "berth"):
        names = [f"bench-port-{index}" for index in range(bench.published)]
        try:
            times = [engine.timed("run", "-d", "--name", name, "-p", "127.0.0.1::80", images.SMALL, "/idle") for name in names]
            first, last = ends_of(times)
            bench.report.add(Sample("publish-first", engine.name, first, "ms"))
            bench.report.add(Sample("publish-last", engine.name, last, "ms"))
        except CommandFailed as error:
            bench.report.failed("publish", engine.name, str(error))
        engine.all_of([("rm", "-f", *names[at:at + 50]) for at in range(0, len(names), 50)], 1)


@case("dns", "answers a second of the embedded DNS, one asker")
def dns(bench):
    def measure(engine, number):
        network = f"bench-dns-{number}"
        engine.timed("network", "create", network)
        try:
            return float(engine.output("run", "--rm", "--name", "asker", "--network", network, images.SMALL, "/dns", "asker",
                                       "100000"))
        finally:
            engine.timed("network", "rm", network)

    bench.interleaved("dns", "/s", MEDIUM, [engine for engine in bench.engines if engine.name in ("berth", "docker")], measure)


def expected_log(lines):
    """The digest of what programs/lines.cc writes."""
    digest = hashlib.sha256()
    for number in range(lines):
        digest.update(f"{number:08} ".encode().ljust(99, b"x") + b"\n")
    return digest.hexdigest()


@case("logs", "numbered lines of 100 bytes to standard output, and `logs` reading them back")
def logs(bench):
    wanted = expected_log(bench.lines)
    # Unlimited logs where an engine rotates by default, so that all of it can be read back.
    unlimited = {"berth": ("--log-opt", "max-size=1g")}

    def measure_with(how):
        def measure(engine, number):
            name = f"bench-log-{how}-{number}"
            flags = engine.log_flags + unlimited.get(engine.name, ())
            seconds = engine.all_of([("run", "-d", "--name", name, "--network", "none", *flags, images.SMALL,
                                      "/lines", str(bench.lines), how), ("wait", name)], 1)
            reading, count = bench.runner.piped(engine.argv("logs", name), ["wc", "-l"], engine.environment)
            bench.report.add(Sample(f"logs-read-{how}", engine.name, reading, "s"))
            _, digest = bench.runner.piped(engine.argv("logs", name), ["sha256sum"], engine.environment)
            engine.timed("rm", name)
            lost = bench.lines - int(count)
            if lost == 0 and digest.split()[0] != wanted:
                raise CommandFailed(f"{engine.name}: all {count} lines are there, but not as they were written")
            bench.report.add(Sample(f"logs-lost-{how}", engine.name, lost, "lines"))
            return seconds

        return measure

    for how in ("blocks", "lines"):
        bench.interleaved(f"logs-write-{how}", "s", LONG, bench.engines, measure_with(how))


@case("load", "load of a Debian base image (docker-archive, gzip layer)")
def load(bench):
    def measure(engine, _):
        os.sync()
        seconds = engine.timed("load", "-i", bench.debian)
        engine.timed("rmi", images.DEBIAN)
        return seconds

    bench.interleaved("load", "ms", MEDIUM, bench.engines, measure)


@case("build", "a build with two stages, four RUNs and a COPY of 200 files")
def build(bench):
    arguments = ("build", "-q", "-t", "localhost/berth-bench:built")

    def cold(engine, _):
        return engine.timed(*arguments, "--no-cache", bench.context)

    def cached(engine, _):
        return engine.timed(*arguments, bench.context)

    bench.interleaved("build-cold", "ms", MEDIUM, bench.engines, cold)
    for engine in bench.engines:  # what the cached rounds hit
        try:
            engine.timed(*arguments, bench.context)
        except CommandFailed as error:
            bench.report.failed("build-cached", engine.name, str(error))
    bench.interleaved("build-cached", "ms", MEDIUM, bench.engines, cached)

    def changed(engine, number):
        images.change_one_file(bench.context, f"{engine.name} {number}")
        return engine.timed(*arguments, bench.context)

    bench.interleaved("build-changed", "ms", MEDIUM, bench.engines, changed)


@case("compose-20", "compose up of a project of 20 services in four layers")
def compose_up(bench):
    """berth's compose, docker's against berth, and docker's against docker."""
    folder = os.path.join(bench.scratch, "compose")
    os.makedirs(folder)
    with open(os.path.join(folder, "compose.yaml"), "w") as file:
        file.write("services:\n")
        for number in range(20):
            needs = f", depends_on: [s{number - 5}]" if number >= 5 else ""
            file.write(f"  s{number}: {{image: '{images.SMALL}', command: [/idle], stop_signal: SIGKILL, "
                       f"volumes: ['v{number}:/data']{needs}}}\n")
        file.write("volumes: {" + ", ".join(f"v{number}: {{}}" for number in range(20)) + "}\n")
    contestants = engines.compose_contestants(bench.engines, folder)
    if not any(contestant.name == "docker" for contestant in contestants):
        bench.report.failed("compose-20", "docker compose", "neither docker compose (scripts/install-compose) nor docker-compose is here")

    def measure(contestant, _):
        seconds = contestant.timed("up", "-d")
        contestant.timed("down", "-v", "-t", "0")
        return seconds

    bench.interleaved("compose-20", "s", MEDIUM, contestants, measure)


TITLES.update({
    "start-1": "start of {containers} detached containers, one after the other",
    "start-8": "start of {containers} detached containers, eight at a time",
    "remove-1": "stop and rm of {containers} containers, one after the other",
    "remove-8": "stop and rm of {containers} containers, eight at a time",
    "container-memory": "per idle container: PSS of the process beside it",
    "container-memory-daemon": "per idle container: growth of the engine's PSS",
    "crowd-first": "start of the first tenth of {crowd} containers",
    "crowd-last": "start of the last tenth of {crowd} containers",
    "crowd-ps": "`ps` with {crowd} running containers",
    "publish-first": "start of the first tenth of {published} containers with a published port",
    "publish-last": "start of the last tenth of {published} containers with a published port",
    "logs-write-blocks": "{lines} lines written in blocks of 64 KiB, until `wait` returns",
    "logs-write-lines": "{lines} lines written one by one, until `wait` returns",
    "logs-read-blocks": "the lines written in blocks, read back by `logs`",
    "logs-read-lines": "the lines written one by one, read back by `logs`",
    "logs-lost-blocks": "lines lost of those written in blocks",
    "logs-lost-lines": "lines lost of those written one by one",
    "build-cold": "build without cache",
    "build-cached": "build with everything cached",
    "build-changed": "build with one of 200 files changed",
})
SHOWN_IN_ORDER = (
    "run-none", "runtime-run", "seccomp", "run-bridge", "run-rootless", "exec", "start-1", "start-8", "remove-1", "remove-8",
    "compose-20",
    "crowd-first", "crowd-last", "crowd-ps", "publish-first", "publish-last", "dns",
    "idle-memory", "container-memory", "container-memory-daemon",
    "logs-write-blocks", "logs-write-lines", "logs-read-blocks", "logs-read-lines", "logs-lost-blocks",
    "logs-lost-lines", "load", "build-cold", "build-cached", "build-changed",
    "pull", "pull-memory", "pull-nothing", "pull-nothing-own", "push", "push-built",
    "function-warm", "function-warm-late", "function-warm-rate", "function-cold-provided", "function-cold-pooled",
    "function-cold-python", "function-cold-python-above", "function-cold-nodejs", "function-cold-nodejs-above",
    "function-cold-imports", "function-ahead-imports", "function-idle-memory",
    "function-thousand-memory", "function-thousand-latency",
)
