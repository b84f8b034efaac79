"""Images: load, save, import, tag, rmi, history, layers as they should be, and hostile archives."""
import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile

from harness import archives, host
from harness.archives import directory, docker_archive, entry, oci_layout, symlink, tar
from harness.engine import IMAGE, Engine, EngineCase, run


class ImageCase(EngineCase):
    def load(self, data, expect=True):
        result = self.engine.load(data)
        if expect:
            self.assertEqual(result.code, 0, f"{result}\n{'' if self.against_docker else self.engine.log()[-1500:]}")
        return result

    def image(self, tag, *layers, settings=None, compression=None):
        """Loads an image of the base root and these layers on top of it."""
        base = tar(archives.busybox_entries())
        self.load(docker_archive(tag, [base, *layers], {"Cmd": ["sleep", "60"], **(settings or {})}, compression))
        self.addCleanup(self.engine, "rmi", "-f", tag)
        return tag


class LoadAndSave(ImageCase):
    def small(self, tag="small:1"):
        return [tar(archives.busybox_entries())], tag

    def test_docker_archives_and_layouts_of_every_compression(self):
        layers, _ = self.small()
        compressions = [None, "gzip"] + (["zstd"] if shutil.which("zstd") and not self.against_docker else [])
        for form in ("docker", "oci"):
            if form == "oci" and self.against_docker:
                continue  # 20.10 knows no layouts
            for compression in compressions:
                tag = f"form-{form}:{compression or 'plain'}"
                with self.subTest(form=form, compression=compression):
                    make = docker_archive if form == "docker" else oci_layout
                    self.load(make(tag, layers, {"Cmd": ["echo", "loaded"]}, compression=compression))
                    self.assertEqual(self.ok("run", "--rm", tag).text, "loaded")
                    self.ok("rmi", tag)

    def test_a_compressed_archive(self):
        layers, tag = self.small()
        self.load(gzip.compress(docker_archive(tag, layers), 1))
        self.ok("rmi", tag)

    def test_from_stdin(self):
        layers, tag = self.small("piped:1")
        out = self.ok("load", input=docker_archive(tag, layers), text=False).out
        self.assertIn(b"Loaded image: piped:1", out)
        self.ok("rmi", tag)

    def test_an_untagged_archive(self):
        layers, _ = self.small()
        out = self.load(docker_archive(None, layers, {"Labels": {"untagged": "yes"}})).out
        self.assertRegex(out, "Loaded image ID: sha256:[0-9a-f]{64}")
        identifier = out.split("sha256:")[1].strip()
        self.ok("rmi", identifier)

    def test_save_and_load_again(self):
        tag = self.image("saved:1", tar([entry("extra", data=b"kept")]))
        identifier = self.engine.inspect(tag)["Id"]
        path = os.path.join(self.folder(), "saved.tar")
        self.ok("save", "-o", path, tag)
        self.ok("rmi", tag)
        with open(path, "rb") as saved:
            self.load(saved.read())
        self.assertEqual(self.engine.inspect(tag)["Id"], identifier)
        self.assertEqual(self.ok("run", "--rm", tag, "cat", "/extra").out, "kept")

    def test_what_is_saved_is_a_docker_archive_and_a_layout(self):
        self.only_berth("20.10 writes docker archives alone")
        out = self.ok("save", IMAGE, text=False).out
        with tarfile.open(fileobj=io.BytesIO(out)) as archive:
            names = archive.getnames()
            for name in ("manifest.json", "index.json", "oci-layout"):
                self.assertIn(name, names)
            manifest = json.load(archive.extractfile("manifest.json"))[0]
            self.assertEqual(manifest["RepoTags"], [IMAGE])
            for part in (manifest["Config"], *manifest["Layers"]):
                self.assertIn(part, names)
            for name in names:
                if name.startswith("blobs/sha256/") and archive.getmember(name).isfile():
                    self.assertEqual(hashlib.sha256(archive.extractfile(name).read()).hexdigest(), name.split("/")[-1])

    def test_several_images_in_one_archive(self):
        self.image("one:1", tar([entry("one")]))
        self.image("two:1", tar([entry("two")]))
        path = os.path.join(self.folder(), "both.tar")
        self.ok("save", "-o", path, "one:1", "two:1")
        self.ok("rmi", "one:1", "two:1")
        self.ok("load", "-i", path)
        self.ok("run", "--rm", "one:1", "ls", "/one")
        self.ok("run", "--rm", "two:1", "ls", "/two")

    def test_loading_twice_changes_nothing(self):
        layers, tag = self.small("twice:1")
        archive = docker_archive(tag, layers)
        self.load(archive)
        first = self.engine.inspect(tag)["Id"]
        self.load(archive)
        self.assertEqual(self.engine.inspect(tag)["Id"], first)
        self.ok("rmi", tag)


