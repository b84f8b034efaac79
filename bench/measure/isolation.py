"""Runs the benchmark in mount, network and pid namespaces of its own.

Every engine under measurement then starts from the same empty network, cannot disturb (or be disturbed by)
bridges and firewall rules of the machine, and nothing of it can stay behind: when the namespaces' first process
ends, the kernel ends the rest. Only cgroups outlive that, and those this module removes by comparison.
"""
import ctypes
import fcntl
import os
import signal
import socket
import struct
import sys

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE = 0x1000, 0x2000, 0x4000, 0x40000
MNT_DETACH = 2
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def mount(source, target, kind=None, flags=0, data=None):
    encode = lambda text: None if text is None else text.encode()
    _check(_libc.mount(encode(source), encode(target), encode(kind), flags, encode(data)), f"mount {target}")


def _loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


def _hide_unified_hierarchy():
    """crun 1.8 refuses hosts where cgroup v1 carries the load but cgroup2, mounted beside it, has controllers too
    (rdma or misc, say). Out of sight of these namespaces it harms nobody, and all contestants find the same."""
    beside = "/sys/fs/cgroup/unified"
    if os.path.exists(os.path.join(beside, "cgroup.controllers")):
        _check(_libc.umount2(beside.encode(), MNT_DETACH), f"umount {beside}")


def _mount_views(scratch):
    """Gives the namespaces their own /proc and /sys, and keeps podman's state in /run and /var/lib off the disk."""
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount("proc", "/proc", "proc")
    aside = os.path.join(scratch, "cgroup")
    os.makedirs(aside, exist_ok=True)
    mount("/sys/fs/cgroup", aside, None, MS_BIND | MS_REC)
    mount("sysfs", "/sys", "sysfs")
    mount(aside, "/sys/fs/cgroup", None, MS_MOVE)
    _hide_unified_hierarchy()
    for directory in ("/run/netns", "/run/containers", "/run/libpod", "/run/crun", "/var/lib/cni"):
        if not os.path.isdir(directory):
            if not os.path.isdir(os.path.dirname(directory)):
                continue
            os.makedirs(directory)
        mount("tmpfs", directory, "tmpfs")


def _cgroups():
    return {path for path, _, _ in os.walk("/sys/fs/cgroup")}


def _remove_new_cgroups(before):
    for path in sorted(_cgroups() - before, key=len, reverse=True):
        try:
            os.rmdir(path)
        except OSError:
            pass  # somebody else's, and in use


def _first_process(main):
    """The namespaces' pid 1: runs main in a child, adopts and reaps what the engines orphan, then ends them all."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = main()
        except KeyboardInterrupt:
            status = 130
        except BaseException as error:  # the traceback belongs on stderr, whatever was thrown
            sys.excepthook(type(error), error, error.__traceback__)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status if isinstance(status, int) else 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        pid, status = os.wait()
        if pid == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def run_isolated(main, scratch):
    """Calls main() inside the namespaces and returns its exit status. Needs root."""
    before = _cgroups()
    child = os.fork()
    if child == 0:
        try:
            _check(_libc.unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET), "unshare")
            first = os.fork()
            if first == 0:
                _mount_views(scratch)
                _loopback_up()
                _first_process(main)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            _, status = os.waitpid(first, 0)
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
        except OSError as error:
            print(f"bench: cannot make the namespaces to measure in: {error}", file=sys.stderr)
            os._exit(1)
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, status = os.waitpid(child, 0)
    signal.signal(signal.SIGINT, previous)
    _remove_new_cgroups(before)
    return os.waitstatus_to_exitcode(status)
