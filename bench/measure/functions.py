"""Functions: warm and cold events, sandboxes' memory, and an engine with many of them. The engines are berth's own,
one with a stock of prepared sandboxes and one without."""
import base64
import contextlib
import http.client
import json
import os
import shutil
import statistics
import time

from harness import runtimes
from harness.functions import ROLE, zip_of

from . import engines
from .cases import SHORT, TITLES, Sample, case
from .process import CommandFailed, pss_of

PATIENCE = 30
BLOCKS = 60  # of 200 events each, per engine
FIRST = ("POST", "/2015-03-31/functions/first/invocations")
BARE = "/2015-03-31/bare"  # refused by its path: HTTP and nothing behind it
PYTHON = "/usr/bin/python3.11"
NODE_HANDLER = "exports.handler = async () => ({});\n"
HANDLER = "def handler(event, context):\n    return {}\n"
# What a function with an SDK of the size of boto3 has to load: modules of the standard library, which every base has.
IMPORTS = ("import argparse, asyncio, concurrent.futures, configparser, csv, ctypes, decimal, difflib, email.message, "
           "hashlib, hmac, http.client, http.cookies, http.server, imaplib, ipaddress, json, logging.config, "
           "logging.handlers, multiprocessing, pickle, platform, plistlib, random, smtplib, sqlite3, ssl, statistics, "
           "subprocess, tarfile, tempfile, unittest.mock, urllib.request, uuid, xml.dom.minidom, xml.etree.ElementTree, "
           "xmlrpc.client, zipfile\n")


