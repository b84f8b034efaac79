"""`logs`: what comes back, from when, how much, while it is written and after rotation."""
import datetime
import os
import re
import time

from harness.engine import IMAGE, EngineCase, Lines, eventually


class Logs(EngineCase):
    def finished(self, script, *flags):
        """A container that has run `script` to its end; returns its name."""
        name = self.name()
        self.engine("run", "--name", name, *flags, IMAGE, "sh", "-c", script)
        return name

    def test_streams_come_back_apart(self):
        name = self.finished("echo out; echo err >&2")
        result = self.ok("logs", name)
        self.assertEqual((result.out, result.err), ("out\n", "err\n"))

    def test_of_a_terminal(self):
        name = self.name()
        self.ok("run", "-t", "--name", name, IMAGE, "sh", "-c", "echo one; echo two >&2")
        self.assertEqual(self.ok("logs", name, text=False).out, b"one\r\ntwo\r\n")

    def test_tail(self):
        name = self.finished("seq 100")
        self.assertEqual(self.ok("logs", "--tail", "3", name).lines, ["98", "99", "100"])
        self.assertEqual(self.ok("logs", "-n", "0", name).out, "")
        self.assertEqual(len(self.ok("logs", "--tail", "all", name).lines), 100)
        self.assertEqual(len(self.ok("logs", "--tail", "1000", name).lines), 100)

    def test_tail_of_the_lines_of_both_streams(self):
        name = self.finished("for i in 1 2 3; do echo out$i; usleep 20000; echo err$i >&2; usleep 20000; done")
        result = self.ok("logs", "--tail", "3", name)
        self.assertEqual((result.out, result.err), ("out3\n", "err2\nerr3\n"))

    def test_a_last_line_without_a_newline(self):
        name = self.finished("printf 'first\\nunfinished'")
        self.assertEqual(self.ok("logs", name).out, "first\nunfinished")
        self.assertEqual(self.ok("logs", "--tail", "1", name).out, "unfinished")

    def test_timestamps(self):
        before = datetime.datetime.now(datetime.timezone.utc)
        name = self.finished("echo stamped")
        line = self.ok("logs", "-t", name).text
        match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{9})Z stamped", line)
        self.assertTrue(match, line)
        stamp = datetime.datetime.fromisoformat(match[1] + "." + match[2][:6] + "+00:00")
        self.assertLessEqual(before, stamp)
        self.assertLessEqual(stamp, datetime.datetime.now(datetime.timezone.utc))

    def test_since_and_until(self):
        name = self.finished("echo early; sleep 1.2; echo late")
        stamps = [line.split()[0] for line in self.ok("logs", "-t", name).lines]
        middle = (datetime.datetime.fromisoformat(stamps[0][:26] + "+00:00") + datetime.timedelta(seconds=0.6))
        rfc = middle.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        unix = f"{middle.timestamp():.6f}"
        for when in (rfc, unix):
            with self.subTest(when=when):
                self.assertEqual(self.ok("logs", "--since", when, name).text, "late")
                self.assertEqual(self.ok("logs", "--until", when, name).text, "early")
        self.assertEqual(len(self.ok("logs", "--since", "10m", name).lines), 2)
        self.assertEqual(self.ok("logs", "--until", "10m", name).out, "")

    def test_follow_until_the_end(self):
        name = self.start("sh", "-c", "echo first; read line; echo $line", flags=("-i",))
        with self.engine.popen("logs", "-f", name) as client:
            lines = Lines(client.stdout)
            self.assertEqual(lines.next(), "first")
            self.ok("attach", name, input="second\n")
            self.assertEqual(lines.next(), "second")
            self.assertIsNone(lines.next())
            self.assertEqual(client.wait(20), 0)

    def test_follow_with_tail_sees_only_what_is_new(self):
        name = self.start("sh", "-c", "seq 50; read line; echo new", flags=("-i",))
        eventually(lambda: len(self.ok("logs", name).lines) == 50, "the old lines are there")
        with self.engine.popen("logs", "-f", "--tail", "1", name) as client:
            lines = Lines(client.stdout)
            self.assertEqual(lines.next(), "50")
            self.ok("attach", name, input="\n")
            self.assertEqual(lines.next(), "new")

    def test_follow_of_a_finished_container_ends(self):
        name = self.finished("echo done")
        self.assertEqual(self.ok("logs", "-f", name).out, "done\n")

    def test_follow_goes_over_a_restart(self):
        name = self.start("sh", "-c", "echo run; read line", flags=("-i",))
        with self.engine.popen("logs", "-f", name) as client:
            lines = Lines(client.stdout)
            lines.until("run")
            client.kill()
        self.ok("restart", "-t", "0", name)
        eventually(lambda: self.ok("logs", name).lines == ["run", "run"], "both runs are in the log")

    def test_many_lines_and_none_lost(self):
        name = self.name()
        self.ok("run", "-d", "--name", name, "--log-opt", "max-size=100m", IMAGE, "probe", "lines", "200000", "40")
        self.ok("wait", name)
        lines = self.ok("logs", name).lines
        self.assertEqual(len(lines), 200000)
        self.assertTrue(all(line.startswith(f"{number} ") for number, line in enumerate(lines)))

    def test_a_very_long_line(self):
        name = self.finished("head -c 300000 /dev/zero | tr '\\0' x; echo; echo after")
        lines = self.ok("logs", name).lines
        self.assertEqual([len(line) for line in lines], [300000, 5])
        self.assertEqual(self.ok("logs", "--tail", "1", name).text, "after")

    def test_binary_output_comes_back_unchanged(self):
        self.only_berth("its json files replace what is not UTF-8")
        name = self.finished("printf '\\000\\001\\377\\n\\200abc\\r\\n'")
        self.assertEqual(self.ok("logs", name, text=False).out, b"\0\1\xff\n\x80abc\r\n")

    def test_logs_of_a_created_container_are_empty(self):
        name = self.name()
        self.ok("create", "--name", name, IMAGE, "true")
        self.assertEqual(self.ok("logs", name).out, "")

    def test_unknown_container_and_bad_flags(self):
        result = self.engine("logs", "no-such")
        self.assertEqual((result.code, result.out), (1, ""))
        self.assertIn("No such container: no-such", result.err)
        name = self.finished("echo x")
        self.assertNotEqual(self.engine("logs", "--since", "not-a-time", name).code, 0)

    def test_the_none_driver(self):
        name = self.finished("echo unseen", "--log-driver", "none")
        result = self.engine("logs", name)
        self.assertEqual(result.code, 1)
        self.assertIn("does not support reading", result.err)


