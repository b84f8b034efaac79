"""Client libraries and programs that other people wrote, installed by their own package managers: dockerode and
testcontainers (npm), testcontainers, docker-squash and docker-autocompose (pip), bollard (cargo), the dev containers command
(npm), Debian's docker-compose.

They are installed into build/clients, once; without their package manager or its registry they are skipped."""
import json
import os
import shutil
import unittest

from harness.engine import IMAGE, EngineCase, docker_client, run
from harness.installed import install


def install_npm():
    return install("npm", "npm", ["package.json", "dockerode.mjs", "testcontainers.mjs"],
                   ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=0", "--fetch-timeout=60000"])


def install_pip():
    return install("pip", "python3", ["requirements.txt", "testcontainers_client.py"], ["/usr/bin/python3", "-m", "venv", "venv"],
                   ["venv/bin/pip", "install", "--quiet", "--retries", "0", "--timeout", "20", "-r", "requirements.txt"])


class InstalledClients(EngineCase):
    def client(self, argv, folder, checks):
        """Runs a script that prints "ok NAME" a check, and expects all of them."""
        result = run(argv, timeout=180, cwd=folder, env={
            "DOCKER_HOST": f"unix://{self.engine.socket}", "IMAGE": IMAGE, "TESTCONTAINERS_RYUK_DISABLED": "true",
            "TESTCONTAINERS_HOST_OVERRIDE": "127.0.0.1", "HOME": self.folder(), "DOCKER_CONFIG": self.folder()})
        done = [line for line in result.lines if line.startswith("ok ")]
        self.assertEqual((result.code, len(done)), (0, checks), str(result))

    def test_dockerode(self):
        self.client(["node", "dockerode.mjs"], install_npm(), 10)

    def test_testcontainers_for_node(self):
        self.client(["node", "testcontainers.mjs"], install_npm(), 5)

    def test_testcontainers_for_python(self):
        self.client(["venv/bin/python", "testcontainers_client.py"], install_pip(), 3)

    def pip_program(self, name, *arguments):
        result = run([os.path.join(install_pip(), "venv", "bin", name), *arguments], timeout=180,
                     env={"DOCKER_HOST": f"unix://{self.engine.socket}", "HOME": self.folder()})
        self.assertEqual(result.code, 0, str(result))
        return result

    def test_docker_squash(self):
        """It saves an image, merges its last layers and loads what comes of it."""
        work = self.folder()
        with open(os.path.join(work, "Dockerfile"), "w") as file:
            file.write(f"FROM {IMAGE}\nRUN echo x > /gone\nRUN rm /gone; echo kept > /kept\nENV A=b\n")
        self.addCleanup(self.engine, "rmi", "-f", "squash:1", "squash:2")
        self.ok("build", "-q", "-t", "squash:1", work)
        self.pip_program("docker-squash", "-f", "3", "-t", "squash:2", "squash:1")
        self.assertEqual(self.ok("run", "--rm", "squash:2", "sh", "-c", "ls /gone; cat /kept; echo $A").lines[-2:], ["kept", "b"])
        layers = {name: self.engine.api.get(f"/images/{name}/json").json()["RootFS"]["Layers"] for name in (IMAGE, "squash:1", "squash:2")}
        self.assertEqual(layers["squash:2"][:-1], layers[IMAGE])
        self.assertEqual(len(layers["squash:1"]), len(layers[IMAGE]) + 2)

    def test_docker_autocompose(self):
        """It writes a compose file from what inspect says."""
        name = self.start("sleep", "1000", flags=["-p", "127.0.0.1::80", "-l", "a=b", "--restart", "always"])
        text = self.pip_program("autocompose", name).out
        for line in (f"image: \"{IMAGE}\"", "a: \"b\"", "restart: \"always\"", "- \"sleep\""):
            self.assertIn(line, text)

    def test_bollard(self):
        folder = install("bollard", "cargo", ["bollard/Cargo.toml", "bollard/src/main.rs"], ["cargo", "build", "--quiet"])
        self.client(["target/debug/berth-bollard"], folder, 4)

    def test_dev_containers(self):
        """The dev containers command drives the docker command."""
        docker = docker_client()
        if docker is None:
            self.skipTest("no docker command: \"scripts/install-packages test\" provides one")
        program = os.path.join(install_npm(), "node_modules", ".bin", "devcontainer")
        work = self.folder()
        os.makedirs(os.path.join(work, ".devcontainer"))
        with open(os.path.join(work, ".devcontainer", "devcontainer.json"), "w") as file:
            json.dump({"image": IMAGE, "updateRemoteUserUID": False, "overrideCommand": True, "containerEnv": {"A": "b"},
                       "postCreateCommand": "echo made > /tmp/made"}, file)
        environment = {"DOCKER_HOST": f"unix://{self.engine.socket}", "HOME": self.folder(), "DOCKER_BUILDKIT": "0"}
        up = run([program, "up", "--workspace-folder", work, "--docker-path", docker], timeout=180, env=environment)
        self.assertEqual(up.code, 0, str(up))
        outcome = json.loads(up.lines[-1])
        self.assertEqual(outcome["outcome"], "success")
        self.made.append(outcome["containerId"])
        inside = run([program, "exec", "--workspace-folder", work, "--docker-path", docker, "sh", "-c", "cat /tmp/made; echo $A; ls -d .devcontainer"],
                     timeout=180, env=environment)
        self.assertEqual((inside.code, inside.lines), (0, ["made", "b", ".devcontainer"]), str(inside))

    def test_docker_compose_1(self):
        """Debian's docker-compose, the one in Python."""
        program = shutil.which("docker-compose")
        if program is None:
            self.skipTest("no docker-compose: \"scripts/install-packages test\" installs it")
        work = self.folder()
        with open(os.path.join(work, "docker-compose.yml"), "w") as file:
            file.write(f"""
version: "3.8"
services:
  web:
    image: {IMAGE}
    command: sh -c "cat /data/file; exec sleep 1000"
    volumes: [data:/data]
    networks: {{back: {{aliases: [www]}}}}
    depends_on: [init]
    ports: ["127.0.0.1::80"]
    environment: {{A: b}}
    stop_grace_period: 0s
  init:
    image: {IMAGE}
    command: sh -c "echo kept > /data/file"
    volumes: [data:/data]
volumes: {{data: {{}}}}
networks: {{back: {{}}}}
""")
        environment = {"DOCKER_HOST": f"unix://{self.engine.socket}", "HOME": self.folder(), "COMPOSE_PROJECT_NAME": "oldcompose"}

        def compose(*arguments):
            result = run([program, *arguments], timeout=120, cwd=work, env=environment)
            self.assertEqual(result.code, 0, str(result))
            return result
        compose("up", "-d", "init")
        self.addCleanup(run, [program, "down", "-v"], timeout=120, cwd=work, env=environment)
        compose("up", "-d")
        self.assertIn("oldcompose_web_1", compose("ps").out)
        self.assertIn("kept", compose("logs", "web").out)
        self.assertEqual(compose("exec", "-T", "web", "sh", "-c", "echo $A").text, "b")
        before = compose("ps", "-q", "web").text
        compose("up", "-d")
        self.assertEqual(compose("ps", "-q", "web").text, before)  # nothing has changed
        compose("up", "-d", "--scale", "web=2")
        self.assertEqual(len(compose("ps", "-q", "web").lines), 2)
        compose("down", "-v")
        self.assertEqual(self.engine.api.get("/volumes").json()["Volumes"] or [], [])


if __name__ == "__main__":
    unittest.main()
