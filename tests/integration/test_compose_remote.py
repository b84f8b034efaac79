"""berth compose: files from elsewhere (git, registries), services of external programs."""
import hashlib
import json
import os
import pty
import subprocess

from harness.engine import IMAGE
from harness.git_server import GitDaemon, Repository, git_daemon
from harness.registry import FakeRegistry
from test_compose import SLEEP, ComposeCase


class Remote(ComposeCase):
    def setUp(self):
        super().setUp()
        self.cache = self.folder()
        self.env = {"XDG_CACHE_HOME": self.cache}

    def repository(self, files):
        """A repository with these files on its branch main; (URL, commit)."""
        if not git_daemon():
            self.skipTest("git is not installed")
        top = self.folder()
        made = Repository(os.path.join(top, "app.git"), files)
        made.git("branch", "topic/main")  # whose end is another branch's name
        daemon = GitDaemon(top)
        self.addCleanup(daemon.close)
        return f"{daemon.url}/app.git", made.git("rev-parse", "HEAD")

    def services(self, *words):
        return json.loads(self.good(*words, "config", "--format", "json", env=self.env).out)["services"]

    def test_include_of_a_repository(self):
        url, commit = self.repository({"deep/compose.yaml": f'services: {{db: {{image: "{IMAGE}", env_file: [here.env], {SLEEP}}}}}\n',
                                       "deep/here.env": "FROM_THERE=yes\n"})
        self.write(f'include: ["{url}#main:deep"]\nservices: {{web: {{image: "{IMAGE}", {SLEEP}, depends_on: [db]}}}}\n')
        self.assertEqual(sorted(self.services()), ["db", "web"])
        # Running what others wrote is asked for first; reading it is not.
        refused = self.compose("up", "-d", env=self.env)
        self.assertNotEqual(refused.code, 0)
        self.assertIn(f"{url}#main:deep", refused.err)
        self.assertIn("--yes", refused.err)
        self.assertEqual(self.ids("db"), [])
        self.good("up", "-d", "--yes", env=self.env)
        self.assertEqual(self.good("exec", "-T", "db", "sh", "-c", "echo $FROM_THERE", env=self.env).text, "yes")
        kept = os.listdir(os.path.join(self.cache, "berth", "compose", "git"))
        self.assertEqual([name.split("-")[-1] for name in kept], [commit])
        self.good("up", "-d", env={**self.env, "BERTH_COMPOSE_YES": "1"})

    def test_commits_and_extends(self):
        url, commit = self.repository({"base.yaml": f'services: {{base: {{image: "{IMAGE}", environment: {{A: "1"}}}}}}\n'})
        self.write(f'services: {{web: {{extends: {{file: "{url}#{commit}:base.yaml", service: base}}, {SLEEP}}}}}\n')
        self.assertEqual(self.services()["web"]["environment"], {"A": "1"})

    def test_a_whole_project_from_a_repository(self):
        url, _ = self.repository({"compose.yaml": f'services: {{only: {{image: "{IMAGE}", {SLEEP}}}}}\n'})
        self.assertEqual(sorted(self.services("-f", url)), ["only"])

    def test_what_cannot_be_had_is_told(self):
        url, _ = self.repository({"compose.yaml": "services: {}\n", "out": ("link", "/etc"), "empty/x": "x"})
        for place, words in ((f"{url}#none", "has no branch or tag none"), (f"{url}#main:../..", "leads out of"),
                             (f"{url}#main:out/passwd", "leads out of"), (f"{url}#main:nothing", "not in the repository"),
                             (f"{url}#main:empty", "no compose.yaml"), (f"{url}#--upload-pack=x", "no place in a repository"),
                             ("https://example.org/compose.yaml", "neither a git repository"), ("ext::sh -c id", "no such file")):
            self.write(f"include: [\"{place}\"]\n")
            done = self.compose("config", env=self.env)
            self.assertNotEqual(done.code, 0, place)
            self.assertIn(words, done.err.replace("not found", "no such file"))

    def publish(self, registry, name, layers, artifact="application/vnd.docker.compose.project"):
        """As `docker compose publish` leaves a project in a registry."""
        described = []
        for kind, content, annotations in layers:
            digest = "sha256:" + hashlib.sha256(content).hexdigest()
            registry.blobs[digest] = content
            described.append({"mediaType": kind, "digest": digest, "size": len(content), "annotations": annotations})
        empty = b"{}"
        registry.blobs["sha256:" + hashlib.sha256(empty).hexdigest()] = empty
        manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": artifact,
                               "config": {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
                                          "digest": "sha256:" + hashlib.sha256(empty).hexdigest()}, "layers": described}).encode()
        registry.manifests[(name, "1")] = ("application/vnd.oci.image.manifest.v1+json", manifest)
        return f"oci://{registry.host}/{name}:1"

    def test_what_is_published_is_run_elsewhere(self):
        registry = FakeRegistry()
        self.addCleanup(registry.close)
        self.write("SAID=from the env file\n", "some where.env")
        self.write(f'services: {{base: {{image: "{IMAGE}", labels: {{from: base}}, {SLEEP}}}}}\n', "base.yaml")
        self.write(f"""
x-common: &common {{image: "{IMAGE}", env_file: "some where.env", stop_grace_period: 0s}}
services:
  web: {{<<: *common, extends: {{file: base.yaml, service: base}}}}
  other: {{<<: *common, profiles: [more]}}
""")
        self.write('services: {web: {environment: ["TWICE=$SAID"]}}\n', "compose.override.yaml")
        name = f"{registry.host}/apps/mine:1"
        refused = self.compose("publish", name)
        self.assertEqual(refused.code, 1)
        self.assertIn('service "web" has env_file declared.', refused.err)
        self.assertIn("--with-env", refused.err)
        self.assertEqual(self.compose("publish", "--with-env", name, input="n\n").code, 0)
        self.assertEqual(registry.manifests, {})
        self.assertIn(f"{name} published", self.good("--dry-run", "publish", "--with-env", "-y", name).err)
        self.assertEqual(registry.manifests, {})
        self.assertIn(f"{name} published", self.good("publish", "--with-env", "-y", name).err)
        manifest = json.loads(registry.manifests[("apps/mine", "1")][1])
        self.assertEqual(manifest["artifactType"], "application/vnd.docker.compose.project")
        told = "".join(registry.blobs[layer["digest"]].decode() for layer in manifest["layers"])
        self.assertNotIn("some where", told)
        self.assertNotIn(self.project, told)
        with open(os.path.join(self.project, "compose.yaml")) as file:
            self.assertIn("some where.env", file.read())
        os.unlink(os.path.join(self.project, "compose.yaml"))
        web = self.services("-f", f"oci://{name}")["web"]
        self.assertEqual((web["environment"]["SAID"], web["labels"]), ("from the env file", {"from": "base"}))
        self.good("-f", f"oci://{name}", "up", "-d", "--yes", env=self.env)
        self.assertEqual(self.good("-f", f"oci://{name}", "exec", "-T", "web", "sh", "-c", "echo $SAID", env=self.env).text, "from the env file")

    def test_what_is_not_published(self):
        self.write("services: {web: {build: .}}\n")
        self.assertIn("only contains a build section", self.compose("publish", "--dry-run", "-y", "x/y").err)
        self.write(f"services: {{web: {{image: '{IMAGE}', env_file: \"w\\u0065b.env\"}}}}\n")
        self.write("A=1\n", "web.env")
        self.assertIn("compose.yaml:1:", self.compose("publish", "--dry-run", "--with-env", "-y", "x/y").err)
        self.write("services: {}\n", "other.yaml")
        self.write(f"include: [other.yaml]\nservices: {{web: {{image: '{IMAGE}'}}}}\n")
        self.assertIn("local includes", self.compose("publish", "--dry-run", "-y", "x/y").err)
        self.write(f"services: {{web: {{image: '{IMAGE}', volumes: ['./here:/there']}}}}\n")
        asked = self.compose("publish", "--dry-run", "x/y", input="n\n")
        self.assertIn("bind mounts declaration", asked.err)
        self.assertNotIn("published", asked.err)
        self.assertIn("x/y published", self.compose("publish", "--dry-run", "x/y", input="y\n").err)
        self.write("GITHUB_TOKEN=ghp_" + "1" * 36 + "\n", "token.env")
        self.write(f"services: {{web: {{image: '{IMAGE}', env_file: token.env, environment: ['A=AKIA1234567890ABCDEF']}}}}\n")
        asked = self.compose("publish", "--dry-run", "--with-env", "x/y", input="n\n").err
        self.assertIn('"GITHUB_TOKEN": ghp_1', asked)
        self.assertIn('AWS Client ID\n"services.web.environment.A": AKIA1234567890ABCDEF', asked)
        self.assertNotIn("published", asked)

    def test_include_of_a_published_project(self):
        registry = FakeRegistry()
        self.addCleanup(registry.close)
        kind = "application/vnd.docker.compose.file+yaml"
        compose = f'services: {{db: {{image: "{IMAGE}", env_file: [other.env], {SLEEP}}}}}\n'.encode()
        place = self.publish(registry, "apps/db", [
            (kind, compose, {"com.docker.compose.version": "2.40", "com.docker.compose.file": "compose.yaml"}),
            ("application/vnd.docker.compose.envfile", b"B=2\n", {"com.docker.compose.envfile": "other.env"})])
        self.write(f'include: ["{place}"]\nservices: {{web: {{image: "{IMAGE}", {SLEEP}}}}}\n')
        self.assertEqual(self.services()["db"]["environment"], {"B": "2"})
        self.good("up", "-d", "-y", env=self.env)
        self.assertEqual(len(self.ids("db")), 1)

    def test_several_files_of_one_artifact(self):
        registry = FakeRegistry()
        self.addCleanup(registry.close)
        kind = "application/vnd.docker.compose.file+yaml"
        extended = hashlib.sha256(b"base").hexdigest() + ".yaml"
        place = self.publish(registry, "apps/many", [
            (kind, f'services: {{web: {{extends: {{file: {extended}, service: base}}, image: "{IMAGE}", {SLEEP}, labels: {{a: first}}}}}}\n'.encode(),
             {"com.docker.compose.file": "compose.yaml"}),
            (kind, b"services: {web: {labels: {a: second, b: second}}}\n", {"com.docker.compose.file": "compose.override.yaml"}),
            (kind, b"services: {base: {image: x, environment: {FROM: base}}}\n",
             {"com.docker.compose.file": extended, "com.docker.compose.extends": "true"})])
        web = self.services("-f", place)["web"]
        self.assertEqual((web["labels"], web["environment"]), ({"a": "second", "b": "second"}, {"FROM": "base"}))
        refused = self.compose("-f", place, "up", "-d", env=self.env)
        self.assertNotEqual(refused.code, 0)
        self.assertIn(place, refused.err)
        self.good("-f", place, "up", "-d", "-y", env=self.env)
        self.assertEqual(len(self.ids_of(place, "web")), 1)
        self.good("-f", place, "down", "-t", "0", env=self.env)

    def ids_of(self, place, service):
        return self.good("-f", place, "ps", "-q", service, env=self.env).lines

    def answer(self, text, *words):
        """What is printed on a terminal where `text` is typed when the question comes; (output, code)."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(self.words(*words), cwd=self.project, env={**os.environ, **self.engine.env, **self.env},
                                   stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        printed, typed = b"", False
        try:
            while True:
                try:
                    piece = os.read(ours, 4096)
                except OSError:  # the terminal is closed
                    break
                if not piece:
                    break
                printed += piece
                if not typed and b"Go on?" in printed:
                    os.write(ours, text.encode())
                    typed = True
            return printed.decode(), process.wait(60)
        finally:
            os.close(ours)

    def test_the_question_on_a_terminal(self):
        url, _ = self.repository({"compose.yaml": f'services: {{db: {{image: "{IMAGE}", {SLEEP}, stop_grace_period: 0s}}}}\n'})
        self.write(f'include: ["{url}"]\n')
        printed, code = self.answer("n\n", "up", "-d")
        self.assertIn(url, printed)
        self.assertNotEqual(code, 0)
        self.assertEqual(self.good("ps", "-a", "-q", env=self.env).text, "")
        printed, code = self.answer("y\n", "up", "-d")
        self.assertEqual(code, 0, printed)
        self.assertEqual(len(self.good("ps", "-q", env=self.env).lines), 1)
        self.good("down", env=self.env)

    def test_artifacts_that_are_none(self):
        registry = FakeRegistry()
        self.addCleanup(registry.close)
        kind = "application/vnd.docker.compose.file+yaml"
        other = self.publish(registry, "apps/other", [(kind, b"services: {}\n", {})], artifact="application/x.other")
        names = {"com.docker.compose.extends": "true", "com.docker.compose.file": "../../escape.yaml"}
        hostile = self.publish(registry, "apps/hostile", [(kind, b"services: {}\n", {}), (kind, b"x: 1\n", names)])
        for place, words in ((other, "is no artifact of type"), (hostile, "no plain name")):
            self.write(f'include: ["{place}"]\n')
            done = self.compose("config", env=self.env)
            self.assertNotEqual(done.code, 0)
            self.assertIn(words, done.err)


class Platforms(ComposeCase):
    def test_a_build_for_several_platforms(self):
        registry = FakeRegistry()
        self.addCleanup(registry.close)
        name = f"{registry.host}/apps/both:1"
        self.addCleanup(self.engine, "rmi", "-f", name)
        self.write("FROM scratch\nCOPY Dockerfile /made\n", "Dockerfile")
        self.write(f"services: {{app: {{image: '{name}', build: {{context: ., platforms: [linux/amd64, linux/arm64]}}}}}}\n")
        self.good("build", "--push")
        index = json.loads(registry.manifests[("apps/both", "1")][1])
        told = [entry["platform"]["architecture"] for entry in index["manifests"]]
        self.assertEqual([one for one in told if one != "unknown"], ["amd64", "arm64"])


PROVIDER = """#!/bin/sh
[ "$2" = metadata ] && { METADATA; }
echo "$@" >> "$LOG"
case "$3" in
up) echo '{"type": "info", "message": "making it"}'
    echo '{"type": "debug", "message": "quiet"}'
    echo '{"type": "setenv", "message": "URL=http://db.example:1"}'
    echo '{"type": "rawsetenv", "message": "PLAIN=raw"}';;
