"""berth-runtime against the known ways out of a container (docs/security-cases.md): bundles whose files are
hostile, and siblings that change them while a container starts."""
import ctypes
import hashlib
import os
import struct
import threading
import unittest

from harness.engine import run
from test_runtime import RUNTIME, RuntimeCase

RENAME_EXCHANGE = 2
AT_FDCWD = -100
INTERPRETER = 3  # PT_INTERP: there is a dynamic linker
STARTS = 200
libc = ctypes.CDLL(None, use_errno=True)


def tree_hash(folder):
    """Everything of a tree that an attacker could change: names, kinds, modes, contents, link targets."""
    digest = hashlib.sha256()
    for path, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(folders + files):
            full = os.path.join(path, name)
            status = os.lstat(full)
            digest.update(f"{full} {status.st_mode} {status.st_uid} {status.st_size} {status.st_rdev}\n".encode())
            if os.path.islink(full):
                digest.update(os.readlink(full).encode())
            elif os.path.isfile(full):
                with open(full, "rb") as file:
                    digest.update(file.read())
    return digest.hexdigest()


class Swapping:
    """Exchanges two names again and again while the block runs, as a hostile sibling with the same volume does."""

    def __init__(self, one, other):
        self.names = (AT_FDCWD, one.encode(), AT_FDCWD, other.encode(), RENAME_EXCHANGE)
        self.over = threading.Event()
        self.times = 0
        self.thread = threading.Thread(target=self.swap)

    def swap(self):
        while not self.over.is_set():
            if libc.renameat2(*self.names) == 0:
                self.times += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.over.set()
        self.thread.join()


class HostileCase(RuntimeCase):
    def setUp(self):
        super().setUp()
        self.outside = os.path.join(self.folder, "outside")
        os.makedirs(self.outside)
        self.canary = os.path.join(self.outside, "canary")
        with open(self.canary, "w") as file:
            file.write("untouched")
        self.hash_before = tree_hash(self.outside)

    def tearDown(self):
        self.assertEqual(tree_hash(self.outside), self.hash_before, "a file outside of the root was changed")
        super().tearDown()

    def attempt(self, script="true", change=None, args=None):
        """Runs it; whether it is refused or contained is the test's affair."""
        return self.call("run", "--bundle", self.bundle(*(args or ("sh", "-c", script)), change=change), self.name())

    def without_dev(self, config):
        config["mounts"] = [mount for mount in config["mounts"] if not mount["destination"].startswith("/dev")]
        config["root"]["readonly"] = False


class Races(HostileCase):
    """Hundreds of starts while a sibling exchanges a folder and a link that leads out."""

    def race(self, destination, options=("rbind", "rprivate", "rw"), script="touch /swap/inside 2>/dev/null; true"):
        """What the containers have said meanwhile."""
        os.makedirs(os.path.join(self.rootfs, "swap"))
        os.symlink(self.outside, os.path.join(self.rootfs, "link"))
        source = os.path.join(self.folder, "source")
        os.makedirs(source)

        def change(config):
            config["root"]["readonly"] = False
            config["mounts"].append({"destination": destination, "type": "bind", "source": source,
                                     "options": list(options)})

        bundle = self.bundle("sh", "-c", script, change=change)
        name = self.name()
        said = []
        with Swapping(os.path.join(self.rootfs, "swap"), os.path.join(self.rootfs, "link")) as swapping:
            for _ in range(STARTS):
                said.append(self.call("run", "--bundle", bundle, name).out)
        self.assertGreater(swapping.times, STARTS, "the attacker did nothing")
        return said

    def test_cve_2021_30465_mount_target_swap_race(self):
        self.race("/swap")

    def test_cve_2024_45310_mount_point_is_made_outside(self):
        self.race("/swap/new/folder")


    def race_for_read_only(self, *options):
        """Read-only falls on the mount itself, not on what has taken its place by then: no mount of the host becomes
        read-only, and none of the container that was to be stays writable."""
        said = self.race("/swap", options, "grep ' /swap ' /proc/self/mounts; touch /swap/x 2>/dev/null; true")
        self.assertTrue([text for text in said if " /swap " in text], "some have got through")
        self.assertEqual(os.listdir(os.path.join(self.folder, "source")), [], "what is mounted read-only was written to")
        for path in (self.outside, self.folder, self.rootfs):
            self.assertFalse(os.statvfs(path).f_flag & os.ST_RDONLY, path)

    def test_cve_2026_115521_read_only_of_one_mount(self):
        self.race_for_read_only("bind", "ro")

    def test_cve_2026_115521_read_only_of_all_below(self):
        self.race_for_read_only("rbind", "rro")


