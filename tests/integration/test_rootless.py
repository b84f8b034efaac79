"""berth without root: an ordinary user's own engine, in a user namespace with the user's subordinate ids."""
import http.server
import json
import os
import secrets
import socket
import subprocess
import threading
import unittest

from harness import archives, rootless
from harness.engine import AGAINST, CLIENT, IMAGE, EngineCase, eventually, fetch, run
from harness.host import mounts

SERVE = "while :; do printf 'HTTP/1.0 200 OK\\r\\n\\r\\nhello\\n' | nc -l -p 80 >/dev/null; done"


def setUpModule():
    if AGAINST != "berth" or CLIENT != "berth":
        raise unittest.SkipTest("docker's rootless mode is set up by a script of its own")
    if reason := rootless.unavailable():
        raise unittest.SkipTest(reason)


class RootlessCase(EngineCase):
    sub_ids = True

    @classmethod
    def setUpClass(cls):
        cls.mounts_before = mounts()
        cls.user = rootless.User(cls.sub_ids)
        cls.engine = rootless.UserEngine(cls.user)
        try:
            cls.engine.start()
            cls.engine.load_base_image()
        except BaseException:
            cls.user.close()
            raise

    @classmethod
    def tearDownClass(cls):
        try:
            cls.engine.close()
            eventually(lambda: not cls.user.processes(), f"nothing runs any more: {cls.user.processes()}")
            left = mounts() - cls.mounts_before
            assert not any(cls.user.folder in mount for mount in left), f"mounts are left: {left}"
        finally:
            cls.user.close()

    def folder(self):
        path = os.path.join(self.user.home, secrets.token_hex(4))
        os.mkdir(path)
        os.chown(path, self.user.uid, self.user.gid)
        return path


