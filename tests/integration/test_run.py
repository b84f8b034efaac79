"""`run`: arguments, streams, exit codes, identity, file systems, isolation."""
import os
import pty
import select
import signal
import stat
import subprocess
import time
import unittest

from harness.engine import IMAGE, EngineCase, Lines, eventually


def read_pty(descriptor, until, within=20, nudge=None):
    """Reads a terminal until `until` appears; returns all that was read. `nudge` is called while nothing comes."""
    data = b""
    deadline = time.monotonic() + within
    while until not in data:
        left = max(0, deadline - time.monotonic())
        ready, _, _ = select.select([descriptor], [], [], left if nudge is None else min(left, 0.5))
        if not ready and nudge is not None and left > 0:
            nudge()
            continue
        if not ready:
            raise AssertionError(f"the terminal did not show {until!r}: {data!r}")
        try:
            piece = os.read(descriptor, 4096)
        except OSError:  # the other side is closed
            piece = b""
        if not piece:
            raise AssertionError(f"the terminal ended before {until!r}: {data!r}")
        data += piece
    return data


class ExitCodes(EngineCase):
    def test_success_and_output(self):
        result = self.ok("run", "--rm", IMAGE, "echo", "hello world")
        self.assertEqual((result.out, result.err), ("hello world\n", ""))

    def test_status_of_the_program(self):
        for code in (1, 3, 42, 255):
            with self.subTest(code=code):
                self.assertEqual(self.engine("run", "--rm", IMAGE, "sh", "-c", f"exit {code}").code, code)

    def test_killed_by_a_signal(self):
        self.assertEqual(self.engine("run", "--rm", IMAGE, "sh", "-c", "sh -c 'kill -9 $$'; exit $?").code, 137)
        self.assertEqual(self.engine("run", "--rm", "--init", IMAGE, "sh", "-c", "kill -TERM $$").code, 143)

    def test_command_not_found(self):
        self.fails(127, "run", "--rm", IMAGE, "no-such-program", says="executable file not found")
        self.fails(127, "run", "--rm", IMAGE, "/no/such/program", says="no such file or directory")

    def test_command_not_executable(self):
        self.fails(126, "run", "--rm", IMAGE, "/etc/passwd", says="permission denied")
        self.fails(126, "run", "--rm", IMAGE, "/etc")

    def test_refused_by_the_engine(self):
        self.fails(125, "run", "--rm", "--network", "no-such-network", IMAGE, "true", says="no-such-network")
        self.fails(125, "run", "--rm", "--memory", "1k", IMAGE, "true", says="memory")
        self.fails(125, "run", "--rm", "--cpus", "100000", IMAGE, "true", says="cpus")

    def test_a_failed_start_leaves_no_container_with_rm(self):
        name = self.name()
        self.engine("run", "--rm", "--name", name, IMAGE, "no-such-program")
        eventually(lambda: name not in self.ok("ps", "-a", "--format", "{{.Names}}").lines, "the container is gone")

    def test_a_failed_start_without_rm_is_left_created(self):
        name = self.name()
        self.engine("run", "--name", name, IMAGE, "no-such-program")
        state = self.engine.inspect(name)["State"]
        self.assertEqual((state["Status"], state["ExitCode"]), ("created", 127))
        self.assertIn("no-such-program", state["Error"])


