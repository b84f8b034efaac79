"""Known ways to harm an engine by what it unpacks and by whom it is sent to; docs/security-cases.md has the list."""
import concurrent.futures
import gzip
import os
import shutil
import tempfile
import unittest

from harness import archives, registry
from harness.archives import directory, docker_archive, entry, symlink, tar
from harness.engine import EngineCase
from harness.registry import FakeRegistry, Image, TokenServer, small_image
from harness.wires import Proxy


class HostileCase(EngineCase):
    @classmethod
    def setUpClass(cls):
        if cls.against_docker:
            raise unittest.SkipTest("berth's own answers are held to here")
        super().setUpClass()

    def setUp(self):
        super().setUp()
        self.outside = self.folder()
        self.canary = os.path.join(self.outside, "canary")
        with open(self.canary, "w") as file:
            file.write("untouched")

    def tearDown(self):
        with open(self.canary) as file:
            self.assertEqual(file.read(), "untouched")
        self.assertEqual(os.listdir(self.outside), ["canary"])
        self.assertEqual(self.engine.api.get("/_ping").status, 200)
        super().tearDown()

    def load(self, tag, *layers):
        """Loads a docker archive with these layers on the base root; the Result."""
        return self.engine.load(docker_archive(tag, [tar(archives.busybox_entries()), *layers]))


class Layers(HostileCase):
    def test_cve_2021_29136_the_root_becomes_a_link(self):
        for name in (".", "./", "/", "a/..", "./."):
            with self.subTest(name=name):
                result = self.load("root:1", tar([symlink(name, self.outside), entry("new", data=b"evil"), entry("canary", data=b"evil")]))
                self.assertNotEqual(result.code, 0, str(result))
                self.assertIn("root cannot be replaced", result.err)
        self.assertNotEqual(self.engine("image", "inspect", "root:1").code, 0)

    def test_cve_2026_95838_opaque_marks_without_end(self):
        """Ten times as many marks take some ten times as long, and the root is as it should be."""
        def spent():
            with open(f"/proc/{self.engine.pid}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])
        one = tar([entry("d/.wh..wh..opq"), entry("d/.wh.gone")])[:1024]
        ticks = []
        for number, count in enumerate((20_000, 200_000)):
            tag = f"opaque:{number}"
            self.addCleanup(self.engine, "rmi", "-f", tag)
            layer = tar([directory("d")])[:512] + one * count + tar([entry("d/end", data=b"end")])
            before = spent()
            loaded = self.engine("load", input=gzip.compress(docker_archive(tag, [tar(archives.busybox_entries([directory("d")])), layer]), 1), text=False, timeout=300)
            self.assertEqual(loaded.code, 0, str(loaded))
            ticks.append(spent() - before)
            self.assertEqual(self.ok("run", "--rm", tag, "ls", "/d").lines, ["end"])
        self.assertLess(ticks[1], 40 * max(ticks[0], 5), ticks)

    def test_cve_2025_47290_links_and_folders_change_places(self):
        """Many images at once whose layers make a name a link to the host and a folder by turns."""
        def layer(number):
            entries = []
            for _ in range(200):
                entries += [symlink("x", self.outside), entry("x/new", data=b"evil"), directory("x"), entry("x/in", data=b"in"),
                            symlink("x", "../" * 20 + self.outside), entry("x/canary", data=b"evil")]
            return tar([*entries, entry("number", data=str(number).encode())])
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda number: self.load(f"swap:{number}", layer(number)), range(8)))
        for number, result in enumerate(results):
            self.addCleanup(self.engine, "rmi", "-f", f"swap:{number}")
            if result.code == 0:
                self.assertEqual(self.ok("run", "--rm", f"swap:{number}", "cat", "/number").text, str(number))


class Downloads(HostileCase):
    def setUp(self):
        super().setUp()
        self.registry = FakeRegistry()
        self.addCleanup(self.registry.close)

    def test_cve_2021_20291_truncated_layers_hold_nobody_up(self):
        """Pulls at once of images that share a layer whose gzip stream ends early: all come back, and then a good one
        of the same layer comes through."""
        shared = tar(archives.busybox_entries([entry("salt", data=os.urandom(1 << 20))]))
        good = Image([shared, tar([entry("note", data=b"good")])], {"Cmd": ["cat", "/note"]})
        cut = good.blobs[good.layers[0]][:-20_000]
        names = []
        for number in range(4):
            bad = Image([shared, tar([entry("note", data=str(number).encode())])])
            # The manifest names the cut bytes by their own digest: only unpacking finds out.
            manifest = bad.manifest.replace(bad.layers[0].encode(), registry.digest_of(cut).encode()).replace(
                f'"size": {len(bad.blobs[bad.layers[0]])}'.encode(), f'"size": {len(cut)}'.encode())
            names.append(self.registry.add(f"bad{number}", "1", bad))
            for reference in ("1", registry.digest_of(manifest)):
                self.registry.manifests[(f"bad{number}", reference)] = (bad.type, manifest)
        self.registry.blobs[registry.digest_of(cut)] = cut
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda name: self.engine("pull", name, timeout=120), names * 2))
        for result in results:
            self.assertNotEqual(result.code, 0, str(result))
        name = self.registry.add("good", "1", good)
        self.addCleanup(self.engine, "rmi", "-f", name)
        self.ok("pull", name)
        self.assertEqual(self.ok("run", "--rm", name).text, "good")

    def test_cve_2026_105769_lookalike_hosts_get_no_credentials(self):
        """A registry sends for tokens to hosts whose names look like its own; the proxy knows where all of them are."""
        host = "registry.berth-test.invalid:5000"
        tokens = TokenServer()
        self.addCleanup(tokens.close)
        self.registry.add("app", "1", small_image(self._testMethodName))
        lookalikes = [name + ":5000" for name in (
            "registry.berth-test.invalid.evil.invalid", "evil-registry.berth-test.invalid", "xregistry.berth-test.invalid",
            "registry.berth-test.invalid-evil.invalid", "berth-test.invalid", "registry-berth-test.invalid",
            "evil.registry.berth-test.invalid")]
        proxy = Proxy({host: self.registry.host, **{name: tokens.host for name in lookalikes}})
        self.addCleanup(proxy.close)
        config = tempfile.mkdtemp(dir=self.engine.folder)
        self.addCleanup(shutil.rmtree, config)
        archives.written(config, "config.json", ('{"auths": {"%s": {"auth": "YmVydGg6c2VjcmV0"}}}' % host).encode())
        self.engine.terminate()
        self.engine.flags = ["--insecure-registry", host, "--http-proxy", f"http://{proxy.host}"]
        self.addCleanup(setattr, self.engine, "flags", [])
        self.engine.start()
        for name in lookalikes:
            with self.subTest(name=name):
                self.registry.faults = [registry.ask_for_token(f"http://{name}/token")]
                self.fails(1, "pull", f"{host}/app:1", env={"DOCKER_CONFIG": config})
        self.assertFalse([headers for headers in tokens.headers_of("") if "Authorization" in headers])
        # Its own host, by the same way, does get them: what is held back above is not held back by accident.
        self.registry.faults = [registry.ask_for_password]
        self.ok("pull", f"{host}/app:1", env={"DOCKER_CONFIG": config})
        self.addCleanup(self.engine, "rmi", "-f", f"{host}/app:1")
