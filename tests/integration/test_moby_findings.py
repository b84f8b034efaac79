"""What moby's own tests of its API have found: behaviours that clients of docker rely on and that no other test names."""
import io
import json
import tarfile

from harness import archives
from harness.engine import IMAGE, EngineCase, eventually


class ImagesCase(EngineCase):
    def layered(self):
        """An image of several layers with a directory, a file, and links that stay inside and lead out."""
        context, tag = self.folder(), f"{self.name()}-layers:1"
        with open(f"{context}/Dockerfile", "w") as file:
            file.write(f"FROM {IMAGE} AS tools\nRUN mkdir -p /made/sub /made/gone && echo one > /made/sub/one && "
                       "echo x > /made/gone/x && ln -s sub /made/good && ln -s ../../../etc /made/bad\n"
                       "FROM tools\nRUN echo two > /made/sub/two && rm -r /made/gone && mkdir /made/gone && "
                       "echo new > /made/gone/y\n")
        self.ok("build", "-q", "-t", tag, context)
        self.addCleanup(self.engine, "rmi", "-f", tag)
        return tag

    def see(self, image, path, script):
        return self.engine("run", "--rm", "--mount", f"type=image,src={image},dst=/seen,image-subpath={path}", IMAGE,
                           "sh", "-c", script)


class ImageMounts(ImagesCase):
    def setUp(self):
        super().setUp()
        self.only_berth("docker has mounts of images since 28")
        self.only_our_command("its command has had no such flag for long")

    def test_paths_within_several_layers(self):
        image = self.layered()
        for path, script, seen in (("made/sub", "cat /seen/*", "one\ntwo\n"), ("made/good", "ls /seen", "one\ntwo\n"),
                                   ("made/gone", "ls /seen", "y\n"), ("made/sub/one", "cat /seen", "one\n")):
            result = self.see(image, path, script)
            self.assertEqual((result.code, result.out), (0, seen), f"{path}: {result}")
        for path, says in (("made/bad", "path concatenation escapes the base directory"), ("none", "cannot access path")):
            result = self.see(image, path, "true")
            self.assertNotEqual(result.code, 0, path)
            self.assertIn(says, result.err)
        self.assertNotEqual(self.see(image, "made/sub", "echo x > /seen/three").code, 0, "read-only")

    def test_a_mounted_image_is_in_use(self):
        image, name = self.layered(), self.name()
        self.ok("run", "-d", "--name", name, "--mount", f"type=image,src={image},dst=/seen", IMAGE, "sleep", "300")
        result = self.engine("rmi", image)
        self.assertNotEqual(result.code, 0, "its layers are what the container reads")
        self.assertIn("is using its referenced image", result.err)
        self.ok("rm", "-f", name)
        self.ok("rmi", image)


