"""Pulls unpack several layers of an image at a time: what upper layers take from lower ones that come later, and what a
crash leaves of layers whose lower ones never came."""
import os
import threading

from harness import archives
from harness.archives import directory, entry, tar
from harness.engine import EngineCase, eventually
from harness.registry import FakeRegistry, Image, once


def image_of_layers(text, compression="gzip"):
    """The upper layers use a directory that they do not name, and link to a file that they do not have; what the lowest
    says of the root is passed over. No layer is another image's."""
    own = {"pax_headers": {"comment": os.urandom(8).hex()}}
    base = archives.busybox_entries([directory("./", 0o711), directory("app", 0o751),
                                     entry("app/conf", 0o640, data=text.encode(), uid=3, gid=4)])
    return Image([tar(base), tar([entry("app/new", data=b"new", **own)]),
                  tar([entry("app/link", kind=archives.tarfile.LNKTYPE, link="app/conf", **own)]),
                  tar([directory("alone"), entry("alone/file", data=b"alone", **own)])],
                 {"Cmd": ["sh", "-c", "stat -c '%a %u %n' / /app /app/conf /app/link; cat /app/link /app/new /alone/file"]},
                 compression=compression)


class Layers(EngineCase):
    def setUp(self):
        super().setUp()
        self.only_berth("docker unpacks one after the other")
        self.registry = FakeRegistry()
        self.addCleanup(self.registry.close)

    def add(self, image):
        name = self.registry.add("layers", "1", image)
        self.addCleanup(self.engine, "rmi", "-f", name)
        return name

    def hold(self, image):
        """The lowest layer comes when `release` is set; `reached` tells that it has been asked for."""
        reached, release = threading.Event(), threading.Event()
        self.addCleanup(release.set)

        def late(handler):
            reached.set()
            release.wait(120)
            self.registry.send_blob(handler, image.blobs[image.layers[0]])
        self.registry.faults.append(once(image.layers[0], late))
        return reached, release

    def said(self, name, text):
        self.assertEqual(self.ok("run", "--rm", name).lines,
                         ["755 0 /", "751 0 /app", "640 3 /app/conf", "640 3 /app/link", f"{text}newalone"])

    def test_the_lowest_comes_last(self):
        for compression in ("gzip", None):
            with self.subTest(compression=compression):
                image = image_of_layers(f"late {compression}", compression)
                name = self.add(image)
                reached, release = self.hold(image)
                with self.engine.popen("pull", name) as client:
                    self.assertTrue(reached.wait(60))
                    eventually(lambda: all(self.registry.asked("GET", layer) for layer in image.layers[1:3]),
                               "the other layers are asked for meanwhile", 60)
                    release.set()
                    self.assertEqual(client.wait(120), 0)
                self.said(name, f"late {compression}")
                self.ok("rmi", name)

    def test_a_kill_before_the_lowest_has_come(self):
        image = image_of_layers("killed")
        name = self.add(image)
        reached, release = self.hold(image)
        with self.engine.popen("pull", name):
            self.assertTrue(reached.wait(60))
            ingest = os.path.join(self.engine.data, "content", "ingest")

            def is_whole(layer):
                path = os.path.join(ingest, "partial-" + layer[7:])
                return os.path.exists(path) and os.path.getsize(path) == len(image.blobs[layer])
            eventually(lambda: all(is_whole(layer) for layer in image.layers[1:3]), "two upper layers are whole", 60)
            self.engine.kill()
        release.set()
        self.engine.start()
        self.assertNotEqual(self.engine("image", "inspect", name).code, 0, "nothing is claimed that is not there")
        self.registry.forget()
        self.ok("pull", name)
        for layer in image.layers[1:3]:
            self.assertEqual(self.registry.asked("GET", layer), [], "what is whole is not fetched again")
        self.said(name, "killed")
        self.ok("image", "verify", name)
        self.assertEqual([left for left in os.listdir(os.path.join(self.engine.data, "content", "ingest"))
                          if left[8:] in "".join(image.layers)], [])

    def test_a_layer_that_is_wrong_ends_the_others(self):
        image = image_of_layers("wrong")
        name = self.add(image)
        _, release = self.hold(image)
        spoiled = bytearray(image.blobs[image.layers[2]])
        spoiled[len(spoiled) // 2] ^= 1
        self.registry.blobs[image.layers[2]] = bytes(spoiled)
        self.fails(1, "pull", name, says="filesystem layer verification failed for digest " + image.layers[2])
        release.set()
        self.assertNotEqual(self.engine("image", "inspect", name).code, 0)
