"""--icc=false with --link: containers of the default bridge reach of each other what links open. And what neighbours hear of
a container's MAC address."""
import os
import socket
import struct
import subprocess

from harness.engine import EngineCase, eventually
from test_moby_networks import NetworkCase
from test_network import SERVE

PATIENCE = 30  # seconds until something that should happen has not


class ClosedBridge(EngineCase):
    engine_flags = ("--icc=false",)

    def setUp(self):
        super().setUp()
        self.only_berth("docker leaves the rules of docker0 behind")
        self.server = self.start("sh", "-c", SERVE.format(name="web", port=80), flags=("--expose", "80"))

    def settings(self, name):
        return self.engine.inspect(name)["NetworkSettings"]["Networks"]["bridge"]

    def asks(self, client, host, port=80):
        """What the server answers, or nothing."""
        return self.engine("exec", client, "timeout", "3", "wget", "-q", "-O-", f"http://{host}:{port}/").out.strip()

    def reaches(self, client, host):
        eventually(lambda: self.asks(client, host) == "served by web", f"{client} reaches {host}", PATIENCE)

    def test_a_link_opens_what_its_target_exposes(self):
        client = self.start("sleep", "300", flags=("--link", f"{self.server}:web"))
        other = self.start("sleep", "300")
        self.reaches(client, "web")
        address = self.settings(self.server)["IPAddress"]
        self.assertEqual(self.asks(other, address), "")
        self.ok("exec", "-d", self.server, "httpd", "-f", "-p", "81", "-h", "/www")
        eventually(lambda: self.asks(self.server, "127.0.0.1", 81), "the other server answers", PATIENCE)
        self.assertEqual(self.asks(client, address, 81), "")
        self.ok("exec", "-d", client, "httpd", "-f", "-p", "80", "-h", "/")
        eventually(lambda: "404" in self.engine("exec", client, "wget", "-O-", "http://127.0.0.1/nothing").err,
                   "the client serves", PATIENCE)
        backwards = self.engine("exec", self.server, "timeout", "3", "wget", "-O-",
                                f"http://{self.settings(client)['IPAddress']}/nothing")
        self.assertNotIn("404", backwards.err)

    def test_over_ipv6(self):
        address = self.settings(self.server)["GlobalIPv6Address"]
        if not address:
            self.skipTest("this host has no IPv6")
        client = self.start("sleep", "300", flags=("--link", f"{self.server}:web"))
        self.reaches(client, f"[{address}]")
        self.assertEqual(self.asks(self.start("sleep", "300"), f"[{address}]"), "")

    def test_removing_a_link_ends_it(self):
        client = self.start("sleep", "300", flags=("--link", f"{self.server}:web", "--link", f"{self.server}:also"))
        address = self.settings(self.server)["IPAddress"]
        self.ok("rm", "--link", f"{client}/also")
        self.reaches(client, "web")
        self.assertNotIn("also", self.ok("exec", client, "cat", "/etc/hosts").out)
        self.ok("rm", "--link", f"{client}/web")
        self.assertNotIn("web", self.ok("exec", client, "cat", "/etc/hosts").out.replace(self.server, ""))
        self.assertEqual(self.asks(client, address), "")

    def test_it_follows_a_target_that_starts_again(self):
        client = self.start("sleep", "300", flags=("--link", f"{self.server}:web"))
        self.reaches(client, "web")
        self.ok("stop", "-t", "0", self.server)
        between = self.start("sh", "-c", SERVE.format(name="web", port=80), flags=("--expose", "80"))
        self.ok("start", self.server)
        self.reaches(client, "web")
        self.assertEqual(self.asks(client, self.settings(between)["IPAddress"]), "")

    def test_the_next_daemon_keeps_it(self):
        client = self.start("sleep", "300", flags=("--link", f"{self.server}:web"))
        self.engine.kill()
        self.engine.start()
        self.reaches(client, "web")
        self.assertEqual(self.asks(self.start("sleep", "300"), self.settings(self.server)["IPAddress"]), "")


class MacAddresses(NetworkCase):
    def mac(self, container, network):
        return self.endpoint(container, network)["MacAddress"]

    def test_another_one_at_each_start(self):
        self.only_berth("docker's are random since 28")
        network = self.network()
        name = self.start("sleep", "300", flags=("--network", network))
        before = self.mac(name, network)
        self.assertIn(before, self.ok("exec", name, "ip", "link", "show", "eth0").out)
        self.ok("stop", "-t", "0", name)
        self.assertEqual(self.mac(name, network), "")
        self.ok("start", name)
        self.assertNotEqual(self.mac(name, network), before)

    def test_the_same_one_where_it_is_asked_for(self):
        wanted, network = "02:42:0a:00:00:07", self.network()
        name = self.start("sleep", "300", flags=("--network", network, "--mac-address", wanted))
        self.ok("restart", "-t", "0", name)
        self.assertEqual(self.mac(name, network), wanted)

    def test_another_one_after_a_daemon_that_was_killed(self):
        self.only_berth("docker's are random since 28")
        network = self.network()
        name = self.start("sleep", "300", flags=("--network", network))
        before, pid = self.mac(name, network), self.engine.inspect(name)["State"]["Pid"]
        self.engine.kill()
        os.kill(pid, 9)
        eventually(lambda: not os.path.exists(f"/proc/{pid}"), "the container has ended")
        self.engine.start()
        self.ok("start", name)
        self.assertNotEqual(self.mac(name, network), before)

    def test_neighbours_hear_of_it(self):
        self.only_berth("docker announces addresses since 28")
        bridge = f"bra{os.getpid() % 100000}"
        network = self.network("-o", f"com.docker.network.bridge.name={bridge}", "-o",
                               "com.docker.network.advertise_addr_ms=100", "--subnet", "10.243.66.0/24")
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0806)) as listener:
            listener.bind((bridge, 0x0806))
            listener.settimeout(PATIENCE)
            name = self.start("sleep", "300", flags=("--network", network, "--ip", "10.243.66.9"))
            mac = bytes.fromhex(self.mac(name, network).replace(":", ""))
            own = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + bytes([10, 243, 66, 9, 0, 0, 0, 0, 0, 0, 10, 243, 66, 9])
            heard = 0
            while heard < 3:
                heard += listener.recv(256)[:28] == own
            # They end with the container, and nothing keeps its interface.
            self.ok("rm", "-f", name)
        ports = lambda: subprocess.run(["ip", "link", "show", "master", bridge], capture_output=True, text=True).stdout
        eventually(lambda: not ports(), "the container's interface is gone")
