"""dockerd's flags of networks: the default bridge's ranges, its absence, what new networks begin with."""
import ipaddress
import os
import random
import subprocess

from harness.engine import IMAGE, Engine, EngineCase

MTU = "com.docker.network.driver.mtu"


def own_subnet():
    """A part of 10.x that no other engine is likely to have."""
    return f"10.{random.randrange(1, 120)}.{random.randrange(256)}"


class OfTheDefaultBridge(EngineCase):
    @classmethod
    def setUpClass(cls):
        cls.base = own_subnet()
        cls.six = f"fd{os.getpid() % 256:02x}:{os.getpid() // 256:x}:50::"
        cls.engine = Engine(cls.__name__, flags=("--bip", f"{cls.base}.9/24", "--fixed-cidr", f"{cls.base}.64/27", "--ipv6",
                                                 "--fixed-cidr-v6", f"{cls.six}/64"))
        try:
            cls.engine.start()
            cls.engine.load_base_image()
        except BaseException:
            cls.engine.close()
            raise

    def test_containers_get_addresses_of_the_range(self):
        name = self.start("sleep", "300")
        bridge = self.engine.inspect(name)["NetworkSettings"]["Networks"]["bridge"]
        self.assertIn(ipaddress.ip_address(bridge["IPAddress"]), ipaddress.ip_network(f"{self.base}.64/27"))
        self.assertEqual(bridge["IPPrefixLen"], 24)
        self.assertEqual(bridge["Gateway"], f"{self.base}.9")
        self.assertIn(ipaddress.ip_address(bridge["GlobalIPv6Address"]), ipaddress.ip_network(f"{self.six}/64"))
        config = {pool["Subnet"]: pool for pool in self.engine.inspect("bridge", "network")["IPAM"]["Config"]}
        self.assertEqual(config[f"{self.base}.0/24"]["IPRange"], f"{self.base}.64/27")

    def test_the_host_is_known_by_both_of_its_addresses(self):
        self.only_berth("docker 20.10 has one")
        hosts = self.run_sh("grep hg$ /etc/hosts", "--add-host", "hg:host-gateway").text
        self.assertEqual(hosts.split(), [f"{self.base}.9", "hg", f"{self.six}1", "hg"])


