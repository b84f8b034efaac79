"""berth compose: lists, waiting, what is made anew and what is not, watching with output."""
import json
import os
import signal
import subprocess

from harness.engine import IMAGE, Client, eventually
from test_compose import SLEEP, ComposeCase


class Lists(ComposeCase):
    def test_ps_formats_ids_and_ports(self):
        self.write(f"""
services:
  web: {{image: "{IMAGE}", {SLEEP}, expose: [8080, 443, 80], labels: {{tier: front}}}}
  db: {{image: "{IMAGE}", {SLEEP}}}
""")
        self.good("up", "-d")
        self.assertEqual(self.good("ps", "--format", "{{.Name}} {{.Service}} {{.State}} {{.Ports}} {{.Label \"tier\"}}").lines,
                         [f"{self.app}-db-1 db running  ", f"{self.app}-web-1 web running 80/tcp, 443/tcp, 8080/tcp front"])
        table = self.good("ps", "--format", "table {{.Service}}\t{{.Project}}").lines
        self.assertEqual(table[0].split(), ["SERVICE", "PROJECT"])
        self.assertEqual(self.good("ps", "-q", "web").text, self.inspect(f"{self.app}-web-1")["Id"])
        row = json.loads(self.good("ps", "web", "--format", "json").text)
        self.assertEqual([(port["TargetPort"], port["PublishedPort"]) for port in row["Publishers"]], [(80, 0), (443, 0), (8080, 0)])
        self.assertEqual((row["Project"], row["ExitCode"], row["Health"], row["State"]), (self.app, 0, "", "running"))
        bad = self.compose("ps", "--format", "{{.NoSuch}}")
        self.assertNotEqual(bad.code, 0)
        self.assertIn("NoSuch", bad.err)

    def test_orphans_in_lists_and_killed(self):
        self.write(f"services: {{old: {{image: '{IMAGE}', {SLEEP}}}, new: {{image: '{IMAGE}', {SLEEP}}}}}\n")
        self.good("up", "-d")
        self.write(f"services: {{new: {{image: '{IMAGE}', {SLEEP}}}}}\n")
        self.assertEqual(self.good("ps", "--services").lines, ["new", "old"])
        self.assertEqual(self.good("ps", "--services", "--orphans=false").lines, ["new"])
        self.good("kill", "--remove-orphans")
        self.assertEqual(self.good("ps", "--services", "--all").lines, ["new"])
        self.assertEqual(self.inspect(f"{self.app}-new-1")["State"]["Status"], "exited")
        self.assertIn("no container to kill", self.good("kill").err)

    def test_projects_by_name(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', {SLEEP}}}}}\n")
        self.good("up", "-d")
        self.good("stop", "-t", "0")
        names = lambda *words: [row["Name"] for row in json.loads(self.good("ls", "--format", "json", *words).text)]
        self.assertNotIn(self.app, names())
        self.assertEqual(names("--all", "--filter", f"name={self.app}"), [self.app])
        self.assertEqual(names("--all", "--filter", f"name=^{self.app[:-1]}.$"), [self.app])
        self.assertEqual(names("--all", "--filter", f"name={self.app}x"), [])
        self.assertEqual(self.good("ls", "--all", "--quiet", "--filter", f"name={self.app}").lines, [self.app])
        self.assertIn("unknown filter", self.compose("ls", "--filter", "status=running").err)
        row = json.loads(self.good("ls", "--all", "--format", "json", "--filter", f"name={self.app}").text)[0]
        self.assertEqual((row["Status"], row["ConfigFiles"]), ("exited(1)", os.path.join(self.project, "compose.yaml")))

    def test_volumes_of_services(self):
        self.write(f"""
services:
  web: {{image: "{IMAGE}", {SLEEP}, volumes: ["one:/one"]}}
  db: {{image: "{IMAGE}", {SLEEP}, volumes: ["two:/two"]}}
  bare: {{image: "{IMAGE}", {SLEEP}}}
volumes: {{one: {{labels: {{use: pages}}}}, two: {{}}}}
""")
        self.good("up", "-d")
        self.assertEqual(self.good("volumes", "-q").lines, [f"{self.app}_one", f"{self.app}_two"])
        self.assertEqual(self.good("volumes", "-q", "db").lines, [f"{self.app}_two"])
        self.assertEqual(self.good("volumes", "-q", "bare").lines, [])
        self.assertEqual(self.good("volumes", "web", "--format", "{{.Name}} {{.Driver}} {{.Label \"use\"}}").text, f"{self.app}_one local pages")
        self.assertEqual(json.loads(self.good("volumes", "web", "--format", "json").text)["Name"], f"{self.app}_one")
        self.assertIn("no such service: none", self.compose("volumes", "none").err)

    def test_stats(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', {SLEEP}}}, off: {{image: '{IMAGE}', command: 'true'}}}}\n")
        self.good("up", "-d")
        eventually(lambda: self.inspect(f"{self.app}-off-1")["State"]["Status"] == "exited", "the other has ended")
        self.assertEqual(self.good("stats", "--no-stream", "--format", "{{.Name}}").lines, [f"{self.app}-web-1"])
        self.assertEqual(sorted(self.good("stats", "--no-stream", "--all", "--format", "{{.Name}}").lines), [f"{self.app}-off-1", f"{self.app}-web-1"])
        self.assertEqual(json.loads(self.good("stats", "--no-stream", "--format", "json", "web").text)["Name"], f"{self.app}-web-1")


class Waiting(ComposeCase):
    FILE = f"""
services:
  forever: {{image: "{IMAGE}", {SLEEP}, stop_grace_period: 0s}}
  ends: {{image: "{IMAGE}", command: [sh, -c, "while [ ! -e /go ]; do sleep 0.05; done; exit 7"]}}
"""

    def test_the_first_that_ends_takes_the_project_down(self):
        self.write(self.FILE)
        self.good("up", "-d")
        # The one that never ends is named first.
        with Client(self.words("wait", "--down-project", "forever", "ends"), cwd=self.project, env={**os.environ, **self.engine.env},
                    stdout=subprocess.PIPE, text=True) as client:
            self.good("exec", "-T", "ends", "touch", "/go")
            self.assertIn(f'container "{self.app}-ends-1" exited with status code 7', client.stdout.read())
            self.assertEqual(client.wait(30), 7)
        self.assertEqual(self.good("ps", "-aq").lines, [])
        self.assertNotIn(f"{self.app}_default", self.ok("network", "ls").out)

    def test_all_are_waited_for(self):
        self.write(self.FILE)
        self.good("up", "-d")
        with Client(self.words("wait", "forever", "ends"), cwd=self.project, env={**os.environ, **self.engine.env},
                    stdout=subprocess.PIPE, text=True) as client:
            self.good("exec", "-T", "ends", "touch", "/go")
            self.assertIn("ends-1", client.stdout.readline())
            self.good("kill", "forever")
            self.assertIn("forever-1", client.stdout.readline())
            self.assertEqual(client.wait(30), 137)


class MadeAnew(ComposeCase):
    def test_a_container_that_was_disconnected(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', {SLEEP}, stop_grace_period: 0s}}}}\n")
        self.good("up", "-d")
        before = self.ids("web")
        self.ok("network", "disconnect", f"{self.app}_default", f"{self.app}-web-1")
        self.good("up", "-d")
        self.assertNotEqual(self.ids("web"), before)
        self.assertIn(f"{self.app}_default", self.inspect(f"{self.app}-web-1")["NetworkSettings"]["Networks"])

    def test_a_volume_with_another_name(self):
        file = "services: {{web: {{image: '{}', {}, volumes: ['data:/d'], stop_grace_period: 0s}}}}\nvolumes: {{data: {{name: {}}}}}\n"
        self.write(file.format(IMAGE, SLEEP, f"{self.app}-first"))
        self.good("up", "-d")
        self.write(file.format(IMAGE, SLEEP, f"{self.app}-second"))
        self.addCleanup(self.engine, "volume", "rm", f"{self.app}-first")
        self.good("up", "-d")
        self.assertEqual([mount["Name"] for mount in self.inspect(f"{self.app}-web-1")["Mounts"]], [f"{self.app}-second"])

    def test_a_volume_with_another_configuration_is_kept_unless_somebody_agrees(self):
        file = "services: {{web: {{image: '{}', {}, volumes: ['data:/d'], stop_grace_period: 0s}}}}\nvolumes: {{data: {{labels: {{v: '{}'}}}}}}\n"
        label = lambda: json.loads(self.ok("volume", "inspect", f"{self.app}_data").out)[0]["Labels"]["v"]
        self.write(file.format(IMAGE, SLEEP, 1))
        self.good("up", "-d")
        self.good("exec", "-T", "web", "touch", "/d/kept")
        self.write(file.format(IMAGE, SLEEP, 2))
        self.assertIn("doesn't match configuration", self.good("up", "-d").err)
        self.good("exec", "-T", "web", "test", "-e", "/d/kept")
        self.assertEqual(label(), "1")
        self.good("up", "-d", "--yes")
        self.assertEqual(label(), "2")
        self.assertEqual(self.compose("exec", "-T", "web", "test", "-e", "/d/kept").code, 1)

    def test_contents_of_configs_and_of_secrets(self):
        self.write(f"""
services:
  web: {{image: "{IMAGE}", {SLEEP}, stop_grace_period: 0s, configs: [{{source: text, target: /text}}], secrets: [token]}}
configs: {{text: {{content: "${{TEXT:-first}}"}}}}
secrets: {{token: {{environment: TOKEN}}}}
""")
        self.good("up", "-d", env={"TOKEN": "a"})
        before = self.ids("web")
        self.good("up", "-d", env={"TOKEN": "a"})
        self.assertEqual(self.ids("web"), before)
        self.good("up", "-d", env={"TOKEN": "b"})
        after = self.ids("web")
        self.assertNotEqual(after, before)
        self.assertEqual(self.good("exec", "-T", "web", "cat", "/run/secrets/token").text, "b")
        self.good("up", "-d", env={"TOKEN": "b", "TEXT": "second"})
        self.assertNotEqual(self.ids("web"), after)
        self.assertEqual(self.good("exec", "-T", "web", "cat", "/text").text, "second")

    def test_orphans_by_the_environment(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', {SLEEP}}}}}\n")
        self.good("run", "-T", "web", "true")  # what it leaves is an orphan
        self.assertEqual(len(self.good("ps", "-aq").lines), 1)
        self.assertIn("orphan", self.good("run", "--rm", "-T", "web", "true").err)
        self.assertNotIn("orphan", self.good("run", "--rm", "-T", "web", "true", env={"COMPOSE_IGNORE_ORPHANS": "true"}).err)
        self.assertNotIn("orphan", self.good("up", "-d", env={"COMPOSE_IGNORE_ORPHANS": "true"}).err)
        self.assertIn("orphan", self.good("up", "-d").err)
        self.write("COMPOSE_REMOVE_ORPHANS=true\n", ".env")
        self.good("up", "-d")
        self.assertEqual(self.good("ps", "-a", "--format", "{{.Name}}").lines, [f"{self.app}-web-1"])


class Attached(ComposeCase):
    def client(self, *words):
        return Client(self.words(*words), cwd=self.project, env={**os.environ, **self.engine.env}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def test_lines_of_hooks_stand_among_the_others(self):
        self.write(f"""
services:
  web:
    image: "{IMAGE}"
    command: [sh, -c, "while [ ! -e /hooked ]; do sleep 0.05; done; echo done"]
    post_start: [{{command: [sh, -c, "echo hooked; touch /hooked"]}}]
""")
        result = self.good("up")
        self.assertIn("Attaching to web-1\n", result.out)
        self.assertIn("web-1 ->  | hooked\n", result.out)
        self.assertIn("web-1     | done\n", result.out)

    def test_dependencies_outlive_the_service_that_is_interrupted(self):
        self.write(f"""
services:
  db: {{image: "{IMAGE}", {SLEEP}, stop_grace_period: 0s}}
  web: {{image: "{IMAGE}", command: [sh, -c, "echo up; sleep 600"], stop_grace_period: 0s, depends_on: [db]}}
""")
        with self.client("up", "web") as client:
            self.assertTrue(any("| up" in line for line in client.stdout))
            client.send_signal(signal.SIGINT)
            self.assertEqual(client.wait(60), 130)
        self.assertEqual(self.good("ps", "--services").lines, ["db"])

    def test_output_while_watching(self):
        self.write("first", "src/page")
        self.write(f"FROM {IMAGE}\nCOPY src/page /page\n", "Dockerfile")
        self.write(f"""
services:
  web:
    build: .
    command: [sh, -c, "cat /page; echo; sleep 600"]
    stop_grace_period: 0s
    develop: {{watch: [{{action: rebuild, path: ./src}}]}}
  side:
    image: "{IMAGE}"
    {SLEEP}
    stop_grace_period: 0s
    develop: {{watch: [{{action: sync, path: ./side, target: /srv, ignore: ["*.tmp"], initial_sync: true}}]}}
""")
        self.write("here", "side/deep/kept")
        self.write("here", "side/deep/left.tmp")
        with self.client("up", "--watch") as client:
            self.assertIn("first", next(line for line in client.stdout if line.startswith("web-1 ")))
            eventually(lambda: self.compose("exec", "-T", "side", "cat", "/srv/deep/kept").text == "here", "what is there is brought at the start")
            self.assertEqual(self.compose("exec", "-T", "side", "ls", "/srv/deep").text, "kept")
            # A folder that comes with its files.
            os.rename(self.folder_with("new.tmp", "new"), os.path.join(self.project, "side", "more"))
            eventually(lambda: self.compose("exec", "-T", "side", "ls", "/srv/more").text == "new", "what is not ignored arrives")
            os.mkdir(os.path.join(self.project, "side", "empty"))
            eventually(lambda: self.compose("exec", "-T", "side", "test", "-d", "/srv/empty").code == 0, "an empty folder arrives")
            self.write("second", "src/page")
            self.assertTrue(any("second" in line for line in client.stdout))
            client.send_signal(signal.SIGINT)
            self.assertEqual(client.wait(60), 130)
        self.assertEqual(self.good("ps", "-q").lines, [])

    def folder_with(self, *names):
        folder = os.path.join(self.folder(), "more")
        os.mkdir(folder)
        for name in names:
            with open(os.path.join(folder, name), "w") as file:
                file.write(name)
        return folder

    def test_watching_needs_rules(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', {SLEEP}}}}}\n")
        failed = self.compose("up", "--watch")
        self.assertEqual(failed.code, 1)
        self.assertIn("configured for watch", failed.err)
        self.assertEqual(self.good("ps", "-aq").lines, [])


class Building(ComposeCase):
    def test_checks_instead_of_builds(self):
        self.write("FROM scratch\nCOPY x /x\nmaintainer somebody\n", "bad/Dockerfile")
        self.write(f"FROM {IMAGE}\n", "fine/Dockerfile")
        self.write("services: {bad: {build: bad}, fine: {build: fine}}\n")
        self.assertEqual(self.compose("build", "--check", "fine").code, 0)
        bad = self.compose("build", "--check", "bad")
        self.assertNotEqual(bad.code, 0, str(bad))
        self.assertIn("MaintainerDeprecated", bad.out + bad.err)
        for service in ("bad", "fine"):
            self.assertNotEqual(self.engine("image", "inspect", f"{self.app}-{service}").code, 0)

    def test_attestations_that_are_not_made_are_refused(self):
        self.write(f"FROM {IMAGE}\n", "app/Dockerfile")
        self.write("services: {app: {build: {context: app, privileged: false}}}\n")
        self.good("build", "--provenance=false", "--sbom=false")
        for flag, words in (("--provenance=mode=max", "docker buildx build"), ("--sbom=true", "scanner")):
            refused = self.compose("build", flag)
            self.assertNotEqual(refused.code, 0)
            self.assertIn(words, refused.err)


if __name__ == "__main__":
    import unittest
    unittest.main()
