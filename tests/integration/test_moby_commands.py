"""What moby's tests through the docker command have found of containers: files, mounts, filters, users, words."""
import os
import time

from harness import archives, host
from harness.engine import IMAGE, EngineCase


class Mounts(EngineCase):
    def volume_image(self):
        tag = f"{self.name('volumes').lower()}:1"
        self.engine.load(archives.busybox_archive(tag, extra=[archives.directory("foo"), archives.entry("foo/bar", data=b"x")]))
        self.addCleanup(self.engine, "rmi", "-f", tag)
        return tag

    def test_what_another_container_has_is_not_filled_from_the_image(self):
        image, first = self.volume_image(), self.name()
        self.ok("run", "--name", first, "-v", "/foo", IMAGE, "true")
        self.assertEqual(self.run_sh("ls /foo", "--volumes-from", first, image=image).out, "")
        self.assertEqual(self.run_sh("ls /foo", "-v", "/foo", image=image).text, "bar")

    def test_modes_that_make_no_sense(self):
        first = self.name()
        self.ok("create", "--name", first, "-v", "/foo", IMAGE, "true")
        for mode in ("bar", "nocopy", "rshared"):
            self.fails(125, "run", "--rm", "--volumes-from", f"{first}:{mode}", IMAGE, "true", says="invalid mode")
        self.fails(125, "run", "--rm", "-v", "/tmp:/seen:nocopy", IMAGE, "true", says="invalid")

    def propagation(self, *flags):
        name = self.name()
        self.ok("create", "--name", name, *flags, IMAGE, "true")
        return self.engine.inspect(name)["Mounts"][0]["Propagation"]

    def test_the_engines_own_directory(self):
        for source in (self.engine.data, f"{self.engine.data}/volumes", "/"):
            self.assertEqual(self.propagation("-v", f"{source}:/seen"), "rslave", source)
            self.assertEqual(self.propagation("--mount", f"type=bind,src={source},dst=/seen"), "rslave")
            self.assertEqual(self.propagation("-v", f"{source}:/seen:rshared"), "rshared")
            for wrong in ("private", "rprivate", "slave", "shared"):
                self.fails(1, "create", "-v", f"{source}:/seen:{wrong}", IMAGE, "true", says="must use either propagation mode")
                self.fails(1, "create", "--mount", f"type=bind,src={source},dst=/seen,bind-propagation={wrong}", IMAGE, "true",
                           says="must use either propagation mode")
        self.assertEqual(self.propagation("-v", f"{self.folder()}:/seen"), "rprivate")
        if not self.against_docker:  # docker compares beginnings of names
            self.assertEqual(self.propagation("-v", f"{self.engine.data}-not:/seen"), "rprivate")
        self.assertIn("state.db" if not self.against_docker else "containers",
                      self.run_sh("ls /seen", "-v", f"{self.engine.data}:/seen:ro").out)


class Files(EngineCase):
    def test_the_engines_files_of_a_container_that_has_ended(self):
        name = self.name()
        self.ok("run", "--name", name, "--hostname", "of-its-own", IMAGE, "true")
        for file, says in (("hostname", "of-its-own\n"), ("hosts", "of-its-own"), ("resolv.conf", "nameserver")):
            folder = self.folder()
            self.ok("cp", f"{name}:/etc/{file}", folder)
            with open(os.path.join(folder, file)) as copied:
                self.assertIn(says, copied.read(), file)

    def test_a_hostname_with_its_domain(self):
        self.assertRegex(self.run_sh("cat /etc/hosts", "--hostname", "web.example.com").out, r"\tweb\.example\.com web\n")

    def test_a_directory_without_devices_is_no_device(self):
        self.fails(125, "run", "--rm", "--device", self.folder(), IMAGE, "true", says="not a device node")


class Users(EngineCase):
    def image(self):
        tag = f"{self.name('groups').lower()}:1"
        entries = [entry for entry in archives.busybox_entries() if entry[0].name != "etc/group"]
        entries.append(archives.entry("etc/group", data=b"root:x:0:\nwheel:x:10:root\naudio:x:29:app\n"))
        self.engine.load(archives.docker_archive(tag, [archives.tar(entries)]))
        self.addCleanup(self.engine, "rmi", "-f", tag)
        return tag

    def test_root_has_its_groups(self):
        image = self.image()
        for flags, groups in (((), "0 10"), (("--user", "root"), "0 10"), (("--user", "0"), "0 10"), (("--user", "0:0"), "0"),
                              (("--group-add", "audio", "--group-add", "777"), "0 10 29 777")):
            self.assertEqual(self.run_sh("id -G", *flags, image=image).text, groups, flags)
        name = self.start("sleep", "300", image=image)
        self.assertEqual(self.ok("exec", name, "id", "-G").text, "0 10")

    def test_negative_numbers(self):
        self.fails(125, "run", "--rm", "--user", "-1", IMAGE, "true", says="uids and gids must be in range 0-2147483647")


