"""kill -9 of berthd while containers run: they go on, nothing of what they say is lost, and the next berthd picks
all of them up."""
import json
import os
import signal
import subprocess
import threading
import time

from harness.engine import IMAGE, EngineCase, Lines, eventually, fetch


class ChaosCase(EngineCase):
    def setUp(self):
        super().setUp()
        self.only_berth("dockerd ends its containers when it is killed")

    def tearDown(self):
        if self.engine.process.poll() is not None:  # a test failed between kill and start
            self.engine.start()
        super().tearDown()

    def crash(self):
        """kill -9, then the next daemon on the same folders."""
        self.engine.kill()
        self.engine.start()

    def pid(self, name):
        return self.engine.inspect(name)["State"]["Pid"]

    def exit_process(self, pid, sign=signal.SIGKILL):
        os.kill(pid, sign)


class Survival(ChaosCase):
    def test_containers_go_on_and_are_picked_up(self):
        names = [self.start("sleep", "600", flags=flags) for flags in ((), ("--network", "none"), ("-m", "64m"), ("-t",), ("-i",))]
        before = {name: self.engine.inspect(name) for name in names}
        self.crash()
        for name in names:
            after = self.engine.inspect(name)
            for part in (("Id",), ("State", "Pid"), ("State", "StartedAt"), ("State", "Status"), ("NetworkSettings", "Networks")):
                left, right = before[name], after
                for key in part:
                    left, right = left[key], right[key]
                self.assertEqual(left, right, (name, part))

    def test_names_are_answered_again(self):
        self.ok("network", "create", "survivors")
        self.addCleanup(self.engine, "network", "rm", "survivors")
        web, asker = (self.start("sleep", "600", flags=("--network", "survivors")) for _ in range(2))
        address = self.engine.inspect(web)["NetworkSettings"]["Networks"]["survivors"]["IPAddress"]
        self.crash()
        self.assertIn(address, self.ok("exec", asker, "nslookup", web).out)

    def test_no_log_line_is_lost_over_many_crashes(self):
        name = self.start("sh", "-c", "trap 'exit 0' TERM; exec probe forever 60", flags=("--log-opt", "max-size=1g"))
        for _ in range(6):
            seen = self.last_number(name)
            self.engine.kill()
            time.sleep(0.05)  # the writer goes on without an engine
            self.engine.start()
            eventually(lambda: self.last_number(name) > seen, "the writer has gone on")
        self.ok("kill", name)
        self.ok("wait", name)
        for number, line in enumerate(self.ok("logs", name, timeout=120).lines):
            if line.split()[0] != str(number):
                self.fail(f"after line {number - 1} came {line[:40]!r}")

    def test_both_streams_of_a_slow_writer(self):
        name = self.start("sh", "-c", "i=0; while [ $i -lt 200 ]; do echo out $i; echo err $i >&2; i=$((i+1)); usleep 10000; done")
        for _ in range(3):
            self.crash()
        self.assertEqual(self.ok("wait", name).text, "0")
        result = self.ok("logs", name)
        self.assertEqual(result.lines, [f"out {number}" for number in range(200)])
        self.assertEqual(result.err.splitlines(), [f"err {number}" for number in range(200)])

    def test_exit_codes_of_containers_that_end_meanwhile(self):
        names = {code: self.start("sh", "-c", f"trap 'exit {code}' HUP; while :; do sleep 0.1; done") for code in (0, 3, 255)}
        killed = self.start("sleep", "600")
        pids = {code: self.pid(name) for code, name in names.items()}
        killed_pid = self.pid(killed)
        self.engine.kill()
        self.exit_process(killed_pid)

        def ended():  # a shell may not have set its trap yet: it is told again
            left = [pid for pid in (*pids.values(), killed_pid) if os.path.exists(f"/proc/{pid}")]
            for pid in set(left) - {killed_pid}:
                self.exit_process(pid, signal.SIGHUP)
            return not left

        eventually(ended, "they have ended")
        self.engine.start()
        self.assertEqual(self.ok("wait", killed).text, "137")
        state = self.engine.inspect(killed)["State"]
        self.assertEqual((state["Status"], state["ExitCode"]), ("exited", 137))
        self.assertNotEqual(state["FinishedAt"], "0001-01-01T00:00:00Z")
        for code, name in names.items():
            self.assertEqual(self.ok("wait", name).text, str(code))

    def test_a_program_that_ends_by_itself_meanwhile(self):
        folder = self.folder()
        name = self.start("sh", "-c", "while [ ! -e /s/go ]; do usleep 10000; done; echo last words; exit 42",
                          flags=("-v", f"{folder}:/s"))
        pid = self.pid(name)
        self.engine.kill()
        with open(os.path.join(folder, "go"), "w"):
            pass
        eventually(lambda: not os.path.exists(f"/proc/{pid}"), "it has ended")
        self.engine.start()
        self.assertEqual(self.ok("wait", name).text, "42")
        self.assertEqual(self.ok("logs", name).text, "last words")

    def test_what_was_to_be_removed_is_removed(self):
        name = self.name()
        self.ok("run", "-d", "--rm", "--name", name, IMAGE, "sleep", "600")
        pid = self.pid(name)
        self.engine.kill()
        self.exit_process(pid)
        self.engine.start()
        eventually(lambda: name not in self.ok("ps", "-a", "--format", "{{.Names}}").lines, "it is removed")

    def test_restart_policies_are_kept(self):
        always, never = self.start("sleep", "600", flags=("--restart", "always")), self.start("sleep", "600")
        pids = [self.pid(always), self.pid(never)]
        self.engine.kill()
        for pid in pids:
            self.exit_process(pid)
        eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "they have ended")
        self.engine.start()
        eventually(lambda: self.engine.inspect(always)["State"]["Running"], "it is started again")
        self.assertNotEqual(self.pid(always), pids[0])
        self.assertEqual(self.engine.inspect(never)["State"]["Status"], "exited")

    def test_a_stopped_container_stays_stopped(self):
        name = self.start("sleep", "600", flags=("--restart", "unless-stopped"))
        self.ok("stop", "-t", "0", name)
        self.crash()
        self.assertEqual(self.engine.inspect(name)["State"]["Status"], "exited")

    def test_exec_stop_pause_and_rm_work_afterwards(self):
        name = self.start("sleep", "600", flags=("-e", "X=1"))
        self.crash()
        self.assertEqual(self.ok("exec", name, "sh", "-c", "echo $X; exit 0").text, "1")
        self.assertEqual(self.engine("exec", name, "sh", "-c", "exit 9").code, 9)
        self.ok("pause", name)
        self.crash()
        self.assertEqual(self.engine.inspect(name)["State"]["Status"], "paused")
        self.ok("unpause", name)
        self.assertIn("sleep", self.ok("top", name).out)
        self.assertIn(name, self.ok("stats", "--no-stream", "--format", "{{.Name}}", name).text)
        self.ok("stop", "-t", "0", name)
        self.ok("start", name)
        self.ok("rm", "-f", name)

    def test_published_ports_answer_without_an_engine_and_after_it(self):
        name = self.start("sh", "-c", "mkdir /w && echo here > /w/index.html && exec httpd -f -h /w", flags=("-p", "127.0.0.1::80"))
        port = int(self.ok("port", name, "80").text.rsplit(":", 1)[1])
        address = self.engine.inspect(name)["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]

        eventually(lambda: fetch("127.0.0.1", port) == "here", "it answers")
        self.engine.kill()
        self.assertEqual(fetch(address, 80), "here")
        self.engine.start()
        eventually(lambda: fetch("127.0.0.1", port) == "here", "it answers again")
        self.assertEqual(int(self.ok("port", name, "80").text.rsplit(":", 1)[1]), port)
        other = self.engine("run", "-d", "--name", self.name(), "-p", f"127.0.0.1:{port}:80", IMAGE, "sleep", "60")
        self.assertEqual(other.code, 125, "the port is still known to be taken")

    def test_addresses_are_not_given_twice(self):
        first = self.start("sleep", "600")
        self.crash()
        second = self.start("sleep", "600")
        addresses = {self.engine.inspect(name)["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] for name in (first, second)}
        self.assertEqual(len(addresses), 2)

    def test_health_checks_go_on(self):
        name = self.start("sleep", "600", flags=("--health-cmd", "test -e /ok", "--health-interval", "200ms", "--health-retries", "1"))
        eventually(lambda: self.engine.inspect(name)["State"]["Health"]["Status"] == "unhealthy", "unhealthy")
        self.crash()
        self.ok("exec", name, "touch", "/ok")
        eventually(lambda: self.engine.inspect(name)["State"]["Health"]["Status"] == "healthy", "healthy")

    def test_the_oom_killer_is_told_of_afterwards(self):
        folder = self.folder()
        name = self.start("sh", "-c", "while [ ! -e /s/go ]; do usleep 10000; done; exec probe exhaust-memory 100000000",
                          flags=("-m", "16m", "--memory-swap", "16m", "-v", f"{folder}:/s"))
        pid = self.pid(name)
        self.engine.kill()
        with open(os.path.join(folder, "go"), "w"):
            pass
        eventually(lambda: not os.path.exists(f"/proc/{pid}"), "it has been killed")
        self.engine.start()
        self.assertEqual(self.ok("wait", name).text, "137")
        self.assertTrue(self.engine.inspect(name)["State"]["OOMKilled"])

    def test_names_images_volumes_and_networks_are_all_there(self):
        self.ok("volume", "create", "kept")
        self.addCleanup(self.engine, "volume", "rm", "kept")
        self.ok("tag", IMAGE, "kept:tag")
        self.addCleanup(self.engine, "rmi", "kept:tag")
        name = self.name()
        self.ok("create", "--name", name, "--label", "a=b", "-e", "X=1", IMAGE, "echo", "made before")
        parts = (("ps", "-a", "--no-trunc", "--format", "{{json .Names}}"), ("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"),
                 ("volume", "ls", "-q"), ("network", "ls", "--format", "{{.ID}} {{.Name}}"))
        before = [self.ok(*part).out for part in parts]
        self.crash()
        self.assertEqual([self.ok(*part).out for part in parts], before)
        self.assertEqual(self.ok("start", "-a", name).text, "made before")


class Streams(ChaosCase):
    def test_an_attached_client_keeps_its_streams(self):
        identifier = self.engine.api.post("/containers/create", {
            "Image": IMAGE, "Cmd": ["sh", "-c", "while read x; do echo got $x; done; echo end"], "OpenStdin": True,
            "StdinOnce": True}).json()["Id"]
        self.made.append(identifier)
        with self.engine.api.hijack(f"/containers/{identifier}/attach?stream=1&stdin=1&stdout=1") as stream:
            self.engine.api.post(f"/containers/{identifier}/start")
            stream.send(b"one\n")
            self.assertEqual(stream.frame(), (1, b"got one\n"))
            self.engine.kill()
            stream.send(b"two\n")
            self.assertEqual(stream.frame(), (1, b"got two\n"))
            self.engine.start()
            stream.send(b"three\n")
            self.assertEqual(stream.frame(), (1, b"got three\n"))
            stream.half_close()
            self.assertEqual(stream.frames(), {1: b"end\n"})

    def test_an_exec_keeps_its_streams(self):
        name = self.start("sleep", "600")
        execution = self.engine.api.post(f"/containers/{name}/exec", {
            "Cmd": ["cat"], "AttachStdin": True, "AttachStdout": True}).json()["Id"]
        with self.engine.api.hijack(f"/exec/{execution}/start", {"Detach": False}) as stream:
            stream.send(b"one\n")
            self.assertEqual(stream.frame(), (1, b"one\n"))
            self.engine.kill()
            stream.send(b"two\n")
            self.assertEqual(stream.frame(), (1, b"two\n"))
            self.engine.start()
            stream.send(b"three\n")
            stream.half_close()
            self.assertEqual(stream.frames(), {1: b"three\n"})

    def test_a_terminal_goes_on(self):
        identifier = self.engine.api.post("/containers/create", {
            "Image": IMAGE, "Cmd": ["cat"], "OpenStdin": True, "Tty": True}).json()["Id"]
        self.made.append(identifier)
        with self.engine.api.hijack(f"/containers/{identifier}/attach?stream=1&stdin=1&stdout=1") as stream:
            self.engine.api.post(f"/containers/{identifier}/start")
            stream.send(b"before\n")
            stream.read_until(b"before\r\nbefore\r\n")
            self.crash()
            self.assertEqual(self.engine.api.post(f"/containers/{identifier}/resize?h=30&w=90").status, 200)
            stream.send(b"after\n")
            stream.read_until(b"after\r\nafter\r\n")

    def test_attach_and_logs_follow_after_a_crash(self):
        name = self.start("sh", "-c", "while read x; do echo got $x; done", flags=("-i",))
        self.crash()
        with self.engine.popen("logs", "-f", name) as follower:
            lines = Lines(follower.stdout)
            # docker's attach waits for the container's end even when its own input has ended.
            with self.engine.popen("attach", name, stdin=subprocess.PIPE) as attached:
                attached.stdin.write(b"hello\n")
                attached.stdin.flush()
                self.assertEqual(lines.next(), "got hello")

    def test_clients_waiting_are_told_that_the_engine_went(self):
        name = self.start("sleep", "600")
        results = []
        waiter = threading.Thread(target=lambda: results.append(self.engine("wait", name)))
        waiter.start()
        eventually(lambda: len(os.listdir(f"/proc/{self.engine.pid}/fd")) > 0, "the engine serves")
        time.sleep(0.3)  # nothing announces that the client waits
        self.engine.kill()
        waiter.join(20)
        self.assertFalse(waiter.is_alive())
        self.assertNotEqual(results[0].code, 0)
        self.engine.start()
        self.assertTrue(self.engine.inspect(name)["State"]["Running"])


class Speed(ChaosCase):
    def test_the_next_engine_answers_at_once_with_many_containers(self):
        names = [self.start("sleep", "600", flags=("--network", "none")) for _ in range(30)]
        self.engine.kill()
        begin = time.monotonic()
        self.engine.start()
        elapsed = time.monotonic() - begin
        self.assertEqual(len(self.ok("ps", "-q").lines), len(names))
        self.assertLess(elapsed, 10, "a bound against hanging, not a measurement")

    def test_the_state_is_not_torn_by_crashes_in_quick_succession(self):
        name = self.start("sleep", "600")
        for _ in range(10):
            self.engine.kill()
            self.engine.start()
        self.assertEqual(json.loads(self.ok("inspect", name).out)[0]["State"]["Status"], "running")