class HostileRoots(HostileCase):
    def test_cve_2019_19921_proc_is_a_link(self):
        """CVE-2023-27561 and CVE-2023-28642 are the same with other links."""
        os.rmdir(os.path.join(self.rootfs, "proc"))
        proc = os.path.join(self.rootfs, "proc")
        os.makedirs(os.path.join(self.rootfs, "tmp", "real"))
        os.symlink("real", os.path.join(self.rootfs, "tmp", "chain"))
        for target in ("/tmp/real", "tmp/real", "tmp/chain", "nowhere", self.outside):
            with self.subTest(target=target):
                os.symlink(target, proc)
                result = self.attempt("echo started")
                os.unlink(proc)
                self.assertNotEqual(result.code, 0, str(result))
                self.assertNotIn("started", result.out)
        os.mkdir(proc)

    def test_cve_2019_16884_a_volume_over_proc(self):
        """And CVE-2025-52881: what is written to /proc must reach the kernel's."""
        fake = os.path.join(self.folder, "fake")
        os.makedirs(os.path.join(fake, "self", "attr"))
        for destination in ("/proc", "/proc/self/attr", "/proc/sys/kernel"):
            with self.subTest(destination=destination):
                result = self.attempt("echo started", change=lambda config: config["mounts"].append(
                    {"destination": destination, "type": "bind", "source": fake, "options": ["rbind"]}))
                self.assertNotEqual(result.code, 0, str(result))
                self.assertNotIn("started", result.out)

    def test_cve_2025_31133_null_device_is_a_link(self):
        """Masked paths are covered by the true null device or not at all (CVE-2025-54867, CVE-2025-62161)."""
        null = os.path.join(self.rootfs, "dev", "null")
        for target in (self.canary, "/proc/sys/kernel/core_pattern", "../etc/passwd"):
            with self.subTest(target=target):
                os.symlink(target, null)
                result = self.attempt("echo evil > /proc/kcore; cat /proc/kcore | head -c 1; echo -n '<'", change=self.without_dev)
                os.unlink(null)
                self.assertTrue(result.code != 0 or result.out == "<", str(result))
        with open("/proc/sys/kernel/core_pattern") as pattern:
            self.assertNotIn("evil", pattern.read())

    def test_cve_2026_41579_dev_is_a_link(self):
        """No device node is made outside of the root (CVE-2026-88264)."""
        os.rmdir(os.path.join(self.rootfs, "dev"))
        for target in (self.outside, "../outside", "/proc/../outside", "../" * 20 + self.outside):
            with self.subTest(target=target):
                os.symlink(target, os.path.join(self.rootfs, "dev"))
                self.attempt("true", change=self.without_dev)
                os.unlink(os.path.join(self.rootfs, "dev"))
                self.assertEqual(os.listdir(self.outside), ["canary"])
        os.mkdir(os.path.join(self.rootfs, "dev"))

    def test_cve_2026_88265_standard_streams_are_the_true_null(self):
        for name in ("null", "console", "ptmx", "stdin"):
            os.symlink(self.canary, os.path.join(self.rootfs, "dev", name))
        result = self.attempt("echo evil > /dev/null; echo evil > /dev/console; true", change=self.without_dev)
        with open(self.canary) as file:
            self.assertEqual(file.read(), "untouched", str(result))

    def test_cve_2019_18837_mount_target_is_a_link(self):
        """An absolute link leads to the container's own root, wherever it points on the host."""
        os.symlink(self.outside, os.path.join(self.rootfs, "target"))
        result = self.attempt("echo in > /target/file; cat /target/file", change=lambda config: (
            config["root"].update(readonly=False),
            config["mounts"].append({"destination": "/target", "type": "tmpfs", "source": "tmpfs"})))
        self.assertTrue(result.code != 0 or result.out == "in\n", str(result))

    def test_cve_2026_55686_the_working_directory_is_made_through_a_link(self):
        os.symlink(self.outside, os.path.join(self.rootfs, "l"))

        def change(config):
            config["root"]["readonly"] = False
            config["process"]["cwd"] = "/l/made"

        self.attempt("true", change=change)
        self.assertEqual(os.listdir(self.outside), ["canary"])


class Descriptors(HostileCase):
    def test_cve_2024_21626_working_directory_by_descriptor(self):
        """A leaked descriptor of the host's tree as cwd; also by exec."""
        for number in range(3, 30):
            for path in (f"/proc/self/fd/{number}", f"/proc/self/fd/{number}/../.."):
                result = self.attempt("cat canary ../outside/canary", change=lambda config: config["process"].update(cwd=path))
                self.assertNotEqual(result.code, 0, path)
                self.assertNotIn("untouched", result.out + result.err)
        name = self.create("sleep", "600")
        self.ok("start", name)
        for number in range(3, 30):
            result = self.call("exec", "--cwd", f"/proc/self/fd/{number}", name, "ls")
            self.assertNotEqual(result.code, 0, f"{number}: {result}")

    def test_cve_2016_9962_an_exec_cannot_be_looked_into(self):
        """Before its program runs, an exec holds descriptors of the host: nobody inside may open them."""

        def change(config):
            config["root"]["readonly"] = False

        look = "while :; do for f in /proc/[2-9]*/fd/* /proc/[2-9]*/cwd /proc/[2-9]*/exe; do readlink $f; done; done"
        name = self.create("sh", "-c", f"({look}) > /tmp/seen 2> /dev/null", change=change)
        self.ok("start", name)
        for _ in range(50):
            self.ok("exec", name, "true")
        with open(os.path.join(self.rootfs, "tmp", "seen")) as file:
            seen = set(file.read().split("\n"))
        # A path that is read through another mount namespace begins at the host's root.
        strange = {line for line in seen if self.folder in line or "cgroup" in line or "berth-runtime" in line}
        self.assertEqual(strange, set())


