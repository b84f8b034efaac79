"""docker build with the buildx plugin, where that is installed (as docker's own plugin, or named by BERTH_BUILDX)."""
import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
import tempfile
import unittest

from harness.engine import IMAGE, PROGRAMS, EngineCase, docker_client
from harness.registry import FakeRegistry

PLACES = ("~/.docker/cli-plugins", "/usr/local/lib/docker/cli-plugins", "/usr/local/libexec/docker/cli-plugins",
          "/usr/lib/docker/cli-plugins", "/usr/libexec/docker/cli-plugins")


def plugin():
    """The path of buildx; None when it is not installed."""
    named = os.environ.get("BERTH_BUILDX")
    found = [os.path.join(os.path.expanduser(place), "docker-buildx") for place in PLACES]
    return next((path for path in ([named] if named else found) if os.access(path, os.X_OK)), None)


@unittest.skipUnless(plugin() and docker_client(), "docker's buildx plugin is not installed")
class Buildx(EngineCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.config = os.path.join(cls.engine.folder, "buildx-config")
        os.makedirs(os.path.join(cls.config, "cli-plugins"))
        os.symlink(plugin(), os.path.join(cls.config, "cli-plugins", "docker-buildx"))

    def docker(self, *arguments, code=0, **more):
        env = {**os.environ, "DOCKER_HOST": f"unix://{self.engine.socket}", "DOCKER_CONFIG": self.config,
               "BUILDX_CONFIG": os.path.join(self.engine.folder, "buildx"), "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
               "NO_COLOR": "1", **more.pop("env", {})}
        done = subprocess.run([docker_client(), *arguments], env=env, capture_output=True, text=True, timeout=180, **more)
        self.assertEqual(done.returncode, code, f"{arguments}\n{done.stdout}\n{done.stderr}")
        return done

    def context(self, dockerfile, **files):
        folder = self.folder()
        for name, content in {"Dockerfile": dockerfile, **files}.items():
            with open(os.path.join(folder, name), "w") as file:
                file.write(content)
        return folder

    def test_a_build_with_arguments_labels_and_tags(self):
        folder = self.context(f"FROM {IMAGE}\nARG A=1\nCOPY f /f\nRUN echo $A >> /f\n", f="file\n")
        told = self.docker("build", "-t", "bx/one", "-t", "bx/one:2", "--build-arg", "A=two", "--label", "l=v",
                           "--progress", "plain", "--iidfile", os.path.join(folder, "id"), folder)
        self.assertIn("writing image sha256:", told.stderr)
        self.assertEqual(self.run_sh("cat /f", image="bx/one:2").text, "file\ntwo")
        with open(os.path.join(folder, "id")) as file:
            self.assertEqual(file.read(), self.engine.inspect("bx/one", "image")["Id"])
        self.assertIn("CACHED", self.docker("build", "--progress", "plain", "--build-arg", "A=two", folder).stderr)

    def test_caches_in_a_registry(self):
        folder = self.context(f"FROM {IMAGE} AS tools\nRUN echo tool > /tool\nFROM {IMAGE}\nCOPY --from=tools /tool /tool\n"
                              "RUN cat /proc/sys/kernel/random/uuid > /made\n")
        registry = FakeRegistry()
        self.addCleanup(registry.close)
        cache = f"type=registry,ref={registry.host}/cache:1"
        told = self.docker("build", "-t", "bx/cache", "--progress", "plain", "--cache-to", f"{cache},mode=max", folder)
        self.assertIn(f"exporting cache to registry {registry.host}/cache:1", told.stderr)
        made = self.run_sh("cat /made", image="bx/cache").text
        self.ok("rmi", "-f", "bx/cache")
        self.docker("buildx", "prune", "-af")
        told = self.docker("build", "-t", "bx/cache", "--progress", "plain", "--cache-from", cache, folder)
        self.assertEqual(told.stderr.count("CACHED"), 3, told.stderr)
        self.assertEqual(self.run_sh("cat /made", image="bx/cache").text, made)

    def forget(self, image="bx/cache"):
        """What was built is neither an image nor in the engine's cache any more."""
        self.ok("rmi", "-f", image)
        self.docker("buildx", "prune", "-af")

    def test_caches_in_a_directory(self):
        folder = self.context(f"FROM {IMAGE} AS tools\nRUN echo tool > /tool\nFROM {IMAGE}\nCOPY --from=tools /tool /tool\n"
                              "RUN cat /proc/sys/kernel/random/uuid > /made\n")
        place = os.path.join(self.folder(), "cache")
        told = self.docker("build", "-t", "bx/cache", "--progress", "plain", "--cache-to", f"type=local,dest={place},mode=max", folder)
        self.assertIn("exporting cache to client directory", told.stderr)
        made = self.run_sh("cat /made", image="bx/cache").text
        for _ in range(2):  # from the directory, and once more with one that is there already
            self.forget()
            told = self.docker("build", "-t", "bx/cache", "--progress", "plain", "--cache-from", f"type=local,src={place}",
                               "--cache-to", f"type=local,dest={place},mode=max", folder)
            self.assertEqual(told.stderr.count("CACHED"), 3, told.stderr)
            self.assertEqual(self.run_sh("cat /made", image="bx/cache").text, made)

    def test_caches_in_images(self):
        registry = FakeRegistry()
        self.addCleanup(registry.close)
        folder = self.context(f"FROM {IMAGE}\nRUN cat /proc/sys/kernel/random/uuid > /made\n")
        for number, flags in enumerate((("--cache-to", "type=inline"), ("--build-arg", "BUILDKIT_INLINE_CACHE=1"))):
            image = f"{registry.host}/bx/inline:{number}"
            self.docker("buildx", "build", "--push", "-t", image, *flags, folder)
            made = self.run_sh("cat /made", image=image).text
            self.forget(image)
            told = self.docker("build", "-t", "bx/cache", "--progress", "plain", "--cache-from", image, folder)
            self.assertIn("CACHED", told.stderr)
            self.assertEqual(self.run_sh("cat /made", image="bx/cache").text, made)
            self.forget()

    def test_checks(self):
        folder = self.context(f"FROM {IMAGE} AS Base\nENV A=$NOTHING\nCMD echo\n")
        told = self.docker("build", "--check", folder, code=1).stdout
        self.assertIn("Check complete, 3 warnings have been found!", told)
        for rule in ("StageNameCasing", "UndefinedVar", "JSONArgsRecommended"):
            self.assertIn(f"WARNING: {rule} - https://docs.docker.com/go/dockerfile/rule/", told)
        # berth's own command says the same.
        with tempfile.TemporaryDirectory() as empty:
            done = subprocess.run([os.path.join(PROGRAMS, "berth"), "-H", f"unix://{self.engine.socket}", "build", "--check", folder],
                                  env={**os.environ, "HOME": empty}, capture_output=True, text=True, timeout=60)
        # (docker counts an empty line behind the last one's end.)
        self.assertEqual((done.returncode, done.stdout), (1, re.sub(r"(?m)^ +\d+ \|     \n", "", told)))
        told = self.docker("build", folder).stderr
        self.assertIn("3 warnings found", told)
        self.assertIn(" - UndefinedVar: Usage of undefined variable '$NOTHING' (line 2)", told)
        self.assertIn("no warnings found", self.docker("build", "--check", self.context(f"FROM {IMAGE}\n")).stdout)
        self.assertIn("base (default)", self.docker("build", "--call", "targets", folder).stdout)
        self.assertIn("TARGET:", self.docker("build", "--call", "outline", folder).stdout)

    def test_a_push(self):
        registry = FakeRegistry()
        self.addCleanup(registry.close)
        folder = self.context(f"FROM {IMAGE}\nLABEL pushed=1\n")
        self.docker("buildx", "build", "--push", "-t", f"{registry.host}/bx/pushed:1", folder)
        self.assertIn(("bx/pushed", "1"), registry.manifests)
        self.assertEqual(registry.asked("PUT", "/manifests/"), ["/v2/bx/pushed/manifests/1"])  # once
        registry.faults.append(lambda handler: handler.refuse(403, "DENIED", "no pushes today") or True)
        told = self.docker("buildx", "build", "--push", "-t", f"{registry.host}/bx/refused:1", folder, code=1)
        self.assertIn("denied", told.stderr)

    def test_what_this_engine_does_not_do_is_said(self):
        folder = self.context(f"FROM {IMAGE}\n")
        told = self.docker("buildx", "build", "--sbom", "true", folder, code=1)
        self.assertIn("needs a scanner's image", told.stderr)

    def cross(self):
        return self.context(f"FROM --platform=$BUILDPLATFORM {IMAGE} AS tools\nARG TARGETARCH\nRUN echo for $TARGETARCH > /made\n"
                            "FROM scratch\nCOPY --from=tools /made /made\n")

    def layout(self, data):
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}

    def blob(self, files, digest):
        return json.loads(files["blobs/sha256/" + digest.removeprefix("sha256:")])

    def test_several_platforms(self):
        registry = FakeRegistry()
        self.addCleanup(registry.close)
        folder, name = self.cross(), f"{registry.host}/bx/multi:1"
        metadata, ids = os.path.join(folder, "m.json"), os.path.join(folder, "id")
        self.docker("buildx", "build", "--platform", "linux/amd64,linux/arm64", "--push", "-t", name, "--metadata-file", metadata,
                    "--iidfile", ids, "--annotation", "index:org.example=yes", folder)
        kind, data = registry.manifests[("bx/multi", "1")]
        self.assertEqual(kind, "application/vnd.oci.image.index.v1+json")
        index = json.loads(data)
        self.assertEqual([entry["platform"]["architecture"] for entry in index["manifests"]], ["amd64", "arm64"])
        self.assertEqual(index["annotations"], {"org.example": "yes"})
        with open(metadata) as file:
            told = json.load(file)
        self.assertEqual(told["containerimage.digest"], "sha256:" + hashlib.sha256(data).hexdigest())
        self.assertEqual(told["containerimage.descriptor"]["mediaType"], kind)
        self.assertIn("buildx.build.provenance/linux/arm64", told)
        with open(ids) as file:
            self.assertEqual(file.read(), self.engine.inspect(name, "image")["Id"])
        self.assertIn("linux/arm64", self.docker("buildx", "imagetools", "inspect", name).stdout)

    def test_archives_and_directories_of_several_platforms(self):
        folder, out = self.cross(), self.folder()
        both = ("--platform", "linux/amd64,linux/arm64")
        self.docker("buildx", "build", *both, "-t", "bx/archive:1", "-o", f"type=oci,dest={out}/oci.tar", folder)
        with open(os.path.join(out, "oci.tar"), "rb") as file:
            files = self.layout(file.read())
        top, = json.loads(files["index.json"])["manifests"]
        self.assertEqual(len(self.blob(files, top["digest"])["manifests"]), 2)
        self.docker("buildx", "build", *both, "-t", "bx/archive:1", "-o", f"type=oci,dest={out}/layout,tar=false", folder)
        with open(os.path.join(out, "layout", "index.json")) as file:
            self.assertEqual([entry["digest"] for entry in json.load(file)["manifests"]], [top["digest"]])
        self.docker("buildx", "build", *both, "-o", os.path.join(out, "files"), folder)
        for architecture in ("amd64", "arm64"):
            with open(os.path.join(out, "files", f"linux_{architecture}", "made")) as file:
                self.assertEqual(file.read(), f"for {architecture}\n")
        self.docker("buildx", "build", "-t", "bx/archive:2", "-o", f"type=docker,dest={out}/docker.tar", folder)
        self.docker("load", "-i", os.path.join(out, "docker.tar"))
        self.engine.inspect("bx/archive:2", "image")
        self.assertIn("oci exporter", self.docker("buildx", "build", *both, "-o", f"type=docker,dest={out}/no.tar", folder, code=1).stderr)

    def test_provenance(self):
        registry = FakeRegistry()
        self.addCleanup(registry.close)
        folder, name = self.context(f"FROM {IMAGE}\nARG A\nRUN true\n"), f"{registry.host}/bx/proved:1"
        self.docker("buildx", "build", "--provenance", "mode=max", "--build-arg", "A=value", "--push", "-t", name, folder)
        shown = self.docker("buildx", "imagetools", "inspect", name, "--format", "{{json .Provenance}}").stdout
        predicate = json.loads(shown)["SLSA"]
        self.assertEqual(predicate["invocation"]["parameters"]["args"]["build-arg:A"], "value")
        self.assertEqual(len(predicate["materials"]), 1)

    def test_history(self):
        folder = self.context(f"FROM {IMAGE}\nRUN echo in the history\n")
        self.docker("build", "-t", "bx/history", folder)
        shown = json.loads(self.docker("buildx", "history", "ls", "--format", "json").stdout.splitlines()[0])
        ref = shown["ref"].split("/")[-1]
        self.assertIn("in the history", self.docker("buildx", "history", "logs", ref).stderr)
        told = json.loads(self.docker("buildx", "history", "inspect", ref, "--format", "json").stdout)
        self.assertEqual((told["Ref"], told["Status"]), (ref, "completed"))
        self.assertGreater(told["NumTotalSteps"], 1)
        attached = self.docker("buildx", "history", "inspect", "attachment", ref, "--type", "provenance").stdout
        self.assertEqual(json.loads(attached)["buildType"], "https://mobyproject.org/buildkit@v1")
        trace, = json.loads(self.docker("buildx", "history", "trace", ref).stdout)["data"]
        self.assertEqual(len(trace["spans"]), told["NumTotalSteps"] + 1)
        # It opens Docker Desktop's page, wherever the engine is.
        opened = os.path.join(folder, "opened")
        with open(os.path.join(folder, "xdg-open"), "w") as file:
            file.write(f'#!/bin/sh\necho "$1" > {opened}\n')
        os.chmod(os.path.join(folder, "xdg-open"), 0o755)
        self.docker("buildx", "history", "open", ref, env={"PATH": f"{folder}:{os.environ['PATH']}"})
        with open(opened) as file:
            self.assertEqual(file.read().strip(), f"docker-desktop://dashboard/build/default/default/{ref}")
        self.docker("buildx", "history", "rm", ref)
        self.assertIn("no record found", self.docker("buildx", "history", "logs", ref, code=1).stderr)

    def test_a_build_with_default_attestations_asked_for(self):
        folder = self.context(f"FROM {IMAGE}\n")
        self.docker("build", "-t", "bx/attest", folder, env={"BUILDX_NO_DEFAULT_ATTESTATIONS": "0"})
        metadata = os.path.join(folder, "metadata.json")
        self.docker("buildx", "build", "--metadata-file", metadata, folder)
        with open(metadata) as file:
            self.assertIn("containerimage.config.digest", json.load(file))

    def test_dockerfiles_from_elsewhere(self):
        folder = self.context("FROM nothing\n", f="f")
        other = os.path.join(self.folder(), "Other.dockerfile")
        with open(other, "w") as file:
            file.write(f"FROM {IMAGE}\nCOPY f /other\n")
        self.docker("build", "-t", "bx/other", "-f", other, folder)
        self.run_sh("test -f /other", image="bx/other")
        self.docker("build", "-t", "bx/stdin", "-f", "-", folder, input=f"FROM {IMAGE}\nCOPY f /stdin\n")
        self.run_sh("test -f /stdin", image="bx/stdin")
        self.docker("build", "-t", "bx/alone", "-", input=f"FROM {IMAGE}\nRUN touch /alone\n")
        self.run_sh("test -f /alone", image="bx/alone")

    def test_secrets(self):
        folder = self.context(f"FROM {IMAGE}\nRUN --mount=type=secret,id=s cat /run/secrets/s | wc -c > /n\n", s="12345")
        self.docker("build", "-t", "bx/secret", "--secret", f"id=s,src={os.path.join(folder, 's')}", folder)
        self.assertEqual(self.run_sh("cat /n", image="bx/secret").text, "5")

    def test_named_contexts(self):
        folder, other = self.context("FROM base\nCOPY --from=other o /o\n"), self.context("", o="O")
        self.docker("build", "-t", "bx/named", "--build-context", f"base=docker-image://{IMAGE}", "--build-context", f"other={other}",
                    folder)
        self.assertEqual(self.run_sh("cat /o", image="bx/named").text, "O")

    def test_results_outside_the_engine(self):
        folder = self.context("FROM scratch\nCOPY f /deep/f\n", f="content")
        out = self.folder()
        self.docker("build", "-o", out, folder)
        with open(os.path.join(out, "deep", "f")) as file:
            self.assertEqual(file.read(), "content")
        archive = os.path.join(out, "out.tar")
        self.docker("build", "-o", f"type=tar,dest={archive}", folder)
        with tarfile.open(archive) as opened:
            self.assertEqual(opened.extractfile("deep/f").read(), b"content")

    def test_failures(self):
        folder = self.context(f"FROM {IMAGE}\nRUN exit 7\n")
        self.assertIn("exit code: 7", self.docker("build", folder, code=1).stderr)
        self.assertIn("unknown instruction", self.docker("build", self.context("FRUM x\n"), code=1).stderr)
        self.assertIn("no such file", self.docker("build", "-f", os.path.join(folder, "none"), folder, code=1).stderr)

    def test_bake(self):
        folder = self.context(f"FROM {IMAGE} AS one\nRUN touch /one\nFROM one AS two\nRUN touch /two\n")
        with open(os.path.join(folder, "docker-bake.json"), "w") as file:
            json.dump({"group": {"default": {"targets": ["one", "two"]}},
                       "target": {name: {"context": folder, "target": name, "tags": [f"bake/{name}"]}
                                  for name in ("one", "two")}}, file)
        self.docker("buildx", "bake", "-f", os.path.join(folder, "docker-bake.json"), cwd=folder)
        self.run_sh("test -f /two", image="bake/two")
        self.fails(1, "run", "--rm", "bake/one", "test", "-f", "/two")

    def test_what_is_there(self):
        self.assertIn("default", self.docker("buildx", "ls").stdout)
        self.assertIn("linux/", self.docker("buildx", "inspect").stdout)
        self.docker("build", self.context(f"FROM {IMAGE}\nRUN echo du\n"))
        self.assertIn("RUN echo du", self.docker("buildx", "du", "--verbose").stdout)
        self.docker("buildx", "prune", "-af")

    def test_nothing_is_left_running(self):
        self.assertEqual(self.engine.api.get("/containers/json?all=1").json(), [])
