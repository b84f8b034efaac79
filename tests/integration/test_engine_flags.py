"""dockerd's flags and keys of the engine itself: containers that end with it, its id, users that are mapped, what a
reload takes over, and what a configuration file may have."""
import hashlib
import io
import json
import os
import signal
import subprocess
import tarfile
import time
import urllib.parse

from harness import host
from harness.engine import CLIENT, IMAGE, PROGRAMS, Engine, EngineCase, eventually


class FlagsCase(EngineCase):
    flags = ()

    @classmethod
    def setUpClass(cls):
        cls.engine = Engine(cls.__name__, flags=cls.flags)
        try:
            cls.engine.start()
            cls.engine.load_base_image()
        except BaseException:
            cls.engine.close()
            raise

    def status(self, name):
        return self.engine.inspect(name)["State"]["Status"]

    def configure(self, **keys):
        path = os.path.join(self.engine.folder, "daemon.json")
        with open(path, "w") as file:
            json.dump(keys, file)
        return path


class WithoutLiveRestore(FlagsCase):
    flags = ("--live-restore=false",)

    def setUp(self):
        super().setUp()
        if self.engine.process.poll() is not None:
            self.engine.start()

    def test_containers_end_and_come_back_by_their_policies(self):
        self.assertFalse(self.engine.api.get("/info").json()["LiveRestoreEnabled"])
        for end in (self.engine.terminate, self.engine.kill):
            wanted = {policy: self.start("sh", "-c", "trap 'exit 3' TERM; sleep 300 & wait", flags=("--restart", policy))
                      for policy in ("no", "always", "unless-stopped", "on-failure")}
            stopped = self.start("sleep", "300", flags=("--restart", "unless-stopped", "--stop-signal", "KILL"))
            self.ok("stop", stopped)
            gone = self.start("sh", "-c", "trap 'exit 3' TERM; sleep 300 & wait", flags=("--rm",))
            pids = {name: self.engine.inspect(name)["State"]["Pid"] for name in wanted.values()}
            end()
            if end == self.engine.terminate:
                self.assertFalse([pid for pid in pids.values() if os.path.exists(f"/proc/{pid}")], "stopped before the engine had gone")
            self.engine.start()
            self.assertEqual(self.status(wanted["no"]), "exited")
            self.assertEqual(self.engine.inspect(wanted["no"])["State"]["ExitCode"], 3)
            for policy in ("always", "unless-stopped", "on-failure"):
                eventually(lambda: self.status(wanted[policy]) == "running", f"{policy} is up again")
                self.assertNotEqual(self.engine.inspect(wanted[policy])["State"]["Pid"], pids[wanted[policy]])
            self.assertEqual(self.status(stopped), "exited")
            self.assertNotEqual(self.engine("inspect", gone).code, 0)
            self.ok("rm", "-f", stopped, *wanted.values())

    def test_what_a_user_stopped_stays_down_twice(self):
        name = self.start("sh", "-c", "trap 'exit 0' TERM; sleep 300 & wait", flags=("--restart", "unless-stopped"))
        self.engine.terminate()
        self.engine.start()
        eventually(lambda: self.status(name) == "running", "up again")
        self.ok("stop", name)
        self.engine.terminate()
        self.engine.start()
        self.assertEqual(self.status(name), "exited")

    def test_one_that_ignores_the_signal_is_killed_in_its_own_time(self):
        name = self.start("sh", "-c", "trap '' TERM; while :; do sleep 1; done", flags=("--stop-timeout", "1"))
        self.engine.terminate(timeout=30)
        self.engine.start()
        self.assertEqual(self.engine.inspect(name)["State"]["ExitCode"], 137)


class HealthAnew(FlagsCase):
    def test_health_begins_anew_with_the_engine(self):
        self.only_berth("its default is to stop containers")
        name = self.start("sleep", "300", flags=("--health-cmd", "! test -e /bad", "--health-interval", "60s",
                                                 "--health-start-period", "60s", "--health-start-interval", "200ms"))
        health = lambda: self.engine.inspect(name)["State"]["Health"]["Status"]
        eventually(lambda: health() == "healthy", "healthy")
        self.ok("exec", name, "touch", "/bad")
        self.engine.kill()
        self.engine.start()
        self.assertEqual(health(), "starting")
        self.ok("exec", name, "rm", "/bad")
        eventually(lambda: health() == "healthy", "healthy again")


class CgroupNamespaces(FlagsCase):
    def test_who_is_in_the_host_s(self):
        version = self.engine.api.get("/info").json()["CgroupVersion"]
        own = os.readlink("/proc/self/ns/cgroup")
        see = lambda *flags: self.run_sh("readlink /proc/self/ns/cgroup", *flags).text == own
        self.assertEqual(see("--privileged"), version == "1")
        self.assertFalse(see("--privileged", "--cgroupns", "private"))
        made = self.engine.api.at("1.39").request("POST", f"/containers/create?name={self.name()}", {"Image": IMAGE, "Cmd": ["true"]})
        mode = self.engine.inspect(made.json()["Id"])["HostConfig"]["CgroupnsMode"]
        self.assertEqual(mode == "host", version == "1", "older clients know no such namespaces")