class Images(ImagesCase):
    def test_changes_are_made_in_their_order(self):
        tag, name = f"{self.name()}:1", self.name()
        self.addCleanup(self.engine, "rmi", "-f", tag)
        self.ok("create", "--name", name, "-e", "A=1", IMAGE, "true")
        changes = ("ENV B=2", "ENV A=3", 'CMD ["x"]', 'ENTRYPOINT ["y"]', "ONBUILD /usr/bin/make all")
        self.ok("commit", *(word for change in changes for word in ("--change", change)), name, tag)
        config = self.engine.api.get(f"/images/{tag}/json").json()["Config"]
        self.assertEqual([entry for entry in config["Env"] if entry[:2] in ("A=", "B=")], ["A=3", "B=2"])
        self.assertEqual((config["Cmd"], config["Entrypoint"], config["OnBuild"]), (["x"], ["y"], ["/usr/bin/make all"]))

    def test_changes_see_the_images_variables(self):
        first, second = f"{self.name()}:1", f"{self.name()}:2"
        name = self.name()
        self.addCleanup(self.engine, "rmi", "-f", first, second)
        self.ok("create", "--name", name, IMAGE, "true")
        self.ok("commit", "--change", "ENV WHERE=/bin", name, first)
        self.ok("rm", name)
        self.ok("create", "--name", name, first, "true")
        self.ok("commit", "--change", "ENV WHERE=/usr/bin:$WHERE", "--change", "LABEL at=$WHERE", name, second)
        config = self.engine.inspect(second)["Config"]
        self.assertIn("WHERE=/usr/bin:/bin", config["Env"])
        self.assertEqual(config["Labels"]["at"], "/usr/bin:/bin")

    def test_where_it_is_told_that_a_build_cannot_begin(self):
        def build(dockerfile):
            return self.engine.api.post("/build", archives.tar([archives.entry("Dockerfile", data=dockerfile)]))
        # As with docker, whose clients tell a build that failed from a request that is wrong by it.
        answer = build(b"FROM 127.0.0.1:1/not/there\n")
        self.assertEqual(answer.status, 200, str(answer))
        self.assertIn("127.0.0.1:1", answer.json_lines()[-1]["error"])
        for dockerfile in (b"NONSENSE\n", b"FROM scratch\nCOPY a\n", b"FROM UPPER CASE\n"):
            self.assertEqual(build(dockerfile).status, 400, dockerfile)

    def test_a_change_of_several_lines(self):
        self.ok("create", "--name", "lines", IMAGE)
        changes = "changes=CMD%20%2Fbin%2Fbar%0AEXPOSE%209090&changes=ENV%20A%3Db"
        answer = self.engine.api.post(f"/commit?container=lines&repo=of-lines&{changes}", {})
        self.assertEqual(answer.status, 201, str(answer))
        config = self.engine.inspect("of-lines", "image")["Config"]
        self.assertEqual((config["Cmd"], list(config["ExposedPorts"])), (["/bin/sh", "-c", "/bin/bar"], ["9090/tcp"]))
        self.assertIn("A=b", config["Env"])
        for bad in ("FROM%20scratch", "RUN%20true", "NONSENSE"):
            answer = self.engine.api.post(f"/commit?container=lines&changes=ENV%20A%3Db%0A{bad}", {})
            self.assertEqual(answer.status, 400, str(answer))

    def test_a_repository_is_saved_with_all_its_tags(self):
        name = self.name()
        for tag in ("one", "two"):
            self.ok("tag", IMAGE, f"{name}:{tag}")
            self.addCleanup(self.engine, "rmi", f"{name}:{tag}")
        archive = self.ok("save", name, text=False).out
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            entries = json.load(tar.extractfile("manifest.json"))
        self.assertEqual(sorted(tag for entry in entries for tag in entry["RepoTags"]), [f"{name}:one", f"{name}:two"])

    def test_pruning_leaves_a_name_to_what_is_in_use(self):
        image = self.engine.inspect(IMAGE)["Id"]
        tags = [f"{self.name()}-spare:{letter}" for letter in "abc"]
        for tag in tags:
            self.ok("tag", IMAGE, tag)
            self.addCleanup(self.engine, "rmi", tag)
        self.ok("create", "--name", self.name(), tags[1], "true")
        self.ok("create", "--name", self.name(), IMAGE, "true")
        self.ok("image", "prune", "-a", "-f")
        left = self.engine.inspect(image)["RepoTags"]
        self.assertIn(IMAGE, left)
        if self.against_docker:
            return
        self.assertIn(tags[1], left)
        self.assertNotIn(tags[0], left)
        self.assertNotIn(tags[2], left)

    def test_platforms_of_imports(self):
        def create(platform):
            return self.engine.api.request("POST", f"/images/create?fromSrc=-&repo=imported&tag={len(platform)}"
                                           f"&platform={platform}", b"\0" * 1024, {"Content-Type": "application/x-tar"})
        self.addCleanup(self.engine, "rmi", "-f", "imported:5", "imported:13")
        for platform, expected in (("Linux", ("linux", "amd64")), ("linux/sparc64", ("linux", "sparc64"))):
            self.assertEqual(create(platform).status, 200, platform)
            image = self.engine.inspect(f"imported:{len(platform)}")
            self.assertEqual((image["Os"], image["Architecture"]), expected)
        for platform in ("nintendo64", "/", "linux/", "windows/amd64"):
            self.assertEqual(create(platform).status, 400, platform)


