"""The Docker Engine API on the wire: negotiation, errors, filters, streams, hijacking, and hostile requests."""
import base64
import io
import json
import socket
import tarfile
import threading
import time
import urllib.parse

from harness import host
from harness.api import Hijacked, demultiplexed, filters
from harness.archives import entry, tar
from harness.engine import IMAGE, EngineCase, eventually


class ApiCase(EngineCase):
    def setUp(self):
        super().setUp()
        self.api = self.engine.api

    def create(self, *command, name=None, **config):
        """Creates a container over the API; returns its id."""
        body = {"Image": IMAGE, "Cmd": list(command) or ["sleep", "600"], **config}
        answer = self.api.post("/containers/create" + (f"?name={name}" if name else ""), body)
        self.assertEqual(answer.status, 201, str(answer))
        self.made.append(answer.json()["Id"])
        return answer.json()["Id"]

    def started(self, *command, **config):
        identifier = self.create(*command, **config)
        answer = self.api.post(f"/containers/{identifier}/start")
        self.assertEqual(answer.status, 204, str(answer))
        return identifier

    def is_error(self, answer, status):
        if self.against_docker and status == 400 and answer.status == 500:
            return  # 20.10 blames itself for much that later versions blame on the client
        self.assertEqual(answer.status, status, str(answer))
        self.assertTrue(answer.headers["Content-Type"].startswith("application/json"), str(answer))
        self.assertEqual(list(answer.json()), ["message"])
        self.assertTrue(answer.message)


class Negotiation(ApiCase):
    def test_ping(self):
        for method in ("GET", "HEAD"):
            answer = self.api.request(method, "/_ping")
            self.assertEqual((answer.status, answer.body), (200, b"OK" if method == "GET" else b""))
            self.assertRegex(answer.headers["Api-Version"], r"^1\.\d+$")
            self.assertEqual(answer.headers["Ostype"], "linux")
            self.assertEqual(answer.headers["Docker-Experimental"], "false" if self.against_docker else "true")
            self.assertIn("no-cache", answer.headers["Cache-Control"])
            self.assertEqual(answer.headers["Pragma"], "no-cache")
            self.assertTrue(answer.headers["Content-Type"].startswith("text/plain"))
            if not self.against_docker:
                self.assertIn(answer.headers["Builder-Version"], ("1", "2"))

    def test_every_answer_names_version_and_server(self):
        for target in ("/info", "/version", "/containers/json", "/containers/nope/json"):
            answer = self.api.get(target)
            self.assertTrue(answer.headers["Api-Version"], target)
            self.assertRegex(answer.headers["Server"], r"\(linux\)")

    def test_versions(self):
        version = self.api.get("/version").json()
        self.assertEqual(version["MinAPIVersion"] <= "1.24", True)
        if not self.against_docker:
            self.assertEqual(version["ApiVersion"], "1.51")
        for given in ("1.24", "1.30", "1.41", version["ApiVersion"]):
            self.assertEqual(self.api.at(given).get("/containers/json").status, 200, given)
        self.is_error(self.api.at("1.99").get("/containers/json"), 400)
        self.assertIn("is too new", self.api.at("1.99").get("/info").message)
        old = self.api.at("1.11").get("/containers/json")  # so old that it is answered in plain text
        self.assertEqual(old.status, 400)
        self.assertIn(b"is too old", old.body)
        self.assertIn("too new", self.api.at("1.100").get("/info").message, "versions are numbers, not strings")

    def test_unversioned_is_the_newest(self):
        self.assertEqual(self.api.get("/version").json()["ApiVersion"], self.api.get("/_ping").headers["Api-Version"])

    def test_unknown_routes_and_methods(self):
        for method, target in (("GET", "/no/such"), ("POST", "/_ping"), ("PUT", "/info"), ("GET", "/v1.41"),
                               ("PATCH", "/containers/json"), ("GET", "/")):
            with self.subTest(method=method, target=target):
                self.is_error(self.api.request(method, target), 404)
                self.assertEqual(self.api.request(method, target).message, "page not found")

    def test_info_has_what_clients_read(self):
        info = self.api.get("/info").json()
        for key in ("ID", "Containers", "ContainersRunning", "Images", "Driver", "MemTotal", "NCPU", "OSType", "Architecture",
                    "KernelVersion", "OperatingSystem", "Name", "ServerVersion", "CgroupDriver", "CgroupVersion", "Swarm",
                    "Plugins", "SecurityOptions", "DockerRootDir", "LoggingDriver", "Runtimes", "DefaultRuntime",
                    "RegistryConfig", "Warnings" if not self.against_docker else "Labels"):
            self.assertIn(key, info)
        self.assertEqual(info["Swarm"]["LocalNodeState"], "inactive")

    def test_swarm_says_that_it_is_off(self):
        for target in ("/nodes", "/services", "/swarm", "/tasks"):
            self.is_error(self.api.get(target), 503)


