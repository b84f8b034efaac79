"""`berth ui` under way: its address, requests as a page would send them, and WebSockets."""
import base64
import http.client
import json
import os
import re
import signal
import socket
import struct

from .engine import EngineCase, Lines


class Ui:
    """`berth ui` under way."""

    def __init__(self, engine, *arguments):
        self.process = engine.popen("ui", *arguments)
        self.address = Lines(self.process.stdout).next(within=60)
        match = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/#token=([0-9a-f]{64})", self.address or "")
        if not match:
            self.process.kill()
            raise AssertionError(f"no address: {self.address!r}, {self.process.stderr.read()!r}")
        self.port, self.token = int(match[1]), match[2]
        self.own = {"Host": f"127.0.0.1:{self.port}"}
        self.session = {}

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=30)
        self.process.stdout.close()
        self.process.stderr.close()

    def request(self, method, path, body=None, headers=None):
        """Status, headers and body; of `headers` those that are None are left out."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            fields = {**self.own, **self.session, **(headers or {})}
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            data = json.dumps(body).encode() if body is not None else None
            if data is not None:
                fields["Content-Length"] = str(len(data))
            for name, value in fields.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(data)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def sign_in(self):
        status, headers, body = self.request("POST", "/session", {"token": self.token})
        assert status == 200, body
        self.session = {"Cookie": headers["Set-Cookie"].split(";")[0], "Berth-Key": json.loads(body)["key"]}
        return headers

    def websocket(self, path, **headers):
        """A WebSocket after its handshake: (status, WebSocket)."""
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        fields = {**self.own, "Origin": f"http://127.0.0.1:{self.port}", "Upgrade": "websocket", "Connection": "Upgrade",
                  "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
                  "Cookie": self.session.get("Cookie"), "Sec-WebSocket-Protocol": f"berth, key-{self.session.get('Berth-Key')}", **headers}
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items() if value is not None)]
        raw.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        wire = WebSocket(raw)
        return wire.status, wire


class WebSocket:
    """The client's side, as far as the tests need it."""

    def __init__(self, raw):
        self.file, self.raw = raw.makefile("rb"), raw
        self.status = int(self.file.readline().split()[1])
        while self.file.readline() not in (b"\r\n", b""):
            pass

    def message(self):
        """(opcode, payload)."""
        first, length = struct.unpack(">BB", self.file.read(2))
        if length == 126:
            length, = struct.unpack(">H", self.file.read(2))
        elif length == 127:
            length, = struct.unpack(">Q", self.file.read(8))
        return first & 15, self.file.read(length)

    def send(self, payload, opcode=2):
        mask = os.urandom(4)
        head = struct.pack(">BB", 0x80 | opcode, 0x80 | len(payload)) if len(payload) < 126 else struct.pack(">BBQ", 0x80 | opcode, 0xff, len(payload))
        self.raw.sendall(head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)))

    def until(self, wanted):
        """Binary messages, joined, until `wanted` is in them."""
        got = b""
        while wanted not in got:
            opcode, payload = self.message()
            if opcode == 8:
                raise AssertionError(f"closed after {got!r}")
            got += payload
        return got

    def close(self):
        self.file.close()
        self.raw.close()


class UiCase(EngineCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.ui = Ui(cls.engine)
            cls.ui.sign_in()
        except BaseException:
            cls.engine.close()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.ui.close()
        super().tearDownClass()

    def status(self, *arguments, **more):
        return self.ui.request(*arguments, **more)[0]
