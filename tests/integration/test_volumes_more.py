"""Volumes beyond create and remove: rename, clone, export, import; images as mounts; sub-paths; events."""
import json
import os
import sqlite3
import tarfile
import time

from harness.archives import entry, tar
from harness.engine import IMAGE, EngineCase, eventually


class VolumeCase(EngineCase):
    def volume(self, hint, *flags, create=True):
        name = f"{hint}-{self._testMethodName[5:40]}".replace("_", "-")
        self.addCleanup(self.engine, "volume", "rm", "-f", name)
        if create:
            self.ok("volume", "create", *flags, name)
        return name

    def read(self, volume, path="/v/file"):
        return self.run_sh(f"cat {path}", "-v", f"{volume}:/v").text


class Verbs(VolumeCase):
    def setUp(self):
        super().setUp()
        self.only_berth("docker has no such verbs")
        self.only_our_command("docker's command has no such verbs")

    def test_rename_while_it_is_in_use(self):
        old, new = self.volume("old"), self.volume("new", create=False)
        name = self.start("sh", "-c", "echo one > /v/file; sleep 600", flags=("-v", f"{old}:/v"))
        self.assertEqual(self.ok("volume", "rename", old, new).text, new)
        self.fails(1, "volume", "inspect", old, says="no such volume")
        self.ok("exec", name, "sh", "-c", "echo two >> /v/file")
        self.assertEqual(self.engine.inspect(name)["Mounts"][0]["Name"], new)
        self.ok("restart", "-t", "0", name)
        self.assertEqual(self.read(new), "one")
        self.ok("volume", "create", old)
        self.fails(1, "volume", "rename", new, old, says="exists already")
        self.fails(1, "volume", "rename", "nothing-there", "x1", says="no such volume")
        self.fails(1, "volume", "rename", new, "a/b", says="invalid characters")

    def test_clone(self):
        source, copy = self.volume("source", "--label", "a=b"), self.volume("copy", create=False)
        self.run_sh("echo kept > /v/file; ln /v/file /v/hard; ln -s file /v/soft; chown 7:8 /v/file; chmod 600 /v/file",
                    "-v", f"{source}:/v")
        self.ok("volume", "clone", source, copy)
        self.run_sh("echo changed > /v/file", "-v", f"{source}:/v")
        self.assertEqual(self.read(copy), "kept")
        self.assertEqual(self.run_sh("stat -c '%u %g %a %h' /v/file; readlink /v/soft", "-v", f"{copy}:/v").lines,
                         ["7 8 600 2", "file"])
        self.assertEqual(self.engine.inspect(copy, "volume")["Labels"], {"a": "b"})

    def test_export_and_import(self):
        source, copy = self.volume("source"), self.volume("copy", create=False)
        self.run_sh("mkdir /v/d; echo kept > /v/d/file", "-v", f"{source}:/v")
        archive = os.path.join(self.engine.folder, "volume.tar")
        self.ok("volume", "export", "-o", archive, source)
        with tarfile.open(archive) as opened:
            self.assertIn("d/file", [os.path.normpath(name) for name in opened.getnames()])
        self.ok("volume", "import", copy, archive)
        self.assertEqual(self.read(copy, "/v/d/file"), "kept")
        self.ok("volume", "import", copy, input=tar([entry("more", data=b"x")]), text=False)
        self.assertEqual(self.read(copy, "/v/more /v/d/file"), "xkept")

    def test_import_stays_within_the_volume(self):
        name = self.volume("trap", create=False)
        hostile = tar([entry("up", kind=tarfile.SYMTYPE, link="/etc"), entry("up/planted-by-berth-test", data=b"x"),
                       entry("../planted-beside", data=b"x")])
        self.engine.api.put(f"/berth/volumes/{name}/archive", hostile)
        self.assertFalse(os.path.exists("/etc/planted-by-berth-test"))
        self.assertFalse(os.path.exists(os.path.join(self.engine.data, "volumes", name, "planted-beside")))

    def test_a_rename_that_a_kill_interrupts_is_finished(self):
        old, new = self.volume("old"), self.volume("new", create=False)
        self.run_sh("echo kept > /v/file", "-v", f"{old}:/v")
        self.ok("volume", "rename", old, new)
        self.engine.kill()
        # As if the kill had come between the record and the directory.
        with sqlite3.connect(os.path.join(self.engine.data, "state.db")) as database:
            [(text,)] = database.execute("SELECT record FROM volumes WHERE name = ?", (new,))
            database.execute("UPDATE volumes SET record = ? WHERE name = ?",
                             (json.dumps({**json.loads(text), "renamed_from": old}), new))
        database.close()
        folder = os.path.join(self.engine.data, "volumes")
        os.rename(os.path.join(folder, new), os.path.join(folder, old))
        self.engine.start()
        self.assertEqual(self.read(new), "kept")


class Size(VolumeCase):
    def test_a_limit_holds_or_is_refused(self):
        self.only_berth("20.10 needs its own file system for this")
        name = self.volume("limited", create=False)
        made = self.engine("volume", "create", "-o", "size=1m", name)
        if made.code != 0:
            self.assertIn("quota size requested but no quota support", made.err)
            self.fails(1, "volume", "inspect", name)
            return
        self.fails(1, "run", "--rm", "-v", f"{name}:/v", IMAGE, "dd", "if=/dev/zero", "of=/v/file", "bs=1M", "count=3")

    def test_bad_sizes(self):
        self.only_berth("20.10 has other words")
        self.fails(1, "volume", "create", "-o", "size=much", "limited", says="invalid size")
        self.fails(1, "volume", "create", "-o", "size=1m", "-o", "type=tmpfs", "-o", "device=tmpfs", "limited", says="size")
        self.fails(1, "volume", "create", "-o", "nope=1", "limited", says="invalid option")


