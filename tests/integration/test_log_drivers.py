"""Log drivers that send lines elsewhere, the bound on all logs together, and what of it a kill of the engine loses:
nothing."""
import gzip
import http.server
import json
import os
import re
import socket
import ssl
import threading
import unittest
import zlib

from harness.authority import Authority
from harness.engine import IMAGE, Engine, EngineCase, eventually


class Receiver:
    """Collects what arrives at a socket."""

    def __init__(self, family, kind, address):
        self.socket = socket.socket(family, kind)
        self.socket.bind(address)
        self.kind = kind
        self.messages = []
        self.open = True
        if kind == socket.SOCK_STREAM:
            self.socket.listen()
        threading.Thread(target=self.accept if kind == socket.SOCK_STREAM else self.receive, daemon=True).start()

    @property
    def port(self):
        return self.socket.getsockname()[1]

    def receive(self):
        while self.open:
            try:
                self.messages.append(self.socket.recv(1 << 18))
            except OSError:
                return

    def accept(self):
        while self.open:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.read, args=(peer,), daemon=True).start()

    def read(self, peer):
        with peer:
            while data := peer.recv(1 << 16):
                self.messages.append(data)

    @property
    def text(self):
        return b"".join(self.messages).decode(errors="replace")

    def close(self):
        self.open = False
        self.socket.close()


