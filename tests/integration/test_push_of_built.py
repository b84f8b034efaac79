"""Pushes of layers that were built here: they are sent while they are compressed."""
import gzip
import json
import os

from harness import archives
from harness.engine import EngineCase
from harness.registry import FakeRegistry, digest_of, once


def lost_once(of_stream):
    """A fault: the registry knows an upload no more whose bytes came as a stream (or with the request that ends it)."""
    def fault(handler):
        size = int(handler.headers.get("Content-Length", 0))
        if fault.happened or handler.command != "PUT" or "/blobs/uploads/" not in handler.path or (size == 0) != of_stream:
            return False
        fault.happened = True
        handler.refuse(404, "BLOB_UPLOAD_UNKNOWN", "unknown")
        return True
    fault.happened = False
    return fault


class Built(EngineCase):
    def setUp(self):
        super().setUp()
        self.only_berth("its ways are held to here")
        self.registry = FakeRegistry()
        self.addCleanup(self.registry.close)

    def built(self, repository):
        folder = self.folder()
        archives.written(folder, "Dockerfile", b"FROM scratch\nCOPY data /data\n")
        archives.written(folder, "data", os.urandom(1 << 20) + b"text " * 200_000)
        name = f"{self.registry.host}/{repository}:1"
        self.ok("build", "-t", name, folder)
        self.addCleanup(self.engine, "rmi", "-f", name)
        return name

    def patches(self, name):
        """The headers of requests with a layer's bytes."""
        repository = name.split("/")[1].split(":")[0]
        patches = [headers for method, path, headers in self.registry.journal
                   if method == "PATCH" and path.startswith(f"/v2/{repository}/")]
        return [each for each in patches if int(each.get("Content-Length", 1 << 20)) > 100_000]

    def check_what_arrived(self, name):
        _, bytes_of_manifest = self.registry.manifests[(name.split("/")[1].split(":")[0], "1")]
        self.assertEqual(self.engine.inspect(name)["RepoDigests"][0].split("@")[1], digest_of(bytes_of_manifest))
        manifest = json.loads(bytes_of_manifest)
        layer = self.registry.blobs[manifest["layers"][0]["digest"]]
        self.assertEqual(len(layer), manifest["layers"][0]["size"])
        config = json.loads(self.registry.blobs[manifest["config"]["digest"]])
        self.assertEqual(digest_of(gzip.decompress(layer)), config["rootfs"]["diff_ids"][0])

    def test_it_is_sent_while_it_is_compressed_and_once(self):
        name = self.built("streamed")
        self.ok("push", name)
        self.assertEqual([each.get("Transfer-Encoding") for each in self.patches(name)], ["chunked"])
        self.check_what_arrived(name)
        self.assertIn("Layer already exists", self.ok("push", name).out)
        self.assertEqual(len(self.patches(name)), 1)

    def test_a_registry_that_wants_to_know_the_size(self):
        def refuse_streams(handler):
            if handler.command != "PATCH" or handler.headers.get("Transfer-Encoding") != "chunked":
                return False
            handler.refuse(411, "SIZE_INVALID", "length required")
            return True
        self.registry.faults.append(refuse_streams)
        name = self.built("sized")
        self.ok("push", name)
        self.assertEqual(["Content-Length" in each for each in self.patches(name)], [False, True])
        self.check_what_arrived(name)

    def test_a_registry_that_loses_what_was_streamed(self):
        name = self.built("lost")
        fault = lost_once(of_stream=True)
        self.registry.faults.append(fault)
        self.ok("push", name)
        self.assertTrue(fault.happened)
        self.check_what_arrived(name)

    def test_a_registry_that_loses_the_upload_of_the_configuration(self):
        name = self.built("lost-config")
        fault = lost_once(of_stream=False)
        self.registry.faults.append(fault)
        self.ok("push", name)
        self.assertTrue(fault.happened)
        self.check_what_arrived(name)

    def test_lines_that_break(self):
        name = self.built("broken")
        self.registry.faults.append(once("/v2/broken/blobs/uploads/", lambda h: h.break_off(), "PATCH", 2))
        self.ok("push", name)
        self.check_what_arrived(name)

    def test_a_damaged_layer_is_not_pushed(self):
        name = self.built("damaged")
        diff_id = self.engine.inspect(name)["RootFS"]["Layers"][0].split(":")[1]
        path = os.path.join(self.engine.data, "layers", diff_id, "fs", "data")  # the lowest layer's chain id is its diff id
        with open(path, "r+b") as file:
            file.seek(500_000)
            byte = file.read(1)
            file.seek(500_000)
            file.write(bytes([byte[0] ^ 1]))
        said = self.engine("push", name)
        self.assertEqual(said.code, 1, str(said))
        self.assertIn("damaged on disk", said.err + said.out)
        self.assertNotIn(("damaged", "1"), self.registry.manifests)
