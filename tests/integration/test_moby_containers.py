"""What moby's tests have found of containers: mounts of old clients, files before the first start, what runs short of
memory, and the words of refusals."""
import base64
import io
import json
import os
import subprocess
import tarfile
import threading

from harness import archives
from harness.engine import IMAGE, EngineCase, Lines, eventually


class ContainersCase(EngineCase):
    def create(self, config, version=None, **host):
        """A container over the API, of a version or the engine's own; its name."""
        name = self.name()
        body = {"Image": IMAGE, "Cmd": ["sleep", "300"], **config, "HostConfig": host}
        api = self.engine.api.at(version) if version else self.engine.api
        answer = api.post(f"/containers/create?name={name}", body)
        self.assertEqual(answer.status, 201, str(answer))
        return name

    def refused(self, config, **host):
        """The answer to a creation that is refused."""
        answer = self.engine.api.post("/containers/create", {"Image": IMAGE, **config, "HostConfig": host})
        self.assertGreaterEqual(answer.status, 400, str(answer))
        return answer

    def put(self, container, path, name="new", data=b"new\n"):
        archive = archives.tar([archives.entry(name, data=data)])
        return self.engine.api.put(f"/containers/{container}/archive?path={path}", archive,
                                   headers={"Content-Type": "application/x-tar"})

    def names_in(self, container, path):
        """What an archive of a path holds, and the answer's status."""
        answer = self.engine.api.get(f"/containers/{container}/archive?path={path}")
        if answer.status != 200:
            return answer.status, []
        with tarfile.open(fileobj=io.BytesIO(answer.body)) as tar:
            return answer.status, tar.getnames()


class ReadOnlyBinds(ContainersCase):
    def setUp(self):
        super().setUp()
        self.only_berth("docker 20.10 knows versions to 1.41 alone")
        self.source = self.folder()
        self.below = os.path.join(self.source, "below")
        os.mkdir(self.below)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "of-a-test", self.below], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.below], check=True)

    def writes(self, version, **host):
        """Whether the mount itself and the one below it can be written to."""
        name = self.create({}, version, **host)
        self.ok("start", name)
        written = [self.engine("exec", name, "touch", f"/seen/{path}x").code == 0 for path in ("", "below/")]
        self.ok("rm", "-f", name)
        return written

    def mount(self, **options):
        return {"Type": "bind", "Source": self.source, "Target": "/seen", "ReadOnly": True, "BindOptions": options}

    def test_they_reach_below_since_1_44(self):
        binds = [f"{self.source}:/seen:ro"]
        for version, below in (("1.24", True), ("1.43", True), ("1.44", False), ("1.51", False)):
            self.assertEqual(self.writes(version, Binds=binds), [False, below], version)
        self.assertEqual(self.writes("1.43", Mounts=[self.mount()]), [False, True])
        self.assertEqual(self.writes("1.51", Mounts=[self.mount()]), [False, False])

    def test_what_is_asked_for(self):
        self.assertEqual(self.writes("1.51", Mounts=[self.mount(ReadOnlyNonRecursive=True)]), [False, True])
        self.assertEqual(self.writes("1.51", Mounts=[self.mount(ReadOnlyForceRecursive=True)]), [False, False])
        for options, read_only in (({"ReadOnlyNonRecursive": True}, False), ({"ReadOnlyForceRecursive": True}, False),
                                   ({"ReadOnlyNonRecursive": True, "ReadOnlyForceRecursive": True}, True)):
            answer = self.refused({}, Mounts=[{**self.mount(**options), "ReadOnly": read_only}])
            self.assertEqual(answer.status, 400, str(answer))
            self.assertIn("mount options conflict", answer.message)

    def test_the_engine_remembers(self):
        name = self.create({}, "1.43", Binds=[f"{self.source}:/seen:ro"])
        self.engine.kill()
        self.engine.start()
        self.ok("start", name)
        self.assertEqual(self.engine("exec", name, "touch", "/seen/below/x").code, 0)
        self.assertNotEqual(self.engine("exec", name, "touch", "/seen/x").code, 0)


