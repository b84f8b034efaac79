"""Resource limits and what is told about them: memory, OOM, pids, CPU, stats, top, update."""
import json
import time

from harness.engine import IMAGE, EngineCase, Lines, eventually

EAT = "x=a; while :; do x=$x$x; done"  # a shell that doubles a string until the memory is gone


class Memory(EngineCase):
    def test_the_limit_is_seen_in_the_cgroup(self):
        text = self.run_sh("cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes",
                           "-m", "64m").text
        self.assertEqual(text, str(64 << 20))

    def test_oom_is_told(self):
        name = self.name()
        result = self.engine("run", "--name", name, "-m", "24m", "--memory-swap", "24m", IMAGE, "sh", "-c", EAT)
        self.assertEqual(result.code, 137, str(result))
        state = self.engine.inspect(name)["State"]
        self.assertTrue(state["OOMKilled"], state)
        self.assertEqual(state["ExitCode"], 137)

    def test_oom_of_a_child_does_not_end_the_container(self):
        name = self.start("sh", "-c", f"sh -c '{EAT}'; echo child ended with $?; exec sleep 60",
                          flags=("-m", "24m", "--memory-swap", "24m"))
        eventually(lambda: "child ended with 137" in self.ok("logs", name).out, "the child was killed")
        self.assertTrue(self.engine.inspect(name)["State"]["Running"])

    def test_oom_event(self):
        begin = str(time.time() - 1)
        name = self.name()
        self.engine("run", "--name", name, "-m", "24m", "--memory-swap", "24m", IMAGE, "sh", "-c", EAT)
        actions = self.ok("events", "--since", begin, "--until", str(time.time() + 1), "--filter", f"container={name}",
                          "--format", "{{.Action}}").lines
        self.assertIn("oom", actions)
        self.assertIn("die", actions)

    def test_the_container_is_usable_under_its_limit(self):
        self.assertEqual(self.run_sh("dd if=/dev/zero of=/dev/null bs=1M count=100 2>/dev/null && echo fine", "-m", "16m").text,
                         "fine")

    def test_inspect_shows_the_limits(self):
        name = self.name()
        self.ok("create", "--name", name, "-m", "100m", "--memory-reservation", "50m", "--cpus", "1.5", "--cpu-shares",
                "512", "--pids-limit", "77", "--cpuset-cpus", "0", IMAGE)
        host = self.engine.inspect(name)["HostConfig"]
        self.assertEqual((host["Memory"], host["MemoryReservation"], host["NanoCpus"], host["CpuShares"],
                          host["PidsLimit"], host["CpusetCpus"]),
                         (100 << 20, 50 << 20, 1_500_000_000, 512, 77, "0"))


class Pids(EngineCase):
    def test_a_fork_bomb_is_held(self):
        name = self.start("sh", "-c", "sh -c 'while :; do sleep 1000 & done' 2>/dev/null; exec sleep 1000",
                          flags=("--pids-limit", "20"))

        def current():
            return self.engine.api.get(f"/containers/{name}/stats?stream=false&one-shot=true").json()["pids_stats"]["current"]

        eventually(lambda: current() >= 18, "the container comes to its limit")
        self.assertLessEqual(current(), 20)

    def test_no_limit_by_default_in_docker_terms(self):
        name = self.name()
        self.ok("create", "--name", name, IMAGE)
        self.assertIn(self.engine.inspect(name)["HostConfig"]["PidsLimit"], (None, 0, -1))


class Cpu(EngineCase):
    def test_the_quota_is_set(self):
        text = self.run_sh("cat /sys/fs/cgroup/cpu.max 2>/dev/null || cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us "
                           "/sys/fs/cgroup/cpu/cpu.cfs_period_us", "--cpus", "0.5").text.split()
        self.assertEqual(int(text[0]) * 2, int(text[1]))

    def test_the_cpu_set_is_held(self):
        self.assertEqual(self.run_sh("grep Cpus_allowed_list /proc/self/status", "--cpuset-cpus", "0").text.split()[1], "0")
        self.fails(125, "run", "--rm", "--cpuset-cpus", "4096", IMAGE, "true", says="4096")

    def test_a_quota_throttles(self):
        name = self.start("sh", "-c", "while :; do :; done", flags=("--cpus", "0.02"))  # even where others compute

        def throttled():
            data = self.engine.api.get(f"/containers/{name}/stats?stream=false&one-shot=true").json()
            return data["cpu_stats"]["throttling_data"]["throttled_periods"] > 0

        eventually(throttled, "the kernel reports throttled periods", 60)


