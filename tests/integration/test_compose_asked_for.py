"""berth compose: only what is asked for is needed, made or removed."""
import json
import os
import signal
import subprocess

from harness.engine import IMAGE, Client, eventually
from test_compose import SLEEP, ComposeCase


class EnvFiles(ComposeCase):
    def test_those_of_other_services_need_not_be_there(self):
        self.write("SAID=yes\n", "here.env")
        self.write(f"""
services:
  web: {{image: "{IMAGE}", {SLEEP}, stop_grace_period: 0s, env_file: here.env}}
  other: {{image: "{IMAGE}", env_file: missing.env, depends_on: [web]}}
  third: {{image: "{IMAGE}", environment: ["A=${{B:-c}}"], env_file: missing.env}}
""")
        self.good("up", "-d", "web")
        self.assertEqual(self.good("exec", "-T", "web", "sh", "-c", "echo $SAID").text, "yes")
        self.assertEqual(self.good("run", "--rm", "-T", "web", "sh", "-c", "echo $SAID").text, "yes")
        for words in (["ps"], ["logs"], ["config", "web"], ["config", "--services"], ["stop", "-t", "0"], ["images"]):
            self.good(*words)
        result = self.compose("config")
        self.assertNotEqual(result.code, 0)
        self.assertIn("missing.env", result.err)
        self.assertNotEqual(self.compose("up", "-d", "other").code, 0)
        self.good("down")

    def test_variables_of_an_included_file_are_its_own(self):
        self.write("TOKEN=of the included\nPLAIN=inner\n", "child/own.env")
        self.write(f"""
services: {{web: {{image: "{IMAGE}", secrets: [token], configs: [{{source: text, target: /text}}], environment: [PLAIN]}}}}
secrets: {{token: {{environment: TOKEN}}}}
configs: {{text: {{environment: TOKEN}}}}
""", "child/compose.yaml")
        self.write("include: [{path: child/compose.yaml, env_file: child/own.env}]\n")
        shown = self.good("run", "--rm", "-T", "web", "sh", "-c", "cat /run/secrets/token /text; echo $PLAIN")
        self.assertEqual(shown.text, "of the includedof the includedinner")

    def test_the_default_platform_of_a_projects_own_variables(self):
        self.write("DOCKER_DEFAULT_PLATFORM=linux/arm64\n", ".env")
        self.write("FROM scratch\nCOPY .env /\n", "Dockerfile")
        self.write("services: {web: {build: .}, own: {build: ., platform: linux/amd64}}\n")
        self.good("build")
        for service, architecture in (("web", "arm64"), ("own", "amd64")):
            name = json.loads(self.good("config", "--format", "json").out)["name"]
            self.addCleanup(self.engine, "rmi", "-f", f"{name}-{service}")
            self.assertEqual(self.engine.inspect(f"{name}-{service}", "image")["Architecture"], architecture)


