"""What `system df` says beside what du finds, and that pruning everything leaves nothing, with all that a store can hold."""
import os
import unittest

from harness import archives, runtimes
from harness.engine import IMAGE, Engine, EngineCase, eventually, run
from harness.functions import FunctionsApi
from harness.registry import FakeRegistry, Image
from harness.served import Registry

MIB = 1 << 20


class Accounting(EngineCase):
    @classmethod
    def setUpClass(cls):
        if cls.against_docker or cls.docker_command:
            raise unittest.SkipTest("docker's df counts what files hold, not what they take")

    @classmethod
    def tearDownClass(cls):
        pass

    def setUp(self):
        super().setUp()
        self.engine = Engine(self._testMethodName[:40])
        self.addCleanup(self.engine.close)
        self.engine.start()
        self.engine.load_base_image()
        self.registry = FakeRegistry()
        self.addCleanup(self.registry.close)

    def tearDown(self):
        pass

    def du(self, *folders):
        done = run(["du", "-s", "-c", "-B1", *(os.path.join(self.engine.data, folder) for folder in folders)])
        self.assertEqual(done.code, 0, str(done))
        return int(done.lines[-1].split()[0])

    def df(self):
        return self.engine.api.get("/system/df").json()

    def layer(self, size):
        """Many small files and a large one: blocks that are half full count as whole ones."""
        return archives.tar([archives.entry(f"f{number}", data=os.urandom(100)) for number in range(200)]
                            + [archives.entry("large", data=os.urandom(size))])

    def fill(self):
        """Everything that is kept: layers that came compressed and plain, platforms that are only kept, what a build and
        its cache made, what a push compressed, a registry's blobs, functions' code, downloads that were interrupted,
        containers and volumes."""
        base = archives.tar(archives.busybox_entries())
        platforms = [Image([base, self.layer(MIB)], {"Cmd": ["true"]}, architecture=architecture)
                     for architecture in ("amd64", "arm64", "riscv64")]
        self.registry.add_index("several", "1", platforms)
        self.engine.ok("pull", "--all-platforms", f"{self.registry.host}/several:1")
        plain = Image([base, self.layer(2 * MIB)], compression=None)
        self.engine.ok("pull", self.registry.add("plain", "1", plain))
        folder = self.folder()
        archives.written(folder, "Dockerfile", f"FROM {IMAGE}\nCOPY big /big\nRUN cp /big /other && echo x > /etc/y\n".encode())
        archives.written(folder, "big", os.urandom(2 * MIB))
        built = f"{self.registry.host}/built:1"
        self.engine.ok("build", "-q", "-t", built, folder)
        self.engine.ok("push", built)
        serving = Registry(self.engine)
        serving.push_image("served", "1", os.urandom(MIB))
        serving.close()
        ingest = os.path.join(self.engine.data, "content", "ingest")
        for name in ("partial-" + "a" * 64, "partial-" + "a" * 64 + f".{4 * MIB}"):
            archives.written(ingest, name, os.urandom(MIB))
        runtimes.stand_in(self.engine)
        self.functions = FunctionsApi(self.engine.functions_address)
        made = self.functions.create("counted", {"bootstrap": "#!/bin/sh\n", "data": os.urandom(MIB)})
        self.assertEqual(made.status, 201, str(made))
        eventually(lambda: self.functions.request("GET", "/2015-03-31/functions/counted").json()["Configuration"]["State"] == "Active",
                   "the function is there", within=60)
        self.engine.ok("run", "--name", "writer", "-v", "/anonymous", IMAGE, "sh", "-c",
                       "head -c 3000000 /dev/urandom > /anonymous/f; head -c 8000000 /dev/urandom > /g")

    def close_to(self, said, found, what):
        self.assertGreater(found, MIB // 2, what)
        self.assertLess(abs(said - found), found / 100, f"{what}: df says {said}, du {found}")

    def test_df_is_what_du_finds(self):
        self.fill()
        df = self.df()
        self.close_to(df["ImagesOnDisk"], self.du("layers", "content"), "images")
        volume = next(one for one in df["Volumes"])
        self.close_to(volume["UsageData"]["Size"], self.du(f"volumes/{volume['Name']}/_data"), "the volume")
        container = next(one for one in df["Containers"] if one["Names"] == ["/writer"])
        self.close_to(container["SizeRw"], self.du(f"containers/{container['Id']}/upper"), "the container")
        self.assertRegex(self.engine.ok("system", "df").out, r"Images take [\d.]+MB on the disk")

    def test_nothing_is_left_after_pruning_everything(self):
        before = None
        for _ in range(2):  # the second time nothing has piled up either
            self.fill()
            self.assertEqual(self.functions.request("DELETE", "/2015-03-31/functions/counted").status, 204)
            self.engine.ok("registry", "gc", "--grace", "0s", "--untagged")
            serving = Registry(self.engine)
            self.assertEqual(serving.delete("/v2/served/manifests/1").status, 202)
            serving.close()
            self.engine.ok("registry", "gc", "--grace", "0s", "--untagged")
            self.engine.ok("system", "prune", "-a", "--volumes", "-f")
            try:
                eventually(lambda: not self.left(), "", within=60)
            except AssertionError:
                self.fail(f"left: {sorted(self.left())[:20]}")
            df = self.df()
            self.assertEqual((df["LayersSize"], df["Images"], df["Containers"], df["Volumes"], df["BuildCache"]), (0, [], [], [], []))
            taken = self.du(".")
            before = before or taken
            self.assertLess(taken, before + MIB)
            self.engine.load_base_image()

    def left(self):
        """Everything below the data root that a store of nothing does not have."""
        found = set()
        for folder in ("content", "layers", "containers", "volumes", "trash"):
            for path, _, names in os.walk(os.path.join(self.engine.data, folder)):
                found.update(os.path.relpath(os.path.join(path, name), self.engine.data) for name in names)
        for folder in ("layers", "layers/l", "containers", "trash"):
            found.update(f"{folder}/{name}" for name in os.listdir(os.path.join(self.engine.data, folder)))
        return found - {"layers/l", "layers/empty", "layers/l/empty"}