class Stats(EngineCase):
    def test_no_stream(self):
        name = self.start("sleep", "60", flags=("-m", "32m"))
        lines = self.ok("stats", "--no-stream", name).lines
        self.assertEqual(len(lines), 2)
        for column in ("NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS"):
            self.assertIn(column, lines[0])
        self.assertIn(name, lines[1])
        self.assertIn("32MiB", lines[1])

    def test_format(self):
        name = self.start("sleep", "60")
        self.assertEqual(self.ok("stats", "--no-stream", "--format", "{{.Name}}|{{.PIDs}}", name).text, f"{name}|1")
        row = json.loads(self.ok("stats", "--no-stream", "--format", "{{json .}}", name).out)
        self.assertEqual((row["Name"], row["PIDs"]), (name, "1"))

    def test_a_busy_container_shows_its_cpu(self):
        name = self.start("sh", "-c", "while :; do :; done", flags=("--cpus", "0.5"))
        text = self.ok("stats", "--no-stream", "--format", "{{.CPUPerc}}", name).text
        self.assertGreater(float(text.rstrip("%")), 5.0)

    def test_stream_goes_on(self):
        name = self.start("sleep", "60")
        client = self.engine.popen("stats", "--format", "{{.Name}}", name)
        with client:
            lines = Lines(client.stdout)
            lines.until(name)
            lines.until(name)
            client.kill()

    def test_all_of_them(self):
        first, second = self.start("sleep", "60"), self.start("sleep", "60")
        shown = self.ok("stats", "--no-stream", "--format", "{{.Name}}").lines
        self.assertLessEqual({first, second}, set(shown))

    def test_unknown_container(self):
        result = self.engine("stats", "--no-stream", "no-such")
        self.assertEqual(result.code, 1)
        self.assertIn("No such container: no-such", result.err)

    def test_top(self):
        name = self.start("sh", "-c", "sleep 4321; true")
        text = self.ok("top", name)
        self.assertIn("PID", text.lines[0])
        self.assertIn("sleep 4321", text.out)
        self.assertEqual(len(text.lines), 3)

    def test_top_with_arguments(self):
        name = self.start("sleep", "4321")
        lines = self.ok("top", name, "-o", "pid,comm").lines
        self.assertRegex(lines[0], r"PID\s+COMMAND")
        self.assertRegex(lines[1], r"^\d+\s+sleep")

    def test_top_of_a_stopped_container(self):
        name = self.name()
        self.ok("run", "--name", name, IMAGE, "true")
        result = self.engine("top", name)
        self.assertEqual(result.code, 1)
        self.assertRegex(result.err, "is not running")


class Update(EngineCase):
    def limit(self, name):
        return self.ok("exec", name, "sh", "-c", "cat /sys/fs/cgroup/memory.max 2>/dev/null || "
                       "cat /sys/fs/cgroup/memory/memory.limit_in_bytes").text

    def test_limits_of_a_running_container(self):
        name = self.start("sleep", "60", flags=("-m", "64m", "--memory-swap", "128m"))
        self.ok("update", "-m", "48m", "--memory-swap", "96m", "--cpus", "0.25", "--pids-limit", "33", name)
        self.assertEqual(self.limit(name), str(48 << 20))
        host = self.engine.inspect(name)["HostConfig"]
        self.assertEqual((host["Memory"], host["NanoCpus"], host["PidsLimit"]), (48 << 20, 250_000_000, 33))

    def test_restart_policy(self):
        name = self.start("sleep", "60")
        self.ok("update", "--restart", "on-failure:3", name)
        self.assertEqual(self.engine.inspect(name)["HostConfig"]["RestartPolicy"],
                         {"Name": "on-failure", "MaximumRetryCount": 3})

    def test_limits_last_over_a_restart(self):
        name = self.start("sleep", "60", flags=("-m", "64m", "--memory-swap", "128m"))
        self.ok("update", "-m", "40m", name)
        self.ok("restart", "-t", "0", name)
        self.assertEqual(self.limit(name), str(40 << 20))

    def test_refusals(self):
        name = self.start("sleep", "60")
        self.assertNotEqual(self.engine("update", "-m", "1k", name).code, 0)
        self.assertEqual(self.engine("update", "--cpus", "1", "no-such").code, 1)
