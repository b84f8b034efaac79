"""What a comparison of each answer with docker 28.5.2's has found: what is refused when a container is created, the
engine's version, filters that `docker system prune` sends, commands as they are listed, the root of images."""
import os
import re
import tempfile

from harness import archives
from harness.engine import IMAGE, EngineCase


class Creation(EngineCase):
    def refusal(self, **host):
        answer = self.engine.api.post("/containers/create", {"Image": IMAGE, "Cmd": ["true"], "HostConfig": host})
        self.assertEqual(answer.status, 400, str(answer))
        return answer.message

    def test_capabilities_that_nobody_knows(self):
        self.only_berth("docker 20.10 has other words")
        self.assertEqual(self.refusal(CapAdd=["nope"]), 'invalid CapAdd: unknown capability: "CAP_NOPE"')
        self.assertEqual(self.refusal(CapAdd=["ALL"], CapDrop=["CHOWN", "Nor_This"]),
                         'invalid CapDrop: unknown capability: "CAP_NOR_THIS"')

    def test_namespaces_of_nobody(self):
        self.only_berth("docker 20.10 finds out at the start")
        for mode in ("IpcMode", "PidMode"):
            self.assertEqual(self.refusal(**{mode: "container:nobody"}), "No such container: nobody")

    def test_networks_of_a_swarm(self):
        self.only_berth("docker 20.10 has other words")
        for body, says in (({"Scope": "swarm"}, "cannot create a swarm scoped network when swarm is not active"),
                           ({"Driver": "overlay"}, "This node is not a swarm manager")):
            answer = self.engine.api.post("/networks/create", {"Name": self.name("n"), **body})
            self.assertEqual(answer.status, 403, str(answer))
            self.assertIn(says, answer.message)

    def test_volumes_say_which_one(self):
        self.only_berth("docker 20.10 has other words")
        for body, says in (({"Name": "v"}, "create v: volume name is too short"),
                           ({"Name": "vv", "Driver": "nope"}, "create vv: error looking up volume plugin nope"),
                           ({"Name": "vv", "DriverOpts": {"x": "y"}}, 'create vv: invalid option: "x"')):
            self.assertIn(says, self.engine.api.post("/volumes/create", body).message)


class Lists(EngineCase):
    def test_arguments_with_spaces_are_quoted(self):
        name = self.start("sh", "-c", "sleep 300", "x")
        self.assertEqual(self.ok("ps", "--no-trunc", "--filter", f"name={name}", "--format", "{{.Command}}").out.strip(),
                         "\"sh -c 'sleep 300' x\"")


class Version(EngineCase):
    def test_tools_that_want_a_least_version_of_docker(self):
        self.only_berth("docker has one version")
        version = self.engine.api.get("/version").json()
        found = re.fullmatch(r"(\d+)\.\d+\.\d+\+berth", version["Version"])
        self.assertTrue(found and int(found[1]) >= 28, version)
        engine, own = version["Components"]
        self.assertEqual((engine["Name"], engine["Version"], own["Name"]), ("Engine", version["Version"], "berth"))
        self.assertRegex(own["Version"], r"^\d+\.\d+\.\d+$")
        self.assertEqual(len(version["Version"].split(".")), 3, "docker-java's users take it apart")
        self.assertEqual(self.engine.api.get("/info").json()["ServerVersion"], version["Version"])
        self.assertEqual(self.engine.api.get("/_ping").headers["Server"], f"Docker/{version['Version']} (linux)")


class Prunes(EngineCase):
    def test_by_label(self):
        """`docker system prune --filter label=...` sends it to the build cache as well, where nothing has labels."""
        keeps = self.name()
        self.ok("create", "--name", keeps, "--label", "wanted=yes", IMAGE, "true")
        with tempfile.TemporaryDirectory() as context:
            with open(os.path.join(context, "Dockerfile"), "w") as file:
                file.write(f"FROM {IMAGE}\nRUN echo {keeps} > /made\n")
            self.ok("build", "-q", context)
        before = len(self.engine.api.get("/system/df?type=build-cache").json()["BuildCache"])
        answer = self.engine.api.post('/build/prune?filters={"label":["wanted=no"]}')
        self.assertEqual((answer.status, answer.json()["CachesDeleted"]), (200, None), str(answer))
        self.assertEqual(len(self.engine.api.get("/system/df?type=build-cache").json()["BuildCache"]), before)
        self.ok("system", "prune", "-f", "--filter", "label=wanted=no")
        self.assertEqual(self.engine.inspect(keeps)["Name"], "/" + keeps)
        self.ok("system", "prune", "-f", "--filter", "label=wanted=yes")
        self.assertEqual(self.engine.api.get(f"/containers/{keeps}/json").status, 404)


class RootOfImages(EngineCase):
    """A tree that was packed in a private temporary directory says 0700 of its root: no engine takes it at its word."""

    @staticmethod
    def private_tree(entries):
        return archives.tar([archives.directory("./", 0o700), *entries])

    def root_of(self, image):
        return self.ok("run", "--rm", "--user", "1000", image, "stat", "-c", "%a %u", "/").out.strip()

    def test_of_an_import(self):
        name = self.name("i")
        whole = self.engine.api.get(f"/containers/{self.start('sleep', '300')}/export").body
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "rootfs.tar"), "wb") as file:
                file.write(self.private_tree([]) [:512] + whole)
            self.ok("import", os.path.join(folder, "rootfs.tar"), name)
        self.addCleanup(self.engine, "rmi", "-f", name)
        self.assertEqual(self.root_of(name), "755 0")

    def test_of_an_archive_that_is_added(self):
        name = self.name("i")
        with tempfile.TemporaryDirectory() as context:
            with open(os.path.join(context, "Dockerfile"), "w") as file:
                file.write(f"FROM {IMAGE}\nADD tree.tar /\nADD tree.tar /below/\n")
            with open(os.path.join(context, "tree.tar"), "wb") as file:
                file.write(self.private_tree([archives.entry("added", data=b"x")]))
            self.ok("build", "-q", "-t", name, context)
        self.addCleanup(self.engine, "rmi", "-f", name)
        self.assertEqual(self.root_of(name), "755 0")
        self.assertEqual(self.ok("run", "--rm", "--user", "1000", name, "ls", "/below", "/added").out.split(),
                         ["/added", "/below:", "added"])


class DefaultPlatform(EngineCase):
    def test_it_is_that_of_builds_which_name_none(self):
        with tempfile.TemporaryDirectory() as context:
            with open(os.path.join(context, "Dockerfile"), "w") as file:
                file.write("FROM scratch\nCOPY Dockerfile /\n")
            for flags, architecture in (((), "arm64"), (("--platform", "linux/amd64"), "amd64")):
                name = self.name("i")
                self.ok("build", "-q", "-t", name, *flags, context, env={"DOCKER_DEFAULT_PLATFORM": "linux/arm64"})
                self.addCleanup(self.engine, "rmi", "-f", name)
                self.assertEqual(self.engine.inspect(name, "image")["Architecture"], architecture)

    def test_it_is_that_of_creations_which_name_none(self):
        refused = self.engine("create", IMAGE, "true", env={"DOCKER_DEFAULT_PLATFORM": "linux/s390x"})
        self.assertNotEqual(refused.code, 0, "an image of another platform is not taken for it")
        created = self.ok("create", "--platform", "linux/amd64", IMAGE, "true", env={"DOCKER_DEFAULT_PLATFORM": "linux/s390x"})
        self.addCleanup(self.engine, "rm", "-f", created.out.strip())
