"""Changes that need no restart: ports, mounts, networks and environment of running containers; run-time secrets;
restarts of the unhealthy; snapshots of what a container has written."""
import json
import os
import threading
import urllib.parse

from harness import host
from harness.engine import IMAGE, EngineCase, eventually, fetch
from test_network import free_port

SERVE = "mkdir -p /www; echo here > /www/index.html; exec httpd -f -p 80 -h /www"


class LiveCase(EngineCase):
    def setUp(self):
        super().setUp()
        self.only_berth("docker cannot do this")
        self.only_our_command("docker's command has no such flags")

    def exec(self, name, script):
        return self.ok("exec", name, "sh", "-c", script).text

    def volume(self, hint="v"):
        name = f"{hint}-{self._testMethodName[5:40]}".replace("_", "-")
        self.addCleanup(self.engine, "volume", "rm", "-f", name)
        return name


class Ports(LiveCase):
    def test_publish_and_unpublish_while_it_runs(self):
        name = self.start("sh", "-c", SERVE)
        started = self.engine.inspect(name)["State"]["StartedAt"]
        first, second = free_port(), free_port()
        self.ok("update", "--publish", f"127.0.0.1:{first}:80", "-p", f"127.0.0.1:{second}:80", name)
        for port in (first, second):
            eventually(lambda: fetch("127.0.0.1", port) == "here", f"{port} answers")
        ports = self.engine.inspect(name)["NetworkSettings"]["Ports"]["80/tcp"]
        self.assertEqual(sorted(int(port["HostPort"]) for port in ports), sorted([first, second]))
        self.ok("update", "--unpublish", f"{first}:80", name)
        self.assertIsNone(fetch("127.0.0.1", first))
        self.assertEqual(fetch("127.0.0.1", second), "here")
        self.assertEqual(self.engine.inspect(name)["State"]["StartedAt"], started)
        # The next start finds what the update left.
        self.ok("restart", "-t", "0", name)
        eventually(lambda: fetch("127.0.0.1", second) == "here", "the port is there after a restart")
        self.assertIsNone(fetch("127.0.0.1", first))
        self.ok("update", "--unpublish", "80", name)
        self.assertIsNone(fetch("127.0.0.1", second))

    def test_a_taken_port_changes_nothing(self):
        port = free_port()
        holder = self.start("sh", "-c", SERVE, flags=("-p", f"127.0.0.1:{port}:80"))
        name = self.start("sh", "-c", SERVE)
        self.fails(1, "update", "-p", f"127.0.0.1:{port}:80", name, says="already allocated")
        self.assertEqual(fetch("127.0.0.1", port), "here")
        self.assertFalse(self.engine.inspect(name)["NetworkSettings"]["Ports"].get("80/tcp"))
        self.assertTrue(holder)

    def test_what_is_not_published_cannot_end(self):
        name = self.start("sleep", "600")
        self.fails(1, "update", "--unpublish", "81", name, says="does not publish port 81/tcp")
        self.fails(1, "update", "-p", "80", self.start("sleep", "600", flags=("--network", "none")), says="no network")

    def test_survives_the_engine(self):
        name, port = self.start("sh", "-c", SERVE), free_port()
        self.ok("update", "-p", f"127.0.0.1:{port}:80", name)
        self.engine.kill()
        self.engine.start()
        eventually(lambda: fetch("127.0.0.1", port) == "here", "the port goes on")
        self.ok("update", "--unpublish", "80", name)
        self.assertIsNone(fetch("127.0.0.1", port))


