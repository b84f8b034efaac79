"""Images that travel: pull from and push to a local registry, beside other engines, skopeo, and the single stages that
no pull can be faster than."""
import http.client
import os
import random
import shutil
import tarfile
import time
import zlib

from . import registry as registries
from .cases import MEDIUM, TITLES, Sample, case
from .process import CommandFailed, processes_named


def tls_off(engine):
    """The flags by which an engine takes a registry of the loopback without TLS."""
    return ("--tls-verify=false",) if engine.name == "podman" else ()


class Skopeo:
    """Copies an image's blobs from a folder as they are: what a push cannot do without."""

    name = "skopeo"

    def __init__(self, runner, layout):
        self.runner = runner
        self.layout = layout

    def push(self, goal):
        return self.runner.timed(["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", f"oci:{self.layout}:1",
                                  f"docker://{goal}"], {})


class Stages:
    """The stages of a pull, each alone and on one processor: decompression by igzip, and the plain write of the files.
    The slower is what a pull is held against. With the hashing of both forms they are all of its work, which as many
    processors as there are cannot do faster than their share."""

    name = "slowest-stage"

    def __init__(self, bench):
        self.runner, self.report = bench.runner, bench.report
        self.program = os.path.join(bench.small_programs, "stages")
        self.folder = os.path.join(bench.scratch, "stages")
        os.makedirs(self.folder)
        self.packed, self.plain = [], []
        with tarfile.open(bench.travel) as archive:
            for member in archive.getmembers():
                if not member.name.endswith("/layer.tar"):
                    continue
                data = archive.extractfile(member).read()
                for paths, kind, content in ((self.packed, "gz", data), (self.plain, "tar", zlib.decompress(data, 31))):
                    paths.append(os.path.join(self.folder, f"{len(paths)}.{kind}"))
                    with open(paths[-1], "wb") as out:
                        out.write(content)

    def measure(self):
        tree = os.path.join(self.folder, "tree")
        times = {"igzip": self.runner.timed([self.program, "inflate", *self.packed]),
                 "plain-write": self.runner.timed([self.program, "write", tree, *self.plain])}
        hashing = self.runner.timed([self.program, "hash", *self.packed, *self.plain])
        shutil.rmtree(tree)
        for name, seconds in times.items():
            self.report.add(Sample("pull", name, seconds, "s"))
        self.report.add(Sample("pull", "work-by-cpus", (sum(times.values()) + hashing) / os.cpu_count(), "s"))
        return max(times.values())


def peak_kib(engine, begin):
    """The peak memory of the engine's daemon: forgets it at the beginning, tells it (VmHWM) at the end."""
    pids = processes_named(engine.daemons)
    if begin:
        for pid in pids:
            with open(f"/proc/{pid}/clear_refs", "w") as clear:
                clear.write("5")
        return 0
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/status") as status:
            total += next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    return total


def head_seconds(address, name):
    """What the registry takes to answer the one request of a pull with nothing to do, on a new connection."""
    repository, tag = name.rsplit(":", 1)
    begin = time.perf_counter()
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("HEAD", f"/v2/{repository}/manifests/{tag}",
                       headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"})
    connection.getresponse().read()
    seconds = time.perf_counter() - begin
    connection.close()
    return seconds


def pulls(bench, registry, name):
    def fetch(contestant, number):
        os.sync()
        if isinstance(contestant, Stages):
            return contestant.measure()
        if contestant.name == "berth":
            peak_kib(contestant, begin=True)
        seconds = contestant.timed("pull", "-q", *tls_off(contestant), name)
        if contestant.name == "berth":
            bench.report.add(Sample("pull-memory", contestant.name, peak_kib(contestant, begin=False), "KiB"))
        if number == bench.rounds(MEDIUM) - 1:
            return seconds  # the image stays, for what follows
        contestant.timed("rmi", name)
        return seconds

    bench.interleaved("pull", "s", MEDIUM, [*bench.engines, Stages(bench)], fetch)
    bench.interleaved("pull-nothing", "ms", MEDIUM, bench.engines,
                      lambda engine, _: engine.timed("pull", "-q", *tls_off(engine), name))
    berth = [engine for engine in bench.engines if engine.name == "berth"]
    for _ in range(4):  # differences scatter more than what they are made of
        bench.interleaved("pull-nothing-own", "ms", MEDIUM, berth, lambda engine, _: engine.timed("pull", "-q", name) -
                          head_seconds(registry.address, registries.NAME))


def built_context(folder, mebibytes, files):
    """A context that becomes one layer: half of its bytes random and half text."""
    source = random.Random(11)
    size = mebibytes * (1 << 20) // files
    text = ("alpha beta gamma delta epsilon zeta eta theta iota kappa " * (size // 58 + 1)).encode()
    for number in range(files):
        path = os.path.join(folder, "data", str(number % 32))
        os.makedirs(path, exist_ok=True)
        with open(os.path.join(path, str(number)), "wb") as out:
            out.write(source.randbytes(size // 2) + text[:size - size // 2])
    with open(os.path.join(folder, "Dockerfile"), "w") as out:
        out.write("FROM scratch\nCOPY data /data\nCMD [\"/data\"]\n")


def pushes_of_built(bench, registry):
    folder = os.path.join(bench.scratch, "push-context")
    built_context(folder, bench.mebibytes // 5, bench.files // 5)

    def send(engine, number):
        """Built anew each time: nobody keeps what an earlier push has compressed."""
        registry.empty()
        goal = f"{registry.address}/berth-bench/built-{engine.name}:{number}"
        with open(os.path.join(folder, "data", "token"), "w") as out:
            out.write(f"{engine.name} {number}")
        engine.timed("build", "-q", "-t", goal, folder)
        os.sync()  # what the builds have left to be written is no part of a push, whoever's it is
        seconds = engine.timed("push", "-q", *tls_off(engine), goal)
        engine.timed("rmi", goal)
        return seconds

    bench.interleaved("push-built", "s", MEDIUM, bench.engines, send)


@case("push-built", "push of an image that was built here, a fifth of the size of the one that is pulled")
def push_built(bench):
    registry = registries.Registry(os.path.join(bench.scratch, "registry-of-built")).start()
    try:
        pushes_of_built(bench, registry)
    except CommandFailed as error:
        bench.report.failed("push-built", "docker-registry", str(error))
    finally:
        registry.stop()


@case("pull", "pull of an image of thousands of files from a local registry, beside what it consists of")
def pull(bench):
    registry = registries.Registry(os.path.join(bench.scratch, "registry")).start()
    name = f"{registry.address}/{registries.NAME}"
    layout = os.path.join(bench.scratch, "layout")
    try:
        for goal in (f"docker://{name}", f"oci:{layout}:1"):
            bench.runner.timed(["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", f"docker-archive:{bench.travel}", goal], {})
        pulls(bench, registry, name)

        def send(contestant, number):
            registry.empty()
            goal = f"{registry.address}/berth-bench/{contestant.name}:{number}"
            if isinstance(contestant, Skopeo):
                return contestant.push(goal)
            contestant.timed("tag", name, goal)
            return contestant.timed("push", "-q", *tls_off(contestant), goal)

        bench.interleaved("push", "s", MEDIUM, [*bench.engines, Skopeo(bench.runner, layout)], send)
    except CommandFailed as error:
        bench.report.failed("pull", "docker-registry", str(error))
    finally:
        registry.stop()


TITLES.update({
    "pull-memory": "peak memory of the engine during it (VmHWM)",
    "pull-nothing": "pull of an image that is here already",
    "pull-nothing-own": "... less what the registry takes to answer its request",
    "push": "push of the image that was pulled",
})
