"""Images and build contexts to measure with, made here and from the distribution's packages: no registry."""
import gzip
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import tarfile

SMALL = "localhost/berth-bench:small"
DEBIAN = "localhost/berth-bench:debian"
APPLETS = ("sh", "cat", "chmod", "cp", "echo", "find", "ls", "md5sum", "mkdir", "sort", "tr", "wc")


def _entry(name, mode, kind=tarfile.REGTYPE, size=0, link=""):
    entry = tarfile.TarInfo(name)
    entry.mode, entry.type, entry.size, entry.linkname = mode, kind, size, link
    return entry


def small_root(programs, busybox="/bin/busybox"):
    """The files of the small image: (TarInfo, bytes) pairs. `programs` is where true, idle and lines were built."""
    files = [(_entry(name, 0o755, tarfile.DIRTYPE), b"") for name in ("bin", "dev", "etc", "proc", "sys")]
    files.append((_entry("tmp", 0o1777, tarfile.DIRTYPE), b""))
    for source, name in [(busybox, "bin/busybox")] + [
        (os.path.join(programs, program), program) for program in ("true", "idle", "lines")
    ]:
        with open(source, "rb") as binary:
            data = binary.read()
        files.append((_entry(name, 0o755, size=len(data)), data))
    files += [(_entry(f"bin/{applet}", 0o777, tarfile.SYMTYPE, link="busybox"), b"") for applet in APPLETS]
    return files


def write_root(files, directory):
    """Unpacks small_root() into a directory, for the runtimes that take a prepared root instead of an image."""
    for entry, data in files:
        path = os.path.join(directory, entry.name)
        if entry.isdir():
            os.makedirs(path)
            os.chmod(path, entry.mode)
        elif entry.issym():
            os.symlink(entry.linkname, path)
        else:
            with open(path, "wb") as out:
                out.write(data)
            os.chmod(path, entry.mode)


def write_archive(path, tag, plain_layer, layer_bytes):
    """A docker-archive with one layer: layer_bytes as they are to be stored, plain_layer for the diff id."""
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "created": "2024-01-01T00:00:00Z",
        "config": {"Env": ["PATH=/bin:/usr/bin:/sbin:/usr/sbin"], "Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(plain_layer).hexdigest()]},
        "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "bench"}],
    }).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [tag], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(path, "w") as archive:
        for name, data in ((config_name, config), ("layer.tar", layer_bytes), ("manifest.json", manifest)):
            archive.addfile(_entry(name, 0o644, size=len(data)), io.BytesIO(data))


def small_archive(path, files):
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as layer:
        for entry, data in files:
            layer.addfile(entry, io.BytesIO(data))
    write_archive(path, SMALL, plain.getvalue(), plain.getvalue())


def debian_archive(path):
    """A Debian base system with its layer compressed by gzip. Takes the network once; the result is kept."""
    if os.path.exists(path):
        return
    plain = path + ".layer"
    subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "--include=python3-minimal,ca-certificates",
                    "bookworm", plain + ".tar"], check=True, stdin=subprocess.DEVNULL)
    with open(plain + ".tar", "rb") as layer:
        data = layer.read()
    write_archive(path + ".new", DEBIAN, data, gzip.compress(data, 6, mtime=0))
    os.unlink(plain + ".tar")
    os.rename(path + ".new", path)


DOCKERFILE = f"""FROM {SMALL} AS build
WORKDIR /src
COPY files/ ./
RUN cat *.txt > /all.txt
RUN sort /all.txt | md5sum > /sum.txt

FROM {SMALL}
RUN mkdir -p /app && echo made > /app/made
COPY --from=build /all.txt /sum.txt /app/
RUN chmod 0644 /app/all.txt && wc -l /app/all.txt > /app/lines
ENV APP=/app
CMD ["/bin/cat", "/app/sum.txt"]
"""


def build_context(directory):
    """A context of 200 files (some 800 KiB), the same on every run."""
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(os.path.join(directory, "files"))
    with open(os.path.join(directory, "Dockerfile"), "w") as dockerfile:
        dockerfile.write(DOCKERFILE)
    source = random.Random(1)
    for number in range(200):
        with open(os.path.join(directory, "files", f"{number:03}.txt"), "w") as out:
            out.writelines(f"{source.getrandbits(120):030x}\n" for _ in range(source.randrange(20, 250)))


def change_one_file(directory, token):
    with open(os.path.join(directory, "files", "100.txt"), "w") as out:
        out.write(f"changed {token}\n")


def forget(path):
    shutil.rmtree(path, ignore_errors=True)
