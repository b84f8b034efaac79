"""berth compose: what docker's compose's own tests found."""
import os
import unittest

from harness.engine import IMAGE
from test_compose import SLEEP, ComposeCase


class Files(ComposeCase):
    def test_members_stand_in_the_order_of_dockers_compose(self):
        self.write(f"""
services:
  web: {{volumes: ["data:/d:ro"], ports: ["127.0.0.1:80:80"], image: "{IMAGE}", x-b: 1, build: .}}
volumes: {{data: {{}}}}
""")
        self.assertEqual(self.good("config").out, f"""name: {self.app}
services:
  web:
    build:
      context: {self.project}
      dockerfile: Dockerfile
    image: {IMAGE}
    networks:
      default: null
    ports:
      - mode: ingress
        host_ip: 127.0.0.1
        target: 80
        published: "80"
        protocol: tcp
    volumes:
      - type: volume
        source: data
        target: /d
        read_only: true
        volume: {{}}
    x-b: 1
networks:
  default:
    name: {self.app}_default
volumes:
  data:
    name: {self.app}_data
""")

    def test_env_of_the_working_directory_and_of_the_project(self):
        self.write("COMPOSE_FILE=inner/compose.yaml\nBOTH=outer\nOUTER=1\n", ".env")
        self.write("BOTH=inner\nINNER=2\n", "inner/.env")
        self.write("services: {web: {image: x, labels: ['v=$OUTER-$INNER-$BOTH']}}\n", "inner/compose.yaml")
        self.assertIn('v: 1-2-outer', self.good("config").out)

    def test_what_says_nothing_is_left_out(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', user: '$NONE', mem_limit: 0, init: false, privileged: false, environment: {{A: ''}}}}}}\n")
        shown = self.good("config").out
        for word in ("user", "mem_limit", "privileged"):
            self.assertNotIn(word, shown)
        self.assertIn("init: false", shown)
        self.assertIn('A: ""', shown)

    def test_names_of_before(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', {SLEEP}}}}}\n")
        self.good("--compatibility", "up", "-d")
        self.assertEqual(self.good("ps", "--format", "{{.Name}}").lines, [f"{self.app}_web_1"])


class Inside(ComposeCase):
    def test_one_off_containers_have_their_files_and_variables(self):
        self.write("FROM_DOTENV=dotenv\n", ".env")
        self.write(f"""
services:
  web: {{image: "{IMAGE}", {SLEEP}, configs: [{{source: text, target: /text}}], secrets: [token]}}
configs: {{text: {{content: "from the file"}}}}
secrets: {{token: {{environment: TOKEN}}}}
""")
        env = {"TOKEN": "hidden"}
        run = lambda *words: self.compose("run", "--rm", "-T", *words, env=env)
        self.assertEqual(run("web", "cat", "/text", "/run/secrets/token").text, "from the filehidden")
        self.assertEqual(run("-e", "FROM_DOTENV", "-e", "TOKEN", "web", "sh", "-c", "echo $FROM_DOTENV $TOKEN").text, "dotenv hidden")
        self.assertEqual(run("--volumes", f"{self.project}:/mnt", "web", "ls", "/mnt").text, "compose.yaml")

    def test_exec_finds_one_off_containers(self):
        self.write("FROM_DOTENV=dotenv\n", ".env")
        self.write(f"services: {{web: {{image: '{IMAGE}', {SLEEP}}}}}\n")
        self.good("run", "-d", "web")
        self.assertEqual(self.good("exec", "-T", "-e", "FROM_DOTENV", "web", "sh", "-c", "echo $FROM_DOTENV").text, "dotenv")
        self.assertNotEqual(self.compose("exec", "-T", "--index", "1", "web", "true").code, 0)

    def test_files_go_to_every_container_of_a_service(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', {SLEEP}, stop_grace_period: 0s}}}}\n")
        self.good("up", "-d", "--scale", "web=3")
        path = self.write("copied", "file.txt")
        self.good("cp", path, "web:/tmp/all")
        for number in "123":
            self.assertEqual(self.good("exec", "-T", "--index", number, "web", "cat", "/tmp/all").text, "copied")
        self.good("cp", "--index", "2", path, "web:/tmp/one")
        self.assertEqual(self.compose("exec", "-T", "--index", "1", "web", "cat", "/tmp/one").code, 1)
        self.good("cp", "web:/tmp/all", os.path.join(self.project, "back"))
        self.assertNotEqual(self.compose("cp", "/a", "/b").code, 0)

    def test_an_interface_with_a_name(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', {SLEEP}, networks: {{default: {{interface_name: own0}}}}}}}}\n")
        self.good("up", "-d")
        self.assertIn("own0", self.good("exec", "-T", "web", "ls", "/sys/class/net").text.split())


class Together(ComposeCase):
    def test_what_a_short_container_writes_is_shown_once(self):
        self.write(f"""
services:
  short: {{image: "{IMAGE}", command: [echo, once]}}
  late: {{image: "{IMAGE}", command: "true", depends_on: {{short: {{condition: service_completed_successfully}}}}}}
""")
        self.assertEqual(self.good("up").out.count("| once"), 1)

    def test_start_and_stop_of_some(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', {SLEEP}, stop_grace_period: 0s, depends_on: [db]}}, db: {{image: '{IMAGE}', {SLEEP}, stop_grace_period: 0s}}}}\n")
        self.write(f"services: {{other: {{image: '{IMAGE}', {SLEEP}, stop_grace_period: 0s}}}}\n", "other.yaml")
        self.good("up", "-d")
        self.good("-f", "other.yaml", "up", "-d")
        self.good("-f", "other.yaml", "stop")
        self.assertEqual(self.good("ps", "--services").lines, ["db", "web"])
        self.good("stop")
        self.assertIn("web-1  Stopped", self.good("stop", "web").err)
        self.good("start", "web")  # and what it depends on
        self.assertEqual(self.good("ps", "--services").lines, ["db", "web"])

    def test_what_is_shared_must_be_there(self):
        for member, words in (("network_mode: 'service:db'", "cannot share network namespace with service db"),
                              ("volumes_from: [db]", "cannot share volume with service db")):
            self.write(f"services: {{web: {{image: '{IMAGE}', {SLEEP}, {member}}}, db: {{image: '{IMAGE}', {SLEEP}}}}}\n")
            failed = self.compose("up", "-d", "--no-deps", "web")
            self.assertEqual(failed.code, 1)
            self.assertIn(words, failed.err)

    def test_the_code_of_the_container_that_ended_first(self):
        self.write(f"""
services:
  a: {{image: "{IMAGE}", command: [sh, -c, "exit 9"], depends_on: {{z: {{condition: service_completed_successfully}}}}}}
  z: {{image: "{IMAGE}", command: "true"}}
""")
        self.assertEqual(self.compose("up", "--abort-on-container-exit").code, 0)
        self.assertEqual(self.compose("up", "--abort-on-container-failure").code, 9)

    def test_a_restart_waits_for_health(self):
        self.write(f"""
services:
  db:
    image: "{IMAGE}"
    {SLEEP}
    stop_grace_period: 0s
    healthcheck: {{test: [CMD, "true"], interval: 100ms, start_period: 10s, start_interval: 100ms}}
  web: {{image: "{IMAGE}", {SLEEP}, stop_grace_period: 0s, depends_on: {{db: {{condition: service_healthy, restart: true}}}}}}
""")
        self.good("up", "-d")
        told = self.good("restart", "-t", "0", "db").err
        self.assertLess(told.index(f"{self.app}-db-1  Healthy"), told.index(f"{self.app}-web-1  Restarting"))
        # The containers know it as well.
        os.remove(os.path.join(self.project, "compose.yaml"))
        told = self.good("restart", "-t", "0", "db").err
        self.assertLess(told.index(f"{self.app}-db-1  Healthy"), told.index(f"{self.app}-web-1  Restarting"))


if __name__ == "__main__":
    unittest.main()
