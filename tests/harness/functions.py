"""Functions: zips, and raw requests to the functions' API."""
import base64
import http.client
import io
import json
import zipfile

from .api import Response

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
