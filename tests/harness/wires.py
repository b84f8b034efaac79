"""What lies between an engine and a registry: an HTTP proxy, and a cable that can be cut."""
import base64
import select
import socket
import threading
import time


def _pump(one, other, budget=None, passing=lambda towards, count: None):
    """Carries bytes both ways until one side ends; with a budget, until so many have gone from `one` to `other`. Tells
    `passing` of bytes before they go on."""
    sides = {one: other, other: one}
    carried = 0
    try:
        while True:
            ready, _, _ = select.select(list(sides), [], [], 60)
            if not ready:
                return carried
            for side in ready:
                data = side.recv(1 << 16)
                if not data:
                    return carried
                if side is one and budget is not None:
                    data = data[:budget - carried]
                passing(side is one, len(data))
                sides[side].sendall(data)
                if side is one:
                    carried += len(data)
                    if budget is not None and carried >= budget:
                        return carried
    except OSError:
        return carried
    finally:
        for side in sides:
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            side.close()


class _Listener:
    def __init__(self):
        self.lock = threading.Lock()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            self.serve(connection)
        except (OSError, ValueError):
            connection.close()

    def close(self):
        self.socket.close()


class Proxy(_Listener):
    """An HTTP proxy: CONNECT, and requests with whole URLs. `names` says where the hosts ("name:port") really are, so
    that only who asks the proxy finds them. With `password` it wants "user:password"."""

    def __init__(self, names, password=None):
        self.names, self.password = names, password
        self.journal = []  # ("CONNECT", "name:port") or ("GET", "http://name:port/...")
        self.headers = []
        super().__init__()

    def serve(self, connection):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(1 << 16)
            if not piece:
                return connection.close()
            head += piece
        head, _, rest = head.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        with self.lock:
            self.journal.append((method, target))
            self.headers.append(dict(line.split(": ", 1) for line in lines))
        wanted = "Basic " + base64.b64encode((self.password or "").encode()).decode()
        if self.password and f"proxy-authorization: {wanted}".lower() not in head.decode("latin-1").lower():
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"p\"\r\n"
                               b"Content-Length: 0\r\nConnection: close\r\n\r\n")
            return connection.close()
        host = target if method == "CONNECT" else target.split("/")[2]
        if host not in self.names:
            connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return connection.close()
        address, port = self.names[host].rsplit(":", 1)
        server = socket.create_connection((address, int(port)), timeout=60)
        if method == "CONNECT":
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            server.sendall(rest)
        else:
            path = "/" + target.split("/", 3)[3]
            kept = [line for line in lines if not line.lower().startswith(("proxy-", "connection:"))]
            server.sendall("\r\n".join([f"{method} {path} HTTP/1.1", *kept, "Connection: close", "", ""]).encode("latin-1") + rest)
        _pump(connection, server)


class Cable(_Listener):
    """Connections to a registry that go through here. cut() ends the next connection that carries as much towards
    it, after that many bytes. `pause`, in seconds, follows each piece that comes back: a line that is slow."""

    def __init__(self, to, pause=0.0):
        self.to = to
        self.pause = pause
        self.cuts = []  # budgets
        self.carried = self.returned = 0  # bytes towards the registry and back
        super().__init__()

    def passing(self, towards, count):
        with self.lock:
            if towards:
                self.carried += count
            else:
                self.returned += count
        if self.pause and not towards:
            time.sleep(self.pause)

    def cut(self, after):
        with self.lock:
            self.cuts.append(after)

    def serve(self, connection):
        address, port = self.to.rsplit(":", 1)
        server = socket.create_connection((address, int(port)), timeout=60)
        with self.lock:
            budget = self.cuts[0] if self.cuts else None
        carried = _pump(connection, server, budget, self.passing)
        with self.lock:
            if budget is not None and carried >= budget and budget in self.cuts:
                self.cuts.remove(budget)
