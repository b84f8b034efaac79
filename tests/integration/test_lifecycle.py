"""From create to rm: states, ps, names, restart policies, health, events, wait, prune."""
import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from harness.engine import IMAGE, EngineCase, Lines, eventually

TRAP = "trap 'echo stopping; exit 0' TERM; echo up; while :; do sleep 0.05; done"


class States(EngineCase):
    def status(self, name):
        return self.engine.inspect(name)["State"]["Status"]

    def test_create_start_stop_start_rm(self):
        name = self.name()
        self.assertRegex(self.ok("create", "--name", name, IMAGE, "sh", "-c", TRAP).text, "^[0-9a-f]{64}$")
        self.assertEqual(self.status(name), "created")
        self.assertEqual(self.ok("start", name).text, name)
        self.assertEqual(self.status(name), "running")
        eventually(lambda: "up" in self.ok("logs", name).out, "the program is up")
        self.assertEqual(self.ok("stop", name).text, name)
        state = self.engine.inspect(name)["State"]
        self.assertEqual((state["Status"], state["ExitCode"], state["Running"], state["Pid"]), ("exited", 0, False, 0))
        self.ok("start", name)
        self.assertEqual(self.status(name), "running")
        self.ok("rm", "-f", name)
        self.assertEqual(self.engine("inspect", name).code, 1)

    def test_stops_without_patience_of_what_ends_at_once(self):
        """The second signal may find that the container has gone meanwhile: that is no error."""
        names = [self.start("sleep", "1000", flags=("--stop-signal", "KILL", "--network", "none")) for _ in range(30)]
        for _ in range(3):
            with ThreadPoolExecutor(10) as pool:
                answers = list(pool.map(lambda name: self.engine.api.post(f"/containers/{name}/stop?t=0"), names))
            self.assertEqual({answer.status for answer in answers}, {204}, [str(answer) for answer in answers if answer.status != 204])
            for name in names:
                self.assertEqual(self.engine.api.post(f"/containers/{name}/start").status, 204)

    def test_stop_kills_what_does_not_end(self):
        name = self.start("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
        begin = time.monotonic()
        self.ok("stop", "-t", "1", name)
        self.assertGreaterEqual(time.monotonic() - begin, 0.9)
        self.assertEqual(self.engine.inspect(name)["State"]["ExitCode"], 137)

    def test_starting_twice_and_stopping_twice(self):
        name = self.start("sleep", "60")
        self.assertEqual(self.engine("start", name).code, 0)
        self.ok("stop", "-t", "0", name)
        self.assertEqual(self.engine("stop", name).code, 0)

    def test_changes_last_over_a_restart(self):
        name = self.start("sh", "-c", "echo x >> /count; cat /count | wc -l; sleep 60")
        eventually(lambda: self.ok("logs", name).lines == ["1"], "the program has written")
        self.ok("restart", "-t", "0", name)
        eventually(lambda: self.ok("logs", name).lines == ["1", "2"], "the file was kept")

    def test_kill(self):
        name = self.start("sleep", "60")
        self.assertEqual(self.ok("kill", name).text, name)
        self.ok("wait", name)
        self.assertEqual(self.engine.inspect(name)["State"]["ExitCode"], 137)
        result = self.engine("kill", name)
        self.assertEqual(result.code, 1)
        self.assertIn("is not running", result.err)

    def test_kill_with_a_signal(self):
        name = self.start("sh", "-c", "trap 'exit 21' HUP; echo up; while :; do sleep 0.05; done")
        eventually(lambda: "up" in self.ok("logs", name).out, "the program is up")
        self.ok("kill", "-s", "HUP", name)
        self.assertEqual(self.ok("wait", name).text, "21")
        self.assertNotEqual(self.engine("kill", "-s", "NOSIG", name).code, 0)

    def test_pause_and_unpause(self):
        name = self.start("probe", "forever", "10", flags=("--cpus", "0.2"))
        self.ok("pause", name)
        self.assertEqual(self.status(name), "paused")
        self.assertIn("(Paused)", self.ok("ps", "--filter", f"name={name}", "--format", "{{.Status}}").text)
        first = self.ok("logs", "--tail", "1", name).text
        time.sleep(0.2)  # nothing happens while it is paused: there is no event to wait for
        self.assertEqual(self.ok("logs", "--tail", "1", name).text, first)
        self.assertNotEqual(self.engine("pause", name).code, 0)
        self.assertNotEqual(self.engine("exec", name, "true").code, 0)
        self.ok("unpause", name)
        eventually(lambda: self.ok("logs", "--tail", "1", name).text != first, "the program goes on")
        self.assertNotEqual(self.engine("unpause", name).code, 0)

    def test_a_paused_container_can_be_removed(self):
        name = self.start("sleep", "60")
        self.ok("pause", name)
        self.ok("rm", "-f", name)

    def test_rm_of_a_running_container_needs_force(self):
        name = self.start("sleep", "60")
        result = self.engine("rm", name)
        self.assertEqual(result.code, 1)
        self.assertIn("running", result.err)
        self.assertEqual(self.status(name), "running")

    def test_several_at_once_report_each(self):
        first, second = self.start("sleep", "60"), self.start("sleep", "60")
        result = self.engine("stop", "-t", "0", first, "no-such", second)
        self.assertEqual(result.code, 1)
        self.assertEqual(result.lines, [first, second])
        self.assertIn("No such container: no-such", result.err)

    def test_wait(self):
        name = self.start("sh", "-c", "exit 13")
        self.assertEqual(self.ok("wait", name).text, "13")
        running = self.start("sh", "-c", "read line; exit 14", flags=("-i",))
        with self.engine.popen("wait", running, name) as waiter:
            lines = Lines(waiter.stdout)
            self.engine("attach", running, input="\n")
            self.assertEqual([lines.next(), lines.next()], ["14", "13"])

    def test_start_attached(self):
        name = self.name()
        self.ok("create", "--name", name, IMAGE, "sh", "-c", "echo out; echo err >&2; exit 5")
        result = self.engine("start", "-a", name)
        self.assertEqual((result.code, result.out, result.err), (5, "out\n", "err\n"))

    def test_start_interactive(self):
        name = self.name()
        self.ok("create", "-i", "--name", name, IMAGE, "cat")
        self.assertEqual(self.ok("start", "-ai", name, input="through\n").out, "through\n")

    def test_attach_passes_the_exit_code(self):
        name = self.start("sh", "-c", "read line; echo got $line; exit 6", flags=("-i",))
        # Its stdin stays open: at its end the client would detach, for this container's input is not to be closed.
        with self.engine.popen("attach", name, stdin=subprocess.PIPE) as client:
            client.stdin.write(b"it\n")
            client.stdin.flush()
            self.assertEqual(Lines(client.stdout).next(), "got it")
            self.assertEqual(client.wait(20), 6)

    def test_two_attached_clients_see_the_same(self):
        name = self.start("sh", "-c", "read line; echo said $line", flags=("-i",))
        with self.engine.popen("attach", "--no-stdin", name) as watcher:
            lines = Lines(watcher.stdout)
            # The watcher is attached once the engine says so; the event is what announces it.
            eventually(lambda: "attach" in self.ok("events", "--since", "1m", "--until", str(time.time()), "--filter",
                                                   f"container={name}", "--format", "{{.Action}}").lines, "attached")
            self.engine("attach", name, input="hello\n")
            self.assertEqual(lines.next(), "said hello")

    def test_rename(self):
        name, other = self.start("sleep", "60"), self.name("renamed")
        identifier = self.engine.inspect(name)["Id"]
        self.ok("rename", name, other)
        self.assertEqual(self.engine.inspect(other)["Id"], identifier)
        self.assertEqual(self.engine("inspect", name).code, 1)
        third = self.start("sleep", "60")
        result = self.engine("rename", third, other)
        self.assertEqual(result.code, 1)
        self.assertIn("already in use", result.err)

    def test_short_ids_and_names(self):
        name = self.start("sleep", "60")
        identifier = self.engine.inspect(name)["Id"]
        for given in (identifier, identifier[:12], identifier[:6], name, f"/{name}"):
            with self.subTest(given=given):
                self.assertEqual(self.engine.inspect(given)["Id"], identifier)


class Ps(EngineCase):
    def names(self, *arguments):
        return set(self.ok("ps", "--format", "{{.Names}}", *arguments).lines)

    def test_columns(self):
        name = self.start("sleep", "60", flags=("-p", "127.0.0.1::80"))
        header, row = self.ok("ps", "--filter", f"name={name}").lines
        for column in ("CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"):
            self.assertIn(column, header)
        self.assertEqual(row[header.index("NAMES"):].strip(), name)
        self.assertEqual(row[header.index("COMMAND"):].split('"')[1], "sleep 60")
        self.assertRegex(row[header.index("STATUS"):], "^Up ")
        self.assertRegex(row, r"127\.0\.0\.1:\d+->80/tcp")

    def test_all_and_running(self):
        up, down = self.start("sleep", "60"), self.name("down")
        self.engine("run", "--name", down, IMAGE, "sh", "-c", "exit 3")
        self.assertIn(up, self.names())
        self.assertNotIn(down, self.names())
        self.assertLessEqual({up, down}, self.names("-a"))
        self.assertRegex(self.ok("ps", "-a", "--filter", f"name={down}", "--format", "{{.Status}}").text, r"^Exited \(3\) ")

    def test_filters(self):
        up = self.start("sleep", "60", flags=("--label", "tier=front", "--label", "x"))
        down = self.name("down")
        self.engine("run", "--name", down, "--label", "tier=back", IMAGE, "sh", "-c", "exit 3")
        for expected, arguments in (
                ({up}, ("--filter", "label=tier=front")),
                ({up, down}, ("-a", "--filter", "label=tier")),
                ({down}, ("-a", "--filter", "exited=3", "--filter", f"name={down}")),
                ({down}, ("-a", "--filter", "status=exited", "--filter", "label=tier")),
                ({up}, ("-a", "--filter", "status=running", "--filter", "label=tier")),
                ({up, down}, ("-a", "--filter", f"ancestor={IMAGE}", "--filter", "label=tier")),
                ({down}, ("-a", "--filter", f"since={up}", "--filter", "label=tier")),
                ({up}, ("-a", "--filter", f"before={down}", "--filter", "label=tier")),
                ({up}, ("-a", "--filter", f"id={self.engine.inspect(up)['Id'][:20]}")),
                ({up}, ("-a", "--filter", "label=tier=front", "--filter", "label=x")),
                (set(), ("-a", "--filter", "label=tier=front", "--filter", "label=tier=back"))):
            with self.subTest(arguments=arguments):
                self.assertEqual(self.names(*arguments), expected)
        result = self.engine("ps", "--filter", "bogus=1")
        self.assertNotEqual(result.code, 0)
        self.assertIn("bogus", result.err)

    def test_quiet_last_and_size(self):
        first, last = self.start("sleep", "60"), self.start("sleep", "60")
        self.assertEqual(self.names("-l"), {last})
        self.assertEqual(self.names("-n", "2"), {first, last})
        self.assertEqual(self.ok("ps", "-q", "--no-trunc", "-l").text, self.engine.inspect(last)["Id"])
        self.ok("exec", last, "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=2")
        self.assertRegex(self.ok("ps", "-s", "-l", "--format", "{{.Size}}").text, r"^2\.\d+MB \(virtual \d+(\.\d+)?MB\)$")

    def test_formats(self):
        name = self.start("sleep", "60", flags=("--label", "a=b"))
        only = ("--filter", f"name={name}")
        row = json.loads(self.ok("ps", *only, "--format", "{{json .}}").out)
        self.assertEqual((row["Names"], row["State"], row["Image"]), (name, "running", IMAGE))
        self.assertEqual(json.loads(self.ok("ps", *only, "--format", "json").out)["Names"], name)
        self.assertEqual(self.ok("ps", *only, "--format", '{{.Label "a"}}-{{.State}}').text, "b-running")
        header, line = self.ok("ps", *only, "--format", "table {{.Names}}\t{{.State}}").lines
        self.assertEqual(header.split(), ["NAMES", "STATE"])
        self.assertEqual(line.split(), [name, "running"])
        self.assertEqual(self.ok("ps", *only, "--format", "{{if eq .State \"running\"}}yes{{else}}no{{end}}").text, "yes")
        self.assertEqual(self.ok("ps", *only, "--format", "{{upper .State}} {{truncate .Names 3}}").text, f"RUNNING {name[:3]}")
        self.assertNotEqual(self.engine("ps", "--format", "{{.NoSuchField}}").code, 0)
        self.assertNotEqual(self.engine("ps", "--format", "{{.Names").code, 0)


class Inspect(EngineCase):
    def test_templates(self):
        name = self.start("sleep", "60", flags=("-e", "A=1", "--label", "k=v", "-v", "/data"))
        for template, expected in (
                ("{{.State.Status}}", "running"),
                ("{{.Config.Image}}", IMAGE),
                ("{{index .Config.Labels \"k\"}}", "v"),
                ("{{json .Config.Cmd}}", '["sleep","60"]'),
                ("{{len .Mounts}}", "1"),
                ("{{range .Mounts}}{{.Destination}}{{end}}", "/data"),
                ("{{range $i, $e := .Config.Cmd}}{{$i}}={{$e}};{{end}}", "0=sleep;1=60;"),
                ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
                ("{{printf \"%s-%d\" .Name .RestartCount}}", f"/{name}-0"),
                ("{{with .State}}{{.ExitCode}}{{end}}", "0"),
                ("{{join .Config.Cmd \",\"}}", "sleep,60")):
            with self.subTest(template=template):
                self.assertEqual(self.ok("inspect", "-f", template, name).text, expected)
        self.assertNotEqual(self.engine("inspect", "-f", "{{.Nope.Nope}}", name).code, 0)

    def test_many_and_missing(self):
        name = self.start("sleep", "60")
        self.assertEqual(len(json.loads(self.ok("inspect", name, IMAGE).out)), 2)
        result = self.engine("inspect", "no-such", name)
        self.assertEqual(result.code, 1)
        self.assertEqual(len(json.loads(result.out)), 1)
        self.assertIn("no such object: no-such", result.err.lower())

    def test_fields_that_clients_read(self):
        name = self.start("sleep", "60", flags=("-p", "127.0.0.1::80",))
        data = self.engine.inspect(name)
        self.assertEqual(data["Name"], f"/{name}")
        self.assertEqual(data["Path"], "sleep")
        self.assertEqual(data["Args"], ["60"])
        self.assertGreater(data["State"]["Pid"], 0)
        self.assertTrue(data["State"]["StartedAt"] > data["Created"])
        self.assertEqual(data["State"]["FinishedAt"], "0001-01-01T00:00:00Z")
        self.assertTrue(data["Image"].startswith("sha256:"))
        self.assertEqual(data["Driver"], data["Driver"].strip())
        self.assertEqual(data["HostConfig"]["NetworkMode"] in ("default", "bridge"), True)
        self.assertTrue(data["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"])
        self.assertEqual(data["RestartCount"], 0)

    def test_size(self):
        name = self.start("sleep", "60")
        data = json.loads(self.ok("inspect", "-s", name).out)[0]
        self.assertGreater(data["SizeRootFs"], 1_000_000)


class RestartPolicies(EngineCase):
    def count(self, name):
        return self.engine.inspect(name)["RestartCount"]

    def test_on_failure_with_a_limit(self):
        name = self.start("sh", "-c", "echo try; exit 1", flags=("--restart", "on-failure:3"))
        eventually(lambda: self.engine.inspect(name)["State"]["Status"] == "exited" and self.count(name) == 3, "three tries")
        self.assertEqual(len(self.ok("logs", name).lines), 4)

    def test_on_failure_leaves_success_alone(self):
        name = self.start("true", flags=("--restart", "on-failure"))
        self.engine.wait_for_status(name, "exited")
        self.assertEqual(self.count(name), 0)

    def test_always(self):
        name = self.start("sh", "-c", "exit 0", flags=("--restart", "always"))
        eventually(lambda: self.count(name) >= 2, "it is started again")

    def test_stop_ends_the_restarting(self):
        name = self.start("sh", "-c", "exit 0", flags=("--restart", "always"))
        eventually(lambda: self.count(name) >= 1, "it is started again")
        self.ok("stop", "-t", "0", name)
        self.assertEqual(self.engine.inspect(name)["State"]["Status"], "exited")

    def test_a_killed_program_comes_back(self):
        name = self.start("sleep", "60", flags=("--restart", "unless-stopped"))
        pid = self.engine.inspect(name)["State"]["Pid"]
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: self.engine.inspect(name)["State"]["Pid"] not in (0, pid), "it has a new process")

    def test_back_off_grows(self):
        name = self.start("sh", "-c", "exit 1", flags=("--restart", "always"))
        eventually(lambda: self.count(name) >= 5, "five restarts")
        stamps = [float(line) for line in self.ok(
            "events", "--since", "10m", "--until", str(time.time()), "--filter", f"container={name}", "--filter",
            "event=start", "--format", "{{.TimeNano}}").lines]
        gaps = [(later - earlier) / 1e9 for earlier, later in zip(stamps, stamps[1:])]
        self.assertGreater(gaps[-1], gaps[0])

    def test_rm_is_not_allowed_together_with_a_policy(self):
        self.fails(125, "run", "--rm", "--restart", "always", IMAGE, "true")
        self.fails(125, "run", "--restart", "sometimes", IMAGE, "true", says="sometimes")


