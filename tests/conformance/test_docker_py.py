"""docker-py, docker's client library for Python, against berthd."""
import io
import os
import tarfile
import threading
import unittest

from harness.engine import IMAGE, EngineCase, eventually

try:
    import docker
except ImportError:
    docker = None


@unittest.skipIf(docker is None, "docker-py is not installed: \"scripts/install-packages test\" installs it")
class DockerPy(EngineCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = docker.DockerClient(base_url=f"unix://{cls.engine.socket}", version="auto", timeout=30)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        super().tearDownClass()

    def container(self, *command, **more):
        container = self.client.containers.run(IMAGE, list(command), detach=True, **more)
        self.made.append(container.id)
        return container

    def test_ping_version_info_df(self):
        self.assertTrue(self.client.ping())
        self.assertTrue(self.client.version()["ApiVersion"])
        self.assertGreaterEqual(self.client.info()["Images"], 1)
        self.assertIn("LayersSize", self.client.df())

    def test_run_returns_the_output(self):
        self.assertEqual(self.client.containers.run(IMAGE, ["echo", "hello"], remove=True), b"hello\n")

    def test_a_failing_run_raises(self):
        with self.assertRaises(docker.errors.ContainerError) as raised:
            self.client.containers.run(IMAGE, ["sh", "-c", "echo bad >&2; exit 3"], remove=True)
        self.assertEqual(raised.exception.exit_status, 3)
        with self.assertRaises(docker.errors.APIError):
            self.client.containers.run(IMAGE, ["no-such-program"], remove=True)
        with self.assertRaises(docker.errors.NotFound):
            self.client.containers.get("no-such-container")
        with self.assertRaises(docker.errors.ImageNotFound):
            self.client.images.get("no-such-image:1")

    def test_life(self):
        container = self.container("sh", "-c", "trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done", name=self.name(),
                                   environment={"A": "1"}, labels={"k": "v"}, mem_limit="64m", ports={"80/tcp": ("127.0.0.1", None)})
        self.assertEqual(container.status in ("created", "running"), True)
        container.reload()
        self.assertEqual(container.status, "running")
        self.assertEqual(container.labels["k"], "v")
        self.assertTrue(container.ports["80/tcp"][0]["HostPort"])
        eventually(lambda: container.logs() == b"up\n", "the program is up")
        self.assertEqual([found.id for found in self.client.containers.list(filters={"label": "k=v"})], [container.id])
        container.pause()
        container.unpause()
        container.rename(self.name("renamed"))
        self.assertIn("PID", container.top()["Titles"])
        self.assertGreater(container.stats(stream=False)["memory_stats"]["usage"], 0)
        container.update(mem_limit="48m", memswap_limit="96m")
        container.stop()
        self.assertEqual(container.wait()["StatusCode"], 5)
        container.start()
        container.kill()
        self.assertEqual(container.wait()["StatusCode"], 137)
        container.remove(v=True)

    def test_logs_as_a_stream(self):
        container = self.container("sh", "-c", "for i in 1 2 3; do echo $i; done")
        self.assertEqual(b"".join(container.logs(stream=True, follow=True)), b"1\n2\n3\n")
        self.assertEqual(container.logs(tail=1), b"3\n")

    def test_exec(self):
        container = self.container("sleep", "600")
        self.assertEqual(tuple(container.exec_run(["sh", "-c", "echo out; exit 4"])), (4, b"out\n"))
        code, output = container.exec_run(["sh", "-c", "echo out; echo err >&2"], demux=True)
        self.assertEqual((code, output), (0, (b"out\n", b"err\n")))
        self.assertEqual(container.exec_run("id -u", user="app")[1], b"1000\n")

    def test_attach_socket(self):
        container = self.client.containers.create(IMAGE, ["cat"], stdin_open=True, tty=True)
        self.made.append(container.id)
        container.start()
        stream = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
        try:
            raw = stream._sock
            raw.settimeout(20)
            raw.sendall(b"typed\n")
            seen = b""
            while seen.count(b"typed") < 2:
                seen += raw.recv(1000)
        finally:
            stream.close()

    def test_archives(self):
        container = self.container("sleep", "600")
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            info = tarfile.TarInfo("put")
            info.size = 4
            archive.addfile(info, io.BytesIO(b"data"))
        self.assertTrue(container.put_archive("/tmp", packed.getvalue()))
        pieces, shown = container.get_archive("/tmp/put")
        self.assertEqual((shown["name"], shown["size"]), ("put", 4))
        with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
            self.assertEqual(archive.extractfile("put").read(), b"data")
        self.assertIsNotNone(container.diff())
        self.assertTrue(b"".join(container.export()))

    def test_build_save_load_tag(self):
        folder = self.folder()
        with open(os.path.join(folder, "Dockerfile"), "w") as file:
            file.write(f"FROM {IMAGE}\nARG WHO\nRUN echo $WHO > /who\nCMD [\"cat\", \"/who\"]\n")
        image, log = self.client.images.build(path=folder, tag="py:1", buildargs={"WHO": "me"}, rm=True)
        self.addCleanup(self.engine, "rmi", "-f", "py:1")
        self.assertTrue(any("Successfully built" in line.get("stream", "") for line in log))
        self.assertEqual(self.client.containers.run("py:1", remove=True), b"me\n")
        self.assertTrue(image.tag("py", "2"))
        self.client.images.remove("py:2")
        saved = b"".join(image.save(named=True))
        self.client.images.remove("py:1")
        self.assertEqual(self.client.images.load(saved)[0].id, image.id)
        with open(os.path.join(folder, "Dockerfile"), "w") as file:
            file.write(f"FROM {IMAGE}\nRUN exit 7\n")
        with self.assertRaises(docker.errors.BuildError):
            self.client.images.build(path=folder)

    def test_events(self):
        seen = []
        events = self.client.events(decode=True, filters={"type": "container", "event": "die"})

        def listen():
            for event in events:
                seen.append(event)
                break

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        container = self.container("true")
        eventually(lambda: seen or (self.container("true") and False), "the event arrives")
        self.assertEqual(seen[0]["Action"], "die")
        events.close()
        container.wait()

    def test_volumes_and_networks(self):
        volume = self.client.volumes.create("py-volume", labels={"a": "b"})
        self.assertEqual(self.client.containers.run(IMAGE, ["sh", "-c", "echo kept > /v/f && cat /v/f"], remove=True,
                                                    volumes={"py-volume": {"bind": "/v", "mode": "rw"}}), b"kept\n")
        volume.remove()
        self.assertIn("bridge", [network.name for network in self.client.networks.list()])

    def test_names_on_a_network_of_ones_own(self):
        network = self.client.networks.create("py network")
        self.addCleanup(network.remove)
        web = self.container("sleep", "60", network="py network", name=self.name())
        asker = self.container("sleep", "60")
        network.connect(asker, links=[(web.name, "db")])
        self.assertEqual(asker.exec_run(["nslookup", "db"]).exit_code, 0)

    def test_the_log_of_a_container_that_has_ended(self):
        container = self.container("echo", "hello")
        container.wait()
        for _ in range(10):
            self.assertEqual(container.attach(logs=True, stream=False), b"hello\n")

    def test_detach_keys_of_an_exec(self):
        container = self.container("sleep", "60")
        made = self.client.api.exec_create(container.id, "cat", stdin=True, tty=True, detach_keys="ctrl-a,b")
        stream = self.client.api.exec_start(made, tty=True, socket=True)
        try:
            stream._sock.settimeout(20)
            stream._sock.sendall(b"\x01b")
            while stream._sock.recv(1000):
                pass
        finally:
            stream.close()
        # Detached, perhaps before the engine has heard of the start.
        eventually(lambda: self.client.api.exec_inspect(made)["Running"], "the program goes on without its client")
        self.assertIsNone(self.client.api.exec_inspect(made)["ExitCode"])

    def test_links_are_removed(self):
        database = self.container("sleep", "60", name=self.name())
        web = self.container("sleep", "60", name=self.name(), links={database.name: "db"})
        self.client.api.remove_container(f"{web.name}/db", link=True)
        web.reload()
        self.assertFalse(web.attrs["HostConfig"]["Links"])
        self.assertEqual((web.status, database.name), ("running", database.name))

    def test_errors_as_docker_has_them(self):
        with self.assertRaises(docker.errors.ImageLoadError):
            self.client.images.load(b"abc")
        with self.assertRaises(docker.errors.APIError) as raised:
            self.client.containers.create(IMAGE, log_config=docker.types.LogConfig(type="asdf"))
        self.assertEqual(raised.exception.explanation, "logger: no log driver named 'asdf' is registered")
        with self.assertRaises(docker.errors.APIError) as raised:
            self.client.containers.create(IMAGE, volumes_from=["no-such-container"])
        self.assertEqual(raised.exception.status_code, 400)

    def test_the_runtime_is_dockers_by_name(self):
        self.assertEqual(self.container("true").attrs["HostConfig"]["Runtime"], "runc")
        self.assertIn("runc", self.client.info()["Runtimes"])
