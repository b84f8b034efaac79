"""--userns auto: a range of ids of its own for every container of the system's engine, with mapped layers."""
import json
import os

from harness.engine import IMAGE, EngineCase, eventually


class Auto(EngineCase):
    def range_of(self, name):
        """First and size, as the kernel has them."""
        pid = self.engine.inspect(name)["State"]["Pid"]
        with open(f"/proc/{pid}/uid_map") as file:
            inside, outside, size = map(int, file.read().split())
        self.assertEqual(inside, 0)
        return outside, size

    def test_root_inside_is_nobody_outside(self):
        name = self.start("sleep", "1000", flags=("--userns", "auto"))
        first, size = self.range_of(name)
        self.assertGreater(first, 65536)
        self.assertEqual(size, 65536)
        pid = self.engine.inspect(name)["State"]["Pid"]
        self.assertEqual(os.stat(f"/proc/{pid}").st_uid, first)
        self.assertEqual(self.ok("exec", name, "sh", "-c", "id -u; stat -c %u /bin/busybox /etc/passwd /etc/hosts").text,
                         "0\n0\n0\n0")

    def test_ranges_do_not_overlap_and_are_given_back(self):
        names = [self.start("sleep", "1000", flags=("--userns", "auto")) for _ in range(3)]
        ranges = sorted(self.range_of(name) for name in names)
        for (first, size), (following, _) in zip(ranges, ranges[1:]):
            self.assertLessEqual(first + size, following)
        lowest = ranges[0][0]
        owner = next(name for name in names if self.range_of(name)[0] == lowest)
        self.ok("rm", "-f", owner)
        again = self.start("sleep", "1000", flags=("--userns", "auto"))
        self.assertEqual(self.range_of(again)[0], lowest)

    def test_files_keep_their_ids(self):
        """Nothing on the disk is chowned: what is committed has the owners that the container saw."""
        name = self.start("sh", "-c", "echo x > /made; chown 1000:1000 /made; echo done; sleep 1000",
                          flags=("--userns", "auto"))
        eventually(lambda: "done" in self.ok("logs", name).out, "the file is there")
        self.ok("commit", name, "auto:1")
        self.addCleanup(self.engine, "rmi", "-f", "auto:1")
        self.assertEqual(self.run_sh("stat -c %u:%g /made /bin/busybox", image="auto:1").text, "1000:1000\n0:0")

    def test_volumes_are_shared_with_other_containers(self):
        self.ok("volume", "create", "mapped")
        self.addCleanup(self.engine, "volume", "rm", "-f", "mapped")
        self.run_sh("echo one > /v/file; chown 7:7 /v/file", "-v", "mapped:/v", "--userns", "auto")
        self.assertEqual(self.run_sh("stat -c %u:%g /v/file", "-v", "mapped:/v").text, "7:7")
        self.assertEqual(self.run_sh("stat -c %u:%g /v/file; echo two >> /v/file; cat /v/file", "-v", "mapped:/v",
                                     "--userns", "auto").text, "7:7\none\ntwo")

    def test_network_ports_and_terminal(self):
        self.assertIn("eth0", self.run_sh("ls /sys/class/net; ip addr show eth0", "--userns", "auto").out)
        self.assertEqual(self.run_sh("echo through > /dev/stdout; echo x > /dev/null", "--userns", "auto").text, "through")
        self.assertIn("/dev/pts/0", self.ok("run", "--rm", "-t", "--userns", "auto", IMAGE, "tty").out)

    def test_limits_hold(self):
        self.assertEqual(self.engine("run", "--rm", "--userns", "auto", "-m", "24m", "--memory-swap", "24m", IMAGE, "sh",
                                     "-c", "x=a; while :; do x=$x$x; done").code, 137)

    def test_restart_and_kill_9_of_the_engine(self):
        name = self.start("sh", "-c", "echo kept >> /kept; sleep 1000", flags=("--userns", "auto"))
        before = self.range_of(name)
        self.engine.kill()
        self.engine.start()
        self.assertEqual(self.ok("exec", name, "id", "-u").text, "0")
        self.ok("restart", "-t", "0", name)
        self.assertEqual(self.range_of(name), before)
        eventually(lambda: self.ok("exec", name, "cat", "/kept").text == "kept\nkept", "the file is there")

    def test_nothing_is_mounted_on_the_host(self):
        name = self.start("sleep", "1000", flags=("--userns", "auto"))
        with open("/proc/self/mountinfo") as info:
            self.assertNotIn(f"{self.engine.exec}/containers", info.read())
        self.ok("rm", "-f", name)

    def test_what_does_not_go_together(self):
        for flags, words in ((("--network", "host"), "cannot share the host's network namespace"),
                             (("--pid", "host"), "cannot share the host PID namespace"),
                             (("--privileged",), "privileged mode is incompatible with user namespaces")):
            self.fails(125, "run", "--rm", "--userns", "auto", *flags, IMAGE, "true", says=words)

    def test_other_modes(self):
        self.assertEqual(self.run_sh("cat /proc/self/uid_map", "--userns", "host").text.split(), ["0", "0", "4294967295"])
        self.fails(125, "run", "--rm", "--userns", "keep-id", IMAGE, "true", says="only supported in rootless mode")
        for mode in ("auto:size=1", "auto:nonsense=3"):
            self.fails(125, "run", "--rm", "--userns", mode, IMAGE, "true", says="invalid user namespace mode")
        for mode in ("nomap", "container:x"):
            self.fails(125, "run", "--rm", "--userns", mode, IMAGE, "true", says="invalid USER mode")

    def test_the_mode_is_kept_with_the_container(self):
        name = self.start("true", flags=("--userns", "auto"))
        self.assertTrue(json.loads(self.ok("inspect", "--format", "{{json .HostConfig.UsernsMode}}", name).out)
                        .startswith("auto:size=65536,uid="))

    def test_copies_into_a_running_container_are_its_roots(self):
        name = self.start("sleep", "1000", flags=("--userns", "auto"))
        path = os.path.join(self.folder(), "copied")
        with open(path, "w") as file:
            file.write("hello")
        os.chmod(path, 0o600)
        self.ok("cp", path, f"{name}:/copied")
        self.assertEqual(self.ok("exec", name, "sh", "-c", "stat -c %u /copied; cat /copied").text, "0\nhello")


