"""Git repositories made for a test, and servers on loopback that give them out: git's own daemon, git's program
behind HTTP, OpenSSH, and plain files over HTTP."""
import http.server
import os
import pwd
import shutil
import socket
import subprocess
import threading

from harness.engine import eventually


def git_daemon():
    """The path of git's own server; None where git is not installed."""
    if not shutil.which("git"):
        return None
    path = os.path.join(subprocess.check_output(["git", "--exec-path"], text=True).strip(), "git-daemon")
    return path if os.access(path, os.X_OK) else None


def ssh_server():
    """The path of OpenSSH's server; None where it, or its client, is not installed."""
    path = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")
    return path if path and shutil.which("ssh-agent") else None


class Repository:
    """A repository with a working tree; `files`: text, or ("link", target)."""

    def __init__(self, folder, files, branch="main"):
        self.folder = folder
        os.makedirs(folder)
        self.git("init", "-q", "-b", branch)
        self.commit(files)

    def git(self, *words, input=None):
        env = {**os.environ, "HOME": self.folder, "GIT_CONFIG_NOSYSTEM": "1"}
        settings = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always"]
        return subprocess.run(["git", *settings, *words], cwd=self.folder, env=env, check=True, input=input, capture_output=True,
                              text=True).stdout.strip()

    def commit(self, files):
        """The new commit's name."""
        for name, text in files.items():
            path = os.path.join(self.folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if isinstance(text, tuple):
                os.symlink(text[1], path)
                continue
            with open(path, "w") as file:
                file.write(text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "files")
        return self.git("rev-parse", "HEAD")

    def commit_tree(self, *entries):
        """A commit of entries as `git mktree` reads them, which no working tree could make."""
        tree = self.git("mktree", "--missing", input="".join(entry + "\n" for entry in entries))
        commit = self.git("commit-tree", "-m", "tree", tree)
        self.git("update-ref", "refs/heads/main", commit)
        return commit


class GitDaemon:
    """Repositories below a folder, over git:// on loopback."""

    def __init__(self, folder):
        for _ in range(10):  # somebody else may take the port meanwhile
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
            self.process = subprocess.Popen(
                [git_daemon(), "--reuseaddr", "--export-all", "--listen=127.0.0.1", f"--port={self.port}", f"--base-path={folder}", folder],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            eventually(lambda: self.process.poll() is not None or self.answers(), "git-daemon listens", within=60.0)
            if self.process.poll() is None:
                return
        raise AssertionError("git-daemon does not start")

    @property
    def url(self):
        return f"git://127.0.0.1:{self.port}"

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def close(self):
        self.process.terminate()
        self.process.wait(30)


class _Served:
    """A handler's server on loopback, on a thread of its own."""

    def __init__(self, handler):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        self.url = f"http://{self.host}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class SmartServer(_Served):
    """Repositories below a folder over HTTP on loopback by git's own program for that, asked as a server's CGI;
    `authorization`: the header without which the answer is 401."""

    def __init__(self, folder, authorization=None):
        services = self.services = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(handler):
                if authorization and handler.headers.get("Authorization") != authorization:
                    handler.send_response(401)
                    handler.send_header("WWW-Authenticate", 'Basic realm="git"')
                    handler.send_header("Content-Length", "0")
                    handler.end_headers()
                    return
                path, _, query = handler.path.partition("?")
                services.append(path.rsplit("/", 1)[-1])
                body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
                if handler.headers.get("Transfer-Encoding") == "chunked":
                    while (size := int(handler.rfile.readline(), 16)) > 0:
                        body += handler.rfile.read(size)
                        handler.rfile.readline()
                    handler.rfile.readline()
                env = {"PATH": os.environ["PATH"], "HOME": folder, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory",
                       "GIT_CONFIG_VALUE_0": "*", "GIT_PROJECT_ROOT": folder, "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
                       "QUERY_STRING": query, "REQUEST_METHOD": handler.command, "CONTENT_TYPE": handler.headers.get("Content-Type") or "",
                       "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding") or "",
                       "GIT_PROTOCOL": handler.headers.get("Git-Protocol") or "", "REMOTE_ADDR": "127.0.0.1"}
                said = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=True).stdout
                head, _, content = said.partition(b"\r\n\r\n")
                fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
                handler.send_response(int(fields.pop("Status", "200").split()[0]))
                for name, value in fields.items():
                    handler.send_header(name, value)
                handler.send_header("Content-Length", str(len(content)))
                handler.end_headers()
                handler.wfile.write(content)

            do_GET = do_POST = answer

            def log_message(handler, *arguments):
                pass

        super().__init__(Handler)


class SshServer:
    """OpenSSH's server on loopback with keys of its own. It lets `key` in alone, as the tests' own user, and an agent
    of its own has that key: `agent` is its socket."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("host", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.path.join(folder, name)], check=True)
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        for _ in range(10):  # somebody else may take the port meanwhile
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
            self.process = subprocess.Popen(
                [ssh_server(), "-D", "-e", "-f", "/dev/null", "-h", os.path.join(folder, "host"), "-p", str(self.port),
                 *[word for setting in ("ListenAddress=127.0.0.1", f"AuthorizedKeysFile={folder}/key.pub", "StrictModes=no", "UsePAM=no",
                                        "PidFile=none", "PermitRootLogin=yes", "PasswordAuthentication=no", "KbdInteractiveAuthentication=no",
                                        "MaxStartups=100") for word in ("-o", setting)]],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(os.path.join(folder, "log"), "w"))
            eventually(lambda: self.process.poll() is not None or "Server listening" in self.said(), "sshd listens", within=60.0)
            if self.process.poll() is None:
                break
        else:
            raise AssertionError(f"sshd does not start: {self.said()}")
        self.agent = os.path.join(folder, "agent")
        self.agent_process = subprocess.Popen(["ssh-agent", "-D", "-a", self.agent], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        eventually(lambda: os.path.exists(self.agent), "the agent listens", within=60.0)
        subprocess.run(["ssh-add", "-q", os.path.join(folder, "key")], check=True, env={**os.environ, "SSH_AUTH_SOCK": self.agent},
                       stdin=subprocess.DEVNULL, capture_output=True)

    @property
    def url(self):
        return f"ssh://{pwd.getpwuid(os.getuid()).pw_name}@127.0.0.1:{self.port}"

    def said(self):
        with open(os.path.join(self.folder, "log")) as log:
            return log.read()

    def close(self):
        for process in (self.process, self.agent_process):
            process.terminate()
            process.wait(30)


class FileServer(_Served):
    """The files of a folder over HTTP on loopback; `authorization`: the header without which the answer is 401."""

    def __init__(self, folder, authorization=None):
        asked = self.asked = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(handler, *arguments):
                super().__init__(*arguments, directory=folder)

            def do_GET(handler):
                asked.append(handler.path)
                if authorization and handler.headers.get("Authorization") != authorization:
                    handler.send_error(401)
                    return
                super().do_GET()

            def log_message(handler, *arguments):
                pass

        super().__init__(Handler)
