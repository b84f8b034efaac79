"""A running engine against hostile contents (docs/security-cases.md): layers, build contexts, mounts of build steps,
volumes, and clients that hang up."""
import os
import tarfile

from harness.archives import busybox_entries, directory, docker_archive, entry, symlink, tar, written
from harness.engine import IMAGE, eventually
from harness.host import descriptors
from test_security_engine import SecurityCase

WHITEOUTS = 100_000
HANG_UPS = 300


class Builds(SecurityCase):
    def setUp(self):
        super().setUp()
        self.context = self.folder()
        self.tag = f"hostile-{self._testMethodName[5:50].replace('_', '-')}:1"
        self.addCleanup(self.engine, "rmi", "-f", self.tag)

    def build(self, dockerfile, *flags, **more):
        """Whether it is refused or contained is the test's affair; what it said."""
        with open(os.path.join(self.context, "Dockerfile"), "w") as file:
            file.write(dockerfile)
        return self.engine("build", "--no-cache", "-t", self.tag, *flags, self.context, **more)

    def test_cve_2024_1753_sources_of_mounts_stay_inside(self):
        """CVE-2024-9407, CVE-2024-9675, CVE-2024-11218: a bind or a cache whose source, or whose name, leads out."""
        os.symlink(self.outside, os.path.join(self.context, "link"))
        stage = f"FROM {IMAGE} AS evil\nRUN ln -s {self.outside} /link && ln -s / /root-link\nFROM {IMAGE}\n"
        climb = "../" * 20 + self.outside.lstrip("/")
        self.assertEqual(self.build(f"{stage}RUN --mount=type=bind,from=evil,source=/etc,target=/m cat /m/passwd\n").code, 0)
        for number, mount in enumerate((
                "type=bind,source=/link", f"type=bind,source={climb}", f"type=bind,source={self.outside}",
                "type=bind,from=evil,source=/link", f"type=bind,from=evil,source=/root-link{self.outside}",
                f"type=bind,from=evil,source={climb},rw", f"type=cache,id={climb}", f"type=cache,id={self.outside}",
                "type=cache,id=c,from=evil,source=/link", f"type=cache,id=d,from=evil,source=/root-link{self.outside}")):
            with self.subTest(mount=mount):
                done = self.build(f"{stage}RUN --mount={mount},target=/m cat /m/canary; echo written > /m/canary{number}; true\n")
                self.assertNotIn("untouched", done.out + done.err)

    def test_cve_2024_23652_targets_of_mounts_stay_inside(self):
        """The mount point is made, and taken away again, in the image alone."""
        os.makedirs(os.path.join(self.context, "given"))
        base = f"FROM {IMAGE}\nRUN ln -s {self.outside} /out && ln -s / /up\n"
        climb = "../" * 20 + self.outside.lstrip("/")
        for target in ("/out", "/out/made", "/out/canary", f"/up{self.outside}/made", climb, f"/x/{climb}/made"):
            for kind in ("type=bind,source=given", "type=cache", "type=tmpfs"):
                with self.subTest(target=target, kind=kind):
                    self.build(f"{base}RUN --mount={kind},target={target} true\n")
                    self.assertEqual(os.listdir(self.outside), ["canary"])

    def test_cve_2024_23652_a_mount_point_is_replaced_by_a_link(self):
        """By the step itself, whose mount point is to be taken away afterwards."""
        done = self.build(f"FROM {IMAGE}\nRUN --mount=type=tmpfs,target=/a/b/canary mv /a/b /a/c && ln -s {self.outside} /a/b\n")
        self.assertEqual(done.code, 0, str(done))
        self.assertEqual(self.run_sh("readlink /a/b", image=self.tag).text, self.outside)
        self.assertEqual(os.listdir(self.outside), ["canary"])

    def test_cve_2026_28406_a_context_that_climbs_out(self):
        """The context as an archive: names, links and what follows them."""
        climb = "../" * 20 + self.outside.lstrip("/")
        dockerfile = entry("Dockerfile", data=f"FROM {IMAGE}\nCOPY . /all/\n".encode())
        for hostile in ([entry(f"{climb}/made", data=b"evil")], [entry(f"{self.outside}/made", data=b"evil")],
                        [symlink("l", self.outside), entry("l/made", data=b"evil"), entry("l/canary", data=b"evil")],
                        [symlink("canary", self.canary), entry("canary", data=b"evil")],
                        [entry("hard", kind=tarfile.LNKTYPE, link=f"{climb}/canary"), entry("hard", 0o777, data=b"evil")]):
            self.engine("build", "-t", self.tag, "-", input=tar([dockerfile, *hostile]), text=False)
            self.assertEqual(os.listdir(self.outside), ["canary"])


