"""kill -9 of an engine that pulls or pushes, or of the registry that it talks to, at random instants: nothing is claimed
that is not whole, what is repeated moves only what was missing, and nothing stays on the disk.

BERTH_KILLS says how many kills there are of each kind (default 12; a hundred is the promise of docs/SPECIFICATION.md),
BERTH_SEED at which instants. The delays are the points at which the fault is injected."""
import hashlib
import http.client
import json
import os
import random
import re
import socket
import subprocess
import time
import zlib

from harness import archives
from harness.archives import entry, tar
from harness.engine import Engine, EngineCase, eventually
from harness.registry import OCI_CONFIG, OCI_MANIFEST, LAYER, digest_of
from harness.wires import Cable

KILLS = int(os.environ.get("BERTH_KILLS", "12"))
SEED = int(os.environ.get("BERTH_SEED", str(random.SystemRandom().randrange(1 << 32))))

# Requests, answers without a blob, and what was under way in sockets when a process was killed.
SLACK = 512 << 10


def gzipped(data):
    """Quickly: its bytes are random."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


class Traveller:
    """An image of three layers, one of which is by default large enough for several ranges, as an OCI layout to load."""

    def __init__(self, name, large=24 << 20):
        layers = [tar(archives.busybox_entries([entry("mark", data=os.urandom(16))])),
                  tar([entry("large", data=os.urandom(large))]), tar([entry("small", data=os.urandom(2 << 20))])]
        blobs = [gzipped(layer) for layer in layers]
        config = archives.image_config(layers, {"Cmd": ["cat", "/etc/passwd"]})
        config = config if isinstance(config, bytes) else config.encode()
        described = [{"mediaType": LAYER + "+gzip", "digest": digest_of(blob), "size": len(blob)} for blob in blobs]
        manifest = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": described,
                               "config": {"mediaType": OCI_CONFIG, "digest": digest_of(config), "size": len(config)}}).encode()
        self.sizes = {digest_of(data): len(data) for data in (config, *blobs)}
        self.digest = digest_of(manifest)
        index = json.dumps({"schemaVersion": 2, "manifests": [
            {"mediaType": OCI_MANIFEST, "digest": self.digest, "size": len(manifest),
             "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rsplit(":", 1)[1]}}]}).encode()
        files = [entry("oci-layout", data=b'{"imageLayoutVersion":"1.0.0"}'), entry("index.json", data=index)]
        self.archive = tar(files + [entry("blobs/sha256/" + digest_of(data)[7:], data=data) for data in (config, manifest, *blobs)])


class Transfers(EngineCase):
    def setUp(self):
        super().setUp()
        self.only_berth("it makes no such promise")
        self.random = random.Random(SEED)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.serving = Engine("serving", flags=("--registry-addr", f"127.0.0.1:{self.port}")).start()
        self.addCleanup(self.serving.close)
        # Slow enough for kills to fall into all stages, and for several lines.
        self.cable = Cable(f"127.0.0.1:{self.port}", pause=0.002)
        self.addCleanup(self.cable.close)

    # --- what is where --------------------------------------------------------------------------------------------

    def store(self):
        """Names of all that the engine's store has on the disk; unpacked layers are one each, their numbered links counted."""
        found = set()
        for path, _, names in os.walk(os.path.join(self.engine.data, "content")):
            found.update(os.path.relpath(os.path.join(path, name), self.engine.data) for name in names)
        found.add(f"{len(os.listdir(os.path.join(self.engine.data, 'layers/l')))} links")
        found.update(f"layers/{name}" for name in os.listdir(os.path.join(self.engine.data, "layers")))
        return found

    def settled(self, before):
        """The store's files once what was removed is gone; with `before`, once they are those."""
        trash = os.path.join(self.engine.data, "trash")
        eventually(lambda: not os.listdir(trash), "the trash is empty", within=60)
        if before is not None:
            try:
                eventually(lambda: self.store() == before, "", within=60)
            except AssertionError:
                self.fail(f"left in the store: {sorted(self.store() - before)}; gone: {sorted(before - self.store())}")
        return self.store()

    def held(self, digest, size):
        """How much of a blob the engine's store has: whole, or in the parts of an interrupted download."""
        content = os.path.join(self.engine.data, "content")
        if os.path.exists(os.path.join(content, "blobs/sha256", digest[7:])):
            return size
        covered = set()
        for name in os.listdir(os.path.join(content, "ingest")):
            match = re.fullmatch(rf"partial-{digest[7:]}(?:\.(\d+))?", name)
            if match:
                first = int(match.group(1) or 0)
                try:
                    length = os.path.getsize(os.path.join(content, "ingest", name))
                except FileNotFoundError:  # a part has been put to the rest meanwhile: what there is now counts
                    return self.held(digest, size)
                covered.update(range(first // 4096, (first + length) // 4096))
        return len(covered) * 4096

    def served(self, digest, kind="blobs"):
        """Whether the registry says that it has a blob: its bytes may lie there when it was killed before it took note."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("HEAD", f"/v2/pushed/{kind}/{digest}")
            return connection.getresponse().status == 200
        finally:
            connection.close()

    def blobs_are_true(self, engine, context):
        """Those of this image, as far as they are there."""
        folder = os.path.join(engine.data, "content/blobs/sha256")
        for name in [digest[7:] for digest in self.image.sizes if os.path.exists(os.path.join(folder, digest[7:]))]:
            with open(os.path.join(folder, name), "rb") as blob:
                self.assertEqual(hashlib.file_digest(blob, "sha256").hexdigest(), name, context)

    # --- killing --------------------------------------------------------------------------------------------------

    def timed(self, *arguments):
        begin = time.monotonic()
        self.ok(*arguments)
        return time.monotonic() - begin

    def kill_during(self, victim, length, *arguments):
        """Kills the victim during the command, and starts it again. Returns what the test says when something fails."""
        delay = self.random.uniform(0, length)
        who = "the engine" if victim is self.engine else "the registry"
        context = f"{arguments[0]}, {who} killed after {delay:.3f} of {length:.3f} s, BERTH_SEED={SEED}"
        with self.engine.popen(*arguments) as client:
            time.sleep(delay)
            victim.kill()
            self.after_kill = self.held_now()
            if victim is self.serving:
                victim.start()
            try:
                client.communicate(timeout=90)
            except subprocess.TimeoutExpired:
                self.fail(f"{context}: the client hangs")
        if victim is self.engine:
            victim.start()
        return context

    def held_now(self):
        return {digest: self.held(digest, size) for digest, size in self.image.sizes.items()}

    def verified(self, engine, context):
        result = engine("image", "verify")
        self.assertEqual(result.code, 0, f"{context}: {result}")

    def test_pull(self):
        name = f"{self.cable.host}/swept:1"
        self.image = Traveller(name)
        loaded = self.engine.load(self.image.archive)
        self.assertEqual(loaded.code, 0, str(loaded))
        self.ok("push", name)
        self.ok("rmi", name)
        self.ok("system", "prune", "-f")
        before = self.settled(None)
        length = self.timed("pull", name)
        with_image = self.store()
        whole = sum(self.image.sizes.values())
        for number in range(KILLS):
            self.ok("rmi", name)
            self.ok("system", "prune", "-f")
            self.settled(before)
            victim = (self.engine, self.serving)[number % 2]
            self.cable.returned = 0
            context = self.kill_during(victim, length, "pull", name)
            came = self.cable.returned
            self.verified(self.engine, context)
            self.blobs_are_true(self.engine, context)
            missing = whole - came
            if victim is self.engine:  # what was on its way to it is lost with its sockets
                missing = whole - sum(self.after_kill.values())
            self.cable.returned = 0
            self.ok("pull", name)
            self.assertLessEqual(self.cable.returned, missing + SLACK, f"{context}: only what was missing is fetched")
            self.assertIn("root:x", self.ok("run", "--rm", name).out, context)
            self.assertEqual(self.engine.inspect(name)["RepoDigests"], [f"{self.cable.host}/swept@{self.image.digest}"], context)
            self.verified(self.engine, context)
            self.assertEqual(self.store(), with_image, f"{context}: nothing else is in the store")
        self.ok("rmi", name)
        self.ok("system", "prune", "-f")
        self.settled(before)

    def test_push(self):
        name = f"{self.cable.host}/pushed:1"
        before = self.settled(None)
        length = None
        for number in range(-1, KILLS):
            self.image = Traveller(name, large=8 << 20)
            loaded = self.engine.load(self.image.archive)
            self.assertEqual(loaded.code, 0, str(loaded))
            if number < 0:
                length = self.timed("push", name)
            else:
                context = self.kill_during((self.engine, self.serving)[number % 2], length, "push", name)
                self.verified(self.engine, context)
                self.blobs_are_true(self.serving, context)
                missing = sum(size for digest, size in self.image.sizes.items() if not self.served(digest))
                self.cable.carried = 0
                self.ok("push", name)
                self.assertLessEqual(self.cable.carried, missing + SLACK, f"{context}: only what was missing is sent")
                self.blobs_are_true(self.serving, context)
                self.assertTrue(all(self.served(digest) for digest in self.image.sizes), context)
                self.assertTrue(self.served(self.image.digest, "manifests"), f"{context}: the image keeps its digest")
            self.ok("rmi", name)
        self.ok("system", "prune", "-f")
        self.settled(before)
