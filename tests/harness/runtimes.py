"""Runtime bases for tests, made of what the host has: nothing is fetched. The bases that berth itself makes come from
the distribution's packages, which takes a network and half a minute."""
import os
import shutil
import subprocess

from . import archives

CLIENTS = os.path.join(archives.TOP, "src", "functions", "runtimes", "clients")
FOLDERS = ("var/task", "var/runtime", "var/lang", "var/lang/bin", "opt")


def _folders():
    return [archives.directory(name) for name in FOLDERS]


def provided_base():
    """berth/lambda-provided.al2023 of busybox."""
    return archives.busybox_archive("berth/lambda-provided.al2023:latest", extra=_folders())


def stand_in(engine, *more):
    """Images in the place of bases, for functions that are never called: without one, berth would make it."""
    loaded = engine.load(provided_base())
    assert loaded.code == 0, str(loaded)
    for name in ("python3.11", "nodejs20.x", *more):
        tagged = engine.api.post(f"/images/berth/lambda-provided.al2023/tag?repo=berth/lambda-{name}&tag=latest")
        assert tagged.status == 201, str(tagged)


def _with_parents(paths, seen):
    entries = []
    for path in paths:
        parts = path.split("/")[:-1]
        for count in range(1, len(parts) + 1):
            name = "/".join(parts[:count])
            if name and name not in seen:
                seen.add(name)
                entries.append(archives.directory(name))
    return entries


def _file(path, name):
    with open(path, "rb") as content:
        # With its time: compiled Python is good for that alone.
        return archives.entry(name, 0o755 if os.access(path, os.X_OK) else 0o644, data=content.read(),
                              mtime=int(os.path.getmtime(path)))


def _libraries(program):
    lines = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout.splitlines()
    words = [word for line in lines for word in line.split() if word.startswith("/")]
    return sorted(set(words))


def _tree(folder, compiled=False):
    unwanted = ("test", "idlelib", "ensurepip") + (() if compiled else ("__pycache__",))
    for base, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in unwanted]
        for name in files:
            path = os.path.join(base, name)
            if os.path.isfile(path):
                yield path


def _host_base(tag, program, client, trees=(), compiled=False):
    """A base with this program of the host, its libraries, and a runtime client."""
    paths = [os.path.realpath(program), *_libraries(program), *(path for tree in trees for path in _tree(tree, compiled))]
    for library in [path for path in paths if path.endswith(".so")]:
        paths += [each for each in _libraries(library) if each not in paths]
    # What programs of others load by name; distributions have these beside their libc.
    common = ("libstdc++.so.6", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1")
    paths += [path for folder in ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu") for path in
              (f"{folder}/{name}" for name in common) if os.path.exists(path) and path not in paths]
    seen = {"bin", "dev", "etc", "home", "proc", "sys", "usr", "usr/bin", "var", "tmp", "root", "home/app", *FOLDERS}
    files = {path.lstrip("/"): path for path in paths}
    entries = [*_folders(), *_with_parents(sorted(files), seen), *[_file(path, name) for name, path in files.items()]]
    entries.append(_file(os.path.join(CLIENTS, client), f"var/runtime/{client}"))
    settings = {"Entrypoint": [os.path.realpath(program), f"/var/runtime/{client}"], "Cmd": None}
    return archives.busybox_archive(tag, settings, entries)


def python_base(runtime="python3.11", compiled=False):
    """berth/lambda-<runtime> of the host's own Python, or None. `compiled`: as distributions have it."""
    program = "/usr/bin/python3.11"
    if not os.path.exists(program):
        return None
    return _host_base(f"berth/lambda-{runtime}:latest", program, "bootstrap.py", ["/usr/lib/python3.11"], compiled)


def nodejs_base(runtime="nodejs20.x"):
    """berth/lambda-<runtime> of the host's own node, or None."""
    program = shutil.which("node")
    if program is None:
        return None
    return _host_base(f"berth/lambda-{runtime}:latest", program, "bootstrap.cjs")
