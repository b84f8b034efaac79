"""Networks: the default bridge, published ports, modes, name files."""
import http.client
import os
import re
import socket
import struct
import subprocess
import fcntl

from harness.engine import IMAGE, EngineCase, eventually, fetch

# In a container: answers "served by NAME" to every HTTP request on port 80.
SERVE = ("mkdir -p /www && echo served by {name} > /www/index.html && exec httpd -f -p {port} -h /www")


def host_address():
    """An IPv4 address of this host other than loopback, as (interface, address)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            if name == "lo" or name.startswith(("berth", "docker", "veth", "br-")):
                continue
            try:
                packed = fcntl.ioctl(probe, 0x8915, struct.pack("256s", name.encode()))  # SIOCGIFADDR
            except OSError:
                continue
            return socket.inet_ntoa(packed[20:24])
    return None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class NetworkCase(EngineCase):
    def serve(self, *flags, port=80, tag="web"):
        return self.start("sh", "-c", SERVE.format(name=tag, port=port), flags=flags)

    def port(self, name, inside="80"):
        """The host's port that `port` tells for a container."""
        return int(self.ok("port", name, inside).lines[0].rsplit(":", 1)[1])

    def address(self, name):
        return self.engine.inspect(name)["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]

    def answers(self, host, port, text):
        eventually(lambda: fetch(host, port) == text, f"{host}:{port} answers {text!r}")


class Published(NetworkCase):
    def test_on_loopback(self):
        name = self.serve("-p", "127.0.0.1::80")
        self.answers("127.0.0.1", self.port(name), "served by web")

    def test_on_all_addresses(self):
        name = self.serve("-p", "80")
        port = self.port(name)
        self.answers("127.0.0.1", port, "served by web")
        address = host_address()
        if address:
            self.answers(address, port, "served by web")

    def test_on_ipv6_loopback(self):
        name = self.serve("-p", "80")
        if not os.path.exists("/proc/sys/net/ipv6"):
            self.skipTest("this kernel has no IPv6")
        self.answers("::1", self.port(name), "served by web")

    def test_a_chosen_port(self):
        port = free_port()
        name = self.serve("-p", f"{port}:80")
        self.answers("127.0.0.1", port, "served by web")
        self.assertIn(f"0.0.0.0:{port}", self.ok("port", name).out)
        self.assertEqual(self.engine.inspect(name)["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"], str(port))

    def test_bound_to_one_address_only(self):
        address = host_address()
        if not address:
            self.skipTest("this host has no address but loopback")
        port = free_port()
        self.serve("-p", f"127.0.0.1:{port}:80")
        self.answers("127.0.0.1", port, "served by web")
        self.assertIsNone(fetch(address, port, 1))

    def test_a_range(self):
        first = free_port()
        name = self.name()
        self.ok("run", "-d", "--name", name, "-p", f"{first}-{first + 2}:7000-7002", IMAGE, "sleep", "60")
        for offset in range(3):
            self.assertEqual(self.port(name, str(7000 + offset)), first + offset)

    def test_udp(self):
        name = self.start("probe", "udp-echo", "5353", flags=("-p", "127.0.0.1::5353/udp"))
        port = int(self.ok("port", name, "5353/udp").lines[0].rsplit(":", 1)[1])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.5)

            def echoed():
                client.sendto(b"ping", ("127.0.0.1", port))
                try:
                    return client.recv(100) == b"ping"
                except OSError:
                    return False

            eventually(echoed, "the datagram comes back")

    def test_publish_all(self):
        name = self.name()
        self.ok("run", "-d", "--name", name, "-P", "--expose", "80", "--expose", "81/udp", IMAGE, "sleep", "60")
        ports = self.engine.inspect(name)["NetworkSettings"]["Ports"]
        self.assertTrue(ports["80/tcp"] and ports["81/udp"], ports)

    def test_from_another_container_through_the_host(self):
        name = self.serve("-p", "80")
        port = self.port(name)
        gateway = self.engine.inspect(name)["NetworkSettings"]["Networks"]["bridge"]["Gateway"]
        self.answers("127.0.0.1", port, "served by web")
        self.assertEqual(self.run_sh(f"wget -q -O - http://{gateway}:{port}/").text, "served by web")

    def test_from_the_publishing_container_itself(self):
        name = self.serve("-p", "80")
        self.answers("127.0.0.1", self.port(name), "served by web")
        gateway = self.engine.inspect(name)["NetworkSettings"]["Networks"]["bridge"]["Gateway"]
        self.assertEqual(self.ok("exec", name, "wget", "-q", "-O", "-", f"http://{gateway}:{self.port(name)}/").text,
                         "served by web")

    def test_a_taken_port_is_refused_and_named(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            name = self.name()
            result = self.fails(125, "run", "-d", "--name", name, "-p", f"127.0.0.1:{port}:80", IMAGE, "sleep", "60")
            self.assertIn(str(port), result.err)
            self.assertRegex(result.err, r"(already|address) (allocated|in use|already)")

    def test_a_port_of_another_container_is_refused(self):
        port = free_port()
        self.serve("-p", f"{port}:80")
        result = self.fails(125, "run", "-d", "--name", self.name(), "-p", f"{port}:80", IMAGE, "sleep", "60")
        self.assertIn(str(port), result.err)
        self.assertIn("already allocated", result.err)

    def test_a_port_is_free_again_after_rm_and_stop(self):
        port = free_port()
        for _ in range(3):
            name = self.serve("-p", f"{port}:80")
            self.answers("127.0.0.1", port, "served by web")
            self.ok("rm", "-f", name)
        name = self.serve("-p", f"{port}:80")
        self.ok("stop", "-t", "0", name)
        other = self.serve("-p", f"{port}:80", tag="other")
        self.answers("127.0.0.1", port, "served by other")
        self.ok("rm", "-f", other)

    def test_the_port_lives_through_a_restart(self):
        port = free_port()
        name = self.serve("-p", f"{port}:80")
        self.answers("127.0.0.1", port, "served by web")
        self.ok("restart", "-t", "0", name)
        self.answers("127.0.0.1", port, "served by web")

    def test_the_clients_address_is_seen(self):
        self.only_berth("its userland proxy hides the address of a loopback client")
        address = host_address()
        if not address:
            self.skipTest("this host has no address but loopback")
        name = self.start("sh", "-c", "mkdir -p /www/cgi-bin && printf '#!/bin/sh\\necho\\necho $REMOTE_ADDR\\n' > "
                          "/www/cgi-bin/who && chmod 755 /www/cgi-bin/who && exec httpd -f -h /www", flags=("-p", "80"))
        port = self.port(name)

        def who():
            connection = http.client.HTTPConnection(address, port, timeout=5)
            try:
                connection.request("GET", "/cgi-bin/who")
                return connection.getresponse().read().decode().strip()
            except OSError:
                return None
            finally:
                connection.close()

        eventually(lambda: who(), "the program answers")
        self.assertNotIn("127.0.0.1", who())

    def test_malformed_ports(self):
        for text in ("70000:80", "80:70000", "x:80", "1.2.3:80:80", "80:80/icmp", "100-200:100-150", "::"):
            with self.subTest(port=text):
                result = self.engine("run", "--rm", "-p", text, IMAGE, "true")
                self.assertEqual(result.code, 125, str(result))


class Bridge(NetworkCase):
    def test_addresses_and_gateway(self):
        name = self.start("sleep", "60")
        network = self.engine.inspect(name)["NetworkSettings"]["Networks"]["bridge"]
        self.assertRegex(network["IPAddress"], r"^\d+\.\d+\.\d+\.\d+$")
        self.assertIn(network["IPAddress"], self.ok("exec", name, "ip", "-4", "addr", "show", "eth0").out)
        self.assertIn(f"default via {network['Gateway']}", self.ok("exec", name, "ip", "route").out)
        self.assertRegex(network["MacAddress"], r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$")

    def test_containers_reach_each_other(self):
        name = self.serve()
        address = self.address(name)
        eventually(lambda: self.engine("run", "--rm", IMAGE, "wget", "-q", "-O", "-", f"http://{address}/").text
                   == "served by web", "the other container answers")

    def test_the_host_reaches_the_container(self):
        name = self.serve()
        self.answers(self.address(name), 80, "served by web")

    def test_loopback_is_up(self):
        self.assertIn("127.0.0.1", self.run_sh("ip addr show lo").out)
        self.run_sh("ping -c 1 -W 2 127.0.0.1")

    def test_many_get_different_addresses(self):
        names = [self.start("sleep", "60") for _ in range(8)]
        self.assertEqual(len({self.address(name) for name in names}), 8)

    def test_an_ipv6_address_is_there(self):
        self.only_berth("IPv6 on its default bridge is off by default")
        name = self.start("sleep", "60")
        self.assertIn(self.engine.inspect(name)["NetworkSettings"]["Networks"]["bridge"]["GlobalIPv6Address"],
                      self.ok("exec", name, "ip", "-6", "addr", "show", "eth0").out)
        self.assertTrue(self.engine.inspect(name)["NetworkSettings"]["Networks"]["bridge"]["GlobalIPv6Address"])

    def test_router_advertisements_are_not_accepted(self):
        self.only_berth("it leaves the kernel's default in containers")
        self.assertEqual(self.run_sh("cat /proc/sys/net/ipv6/conf/eth0/accept_ra").text, "0")

    def test_resolv_conf_is_there(self):
        self.assertIn("nameserver", self.run_sh("cat /etc/resolv.conf").out)

    def test_own_name_in_hosts(self):
        text = self.run_sh("cat /etc/hosts; hostname; hostname -i", "--hostname", "me")
        address = text.lines[-1].strip()
        self.assertRegex(text.out, rf"(?m)^{re.escape(address)}\s+me$")

    def test_hosts_hostname_and_resolv_conf_are_writable(self):
        self.assertEqual(self.run_sh("echo 1.2.3.4 added >> /etc/hosts && tail -n 1 /etc/hosts").text, "1.2.3.4 added")


class Modes(NetworkCase):
    def test_none(self):
        links = self.ok("run", "--rm", "--network", "none", IMAGE, "ls", "/sys/class/net").text.split()
        self.assertNotIn("eth0", links)
        self.assertIn("lo", links)
        self.run_sh("ping -c 1 -W 2 127.0.0.1", "--network", "none")

    def test_host(self):
        port = free_port()
        self.serve("--network", "host", port=port)
        self.answers("127.0.0.1", port, "served by web")

    def test_of_another_container(self):
        first = self.serve()
        self.address(first)
        eventually(lambda: self.engine("run", "--rm", "--network", f"container:{first}", IMAGE, "wget", "-q", "-O", "-",
                                       "http://127.0.0.1/").text == "served by web", "the shared loopback answers")

    def test_of_a_container_that_does_not_run(self):
        name = self.name()
        self.ok("create", "--name", name, IMAGE)
        self.assertEqual(self.engine("run", "--rm", "--network", f"container:{name}", IMAGE, "true").code, 125)
        self.fails(125, "run", "--rm", "--network", "container:no-such", IMAGE, "true", says="no-such")

    def test_the_three_networks_are_listed(self):
        listed = dict(line.split() for line in self.ok("network", "ls", "--format", "{{.Name}} {{.Driver}}").lines)
        self.assertEqual({name: listed.get(name) for name in ("bridge", "host", "none")},
                         {"bridge": "bridge", "host": "host", "none": "null"})

    def test_inspect_of_the_bridge(self):
        name = self.start("sleep", "60")
        bridge = self.engine.inspect("bridge", "network")
        self.assertIn(self.engine.inspect(name)["Id"], bridge["Containers"])
        self.assertTrue(bridge["IPAM"]["Config"][0]["Subnet"])

    def test_the_predefined_cannot_be_removed(self):
        for network in ("bridge", "host", "none"):
            with self.subTest(network=network):
                result = self.engine("network", "rm", network)
                self.assertEqual(result.code, 1)
                self.assertIn("pre-defined", result.err)


class Cleanup(NetworkCase):
    def test_no_interface_is_left_by_a_removed_container(self):
        def links():
            return {name for _, name in socket.if_nameindex()}

        self.run_sh("true")
        before = links()
        for _ in range(5):
            self.run_sh("true", "-p", "80")
        eventually(lambda: links() <= before, "the virtual interfaces are gone")

    def test_no_interface_is_left_by_a_failed_start(self):
        def links():
            return {name for _, name in socket.if_nameindex()}

        self.run_sh("true")
        before = links()
        for _ in range(3):
            self.engine("run", "--rm", "-p", "80", IMAGE, "no-such-program")
        eventually(lambda: links() <= before, "the virtual interfaces are gone")


class UserDefined(NetworkCase):
    """Networks of one's own, where containers find each other by name."""

    def network(self, *flags):
        self.number += 1
        name = f"net-{self._testMethodName[5:35]}-{self.number}".replace("_", "-")
        self.ok("network", "create", *flags, name)
        self.addCleanup(self.engine, "network", "rm", name)
        return name

    def inside(self, container, network):
        return self.engine.inspect(container)["NetworkSettings"]["Networks"][network]

    def resolves(self, container, name, address):
        """A question is answered as soon as the container has started."""
        result = self.engine("exec", container, "nslookup", name)
        self.assertEqual(result.code, 0, str(result))
        self.assertIn(address, result.out.split("Name:", 1)[-1], str(result))

    def test_names_aliases_and_short_ids(self):
        network = self.network()
        web = self.start("sleep", "60", flags=("--network", network, "--network-alias", "alias-of-web"))
        asker = self.start("sleep", "60", flags=("--network", network))
        address = self.inside(web, network)["IPAddress"]
        identifier = self.engine.inspect(web)["Id"]
        for name in (web, "alias-of-web", identifier[:12], f"{web}.{network}"):
            self.resolves(asker, name, address)
        self.ok("exec", asker, "ping", "-c", "1", "-W", "5", web)
        self.assertIn("nameserver 127.0.0.11", self.ok("exec", asker, "cat", "/etc/resolv.conf").out)
        renamed = self.name("renamed")
        self.ok("rename", web, renamed)
        self.resolves(asker, renamed, address)

    def test_the_first_question_of_a_quick_program_is_answered(self):
        network = self.network()
        web = self.start("sleep", "60", flags=("--network", network))
        self.assertIn(self.inside(web, network)["IPAddress"], self.run_sh(f"nslookup {web}", "--network", network).out)

    def test_what_joins_and_leaves(self):
        network = self.network("--internal")  # of which nothing is asked outside
        asker = self.start("sleep", "60")
        web = self.start("sleep", "60")
        for name in (asker, web):
            self.ok("network", "connect", network, name)
        address = self.inside(web, network)["IPAddress"]
        self.resolves(asker, web, address)
        self.ok("network", "disconnect", network, web)
        self.ok("network", "disconnect", network, asker)
        self.assertNotIn("127.0.0.11", self.ok("exec", asker, "cat", "/etc/resolv.conf").out)

    def test_a_link_is_known_to_its_container_alone(self):
        network = self.network("--internal")
        database = self.start("sleep", "60", flags=("--network", network))
        linked = self.start("sleep", "60", flags=("--network", network, "--link", f"{database}:db"))
        other = self.start("sleep", "60", flags=("--network", network))
        self.resolves(linked, "db", self.inside(database, network)["IPAddress"])
        self.assertNotEqual(self.engine("exec", other, "nslookup", "db").code, 0)

    def test_inspect_tells_the_names(self):
        self.only_berth("20.10 does not tell them")
        network = self.network()
        web = self.start("sleep", "60", flags=("--network", network, "--network-alias", "other"))
        identifier = self.engine.inspect(web)["Id"]
        self.assertEqual(self.inside(web, network)["DNSNames"], [web, "other", identifier[:12]])
        renamed = self.name("renamed")
        self.ok("rename", web, renamed)
        self.assertEqual(self.inside(renamed, network)["DNSNames"], [renamed, "other", identifier[:12]])
        self.assertIsNone(self.engine.inspect(self.start("sleep", "60"))["NetworkSettings"]["Networks"]["bridge"]["DNSNames"])

    def test_names_with_spaces(self):
        self.ok("network", "create", "two words")
        self.ok("network", "rm", "two words")
        for bad in ("", " "):
            self.assertNotEqual(self.engine("network", "create", bad).code, 0, bad)


class Macvlan(NetworkCase):
    """Containers on the network of one of the host's interfaces."""

    def setUp(self):
        super().setUp()
        self.parent = f"bmv{os.getpid() % 100000}"
        made = subprocess.run(["ip", "link", "add", self.parent, "type", "bridge"], capture_output=True, text=True)
        if made.returncode != 0:
            self.skipTest(f"no interface can be made here: {made.stderr}")
        self.addCleanup(subprocess.run, ["ip", "link", "del", self.parent])
        subprocess.run(["ip", "link", "set", self.parent, "up"], check=True)

    def network(self, *flags, driver="macvlan"):
        name = f"{driver}-{os.getpid()}"
        result = self.engine("network", "create", "-d", driver, "-o", f"parent={self.parent}", *flags, name)
        self.addCleanup(self.engine, "network", "rm", name)
        return name, result

    def test_two_containers_and_their_names(self):
        name, made = self.network("--subnet", "10.244.7.0/24", "--gateway", "10.244.7.1")
        self.assertEqual(made.code, 0, str(made))
        other = self.start("sleep", "600", flags=("--network", name))
        one = self.start("sleep", "600", flags=("--network", name, "--ip", "10.244.7.40", "--mac-address", "02:42:0a:f4:07:28"))
        self.assertIn("10.244.7.40", self.ok("exec", one, "ip", "-4", "addr", "show", "eth0").out)
        self.assertIn("02:42:0a:f4:07:28", self.ok("exec", one, "ip", "link", "show", "eth0").out)
        self.assertIn("default via 10.244.7.1", self.ok("exec", one, "ip", "route").out)
        self.ok("exec", one, "ping", "-c", "1", "-W", "5", other)
        self.assertEqual(self.engine.inspect(one)["NetworkSettings"]["Networks"][name]["IPAddress"], "10.244.7.40")
        self.ok("network", "disconnect", name, one)
        self.assertNotEqual(self.engine("exec", one, "ip", "link", "show", "eth0").code, 0)
        self.ok("network", "connect", name, one)
        self.ok("exec", one, "ping", "-c", "1", "-W", "5", other)

    def test_without_a_parent(self):
        """The network has a link of its own, which leads nowhere, where the kernel has such links."""
        made = self.engine("network", "create", "-d", "macvlan", "m1")
        if made.code != 0:
            self.assertIn("operation not supported", made.err.lower())
            return
        link = "dm-" + made.out.strip()[:12]
        self.assertTrue(os.path.exists(f"/sys/class/net/{link}"))
        self.ok("network", "rm", "m1")
        self.assertFalse(os.path.exists(f"/sys/class/net/{link}"))

    def test_several_subnets(self):
        name, made = self.network("--subnet", "10.244.7.0/24", "--subnet", "10.244.9.0/24", "--gateway", "10.244.9.254")
        self.assertEqual(made.code, 0, str(made))
        one = self.start("sleep", "600", flags=("--network", name, "--ip", "10.244.9.20"))
        other = self.start("sleep", "600", flags=("--network", name))
        self.assertIn("default via 10.244.9.254", self.ok("exec", one, "ip", "route").out)
        self.assertIn("default via 10.244.7.1", self.ok("exec", other, "ip", "route").out)
        self.assertIn("10.244.7.2/24", self.ok("exec", other, "ip", "-4", "addr", "show", "eth0").out)
        self.fails(1, "network", "create", "--subnet", "10.244.10.0/24", "--subnet", "10.244.11.0/24", "b1", says="one too many")

    def test_a_parent_is_shared_unless_passed_through(self):
        first, made = self.network()
        self.assertEqual(made.code, 0, str(made))
        self.fails(1, "network", "create", "-d", "macvlan", "-o", f"parent={self.parent}", "-o", "macvlan_mode=passthru", "m1",
                   says="already using parent interface")

    def test_bad_requests(self):
        self.fails(1, "network", "create", "-d", "macvlan", "-o", "parent=lo", "m1", says="loopback interface is not a valid")
        self.fails(1, "network", "create", "-d", "macvlan", "-o", f"parent={self.parent}", "-o", "macvlan_mode=nope", "m1",
                   says="mode 'nope' is not valid")
        self.fails(1, "network", "create", "-d", "macvlan", "-o", "parent=nothere0", "m2", says="nothere0")
        self.fails(1, "network", "create", "-d", "macvlan", "-o", "parent=nothere0.10", "m2", says="not found on the host: nothere0")
        self.fails(1, "network", "create", "-d", "macvlan", "-o", f"parent={self.parent}.4095", "m2", says="vlan id must be")

    def test_ipvlan(self):
        name, made = self.network("--subnet", "10.244.8.0/24", driver="ipvlan")
        self.assertEqual(made.code, 0, str(made))
        result = self.engine("run", "--rm", "--network", name, IMAGE, "ip", "-4", "addr", "show", "eth0")
        if result.code != 0:
            self.assertIn("this kernel has no ipvlan", result.err)
        else:
            self.assertIn("10.244.8.", result.out)
