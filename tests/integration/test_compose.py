"""berth compose: applications of several containers from a Compose file."""
import json
import os
import signal
import subprocess

from harness.engine import IMAGE, Client, EngineCase, eventually, run

SLEEP = "command: [sleep, '600']"


class ComposeCase(EngineCase):
    """A project in a folder of its own; it is taken down at the end."""

    def setUp(self):
        super().setUp()
        if not type(self).is_berth_client():
            self.skipTest("docker's own compose is not what is tested here")
        self.project = self.folder()
        self.app = "t" + os.path.basename(self.project).lower().replace(".", "").replace("_", "")
        # Not -p: with it and without -f a project is known by its containers alone.
        self.engine.env["COMPOSE_PROJECT_NAME"] = self.app
        self.addCleanup(self.engine.env.pop, "COMPOSE_PROJECT_NAME")
        self.addCleanup(lambda: self.compose("-p", self.app, "down", "-v", "--remove-orphans", "-t", "0"))

    @staticmethod
    def is_berth_client():
        return os.environ.get("BERTH_CLIENT", os.environ.get("BERTH_AGAINST", "berth")) == "berth"

    def write(self, text, name="compose.yaml"):
        path = os.path.join(self.project, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        return path

    def words(self, *words):
        return [*self.engine.cli, "compose", *words]

    def compose(self, *words, env=None, input=None):
        return run(self.words(*words), cwd=self.project, env={**self.engine.env, **(env or {})}, input=input)

    def good(self, *words, env=None):
        result = self.compose(*words, env=env)
        self.assertEqual(result.code, 0, str(result))
        return result

    def ids(self, service):
        return sorted(self.good("ps", "-a", "-q", service).lines)

    def inspect(self, name):
        return json.loads(self.ok("inspect", name).out)[0]


class Life(ComposeCase):
    def test_up_is_idempotent_and_changes_only_what_changed(self):
        file = f"""
services:
  one: {{image: "{IMAGE}", {SLEEP}, environment: {{A: "${{VALUE:-first}}"}}}}
  two: {{image: "{IMAGE}", {SLEEP}, depends_on: [one]}}
"""
        self.write(file)
        self.good("up", "-d")
        before = self.ids("one"), self.ids("two")
        self.good("up", "-d")
        self.assertEqual((self.ids("one"), self.ids("two")), before)
        self.good("up", "-d", env={"VALUE": "second"})
        self.assertNotEqual(self.ids("one"), before[0])
        self.assertEqual(self.ids("two"), before[1])
        self.assertIn("A=second", self.good("exec", "-T", "one", "env").out)

    def test_what_belongs_to_a_project_is_labelled_as_docker_compose_does(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', {SLEEP}, volumes: ['data:/d']}}}}\nvolumes: {{data: {{}}}}\n")
        self.good("up", "-d")
        labels = self.inspect(f"{self.app}-web-1")["Config"]["Labels"]
        self.assertEqual(labels["com.docker.compose.project"], self.app)
        self.assertEqual(labels["com.docker.compose.service"], "web")
        self.assertEqual(labels["com.docker.compose.container-number"], "1")
        self.assertEqual(labels["com.docker.compose.oneoff"], "False")
        network = json.loads(self.ok("network", "inspect", f"{self.app}_default").out)[0]
        self.assertEqual(network["Labels"]["com.docker.compose.network"], "default")
        volume = json.loads(self.ok("volume", "inspect", f"{self.app}_data").out)[0]
        self.assertEqual(volume["Labels"]["com.docker.compose.volume"], "data")

    def test_down_leaves_nothing_but_volumes(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', {SLEEP}, volumes: ['data:/d']}}}}\nvolumes: {{data: {{}}}}\n")
        self.good("up", "-d")
        self.good("down", "-t", "0")
        self.assertEqual(self.ok("ps", "-aq", "--filter", f"label=com.docker.compose.project={self.app}").text, "")
        self.assertNotIn(self.app, self.ok("network", "ls").out)
        self.assertIn(f"{self.app}_data", self.ok("volume", "ls").out)
        self.good("down", "-v")
        self.assertNotIn(f"{self.app}_data", self.ok("volume", "ls").out)

    def test_scale_up_and_down(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', {SLEEP}, stop_grace_period: 0s}}}}\n")
        self.good("up", "-d", "--scale", "web=3")
        self.assertEqual(len(self.ids("web")), 3)
        self.good("scale", "web=1")
        self.assertEqual(len(self.ids("web")), 1)
        self.assertEqual(self.inspect(f"{self.app}-web-1")["State"]["Status"], "running")

    def test_stop_start_restart_kill_pause_rm(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', {SLEEP}, stop_grace_period: 0s}}}}\n")
        self.good("up", "-d")
        name = f"{self.app}-web-1"
        state = lambda: self.inspect(name)["State"]
        self.good("pause")
        self.assertEqual(state()["Status"], "paused")
        self.good("unpause")
        self.good("stop", "-t", "0")
        self.assertEqual(state()["Status"], "exited")
        self.good("start")
        first = state()["StartedAt"]
        self.good("restart", "-t", "0")
        self.assertNotEqual(state()["StartedAt"], first)
        self.good("kill")
        eventually(lambda: state()["Status"] == "exited", "the container is killed")
        self.good("rm", "-f")
        self.assertEqual(self.ids("web"), [])

    def test_a_failed_up_is_rolled_back(self):
        good = f"services: {{web: {{image: '{IMAGE}', {SLEEP}, environment: {{V: '1'}}}}}}\n"
        self.write(good)
        self.good("up", "-d")
        before = self.ids("web")
        self.write(f"""
services:
  web: {{image: "{IMAGE}", {SLEEP}, environment: {{V: "2"}}}}
  bad: {{image: "{IMAGE}", command: [/no/such/program], depends_on: [web]}}
""")
        failed = self.compose("up", "-d", "--rollback", "-t", "0")
        self.assertNotEqual(failed.code, 0)
        self.assertEqual(self.ids("web"), before)
        container = self.inspect(f"{self.app}-web-1")
        self.assertEqual(container["State"]["Status"], "running")
        self.assertIn("V=1", container["Config"]["Env"])
        self.assertNotIn("-bad-1", self.ok("ps", "-a").out)

    def test_orphans_are_told_and_removed_on_request(self):
        self.write(f"services: {{old: {{image: '{IMAGE}', {SLEEP}}}, new: {{image: '{IMAGE}', {SLEEP}}}}}\n")
        self.good("up", "-d")
        self.write(f"services: {{new: {{image: '{IMAGE}', {SLEEP}}}}}\n")
        self.assertIn("orphan", self.good("up", "-d").err)
        self.good("up", "-d", "--remove-orphans", "-t", "0")
        self.assertNotIn("-old-1", self.ok("ps", "-a").out)

    def test_anonymous_volumes_survive_a_replacement(self):
        file = "services: {{web: {{image: '{}', {}, volumes: [/data], environment: {{V: '{}'}}}}}}\n"
        self.write(file.format(IMAGE, SLEEP, 1))
        self.good("up", "-d")
        self.good("exec", "-T", "web", "sh", "-c", "echo kept > /data/file")
        self.write(file.format(IMAGE, SLEEP, 2))
        self.good("up", "-d", "-t", "0")
        self.assertEqual(self.good("exec", "-T", "web", "cat", "/data/file").text, "kept")


class Dependencies(ComposeCase):
    def test_a_service_waits_for_a_healthy_one(self):
        self.write(f"""
services:
  db:
    image: "{IMAGE}"
    command: [sh, -c, "sleep 0.5; touch /ready; sleep 600"]
    healthcheck: {{test: [CMD, test, -e, /ready], interval: 100ms, start_period: 10s, start_interval: 100ms}}
  web:
    image: "{IMAGE}"
    {SLEEP}
    depends_on: {{db: {{condition: service_healthy}}}}
""")
        self.good("up", "-d")
        self.assertEqual(self.inspect(f"{self.app}-db-1")["State"]["Health"]["Status"], "healthy")
        self.assertEqual(self.inspect(f"{self.app}-web-1")["State"]["Status"], "running")

    def test_a_failed_task_stops_what_needs_it(self):
        self.write(f"""
services:
  task: {{image: "{IMAGE}", command: [sh, -c, "exit 3"]}}
  web: {{image: "{IMAGE}", {SLEEP}, depends_on: {{task: {{condition: service_completed_successfully}}}}}}
""")
        failed = self.compose("up", "-d")
        self.assertEqual(failed.code, 1)
        self.assertIn('service "task" didn\'t complete successfully: exit 3', failed.err)

    def test_names_and_aliases_resolve(self):
        self.write(f"""
services:
  one: {{image: "{IMAGE}", {SLEEP}, networks: {{back: {{aliases: [database]}}}}}}
  two: {{image: "{IMAGE}", {SLEEP}, networks: [back], depends_on: [one]}}
networks: {{back: {{}}}}
""")
        self.good("up", "-d")
        for host in ("one", "database", f"{self.app}-one-1"):
            self.good("exec", "-T", "two", "nslookup", host)

    def test_a_shared_network_namespace(self):
        self.write(f"""
services:
  main: {{image: "{IMAGE}", {SLEEP}}}
  side: {{image: "{IMAGE}", {SLEEP}, network_mode: "service:main"}}
""")
        self.good("up", "-d")
        main = self.inspect(f"{self.app}-main-1")["Id"]
        self.assertEqual(self.inspect(f"{self.app}-side-1")["HostConfig"]["NetworkMode"], f"container:{main}")


class Files(ComposeCase):
    def test_secrets_and_configs(self):
        self.write("from a file", "secret.txt")
        self.write(f"""
services:
  web:
    image: "{IMAGE}"
    {SLEEP}
    secrets: [file_secret, {{source: env_secret, target: other, mode: "0400"}}]
    configs: [{{source: inline, target: /etc/app.conf}}]
secrets:
  file_secret: {{file: ./secret.txt}}
  env_secret: {{environment: TOKEN}}
configs:
  inline: {{content: "port = 80\\n"}}
""")
        env = {"TOKEN": "from the environment"}
        self.good("up", "-d", env=env)
        show = lambda path: self.good("exec", "-T", "web", "cat", path, env=env).out
        self.assertEqual(show("/run/secrets/file_secret"), "from a file")
        self.assertEqual(show("/run/secrets/other"), "from the environment")
        self.assertEqual(show("/etc/app.conf"), "port = 80\n")
        self.assertEqual(self.good("exec", "-T", "web", "stat", "-c", "%a", "/run/secrets/other", env=env).text, "400")

    def test_merging_extending_including(self):
        self.write("services: {base: {image: unused, environment: {FROM: base, KEEP: '1'}}}\n", "common/base.yaml")
        self.write(f"services: {{inc: {{image: '{IMAGE}', environment: {{WHO: included}}}}}}\n", "inc/compose.yaml")
        self.write(f"""
include: [inc/compose.yaml]
services:
  web:
    extends: {{file: common/base.yaml, service: base}}
    image: "{IMAGE}"
    ports: ["8080:80"]
    command: echo "two words" three
""")
        self.write("services: {web: {environment: {FROM: override}, ports: !override ['9090:90']}}\n", "compose.override.yaml")
        shown = json.loads(self.good("config", "--format", "json").out)
        web = shown["services"]["web"]
        self.assertEqual(web["environment"], {"FROM": "override", "KEEP": "1"})
        self.assertEqual([port["target"] for port in web["ports"]], [90])
        self.assertEqual(web["command"], ["echo", "two words", "three"])
        self.assertEqual(shown["services"]["inc"]["environment"], {"WHO": "included"})

    def test_env_files_and_interpolation(self):
        self.write("IMAGE_NAME=" + IMAGE + "\nQUOTED=\"a b\" # comment\n", ".env")
        self.write("ONE=1\nTWO=${ONE}2\n", "web.env")
        self.write("""
services:
  web:
    image: ${IMAGE_NAME}
    env_file: [web.env, {path: missing.env, required: false}]
    environment: {Q: "${QUOTED}", D: "${NOTHING:-default}", DOLLAR: "$$x"}
""")
        web = json.loads(self.good("config", "--format", "json").out)["services"]["web"]
        self.assertEqual(web["environment"], {"ONE": "1", "TWO": "12", "Q": "a b", "D": "default", "DOLLAR": "$$x"})

    def test_profiles(self):
        self.write(f"services: {{a: {{image: '{IMAGE}'}}, b: {{image: '{IMAGE}', profiles: [extra]}}}}\n")
        self.assertEqual(self.good("config", "--services").lines, ["a"])
        self.assertEqual(sorted(self.good("--profile", "extra", "config", "--services").lines), ["a", "b"])

    def test_complaints_name_file_line_and_path(self):
        for text, complaint in (
            ("services:\n  web:\n    image: x\n    nonsense: 1\n", "compose.yaml:4:15: services.web additional properties 'nonsense' not allowed"),
            ("services:\n  web:\n    image: x\n    depends_on: [db]\n", 'service "web" depends on undefined service "db"'),
            ("services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}\n", "dependency cycle detected"),
            ("services:\n  web:\n    image: ${X:?set X}\n", "required variable X is missing a value: set X"),
            ("services:\n  web: {image: x}\n  web: {image: y}\n", 'mapping key "web" already defined'),
            ("services:\n  web: [\n", "compose.yaml:"),
            ("services: {web: {command: x}}\n", "has neither an image nor a build context"),
            ("services: {web: {image: x, ports: ['x:y']}}\n", "services.web.ports[0]"),
            ("services: {web: {image: x, networks: [none]}}\n", "refers to undefined network none"),
        ):
            self.write(text)
            failed = self.compose("config")
            self.assertEqual(failed.code, 1, text)
            self.assertIn(complaint, failed.err)

    def test_aliases_that_multiply_are_refused(self):
        lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
        for previous, name in zip("abcdefgh", "bcdefghi"):
            lines.append(f"{name}: &{name} [{','.join(['*' + previous] * 9)}]")
        self.write("x-bomb:\n" + "\n".join("  " + line for line in lines) + "\nservices: {}\n")
        failed = self.compose("config")
        self.assertEqual(failed.code, 1)
        self.assertIn("too many nodes", failed.err)


class Inside(ComposeCase):
    def test_run_exec_logs_cp_port_top(self):
        self.write(f"""
services:
  web: {{image: "{IMAGE}", command: [sh, -c, "echo hello; sleep 600"], ports: ["127.0.0.1::80"]}}
""")
        self.good("up", "-d")
        self.assertEqual(self.compose("exec", "-T", "web", "sh", "-c", "exit 7").code, 7)
        once = self.compose("run", "--rm", "-T", "-e", "A=b", "web", "sh", "-c", "echo $A; exit 4")
        self.assertEqual((once.code, once.text), (4, "b"), str(once))
        eventually(lambda: "web-1  | hello" in self.good("logs").out, "the line is in the log")
        path = self.write("copied", "file.txt")
        self.good("cp", path, "web:/tmp/file.txt")
        self.assertEqual(self.good("exec", "-T", "web", "cat", "/tmp/file.txt").out, "copied")
        self.assertRegex(self.good("port", "web", "80").text, r"^127\.0\.0\.1:\d+$")
        self.assertIn("sleep 600", self.good("top").out)
        self.assertEqual([row["Service"] for row in map(json.loads, self.good("ps", "--format", "json").lines)], ["web"])
        self.assertIn(self.app, self.good("ls").out)

    def test_build(self):
        self.write(f"FROM {IMAGE}\nARG WHAT\nRUN echo $WHAT > /built\n", "app/Dockerfile")
        self.write("services: {app: {build: {context: app, args: {WHAT: thing}}, command: [cat, /built]}}\n")
        self.good("build")
        result = self.good("up")
        self.assertIn("app-1  | thing", result.out)
        self.assertIn("app-1 exited with code 0", result.out)
        self.good("down", "--rmi", "local")
        self.assertNotEqual(self.engine("image", "inspect", f"{self.app}-app").code, 0)

    def test_exit_code_from(self):
        self.write(f"""
services:
  test: {{image: "{IMAGE}", command: [sh, -c, "exit 5"]}}
  helper: {{image: "{IMAGE}", {SLEEP}, stop_grace_period: 0s}}
""")
        self.assertEqual(self.compose("up", "--exit-code-from", "test").code, 5)

    def test_an_interrupt_stops_the_containers(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', command: [sh, -c, \"echo up; sleep 600\"], stop_grace_period: 0s}}}}\n")
        with Client(self.words("up"), cwd=self.project, env={**os.environ, **self.engine.env}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as client:
            self.assertIn("up", next(line for line in client.stdout if "| up" in line))
            client.send_signal(signal.SIGINT)
            self.assertEqual(client.wait(30), 130)
        self.assertEqual(self.inspect(f"{self.app}-web-1")["State"]["Status"], "exited")

    def test_watch_syncs_changes(self):
        self.write("first", "src/page")
        self.write(f"""
services:
  web:
    image: "{IMAGE}"
    {SLEEP}
    develop: {{watch: [{{action: sync, path: ./src, target: /srv, ignore: ["*.tmp"]}}]}}
""")
        self.good("up", "-d")
        with Client(self.words("watch", "--no-up"), cwd=self.project, env={**os.environ, **self.engine.env}, stderr=subprocess.PIPE, text=True) as client:
            self.assertIn("Watch enabled", next(line for line in client.stderr if "enabled" in line))
            self.write("ignored", "src/x.tmp")
            self.write("second", "src/deep/page")
            eventually(lambda: self.compose("exec", "-T", "web", "cat", "/srv/deep/page").text == "second", "the file arrives")
            self.assertNotEqual(self.compose("exec", "-T", "web", "test", "-e", "/srv/x.tmp").code, 0)
            client.send_signal(signal.SIGTERM)
            client.wait(10)
