"""A running engine against the known ways out of a container (docs/security-cases.md): what containers and images
can do with calls, files, names and descriptors."""
import contextlib
import os
import re
import socket
import struct

from harness import archives
from harness.archives import directory, docker_archive, symlink, tar
from harness.engine import IMAGE, EngineCase
from test_security_runtime import Swapping, tree_hash

COPIES = 60
EPERM, EAFNOSUPPORT = 1, 97
SECRET = "BERTH_TEST_SECRET"
DNS_SERVER = "127.53.29.18"


def elf64(code):
    """A static x86-64 program of these bytes."""
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, 0x400078, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    size = 0x78 + len(code)
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, size, size, 0x1000) + code


def elf32(code):
    """A static i386 program of these bytes."""
    header = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\x01\x01\x01", 2, 3, 1, 0x8048054, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    size = 0x54 + len(code)
    return header + struct.pack("<IIIIIIII", 1, 0, 0x8048000, 0x8048000, size, size, 7, 0x1000) + code


def native(number, *arguments):
    """Makes one 64-bit call and exits with its errno."""
    loads = (b"\x48\xbf", b"\x48\xbe", b"\x48\xba")
    code = b"".join(load + struct.pack("<Q", value) for load, value in zip(loads, arguments))
    code += b"\xb8" + struct.pack("<I", number) + b"\x0f\x05"  # mov eax, number; syscall
    code += b"\x89\xc7\xf7\xdf\x85\xff\x79\x02\x31\xff"  # mov edi, eax; neg edi; test; jns +2; xor edi, edi
    return elf64(code + b"\xb8\x3c\x00\x00\x00\x0f\x05")


def compat(number, *arguments):
    """Makes one i386 call and exits with its errno."""
    loads = (b"\xbb", b"\xb9", b"\xba")
    code = b"".join(load + struct.pack("<I", value) for load, value in zip(loads, arguments))
    code += b"\xb8" + struct.pack("<I", number) + b"\xcd\x80"
    code += b"\x89\xc3\xf7\xdb\x85\xdb\x79\x02\x31\xdb"
    return elf32(code + b"\xb8\x01\x00\x00\x00\xcd\x80")


def compat_socketcall(family):
    """i386's socketcall(SYS_SOCKET, {family, SOCK_SEQPACKET, 0}), whose arguments lie in memory."""
    code = b"\x6a\x00\x6a\x05" + b"\x6a" + bytes([family]) + b"\x89\xe1"  # push 0, 5, family; mov ecx, esp
    code += b"\xbb\x01\x00\x00\x00\xb8\x66\x00\x00\x00\xcd\x80"
    code += b"\x89\xc3\xf7\xdb\x85\xdb\x79\x02\x31\xdb"
    return elf32(code + b"\xb8\x01\x00\x00\x00\xcd\x80")


class SecurityCase(EngineCase):
    @classmethod
    def setUpClass(cls):
        os.environ[SECRET] = "of-the-host"
        try:
            super().setUpClass()
        finally:
            del os.environ[SECRET]

    def setUp(self):
        super().setUp()
        self.outside = self.folder()
        self.canary = os.path.join(self.outside, "canary")
        with open(self.canary, "w") as file:
            file.write("untouched")
        self.hash_before = tree_hash(self.outside)

    def tearDown(self):
        self.assertEqual(tree_hash(self.outside), self.hash_before, "a file outside of the container was changed")
        super().tearDown()

    def image(self, tag, *entries, settings=None):
        path = archives.written(self.folder(), "image.tar", docker_archive(tag, [tar([*archives.busybox_entries(), *entries])], settings))
        self.ok("load", "-i", path)
        self.addCleanup(self.engine, "rmi", "-f", tag)
        return tag

    def calls(self, programs, *flags):
        """Runs {name: program} in a container; {name: exit code}."""
        folder = self.folder()
        os.chmod(folder, 0o755)  # a container's root may be nobody to the host
        for name, program in programs.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(program)
            os.chmod(os.path.join(folder, name), 0o755)
        script = "; ".join(f"/p/{name}; echo {name} $?" for name in programs)
        out = self.ok("run", "--rm", "-v", f"{folder}:/p:ro", *flags, IMAGE, "sh", "-c", script + "; true").out
        return {name: int(code) for name, code in re.findall(r"^(\S+) (\d+)$", out, re.M)}


