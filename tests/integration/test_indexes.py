"""Images of several platforms: indexes that are kept whole, and leave under the digest under which they came."""
import io
import json
import os
import shutil
import tarfile
import threading
import unittest

from harness import registry
from harness.engine import EngineCase, run
from harness.registry import FakeRegistry, Image, small_image
from harness.served import Registry


class IndexCase(EngineCase):
    @classmethod
    def setUpClass(cls):
        if cls.against_docker or cls.docker_command:
            raise unittest.SkipTest("docker's command has no --all-platforms")
        super().setUpClass()

    def setUp(self):
        super().setUp()
        self.registry = FakeRegistry()
        self.addCleanup(self.registry.close)
        self.images = [small_image("arm", architecture="arm64"), small_image("ours"),
                       small_image("s390", architecture="s390x", compression=None)]
        self.digest = self.registry.add_index("many", "1", self.images)
        self.name = f"{self.registry.host}/many:1"
        self.addCleanup(self.remove_all)

    def remove_all(self):
        self.engine("image", "prune", "-a", "-f")

    def blobs(self):
        return set(os.listdir(os.path.join(self.engine.data, "content", "blobs", "sha256")))

    def everything(self):
        """Digests of all that the index leads to, without "sha256:"."""
        found = {self.digest}
        for image in self.images:
            found |= {image.digest, image.id, *image.layers}
        return {digest.removeprefix("sha256:") for digest in found}


