"""AWS's own runtime interface clients, unchanged, as the runtime of a function: the zip brings the client and a
`bootstrap` that starts it. And AWS's SDK for JavaScript as a client of the API."""
import base64
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile

from harness import archives, runtimes
from harness.engine import PROGRAMS, Engine, eventually, run
from harness.functions import FunctionsApi, zip_of
from harness.installed import install

# Versions that are known to be there; newer ones may want another libc.
PYTHON_CLIENT = ("awslambdaric==4.2.2", "snapshot-restore-py", "simplejson")


def wheels(packages):
    """{name: bytes} of the packages' wheels for Python 3.11, or None where they cannot be had."""
    with tempfile.TemporaryDirectory() as folder:
        fetched = subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:",
                                  "--python-version", "3.11", "-d", folder, *packages], capture_output=True, text=True)
        if fetched.returncode != 0:
            return None
        files = {}
        for path in glob.glob(os.path.join(folder, "*.whl")):
            with zipfile.ZipFile(path) as archive:
                files.update({name: archive.read(name) for name in archive.namelist() if not name.endswith("/")})
        return files


class RuntimeInterfaceClients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = Engine(cls.__name__)
        try:
            cls.engine.start()
            cls.api = FunctionsApi(cls.engine.functions_address)
        except BaseException:
            cls.engine.close()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.engine.close()

    def invoke(self, name, event):
        answer = self.api.invoke(name, event, X_Amz_Log_Type="Tail")
        self.assertEqual(answer.status, 200, str(answer))
        return (json.loads(answer.body), answer.headers.get("X-Amz-Function-Error"),
                base64.b64decode(answer.headers.get("X-Amz-Log-Result") or b"").decode())

    def test_awslambdaric(self):
        base = runtimes.python_base("provided.al2023")
        if base is None:
            self.skipTest("the host has no Python 3.11 in /usr")
        files = wheels(PYTHON_CLIENT)
        if files is None:
            self.skipTest("awslambdaric cannot be had from PyPI")
        self.assertEqual(self.engine.load(base).code, 0)
        files["bootstrap"] = "#!/bin/sh\ncd /var/task\nexec /usr/bin/python3.11 -m awslambdaric \"$_HANDLER\"\n"
        files["app.py"] = ("def handler(event, context):\n    if event.get('fail'):\n        raise KeyError('x')\n"
                           "    print('in', context.function_name)\n"
                           "    return {'event': event, 'arn': context.invoked_function_arn}\n")
        made = self.api.create("ric", files, Handler="app.handler", Timeout=30, MemorySize=256)
        self.assertEqual(made.status, 201, str(made))
        eventually(lambda: self.api.request("GET", "/2015-03-31/functions/ric/configuration").json()["State"] == "Active",
                   "the function is active")
        payload, error, tail = self.invoke("ric", {"a": 1})
        self.assertIsNone(error, tail)
        self.assertEqual(payload, {"event": {"a": 1}, "arn": "arn:aws:lambda:us-east-1:000000000000:function:ric"})
        self.assertIn("in ric\n", tail)
        payload, error, tail = self.invoke("ric", {"fail": 1})
        self.assertEqual((payload["errorType"], error), ("KeyError", "Unhandled"), tail)

    def test_aws_lambda_ric(self):
        base = runtimes.nodejs_base("provided.al2023")
        if base is None:
            self.skipTest("the host has no Node.js")
        for program in ("cmake", "autoreconf", "libtoolize"):
            if not shutil.which(program):
                self.skipTest(f"its native part needs {program}")
        # Its native part is built with the headers of this machine's Node.js.
        node = os.path.realpath(shutil.which("node"))
        prefix = os.path.dirname(os.path.dirname(node))
        folder = install("aws-lambda-ric", "npm", ["aws-lambda-ric/package.json"],
                         ["npm", "install", "--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=60000", f"--nodedir={prefix}"])
        package = os.path.join(folder, "node_modules", "aws-lambda-ric")
        files = {}
        for name in ("package.json", "bin/index.mjs", *(f"dist/{each}" for each in os.listdir(os.path.join(package, "dist")))):
            with open(os.path.join(package, name), "rb") as file:
                files[f"node_modules/aws-lambda-ric/{name}"] = file.read()
        if "node_modules/aws-lambda-ric/dist/rapid-client.node" not in files:
            self.skipTest("npm did not build aws-lambda-ric's native part")
        self.assertEqual(self.engine.load(base).code, 0)
        files["bootstrap"] = f"#!/bin/sh\ncd /var/task\nexec {node} node_modules/aws-lambda-ric/bin/index.mjs \"$_HANDLER\"\n"
        files["app.js"] = ("exports.handler = async (event, context) => {\n  if (event.fail) throw new RangeError('x');\n"
                           "  console.log('in', context.functionName);\n"
                           "  return {event, arn: context.invokedFunctionArn};\n};\n")
        made = self.api.create("noderic", files, Handler="app.handler", Timeout=30, MemorySize=256)
        self.assertEqual(made.status, 201, str(made))
        eventually(lambda: self.api.request("GET", "/2015-03-31/functions/noderic/configuration").json()["State"] == "Active",
                   "the function is active")
        payload, error, tail = self.invoke("noderic", {"a": 1})
        self.assertIsNone(error, tail)
        self.assertEqual(payload, {"event": {"a": 1}, "arn": "arn:aws:lambda:us-east-1:000000000000:function:noderic"})
        self.assertIn("in noderic", tail)
        payload, error, tail = self.invoke("noderic", {"fail": 1})
        self.assertEqual((payload["errorType"], error), ("RangeError", "Unhandled"), tail)

    def test_java(self):
        """AWS's client for Java from Maven Central, in the base that berth makes of Debian's OpenJDK."""
        for program in ("javac", "mmdebstrap"):
            if not shutil.which(program):
                self.skipTest(f"no {program} on this machine")
        folder = install("java-ric", "mvn", ["java-ric/pom.xml", "java-ric/Handler.java"],
                         ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib"],
                         ["javac", "--release", "17", "-cp", "lib/*", "-d", "classes", "Handler.java"])
        berth = os.path.join(PROGRAMS, "berth")
        base = run([berth, "-H", f"unix://{self.engine.socket}", "bootstrap", "lambda-java17"], timeout=300)
        if unreachable := re.search(r"Could not resolve.*|Temporary failure.*|Unable to connect.*|Failed to fetch.*", base.out + base.err):
            self.skipTest(f"Debian's packages cannot be had: {unreachable[0][:200]}")
        self.assertEqual(base.code, 0, str(base))
        files = {}
        for place, prefix in (("classes/app", "app"), ("lib", "lib")):
            for name in os.listdir(os.path.join(folder, place)):
                with open(os.path.join(folder, place, name), "rb") as file:
                    files[f"{prefix}/{name}"] = file.read()
        made = self.api.create("java", files, Runtime="java17", Handler="app.Handler::handleRequest", Timeout=60, MemorySize=512)
        self.assertEqual(made.status, 201, str(made))
        eventually(lambda: self.api.request("GET", "/2015-03-31/functions/java/configuration").json()["State"] == "Active",
                   "the function is active")
        payload, error, tail = self.invoke("java", {"name": "x"})
        self.assertIsNone(error, tail)
        self.assertEqual(payload, "x arn:aws:lambda:us-east-1:000000000000:function:java")
        self.assertIn("in java", tail)
        payload, error, tail = self.invoke("java", {"fail": "1"})
        self.assertEqual((payload["errorType"], error), ("java.lang.IllegalStateException", "Unhandled"), tail)

    def test_sdk_for_javascript(self):
        folder = install("aws-sdk", "npm", ["aws-sdk/package.json", "aws-sdk/lambda.mjs"],
                         ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=0",
                          "--fetch-timeout=60000"])
        self.assertEqual(self.engine.load(runtimes.provided_base()).code, 0)
        with tempfile.NamedTemporaryFile(prefix="bt.", dir="/tmp", suffix=".zip") as archive:
            archive.write(zip_of({"bootstrap": archives.program("lambda_bootstrap")}))
            archive.flush()
            result = run(["node", "lambda.mjs"], timeout=180, cwd=folder, env={
                "ENDPOINT": f"http://{self.engine.functions_address}", "ZIP": archive.name})
        done = [line for line in result.lines if line.startswith("ok ")]
        self.assertEqual((result.code, len(done)), (0, 10), str(result))


if __name__ == "__main__":
    unittest.main()