class Calls(SecurityCase):
    """The filter holds whatever calling convention a program uses."""
    SOCKET, SOCKET_32, X32 = 41, 359, 0x40000000
    IO_URING_SETUP, UNSHARE, KEYCTL, BPF = 425, 272, 250, 321

    def test_cve_2026_31431_af_alg_by_every_convention(self):
        """And AF_VSOCK (CVE-2026-112917), also with bits that the kernel does not look at (CVE-2026-123876)."""
        programs = {}
        for name, family in (("alg", 38), ("vsock", 40)):
            programs |= {f"{name}-native": native(self.SOCKET, family, 5, 0),
                         f"{name}-high": native(self.SOCKET, (1 << 32) | family, 5, 0),
                         f"{name}-x32": native(self.SOCKET | self.X32, family, 5, 0),
                         f"{name}-i386": compat(self.SOCKET_32, family, 5, 0),
                         f"{name}-socketcall": compat_socketcall(family)}
        programs["inet-native"] = native(self.SOCKET, 2, 1, 0)
        codes = self.calls(programs)
        self.assertEqual(codes.pop("inet-native"), 0)
        for name, code in codes.items():
            # 38: a kernel without x32; 159: killed by the filter; 126 and 139: no i386 at all.
            self.assertIn(code, (EPERM, EAFNOSUPPORT, 38, 126, 139, 159), name)
        self.assertEqual(codes["alg-high"], EPERM)

    def test_x32_and_i386_get_no_more_than_native(self):
        denied = {"uring": self.IO_URING_SETUP, "unshare": self.UNSHARE, "keyctl": self.KEYCTL, "bpf": self.BPF}
        programs = {f"{name}-native": native(number, 0x10000000, 0, 0) for name, number in denied.items()}
        programs |= {f"{name}-x32": native(number | self.X32, 0x10000000, 0, 0) for name, number in denied.items()}
        programs |= {f"{name}-i386": compat(number, 0x10000000, 0, 0)
                     for name, number in (("uring", 425), ("unshare", 310), ("keyctl", 288), ("bpf", 357))}
        for name, code in self.calls(programs).items():
            self.assertIn(code, (EPERM, 38, 126, 139, 159), name)

    def test_cve_2022_0492_no_cgroup_is_mounted_by_unshare(self):
        result = self.engine("run", "--rm", IMAGE, "sh", "-c",
                             "unshare -r -m -C sh -c 'mkdir /tmp/c && mount -t cgroup -o memory c /tmp/c && echo mounted'")
        self.assertNotIn("mounted", result.out)

    def test_ghsa_6fw5_side_channels_are_masked(self):
        """Interrupt counts, thermal throttling and power of the host (GHSA-jq35-85cj-fj4p)."""
        out = self.ok("run", "--rm", IMAGE, "sh", "-c",
                      "cat /proc/interrupts /sys/devices/system/cpu/cpu*/thermal_throttle/* /proc/timer_list /proc/keys 2>/dev/null;"
                      "find /sys/devices/virtual/powercap /sys/firmware -mindepth 1 2>/dev/null; true").out
        self.assertEqual(out, "")


class Hardened(SecurityCase):
    def test_what_it_takes_away(self):
        self.only_berth("--security is its own")
        out = self.ok("run", "--rm", "--security", "hardened", IMAGE, "sh", "-c",
                      "grep -E 'NoNewPrivs|CapBnd|CapEff' /proc/self/status; touch /x 2>&1; touch /tmp/y && echo tmp; touch /run/y && echo run").out
        self.assertIn("NoNewPrivs:\t1", out)
        self.assertIn("Read-only file system", out)
        self.assertEqual(out.split()[-2:], ["tmp", "run"])
        bounding = int(re.search(r"CapBnd:\t(\w+)", out).group(1), 16)
        for number in (13, 18, 27, 29, 31):  # NET_RAW, SYS_CHROOT, MKNOD, AUDIT_WRITE, SETFCAP
            self.assertFalse(bounding & 1 << number, number)

    def test_what_a_flag_gives_back(self):
        out = self.ok("run", "--rm", "--security", "hardened", "--cap-add", "NET_RAW", "--tmpfs", "/tmp:exec", IMAGE,
                      "grep", "CapBnd", "/proc/self/status").out
        self.assertTrue(int(out.split()[1], 16) & 1 << 13)
        self.fails(125, "run", "--rm", "--security", "hardened", "--privileged", IMAGE, "true", says="privileged")
        self.fails(125, "run", "--rm", "--security", "hard", IMAGE, "true", says="--security")

    def test_its_filter_is_stricter(self):
        programs = {"ptrace": native(101, 0, 0, 0), "handle": native(303, 0, 0, 0), "packet": native(41, 17, 3, 0),
                    "inet": native(41, 2, 1, 0), "i386": compat(20)}
        codes = self.calls(programs, "--security", "hardened")
        self.assertEqual((codes["ptrace"], codes["handle"], codes["packet"], codes["inet"]), (EPERM, EPERM, EPERM, 0))
        self.assertIn(codes["i386"], (126, 139, 159))