class Life(RootlessCase):
    def test_the_engine_is_the_users(self):
        self.assertEqual(os.stat(f"/proc/{self.engine.pid}").st_uid, self.user.uid)
        self.assertEqual(os.stat(self.engine.socket).st_mode & 0o777, 0o600)
        info = json.loads(self.ok("info", "--format", "{{json .}}").out)
        self.assertIn("name=rootless", info["SecurityOptions"])

    def test_run_gives_output_and_status(self):
        result = self.engine("run", "--rm", "-i", IMAGE, "sh", "-c", "cat; id -u; exit 7", input="hello\n")
        self.assertEqual((result.code, result.out), (7, "hello\n0\n"), str(result))

    def test_root_inside_is_the_user_outside(self):
        folder = self.folder()
        self.run_sh("touch /data/root; touch /data/app; chown 1000:1000 /data/app", "-v", f"{folder}:/data")
        first, _ = self.user.sub_ids()
        self.assertEqual(os.stat(f"{folder}/root").st_uid, self.user.uid)
        self.assertEqual(os.stat(f"{folder}/app").st_uid, first + 999)

    def test_other_users_inside(self):
        self.assertEqual(self.run_sh("id -u; touch /tmp/x && stat -c %u /tmp/x", "-u", "1000").text, "1000\n1000")

    def test_the_hosts_root_is_out_of_reach(self):
        self.assertNotEqual(self.engine("run", "--rm", "--privileged", "-v", "/etc:/host", IMAGE, "sh", "-c",
                                        "touch /host/berth-was-here").code, 0)
        self.assertFalse(os.path.exists("/etc/berth-was-here"))

    def test_exec_logs_stop_restart(self):
        name = self.start("sh", "-c", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.1; done")
        eventually(lambda: "up" in self.ok("logs", name).out, "it is up")
        self.assertEqual(self.ok("exec", name, "sh", "-c", "echo $$ from within").text.split()[1:], ["from", "within"])
        self.ok("stop", name)
        self.assertEqual(self.engine.inspect(name)["State"]["ExitCode"], 3)
        self.assertIn("bye", self.ok("logs", name).out)
        self.ok("restart", name)
        eventually(lambda: self.ok("logs", name).out.count("up") == 2, "it is up again")

    def test_terminal(self):
        self.assertIn("/dev/pts/0", self.ok("run", "--rm", "-t", IMAGE, "tty").out)

    def test_stats_and_top(self):
        name = self.start("sh", "-c", "sleep 1000 & while :; do :; done")

        def used():
            return self.engine.api.get(f"/containers/{name}/stats?stream=false&one-shot=true").json()
        eventually(lambda: used()["cpu_stats"]["cpu_usage"]["total_usage"] > 0, "cpu time is counted")
        self.assertGreater(used()["memory_stats"]["usage"], 0)
        eventually(lambda: len(self.ok("top", name).lines) >= 3, "both processes are listed")

    def test_copy_commit_diff(self):
        name = self.start("sleep", "1000")
        self.ok("exec", name, "sh", "-c", "echo one > /one; rm /etc/group; mkdir /etc/d")
        source = os.path.join(self.folder(), "two")
        with open(source, "w") as file:
            file.write("two")
        self.ok("cp", source, f"{name}:/two")
        changes = self.ok("diff", name).lines
        for line in ("A /one", "A /two", "D /etc/group"):
            self.assertIn(line, changes)
        self.ok("commit", name, "committed")
        self.addCleanup(self.engine, "rmi", "-f", "committed")
        self.assertEqual(self.run_sh("cat /one /two; ls /etc/group 2>/dev/null || echo gone", image="committed").text,
                         "one\ntwogone")

    def test_build(self):
        folder = self.folder()
        with open(f"{folder}/Dockerfile", "w") as file:
            file.write(f"FROM {IMAGE}\nRUN echo built > /built && chown 1000:1000 /built\n"
                       "RUN rm -r /etc/group && mkdir -p /dir/sub && touch /dir/sub/a\nRUN rm -r /dir && mkdir /dir && touch /dir/b\n"
                       "COPY Dockerfile /\nUSER 1000\nCMD cat /built\n")
        self.ok("build", "-t", "built", folder)
        self.addCleanup(self.engine, "rmi", "-f", "built")
        self.assertEqual(self.ok("run", "--rm", "built").text, "built")
        # The third step's directory hides what the second had in it.
        self.assertEqual(self.ok("run", "--rm", "built", "sh", "-c", "ls /dir; stat -c %u /built; id -u").text, "b\n1000\n1000")

    def test_volumes(self):
        self.ok("volume", "create", "kept")
        self.addCleanup(self.engine, "volume", "rm", "-f", "kept")
        self.run_sh("echo kept > /v/file; chown 7 /v/file", "-v", "kept:/v")
        self.assertEqual(self.run_sh("cat /v/file; stat -c %u /v/file", "-v", "kept:/v").text, "kept\n7")

    def test_limits_that_cannot_be_held_are_told(self):
        info = json.loads(self.ok("info", "--format", "{{json .}}").out)
        result = self.ok("run", "--rm", "-m", "64m", "--cpus", "1", IMAGE, "true")
        if info["CgroupDriver"] == "none":
            self.assertIn("memory limit", result.err)
            self.assertIn("WARNING: No memory limit support", info["Warnings"])
        else:
            self.assertEqual(result.err, "")

    def test_scores_and_sysctls(self):
        self.assertEqual(self.run_sh("cat /proc/self/oom_score_adj", "--oom-score-adj", "500").text, "500")
        self.ok("run", "--rm", "--oom-score-adj", "-500", IMAGE, "true")
        self.assertEqual(self.run_sh("cat /proc/sys/net/ipv4/ip_forward", "--sysctl", "net.ipv4.ip_forward=1").text, "1")

    def test_images_with_devices_can_be_loaded(self):
        layer = archives.tar(archives.busybox_entries() + [archives.entry("dev/sda", 0o660, archives.tarfile.BLKTYPE,
                                                                          devmajor=8, devminor=0)])
        self.assertEqual(self.engine.load(archives.docker_archive("devices:1", [layer])).code, 0)
        self.addCleanup(self.engine, "rmi", "-f", "devices:1")
        self.assertEqual(self.run_sh("test -e /dev/sda || echo none", image="devices:1").text, "none")


class Network(RootlessCase):
    def free_port(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def test_published_port(self):
        port = self.free_port()
        name = self.start("sh", "-c", SERVE, flags=("-p", f"{port}:80"))
        eventually(lambda: fetch("127.0.0.1", port) == "hello", "the port answers")
        self.fails(125, "run", "--rm", "-p", f"{port}:80", IMAGE, "true", says="port is already allocated")
        self.ok("rm", "-f", name)
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("0.0.0.0", port))

    def test_a_port_that_another_program_has(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            self.fails(125, "run", "--rm", "-p", f"{other.getsockname()[1]}:80", IMAGE, "true", says="address already in use")

    def test_published_datagrams(self):
        port = self.free_port()
        self.start("probe", "udp-echo", "5353", flags=("-p", f"{port}:5353/udp"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.2)

            def echoed():
                client.sendto(b"ping", ("127.0.0.1", port))
                try:
                    return client.recv(100) == b"ping"
                except OSError:
                    return False
            eventually(echoed, "datagrams come back")

    def test_privileged_ports(self):
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as file:
            first = int(file.read())
        if first <= 1:
            self.ok("run", "--rm", "-p", "127.0.0.1:999:80", IMAGE, "true")
        else:
            self.fails(125, "run", "--rm", "-p", f"{first - 1}:80", IMAGE, "true",
                       says="net.ipv4.ip_unprivileged_port_start")

    def test_names(self):
        self.ok("network", "create", "own")
        self.addCleanup(self.engine, "network", "rm", "own")
        server = self.start("sh", "-c", SERVE, flags=("--network", "own"))
        self.assertEqual(self.run_sh(f"until wget -qO- http://{server}/; do sleep 0.1; done", "--network", "own").text, "hello")
        self.ok("rm", "-f", server)

    def test_the_way_out(self):
        info = json.loads(self.ok("info", "--format", "{{json .}}").out)
        if any("no network beyond" in warning for warning in info["Warnings"] or []):
            self.skipTest(f"neither pasta nor slirp4netns works here: {info['Warnings']}")
        link = "bt" + secrets.token_hex(4)
        run(["ip", "link", "add", link, "type", "bridge"])
        self.addCleanup(run, ["ip", "link", "del", link])
        run(["ip", "addr", "add", "198.51.100.77/32", "dev", link])
        run(["ip", "link", "set", link, "up"])

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"outside\n")

            def log_message(self, *arguments):
                pass
        with http.server.HTTPServer(("198.51.100.77", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.addCleanup(server.shutdown)
            address = f"http://198.51.100.77:{server.server_port}/"
            self.assertEqual(self.run_sh(f"wget -qO- {address}").text, "outside")
            server.shutdown()

    def test_kill_9(self):
        port = self.free_port()
        name = self.start("sh", "-c", f"i=0; (while :; do echo $i; i=$((i+1)); sleep 0.1; done) & {SERVE}",
                          flags=("-p", f"{port}:80"))
        eventually(lambda: fetch("127.0.0.1", port) == "hello", "the port answers")
        before = self.last_number(name)
        pid = self.engine.inspect(name)["State"]["Pid"]
        self.engine.kill()
        self.assertTrue(os.path.exists(f"/proc/{pid}"))
        # The next command starts an engine, which takes over container, port and network.
        self.assertEqual(self.engine.inspect(name)["State"]["Pid"], pid)
        eventually(lambda: fetch("127.0.0.1", port) == "hello", "the port answers again")
        eventually(lambda: self.last_number(name) > before, "the log goes on")
        self.assertEqual(self.ok("exec", name, "echo", "in").text, "in")
        self.assertEqual(self.run_sh("echo new").text, "new")
        numbers = [int(line) for line in self.ok("logs", name).lines]
        self.assertEqual(numbers, list(range(len(numbers))))


class End(RootlessCase):
    def test_nothing_runs_after_a_stop(self):
        self.run_sh("true")
        self.engine.terminate()
        eventually(lambda: not self.user.processes(), "the namespaces' keeper has ended too")
        self.engine.start()

    def test_containers_outlive_a_stop(self):
        name = self.start("sleep", "1000")
        pid = self.engine.inspect(name)["State"]["Pid"]
        self.engine.terminate()
        self.assertTrue(os.path.exists(f"/proc/{pid}"))
        self.engine.start()
        self.assertEqual(self.ok("exec", name, "echo", "still").text, "still")


class SingleId(RootlessCase):
    """A user without subordinate ids: one id, and a word about it."""
    sub_ids = False

    def test_root_works_and_others_are_told_about(self):
        self.assertEqual(self.run_sh("id -u").text, "0")
        info = json.loads(self.ok("info", "--format", "{{json .}}").out)
        self.assertTrue(any("usermod --add-subuids" in warning for warning in info["Warnings"]), info["Warnings"])

    def test_an_image_with_other_owners_is_refused_with_a_way_out(self):
        layer = archives.tar(archives.busybox_entries([archives.entry("owned", uid=42, gid=42)]))
        result = self.engine.load(archives.docker_archive("owned:1", [layer]))
        self.assertNotEqual(result.code, 0)
        self.assertIn("/etc/subuid", result.err)


class KeepId(RootlessCase):
    """--userns keep-id: the user has the same id inside as outside."""

    def test_the_user_is_the_same_inside(self):
        folder = self.folder()
        out = self.run_sh("id -u; touch /data/made; stat -c %u /bin/busybox /data", "--userns", "keep-id", "-v",
                          f"{folder}:/data").lines
        self.assertEqual(out, [str(self.user.uid), "0", str(self.user.uid)])
        self.assertEqual(os.stat(f"{folder}/made").st_uid, self.user.uid)

    def test_root_inside_is_a_subordinate_id(self):
        folder = self.folder()
        os.chmod(folder, 0o777)
        self.run_sh("id -u > /data/made", "--userns", "keep-id", "-u", "0", "-v", f"{folder}:/data")
        self.assertEqual(os.stat(f"{folder}/made").st_uid, self.user.sub_ids()[0])

    def test_exec_and_restart(self):
        name = self.start("sleep", "1000", flags=("--userns", "keep-id"))
        self.assertEqual(self.ok("exec", name, "id", "-u").text, str(self.user.uid))
        self.ok("exec", "-u", "0", name, "touch", "/kept")
        self.ok("restart", "-t", "0", name)
        self.assertEqual(self.ok("exec", name, "stat", "-c", "%u", "/kept").text, "0")


class Runtime(unittest.TestCase):
    """berth-runtime as an ordinary user, with the bundle that `spec --rootless` makes."""

    def setUp(self):
        self.user = rootless.User()
        self.addCleanup(self.user.close)
        self.bundle = os.path.join(self.user.home, "bundle")
        root = os.path.join(self.bundle, "rootfs")
        for folder in ("bin", "dev", "proc", "sys", "tmp", "etc"):
            os.makedirs(os.path.join(root, folder))
        run(["cp", archives.BUSYBOX, f"{root}/bin/busybox"])
        for applet in ("sh", "id", "cat", "sleep", "touch"):
            os.symlink("busybox", f"{root}/bin/{applet}")
        run(["chown", "-R", f"{self.user.uid}:{self.user.gid}", self.bundle])
        done = self.runtime("spec", "--rootless", "--bundle", self.bundle)
        self.assertEqual(done.code, 0, str(done))

    def runtime(self, *words):
        return run(self.user.command(self.user.program("berth-runtime"), *words))

    def configure(self, change):
        path = os.path.join(self.bundle, "config.json")
        with open(path) as file:
            config = json.load(file)
        change(config)
        with open(path, "w") as file:
            json.dump(config, file)

    def script(self, text):
        def change(config):
            config["process"]["args"] = ["/bin/sh", "-c", text]
            config["process"]["terminal"] = False
            config["root"]["readonly"] = False
        self.configure(change)

    def test_run(self):
        self.script("id -u; touch /made; cat /proc/self/uid_map; exit 3")
        done = self.runtime("run", "--bundle", self.bundle, "c1")
        self.assertEqual(done.code, 3, str(done))
        self.assertEqual(done.lines[0], "0")
        self.assertEqual(done.lines[1].split(), ["0", str(self.user.uid), "1"])
        self.assertEqual(os.stat(f"{self.bundle}/rootfs/made").st_uid, self.user.uid)

    def test_sub_ids(self):
        first, count = self.user.sub_ids()
        gid_first, gid_count = self.user.sub_ids("/etc/subgid")

        def change(config):
            config["linux"]["uidMappings"] = [{"containerID": 0, "hostID": self.user.uid, "size": 1},
                                              {"containerID": 1, "hostID": first, "size": count}]
            config["linux"]["gidMappings"] = [{"containerID": 0, "hostID": self.user.gid, "size": 1},
                                              {"containerID": 1, "hostID": gid_first, "size": gid_count}]
            config["process"]["user"] = {"uid": 7, "gid": 7}
        self.script("id -u; touch /tmp/made")
        self.configure(change)
        os.chmod(f"{self.bundle}/rootfs/tmp", 0o1777)
        done = self.runtime("run", "--bundle", self.bundle, "c1")
        self.assertEqual((done.code, done.text), (0, "7"), str(done))
        self.assertEqual(os.stat(f"{self.bundle}/rootfs/tmp/made").st_uid, first + 6)

    def test_life(self):
        self.script("sleep 1000")
        # The container keeps the streams of its creator, which must not be a pipe that is read to its end.
        for words in (("create", "--bundle", self.bundle, "c2"), ("start", "c2")):
            command = self.user.command(self.user.program("berth-runtime"), *words)
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.assertEqual(done.returncode, 0, words)
        self.assertEqual(json.loads(self.runtime("state", "c2").out)["status"], "running")
        self.assertEqual(self.runtime("delete", "--force", "c2").code, 0)

    def test_no_writable_cgroups(self):
        """CVE-2023-25809."""
        self.script("for f in $(find /sys/fs/cgroup -name cgroup.procs 2>/dev/null); do [ -w $f ] && echo $f; done; true")
        os.symlink("busybox", f"{self.bundle}/rootfs/bin/find")
        done = self.runtime("run", "--bundle", self.bundle, "c3")
        self.assertEqual((done.code, done.text), (0, ""), str(done))

    def detached(self, *words, prefix=()):
        """The container keeps the streams of its creator, which must not be a pipe that is read to its end."""
        command = self.user.command(*prefix, self.user.program("berth-runtime"), *words)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, words)

    def test_exec_from_outside(self):
        """Into a container with a user namespace of its own, and into one that lives in its caller's, as those of
        engines without root do."""
        root = os.path.join(self.user.home, "state")
        self.script("sleep 1000")

        def share_users(config):
            config["linux"]["namespaces"] = [each for each in config["linux"]["namespaces"] if each["type"] != "user"]
            del config["linux"]["uidMappings"], config["linux"]["gidMappings"]
        for name, prefix in (("own", ()), ("shared", ("unshare", "--user", "--map-root-user"))):
            with self.subTest(name):
                if prefix:
                    self.configure(share_users)
                self.detached("--root", root, "create", "--bundle", self.bundle, name, prefix=prefix)
                self.addCleanup(self.runtime, "--root", root, "delete", "--force", name)
                self.detached("--root", root, "start", name, prefix=prefix)
                inside = ("exec", name, "sh", "-c", "id -u; cat /proc/self/uid_map; cat /proc/sys/kernel/hostname; exit 7")
                done = self.runtime("--root", root, *inside)
                self.assertEqual(done.code, 7, str(done))
                self.assertEqual(done.out.split(), ["0", "0", str(self.user.uid), "1", "berth"])
                # Nor does the system's root bring its rights along.
                done = run([self.user.program("berth-runtime"), "--root", root, *inside])
                self.assertEqual(done.out.split(), ["0", "0", str(self.user.uid), "1", "berth"], str(done))
                os.chmod(self.user.home, 0o755)
                other = run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                             self.user.program("berth-runtime"), "--root", root, *inside])
                self.assertEqual((other.code, other.out), (255, ""), str(other))
