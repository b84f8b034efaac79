"""Images and build contexts to measure with, made here and from the distribution's packages: no registry."""
import os
import random
import shutil
import subprocess

from harness.archives import BUSYBOX, directory, docker_archive, entry, symlink, tar

SMALL = "localhost/berth-bench:small"
DEBIAN = "localhost/berth-bench:debian"
APPLETS = ("sh", "cat", "chmod", "cp", "echo", "find", "ls", "md5sum", "mkdir", "sort", "tr", "wc")


def small_root(programs):
    """The files of the small image: (TarInfo, bytes) pairs. `programs` is where the programs were built."""
    files = [directory(name) for name in ("bin", "dev", "etc", "proc", "sys")] + [directory("tmp", 0o1777)]
    for source, name in [(BUSYBOX, "bin/busybox")] + [
        (os.path.join(programs, program), program) for program in ("true", "idle", "lines", "dns")
    ]:
        with open(source, "rb") as binary:
            files.append(entry(name, 0o755, data=binary.read()))
    return files + [symlink(f"bin/{applet}", "busybox") for applet in APPLETS]


def write_root(files, folder):
    """Unpacks small_root() into a directory, for the runtimes that take a prepared root instead of an image."""
    for info, data in files:
        path = os.path.join(folder, info.name)
        if info.isdir():
            os.makedirs(path)
            os.chmod(path, info.mode)
        elif info.issym():
            os.symlink(info.linkname, path)
        else:
            with open(path, "wb") as out:
                out.write(data)
            os.chmod(path, info.mode)


def small_archive(path, files):
    with open(path, "wb") as out:
        out.write(docker_archive(SMALL, [tar(files)], {"Cmd": ["/bin/sh"]}))


def debian_archive(path):
    """A Debian base system with its layer compressed by gzip. Takes the network once; the result is kept."""
    if os.path.exists(path):
        return
    plain = path + ".layer.tar"
    subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "--include=python3-minimal,ca-certificates",
                    "bookworm", plain], check=True, stdin=subprocess.DEVNULL)
    with open(plain, "rb") as layer:
        data = docker_archive(DEBIAN, [layer.read()], compression="gzip")
    with open(path + ".new", "wb") as out:
        out.write(data)
    os.unlink(plain)
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