class Health(EngineCase):
    def health(self, name):
        return self.engine.inspect(name)["State"]["Health"]

    def test_becomes_healthy_and_unhealthy(self):
        name = self.start("sh", "-c", "touch /ok; sleep 600", flags=(
            "--health-cmd", "test -e /ok && echo fine", "--health-interval", "200ms", "--health-retries", "2"))
        eventually(lambda: self.health(name)["Status"] == "healthy", "healthy")
        self.assertIn("(healthy)", self.ok("ps", "--filter", f"name={name}", "--format", "{{.Status}}").text)
        self.assertEqual(self.health(name)["Log"][-1]["Output"], "fine\n")
        self.ok("exec", name, "rm", "/ok")
        eventually(lambda: self.health(name)["Status"] == "unhealthy", "unhealthy")
        self.assertGreaterEqual(self.health(name)["FailingStreak"], 2)
        actions = self.ok("events", "--since", "10m", "--until", str(time.time()), "--filter", f"container={name}",
                          "--filter", "event=health_status", "--format", "{{.Action}}").lines
        self.assertEqual([action.split(": ")[1] for action in actions], ["healthy", "unhealthy"])

    def test_starting_until_the_first_answer(self):
        name = self.start("sleep", "600", flags=("--health-cmd", "true", "--health-interval", "1h"))
        self.assertEqual(self.health(name)["Status"], "starting")

    def test_a_check_that_takes_too_long_fails(self):
        name = self.start("sleep", "600", flags=("--health-cmd", "sleep 30", "--health-interval", "200ms",
                                                 "--health-timeout", "300ms", "--health-retries", "1"))
        eventually(lambda: self.health(name)["Status"] == "unhealthy", "unhealthy")

    def test_switched_off(self):
        name = self.start("sleep", "600", flags=("--no-healthcheck",))
        self.assertNotIn("Health", {key for key, value in self.engine.inspect(name)["State"].items() if value})