class BeforeTheFirstStart(ContainersCase):
    FORBIDDEN = 500 if EngineCase.against_docker else 403

    def test_the_working_directory_is_there(self):
        name, target = self.name(), self.folder()
        self.ok("create", "--name", name, "-w", "/home/some/where", IMAGE, "pwd")
        self.ok("cp", f"{name}:/home/some/where", target)
        self.assertTrue(os.path.isdir(f"{target}/where"))
        with open(f"{target}/file", "w") as file:
            file.write("given\n")
        self.ok("cp", f"{target}/file", f"{name}:/home/some/where")
        self.assertIn("A /home/some/where/file", self.ok("diff", name).out)
        self.assertEqual(self.ok("start", "-a", name).text, "/home/some/where")
        self.assertEqual(self.names_in(name, "/home/some/where/file"), (200, ["file"]))

    def test_it_is_in_what_is_made_of_the_container(self):
        first, second, image = self.name(), self.name(), f"{self.name()}:1"
        self.addCleanup(self.engine, "rmi", "-f", image)
        self.ok("create", "--name", first, "-w", "/made", IMAGE, "true")
        self.ok("commit", first, image)
        self.ok("create", "--name", second, "-w", "/other", image, "true")
        exported = self.ok("export", second, text=False).out
        with tarfile.open(fileobj=io.BytesIO(exported)) as tar:
            names = tar.getnames()
        self.assertIn("made", names)
        self.assertIn("other", names)

    def test_links_that_lead_out_of_volumes_and_into_them(self):
        source, name = self.folder(), self.name()
        os.mkdir(f"{source}/sub")
        os.symlink("/data/sub", f"{source}/inside")
        os.symlink("/outside", f"{source}/out")
        os.symlink("../outside", f"{source}/up")
        self.ok("create", "--name", name, "-v", f"{source}:/data", IMAGE, "cat", "/outside/out", "/outside/up")
        entries = [archives.directory("outside"), archives.symlink("into", "/data/sub")]
        self.assertEqual(self.engine.api.put(f"/containers/{name}/archive?path=/", archives.tar(entries)).status, 200)
        for path, given in (("/data/inside", "inside"), ("/data/out", "out"), ("/data/up", "up"), ("/into", "into")):
            answer = self.put(name, path, given, given.encode() + b"\n")
            self.assertEqual(answer.status, 200, f"{path}: {answer}")
        self.assertEqual(sorted(os.listdir(f"{source}/sub")), ["inside", "into"])
        self.assertEqual(sorted(os.listdir(source)), ["inside", "out", "sub", "up"])
        stat = self.engine.api.head(f"/containers/{name}/archive?path=/data/up").headers["X-Docker-Container-Path-Stat"]
        self.assertEqual(json.loads(base64.b64decode(stat))["linkTarget"], "/outside", "what clients follow")
        self.assertEqual(self.names_in(name, "/outside/out"), (200, ["out"]))
        self.assertEqual(self.names_in(name, "/data/inside/into"), (200, ["into"]))
        self.assertEqual(self.ok("start", "-a", name).lines, ["out", "up"])

    def test_what_is_read_only_stays_so(self):
        source, name, target = self.folder(), self.name(), self.folder()
        os.symlink("/etc", f"{source}/out")
        self.ok("create", "--name", name, "--read-only", "-v", f"{source}:/data", "-v", f"{target}:/fixed:ro", IMAGE, "true")
        self.assertEqual(self.put(name, "/data").status, 200)
        for path, words in (("/data/out", "container rootfs is marked read-only"), ("/etc", "rootfs is marked read-only"),
                            ("/fixed", "mounted volume is marked read-only")):
            answer = self.put(name, path)
            self.assertEqual(answer.status, self.FORBIDDEN, f"{path}: {answer}")
            self.assertIn(words, answer.message)
        self.assertEqual(os.listdir(target), [])

    def test_the_same_while_it_runs(self):
        source, target = self.folder(), self.folder()
        os.symlink("/etc", f"{source}/out")
        name = self.start("sleep", "300", flags=("--read-only", "-v", f"{source}:/data", "-v", f"{target}:/fixed:ro"))
        self.assertEqual(self.put(name, "/data").status, 200)
        self.assertEqual(self.put(name, "/data/out").status, self.FORBIDDEN)
        self.assertEqual(self.put(name, "/fixed").status, self.FORBIDDEN)


