"""Functions: zips, and raw requests to the functions' API."""
import base64
import http.client
import io
import json
import os
import tempfile
import unittest
import zipfile

from . import archives, runtimes
from .api import Response
from .engine import AGAINST, IMAGE, Engine, eventually

ROLE = "arn:aws:iam::000000000000:role/test"


def zip_of(files):
    """A zip archive of {name: text or bytes}; scripts and programs are executable."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            text = content.encode() if isinstance(content, str) else content
            info.external_attr = (0o100755 if text.startswith((b"#!", b"\x7fELF")) else 0o100644) << 16
            archive.writestr(info, text)
    return buffer.getvalue()


def build_worker(engine, tag):
    """An image for functions that answer with their event, and fail on events with the word "fail" in them."""
    with tempfile.TemporaryDirectory(prefix="bt.", dir="/tmp") as folder:
        with open(os.path.join(folder, "bootstrap"), "wb") as program:
            program.write(archives.program("lambda_bootstrap"))
        os.chmod(program.name, 0o755)
        with open(os.path.join(folder, "Dockerfile"), "w") as file:
            file.write(f"FROM {IMAGE}\nCOPY bootstrap /bootstrap\nENV FAIL_ON=fail\nENTRYPOINT [\"/bootstrap\"]\n")
        engine.ok("build", "-q", "-t", tag, folder)


class FunctionsApi:
    """Requests without a client library."""

    def __init__(self, address):
        self.address = address

    def request(self, method, target, body=None, headers=None, timeout=120):
        sent = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(self.address, timeout=timeout)
        try:
            connection.request(method, target, body, sent)
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def create(self, name, files=None, **members):
        """CreateFunction from files; the Response."""
        body = {"FunctionName": name, "Role": ROLE, "Runtime": "provided.al2023", "Handler": "handler",
                "Code": {"ZipFile": base64.b64encode(zip_of(files or {"bootstrap": "#!/bin/sh\n"})).decode()}, **members}
        return self.request("POST", "/2015-03-31/functions", body)

    def invoke(self, name, event=None, **headers):
        body = b"" if event is None else json.dumps(event).encode()
        return self.request("POST", f"/2015-03-31/functions/{name}/invocations", body,
                            {key.replace("_", "-"): value for key, value in headers.items()})


@unittest.skipIf(AGAINST == "docker", "dockerd has no functions")
class FunctionsCase(unittest.TestCase):
    """Tests that share an engine and speak to its functions' API."""

    @classmethod
    def setUpClass(cls):
        cls.engine = Engine(cls.__name__)
        try:
            cls.engine.start()
            runtimes.stand_in(cls.engine)
            cls.connect()
        except BaseException:
            cls.engine.close()
            raise

    @classmethod
    def connect(cls):
        """After a start: the port is another."""
        cls.api = FunctionsApi(cls.engine.functions_address)

    @classmethod
    def tearDownClass(cls):
        cls.engine.close()

    def call(self, target, status=200, **members):
        """An operation of a JSON service, "AmazonSQS.SendMessage"; its answer's JSON."""
        self.answer = self.api.request("POST", "/", json.dumps(members).encode(), {"X-Amz-Target": target})
        self.assertEqual(self.answer.status, status, str(self.answer))
        return json.loads(self.answer.body) if self.answer.body else None

    def sqs(self, operation, status=200, **members):
        return self.call(f"AmazonSQS.{operation}", status, **members)

    def worker(self, name, **members):
        """A function of build_worker()'s image, ready to be called."""
        if not hasattr(type(self), "worker_built"):
            self.engine.load_base_image()
            build_worker(self.engine, "worker")
            type(self).worker_built = True
        answer = self.api.request("POST", "/2015-03-31/functions", {
            "FunctionName": name, "Role": ROLE, "PackageType": "Image", "Code": {"ImageUri": "worker:latest"},
            "Timeout": 30, **members})
        self.assertEqual(answer.status, 201, str(answer))
        self.addCleanup(self.api.request, "DELETE", f"/2015-03-31/functions/{name}")
        target = f"/2015-03-31/functions/{name}/configuration"
        eventually(lambda: self.api.request("GET", target).json()["State"] == "Active", f"{name} is active")

    def queue(self, name, **attributes):
        """URL and ARN."""
        url = self.sqs("CreateQueue", QueueName=name, Attributes=attributes)["QueueUrl"]
        self.addCleanup(self.sqs, "DeleteQueue", QueueUrl=url)
        return url, f"arn:aws:sqs:us-east-1:000000000000:{name}"

    def receive(self, url):
        """The next message; it waits for one."""
        def look():
            return self.sqs("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20,
                            MessageAttributeNames=["All"]).get("Messages")

        message, = eventually(look, f"a message in {url}", 60)
        self.sqs("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return message