class AllPlatforms(IndexCase):
    def test_pull_keeps_the_whole_index(self):
        lines = self.ok("pull", "--all-platforms", self.name).lines
        self.assertIn(f"Digest: {self.digest}", lines)
        self.assertIn(f"Status: Downloaded newer image for {self.name}", lines)
        self.assertLessEqual(self.everything(), self.blobs())
        for image in self.images:
            for layer in image.layers:
                self.assertEqual(len(self.registry.asked("GET", layer)), 1, "each blob comes once")
        self.assertEqual(self.ok("run", "--rm", self.name).text, "ours")
        seen = self.engine.inspect(self.name, "image")
        self.assertEqual(seen["RepoDigests"], [f"{self.registry.host}/many@{self.digest}"])
        self.assertEqual({m["ID"]: m["ImageData"]["Platform"]["architecture"] for m in seen["Manifests"]},
                         {image.digest: image.architecture for image in self.images})
        row = self.ok("images", "--format", "{{.Platforms}}", self.name).text
        self.assertEqual(set(row.split(", ")), {"linux/amd64", "linux/arm64", "linux/s390x"})
        self.registry.forget()
        self.assertIn(f"Status: Image is up to date for {self.name}", self.ok("pull", "--all-platforms", self.name).lines)
        self.assertEqual(self.registry.asked(), ["/v2/many/manifests/1"])
        self.assertIn("verified", self.ok("image", "verify", self.name).out)

    def test_after_a_pull_of_one_platform_only_the_rest_comes(self):
        self.ok("pull", self.name)
        self.registry.forget()
        self.ok("pull", "--all-platforms", self.name)
        self.assertEqual(self.registry.asked("GET", self.images[1].layers[0]), [])
        self.assertLessEqual(self.everything(), self.blobs())

    def test_another_platform_needs_no_registry_any_more(self):
        self.ok("pull", "--all-platforms", self.name)
        self.registry.forget()
        self.ok("pull", "--platform", "linux/arm64", self.name)
        self.assertEqual(self.registry.asked("GET", "/blobs/"), [])
        self.assertEqual(self.engine.inspect(self.name, "image")["Architecture"], "arm64")

    def test_an_index_without_this_machines_platform(self):
        self.images = [small_image("arm", architecture="arm64"), small_image("s390", architecture="s390x")]
        self.digest = self.registry.add_index("foreign", "1", self.images)
        name = f"{self.registry.host}/foreign:1"
        self.fails(1, "pull", name, says="no matching manifest")
        self.ok("pull", "--all-platforms", name)
        self.assertLessEqual(self.everything(), self.blobs())
        self.assertEqual(self.saved(name)["digest"], self.digest)

    def test_a_platform_that_is_missing_is_an_error(self):
        del self.registry.manifests[("many", self.images[2].digest)]
        self.fails(1, "pull", "--all-platforms", self.name, says="manifest unknown")
        self.assertEqual(self.engine("image", "inspect", self.name).code, 1)

    def offer(self, tag, index):
        for reference in (tag, registry.digest_of(index)):
            self.registry.manifests[("many", reference)] = (registry.OCI_INDEX, index)

    def test_hostile_indexes(self):
        big = json.loads(self.registry.manifests[("many", "1")][1])
        ours, arm = big["manifests"][1], big["manifests"][0]
        for number, (change, says) in enumerate((
                ({"manifests": [{**ours, "size": ours["size"] + 1}]}, "size"),
                ({"manifests": [ours, {**arm, "size": arm["size"] + 1}]}, "does not match its descriptor"),
                ({"manifests": [ours, {**arm, "mediaType": "application/octet-stream"}]}, "neither manifest nor index"),
                ({"manifests": [ours] * 2000}, "1024"),
                ({"manifests": [ours, {**arm, "mediaType": registry.OCI_INDEX}]}, "invalid index"))):
            with self.subTest(change=str(change)[:80]):
                self.offer(f"h{number}", json.dumps({**big, **change}).encode())
                self.fails(1, "pull", "--all-platforms", f"{self.registry.host}/many:h{number}", says=says)
        # One that is within itself, as deep as one likes, cannot be: digests. Deep ones are bounded.
        kind, data = registry.OCI_INDEX, self.registry.manifests[("many", "1")][1]
        for _ in range(8):
            self.offer("deep", data)
            entry = {"mediaType": kind, "digest": registry.digest_of(data), "size": len(data)}
            data = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": [entry]}).encode()
        self.offer("deep", data)
        self.fails(1, "pull", "--all-platforms", f"{self.registry.host}/many:deep", says="nested too deep")

    def test_flags_that_contradict(self):
        self.fails(1, "pull", "--all-platforms", "--platform", "linux/arm64", self.name, says="can't be used with")

    # --- and out again ---------------------------------------------------------------------------------------

    def saved(self, name, *flags):
        """The one entry of index.json of what `save` writes; checks that every blob is the one of its name."""
        path = os.path.join(self.folder(), "saved.tar")
        self.ok("save", "-o", path, *flags, name)
        self.archive = path
        with tarfile.open(path) as archive:
            self.names = {name.split("/")[-1] for name in archive.getnames() if name.startswith("blobs/sha256/")}
            for member in archive.getmembers():
                if member.isfile() and member.name.startswith("blobs/sha256/"):
                    data = archive.extractfile(member).read()
                    self.assertEqual(registry.digest_of(data), "sha256:" + member.name.split("/")[-1])
            entries = json.load(archive.extractfile("index.json"))["manifests"]
        self.assertEqual(len(entries), 1)
        return entries[0]

    def test_save_and_load_keep_the_index(self):
        self.ok("pull", "--all-platforms", self.name)
        entry = self.saved(self.name)
        self.assertEqual((entry["digest"], entry["mediaType"]), (self.digest, registry.OCI_INDEX))
        self.assertLessEqual(self.everything(), self.names)
        self.ok("rmi", self.name)
        self.assertFalse(self.everything() & self.blobs(), "with the image its index goes")
        self.ok("load", "-i", self.archive)
        self.assertLessEqual(self.everything(), self.blobs())
        self.assertEqual(self.ok("run", "--rm", self.name).text, "ours")
        self.assertEqual(self.saved(self.name)["digest"], self.digest)
        if shutil.which("skopeo"):
            seen = run(["skopeo", "inspect", "--raw", f"oci-archive:{self.archive}"])
            self.assertEqual(registry.digest_of(seen.out.encode()), self.digest, str(seen))

    def test_load_of_another_platform(self):
        self.ok("pull", "--all-platforms", self.name)
        self.saved(self.name)
        self.ok("rmi", self.name)
        self.ok("load", "--platform", "linux/arm64", "-i", self.archive)
        self.assertEqual(self.engine.inspect(self.name, "image")["Architecture"], "arm64")

    def test_save_of_one_platform(self):
        self.ok("pull", "--all-platforms", self.name)
        for image in self.images:
            with self.subTest(architecture=image.architecture):
                entry = self.saved(self.name, "--platform", f"linux/{image.architecture}")
                self.assertEqual(entry["digest"], image.digest)
                self.assertEqual(self.names, {digest[7:] for digest in (image.digest, image.id, *image.layers)})
        self.fails(1, "save", "--platform", "linux/riscv64", "-o", "/dev/null", self.name, says="is not here for linux/riscv64")

    def test_a_foreign_image_alone_is_pulled_and_saved(self):
        self.ok("pull", "--platform", "linux/s390x", self.name)
        self.assertEqual(self.saved(self.name)["digest"], self.images[2].digest)

    def test_push_sends_the_index(self):
        self.ok("pull", "--all-platforms", self.name)
        other = FakeRegistry()
        self.addCleanup(other.close)
        goal = f"{other.host}/gone:2"
        self.ok("tag", self.name, goal)
        self.assertIn(f"2: digest: {self.digest} size: ", self.ok("push", goal).lines[-1])
        self.assertEqual(other.manifests[("gone", "2")], self.registry.manifests[("many", "1")])
        self.assertEqual(other.blobs, self.registry.blobs)
        self.assertIn(f"{other.host}/gone@{self.digest}", self.engine.inspect(goal, "image")["RepoDigests"])
        again = self.ok("push", goal).out
        self.assertIn(": Layer already exists", again)
        arm = self.images[0]
        self.assertIn(f"2: digest: {arm.digest} ", self.ok("push", "--platform", "linux/arm64", goal).lines[-1])
        self.assertEqual(other.manifests[("gone", "2")][1], arm.manifest)
        self.fails(1, "push", "--platform", "linux/riscv64", goal, says="is not here for linux/riscv64")

    def test_through_the_registry_that_berth_serves(self):
        self.ok("pull", "--all-platforms", self.name)
        serving = Registry(self.engine)
        self.addCleanup(serving.close)
        goal = f"{serving.address}/kept:1"
        self.ok("tag", self.name, goal)
        self.assertIn(self.digest, self.ok("push", goal).lines[-1])
        answer = serving.get("/v2/kept/manifests/1")
        self.assertEqual(registry.digest_of(answer.body), self.digest)
        self.remove_all()
        self.assertIn(f"Digest: {self.digest}", self.ok("pull", "--all-platforms", goal).lines)
        self.assertEqual(self.saved(goal)["digest"], self.digest)