class Identity(FlagsCase):
    def test_a_file_has_the_engine_s_id(self):
        self.only_berth("20.10 keeps a key instead")
        path = os.path.join(self.engine.data, "engine-id")
        ident = lambda: self.engine.api.get("/info").json()["ID"]
        with open(path) as file:
            first = file.read()
        self.assertEqual(ident(), first)
        for wanted in ("an-id-of-mine", None):
            self.engine.terminate()
            os.unlink(path)
            if wanted:
                with open(path, "w") as file:
                    file.write(wanted + "\n")
            self.engine.start()
            self.assertEqual(ident(), wanted or first)
            self.assertEqual(open(path).read().strip(), wanted or first)


class Remapped(FlagsCase):
    flags = ("--userns-remap", "default")

    def setUp(self):
        super().setUp()
        self.only_berth("docker makes a user for it on the host")

    def outside(self, name):
        pid = self.engine.inspect(name)["State"]["Pid"]
        return [int(word) for word in open(f"/proc/{pid}/uid_map").read().split()]

    def test_containers_are_mapped_unless_they_say_otherwise(self):
        self.assertIn("name=userns", self.engine.api.get("/info").json()["SecurityOptions"])
        one, two = self.start("sleep", "300"), self.start("sleep", "300")
        self.assertEqual(self.outside(one), self.outside(two), "one range for all")
        self.assertGreater(self.outside(one)[1], 0)
        self.assertEqual(self.engine.inspect(one)["HostConfig"]["UsernsMode"], "")
        host = self.start("sleep", "300", flags=("--userns", "host"))
        self.assertEqual(self.outside(host)[1], 0)
        self.assertEqual(self.engine.inspect(host)["HostConfig"]["UsernsMode"], "host")
        if CLIENT != "docker":  # whose command knows no --userns auto
            self.assertNotEqual(self.outside(self.start("sleep", "300", flags=("--userns", "auto")))[1], self.outside(one)[1])

    def test_files_and_volumes_are_root_s_inside(self):
        volume = self.name("volume")
        self.addCleanup(self.engine, "volume", "rm", "-f", volume)
        self.assertEqual(self.run_sh("echo x > /v/y && stat -c %u /v/y /etc/passwd && touch /z && stat -c %u /z", "-v", f"{volume}:/v").text,
                         "0\n0\n0")
        self.assertEqual(self.run_sh("stat -c %u /v/y", "-v", f"{volume}:/v", "--userns", "host").text, "0", "kept without the map")
        name = self.start("sleep", "300")
        source = os.path.join(self.folder(), "f")
        with open(source, "w") as file:
            file.write("copied\n")
        self.ok("cp", source, f"{name}:/f")
        self.assertEqual(self.ok("exec", name, "sh", "-c", "cat /f; stat -c %u /f").text, "copied\n0")

    def test_what_a_map_does_not_go_with(self):
        self.fails(125, "run", "--rm", "--privileged", IMAGE, "true", says="privileged mode is incompatible with user namespaces")
        self.fails(125, "run", "--rm", "--network", "host", IMAGE, "true", says="user namespaces are enabled")
        self.fails(125, "run", "--rm", "--pid", "host", IMAGE, "true", says="user namespaces are enabled")
        self.run_sh("true", "--privileged", "--userns", "host")

    def test_a_network_is_shared_all_the_same(self):
        first = self.start("sh", "-c", "echo here > /index.html; httpd -f -p 127.0.0.1:80 -h /")
        read = lambda: self.engine("run", "--rm", "--network", f"container:{first}", IMAGE, "wget", "-qO-", "http://127.0.0.1/")
        eventually(lambda: read().text == "here", "the other's loopback answers")

    def test_builds_commits_and_the_next_engine(self):
        tag, name = f"{self.name()}:1", self.start("sh", "-c", "echo mine > /mine; exec sleep 300")
        self.addCleanup(self.engine, "rmi", "-f", tag)
        eventually(lambda: self.engine("exec", name, "cat", "/mine").text == "mine", "written")
        self.ok("commit", name, tag)
        before = self.outside(name)
        self.engine.kill()
        self.engine.start()
        self.assertEqual(self.outside(name), before)
        self.ok("restart", "-t", "0", name)
        self.assertEqual(self.outside(name), before)
        self.assertEqual(self.run_sh("cat /mine; stat -c %u /mine", image=tag).text, "mine\n0")