class Mounts(LiveCase):
    def test_bind_in_and_out(self):
        folder = self.folder()
        with open(os.path.join(folder, "file"), "w") as file:
            file.write("from the host")
        name = self.start("sleep", "600")
        self.ok("update", "--mount-add", f"type=bind,src={folder},dst=/late/mount", name)
        self.assertEqual(self.exec(name, "cat /late/mount/file"), "from the host")
        self.exec(name, "echo back > /late/mount/reply")
        with open(os.path.join(folder, "reply")) as file:
            self.assertEqual(file.read(), "back\n")
        self.assertEqual([mount["Destination"] for mount in self.engine.inspect(name)["Mounts"]], ["/late/mount"])
        self.ok("restart", "-t", "0", name)
        self.assertEqual(self.exec(name, "cat /late/mount/file"), "from the host")
        self.ok("update", "--mount-rm", "/late/mount", name)
        self.assertEqual(self.exec(name, "ls /late/mount"), "")
        self.assertEqual(self.engine.inspect(name)["Mounts"], [])

    def test_volume_tmpfs_and_read_only(self):
        name, volume, folder = self.start("sleep", "600"), self.volume(), self.folder()
        self.ok("update", "--mount-add", f"type=volume,src={volume},dst=/data", "--mount-add",
                "type=tmpfs,dst=/scratch,tmpfs-size=1m", "--mount-add", f"type=bind,src={folder},dst=/ro,readonly", name)
        self.exec(name, "echo kept > /data/file")
        self.assertIn("tmpfs", self.exec(name, "grep /scratch /proc/mounts"))
        self.fails(1, "exec", name, "touch", "/ro/x", says="read-only")
        self.assertEqual(self.run_sh("cat /data/file", "-v", f"{volume}:/data").text, "kept")
        self.fails(1, "volume", "rm", volume, says="in use")

    def test_a_file(self):
        source = os.path.join(self.folder(), "config")
        with open(source, "w") as file:
            file.write("value")
        name = self.start("sleep", "600")
        self.ok("update", "--mount-add", f"type=bind,src={source},dst=/etc/late.conf,readonly", name)
        self.assertEqual(self.exec(name, "cat /etc/late.conf"), "value")

    def test_links_in_the_container_do_not_lead_out(self):
        outside = self.folder()
        name = self.start("sh", "-c", f"mkdir -p {os.path.dirname(outside)}; ln -s / /up; sleep 600")
        eventually(lambda: self.engine("exec", name, "test", "-h", "/up").code == 0, "the link is there")
        before = host.mounts()
        self.ok("update", "--mount-add", f"type=tmpfs,dst=/up{outside}", name)
        self.assertEqual(host.mounts(), before)
        self.assertEqual(self.exec(name, f"grep -c {outside} /proc/mounts"), "1")

    def test_refusals_leave_it_as_it_was(self):
        name = self.start("sleep", "600")
        self.fails(1, "update", "--mount-add", "type=bind,src=/nowhere,dst=/x", name, says="does not exist")
        self.fails(1, "update", "--mount-rm", "/x", name, says="no mount at /x")
        self.fails(1, "update", "--mount-add", f"type=image,src={IMAGE},dst=/x", name, says="image")
        self.ok("update", "--mount-add", "type=tmpfs,dst=/x", name)
        self.fails(1, "update", "--mount-add", "type=tmpfs,dst=/x", name, says="duplicate mount point")
        self.assertEqual(len(self.engine.inspect(name)["Mounts"]), 1)


class Rest(LiveCase):
    def test_environment_from_the_next_start_on(self):
        name = self.start("sh", "-c", "echo A=$A B=$B; sleep 600", flags=("-e", "A=1", "-e", "B=2"))
        said = self.ok("update", "--env", "A=one", "--env", "B", name)
        self.assertIn("next start", said.out)
        self.assertEqual(eventually(lambda: self.ok("logs", name).lines, "it has started"), ["A=1 B=2"])
        self.ok("restart", "-t", "0", name)
        eventually(lambda: self.ok("logs", name).lines[1:] == ["A=one B="], "it has the new environment")

    def test_network_add(self):
        network = f"late-{os.getpid()}"
        self.ok("network", "create", network)
        self.addCleanup(self.engine, "network", "rm", network)
        peer = self.start("sleep", "600", flags=("--network", network))
        name = self.start("sleep", "600")
        self.ok("update", "--network-add", network, name)
        self.ok("exec", name, "ping", "-c", "1", "-W", "5", peer)
        self.ok("network", "disconnect", network, name)

    def test_restart_on_unhealthy(self):
        name = self.name()
        self.ok("run", "-d", "--name", name, "--restart", "on-unhealthy:1", "--health-cmd", "test ! -e /sick",
                "--health-interval", "100ms", "--health-retries", "1", "--stop-timeout", "0", IMAGE, "sh", "-c",
                "echo life; sleep 600")
        eventually(lambda: self.engine.inspect(name)["State"]["Health"]["Status"] == "healthy", "it is healthy")
        self.ok("exec", name, "touch", "/sick")
        eventually(lambda: self.engine.inspect(name)["RestartCount"] == 1, "it was restarted")
        self.engine.wait_for_status(name, "exited")  # /sick is still there, and one restart was allowed
        self.assertEqual(self.ok("logs", name).lines, ["life", "life"])


