"""The engine's own life: configuration file and reload, metrics, audit log, authorization plugins, address pools."""
import base64
import http.client
import json
import os
import signal
import socket
import threading
import time
import unittest

from harness.engine import AGAINST, IMAGE, Engine, eventually, run
from test_network import free_port


class PrivateEngine(unittest.TestCase):
    """Tests with an engine of their own, as they choose its flags."""

    def setUp(self):
        if AGAINST == "docker":
            self.skipTest("docker differs: these are berthd's own flags")

    def engine(self, *flags, image=True):
        engine = Engine("life", flags=flags)
        self.addCleanup(engine.close)
        engine.start()
        if image:
            engine.load_base_image()
        return engine


class Configuration(PrivateEngine):
    def write(self, path, settings):
        with open(path, "w") as file:
            json.dump(settings, file)

    def test_file_and_reload(self):
        engine = Engine("config")
        self.addCleanup(engine.close)
        path = os.path.join(engine.folder, "daemon.json")
        self.write(path, {"labels": ["a=1"], "log-driver": "local", "default-address-pools": [{"base": "10.97.0.0/16", "size": 26}]})
        engine.flags += ["--config-file", path]
        engine.start()
        info = engine.api.get("/info").json()
        self.assertEqual((info["Labels"], info["LoggingDriver"]), (["a=1"], "local"))
        engine.ok("network", "create", "pooled")
        self.assertRegex(engine.inspect("pooled")["IPAM"]["Config"][0]["Subnet"], r"^10\.97\.0\.\d+/26$")
        self.write(path, {"labels": ["b=2"], "shutdown-timeout": 3})
        engine.process.send_signal(signal.SIGHUP)
        eventually(lambda: engine.api.get("/info").json()["Labels"] == ["b=2"], "the labels are new")
        answer = engine.api.get(f"/events?since=1&until={time.time():.9f}")
        reloads = [event for event in answer.json_lines() if event["Action"] == "reload"]
        self.assertEqual((reloads[0]["Type"], reloads[0]["Actor"]["Attributes"]["shutdown-timeout"]), ("daemon", "3"))
        self.write(path, {"nope": 1})
        engine.process.send_signal(signal.SIGHUP)
        eventually(lambda: "don't match any configuration option: nope" in engine.log(), "the engine says what is wrong")
        self.assertEqual(engine.api.get("/info").json()["Labels"], ["b=2"])

    def test_what_containers_get_that_say_nothing(self):
        engine = Engine("defaults")
        self.addCleanup(engine.close)
        path = os.path.join(engine.folder, "daemon.json")
        # As dockerd's file has it, with what needs nothing here.
        settings = {"dns": ["10.9.8.7"], "dns-search": ["corp.example"], "dns-opts": ["ndots:3"], "default-shm-size": "32M", "init": True,
                    "default-ipc-mode": "shareable", "no-new-privileges": True, "storage-driver": "overlay2", "features": {"buildkit": True},
                    "exec-opts": ["native.cgroupdriver=systemd"], "experimental": False, "iptables": True, "userland-proxy": False}
        self.write(path, settings)
        engine.flags += ["--config-file", path]
        engine.start()
        engine.load_base_image()
        seen = engine.ok("run", "--rm", IMAGE, "sh", "-c",
                         "cat /etc/resolv.conf; df -k /dev/shm | tail -n 1; grep NoNewPrivs /proc/self/status; cat /proc/1/comm").out
        for line in (r"nameserver 10\.9\.8\.7", r"search corp\.example", r"options .*ndots:3", r"shm +32768 ", r"NoNewPrivs:\s1", r"berth-init"):
            self.assertRegex(seen, line)
        own = engine.ok("run", "--rm", "--dns", "10.1.1.1", "--shm-size", "1m", "--init=false", IMAGE, "sh", "-c",
                        "cat /etc/resolv.conf; df -k /dev/shm | tail -n 1; cat /proc/1/comm; true").out
        self.assertRegex(own, r"(?s)nameserver 10\.1\.1\.1\n.*shm +1024 .*\nsh\n")
        self.write(path, {"default-shm-size": "8M", "default-cgroupns-mode": "host"})
        engine.process.send_signal(signal.SIGHUP)
        eventually(lambda: any(
            event["Action"] == "reload" for event in engine.api.get(f"/events?since=1&until={time.time():.9f}").json_lines()), "it is read again")
        engine.ok("create", "--name", "later", IMAGE)
        host = engine.inspect("later")["HostConfig"]
        self.assertEqual((host["ShmSize"], host["CgroupnsMode"], host["IpcMode"], host["Dns"] or []), (8 << 20, "host", "private", []))

    def test_validate(self):
        engine = Engine("validate")
        self.addCleanup(engine.close)
        path = os.path.join(engine.folder, "daemon.json")
        self.write(path, {"debug": True})
        result = run([*engine.program, "--validate", "--config-file", path])
        self.assertEqual((result.code, result.out), (0, "configuration OK\n"))
        for settings, says in (({"debugg": 1}, "debugg"), ({"bip": "x"}, "bip"), ({"log-driver": "nope"}, "nope"),
                               ({"storage-driver": "btrfs"}, "overlay"), ({"dns": ["one.example"]}, "one.example"),
                               ({"default-ipc-mode": "host"}, "private or shareable"), ({"seccomp-profile": "/nowhere.json"}, "/nowhere.json"),
                               ({"default-address-pools": [{"base": "10.0.0.1/8", "size": 24}]}, "must be a subnet")):
            self.write(path, settings)
            result = run([*engine.program, "--validate", "--config-file", path])
            self.assertNotEqual(result.code, 0, str(result))
            self.assertIn(says, result.err)
        missing = run([*engine.program, "--validate", "--config-file", "/nowhere.json"])
        self.assertIn("/nowhere.json", missing.err)

    def test_pools_that_do_not_run_out(self):
        engine = self.engine(image=False)
        answers = [engine.api.post("/networks/create", {"Name": f"n{number}"}) for number in range(60)]
        self.assertEqual({answer.status for answer in answers}, {201})
        subnets = {network["IPAM"]["Config"][0]["Subnet"] for network in engine.api.get("/networks").json()
                   if network["Name"].startswith("n") and network["Name"] != "none"}
        self.assertEqual(len(subnets), 60)