class Exports(ContainersCase):
    def test_of_what_runs(self):
        source = self.folder()
        with open(f"{source}/of-the-volume", "w"):
            pass
        name = self.start("sh", "-c", "echo late > /written; mkdir /here; touch /ready; exec sleep 300",
                          flags=("-v", f"{source}:/mounted"))
        eventually(lambda: self.engine("exec", name, "test", "-e", "/ready").code == 0, "the container has written")
        exported = self.ok("export", name, text=False).out
        with tarfile.open(fileobj=io.BytesIO(exported)) as tar:
            names = set(tar.getnames())
            self.assertEqual(tar.extractfile("written").read(), b"late\n")
        self.assertLessEqual({"written", "here", "mounted", "proc", "dev"}, names)
        below = [one for one in names if one.startswith(("mounted/", "proc/", "sys/"))]
        self.assertEqual(below, [], "what is mounted is no part of it")


class Shortage(ContainersCase):
    def test_an_event_tells_of_it_where_nothing_is_killed(self):
        if not self.engine.api.get("/info").json()["OomKillDisable"]:
            self.skipTest("this host's memory groups always have the kernel's killer")
        watching = self.engine.popen("events", "--filter", "event=oom", stdout=subprocess.PIPE)
        self.addCleanup(watching.wait)
        self.addCleanup(watching.stdout.close)
        self.addCleanup(watching.kill)
        lines = Lines(watching.stdout)
        name = self.start("sh", "-c", "sleep 1; x=a; while true; do x=$x$x$x$x; done",
                          flags=("-m", "10m", "--memory-swap", "10m", "--oom-kill-disable"))
        self.assertIn(f"name={name}", lines.until("container oom", 120))
        state = self.engine.inspect(name)["State"]
        self.assertEqual((state["Status"], state["OOMKilled"]), ("running", False))


class Volumes(ContainersCase):
    def test_without_a_name_they_have_what_was_asked_for(self):
        options = {"type": "tmpfs", "device": "tmpfs", "o": "size=64k"}
        mount = {"Type": "volume", "Target": "/in/", "VolumeOptions": {"Labels": {"part": "x"}, "DriverConfig": {
            "Name": "local", "Options": options}}}
        name = self.create({}, Mounts=[mount])
        volume = self.engine.inspect(self.engine.inspect(name)["Mounts"][0]["Name"], "volume")
        self.assertEqual((volume["Options"], volume["Labels"]["part"]), (options, "x"))
        self.ok("start", name)
        self.assertIn("tmpfs", self.ok("exec", name, "grep", " /in ", "/proc/mounts").out)


    def test_they_are_gone_when_the_removal_is_answered(self):
        for _ in range(5):
            first = self.create({"Volumes": {"/in": {}}})
            second = self.create({}, VolumesFrom=[first])
            volume = self.engine.inspect(first)["Mounts"][0]
            self.ok("rm", "-v", first)
            self.assertTrue(os.path.isdir(volume["Source"]), "another has it")
            self.assertEqual(self.engine.api.delete(f"/containers/{second}?v=1").status, 204)
            self.assertFalse(os.path.exists(volume["Source"]))
            self.assertEqual(self.engine.api.get(f"/volumes/{volume['Name']}").status, 404)


