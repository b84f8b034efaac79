"""What the own test suites of docker's clients in other languages have found (docker-java, bollard, testcontainers)."""
import io
import json
import tarfile

from harness.engine import IMAGE, EngineCase


class DockerJava(EngineCase):
    def test_labels_without_a_value(self):
        """A null among strings is what Go reads as an empty one."""
        for path, kind in (("/containers/create", "containers"), ("/volumes/create", "volumes"),
                           ("/networks/create", "networks")):
            name = self.name()
            body = {"Name": name, "Labels": {"without": None, "with": "value"}}
            if kind == "containers":
                path, body = f"{path}?name={name}", {"Image": IMAGE, "Labels": body["Labels"]}
            answer = self.engine.api.post(path, body)
            self.assertEqual(answer.status, 201, f"{kind}: {answer}")
            self.addCleanup(self.engine.api.delete, f"/{kind}/{name}")
            seen = self.engine.api.get(f"/{kind}/{name}" + ("/json" if kind == "containers" else "")).json()
            labels = seen["Config"]["Labels"] if kind == "containers" else seen["Labels"]
            self.assertEqual((labels["without"], labels["with"]), ("", "value"))

    def test_a_resize_waits_for_the_start(self):
        """A client sizes its terminal as soon as it has the stream, and that is before the command runs."""
        box = self.start("sleep", "600")
        api = self.engine.api
        script = "until stty size | grep -qx '30 120'; do sleep 0.05; done; echo sized"
        exec_id = api.post(f"/containers/{box}/exec", {"AttachStdout": True, "Tty": True,
                                                       "Cmd": ["sh", "-c", script]}).json()["Id"]
        with self.resizing(exec_id) as early, api.hijack(f"/exec/{exec_id}/start", {"Tty": True}) as stream:
            self.assertIn(b"sized", stream.read_rest())
            self.assertEqual(self.status_of(early), 200)

    def test_a_resize_of_what_cannot_start_any_more(self):
        box = self.start("sleep", "600")
        exec_id = self.engine.api.post(f"/containers/{box}/exec", {"Tty": True, "Cmd": ["sh"]}).json()["Id"]
        with self.resizing(exec_id) as early:
            self.ok("kill", box)
            self.assertNotEqual(self.status_of(early), 200)

    def resizing(self, exec_id):
        """A connection on which a resize has been asked for, and which the engine has got to."""
        early = self.engine.api.connect()
        early.sendall(f"POST /exec/{exec_id}/resize?h=30&w=120 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
                      .encode())
        self.assertEqual(self.engine.api.get("/_ping").status, 200)
        return early

    @staticmethod
    def status_of(connection):
        answer = b""
        while b"\r\n" not in answer:
            got = connection.recv(4096)
            if not got:
                break
            answer += got
        return int(answer.split()[1])

    def test_nothing_to_save(self):
        answer = self.engine.api.get("/images/get")
        self.assertEqual(answer.status, 200, str(answer))
        with tarfile.open(fileobj=io.BytesIO(answer.body)) as archive:
            self.assertFalse(json.load(archive.extractfile("manifest.json")))

    def test_statuses_by_which_exceptions_are_told_apart(self):
        created = self.name()
        self.ok("create", "--name", created, IMAGE, "true")
        running, port = self.start("sleep", "600"), 39217
        for name in (created, running):
            answer = self.engine.api.post(f"/containers/{name}/unpause")
            self.assertEqual(answer.status, 500, str(answer))
            self.assertIn("is not paused", answer.message)
        twice = self.name()
        bindings = {key: [{"HostIp": "127.0.0.1", "HostPort": str(port)}] for key in ("22/tcp", "23/tcp")}
        self.engine.api.post(f"/containers/create?name={twice}", {
            "Image": IMAGE, "Cmd": ["true"], "ExposedPorts": {key: {} for key in bindings},
            "HostConfig": {"PortBindings": bindings}})
        self.addCleanup(self.engine, "rm", "-f", twice)
        answer = self.engine.api.post(f"/containers/{twice}/start")
        self.assertEqual(answer.status, 500, str(answer))
        self.assertIn("port is already allocated", answer.message)

    def test_figures_of_the_daemon(self):
        info = self.engine.api.get("/info").json()
        self.assertGreater(info["NFd"], 0)
        self.assertGreater(info["NGoroutines"], 0)
        self.assertTrue(self.engine.api.get("/version").json()["GoVersion"])