class Reboot(PrivateEngine):
    def test_containers_start_in_the_order_of_their_needs(self):
        engine = self.engine()
        engine.ok("run", "-d", "--name", "zz-donor", "--restart", "always", IMAGE, "sleep", "600")
        engine.ok("run", "-d", "--name", "aa-guest", "--restart", "always", "--network", "container:zz-donor", IMAGE, "sleep", "600")
        pids = [engine.inspect(name)["State"]["Pid"] for name in ("zz-donor", "aa-guest")]
        engine.kill()
        for pid in pids:  # their keepers go first, so that nobody records an end: the power switch
            with open(f"/proc/{pid}/stat") as file:
                os.kill(int(file.read().rsplit(")", 1)[1].split()[1]), signal.SIGKILL)
        engine.start()
        for name in ("zz-donor", "aa-guest"):
            eventually(lambda: engine.inspect(name)["State"]["Pid"] not in (0, *pids), f"{name} runs again")
            self.assertEqual(engine.inspect(name)["State"]["Status"], "running")
        self.assertEqual(engine.ok("exec", "aa-guest", "ip", "addr").out, engine.ok("exec", "zz-donor", "ip", "addr").out)


class Metrics(PrivateEngine):
    def test_prometheus_text(self):
        port = free_port()
        engine = self.engine("--metrics-addr", f"127.0.0.1:{port}")
        engine.ok("run", "-d", "--name", "measured", IMAGE, "sleep", "600")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        self.assertEqual(answer.status, 200)
        for line in text.splitlines():
            self.assertRegex(line, r"^(# (HELP|TYPE) .*|[a-z_:]+(\{([a-z_]+=\"[^\"]*\",?)+\})? -?[0-9.e+-]+)$")
        self.assertIn('engine_daemon_container_states_containers{state="running"} 1', text)
        self.assertRegex(text, r'container_memory_usage_bytes\{id="[0-9a-f]{64}",name="measured",image="[^"]+"\} \d+')
        self.assertRegex(text, r'container_memory_working_set_bytes\{id="[0-9a-f]{64}",name="measured",image="[^"]+"\} \d+')
        self.assertRegex(text, r'berth_http_requests_total\{method="POST",code="201"\} [1-9]')
        self.assertIn("engine_daemon_container_states", engine.api.get("/metrics").body.decode())
        other = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        other.request("GET", "/containers/json")  # nothing but metrics is there
        self.assertEqual(other.getresponse().status, 404)
        other.close()


class Audit(PrivateEngine):
    def test_who_did_what(self):
        engine = Engine("audit")
        self.addCleanup(engine.close)
        path = os.path.join(engine.folder, "who-did-what")
        engine.flags += ["--audit-log", path]
        engine.start()
        engine.load_base_image()
        engine.ok("create", "--name", "watched", IMAGE, "true")
        engine.ok("ps", "-a")
        engine("rm", "nobody")
        engine.ok("rm", "watched")

        def entries():
            with open(path) as file:
                return [json.loads(line) for line in file]

        def requests():
            return [(entry["method"], entry["object"], entry["status"]) for entry in entries()]
        # An entry is written when the request is over: a moment after its answer.
        eventually(lambda: ("DELETE", "watched", 204) in requests(), "the last request has its entry")
        found = requests()
        self.assertIn(("POST", "watched", 201), found)
        self.assertIn(("DELETE", "nobody", 404), found)
        self.assertIn(("DELETE", "watched", 204), found)
        self.assertFalse([entry for entry in entries() if entry["method"] == "GET"])
        self.assertEqual({(entry["uid"], entry["gid"]) for entry in entries()}, {(0, 0)})
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        os.rename(path, path + ".1")
        engine.process.send_signal(signal.SIGHUP)
        eventually(lambda: os.path.exists(path), "the file is opened anew")
        engine("rm", "nobody")
        self.assertEqual(entries()[-1]["object"], "nobody")