class Errors(ApiCase):
    def test_not_found(self):
        for method, target in (("GET", "/containers/nope/json"), ("POST", "/containers/nope/start"), ("DELETE", "/containers/nope"),
                               ("GET", "/containers/nope/logs?stdout=1"), ("POST", "/containers/nope/wait"),
                               ("GET", "/containers/nope/archive?path=/")):
            with self.subTest(target=target):
                answer = self.api.request(method, target)
                self.is_error(answer, 404)
                self.assertEqual(answer.message, "No such container: nope")
        answer = self.api.post("/containers/nope/attach?stream=1")
        self.assertEqual(answer.status, 404)
        self.assertIn(b"No such container: nope", answer.body)
        for target in ("/images/nope/json", "/images/nope/history", "/exec/nope/json", "/networks/nope", "/volumes/nope"):
            with self.subTest(target=target):
                self.is_error(self.api.get(target), 404)
        self.assertIn("No such image: nope", self.api.get("/images/nope/json").message)

    def test_what_can_be_no_images_name(self):
        for method, target in (("GET", "/images/B@D/json"), ("GET", "/images/UPPER/history"), ("DELETE", "/images/B@D")):
            answer = self.api.request(method, target)
            self.is_error(answer, 400)
            self.assertIn("invalid reference format", answer.message)
        self.is_error(self.api.get(f"/images/{'0' * 64}/json"), 404)

    def test_files_are_missed_by_the_containers_name(self):
        name = self.name()
        self.ok("create", "--name", name, IMAGE, "true")
        for request in (lambda: self.api.get(f"/containers/{name}/archive?path=/nope"),
                        lambda: self.api.put(f"/containers/{name}/archive?path=/nope", b"\0" * 1024)):
            answer = request()
            self.is_error(answer, 404)
            self.assertEqual(answer.message, f"Could not find the file /nope in container {name}")

    def test_a_build_to_cancel_must_be_named(self):
        self.is_error(self.api.post("/build/cancel"), 400)

    def test_create_with_an_unknown_image(self):
        answer = self.api.post("/containers/create", {"Image": "nope:1"})
        self.is_error(answer, 404)
        self.assertEqual(answer.message, "No such image: nope:1")

    def test_not_modified(self):
        identifier = self.started()
        self.assertEqual(self.api.post(f"/containers/{identifier}/start").status, 304)
        self.assertEqual(self.api.post(f"/containers/{identifier}/stop?t=0").status, 204)
        self.assertEqual(self.api.post(f"/containers/{identifier}/stop").status, 304)

    def test_conflicts(self):
        identifier = self.create(name=self.name())
        self.is_error(self.api.post(f"/containers/create?name={self.made[0]}", {"Image": IMAGE}), 409)
        self.is_error(self.api.post(f"/containers/{identifier}/kill"), 409)
        self.is_error(self.api.post(f"/containers/{identifier}/exec", {"Cmd": ["true"]}), 409)
        running = self.started()
        self.is_error(self.api.delete(f"/containers/{running}"), 409)

    def test_malformed_bodies(self):
        self.only_berth("20.10 takes some of them")
        headers = {"Content-Type": "application/json"}
        for body in (b"{", b"[]", b"nonsense", b'{"Image": 5}', b'{"Cmd": {"a": 1}}', b'{"HostConfig": []}', b"\xff\xfe",
                     b'{"Image":"x"} trailing', b'{"HostConfig":{"Memory":"lots"}}', b"{" * 5000, b"[" * 100_000):
            with self.subTest(body=body[:40]):
                self.is_error(self.api.post("/containers/create", body, headers=headers), 400)
        self.is_error(self.api.post("/containers/create", b"", headers=headers), 400)

    def test_a_body_of_another_type(self):
        answer = self.api.post("/containers/create", b'{"Image":"x"}', headers={"Content-Type": "text/plain"})
        self.assertIn(answer.status, (400, 415))

    def test_fields_in_any_case(self):
        identifier = self.create("true", LABELS={"a": "b"}, hostConfig={"memory": 32 << 20})
        shown = self.api.get(f"/containers/{identifier}/json").json()
        self.assertEqual((shown["Config"]["Labels"]["a"], shown["HostConfig"]["Memory"]), ("b", 32 << 20))

    def test_unknown_fields_are_ignored(self):
        self.create(NoSuchField={"a": [1, 2]}, HostConfig={"AlsoUnknown": True})

    def test_malformed_parameters(self):
        self.only_berth("20.10 takes some of them")
        identifier = self.started()
        for target in (f"/containers/{identifier}/resize?h=a&w=1", f"/containers/{identifier}/resize?h=-1&w=1",
                       f"/containers/{identifier}/resize", f"/containers/{identifier}/resize?h=99999999999&w=1",
                       f"/containers/{identifier}/wait?condition=whenever"):
            with self.subTest(target=target):
                self.is_error(self.api.post(target), 400)
        for target in ("/containers/json?limit=abc", "/containers/json?filters=nonsense", "/events?since=yesterday",
                       f"/containers/{identifier}/stats?stream=1&one-shot=1", f"/containers/{identifier}/logs",
                       "/containers/json?filters=" + urllib.parse.quote('{"nope":{"x":true}}')):
            with self.subTest(target=target):
                self.is_error(self.api.get(target), 400)

    def test_booleans(self):
        identifier = self.create("true")
        for value, expected in (("1", True), ("true", True), ("True", True), ("yes", True), ("0", False), ("false", False),
                                ("no", False), ("none", False), ("", False), ("False", False)):
            with self.subTest(value=value):
                shown = [row["Id"] for row in self.api.get(f"/containers/json?all={value}").json()]
                self.assertEqual(identifier in shown, expected)


