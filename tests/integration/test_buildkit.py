"""Builds as BuildKit's clients ask for them: gRPC over /grpc, files and secrets over /session (docs/buildkit.md)."""
import io
import json
import os
import random
import tarfile
import tempfile
import threading
import unittest
import uuid

from harness import buildkit, host
from harness.agent import ANSWERS, IDENTITIES, Agent, message
from harness.engine import IMAGE, PROGRAMS, Engine, EngineCase, eventually
from harness.registry import FakeRegistry


@unittest.skipIf(buildkit.available(), buildkit.available())
class BuildkitCase(EngineCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.generated = tempfile.mkdtemp(prefix="proto.", dir=cls.engine.folder)
        cls.messages = buildkit.Messages(cls.generated)

    def client(self):
        client = buildkit.Client(self.engine.socket, self.messages, self.folder())
        self.addCleanup(client.close)
        return client

    def solve(self, files, attributes=None, exporter=("moby", {}), client=None, ref=None, cache_to=()):
        """One build by the Dockerfile frontend: (exporter's response, messages of its progress)."""
        control = self.messages.control
        client = client or self.client()
        session, ref = uuid.uuid4().hex, ref or uuid.uuid4().hex
        client.open_session(session, files)
        request = control.SolveRequest(ref=ref, session=session, frontend="dockerfile.v0")
        request.frontend_attrs.update({"filename": "Dockerfile", **(attributes or {})})
        entry = request.exporters.add(type=exporter[0])
        entry.attrs.update(exporter[1])
        for kind, settings in cache_to:
            request.cache.exports.add(type=kind).attrs.update(settings)
        seen = []

        def watch():
            for message in client.stream("/moby.buildkit.v1.Control/Status", control.StatusRequest(ref=ref),
                                         control.StatusResponse):
                seen.append(message)
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            answer = client.call("/moby.buildkit.v1.Control/Solve", request, control.SolveResponse)
            return dict(answer.exporter_response), seen
        finally:
            watcher.join(20)

    def fails_to_solve(self, files, attributes=None, **more):
        import grpc
        with self.assertRaises(grpc.RpcError) as raised:
            self.solve(files, attributes, **more)
        return raised.exception

    def warnings(self, seen):
        return b" ".join(warning.short for message in seen for warning in message.warnings).decode()

    def files(self, dockerfile, context=None, **more):
        context = {"Dockerfile": dockerfile.encode(), **(context or {})}
        return buildkit.Files({"context": context, "dockerfile": context}, **more)


class Builds(BuildkitCase):
    def test_from_a_context_with_names_arguments_and_labels(self):
        dockerfile = f"FROM {IMAGE}\nARG WHO=nobody\nCOPY . /src/\nRUN echo hello $WHO > /said\nCMD cat /said\n"
        files = self.files(dockerfile, {"a.txt": b"A" * 70000, "dir/": b"", "dir/b.txt": b"B", "empty": b"",
                                        "link": ("link", "dir/b.txt")})
        answer, seen = self.solve(files, {"build-arg:WHO": "berth", "label:made": "here"},
                                  ("moby", {"name": "grpc/one:1,grpc/one:2"}))
        digest = answer["containerimage.config.digest"]
        self.assertEqual(answer["image.name"], "docker.io/grpc/one:1,docker.io/grpc/one:2")
        for tag in ("1", "2"):
            self.assertEqual(self.engine.inspect(f"grpc/one:{tag}", "image")["Id"], digest)
        self.assertEqual(self.engine.inspect("grpc/one:1", "image")["Config"]["Labels"]["made"], "here")
        self.assertEqual(self.ok("run", "--rm", "grpc/one:1").text, "hello berth")
        listed = self.run_sh("cd /src; find . | sort; cat link; wc -c < a.txt", image="grpc/one:1").text
        self.assertEqual(listed.split("\n"), [".", "./Dockerfile", "./a.txt", "./dir", "./dir/b.txt", "./empty", "./link",
                                              "B70000"])
        names = [vertex.name for message in seen for vertex in message.vertexes]
        for expected in ("[internal] load build definition from Dockerfile", "[internal] load build context",
                         "exporting to image"):
            self.assertIn(expected, names)
        self.assertTrue([name for name in names if "RUN echo hello" in name], names)

    def test_what_the_ignore_file_names_stays_with_the_client(self):
        files = self.files(f"FROM {IMAGE}\nCOPY . /src/\n", {".dockerignore": b"# no\nsecret.txt\n", "secret.txt": b"s",
                                                             "plain.txt": b"p"})
        self.solve(files, exporter=("moby", {"name": "grpc/ignore"}))
        self.assertNotIn("secret.txt", self.run_sh("ls -a /src", image="grpc/ignore").text)
        asked = [metadata for metadata in files.asked if "exclude-patterns" in metadata]
        self.assertEqual([metadata["exclude-patterns"] for metadata in asked], [["secret.txt"]])

    def test_named_contexts(self):
        dockerfile = "FROM base\nCOPY --from=extra deep/x /x\nCOPY --from=other /etc/passwd /p\n"
        context = {"Dockerfile": dockerfile.encode()}
        files = buildkit.Files({"context": context, "dockerfile": context,
                                "more": {"deep/": b"", "deep/x": b"extra", ".dockerignore": b"no\n", "no": b""}})
        before = {image["Id"] for image in self.engine.api.get("/images/json?all=1").json()}
        self.solve(files, {"context:base": f"docker-image://{IMAGE}", "context:extra": "local:more",
                           "context:other::linux/amd64": f"docker-image://docker.io/library/{IMAGE}"}, ("moby", {"name": "grpc/named"}))
        self.assertEqual(self.run_sh("cat /x; test -f /p", image="grpc/named").text, "extra")
        after = {image["Id"] for image in self.engine.api.get("/images/json?all=1").json()}
        self.assertEqual(len(after - before), 1)
        self.assertIn("base", self.fails_to_solve(self.files("FROM base\n")).details())

    def test_secrets_are_there_while_a_step_runs_and_in_no_image(self):
        dockerfile = f"FROM {IMAGE}\nRUN --mount=type=secret,id=token cp /run/secrets/token /seen && wc -c < /seen > /size; rm /seen\n"
        self.solve(self.files(dockerfile, secrets={"token": b"s3cr3t"}), exporter=("moby", {"name": "grpc/secret"}))
        self.assertEqual(self.run_sh("cat /size; ls /run/secrets 2>/dev/null; true", image="grpc/secret").text, "6")

    def test_progress_has_the_output_and_says_what_came_from_the_cache(self):
        files = self.files(f"FROM {IMAGE}\nRUN echo one; echo two >&2\n")
        _, seen = self.solve(files)
        logs = [(log.stream, log.msg) for message in seen for log in message.logs]
        self.assertIn((1, b"one\n"), logs)
        self.assertIn((2, b"two\n"), logs)
        _, seen = self.solve(files)
        self.assertTrue([vertex for message in seen for vertex in message.vertexes if vertex.cached and "RUN" in vertex.name])
        vertices = {vertex.digest: vertex for message in seen for vertex in message.vertexes}
        self.assertFalse([vertex.name for vertex in vertices.values() if not vertex.HasField("completed")])

    def test_caches_in_a_registry(self):
        registry = FakeRegistry()
        self.addCleanup(registry.close)
        ref = f"{registry.host}/cache:1"
        files = self.files(f"FROM {IMAGE}\nRUN cat /proc/sys/kernel/random/uuid > /made\n")
        first, seen = self.solve(files, cache_to=[("registry", {"ref": ref, "mode": "max"})])
        names = [vertex.name for message in seen for vertex in message.vertexes]
        self.assertIn(f"exporting cache to registry {ref}", names)
        self.engine("rmi", "-f", first["containerimage.config.digest"])
        self.ok("builder", "prune", "-af")
        imports = json.dumps([{"Type": "registry", "Attrs": {"ref": ref}}])
        second, seen = self.solve(files, {"cache-imports": imports})
        self.assertEqual(second["containerimage.config.digest"], first["containerimage.config.digest"])
        vertices = [vertex for message in seen for vertex in message.vertexes]
        self.assertTrue(any(vertex.cached and "RUN" in vertex.name for vertex in vertices), vertices)
        self.assertTrue(any(vertex.name == f"importing cache manifest from {ref}" and not vertex.error for vertex in vertices))
        for kind in ("gha", "s3", "azblob"):
            self.assertIn(f"--cache-to type={kind} is not supported", self.fails_to_solve(files, cache_to=[(kind, {})]).details())

    def test_caches_in_a_directory_of_the_client(self):
        store = {}
        files = self.files(f"FROM {IMAGE}\nRUN cat /proc/sys/kernel/random/uuid > /made\nRUN echo two > /two\n", stores={"local:/c": store})
        first, seen = self.solve(files, cache_to=[("local", {"dest": "/c", "mode": "max"})])
        manifest = json.loads(first["cache.manifest"])
        self.assertEqual(manifest["size"], len(store[manifest["digest"]]))
        layers = json.loads(store[manifest["digest"]])["layers"]
        self.assertTrue(set(layer["digest"] for layer in layers) <= set(store))
        image = first["containerimage.config.digest"]

        # An engine that has never had a right layer; one that has does not ask for it again.
        other = Engine("other")
        self.addCleanup(other.close)
        other.start()
        other.load_base_image()

        def take(**attributes):
            client = buildkit.Client(other.socket, self.messages, self.folder())
            imports = [{"Type": "local", "Attrs": {"src": "/c", "digest": manifest["digest"], **attributes}}]
            try:
                answer, seen = self.solve(files, {"cache-imports": json.dumps(imports)}, client=client)
            finally:
                client.close()
            built = answer["containerimage.config.digest"]
            other.ok("rmi", "-f", built)
            other.ok("builder", "prune", "-af")
            vertices = [vertex for message in seen for vertex in message.vertexes]
            return built, {vertex.name for vertex in vertices if vertex.cached}, self.warnings(seen)
        kept, last = dict(store), layers[-1]["digest"]
        # A layer that is another, or is not there, costs its step.
        store[last] = b"x" * len(store[last])
        self.assertEqual(len(take()[1]), 1)
        del store[last]
        self.assertEqual(len(take()[1]), 1)
        # A manifest that is another, that is none, or that is not there, costs all of them, and is told of.
        for lie in (b"{}", b"[", None):
            store.clear()
            store.update(kept)
            if lie is None:
                del store[manifest["digest"]]
            else:
                store[manifest["digest"]] = lie
            _, cached, told = take()
            self.assertEqual(len(cached), 0)
            self.assertIn("the cache local:/c is passed over", told)
        self.assertIn("passed over", take(digest="../../etc/passwd")[2])
        store.update(kept)
        built, cached, _ = take()
        self.assertEqual((built, len(cached)), (first["containerimage.config.digest"], 2))

    def test_caches_in_images(self):
        for how in ({"cache_to": [("inline", {})]}, {"attributes": {"build-arg:BUILDKIT_INLINE_CACHE": "1"}}):
            files = self.files(f"FROM {IMAGE}\nRUN cat /proc/sys/kernel/random/uuid > /made\n")
            first, _ = self.solve(files, exporter=("moby", {"name": "grpc/inline"}), **how)
            self.ok("builder", "prune", "-af")
            # The image is here: its records are read without a registry.
            imports = json.dumps([{"Type": "registry", "Attrs": {"ref": "grpc/inline"}}])
            second, seen = self.solve(files, {"cache-imports": imports, **how.get("attributes", {})},
                                      cache_to=how.get("cache_to", ()))
            self.assertEqual(second["containerimage.config.digest"], first["containerimage.config.digest"])
            self.assertTrue(any(vertex.cached and "RUN" in vertex.name for message in seen for vertex in message.vertexes))
            self.engine("rmi", "-f", "grpc/inline")
            self.ok("builder", "prune", "-af")

    def test_an_image_is_pushed_when_that_is_asked_for(self):
        registry = FakeRegistry()
        self.addCleanup(registry.close)
        files = self.files(f"FROM {IMAGE}\nLABEL pushed=1\n")
        names = f"{registry.host}/grpc/pushed:1,{registry.host}/grpc/pushed:2"
        answer, _ = self.solve(files, exporter=("moby", {"name": names, "push": "true"}))
        self.assertEqual(registry.manifests, {})  # the client's to do, which it does by POST /images/NAME/push
        answer, _ = self.solve(files, exporter=("image", {"name": names, "push": "true"}))
        for tag in ("1", "2"):
            kind, manifest = registry.manifests["grpc/pushed", tag]
            self.assertEqual(json.loads(manifest)["config"]["digest"], answer["containerimage.config.digest"], kind)
        registry.faults.append(lambda handler: handler.refuse(403, "DENIED", "not today") or True)
        told = self.fails_to_solve(files, exporter=("image", {"name": f"{registry.host}/grpc/refused:1", "push": "true"}))
        self.assertIn("denied", told.details())

    def test_results_as_an_archive_and_as_a_directory(self):
        dockerfile = "FROM scratch\nCOPY a.txt /out/a.txt\nCOPY big /out/big\n"
        context = {"a.txt": b"A", "big": os.urandom(200000)}
        before = {image["Id"] for image in self.engine.api.get("/images/json?all=1").json()}
        files = self.files(dockerfile, context)
        self.solve(files, exporter=("tar", {}))
        with tarfile.open(fileobj=io.BytesIO(files.received[""])) as archive:
            self.assertEqual(archive.extractfile("out/big").read(), context["big"])
        files = self.files(dockerfile, context)
        self.solve(files, exporter=("local", {}))
        self.assertEqual(files.received["out/a.txt"], b"A")
        self.assertEqual(files.received["out/big"], context["big"])
        after = {image["Id"] for image in self.engine.api.get("/images/json?all=1").json()}
        self.assertEqual(after, before)
        self.assertEqual([c for c in self.engine.api.get("/containers/json?all=1").json() if "berth.export" in c["Labels"]], [])

    def test_a_build_that_a_client_drives_by_the_gateway(self):
        control, gateway = self.messages.control, self.messages.gateway
        client = self.client()
        session, ref = uuid.uuid4().hex, uuid.uuid4().hex
        client.open_session(session, self.files(f"FROM {IMAGE}\nRUN echo > /gate\n"))
        request = control.SolveRequest(ref=ref, session=session)
        request.exporters.add(type="moby").attrs["name"] = "grpc/gateway"
        answers = []
        solving = threading.Thread(target=lambda: answers.append(
            client.call("/moby.buildkit.v1.Control/Solve", request, control.SolveResponse)))
        solving.start()
        build = (("buildkit-controlapi-buildid", ref),)
        service = "/moby.buildkit.v1.frontend.LLBBridge"
        pong = client.call(f"{service}/Ping", gateway.PingRequest(), gateway.PongResponse, build)
        self.assertIn("solve.base", [cap.id for cap in pong.frontend_caps])
        solve = gateway.SolveRequest(frontend="dockerfile.v0", allow_result_return=True, allow_result_array_ref=True)
        solve.frontend_opt["filename"] = "Dockerfile"
        result = client.call(f"{service}/Solve", solve, gateway.SolveResponse, build)
        client.call(f"{service}/Return", gateway.ReturnRequest(result=result.result), gateway.ReturnResponse, build)
        solving.join(60)
        self.assertEqual(answers[0].exporter_response["image.name"], "docker.io/grpc/gateway:latest")
        self.run_sh("test -f /gate", image="grpc/gateway")


class Checks(BuildkitCase):
    """What a Dockerfile had better not do: as warnings of a build, and as an answer without one."""
    DOCKERFILE = "# TAG which one\nARG TAG=base\nFROM berth-test:$TAG AS app\nENV A=$NOTHING\nCMD echo hello\n"

    def test_a_build_warns_with_the_place(self):
        _, seen = self.solve(self.files(self.DOCKERFILE))
        warnings = [warning for message in seen for warning in message.warnings]
        self.assertEqual([warning.short.decode() for warning in warnings],
                         ["UndefinedVar: Usage of undefined variable '$NOTHING' (line 4)",
                          "JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS "
                          "signals (line 5)"])
        self.assertEqual(warnings[1].url, "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/")
        self.assertEqual((warnings[1].info.filename, warnings[1].info.data.decode()), ("Dockerfile", self.DOCKERFILE))
        self.assertEqual(warnings[1].ranges[0].start.line, 5)

    def test_what_the_file_says_of_them(self):
        _, seen = self.solve(self.files("# check=skip=JSONArgsRecommended,UndefinedVar\n" + self.DOCKERFILE))
        self.assertEqual(self.warnings(seen), "")
        error = self.fails_to_solve(self.files("# check=error=true\n" + self.DOCKERFILE))
        self.assertIn("lint violation found for rules: JSONArgsRecommended, UndefinedVar", error.details())
        self.solve(self.files("# check=error=true\n" + self.DOCKERFILE), {"build-arg:BUILDKIT_DOCKERFILE_CHECK": "skip=all"})
        self.assertIn("invalid check option", self.fails_to_solve(self.files("# check=wrong\n" + self.DOCKERFILE)).details())

    def call(self, name, dockerfile, **attributes):
        before = len(self.engine.api.get("/images/json?all=1").json())
        answer, _ = self.solve(self.files(dockerfile, {".dockerignore": b"secret\n"}), {"requestid": f"frontend.{name}", **attributes})
        self.assertEqual(len(self.engine.api.get("/images/json?all=1").json()), before)
        return answer, json.loads(answer["result.json"])

    def test_checks_without_a_build(self):
        answer, result = self.call("lint", self.DOCKERFILE)
        self.assertEqual((answer["result.statuscode"], answer["version"]), ("1", "1.0.0"))
        self.assertEqual([warning["ruleName"] for warning in result["warnings"]], ["UndefinedVar", "JSONArgsRecommended"])
        self.assertIn("WARNING: UndefinedVar - https://docs.docker.com/go/dockerfile/rule/undefined-var/", answer["result.txt"])
        answer, result = self.call("lint", "FRUM x\n")
        self.assertIn("FRUM", result["buildError"]["message"])
        answer, result = self.call("lint", "FROM scratch\n")
        self.assertEqual((answer["result.statuscode"], result["warnings"]), ("0", None))
        _, result = self.call("lint", "# check=experimental=all\nFROM scratch\nCOPY secret /\n")
        self.assertEqual([warning["ruleName"] for warning in result["warnings"]], ["CopyIgnoredFile"])

    def test_targets_and_outlines(self):
        answer, result = self.call("targets", self.DOCKERFILE)
        self.assertEqual([(target["name"], target["default"]) for target in result["targets"]], [("app", True)])
        answer, result = self.call("outline", self.DOCKERFILE, **{"build-arg:TAG": "other"})
        self.assertEqual([(arg["name"], arg["value"], arg["description"]) for arg in result["args"]], [("TAG", "other", "which one")])
        self.assertIn("BUILD ARG", answer["result.txt"])


class Agents(BuildkitCase):
    """RUN --mount=type=ssh with an agent of the client's session."""

    def build(self, mount, script, agents):
        answer, _ = self.solve(self.files(f"FROM {IMAGE}\nRUN --mount=type=ssh{mount} {script}\n", agents=agents))
        return answer["containerimage.config.digest"]

    def agent(self):
        one = Agent(self.folder())
        self.addCleanup(one.close)
        return one

    def test_it_answers_in_the_step(self):
        one = self.agent()
        ask = f"probe agent $SSH_AUTH_SOCK {message(IDENTITIES).hex()}"
        image = self.build(",id=mine", f"for i in 1 2 3; do {ask} >> /answers; done", {"mine": one.path})
        self.assertEqual(self.ok("run", "--rm", image, "cat", "/answers").out.split(), [ANSWERS[IDENTITIES].hex()] * 3)
        self.assertEqual(one.asked, [IDENTITIES] * 3)
        eventually(lambda: not self.sockets(), "no socket of the agents is left")

    def test_a_client_without_that_agent(self):
        image = self.build("", 'echo "[$SSH_AUTH_SOCK]" > /socket', {"other": self.agent().path})
        self.assertEqual(self.ok("run", "--rm", image, "cat", "/socket").out, "[]\n")
        error = self.fails_to_solve(self.files(f"FROM {IMAGE}\nRUN --mount=type=ssh,required true\n"))
        self.assertIn('no SSH agent "default"', error.details())

    def sockets(self):
        return [name for _, folders, _ in os.walk(self.engine.exec) for name in folders if name.startswith("ssh-")]


class Refusals(BuildkitCase):
    def test_a_step_that_fails(self):
        error = self.fails_to_solve(self.files(f"FROM {IMAGE}\nRUN echo why; exit 3\n"))
        self.assertIn("did not complete successfully: exit code: 3", error.details())

    def test_a_dockerfile_with_a_mistake(self):
        self.assertIn("FRUM", self.fails_to_solve(self.files("FRUM x\n")).details())

    def test_no_dockerfile(self):
        files = buildkit.Files({"context": {"a": b"a"}, "dockerfile": {}})
        self.assertIn("no such file", self.fails_to_solve(files).details())

    def test_paths_that_climb_out(self):
        stat = self.messages.fsutil.Stat
        for path in ("../out", "/etc/passwd", "a/../../b", "a//b", "."):
            files = self.files(f"FROM {IMAGE}\nCOPY . /x/\n")
            files.stats = [stat(path=path, mode=0o644, size=1)]
            self.assertIn("sent a file named", self.fails_to_solve(files).details(), path)

    def test_sizes_that_lie(self):
        stat = self.messages.fsutil.Stat
        for size, says in ((5, "shorter"), (-1, "negative"), (1 << 60, "larger")):
            files = self.files(f"FROM {IMAGE}\nCOPY . /x/\n")
            files.stats = [stat(path="zz", mode=0o644, size=size)]
            self.assertIn(says, self.fails_to_solve(files).details())

    def test_what_is_not_supported_is_named(self):
        for attributes, says in (({"attest:sbom": "generator=x"}, "--sbom is not supported"),
                                 ({"context:base": "https://example.org/x.git"}, "build context base"),
                                 ({"requestid": "frontend.other"}, "unsupported request frontend.other")):
            self.assertIn(says, self.fails_to_solve(self.files(f"FROM {IMAGE}\n"), attributes).details())
        error = self.fails_to_solve(self.files(f"FROM {IMAGE}\n"), exporter=("other", {}))
        self.assertIn('exporter "other" is not supported', error.details())

    def test_a_session_that_never_comes(self):
        import grpc
        control = self.messages.control
        request = control.SolveRequest(ref=uuid.uuid4().hex, session="nobody", frontend="dockerfile.v0")
        with self.assertRaises(grpc.RpcError) as raised:
            self.client().call("/moby.buildkit.v1.Control/Solve", request, control.SolveResponse)
        self.assertIn("session", raised.exception.details())

    def test_other_protocols(self):
        answer = self.engine.api.request("POST", "/grpc")
        self.assertEqual((answer.status, "h2c" in answer.json()["message"]), (400, True), str(answer))
        with self.assertRaisesRegex(ValueError, "Session-Uuid"):
            buildkit.upgrade(self.engine.socket, "/session")
        connection = buildkit.upgrade(self.engine.socket, "/grpc")
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
        connection.close()
        self.solve(self.files(f"FROM {IMAGE}\n"))

    def test_a_client_that_goes_away_ends_its_build(self):
        control = self.messages.control
        client = self.client()
        session, ref, seconds = uuid.uuid4().hex, uuid.uuid4().hex, random.randrange(10**5, 10**6)
        client.open_session(session, self.files(f"FROM {IMAGE}\nRUN sleep {seconds}\n"))
        request = control.SolveRequest(ref=ref, session=session, frontend="dockerfile.v0")
        stub = client.channel.unary_unary("/moby.buildkit.v1.Control/Solve", type(request).SerializeToString,
                                          control.SolveResponse.FromString)
        call = stub.future(request, timeout=300)
        eventually(lambda: host.runs(f"sleep\0{seconds}"), "the step runs")
        call.cancel()
        eventually(lambda: not host.runs(f"sleep\0{seconds}"), "the step has ended")


class Life(BuildkitCase):
    def bridges(self):
        found = []
        for pid in host.children(self.engine.pid):
            try:
                with open(f"/proc/{pid}/comm") as comm:
                    if comm.read().strip() == "berth-buildkit":
                        found.append(pid)
            except (FileNotFoundError, ProcessLookupError):  # it has ended since
                continue
        return found

    def test_the_program_runs_from_the_first_client_on_and_ends_with_the_engine(self):
        self.solve(self.files(f"FROM {IMAGE}\n"))
        bridges = self.bridges()
        self.assertEqual(len(bridges), 1)
        self.solve(self.files(f"FROM {IMAGE}\n"))
        self.assertEqual(self.bridges(), bridges)
        self.engine.kill()
        eventually(lambda: not os.path.exists(f"/proc/{bridges[0]}"), "the program has ended")
        self.engine.start()
        self.solve(self.files(f"FROM {IMAGE}\n"))

    def test_a_killed_program_is_started_again(self):
        self.solve(self.files(f"FROM {IMAGE}\n"))
        pid = self.bridges()[0]
        os.kill(pid, 9)
        eventually(lambda: not self.bridges(), "the engine has seen its end")
        self.solve(self.files(f"FROM {IMAGE}\n"))


class Extension(EngineCase):
    """POST /berth/build itself."""

    def test_the_command_gives_secrets(self):
        folder = self.folder()
        with open(os.path.join(folder, "Dockerfile"), "w") as file:
            file.write(f"FROM {IMAGE}\nRUN --mount=type=secret,id=a --mount=type=secret,id=b cat /run/secrets/* | wc -c > /n\n")
        with open(os.path.join(self.folder(), "token"), "w") as file:
            file.write("12345")
        told = self.ok("build", "-t", "grpc/command", "--secret", f"id=a,src={file.name}", "--secret", "id=b,env=BUILD_B", folder,
                       env={"BUILD_B": "123"})
        self.assertIn("Successfully tagged grpc/command:latest", told.out)
        self.assertEqual(self.run_sh("cat /n", image="grpc/command").text, "8")
        self.fails(1, "build", "--secret", "id=a,src=/nowhere", folder, says="/nowhere")
        self.fails(125, "build", "--secret", "src=/x", folder, says="needs an id")

    def test_bad_bodies(self):
        for body, says in ((b"", "ends before"), (b"[]\n", "JSON object"), (b"{\n", ""), (b'{"Secrets": {"a": "%%"}}\n', "base64"),
                           (b'{"Secrets": 1}\n', "Secrets")):
            answer = self.engine.api.request("POST", "/berth/build", body, {"Content-Type": "application/vnd.berth.build"})
            self.assertEqual(answer.status, 400, str(answer))
            self.assertIn(says, answer.json()["message"])
        self.assertTrue(os.path.exists(os.path.join(PROGRAMS, "berth-buildkit")))