class Names(ComposeCase):
    def test_names_of_containers_only_among_those_that_are_made(self):
        self.write(f"""
services:
  one: {{image: "{IMAGE}", command: "true", container_name: {self.app}-same}}
  two: {{image: "{IMAGE}", command: "true", container_name: {self.app}-same}}
""")
        result = self.compose("up", "-d")
        self.assertEqual(result.code, 1)
        self.assertIn(f'container name "{self.app}-same" is already in use', result.err)
        self.good("up", "-d", "one")
        self.good("down")
        self.good("up", "-d", "two")

    def test_a_project_by_its_name_alone(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', {SLEEP}, stop_grace_period: 0s}}, db: {{image: '{IMAGE}', {SLEEP}, stop_grace_period: 0s}}}}\n")
        self.good("up", "-d")
        # Another file in the same folder: with -p alone the containers tell what there is, as with docker's.
        self.write(f"services: {{other: {{image: '{IMAGE}'}}}}\n")
        by_name = [*self.engine.cli, "compose", "-p", self.app]
        run = lambda *words: subprocess.run([*by_name, *words], cwd=self.project, capture_output=True, text=True, env={**os.environ, **self.engine.env})
        self.assertEqual(sorted(run("ps", "--services").stdout.split()), ["db", "web"])
        unknown = run("pause", "nobody")
        self.assertEqual((unknown.returncode, "no such service: nobody" in unknown.stderr), (0, True))
        self.assertNotEqual(run("exec", "-T", "nobody", "true").returncode, 0)
        self.assertEqual(run("down", "-t", "0").returncode, 0)
        self.assertEqual(self.good("-f", "compose.yaml", "ps", "-a", "-q").lines, [])

    def test_what_is_paused_is_not_paused_again(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', {SLEEP}, stop_grace_period: 0s}}}}\n")
        self.good("up", "-d")
        self.good("pause", "web")
        again = self.compose("pause", "web")
        self.assertEqual((again.code, "already paused" in again.err), (1, True))
        self.good("unpause")


class Resources(ComposeCase):
    def test_all_resources(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', command: 'true'}}}}\nvolumes: {{unused: {{}}}}\nnetworks: {{alone: {{}}}}\n")
        self.good("up")
        self.assertNotIn(f"{self.app}_unused", self.ok("volume", "ls", "-q").lines)
        result = self.good("--all-resources", "up")
        self.assertIn(f"Volume {self.app}_unused  Created", result.err)
        self.assertIn(f"Network {self.app}_alone  Created", result.err)

    def test_a_network_that_changes_keeps_its_containers(self):
        file = f"""
services:
  web: {{image: "{IMAGE}", {SLEEP}, stop_grace_period: 0s, networks: {{inner: {{aliases: [site]}}}}}}
  ask: {{image: "{IMAGE}", {SLEEP}, stop_grace_period: 0s, networks: [inner]}}
networks: {{inner: {{labels: ["of=${{OF:-first}}"]}}}}
"""
        self.write(file)
        self.good("up", "-d")
        self.good("exec", "-T", "web", "touch", "/kept")
        before = self.ids("web")
        result = self.good("up", "-d", env={"OF": "second"})
        self.assertIn(f"Network {self.app}_inner  Removed", result.err)
        self.assertEqual(self.ids("web"), before)
        self.good("exec", "-T", "web", "test", "-e", "/kept")
        self.good("exec", "-T", "ask", "nslookup", "site")
        self.assertIn("second", self.ok("network", "inspect", f"{self.app}_inner").out)

    def test_down_of_some_services(self):
        self.write(f"""
services:
  web: {{image: "{IMAGE}", {SLEEP}, stop_grace_period: 0s, networks: [front]}}
  db: {{image: "{IMAGE}", {SLEEP}, stop_grace_period: 0s, networks: [back]}}
networks: {{front: {{}}, back: {{}}}}
""")
        self.good("up", "-d")
        self.good("down", "web")
        names = self.ok("network", "ls", "--format", "{{.Name}}").lines
        self.assertNotIn(f"{self.app}_front", names)
        self.assertIn(f"{self.app}_back", names)
        self.assertEqual(self.good("ps", "--services").lines, ["db"])

    def test_images_that_were_built_go_with_the_project(self):
        self.write(f"FROM {IMAGE}\nRUN echo {self.app} > /made\n", "Dockerfile")
        self.write(f"services: {{web: {{build: ., image: '{self.app}/own:1', command: 'true'}}, none: {{image: '{IMAGE}', command: 'true'}}}}\n")
        self.good("up")
        self.good("down", "--rmi", "local")
        names = self.ok("images", "--format", "{{.Repository}}:{{.Tag}}").lines
        self.assertNotIn(f"{self.app}/own:1", names)
        self.assertIn(IMAGE, names)

    def test_dependents_stop_before_what_they_need_is_replaced(self):
        file = f"""
services:
  web: {{image: "{IMAGE}", {SLEEP}, stop_grace_period: 0s, depends_on: {{db: {{condition: service_started, restart: true}}}}}}
  db: {{image: "{IMAGE}", {SLEEP}, stop_grace_period: 0s, labels: ["of=${{OF:-first}}"]}}
"""
        self.write(file)
        self.good("up", "-d")
        before = self.ids("web")
        told = self.good("up", "-d", env={"OF": "second"}).err
        steps = [told.index(f"Container {self.app}-{step}") for step in ("web-1  Stopped", "db-1  Recreated", "db-1  Started", "web-1  Started")]
        self.assertEqual(steps, sorted(steps), told)
        self.assertEqual(self.ids("web"), before)


class Lists(ComposeCase):
    def test_what_is_said_twice_counts_once(self):
        self.write(f"""
services:
  web:
    image: "{IMAGE}"
    ports: ["9080:80", "9081:81", "9080:80", {{target: 90, published: "9090"}}, {{published: "9090", target: 90}}]
    cap_add: [NET_ADMIN, NET_ADMIN]
    volumes: ["./one:/same", "./two:/same"]
""")
        web = json.loads(self.good("config", "--format", "json").out)["services"]["web"]
        self.assertEqual([port["published"] for port in web["ports"]], ["9080", "9081", "9090"])
        self.assertEqual(web["cap_add"], ["NET_ADMIN"])
        self.assertEqual([volume["source"] for volume in web["volumes"]], [f"{self.project}/two"])


    def test_tables_of_images_and_processes(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', {SLEEP}, stop_grace_period: 0s, scale: 2}}, db: {{image: '{IMAGE}', {SLEEP}, stop_grace_period: 0s}}}}\n")
        self.good("up", "-d")
        heads = self.good("images").lines[0].split("  ")
        self.assertEqual([head.strip() for head in heads if head.strip()], ["CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED"])
        first = json.loads(self.good("images", "--format", "json").out)[0]
        self.assertEqual(first["Platform"], self.inspect(IMAGE)["Os"] + "/" + self.inspect(IMAGE)["Architecture"])
        self.assertIn("T", first["LastTagTime"])
        lines = [line.split() for line in self.good("top").lines]
        self.assertEqual((lines[0][:3], lines[0][-1]), (["SERVICE", "#", "UID"], "CMD"))
        self.assertEqual(sorted(line[:2] for line in lines[1:]), [["db", "1"], ["web", "1"], ["web", "2"]])


class Settings(ComposeCase):
    def test_variables_that_say_how(self):
        self.write("COMPOSE_PROGRESS=json\nCOMPOSE_PARALLEL_LIMIT=1\n", ".env")
        self.write(f"services: {{web: {{image: '{IMAGE}', command: 'true'}}}}\n")
        self.assertIn(f'{{"id":"Container {self.app}-web-1","status":"Created"}}', self.good("up", "-d").err)
        self.assertIn("Container", self.good("--progress", "plain", "up", "-d", "--force-recreate", env={"COMPOSE_STATUS_STDOUT": "1"}).out)
        self.assertEqual(self.good("--progress", "quiet", "up", "-d", "--force-recreate").err, "")
        for words, env in ((["--progress", "loud"], {}), (["--ansi", "some"], {}), ([], {"COMPOSE_PARALLEL_LIMIT": "many"})):
            self.assertNotEqual(self.compose(*words, "ps", env=env).code, 0)

    def test_colours(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', command: [echo, hello]}}}}\n")
        self.good("up", "-d")
        eventually(lambda: "hello" in self.good("logs").out, "the line is there")
        self.assertNotIn("\x1b[", self.good("logs").out)
        self.assertIn("\x1b[", self.good("--ansi", "always", "logs").out)
        self.assertNotIn("\x1b[", self.good("--ansi", "always", "logs", "--no-color").out)
        self.assertNotIn("\x1b[", self.good("--ansi", "always", "logs", env={"NO_COLOR": "1"}).out)

    def test_an_interrupted_build_ends_with_130(self):
        self.write(f"FROM {IMAGE}\nRUN echo begun; sleep 600\n", "Dockerfile")
        self.write("services: {web: {build: .}}\n")
        with Client(self.words("build", "--no-cache"), cwd=self.project, env={**os.environ, **self.engine.env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as client:
            self.assertTrue(any("begun" in line for line in client.stdout))
            client.send_signal(signal.SIGINT)
            self.assertEqual(client.wait(60), 130)

    def test_a_start_interval_needs_a_start_period(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', {SLEEP}, healthcheck: {{test: 'true', start_interval: 1s}}}}}}\n")
        self.assertIn("healthcheck.start_interval requires healthcheck.start_period to be set", self.compose("up", "-d").err)

    def test_version(self):
        for words in (["--version"], ["version"]):
            self.assertIn("Compose version", self.good(*words).out)