class IdMapped(EngineCase):
    """-v SOURCE:TARGET:idmap, with and without a user namespace of the container's own."""

    def source(self, owner=1000):
        folder = self.folder()
        path = os.path.join(folder, "file")
        with open(path, "w") as file:
            file.write("text")
        os.chown(path, owner, owner)
        os.chown(folder, owner, owner)
        return folder

    def owner(self, *path):
        status = os.stat(os.path.join(*path))
        return status.st_uid, status.st_gid

    def test_named_ids(self):
        folder = self.source()
        seen = self.run_sh("stat -c %u:%g /d/file; echo x > /d/made; stat -c %u:%g /d/made",
                           "-v", f"{folder}:/d:idmap=uids=1000-0-1;gids=1000-0-1")
        self.assertEqual(seen.lines, ["0:0", "0:0"])
        self.assertEqual(self.owner(folder, "made"), (1000, 1000))
        self.assertEqual(self.owner(folder, "file"), (1000, 1000))

    def test_what_is_not_mapped_is_nobodys(self):
        folder = self.source(1000)
        os.chown(os.path.join(folder, "file"), 5, 5)
        seen = self.run_sh("stat -c %u:%g /d/file", "-v", f"{folder}:/d:ro,idmap=uids=1000-0-1;gids=1000-0-1")
        self.assertEqual(seen.text, "65534:65534")

    def test_users_alone(self):
        folder = self.source()
        self.assertEqual(self.run_sh("stat -c %u:%g /d/file", "-v", f"{folder}:/d:idmap=uids=1000-7-1").text, "7:1000")

    def test_the_containers_own_maps(self):
        folder = self.source(0)
        seen = self.run_sh("stat -c %u:%g /d/file; echo x > /d/made; chown 3:3 /d/made", "-v", f"{folder}:/d:idmap", "--userns", "auto")
        self.assertEqual(seen.text, "0:0")
        self.assertEqual(self.owner(folder, "made"), (3, 3))

    def test_relative_to_the_containers(self):
        folder = self.source()
        seen = self.run_sh("stat -c %u:%g /d/file", "-v", f"{folder}:/d:idmap=uids=1000-@0-1;gids=1000-@0-1", "--userns", "auto")
        self.assertEqual(seen.text, "0:0")

    def test_a_volume(self):
        self.ok("volume", "create", "idmapped")
        self.addCleanup(self.engine, "volume", "rm", "-f", "idmapped")
        self.run_sh("echo x > /v/file; chown 50:50 /v/file; chown 50:50 /v", "-v", "idmapped:/v")
        self.assertEqual(self.run_sh("stat -c %u:%g /v/file; echo y > /v/new", "-v", "idmapped:/v:idmap=uids=50-0-1;gids=50-0-1").text, "0:0")
        self.assertEqual(self.run_sh("stat -c %u:%g /v/new", "-v", "idmapped:/v").text, "50:50")

    def test_through_a_restart_and_without_traces(self):
        folder = self.source()
        name = self.start("sleep", "1000", flags=("-v", f"{folder}:/d:idmap=uids=1000-0-1;gids=1000-0-1"))
        self.assertEqual(self.engine.inspect(name)["Mounts"][0]["Mode"], "idmap=uids=1000-0-1;gids=1000-0-1")
        with open("/proc/self/mountinfo") as file:
            self.assertNotIn(self.engine.inspect(name)["Id"] + "/mapped", file.read())
        self.ok("restart", "-t", "0", name)
        self.assertEqual(self.ok("exec", name, "stat", "-c", "%u", "/d/file").text, "0")

    def test_what_cannot_be(self):
        folder = self.source()
        for option, words in (("idmap", "--userns auto"), ("idmap=uids=1-2", "DISK-INSIDE-LENGTH"), ("idmap=uids=0-0-5#3-9-1", "overlap"),
                              ("idmap,idmap", "invalid mode")):
            self.fails(125, "run", "--rm", "-v", f"{folder}:/d:{option}", IMAGE, "true", says=words)
