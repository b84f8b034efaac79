"""Devices by the Container Device Interface: what vendors' specifications give containers, and what is refused."""
import json
import os
import stat

from harness.engine import IMAGE, Engine, EngineCase, eventually

HOOK = """#!/bin/sh
# What a hook sees: its name, the state on stdin, the container's root in its mount namespace.
state=$(cat)
bundle=$(echo "$state" | sed 's/.*"bundle":"\\([^"]*\\)".*/\\1/')
root=$(sed 's/.*"root":{"path":"\\([^"]*\\)".*/\\1/' "$bundle/config.json")
echo "$1 $(echo "$state" | sed 's/.*"status":"\\([^"]*\\)".*/\\1/')" >> "$2"
[ "$1" != createContainer ] || echo "by the hook" > "$root/made"
[ "$1" != fail ] || { echo "the hook's own words" >&2; exit 3; }
"""


class CdiCase(EngineCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = Engine(cls.__name__)
        cls.specs = [os.path.join(cls.engine.folder, name) for name in ("low", "high")]
        for folder in cls.specs:
            os.mkdir(folder)
        cls.engine.flags = [f"--cdi-spec-dir={folder}" for folder in cls.specs]
        try:
            cls.engine.start()
            cls.engine.load_base_image()
        except BaseException:
            cls.engine.close()
            raise

    def setUp(self):
        super().setUp()
        self.only_berth("docker has CDI since 25")

    def spec(self, text, name="one.yaml", folder=0):
        path = os.path.join(self.specs[folder], name)
        with open(path, "w") as file:
            file.write(text if isinstance(text, str) else json.dumps(text))
        self.addCleanup(os.unlink, path)
        return path

    def devices(self):
        return [device["ID"] for device in self.engine.api.at("1.50").get("/info").json().get("DiscoveredDevices", [])]

    def run_device(self, *names, script, flags=()):
        return self.run_sh(script, *[word for name in names for word in ("--device", name)], *flags)


class Devices(CdiCase):
    def test_environment_nodes_and_mounts(self):
        source = self.folder()
        with open(f"{source}/lib", "w") as file:
            file.write("a library\n")
        self.spec(f"""
cdiVersion: "0.6.0"
kind: vendor.example/dev
containerEdits:
  env: [ALL=1]
devices:
- name: "0"
  containerEdits:
    env: [ONE=of it, PATH=/changed:/bin]
    deviceNodes:
    - path: /dev/mine
      hostPath: /dev/loop-control
      permissions: r
      fileMode: 0640
      gid: 7
    mounts:
    - {{hostPath: {source}/lib, containerPath: /opt/lib, options: [ro, bind]}}
    additionalGids: [4711]
- name: 1
  containerEdits: {{env: [TWO=2]}}
""")
        seen = self.run_device("vendor.example/dev=0", script="echo $ALL:$ONE:$TWO:$PATH; stat -c '%a %g %t:%T' /dev/mine; cat /opt/lib; "
                               "echo x 2>/dev/null > /opt/lib || echo read-only; id -G").text
        self.assertEqual(seen.split("\n"), ["1:of it::/changed:/bin", "640 7 a:ed", "a library", "read-only", "0 4711"])
        both = self.run_device("vendor.example/dev=0", "vendor.example/dev=1", script="echo $ALL:$ONE:$TWO").text
        self.assertEqual(both, "1:of it:2")
        # The cgroup lets it be read, not written.
        self.assertEqual(self.run_device("vendor.example/dev=0", script=": < /dev/mine && echo yes; (: > /dev/mine) 2>/dev/null || "
                                         "echo no").text, "yes\nno")
        self.assertEqual(self.devices(), ["vendor.example/dev=0", "vendor.example/dev=1"])

    def test_requests_are_shown_and_an_exec_has_the_device(self):
        self.spec({"cdiVersion": "0.5.0", "kind": "a.b/class", "devices": [{"name": "one", "containerEdits": {
            "deviceNodes": [{"path": "/dev/xx", "hostPath": "/dev/zero"}]}}]}, "x.json")
        name = self.start("sleep", "300", flags=("--device", "a.b/class=one"))
        requests = self.engine.inspect(name)["HostConfig"]["DeviceRequests"]
        self.assertEqual([(request["Driver"], request["DeviceIDs"]) for request in requests], [("cdi", ["a.b/class=one"])])
        self.assertEqual(self.ok("exec", name, "sh", "-c", "head -c 3 /dev/xx | wc -c").text, "3")
        self.ok("restart", "-t", "0", name)
        self.assertEqual(self.ok("exec", name, "sh", "-c", "head -c 3 /dev/xx | wc -c").text, "3")

    def test_the_later_directory_is_the_stronger(self):
        one = {"cdiVersion": "0.3.0", "kind": "v.w/class", "devices": [{"name": "one", "containerEdits": {"env": ["FROM=low"]}}]}
        self.spec(one, "a.json")
        self.assertEqual(self.run_device("v.w/class=one", script="echo $FROM").text, "low")
        one["devices"][0]["containerEdits"]["env"] = ["FROM=high"]
        self.spec(one, "a.json", folder=1)
        self.assertEqual(self.run_device("v.w/class=one", script="echo $FROM").text, "high")
        self.spec(one, "b.json", folder=1)
        self.fails(125, "run", "--rm", "--device", "v.w/class=one", IMAGE, "true",
                   says=["unresolvable CDI devices v.w/class=one", "conflicting device"])

    def test_gpus_come_by_cdi(self):
        self.spec({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [
            {"name": name, "containerEdits": {"env": [f"GPU_{name.replace('-', '_')}=1"]}} for name in ("0", "1", "all", "GPU-abc")]})
        for flag, seen in (("all", "GPU_all"), ("2", "GPU_0 GPU_1"), ("device=1", "GPU_1"), ("device=GPU-abc", "GPU_GPU_abc")):
            out = self.run_sh("env | grep ^GPU | sort | cut -d= -f1", "--gpus", flag).text
            self.assertEqual(out.split(), seen.split(), flag)
        self.fails(125, "run", "--rm", "--gpus", "3", IMAGE, "true", says="unresolvable CDI devices nvidia.com/gpu=2")

    def test_the_nvidia_runtime(self):
        self.fails(125, "run", "--rm", "--runtime", "nvidia", IMAGE, "true", says="install NVIDIA's container toolkit")
        self.spec({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [
            {"name": name, "containerEdits": {"env": [f"GPU_{name}=1"]}} for name in ("0", "1", "all")]})
        for wanted, seen in (("all", ["GPU_all"]), ("0,1", ["GPU_0", "GPU_1"]), ("void", [])):
            out = self.run_sh("env | grep ^GPU | sort | cut -d= -f1", "--runtime", "nvidia", "-e", f"NVIDIA_VISIBLE_DEVICES={wanted}")
            self.assertEqual(out.text.split(), seen, wanted)

    def test_what_is_not_there_or_malformed(self):
        self.fails(125, "run", "--rm", "--device", "no.such/thing=one", IMAGE, "true",
                   says="CDI device injection failed: unresolvable CDI devices no.such/thing=one")
        self.fails(125, "run", "--rm", "--gpus", "all", IMAGE, "true",
                   says='could not select device driver "" with capabilities: [[gpu]]')
        head = {"cdiVersion": "0.5.0", "kind": "bad.example/class"}
        for edits, complaint in (({"env": ["=x"]}, "invalid environment variable"), ({"nope": 1}, 'unknown member "nope"'),
                                 ({"deviceNodes": [{"path": "relative"}]}, "must be absolute"),
                                 ({"deviceNodes": [{"path": "/dev/a", "permissions": "x"}]}, "invalid permissions"),
                                 ({"mounts": [{"hostPath": "/x"}]}, "container path"),
                                 ({"hooks": [{"hookName": "never", "path": "/bin/true"}]}, 'invalid hook name "never"')):
            path = self.spec({**head, "devices": [{"name": "one", "containerEdits": edits}]}, "bad.json")
            warnings = self.engine.api.get("/info").json()["Warnings"]
            self.assertTrue(any(path in warning and complaint in warning for warning in warnings), f"{complaint}: {warnings}")
            self.fails(125, "run", "--rm", "--device", "bad.example/class=one", IMAGE, "true", says=["unresolvable", complaint])
            self._cleanups.pop()
            os.unlink(path)
        # Aliases that multiply, and depth.
        bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"{name}: &{name} [{','.join(['*' + before] * 10)}]\n" for before, name in zip("abcdefg", "bcdefgh"))
        self.spec(bomb, "bomb.yaml")
        self.spec("x: " + "[" * 40 + "]" * 40, "deep.yaml")
        warnings = "\n".join(self.engine.api.get("/info").json()["Warnings"])
        self.assertIn("too many nodes", warnings)
        self.assertIn("nested too deeply", warnings)

    def test_a_device_that_has_gone_is_told_of(self):
        self.spec({"cdiVersion": "0.5.0", "kind": "gone.example/class", "devices": [{"name": "one", "containerEdits": {
            "deviceNodes": [{"path": "/dev/none-such"}]}}]}, "gone.json")
        self.fails(125, "run", "--rm", "--device", "gone.example/class=one", IMAGE, "true", says="/dev/none-such")