class Listing(ImageCase):
    def test_tag_untag_and_rmi(self):
        self.ok("tag", IMAGE, "other/name:v2")
        self.assertEqual(self.engine.inspect("other/name:v2")["Id"], self.engine.inspect(IMAGE)["Id"])
        self.assertIn("other/name:v2", self.ok("images", "--format", "{{.Repository}}:{{.Tag}}").lines)
        result = self.ok("rmi", "other/name:v2")
        self.assertEqual(result.lines, ["Untagged: other/name:v2"])
        self.assertEqual(self.engine("inspect", "--type", "image", "other/name:v2").code, 1)

    def test_rmi_deletes_the_last(self):
        tag = self.image("last:1", tar([entry("unique", data=os.urandom(100))]))
        identifier = self.engine.inspect(tag)["Id"]
        lines = self.ok("rmi", tag).lines
        self.assertEqual(lines[0], "Untagged: last:1")
        self.assertIn(f"Deleted: {identifier}", lines)

    def test_an_image_in_use_is_kept(self):
        tag = self.image("used:1", tar([entry("used")]))
        name = self.name()
        self.ok("create", "--name", name, tag)
        result = self.engine("rmi", self.engine.inspect(tag)["Id"])
        self.assertEqual(result.code, 1)
        self.assertIn("conflict", result.err.lower())
        self.assertEqual(self.engine("start", name).code, 0)

    def test_images_columns_filters_and_quiet(self):
        header, *rows = self.ok("images").lines
        self.assertEqual([column for column in ("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE") if column in header],
                         ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"])
        self.assertTrue(any(row.startswith("berth-test ") for row in rows))
        self.assertEqual(self.ok("images", "-q", "berth-test").text, self.engine.inspect(IMAGE)["Id"][7:19])
        self.assertEqual(self.ok("images", "-q", "--no-trunc", IMAGE).text, self.engine.inspect(IMAGE)["Id"])
        self.assertEqual(self.ok("images", "-q", "--filter", "reference=no-such*").text, "")
        self.assertEqual(self.ok("images", "-q", "--filter", "reference=berth-*").text, self.engine.inspect(IMAGE)["Id"][7:19])

    def test_dangling_and_prune(self):
        first = self.image("moving:1", tar([entry("a", data=os.urandom(64))]))
        old = self.engine.inspect(first)["Id"]
        self.image("moving:1", tar([entry("b", data=os.urandom(64))]))
        self.assertIn(old, self.ok("images", "-q", "--no-trunc", "--filter", "dangling=true").lines)
        self.assertIn(old, self.ok("image", "prune", "-f").out)
        self.assertEqual(self.engine("inspect", "--type", "image", old).code, 1)
        self.assertEqual(self.engine("inspect", "--type", "image", IMAGE).code, 0)

    def test_history(self):
        tag = self.image("aged:1", tar([entry("x")]))
        rows = self.ok("history", "--format", "{{.CreatedBy}}", tag).lines
        self.assertEqual(rows, ["layer 1", "layer 0"])

    def test_inspect(self):
        tag = self.image("config:1", settings={"Env": ["PATH=/bin", "X=1"], "User": "app", "WorkingDir": "/home",
                                               "ExposedPorts": {"80/tcp": {}}, "Labels": {"l": "v"}, "Cmd": ["env"],
                                               "Volumes": {"/data": {}}, "StopSignal": "SIGINT"})
        config = self.engine.inspect(tag)["Config"]
        self.assertEqual((config["Env"], config["User"], config["WorkingDir"], config["Labels"], config["StopSignal"]),
                         (["PATH=/bin", "X=1"], "app", "/home", {"l": "v"}, "SIGINT"))
        self.assertEqual(self.ok("run", "--rm", tag, "sh", "-c", "id -un; pwd; echo $X; mount | grep -c ' /data '").lines,
                         ["app", "/home", "1", "1"])

    def test_digest_and_short_references(self):
        identifier = self.engine.inspect(IMAGE)["Id"]
        for reference in (identifier, identifier[7:], identifier[7:19], "docker.io/library/" + IMAGE, "library/" + IMAGE):
            with self.subTest(reference=reference):
                self.assertEqual(self.engine.inspect(reference, "image")["Id"], identifier)

    def test_unknown_images(self):
        result = self.engine("rmi", "no-such:1")
        self.assertEqual(result.code, 1)
        self.assertIn("No such image: no-such:1", result.err)
        result = self.engine("inspect", "--type", "image", "no-such:1")
        self.assertEqual((result.code, result.text), (1, "[]"))
        self.assertEqual(self.engine("tag", "no-such:1", "x:1").code, 1)
        self.assertEqual(self.engine("save", "-o", os.path.join(self.folder(), "x"), "no-such:1").code, 1)
        self.assertEqual(self.engine("history", "no-such:1").code, 1)

    def test_malformed_references(self):
        for reference in ("UPPER:1", "a//b", "x:" + "t" * 129, "-x", "a:b:c", "x@sha256:zz"):
            with self.subTest(reference=reference):
                self.assertNotEqual(self.engine("tag", IMAGE, reference).code, 0)


class Layers(ImageCase):
    """What a layer says must be what a container sees."""

    def shell(self, tag, script):
        return self.ok("run", "--rm", tag, "sh", "-c", script).lines

    def test_whiteouts_and_opaque_folders(self):
        lower = tar([directory("d"), entry("d/a"), entry("d/b"), directory("o"), entry("o/hidden"), entry("f", data=b"old")])
        upper = tar([entry("d/.wh.a"), directory("o"), entry("o/.wh..wh..opq"), entry("o/shown"), entry(".wh.f")])
        tag = self.image("whiteouts:1", lower, upper)
        self.assertEqual(self.shell(tag, "ls /d; ls /o; ls /f 2>/dev/null; true"), ["b", "shown"])

    def test_whiteouts_in_an_opaque_folder_are_not_seen(self):
        self.only_berth("the kernel shows dockerd's as files that cannot be looked at")
        lower = tar([directory("d"), entry("d/a"), entry("d/b"), directory("e"), entry("e/c")])
        for number, upper in enumerate(([entry("d/.wh..wh..opq"), entry("d/.wh.a"), entry("d/end"), entry("e/.wh.c")],
                                        [entry("d/.wh.a"), entry("d/end"), entry("d/.wh..wh..opq"), entry("e/.wh.c")])):
            with self.subTest(number=number):
                tag = self.image(f"opaque:{number}", lower, tar(upper))
                self.assertEqual(self.shell(tag, "ls /d; ls /e"), ["end"])

    def test_a_folder_becomes_a_file_and_back(self):
        tag = self.image("kinds:1", tar([directory("x"), entry("x/in"), entry("y", data=b"file")]),
                         tar([entry("x", data=b"now a file"), directory("y"), entry("y/in", data=b"now inside")]))
        self.assertEqual(self.shell(tag, "cat /x; echo; cat /y/in"), ["now a file", "now inside"])

    def test_hard_links_are_one_file(self):
        tag = self.image("links:1", tar([entry("a", data=b"same"), entry("b", kind=tarfile.LNKTYPE, link="a")]))
        self.assertEqual(self.shell(tag, "stat -c %h /a; [ $(stat -c %i /a) = $(stat -c %i /b) ] && echo one"), ["2", "one"])

    def test_owners_modes_and_times(self):
        tag = self.image("modes:1", tar([entry("f", 0o4751, uid=1000, gid=50, mtime=1_000_000_000),
                                         entry("d", 0o3777, tarfile.DIRTYPE, uid=7)]))
        self.assertEqual(self.shell(tag, "stat -c '%a %u:%g %Y' /f; stat -c '%a %u' /d"), ["4751 1000:50 1000000000", "3777 7"])

    def test_devices_and_fifos(self):
        tag = self.image("nodes:1", tar([entry("null", 0o666, tarfile.CHRTYPE, devmajor=1, devminor=3),
                                         entry("fifo", kind=tarfile.FIFOTYPE)]))
        self.assertEqual(self.shell(tag, "stat -c '%F %t:%T' /null; stat -c %F /fifo; echo x > /null && echo written"),
                         ["character special file 1:3", "fifo", "written"])

    def test_extended_attributes(self):
        capability = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
        info, data = entry("ping", 0o755, data=b"x")
        info.pax_headers = {"SCHILY.xattr.security.capability": capability.decode("latin-1"),
                            "SCHILY.xattr.user.note": "kept"}
        tag = self.image("attributes:1", tar([(info, data)]))
        name = self.start("sleep", "60", image=tag)
        pid = self.engine.inspect(name)["State"]["Pid"]
        self.assertEqual(os.getxattr(f"/proc/{pid}/root/ping", "security.capability"), capability)
        self.assertEqual(os.getxattr(f"/proc/{pid}/root/ping", "user.note"), b"kept")

    def test_sparse_files_stay_sparse(self):
        self.only_berth("it writes the holes out")
        folder = self.folder()
        with open(os.path.join(folder, "sparse"), "wb") as file:
            file.truncate(200 << 20)
            file.seek(100 << 20)
            file.write(b"middle")
        packed = run(["tar", "-C", folder, "--sparse", "--format=posix", "-c", "sparse"], text=False)
        self.assertEqual(packed.code, 0)
        # The layer is the sparse archive as GNU tar wrote it.
        tag = self.image("sparse:1", packed.out)
        shown = self.shell(tag, "stat -c %s /sparse; [ $(du -k /sparse | cut -f1) -lt 2048 ] && echo sparse; "
                           "dd if=/sparse bs=1M skip=100 count=1 2>/dev/null | head -c 6")
        self.assertEqual(shown, [str(200 << 20), "sparse", "middle"])

    def test_long_and_odd_names(self):
        deep = "/".join(["d" * 90] * 5)
        odd = "with space, quote' and \u00fc\u2713"
        tag = self.image("names:1", tar([entry(f"{deep}/end", data=b"deep"), entry(odd, data=b"odd")]))
        self.assertEqual(self.shell(tag, f"cat /{deep}/end; echo; cat \"/{odd}\""), ["deep", "odd"])

    def test_a_layer_is_stored_once(self):
        self.only_berth("its data lies elsewhere")

        def used():
            return sum(os.stat(os.path.join(folder, file)).st_blocks * 512
                       for folder, _, files in os.walk(self.engine.data) for file in files)

        big = tar([entry("big", data=os.urandom(8 << 20))])
        self.image("first:1", big)
        before = used()
        self.image("second:1", big, tar([entry("small")]))
        self.assertLess(used() - before, 2 << 20)

    def test_a_file_made_by_the_image_survives_a_read_only_parent(self):
        tag = self.image("sealed:1", tar([directory("r", 0o555), entry("r/f", 0o444, data=b"in")]))
        self.assertEqual(self.shell(tag, "cat /r/f; echo; stat -c %a /r"), ["in", "555"])


class Hostile(ImageCase):
    """Archives made to reach out of the root, to mislead or to exhaust. None may touch the host; none may end
    the engine."""

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

    def try_layer(self, *entries):
        """Loads an image with this layer; it may be refused or contained. Returns the Result."""
        return self.load(docker_archive("hostile:1", [tar(archives.busybox_entries()), tar(entries)]), expect=False)

    def test_paths_that_climb_out(self):
        up = "../" * 20
        for name in (f"{up}{self.outside}/new", f"a/{up}{self.outside}/new", f"{self.outside}/new", f"./{up}{self.outside}/new"):
            with self.subTest(name=name):
                self.try_layer(directory("a"), entry(name, data=b"evil"))

    def test_links_followed_by_files_beneath_them(self):
        up = "../" * 20
        for target in (self.outside, f"{up}{self.outside}", "/proc/self/root" + self.outside, "/proc/1/root" + self.outside):
            with self.subTest(target=target):
                self.try_layer(symlink("link", target), entry("link/new", data=b"evil"))
                self.try_layer(symlink("a", "b"), symlink("b", target), entry("a/canary", data=b"evil"))
                self.try_layer(symlink("link", f"{target}/canary"), entry("link", data=b"evil"))

    def test_links_in_a_lower_layer(self):
        self.load(docker_archive("hostile:2", [tar(archives.busybox_entries()), tar([symlink("link", self.outside)]),
                                               tar([entry("link/new", data=b"evil"), entry("link/.wh.canary")])]), expect=False)

    def test_hard_links_to_the_host(self):
        for target in (self.canary, "../" * 20 + self.canary):
            with self.subTest(target=target):
                self.try_layer(entry("hard", kind=tarfile.LNKTYPE, link=target), entry("hard", data=b"evil"))
        self.try_layer(symlink("s", self.canary), entry("hard", kind=tarfile.LNKTYPE, link="s"), entry("hard", data=b"evil"))

    def test_whiteouts_that_climb_out(self):
        up = "../" * 20
        for name in (f"{up}{self.outside}/.wh.canary", ".wh...", ".wh..", f".wh.{up}{self.outside}/canary", ".wh."):
            with self.subTest(name=name):
                self.try_layer(entry(name))

    def test_modes_are_not_changed_through_links(self):
        os.chmod(self.canary, 0o600)
        self.try_layer(symlink("c", self.canary), entry("c", 0o4777, tarfile.DIRTYPE))
        self.assertEqual(os.stat(self.canary).st_mode & 0o7777, 0o600)

    def test_a_layer_that_does_not_match_its_digest(self):
        layers = [tar(archives.busybox_entries())]
        config = archives.image_config([b"something else"])
        result = self.load(docker_archive("wrong:1", layers, config=config), expect=False)
        self.assertNotEqual(result.code, 0, str(result))
        self.assertEqual(self.engine("inspect", "--type", "image", "wrong:1").code, 1)

    def test_blobs_that_do_not_match_their_names(self):
        self.only_berth("20.10 knows no layouts")
        for blob in ("layer", "config", "manifest"):
            with self.subTest(blob=blob):
                result = self.load(oci_layout("wrong:2", [tar([entry("x")])], corrupt=blob), expect=False)
                self.assertNotEqual(result.code, 0, str(result))
                self.assertEqual(self.engine("inspect", "--type", "image", "wrong:2").code, 1)

    def test_truncated_and_broken_archives(self):
        good = docker_archive("cut:1", [tar(archives.busybox_entries())])
        for label, data in (("empty", b""), ("text", b"this is no archive\n" * 100), ("cut", good[:len(good) // 2]),
                            ("zeros", bytes(20480)), ("half a gzip", gzip.compress(good)[:5000]),
                            ("no manifest", tar([entry("x")])),
                            ("manifest no json", tar([entry("manifest.json", data=b"{nope")])),
                            ("manifest no list", tar([entry("manifest.json", data=b'{"Config":1}')])),
                            ("missing parts", tar([entry("manifest.json",
                                                         data=b'[{"Config":"c.json","RepoTags":["cut:1"],"Layers":["l"]}]')])),
                            ("names that climb", tar([entry("manifest.json", data=(
                                '[{"Config":"../../../../../../etc/hostname","RepoTags":["cut:1"],'
                                '"Layers":["/etc/hostname"]}]').encode())]))):
            with self.subTest(label=label):
                result = self.load(data, expect=False)
                self.assertNotEqual(result.code, 0, str(result))
                self.assertTrue(result.err.strip(), "says why")
        self.assertEqual(self.engine("inspect", "--type", "image", "cut:1").code, 1)

    def test_a_layer_cut_in_the_middle(self):
        layer = tar(archives.busybox_entries())[:300_000]
        result = self.load(docker_archive("cut:2", [layer]), expect=False)
        self.assertNotEqual(result.code, 0, str(result))

    def test_links_as_members_of_the_outer_archive(self):
        data = tar([symlink("layer.tar", "/etc/passwd"), symlink("config.json", "/etc/passwd"),
                    entry("manifest.json", data=b'[{"Config":"config.json","RepoTags":["l:1"],"Layers":["layer.tar"]}]')])
        self.assertNotEqual(self.load(data, expect=False).code, 0)

    def test_a_decompression_bomb_does_not_eat_the_engines_memory(self):
        self.only_berth("its memory is not watched")
        zeros = gzip.compress(bytes(64 << 20), 9)
        bomb = tar([entry("0/layer.tar", data=zeros * 16),
                    entry("manifest.json", data=b'[{"Config":"c.json","RepoTags":["b:1"],"Layers":["0/layer.tar"]}]'),
                    entry("c.json", data=b'{"rootfs":{"type":"layers","diff_ids":["sha256:' + b"0" * 64 + b'"]}}')])
        before = host.resident_kib(self.engine.pid)
        self.assertNotEqual(self.load(bomb, expect=False).code, 0)
        self.assertLess(host.resident_kib(self.engine.pid) - before, 128 << 10)

    def test_a_giant_manifest_does_not_eat_the_engines_memory(self):
        self.only_berth("its memory is not watched")
        data = tar([entry("manifest.json", data=b"[" * (96 << 20))])
        before = host.resident_kib(self.engine.pid)
        self.assertNotEqual(self.load(data, expect=False).code, 0)
        self.assertLess(host.resident_kib(self.engine.pid) - before, 64 << 10)

    def test_deep_nesting_in_a_configuration(self):
        config = b'{"config":{"Labels":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}}"
        self.assertNotEqual(self.load(docker_archive("deep:1", [tar([entry("x")])], config=config), expect=False).code, 0)

    def test_import_of_a_hostile_root(self):
        path = os.path.join(self.folder(), "root.tar")
        with open(path, "wb") as out:
            out.write(tar([*archives.busybox_entries(), symlink("link", self.outside), entry("link/new", data=b"evil"),
                           entry("../" * 20 + self.outside + "/new", data=b"evil")]))
        self.engine("import", path, "hostile-import:1")

    def test_an_image_whose_devices_are_links(self):
        """CVE-2025-31133, CVE-2026-41579: what the engine mounts or makes must not follow the image's links."""
        entries = [pair for pair in archives.busybox_entries() if pair[0].name != "dev"]
        for label, extra in (("null", [directory("dev"), symlink("dev/null", self.canary)]),
                             ("dev", [symlink("dev", self.outside)]),
                             ("console", [directory("dev"), symlink("dev/console", self.canary), symlink("dev/pts", self.outside)])):
            with self.subTest(label=label):
                tag = f"links-{label}:1"
                self.load(docker_archive(tag, [tar([*entries, *extra])]))
                self.engine("run", "--rm", tag, "sh", "-c", "echo evil > /dev/null; ls -l /dev/")
                self.engine("rmi", "-f", tag)

    def test_an_image_whose_proc_is_a_link(self):
        entries = [pair for pair in archives.busybox_entries() if pair[0].name not in ("proc", "sys")]
        self.load(docker_archive("links-proc:1", [tar([*entries, symlink("proc", self.outside), symlink("sys", self.outside)])]))
        result = self.engine("run", "--rm", "links-proc:1", "cat", "/proc/self/status")
        self.assertTrue(result.code != 0 or "CapInh" in result.out, str(result))
        self.engine("rmi", "-f", "links-proc:1")

    def test_a_volume_path_that_climbs_out(self):
        """CVE-2022-23648."""
        tag = self.image("climb:1", settings={"Volumes": {f"/../../../..{self.outside}": {}, "/x/../../..": {}}})
        result = self.engine("run", "--rm", tag, "sh", "-c", f"cat {self.outside}/canary")
        self.assertNotIn("untouched", result.out)

    def test_etc_files_that_are_links(self):
        entries = [pair for pair in archives.busybox_entries() if pair[0].name not in ("etc/passwd", "etc/group")]
        self.load(docker_archive("links-etc:1", [tar([*entries, symlink("etc/passwd", self.canary), symlink("etc/hosts", self.canary),
                                                      symlink("etc/resolv.conf", self.canary),
                                                      symlink("etc/hostname", self.canary)])]))
        result = self.engine("run", "--rm", "-u", "untouched", "links-etc:1", "true")
        self.assertNotEqual(result.code, 0)
        self.engine("run", "--rm", "links-etc:1", "sh", "-c", "echo evil > /etc/hosts; cat /etc/hosts")
        self.engine("rmi", "-f", "links-etc:1")

    def test_a_huge_passwd_does_not_eat_memory(self):
        """CVE-2026-47262: one line without an end."""
        self.only_berth("its memory is not watched")
        tag = self.image("huge:1", tar([entry("etc/passwd", data=b"x" * (64 << 20))]))
        before = host.resident_kib(self.engine.pid)
        result = self.engine("run", "--rm", "-u", "app", tag, "true")
        self.assertNotEqual(result.code, 0)
        self.assertLess(host.resident_kib(self.engine.pid) - before, 32 << 10)

    def test_labels_and_annotations_are_data(self):
        """CVE-2026-53488: metadata of the image must not steer the engine."""
        marker = os.path.join(self.outside, "marker")
        tag = self.image("labels:1", settings={"Labels": {
            "containerd.io/restart.loguri": f"binary:///bin/touch?{marker}", "io.podman.annotations.privileged": "TRUE",
            "io.podman.annotations.seccomp": "unconfined", "org.systemd.property.ExecStart": f"/bin/touch {marker}"}})
        result = self.ok("run", "--rm", tag, "cat", "/proc/self/status").out
        self.assertIn("Seccomp:\t2", result)
        self.assertFalse(os.path.exists(marker))

    def test_users_out_of_range_in_the_image(self):
        for user in ("4294967296", "4294967297", "-1", " 0", "2147483648"):
            with self.subTest(user=user):
                tag = self.image("user:1", settings={"User": user})
                self.assertNotEqual(self.engine("run", "--rm", tag, "id", "-u").code, 0)


class Bootstrap(EngineCase):
    def test_busybox(self):
        self.only_our_command("bootstrap is berth's own verb")
        self.ok("bootstrap", "busybox")
        self.assertEqual(self.ok("run", "--rm", "--network", "none", "busybox", "echo", "bootstrapped").text, "bootstrapped")
        self.assertIn("busybox", self.ok("images", "--format", "{{.Repository}}").lines)
        self.ok("bootstrap", "busybox")

    def test_what_it_does_not_know(self):
        self.only_our_command("bootstrap is berth's own verb")
        result = self.engine("bootstrap", "no-such-distribution")
        self.assertNotEqual(result.code, 0)
        self.assertIn("no-such-distribution", result.err)


class NoSpace(EngineCase):
    def test_a_full_disk_is_said_and_nothing_half_done_is_left(self):
        self.only_berth("docker keeps its data elsewhere")
        folder = self.folder()
        self.assertEqual(run(["mount", "-t", "tmpfs", "-o", "size=12m", "none", folder]).code, 0)
        engine = Engine("small", folder=folder)
        try:
            engine.start()
            result = engine.load(docker_archive("big:1", [tar([entry("big", data=os.urandom(5 << 20))])]))
            self.assertNotEqual(result.code, 0, str(result))
            self.assertIn("space", result.err.lower())
            self.assertEqual(engine("images", "-q").text, "")
            small = engine.load(docker_archive("fits:1", [tar([entry("small")])]))
            self.assertEqual(small.code, 0, str(small))
        finally:
            engine.terminate()
            run(["umount", folder])