class Streams(EngineCase):
    def test_stdin_reaches_the_program(self):
        self.assertEqual(self.ok("run", "--rm", "-i", IMAGE, "cat", input="one\ntwo\n").out, "one\ntwo\n")

    def test_stdin_is_closed_without_i(self):
        self.assertEqual(self.ok("run", "--rm", IMAGE, "cat", input="ignored\n").out, "")

    def test_stdout_and_stderr_stay_apart(self):
        result = self.run_sh("echo out; echo err >&2")
        self.assertEqual((result.out, result.err), ("out\n", "err\n"))

    def test_large_binary_streams_pass_unchanged(self):
        data = os.urandom(3_000_000)
        self.assertEqual(self.ok("run", "--rm", "-i", IMAGE, "cat", input=data, text=False).out, data)

    def test_output_without_a_final_newline(self):
        self.assertEqual(self.ok("run", "--rm", IMAGE, "printf", "no newline").out, "no newline")

    def test_output_of_a_program_that_ends_at_once_is_complete(self):
        for _ in range(10):
            self.assertEqual(len(self.run_sh("seq 20000").lines), 20000)

    def test_attach_to_stderr_alone(self):
        result = self.ok("run", "--rm", "-a", "stderr", IMAGE, "sh", "-c", "echo out; echo err >&2")
        self.assertEqual((result.out, result.err), ("", "err\n"))

    def test_a_signal_to_the_client_reaches_the_program(self):
        client = self.engine.popen("run", "--rm", IMAGE, "sh", "-c",
                                   "trap 'echo got TERM; exit 7' TERM; echo ready; while :; do sleep 0.1; done")
        with client:
            lines = Lines(client.stdout)
            lines.until("ready")
            client.send_signal(signal.SIGTERM)
            lines.until("got TERM")
            self.assertEqual(client.wait(20), 7)

    def test_detached_prints_the_id(self):
        name = self.name()
        result = self.ok("run", "-d", "--name", name, IMAGE, "sleep", "60")
        self.assertRegex(result.out, r"^[0-9a-f]{64}\n$")
        self.assertEqual(self.engine.inspect(name)["Id"], result.text)

    def test_cidfile(self):
        path = os.path.join(self.folder(), "id")
        self.ok("run", "-d", "--name", self.name(), "--cidfile", path, IMAGE, "true")
        with open(path) as file:
            self.assertRegex(file.read(), r"^[0-9a-f]{64}$")
        self.fails(125, "run", "--rm", "--cidfile", path, IMAGE, "true", says=path)


class Terminals(EngineCase):
    def terminal(self, *arguments, rows=30, columns=100):
        """Runs the CLI on a terminal of its own; returns (master descriptor, process)."""
        import fcntl
        import struct
        import termios
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        client = subprocess.Popen([*self.engine.cli, *arguments], stdin=slave, stdout=slave, stderr=slave,
                                  start_new_session=True,
                                  preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.addCleanup(os.close, master)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        return master, client

    def test_tty_is_a_terminal(self):
        master, client = self.terminal("run", "--rm", "-it", IMAGE, "sh", "-c", "tty; echo done")
        shown = read_pty(master, b"done")
        self.assertIn(b"/dev/", shown)
        self.assertEqual(client.wait(20), 0)

    def test_typed_lines_and_exit(self):
        master, client = self.terminal("run", "--rm", "-it", IMAGE, "sh")
        read_pty(master, b"# ")
        os.write(master, b"echo $((40+2))\n")
        read_pty(master, b"\r\n42\r\n")
        os.write(master, b"exit 5\n")
        self.assertEqual(client.wait(20), 5)

    def test_size_and_resize(self):
        import fcntl
        import struct
        import termios
        master, client = self.terminal("run", "--rm", "-it", IMAGE, "sh", "-c",
                                       "trap 'stty size' WINCH; echo up; while :; do sleep 0.1; done", rows=33, columns=99)
        read_pty(master, b"up")
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 41, 123, 0, 0))
        # docker's command may not listen yet when the program does.
        read_pty(master, b"41 123", nudge=lambda: os.kill(client.pid, signal.SIGWINCH))
        client.kill()
        self.ok("kill", *self.ok("ps", "-q").lines)

    def test_interrupt_key(self):
        master, client = self.terminal("run", "--rm", "-it", IMAGE, "sh", "-c",
                                       "trap 'echo interrupted; exit 9' INT; echo up; while :; do sleep 0.1; done")
        read_pty(master, b"up")
        os.write(master, b"\x03")
        read_pty(master, b"interrupted")
        self.assertEqual(client.wait(20), 9)

    def test_detach_keys_leave_the_container_running(self):
        name = self.name()
        master, client = self.terminal("run", "-it", "--name", name, IMAGE, "sh")
        read_pty(master, b"# ")
        os.write(master, b"\x10\x11")
        client.wait(20)
        self.assertEqual(self.engine.inspect(name)["State"]["Status"], "running")

    def test_own_detach_keys(self):
        name = self.name()
        master, client = self.terminal("run", "-it", "--detach-keys", "ctrl-x,x", "--name", name, IMAGE, "sh")
        read_pty(master, b"# ")
        os.write(master, b"\x18x")
        client.wait(20)
        self.assertEqual(self.engine.inspect(name)["State"]["Status"], "running")

    def test_attach_again_after_detaching(self):
        name = self.name()
        master, client = self.terminal("run", "-it", "--name", name, IMAGE, "sh")
        read_pty(master, b"# ")
        os.write(master, b"\x10\x11")
        client.wait(20)
        master, client = self.terminal("attach", name)
        os.write(master, b"echo back-$((6*7))\n")
        read_pty(master, b"back-42")
        os.write(master, b"exit 4\n")
        self.assertEqual(client.wait(20), 4)

    def test_tty_needs_a_terminal(self):
        result = self.engine("run", "--rm", "-it", IMAGE, "true")
        self.assertEqual(result.code, 1, str(result))
        self.assertIn("not a tty", result.err.lower(), str(result))