class ChangedBetweenStarts(EngineCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = Engine(cls.__name__)
        try:
            cls.engine.start()
            cls.engine.load_base_image()
        except BaseException:
            cls.engine.close()
            raise

    def again(self, *flags):
        self.engine.remove_everything()
        self.engine.terminate()
        self.engine.flags = list(flags)
        self.engine.start()

    def address(self):
        self.only_berth("20.10's dockerd keeps addresses of the bridge")
        return self.engine.inspect(self.start("sleep", "300"))["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]

    def test_the_next_daemon_has_the_range_that_it_is_told(self):
        for base in (own_subnet(), own_subnet()):
            self.again("--fixed-cidr", f"{base}.0/24")
            self.assertEqual(self.address().rsplit(".", 1)[0], base)

    def test_without_a_default_bridge(self):
        self.only_berth("where docker's bridge is, another dockerd may have made it")
        self.again("--bridge", "none")
        names = [network["Name"] for network in self.engine.api.get("/networks").json()]
        self.assertEqual(sorted(names), ["host", "none"])
        for flags in ((), ("--network", "bridge"), ("-p", "127.0.0.1::80")):
            name = self.start("sleep", "300", flags=flags)
            self.assertNotIn("eth0", self.ok("exec", name, "ip", "link").text)
            self.assertEqual(list(self.engine.inspect(name)["NetworkSettings"]["Networks"]), ["none"])
        made = self.name()
        self.ok("network", "create", "own")
        self.addCleanup(self.engine, "network", "rm", "own")
        self.ok("run", "-d", "--name", made, "--network", "own", IMAGE, "sleep", "300")
        self.assertIn("eth0", self.ok("exec", made, "ip", "link").text)
        self.ok("rm", "-f", made)
        self.again()
        self.assertIn("eth0", self.ok("exec", self.start("sleep", "300"), "ip", "link").text)

    def test_a_container_of_the_default_bridge_starts_without_it(self):
        self.only_berth("where docker's bridge is, another dockerd may have made it")
        name = self.name()
        self.ok("create", "--name", name, IMAGE, "sleep", "300")
        self.engine.terminate()
        self.engine.flags = ["--bridge", "none"]
        self.engine.start()
        self.ok("start", name)
        self.assertNotIn("eth0", self.ok("exec", name, "ip", "link").text)

    def test_options_of_new_networks(self):
        self.only_berth("docker has it since 24")
        self.again("--default-network-opt", f"bridge={MTU}=1234")
        for flags, mtu in (((), "1234"), (("-o", f"{MTU}=1300"), "1300")):
            network = "opts" + mtu
            self.ok("network", "create", *flags, network)
            self.addCleanup(self.engine, "network", "rm", "-f", network)
            self.assertEqual(self.engine.inspect(network, "network")["Options"][MTU], mtu)
            name = self.start("sleep", "300", flags=("--network", network))
            self.assertIn(f" mtu {mtu} ", self.ok("exec", name, "ip", "link", "show", "eth0").text)
            self.ok("rm", "-f", name)

    def test_another_address_of_the_host(self):
        self.only_berth("20.10 takes one address alone")
        self.again("--host-gateway-ip", "192.0.2.1", "--host-gateway-ip", "2001:db8::1")
        self.assertEqual(self.run_sh("grep hg$ /etc/hosts", "--add-host", "hg:host-gateway").text.split(),
                         ["192.0.2.1", "hg", "2001:db8::1", "hg"])

    def test_a_bridge_of_the_hosts_administrator(self):
        self.only_berth("20.10's dockerd leaves its firewall's rules behind")
        link, base = f"brg{os.getpid() % 100000}", own_subnet()
        for command in (("link", "add", link, "type", "bridge"), ("addr", "add", f"{base}.7/24", "dev", link), ("link", "set", link, "up")):
            subprocess.run(["ip", *command], check=True)
        self.addCleanup(subprocess.run, ["ip", "link", "del", link], check=True)
        self.again("--bridge", link)
        name = self.start("sleep", "300")
        bridge = self.engine.inspect(name)["NetworkSettings"]["Networks"]["bridge"]
        self.assertEqual(bridge["Gateway"], f"{base}.7")
        self.ok("exec", name, "ping", "-c", "1", "-W", "5", f"{base}.7")
        # It is there, with its address, also when the engine has another one, and none.
        self.again()
        shown = subprocess.run(["ip", "addr", "show", link], capture_output=True, text=True, check=True).stdout
        self.assertIn(f"{base}.7/24", shown)
        self.assertNotEqual(self.engine.inspect("bridge", "network")["IPAM"]["Config"][0]["Gateway"], f"{base}.7")

    def test_docker0_keeps_its_addresses(self):
        self.only_berth("docker's tests have it of docker")
        if os.path.exists("/sys/class/net/docker0"):
            self.skipTest("docker0 is somebody's here")
        self.addCleanup(subprocess.run, ["ip", "link", "del", "docker0"])
        shown = lambda: subprocess.run(["ip", "-4", "addr", "show", "docker0"], capture_output=True, text=True, check=True).stdout
        base, other = own_subnet(), own_subnet()
        for command in (("link", "add", "docker0", "type", "bridge"), ("addr", "add", f"{base}.7/24", "dev", "docker0")):
            subprocess.run(["ip", *command], check=True)
        for flags in (("--fixed-cidr", f"{base}.64/27"), ()):
            self.again("--bridge", "docker0", *flags)
            bridge = self.engine.inspect(self.start("sleep", "300"))["NetworkSettings"]["Networks"]["bridge"]
            self.assertEqual((bridge["Gateway"], bridge["IPPrefixLen"]), (f"{base}.7", 24))
        pool = self.engine.inspect("bridge", "network")["IPAM"]["Config"][0]
        self.assertEqual((pool["Subnet"], pool["Gateway"]), (f"{base}.0/24", f"{base}.7"))
        self.again("--bridge", "docker0", "--bip", f"{other}.1/24")
        self.assertIn(f"{other}.1/24", shown())
        self.assertNotIn(f"{base}.7", shown())
        self.again()
        self.assertIn(f"{other}.1/24", shown())

    def test_a_bridge_that_is_not_there(self):
        self.only_berth("docker says it elsewhere")
        engine = Engine("nobridge", flags=("--bridge", "nosuchbridge"))
        self.addCleanup(engine.close)
        with self.assertRaisesRegex(AssertionError, "nosuchbridge"):
            engine.start()