class Containers(EngineCase):
    def test_followers_of_a_container_that_never_ran_are_not_kept(self):
        name = self.name()
        self.ok("create", "--name", name, IMAGE, "true")
        self.assertEqual(self.ok("logs", "-f", name, timeout=20).out, "")

    def test_a_restart_does_not_remove_what_rm_removes_at_its_end(self):
        name = self.name()
        self.ok("run", "-d", "--rm", "--name", name, IMAGE, "sleep", "300")
        self.ok("restart", "-t", "0", name)
        self.assertTrue(self.engine.inspect(name)["State"]["Running"])
        self.assertTrue(self.engine.inspect(name)["HostConfig"]["AutoRemove"])
        self.ok("stop", "-t", "0", name)
        self.eventually_gone(name)

    def eventually_gone(self, name):
        eventually(lambda: self.engine("inspect", name).code != 0, f"{name} is removed")

    def test_a_device_directory_of_the_hosts(self):
        for volume in ("/dev:/dev:ro", "/dev:/dev"):
            self.assertEqual(self.ok("run", "--rm", "-v", volume, IMAGE, "sh", "-c", "test -c /dev/null && echo there").out,
                             "there\n")

    def test_limits_of_processes_are_taken_back(self):
        name = self.name()
        self.ok("run", "-d", "--name", name, "--pids-limit", "32", IMAGE, "sleep", "300")
        for limit in (0, -1, -2):
            self.engine.api.post(f"/containers/{name}/update", {"PidsLimit": 32})
            self.assertEqual(self.engine.api.post(f"/containers/{name}/update", {"PidsLimit": limit}).status, 200)
            self.assertEqual(self.engine.inspect(name)["HostConfig"]["PidsLimit"], 0)

    def test_who_executes_must_be_known_at_once(self):
        container = self.start("sleep", "1000")
        for user, words in (("nobody-here", "unable to find user nobody-here: no matching entries in passwd file"),
                            ("1:no-group", "unable to find group no-group: no matching entries in group file")):
            answer = self.engine.api.post(f"/containers/{container}/exec", {"Cmd": ["id"], "User": user})
            self.assertEqual((answer.status, answer.message), (400, words))
        for user in ("0", "77:88", "root", ""):
            answer = self.engine.api.post(f"/containers/{container}/exec", {"Cmd": ["id"], "User": user})
            self.assertEqual(answer.status, 201, str(answer))

    def test_a_probe_that_is_ended_tells_what_it_wrote(self):
        container = self.start("sleep", "1000", flags=("--health-cmd", "echo so far; sleep 1000", "--health-interval", "100ms",
                                                       "--health-timeout", "500ms", "--health-retries", "1"))

        def outputs():
            return [probe["Output"] for probe in self.engine.inspect(container)["State"]["Health"]["Log"] or []]
        eventually(lambda: "Health check exceeded timeout (500ms): so far\n" in outputs(), "a probe was ended", 60)

    def test_a_container_by_its_link(self):
        linked = self.start("sleep", "1000")
        before = self.start("sleep", "1000", flags=("--link", f"{linked}:alias"))
        after = self.name()
        self.ok("rename", before, after)
        answer = self.engine.api.get(f"/containers/{after}/alias/json")
        self.assertEqual(answer.status, 200, str(answer))
        self.assertEqual(answer.json()["Id"], self.engine.inspect(linked)["Id"])
        for path in (f"{after}/other", f"{before}/alias", f"{linked}/alias", f"{after}/alias/alias"):
            self.assertEqual(self.engine.api.get(f"/containers/{path}/json").status, 404, path)

    def test_a_container_that_does_not_run_is_connected_again(self):
        network = self.ok("network", "create", "again").text
        self.addCleanup(self.engine, "network", "rm", "-f", "again")
        name = self.name()
        self.ok("create", "--name", name, IMAGE, "sleep", "1000")

        def connect(*aliases):
            body = {"Container": name, "EndpointConfig": {"Aliases": list(aliases)}}
            return self.engine.api.post(f"/networks/{network}/connect", body).status
        self.assertEqual((connect("one"), connect("two")), (200, 200))
        self.assertIn("two", self.engine.inspect(name)["NetworkSettings"]["Networks"]["again"]["Aliases"])
        self.ok("start", name)
        self.assertEqual(connect(), 403)
        self.ok("rm", "-f", name)

    def test_links_have_names(self):
        first, second = self.name(), self.name()
        self.ok("run", "-d", "--name", first, IMAGE, "sleep", "300")
        self.ok("run", "-d", "--name", second, "--link", f"{first}:db", IMAGE, "sleep", "300")
        self.assertEqual(self.engine.inspect(second)["HostConfig"]["Links"], [f"/{first}:/{second}/db"])
        listed = self.engine.api.get("/containers/json").json()
        self.assertEqual(sorted(next(one["Names"] for one in listed if f"/{first}" in one["Names"])),
                         sorted([f"/{first}", f"/{second}/db"]))

    def test_the_paths_that_are_hidden_are_shown(self):
        plain, privileged = self.name(), self.name()
        self.ok("create", "--name", plain, IMAGE, "true")
        self.ok("create", "--privileged", "--name", privileged, IMAGE, "true")
        host = self.engine.inspect(plain)["HostConfig"]
        self.assertIn("/proc/kcore", host["MaskedPaths"])
        self.assertIn("/proc/sys", host["ReadonlyPaths"])
        self.assertIsNone(self.engine.inspect(privileged)["HostConfig"]["MaskedPaths"])


class DefaultRoute(EngineCase):
    def route(self, name):
        return self.ok("exec", name, "ip", "route", "show", "default").out.split()[2]

    def gateway(self, network):
        return self.engine.inspect(network, "network")["IPAM"]["Config"][0]["Gateway"]

    def test_it_follows_the_networks_of_a_running_container(self):
        self.only_berth("docker orders networks by priority since 28")
        networks, name = [self.name() for _ in range(3)], self.name()
        for network in networks:
            self.ok("network", "create", network)
            self.addCleanup(self.engine, "network", "rm", network)
        self.ok("run", "-d", "--name", name, "--network", networks[0], IMAGE, "sleep", "300")
        self.addCleanup(self.engine, "rm", "-f", name)
        for network, priority, leads in ((networks[1], -100, networks[0]), (networks[2], 100, networks[2])):
            body = {"Container": name, "EndpointConfig": {"GwPriority": priority}}
            self.assertEqual(self.engine.api.post(f"/networks/{network}/connect", body).status, 200)
            self.assertEqual(self.route(name), self.gateway(leads))
        self.ok("network", "disconnect", networks[2], name)
        self.assertEqual(self.route(name), self.gateway(networks[0]), "the next one takes over")
        self.ok("network", "disconnect", networks[0], name)
        self.assertEqual(self.route(name), self.gateway(networks[1]))
