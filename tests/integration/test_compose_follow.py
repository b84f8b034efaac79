"""berth compose: what is followed: logs of containers that come later, and what up in the foreground shows."""
import contextlib
import os
import signal
import subprocess
import threading

from harness.engine import IMAGE, Client, eventually
from test_compose import SLEEP, ComposeCase


class Lines:
    """A client under way whose lines are gathered beside, so that nothing waits for a line that never comes."""

    def __init__(self, client):
        self.client, self.lines, self.seen = client, [], 0
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.client.stdout:
            self.lines.append(line)

    def next(self, part):
        """The next line that has `part`; it and what came before it are done with."""
        def found():
            for index in range(self.seen, len(self.lines)):
                if part in self.lines[index]:
                    self.seen = index + 1
                    return self.lines[index]
            return None
        return eventually(found, lambda: f"no further line has {part!r}: {self.lines}")

    def end(self):
        """The code, and what has not been looked at."""
        code = self.client.wait(60)
        self.reader.join()
        return code, "".join(self.lines[self.seen:])


class FollowCase(ComposeCase):
    @contextlib.contextmanager
    def client(self, *words):
        with Client(self.words(*words), cwd=self.project, env={**os.environ, **self.engine.env}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as client:
            lines = Lines(client)
            try:
                yield lines
            finally:
                client.kill()
                lines.reader.join()


class Logs(FollowCase):
    def test_containers_that_start_later_are_followed(self):
        self.write(f"""
services:
  first: {{image: "{IMAGE}", command: [sh, -c, "echo one-$$HOSTNAME; sleep 600"], stop_grace_period: 0s}}
  second: {{image: "{IMAGE}", command: [sh, -c, "echo two; sleep 600"], stop_grace_period: 0s}}
  left: {{image: "{IMAGE}", command: [sh, -c, "echo left; sleep 600"], stop_grace_period: 0s, attach: false}}
""")
        self.good("up", "-d", "first")
        with self.client("logs", "-f") as lines:
            lines.next("first-1  | one-")
            self.good("up", "-d")
            lines.next("second-1  | two")
            self.good("up", "-d", "--scale", "first=2", "--no-recreate")
            lines.next("first-2   | one-")
            self.good("restart", "-t", "0", "second")
            lines.next("second-1  | two")
            # Made anew: the new one is followed in the old one's place.
            self.good("up", "-d", "--force-recreate", "second")
            lines.next("second-1  | two")
            self.good("stop", "-t", "0")
            code, rest = lines.end()  # it ends when nothing runs any more
        self.assertEqual(code, 0)
        self.assertEqual(rest.count("exited with code"), 3, rest)
        self.assertFalse([line for line in lines.lines if "left" in line])

    def test_one_index_alone(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', command: [sh, -c, 'echo here; sleep 600'], stop_grace_period: 0s}}}}\n")
        self.good("up", "-d", "--scale", "web=2")
        with self.client("logs", "-f", "--index", "2", "web") as lines:
            lines.next("web-2  | here")
            self.good("stop", "-t", "0")
            self.assertEqual(lines.end()[0], 0)
        self.assertFalse([line for line in lines.lines if "web-1" in line])
        self.assertNotEqual(self.compose("logs", "--index", "2").code, 0)

    def test_what_goes_to_stderr(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', command: [sh, -c, 'echo to-out; echo to-err >&2']}}}}\n")
        shown = self.good("up")
        self.assertIn("web-1  | to-out\n", shown.out)
        self.assertIn("web-1  | to-err\n", shown.err)
        # "logs" is for reading all of it.
        self.assertIn("to-err", self.good("logs", "--no-log-prefix").out)


class Up(FollowCase):
    def test_a_second_up_shows_only_what_is_new(self):
        self.write(f"services: {{once: {{image: '{IMAGE}', command: [sh, -c, 'echo said']}}}}\n")
        for _ in range(3):
            self.assertEqual(self.good("up").out.count("| said"), 1)

    def test_what_runs_already_shows_nothing_old(self):
        self.write(f"""
services: {{web: {{image: "{IMAGE}", command: [sh, -c, "echo old; while :; do [ ! -e /go ] || ( echo new; rm /go ); sleep 0.05; done"], stop_grace_period: 0s}}}}
""")
        self.good("up", "-d")
        eventually(lambda: "old" in self.good("logs").out, "the first line is there")
        with self.client("up") as lines:
            lines.next("Attaching to web-1")
            # The log's stream begins beside: what is written before it is there is not new to it.
            def asked():
                self.good("exec", "-T", "web", "touch", "/go")
                return any("| new" in line for line in lines.lines)
            eventually(asked, "new lines are shown")
            lines.client.send_signal(signal.SIGINT)
            self.assertEqual(lines.end()[0], 130)
        self.assertFalse([line for line in lines.lines if "| old" in line])

    def test_a_restarting_container_is_told_and_followed(self):
        self.write(f"""
services: {{web: {{image: "{IMAGE}", restart: on-failure:1, command: [sh, -c, "echo run; sleep 0.5; exit 3"]}}}}
""")
        result = self.good("up")
        self.assertEqual(result.out.count("| run"), 2, str(result))
        self.assertIn("web-1 exited with code 3 (restarting)", result.out)

    def test_interrupted_twice(self):
        self.write(f"""
services: {{web: {{image: "{IMAGE}", command: [sh, -c, "trap : TERM; echo on; while :; do sleep 0.1; done"], stop_grace_period: 600s}}}}
""")
        with self.client("up") as lines:
            lines.next("| on")
            lines.client.send_signal(signal.SIGINT)
            lines.next("Gracefully Stopping")
            lines.client.send_signal(signal.SIGINT)
            self.assertEqual(lines.end()[0], 130)
        self.assertEqual(self.good("ps", "-q").lines, [])

    def test_the_code_of_one_service(self):
        self.write(f"""
services:
  web: {{image: "{IMAGE}", {SLEEP}, stop_grace_period: 0s}}
  test: {{image: "{IMAGE}", command: [sh, -c, "exit 7"]}}
""")
        result = self.compose("up", "--exit-code-from", "test")
        self.assertEqual(result.code, 7, str(result))
        self.assertIn("Aborting on container exit", result.out)
        self.assertEqual(self.good("ps", "-q").lines, [])
        self.assertEqual(self.good("up", "-d", "web").code, 0)

    def test_flags_that_exclude_each_other(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', {SLEEP}}}}}\n")
        for words in (["-d", "--abort-on-container-exit"], ["-d", "--attach", "web"], ["--wait", "--watch"], ["--no-recreate", "-V"],
                      ["--force-recreate", "--no-recreate"], ["--abort-on-container-exit", "--abort-on-container-failure"],
                      ["--attach", "web", "--attach-dependencies"], ["--attach", "other"]):
            result = self.compose("up", *words)
            self.assertNotEqual(result.code, 0, str(result))
        self.assertEqual(self.good("ps", "-a", "-q").lines, [])


class Waiting(ComposeCase):
    def test_one_shot_services_are_ready_when_they_have_ended_well(self):
        self.write(f"""
services:
  once: {{image: "{IMAGE}", command: "true"}}
  web: {{image: "{IMAGE}", {SLEEP}, stop_grace_period: 0s, depends_on: {{once: {{condition: service_completed_successfully}}}}}}
""")
        self.assertIn("once-1  Exited", self.good("up", "--wait").err)
        self.write(f"services: {{once: {{image: '{IMAGE}', command: 'true'}}}}\n")
        failed = self.compose("up", "--wait", "--force-recreate")
        self.assertEqual((failed.code, "exited (0)" in failed.err), (1, True), str(failed))

    def test_an_optional_dependency_that_fails(self):
        self.write(f"""
services:
  sick: {{image: "{IMAGE}", {SLEEP}, stop_grace_period: 0s}}
  web: {{image: "{IMAGE}", {SLEEP}, stop_grace_period: 0s, depends_on: {{sick: {{condition: service_healthy, required: "${{NEEDED:-false}}"}}}}}}
""")
        result = self.good("up", "-d")
        self.assertIn('Skipped: optional dependency "sick" failed to start', result.err)
        self.assertIn("has no healthcheck configured", self.compose("up", "-d", env={"NEEDED": "true"}).err)
        self.assertEqual(self.good("ps", "--services").lines, ["sick", "web"])


class Watch(FollowCase):
    def test_what_comes_later_and_single_files(self):
        self.write(f"FROM {IMAGE}\n", "Dockerfile")
        self.write("**/*.tmp\n", ".dockerignore")
        self.write("first", "one.txt")
        os.mkdir(os.path.join(self.project, "mounted"))
        self.write("""
services:
  web:
    build: .
    command: [sleep, '600']
    stop_grace_period: 0s
    volumes: ["./mounted:/mounted"]
    develop:
      watch:
        - {action: sync, path: ./deep/late, target: /srv}
        - {action: sync, path: ./one.txt, target: /one.txt, x-initialSync: true}
        - {action: sync, path: ./mounted, target: /elsewhere}
""")
        inside = lambda *words: self.compose("exec", "-T", "web", *words)
        with Client(self.words("watch"), cwd=self.project, env={**os.environ, **self.engine.env}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as client:
            told = ""
            while "Watch enabled" not in told:
                line = client.stderr.readline()
                self.assertTrue(line, told)
                told += line
            self.assertIn("x-initialSync is DEPRECATED", told)
            self.assertIn("also declared by a bind mount volume", told)
            self.assertEqual(inside("cat", "/one.txt").text, "first")
            # As editors do it: another file takes the name.
            os.rename(self.write("second", "other.txt"), os.path.join(self.project, "one.txt"))
            eventually(lambda: inside("cat", "/one.txt").text == "second", "the file that was replaced arrives")
            self.write("left", "deep/late/a.tmp")
            self.write("here", "deep/late/a")
            eventually(lambda: inside("cat", "/srv/a").text == "here", "a folder that was not there arrives")
            self.write("there", "deep/late/b")
            eventually(lambda: inside("cat", "/srv/b").text == "there", "and what comes into it")
            self.assertEqual(inside("ls", "/srv").text.split(), ["a", "b"])
            client.send_signal(signal.SIGINT)
            client.stderr.read()
            self.assertEqual(client.wait(60), 130)
