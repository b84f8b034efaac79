"""`berth registry serve` under test, and a client of the distribution specification that can also misbehave; TLS
material made with openssl."""
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import urllib.parse

from .engine import Client, Lines

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def digest_of(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


class Answer:
    def __init__(self, response, body):
        self.status, self.headers, self.body = response.status, response.headers, body

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json()["errors"][0]["code"]

    def __str__(self):
        return f"{self.status} {dict(self.headers)} {self.body[:500]!r}"


class Certificates:
    """A CA, and certificates that it has signed, below `folder`."""

    def __init__(self, folder):
        self.folder = folder
        self.ca, self.ca_key = self.path("ca.pem"), self.path("ca-key.pem")
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                      "-keyout", self.ca_key, "-out", self.ca, "-subj", "/CN=test CA")

    def path(self, name):
        return os.path.join(self.folder, name)

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, stdin=subprocess.DEVNULL)

    def sign(self, name, hosts="DNS:localhost,IP:127.0.0.1"):
        """Returns the paths of certificate and key."""
        cert, key, request, extensions = (self.path(f"{name}{end}") for end in (".pem", "-key.pem", ".csr", ".ext"))
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out",
                      request, "-subj", f"/CN={name}")
        with open(extensions, "w") as file:
            file.write(f"subjectAltName={hosts}\n")
        self._openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.ca_key, "-CAcreateserial", "-days",
                      "2", "-out", cert, "-extfile", extensions)
        return cert, key


class Registry:
    """A registry that an engine serves until close()."""

    def __init__(self, engine, *flags, ca=None):
        self.engine, self.ca = engine, ca
        self.command = engine.popen("registry", "serve", "--addr", "127.0.0.1:0", *flags)
        line = Lines(self.command.stderr).next()
        found = re.search(r"(https?)://([^:]+):(\d+)", line or "")
        if not found:
            self.command.kill()
            raise AssertionError(f"the registry does not serve: {line!r}")
        self.scheme, self.host, self.port = found[1], found[2], int(found[3])
        self.address = f"{self.host}:{self.port}"
        self.log = Lines(self.command.stdout)

    def close(self):
        if self.command.poll() is None:
            self.command.send_signal(signal.SIGINT)
            self.command.wait(timeout=20)
        for stream in (self.command.stdout, self.command.stderr):
            stream.close()

    def connect(self):
        if self.scheme == "http":
            return http.client.HTTPConnection(self.host, self.port, timeout=60)
        return http.client.HTTPSConnection(self.host, self.port, timeout=60,
                                           context=ssl.create_default_context(cafile=self.ca))

    def request(self, method, target, body=None, headers=None):
        connection = self.connect()
        try:
            connection.request(method, target, body, headers or {})
            response = connection.getresponse()
            return Answer(response, response.read())
        finally:
            connection.close()

    def get(self, target, **headers):
        return self.request("GET", target, headers={key.replace("_", "-"): value for key, value in headers.items()})

    def head(self, target):
        return self.request("HEAD", target)

    def delete(self, target):
        return self.request("DELETE", target)

    # --- content ----------------------------------------------------------------------------------------------

    def start_upload(self, name):
        """The Location of a new upload."""
        answer = self.request("POST", f"/v2/{name}/blobs/uploads/")
        assert answer.status == 202, str(answer)
        return answer.headers["Location"]

    def finish(self, location, digest, body=b""):
        mark = "&" if "?" in location else "?"
        return self.request("PUT", f"{location}{mark}digest={urllib.parse.quote(digest)}", body)

    def push_blob(self, name, data, algorithm="sha256"):
        digest = digest_of(data, algorithm)
        answer = self.finish(self.start_upload(name), digest, data)
        assert answer.status == 201, str(answer)
        return digest

    def put_manifest(self, name, reference, manifest, media_type=MANIFEST):
        body = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        return self.request("PUT", f"/v2/{name}/manifests/{reference}", body, {"Content-Type": media_type})

    def push_image(self, name, tag, layer=b"layer", **more):
        """A small image; returns the digest of its manifest."""
        config = b'{"architecture":"amd64","os":"linux"}'
        manifest = image_manifest(self.push_blob(name, config), len(config), self.push_blob(name, layer), len(layer))
        manifest.update(more)
        body = json.dumps(manifest).encode()
        answer = self.put_manifest(name, tag, body)
        assert answer.status == 201, str(answer)
        return digest_of(body)

    def raw(self):
        """A connection for what http.client would not send."""
        return socket.create_connection((self.host, self.port), timeout=60)


def image_manifest(config, config_size, layer, layer_size):
    return {"schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": layer_size}]}


__all__ = ["Answer", "Certificates", "Client", "DOCKER_MANIFEST", "INDEX", "MANIFEST", "Registry", "digest_of",
           "image_manifest"]
