"""Clients that others wrote against `berth registry serve`: skopeo, podman and buildah push and pull; digests stay."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

from harness.engine import IMAGE, PROGRAMS, Engine
from harness.served import Registry


def run(*argv):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(argv)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


class ClientCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = Engine(cls.__name__)
        cls.engine.cli[0] = os.path.join(PROGRAMS, "berth")
        try:
            cls.engine.start()
            cls.engine.load_base_image()
            cls.registry = Registry(cls.engine)
        except BaseException:
            cls.engine.close()
            raise
        cls.layout = os.path.join(cls.engine.folder, "base.tar")
        cls.engine.ok("save", "-o", cls.layout, IMAGE)

    @classmethod
    def tearDownClass(cls):
        cls.registry.close()
        cls.engine.close()


@unittest.skipIf(shutil.which("skopeo") is None, "skopeo is not installed: \"scripts/install-packages test\" installs it")
class Skopeo(ClientCase):
    def setUp(self):
        self.work = tempfile.mkdtemp(prefix="skopeo.", dir=self.engine.folder)

    def copy(self, source, target, *flags):
        run("skopeo", "copy", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false", *flags, source, target)

    def digest(self, name):
        return json.loads(run("skopeo", "inspect", "--tls-verify=false", f"docker://{name}"))["Digest"]

    def test_copy_both_ways_keeps_the_digest(self):
        for kind in ("v2s2", "oci"):
            name = f"{self.registry.address}/skopeo/{kind}:latest"
            self.copy(f"docker-archive:{self.layout}", f"docker://{name}", "--format", kind)
            pushed = self.digest(name)
            self.copy(f"docker://{name}", f"dir:{self.work}/{kind}", "--preserve-digests")
            self.copy(f"dir:{self.work}/{kind}", f"docker://{self.registry.address}/skopeo/{kind}:again", "--preserve-digests")
            self.assertEqual(self.digest(f"{self.registry.address}/skopeo/{kind}:again"), pushed)
            # From one repository to another: blobs are mounted, not sent.
            self.copy(f"docker://{name}", f"docker://{self.registry.address}/skopeo/{kind}-2:x", "--preserve-digests")
            self.assertEqual(self.digest(f"{self.registry.address}/skopeo/{kind}-2:x"), pushed)

    def test_lists_and_deletes(self):
        name = f"{self.registry.address}/skopeo/gone"
        self.copy(f"docker-archive:{self.layout}", f"docker://{name}:a")
        self.copy(f"docker-archive:{self.layout}", f"docker://{name}:b")
        tags = json.loads(run("skopeo", "list-tags", "--tls-verify=false", f"docker://{name}"))["Tags"]
        self.assertEqual(sorted(tags), ["a", "b"])
        run("skopeo", "delete", "--tls-verify=false", f"docker://{name}:a")
        self.assertEqual(self.registry.get("/v2/skopeo/gone/tags/list").json()["tags"], [])

    def test_an_engine_pushes_and_pulls(self):
        name = f"{self.registry.address}/berth/app:1"
        self.engine.ok("tag", IMAGE, name)
        self.engine.ok("push", name)
        pushed = self.digest(name)
        self.engine.ok("rmi", name)
        self.engine.ok("pull", name)
        self.assertEqual(self.engine.inspect(name)["RepoDigests"], [f"{self.registry.address}/berth/app@{pushed}"])
        self.assertEqual(self.engine.ok("run", "--rm", name, "echo", "ran").out, "ran\n")


@unittest.skipIf(shutil.which("podman") is None or shutil.which("buildah") is None, "podman and buildah are not installed")
class PodmanAndBuildah(ClientCase):
    def storage(self):
        folder = tempfile.mkdtemp(prefix="podman.", dir=self.engine.folder)
        return ["--root", f"{folder}/root", "--runroot", f"{folder}/run", "--storage-driver", "vfs"]

    def test_push_and_pull(self):
        for program in ("podman", "buildah"):
            name = f"{self.registry.address}/{program}/app:1"
            run("skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false", f"docker-archive:{self.layout}", f"docker://{name}")
            storage = self.storage()
            run(program, *storage, "pull", "--tls-verify=false", name)
            again = f"{self.registry.address}/{program}/app:2"
            run(program, *storage, "tag", name, again)
            run(program, *storage, "push", "--tls-verify=false", again)
            first = self.registry.get(f"/v2/{program}/app/manifests/1").json()
            second = self.registry.get(f"/v2/{program}/app/manifests/2").json()
            self.assertEqual(first["config"]["digest"], second["config"]["digest"])
            self.assertEqual(self.engine.ok("run", "--rm", "--pull", "always", again, "echo", "ran").out, "ran\n")
