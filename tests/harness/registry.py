"""Registries for tests: a small one with faults to order, and Debian's docker-registry.

FakeRegistry speaks the distribution specification as far as clients of an engine need it, keeps a journal of what it
was asked, and breaks as a test wants it to. RealRegistry is the program docker-registry, for what a fake cannot prove.
"""
import base64
import hashlib
import http.server
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.parse

from . import archives

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Image:
    """A manifest, its configuration and its layers, as bytes."""

    def __init__(self, layers, settings=None, compression="gzip", docker=False, architecture=None, urls=None):
        blobs = [archives.compressed(layer, compression) for layer in layers]
        config = json.loads(archives.image_config(layers, settings))
        if architecture:
            config["architecture"] = architecture
        self.config = json.dumps(config).encode()
        suffix = {"gzip": "+gzip", "zstd": "+zstd", None: ""}[compression]
        layer_type = "application/vnd.docker.image.rootfs.diff.tar.gzip" if docker else LAYER + suffix
        if urls:
            layer_type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
        self.type = DOCKER_MANIFEST if docker else OCI_MANIFEST
        self.blobs = {digest_of(blob): blob for blob in blobs}
        self.layers = [digest_of(blob) for blob in blobs]
        described = [{"mediaType": layer_type, "digest": digest_of(blob), "size": len(blob),
                      **({"urls": urls} if urls else {})} for blob in blobs]
        config_type = "application/vnd.docker.container.image.v1+json" if docker else OCI_CONFIG
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": self.type,
            "config": {"mediaType": config_type, "digest": digest_of(self.config), "size": len(self.config)},
            "layers": described}).encode()
        self.digest = digest_of(self.manifest)
        self.id = digest_of(self.config)
        self.architecture = config["architecture"]