class Filters(ApiCase):
    def test_both_forms(self):
        identifier = self.create("true", Labels={"form": "x"})
        for given in ({"label": ["form=x"]}, {"label": {"form=x": True}}):
            with self.subTest(given=given):
                rows = self.api.get("/containers/json?all=1&filters=" + urllib.parse.quote(json.dumps(given))).json()
                self.assertEqual([row["Id"] for row in rows], [identifier])

    def test_the_summary_has_what_clients_read(self):
        identifier = self.started("sleep", "600", Labels={"k": "v"}, ExposedPorts={"80/tcp": {}},
                                  HostConfig={"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}})
        row = self.api.get("/containers/json?" + filters(id=[identifier])).json()[0]
        self.assertEqual((row["Id"], row["State"], row["Image"], row["Labels"], row["Command"]),
                         (identifier, "running", IMAGE, {"k": "v"}, "sleep 600"))
        self.assertTrue(row["ImageID"].startswith("sha256:"))
        self.assertIsInstance(row["Created"], int)
        port = next(port for port in row["Ports"] if port.get("PublicPort"))
        self.assertEqual((port["IP"], port["PrivatePort"], port["Type"]), ("127.0.0.1", 80, "tcp"))
        self.assertEqual(row["Names"][0][0], "/")
        self.assertIn("bridge", row["NetworkSettings"]["Networks"])
        self.assertEqual(row["HostConfig"]["NetworkMode"] in ("bridge", "default"), True)

    def test_limit(self):
        first, second = self.create(), self.create()
        self.assertEqual([row["Id"] for row in self.api.get("/containers/json?limit=2").json()], [second, first])

    def test_networks_and_volumes(self):
        self.assertEqual([row["Name"] for row in self.api.get("/networks?" + filters(name=["bridge"])).json()
                          if row["Name"] == "bridge"], ["bridge"])
        self.assertIn("Volumes", self.api.get("/volumes").json())
        self.is_error(self.api.get("/volumes?" + filters(nope=["x"])), 400)

    def test_values_that_cannot_be(self):
        for key, value in (("publish", "x/y/z"), ("expose", "-"), ("is-task", "maybe"), ("status", "bogus"), ("exited", "x"), ("health", "good")):
            with self.subTest(key=key):
                self.is_error(self.api.get("/containers/json?all=1&" + filters(**{key: [value]})), 400)

    def test_there_are_no_tasks(self):
        identifier = self.create("true")
        self.assertEqual(self.api.get("/containers/json?all=1&" + filters(id=[identifier], is_task=["true"])).json(), [])
        self.assertEqual(len(self.api.get("/containers/json?all=1&" + filters(id=[identifier], is_task=["false"])).json()), 1)


class Wait(ApiCase):
    def wait_in_background(self, target):
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.api.post(target)))
        thread.start()
        return thread, answers

    def test_headers_come_before_the_end(self):
        identifier = self.started("sleep", "600")
        connection, answer = self.api.stream("POST", f"/containers/{identifier}/wait")
        self.assertEqual(answer.status, 200)
        self.api.post(f"/containers/{identifier}/kill?signal=TERM")
        self.api.post(f"/containers/{identifier}/kill")
        self.assertEqual(json.loads(answer.read())["StatusCode"], 137)
        connection.close()

    def test_conditions(self):
        identifier = self.create("sh", "-c", "exit 9")
        connection, answer = self.api.stream("POST", f"/containers/{identifier}/wait?condition=next-exit")
        removed, removal = self.api.stream("POST", f"/containers/{identifier}/wait?condition=removed")
        self.assertEqual(self.api.post(f"/containers/{identifier}/wait?condition=not-running").json()["StatusCode"], 0)
        self.api.post(f"/containers/{identifier}/start")
        self.assertEqual(json.loads(answer.read())["StatusCode"], 9)
        self.assertEqual(self.api.post(f"/containers/{identifier}/wait").json()["StatusCode"], 9)
        self.api.delete(f"/containers/{identifier}")
        self.assertEqual(json.loads(removal.read())["StatusCode"], 9)
        connection.close()
        removed.close()

    def test_after_the_start_of_a_quick_program_that_is_removed(self):
        self.only_berth("it takes long to remove a container")
        identifier = self.create("sh", "-c", "exit 9", HostConfig={"AutoRemove": True})
        self.api.post(f"/containers/{identifier}/start")
        eventually(lambda: self.api.get(f"/containers/{identifier}/json").status == 404, "it is gone", every=0.001)
        answer = self.api.post(f"/containers/{identifier}/wait")  # as dockerode's run does
        self.assertEqual((answer.status, answer.json()["StatusCode"]), (200, 9))

    def test_auto_remove_answers_removed(self):
        identifier = self.create("sh", "-c", "exit 8", HostConfig={"AutoRemove": True})
        connection, answer = self.api.stream("POST", f"/containers/{identifier}/wait?condition=removed")
        self.api.post(f"/containers/{identifier}/start")
        self.assertEqual(json.loads(answer.read())["StatusCode"], 8)
        self.assertEqual(self.api.get(f"/containers/{identifier}/json").status, 404)
        connection.close()