class Limits(ContainersCase):
    def test_a_sliver_of_a_processor(self):
        for nanos, warns in ((500_000, True), (5_000_000, False)):
            answer = self.engine.api.post("/containers/create", {"Image": IMAGE, "Cmd": ["true"],
                                                                 "HostConfig": {"NanoCpus": nanos}})
            self.assertEqual(answer.status, 201, str(answer))
            self.addCleanup(self.engine, "rm", "-f", answer.json()["Id"])
            self.assertEqual(self.engine.inspect(answer.json()["Id"])["HostConfig"]["NanoCpus"], nanos)
            if not self.against_docker:  # which has the kernel refuse it at the start
                self.assertEqual(any("0.001 CPUs" in text for text in answer.json()["Warnings"]), warns)
                self.assertEqual(self.engine("start", "-a", answer.json()["Id"]).code, 0)


class Words(ContainersCase):
    def message(self, answer, status):
        self.assertEqual(answer.status, status, str(answer))
        return answer.message

    def test_of_creations(self):
        self.only_berth("newer than docker 20.10 in words or deeds")
        self.assertEqual(self.message(self.engine.api.post("/containers/create", {}), 400),
                         "config cannot be empty in order to create a container")
        self.assertEqual(self.message(self.engine.api.post("/containers/create", {"HostConfig": {"Memory": 0}}), 400),
                         "config cannot be empty in order to create a container")
        self.assertEqual(self.message(self.engine.api.post("/containers/create", {"Image": "", "Cmd": None}), 400),
                         "no command specified")
        for source in ("", "named"):
            for options, missing in (({"type": "tmpfs"}, "device"), ({"device": "tmpfs"}, "type")):
                mount = {"Type": "volume", "Source": source, "Target": "/in/",
                         "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": options}}}
                answer = self.refused({"Cmd": ["true"]}, Mounts=[mount])
                self.assertIn(f'missing required option: "{missing}"', answer.message)

    def test_of_versions(self):
        self.only_berth("docker 20.10 knows older versions, and answers JSON")
        answer = self.engine.api.at("1.12").get("/containers/json")
        self.assertEqual(answer.status, 400)
        self.assertEqual(answer.headers["Content-Type"], "text/plain; charset=utf-8")
        self.assertTrue(answer.body.startswith(b"client version 1.12 is too old."), answer.body)
        answer = self.engine.api.at("1.999").get("/containers/json")
        self.assertIn("client version 1.999 is too new", self.message(answer, 400))

    def test_of_attaching_to_nothing(self):
        answer = self.engine.api.post("/containers/nowhere/attach?stream=1")
        self.assertEqual((answer.status, answer.body), (404, b"No such container: nowhere\r\n"))

    def test_of_a_namespace_of_who_does_not_run(self):
        self.only_berth("newer than docker 20.10 in words or deeds")
        donor, joining = self.name(), self.name()
        self.ok("create", "--name", donor, IMAGE, "true")
        self.ok("create", "--name", joining, "--pid", f"container:{donor}", IMAGE, "true")
        message = self.message(self.engine.api.post(f"/containers/{joining}/start"), 500)
        self.assertIn("failed to join PID namespace", message)
        self.assertIn(f"{self.engine.inspect(donor)['Id']} is not running", message)

    def test_of_what_is_paused(self):
        name = self.start("sleep", "300")
        self.ok("pause", name)
        answer = self.engine.api.post(f"/containers/{name}/exec", {"Cmd": ["true"]})
        self.assertEqual(self.message(answer, 409), f"Container {name} is paused, unpause the container before exec")
        self.ok("unpause", name)


    def test_of_an_address_in_the_hosts_network(self):
        answer = self.engine.api.post("/containers/create", {"Image": IMAGE, "MacAddress": "92:d0:c6:0a:29:33", "HostConfig": {"NetworkMode": "host"}})
        self.assertIn("conflicting options: mac-address and the network mode", self.message(answer, 400))

    def test_of_a_program_that_is_a_directory(self):
        """docker commands of before 23 exit with 126 where they read "permission denied"."""
        container = self.engine.api.post("/containers/create", {"Image": IMAGE, "Cmd": ["/etc"]}).json()["Id"]
        self.made.append(container)
        answer = self.engine.api.post(f"/containers/{container}/start")
        self.assertIn("permission denied", self.message(answer, 400))

    def test_of_limits_that_nobody_asked_for(self):
        container = self.engine.api.post("/containers/create", {"Image": IMAGE, "Cmd": ["true"], "HostConfig": {"Ulimits": None}}).json()["Id"]
        self.made.append(container)
        self.assertIsNone(self.engine.api.get(f"/containers/{container}/json").json()["HostConfig"]["Ulimits"])


