"""Collects samples and prints them: a table per case with medians, extremes and ratios to berth, then the figures
that docs/SPECIFICATION.md promises with what this run says about each."""
import json
import statistics
import sys
from collections import OrderedDict, namedtuple

ORDER = ("floor", "bubblewrap", "crun", "runc", "berth", "berth-runtime", "berth-rootless", "podman", "docker-on-berth", "docker", "skopeo",
         "igzip", "plain-write", "slowest-stage", "work-by-cpus",
         "interpreter")

# A promise: `measure` names (case, contestant) twice and the factor that divides them, or a limit
# (seconds, KiB, lines; with `at_least` a number that must be reached).
Promise = namedtuple("Promise", "text left right at_least limit")


def _ratio(text, left, right, at_least):
    return Promise(text, left, right, at_least, None)


def _limit(text, left, limit):
    return Promise(text, left, None, None, limit)


def _least(text, left, least):
    return Promise(text, left, None, True, least)


PROMISES = (
    _ratio("run --network none no slower than crun run", ("run-none", "crun"), ("run-none", "berth"), 1),
    _ratio("berth-runtime run no slower than crun run", ("runtime-run", "crun"), ("runtime-run", "berth-runtime"), 1),
    _limit("the default filter costs a run less than 1 ms", ("seccomp", "berth"), 0.001),
    _limit("a filter of its size costs berth-runtime less than 1 ms", ("seccomp", "berth-runtime"), 0.001),
    _ratio("run --network none within 1.5 x of the floor (aim)", ("run-none", "floor"), ("run-none", "berth"), 1 / 1.5),
    _ratio("run on the bridge 25 x faster than docker", ("run-bridge", "docker"), ("run-bridge", "berth"), 25),
    _ratio("run on the bridge within 2 x of the run without network", ("run-none", "berth"), ("run-bridge", "berth"), 0.5),
    _ratio("run without root within 2 x of root's", ("run-rootless", "berth"), ("run-rootless", "berth-rootless"), 0.5),
    _ratio("exec 12 x faster than docker", ("exec", "docker"), ("exec", "berth"), 12),
    _ratio("detached starts in a row 15 x faster than docker", ("start-1", "docker"), ("start-1", "berth"), 15),
    _ratio("compose up of 20 services 5 x faster than docker's", ("compose-20", "docker"), ("compose-20", "berth"), 5),
    _ratio("the last of 1,000 containers starts within 1.2 x of the first", ("crowd-first", "berth"), ("crowd-last", "berth"), 1 / 1.2),
    _limit("ps with 1,000 containers within 50 ms", ("crowd-ps", "berth"), 0.05),
    _ratio("publishing costs the last no more than 1.2 x the first", ("publish-first", "berth"), ("publish-last", "berth"), 1 / 1.2),
    _least("DNS answers 20,000 a second", ("dns", "berth"), 20_000),
    _limit("berthd idle at most 20 MiB", ("idle-memory", "berth"), 20 * 1024),
    _limit("keeper at most 350 KiB per idle container", ("container-memory", "berth"), 350),
    _limit("no log line lost, written in blocks", ("logs-lost-blocks", "berth"), 0),
    _limit("no log line lost, written one by one", ("logs-lost-lines", "berth"), 0),
    _ratio("log written in blocks no slower than podman", ("logs-write-blocks", "podman"), ("logs-write-blocks", "berth"), 1),
    _ratio("log written line by line no slower than podman", ("logs-write-lines", "podman"), ("logs-write-lines", "berth"), 1),
    _ratio("logs read back 5 x faster than docker", ("logs-read-lines", "docker"), ("logs-read-lines", "berth"), 5),
    _ratio("logs read back 5 x faster than podman", ("logs-read-lines", "podman"), ("logs-read-lines", "berth"), 5),
    _ratio("cached build 3 x faster than docker", ("build-cached", "docker"), ("build-cached", "berth"), 3),
    _ratio("cold build 4 x faster than docker", ("build-cold", "docker"), ("build-cold", "berth"), 4),
    _ratio("pull 3 x faster than docker", ("pull", "docker"), ("pull", "berth"), 3),
    _ratio("pull 3 x faster than podman", ("pull", "podman"), ("pull", "berth"), 3),
    _ratio("pull within 1.3 x of its slowest single stage", ("pull", "slowest-stage"), ("pull", "berth"), 1 / 1.3),
    _limit("peak memory of berthd during a pull at most 150 MiB", ("pull-memory", "berth"), 150 * 1024),
    _limit("pull with nothing to do within 5 ms beside the registry's answer", ("pull-nothing-own", "berth"), 0.005),
    _ratio("push of what was built 3 x faster than podman", ("push-built", "podman"), ("push-built", "berth"), 3),
    _ratio("push of what was pulled within 1.3 x of skopeo", ("push", "skopeo"), ("push", "berth"), 1 / 1.3),
    _limit("a warm event within 250 µs of a bare request", ("function-warm", "berth"), 0.00025),
    _limit("... its 99th percentile within 2 ms", ("function-warm-late", "berth"), 0.002),
    _least("8,000 warm events a second", ("function-warm-rate", "berth"), 8_000),
    _limit("cold start of a native function within 10 ms", ("function-cold-provided", "berth"), 0.01),
    _limit("... from a prepared sandbox within 3 ms", ("function-cold-pooled", "berth"), 0.003),
    _limit("cold start of a Python function within 10 ms of the interpreter", ("function-cold-python-above", "berth"), 0.01),
    _limit("cold start of a Node.js function within 10 ms of the interpreter", ("function-cold-nodejs-above", "berth"), 0.01),
    _limit("changed Python function with large imports, initialised ahead, within 10 ms", ("function-ahead-imports", "berth"), 0.01),
    _limit("frozen Python sandbox at most 8 MiB private", ("function-idle-memory", "berth"), 8 * 1024),
    _limit("berthd's memory within 10 % after 1,000 functions", ("function-thousand-memory", "berth"), 1.1),
    _limit("warm events within 10 % among 1,000 functions", ("function-thousand-latency", "berth"), 1.1),
)


