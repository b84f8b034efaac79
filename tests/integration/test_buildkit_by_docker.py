"""POST /build?version=2: BuildKit's builder as docker's command asks for it without the buildx plugin."""
import base64
import os
import random
import subprocess
import tempfile
import threading
import unittest
import urllib.parse
import uuid

from harness import buildkit, host
from harness.archives import entry, tar
from harness.engine import IMAGE, EngineCase, eventually

CLASSIC_DOCKER = "/usr/bin/docker"  # Debian's; later ones leave BuildKit to buildx


def without_buildx():
    """Whether there is a docker command that speaks to BuildKit itself."""
    if not os.access(CLASSIC_DOCKER, os.X_OK):
        return False
    told = subprocess.run([CLASSIC_DOCKER, "--version"], capture_output=True, text=True, check=False).stdout
    return told.startswith(("Docker version 19.", "Docker version 20."))


def tar_of(files):
    return tar([entry(name, data=text.encode()) for name, text in files.items()])


@unittest.skipIf(buildkit.available(), buildkit.available())
class BuildsOfVersionTwo(EngineCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.messages = buildkit.Messages(tempfile.mkdtemp(prefix="proto.", dir=cls.engine.folder))

    def ask(self, path="/build", body=b"", **parameters):
        """(status, lines of the answer)"""
        query = urllib.parse.urlencode({"version": "2", **parameters}, doseq=True)
        answer = self.engine.api.post(f"{path}?{query}", body, timeout=120)
        return answer.status, answer.json_lines()

    def trace(self, lines):
        """The vertices' names, and what steps wrote."""
        names, logs = [], b""
        for line in lines:
            if line.get("id") != "moby.buildkit.trace":
                continue
            status = self.messages.control.StatusResponse.FromString(base64.b64decode(line["aux"]))
            names += [vertex.name for vertex in status.vertexes]
            logs += b"".join(log.msg for log in status.logs)
        return names, logs

    def image_of(self, lines):
        return next(line["aux"]["ID"] for line in lines if line.get("id") == "moby.image.id")

    def test_the_body_is_the_context(self):
        context = tar_of({"Dockerfile": f"FROM {IMAGE}\nARG WHO\nCOPY f /f\nRUN echo hello $WHO\n", "f": "content"})
        status, lines = self.ask(body=context, t=["v2/body:1", "v2/body:2"], buildargs='{"WHO":"berth","NOT":null}',
                                 labels='{"made":"here"}')
        self.assertEqual(status, 200, lines)
        names, logs = self.trace(lines)
        self.assertIn("[3/4] COPY f /f", names)
        self.assertIn(b"hello berth", logs)
        for tag in ("v2/body:1", "v2/body:2"):
            self.assertEqual(self.engine.inspect(tag, "image")["Id"], self.image_of(lines))
        self.assertEqual(self.engine.inspect("v2/body:1", "image")["Config"]["Labels"]["made"], "here")

    def test_quiet_is_the_id_alone(self):
        context = tar_of({"Dockerfile": f"FROM {IMAGE}\nLABEL quiet=1\n"})
        status, lines = self.ask(body=context, q="1", t="v2/quiet")
        self.assertEqual((status, lines), (200, [{"stream": self.engine.inspect("v2/quiet", "image")["Id"] + "\n"}]))

    def test_a_step_that_fails(self):
        status, lines = self.ask(body=tar_of({"Dockerfile": f"FROM {IMAGE}\nRUN echo before; exit 7\n"}))
        self.assertEqual(status, 200)
        self.assertIn("exit code: 7", lines[-1]["error"])
        self.assertEqual(lines[-1]["errorDetail"]["message"], lines[-1]["error"])
        self.assertIn(b"before", self.trace(lines)[1])

    def test_the_session_brings_files_and_secrets(self):
        dockerfile = f"FROM {IMAGE}\nCOPY a /a\nRUN --mount=type=secret,id=s cat /a /run/secrets/s\n".encode()
        context = {"Dockerfile": dockerfile, "a": b"from the session, "}
        client = buildkit.Client(self.engine.socket, self.messages, self.folder())
        self.addCleanup(client.close)
        session = uuid.uuid4().hex
        client.open_session(session, buildkit.Files({"context": context, "dockerfile": context}, secrets={"s": b"a secret"}))
        status, lines = self.ask(remote="client-session", session=session, buildid="of-a-session", t="v2/session")
        self.assertEqual(status, 200, lines)
        self.assertIn(b"from the session, a secret", self.trace(lines)[1])
        self.assertEqual(self.engine.inspect("v2/session", "image")["Id"], self.image_of(lines))

    def test_a_context_that_another_request_brings(self):
        context = tar_of({"Dockerfile": f"FROM {IMAGE}\nLABEL by=upload\n"})
        build_id, told = uuid.uuid4().hex, {}

        def upload():
            told["upload"] = self.ask(body=context, buildid=f"upload-request:{build_id}")
        sender = threading.Thread(target=upload)
        sender.start()
        status, lines = self.ask(remote="upload-request", buildid=build_id)
        sender.join(60)
        self.assertEqual((status, told["upload"]), (200, (200, [])))
        self.assertEqual(self.engine.inspect(self.image_of(lines), "image")["Config"]["Labels"], {"by": "upload"})

    def test_what_is_wrong_is_the_status(self):
        for parameters, words in (({"networkmode": "bridge"}, "network mode"), ({"outputs": "[{},{}]"}, "multiple outputs"),
                                  ({"buildargs": "{"}, "buildargs"), ({"platform": "a/b,c/d"}, "platform")):
            status, lines = self.ask(**parameters)
            self.assertIn(status, (400, 501), lines)
            self.assertIn(words, lines[0]["message"])

    def test_a_session_or_an_upload_that_never_comes(self):
        status, lines = self.ask(remote="client-session", session="nobody")
        self.assertEqual(status, 400, lines)
        self.assertIn("session", lines[0]["message"])
        status, lines = self.ask(remote="upload-request", buildid="nobody")
        self.assertEqual(status, 404, lines)
        status, lines = self.ask(buildid="upload-request:nobody", body=b"x")
        self.assertEqual(status, 404, lines)

    def begin_endless(self, build_id, told):
        """A build that sleeps, on a thread that appends its answer to `told`; returns once it does: (thread, seconds)."""
        seconds = random.randrange(10**5, 10**6)
        context = tar_of({"Dockerfile": f"FROM {IMAGE}\nRUN sleep {seconds}\n"})
        thread = threading.Thread(target=lambda: told.append(self.ask(body=context, buildid=build_id)))
        thread.start()
        self.addCleanup(thread.join, 120)
        eventually(lambda: host.runs(f"sleep\0{seconds}"), "the step runs", 60)
        return thread, seconds

    def test_a_build_that_is_cancelled(self):
        build_id, told = uuid.uuid4().hex, []
        thread, seconds = self.begin_endless(build_id, told)
        self.assertEqual(self.ask("/build/cancel", id=build_id), (200, []))
        thread.join(60)
        self.assertIn("cancel", told[0][1][-1]["error"])
        eventually(lambda: not host.runs(f"sleep\0{seconds}"), "the step has ended", 60)
        self.assertEqual(self.ask("/build/cancel", id=build_id)[0], 404)

    def test_a_client_that_goes_away_ends_its_build(self):
        seconds = random.randrange(10**5, 10**6)
        context = tar_of({"Dockerfile": f"FROM {IMAGE}\nRUN sleep {seconds}\n"})
        with self.engine.api.connect() as client:
            client.sendall(b"POST /build?version=2 HTTP/1.1\r\nHost: berth\r\nContent-Length: %d\r\n\r\n" % len(context))
            client.sendall(context)
            eventually(lambda: host.runs(f"sleep\0{seconds}"), "the step runs", 60)
        eventually(lambda: not host.runs(f"sleep\0{seconds}"), "the step has ended", 60)

    @unittest.skipUnless(without_buildx(), "Debian's docker.io is not installed")
    def test_the_docker_command_without_buildx(self):
        context = self.folder()
        for name, text in (("Dockerfile", f"FROM {IMAGE}\nCOPY f /f\nRUN --mount=type=secret,id=s cat /run/secrets/s >> /f\n"),
                           ("f", "file, "), ("secret", "secret")):
            with open(os.path.join(context, name), "w") as file:
                file.write(text)
        env = {**os.environ, "DOCKER_HOST": f"unix://{self.engine.socket}", "DOCKER_CONFIG": os.path.join(context, "none"),
               "DOCKER_BUILDKIT": "1"}

        def docker(*arguments, **more):
            done = subprocess.run([CLASSIC_DOCKER, *arguments], env=env, capture_output=True, text=True, timeout=180, check=False,
                                  **more)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            return done
        docker("build", "-t", "v2/command", "--secret", f"id=s,src={context}/secret", context)
        self.assertEqual(self.run_sh("cat /f", image="v2/command").text, "file, secret")
        docker("build", "-t", "v2/stdin", "-", input=f"FROM {IMAGE}\nLABEL from=stdin\n")
        self.assertEqual(self.engine.inspect("v2/stdin", "image")["Config"]["Labels"], {"from": "stdin"})
        docker("build", "-o", os.path.join(context, "out"), context)
        self.assertTrue(os.path.isfile(os.path.join(context, "out", "f")))


if __name__ == "__main__":
    unittest.main()