def small_image(text="hello", **more):
    """A root and one file on top; neither layer is another image's."""
    base = archives.busybox_entries([archives.entry("base", data=os.urandom(16))])
    return Image([archives.tar(base), archives.tar([archives.entry("note", data=text.encode())])],
                 {"Cmd": ["cat", "/note"]}, **more)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass  # clients that go away, and faults of our own


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0

    def log_message(self, *arguments):
        pass

    def answer(self):
        registry = self.server.registry
        self.body = self.read_body()
        with registry.lock:
            registry.journal.append((self.command, self.path, dict(self.headers)))
        for fault in list(registry.faults):
            if fault(self):
                return
        registry.serve(self)

    def read_body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            length = int(self.headers.get("Content-Length") or 0)
            return self.rfile.read(length) if length else b""
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def reply(self, status, body=b"", headers=None, length=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code, message, headers=None):
        self.reply(status, json.dumps({"errors": [{"code": code, "message": message}]}).encode(),
                   {"Content-Type": "application/json", **(headers or {})})

    def break_off(self):
        """Ends the connection with what was promised unsent."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


class FakeRegistry:
    """`faults` are functions of the handler that return True when they have answered."""

    def __init__(self, tls=None, address="127.0.0.1"):
        self.lock = threading.Lock()
        self.journal = []
        self.faults = []
        self.blobs = {}
        self.manifests = {}  # (repository, tag or digest) -> (type, bytes)
        self.uploads = {}
        self.server = _Server((address, 0), _Handler)
        self.server.registry = self
        self.port = self.server.server_address[1]
        self.host = f"{address}:{self.port}"
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    # --- content ------------------------------------------------------------------------------------------------

    def add(self, repository, tag, image):
        """Makes an image pullable, and returns its name."""
        self.blobs.update(image.blobs)
        self.blobs[image.id] = image.config
        for reference in (tag, image.digest):
            self.manifests[(repository, reference)] = (image.type, image.manifest)
        return f"{self.host}/{repository}:{tag}"

    def add_index(self, repository, tag, images, kind=OCI_INDEX):
        """A list of images for several platforms; returns its digest."""
        entries = []
        for image in images:
            self.add(repository, image.digest, image)
            entries.append({"mediaType": image.type, "digest": image.digest, "size": len(image.manifest),
                            "platform": {"os": "linux", "architecture": image.architecture}})
        data = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": entries}).encode()
        for reference in (tag, digest_of(data)):
            self.manifests[(repository, reference)] = (kind, data)
        return digest_of(data)

    def asked(self, method=None, pattern=""):
        """The paths that were asked for."""
        with self.lock:
            return [path for verb, path, _ in self.journal
                    if (method is None or verb == method) and re.search(pattern, path)]

    def headers_of(self, pattern):
        with self.lock:
            return [headers for _, path, headers in self.journal if re.search(pattern, path)]

    def forget(self):
        with self.lock:
            self.journal.clear()

    # --- serving ------------------------------------------------------------------------------------------------

    def serve(self, handler):
        path, _, query = handler.path.partition("?")
        query = urllib.parse.parse_qs(query)
        if path == "/v2/":
            return handler.reply(200, b"{}")
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs|tags)/(.*)", path)
        if not match:
            return handler.refuse(404, "NAME_UNKNOWN", "repository name not known to registry")
        repository, kind, rest = match.groups()
        if kind == "manifests":
            return self.serve_manifest(handler, repository, rest)
        if kind == "tags":
            tags = sorted(name for repo, name in self.manifests if repo == repository and ":" not in name)
            return handler.reply(200, json.dumps({"name": repository, "tags": tags}).encode())
        if rest.startswith("uploads/"):
            return self.serve_upload(handler, repository, rest.removeprefix("uploads/"), query)
        return self.serve_blob(handler, rest)

    def serve_manifest(self, handler, repository, reference):
        if handler.command == "PUT":
            kind = handler.headers["Content-Type"]
            for name in (reference, digest_of(handler.body)):
                self.manifests[(repository, name)] = (kind, handler.body)
            return handler.reply(201, headers={"Docker-Content-Digest": digest_of(handler.body)})
        found = self.manifests.get((repository, reference))
        if not found:
            return handler.refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")
        kind, data = found
        handler.reply(200, data, {"Content-Type": kind, "Docker-Content-Digest": digest_of(data)})

    def serve_blob(self, handler, digest):
        data = self.blobs.get(digest)
        if data is None:
            return handler.refuse(404, "BLOB_UNKNOWN", "blob unknown to registry")
        self.send_blob(handler, data)

    def send_blob(self, handler, data, until=None):
        """Answers with the bytes that a Range asks for; after `until` of them the line breaks."""
        start, headers, status = 0, {"Content-Type": "application/octet-stream"}, 200
        end = len(data)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range", ""))
        if wanted and int(wanted.group(1)) < len(data):
            start, status = int(wanted.group(1)), 206
            end = min(end, int(wanted.group(2) or end) + 1)
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        if until is None:
            return handler.reply(status, data[start:end], headers)
        handler.reply(status, data[start:min(end, start + until)], headers, length=end - start)
        handler.break_off()

    def serve_upload(self, handler, repository, name, query):
        if handler.command == "POST":
            mount = query.get("mount", [""])[0]
            if mount in self.blobs:
                return handler.reply(201, headers={"Location": f"/v2/{repository}/blobs/{mount}"})
            name = hashlib.sha256(os.urandom(16)).hexdigest()[:16]
            self.uploads[name] = b""
        elif handler.command == "PATCH":
            self.uploads[name] += handler.body
        elif handler.command == "PUT":
            data = self.uploads.pop(name) + handler.body
            if digest_of(data) != query["digest"][0]:
                return handler.refuse(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
            self.blobs[digest_of(data)] = data
            return handler.reply(201, headers={"Location": f"/v2/{repository}/blobs/{digest_of(data)}"})
        headers = {"Location": f"/v2/{repository}/blobs/uploads/{name}",
                   "Range": f"0-{max(0, len(self.uploads[name]) - 1)}"}
        handler.reply(204 if handler.command == "GET" else 202, headers=headers)


class TokenServer:
    """A token server on a port of its own, for user `berth` with password `secret`."""

    def __init__(self):
        self.lock = threading.Lock()
        self.journal = []
        self.faults = []
        self.server = _Server(("127.0.0.1", 0), _Handler)
        self.server.registry = self
        self.port = self.server.server_address[1]
        self.host = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    close = FakeRegistry.close
    headers_of = FakeRegistry.headers_of

    def serve(self, handler):
        refreshed = handler.command == "POST" and b"refresh_token=kept" in handler.body
        if not refreshed and handler.headers.get("Authorization") != basic("berth", "secret"):
            return handler.refuse(401, "UNAUTHORIZED", "incorrect username or password")
        answer = {"token": "the-token", "expires_in": 300}
        if "offline_token" in handler.path:
            answer["refresh_token"] = "kept"
        handler.reply(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})


def ask_for_token(realm):
    """A fault: whoever has no token is sent to the realm."""
    def fault(handler):
        if handler.headers.get("Authorization") == "Bearer the-token":
            return False
        handler.refuse(401, "UNAUTHORIZED", "authentication required",
                       {"WWW-Authenticate": f'Bearer realm="{realm}",service="registry",scope="ignored"'})
        return True
    return fault


def ask_for_password(handler):
    """A fault: HTTP basic authentication."""
    if handler.headers.get("Authorization") == basic("berth", "secret"):
        return False
    handler.refuse(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": 'Basic realm="registry"'})
    return True


def once(pattern, action, method=None, times=1):
    """A fault that happens the first `times` times that a path is asked for."""
    left = [times]

    def fault(handler):
        if left[0] == 0 or not re.search(pattern, handler.path) or (method and handler.command != method):
            return False
        left[0] -= 1
        action(handler)
        return True
    return fault


def certificate(folder, name="127.0.0.1"):
    """A self-signed certificate for an address: (certificate's path, key's path)."""
    cert, key = os.path.join(folder, "server.pem"), os.path.join(folder, "server.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:{name}", "-keyout", key,
                    "-out", cert], check=True, capture_output=True)
    return cert, key


def server_context(cert, key, clients=None):
    """With `clients`, a certificate, only those who show one that it signed are served."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    return context


class RealRegistry:
    """docker-registry on a free port of the loopback, where available()."""

    @staticmethod
    def available():
        return shutil.which("docker-registry")

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="reg.", dir="/tmp")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        settings = os.path.join(self.folder, "config.yml")
        with open(settings, "w") as out:
            out.write(f"version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {self.folder}/data}}\n"
                      f"  delete: {{enabled: true}}\nhttp: {{addr: \"{self.host}\"}}\n")
        self.settings = settings
        self.start()

    def start(self):
        self.process = subprocess.Popen(["docker-registry", "serve", self.settings], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise AssertionError("docker-registry does not answer") from None
                time.sleep(0.05)

    def close(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
