"""The bound on images' disk use: what goes, in which order, and what never does."""
import json
import os
import re
import unittest

from harness import archives
from harness.archives import entry, oci_layout, tar
from harness.engine import Engine, EngineCase, Lines, eventually

MIB = 1 << 20


class QuotaCase(EngineCase):
    quota = "40m"

    @classmethod
    def setUpClass(cls):
        if cls.against_docker or cls.docker_command:
            raise unittest.SkipTest("docker has no such bound")

    @classmethod
    def tearDownClass(cls):
        pass

    def setUp(self):
        super().setUp()
        self.engine = Engine(self._testMethodName[:40], flags=["--storage-quota", self.quota])
        self.addCleanup(self.engine.close)
        self.engine.start()

    def tearDown(self):
        pass

    def load(self, tag, size=8 * MIB, *layers):
        """An image that takes some `size` of the disk."""
        own = tar([entry("salt", data=os.urandom(size))])
        result = self.engine.load(oci_layout(tag, [*layers, own], {"Cmd": ["true"]}, compression=None))
        self.assertEqual(result.code, 0, str(result))
        return self.engine.inspect(tag, "image")["Id"]

    def tags(self):
        return set(self.engine.ok("images", "--format", "{{.Repository}}:{{.Tag}}").lines)

    def used(self):
        answer = self.engine.api.get("/system/df").json()
        return answer["StorageQuota"]["Used"]