class Identity(EngineCase):
    def test_user_forms(self):
        for given, shown in (("1000", "1000:1000"), ("app", "1000:1000"), ("app:staff", "1000:50"), ("5:6", "5:6"),
                             ("1000:audio", "1000:29"), ("4242", "4242:0")):
            with self.subTest(user=given):
                self.assertEqual(self.run_sh("echo $(id -u):$(id -g)", "-u", given).text, shown)

    def test_a_numeric_user_is_never_a_name(self):
        self.assertEqual(self.run_sh("id -u", "-u", "1234").text, "1234")

    def test_supplementary_groups_come_from_the_image(self):
        self.assertEqual(sorted(self.run_sh("id -G", "-u", "app").text.split()), ["1000", "29", "50"])
        self.assertEqual(self.run_sh("id -G", "-u", "1000:1000").text, "1000")

    def test_group_add(self):
        self.assertEqual(sorted(self.run_sh("id -G", "--group-add", "audio", "--group-add", "777").text.split()),
                         ["0", "29", "777"])

    def test_unknown_user(self):
        result = self.engine("run", "--rm", "-u", "nobody-here", IMAGE, "true")
        self.assertIn(result.code, (125, 126), str(result))
        self.assertIn("nobody-here", result.err)

    def test_out_of_range_users_never_become_root(self):
        for user in ("4294967296", "4294967297", "4294967295", "2147483648", "-1", " 0"):
            with self.subTest(user=user):
                result = self.engine("run", "--rm", "-u", user, IMAGE, "id", "-u")
                self.assertNotEqual(result.code, 0, str(result))

    def test_environment(self):
        result = self.run_sh("echo $A-$B-$C", "-e", "A=1", "-e", "B=two words", "-e", "C", env={"C": "from caller"})
        self.assertEqual(result.text, "1-two words-from caller")

    def test_env_file(self):
        path = os.path.join(self.folder(), "env")
        with open(path, "w") as file:
            file.write("# comment\n\nX=1\nY=a=b\nFROM_CALLER\n")
        result = self.run_sh("echo $X $Y $FROM_CALLER", "--env-file", path, env={"FROM_CALLER": "yes"})
        self.assertEqual(result.text, "1 a=b yes")

    def test_default_environment(self):
        lines = self.ok("run", "--rm", "--hostname", "box", IMAGE, "env").lines
        self.assertIn("HOSTNAME=box", lines)
        self.assertIn("HOME=/root", lines)
        self.assertIn("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", lines)

    def test_nothing_of_the_callers_environment_leaks(self):
        result = self.ok("run", "--rm", IMAGE, "env", env={"LEAKED_SECRET": "1"})
        self.assertNotIn("LEAKED_SECRET", result.out)

    def test_workdir_is_made(self):
        self.assertEqual(self.ok("run", "--rm", "-w", "/not/there/yet", IMAGE, "pwd").text, "/not/there/yet")

    def test_workdir_must_be_absolute(self):
        self.fails(125, "run", "--rm", "-w", "relative", IMAGE, "pwd", says="relative")

    def test_entrypoint(self):
        self.assertEqual(self.ok("run", "--rm", "--entrypoint", "echo", IMAGE, "a", "b").text, "a b")
        self.assertEqual(self.ok("run", "--rm", "--entrypoint", "", IMAGE, "echo", "c").text, "c")

    def test_hostname(self):
        self.assertEqual(self.ok("run", "--rm", "--hostname", "box", IMAGE, "hostname").text, "box")
        self.assertEqual(self.ok("run", "--rm", "-h", "box", IMAGE, "cat", "/etc/hostname").text, "box")
        name = self.start("sleep", "60")
        self.assertEqual(self.ok("exec", name, "hostname").text, self.engine.inspect(name)["Id"][:12])

    def test_add_host(self):
        hosts = self.ok("run", "--rm", "--add-host", "db:10.1.2.3", "--add-host", "v6=::1", IMAGE, "cat", "/etc/hosts").out
        self.assertRegex(hosts, r"(?m)^10\.1\.2\.3\s+db$")
        self.assertRegex(hosts, r"(?m)^::1\s+v6$")
        self.assertRegex(hosts, r"(?m)^127\.0\.0\.1\s+localhost$")

    def test_dns_flags(self):
        text = self.ok("run", "--rm", "--dns", "192.0.2.53", "--dns-search", "corp.test", "--dns-option", "ndots:3",
                       IMAGE, "cat", "/etc/resolv.conf").out
        self.assertIn("nameserver 192.0.2.53", text)
        self.assertIn("search corp.test", text)
        self.assertIn("ndots:3", text)