class Lists(EngineCase):
    def listed(self, *flags):
        return set(self.ok("ps", "-q", "--no-trunc", *flags).lines)

    def id_of(self, name):
        return self.engine.inspect(name)["Id"]

    def test_filters_do_not_bring_back_what_has_ended(self):
        first, ended, last = self.start("sleep", "300"), self.name(), self.name()
        self.ok("run", "--name", ended, IMAGE, "true")
        self.ok("run", "-d", "--name", last, IMAGE, "sleep", "300")
        self.assertEqual(self.listed("--filter", f"since={first}"), {self.id_of(last)})
        self.assertEqual(self.listed("-a", "--filter", f"since={first}"), {self.id_of(ended), self.id_of(last)})
        self.assertEqual(self.listed("--filter", f"since={first}", "--filter", f"before={last}"), set())
        self.assertEqual(self.listed("--filter", "status=exited", "--filter", f"name={ended}"), {self.id_of(ended)})

    def test_published_ports_are_the_hosts(self):
        name = self.start("sleep", "300", flags=("-p", "127.0.0.1::80"))
        port = int(self.ok("port", name, "80").text.rsplit(":", 1)[1])
        for wanted, found in ((port, True), (f"{port}/tcp", True), (f"{port}/udp", False), ("80-81", False)):
            self.assertEqual(self.listed("--filter", f"publish={wanted}", "--filter", f"name={name}"),
                             {self.id_of(name)} if found else set(), wanted)
        self.assertEqual(self.listed("--filter", "expose=80/tcp", "--filter", f"name={name}"), {self.id_of(name)})

    def built(self, tag, dockerfile):
        context = self.folder()
        with open(f"{context}/Dockerfile", "w") as file:
            file.write(dockerfile)
        self.ok("build", "-q", "-t", tag, context)
        self.addCleanup(self.engine, "rmi", "-f", tag)
        return tag

    def test_ancestors_that_differ_in_metadata_alone(self):
        one = self.built("ancestor-one:1", f"FROM {IMAGE}\nLABEL which=one\n")
        two = self.built("ancestor-two:1", f"FROM {IMAGE}\nLABEL which=two\n")
        three = self.built("ancestor-three:1", f"FROM {one}\nRUN true > /made\nLABEL which=three\n")
        names = {image: self.start("sleep", "300", image=image) for image in (IMAGE, one, two, three)}
        ids = {image: self.id_of(name) for image, name in names.items()}
        for image, found in ((IMAGE, (IMAGE, one, two, three)), (one, (one, three)), (two, (two,)), (three, (three,))):
            listed = self.listed("--filter", f"ancestor={image}") & set(ids.values())
            self.assertEqual(listed, {ids[other] for other in found}, image)
        self.assertEqual(self.listed("--filter", f"ancestor={self.engine.inspect(one)['Id']}"), {ids[one], ids[three]})

    def test_a_name_that_means_another_image_by_now(self):
        tag = self.built("renamed:1", f"FROM {IMAGE}\nLABEL which=old\n")
        image, name = self.engine.inspect(tag)["Id"], self.start("sleep", "300", image=tag)

        def shown():
            return self.ok("ps", "--no-trunc", "--filter", f"name={name}", "--format", "{{.Image}}").text
        self.assertEqual(shown(), tag)
        self.built(tag, f"FROM {IMAGE}\nLABEL which=new\n")
        self.assertEqual(shown(), image)

    def test_a_build_tells_its_tags(self):
        before = f"{time.time():.9f}"
        image = self.engine.inspect(self.built("told:1", f"FROM {IMAGE}\nLABEL which=told\n"))["Id"]
        told = self.ok("events", "--since", before, "--until", f"{time.time():.9f}", "--filter", "event=tag", timeout=30).out
        self.assertIn(f"image tag {image} (name=told:1", told)

    def test_events_until_now_are_those_that_were(self):
        name = self.start("sleep", "300")
        self.ok("rename", name, self.name())
        told = self.ok("events", "--filter", "event=rename", "--until", f"{time.time():.9f}", timeout=30).out
        self.assertIn("container rename", told)


class Limits(EngineCase):
    def test_a_parent_that_leads_up_stays_in_the_hierarchy(self):
        if self.against_docker and os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
            self.skipTest("docker's path differs in the unified hierarchy")
        self.addCleanup(host.remove_group, "bt-up")
        self.addCleanup(lambda: [self.engine("rm", "-f", name) for name in self.made])
        for parent, name in (("../../../bt-up", self.name()), ("/x/../../bt-up", self.name())):
            self.ok("run", "-d", "--name", name, "--cgroup-parent", parent, IMAGE, "sleep", "300")
            state = self.engine.inspect(name)
            with open(f"/proc/{state['State']['Pid']}/cgroup") as file:
                self.assertIn(f"/bt-up/{state['Id']}", file.read())

    def test_which_limit_contradicts(self):
        name = self.start("sleep", "300", flags=("--cpus", "1"))
        self.fails(1, "update", "--cpu-quota", "50000", name, says="CPU Quota cannot be updated as NanoCPUs has already been set")
        self.fails(1, "update", "--cpu-period", "50000", name, says="CPU Period cannot be updated as NanoCPUs has already been set")