class Rotation(EngineCase):
    def write(self, lines, *flags):
        name = self.name()
        self.ok("run", "-d", "--name", name, *flags, IMAGE, "probe", "lines", str(lines), "90")
        self.ok("wait", name)
        return name

    def on_disk(self):
        total = 0
        for folder, _, files in os.walk(self.engine.data):
            total += sum(os.path.getsize(os.path.join(folder, file)) for file in files if "log" in file)
        return total

    def test_the_newest_lines_are_kept_within_the_size(self):
        name = self.write(50000, "--log-opt", "max-size=1m", "--log-opt", "max-file=2")
        lines = self.ok("logs", name).lines
        numbers = [int(line.split()[0]) for line in lines]
        self.assertEqual(numbers[-1], 49999)
        self.assertEqual(numbers, list(range(numbers[0], 50000)), "the kept lines follow each other")
        self.assertGreater(len(numbers), 5000)
        self.assertLess(len(numbers) * 97, 2.2 * (1 << 20))

    def test_one_file(self):
        name = self.write(30000, "--log-opt", "max-size=500k", "--log-opt", "max-file=1")
        self.assertEqual(self.ok("logs", "--tail", "1", name).text.split()[0], "29999")

    def test_by_default_a_log_is_bounded(self):
        self.only_berth("its default log grows without bound")
        before = self.on_disk()
        name = self.write(500000)
        self.assertLess(self.on_disk() - before, 33 << 20)
        self.assertEqual(self.ok("logs", "--tail", "1", name).text.split()[0], "499999")

    def test_follow_over_a_rotation_loses_nothing(self):
        """As long as a line is kept, a follower that was there before it sees it."""
        self.only_berth("20.10 loses lines when a followed file is rotated")
        name = self.name()
        self.ok("run", "-d", "-i", "--name", name, "--log-opt", "max-size=300k", "--log-opt", "max-file=10", IMAGE, "sh", "-c",
                "read go; exec probe lines 20000 90")
        with self.engine.popen("logs", "-f", name) as client:
            lines = Lines(client.stdout)
            self.ok("attach", name, input="\n")
            for number in range(20000):
                line = lines.next()
                self.assertEqual(line.split()[0], str(number))

    def test_refused_options(self):
        self.fails(125, "run", "--rm", "--log-opt", "max-size=abc", IMAGE, "true", says="abc")
        self.fails(125, "run", "--rm", "--log-opt", "no-such=1", IMAGE, "true", says="no-such")
        self.fails(125, "run", "--rm", "--log-driver", "no-such-driver", IMAGE, "true", says="no-such-driver")


class Disconnects(EngineCase):
    def test_a_reader_that_goes_away_disturbs_nobody(self):
        name = self.start("probe", "forever", "200")
        for _ in range(5):
            client = self.engine.popen("logs", "-f", name)
            with client:
                Lines(client.stdout).next()
                client.kill()
        first = self.last_number(name)
        eventually(lambda: self.last_number(name) > first, "the program goes on")

    def test_a_reader_that_does_not_read_does_not_stop_the_program(self):
        name = self.start("probe", "forever", "200")
        connection, answer = self.engine.api.stream("GET", f"/containers/{name}/logs?follow=1&stdout=1")
        try:
            self.assertEqual(answer.status, 200)
            first = self.last_number(name)
            deadline = time.monotonic() + 20
            while self.last_number(name) < first + 20000:
                self.assertLess(time.monotonic(), deadline, "the program stands still")
        finally:
            connection.close()
