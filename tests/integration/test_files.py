"""Files in and out of containers: cp, diff, export, commit, volumes."""
import io
import json
import os
import stat
import tarfile
import time
import urllib.parse

from harness.engine import IMAGE, EngineCase, eventually


class Copy(EngineCase):
    def setUp(self):
        super().setUp()
        self.box = self.start("sleep", "600")
        self.here = self.folder()

    def path(self, *parts):
        return os.path.join(self.here, *parts)

    def write(self, name, text="content"):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w") as file:
            file.write(text)
        return self.path(name)

    def cat(self, path):
        return self.ok("exec", self.box, "cat", path).out

    def test_a_file_in_and_out(self):
        self.ok("cp", self.write("file"), f"{self.box}:/tmp/copied")
        self.assertEqual(self.cat("/tmp/copied"), "content")
        self.ok("cp", f"{self.box}:/tmp/copied", self.path("back"))
        with open(self.path("back")) as file:
            self.assertEqual(file.read(), "content")

    def test_into_a_folder_keeps_the_name(self):
        self.ok("cp", self.write("file"), f"{self.box}:/tmp")
        self.assertEqual(self.cat("/tmp/file"), "content")

    def test_a_folder_in(self):
        self.write("dir/a")
        self.write("dir/sub/b", "deep")
        self.ok("cp", self.path("dir"), f"{self.box}:/tmp/new")
        self.assertEqual(self.cat("/tmp/new/sub/b"), "deep")
        self.ok("cp", self.path("dir"), f"{self.box}:/tmp/new")
        self.assertEqual(self.cat("/tmp/new/dir/sub/b"), "deep")
        self.ok("cp", self.path("dir") + "/.", f"{self.box}:/home")
        self.assertEqual(self.cat("/home/sub/b"), "deep")

    def test_a_folder_out(self):
        self.ok("exec", self.box, "sh", "-c", "mkdir -p /x/y && echo deep > /x/y/z && ln -s y/z /x/link")
        self.ok("cp", f"{self.box}:/x", self.path("out"))
        with open(self.path("out", "y", "z")) as file:
            self.assertEqual(file.read(), "deep\n")
        self.assertEqual(os.readlink(self.path("out", "link")), "y/z")
        self.ok("cp", f"{self.box}:/x/.", self.here)
        self.assertTrue(os.path.exists(self.path("y", "z")))

    def test_links_are_followed_on_request(self):
        self.ok("exec", self.box, "sh", "-c", "echo target > /t && ln -s /t /l")
        self.ok("cp", f"{self.box}:/l", self.path("as-link"))
        self.assertTrue(os.path.islink(self.path("as-link")))
        self.ok("cp", "-L", f"{self.box}:/l", self.path("as-file"))
        with open(self.path("as-file")) as file:
            self.assertEqual(file.read(), "target\n")

    def test_modes_and_owners(self):
        os.chmod(self.write("script"), 0o750)
        self.ok("cp", self.path("script"), f"{self.box}:/tmp/script")
        self.assertEqual(self.ok("exec", self.box, "stat", "-c", "%a", "/tmp/script").text, "750")
        os.chown(self.path("script"), 1000, 50)
        self.ok("cp", "-a", self.path("script"), f"{self.box}:/tmp/archive")
        self.assertEqual(self.ok("exec", self.box, "stat", "-c", "%u:%g", "/tmp/archive").text, "1000:50")

    def test_stdin_and_stdout_are_archives(self):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as archive:
            info = tarfile.TarInfo("streamed")
            info.size = 3
            archive.addfile(info, io.BytesIO(b"abc"))
        self.ok("cp", "-", f"{self.box}:/tmp", input=data.getvalue(), text=False)
        self.assertEqual(self.cat("/tmp/streamed"), "abc")
        out = self.ok("cp", f"{self.box}:/tmp/streamed", "-", text=False).out
        with tarfile.open(fileobj=io.BytesIO(out)) as archive:
            self.assertEqual(archive.extractfile("streamed").read(), b"abc")

    def test_a_stopped_container(self):
        name = self.name()
        self.ok("create", "--name", name, IMAGE, "cat", "/tmp/in")
        self.ok("cp", self.write("file", "before the start"), f"{name}:/tmp/in")
        self.assertEqual(self.ok("start", "-a", name).out, "before the start")
        self.ok("cp", f"{name}:/etc/passwd", self.path("passwd"))

    def test_a_volume_is_seen(self):
        name = self.name()
        self.ok("run", "-d", "--name", name, "-v", "/data", IMAGE, "sleep", "600")
        self.ok("cp", self.write("file", "volume"), f"{name}:/data/file")
        self.assertEqual(self.ok("exec", name, "cat", "/data/file").out, "volume")

    def test_a_read_only_root(self):
        name = self.name()
        self.ok("run", "-d", "--name", name, "--read-only", IMAGE, "sleep", "600")
        result = self.engine("cp", self.write("file"), f"{name}:/tmp/x")
        self.assertEqual(result.code, 1)
        self.assertIn("read-only", result.err)

    def test_what_is_not_there(self):
        result = self.engine("cp", f"{self.box}:/no/such", self.here)
        self.assertEqual(result.code, 1)
        self.assertIn("/no/such", result.err)
        self.assertEqual(self.engine("cp", self.path("no-such"), f"{self.box}:/tmp").code, 1)
        self.assertEqual(self.engine("cp", self.write("f"), f"{self.box}:/no/such/folder/f").code, 1)
        self.assertEqual(self.engine("cp", self.path("f"), "no-such:/tmp").code, 1)

    def test_links_do_not_lead_out_of_the_container(self):
        canary = self.write("canary", "untouched")
        self.ok("exec", self.box, "ln", "-s", self.here, "/escape")
        self.engine("cp", self.write("evil", "changed"), f"{self.box}:/escape/canary")
        with open(canary) as file:
            self.assertEqual(file.read(), "untouched")
        self.ok("exec", self.box, "ln", "-s", "/etc/shadow", "/secret")
        self.engine("cp", "-L", f"{self.box}:/secret", self.path("leak"))
        self.assertFalse(os.path.exists(self.path("leak")))
        self.ok("exec", self.box, "ln", "-s", "/proc/self/root", "/rootlink")
        self.engine("cp", f"{self.box}:/rootlink/..{canary}", self.path("leak2"))
        self.assertFalse(os.path.exists(self.path("leak2")))

    def test_nothing_of_the_image_is_executed(self):
        """CVE-2026-41567: a decompressor looked up in the container's root; CVE-2019-14271: a library of it loaded."""
        script = "#!/bin/sh\ntouch /marker\n"
        for tool in ("gzip", "xz", "unpigz", "bzip2", "tar", "zstd"):
            self.ok("exec", "-i", self.box, "sh", "-c",
                    f"rm -f /bin/{tool}; cat > /usr/bin/{tool}; chmod 755 /usr/bin/{tool}", input=script)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:xz") as archive:
            archive.addfile(tarfile.TarInfo("packed"))
        answer = self.engine.api.put(f"/containers/{self.box}/archive?path=/tmp", packed.getvalue(),
                                     headers={"Content-Type": "application/x-tar"})
        self.assertEqual(answer.status, 200, str(answer))
        self.assertEqual(self.engine("exec", self.box, "test", "-e", "/marker").code, 1)
        self.ok("exec", self.box, "test", "-e", "/tmp/packed")


