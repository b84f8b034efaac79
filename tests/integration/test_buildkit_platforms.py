"""Builds for several platforms, their archives and attestations, as BuildKit's clients ask for them (docs/buildkit.md)."""
import base64
import hashlib
import io
import json
import os
import tarfile

from harness.engine import IMAGE
from harness.registry import FakeRegistry
from test_buildkit import BuildkitCase

INDEX = "application/vnd.oci.image.index.v1+json"
BOTH = {"platform": "linux/amd64,linux/arm64"}
# A cross build: the tools run here, and what they make is for the other machine.
CROSS = (f"FROM --platform=$BUILDPLATFORM {IMAGE} AS tools\nARG TARGETARCH\nARG TARGETPLATFORM\nARG BUILDPLATFORM\n"
         "RUN echo $BUILDPLATFORM makes $TARGETPLATFORM > /made-$TARGETARCH\n"
         "FROM scratch\nARG TARGETARCH\nCOPY --from=tools /made-$TARGETARCH /made\n")


class Layout:
    """An OCI layout in a tar: its blobs by digest."""

    def __init__(self, data):
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            self.files = {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}

    def blob(self, digest):
        data = self.files["blobs/sha256/" + digest.removeprefix("sha256:")]
        assert hashlib.sha256(data).hexdigest() == digest.removeprefix("sha256:")
        return data

    def document(self, descriptor):
        return json.loads(self.blob(descriptor["digest"]))

    def top(self):
        return json.loads(self.files["index.json"])["manifests"]