class Life(IndexCase):
    def test_the_index_goes_with_its_last_name(self):
        self.ok("pull", "--all-platforms", self.name)
        self.ok("tag", self.name, "copy:1")
        self.ok("rmi", self.name)
        foreign = {self.images[0].layers[1][7:], self.images[0].id[7:], self.digest[7:]}
        self.assertFalse(foreign & self.blobs())
        self.assertEqual(self.ok("run", "--rm", "copy:1").text, "ours")

    def test_collection_spares_it(self):
        self.ok("pull", "--all-platforms", self.name)
        self.ok("image", "prune", "-f")
        self.ok("system", "prune", "-f")
        self.assertLessEqual(self.everything(), self.blobs())
        self.engine.terminate()
        self.engine.start()
        self.assertLessEqual(self.everything(), self.blobs())
        self.assertEqual(len(self.engine.inspect(self.name, "image")["Manifests"]), 3)
        self.ok("image", "prune", "-a", "-f")
        self.assertFalse(self.everything() & self.blobs())

    def test_system_df_counts_it(self):
        before = self.engine.api.get("/system/df").json()["LayersSize"]
        self.ok("pull", "--all-platforms", self.name)
        grown = self.engine.api.get("/system/df").json()["LayersSize"] - before
        foreign = sum(len(image.blobs[layer]) for image in (self.images[0], self.images[2]) for layer in image.layers)
        self.assertGreaterEqual(grown, foreign)

    def test_a_damaged_blob_of_another_platform_is_found(self):
        self.ok("pull", "--all-platforms", self.name)
        path = os.path.join(self.engine.data, "content", "blobs", "sha256", self.images[0].layers[1][7:])
        os.chmod(path, 0o600)
        with open(path, "r+b") as file:
            file.write(b"\0\0")
        result = self.engine("image", "verify", self.name)
        self.assertEqual(result.code, 1)
        self.assertIn(f"{self.name}: blob {self.images[0].layers[1]} has other bytes", result.out)

    def test_kill_9_during_the_pull(self):
        """Nothing is claimed that is not there, and the next pull finishes it."""
        payload = Image([archive_of(os.urandom(2 << 20))], architecture="arm64")
        self.images.append(payload)
        self.digest = self.registry.add_index("many", "1", self.images)
        for fault_at in (self.images[0].layers[0], payload.layers[0]):
            with self.subTest(fault_at=fault_at):
                reached, release = threading.Event(), threading.Event()
                self.addCleanup(release.set)

                def stall(handler):
                    reached.set()
                    release.wait(60)
                    handler.break_off()
                self.registry.faults = [registry.once(fault_at, stall)]
                with self.engine.popen("pull", "--all-platforms", self.name):
                    self.assertTrue(reached.wait(30))
                    self.engine.kill()
                release.set()
                self.engine.start()
                self.assertEqual(self.ok("image", "verify", "-q").out, "")
        self.ok("pull", "--all-platforms", self.name)
        self.assertLessEqual(self.everything(), self.blobs())
        self.assertEqual(self.ok("image", "verify", "-q").out, "")


def archive_of(data):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("payload")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()
