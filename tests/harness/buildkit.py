"""A client of BuildKit's interface: what buildx does on /grpc and /session, by Debian's python3-grpcio. The messages
are made by protoc from berth's own definitions."""
import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent import futures

PROTO = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "src", "apps", "buildkit",
                     "proto")
GO_DIRECTORY, GO_SYMLINK = 1 << 31, 1 << 27


def available():
    """None, or why this machine cannot run such a client."""
    try:
        import google.protobuf  # noqa: F401
        import grpc  # noqa: F401
    except ImportError as missing:
        return f"{missing.name} is not installed (python3-grpcio)"
    return None


class Messages:
    """The generated modules: messages.control, messages.gateway, ..."""

    def __init__(self, folder):
        names = [name[:-6] for name in sorted(os.listdir(PROTO)) if name.endswith(".proto")]
        subprocess.run(["protoc", "-I", PROTO, f"--python_out={folder}", *(f"{name}.proto" for name in names)], check=True)
        sys.path.insert(0, folder)
        try:
            for name in names:
                setattr(self, name, __import__(f"{name}_pb2"))
        finally:
            sys.path.remove(folder)


def upgrade(socket_path, path, fields=()):
    """POST with "Upgrade: h2c"; the connection once the engine has said 101. Another answer: ValueError with it."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(socket_path)
    head = [f"POST {path} HTTP/1.1", "Host: berth", "Connection: Upgrade", "Upgrade: h2c", *fields]
    connection.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(1)
        if not piece:
            break
        answer += piece
    if b" 101 " not in answer.split(b"\r\n")[0]:
        connection.settimeout(5)
        with contextlib.suppress(OSError):
            answer += connection.recv(65536)
        connection.close()
        raise ValueError(answer.decode())
    return connection


def _copy(source, target):
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _end(connection):
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def relay(one, other):
    for source, target in ((one, other), (other, one)):
        threading.Thread(target=_copy, args=(source, target), daemon=True).start()


class Client:
    """Connections to one engine: `control` calls go over /grpc, the session's services are offered over /session."""

    def __init__(self, socket_path, messages, folder):
        import grpc
        self.grpc, self.messages, self.socket_path, self.folder = grpc, messages, socket_path, folder
        self.path = tempfile.mktemp(prefix="grpc.", dir=folder)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        threading.Thread(target=self._forward, daemon=True).start()
        self.channel = grpc.insecure_channel(f"unix:{self.path}")
        self.server = None
        self.session_socket = None

    def _forward(self):
        with contextlib.suppress(OSError):
            while True:
                inner, _ = self.listener.accept()
                relay(inner, upgrade(self.socket_path, "/grpc"))

    def close(self):
        self.channel.close()
        self.listener.close()
        if self.session_socket:
            self.session_socket.close()
        if self.server:
            self.server.stop(None)

    def call(self, method, request, answer, metadata=(), timeout=120):
        stub = self.channel.unary_unary(method, type(request).SerializeToString, answer.FromString)
        return stub(request, metadata=metadata, timeout=timeout)

    def stream(self, method, request, answer, timeout=120):
        stub = self.channel.unary_stream(method, type(request).SerializeToString, answer.FromString)
        return stub(request, timeout=timeout)

    def open_session(self, session_id, files):
        """`files` is a Files; its services are this client's."""
        self.server = self.grpc.server(futures.ThreadPoolExecutor(16))
        self.server.add_generic_rpc_handlers(files.handlers(self.grpc, self.messages))
        path = tempfile.mktemp(prefix="session.", dir=self.folder)
        self.server.add_insecure_port(f"unix:{path}")
        self.server.start()
        fields = [f"X-Docker-Expose-Session-Uuid: {session_id}", "X-Docker-Expose-Session-Name: test"]
        fields += [f"X-Docker-Expose-Session-Grpc-Method: {method}" for method in files.methods]
        self.session_socket = upgrade(self.socket_path, "/session", fields)
        inner = socket.socket(socket.AF_UNIX)
        inner.connect(path)
        relay(self.session_socket, inner)