class FunctionEngine(engines.Berth):
    """A berthd with the bases that functions need, and a connection to their API."""

    def __init__(self, bench, label, prepared):
        scratch = os.path.join(bench.scratch, f"functions-{label}")
        os.makedirs(scratch)
        super().__init__(bench.runner, scratch, bench.programs)
        self.prepared = prepared
        self.connection = None

    def start(self):
        self._start_daemon([os.path.join(self.programs, "berthd"), "--functions-addr", "127.0.0.1:0",
                            "--functions-prepared", str(self.prepared),
                            "--data-root", os.path.join(self.scratch, "data"),
                            "--exec-root", os.path.join(self.scratch, "exec"),
                            "-H", f"unix://{self.socket}"], self.socket)
        with open(os.path.join(self.scratch, "exec", "functions.addr")) as file:
            self.address = file.read().strip()
        self.connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        return self

    def load_base(self, name, archive):
        path = os.path.join(self.scratch, name)
        with open(path, "wb") as file:
            file.write(archive)
        self.timed("load", "-i", path)
        os.unlink(path)

    def request(self, method, path, body=b""):
        """Status and body; the connection is kept."""
        self.connection.request(method, path, body)
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def create(self, name, files, **members):
        body = {"FunctionName": name, "Role": ROLE, "Runtime": "provided.al2023", "Handler": "index.handler",
                "Code": {"ZipFile": base64.b64encode(zip_of(files)).decode()}, "Timeout": 30, **members}
        status, answer = self.request("POST", "/2015-03-31/functions", json.dumps(body).encode())
        if status != 201:
            raise CommandFailed(f"CreateFunction {name}: {status} {answer[:500]}")

    def call(self, name):
        """Seconds that one event takes."""
        begin = time.perf_counter()
        status, answer = self.request("POST", f"/2015-03-31/functions/{name}/invocations", b"{}")
        elapsed = time.perf_counter() - begin
        if status != 200 or answer != b"{}":
            raise CommandFailed(f"event of {name}: {status} {answer[:500]}")
        return elapsed

    def remove(self, name):
        self.request("DELETE", f"/2015-03-31/functions/{name}")

    def sandboxes(self, name):
        """States of the function's sandboxes."""
        return [box["state"] for box in json.loads(self.request("GET", "/_berth/sandboxes")[1])["sandboxes"]
                if box["function"] == name]

    def until(self, what, condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise CommandFailed(f"not within {PATIENCE} s: {what}")
            time.sleep(0.002)

    def daemon_memory(self):
        return pss_of(self.process.pid)

    def calls(self, bench, count, connections, *targets):
        """Lines of programs/calls.cc as (status, median, 99th percentile, a second)."""
        host, port = self.address.rsplit(":", 1)
        program = os.path.join(bench.small_programs, "calls")
        lines = self.runner.output([program, host, port, str(count), str(connections), *targets]).splitlines()
        return [tuple(float(word) for word in line.split()) for line in lines]


def native(bench):
    with open(os.path.join(bench.small_programs, "bootstrap"), "rb") as program:
        return {"bootstrap": program.read()}


def started(bench, label, prepared, python=False, nodejs=False):
    engine = FunctionEngine(bench, label, prepared)
    try:
        engine.start()
        engine.load_base("provided.tar", runtimes.provided_base())
        if python:
            engine.load_base("python.tar", runtimes.python_base(compiled=True))
        if nodejs:
            engine.load_base("nodejs.tar", runtimes.nodejs_base())
    except BaseException:
        engine.stop()
        raise
    return engine


def warm(bench):
    """Yields (figure, value, unit) of warm events."""
    engine = started(bench, "warm", 0)
    try:
        engine.create("warm", native(bench))
        engine.call("warm")
        invoke = ("POST", "/2015-03-31/functions/warm/invocations")
        for _ in range(5):
            bare, event = engine.calls(bench, 2000, 1, "GET", BARE, *invoke)
            if event[0] != 200:
                raise CommandFailed(f"a warm event was answered with {event[0]:.0f}")
            yield "function-warm", (event[1] - bare[1]) / 1e6, "ms"
            yield "function-warm-late", (event[2] - bare[1]) / 1e6, "ms"
            many, = engine.calls(bench, 10_000, 4, *invoke)
            yield "function-warm-rate", many[3], "/s"
    finally:
        engine.stop()


def cold_native(bench, prepared):
    """Yields seconds of first events, each of a function of its own."""
    engine = started(bench, f"cold-{prepared}", prepared)
    try:
        for number in range(bench.rounds(SHORT) + 1):
            name = f"cold-{number}"
            engine.create(name, native(bench))
            if prepared:
                engine.until(f"{name} has a prepared sandbox", lambda: "prepared" in engine.sandboxes(name))
            elapsed = engine.call(name)
            engine.remove(name)  # what has run keeps its place in the stock
            if number > 0:  # the first makes the bridge
                yield elapsed
    finally:
        engine.stop()


def cold_interpreted(bench, runtime, name, code):
    """Yields seconds of first events of functions of one file."""
    engine = started(bench, f"{runtime}-{len(code)}", 0, python=runtime.startswith("python"),
                     nodejs=runtime.startswith("nodejs"))
    try:
        for number in range(bench.rounds(SHORT) + 1):
            function = f"cold-{number}"
            engine.create(function, {name: code}, Runtime=runtime, MemorySize=1769)
            elapsed = engine.call(function)
            if number > 0:
                yield elapsed
    finally:
        engine.stop()


def ahead_python(bench, code):
    """Yields seconds of first events of a Python function that has just been changed, and initialised ahead."""
    engine = started(bench, "ahead", 8, python=True)
    try:
        engine.create("ahead", {"index.py": code}, Runtime="python3.11", MemorySize=1769)
        engine.call("ahead")
        for number in range(bench.rounds(SHORT)):
            change = json.dumps({"Environment": {"Variables": {"ROUND": str(number)}}}).encode()
            status, answer = engine.request("PUT", "/2015-03-31/functions/ahead/configuration", change)
            if status != 200:
                raise CommandFailed(f"UpdateFunctionConfiguration: {status} {answer[:500]}")
            engine.until("the new version is initialised", lambda: engine.sandboxes("ahead") == ["frozen"])
            yield engine.call("ahead")
    finally:
        engine.stop()


def interpreter(bench, code):
    """Seconds that the bare interpreter takes for the same modules."""
    return bench.runner.timed([PYTHON, "-I", "-c", code])


def beside(figure, event, bare):
    """A first event, the bare interpreter's start right after it, and the one less the other."""
    yield figure, "berth", event, "ms"
    yield figure, "interpreter", bare, "ms"
    yield f"{figure}-above", "berth", event - bare, "ms"


def private_kib(pid):
    """Memory of a process that nobody shares."""
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return sum(int(line.split()[1]) for line in rollup if line.startswith(("Private_Clean:", "Private_Dirty:")))


def anonymous_of(pid):
    """KiB of memory that no file is behind."""
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return sum(int(line.split()[1]) for line in rollup if line.startswith("Pss_Anon:"))


def descendants(pid):
    """A process and all below it."""
    found = [pid]
    for parent in found:
        with open(f"/proc/{parent}/task/{parent}/children") as children:
            found += [int(child) for child in children.read().split()]
    return found


def idle_python(bench):
    """Yields KiB of private memory of frozen Python sandboxes: all processes in them, and the keeper."""
    engine = started(bench, "idle", 0, python=True)
    try:
        names = [f"idle-{number}" for number in range(5)]
        for name in names:
            engine.create(name, {"index.py": HANDLER}, Runtime="python3.11")
            engine.call(name)
        # All at once: pages of programs and libraries are private as long as there is one alone.
        for name in names:
            engine.until(f"{name} is frozen", lambda: engine.sandboxes(name) == ["frozen"])
        for name in names:
            container, = engine.output("ps", "-q", "--filter", f"label=berth.function={name}").split()
            init = int(engine.output("inspect", "-f", "{{.State.Pid}}", container))
            with open(f"/proc/{init}/stat") as stat:
                keeper = int(stat.read().rsplit(")", 1)[1].split()[1])
            yield sum(private_kib(pid) for pid in descendants(keeper))
    finally:
        engine.stop()


def thousand(bench):
    """Yields (figure, value, unit): an engine with many functions, against itself before and beside one with one.

    The two work side by side in short blocks, so that whatever else the machine does falls on both: a ratio is one of
    two blocks that follow each other, and who begins changes. Its median says what the functions cost.
    """
    with contextlib.ExitStack() as stack:
        many = started(bench, "many", 8)
        stack.callback(many.stop)
        files = native(bench)
        warm_up(bench, many, files)
        # Weighed as long as it is alone: a second engine would take its half of the program's pages.
        memory, own = many.daemon_memory(), anonymous_of(many.process.pid)
        for number in range(bench.functions):
            many.create(f"deployed-{number}", files)
        many.until("the stock is settled", lambda: settled(many))
        # What it shares with other processes comes and goes with those; what grows is its own.
        yield "function-thousand-memory", 1 + (anonymous_of(many.process.pid) - own) / memory, "×"
        few = started(bench, "few", 8)
        stack.callback(few.stop)
        warm_up(bench, few, files)
        ratios = [block_ratio(bench, few, many, number) for number in range(-2, BLOCKS)]
        yield "function-thousand-latency", statistics.median(ratios[2:]), "×"


def warm_up(bench, engine, files):
    engine.create("first", files)
    engine.call("first")
    engine.calls(bench, 2000, 1, *FIRST)


def block_ratio(bench, few, many, number):
    """Median time of an event with many functions over that with one, in blocks right after each other."""
    order = (few, many) if number % 2 == 0 else (many, few)
    medians = {}
    for engine in order:
        (status, medians[engine], _, _), = engine.calls(bench, 200, 1, *FIRST)
        if status != 200:
            raise CommandFailed(f"a warm event was answered with {status:.0f}")
    return medians[many] / medians[few]


def settled(engine):
    boxes = json.loads(engine.request("GET", "/_berth/sandboxes")[1])["sandboxes"]
    return not any(box["state"] in ("init", "ending") for box in boxes)


def report_all(bench, name, samples):
    """Reports (figure, contestant, value, unit) as they come; a failure is named."""
    if not any(engine.name == "berth" for engine in bench.engines):
        return
    try:
        for figure, contestant, value, unit in samples:
            bench.report.add(Sample(figure, contestant, value, unit))
    except (CommandFailed, OSError, http.client.HTTPException) as error:
        bench.report.failed(name, "berth", f"{type(error).__name__}: {error}")


@case("function-warm", "a warm event of a native function, above a bare HTTP request: median")
def function_warm(bench):
    report_all(bench, "function-warm", ((figure, "berth", value, unit) for figure, value, unit in warm(bench)))


@case("function-cold-provided", "the first event of a native function, nothing prepared")
def function_cold_provided(bench):
    report_all(bench, "function-cold-provided",
               (("function-cold-provided", "berth", value, "ms") for value in cold_native(bench, 0)))


@case("function-cold-pooled", "the first event of a native function whose sandbox is prepared")
def function_cold_pooled(bench):
    report_all(bench, "function-cold-pooled",
               (("function-cold-pooled", "berth", value, "ms") for value in cold_native(bench, 8)))


@case("function-cold-python", "the first event of a Python function without imports, nothing prepared")
def function_cold_python(bench):
    def samples():
        for value in cold_interpreted(bench, "python3.11", "index.py", HANDLER):
            yield from beside("function-cold-python", value, interpreter(bench, "pass"))
        for value in cold_interpreted(bench, "python3.11", "index.py", IMPORTS + HANDLER):
            yield "function-cold-imports", "berth", value, "ms"
            yield "function-cold-imports", "interpreter", interpreter(bench, IMPORTS), "ms"
        for value in ahead_python(bench, IMPORTS + HANDLER):
            yield "function-ahead-imports", "berth", value, "ms"

    if not os.path.exists(PYTHON):
        bench.report.failed("function-cold-python", "berth", f"there is no {PYTHON}")
        return
    report_all(bench, "function-cold-python", samples())


@case("function-cold-nodejs", "the first event of a Node.js function without imports, nothing prepared")
def function_cold_nodejs(bench):
    node = shutil.which("node")

    def samples():
        for value in cold_interpreted(bench, "nodejs20.x", "index.js", NODE_HANDLER):
            yield from beside("function-cold-nodejs", value, bench.runner.timed(["/usr/bin/env", "-i", node, "-e", "0"]))

    if node is None:
        bench.report.failed("function-cold-nodejs", "berth", "there is no node on this machine")
        return
    report_all(bench, "function-cold-nodejs", samples())


@case("function-idle-memory", "private memory of a frozen Python sandbox, its keeper included")
def function_idle_memory(bench):
    if not os.path.exists(PYTHON):
        bench.report.failed("function-idle-memory", "berth", f"there is no {PYTHON}")
        return
    report_all(bench, "function-idle-memory",
               (("function-idle-memory", "berth", value, "KiB") for value in idle_python(bench)))


@case("function-thousand", "an engine with {functions} functions: memory beside before, warm events beside an engine with one")
def function_thousand(bench):
    report_all(bench, "function-thousand", ((figure, "berth", value, unit) for figure, value, unit in thousand(bench)))


TITLES.update({
    "function-warm-late": "... 99th percentile",
    "function-warm-rate": "warm events a second, four callers",
    "function-cold-python-above": "... above the bare interpreter",
    "function-cold-nodejs-above": "... above the bare interpreter",
    "function-cold-imports": "the first event of a Python function with imports of an SDK's size, nothing prepared",
    "function-ahead-imports": "the first event of such a function after a change, initialised ahead",
    "function-thousand-memory": "berthd's memory after {functions} functions were deployed, as a multiple of before",
    "function-thousand-latency": "a warm event among {functions} functions, as a multiple of one in an engine with one",
})
