"""The host's side of networks: bridges that people look for by name, configurations of networks, and engines that leave
the host's firewall alone."""
import subprocess

from harness import host
from harness.engine import IMAGE, Engine, EngineCase, eventually, fetch
from test_network import SERVE, free_port

MTU = "com.docker.network.driver.mtu"


def link(name):
    """What `ip link` says of an interface of the host's; empty where there is none."""
    return subprocess.run(["ip", "link", "show", name], capture_output=True, text=True).stdout


class Bridges(EngineCase):
    def create(self, name, *flags):
        made = self.ok("network", "create", *flags, name).text.strip()
        self.addCleanup(self.engine, "network", "rm", "-f", name)
        return made, "br-" + made[:12]

    def test_one_is_there_while_its_network_is(self):
        _, bridge = self.create("n1", "-o", f"{MTU}=1300", "--subnet", "10.243.61.0/24")
        self.assertIn("mtu 1300", link(bridge))
        self.assertIn("10.243.61.1/24", subprocess.run(["ip", "addr", "show", bridge], capture_output=True, text=True).stdout)
        self.ok("network", "rm", "n1")
        self.assertEqual(link(bridge), "")

    def test_it_is_there_again_with_the_engine(self):
        self.only_berth("docker leaves its bridges where they are")
        _, bridge = self.create("n1")
        self.engine.terminate()
        self.engine.start()
        self.assertNotEqual(link(bridge), "")
        self.assertIn("eth0", self.ok("run", "--rm", "--network", "n1", IMAGE, "ip", "link").text)

    def test_pruning_takes_them(self):
        bridges = [self.create(f"n{i}")[1] for i in range(3)]
        self.ok("network", "prune", "-f")
        self.assertEqual([link(bridge) for bridge in bridges], ["", "", ""])

    def test_a_network_of_a_configuration(self):
        self.ok("network", "create", "--config-only", "--subnet", "10.243.62.0/24", "-o", f"{MTU}=1280", "--label", "a=b", "plan")
        self.addCleanup(self.engine, "network", "rm", "plan")
        plan = self.engine.inspect("plan", "network")
        self.assertTrue(plan["ConfigOnly"])
        self.assertEqual(plan["Driver"], "null")
        self.assertEqual([pool["Subnet"] for pool in plan["IPAM"]["Config"]], ["10.243.62.0/24"])
        self.fails(125, "run", "--rm", "--network", "plan", IMAGE, "true", says="configuration-only network")
        _, bridge = self.create("n1", "--config-from", "plan")
        self.assertIn("mtu 1280", link(bridge))
        network = self.engine.inspect("n1", "network")
        self.assertEqual(network["ConfigFrom"]["Network"], "plan")
        self.assertEqual(network["Labels"], {"a": "b"})
        self.assertIn("10.243.62.2/24", self.ok("run", "--rm", "--network", "n1", IMAGE, "ip", "addr").text)
        self.fails(1, "network", "rm", "plan", says="is in use")
        self.fails(1, "network", "create", "--config-from", "plan", "--label", "c=d", "n2", says="not supported")
        self.fails(1, "network", "create", "--config-from", "nothing", "n2", says="does not exist")
        self.fails(1, "network", "create", "--config-only", "--internal", "n2", says="not supported")

    def test_an_interface_that_is_there_already(self):
        self.create("n1")
        name = self.start("sleep", "300")
        self.fails(1, "network", "connect", "--driver-opt", "com.docker.network.endpoint.ifname=eth0", "n1", name,
                   says="file exists")

    def test_the_lowest_free_address_comes_first(self):
        """Also when it was another container's before, from the moment when that one's interface is gone."""
        self.create("n1", "--subnet", "10.243.63.0/24")
        for _ in range(2):
            name = self.start("sleep", "300")
            self.ok("network", "connect", "n1", name)
            self.assertIn("10.243.63.2/24", self.ok("exec", name, "ip", "addr").text)
            self.ok("network", "disconnect", "n1", name)


class WithoutFirewall(EngineCase):
    """--iptables=false --ip6tables=false: the host's administrator filters; published ports are served all the same."""

    @classmethod
    def setUpClass(cls):
        cls.engine = Engine(cls.__name__, flags=("--iptables=false", "--ip6tables=false", "--ip-masq=false"))
        try:
            cls.engine.start()
            cls.engine.load_base_image()
        except BaseException:
            cls.engine.close()
            raise

    def test_published_ports_are_served(self):
        self.only_berth("docker's chains are the host's own")
        port = free_port()
        self.start("sh", "-c", SERVE.format(name="web", port=80), flags=("-p", f"127.0.0.1:{port}:80"))
        eventually(lambda: fetch("127.0.0.1", port) == "served by web", "the published port answers")
        bridge = self.engine.inspect("bridge", "network")
        self.assertEqual(bridge["Options"]["com.docker.network.bridge.enable_ip_masquerade"], "false")
        name = bridge["Options"]["com.docker.network.bridge.name"]
        # Tables are called as the default bridge is.
        self.assertEqual([table for table in host.nft_tables() if table.endswith(f" {name}")], [])


class FailedStart(EngineCase):
    def test_nothing_of_it_stays(self):
        self.only_berth("docker0 stays")
        engine = Engine("failed")
        self.addCleanup(engine.close)
        engine.start()
        name = engine.api.get("/networks/bridge").json()["Options"]["com.docker.network.bridge.name"]
        self.assertNotEqual(link(name), "")
        engine.terminate()
        of_it = lambda: [link(name), *(table for table in host.nft_tables() if table.endswith(f" {name}"))]
        self.assertEqual(of_it(), [""], "an engine without containers takes its networks along")
        for flags, says in ((("-H", "tcp://203.0.113.9:1", "--tls=false"), "listen on 203.0.113.9:1"),
                            (("-H", f"unix://{engine.socket}", "--functions-keys", "/no/such/keys"), "/no/such/keys")):
            failed = subprocess.run([*engine.program, "--data-root", engine.data, "--exec-root", engine.exec, *flags],
                                    capture_output=True, text=True)
            self.assertNotEqual(failed.returncode, 0)
            self.assertIn(says, failed.stderr)
            self.assertEqual(of_it(), [""])
        engine.served = False  # nothing is left to be removed