class Denials(SecurityCase):
    def test_the_denied_call_is_named(self):
        self.only_berth("--explain-denials is its own")
        box = self.name()
        result = self.engine("run", "--name", box, "--explain-denials", IMAGE, "unshare", "-m", "true")
        self.assertNotEqual(result.code, 0)
        self.assertIn("peration not permitted", result.err)
        self.assertEqual(self.engine.inspect(box)["State"]["DeniedCalls"], ["unshare"])
        events = self.ok("events", "--since", "1h", "--until", "0s", "--filter", f"container={box}", "--filter", "event=denied").out
        self.assertIn("call=unshare", events)
        self.ok("rm", "-f", box)

    def test_each_call_is_told_once_and_answered_always(self):
        box = self.name()
        out = self.ok("run", "--name", box, "--explain-denials", IMAGE, "sh", "-c",
                      "for i in 1 2 3; do unshare -m true 2>&1; done; mount -t tmpfs x /tmp 2>&1; true").out
        self.assertEqual(out.count("not permitted") + out.count("denied"), 4, out)
        self.assertEqual(sorted(self.engine.inspect(box)["State"]["DeniedCalls"]), ["mount", "unshare"])
        self.ok("rm", "-f", box)


class Files(SecurityCase):
    def test_cve_2018_15664_cp_while_links_are_swapped(self):
        """CVE-2019-10152, CVE-2026-41568: docker cp into and out of a path that flips to the host's."""
        box = self.start("sh", "-c", f"mkdir /a; ln -s {self.outside} /link; while :; do mv -T /a /b; mv -T /link /a; mv -T /a /link; "
                                     "mv -T /b /a; done")
        source = os.path.join(self.folder(), "new")
        with open(source, "w") as file:
            file.write("evil")
        got = self.folder()
        for number in range(COPIES):
            self.engine("cp", source, f"{box}:/a/new")
            self.engine("cp", source, f"{box}:/a/canary")
            self.engine("cp", f"{box}:/a/canary", os.path.join(got, str(number)))
        for name in os.listdir(got):
            with open(os.path.join(got, name)) as file:
                self.assertNotEqual(file.read(), "untouched")

    def test_cve_2021_30465_volume_target_swap_race(self):
        """A volume shared with a sibling that swaps a folder in it and a link, and a mount upon that folder."""
        volume = self.name("v")
        self.ok("volume", "create", volume)
        self.addCleanup(self.engine, "volume", "rm", "-f", volume)
        place = self.engine.inspect(volume, "volume")["Mountpoint"]
        os.makedirs(os.path.join(place, "swap"))
        os.symlink(self.outside, os.path.join(place, "link"))
        with Swapping(os.path.join(place, "swap"), os.path.join(place, "link")) as swapping:
            for _ in range(COPIES):
                self.engine("run", "--rm", "-v", f"{volume}:/v", "--tmpfs", "/v/swap/new", IMAGE, "touch", "/v/swap/new/x")
        self.assertGreater(swapping.times, COPIES)

    def test_cve_2026_55686_the_working_directory_is_made_through_a_link(self):
        tag = self.image("workdir:1", symlink("l", self.outside), settings={"WorkingDir": "/l/made"})
        self.engine("run", "--rm", tag, "true")
        self.engine("run", "--rm", "-w", "/l/other", tag, "true")
        self.assertEqual(os.listdir(self.outside), ["canary"])

    def test_cve_2024_9676_account_files_that_never_end(self):
        """A FIFO, an endless device and the kernel's log in place of /etc/passwd: an error, at once."""
        for label, target in (("zero", "/dev/zero"), ("kmsg", "/proc/kmsg"), ("self", "/etc/passwd")):
            with self.subTest(label=label):
                entries = [pair for pair in archives.busybox_entries() if pair[0].name != "etc/passwd"]
                path = archives.written(self.folder(), "image.tar",
                                        docker_archive(f"passwd-{label}:1", [tar([*entries, symlink("etc/passwd", target)])]))
                self.ok("load", "-i", path)
                self.assertNotEqual(self.engine("run", "--rm", "-u", "app", f"passwd-{label}:1", "true", timeout=30).code, 0)
                self.ok("rmi", "-f", f"passwd-{label}:1")

    def test_cve_2024_9341_policy_files_that_are_links(self):
        tag = self.image("fips:1", directory("etc/crypto-policies"), symlink("etc/crypto-policies/config", self.canary),
                         directory("run/secrets"), symlink("etc/system-fips", self.canary))
        out = self.ok("run", "--rm", tag, "sh", "-c", "cat /etc/crypto-policies/config /etc/system-fips 2>&1; mount").out
        self.assertNotIn("untouched", out)


