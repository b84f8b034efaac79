"""berth-runtime where the specification and the callers of other runtimes expect something in particular: the listener of
a seccomp agent, annotations, containers that share what others have of their own."""
import array
import json
import os
import socket
import subprocess
import unittest

from harness.engine import run
from test_runtime import RUNTIME, RuntimeCase


class Agent(RuntimeCase):
    """A seccomp agent: what a container hands to its listenerPath."""

    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.folder, "agent")
        self.agent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(self.agent.close)
        self.agent.settimeout(60)
        self.agent.bind(self.path)
        self.agent.listen(1)

    def received(self):
        """The message and how many descriptors came with it."""
        connection, _ = self.agent.accept()
        with connection:
            connection.settimeout(60)
            data, control, _, _ = connection.recvmsg(1 << 20, socket.CMSG_LEN(16))
            descriptors = array.array("i")
            for level, kind, content in control:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    descriptors.frombytes(content[:len(content) // 4 * 4])
            while more := connection.recv(1 << 20):
                data += more
        for each in descriptors:
            os.close(each)
        return json.loads(data), len(descriptors)

    def test_a_filter_that_asks_nothing_gives_its_listener_too(self):
        def change(config):
            config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": self.path, "listenerMetadata": "known"}
        name = self.running(change)
        message, descriptors = self.received()
        self.assertEqual(descriptors, 1)
        self.assertEqual({**message, "pid": 0, "state": {}},
                         {"ociVersion": "0.2.0", "fds": ["seccompFd"], "pid": 0, "metadata": "known", "state": {}})
        state = message["state"]
        self.assertEqual([state["id"], state["status"], state["pid"]], [name, "creating", message["pid"]])
        self.assertEqual(message["pid"], self.state(name)["pid"])

    def test_nobody_at_the_listeners_path(self):
        self.agent.close()
        filter = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": self.path}
        result = self.run_in("true", lambda config: config["linux"].update(seccomp=filter))
        self.assertEqual(result.code, 0, f"an agent that is asked nothing: {result}")
        filter["syscalls"] = [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]
        result = self.run_in("true", lambda config: config["linux"].update(seccomp=filter))
        self.assertEqual(result.code, 1, str(result))
        self.assertIn("failed to connect with seccomp agent", result.err)


class Annotations(RuntimeCase):
    def test_system_calls_that_there_are_not(self):
        def change(config):
            config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["no_such_call", "mkdir", "s390_pci_mmio_read"], "action": "SCMP_ACT_ERRNO"}]}
        self.assertEqual(self.run_in("true", change).code, 0)

        def strictly(config):
            change(config)
            config["annotations"] = {"run.oci.seccomp_fail_unknown_syscall": "1"}
        result = self.run_in("true", strictly)
        self.assertEqual(result.code, 1, str(result))
        self.assertIn('no system call "no_such_call"', result.err)

        def known(config):
            strictly(config)
            config["linux"]["seccomp"]["syscalls"][0]["names"].remove("no_such_call")
        self.assertEqual(self.run_in("true", known).code, 0)

    def command(self, annotations):
        """Shows its groups. The caller has two."""
        def change(config):
            config["annotations"] = annotations
            config["linux"]["resources"] = {}
        folder = self.bundle("grep", "Groups", "/proc/self/status", change=change)
        return [RUNTIME, "--root", self.root, "--cgroup-manager", "disabled", "run", "--bundle", folder, self.name()]

    def users_groups(self, annotations):
        """In the place of podman without root: root of a user namespace that has many ids."""
        user = subprocess.Popen(["setpriv", "--groups", "5,6", "unshare", "--user", "sh", "-c", 'echo there; read go; exec "$@"',
                                 "sh", *self.command(annotations)],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(user.stdout.readline(), "there\n")
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{user.pid}/{name}", "w") as file:
                file.write("0 0 65536")
        out, err = user.communicate("go\n", timeout=60)
        self.assertEqual(user.returncode, 0, err)
        return out.split()[1:]

    def test_an_ordinary_users_groups(self):
        self.assertEqual(self.users_groups({}), [])
        self.assertEqual(self.users_groups({"run.oci.keep_original_groups": "1"}), ["5", "6"])
        self.assertEqual(self.users_groups({"run.oci.keep_original_groups": "0"}), [])

    def test_roots_groups_are_nothing_for_an_image_to_ask_for(self):
        result = run(["setpriv", "--groups", "5,6", *self.command({"run.oci.keep_original_groups": "1"})])
        self.assertEqual(result.code, 0, str(result))
        self.assertEqual(result.out.split(), ["Groups:"])

    def test_an_image_does_not_choose_files_of_the_host(self):
        written = os.path.join(self.folder, "written")

        def change(config):
            config["annotations"] = {"run.oci.hooks.stdout": written, "run.oci.hooks.stderr": written}
            config["hooks"] = {"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", "echo out; echo err >&2"]}]}
        self.assertEqual(self.run_in("true", change).code, 0)
        self.assertFalse(os.path.exists(written))


class Shared(RuntimeCase):
    def test_without_a_mount_namespace_nothing_is_mounted(self):
        def change(config):
            config["linux"]["namespaces"] = []
            config["linux"]["resources"] = {}
            del config["hostname"]
        folder = self.bundle("sh", "-c", "ls -d /bin /proc/self; head -c 3 /etc/hostname", change=change)
        with open(os.path.join(self.rootfs, "etc", "hostname"), "w") as file:
            file.write("its own")
        result = self.call("run", "--bundle", folder, self.name())
        self.assertEqual(result.out, "/bin\nits", str(result))
        self.assertIn("no mount namespace", result.err)
        with open("/proc/self/mountinfo") as file:
            self.assertNotIn(self.folder, file.read())

    def test_without_a_mount_namespace_there_is_no_terminal(self):
        def change(config):
            config["linux"]["namespaces"] = []
            config["process"]["terminal"] = True
            del config["hostname"]
        result = self.call("run", "--bundle", self.bundle("true", change=change), self.name())
        self.assertEqual(result.code, 1, str(result))
        self.assertIn("without a mount namespace of its own can have no terminal", result.err)

    def test_access_rules_with_letters_that_there_are_not(self):
        def rules(access):
            return lambda config: config["linux"].update(resources={"devices": [
                {"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 1, "minor": 5, "access": access}]})
        # As runc has it: "a" is passed over, alone it says nothing.
        self.assertEqual(self.run_in("head -c 1 /dev/zero", rules("rwa")).code, 0)
        result = self.run_in("true", rules("a"))
        self.assertEqual(result.code, 1, str(result))
        self.assertIn("invalid device cgroup rule", result.err)


class CacheClasses(RuntimeCase):
    def test_refused_without_resctrl(self):
        with open("/proc/self/mountinfo") as file:
            if " - resctrl " in file.read():
                self.skipTest("this host has resctrl mounted")
        result = self.run_in("true", lambda config: config["linux"].update(intelRdt={"closID": "gold", "l3CacheSchema": "L3:0=f"}))
        self.assertEqual(result.code, 1, str(result))
        self.assertIn("intelRdt: this host has no resctrl filesystem mounted", result.err)

    def test_a_container_without_one_has_nothing_to_change(self):
        name = self.running()
        result = self.call("update", "--l3-cache-schema", "L3:0=f", name)
        self.assertEqual(result.code, 1, str(result))
        self.assertIn("has no class of service", result.err)


if __name__ == "__main__":
    unittest.main()