class Events(EngineCase):
    def test_the_life_of_a_container_in_order(self):
        begin = str(time.time())
        name = self.name()
        self.engine("run", "--name", name, IMAGE, "sh", "-c", "exit 4")
        self.ok("rm", name)
        rows = [json.loads(line) for line in self.ok("events", "--since", begin, "--until", str(time.time() + 0.5), "--filter",
                                                     f"container={name}", "--format", "{{json .}}").lines]
        actions = [row["Action"] for row in rows if row["Type"] == "container"]
        for expected in ("create", "start", "die", "destroy"):
            self.assertIn(expected, actions)
        self.assertEqual(sorted(("create", "start", "die", "destroy"), key=actions.index), ["create", "start", "die", "destroy"])
        died = next(row for row in rows if row["Action"] == "die")
        self.assertEqual(died["Actor"]["Attributes"]["exitCode"], "4")
        self.assertEqual(died["Actor"]["Attributes"]["name"], name)
        self.assertEqual(died["Actor"]["Attributes"]["image"], IMAGE)

    def test_live_stream_with_filters(self):
        with self.engine.popen("events", "--filter", "type=container", "--filter", "event=start", "--filter", "label=watch=me",
                               "--format", "{{.Action}} {{.Actor.Attributes.name}}") as client:
            lines = Lines(client.stdout)
            seen = None
            for _ in range(50):  # until the subscription stands: then the first start is seen
                name = self.start("true", flags=("--label", "watch=me"))
                self.start("true", flags=("--label", "watch=other"))
                try:
                    seen = lines.next(1)
                    break
                except AssertionError:
                    continue
            self.assertTrue(seen and seen.startswith("start "), seen)
            client.kill()

    def test_a_bad_filter(self):
        self.assertNotEqual(self.engine("events", "--until", "1s", "--filter", "bogus").code, 0)