class Builds(FlagsCase):
    def dockerfile(self, text):
        context = self.folder()
        with open(f"{context}/Dockerfile", "w") as file:
            file.write(text)
        return context

    def test_squashed_layers_become_one(self):
        tag = f"{self.name()}:1"
        self.addCleanup(self.engine, "rmi", "-f", tag)
        context = self.dockerfile(
            f"FROM {IMAGE}\nRUN echo hello > /hello && mkdir -p /d/e /gone && echo 1 > /d/e/1 && echo x > /gone/x\n"
            "RUN echo world >> /hello && echo secret > /remove_me && rm -r /d && mkdir /d && echo 2 > /d/2\n"
            "ENV HELLO=world\nRUN rm /remove_me && rm -r /gone && rm /etc/passwd && ln -s hello /link && ln /hello /hard\n")
        target = lambda query: f"/build?t={tag}&rm=1&{query}"
        self.ok("build", "-q", "-t", tag, context)
        plain = self.ok("history", "-q", tag).lines
        layers = lambda image: self.engine.inspect(image, "image")["RootFS"]["Layers"]
        base = layers(IMAGE)
        self.ok("rmi", tag)
        tar = subprocess.run(["tar", "-C", context, "-c", "."], capture_output=True, check=True).stdout
        answer = self.engine.api.request("POST", target("squash=1"), tar, {"Content-Type": "application/x-tar"})
        self.assertEqual(answer.status, 200, answer)
        self.assertNotIn("error", answer.body.decode())
        self.assertEqual(layers(tag)[:-1], base)
        self.assertEqual(len(self.ok("history", "-q", tag).lines), len(plain) + 1)
        script = ("cat /hello /d/2 /link; ls /d; echo $HELLO; for f in /remove_me /gone /etc/passwd; do test -e $f && echo $f; done; "
                  "stat -c %h /hello")
        self.assertEqual(self.run_sh(script, image=tag).text.split(), ["hello", "world", "2", "hello", "world", "2", "world", "2"])
        # What was made and removed is in no layer.
        saved = os.path.join(self.folder(), "image.tar")
        self.ok("save", "-o", saved, tag)
        names = self.layer_names(saved, layers(tag)[-1])
        self.assertFalse([name for name in names if "remove_me" in name or "gone" in name], names)
        self.assertIn("etc/.wh.passwd", names)

    def layer_names(self, archive, diff_id):
        with tarfile.open(archive) as saved:
            for member in saved:
                data = saved.extractfile(member).read() if member.isfile() else b""
                if f"sha256:{hashlib.sha256(data).hexdigest()}" == diff_id:
                    return tarfile.open(fileobj=io.BytesIO(data)).getnames()
        self.fail(f"no layer {diff_id}")

    def test_steps_have_the_cgroup_namespace_of_containers(self):
        self.only_berth("20.10 builds with the host's")
        context = self.dockerfile(f"FROM {IMAGE}\nRUN readlink /proc/self/ns/cgroup > /ns; cat /proc/self/cgroup > /groups\n")
        own, parent = os.readlink("/proc/self/ns/cgroup"), f"bt-{os.getpid()}"
        self.addCleanup(host.remove_group, parent)
        for mode, same in (("private", False), ("host", True)):
            self.engine.terminate()
            self.engine.flags = ["--default-cgroupns-mode", mode]
            self.engine.start()
            tag = f"{self.name()}:{mode}"
            self.addCleanup(self.engine, "rmi", "-f", tag)
            self.ok("build", "-q", "--no-cache", "--cgroup-parent", parent, "-t", tag, context)
            self.assertEqual(self.run_sh("cat /ns", image=tag).text == own, same, mode)
            if same:
                self.assertIn(f"/{parent}/", self.run_sh("cat /groups", image=tag).text)