class Diff(EngineCase):
    def test_added_changed_deleted(self):
        name = self.start("sh", "-c", "touch /new && mkdir /dir && touch /dir/in && echo x >> /etc/passwd && rm /etc/group "
                          "&& echo done && sleep 600")
        eventually(lambda: "done" in self.ok("logs", name).out, "the changes are made")
        self.assertLessEqual({"A /new", "A /dir", "A /dir/in", "C /etc", "C /etc/passwd", "D /etc/group"},
                             set(self.ok("diff", name).lines))

    def test_of_an_untouched_container(self):
        name = self.name()
        self.ok("create", "--name", name, IMAGE, "true")
        self.assertEqual(self.ok("diff", name).out, "")


class Export(EngineCase):
    def test_export_and_import(self):
        name = self.name()
        self.ok("run", "--name", name, IMAGE, "sh", "-c", "echo mine > /file; ln /file /hard; mkfifo /fifo; rm /etc/group")
        path = os.path.join(self.folder(), "root.tar")
        self.ok("export", "-o", path, name)
        with tarfile.open(path) as archive:
            names = {member.name.lstrip("./"): member for member in archive}
        self.assertIn("file", names)
        self.assertTrue(names["fifo"].isfifo())
        self.assertNotIn("etc/group", names)
        self.assertFalse([entry for entry in names if ".wh." in entry])
        self.ok("import", "-c", 'CMD ["cat","/hard"]', path, "imported:1")
        self.addCleanup(self.engine, "rmi", "-f", "imported:1")
        self.assertEqual(self.ok("run", "--rm", "imported:1").text, "mine")

    def test_export_to_a_pipe(self):
        name = self.name()
        self.ok("create", "--name", name, IMAGE, "true")
        with tarfile.open(fileobj=io.BytesIO(self.ok("export", name, text=False).out)) as archive:
            self.assertIn("bin/busybox", [member.name.lstrip("./") for member in archive])

    def test_events_come_before_the_last_byte(self):
        """Who has the archive and asks for the events up to now hears of it."""
        box = self.start("sh", "-c", "head -c 64m /dev/zero > /file; sleep 600")
        eventually(lambda: self.ok("exec", box, "stat", "-c", "%s", "/file").text == str(64 << 20), "the file is written")
        for target, action in ((f"/containers/{box}/archive?path=/file", "archive-path"), (f"/containers/{box}/export", "export")):
            connection, answer = self.engine.api.stream("GET", target)
            try:
                answer.read(1024)
                wanted = urllib.parse.quote(json.dumps({"container": [box], "event": [action]}))
                told = self.engine.api.get(f"/events?since=0&until={time.time():.9f}&filters={wanted}").json_lines()
                self.assertEqual([event["Action"] for event in told], [action])
            finally:
                connection.close()

    def test_commit(self):
        name = self.name()
        self.ok("run", "--name", name, IMAGE, "sh", "-c", "echo committed > /file")
        self.addCleanup(self.engine, "rmi", "-f", "committed:1")
        self.assertRegex(self.ok("commit", "-a", "me", "-m", "why", "-c", 'CMD ["cat","/file"]', name, "committed:1").text,
                         "^sha256:[0-9a-f]{64}$")
        self.assertEqual(self.ok("run", "--rm", "committed:1").text, "committed")
        image = self.engine.inspect("committed:1")
        self.assertEqual((image["Author"], image["Comment"]), ("me", "why"))
        self.assertEqual(len(image["RootFS"]["Layers"]), 2)