class Quota(QuotaCase):
    def test_the_least_recently_used_go_first(self):
        for number in range(4):
            self.load(f"image:{number}")
            if number == 1:
                self.engine.ok("tag", "image:1", "also:1")
        self.engine.ok("save", "-o", "/dev/null", "image:0")  # a use
        self.assertEqual(self.tags(), {"image:0", "image:1", "also:1", "image:2", "image:3"})
        identifier = self.engine.inspect("image:1", "image")["Id"]
        self.load("image:4", 14 * MIB)
        eventually(lambda: "image:1" not in self.tags(), "the one that was not used for longest is gone", 60)
        eventually(lambda: self.used() <= 40 * MIB, "the quota is kept", 60)
        left = self.tags()
        self.assertLessEqual({"image:0", "image:4"}, left)
        self.assertNotIn("also:1", left)
        self.assertIn(f"image {identifier} removed, the least recently used", self.engine.log())

    def test_events_and_df(self):
        self.load("first:1", 20 * MIB)
        with self.engine.popen("events", "--filter", "type=image", "--format", "{{json .}}") as listening:
            lines = Lines(listening.stdout)
            self.load("second:1", 24 * MIB)
            line = json.loads(lines.until("storage-quota", 60))
            self.assertEqual(line["Actor"]["Attributes"]["reason"], "storage-quota")
        out = self.engine.ok("system", "df").out
        self.assertRegex(out, r"Storage quota: images take [\d.]+MB of 41\.94MB on the disk")
        self.assertNotIn("Storage quota", self.engine.ok("system", "df", "--format", "{{.Type}}").out)

    def test_what_is_used_is_never_taken(self):
        base = tar(archives.busybox_entries())
        identifier = self.load("running:1", 4 * MIB, base)
        self.load("stopped:1", 8 * MIB, base)
        self.engine.ok("run", "-d", "--name", "up", "running:1", "sleep", "600")
        self.engine.ok("create", "--name", "down", "stopped:1")
        self.load("pinned:1", 8 * MIB)
        self.load("loose:1", 8 * MIB)
        self.engine.ok("image", "pin", "pinned:1")
        self.assertEqual(self.engine.ok("image", "pins").lines, ["pinned:1"])
        self.load("newest:1", 30 * MIB)
        eventually(lambda: "loose:1" not in self.tags(), "what nobody needs is gone", 60)
        # All that is left is in use, pinned or the newest: and still there is too much.
        eventually(lambda: "none can go" in self.engine.log() or "newest:1" not in self.tags(), "the engine says so", 60)
        self.assertLessEqual({"running:1", "stopped:1", "pinned:1"}, self.tags())
        self.assertEqual(self.engine.ok("exec", "up", "echo", "alive").text, "alive")
        self.assertEqual(self.engine.inspect("running:1", "image")["Id"], identifier)
        self.assertEqual(self.engine.ok("start", "-a", "down").code, 0)

    def test_a_container_that_is_removed_lets_its_image_go(self):
        self.load("held:1", 20 * MIB)
        self.engine.ok("create", "--name", "holder", "held:1", "true")
        self.load("other:1", 16 * MIB)
        self.engine.ok("image", "pin", "other:1")
        self.load("third:1", 8 * MIB)
        eventually(lambda: "third:1" not in self.tags(), "only the unused one can go", 60)
        self.load("fourth:1", 10 * MIB)
        self.engine.ok("rm", "holder")
        eventually(lambda: "held:1" not in self.tags() or "fourth:1" not in self.tags(), "one of them goes", 60)
        eventually(lambda: self.used() <= 40 * MIB, "the quota is kept", 60)
        self.assertIn("other:1", self.tags())

    def test_pins(self):
        identifier = self.load("a:1", MIB)
        self.engine.ok("tag", "a:1", "b:1")
        self.engine.ok("image", "pin", "a:1", identifier[:20])
        self.assertEqual(set(self.engine.ok("image", "pins").lines), {"a:1", identifier})
        self.engine.terminate()
        self.engine.start()
        self.assertEqual(set(self.engine.ok("image", "pins").lines), {"a:1", identifier})
        self.engine.ok("image", "unpin", "a:1")
        self.engine.ok("image", "unpin", identifier)
        self.assertEqual(self.engine.ok("image", "pins").lines, [])
        self.fails(1, "image", "unpin", "b:1", says="b:1 is not pinned")
        self.fails(1, "image", "pin", "none:1", says="No such image: none:1")
        # A name that is gone can still be unpinned.
        self.engine.ok("image", "pin", "b:1")
        self.engine.ok("rmi", "b:1")
        self.engine.ok("image", "unpin", "b:1")

    def test_a_build_passes_the_quota(self):
        self.build_past_the_quota()

    def test_a_build_by_berths_own_route_passes_it_too(self):
        secret = os.path.join(self.engine.folder, "secret")
        with open(secret, "w") as file:
            file.write("s")
        self.build_past_the_quota("--secret", f"id=s,src={secret}")

    def build_past_the_quota(self, *flags):
        base = tar(archives.busybox_entries())
        self.load("old:1", 16 * MIB)
        self.load("base:1", MIB, base)
        folder = os.path.join(self.engine.folder, "context")
        archives.written(folder, "Dockerfile", b"FROM base:1\nCOPY big /big\n")
        archives.written(folder, "big", os.urandom(24 * MIB))
        self.engine.ok("build", "-t", "built:1", *flags, folder)
        eventually(lambda: "old:1" not in self.tags(), "the old one makes room", 60)
        self.assertLessEqual({"base:1", "built:1"}, self.tags())

    def test_the_last_use_survives_a_restart(self):
        self.load("first:1", 12 * MIB)
        self.load("second:1", 12 * MIB)
        self.engine.ok("save", "-o", "/dev/null", "first:1")
        self.engine.terminate()  # writes down what was used
        self.engine.start()
        self.load("third:1", 18 * MIB)
        eventually(lambda: len(self.tags()) == 2, "one has gone", 60)
        self.assertEqual(self.tags(), {"first:1", "third:1"})

    def test_it_can_be_changed_while_it_runs(self):
        self.load("a:1", 12 * MIB)
        self.load("b:1", 12 * MIB)
        self.engine.terminate()
        path = os.path.join(self.engine.folder, "daemon.json")
        with open(path, "w") as file:
            json.dump({"storage-quota": "100m"}, file)
        self.engine.flags = ["--config-file", path]
        self.engine.start()
        with open(path, "w") as file:
            json.dump({"storage-quota": "20m"}, file)
        self.engine.process.send_signal(1)
        eventually(lambda: self.tags() == {"b:1"}, "the older one goes", 60)
        self.assertTrue(re.search(r"Reloaded configuration", self.engine.log()))

    def test_bad_sizes(self):
        for size in ("many", "-1", "10x"):
            other = Engine("bad", flags=["--storage-quota", size])
            self.addCleanup(other.close)
            with self.assertRaisesRegex(AssertionError, "--storage-quota"):
                other.start()