class Filesystems(EngineCase):
    def test_bind_both_ways(self):
        folder = self.folder()
        with open(os.path.join(folder, "in"), "w") as file:
            file.write("from the host")
        self.assertEqual(self.run_sh("cat /data/in; echo from-inside > /data/out", "-v", f"{folder}:/data").out,
                         "from the host")
        with open(os.path.join(folder, "out")) as file:
            self.assertEqual(file.read(), "from-inside\n")

    def test_read_only_bind(self):
        result = self.engine("run", "--rm", "-v", f"{self.folder()}:/data:ro", IMAGE, "touch", "/data/x")
        self.assertNotEqual(result.code, 0)
        self.assertIn("Read-only file system", result.err)

    def test_a_missing_bind_source(self):
        missing = os.path.join(self.folder(), "made", "here")
        self.run_sh("true", "-v", f"{missing}:/data")
        self.assertTrue(os.path.isdir(missing))
        self.fails(125, "run", "--rm", "--mount", f"type=bind,source={missing}-not,target=/data", IMAGE, "true",
                   says=["bind source path does not exist", missing])

    def test_a_file_can_be_bound(self):
        path = os.path.join(self.folder(), "file")
        with open(path, "w") as file:
            file.write("content")
        self.assertEqual(self.ok("run", "--rm", "-v", f"{path}:/some/where/file:ro", IMAGE, "cat", "/some/where/file").out,
                         "content")

    def test_named_volumes_keep_content(self):
        self.addCleanup(self.engine, "volume", "rm", "-f", "kept")
        self.run_sh("echo kept > /v/file", "-v", "kept:/v")
        self.assertEqual(self.run_sh("cat /v/file", "--mount", "type=volume,source=kept,target=/v").text, "kept")

    def test_a_new_volume_takes_the_images_content(self):
        self.addCleanup(self.engine, "volume", "rm", "-f", "seeded")
        self.assertIn("root:x:0:0", self.run_sh("cat /etc/passwd", "-v", "seeded:/etc").out)
        self.run_sh("echo changed > /etc/passwd", "-v", "seeded:/etc")
        self.assertEqual(self.run_sh("cat /etc/passwd", "-v", "seeded:/etc").text, "changed")

    def test_anonymous_volumes_go_with_rm(self):
        before = set(self.ok("volume", "ls", "-q").lines)
        self.run_sh("echo x > /v/file", "-v", "/v")
        self.assertEqual(set(self.ok("volume", "ls", "-q").lines), before)

    def test_tmpfs(self):
        text = self.run_sh("mount | grep ' /scratch '; touch /scratch/x", "--tmpfs", "/scratch:size=1m,mode=1777").out
        self.assertIn("tmpfs", text)
        self.assertIn("size=1024k", text)
        self.assertIn("noexec", text)
        self.assertNotEqual(self.engine("run", "--rm", "--tmpfs", "/s:size=1m", IMAGE, "dd", "if=/dev/zero", "of=/s/f",
                                        "bs=1M", "count=2").code, 0)

    def test_tmpfs_by_mount(self):
        self.assertIn("size=2048k", self.run_sh("mount | grep ' /s '", "--mount", "type=tmpfs,target=/s,tmpfs-size=2m").out)

    def test_read_only_root(self):
        result = self.engine("run", "--rm", "--read-only", "--tmpfs", "/tmp", IMAGE, "sh", "-c",
                             "touch /tmp/ok && echo tmp && touch /bin/no")
        self.assertEqual(result.out, "tmp\n")
        self.assertIn("Read-only file system", result.err)

    def test_changes_stay_in_their_container(self):
        self.run_sh("echo spoiled > /etc/passwd; rm /bin/ls")
        self.assertIn("root:x:0:0", self.run_sh("ls /etc > /dev/null && cat /etc/passwd").out)

    def test_shm_size(self):
        self.assertIn("65536", self.run_sh("df -k /dev/shm").out)
        self.assertIn("1024", self.run_sh("df -k /dev/shm", "--shm-size", "1m").out)

    def test_the_roots_mode_and_standard_devices(self):
        self.assertEqual(self.run_sh("stat -c %a /").text, "755")
        self.run_sh("for d in null zero full random urandom tty; do test -c /dev/$d || exit 1; done; "
                    "test -d /dev/pts && test -d /dev/shm && test -d /dev/mqueue && test -L /dev/fd && test -L /dev/stdin")
        self.assertEqual(self.run_sh("stat -c %t:%T /dev/null /dev/zero").lines, ["1:3", "1:5"])

    def test_volumes_from(self):
        first = self.name()
        self.ok("run", "--name", first, "-v", "/shared", IMAGE, "sh", "-c", "echo here > /shared/f")
        self.assertEqual(self.run_sh("cat /shared/f", "--volumes-from", first).text, "here")

    def test_a_device_from_the_host(self):
        self.assertEqual(self.run_sh("stat -c %t:%T /dev/mynull", "--device", "/dev/null:/dev/mynull").text, "1:3")


