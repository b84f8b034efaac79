"""Raw HTTP over a unix socket: what clients send, and what they should not."""
import http.client
import json
import socket
import struct
import urllib.parse

TIMEOUT = 60


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def json_lines(self):
        return [json.loads(line) for line in self.body.splitlines() if line.strip()]

    @property
    def message(self):
        return self.json()["message"]

    def __str__(self):
        return f"{self.status} {dict(self.headers)} {self.body[:1500]!r}"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Api:
    def __init__(self, path, prefix=""):
        self.path = path
        self.prefix = prefix

    def at(self, version):
        """The same socket under a version prefix, such as "1.41"."""
        return Api(self.path, f"/v{version}")

    def request(self, method, target, body=None, headers=None, timeout=TIMEOUT):
        """One request on a connection of its own. A body that is not bytes is sent as JSON."""
        sent = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, bytearray)) and not hasattr(body, "__iter__"):
            raise TypeError("the body is bytes, an iterable of bytes, or a dict or list to send as JSON")
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection = _UnixConnection(self.path, timeout)
        try:
            connection.request(method, self.prefix + target, body, sent)
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, target, **more):
        return self.request("GET", target, **more)

    def head(self, target, **more):
        return self.request("HEAD", target, **more)

    def post(self, target, body=None, **more):
        return self.request("POST", target, body, **more)

    def put(self, target, body=None, **more):
        return self.request("PUT", target, body, **more)

    def delete(self, target, **more):
        return self.request("DELETE", target, **more)

    def stream(self, method, target, body=None, headers=None, timeout=TIMEOUT):
        """Sends a request and returns (connection, answer) for reading piece by piece; close both."""
        connection = _UnixConnection(self.path, timeout)
        sent = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection.request(method, self.prefix + target, body, sent)
        return connection, connection.getresponse()

    def connect(self, timeout=TIMEOUT):
        """A bare socket to the engine."""
        raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        raw.settimeout(timeout)
        raw.connect(self.path)
        return raw

    def hijack(self, target, body=None, upgrade=True, timeout=TIMEOUT):
        """POSTs and takes the connection over: returns a Hijacked."""
        data = json.dumps(body).encode() if body is not None else b""
        raw = self.connect(timeout)
        lines = [f"POST {self.prefix}{target} HTTP/1.1", "Host: localhost", "Content-Type: application/json",
                 f"Content-Length: {len(data)}"]
        if upgrade:
            lines += ["Connection: Upgrade", "Upgrade: tcp"]
        raw.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        return Hijacked(raw)


class Hijacked:
    """A connection after its HTTP answer: `status`, `headers`, then raw bytes or docker's 8-byte frames."""

    def __init__(self, raw):
        self.raw = raw
        head = b""
        while b"\r\n\r\n" not in head:
            piece = raw.recv(4096)
            if not piece:
                break
            head += piece
        head, _, self.pending = head.partition(b"\r\n\r\n")
        lines = head.decode(errors="replace").split("\r\n")
        self.status = int(lines[0].split()[1]) if len(lines[0].split()) > 1 else 0
        self.headers = {key.lower(): value.strip()
                        for key, _, value in (line.partition(":") for line in lines[1:])}

    def send(self, data):
        self.raw.sendall(data)

    def half_close(self):
        self.raw.shutdown(socket.SHUT_WR)

    def read_exactly(self, size):
        while len(self.pending) < size:
            piece = self.raw.recv(1 << 16)
            if not piece:
                raise EOFError(f"the connection ended after {len(self.pending)} of {size} bytes")
            self.pending += piece
        data, self.pending = self.pending[:size], self.pending[size:]
        return data

    def read_until(self, wanted):
        """Raw bytes up to and including `wanted`."""
        while wanted not in self.pending:
            piece = self.raw.recv(1 << 16)
            if not piece:
                raise EOFError(f"the connection ended; it had {self.pending!r}")
            self.pending += piece
        end = self.pending.index(wanted) + len(wanted)
        data, self.pending = self.pending[:end], self.pending[end:]
        return data

    def read_rest(self):
        pieces = [self.pending]
        while True:
            piece = self.raw.recv(1 << 16)
            if not piece:
                self.pending = b""
                return b"".join(pieces)
            pieces.append(piece)

    def frame(self):
        """The next (stream, bytes) frame; None at the end of the connection."""
        try:
            header = self.read_exactly(8)
        except EOFError:
            if self.pending:
                raise
            return None
        stream, size = struct.unpack(">BxxxI", header)
        return stream, self.read_exactly(size)

    def frames(self):
        """All frames up to the end, joined by stream: {1: stdout, 2: stderr}."""
        joined = {}
        while (frame := self.frame()) is not None:
            joined[frame[0]] = joined.get(frame[0], b"") + frame[1]
        return joined

    def close(self):
        self.raw.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def filters(**wanted):
    """A filters parameter in the form that clients send."""
    return "filters=" + urllib.parse.quote(json.dumps({key.replace("_", "-"): value for key, value in wanted.items()}))


def demultiplexed(body):
    """Splits a multiplexed body into {1: stdout, 2: stderr}, and fails on broken framing."""
    joined = {}
    while body:
        if len(body) < 8:
            raise ValueError(f"a torn frame header: {body!r}")
        stream, size = struct.unpack(">BxxxI", body[:8])
        if len(body) < 8 + size or stream not in (0, 1, 2):
            raise ValueError(f"a torn or unknown frame: stream {stream}, {size} bytes, {len(body) - 8} there")
        joined[stream] = joined.get(stream, b"") + body[8:8 + size]
        body = body[8 + size:]
    return joined