class Files:
    """Directories (name -> {path: bytes}), secrets, and a place for results, as a session offers them. A path that ends
    with "/" is a directory; bytes may be ("link", target)."""
    methods = ("/moby.filesync.v1.FileSync/DiffCopy", "/moby.filesync.v1.FileSend/DiffCopy",
               "/moby.filesync.v1.Auth/Credentials", "/moby.buildkit.secrets.v1.Secrets/GetSecret",
               "/moby.sshforward.v1.SSH/CheckAgent", "/moby.sshforward.v1.SSH/ForwardAgent",
               "/containerd.services.content.v1.Content/Read", "/containerd.services.content.v1.Content/Write")

    def __init__(self, directories, secrets=None, stats=None, agents=None, stores=None):
        self.stores = stores or {}  # name -> {digest: bytes}: content stores, for caches
        self.directories, self.secrets = directories, secrets or {}
        self.agents = agents or {}  # id -> path of an agent's socket
        self.stats = stats          # what is sent instead of the lists of directories: for lies
        self.received = {}          # path -> bytes of a result that is a directory, or {"": bytes} of a file
        self.asked = []             # metadata of each DiffCopy

    def handlers(self, grpc, messages):
        self.given_up = grpc.RpcError
        packet, sync = messages.fsutil.Packet, messages.filesync

        def handler(service, method, stream, request, function):
            make = grpc.stream_stream_rpc_method_handler if stream else grpc.unary_unary_rpc_method_handler
            deserialize = request.FromString if request else None
            return grpc.method_handlers_generic_handler(service, {method: make(
                function, request_deserializer=deserialize, response_serializer=lambda message: message.SerializeToString())})

        return (
            handler("moby.filesync.v1.FileSync", "DiffCopy", True, packet,
                    lambda packets, context: self._send(packets, context, messages)),
            handler("moby.filesync.v1.FileSend", "DiffCopy", True, None,
                    lambda bytes_, context: self._receive(bytes_, messages)),
            handler("moby.filesync.v1.Auth", "Credentials", False, sync.CredentialsRequest,
                    lambda request, context: sync.CredentialsResponse()),
            handler("moby.buildkit.secrets.v1.Secrets", "GetSecret", False, messages.secrets.GetSecretRequest,
                    lambda request, context: self._secret(grpc, request, context, messages)),
            grpc.method_handlers_generic_handler("containerd.services.content.v1.Content", {
                "Info": grpc.unary_unary_rpc_method_handler(
                    lambda request, context: self._blob_info(grpc, request, context, messages),
                    messages.content.InfoRequest.FromString, lambda message: message.SerializeToString()),
                "Read": grpc.unary_stream_rpc_method_handler(
                    lambda request, context: self._read_blob(grpc, request, context, messages),
                    messages.content.ReadContentRequest.FromString, lambda message: message.SerializeToString()),
                "Write": grpc.stream_stream_rpc_method_handler(
                    lambda requests, context: self._write_blob(grpc, requests, context, messages),
                    messages.content.WriteContentRequest.FromString, lambda message: message.SerializeToString())}),
            grpc.method_handlers_generic_handler("moby.sshforward.v1.SSH", {
                "CheckAgent": grpc.unary_unary_rpc_method_handler(
                    lambda request, context: self._check_agent(grpc, request, context, messages),
                    messages.ssh.CheckAgentRequest.FromString, lambda message: message.SerializeToString()),
                "ForwardAgent": grpc.stream_stream_rpc_method_handler(
                    lambda pieces, context: self._forward_agent(pieces, context, messages),
                    messages.ssh.BytesMessage.FromString, lambda message: message.SerializeToString())}))

    def _store(self, context):
        return self.stores[dict(context.invocation_metadata())["buildkit-attachable-store-id"]]

    def _blob_info(self, grpc, request, context, messages):
        blob = self._store(context).get(request.digest)
        if blob is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"content {request.digest}: not found")
        return messages.content.InfoResponse(info=messages.content.Info(digest=request.digest, size=len(blob)))

    def _read_blob(self, grpc, request, context, messages):
        blob = self._store(context).get(request.digest)
        if blob is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"content {request.digest}: not found")
        for at in range(0, len(blob), 60000):
            yield messages.content.ReadContentResponse(offset=at, data=blob[at:at + 60000])

    def _write_blob(self, grpc, requests, context, messages):
        """As containerd's store: what is there already ends the stream, and a commit must be of what was announced."""
        store, data, expected = self._store(context), b"", None
        for request in requests:
            if request.expected in store:
                context.abort(grpc.StatusCode.ALREADY_EXISTS, f"content {request.expected}: already exists")
            expected = request.expected or expected
            if request.action != messages.content.STAT and request.offset != len(data):
                context.abort(grpc.StatusCode.OUT_OF_RANGE, f"write at {request.offset} instead of {len(data)}")
            data += request.data
            if request.action == messages.content.COMMIT:
                if (len(data), f"sha256:{hashlib.sha256(data).hexdigest()}") != (request.total, expected):
                    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "unexpected commit digest or size")
                store[expected] = data
            yield messages.content.WriteContentResponse(action=request.action, offset=len(data))

    def _check_agent(self, grpc, request, context, messages):
        if request.ID not in self.agents:
            context.abort(grpc.StatusCode.NOT_FOUND, f"unset ssh forward key {request.ID}")
        return messages.ssh.CheckAgentResponse()

    def _forward_agent(self, pieces, context, messages):
        agent = socket.socket(socket.AF_UNIX)
        agent.connect(self.agents[dict(context.invocation_metadata())["buildkit.ssh.id"]])
        # A call that is given up must not leave its thread waiting here: the interpreter's end waits for it.
        context.add_callback(lambda: _end(agent))

        def pump():
            # The call may be given up, and the agent end first.
            with contextlib.suppress(OSError, self.given_up):
                for piece in pieces:
                    agent.sendall(piece.data)
                agent.shutdown(socket.SHUT_WR)
        threading.Thread(target=pump, daemon=True).start()
        with agent:
            while piece := agent.recv(4096):
                yield messages.ssh.BytesMessage(data=piece)

    def _secret(self, grpc, request, context, messages):
        if request.id not in self.secrets:
            context.abort(grpc.StatusCode.NOT_FOUND, f"secret {request.id}: not found")
        return messages.secrets.GetSecretResponse(data=self.secrets[request.id])

    def _chosen(self, metadata):
        directory = self.directories.get(metadata["dir-name"][0], {})
        follow = metadata.get("followpaths")
        excluded = metadata.get("exclude-patterns", [])
        return {path: content for path, content in sorted(directory.items(), key=lambda item: item[0].split("/"))
                if (not follow or path in follow) and path.rstrip("/") not in excluded}

    def _send(self, packets, context, messages):
        packet, stat = messages.fsutil.Packet, messages.fsutil.Stat
        metadata = {}
        for key, value in context.invocation_metadata():
            metadata.setdefault(key, []).append(value)
        self.asked.append(metadata)
        contents = []
        for path, content in self._chosen(metadata).items():
            if path.endswith("/"):
                entry = stat(path=path.rstrip("/"), mode=GO_DIRECTORY | 0o755)
            elif isinstance(content, tuple):
                entry = stat(path=path, mode=GO_SYMLINK | 0o777, linkname=content[1])
            else:
                entry = stat(path=path, mode=0o644, size=len(content))
            contents.append(content)
            yield packet(type=packet.PACKET_STAT, stat=entry)
        for entry in self.stats or ():
            contents.append(b"x")
            yield packet(type=packet.PACKET_STAT, stat=entry)
        yield packet(type=packet.PACKET_STAT)
        for message in packets:
            if message.type == packet.PACKET_REQ:
                content = contents[message.id]
                for at in range(0, len(content), 20000):
                    yield packet(type=packet.PACKET_DATA, id=message.id, data=content[at:at + 20000])
                yield packet(type=packet.PACKET_DATA, id=message.id)
            elif message.type == packet.PACKET_FIN:
                yield packet(type=packet.PACKET_FIN)
                return

    def _receive(self, raw, messages):
        """A result: packets of a directory when the first message is a STAT, else pieces of a file."""
        packet = messages.fsutil.Packet
        listed, wanted = [], []
        for number, bytes_ in enumerate(raw):
            if number == 0:
                first = packet()
                with contextlib.suppress(Exception):
                    first.ParseFromString(bytes_)
                is_directory = first.HasField("stat")
            if not is_directory:
                piece = messages.filesync.BytesMessage.FromString(bytes_)
                self.received[""] = self.received.get("", b"") + piece.data
                continue
            message = packet.FromString(bytes_)
            if message.type == packet.PACKET_STAT and message.stat.path:
                listed.append(message.stat)
            elif message.type == packet.PACKET_STAT:
                wanted = [number for number, entry in enumerate(listed) if entry.mode & 0xffe80000 == 0]
                for number in wanted:
                    self.received[listed[number].path] = b""
                    yield packet(type=packet.PACKET_REQ, id=number)
                if not wanted:
                    yield packet(type=packet.PACKET_FIN)
            elif message.type == packet.PACKET_DATA and message.data:
                self.received[listed[message.id].path] += message.data
            elif message.type == packet.PACKET_DATA:
                wanted.remove(message.id)
                if not wanted:
                    yield packet(type=packet.PACKET_FIN)
            elif message.type == packet.PACKET_FIN:
                return