class Attaching(ContainersCase):
    def created(self, *command):
        container = self.engine.api.post("/containers/create", {"Image": IMAGE, "Cmd": list(command)}).json()["Id"]
        self.made.append(container)
        return container

    def test_with_the_log_before_the_start(self):
        """Nothing is lost and the end is told, whether the client reads at once or not."""
        for _ in range(3):
            container = self.created("printf", "hi there")
            with self.engine.api.hijack(f"/containers/{container}/attach?logs=1&stream=1&stdout=1") as client:
                self.assertEqual(self.engine.api.post(f"/containers/{container}/start").status, 204)
                self.assertEqual(client.frame(), (1, b"hi there"))
                self.assertEqual(client.read_rest(), b"")

    def test_with_the_log_of_what_runs(self):
        container = self.created("sh", "-c", "echo first; until [ -e /go ]; do usleep 20000; done; echo second")
        self.engine.api.post(f"/containers/{container}/start")
        eventually(lambda: b"first" in self.engine.api.get(f"/containers/{container}/logs?stdout=1").body, "it has written")
        with self.engine.api.hijack(f"/containers/{container}/attach?logs=1&stream=1&stdout=1") as client:
            self.assertEqual(client.frame(), (1, b"first\n"))
            self.ok("exec", container, "touch", "/go")
            self.assertEqual(client.frame(), (1, b"second\n"))
            self.assertEqual(client.read_rest(), b"")

    def test_while_it_is_being_started(self):
        """Whenever a client comes, it sees what is written from then on."""
        container = self.created("sh", "-c", "while :; do echo x; usleep 20000; done")
        starting = threading.Thread(target=self.engine.api.post, args=(f"/containers/{container}/start",))
        starting.start()
        try:
            for number in range(12):
                with self.engine.api.hijack(f"/containers/{container}/attach?logs={number % 2}&stream=1&stdout=1") as client:
                    self.assertEqual(client.frame()[0], 1)
        finally:
            starting.join()

    def test_with_keys_that_are_none(self):
        container = self.created("true")
        with self.engine.api.hijack(f"/containers/{container}/attach?stream=1&stdout=1&detachKeys=ctrl-A,a") as client:
            self.assertEqual(client.status, 400)
            self.assertEqual(client.headers["content-type"], "application/vnd.docker.raw-stream")
            self.assertIn(b"Invalid detach keys (ctrl-A,a) provided", client.read_rest())


class Differences(ContainersCase):
    def test_places_of_mounts_are_none(self):
        """Of an image that has no /proc, /sys and /dev."""
        tag = f"{self.name()}:1"
        root = archives.tar([archives.directory("bin"), archives.entry("bin/busybox", mode=0o755, data=open(archives.BUSYBOX, "rb").read())])
        self.addCleanup(self.engine, "rmi", "-f", tag)
        self.ok("import", archives.written(self.folder(), "root.tar", root), tag)
        container = self.engine.api.post("/containers/create", {"Image": tag, "Cmd": ["/bin/busybox", "touch", "/test"]}).json()["Id"]
        self.made.append(container)
        self.engine.api.post(f"/containers/{container}/start")
        self.assertEqual(self.engine.api.post(f"/containers/{container}/wait").json()["StatusCode"], 0)
        self.assertEqual(self.engine.api.get(f"/containers/{container}/changes").json(), [{"Path": "/test", "Kind": 1}])