esac
"""


class Providers(ComposeCase):
    def setUp(self):
        super().setUp()
        self.bin = self.folder()
        self.log = os.path.join(self.bin, "log")
        self.env = {"PATH": f"{self.bin}:{os.environ['PATH']}", "LOG": self.log}

    def provider(self, text=PROVIDER, metadata="exit 1", name="makedb"):
        path = os.path.join(self.bin, name)
        with open(path, "w") as file:
            file.write(text.replace("METADATA", metadata))
        os.chmod(path, 0o755)

    def calls(self):
        with open(self.log) as file:
            return file.read().splitlines()

    def describe(self, options="{type: mysql, size: [1, 2]}"):
        self.write("services:\n"
                   f"  database: {{provider: {{type: makedb, options: {options}}}}}\n"
                   f'  app: {{image: "{IMAGE}", {SLEEP}, depends_on: [database], environment: {{OWN: mine}}}}\n')

    def test_a_provider_is_run_and_its_variables_reach_who_depends_on_it(self):
        self.provider()
        self.describe()
        told = self.good("up", "-d", env=self.env)
        self.assertIn("making it", told.err)
        self.assertNotIn("quiet", told.err)
        self.assertEqual(self.calls(), [f"compose --project-name={self.app} up --size=1 --size=2 --type=mysql database"])
        seen = self.good("exec", "-T", "app", "env", env=self.env).lines
        for variable in ("DATABASE_URL=http://db.example:1", "PLAIN=raw", "OWN=mine"):
            self.assertIn(variable, seen)
        self.assertEqual(self.ids("database"), [])
        # Again: the provider is asked once more, and nothing is made anew.
        before = self.ids("app")
        self.good("up", "-d", env=self.env)
        self.assertEqual(self.ids("app"), before)
        run = self.good("run", "--rm", "-T", "app", "sh", "-c", "echo $DATABASE_URL", env=self.env)
        self.assertEqual(run.lines[-1], "http://db.example:1")
        self.good("down", "-t", "0", env=self.env)
        self.assertEqual(self.calls()[-1], f"compose --project-name={self.app} down --size=1 --size=2 --type=mysql database")

    def test_metadata_says_which_options_there_are(self):
        described = '{"description": "d", "up": {"parameters": [{"name": "type", "required": true}, {"name": "name", "required": true}]}}'
        self.provider(metadata=f"echo '{described}'; exit 0")
        self.describe()
        done = self.compose("up", "-d", env=self.env)
        self.assertNotEqual(done.code, 0)
        self.assertIn("name is missing: the provider makedb needs it", done.err)
        self.describe("{type: mysql, name: n, unknown: x}")
        self.good("up", "-d", env=self.env)
        self.assertEqual(self.calls()[-1], f"compose --project-name={self.app} up --name=n --type=mysql database")

    def test_failures(self):
        self.describe()
        for text, words in (("#!/bin/sh\nexit 3\n", "failed with exit code 3"),
                            ("#!/bin/sh\n[ $2 = metadata ] && exit 1\necho '{\"type\": \"error\", \"message\": \"no money\"}'\nexec sleep 600\n", "no money"),
                            ("#!/bin/sh\n[ $2 = metadata ] && exit 1\necho nonsense\n", "is no message"),
                            ("#!/bin/sh\n[ $2 = metadata ] && exit 1\necho '{\"type\": \"odd\", \"message\": \"m\"}'\n", "unknown type")):
            self.provider(text)
            done = self.compose("up", "-d", env=self.env)
            self.assertNotEqual(done.code, 0)
            self.assertIn(words, done.err)
            self.assertEqual(self.ids("app"), [])
        self.provider("#!/bin/sh\nexit 0\n")  # for the end's down
        os.unlink(os.path.join(self.bin, "makedb"))
        self.assertIn("neither a plugin of docker's nor a program in PATH", self.compose("up", "-d", env=self.env).err)
        self.provider("#!/bin/sh\nexit 0\n")
        for provider, words in (("{options: {}}", "type is required"), ("{type: ./makedb}", "not a path"), ("{type: compose}", "no provider"),
                                ("{type: makedb, options: []}", "must be a mapping")):
            self.write(f"services: {{x: {{provider: {provider}}}}}\n")
            self.assertIn(words, self.compose("config", env=self.env).err)