class Collector:
    """Splunk's event collector: what it was sent, and the statuses that it answers first. With TLS where it has a
    certificate and its key (files)."""

    def __init__(self, answers=(), certificate=None):
        self.requests, self.events = [], []
        answers = list(answers)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                status = answers.pop(0) if answers else 200
                if status == 200:
                    outer.take(body.decode())
                outer.requests.append({"path": self.path, "headers": dict(self.headers)})
                answer = json.dumps({"text": "Success" if status == 200 else "No", "code": 0}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.names = []  # that clients asked the certificate of
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            context.sni_callback = lambda _, name, __: self.names.append(name)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server.server_address[1]

    def take(self, text):
        """JSON objects one behind the other."""
        decoder = json.JSONDecoder()
        while text:
            event, end = decoder.raw_decode(text)
            self.events.append(event)
            text = text[end:].lstrip()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Drivers(EngineCase):
    def setUp(self):
        super().setUp()
        self.only_berth("needs receivers that 20.10 waits for")

    def receiver(self, family, kind, address):
        receiver = Receiver(family, kind, address)
        self.addCleanup(receiver.close)
        return receiver

    def udp(self):
        return self.receiver(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))

    def tcp(self):
        return self.receiver(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))

    def run_with(self, script, *flags):
        name = self.name()
        self.ok("run", "--name", name, *flags, IMAGE, "sh", "-c", script)
        return name

    def test_syslog_over_udp(self):
        receiver = self.udp()
        name = self.run_with("echo out; echo err >&2", "--log-driver", "syslog", "--log-opt",
                             f"syslog-address=udp://127.0.0.1:{receiver.port}", "--log-opt", "syslog-facility=local1",
                             "--log-opt", "syslog-format=rfc5424", "--log-opt", "tag={{.Name}}")
        eventually(lambda: len(receiver.messages) == 2, "both lines have come")
        out, err = sorted(receiver.messages, key=lambda message: b"err" in message)
        self.assertRegex(out.decode(), rf"^<142>1 \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ \S+ {name} \d+ {name} - out$")
        self.assertRegex(err.decode(), r"^<139>1 .* - err$")
        self.assertEqual(self.ok("logs", name).out, "out\n")  # and they can be read here

    def test_syslog_over_a_unix_socket(self):
        path = os.path.join(self.folder(), "log")
        receiver = self.receiver(socket.AF_UNIX, socket.SOCK_DGRAM, path)
        self.run_with("echo one", "--log-driver", "syslog", "--log-opt", f"syslog-address=unixgram://{path}")
        eventually(lambda: receiver.messages, "the line has come")
        self.assertRegex(receiver.text, r"^<30>\w{3} [ \d]\d \d\d:\d\d:\d\d \S+ [0-9a-f]{12}\[\d+\]: one$")

    def test_fluentd(self):
        receiver = self.tcp()
        name = self.run_with("echo one; echo two", "--log-driver", "fluentd", "--log-opt",
                             f"fluentd-address=127.0.0.1:{receiver.port}", "--log-opt", "tag=my.tag", "-l", "part=x",
                             "--log-opt", "labels=part")
        eventually(lambda: receiver.text.count("container_id") == 2, "both records have come")
        data = b"".join(receiver.messages)
        self.assertTrue(data.startswith(b"\x93\xa6my.tag\xce"), data[:20])
        self.assertIn(b"\xa3log\xa3one", data)
        self.assertIn(b"\xa4part\xa1x", data)
        self.assertIn(f"/{name}".encode(), data)

    def test_gelf(self):
        receiver = self.udp()
        name = self.run_with("echo hello", "--log-driver", "gelf", "--log-opt", f"gelf-address=udp://127.0.0.1:{receiver.port}")
        eventually(lambda: receiver.messages, "the message has come")
        message = json.loads(gzip.decompress(receiver.messages[0]))
        self.assertEqual((message["version"], message["short_message"], message["level"], message["_container_name"]),
                         ("1.1", "hello", 6, name))

    def test_gelf_compressed_otherwise_and_over_tcp(self):
        for flags, unpack in ((("gelf-compression-type=zlib", "gelf-compression-level=9"), zlib.decompress),
                              (("gelf-compression-type=none",), bytes)):
            receiver = self.udp()
            self.run_with("echo hello", "--log-driver", "gelf", "--log-opt", f"gelf-address=udp://127.0.0.1:{receiver.port}",
                          *(part for flag in flags for part in ("--log-opt", flag)))
            eventually(lambda: receiver.messages, "the message has come")
            self.assertEqual(json.loads(unpack(receiver.messages[0]))["short_message"], "hello")
        receiver = self.tcp()
        self.run_with("echo one; echo two", "--log-driver", "gelf", "--log-opt", f"gelf-address=tcp://127.0.0.1:{receiver.port}",
                      "--log-opt", "gelf-tcp-max-reconnect=3")
        eventually(lambda: receiver.text.count("\0") == 2, "both messages have come")
        self.assertEqual([json.loads(part)["short_message"] for part in receiver.text.split("\0")[:2]], ["one", "two"])

    def test_splunk(self):
        collector = Collector()
        self.addCleanup(collector.close)
        flags = ("--log-driver", "splunk", "--log-opt", f"splunk-url=http://127.0.0.1:{collector.port}", "--log-opt",
                 "splunk-token=a-token", "--log-opt", "tag={{.Name}}", "--log-opt", "splunk-index=main", "-l", "part=x",
                 "--log-opt", "labels=part")
        name = self.run_with("echo one; echo; echo two", *flags)
        eventually(lambda: len(collector.events) == 2, "both lines have come")
        event = collector.events[0]
        self.assertEqual(event["event"], {"line": "one", "source": "stdout", "tag": name, "attrs": {"part": "x"}})
        self.assertEqual((event["index"], collector.events[1]["event"]["line"]), ("main", "two"))
        self.assertRegex(event["time"], r"^\d+\.\d{6}$")
        request = collector.requests[0]
        self.assertEqual(request["path"], "/services/collector/event/1.0")
        self.assertEqual(request["headers"]["Authorization"], "Splunk a-token")
        self.run_with("echo '{\"a\": 1}'", *flags, "--log-opt", "splunk-format=json", "--log-opt", "splunk-gzip=true",
                      "--log-opt", "splunk-index-acknowledgment=true")
        eventually(lambda: len(collector.events) == 3, "the third line has come")
        self.assertEqual(collector.events[2]["event"]["line"], {"a": 1})
        self.assertEqual(collector.requests[-1]["headers"]["Content-Encoding"], "gzip")
        self.assertRegex(collector.requests[-1]["headers"]["X-Splunk-Request-Channel"], r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

    def splunk_over_tls(self, collector, *options):
        self.run_with("echo one", "--log-driver", "splunk", "--log-opt", f"splunk-url=https://127.0.0.1:{collector.port}",
                      "--log-opt", "splunk-token=t", *(part for option in options for part in ("--log-opt", option)))

    def tls_collector(self, alternatives):
        """The authority that signed its certificate, and the collector."""
        authority = Authority(self.folder())
        authority.issue("collector", alternatives)
        collector = Collector(certificate=(authority.path("collector.pem"), authority.path("collector.key")))
        self.addCleanup(collector.close)
        return authority.path("authority.pem"), collector

    def test_splunk_over_tls_trusts_the_authority_that_it_is_given(self):
        authority, collector = self.tls_collector("IP:127.0.0.1")
        self.splunk_over_tls(collector, f"splunk-capath={authority}")
        eventually(lambda: len(collector.events) == 1, "the line has come")
        self.assertEqual(collector.requests[0]["headers"]["Host"], f"127.0.0.1:{collector.port}")
        _, stranger = self.tls_collector("IP:127.0.0.1")
        self.splunk_over_tls(stranger, f"splunk-capath={authority}")
        eventually(lambda: "certificate" in self.engine.log(), "the engine says that it does not trust the other one")
        self.assertEqual(stranger.requests, [])
        self.splunk_over_tls(stranger, f"splunk-capath={authority}", "splunk-insecureskipverify=true")
        eventually(lambda: len(stranger.events) == 1, "what is not to be verified gets the line")

    def test_splunk_asks_for_the_certificate_of_another_name(self):
        authority, collector = self.tls_collector("DNS:logs.example.com")
        self.splunk_over_tls(collector, f"splunk-capath={authority}", "splunk-caname=logs.example.com")
        eventually(lambda: len(collector.events) == 1, "the line has come")
        self.assertEqual(collector.names, ["logs.example.com"])
        self.assertEqual(collector.requests[0]["headers"]["Host"], f"127.0.0.1:{collector.port}")
        self.splunk_over_tls(collector, f"splunk-capath={authority}", "splunk-caname=other.example.com")
        eventually(lambda: "other.example.com" in self.engine.log(), "the engine says whose certificate it is not")
        self.assertEqual(len(collector.events), 1)

    def test_labels_and_variables_by_expression(self):
        named = ("--label", "app.part=x", "--label", "other=y", "-e", "WEB_PORT=1", "-e", "NOT=2", "--log-opt",
                 r"labels-regex=^app\.", "--log-opt", "env-regex=(?i)^web_")
        name = self.run_with("echo one", *named, "--log-opt", "tag={{.Name}}/x")
        self.assertEqual(self.ok("logs", "--details", name).text, f"WEB_PORT=1,app.part=x,tag={name}%2Fx one")
        receiver = self.udp()
        self.run_with("echo hello", "--log-driver", "gelf", "--log-opt", f"gelf-address=udp://127.0.0.1:{receiver.port}", *named)
        eventually(lambda: receiver.messages, "the message has come")
        message = json.loads(gzip.decompress(receiver.messages[0]))
        self.assertEqual((message["_app.part"], message["_WEB_PORT"]), ("x", "1"))
        self.assertFalse({"_other", "_NOT"} & set(message))
        self.fails(125, "run", "--rm", "--log-opt", "env-regex=[", IMAGE, "true", says="error parsing regexp: missing ]")

    def test_splunk_is_away_and_refuses(self):
        collector = Collector(answers=[503, 403, 400])
        self.addCleanup(collector.close)
        name = self.name()
        self.ok("run", "-d", "--name", name, "--log-driver", "splunk", "--log-opt",
                f"splunk-url=http://127.0.0.1:{collector.port}", "--log-opt", "splunk-token=t", IMAGE, "sh", "-c",
                "echo never taken; while [ ! -e /go ]; do sleep 0.1; done; echo taken; sleep 600")
        # Away, not allowed and then refused for good: the lines behind go on.
        eventually(lambda: len(collector.requests) == 3, "three requests were refused", 60)
        self.ok("exec", name, "touch", "/go")
        eventually(lambda: [one["event"]["line"] for one in collector.events] == ["taken"], "the next line has come", 60)
        self.assertIn("splunk", self.engine.log())

    def test_a_receiver_that_comes_late_gets_everything(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = probe.getsockname()
        name = self.name()
        self.ok("run", "-d", "--name", name, "--log-driver", "fluentd", "--log-opt", f"fluentd-address=127.0.0.1:{address[1]}",
                IMAGE, "sh", "-c", "seq 1000 1299; sleep 600")
        eventually(lambda: "waits on disk" in self.engine.log(), "the engine says so")
        self.engine.kill()
        receiver = self.receiver(socket.AF_INET, socket.SOCK_STREAM, address)
        self.engine.start()
        eventually(lambda: receiver.text.count("container_id") >= 300, "all lines have come")
        lines = [int(line) for line in re.findall(r"log\xa4(\d{4})", b"".join(receiver.messages).decode("latin-1"))]
        self.assertEqual(lines, list(range(1000, 1300)))

    def test_none_and_bad_settings(self):
        name = self.run_with("echo unheard", "--log-driver", "none")
        self.fails(1, "logs", name, says="does not support reading")
        for flags, says in ((("--log-driver", "nope"), "no log driver named 'nope'"),
                            (("--log-driver", "splunk"), "failed to initialize logging driver: splunk: splunk-url is expected"),
                            (("--log-driver", "syslog", "--log-opt", "max-size=1m"), "unknown log opt 'max-size'"),
                            (("--log-driver", "syslog", "--log-opt", "syslog-address=http://x"), "unsupported scheme"),
                            (("--log-driver", "syslog", "--log-opt", "syslog-facility=nope"), "invalid syslog facility"),
                            (("--log-driver", "gelf"), "gelf-address"),
                            (("--log-opt", "tag={{.Nope}}"), "invalid log tag")):
            self.fails(125, "run", "--rm", *flags, IMAGE, "true", says=says)

    @unittest.skipUnless(os.path.exists("/run/systemd/journal/socket"), "this host has no journald")
    def test_journald(self):
        name = self.run_with("echo for the journal", "--log-driver", "journald")
        self.assertEqual(self.ok("logs", name).text, "for the journal")


class TotalSize(unittest.TestCase):
    def test_the_oldest_files_of_all_logs_go(self):
        engine = Engine("quota", flags=("--log-total-size", "3m"))
        self.addCleanup(engine.close)
        if engine.program[0].endswith("dockerd"):
            self.skipTest("docker differs: it has no bound on all logs")
        engine.start()
        engine.load_base_image()
        flags = ("--log-opt", "max-size=1m", "--log-opt", "max-file=5")
        for number in range(3):
            engine.ok("run", "--name", f"c{number}", *flags, IMAGE, "probe", "lines", "40000", "60", timeout=120)

        def total():
            folder = os.path.join(engine.data, "containers")
            return sum(os.path.getsize(os.path.join(path, name)) for path, _, names in os.walk(folder)
                       for name in names if re.fullmatch(r"log(\.\d+)?", name))
        eventually(lambda: total() <= 3 << 20, "the logs fit")
        self.assertTrue(engine.ok("logs", "--tail", "1", "c2").text)
        self.assertTrue(engine.ok("logs", "--tail", "1", "c0").text)