class Housekeeping(EngineCase):
    def test_disk_use_that_is_not_asked_for_is_null(self):
        answer = self.engine.api.get("/system/df?type=volume").json()
        self.assertIsInstance(answer["Volumes"], list)
        self.assertEqual([answer[part] for part in ("Images", "Containers", "BuildCache")], [None] * 3)
        self.assertEqual(answer["LayersSize"], 0)

    def test_system_df(self):
        self.start("sleep", "60")
        lines = self.ok("system", "df").lines
        for kind in ("Images", "Containers", "Local Volumes", "Build Cache"):
            self.assertTrue(any(line.startswith(kind) for line in lines), lines)
        self.assertIn(IMAGE.split(":")[0], self.ok("system", "df", "-v").out)

    def test_container_prune(self):
        up, down = self.start("sleep", "60"), self.name("down")
        self.ok("run", "--name", down, IMAGE, "true")
        result = self.ok("container", "prune", "-f")
        self.assertIn("Deleted Containers:", result.out)
        self.assertIn("Total reclaimed space:", result.out)
        self.assertEqual(self.engine("inspect", down).code, 1)
        self.assertEqual(self.engine("inspect", up).code, 0)

    def test_system_prune_asks_first(self):
        result = self.engine("system", "prune", input="n\n")
        self.assertIn("WARNING", result.out + result.err)
        self.assertIn("[y/N]", result.out + result.err)

    def test_info_and_version(self):
        info = json.loads(self.ok("info", "--format", "{{json .}}").out)
        self.assertGreaterEqual(info["Images"], 1)
        self.assertFalse(info["Debug"])
        self.assertEqual(info["OSType"], "linux")
        self.assertIn("CgroupVersion", info)
        self.assertIn("Server:", self.ok("info").out)
        version = self.ok("version").out
        self.assertIn("Client", version)
        self.assertIn("API version", version)
        self.assertRegex(self.ok("version", "--format", "{{.Server.Version}}").text, r"^\d+\.\d+")
