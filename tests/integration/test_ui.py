"""berth ui: who may talk to its server, and the page in a headless Chromium."""
import base64
import gzip
import http.client
import json
import os
import re
import signal
import socket
import struct
import unittest

from harness import browser
from harness.engine import IMAGE, EngineCase, Lines, eventually

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


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


class Server(UiCase):
    def test_the_page_and_its_files_are_there_and_small(self):
        status, headers, body = self.ui.request("GET", "/")
        self.assertEqual((status, headers["Content-Type"], headers["Content-Encoding"]), (200, "text/html; charset=utf-8", "gzip"))
        page = gzip.decompress(body).decode()
        size, seen, waiting = len(body), {"/"}, [page]
        while waiting:
            for name in re.findall(r"(?:src=|href=|from |import\()\"(?:\./)?([\w.]+)\"", waiting.pop()):
                if name in seen or "." not in name:
                    continue
                seen.add(name)
                status, _, body = self.ui.request("GET", f"/{name}")
                self.assertEqual(status, 200, name)
                size += len(body)
                waiting.append(gzip.decompress(body).decode())
        self.assertGreater(len(seen), 15)
        self.assertLess(size, 100_000)
        self.assertEqual(self.status("GET", "/no-such-file.js"), 404)
        self.assertEqual(self.status("POST", "/style.css", {}), 405)

    def test_security_headers(self):
        for path in ("/", "/app.js", "/api/version", "/api/no-such-thing", "/nothing"):
            _, headers, _ = self.ui.request("GET", path)
            policy = headers["Content-Security-Policy"]
            for part in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"):
                self.assertIn(part, policy)
            self.assertNotIn("unsafe", policy)
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
            self.assertEqual(headers["X-Frame-Options"], "DENY")
            self.assertEqual(headers["Referrer-Policy"], "no-referrer")
            self.assertIsNone(headers["Access-Control-Allow-Origin"])

    def test_the_token_opens_and_nothing_else_does(self):
        headers = self.ui.sign_in()
        cookie = headers["Set-Cookie"]
        self.assertIn("HttpOnly", cookie)
        self.assertIn("SameSite=Strict", cookie)
        self.assertNotIn(self.ui.token, cookie)
        for token in ("", "0" * 64, self.ui.token[:-1], None, 5, self.ui.token.upper()):
            if token != self.ui.token:
                self.assertEqual(self.status("POST", "/session", {"token": token}), 401, token)
        self.assertEqual(self.status("POST", "/session", [self.ui.token]), 401)
        self.assertEqual(self.status("GET", "/session"), 405)

    def test_cookie_and_key_are_both_wanted(self):
        self.assertEqual(self.status("GET", "/api/version"), 200)
        self.assertEqual(self.status("GET", "/api/version", headers={"Berth-Key": None}), 401)
        self.assertEqual(self.status("GET", "/api/version", headers={"Cookie": None}), 401)
        self.assertEqual(self.status("GET", "/api/version", headers={"Berth-Key": self.ui.token}), 401)
        status, _, body = self.ui.request("GET", "/api/version", headers={"Cookie": None, "Berth-Key": None})
        self.assertEqual(status, 401)
        self.assertIn("berth ui", json.loads(body)["message"])

    def test_other_pages_and_rebound_names_are_refused(self):
        for host in ("evil.example", f"evil.example:{self.ui.port}", "127.0.0.1.evil.example", ""):
            for path in ("/", "/api/version"):
                self.assertEqual(self.status("GET", path, headers={"Host": host}), 421, host)
        self.assertEqual(self.status("GET", "/api/version", headers={"Host": f"localhost:{self.ui.port}"}), 200)
        for origin in ("http://evil.example", "null", "http://127.0.0.1:1", f"https://127.0.0.1:{self.ui.port}"):
            self.assertEqual(self.status("GET", "/api/version", headers={"Origin": origin}), 403, origin)
            self.assertEqual(self.status("POST", "/session", {"token": self.ui.token}, headers={"Origin": origin}), 403, origin)
        for site in ("cross-site", "same-site"):
            self.assertEqual(self.status("GET", "/api/version", headers={"Sec-Fetch-Site": site}), 403, site)

    def test_only_what_the_page_needs_is_passed_on(self):
        for method, path in (("POST", "/api/containers/create"), ("POST", "/api/build"), ("GET", "/api/containers/x/archive?path=/"),
                             ("POST", "/api/images/create?fromImage=x"), ("DELETE", "/api/images/../containers/x"), ("GET", "/api/events"),
                             ("GET", "/api/%2e%2e/version"), ("POST", "/api/commit")):
            self.assertEqual(self.status(method, path, {} if method == "POST" else None), 403, path)
        status, _, body = self.ui.request("GET", "/api/containers/no-such/json")
        self.assertEqual(status, 404)
        self.assertIn("no-such", json.loads(body)["message"])

    def test_start_and_stop(self):
        name = self.start("sleep", "1000")
        self.assertEqual(self.status("POST", f"/api/containers/{name}/stop?t=0"), 204)
        self.assertEqual(self.status("POST", f"/api/containers/{name}/stop"), 204)  # docker's 304
        self.assertEqual(self.status("POST", f"/api/containers/{name}/start"), 204)
        self.engine.wait_for_status(name, "running")

    def test_streams_over_websockets(self):
        name = self.start("sh", "-c", "echo one; echo two >&2; sleep 1000")
        status, wire = self.ui.websocket(f"/stream/containers/{name}/logs?stdout=1&stderr=1&follow=1")
        self.assertEqual(status, 101)
        opcode, head = wire.message()
        self.assertEqual((opcode, json.loads(head)["type"]), (1, "application/vnd.docker.multiplexed-stream"))
        wire.until(b"two\n")
        wire.send(b"\x03\xe8", opcode=8)
        self.assertEqual(wire.message()[0], 8)
        wire.close()
        status, wire = self.ui.websocket("/stream/containers/no-such/logs?stdout=1")
        self.assertEqual(json.loads(wire.message()[1])["status"], 404)
        self.assertEqual(wire.message()[0], 8)
        wire.close()

    def test_websockets_are_guarded_too(self):
        for headers, wanted in (({"Origin": None}, 403), ({"Origin": "http://evil.example"}, 403), ({"Host": "evil.example"}, 421),
                                ({"Cookie": None}, 401), ({"Sec-WebSocket-Protocol": "berth"}, 401), ({"Upgrade": None}, 400),
                                ({"Sec-WebSocket-Version": "8"}, 400)):
            status, wire = self.ui.websocket("/stream/events", **headers)
            wire.close()
            self.assertEqual(status, wanted, headers)
        status, wire = self.ui.websocket("/stream/version")
        wire.close()
        self.assertEqual(status, 403)

    def exec_in(self, name, *command):
        status, _, body = self.ui.request("POST", f"/api/containers/{name}/exec", {
            "Cmd": list(command), "Tty": True, "AttachStdin": True, "AttachStdout": True, "AttachStderr": True})
        self.assertEqual(status, 201, body)
        status, wire = self.ui.websocket(f"/stream/exec/{json.loads(body)['Id']}/start")
        self.assertEqual(status, 101)
        self.assertEqual(json.loads(wire.message()[1])["status"], 101)
        return wire

    def test_a_terminal_and_nothing_of_it_stays(self):
        name = self.start("sleep", "1000")
        wire = self.exec_in(name, "sh")
        wire.send(b"echo $((6*7))\n")
        wire.until(b"42")
        wire.close()
        # The page has gone, and with it the shell.
        eventually(lambda: len(self.ok("top", name).lines) == 2, "the shell has ended")

    def test_a_terminal_takes_more_than_its_program_reads(self):
        """Both directions are full at once, and go on."""
        name = self.start("sleep", "1000")
        wire = self.exec_in(name, "sh", "-c", "stty raw -echo; echo ready; cat")
        wire.until(b"ready")
        size = 1 << 20
        piece = bytes(range(65, 91)) * 1000
        sent = 0
        import threading
        def pour():
            nonlocal sent
            while sent < size:
                wire.send(piece)
                sent += len(piece)
        thread = threading.Thread(target=pour)
        thread.start()
        got = 0
        while got < size:
            opcode, payload = wire.message()
            self.assertEqual(opcode, 2)
            got += len(payload)
        thread.join(60)
        wire.close()

    def test_hostile_bytes(self):
        for bad in (b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
                    b"POST /session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n",
                    b"POST /session HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20000 + b"\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", self.ui.port), timeout=60) as raw:
                raw.sendall(bad)
                answer = raw.makefile("rb").read()
            self.assertRegex(answer[:12], rb"HTTP/1\.1 4\d\d", bad[:60])
        status, wire = self.ui.websocket("/stream/events")
        wire.message()
        wire.raw.sendall(b"\xff\x00" * 50)  # not masked, reserved bits
        opcode = None
        while opcode != 8:
            opcode, payload = wire.message()
        self.assertEqual(payload, b"\x03\xea")
        wire.close()
        self.assertEqual(self.status("GET", "/api/version"), 200)

    def test_a_taken_port_and_the_end(self):
        self.fails(1, "ui", "--port", str(self.ui.port), says=["is taken", "--port"])
        own = Ui(self.engine, "--port", "0")
        own.process.send_signal(signal.SIGTERM)
        self.assertEqual(own.process.wait(timeout=30), 0)
        own.close()

    def test_an_engine_that_goes_and_comes(self):
        self.engine.kill()
        try:
            status, _, body = self.ui.request("GET", "/api/version")
            self.assertEqual(status, 502)
            self.assertIn("does not answer", json.loads(body)["message"])
        finally:
            self.engine.start()
        self.assertEqual(self.status("GET", "/api/version"), 200)


@unittest.skipIf(browser.missing(), browser.missing() or "")
class Page(UiCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.browser = browser.Browser()
        except BaseException:
            super().tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.browser.visit("about:blank")
        self.browser.size(1280, 800)
        self.browser.visit(self.ui.address)
        self.browser.wait("h1")

    def tearDown(self):
        # No test leaves errors of scripts or breaches of the content security policy.
        complaints = [line for line in self.browser.console() if "Failed to load resource" not in line and "WebSocket connection" not in line]
        super().tearDown()
        self.assertEqual(complaints, [])

    def row(self, name):
        self.browser.wait(f'tr[data-id="{self.engine.inspect(name)["Id"]}"]')
        return f'tr[data-id="{self.engine.inspect(name)["Id"]}"]'

    def test_signing_in(self):
        page = self.browser
        self.assertEqual(page.run("return location.hash"), "#/containers")  # the token is out of the address
        self.assertEqual(page.run("return document.cookie"), "")  # and the cookie out of scripts' reach
        page.run("localStorage.clear()")
        page.visit("about:blank")
        page.visit(f"http://127.0.0.1:{self.ui.port}/")
        page.wait_for_text("h1", "Sign in")
        page.click("#token")
        page.type("wrong", "Enter")
        page.wait_for_text(".problem", "not the token")
        page.click("#token")
        page.type(self.ui.address, "Enter")
        page.wait_for_text("h1", "Containers")

    def test_an_empty_engine_says_what_to_do(self):
        self.browser.wait_for_text(".empty", "No containers yet")
        self.browser.click('a[data-view="volumes"]')
        self.browser.wait_for_text(".empty", "berth volume create")
        self.browser.click('a[data-view="networks"]')
        self.browser.wait_for_text("main", "bridge")
        self.browser.click('a[data-view="images"]')
        self.browser.wait_for_text("main", IMAGE)

    def test_a_container_comes_stops_starts_and_goes(self):
        page = self.browser
        page.wait_for_text("main", "No containers yet")
        name = self.start("sleep", "1000", flags=("-p", "127.0.0.1::80", "--stop-signal", "KILL"))
        row = self.row(name)  # by an event, without a reload
        page.wait_for_text(row, "Up")
        port = self.ok("port", name, "80").text.rsplit(":", 1)[1]
        self.assertEqual(page.run("return document.querySelector(arguments[0]).href", f"{row} a.port"), f"http://127.0.0.1:{port}/")
        page.wait_for_text(f"{row} .cpu", "%")
        page.wait_for_text(f"{row} .memory", "B")
        page.click(f'{row} [data-verb="stop"]')
        page.wait_for_text(row, "Exited")
        page.wait_for_text("#toasts", f"{name} stopped")
        page.click(f'{row} [data-verb="start"]')
        self.engine.wait_for_status(name, "running")
        page.wait_for_text(row, "Up")
        page.click(f'{row} [data-verb="remove"]')
        page.click("dialog button.danger")
        eventually(lambda: not page.find(row), "the row has gone")
        self.fails(1, "inspect", name)

    def test_the_filter_and_the_switch(self):
        page = self.browser
        one = self.start("sleep", "1000", flags=("--label", "colour=green"))
        other = self.name()
        self.ok("create", "--name", other, IMAGE, "true")
        self.row(one)
        self.row(other)
        names = lambda: page.run("return [...document.querySelectorAll('tbody a.name')].map(a => a.textContent)")
        page.type("/")
        page.type("GREEN")
        eventually(lambda: names() == [one], "one by its label")
        page.type("xyz")
        page.wait_for_text(".empty", "None of 2 containers matches")
        page.click(".empty button")
        eventually(lambda: sorted(names()) == sorted([one, other]), "both")
        page.click(".switch button:nth-child(3)")
        eventually(lambda: names() == [other], "what does not run")

    def test_keys(self):
        page = self.browser
        page.type("?")
        page.wait("dialog.help[open]")
        self.assertIn("Restart it", page.text("dialog.help"))
        page.type("", "Escape")
        eventually(lambda: not page.find("dialog"), "the overlay has gone")
        name = self.start("sh", "-c", "echo hello from here; sleep 1000", flags=("--stop-signal", "KILL"))
        self.row(name)
        page.type("j")
        eventually(lambda: page.focused() == name, "the row has the focus")
        page.type("l")
        page.wait_for_text(".log", "hello from here")
        page.type("", "Escape")
        page.wait_for_text("h1", "Containers")
        page.type("3")
        page.wait_for_text("h1", "Networks")
        page.type("1")
        self.row(name)
        page.type("j")
        page.type("s")
        self.engine.wait_for_status(name, "exited")
        page.type("x")
        page.wait("dialog[open]")
        page.type("", "Escape")
        eventually(lambda: not page.find("dialog"), "it was not meant")
        self.assertEqual(self.engine.inspect(name)["State"]["Status"], "exited")

    def test_logs_live(self):
        page = self.browser
        name = self.start("sh", "-c", "printf '\\033[31mred\\033[0m plain\\n'; echo bad >&2; while read line; do echo got $line; done", flags=("-i",))
        page.visit(f"http://127.0.0.1:{self.ui.port}/#/containers/{self.engine.inspect(name)['Id']}/logs")
        page.wait_for_text(".log", "red plain")
        page.wait_for_text(".log .error", "bad")
        self.assertEqual(page.text(".log .fg1"), "red")
        with self.engine.popen("attach", name, stdin=-1) as client:
            client.stdin.write(b"later\n")
            client.stdin.flush()
            page.wait_for_text(".log", "got later")
        page.type("/")
        page.type("later")
        eventually(lambda: page.text(".log").strip() == "got later", "the filter")

    def test_charts_live(self):
        page = self.browser
        name = self.start("sh", "-c", "while :; do :; done")
        page.visit(f"http://127.0.0.1:{self.ui.port}/#/containers/{self.engine.inspect(name)['Id']}/stats")
        for title in ("CPU", "Memory", "Network", "Block devices"):
            page.wait_for_text(".charts", title)
        eventually(lambda: page.run("return document.querySelector('.chart .stroke').getAttribute('d')?.split('L').length > 2"), "CPU has a line")
        eventually(lambda: float(page.text(".chart .now").rstrip(" %") or 0) > 5, "a busy loop shows")
        self.assertIn("CPU", page.run("return document.querySelector('.chart svg').getAttribute('aria-label')"))

    def test_a_terminal(self):
        page = self.browser
        name = self.start("sleep", "1000")
        page.visit(f"http://127.0.0.1:{self.ui.port}/#/containers/{self.engine.inspect(name)['Id']}/terminal")
        eventually(lambda: "Terminal input" in page.focused(), "the terminal has the focus")
        page.wait(".t-cursor")
        page.type("echo $((6*7)); printf '\\033[32mgreen\\033[0m\\n'; stty size", "Enter")
        page.wait_for_text(".rows", "\n42\n")
        eventually(lambda: page.text(".rows .fg2") == "green", "colours")
        rows, columns = map(int, eventually(lambda: re.search(r"\n(\d+) (\d+)\n", page.text(".rows")), "it knows its size").groups())
        self.assertNotEqual((rows, columns), (24, 80))
        self.assertGreater(columns, 100)  # of a window of 1,280 pixels
        page.type("exit", "Enter")
        page.wait_for_text(".toolbar", "Ended with 0")

    def test_the_screen(self):
        """The terminal's emulation by itself: what is written, and what stands there then."""
        def screen(text, columns=10, rows=4):
            return self.browser.run("""
                const {Screen} = await import('/screen.js');
                const replies = [];
                const screen = new Screen(arguments[1], arguments[2], text => replies.push(text));
                for (const piece of arguments[0].match(/[^]{1,3}/gu) ?? []) screen.write(piece);
                return {lines: screen.lines.map(row => row.text.join('').trimEnd()), x: screen.x, y: screen.y, replies,
                        back: screen.scrollback.length, title: screen.title, modes: screen.modes};""", text, columns, rows)
        self.assertEqual(screen("ab\r\ncd")["lines"], ["ab", "cd", "", ""])
        self.assertEqual(screen("0123456789ab")["lines"][:2], ["0123456789", "ab"])
        self.assertEqual(screen("abc\x1b[2D\x1b[K")["lines"][0], "a")
        self.assertEqual(screen("\x1b[3;4Hx")["lines"], ["", "", "   x", ""])
        self.assertEqual(screen("a\r\nb\r\nc\r\nd\r\ne")["lines"], ["b", "c", "d", "e"])
        self.assertEqual(screen("a\r\nb\r\nc\r\nd\r\ne")["back"], 1)
        self.assertEqual(screen("1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[3;1H\n")["lines"], ["1", "3", "", "4"])
        self.assertEqual(screen("1\r\n2\r\n3\x1b[2;1H\x1b[L")["lines"], ["1", "", "2", "3"])
        self.assertEqual(screen("1\r\n2\r\n3\x1b[1;1H\x1b[M")["lines"], ["2", "3", "", ""])
        self.assertEqual(screen("abcdef\x1b[1;2H\x1b[2P")["lines"][0], "adef")
        self.assertEqual(screen("abc\x1b[1;2H\x1b[2@")["lines"][0], "a  bc")
        self.assertEqual(screen("main\x1b[?1049hother")["lines"][0], "    other")
        self.assertEqual(screen("main\x1b[?1049hother\x1b[?1049l")["lines"][0], "main")
        self.assertEqual(screen("a\x1b]0;title\x07b\x1b]2;t2\x1b\\c")["lines"][0], "abc")
        self.assertEqual(screen("\x1b]0;title\x07")["title"], "title")
        self.assertEqual(screen("ab\x1b[6n")["replies"], ["\x1b[1;3R"])
        self.assertEqual(screen("\x1b(0lqk\x1b(B")["lines"][0], "┌─┐")
        self.assertEqual(screen("漢字x")["x"], 5)
        self.assertEqual(screen("e\u0301x")["lines"][0], "e\u0301x")
        self.assertEqual(screen("x\x1b[5b")["lines"][0], "xxxxxx")
        self.assertTrue(screen("\x1b[?2004h")["modes"]["bracketedPaste"])
        # Hostile: bounded, and the next letter is a letter again.
        for bad in ("\x1b[" + "9;" * 5000 + "m", "\x1b[999999999;999999999H", "\x1b[99999L", "\x1b[99999S", "\x1b]0;" + "x" * 100000 + "\x07",
                    "\x1b[99999b", "\x1b[?99999h", "\x1b[38;5m\x1b[48;2;1m", "\x1bP" + "y" * 9000 + "\x1b\\", "\x1b[4h" + "z" * 500):
            self.assertIn("ok", "".join(screen(bad + "\x1bc" + "ok")["lines"]), bad[:20])

    def test_names_and_texts_of_containers_are_no_markup(self):
        page = self.browser
        name = self.start("sh", "-c", "echo \"$EVIL\"; sleep 1000",
                          flags=("--label", f"com.docker.compose.project={HOSTILE}", "--label", "<b>bold</b>=1", "-e", f"EVIL={HOSTILE}"))
        page.wait_for_text(self.row(name), "<img src=x")
        ident = self.engine.inspect(name)["Id"]
        for tab in ("overview", "inspect", "logs"):
            page.visit(f"http://127.0.0.1:{self.ui.port}/#/containers/{ident}/{tab}")
            page.wait_for_text(".panel", "onerror=")
        page.click('a[data-view="events"]')
        page.wait_for_text("main", name)
        self.assertNotEqual(page.run("return document.title"), "owned")
        self.assertEqual(page.run("return document.querySelectorAll('main img, main script').length"), 0)

    def test_a_dead_engine_is_told_and_comes_back(self):
        page = self.browser
        page.wait_for_text("#about", "API")
        self.engine.kill()
        try:
            page.wait_for_text("#banner", "Nothing new from the engine")
        finally:
            self.engine.start()
        eventually(lambda: page.text("#banner") == "", "the banner has gone")
        name = self.start("sleep", "1000")
        self.row(name)

    def test_light_dark_and_narrow(self):
        page = self.browser
        background = lambda: page.run("return getComputedStyle(document.body).backgroundColor")
        page.run("localStorage.removeItem('theme')")
        page.colours("light")
        light = eventually(background, "a colour")
        page.colours("dark")
        eventually(lambda: background() != light, "the system's wish is followed")
        page.type("d")  # from the system's to light
        eventually(lambda: background() == light, "the switch is stronger")
        page.type("dd")
        self.start("sleep", "1000", flags=("--name", self.name("a-rather-long-name-for-a-narrow-page")))
        page.size(360, 740)
        for view in ("containers", "images", "networks", "volumes", "events"):
            page.click(f'a[data-view="{view}"]')
            page.wait("h1")
            self.assertLessEqual(page.run("return document.documentElement.scrollWidth"), 360, view)

    def test_every_control_has_a_name(self):
        page = self.browser
        name = self.start("sleep", "1000")
        self.row(name)
        ident = self.engine.inspect(name)["Id"]
        for place in ("containers", "images", "networks", "volumes", "events", *(f"containers/{ident}/{tab}" for tab in ("overview", "logs", "stats", "terminal", "inspect"))):
            page.visit(f"http://127.0.0.1:{self.ui.port}/#/{place}")
            page.wait("h1")
            nameless = page.run("""
                return [...document.querySelectorAll('button, a, input, textarea, svg[role=img], [role=tab]')]
                    .filter(node => !(node.getAttribute('aria-label') || node.textContent.trim() || node.labels?.[0]?.textContent.trim()))
                    .map(node => node.outerHTML.slice(0, 200));""")
            self.assertEqual(nameless, [], place)


if __name__ == "__main__":
    unittest.main()