class Hijack(ApiCase):
    def test_attach_multiplexed(self):
        identifier = self.create("sh", "-c", "read x; echo out $x; echo err >&2", OpenStdin=True, StdinOnce=True)
        with self.api.hijack(f"/containers/{identifier}/attach?stream=1&stdin=1&stdout=1&stderr=1") as stream:
            self.assertEqual(stream.status, 101)
            self.assertEqual(stream.headers["upgrade"], "tcp")
            self.assertEqual(stream.headers["connection"].lower(), "upgrade")
            self.assertIn(stream.headers["content-type"], ("application/vnd.docker.multiplexed-stream",
                                                           "application/vnd.docker.raw-stream"))
            self.api.post(f"/containers/{identifier}/start")
            stream.send(b"hello\n")
            self.assertEqual(stream.frames(), {1: b"out hello\n", 2: b"err\n"})

    def test_attach_without_upgrade_is_answered_with_200(self):
        identifier = self.create("echo", "old style")
        with self.api.hijack(f"/containers/{identifier}/attach?stream=1&stdout=1", upgrade=False) as stream:
            self.assertEqual(stream.status, 200)
            self.api.post(f"/containers/{identifier}/start")
            self.assertEqual(stream.frames(), {1: b"old style\n"})

    def test_half_close_ends_the_programs_input(self):
        identifier = self.create("sh", "-c", "cat; echo end", OpenStdin=True, StdinOnce=True)
        with self.api.hijack(f"/containers/{identifier}/attach?stream=1&stdin=1&stdout=1") as stream:
            self.api.post(f"/containers/{identifier}/start")
            stream.send(b"some data")
            stream.half_close()
            self.assertEqual(stream.frames(), {1: b"some dataend\n"})

    def test_bytes_sent_with_the_request_are_not_lost(self):
        self.only_berth("20.10 loses them")
        identifier = self.create("cat", OpenStdin=True, StdinOnce=True)
        self.api.post(f"/containers/{identifier}/start")
        raw = self.api.connect()
        raw.sendall(f"POST /containers/{identifier}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                    "Upgrade: tcp\r\nContent-Length: 0\r\n\r\nearly bytes".encode())
        with Hijacked(raw) as stream:
            self.assertEqual(stream.status, 101)
            stream.half_close()
            self.assertEqual(stream.frames(), {1: b"early bytes"})

    def test_a_body_of_the_attach_request_is_no_input(self):
        identifier = self.create("cat", OpenStdin=True, StdinOnce=True)
        target = f"/containers/{identifier}/attach?stream=1&stdin=1&stdout=1"
        with self.api.hijack(target, {"stream": True, "stdin": True}) as stream:  # as dockerode sends it
            self.api.post(f"/containers/{identifier}/start")
            stream.send(b"typed")
            stream.half_close()
            self.assertEqual(stream.frames(), {1: b"typed"})

    def test_output_comes_after_the_head_has_been_read(self):
        self.only_berth("it is slow enough for that to be so")
        identifier = self.started("sh", "-c", "echo logged; exec sleep 600")
        eventually(lambda: b"logged" in self.api.get(f"/containers/{identifier}/logs?stdout=1").body, "the line is in the log")
        for _ in range(10):
            made = self.api.post(f"/containers/{identifier}/exec", {"Cmd": ["echo", "quick"], "AttachStdout": True})
            for target, body, text in ((f"/exec/{made.json()['Id']}/start", {}, b"quick\n"),
                                       (f"/containers/{identifier}/attach?logs=1&stdout=1", None, b"logged\n")):
                with self.api.hijack(target, body) as stream:
                    self.assertEqual(stream.pending, b"")  # docker-py drops what comes with the head
                    self.assertEqual(stream.frames(), {1: text})

    def test_attach_with_a_terminal_is_raw(self):
        identifier = self.create("sh", "-c", "read x; echo out $x", OpenStdin=True, StdinOnce=True, Tty=True)
        with self.api.hijack(f"/containers/{identifier}/attach?stream=1&stdin=1&stdout=1&stderr=1") as stream:
            self.assertEqual(stream.headers["content-type"], "application/vnd.docker.raw-stream")
            self.api.post(f"/containers/{identifier}/start")
            stream.send(b"it\n")
            stream.read_until(b"out it\r\n")

    def test_logs_then_stream(self):
        identifier = self.started("sh", "-c", "echo before; read x; echo after", OpenStdin=True)
        eventually(lambda: b"before" in self.api.get(f"/containers/{identifier}/logs?stdout=1").body, "the first line")
        with self.api.hijack(f"/containers/{identifier}/attach?logs=1&stream=1&stdin=1&stdout=1") as stream:
            self.assertEqual(stream.frame(), (1, b"before\n"))
            stream.send(b"\n")
            self.assertEqual(stream.frame(), (1, b"after\n"))

    def test_detach_keys(self):
        identifier = self.started("cat", OpenStdin=True, Tty=True)
        with self.api.hijack(f"/containers/{identifier}/attach?stream=1&stdin=1&stdout=1&detachKeys=ctrl-a,b") as stream:
            stream.send(b"x")
            stream.read_until(b"x")
            stream.send(b"\x01b")
            stream.read_rest()
        self.assertTrue(self.api.get(f"/containers/{identifier}/json").json()["State"]["Running"])

    def test_exec(self):
        identifier = self.started()
        made = self.api.post(f"/containers/{identifier}/exec", {"Cmd": ["sh", "-c", "cat; echo err >&2; exit 5"], "AttachStdin": True,
                                                                "AttachStdout": True, "AttachStderr": True})
        self.assertEqual(made.status, 201)
        execution = made.json()["Id"]
        with self.api.hijack(f"/exec/{execution}/start", {"Detach": False, "Tty": False}) as stream:
            self.assertIn(stream.status, (101, 200))
            stream.send(b"input")
            stream.half_close()
            self.assertEqual(stream.frames(), {1: b"input", 2: b"err\n"})
        state = self.api.get(f"/exec/{execution}/json").json()
        self.assertEqual((state["Running"], state["ExitCode"], state["ContainerID"]), (False, 5, identifier))
        self.is_error(self.api.post(f"/exec/{execution}/start", {"Detach": True}), 409)

    def test_exec_needs_a_command(self):
        self.is_error(self.api.post(f"/containers/{self.started()}/exec", {"AttachStdout": True}), 400)

    def test_a_large_stream_passes_the_socket(self):
        identifier = self.create("cat", OpenStdin=True, StdinOnce=True)
        data = bytes(range(256)) * 8192
        with self.api.hijack(f"/containers/{identifier}/attach?stream=1&stdin=1&stdout=1") as stream:
            self.api.post(f"/containers/{identifier}/start")

            def feed():
                stream.send(data)
                stream.half_close()

            feeder = threading.Thread(target=feed)
            feeder.start()
            self.assertEqual(stream.frames().get(1), data)
            feeder.join()


class Streams(ApiCase):
    def test_logs_framing_and_types(self):
        plain, terminal = self.started("sh", "-c", "echo out; echo err >&2"), self.started("echo", "raw", Tty=True)
        for identifier in (plain, terminal):
            self.api.post(f"/containers/{identifier}/wait")
        answer = self.api.get(f"/containers/{plain}/logs?stdout=1&stderr=1")
        self.assertEqual(demultiplexed(answer.body), {1: b"out\n", 2: b"err\n"})
        self.assertEqual(self.api.get(f"/containers/{terminal}/logs?stdout=1").body, b"raw\r\n")
        self.assertEqual(demultiplexed(self.api.get(f"/containers/{plain}/logs?stderr=1").body), {2: b"err\n"})

    def test_stats_stream(self):
        identifier = self.started("sleep", "600")
        connection, answer = self.api.stream("GET", f"/containers/{identifier}/stats")
        first, second = json.loads(answer.readline()), json.loads(answer.readline())
        self.assertGreater(second["cpu_stats"]["system_cpu_usage"], first["cpu_stats"]["system_cpu_usage"])
        self.assertEqual(second["precpu_stats"]["system_cpu_usage"], first["cpu_stats"]["system_cpu_usage"])
        self.assertIn("online_cpus", second["cpu_stats"])
        self.assertIn("eth0", second["networks"])
        self.assertEqual(second["pids_stats"]["current"], 1)
        connection.close()

    def test_stats_once(self):
        identifier = self.started("sleep", "600")
        once = self.api.get(f"/containers/{identifier}/stats?stream=false").json()
        self.assertGreater(once["precpu_stats"]["system_cpu_usage"], 0)
        shot = self.api.get(f"/containers/{identifier}/stats?stream=false&one-shot=true").json()
        self.assertGreater(shot["memory_stats"]["usage"], 0)

    def test_stats_of_a_stopped_container(self):
        identifier = self.create("true")
        answer = self.api.get(f"/containers/{identifier}/stats?stream=false")
        self.assertEqual((answer.status, answer.json()["cpu_stats"]["cpu_usage"]["total_usage"]), (200, 0))

    def test_events_since_and_until(self):
        begin = time.time()
        identifier = self.started("true")
        self.api.post(f"/containers/{identifier}/wait")
        rows = self.api.get(f"/events?since={begin:.6f}&until={time.time() + 0.5:.6f}&" + filters(container=[identifier])).json_lines()
        self.assertEqual([row["Action"] for row in rows if row["Type"] == "container"][:3], ["create", "start", "die"])
        for row in rows:
            self.assertEqual(set(row) >= {"Type", "Action", "Actor", "scope", "time", "timeNano"}, True)
        died = next(row for row in rows if row["Action"] == "die")
        self.assertEqual((died["status"], died["id"], died["from"]), ("die", identifier, IMAGE))
        self.assertEqual(self.api.get("/events?since=1&until=2").body, b"")

    def test_events_headers_come_at_once(self):
        connection, answer = self.api.stream("GET", "/events", timeout=10)
        self.assertEqual(answer.status, 200)
        connection.close()

    def test_top_and_changes(self):
        identifier = self.started("sleep", "600")
        top = self.api.get(f"/containers/{identifier}/top").json()
        self.assertIn("PID", top["Titles"])
        self.assertEqual(len(top["Processes"]), 1)
        self.assertIsInstance(self.api.get(f"/containers/{identifier}/changes").json() or [], list)


class Archive(ApiCase):
    def stat(self, answer):
        return json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))

    def test_head(self):
        identifier = self.create("true")
        shown = self.stat(self.api.head(f"/containers/{identifier}/archive?path=/etc"))
        self.assertEqual((shown["name"], shown["mode"] >> 31, shown["mode"] & 0o777), ("etc", 1, 0o755))
        shown = self.stat(self.api.head(f"/containers/{identifier}/archive?path=/bin/ls"))
        self.assertEqual((shown["linkTarget"].rsplit("/", 1)[-1], shown["mode"] >> 27 & 1), ("busybox", 1))
        self.assertEqual(self.api.head(f"/containers/{identifier}/archive?path=/nope").status, 404)

    def test_get_and_put(self):
        identifier = self.create("true")
        answer = self.api.get(f"/containers/{identifier}/archive?path=/etc/passwd")
        self.assertEqual(answer.headers["Content-Type"], "application/x-tar")
        with tarfile.open(fileobj=io.BytesIO(answer.body)) as archive:
            self.assertEqual(archive.getnames(), ["passwd"])
        self.assertEqual(self.api.put(f"/containers/{identifier}/archive?path=/tmp", tar([entry("x", data=b"1")])).status, 200)
        self.is_error(self.api.put(f"/containers/{identifier}/archive?path=/nope", tar([entry("x")])), 404)
        self.is_error(self.api.put(f"/containers/{identifier}/archive?path=/etc/passwd", tar([entry("x")])), 400)
        self.is_error(self.api.put(f"/containers/{identifier}/archive", tar([entry("x")])), 400)

    def test_a_folder_is_not_replaced_by_a_file_when_told_so(self):
        identifier = self.create("true")
        self.is_error(self.api.put(f"/containers/{identifier}/archive?path=/&noOverwriteDirNonDir=1", tar([entry("etc", data=b"x")])), 400)

    def test_broken_bodies(self):
        identifier = self.create("true")
        self.assertNotEqual(self.api.put(f"/containers/{identifier}/archive?path=/tmp", b"no archive" * 1000).status // 100, 2)


class Hostile(ApiCase):
    """Requests that no client sends. The engine answers or closes, and goes on."""

    def tearDown(self):
        self.assertEqual(self.api.get("/_ping").status, 200)
        super().tearDown()

    def answer_to(self, data, close=True):
        raw = self.api.connect(timeout=30)
        try:
            raw.sendall(data)
            if close:
                raw.shutdown(socket.SHUT_WR)
            return raw.recv(65536)
        except (BrokenPipeError, ConnectionResetError):
            return b""
        finally:
            raw.close()

    def test_what_is_not_http(self):
        for data in (b"\r\n\r\n", b"hello\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", bytes(range(256)) * 64,
                     b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET /_ping HTTP/1.1\r\nbroken header\r\n\r\n",
                     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
            with self.subTest(data=data[:30]):
                self.assertNotIn(b" 200 ", self.answer_to(data)[:20])

    def test_lengths_that_lie(self):
        for headers in (b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Content-Length: 5\r\nContent-Length: 6",
                        b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked, gzip",
                        b"Content-Length: 0x10"):
            with self.subTest(headers=headers):
                data = b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + headers + b"\r\n\r\n{}"
                self.assertNotIn(b" 201 ", self.answer_to(data)[:20])

    def test_broken_chunks(self):
        for chunks in (b"zz\r\n", b"ffffffffffffffffff\r\n", b"5\r\nab", b"-1\r\n", b"5\r\nhelloX\r\n0\r\n\r\n"):
            with self.subTest(chunks=chunks):
                self.assertNotIn(b" 201 ", self.answer_to(
                    b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + chunks)[:20])

    def test_endless_headers(self):
        raw = self.api.connect(timeout=30)
        raw.sendall(b"GET /_ping HTTP/1.1\r\n")
        sent = 0
        try:
            while sent < 64 << 20:
                raw.sendall(b"X-Filler: " + b"x" * 8000 + b"\r\n")
                sent += 8000
        except (BrokenPipeError, ConnectionResetError, socket.timeout):
            pass
        raw.close()
        self.assertLess(sent, 32 << 20)

    def test_a_long_target(self):
        self.assertNotIn(b" 200 ", self.answer_to(b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: x\r\n\r\n")[:20])

    def test_a_huge_body_does_not_eat_memory(self):
        self.only_berth("its memory is not watched")
        before = host.resident_kib(self.engine.pid)
        piece = b'"' + b"x" * (1 << 20)

        def pieces():
            yield b'{"Image":'
            for _ in range(256):
                yield piece

        try:
            answer = self.api.post("/containers/create", pieces(), headers={"Content-Type": "application/json"})
            self.assertIn(answer.status, (400, 413))
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.assertLess(host.resident_kib(self.engine.pid) - before, 64 << 10)

    def test_many_slow_clients_keep_nobody_waiting(self):
        slow = [self.api.connect() for _ in range(200)]
        try:
            for raw in slow:
                raw.sendall(b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nContent-Type: appl")
            begin = time.monotonic()
            self.assertEqual(self.api.get("/containers/json").status, 200)
            self.assertLess(time.monotonic() - begin, 5)
        finally:
            for raw in slow:
                raw.close()

    def test_clients_that_vanish_leave_no_descriptors(self):
        self.only_berth("its descriptors are not watched")
        identifier = self.started("probe", "forever", "100")
        before = host.settled_descriptors(self.engine.pid)
        for number in range(60):
            raw = self.api.connect()
            target = (f"/containers/{identifier}/logs?follow=1&stdout=1", "/events", f"/containers/{identifier}/stats",
                      f"/containers/{identifier}/attach?stream=1&stdout=1")[number % 4]
            method = "POST" if "attach" in target else "GET"
            raw.sendall(f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
            raw.recv(100)
            raw.close()
        eventually(lambda: host.descriptors(self.engine.pid) <= before + 2, "the engine has closed them")

    def test_pipelined_requests_are_answered_in_order(self):
        raw = self.api.connect()
        raw.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\nGET /version HTTP/1.1\r\nHost: x\r\n\r\n"
                    b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = b""
        while piece := raw.recv(65536):
            data += piece
        self.assertEqual(data.count(b"HTTP/1.1 200 OK"), 3)
        self.assertLess(data.index(b"OK", data.index(b"\r\n\r\n")), data.index(b"ApiVersion"))
        raw.close()

    def test_keep_alive(self):
        connection, answer = self.api.stream("GET", "/_ping")
        answer.read()
        for _ in range(20):
            connection.request("GET", "/containers/json")
            self.assertEqual(connection.getresponse().read()[:1], b"[")
        connection.close()

    def test_names_in_paths_do_not_lead_elsewhere(self):
        for name in ("..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%00", "a" * 5000):
            with self.subTest(name=name):
                self.assertIn(self.api.get(f"/containers/{name}/json").status, (301, 400, 404, 414))
                self.assertIn(self.api.get(f"/volumes/{name}").status, (301, 400, 404, 414))

    def test_numbers_out_of_range(self):
        for settings in ({"Memory": -5}, {"Memory": 1 << 62}, {"NanoCpus": -1}, {"PidsLimit": 1 << 40}, {"CpuShares": -1},
                         {"OomScoreAdj": 5000}, {"ShmSize": -1}, {"Memory": 1e30}):
            with self.subTest(settings=settings):
                answer = self.api.post("/containers/create", {"Image": IMAGE, "Cmd": ["true"], "HostConfig": settings})
                if answer.status == 201:
                    self.made.append(answer.json()["Id"])
                    self.assertIn(self.api.post(f"/containers/{answer.json()['Id']}/start").status, (204, 400, 500))
                else:
                    self.assertIn(answer.status, (400, 500), str(answer))

    def test_paths_out_of_the_root(self):
        identifier = self.create("true")
        answer = self.api.get(f"/containers/{identifier}/archive?path=/../../../../../../etc/shadow")
        self.assertNotEqual(answer.status, 200)


class WebSocketAttach(ApiCase):
    def handshake(self, identifier, query="stream=1&stdin=1&stdout=1", key="dGhlIHNhbXBsZSBub25jZQ=="):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(20)
        connection.connect(self.engine.socket)
        self.addCleanup(connection.close)
        lines = [f"GET /containers/{identifier}/attach/ws?{query} HTTP/1.1", "Host: x", "Connection: Upgrade",
                 "Upgrade: websocket", "Sec-WebSocket-Version: 13", *([f"Sec-WebSocket-Key: {key}"] if key else [])]
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        stream = connection.makefile("rb")
        head = []
        while line := stream.readline().strip():
            head.append(line.decode())
        return connection, stream, head

    @staticmethod
    def masked(payload, opcode=2):
        mask = b"\x01\x02\x03\x04"
        body = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        return bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + body

    @staticmethod
    def frame(stream):
        first, length = stream.read(2)
        if length == 126:
            length = int.from_bytes(stream.read(2), "big")
        return first & 15, stream.read(length)

    def test_both_ways(self):
        identifier = self.started("sh", "-c", "read line; echo got $line; echo and >&2; read end", OpenStdin=True)
        connection, stream, head = self.handshake(identifier, "stream=1&stdin=1&stdout=1&stderr=1")
        self.assertTrue(head[0].startswith("HTTP/1.1 101"), head)
        self.assertIn("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", head)
        connection.sendall(self.masked(b"hello\n"))
        seen = b""
        while b"and\n" not in seen:
            opcode, payload = self.frame(stream)
            self.assertEqual(opcode, 2)  # binary, and no frames of docker's within
            seen += payload
        self.assertEqual(sorted(seen.split()), [b"and", b"got", b"hello"])
        connection.sendall(self.masked(b"are you there", opcode=9))
        self.assertEqual(self.frame(stream), (10, b"are you there"))
        connection.sendall(self.masked(b"\n"))
        self.assertEqual(self.frame(stream)[0], 8)  # the container's end closes it

    def test_refusals(self):
        identifier = self.started()
        self.is_error(self.api.get(f"/containers/{identifier}/attach/ws?stream=1"), 400)
        self.is_error(self.api.get("/containers/nobody/attach/ws?stream=1"), 404)
        _, _, head = self.handshake(identifier, key="")
        self.assertIn(" 400 ", head[0])
        connection, stream, _ = self.handshake(identifier)
        connection.sendall(b"\x82\x01x")  # not masked
        self.assertEqual(self.frame(stream), (8, b"\x03\xea"))


class Absent(ApiCase):
    """What berth does not have answers as docker does where that is switched off."""

    def test_swarm(self):
        for method, path in (("GET", "/swarm"), ("GET", "/nodes"), ("GET", "/services"), ("GET", "/tasks"), ("GET", "/secrets"),
                             ("GET", "/configs"), ("POST", "/secrets/create"), ("POST", "/swarm/leave"),
                             ("GET", "/swarm/unlockkey"), ("DELETE", "/services/x")):
            body = {} if method == "POST" else None
            self.is_error(self.api.request(method, path, body), 503)

    def test_plugins(self):
        self.assertEqual(self.api.get("/plugins").json(), [])
        self.is_error(self.api.get("/plugins/nope/json"), 404)
        self.only_berth("20.10 ignores unknown filters")
        self.is_error(self.api.get("/plugins?filters=" + urllib.parse.quote('{"nope":["x"]}')), 400)


class EventsOfProbes(ApiCase):
    def test_health_probes_are_execs(self):
        since = f"{time.time():.9f}"
        identifier = self.started(Healthcheck={"Test": ["CMD", "true"], "Interval": 100_000_000})
        eventually(lambda: self.api.get(f"/containers/{identifier}/json").json()["State"]["Health"]["Status"] == "healthy",
                   "it is healthy")
        answer = self.api.get(f"/events?since={since}&until={time.time():.9f}&" +
                              "filters=" + urllib.parse.quote(json.dumps({"container": [identifier]})))
        actions = [event["Action"] for event in answer.json_lines()]
        for wanted in ("create", "start", "exec_create: true", "exec_start: true", "exec_die", "health_status: healthy"):
            self.assertIn(wanted, actions)

    def test_build_prune_filters(self):
        self.only_berth("20.10 has no such filters")
        for query in ({"nope": ["x"]},):
            self.is_error(self.api.post("/build/prune?filters=" + urllib.parse.quote(json.dumps(query))), 400)
        for query in ({"inuse": ["true"]}, {"parent": ["x"]}, {"description": ["nothing"]}, {"id": ["ffff"]}):
            answer = self.api.post("/build/prune?filters=" + urllib.parse.quote(json.dumps(query)))
            self.assertEqual((answer.status, answer.json()["CachesDeleted"]), (200, None), str(query))
