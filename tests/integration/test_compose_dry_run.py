"""berth compose --dry-run: says what would be done, and does nothing; build --print."""
import json

from harness.engine import IMAGE
from test_compose import SLEEP, ComposeCase


class DryRun(ComposeCase):
    def everything(self):
        """What an engine has."""
        return (sorted(self.ok("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}").lines), sorted(self.ok("network", "ls", "-q").lines),
                sorted(self.ok("volume", "ls", "-q").lines), sorted(self.ok("images", "-q").lines))

    def project_of_many(self):
        self.write(f"FROM {IMAGE}\nRUN false\n", "Dockerfile")
        self.write(f"""
services:
  once: {{image: "{IMAGE}", command: "true"}}
  built: {{build: ., {SLEEP}, depends_on: {{once: {{condition: service_completed_successfully}}, db: {{condition: service_healthy}}}}}}
  db:
    image: "{IMAGE}"
    {SLEEP}
    stop_grace_period: 0s
    healthcheck: {{test: "true", interval: 1s}}
    volumes: ["data:/data"]
    configs: [{{source: text, target: /text}}]
    post_start: [{{command: [touch, /hooked]}}]
configs: {{text: {{content: here}}}}
volumes: {{data: {{}}}}
""")

    def test_up_makes_nothing(self):
        self.project_of_many()
        before = self.everything()
        for words in (["--dry-run", "up", "-d", "--wait"], ["up", "--dry-run", "-d"], ["--dry-run", "up"], ["--dry-run", "create"], ["--dry-run", "up", "--build", "-d"]):
            told = self.good(*words).err
            for line in (f"Network {self.app}_default  Created", f"Volume {self.app}_data  Created", f"Container {self.app}-db-1  Created", f"Image {self.app}-built  Built"):
                self.assertIn(f" DRY-RUN MODE -  {line}\n", told)
            self.assertEqual(self.everything(), before)
        self.assertIn(f" DRY-RUN MODE -  Container {self.app}-db-1  Healthy\n", self.good("--dry-run", "up", "-d").err)

    def test_what_is_there_is_left_as_it_is(self):
        file = f"services: {{web: {{image: '{IMAGE}', {SLEEP}, stop_grace_period: 0s, labels: ['of=${{OF:-first}}']}}}}\n"
        self.write(file)
        self.good("up", "-d")
        before = self.everything()
        self.assertIn("web-1  Running", self.good("--dry-run", "up", "-d").err)
        told = self.good("--dry-run", "up", "-d", env={"OF": "second"}).err
        self.assertIn(f" DRY-RUN MODE -  Container {self.app}-web-1  Recreated\n", told)
        for words, said in ((["down"], f"Network {self.app}_default  Removed"), (["stop"], "web-1  Stopped"), (["kill"], "web-1  Killed"), (["pause"], "web-1  Paused"),
                            (["restart"], "web-1  Started"), (["rm", "-sf"], "web-1  Removed"), (["up", "-d", "--scale", "web=3"], "web-3  Started"),
                            (["cp", "web:/etc/passwd", self.project], "web-1  Copied"), (["export", "-o", "x.tar", "web"], "web-1  Exported"), (["commit", "web", "made:1"], "web-1  Committed"),
                            (["exec", "-d", "web", "touch", "/done"], "Executing command")):
            self.assertIn(said, self.good("--dry-run", *words).err, words)
            self.assertEqual(self.everything(), before, words)
        for words in (["exec", "-T", "web", "touch", "/done"], ["run", "-T", "web", "true"], ["watch"]):
            self.assertNotEqual(self.compose("--dry-run", *words).code, 0)
            self.assertEqual(self.everything(), before, words)
        self.assertEqual(self.compose("exec", "-T", "web", "test", "-e", "/done").code, 1)

    def test_what_cannot_be_pulled_is_told(self):
        self.write("services: {web: {image: '127.0.0.1:1/not/there:1'}}\n")
        before = self.everything()
        self.assertNotEqual(self.compose("--dry-run", "up", "-d").code, 0)
        self.assertEqual(self.everything(), before)

    def test_as_json(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', command: 'true'}}}}\n")
        lines = [json.loads(line) for line in self.good("--progress", "json", "--dry-run", "up", "-d").err.splitlines()]
        self.assertIn({"dry-run": True, "id": f"Container {self.app}-web-1", "status": "Started"}, lines)


class Bake(ComposeCase):
    def test_builds_as_a_file_for_bake(self):
        self.write("FROM scratch\n", "Dockerfile")
        self.write(f"""
services:
  a.b:
    image: mine:1
    build:
      context: .
      args: {{WORD: "${{X:-$$y}}", OUTER: }}
      tags: [more:2]
      target: last
      secrets: [token]
      additional_contexts: {{base: "service:base", files: ./files}}
      ulimits: {{nofile: {{soft: 10, hard: 20}}, nproc: 5}}
      platforms: [linux/amd64, linux/arm64]
      no_cache: true
  base: {{build: {{dockerfile_inline: "FROM $${{IMAGE}}"}}}}
  none: {{image: "{IMAGE}"}}
secrets: {{token: {{environment: TOKEN}}}}
""")
        file = json.loads(self.good("build", "--print", "--build-arg", "NEW=1", env={"OUTER": "${out}"}).out)
        self.assertEqual(sorted(file["group"]["default"]["targets"]), ["a_b", "base"])
        target = file["target"]["a_b"]
        self.assertEqual(target["context"], self.project)
        self.assertEqual(target["dockerfile"], f"{self.project}/Dockerfile")
        self.assertEqual(target["args"], {"WORD": "$y", "OUTER": "$${out}", "NEW": "1"})
        self.assertEqual(target["tags"], ["more:2", "mine:1"])
        self.assertEqual(target["contexts"], {"base": "target:base", "files": f"{self.project}/files"})
        self.assertEqual(target["secret"], ["id=token,type=env,env=TOKEN"])
        self.assertEqual(sorted(target["ulimits"]), ["nofile=10:20", "nproc=5"])
        self.assertEqual(target["output"], ["type=image,push=false"])
        self.assertEqual((target["no-cache"], target["target"]), (True, "last"))
        base = file["target"]["base"]
        self.assertEqual(base["dockerfile-inline"], "FROM $${IMAGE}")
        self.assertEqual((base["tags"], base["output"]), ([f"{self.app}-base"], ["type=docker"]))
        self.assertEqual(self.ok("images", "-q", "mine:1").lines, [])
        self.assertEqual(json.loads(self.good("build", "--print", "base").out)["group"]["default"]["targets"], ["base"])
