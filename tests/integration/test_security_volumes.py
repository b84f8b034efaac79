"""A running engine against volumes whose content a hostile container chooses (docs/security-cases.md): parts of a
volume that are mounted, copied from and exported while they are exchanged for links to the host."""
import contextlib
import http.client
import io
import os
import tarfile

from harness.archives import entry, tar
from harness.engine import IMAGE
from test_security_engine import SecurityCase
from test_security_runtime import Swapping

STARTS = 60
EXPORTS = 60


class VolumeCase(SecurityCase):
    def volume(self):
        """(Name, its directory on the host)."""
        name = self.name("v")
        self.ok("volume", "create", name)
        self.addCleanup(self.engine, "volume", "rm", "-f", name)
        return name, self.engine.inspect(name, "volume")["Mountpoint"]


class Subpaths(VolumeCase):
    def setUp(self):
        super().setUp()
        self.volume_name, self.place = self.volume()
        os.makedirs(os.path.join(self.place, "part/below"))
        with open(os.path.join(self.place, "part/file"), "w") as file:
            file.write("of the volume")

    def mount(self, subpath):
        return "--mount", f"type=volume,src={self.volume_name},dst=/s,volume-subpath={subpath}"

    def stopped(self, subpath):
        name = self.name()
        self.ok("create", "--name", name, *self.mount(subpath), IMAGE, "true")
        return name

    def archive(self, container, path):
        """(Status, names and contents) of what `cp` reads."""
        answer = self.engine.api.get(f"/containers/{container}/archive?path={path}")
        if answer.status != 200:
            return answer.status, {}
        with tarfile.open(fileobj=io.BytesIO(answer.body)) as opened:
            return 200, {member.name: opened.extractfile(member).read() if member.isfile() else b"" for member in opened}

    def put(self, container, path):
        answer = self.engine.api.put(f"/containers/{container}/archive?path={path}", tar([entry("new", data=b"new")]))
        return answer.status

    @contextlib.contextmanager
    def exchanged(self, name, target):
        """What a hostile container does that has the whole volume."""
        part, was = os.path.join(self.place, name), os.path.join(self.place, name + ".was")
        os.rename(part, was)
        os.symlink(target, part)
        try:
            yield
        finally:
            os.unlink(part)
            os.rename(was, part)

    def test_cp_of_what_is_there(self):
        whole, one = self.stopped("part"), self.stopped("part/file")
        self.assertEqual(self.archive(whole, "/s/file"), (200, {"file": b"of the volume"}))
        self.assertEqual(self.archive(one, "/s"), (200, {"s": b"of the volume"}))
        self.assertEqual(self.put(whole, "/s/below"), 200)
        self.assertTrue(os.path.isfile(os.path.join(self.place, "part/below/new")))

    def test_cve_2018_15664_cp_of_a_part_that_became_a_link(self):
        """Of a container that does not run: nobody has mounted the part, the path is followed for the copy."""
        for name, target in (("part", self.outside), ("part/below", self.outside), ("part/file", self.canary)):
            with self.subTest(name=name):
                container = self.stopped(name)
                with self.exchanged(name, target):
                    for path in ("/s", "/s/", "/s/.", "/s/canary"):
                        self.assertNotEqual(self.archive(container, path)[0], 200, path)
                        self.assertNotEqual(self.put(container, path), 200, path)
                self.assertEqual(os.listdir(self.outside), ["canary"])

    def test_a_start_while_the_part_is_exchanged(self):
        os.symlink(self.outside, os.path.join(self.place, "link"))
        with Swapping(os.path.join(self.place, "part"), os.path.join(self.place, "link")) as swapping:
            for _ in range(STARTS):
                done = self.engine("run", "--rm", *self.mount("part"), IMAGE, "sh", "-c", "cat /s/canary; echo evil > /s/canary; echo ran")
                self.assertNotIn("untouched", done.out + done.err)
        self.assertGreater(swapping.times, STARTS)


class Exports(VolumeCase):
    def setUp(self):
        super().setUp()
        self.only_berth("docker exports no volumes")

    def test_cve_2023_0778_an_export_while_a_folder_is_exchanged(self):
        name, place = self.volume()
        os.makedirs(os.path.join(place, "swap"))
        os.symlink(self.outside, os.path.join(place, "link"))
        with Swapping(os.path.join(place, "swap"), os.path.join(place, "link")) as swapping:
            for _ in range(EXPORTS):
                try:
                    content = self.engine.api.get(f"/berth/volumes/{name}/archive").body
                except http.client.IncompleteRead as cut:  # what is not the folder any more ends the export
                    content = cut.partial
                self.assertNotIn(b"untouched", content)
        self.assertGreater(swapping.times, EXPORTS)
