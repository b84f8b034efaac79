"""A running engine against clients that abuse its wires (docs/security-cases.md): HTTP/2 on /grpc, calls without the
fields that they need, and readers that do not read."""
import contextlib
import socket
import struct
import threading

from harness import buildkit, host
from harness.engine import IMAGE, EngineCase
from test_buildkit import BuildkitCase

MIB = 1024  # of KiB
GRANTED = 96 * MIB
SETTLED_SECONDS = 30

DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# :method POST, :scheme http from the static table; the path and what gRPC wants as literals that are not indexed.
CALL = b"\x83\x86" + b"".join(
    b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value
    for name, value in ((b":path", b"/moby.buildkit.v1.Control/Info"), (b":authority", b"x"),
                        (b"content-type", b"application/grpc"), (b"te", b"trailers")))


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header field that is not indexed, with a value of less than 16 KiB."""
    length = bytes([len(value)]) if len(value) < 127 else b"\x7f" + bytes([(len(value) - 127) % 128 | 0x80, (len(value) - 127) // 128])
    return b"\x00" + bytes([len(name)]) + name + length + value


class Http2(BuildkitCase):
    """CVE-2026-97032 and its like: whoever may speak to the engine can make it neither grow nor stop by frames."""

    def flood(self, frames):
        """Sends them all, as far as the engine takes them, and reads what comes back."""
        connection = buildkit.upgrade(self.engine.socket, "/grpc")
        connection.settimeout(SETTLED_SECONDS)
        with contextlib.closing(connection):
            reader = threading.Thread(target=self.drain, args=(connection,), daemon=True)
            reader.start()
            with contextlib.suppress(OSError):
                connection.sendall(PREFACE + frame(SETTINGS))
                for piece in frames:
                    connection.sendall(piece)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            reader.join(SETTLED_SECONDS)

    @staticmethod
    def drain(connection):
        with contextlib.suppress(OSError):
            while connection.recv(65536):
                pass

    def resident(self):
        return {pid: host.resident_kib(pid) for pid in {self.engine.pid, *host.children(self.engine.pid)}
                if "berth-keeper" not in host.processes().get(pid, "")}

    def holds(self, frames):
        self.solve(self.files(f"FROM {IMAGE}\n"))  # the program that speaks gRPC is there
        before = self.resident()
        self.flood(frames)
        after = self.resident()
        self.assertLessEqual(set(before), set(after), "a program has ended")
        for pid, size in before.items():
            self.assertLess(after[pid] - size, GRANTED, f"KiB more of {host.processes().get(pid)}")
        self.solve(self.files(f"FROM {IMAGE}\nLABEL after=flood\n"))

    def test_streams_that_are_reset_at_once(self):
        self.holds(b"".join(frame(HEADERS, END_HEADERS, stream, CALL) + frame(RST_STREAM, 0, stream, b"\0\0\0\x08")
                            for stream in range(first, first + 2000, 2)) for first in range(1, 20_001, 2000))

    def test_streams_that_never_end(self):
        self.holds(b"".join(frame(HEADERS, END_HEADERS, stream, CALL) for stream in range(first, first + 2000, 2))
                   for first in range(1, 20_001, 2000))

    def test_headers_that_go_on(self):
        field = literal(b"x-filler", b"f" * 16000)
        pieces = [frame(HEADERS, 0, 1, CALL)] + [frame(CONTINUATION, 0, 1, field)] * 20_000
        self.holds(iter(pieces))

    def test_pings_and_settings(self):
        block = frame(PING, 0, 0, b"12345678") * 500 + frame(SETTINGS) * 500
        self.holds(iter([block] * 200))

    def test_frames_that_are_none(self):
        for hostile in (frame(DATA, 0, 0, b"x"), frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0"), frame(250, 0, 0, b"x" * 16384), b"\xff" * 65536,
                        frame(HEADERS, END_HEADERS, 1, b"\xff" * 4096), frame(CONTINUATION, 0, 1, b""), struct.pack(">I", 0xffffff00) + b"\0" * 4,
                        frame(HEADERS, END_HEADERS, 1, CALL) + frame(DATA, END_STREAM, 1, b"\0\xff\xff\xff\xff")):
            self.holds(iter([hostile]))


class EmptyFields(BuildkitCase):
    """CVE-2024-23650: every call, with nothing in it and with messages in it that are empty."""

    def call(self, client, method, request):
        import grpc
        stub = client.channel.unary_stream(method, lambda data: data, lambda data: data)
        with contextlib.suppress(grpc.RpcError):
            for _ in stub(request, timeout=1, metadata=(("buildkit-controlapi-buildid", "nobody"),)):
                break

    def test_every_call(self):
        client = self.client()
        empty = [bytes([number << 3 | 2, 0]) for number in range(1, 16)]  # one empty message or text
        bodies = [b"", empty[0], empty[1], b"".join(empty), b"\x0a\x02\x0a\x00" * 50, b"\xff" * 20, b"\x0a\xff\xff\xff\xff\x0f"]
        methods = [f"/moby.buildkit.v1.Control/{name}" for name in
                   ("DiskUsage", "Prune", "Solve", "Status", "Session", "ListWorkers", "Info", "ListenBuildHistory", "UpdateBuildHistory")]
        methods += [f"/moby.buildkit.v1.frontend.LLBBridge/{name}" for name in
                    ("ResolveImageConfig", "ResolveSourceMeta", "Solve", "ReadFile", "ReadDir", "StatFile", "Evaluate", "Ping", "Return",
                     "Inputs", "NewContainer", "ReleaseContainer", "ExecProcess", "Warn")]
        methods += ["/containerd.services.content.v1.Content/Read", "/containerd.services.content.v1.Content/Info", "/none.Such/Call"]
        for method in methods:
            for body in bodies:
                self.call(client, method, body)
        self.solve(self.files(f"FROM {IMAGE}\nLABEL after=empty\n"))

    def test_an_entitlement_that_nobody_gave(self):
        """CVE-2024-23653."""
        dockerfile = f"FROM {IMAGE}\nRUN --security=insecure mount -t tmpfs none /mnt\n"
        self.assertIn("security.insecure is not allowed", self.fails_to_solve(self.files(dockerfile)).details())


class Readers(EngineCase):
    def test_cve_2022_31030_output_that_nobody_reads(self):
        """Of execs and attaches, in whatever form it is asked for: it waits in the program that writes it."""
        self.only_berth("its memory is not watched")
        box = self.start("sleep", "1000")
        flooding = self.start("sh", "-c", "exec cat /dev/zero", flags=("--log-driver", "none"))
        identifier = self.engine.inspect(box)["Id"]
        before, opened = host.resident_kib(self.engine.pid), []
        for terminal in (False, True):
            for _ in range(4):
                made = self.engine.api.post(f"/containers/{identifier}/exec", {
                    "AttachStdout": True, "AttachStderr": True, "Tty": terminal, "Cmd": ["sh", "-c", "exec cat /dev/zero"]})
                opened.append(self.silent(f"/exec/{made.json()['Id']}/start", b'{"Tty": %s}' % (b"true" if terminal else b"false")))
        opened += [self.silent(f"/containers/{flooding}/attach?stream=1&stdout=1&stderr=1", b"") for _ in range(4)]
        try:
            # Time enough to write what would be too much: a second such program has written a gigabyte meanwhile.
            self.ok("exec", box, "sh", "-c", "head -c 1000000000 /dev/zero | wc -c", timeout=300)
            self.assertLess(host.resident_kib(self.engine.pid) - before, GRANTED)
            keepers = [pid for pid, line in host.processes().items() if "berth-keeper" in line and self.engine.folder in line]
            for pid in keepers:
                self.assertLess(host.resident_kib(pid), GRANTED)
        finally:
            for connection in opened:
                connection.close()
        self.assertEqual(self.ok("exec", box, "echo", "alive").text, "alive")

    def silent(self, target, body):
        """A request whose answer nobody reads."""
        connection = self.engine.api.connect()
        connection.sendall(f"POST {target} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\n"
                           f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return connection