class Isolation(EngineCase):
    def status(self, *flags):
        text = self.ok("run", "--rm", *flags, IMAGE, "cat", "/proc/self/status").out
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def test_pid_1_and_nobody_else(self):
        self.assertEqual(self.run_sh("echo $$; ls /proc | grep -c '^[0-9]'").lines[0], "1")

    def test_namespaces_differ_from_the_hosts(self):
        for kind in ("mnt", "pid", "net", "uts", "ipc"):
            with self.subTest(kind=kind):
                self.assertNotEqual(self.ok("run", "--rm", IMAGE, "readlink", f"/proc/self/ns/{kind}").text,
                                    os.readlink(f"/proc/self/ns/{kind}"))

    def test_host_namespaces_on_request(self):
        for flag, kind in (("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts"), ("--network", "net")):
            with self.subTest(flag=flag):
                self.assertEqual(self.ok("run", "--rm", flag, "host", IMAGE, "readlink", f"/proc/self/ns/{kind}").text,
                                 os.readlink(f"/proc/self/ns/{kind}"))

    def test_default_capabilities(self):
        status = self.status()
        self.assertEqual(status["CapEff"].strip(), "00000000a80425fb")
        self.assertEqual(status["CapBnd"].strip(), "00000000a80425fb")
        self.assertEqual(int(status["CapInh"], 16), 0)
        self.assertEqual(int(status["CapAmb"], 16), 0)

    def test_capabilities_of_an_ordinary_user(self):
        status = self.status("-u", "1000")
        self.assertEqual(int(status["CapEff"], 16), 0)
        self.assertEqual(int(status["CapInh"], 16), 0)

    def test_cap_add_and_drop(self):
        self.assertEqual(self.status("--cap-drop", "ALL")["CapEff"].strip(), "0000000000000000")
        self.assertEqual(int(self.status("--cap-drop", "all", "--cap-add", "NET_ADMIN")["CapEff"], 16), 1 << 12)
        self.assertTrue(int(self.status("--cap-add", "CAP_SYS_TIME")["CapEff"], 16) & 1 << 25)
        self.fails(125, "run", "--rm", "--cap-add", "NO_SUCH", IMAGE, "true", says="NO_SUCH")

    def test_privileged(self):
        self.only_berth("runc fails where the machine itself withholds a capability")
        status = self.status("--privileged")
        with open("/proc/self/status") as own:
            host = dict(line.split(":", 1) for line in own)
        self.assertEqual(status["CapEff"].strip(), host["CapEff"].strip())
        self.assertEqual(status["Seccomp"].strip(), "0")
        self.assertTrue(self.run_sh("mount -t tmpfs none /mnt 2>/dev/null || mkdir /m && mount -t tmpfs none /m && echo ok",
                                    "--privileged").text.endswith("ok"))

    def test_seccomp_filters_by_default(self):
        self.assertEqual(self.status()["Seccomp"].strip(), "2")
        self.assertEqual(self.status("--security-opt", "seccomp=unconfined")["Seccomp"].strip(), "0")
        self.assertNotEqual(self.engine("run", "--rm", IMAGE, "unshare", "-U", "true").code, 0)
        self.assertEqual(self.engine("run", "--rm", "--security-opt", "seccomp=unconfined", "--cap-add", "SYS_ADMIN",
                                     IMAGE, "unshare", "-m", "true").code, 0)

    def test_a_seccomp_profile_of_ones_own(self):
        path = os.path.join(self.folder(), "profile.json")
        with open(path, "w") as file:
            file.write('{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],'
                       '"action":"SCMP_ACT_ERRNO"}]}')
        result = self.engine("run", "--rm", "--security-opt", f"seccomp={path}", IMAGE, "mkdir", "/x")
        self.assertIn("Operation not permitted", result.err, str(result))

    def test_no_new_privileges(self):
        self.assertEqual(self.status()["NoNewPrivs"].strip(), "0")
        self.assertEqual(self.status("--security-opt", "no-new-privileges")["NoNewPrivs"].strip(), "1")

    def test_masked_and_read_only_proc(self):
        self.assertEqual(self.run_sh("cat /proc/kcore 2>/dev/null | wc -c; cat /proc/keys | wc -c").lines, ["0", "0"])
        self.assertNotEqual(self.engine("run", "--rm", IMAGE, "sh", "-c", "echo 1 > /proc/sys/kernel/panic").code, 0)
        self.assertNotEqual(self.engine("run", "--rm", IMAGE, "sh", "-c", "echo b > /proc/sysrq-trigger").code, 0)
        self.assertEqual(self.run_sh("ls /sys/firmware | wc -l").text, "0")

    def test_mount_is_refused(self):
        self.assertNotEqual(self.engine("run", "--rm", IMAGE, "mount", "-t", "tmpfs", "none", "/tmp").code, 0)

    def test_no_foreign_descriptors(self):
        name = self.start("sleep", "60")
        self.assertEqual(self.ok("exec", name, "ls", "/proc/1/fd").lines, ["0", "1", "2"])
        self.assertEqual(self.ok("run", "--rm", IMAGE, "ls", "/proc/self/fd").lines, ["0", "1", "2", "3"])

    def test_init_for_users_without_any_capability(self):
        self.assertEqual(self.run_sh("id -u; cat /proc/1/comm", "--init", "-u", "1000:1000", "--cap-drop", "ALL").lines[0], "1000")

    def test_init_reaps(self):
        name = self.start("sh", "-c", "sh -c 'sleep 0.1 & exec true' ; exec sleep 60", flags=("--init",))
        self.assertNotEqual(self.ok("exec", name, "cat", "/proc/1/comm").text, "sleep")

        def no_zombies():
            return "Z" not in [line.split()[0] for line in
                               self.ok("exec", name, "sh", "-c", "cut -d' ' -f3 /proc/[0-9]*/stat").lines]

        eventually(no_zombies, "no zombie is left")

    def test_sysctl(self):
        self.assertEqual(self.run_sh("cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
                                     "--sysctl", "net.ipv4.ip_unprivileged_port_start=80").text, "80")
        self.fails(125, "run", "--rm", "--sysctl", "kernel.panic=1", IMAGE, "true", says="kernel.panic")

    def test_ulimit(self):
        self.assertEqual(self.run_sh("ulimit -n; ulimit -Hn", "--ulimit", "nofile=100:200").lines, ["100", "200"])
        self.assertEqual(self.run_sh("ulimit -c", "--ulimit", "core=0").text, "0")
        self.fails(125, "run", "--rm", "--ulimit", "bogus=1", IMAGE, "true", says="bogus")

    def test_stop_signal(self):
        name = self.start("sh", "-c", "trap 'exit 33' USR1; echo up; while :; do sleep 0.1; done",
                          flags=("--stop-signal", "USR1"))
        eventually(lambda: "up" in self.ok("logs", name).out, "the program is up")
        self.ok("stop", name)
        self.assertEqual(self.engine.inspect(name)["State"]["ExitCode"], 33)

    def test_ipc_shared_with_another_container(self):
        first = self.start("sleep", "60", flags=("--ipc", "shareable"))
        theirs = self.ok("exec", first, "readlink", "/proc/1/ns/ipc").text
        self.assertEqual(self.ok("run", "--rm", "--ipc", f"container:{first}", IMAGE, "readlink", "/proc/self/ns/ipc").text,
                         theirs)

    def test_pid_shared_with_another_container(self):
        first = self.start("sleep", "12345")
        self.assertIn("sleep 12345", self.ok("run", "--rm", "--pid", f"container:{first}", IMAGE, "ps").out)

    def test_the_engine_is_not_reachable_from_inside(self):
        self.assertEqual(self.run_sh("ls /run /var/run 2>/dev/null | grep -c -e berth -e docker -e sock; true").text, "0")


class UnixSocketModes(EngineCase):
    def test_the_socket_is_not_for_everybody(self):
        mode = stat.S_IMODE(os.stat(self.engine.socket).st_mode)
        self.assertEqual(mode & 0o007, 0, oct(mode))

    def test_the_data_root_is_not_for_everybody(self):
        mode = stat.S_IMODE(os.stat(self.engine.data).st_mode)
        self.assertEqual(mode & 0o066, 0, oct(mode))

    def test_a_second_engine_on_the_same_data_is_refused(self):
        self.only_berth("its lock is its pid file")
        from harness.engine import Engine
        second = Engine("second", folder=self.folder())
        second.data = self.engine.data
        with self.assertRaises(AssertionError) as refused:
            second.start()
        second.terminate()
        self.assertIn(self.engine.data, str(refused.exception))


if __name__ == "__main__":
    unittest.main()