class Pruning(ContainersCase):
    def test_what_has_just_ended_goes(self):
        label = self.name("label")
        self.made.remove(label)
        for _ in range(5):
            name = self.start("true", flags=("--label", label))
            self.ok("wait", name)
            pruned = self.engine.api.post(f"/containers/prune?filters=%7B%22label%22:%5B%22{label}%22%5D%7D")
            self.assertEqual(len(pruned.json()["ContainersDeleted"] or []), 1, str(pruned))


class Restarting(ContainersCase):
    def test_killing_what_waits_for_its_restart_ends_it(self):
        name = self.start("false", flags=("--restart", "always"))

        def waits():
            state = self.engine.inspect(name)["State"]
            return state["Status"] == "restarting" and self.engine.inspect(name)["RestartCount"] >= 4
        eventually(waits, "it waits for its restart", 60)
        self.ok("kill", name)
        eventually(lambda: self.engine.inspect(name)["State"]["Status"] == "exited", "it has ended", 60)
        self.ok("start", name)


class Execs(ContainersCase):
    def test_one_that_was_never_started_ends_with_the_containers_run(self):
        name = self.start("sleep", "300")

        def make():
            answer = self.engine.api.post(f"/containers/{name}/exec", {"Cmd": ["true"]})
            self.assertEqual(answer.status, 201, str(answer))
            return answer.json()["Id"]

        def begin(exec_id):
            return self.engine.api.post(f"/exec/{exec_id}/start", {"Detach": True}).status
        first, second = make(), make()
        self.assertEqual(begin(first), 200)
        self.ok("stop", "-t", "0", name)
        self.assertEqual(begin(second), 404)
        self.ok("start", name)
        self.assertEqual(begin(second), 404)
        self.assertEqual(begin(make()), 200)


    def test_a_terminal_has_its_size_from_the_beginning(self):
        self.only_berth("docker 20.10 knows no size of an exec's terminal")
        name = self.start("sleep", "300")
        for _ in range(30):
            made = self.engine.api.post(f"/containers/{name}/exec", {
                "Cmd": ["stty", "size"], "Tty": True, "AttachStdout": True, "ConsoleSize": [57, 123]})
            connection = self.engine.api.hijack(f"/exec/{made.json()['Id']}/start", {"Detach": False, "Tty": True})
            with connection.raw:
                seen = connection.pending
                while piece := connection.raw.recv(4096):
                    seen += piece
            self.assertEqual(seen, b"57 123\r\n")


class Top(ContainersCase):
    def test_in_an_order(self):
        name = self.start("sh", "-c", "sleep 300 & exec tail -f /dev/null")
        eventually(lambda: len(self.engine.api.get(f"/containers/{name}/top").json()["Processes"]) == 2, "both run")
        for keys, last in (("comm", "tail"), ("-comm", "sleep")):
            table = self.engine.api.get(f"/containers/{name}/top?ps_args=aux%20--sort={keys}").json()
            self.assertEqual((table["Titles"][0], table["Titles"][10]), ("USER", "COMMAND"))
            self.assertIn(last, table["Processes"][-1][10], json.dumps(table))

    def test_what_ps_refuses_is_its_own_failure(self):
        """docker says 500 to it, as podman's tests of the compatible API have it."""
        name = self.start("tail", "-f", "/dev/null")
        for words in ("--invalid", "-o%20nothing"):
            self.assertEqual(self.engine.api.get(f"/containers/{name}/top?ps_args={words}").status, 500)