class Layers(SecurityCase):
    def load(self, tag, *layers):
        path = written(self.folder(), "image.tar", docker_archive(tag, list(layers)))
        self.addCleanup(self.engine, "rmi", "-f", tag)
        return self.engine("load", "-i", path)

    def test_cve_2021_29136_the_root_itself_is_a_link(self):
        for name in (".", "./", "/", ""):
            with self.subTest(name=name):
                hostile = tar([symlink(name, self.outside), entry("made", data=b"evil"), entry("canary", data=b"evil")])
                self.load("rootlink:1", tar(busybox_entries()), hostile)
                self.engine("run", "--rm", "rootlink:1", "true")
                self.assertEqual(os.listdir(self.outside), ["canary"])

    def test_cve_2025_47290_a_link_of_one_layer_is_followed_by_the_next(self):
        """Between layers, and within one: a folder is exchanged for a link after it was checked."""
        first = tar([*busybox_entries(), directory("d"), entry("d/canary", data=b"old")])
        second = tar([symlink("d", self.outside), entry("d/canary", data=b"evil"), entry("d/made", data=b"evil"),
                      directory("d"), symlink("d", self.outside), entry("d/sub/made", data=b"evil")])
        third = tar([entry("d/canary", data=b"evil"), entry("d/.wh.canary"), entry("d/.wh..wh..opq")])
        self.load("swapped:1", first, second, third)
        self.engine("run", "--rm", "swapped:1", "true")
        self.assertEqual(os.listdir(self.outside), ["canary"])

    def test_cve_2026_95838_opaque_whiteouts_again_and_again(self):
        """Each is answered by what is there, not by emptying a large folder anew."""
        files = tar([*busybox_entries(), directory("many"), *(entry(f"many/{i}", data=b"x") for i in range(2000))])
        info = tarfile.TarInfo("many/.wh..wh..opq")
        layer = tar([directory("many")])[:512] + info.tobuf(tarfile.USTAR_FORMAT) * WHITEOUTS + bytes(1024)
        done = self.load("opaque:1", files, layer)
        self.assertEqual(done.code, 0, str(done))
        self.assertEqual(self.run_sh("ls /many | wc -l", image="opaque:1").text, "0")


class Volumes(SecurityCase):
    def test_cve_2020_1726_what_a_volume_holds_is_not_replaced(self):
        tag = self.image("volume-content:1", directory("data"), entry("data/file", data=b"of the image\n"))
        volume = self.name("v")
        self.ok("volume", "create", volume)
        self.addCleanup(self.engine, "volume", "rm", "-f", volume)
        self.run_sh("echo of the user > /data/file", "-v", f"{volume}:/data", image=IMAGE)
        for flags in ("", ":ro"):
            self.assertEqual(self.run_sh("cat /data/file", "-v", f"{volume}:/data{flags}", image=tag).text, "of the user")


class Clients(SecurityCase):
    def threads(self):
        return len(os.listdir(f"/proc/{self.engine.pid}/task"))

    def test_cve_2022_23471_hung_up_attaches_and_resizes(self):
        """CVE-2025-64329: whoever attaches or resizes and hangs up leaves nothing in the engine."""
        name = self.start("sleep", "1000", flags=("-t", "-i"))
        for _ in range(5):
            self.attach_and_hang_up(name)
        before = descriptors(self.engine.pid), self.threads()
        for _ in range(HANG_UPS):
            self.attach_and_hang_up(name)
        eventually(lambda: descriptors(self.engine.pid) <= before[0] + 5, "no descriptors are left")
        self.assertLessEqual(self.threads(), before[1] + 2)
        self.assertEqual(self.ok("exec", name, "echo", "alive").text, "alive")

    def attach_and_hang_up(self, name):
        connection = self.engine.api.hijack(f"/containers/{name}/attach?stream=1&stdin=1&stdout=1&stderr=1")
        self.engine.api.post(f"/containers/{name}/resize?h=10&w=20")
        connection.close()
