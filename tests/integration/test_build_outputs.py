"""`berth build` for several platforms and into archives and directories; --cache-from where berth's routes are not."""
import http.server
import io
import json
import os
import socketserver
import tarfile
import threading

from harness.engine import IMAGE, EngineCase, run
from harness.registry import FakeRegistry

BOTH = ("--platform", "linux/amd64,linux/arm64")
CROSS = (f"FROM --platform=$BUILDPLATFORM {IMAGE} AS tools\nARG TARGETARCH\nRUN echo for $TARGETARCH > /made\n"
         "FROM scratch\nCOPY --from=tools /made /made\n")


class Outputs(EngineCase):
    def setUp(self):
        super().setUp()
        self.only_our_command("docker's own command without buildx has no --output")
        self.context, self.out = self.folder(), self.folder()

    def build(self, *flags, dockerfile=CROSS, code=0):
        with open(os.path.join(self.context, "Dockerfile"), "w") as file:
            file.write(dockerfile)
        done = self.engine("build", *flags, self.context)
        self.assertEqual(done.code, code, str(done))
        return done

    def test_an_index_is_pushed_whole(self):
        registry = FakeRegistry()
        self.addCleanup(registry.close)
        name, metadata, ids = f"{registry.host}/out/multi:1", os.path.join(self.out, "m.json"), os.path.join(self.out, "id")
        self.build(*BOTH, "--push", "-t", name, "--metadata-file", metadata, "--iidfile", ids, "--annotation", "index:a=b",
                   "--annotation", "manifest[linux/arm64]:only=arm")
        index = json.loads(registry.manifests[("out/multi", "1")][1])
        self.assertEqual([entry["platform"]["architecture"] for entry in index["manifests"]], ["amd64", "arm64"])
        self.assertEqual(index["annotations"], {"a": "b"})
        arm = json.loads(registry.manifests[("out/multi", index["manifests"][1]["digest"])][1])
        self.assertEqual(arm["annotations"], {"only": "arm"})
        with open(metadata) as file:
            told = json.load(file)
        self.assertEqual(told["image.name"], name)
        with open(ids) as file:
            self.assertEqual(file.read(), told["containerimage.config.digest"])
        self.assertEqual(self.engine.inspect(name, "image")["Id"], told["containerimage.config.digest"])
        self.assertEqual(self.ok("images", "-q", "--filter", "dangling=true").text, "")
        self.ok("rmi", "-f", name)

    def test_one_image_is_pushed_as_it_is(self):
        registry = FakeRegistry()
        self.addCleanup(registry.close)
        name = f"{registry.host}/out/one:1"
        self.build("--push", "-t", name)
        self.assertEqual(registry.manifests[("out/one", "1")][0], "application/vnd.oci.image.manifest.v1+json")
        self.build("--output", f"type=image,name={registry.host}/out/two,push=true")
        self.assertIn(("out/two", "latest"), registry.manifests)
        self.ok("rmi", "-f", name, f"{registry.host}/out/two")

    def test_archives(self):
        archive = os.path.join(self.out, "oci.tar")
        self.build(*BOTH, "-t", "out/archive:1", "-o", f"type=oci,dest={archive}")
        with tarfile.open(archive) as opened:
            top, = json.load(opened.extractfile("index.json"))["manifests"]
            index = json.load(opened.extractfile("blobs/sha256/" + top["digest"].removeprefix("sha256:")))
        self.assertEqual(len(index["manifests"]), 2)
        self.assertEqual(self.engine("inspect", "--type", "image", "out/archive:1").code, 1, "nothing stays in the engine")
        # What was written can be read: the host's image of the index.
        self.ok("load", "-i", archive)
        self.assertEqual(self.engine.inspect("out/archive:1", "image")["RepoTags"], ["out/archive:1"])
        docker = os.path.join(self.out, "docker.tar")
        self.build("-t", "out/docker:1", "-o", f"type=docker,dest={docker}")
        self.ok("load", "-i", docker)
        self.ok("rmi", "-f", "out/archive:1", "out/docker:1")
        self.assertIn("type=oci", self.build(*BOTH, "-o", f"type=docker,dest={docker}", code=1).err)

    def test_directories(self):
        self.build(*BOTH, "-o", os.path.join(self.out, "files"))
        for architecture in ("amd64", "arm64"):
            with open(os.path.join(self.out, "files", f"linux_{architecture}", "made")) as file:
                self.assertEqual(file.read(), f"for {architecture}\n")
        self.build("-o", os.path.join(self.out, "one"))
        self.assertTrue(os.path.exists(os.path.join(self.out, "one", "made")))
        archive = os.path.join(self.out, "files.tar")
        self.build("-o", f"type=tar,dest={archive}")
        with tarfile.open(archive) as opened:
            self.assertIn("made", [member.name.removeprefix("./") for member in opened])
        self.assertIn("type=local", self.build(*BOTH, "-o", f"type=tar,dest={archive}", code=1).err)

    def test_what_is_refused(self):
        for flags, words in ((("-o", "type=nothing,dest=x"), "one of image, registry, oci"), (("--push",), "add --tag"),
                             (("--annotation", "nowhere:a=b"), "none of manifest, index"), (("--sbom=true",), "scanner"),
                             (("--provenance=mode=max",), "docker buildx build"), (("-o", "type=local"), "dest=DIR")):
            done = self.engine("build", *flags, self.context)
            self.assertNotEqual(done.code, 0)
            self.assertIn(words, done.err)
        self.assertIn("read once", self.engine("build", *BOTH, "-", input="FROM scratch\n").err)


class _Classic(http.server.BaseHTTPRequestHandler):
    """An engine of others: POST /build, and nothing of berth's."""

    def log_message(self, *arguments):
        pass

    def answer(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Api-Version", "1.51")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(404, b'{"message": "page not found"}')

    def do_POST(self):
        self.server.asked.append(self.path)
        body = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        self.answer(200, b'{"stream": "Successfully built 123456789abc\\n"}\r\n')


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def get_request(self):
        request, _ = super().get_request()
        return request, ("engine", 0)


class Elsewhere(EngineCase):
    def setUp(self):
        super().setUp()
        self.only_our_command("it is berth's command that falls back")
        self.context = self.folder()
        with open(os.path.join(self.context, "Dockerfile"), "w") as file:
            file.write("FROM scratch\n")
        socket = os.path.join(self.folder(), "engine.sock")
        self.server = _Server(socket, _Classic)
        self.server.asked = []
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.words = [*self.engine.cli[:1], "-H", f"unix://{socket}", "build"]

    def test_cache_from_goes_to_the_classic_builder_with_a_note(self):
        done = run([*self.words, "--cache-from", "some/image:1", self.context], env=self.engine.env)
        self.assertEqual(done.code, 0, str(done))
        self.assertIn("another engine's: --cache-from goes to its classic builder", done.err)
        asked, = self.server.asked
        self.assertIn("/build?", asked)
        self.assertNotIn("/berth/", asked)
        self.assertIn("cachefrom=%5B%22some%2Fimage", asked)

    def test_what_it_cannot_carry_is_refused_by_name(self):
        done = run([*self.words, "--secret", f"id=s,src={self.context}/Dockerfile", self.context], env=self.engine.env)
        self.assertNotEqual(done.code, 0)
        self.assertIn("--secret needs berth's own engine", done.err)
        self.assertEqual(self.server.asked, [])
