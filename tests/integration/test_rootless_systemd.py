"""An ordinary user's engine whose systemd gives it a scope, and with it control groups: against a real systemd, booted in a
container (test_runtime_systemd). Its host may have no controllers in the unified hierarchy, so that groups are seen, not limits."""
import json
import os
import unittest

from harness import archives
from harness.engine import TOP, eventually
from test_runtime_systemd import SYSTEMD, USER, SystemdCase

ENGINE = "/run/user/1000/berth"


class UsersEngine(SystemdCase):
    def setUp(self):
        if not os.path.exists("/usr/bin/dbus-daemon"):
            self.skipTest("dbus-daemon is not installed")
        super().setUp()
        self.home = os.path.join(self.folder, "home")
        os.makedirs(self.home)
        layer = archives.tar(archives.busybox_entries())
        with open(os.path.join(self.home, "image.tar"), "wb") as file:
            file.write(archives.docker_archive("base:1", [layer]))
        self.environment = f"-E XDG_RUNTIME_DIR=/run/user/{USER} -E HOME=/work/home -E PATH=/usr/bin:/usr/sbin:/programs"
        self.there(f"chown -R {USER}:{USER} /work/home && echo user:100000:65536 | tee /etc/subuid >/etc/subgid && "
                   f"mkdir -p /run/user/{USER} && chown {USER} /run/user/{USER} && "
                   "systemctl daemon-reload && systemctl start dbus.service && "
                   f"systemd-run -q --unit=manager --uid={USER} --gid={USER} -p Delegate=yes -p Type=notify {self.environment} "
                   f"{SYSTEMD} --user --unit=bare.target")

    def user(self, script):
        """Runs as somebody who has logged in: in a group that is not the user's."""
        return self.there(f"systemd-run -q --pipe --wait --uid={USER} --gid={USER} {self.environment} sh -c '{script}'")

    def group_of(self, pid):
        return next(line for line in self.there(f"cat /proc/{pid}/cgroup").splitlines() if line.startswith("0::"))

    def start_engine(self):
        self.there(f"systemd-run -q --collect --unit=login --uid={USER} --gid={USER} -p KillMode=process {self.environment} /programs/berthd --rootless-network none")
        self.until_it_answers()

    def until_it_answers(self):
        eventually(lambda: self.inside(f"systemd-run -q --pipe --wait --uid={USER} {self.environment} /programs/berth version").code == 0,
                   "the engine answers", within=60)

    def engine_pid(self):
        return self.there(f"cat {ENGINE}/berthd.pid").strip()

    def pid_of(self, name):
        return json.loads(self.user(f"berth inspect {name}"))[0]["State"]["Pid"]

    def scope(self):
        text = self.user("systemctl --user show berth.scope -p ActiveState,Delegate,ControlGroup,TasksMax")
        return dict(line.split("=", 1) for line in text.splitlines())


class Scope(UsersEngine):
    def test_containers_have_groups_that_the_next_engine_finds(self):
        self.start_engine()
        group = "/system.slice/manager.service/user.slice/berth.scope"
        self.assertEqual(self.scope(), {"ActiveState": "active", "Delegate": "yes", "ControlGroup": group, "TasksMax": "infinity"})
        info = json.loads(self.user("berth info --format json"))
        self.assertEqual((info["CgroupVersion"], info["CgroupDriver"]), ("2", "cgroupfs"), info)
        self.user("berth load -q -i /work/home/image.tar && berth run -d --name one base:1 sleep 600")
        container = self.group_of(self.pid_of("one"))
        self.assertRegex(container, f"^0::{group}/berth-[0-9a-f]+/[0-9a-f]{{64}}$")
        self.user("berth pause one")
        self.assertEqual(self.there(f"cat /sys/fs/cgroup{container[3:]}/cgroup.freeze").strip(), "1")
        self.user("berth unpause one")

        first = self.engine_pid()
        self.there(f"kill -9 {first}")
        eventually(lambda: not os.path.exists(f"/proc/{first}") or self.inside("systemctl is-active login").out.strip() != "active", "it has ended")
        self.assertEqual(self.scope()["ActiveState"], "active")
        self.start_engine()
        self.assertNotEqual(self.engine_pid(), first)
        # The latter where there are controllers to hand down.
        self.assertIn(self.group_of(self.engine_pid()), (f"0::{group}", f"0::{group}/init"))
        self.assertEqual(self.group_of(self.pid_of("one")), container)
        self.user("berth pause one && berth unpause one && berth run -d --name two base:1 sleep 600")
        self.assertEqual(os.path.dirname(self.group_of(self.pid_of("two"))), os.path.dirname(container))
        self.user("berth rm -f one two")
        self.there("systemctl stop login")
        eventually(lambda: self.scope()["ActiveState"] == "inactive", "the scope ends with the engine")
        self.assertNotEqual(self.inside(f"ls -d /sys/fs/cgroup{group}").code, 0)

    def test_a_service_of_the_user(self):
        self.user("mkdir -p /work/home/.config/systemd/user")
        with open(os.path.join(TOP, "packaging/user/berth.service")) as file:
            unit = file.read().replace("/usr/bin/berthd", "/programs/berthd --rootless-network none").replace("RestartSec=1", "RestartSec=100ms")
        # This machine's user has nothing of what a login brings.
        unit = unit.replace("[Unit]", "[Unit]\nDefaultDependencies=no")
        with open(os.path.join(self.home, ".config/systemd/user/berth.service"), "w") as file:
            file.write(unit)
        self.user("systemctl --user daemon-reload && systemctl --user start berth.service && berth load -q -i /work/home/image.tar && "
                  "berth run -d --name one base:1 sleep 600")
        container = self.group_of(self.pid_of("one"))
        self.assertIn("/berth.scope/berth-", container)
        for verb in ("kill -s KILL", "restart"):
            with self.subTest(verb):
                before = self.engine_pid()
                self.user(f"systemctl --user {verb} berth.service")
                eventually(lambda: self.inside(f"cat {ENGINE}/berthd.pid").out.strip() not in ("", before), "another engine runs", within=60)
                self.until_it_answers()
                self.assertEqual(self.group_of(self.pid_of("one")), container)
        self.assertEqual(self.user("systemctl --user is-active berth.service").strip(), "active")
        self.user("berth rm -f one && systemctl --user stop berth.service")
        eventually(lambda: self.scope()["ActiveState"] == "inactive", "the scope ends with the engine")


if __name__ == "__main__":
    unittest.main()
