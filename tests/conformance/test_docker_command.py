"""The docker command found on the machine, pointed at berthd with DOCKER_HOST alone, through one working day."""
import json
import os

from harness.engine import IMAGE, EngineCase, docker_client, eventually, fetch, run


class DockerCommand(EngineCase):
    def docker(self, *arguments, code=0, **more):
        """Runs plain `docker ...` with nothing but DOCKER_HOST to tell it where to go."""
        result = run([docker_client(), *arguments], env={**self.engine.env, "DOCKER_HOST": f"unix://{self.engine.socket}"}, **more)
        self.assertEqual(result.code, code, str(result))
        return result

    def test_a_working_day(self):
        version = self.docker("version").out
        self.assertIn("Server:", version)
        self.assertIn("API version", version)
        self.assertIn("Containers:", self.docker("info").out)

        folder = self.folder()
        with open(os.path.join(folder, "Dockerfile"), "w") as dockerfile:
            dockerfile.write(f"FROM {IMAGE}\nCOPY page /www/index.html\nRUN echo built > /built\nEXPOSE 80\n"
                             "CMD [\"httpd\", \"-f\", \"-h\", \"/www\"]\n")
        with open(os.path.join(folder, "page"), "w") as page:
            page.write("a page\n")
        built = self.docker("build", "-t", "day:1", folder)
        self.assertIn("Successfully built", built.out)
        self.assertIn("Successfully tagged day:1", built.out)
        self.assertIn("day", self.docker("images").out)

        name = self.name()
        identifier = self.docker("run", "-d", "--name", name, "-p", "127.0.0.1::80", "-m", "64m", "--cpus", "0.5", "day:1").text
        self.assertRegex(identifier, "^[0-9a-f]{64}$")
        self.assertIn(name, self.docker("ps").out)
        port = self.docker("port", name, "80").text.rsplit(":", 1)[1]
        eventually(lambda: fetch("127.0.0.1", int(port)) == "a page", "the page is served")
        self.assertEqual(self.docker("exec", name, "cat", "/built").text, "built")
        self.assertEqual(self.docker("exec", "-i", name, "cat", input="through\n").out, "through\n")
        self.docker("exec", name, "sh", "-c", "echo to-the-log > /proc/1/fd/1")
        eventually(lambda: "to-the-log" in self.docker("logs", name).out, "the line is logged")
        self.assertIn("httpd", self.docker("top", name).out)
        self.assertIn(name, self.docker("stats", "--no-stream").out)
        self.docker("cp", os.path.join(folder, "page"), f"{name}:/www/copied")
        self.assertEqual(self.docker("exec", name, "cat", "/www/copied").text, "a page")
        self.docker("pause", name)
        self.docker("unpause", name)
        self.docker("rename", name, f"{name}-renamed")
        self.made.append(f"{name}-renamed")
        self.assertEqual(json.loads(self.docker("inspect", f"{name}-renamed").out)[0]["Id"], identifier)
        self.docker("restart", "-t", "0", f"{name}-renamed")
        self.docker("stop", "-t", "1", f"{name}-renamed")
        self.docker("rm", f"{name}-renamed")
        self.docker("rmi", "-f", "day:1")
        self.docker("system", "df")

    def test_exit_codes(self):
        self.docker("run", "--rm", IMAGE, "sh", "-c", "exit 42", code=42)
        self.docker("run", "--rm", IMAGE, "no-such-program", code=127)
        self.docker("run", "--rm", IMAGE, "/etc/passwd", code=126)
        self.docker("run", "--rm", "no-such-image:1", code=125)
