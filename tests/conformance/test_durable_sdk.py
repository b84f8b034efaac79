"""Durable functions written with AWS's own SDKs for Python and JavaScript, and today's boto3 as their client: each answer is
held against botocore's newest model. They come from PyPI and npm. The members of requests that this model has are looked at
as well."""
import json
import os
import subprocess
import sys

from harness import runtimes
from harness.engine import TOP
from harness.functions import FunctionsCase
from harness.installed import SOURCES, install

PLAIN = "def handler(event, context):\n    return {\"heard\": event}\n"


def files_below(folder, wanted):
    """{relative path: content} of what `wanted` takes of it."""
    files = {}
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__" and not name.endswith("dist-info")]
        for name in names:
            relative = os.path.normpath(os.path.join(os.path.relpath(root, folder), name))
            if wanted(relative):
                with open(os.path.join(root, name), "rb") as file:
                    files[relative] = file.read()
    return files


def source(folder, name):
    with open(os.path.join(SOURCES, folder, name)) as file:
        return file.read()


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

    def client(self, script):
        """What the script, which newest boto3 is for, has found out."""
        client = subprocess.run(
            [sys.executable, os.path.join(SOURCES, "durable", script), f"http://{self.engine.functions_address}"],
            env={**os.environ, "PYTHONPATH": os.path.join(self.folder, "packages") + ":" + os.path.join(TOP, "tests")},
            capture_output=True, text=True, timeout=600)
        self.assertEqual(client.returncode, 0, client.stderr[-4000:] + client.stdout[-2000:])
        return json.loads(client.stdout)

    def check_every_operation(self, files, callback, **members):
        for name, code, more in (("plain", {"index.py": PLAIN}, {"Runtime": "python3.11", "Handler": "index.handler"}),
                                 ("sdk", files, {"Timeout": 120, "MemorySize": 1024, **members})):
            made = self.api.create(name, code, **{"Timeout": 60, **more})
            self.assertEqual(made.status, 201, str(made))
            self.addCleanup(self.api.request, "DELETE", f"/2015-03-31/functions/{name}")
        found = self.client("client.py")
        self.assertEqual([fault[:300] for fault in found["faults"]], [])
        flaky = found["result"].pop("flaky")
        self.assertGreaterEqual(flaky, 3)
        self.assertEqual(found["result"], {
            "step": {"n": 5}, "child": "inner", "parallel": [1, None], "map": [10, 20, 30], "condition": 3,
            "invoke": {"heard": {"to": "other"}}, "callback": callback})
        self.assertEqual(found["listed"], ["three", "two", "one"])
        for kind in ("ContextStarted", "ContextSucceeded", "ContextFailed", "StepFailed", "WaitSucceeded", "ChainedInvokeSucceeded",
                     "CallbackSucceeded", "CallbackFailed", "InvocationCompleted", "ExecutionSucceeded", "ExecutionFailed"):
            self.assertIn(kind, found["events"])

    def test_every_operation(self):
        """The SDK, boto3 of it with Lambda's model alone, and the handler."""
        files = files_below(os.path.join(self.folder, "packages"),
                            lambda name: not name.startswith("botocore/data/") or name.startswith("botocore/data/lambda")
                            or name.count("/") == 2)
        files["flow.py"] = source("durable", "flow.py")
        self.check_every_operation(files, '"approved"', Runtime="python3.11", Handler="flow.handler",
                                   DurableConfig={"ExecutionTimeout": 600, "RetentionPeriodInDays": 1})

    def test_every_operation_in_javascript(self):
        base = runtimes.nodejs_base()
        if base is None:
            self.skipTest("the host has no Node.js")
        folder = install("durable-node", "npm", ["durable-node/package.json"],
                         ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=0", "--fetch-timeout=60000"])
        loaded = self.engine.load(base)
        self.assertEqual(loaded.code, 0, str(loaded))
        files = files_below(folder, lambda name: name.startswith("node_modules/") and not name.endswith((".map", ".d.ts", ".md")))
        files["flow.mjs"] = source("durable-node", "flow.mjs")
        self.check_every_operation(files, '"approved"', Runtime="nodejs20.x", Handler="flow.handler",
                                   DurableConfig={"ExecutionTimeout": 600, "RetentionPeriodInDays": 1})

    def test_every_member_is_taken_or_refused(self):
        found = self.client("members.py")
        self.assertEqual([fault[:300] for fault in found["faults"]], [])