class Metadata(SecurityCase):
    def test_cve_2026_57231_environment_without_a_value(self):
        tag = self.image("env:1", settings={"Env": [SECRET, "*", "PATH=/bin", "=x", ""]})
        result = self.engine("run", "--rm", tag, "env")
        self.assertNotIn("of-the-host", result.out + result.err)

    def test_cve_2020_14370_environment_of_another_create(self):
        one = self.ok("create", "-e", "LEAK=yes", IMAGE, "env").text
        two = self.ok("create", IMAGE, "env").text
        self.assertNotIn("LEAK", self.ok("start", "-a", two).out)
        self.ok("rm", one, two)

    def test_cve_2024_40635_users_out_of_range(self):
        for user in ("4294967296", "4294967297", "2147483648", "-1", " 0", "+0x0", "0:4294967296"):
            with self.subTest(user=user):
                result = self.engine("run", "--rm", "--user", user, IMAGE, "id", "-u")
                self.assertNotEqual(result.code, 0, str(result))

    def test_cve_2016_3697_a_user_by_number_is_never_a_name(self):
        passwd = archives.entry("etc/passwd", data=b"1000:x:0:0::/root:/bin/sh\nroot:x:0:0::/root:/bin/sh\n")
        tag = self.image("numeric:1", passwd)
        self.assertEqual(self.ok("run", "--rm", "-u", "1000", tag, "id", "-u").text, "1000")

    def test_cve_2026_94603_annotations_change_nothing(self):
        show = ("grep", "-E", "Cap|Seccomp|NoNewPrivs|Groups", "/proc/self/status")
        wanted = self.ok("run", "--rm", IMAGE, *show).out
        flags = [flag for name in ("io.podman.annotations.privileged=TRUE", "io.podman.annotations.seccomp=unconfined",
                                   "io.kubernetes.cri-o.TrySkipVolumeSELinuxLabel=true", "org.systemd.property.MemoryMax=1",
                                   "cdi.k8s.io/x=vendor.com/device=all") for flag in ("--annotation", name)]
        self.assertEqual(self.ok("run", "--rm", *flags, IMAGE, *show).out, wanted)


class Reach(SecurityCase):
    def test_cve_2020_15257_no_abstract_socket_with_the_hosts_network(self):
        out = self.ok("run", "--rm", "--network", "host", IMAGE, "cat", "/proc/net/unix").out
        names = [line.split()[-1] for line in out.splitlines() if "@" in line]
        self.assertEqual([name for name in names if "berth" in name or "keeper" in name], [])

    def test_cve_2024_25621_folders_of_the_engine_are_private(self):
        """CVE-2021-41091 as well: nothing below the data root is for everybody."""
        self.only_berth("its folders are looked at")
        self.start("sleep", "600")
        for folder, others in ((self.engine.data, 0o007), (self.engine.exec, 0o006), (os.path.join(self.engine.exec, "containers"), 0o007)):
            self.assertEqual(os.stat(folder).st_mode & others, 0, folder)

    def test_cve_2024_21626_nothing_of_the_host_is_open(self):
        out = self.ok("run", "--rm", IMAGE, "ls", "/proc/self/fd").out.split()
        self.assertLessEqual(set(out), {"0", "1", "2", "3"})
        for number in range(3, 20):
            result = self.engine("run", "--rm", "-w", f"/proc/self/fd/{number}", IMAGE, "ls")
            self.assertNotEqual(result.code, 0, number)

    def network(self, *flags):
        name = self.name("net")
        self.ok("network", "create", *flags, name)
        self.addCleanup(self.engine, "network", "rm", name)
        return name

    def test_cve_2024_29018_an_internal_network_asks_nobody(self):
        """Names that only the outside knows would carry data there."""
        self.only_berth("docker asks a server that --dns names from the container")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind((DNS_SERVER, 53))
            server.settimeout(30)
            self.start("nslookup", "asked.example.org", flags=("--network", self.network(), "--dns", DNS_SERVER))
            self.assertIn(b"asked", server.recv(512))
            internal = self.network("--internal")
            for name in ("secret.example.org", "secret.of.the.container"):
                self.engine("run", "--rm", "--network", internal, "--dns", DNS_SERVER, IMAGE, "nslookup", name)
            server.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while datagram := server.recv(512):
                    self.assertNotIn(b"secret", datagram)

    def test_cve_2024_32473_no_ipv6_where_the_network_has_none(self):
        network = self.network("--ipv6=false")
        out = self.run_sh("cat /proc/net/if_inet6; cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6", "--network", network).lines
        self.assertEqual([line for line in out if line.endswith("eth0")], [])
        self.assertEqual(out[-1], "1")
