#!/usr/bin/python3
"""A criu that dumps and restores nothing: it speaks criu's protocol, records what it is asked, and goes wrong as
FAKE_CRIU says. For tests of what berth asks of criu, and of what it does when criu fails, on kernels that no criu works with.

FAKE_CRIU: broken (its check fails), old, fail, die (killed), garbage, freeze (freezes the group and is killed), hang, wait
(until nobody is at its socket any more), orphan (leaves a process in the group and is killed); else all is well.
FAKE_CRIU_FILE: a file with one of these words, which wins. FAKE_CRIU_RECORD: a file that takes each dump and
restore as a line of JSON."""
import ctypes
import json
import os
import signal
import socket
import struct
import sys



def mode():
    try:
        with open(os.environ["FAKE_CRIU_FILE"]) as file:
            return file.read().strip()
    except (KeyError, FileNotFoundError):
        return os.environ.get("FAKE_CRIU", "")


MODE = mode()
DUMP, RESTORE, PRE_DUMP, NOTIFY, FEATURES, VERSION = 1, 2, 4, 6, 9, 10
CLONE_PARENT = 0x8000
SYS_CLONE = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
TEXTS = {10: "log_file", 13: "root", 14: "parent_img", 37: "external", 44: "freeze_cgroup", 51: "config_file"}
NUMBERS = {1: "images_dir_fd", 2: "pid", 3: "leave_running", 4: "ext_unix_sk", 5: "tcp_established", 7: "shell_job",
           8: "file_locks", 15: "track_mem", 17: "work_dir_fd", 18: "link_remap", 26: "rst_sibling", 34: "manage_cgroups_mode",
           38: "empty_ns", 48: "lazy_pages", 50: "orphan_pts_master"}


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value)


def text(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value


def fields(data):
    """(number, value) of each field; messages and texts as bytes."""
    at = 0

    def read():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
    while at < len(data):
        tag = read()
        if tag & 7 == 0:
            yield tag >> 3, read()
        else:
            size = read()
            yield tag >> 3, data[at:at + size]
            at += size


def options_of(data):
    options = {"external": [], "inherit_fd": [], "cg_root": []}
    for field, value in fields(data):
        if field in (25, 27):
            pair = dict(fields(value))
            first = pair.get(1, b"").decode()
            second = pair[2] if field == 27 else pair[2].decode()
            options["inherit_fd" if field == 27 else "cg_root"].append([first, second])
        elif field in TEXTS and field == 37:
            options["external"].append(value.decode())
        elif field in TEXTS:
            options[TEXTS[field]] = value.decode()
        elif field in NUMBERS:
            options[NUMBERS[field]] = value
    return options


class Worker:
    def __init__(self):
        self.socket = socket.socket(fileno=3)

    def say(self, kind, success=True, *parts):
        self.socket.send(number(1, kind) + number(2, int(success)) + b"".join(parts))

    def notify(self, script, pid=None):
        self.say(NOTIFY, True, text(5, text(1, script.encode()) + (number(2, pid) if pid else b"")))
        return dict(fields(self.socket.recv(1 << 16))).get(3) == 1

    def fail(self, kind, options):
        folder = options.get("work_dir_fd", options["images_dir_fd"])
        # Whoever made the pair of sockets, which is not always our parent.
        peer, _, _ = struct.unpack("3i", self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        with open(f"/proc/{peer}/fd/{folder}/{options['log_file']}", "w") as log:
            log.write("(00.1) Error (criu/util.c:1): rlimit: Can't setup RLIMIT_NOFILE for self\n"
                      "(00.2) Error (criu/fake.c:2): fake: nothing works\x1b[1m\n(00.3) Error (criu/fake.c:3): Dumping FAILED.\n")
        self.say(kind, False, text(9, b"the first error"))

    def go_wrong(self, kind, options):
        if MODE == "fail":
            self.fail(kind, options)
        elif MODE == "garbage":
            self.socket.send(b"\xff\xff\xff")
        elif MODE == "hang":
            signal.pause()
        elif MODE == "wait":
            self.socket.recv(1)
        elif MODE in ("die", "freeze", "orphan"):
            if MODE == "freeze":
                file = os.path.join(options["freeze_cgroup"], "cgroup.freeze")
                old = os.path.join(options["freeze_cgroup"], "freezer.state")
                with open(file if os.path.exists(file) else old, "w") as control:
                    control.write("1" if os.path.exists(file) else "FROZEN")
            if MODE == "orphan":
                self.clone()
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            return False
        return True

    def dump(self, kind, options):
        if self.go_wrong(kind, options):
            return
        done = self.notify("post-dump")
        if done and kind == DUMP and not options.get("leave_running"):
            os.kill(options["pid"], signal.SIGKILL)
        self.say(kind, done)

    @staticmethod
    def clone():
        """Something in criu's group, a child of criu's parent."""
        pid = ctypes.CDLL(None).syscall(SYS_CLONE, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            os.execv("/bin/sleep", ["sleep", "600"])
        return pid

    def restore(self, options):
        if self.go_wrong(RESTORE, options):
            return
        pid = self.clone()
        if self.notify("setup-namespaces", pid) and self.notify("post-restore", pid):
            self.say(RESTORE, True, text(4, number(1, pid)))
        else:
            os.kill(pid, signal.SIGKILL)
            self.say(RESTORE, False)

    def run(self):
        while data := self.socket.recv(1 << 16):
            request = dict(fields(data))
            kind = request[1]
            if kind == VERSION:
                version = (3, 14) if MODE == "old" else (4, 2)
                self.say(VERSION, True, text(10, number(1, version[0]) + number(2, version[1])))
            elif kind == FEATURES:
                self.say(FEATURES, True, text(8, number(1, int(MODE != "untracked")) + number(2, 1)))
            else:
                options = options_of(request[2])
                if record := os.environ.get("FAKE_CRIU_RECORD"):
                    with open(record, "a") as file:
                        file.write(json.dumps({"action": kind, **options}) + "\n")
                self.restore(options) if kind == RESTORE else self.dump(kind, options)


if __name__ == "__main__":
    if sys.argv[1] == "check":
        if MODE == "broken":
            print("Error (criu/vdso.c:1): vdso: a strange kernel", file=sys.stderr)
            sys.exit(1)
    else:
        Worker().run()
