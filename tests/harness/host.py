"""The state of the host that an engine could leave something in, as comparable sets; no program is run for it."""
import glob
import os
import re
import socket
import struct
import time

NETLINK_NETFILTER = 12
NFNL_SUBSYS_NFTABLES, NFT_MSG_GETTABLE, NFT_MSG_NEWTABLE = 10, 1, 0
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
NFTA_TABLE_NAME = 1
PROGRAMS = ("berth", "berthd", "berth-keeper", "berth-runtime")


def nft_tables():
    """Names of all nf_tables tables as "family name"."""
    tables = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as link:
        link.bind((0, 0))
        kind = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETTABLE
        link.send(struct.pack("=IHHII", 20, kind, NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + struct.pack("=BBH", 0, 0, 0))
        while True:
            data = link.recv(1 << 16)
            while len(data) >= 16:
                length, message, _, _, _ = struct.unpack("=IHHII", data[:16])
                if message == NLMSG_DONE or message == NLMSG_ERROR:
                    return tables
                attributes = data[20:length]
                while len(attributes) >= 4:
                    size, attribute = struct.unpack("=HH", attributes[:4])
                    if attribute & 0x3FFF == NFTA_TABLE_NAME:
                        tables.add(f"{data[16]} {attributes[4:size].rstrip(bytes(1)).decode()}")
                    attributes = attributes[(size + 3) & ~3:]
                data = data[(length + 3) & ~3:]


def processes():
    """{pid: command line} of berth's programs, by the name of the file they execute or their command name."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as comm:
                name = comm.read().strip()
            if not name.startswith("berth"):
                continue
            with open(f"/proc/{pid}/cmdline", "rb") as line:
                found[int(pid)] = line.read().replace(b"\0", b" ").decode(errors="replace").strip() or name
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def mounts():
    with open("/proc/self/mountinfo") as info:
        return {line.split()[4] for line in info}


def cgroups():
    return {path for path, _, _ in os.walk("/sys/fs/cgroup") if "berth" in path}


def network_namespaces():
    """Network namespaces that a process is in or that are bound under /run/netns."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            found.add(os.readlink(f"/proc/{pid}/ns/net"))
        except OSError:
            continue
    for folder in ("/run/netns", "/run/docker/netns"):
        if os.path.isdir(folder):
            found |= {os.path.join(folder, name) for name in os.listdir(folder)}
    return found


def links():
    return {name for name in os.listdir("/sys/class/net")}


class Snapshot:
    """The host at one moment. `left_since(before)` lists what has been added and not removed."""

    def __init__(self):
        self.parts = {
            "process": {f"{pid}: {line}" for pid, line in processes().items()},
            "mount": mounts(),
            "cgroup": cgroups(),
            "network namespace": network_namespaces(),
            "network interface": links(),
            "nft table": nft_tables(),
        }

    def left_since(self, before):
        return [f"{kind} {item}" for kind, items in self.parts.items() for item in sorted(items - before.parts[kind])]


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def settled_descriptors(pid):
    """Once they are as many twice in a row: an engine makes namespaces ahead, of three descriptors each, when a start has taken one."""
    before, now = None, descriptors(pid)
    while now != before:
        time.sleep(0.5)
        before, now = now, descriptors(pid)
    return now


def remove_group(name):
    """A group that was asked for as a parent outlives what was in it, whose own groups go in the background."""
    for folder in glob.glob(f"/sys/fs/cgroup/{name}") + glob.glob(f"/sys/fs/cgroup/*/{name}"):
        for attempt in range(100):
            try:
                os.rmdir(folder)
                break
            except OSError:
                if attempt == 99:
                    raise
                time.sleep(0.1)


def children(pid):
    """Pids of the direct children of all threads of pid."""
    found = set()
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/children") as line:
                found |= {int(child) for child in line.read().split()}
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def runs(command):
    """Whether a process has this in its command line, arguments separated by NUL."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as line:
                if command.encode() in line.read():
                    return True
        except OSError:
            continue
    return False