class Mounts(VolumeCase):
    def test_image_mount(self):
        self.only_berth("20.10 has no image mounts")
        out = self.engine("run", "--rm", "--mount", f"type=image,src={IMAGE},dst=/image", IMAGE, "sh", "-c",
                          "ls /image/bin/busybox; touch /image/x")
        self.assertIn("/image/bin/busybox", out.out)
        self.assertIn("read-only", out.err.lower())
        sub = self.run_sh("ls /image", "--mount", f"type=image,src={IMAGE},dst=/image,image-subpath=bin")
        self.assertIn("busybox", sub.out)

    def test_subpath(self):
        self.only_berth("20.10 has no sub-paths")
        name = self.volume("sub")
        self.run_sh("mkdir -p /v/a/b; echo deep > /v/a/b/file; ln -s / /v/out", "-v", f"{name}:/v")
        self.assertEqual(self.run_sh("cat /s/file", "--mount", f"type=volume,src={name},dst=/s,volume-subpath=a/b").text,
                         "deep")
        self.fails(125, "run", "--rm", "--mount", f"type=volume,src={name},dst=/s,volume-subpath=out/etc", IMAGE, "true")

    def test_local_driver_options(self):
        folder = self.folder()
        name = self.volume("bound", "-o", "type=none", "-o", "o=bind", "-o", f"device={folder}")
        self.run_sh("echo x > /v/file", "-v", f"{name}:/v")
        self.assertTrue(os.path.exists(os.path.join(folder, "file")))
        memory = self.volume("memory", "-o", "type=tmpfs", "-o", "o=size=1m", "-o", "device=tmpfs")
        self.assertIn("size=1024k", self.run_sh("grep ' /v ' /proc/mounts", "-v", f"{memory}:/v").out)

    def test_cp_of_a_stopped_container_into_a_volume_of_another_directory(self):
        folder, copies = self.folder(), self.folder()
        for options, code in (("bind", 0), ("bind,ro", 1)):
            name = self.volume(options.replace(",", "-"), "-o", "type=none", "-o", f"o={options}", "-o", f"device={folder}")
            box = self.name()
            self.ok("create", "--name", box, "-v", f"{name}:/v", IMAGE, "true")
            done = self.engine("cp", "-", f"{box}:/v", input=tar([entry("given", data=options.encode())]), text=False)
            self.assertEqual(done.code, code, str(done))
            with open(os.path.join(folder, "given")) as given:
                self.assertEqual(given.read(), "bind")
            self.ok("cp", f"{box}:/v/given", os.path.join(copies, name))
            with open(os.path.join(copies, name)) as copied:
                self.assertEqual(copied.read(), "bind")

    def test_a_volume_of_memory_is_one_for_all_that_run_with_it(self):
        memory = self.volume("memory", "-o", "type=tmpfs", "-o", "o=size=1m,uid=7,nosuid", "-o", "device=tmpfs")
        one = self.start("sh", "-c", "echo shared > /v/file; exec sleep 300", flags=("-v", f"{memory}:/v"))
        eventually(lambda: self.engine("exec", one, "cat", "/v/file").text == "shared", "written")
        self.assertEqual(self.read(memory), "shared")
        self.assertEqual(self.run_sh("stat -c %u /v; grep -c ' /v .*nosuid.*size=1024k' /proc/mounts", "-v", f"{memory}:/v").text, "7\n1")
        self.fails(1, "volume", "rm", memory, says="in use")
        if not self.against_docker:
            self.engine.kill()
            self.engine.start()
            self.assertEqual(self.read(memory), "shared", "the next engine knows who uses it")
        self.ok("rm", "-f", one)
        mounted = lambda: [line for line in open("/proc/self/mounts") if line.split()[1].endswith(f"/{memory}")]
        eventually(lambda: not mounted(), "unmounted behind the last")
        self.assertNotEqual(self.engine("run", "--rm", "-v", f"{memory}:/v", IMAGE, "cat", "/v/file").code, 0, "memory forgets")
        eventually(lambda: not mounted(), "unmounted again")

    def test_what_exists_stays_as_it_is(self):
        """docker answers with the volume that is there, whatever is asked for this time."""
        name = self.volume("stays")
        before = self.engine.api.get(f"/volumes/{name}").json()
        again = self.engine.api.post("/volumes/create", {"Name": name, "Labels": {"new": "1"},
                                                         "DriverOpts": {"type": "tmpfs", "device": "tmpfs"}})
        self.assertEqual((again.status, again.json()), (201, before))
        self.assertEqual(self.engine.api.get(f"/volumes/{name}").json(), before)

    def test_events_of_use(self):
        self.only_berth("20.10 says less")
        name = self.volume("seen")
        self.run_sh("true", "-v", f"{name}:/v")
        answer = self.engine.api.get(f"/events?since=1&until={time.time():.9f}")
        actions = [event["Action"] for event in answer.json_lines()
                   if event["Type"] == "volume" and event["Actor"]["ID"] == name]
        self.assertEqual(actions[:3], ["create", "mount", "unmount"])