class Platforms(BuildkitCase):
    def archive(self, files, attributes, exporter="oci", more=None):
        answer, seen = self.solve(files, attributes, (exporter, more or {}))
        return answer, Layout(files.received[""]), seen

    def file_of(self, layout, manifest, name):
        """A file of an image's last layer."""
        layer = layout.blob(layout.document(manifest)["layers"][-1]["digest"])
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            return archive.extractfile(name).read().decode().strip()

    def test_an_index_of_cross_builds_in_an_archive(self):
        answer, layout, seen = self.archive(self.files(CROSS), BOTH, more={"name": "plat/one:1"})
        top = layout.top()
        self.assertEqual([entry["mediaType"] for entry in top], [INDEX])
        self.assertEqual(top[0]["annotations"]["io.containerd.image.name"], "docker.io/plat/one:1")
        self.assertEqual(top[0]["annotations"]["org.opencontainers.image.ref.name"], "1")
        self.assertEqual(answer["containerimage.digest"], top[0]["digest"])
        self.assertEqual(json.loads(base64.b64decode(answer["containerimage.descriptor"]))["digest"], top[0]["digest"])
        manifests = layout.document(top[0])["manifests"]
        self.assertEqual([entry["platform"]["architecture"] for entry in manifests], ["amd64", "arm64"])
        host = self.engine.inspect(IMAGE, "image")
        here = f"linux/{host['Architecture']}"
        for entry in manifests:
            architecture = entry["platform"]["architecture"]
            self.assertEqual(self.file_of(layout, entry, "made"), f"{here} makes linux/{architecture}")
            config = layout.document(layout.document(entry)["config"])
            self.assertEqual((config["os"], config["architecture"]), ("linux", architecture))
        names = [vertex.name for message in seen for vertex in message.vertexes]
        self.assertTrue([name for name in names if name.startswith("[linux/arm64 ")], names)
        # Nothing of it stays in the engine.
        self.assertEqual(self.engine("inspect", "--type", "image", "plat/one:1").code, 1)

    def test_an_index_in_the_store_goes_out_whole(self):
        registry = FakeRegistry()
        self.addCleanup(registry.close)
        name = f"{registry.host}/plat/two:1"
        answer, _ = self.solve(self.files(CROSS), BOTH, ("image", {"name": name, "push": "true"}))
        kind, data = registry.manifests[("plat/two", "1")]
        self.assertEqual(kind, INDEX)
        self.assertEqual("sha256:" + hashlib.sha256(data).hexdigest(), answer["containerimage.digest"])
        for entry in json.loads(data)["manifests"]:
            self.assertIn(("plat/two", entry["digest"]), registry.manifests)
        # It is the host's image that has the name here; the other one is no dangling image.
        image = self.engine.inspect(name, "image")
        self.assertEqual(image["Id"], answer["containerimage.config.digest"])
        self.assertEqual(image["Architecture"], self.engine.inspect(IMAGE, "image")["Architecture"])
        self.assertEqual(self.ok("images", "-q", "--filter", "dangling=true").text, "")
        # Under another name it leaves as the same index.
        self.ok("tag", name, f"{registry.host}/plat/three:1")
        self.ok("push", f"{registry.host}/plat/three:1")
        self.assertEqual(registry.manifests[("plat/three", "1")][1], data)
        self.ok("rmi", "-f", name, f"{registry.host}/plat/three:1")

    def test_an_archive_of_docker_s_holds_one_platform(self):
        files = self.files("FROM scratch\nCOPY Dockerfile /f\n")
        answer, layout, _ = self.archive(files, {"platform": "linux/arm64"}, "docker", {"name": "plat/docker:1"})
        entry, = json.loads(layout.files["manifest.json"])
        self.assertEqual(entry["RepoTags"], ["plat/docker:1"])
        self.assertEqual(json.loads(layout.files[entry["Config"]])["architecture"], "arm64")
        self.assertEqual("sha256:" + entry["Config"].split("/")[-1], answer["containerimage.config.digest"])
        self.engine.load(files.received[""])
        self.assertEqual(self.engine.inspect("plat/docker:1", "image")["Architecture"], "arm64")
        self.ok("rmi", "-f", "plat/docker:1")
        failure = self.fails_to_solve(self.files(CROSS), BOTH, exporter=("docker", {"name": "plat/docker:2"}))
        self.assertIn("type=oci", failure.details())

    def test_files_of_several_platforms_have_directories_of_their_own(self):
        files = self.files(CROSS)
        self.solve(files, BOTH, ("local", {}))
        self.assertEqual({path for path in files.received if path.endswith("made")}, {"linux_amd64/made", "linux_arm64/made"})
        self.assertIn(b"makes linux/arm64", files.received["linux_arm64/made"])
        files = self.files(CROSS)
        self.solve(files, BOTH, ("tar", {}))
        with tarfile.open(fileobj=io.BytesIO(files.received[""])) as archive:
            self.assertIn(b"makes linux/amd64", archive.extractfile("linux_amd64/made").read())

    def test_annotations(self):
        answer, layout, _ = self.archive(self.files("FROM scratch\nCOPY Dockerfile /f\n"), BOTH, more={
            "annotation.all": "a", "annotation[linux/arm64].one": "b", "annotation-index.top": "c",
            "annotation-manifest-descriptor.d": "d", "annotation-index-descriptor.e": "e"})
        top, = layout.top()
        self.assertEqual(top["annotations"]["e"], "e")
        index = layout.document(top)
        self.assertEqual(index["annotations"], {"top": "c"})
        self.assertEqual([entry["annotations"] for entry in index["manifests"]], [{"d": "d"}] * 2)
        self.assertEqual([layout.document(entry)["annotations"] for entry in index["manifests"]], [{"all": "a"}, {"all": "a", "one": "b"}])
        failure = self.fails_to_solve(self.files("FROM scratch\nCOPY Dockerfile /f\n"), {"platform": "linux/amd64"},
                                      exporter=("oci", {"annotation[linux/s390x].x": "y"}))
        self.assertIn("linux/s390x, which is not built", failure.details())

    def test_provenance_is_attached_to_the_index(self):
        dockerfile = f"FROM {IMAGE}\nARG SECRET_ARGUMENT\nRUN true\n"
        attributes = {"attest:provenance": "mode=max,builder-id=https://builder.example", "build-arg:SECRET_ARGUMENT": "value"}
        _, layout, _ = self.archive(self.files(dockerfile), attributes, more={"name": "plat/proved:1"})
        image, attestation = layout.document(layout.top()[0])["manifests"]
        self.assertEqual(attestation["platform"], {"architecture": "unknown", "os": "unknown"})
        self.assertEqual(attestation["annotations"], {"vnd.docker.reference.digest": image["digest"],
                                                      "vnd.docker.reference.type": "attestation-manifest"})
        layer, = layout.document(attestation)["layers"]
        self.assertEqual(layer["mediaType"], "application/vnd.in-toto+json")
        self.assertEqual(layer["annotations"]["in-toto.io/predicate-type"], "https://slsa.dev/provenance/v0.2")
        statement = json.loads(layout.blob(layer["digest"]))
        self.assertEqual(statement["_type"], "https://in-toto.io/Statement/v0.1")
        subject, = statement["subject"]
        self.assertEqual("sha256:" + subject["digest"]["sha256"], image["digest"])
        self.assertTrue(subject["name"].startswith("pkg:docker/plat/proved@1?platform=linux%2F"), subject)
        predicate = statement["predicate"]
        self.assertEqual(predicate["builder"]["id"], "https://builder.example")
        self.assertEqual(predicate["buildType"], "https://mobyproject.org/buildkit@v1")
        self.assertEqual(predicate["invocation"]["parameters"]["args"]["build-arg:SECRET_ARGUMENT"], "value")
        self.assertEqual(predicate["invocation"]["configSource"]["entryPoint"], "Dockerfile")
        material, = predicate["materials"]
        self.assertIn("pkg:docker/", material["uri"])
        self.assertEqual(len(material["digest"]["sha256"]), 64)
        info, = predicate["metadata"]["https://mobyproject.org/buildkit@v1#metadata"]["source"]["infos"]
        self.assertEqual(base64.b64decode(info["data"]).decode(), dockerfile)

    def test_the_short_form_of_provenance_has_no_arguments(self):
        attributes = {"attest:provenance": "mode=min", "build-arg:A": "value", "label:l": "v"}
        _, layout, _ = self.archive(self.files("FROM scratch\nARG A\nCOPY Dockerfile /f\n"), attributes)
        _, attestation = layout.document(layout.top()[0])["manifests"]
        statement = json.loads(layout.blob(layout.document(attestation)["layers"][0]["digest"]))
        self.assertEqual(statement["subject"][0]["name"], "_")
        self.assertNotIn("value", json.dumps(statement["predicate"]["invocation"]))
        self.assertFalse(statement["predicate"]["metadata"]["completeness"]["parameters"])

    def test_provenance_that_nobody_asked_for_stays_out_of_the_engine(self):
        default = {"attest:provenance": "mode=min,inline-only=true"}
        answer, _ = self.solve(self.files(f"FROM {IMAGE}\nLABEL a=b\n"), default, ("moby", {"name": "plat/plain:1"}))
        self.assertEqual(answer["containerimage.digest"], answer["containerimage.config.digest"])
        registry = FakeRegistry()
        self.addCleanup(registry.close)
        self.solve(self.files(f"FROM {IMAGE}\nLABEL a=b\n"), default, ("image", {"name": f"{registry.host}/plat/p:1", "push": "true"}))
        self.assertEqual(registry.manifests[("plat/p", "1")][0], INDEX)

    def test_what_is_refused(self):
        plain = self.files("FROM scratch\nCOPY Dockerfile /f\n")
        for attributes, exporter, words in (
                ({"attest:sbom": ""}, ("oci", {}), "--sbom is not supported"),
                ({"attest:other": "x"}, ("oci", {}), "attestations of type other"),
                ({"attest:provenance": "mode=most"}, ("oci", {}), "min or max"),
                ({"platform": "linux/amd64,nonsense/\x01"}, ("oci", {}), "platform"),
                ({"platform": ",".join(f"linux/a{n}" for n in range(17))}, ("oci", {}), "16 platforms at most"),
                ({}, ("image", {"name": "a/b", "push": "true", "push-by-digest": "true"}), "push-by-digest")):
            self.assertIn(words, self.fails_to_solve(plain, attributes, exporter=exporter).details())

    def test_a_result_in_a_directory_of_the_client_s(self):
        files = self.files(CROSS, stores={"export": {}})
        answer, _ = self.solve(files, BOTH, ("oci", {"tar": "false"}))
        blobs = files.stores["export"]
        index = json.loads(blobs[answer["containerimage.digest"]])
        for entry in index["manifests"]:
            manifest = json.loads(blobs[entry["digest"]])
            for descriptor in (manifest["config"], *manifest["layers"]):
                self.assertEqual(len(blobs[descriptor["digest"]]), descriptor["size"])

    def test_run_of_a_foreign_machine_says_what_is_missing(self):
        if os.path.exists("/proc/sys/fs/binfmt_misc/qemu-s390x"):
            self.skipTest("this machine runs programs for s390x")
        foreign = b"\x7fELF\x02\x02\x01" + bytes(9) + b"\x00\x02\x00\x16" + bytes(44)
        files = self.files('FROM scratch\nCOPY --chmod=755 program /program\nRUN ["/program"]\n', {"program": foreign})
        message = self.fails_to_solve(files, {"platform": "linux/s390x"}).details()
        for words in ("exec format error", "needs an emulator", "qemu-s390x", "qemu-user-static", "$BUILDPLATFORM"):
            self.assertIn(words, message)

    def test_base_images_keep_their_names_here(self):
        """A build for another machine pulls that machine's base image; what the name starts here stays."""
        from harness.archives import busybox_entries, tar
        from harness.registry import Image
        registry = FakeRegistry()
        self.addCleanup(registry.close)
        here = self.engine.inspect(IMAGE, "image")["Architecture"]
        images = [Image([tar(busybox_entries())], architecture=architecture) for architecture in (here, "s390x")]
        registry.add_index("base", "1", images)
        base = f"{registry.host}/base:1"
        self.ok("pull", base)
        before = self.engine.inspect(base, "image")["Id"]
        _, layout, _ = self.archive(self.files(f"FROM {base}\nCOPY Dockerfile /f\n"), {"platform": f"linux/{here},linux/s390x"})
        self.assertEqual([entry["platform"]["architecture"] for entry in layout.document(layout.top()[0])["manifests"]], [here, "s390x"])
        self.assertEqual(self.engine.inspect(base, "image")["Id"], before)
