"""Git repositories made for a test, and servers on loopback that give them out: git's own daemon, and plain files over
HTTP."""
import http.server
import os
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


class FileServer:
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

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        self.url = f"http://{self.host}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
