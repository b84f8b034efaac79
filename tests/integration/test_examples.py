"""The examples hold what they claim, and clean up."""
import os

from harness import archives
from harness.engine import TOP, EngineCase, run

EXAMPLES = os.path.join(TOP, "examples")


class Examples(EngineCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if cls.docker_command:
            cls.engine.load(archives.busybox_archive("busybox:latest"))

    def check(self, name):
        result = run([os.path.join(EXAMPLES, name, "run")], env={**self.engine.env, "BERTH": " ".join(self.engine.cli)}, timeout=180)
        self.assertEqual(result.code, 0, str(result))
        self.assertEqual(self.ok("ps", "-aq").out, "")

    def test_web(self):
        self.check("web")

    def test_two_versions(self):
        self.check("two-versions")

    def test_hog_and_neighbour(self):
        self.check("hog-and-neighbour")

    def test_self_healing(self):
        self.check("self-healing")

    def test_function(self):
        if self.docker_command or self.against_docker:
            self.skipTest("docker has no functions")
        self.check("function")

    def test_none_is_forgotten(self):
        folders = {entry.name for entry in os.scandir(EXAMPLES) if entry.is_dir()}
        self.assertEqual(folders, {"web", "two-versions", "hog-and-neighbour", "self-healing", "function"})