class Hooks(CdiCase):
    def hooks(self, *points, log):
        path = os.path.join(self.folder(), "hook")
        with open(path, "w") as file:
            file.write(HOOK)
        os.chmod(path, stat.S_IRWXU)
        self.spec({"cdiVersion": "0.5.0", "kind": "hook.example/class", "devices": [{"name": "one", "containerEdits": {"hooks": [
            {"hookName": "createContainer" if point == "fail" else point, "path": path, "args": ["hook", point, log]}
            for point in points]}}]}, "hooks.json")

    def read(self, path):
        return open(path).read().split("\n")[:-1] if os.path.exists(path) else []

    def test_they_run_at_their_points(self):
        log = os.path.join(self.folder(), "log")
        self.hooks("prestart", "createRuntime", "createContainer", "poststart", "poststop", log=log)
        name = self.start("sh", "-c", "cat /made; exec sleep 300", flags=("--device", "hook.example/class=one"))
        eventually(lambda: self.engine.ok("logs", name).text == "by the hook", "the hook's file is in the container")
        eventually(lambda: len(self.read(log)) == 4, "poststart has run")
        self.assertEqual(self.read(log), ["prestart creating", "createRuntime creating", "createContainer creating", "poststart running"])
        # The next engine ends what this one began.
        self.engine.kill()
        self.engine.start()
        self.ok("stop", "-t", "0", name)
        eventually(lambda: self.read(log)[4:] == ["poststop stopped"], "poststop has run")

    def test_one_that_fails_keeps_the_container_from_starting(self):
        log = os.path.join(self.folder(), "log")
        self.hooks("fail", log=log)
        name = self.name()
        self.fails(125, "run", "--name", name, "--device", "hook.example/class=one", IMAGE, "true",
                   says=["error running createContainer hook #0", "exit status 3"])
        state = self.engine.inspect(name)["State"]
        self.assertEqual((state["Status"], state["ExitCode"]), ("created", 128))
        self.assertIn("createContainer hook", state["Error"])
        self.assertEqual(self.read(log), ["fail creating"])

    def test_not_with_users_that_are_mapped(self):
        self.hooks("createContainer", log="/dev/null")
        self.only_our_command("the docker command knows no --userns auto")
        self.fails(125, "run", "--rm", "--userns", "auto", "--device", "hook.example/class=one", IMAGE, "true", says="--userns host")


