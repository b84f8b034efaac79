"""A local docker-registry to pull from and to push to, and the image that travels."""
import os
import random
import shutil
import socket
import subprocess
import time

from harness.archives import directory, docker_archive, entry, tar

from .process import CommandFailed

NAME = "berth-bench/travel:1"


def travel_archive(path, mebibytes, files):
    """A docker archive of four gzip layers: `files` files, half of their bytes random and half text, kept in `path`."""
    if os.path.exists(path):
        return
    source = random.Random(7)
    size = mebibytes * (1 << 20) // files
    words = ("alpha beta gamma delta epsilon zeta eta theta iota kappa " * (size // 58 + 1)).encode()
    layers = []
    for layer in range(4):
        entries = [directory(f"data{layer}")] + [directory(f"data{layer}/{number}") for number in range(32)]
        for number in range(files // 4):
            content = source.randbytes(size // 2) + words[:size - size // 2]
            entries.append(entry(f"data{layer}/{number % 32}/{number}", data=content))
        layers.append(tar(entries))
    with open(path + ".new", "wb") as out:
        out.write(docker_archive("localhost/" + NAME, layers, {"Cmd": ["/true"]}, compression="gzip"))
    os.rename(path + ".new", path)


class Registry:
    """docker-registry with its data in `folder`. The processes of a benchmark share its loopback."""

    def __init__(self, folder):
        self.folder = folder
        self.process = None
        os.makedirs(folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % probe.getsockname()[1]
        self.settings = os.path.join(folder, "config.yml")
        with open(self.settings, "w") as out:
            out.write(f"version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {folder}/data}}\n"
                      f"http: {{addr: \"{self.address}\"}}\n")

    @staticmethod
    def installed():
        return bool(shutil.which("docker-registry") and shutil.which("skopeo"))

    def start(self):
        self.process = subprocess.Popen(["docker-registry", "serve", self.settings], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        host, port = self.address.split(":")
        while True:
            try:
                socket.create_connection((host, int(port)), timeout=5).close()
                return self
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise CommandFailed("docker-registry does not answer") from None
                time.sleep(0.05)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def empty(self):
        """Forgets everything, as a new registry."""
        self.stop()
        shutil.rmtree(os.path.join(self.folder, "data"), ignore_errors=True)
        self.start()
