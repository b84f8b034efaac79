"""Durable functions written with AWS's own SDK for Python, and today's boto3 as their client: each answer is held against
botocore's newest model. Both come from PyPI."""
import json
import os
import subprocess
import sys

from harness import runtimes
from harness.engine import TOP
from harness.functions import FunctionsCase
from harness.installed import SOURCES, install

PLAIN = "def handler(event, context):\n    return {\"heard\": event}\n"


class DurableSdk(FunctionsCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = install("durable", sys.executable, ["durable/requirements.txt"],
                             [sys.executable, "-m", "pip", "install", "-q", "--only-binary", ":all:", "--target", "packages", "-r", "requirements.txt"])
        super().setUpClass()
        try:
            loaded = cls.engine.load(runtimes.python_base())
            assert loaded.code == 0, str(loaded)
        except BaseException:
            cls.engine.close()
            raise

    def code(self):
        """The SDK, boto3 of it with Lambda's model alone, and the handler."""
        files = {}
        packages = os.path.join(self.folder, "packages")
        for root, folders, names in os.walk(packages):
            folders[:] = [name for name in folders if name != "__pycache__" and not name.endswith("dist-info")]
            relative = os.path.relpath(root, packages)
            if relative.startswith("botocore/data/") and not relative.startswith("botocore/data/lambda"):
                continue
            for name in names:
                with open(os.path.join(root, name), "rb") as file:
                    files[os.path.normpath(os.path.join(relative, name))] = file.read()
        with open(os.path.join(SOURCES, "durable", "flow.py")) as file:
            files["flow.py"] = file.read()
        return files

    def test_every_operation(self):
        made = self.api.create("plain", {"index.py": PLAIN}, Runtime="python3.11", Handler="index.handler", Timeout=60)
        self.assertEqual(made.status, 201, str(made))
        made = self.api.create("sdk", self.code(), Runtime="python3.11", Handler="flow.handler", Timeout=120, MemorySize=1024,
                               DurableConfig={"ExecutionTimeout": 600, "RetentionPeriodInDays": 1})
        self.assertEqual(made.status, 201, str(made))
        client = subprocess.run(
            [sys.executable, os.path.join(SOURCES, "durable", "client.py"), f"http://{self.engine.functions_address}"],
            env={**os.environ, "PYTHONPATH": os.path.join(self.folder, "packages") + ":" + os.path.join(TOP, "tests")},
            capture_output=True, text=True, timeout=600)
        self.assertEqual(client.returncode, 0, client.stderr[-4000:] + client.stdout[-2000:])
        found = json.loads(client.stdout)
        self.assertEqual([fault[:300] for fault in found["faults"]], [])
        flaky = found["result"].pop("flaky")
        self.assertGreaterEqual(flaky, 3)
        self.assertEqual(found["result"], {
            "step": {"n": 5}, "child": "inner", "parallel": [1, None], "map": [10, 20, 30], "condition": 3,
            "invoke": {"heard": {"to": "other"}}, "callback": '"approved"'})
        self.assertEqual(found["listed"], ["three", "two", "one"])
        for kind in ("ContextStarted", "ContextSucceeded", "ContextFailed", "StepFailed", "WaitSucceeded", "ChainedInvokeSucceeded",
                     "CallbackSucceeded", "CallbackFailed", "InvocationCompleted", "ExecutionSucceeded", "ExecutionFailed"):
            self.assertIn(kind, found["events"])