class Switched(EngineCase):
    """`info` and requests where CDI is on by default, elsewhere, or off."""

    @classmethod
    def setUpClass(cls):
        cls.engine = Engine(cls.__name__)

    def setUp(self):
        super().setUp()
        self.only_berth("docker has CDI since 25")

    def directories(self, config, *flags):
        path = os.path.join(self.engine.folder, "daemon.json")
        with open(path, "w") as file:
            json.dump(config, file)
        self.engine.flags = ["--config-file", path, *flags]
        self.engine.start()
        try:
            return self.engine.api.get("/info").json()["CDISpecDirs"]
        finally:
            self.engine.terminate()

    def test_the_directories_that_info_names(self):
        usual = ["/etc/cdi", "/var/run/cdi"]
        for config, flags, wanted in (({}, (), usual), ({"features": {"cdi": True}}, (), usual), ({}, ("--cdi-spec-dir=/a",), ["/a"]),
                                      ({}, ("--cdi-spec-dir=",), []), ({"cdi-spec-dirs": []}, (), []),
                                      ({"cdi-spec-dirs": ["/x", "/y"]}, (), ["/x", "/y"]), ({"features": {"cdi": False}}, (), []),
                                      ({"features": {"cdi": False}}, ("--cdi-spec-dir=/a",), []), ({}, ("--feature", "cdi=false"), [])):
            self.assertEqual(self.directories(config, *flags), wanted, f"{config} {flags}")