def _shown(value, unit):
    """A value as the table shows it. Times are kept in seconds; unit "ms" only chooses how they are shown."""
    if unit == "ms":
        milliseconds = value * 1000
        return f"{milliseconds:,.{1 if milliseconds >= 1 else 3}f}" if milliseconds < 100 else f"{milliseconds:,.0f}"
    if unit in ("s", "×"):
        return f"{value:.2f}"
    return f"{value:,.0f}"


def _against(value, limit):
    """A value as it stands beside its limit."""
    if limit < 1:
        return f"{value * 1000:.{1 if limit >= 0.01 else 2}f} ms"
    return f"{value:,.0f}" if limit == int(limit) else f"{value:.2f}"


class Report:
    def __init__(self, titles, shown, out=sys.stdout, progress=sys.stderr):
        self.titles = titles
        self.shown = shown  # the cases in the order of the table
        self.samples = OrderedDict()  # case -> contestant -> values
        self.units = {}
        self.failures = []
        self.out = out
        self.progress = progress

    def add(self, sample):
        self.samples.setdefault(sample.case, {}).setdefault(sample.contestant, []).append(sample.value)
        self.units[sample.case] = sample.unit

    def failed(self, case, contestant, why):
        self.failures.append((case, contestant, why))
        self.say(f"{contestant} failed in {case}: {why}")

    def say(self, text):
        print(f"bench: {text}", file=self.progress, flush=True)

    def median(self, case, contestant):
        values = self.samples.get(case, {}).get(contestant)
        return statistics.median(values) if values else None

    def print_case(self, case, numbers):
        rows = self.samples[case]
        unit = self.units[case]
        base = self.median(case, "berth")
        title = self.titles.get(case, case).format(**numbers)
        print(f"\n{title} [{case}], {unit}", file=self.out)
        for contestant in sorted(rows, key=ORDER.index):
            values = rows[contestant]
            median = statistics.median(values)
            extremes = f"({_shown(min(values), unit)}–{_shown(max(values), unit)})"
            ratio = f"{median / base:8.2f} × berth" if base else ""
            print(f"  {contestant:<15} {_shown(median, unit):>10}  {extremes:<22} {ratio}", file=self.out)

    def print_all(self, numbers):
        for case in self.shown:
            if case in self.samples:
                self.print_case(case, numbers)
        if self.failures:
            print("\nNot measured:", file=self.out)
            for case, contestant, why in self.failures:
                print(f"  {case}, {contestant}: {why.splitlines()[0]}", file=self.out)

    def promises(self):
        """Yields (promise, what was measured, whether it holds) for those that this run can tell."""
        for promise in PROMISES:
            left = self.median(*promise.left)
            if promise.limit is not None:
                if left is not None:
                    holds = left >= promise.limit if promise.at_least else left <= promise.limit
                    yield promise.text, _against(left, promise.limit), holds
                continue
            right = self.median(*promise.right)
            if left is not None and right:
                yield promise.text, f"{left / right:.2f} ×", left / right >= promise.at_least

    def print_promises(self):
        """Prints the promises and returns how many of them this run does not keep."""
        broken = 0
        rows = list(self.promises())
        if rows:
            print("\nPromises of docs/SPECIFICATION.md", file=self.out)
        for text, measured, holds in rows:
            broken += not holds
            print(f"  {'kept  ' if holds else 'BROKEN'}  {text}: {measured}", file=self.out)
        return broken

    def write_json(self, path, about):
        cases = {case: {"unit": "s" if self.units[case] == "ms" else self.units[case], "values": rows}
                 for case, rows in self.samples.items()}
        with open(path, "w") as file:
            json.dump({"about": about, "cases": cases,
                       "failures": [dict(zip(("case", "contestant", "why"), row)) for row in self.failures]},
                      file, indent=1)
            file.write("\n")
