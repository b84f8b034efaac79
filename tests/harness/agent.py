"""An SSH agent for tests: answers as ssh-agent does, with a key that is none, and remembers what it was asked."""
import os
import socket
import struct
import threading

IDENTITIES, SIGN, ADD, LOCK = 11, 13, 17, 22
KEY = b"a key that is none"


def message(kind, body=b""):
    return struct.pack(">IB", 1 + len(body), kind) + body


def text(value):
    return struct.pack(">I", len(value)) + value


ANSWERS = {IDENTITIES: message(12, struct.pack(">I", 1) + text(KEY) + text(b"test key")),
           SIGN: message(14, text(b"signed"))}
REFUSED = message(5)


class Agent:
    """Listens at .path until close(); .asked has the type of every message."""

    def __init__(self, folder, name="agent"):
        self.path = os.path.join(folder, name)
        self.asked = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o600)
        self.listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client.makefile("rwb"),), daemon=True).start()

    def _serve(self, client):
        while answer := self.answer(client.read):
            client.write(answer)
            client.flush()
        client.close()

    def answer(self, read):
        """The answer to the next message that read(size) gives; empty at the end."""
        head = read(5)
        if len(head) < 5:
            return b""
        size, kind = struct.unpack(">IB", head)
        read(size - 1)
        self.asked.append(kind)
        return ANSWERS.get(kind, message(6))
