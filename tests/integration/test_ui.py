"""berth ui: who may talk to its server, and what it passes on."""
import gzip
import json
import re
import signal
import socket
import threading
import unittest

from harness.engine import eventually
from harness.ui import Ui, UiCase


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
        for until in (b"42", b"# ", None):  # while it answers, at its prompt, before it has said anything
            wire = self.exec_in(name, "sh")
            if until is not None:
                wire.send(b"echo $((6*7))\n")
                wire.until(until)
            wire.close()
            # The page has gone, and with it the shell.
            eventually(lambda: len(self.ok("top", name).lines) == 2, lambda: f"the shell has ended: {self.ok('top', name).out}")

    def test_a_terminal_takes_more_than_its_program_reads(self):
        """Both directions are full at once, and go on."""
        name = self.start("sleep", "1000")
        wire = self.exec_in(name, "sh", "-c", "stty raw -echo; echo ready; cat")
        wire.until(b"ready")
        size = 1 << 20
        piece = bytes(range(65, 91)) * 1000
        sent = 0

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


if __name__ == "__main__":
    unittest.main()
