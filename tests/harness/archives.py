"""Images made by hand, as bytes: layers, docker archives and OCI layouts, well-formed or deliberately not."""
import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUSYBOX = "/bin/busybox"
PASSWD = ("root:x:0:0:root:/root:/bin/sh\n"
          "daemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
          "app:x:1000:1000:app:/home/app:/bin/sh\n"
          "1234:x:77:77:a name that is a number:/:/bin/sh\n")
GROUP = "root:x:0:\ndaemon:x:1:\nstaff:x:50:app\naudio:x:29:app\napp:x:1000:\n"


def entry(name, mode=0o644, kind=tarfile.REGTYPE, data=b"", link="", **more):
    """One (TarInfo, bytes) pair of a layer."""
    info = tarfile.TarInfo(name)
    info.mode, info.type, info.size, info.linkname = mode, kind, len(data), link
    for field, value in more.items():
        setattr(info, field, value)
    return info, data


def directory(name, mode=0o755):
    return entry(name, mode, tarfile.DIRTYPE)


def symlink(name, target):
    return entry(name, 0o777, tarfile.SYMTYPE, link=target)


def tar(entries):
    """The bytes of a tar archive with these entries."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def program(name):
    """The bytes of tests/programs/<name>.cc, compiled when it is newer than what was compiled before."""
    source = os.path.join(TOP, "tests", "programs", f"{name}.cc")
    program = os.path.join(TOP, "build", "tools", "bin", name)
    if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(source):
        os.makedirs(os.path.dirname(program), exist_ok=True)
        fresh = f"{program}.{os.getpid()}"
        subprocess.run(["g++", "-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-s", "-o", fresh, source],
                       check=True)
        os.replace(fresh, program)
    with open(program, "rb") as binary:
        return binary.read()


def probe():
    return program("probe")


def busybox_entries(extra=()):
    """A small root filesystem: busybox with all its applets, the probe, users and groups."""
    with open(BUSYBOX, "rb") as binary:
        busybox = binary.read()
    applets = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split()
    entries = [directory(name) for name in ("bin", "dev", "etc", "home", "proc", "sys", "usr", "usr/bin", "var")]
    entries += [directory("tmp", 0o1777), directory("root", 0o700), directory("home/app")]
    entries.append(entry("bin/busybox", 0o755, data=busybox))
    entries += [symlink(f"bin/{applet}", "busybox") for applet in applets if applet != "busybox"]
    entries.append(entry("bin/probe", 0o755, data=probe()))
    entries += [entry("etc/passwd", data=PASSWD.encode()), entry("etc/group", data=GROUP.encode())]
    return entries + list(extra)


def _digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def image_config(layers, settings=None):
    """An image configuration for uncompressed layers; settings is its "config" member."""
    return json.dumps({
        "architecture": "amd64", "os": "linux", "created": "2024-01-01T00:00:00Z",
        "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], **(settings or {})},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in layers]},
        "history": [{"created": "2024-01-01T00:00:00Z", "created_by": f"layer {number}"}
                    for number in range(len(layers))],
    }).encode()


def compressed(layer, how):
    if how == "gzip":
        return gzip.compress(layer, 6, mtime=0)
    if how == "zstd":
        return subprocess.run(["zstd", "-q", "-c"], input=layer, check=True, capture_output=True).stdout
    return layer


def docker_archive(tag, layers, settings=None, compression=None, config=None):
    """The bytes of what `docker save` writes: manifest.json, a configuration and layers."""
    config = image_config(layers, settings) if config is None else config
    name = hashlib.sha256(config).hexdigest() + ".json"
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = json.dumps([{"Config": name, "RepoTags": [tag] if tag else None, "Layers": names}]).encode()
    stored = [entry(layer_name, data=compressed(layer, compression)) for layer_name, layer in zip(names, layers)]
    return tar([entry(name, data=config), *stored, entry("manifest.json", data=manifest)])


def oci_layout(tag, layers, settings=None, compression="gzip", corrupt=None):
    """The bytes of an OCI image layout as a tar. `corrupt` names a blob ("layer", "config", "manifest") whose
    bytes are changed after its digest was taken."""
    suffix = {"gzip": "+gzip", "zstd": "+zstd", None: ""}[compression]
    config = image_config(layers, settings)
    blobs = [compressed(layer, compression) for layer in layers]
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": _digest(config),
                   "size": len(config)},
        "layers": [{"mediaType": f"application/vnd.oci.image.layer.v1.tar{suffix}", "digest": _digest(blob),
                    "size": len(blob)} for blob in blobs],
    }).encode()
    index = json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": _digest(manifest),
                       "size": len(manifest),
                       "annotations": {"org.opencontainers.image.ref.name": tag,
                                       "io.containerd.image.name": f"docker.io/library/{tag}"}}],
    }).encode()

    def spoiled(kind, data):
        return bytes([data[0] ^ 1]) + data[1:] if kind == corrupt else data

    def blob_entry(kind, data):
        return entry("blobs/sha256/" + hashlib.sha256(data).hexdigest(), data=spoiled(kind, data))

    return tar([directory("blobs"), directory("blobs/sha256"), blob_entry("config", config),
                *[blob_entry("layer", blob) for blob in blobs], blob_entry("manifest", manifest),
                entry("index.json", data=index), entry("oci-layout", data=b'{"imageLayoutVersion":"1.0.0"}')])


def busybox_archive(tag, settings=None, extra=()):
    """A docker archive of the small root filesystem, kept for the process: making it takes a moment."""
    return docker_archive(tag, [tar(busybox_entries(extra))], {"Cmd": ["/bin/sh"], **(settings or {})})


def written(folder, name, data):
    """Writes data to folder/name and returns the path."""
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as out:
        out.write(data)
    return path