class Events(LiveCase):
    def test_none_is_lost_under_many_starts(self):
        """500 starts in a row of one container, seen by a client that follows."""
        created = self.engine.api.post("/containers/create", {"Image": IMAGE, "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}})
        identifier = created.json()["Id"]
        self.made.append(identifier)
        query = urllib.parse.quote(json.dumps({"container": [identifier], "event": ["start", "die"]}))
        connection, stream = self.engine.api.stream("GET", f"/events?filters={query}")
        actions = []
        reader = threading.Thread(target=lambda: actions.extend(json.loads(stream.readline())["Action"] for _ in range(1000)))
        reader.start()
        try:
            for _ in range(500):
                self.assertEqual(self.engine.api.post(f"/containers/{identifier}/start").status, 204)
                self.assertEqual(self.engine.api.post(f"/containers/{identifier}/wait").status, 200)
            reader.join(60)
        finally:
            stream.close()
            connection.close()
        self.assertEqual(actions, ["start", "die"] * 500)


class Secrets(LiveCase):
    def test_in_memory_and_nowhere_else(self):
        source = os.path.join(self.folder(), "token")
        with open(source, "w") as file:
            file.write("s3cr3t-value")
        name = self.name()
        self.ok("run", "-d", "--name", name, "--secret", f"id=token,src={source}", "--secret",
                "id=other,env=LIVE_SECRET,uid=7,mode=0440", IMAGE, "sleep", "600", env={"LIVE_SECRET": "in the air"})
        self.assertEqual(self.exec(name, "cat /run/secrets/token"), "s3cr3t-value")
        self.assertEqual(self.exec(name, "stat -c '%a %u' /run/secrets/token /run/secrets/other").split("\n"), ["400 0", "440 7"])
        self.assertRegex(self.exec(name, "grep /run/secrets /proc/mounts"), r"tmpfs.*\bro\b")
        self.assertNotIn("s3cr3t", json.dumps(self.engine.inspect(name)))
        os.unlink(source)
        self.ok("restart", "-t", "0", name)
        self.assertEqual(self.exec(name, "cat /run/secrets/token /run/secrets/other"), "s3cr3t-valuein the air")
        self.ok("rm", "-f", name)
        eventually(lambda: not [line for line in host.mounts() if "secrets" in line and self.engine.folder in line],
                   "the secrets' file system is gone")

    def test_refusals(self):
        self.fails(125, "run", "--rm", "--secret", "id=x", IMAGE, "true", says="src=FILE")
        self.fails(125, "run", "--rm", "--secret", "id=x,src=/nowhere", IMAGE, "true", says="/nowhere")
        name = self.start("sleep", "600")
        answer = self.engine.api.put(f"/berth/containers/{name}/secrets/late", b"x")
        self.assertEqual(answer.status, 409, str(answer))
        created = self.name()
        self.ok("create", "--name", created, IMAGE, "true")
        self.assertEqual(self.engine.api.put(f"/berth/containers/{created}/secrets/.hidden", b"x").status, 400)


class Snapshots(LiveCase):
    def test_back_to_a_snapshot(self):
        name = self.start("sh", "-c", "echo one > /state; mkdir /gone; sleep 600")
        eventually(lambda: self.engine("exec", name, "test", "-d", "/gone").code == 0, "it has written")
        self.assertEqual(self.ok("snapshot", name, "before").text, "before")
        self.exec(name, "echo two > /state; rmdir /gone; rm /bin/vi; touch /new")
        self.ok("snapshot", name, "after")
        self.fails(1, "rollback", name, "before", says="stop it")
        self.ok("stop", "-t", "0", name)
        self.ok("rollback", name, "before")
        self.assertEqual([line.split()[0] for line in self.ok("snapshot", "--list", name).lines[1:]], ["before", "after"])
        self.ok("cp", f"{name}:/state", os.path.join(self.engine.folder, "state"))
        with open(os.path.join(self.engine.folder, "state")) as file:
            self.assertEqual(file.read(), "one\n")
        self.fails(1, "cp", f"{name}:/new", self.engine.folder, says="could not find")
        self.ok("cp", f"{name}:/bin/vi", os.path.join(self.engine.folder, "vi"))
        self.ok("rollback", name, "after")  # whiteouts come back as well
        self.fails(1, "cp", f"{name}:/bin/vi", self.engine.folder, says="could not find")
        self.ok("snapshot", "--rm", name, "after")
        self.fails(1, "rollback", name, "after", says="no snapshot")
        self.fails(1, "snapshot", name, "../x", says="invalid snapshot name")

    def test_clone(self):
        name = self.start("sh", "-c", "echo own > /state; sleep 600", flags=("-e", "KEPT=yes", "-l", "a=b"))
        eventually(lambda: self.engine("exec", name, "test", "-s", "/state").code == 0, "it has written")
        copy = self.name("copy")
        self.ok("clone", name, copy)
        self.exec(name, "echo changed > /state")
        self.ok("start", copy)
        self.assertEqual(self.exec(copy, "echo $KEPT"), "yes")
        record = self.engine.inspect(copy)
        self.assertEqual((record["Config"]["Labels"]["a"], record["Config"]["Image"]), ("b", IMAGE))
        self.assertNotEqual(record["Config"]["Hostname"], self.engine.inspect(name)["Config"]["Hostname"])