class Identity(HostileCase):
    def test_cve_2022_29162_inheritable_capabilities_are_empty(self):
        """CVE-2022-24769 and its kin."""
        name = self.create("sleep", "600")
        self.ok("start", name)
        for flags in ((), ("--cap", "CAP_SYS_ADMIN"), ("-u", "1000")):
            with self.subTest(flags=flags):
                result = self.ok("exec", *flags, name, "grep", "CapInh", "/proc/self/status")
                self.assertEqual(result.out.split()[1], "0" * 16)

    def test_cve_2026_30892_odd_users_of_exec(self):
        name = self.create("sleep", "600")
        self.ok("start", name)
        for user, uid in (("1", "1"), ("01", "1"), ("1:2", "1"), ("0", "0")):
            with self.subTest(user=user):
                self.assertEqual(self.ok("exec", "-u", user, name, "id", "-u").text, uid)
        for user in ("1:", "+1", " 1", "-1", "4294967295", "4294967296", "4294967297", "-18446744073709551615", "1x", "", "0x1", ":1"):
            with self.subTest(user=user):
                self.assertNotEqual(self.call("exec", "-u", user, name, "id", "-u").code, 0)

    def test_cve_2022_0811_a_sysctl_cannot_smuggle_another(self):
        with open("/proc/sys/kernel/core_pattern") as pattern:
            before = pattern.read()
        for value in ("1+kernel.core_pattern=|/bin/true", "1\nkernel.core_pattern=x"):
            with self.subTest(value=value):
                result = self.attempt("true", change=lambda config: config["linux"].update(
                    sysctl={"kernel.shm_rmid_forced": value}))
                self.assertNotEqual(result.code, 0)
        for name in ("kernel.core_pattern", "kernel/core_pattern", "kernel.shm_rmid_forced/../core_pattern", "net/../kernel/core_pattern"):
            with self.subTest(name=name):
                result = self.attempt("true", change=lambda config: config["linux"].update(sysctl={name: "x"}))
                self.assertNotEqual(result.code, 0)
        with open("/proc/sys/kernel/core_pattern") as pattern:
            self.assertEqual(pattern.read(), before)

    def test_cve_2021_43784_long_lists_do_not_overflow(self):
        """Nothing of a 64 KiB list of mounts is read as something else."""
        def change(config):
            for number in range(700):
                config["mounts"].append({"destination": f"/tmp/{number}", "type": "bind",
                                         "source": self.outside + "/." * 50, "options": ["bind"]})
            config["root"]["readonly"] = False

        result = self.attempt("id -u; grep NoNewPrivs /proc/self/status", change=change)
        self.assertTrue(result.code != 0 or result.out == "0\nNoNewPrivs:\t1\n", str(result))
        result = self.attempt("true", change=lambda config: config["mounts"].append(
            {"destination": "/tmp/x", "type": "bind", "source": "/" + "a/" * 40000, "options": ["bind"]}))
        self.assertNotEqual(result.code, 0)

    def test_cve_2024_3154_annotations_steer_nothing(self):
        """CVE-2023-6476, CVE-2026-94603: annotations are passed on, and that is all."""
        def change(config):
            config["annotations"] = {"org.systemd.property.ExecStart": f"/bin/touch {self.outside}/x",
                                     "io.podman.annotations.privileged": "TRUE", "run.oci.handler": "krun",
                                     "run.oci.hooks.stdout": f"{self.outside}/x", "io.kubernetes.cri-o.userns-mode": "host",
                                     "run.oci.keep_original_groups": "1", "org.criu.config": f"{self.outside}/x"}

        wanted = self.attempt("grep -E 'Cap|Seccomp|NoNewPrivs|Groups' /proc/self/status").out
        self.assertEqual(self.attempt("grep -E 'Cap|Seccomp|NoNewPrivs|Groups' /proc/self/status", change=change).out, wanted)


class OwnProgram(unittest.TestCase):
    def test_cve_2025_24965_no_configuration_is_read_from_the_root(self):
        """Nor a library, a helper or a setting from anywhere but the command line: it is one static program."""
        with open(RUNTIME, "rb") as program:
            header = program.read(64)
            offset, size, count = *struct.unpack_from("<Q", header, 32), *struct.unpack_from("<HH", header, 54)
            program.seek(offset)
            headers = program.read(size * count)
        kinds = {struct.unpack_from("<I", headers, size * number)[0] for number in range(count)}
        self.assertNotIn(INTERPRETER, kinds)
        self.assertEqual(run([RUNTIME, "--version"]).code, 0)


if __name__ == "__main__":
    unittest.main()