class Plugin(threading.Thread):
    """An authorization plugin: refuses what `refuses(call, question)` gives a reason for."""

    def __init__(self, refuses):
        super().__init__(daemon=True)
        self.name_ = f"berth-test-{os.getpid()}-{id(self)}"
        os.makedirs("/run/docker/plugins", exist_ok=True)
        self.path = f"/run/docker/plugins/{self.name_}.sock"
        self.refuses = refuses
        self.questions = []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        self.socket.listen(64)
        self.start()

    def run(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            with peer, peer.makefile("rb") as stream:
                call = stream.readline().split()[1].decode().rsplit("/", 1)[1]
                length = 0
                while (line := stream.readline().strip()):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                question = json.loads(stream.read(length))
                self.questions.append((call, question))
                reason = self.refuses(call, question)
                answer = json.dumps({"Allow": not reason, "Msg": reason or "", "Err": ""}).encode()
                peer.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))

    def close(self):
        self.socket.close()
        os.unlink(self.path)


class Authorization(PrivateEngine):
    def plugin(self, refuses):
        plugin = Plugin(refuses)
        self.addCleanup(plugin.close)
        return plugin

    def test_bodies_are_shown_and_refused(self):
        def no_privileged(call, question):
            body = base64.b64decode(question.get("RequestBody", "")) if call.endswith("AuthZReq") else b""
            return "no privileged containers" if b"Privileged\":true" in body.replace(b" ", b"") else None
        plugin = self.plugin(no_privileged)
        engine = self.engine("--authorization-plugin", plugin.name_)
        refused = engine("create", "--privileged", IMAGE, "true")
        self.assertIn(f"authorization denied by plugin {plugin.name_}: no privileged containers", refused.err)
        engine.ok("create", "--name", "fine", IMAGE, "true")
        # A body is shown however it is sent: chunked, without a length (CVE-2024-41110), and as another case.
        body = json.dumps({"Image": IMAGE, "HostConfig": {"Privileged": True}}).encode()
        for headers in ({"Content-Type": "Application/JSON; charset=x"},):
            answer = engine.api.post("/containers/create", iter([body]), headers=headers)
            self.assertEqual(answer.status, 403, str(answer))
        lying = engine.api.post("/containers/create", body, headers={"Content-Type": "text/plain"})
        self.assertEqual(lying.status, 400, str(lying))
        zero = engine.api.post("/containers/create", b"", headers={"Content-Length": "0", "Content-Type": "application/json"})
        self.assertEqual(zero.status, 400, str(zero))
        self.assertEqual(engine.api.get("/info").json()["Plugins"]["Authorization"], [plugin.name_])

    def test_answers_can_be_refused(self):
        plugin = self.plugin(lambda call, question: "not for you" if call.endswith("Res") and
                             "/containers/json" in question["RequestUri"] else None)
        engine = self.engine("--authorization-plugin", plugin.name_, image=False)
        answer = engine.api.get("/containers/json")
        self.assertEqual((answer.status, answer.message), (403, f"authorization denied by plugin {plugin.name_}: not for you"))
        self.assertEqual(engine.api.get("/version").status, 200)
        shown = [question for call, question in plugin.questions if call.endswith("Res") and "/version" in question["RequestUri"]]
        self.assertEqual(shown[-1]["ResponseStatusCode"], 200)
        self.assertIn("ApiVersion", base64.b64decode(shown[-1]["ResponseBody"]).decode())
        plugin.refuses = lambda call, question: None

    def test_without_its_plugin_nothing_is_allowed(self):
        plugin = self.plugin(lambda call, question: None)
        engine = self.engine("--authorization-plugin", plugin.name_, image=False)
        hidden = plugin.path + ".away"
        os.rename(plugin.path, hidden)
        try:
            answer = engine.api.get("/containers/json")
            self.assertEqual(answer.status, 500)
            self.assertRegex(answer.message, "^plugin .* failed with error: .*not found")
        finally:
            os.rename(hidden, plugin.path)
        self.assertEqual(engine.api.get("/containers/json").status, 200)


if __name__ == "__main__":
    unittest.main()
