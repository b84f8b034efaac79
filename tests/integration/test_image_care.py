"""What berth does for its images beyond docker's verbs: verification and the tree of layers."""
import json
import os
import shutil
import stat
import unittest

from harness import archives
from harness.archives import directory, docker_archive, entry, oci_layout, symlink, tar
from harness.engine import Engine, EngineCase, run


class CareCase(EngineCase):
    """Each test has an engine of its own: it damages the store."""

    @classmethod
    def setUpClass(cls):
        if cls.against_docker or cls.docker_command:
            raise unittest.SkipTest("docker has no such commands")

    @classmethod
    def tearDownClass(cls):
        pass

    def setUp(self):
        super().setUp()
        self.engine = Engine(self._testMethodName[:40])
        self.addCleanup(self.engine.close)
        self.engine.start()

    def tearDown(self):
        pass  # closing the engine removes everything

    def load(self, tag, *layers, compression="gzip", form=oci_layout):
        result = self.engine.load(form(tag, list(layers), {"Cmd": ["true"]}, compression=compression))
        self.assertEqual(result.code, 0, str(result))
        return self.engine.inspect(tag, "image")["Id"]

    def blob(self, digest):
        return os.path.join(self.engine.data, "content", "blobs", "sha256", digest.removeprefix("sha256:"))

    def blobs(self):
        return os.listdir(os.path.dirname(self.blob("sha256:x")))

    def layer(self, identifier, index=0):
        """The folder of an image's unpacked layer, from the bottom; images of one layer alone have simple names."""
        diff_ids = self.engine.inspect(identifier, "image")["RootFS"]["Layers"]
        assert index == 0, "the bottom layer's chain id is its diff id"
        return os.path.join(self.engine.data, "layers", diff_ids[0].removeprefix("sha256:"), "fs")

    def spoil(self, path):
        """Changes one byte in the middle, and nothing else."""
        before = os.stat(path)
        os.chmod(path, 0o600)
        with open(path, "r+b") as file:
            file.seek(before.st_size // 2)
            byte = file.read(1)
            file.seek(before.st_size // 2)
            file.write(bytes([byte[0] ^ 1]))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        os.chmod(path, stat.S_IMODE(before.st_mode))

    def verify(self, *names, code=0):
        result = self.engine("image", "verify", *names)
        self.assertEqual(result.code, code, str(result))
        return result


class Verify(CareCase):
    everything = (directory("d", 0o1777), entry("d/file", 0o4755, data=b"content" * 1000, uid=7, gid=8, mtime=1_000_000_000),
                  symlink("link", "d/file"), entry("hard", kind=b"1", link="d/file"), entry("fifo", kind=b"6"),
                  entry("null", 0o666, kind=b"3", devmajor=1, devminor=3), entry("empty"),
                  entry("d/.wh.gone"), directory("o"), entry("o/.wh..wh..opq"))

    def test_whole_images_of_every_form(self):
        layers = [tar(archives.busybox_entries()), tar(self.everything)]
        for number, (form, compression) in enumerate(((oci_layout, "gzip"), (oci_layout, None), (docker_archive, "gzip"),
                                                      (docker_archive, None))):
            self.load(f"whole:{number}", layers[0], layers[1] + b"\0" * 512 * number, form=form, compression=compression)
        self.engine.ok("import", "-", "imported:1", input=tar(self.everything), text=False)
        self.engine.ok("run", "--name", "changed", "whole:0", "sh", "-c", "echo x > /new; rm /empty; chmod 700 /d")
        self.engine.ok("commit", "changed", "committed:1")
        result = self.verify()
        for name in ("whole:0", "whole:1", "whole:2", "whole:3", "imported:1", "committed:1"):
            self.assertIn(f"{name}: verified", result.lines)
        self.assertRegex(result.lines[-1], r"^6 images, \d+ blobs and \d+ layers, ")
        self.assertEqual(self.engine.ok("image", "verify", "-q").out, "")
        self.assertIn("1 images", self.verify("whole:1").lines[-1])

    def test_what_layers_replace_in_themselves_is_no_fault(self):
        self.load("twice:1", tar([entry("f", data=b"first"), directory("x"), entry("x/in", data=b"1"),
                                  entry("f", data=b"second, longer"), entry("x", data=b"now a file"),
                                  symlink("way", "real"), directory("real"), entry("way/below", data=b"2")]))
        self.verify("twice:1")

    def test_sparse_files(self):
        folder = self.folder_of_engine()
        with open(os.path.join(folder, "sparse"), "wb") as file:
            file.truncate(8 << 20)
            file.seek(4 << 20)
            file.write(b"middle")
        packed = run(["tar", "-C", folder, "--sparse", "--format=posix", "-c", "sparse"], text=False)
        identifier = self.load("sparse:1", packed.out)
        self.verify()
        path = os.path.join(self.layer(identifier), "sparse")
        before = os.stat(path)
        with open(path, "r+b") as file:
            file.seek(1 << 20)
            file.write(b"in a hole")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.assertIn("/sparse has other content", self.verify(code=1).out)

    def folder_of_engine(self):
        folder = os.path.join(self.engine.folder, "case")
        os.makedirs(folder)
        return folder

    def test_damaged_and_missing_blobs(self):
        base = tar([entry("base", data=os.urandom(5000))])
        identifier = self.load("bytes:1", base)
        self.load("other:1", base, tar([entry("more", data=b"x")]))
        spoiled = self.largest_blob()
        self.spoil(self.blob(spoiled))
        result = self.verify(code=1)
        self.assertEqual([line for line in result.lines if "blob sha256:" in line],
                         [line for line in result.lines if line.startswith(f"bytes:1, other:1: blob sha256:{spoiled} has other bytes: ")])
        self.assertIn("berth rmi -f bytes:1 other:1", result.err)
        os.unlink(self.blob(spoiled))
        self.assertIn(f"bytes:1, other:1: blob sha256:{spoiled} is missing", self.verify(code=1).lines)
        self.assertEqual(self.verify("bytes:1", code=1).out.count("is missing"), 1)
        # A configuration that is damaged can still be named.
        self.spoil(self.blob(identifier))
        self.assertIn(f"bytes:1: configuration {identifier} has other bytes", self.verify("bytes:1", code=1).out)

    def largest_blob(self):
        return max(self.blobs(), key=lambda name: os.path.getsize(self.blob(name)))

    def test_the_way_out_heals(self):
        layers = [tar([entry("base", data=os.urandom(5000))])]
        archive = oci_layout("heal:1", layers)
        self.assertEqual(self.engine.load(archive).code, 0)
        self.spoil(self.blob(self.largest_blob()))
        self.verify(code=1)
        self.engine.ok("rmi", "-f", "heal:1")
        self.assertEqual(self.engine.load(archive).code, 0)
        self.assertIn("heal:1: verified", self.verify().lines)

    def test_unpacked_layers_that_have_changed(self):
        for compression in ("gzip", None):
            with self.subTest(compression=compression):
                tag = f"tree-{compression or 'plain'}:1"
                identifier = self.load(tag, tar([*self.everything, entry("salt", data=os.urandom(9))]), compression=compression)
                root = self.layer(identifier)
                self.spoil(os.path.join(root, "d", "file"))
                result = self.verify(tag, code=1)
                self.assertIn(f"{tag}: layer sha256:", result.out)
                if compression:
                    self.assertIn("/d/file has other content", result.out)
                self.engine.ok("rmi", "-f", tag)

    def test_every_difference_is_named(self):
        identifier = self.load("named:1", tar(self.everything))
        root = self.layer(identifier)
        os.chmod(os.path.join(root, "d"), 0o755)
        os.chown(os.path.join(root, "empty"), 5, 6)
        os.unlink(os.path.join(root, "link"))
        os.symlink("elsewhere", os.path.join(root, "link"))
        with open(os.path.join(root, "added"), "w") as file:
            file.write("not of the layer")
        result = self.verify(code=1)
        for text in ("/added is not of this layer", "/d has mode 755 and not 1777", "/empty belongs to 5:6 and not to 0:0",
                     "/link leads elsewhere"):
            self.assertIn(text, result.out)
        os.unlink(os.path.join(root, "d", "gone"))
        os.unlink(os.path.join(root, "fifo"))
        result = self.engine("image", "verify", "--format", "json")
        self.assertEqual(result.code, 1)
        faults = json.loads(result.out)["Faults"]
        self.assertTrue([fault for fault in faults if fault["Trouble"] == "/d/gone no longer hides what lies beneath"], faults)
        self.assertTrue([fault for fault in faults if fault["Trouble"].endswith("further files differ")], faults)
        shutil.rmtree(root)
        self.assertIn("is not unpacked", self.verify(code=1).out)

    def test_unknown_names(self):
        result = self.verify("no-such:1", code=1)
        self.assertIn("No such image: no-such:1", result.err)
        self.assertNotEqual(self.engine("image", "verify", "").code, 0)
        self.assertNotEqual(self.engine("image", "verify", "--format", "xml").code, 0)


class Tree(CareCase):
    def test_shared_layers_and_what_removal_frees(self):
        base = tar([entry("base", data=os.urandom(100_000))])
        self.load("base:1", base)
        self.load("left:1", base, tar([entry("left", data=os.urandom(50_000))]))
        self.load("right:1", base, tar([entry("right", data=os.urandom(20_000))]), tar([entry("top", data=os.urandom(10_000))]))
        self.engine.ok("tag", "left:1", "second:name")
        lines = self.engine.ok("image", "tree").lines
        self.assertRegex(lines[0], r"^layer [0-9a-f]{12}  100kB$")
        self.assertRegex(lines[1], r"^├─ base:1  [0-9a-f]{12}  100kB, frees \d+B$")
        below = "\n".join(lines[2:])
        self.assertRegex(below, r"layer [0-9a-f]{12}  50kB\n.  └─ left:1, second:name  [0-9a-f]{12}  150kB, frees 10\d(\.\d)?kB")
        self.assertRegex(below, r"2 layers [0-9a-f]{12}  30kB\n.  └─ right:1  [0-9a-f]{12}  130kB, frees 6\d(\.\d)?kB")
        answer = json.loads(self.engine.ok("image", "tree", "--format", "json").out)
        self.assertEqual([image["Names"] for image in answer["Images"]], [["base:1"], ["left:1", "second:name"], ["right:1"]])
        for image in answer["Images"][1:]:
            # What it says is what goes.
            before = self.content()
            self.engine.ok("rmi", "-f", image["Id"])
            self.assertEqual(before - self.content(), image["Frees"], image)

    def content(self):
        blobs = sum(os.path.getsize(self.blob(name)) for name in self.blobs())
        layers = 0
        for folder, _, files in os.walk(os.path.join(self.engine.data, "layers")):
            layers += sum(os.path.getsize(os.path.join(folder, name)) for name in files
                          if "/fs" in folder + "/" and not os.path.islink(os.path.join(folder, name)))
        return blobs + layers

    def test_containers_and_children(self):
        self.load("used:1", tar(archives.busybox_entries()))
        self.engine.ok("create", "--name", "holder", "used:1")
        folder = os.path.join(self.engine.folder, "context")
        os.makedirs(folder)
        archives.written(folder, "Dockerfile", b"FROM used:1\nRUN echo x > /x\n")
        self.engine.ok("build", "-t", "child:1", folder)
        out = self.engine.ok("image", "tree").out
        self.assertIn("in use by 1 container", out)
        self.assertRegex(out, r"used:1 .*frees \d+B")