class Reloading(FlagsCase):
    def test_what_a_reload_takes_over(self):
        self.only_berth("its own settings")
        self.engine.terminate()
        self.engine.flags = ["--config-file", self.configure()]
        self.engine.start()
        info = lambda: self.engine.api.get("/info").json()
        self.assertTrue(info()["LiveRestoreEnabled"])
        self.configure(**{"labels": ["a=b"], "debug": True, "live-restore": False, "insecure-registries": ["reg.lan:5000"],
                          "registry-mirrors": ["https://mirror.lan"],
                          "proxies": {"https-proxy": "http://me:secret@proxy.lan"}, "max-concurrent-downloads": 7, "max-download-attempts": 2,
                          "features": {"cdi": False}, "shutdown-timeout": 9})
        self.engine.process.send_signal(signal.SIGHUP)
        eventually(lambda: info()["Labels"] == ["a=b"], "taken over")
        told = info()
        self.assertTrue(told["Debug"])
        self.assertFalse(told["LiveRestoreEnabled"])
        self.assertEqual(told["CDISpecDirs"], [])
        self.assertIn("reg.lan:5000", told["RegistryConfig"]["IndexConfigs"])
        self.assertIn("mirror.lan", "".join(told["RegistryConfig"]["Mirrors"]))
        filters = urllib.parse.quote('{"event": ["reload"]}')
        events = self.engine.api.get(f"/events?since=0&until={time.time():.9f}&filters={filters}").json_lines()
        attributes = events[-1]["Actor"]["Attributes"]
        self.assertEqual({key: attributes[key] for key in ("max-concurrent-downloads", "live-restore", "shutdown-timeout", "labels",
                                                           "max-download-attempts", "insecure-registries")},
                         {"max-concurrent-downloads": "7", "live-restore": "false", "shutdown-timeout": "9", "labels": '["a=b"]',
                          "max-download-attempts": "2", "insecure-registries": '["reg.lan:5000"]'})
        self.assertIn("Reloaded configuration", self.engine.log())
        self.assertNotIn("secret", self.engine.log())
        self.configure(**{"live-restore": True, "nope": 1})
        self.engine.process.send_signal(signal.SIGHUP)
        eventually(lambda: "nope" in self.engine.log(), "refused")
        self.assertFalse(info()["LiveRestoreEnabled"], "all or nothing")


class ConfigurationFiles(FlagsCase):
    def validate(self, *flags, **keys):
        return subprocess.run([os.path.join(PROGRAMS, "berthd"), "--validate", "--config-file", self.configure(**keys), *flags],
                              capture_output=True, text=True)

    def setUp(self):
        super().setUp()
        self.only_berth("its own program")

    def test_keys_that_dockerd_s_files_have(self):
        for keys in ({}, {"features": {"buildkit": True, "containerd-snapshotter": False}}, {"builder": {"gc": {"enabled": True,
                     "defaultKeepStorage": "20GB", "policy": [{"keepStorage": "1GB"}]}, "entitlements": {"network-host": True}}},
                     {"runtimes": {"nvidia": {"path": "nvidia-container-runtime", "runtimeArgs": []}}}, {"default-runtime": "runc"},
                     {"exec-opts": ["native.cgroupdriver=systemd"]}, {"containerd": "/run/containerd/containerd.sock", "cri-containerd": True,
                     "containerd-namespace": "a", "containerd-plugin-namespace": "b"}, {"log-format": "json"}, {"raw-logs": True},
                     {"init-path": "/usr/bin/docker-init", "init": True}, {"node-generic-resources": ["gpu=1"]},
                     {"swarm-default-advertise-addr": "", "swarm-raft-heartbeat-tick": 1, "swarm-raft-election-tick": 3},
                     {"allow-nondistributable-artifacts": ["r"]}, {"selinux-enabled": False}, {"cpu-rt-period": 0, "cpu-rt-runtime": 0},
                     {"storage-driver": "overlay2", "storage-opts": ["overlay2.override_kernel_check=true"]}, {"rootless": False},
                     {"max-download-attempts": 3, "max-concurrent-uploads": 2}, {"experimental": True}, {"live-restore": False},
                     {"default-shm-size": "1g"}, {"api-cors-header": ""}, {"userns-remap": ""}, {"data-root": "/x", "exec-root": "/y"}):
            result = self.validate(**keys)
            self.assertEqual((result.returncode, result.stdout), (0, "configuration OK\n"), f"{keys}: {result.stderr}")

    def test_what_is_refused_names_its_way_out(self):
        for keys, says in (({"selinux-enabled": True}, "AppArmor"), ({"storage-opts": ["overlay2.size=10G"]}, "--storage-quota"),
                           ({"default-runtime": "nvidia"}, "CDI"), ({"cpu-rt-runtime": 95000}, "--cpu-rt-runtime"),
                           ({"api-cors-header": "*"}, "reverse proxy"), ({"storage-driver": "btrfs"}, "overlay2"),
                           ({"userns-remap": "no-such-user"}, "no user"), ({"max-download-attempts": 0}, "1 to 64"),
                           ({"log-format": "xml"}, "text or json"), ({"builder": {"gc": {"defaultKeepStorage": "much"}}}, "builder.gc")):
            result = self.validate(**keys)
            self.assertNotEqual(result.returncode, 0, keys)
            self.assertIn(says, result.stderr, keys)
        result = self.validate(**{"unknown": 1})
        self.assertIn("unable to configure the Docker daemon with file", result.stderr)
        self.assertIn("the following directives don't match any configuration option: unknown", result.stderr)

    def test_log_lines_are_objects_where_they_are_asked_for(self):
        self.engine.terminate()
        before = len(self.engine.log())
        self.engine.flags = ["--log-format", "json"]
        self.engine.start()
        lines = [json.loads(line) for line in self.engine.log()[before:].splitlines()]
        self.assertTrue(lines and all({"time", "level", "msg"} <= set(line) for line in lines))