class Volumes(EngineCase):
    def test_create_ls_inspect_rm(self):
        self.addCleanup(self.engine, "volume", "rm", "-f", "data")
        self.assertEqual(self.ok("volume", "create", "--label", "a=b", "data").text, "data")
        self.assertIn("data", self.ok("volume", "ls", "-q", "--filter", "label=a=b").lines)
        volume = json.loads(self.ok("volume", "inspect", "data").out)[0]
        self.assertEqual((volume["Name"], volume["Driver"], volume["Labels"]), ("data", "local", {"a": "b"}))
        self.assertTrue(os.path.isdir(volume["Mountpoint"]))
        self.assertEqual(self.ok("volume", "rm", "data").text, "data")
        self.assertEqual(self.engine("volume", "inspect", "data").code, 1)
        self.assertFalse(os.path.exists(volume["Mountpoint"]))

    def test_one_in_use_is_kept(self):
        self.addCleanup(self.engine, "volume", "rm", "-f", "used")
        name = self.name()
        self.ok("run", "-d", "--name", name, "-v", "used:/v", IMAGE, "sleep", "600")
        result = self.engine("volume", "rm", "used")
        self.assertEqual(result.code, 1)
        self.assertIn("in use", result.err)
        self.ok("rm", "-f", name)
        self.ok("volume", "rm", "used")

    def test_prune(self):
        self.addCleanup(self.engine, "volume", "rm", "-f", "named")
        self.ok("volume", "create", "named")
        anonymous = self.ok("volume", "create").text
        self.ok("volume", "prune", "-f")
        left = self.ok("volume", "ls", "-q").lines
        self.assertNotIn(anonymous, left)

    def test_names_that_lead_elsewhere_are_refused(self):
        for name in ("../evil", "a/b", ".", "..", "-x"):
            with self.subTest(name=name):
                self.assertEqual(self.engine.api.post("/volumes/create", {"Name": name}).status, 400)

    def test_the_folder_is_private(self):
        self.addCleanup(self.engine, "volume", "rm", "-f", "private")
        self.ok("volume", "create", "private")
        mountpoint = self.engine.inspect("private", "volume")["Mountpoint"]
        parent = os.path.dirname(os.path.dirname(mountpoint))
        self.assertEqual(stat.S_IMODE(os.stat(parent).st_mode) & 0o066, 0)
