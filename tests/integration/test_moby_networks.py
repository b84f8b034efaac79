"""What moby's tests through the docker command have found of networks and links."""
import os
import socket
import subprocess
import threading

from harness.engine import IMAGE, EngineCase, eventually

GATEWAY_MODE = "com.docker.network.bridge.gateway_mode_ipv4"
INTERFACE = "com.docker.network.endpoint.ifname"
SYSCTLS = "com.docker.network.endpoint.sysctls"


class NetworkCase(EngineCase):
    def network(self, *flags):
        name = self.name("n")
        self.made.remove(name)
        self.ok("network", "create", *flags, name)
        self.addCleanup(self.engine, "network", "rm", "-f", name)
        return name

    def endpoint(self, container, network):
        return self.engine.inspect(container)["NetworkSettings"]["Networks"][network]

    def connect(self, network, container, settings):
        return self.engine.api.post(f"/networks/{network}/connect", {"Container": container, "EndpointConfig": settings})

    def runs_with(self, network, settings, command=("sleep", "300"), **host):
        """A container made and started over the API, with settings of its endpoint."""
        name = self.name()
        answer = self.engine.api.post(f"/containers/create?name={name}", {
            "Image": IMAGE, "Cmd": list(command), "HostConfig": {"NetworkMode": network, **host},
            "NetworkingConfig": {"EndpointsConfig": {network: settings}}})
        self.assertEqual(answer.status, 201, str(answer))
        answer = self.engine.api.post(f"/containers/{name}/start", {})
        self.assertEqual(answer.status, 204, str(answer))
        return name

    def pings(self, container, address):
        eventually(lambda: self.engine("exec", container, "ping", "-c", "1", "-W", "2", address).code == 0,
                   f"{container} reaches {address}", 60)


class NameServer:
    """Answers every question at `address`, port 53: with a code of refusal, or with an IPv4 address."""

    def __init__(self, address, code=0, answer=None):
        self.code, self.answer, self.asked = code, answer, 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                query, peer = self.socket.recvfrom(512)
            except OSError:
                return
            self.asked += 1
            end = query.index(b"\0", 12) + 5
            has_record = self.answer and query[end - 4:end - 2] == b"\0\1"
            record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(self.answer) if has_record else b""
            header = query[:2] + bytes([0x81, 0x80 | self.code, 0, 1, 0, 1 if has_record else 0, 0, 0, 0, 0])
            self.socket.sendto(header + query[12:end] + record, peer)

    def close(self):
        self.socket.close()


class NameServers(NetworkCase):
    def test_one_that_refuses_is_not_the_last_word(self):
        self.only_berth("the servers listen where berth's engine asks from")
        refusing, failing = NameServer("127.1.53.1", code=5), NameServer("127.1.53.2", code=2)
        answering = NameServer("127.1.53.3", answer="192.0.2.77")
        for server in (refusing, failing, answering):
            self.addCleanup(server.close)
        servers = ("127.1.53.1", "127.1.53.2", "127.1.53.3")
        container = self.start("sleep", "300", flags=("--network", self.network(), *(
            part for server in servers for part in ("--dns", server))))
        result = self.engine("exec", container, "nslookup", "somewhere.example")
        self.assertIn("192.0.2.77", result.out, str(result))
        self.assertTrue(refusing.asked and failing.asked)
        alone = self.start("sleep", "300", flags=("--network", self.network(), "--dns", "127.1.53.1"))
        self.assertIn("REFUSED", self.engine("exec", alone, "nslookup", "somewhere.example").out)


class Connecting(NetworkCase):
    def test_endpoints_that_are_given_are_all_there_are(self):
        given, mode = self.network(), self.network()
        for host in ({}, {"NetworkMode": "default"}, {"NetworkMode": mode}):
            name = self.name()
            answer = self.engine.api.post(f"/containers/create?name={name}", {
                "Image": IMAGE, "Cmd": ["sleep", "300"], "HostConfig": host,
                "NetworkingConfig": {"EndpointsConfig": {given: {}}}})
            self.assertEqual(answer.status, 201, str(answer))
            self.ok("start", name)
            self.assertEqual(list(self.engine.inspect(name)["NetworkSettings"]["Networks"]), [given], host)
            routes = self.ok("exec", name, "ip", "route").text
            self.assertIn("default via", routes)

    def test_a_container_without_networks_stays_alone(self):
        self.only_berth("newer than docker 20.10 in words or deeds")
        network, alone = self.network(), self.start("sleep", "300", flags=("--network", "none"))
        words = "container cannot be connected to multiple networks with one of the networks in private (none) mode"
        self.fails(1, "network", "connect", network, alone, says=words)
        joined = self.start("sleep", "300", flags=("--network", network))
        self.fails(1, "network", "connect", "none", joined, says=words)
        self.fails(1, "network", "connect", "host", joined, says="cannot connect container to host network")
        shared = self.start("sleep", "300", flags=("--network", "host"))
        self.fails(1, "network", "disconnect", "host", shared, says="cannot disconnect container from host network")

    def test_a_bridge_is_gone_when_its_removal_is_answered(self):
        options = {"com.docker.network.bridge.name": f"brg{os.getpid() % 100000}"}
        for number in range(10):
            answer = self.engine.api.post("/networks/create", {"Name": f"again{number}", "Driver": "bridge", "Options": options})
            self.assertEqual(answer.status, 201, str(answer))
            self.assertEqual(self.engine.api.delete(f"/networks/again{number}").status, 204)

    def test_an_interface_is_gone_when_its_disconnection_is_answered(self):
        network = self.network()
        container = self.start("sleep", "300", flags=("--network", network))
        for _ in range(10):
            answer = self.engine.api.post(f"/networks/{network}/disconnect", {"Container": container})
            self.assertEqual(answer.status, 200, str(answer))
            self.assertEqual(self.connect(network, container, {}).status, 200)

    def test_older_clients_always_get_ipv4(self):
        for version, expected in (("1.47", True), ("1.48", False)):
            name = self.name("n")
            self.made.remove(name)
            answer = self.engine.api.at(version).post("/networks/create", {"Name": name, "EnableIPv4": False, "EnableIPv6": True})
            self.assertEqual(answer.status, 201, str(answer))
            self.addCleanup(self.engine, "network", "rm", name)
            self.assertEqual(self.engine.api.get(f"/networks/{name}").json()["EnableIPv4"], expected)

    def test_a_network_by_its_short_id_is_the_main_one(self):
        first, second = sorted((self.network(), self.network()))
        short = self.engine.inspect(second)["Id"][:10]
        name, mac = self.name(), "02:42:08:26:a9:55"
        answer = self.engine.api.at("1.43").post(f"/containers/create?name={name}", {
            "Image": IMAGE, "Cmd": ["sleep", "300"], "MacAddress": mac, "HostConfig": {"NetworkMode": short}})
        self.assertEqual(answer.status, 201, str(answer))
        self.ok("network", "connect", first, name)
        self.ok("start", name)
        self.assertEqual(self.endpoint(name, second)["MacAddress"], mac)
        self.assertIn(mac, self.ok("exec", name, "cat", "/sys/class/net/eth0/address").text)

    def test_what_the_default_network_does_not_have(self):
        network = self.network()
        container = self.start("sleep", "300", flags=("--network", network))
        for settings, says in (({"Aliases": ["db"]}, "network-scoped alias is supported only for containers in user"),
                               ({"IPAMConfig": {"IPv4Address": "172.17.9.9"}}, "supported on user defined networks only")):
            answer = self.connect("bridge", container, settings)
            self.assertEqual(answer.status, 400, str(answer))
            self.assertIn(says, answer.message)

    def test_addresses_need_a_subnet_of_ones_own(self):
        network = self.network()
        chosen = self.engine.inspect(network, "network")["IPAM"]["Config"][0]["Subnet"].rsplit(".", 1)[0] + ".77"
        self.fails(125, "run", "--rm", "--network", network, "--ip", chosen, IMAGE, "true",
                   says="only when connecting to networks with user configured subnets")
        answer = self.engine.api.post("/containers/create", {
            "Image": IMAGE, "Cmd": ["true"], "HostConfig": {"NetworkMode": network},
            "NetworkingConfig": {"EndpointsConfig": {network: {"IPAMConfig": {"IPv6Address": "::ffff:172.28.9.9"}}}}})
        self.assertEqual(answer.status, 400, str(answer))
        self.assertIn("invalid IPv6 address", answer.message)

    def test_link_local_addresses(self):
        self.only_berth("newer than docker 20.10 in words or deeds")
        network = self.network()
        first = self.runs_with(network, {"IPAMConfig": {"LinkLocalIPs": ["169.254.7.7"]}})
        second = self.runs_with(network, {"IPAMConfig": {"LinkLocalIPs": ["169.254.8.8", "fe80::254:88"]}})
        self.pings(first, "169.254.8.8")
        self.pings(second, "169.254.7.7")
        self.ok("restart", "-t", "0", first)
        self.pings(second, "169.254.7.7")
        for bad in ("169.253.5.5", "2001:db8::89", "nonsense"):
            answer = self.connect("bridge", first, {"IPAMConfig": {"LinkLocalIPs": [bad]}})
            self.assertEqual(answer.status, 400, str(answer))
            self.assertIn("invalid link-local IP address", answer.message)

    def test_the_interface_and_its_sysctls(self):
        self.only_berth("newer than docker 20.10 in words or deeds")
        network = self.network()
        name = self.runs_with("bridge", {"DriverOpts": {
            INTERFACE: "uplink0", SYSCTLS: "net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.conf.ifname.forwarding=0"}})
        self.assertIn("uplink0", self.ok("exec", name, "ip", "-o", "link", "show", "uplink0").out)
        self.assertEqual(self.ok("exec", name, "cat", "/proc/sys/net/ipv4/conf/uplink0/log_martians").text, "1")
        self.assertEqual(self.ok("exec", name, "cat", "/proc/sys/net/ipv4/conf/uplink0/forwarding").text, "0")
        self.ok("network", "connect", network, name)
        self.assertIn("eth0", self.ok("exec", name, "ip", "-o", "link").out)
        for options in ({INTERFACE: "a/b"}, {INTERFACE: "lo"}, {INTERFACE: "n" * 16}, {SYSCTLS: "net.ipv4.ip_forward=1"},
                        {SYSCTLS: "net.ipv4.conf.IFNAME.x/../../y=1"}, {SYSCTLS: "net.ipv4.conf.all.log_martians=1"},
                        {SYSCTLS: "net.ipv4.conf.IFNAME.log_martians"}):
            answer = self.engine.api.post("/containers/create", {
                "Image": IMAGE, "NetworkingConfig": {"EndpointsConfig": {"bridge": {"DriverOpts": options}}}})
            self.assertEqual(answer.status, 400, f"{options}: {answer}")

    def test_a_network_that_is_gone(self):
        network = self.network()
        container = self.start("sleep", "300", flags=("--network", network))
        self.ok("stop", "-t", "0", container)
        self.ok("network", "rm", network)
        if not self.against_docker:  # 20.10 needs no force
            self.fails(1, "network", "disconnect", network, container, says="not found")
        self.ok("network", "disconnect", "-f", network, container)
        self.assertEqual(self.engine.inspect(container)["NetworkSettings"]["Networks"], {})


class Bridges(NetworkCase):
    def setUp(self):
        super().setUp()
        self.bridge = f"bmb{os.getpid() % 100000}"

    def addresses(self):
        shown = subprocess.run(["ip", "-o", "addr", "show", self.bridge], capture_output=True, text=True, check=True).stdout
        return [line.split()[3] for line in shown.splitlines() if "scope link" not in line]

    def is_there(self):
        return subprocess.run(["ip", "link", "show", self.bridge], capture_output=True).returncode == 0

    def test_one_that_is_named_is_there_at_once(self):
        network = self.network("-o", f"com.docker.network.bridge.name={self.bridge}")
        self.assertTrue(self.is_there())
        self.ok("network", "rm", network)
        eventually(lambda: not self.is_there(), "the bridge is removed")

    def test_an_isolated_network_of_two(self):
        self.only_berth("docker has isolated gateways since 27")
        network = self.network("--internal", "--subnet", "192.168.235.0/31", "-o", f"{GATEWAY_MODE}=isolated", "-o",
                               f"com.docker.network.bridge.name={self.bridge}")
        self.assertEqual(self.addresses(), [])
        first = self.start("sleep", "300", flags=("--network", network))
        second = self.start("sleep", "300", flags=("--network", network))
        self.assertEqual(sorted(self.endpoint(name, network)["IPAddress"] for name in (first, second)),
                         ["192.168.235.0", "192.168.235.1"])
        self.pings(first, second)
        for flags in (("-o", f"{GATEWAY_MODE}=isolated"), ("-o", f"{GATEWAY_MODE}=x")):
            self.fails(1, "network", "create", *flags, "refused", says="mode")

    def test_subnets_are_shown_in_the_order_of_families(self):
        network = self.network("--ipv6", "--subnet", "fd5a:1::/64", "--subnet", "192.168.237.0/24")
        self.assertEqual([pool["Subnet"] for pool in self.engine.inspect(network, "network")["IPAM"]["Config"]],
                         ["192.168.237.0/24", "fd5a:1::/64"])

    def test_ports_on_the_bridges_own_address(self):
        network = self.network("--subnet", "192.168.236.0/24", "--gateway", "192.168.236.1", "-o",
                               "com.docker.network.bridge.host_binding_ipv4=192.168.236.1")
        name = self.start("sleep", "300", flags=("--network", network, "-p", "5000:5000"))
        self.assertEqual(self.ok("port", name, "5000").text, "192.168.236.1:5000")


def two_free_ports():
    """Two ports that follow each other."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("", 0))
            try:
                second.bind(("", first.getsockname()[1] + 1))
            except OSError:
                continue
            return first.getsockname()[1]
    raise AssertionError("no two free ports in a row")


class Ports(NetworkCase):
    def test_a_port_of_one_number_is_not_taken_by_a_range(self):
        def held():
            port, name = two_free_ports(), self.name()
            made = self.engine("run", "-d", "--name", name, "-p", f"{port}-{port + 1}:80", "-p", f"{port}:81", IMAGE, "sleep", "300")
            return (port, name) if made.code == 0 else None
        port, name = eventually(held, "two ports that nobody took meanwhile")
        self.assertIn(f":{port + 1}", self.ok("port", name, "80").lines[0])
        self.assertIn(f":{port}", self.ok("port", name, "81").lines[0])

    def test_who_cannot_have_its_ports_is_told_what_failed(self):
        self.only_berth("20.10 says the second half alone")
        first = self.start("sleep", "300", flags=("-p", "127.0.0.1::80"))
        taken = self.ok("port", first, "80").text
        second = self.name()
        self.ok("create", "--name", second, "--restart", "always", "-p", f"{taken}:80", IMAGE, "sleep", "300")
        self.fails(1, "start", second, says=["failed to set up container networking: driver failed programming external",
                                             "port is already allocated"])
        self.assertEqual(self.engine.inspect(second)["State"]["Status"], "created")

    def test_they_come_with_the_first_network_that_has_a_way_out(self):
        inner, outer = self.network("--internal"), self.network()
        name = self.start("sleep", "300", flags=("--network", inner, "-p", "127.0.0.1::80"))
        self.assertNotEqual(self.engine("port", name, "80").text.count(":"), 1, "an internal network has no ports")
        self.ok("network", "connect", outer, name)
        self.assertRegex(self.ok("port", name, "80").text, r"^127\.0\.0\.1:\d+$")
        self.ok("exec", name, "ip", "route", "get", "192.0.2.1")
        self.ok("network", "disconnect", outer, name)


class Families(NetworkCase):
    def test_a_container_without_ipv6_has_no_address_of_it(self):
        network = self.network("--ipv6", "--subnet", "fd5a:6::/64")
        off = {"Sysctls": {"net.ipv6.conf.all.disable_ipv6": "1"}}
        name = self.runs_with(network, {}, **off)
        self.assertEqual(self.endpoint(name, network)["GlobalIPv6Address"], "")
        self.assertNotIn("inet6", self.ok("exec", name, "ip", "addr").text)
        other = self.start("sleep", "300", flags=("--network", network))
        self.assertNotEqual(self.endpoint(other, network)["GlobalIPv6Address"], "")
        self.assertNotIn("fd5a", self.engine("exec", other, "nslookup", name).out)

    def test_an_interface_without_ipv6_cannot_give_itself_an_address(self):
        network = self.network()
        name = self.start("sleep", "300", flags=("--network", network))
        self.assertEqual(self.ok("exec", name, "cat", "/proc/sys/net/ipv6/conf/eth0/disable_ipv6").text, "1")
        self.assertEqual(self.ok("exec", name, "cat", "/proc/sys/net/ipv6/conf/lo/disable_ipv6").text, "0")


class Routed(NetworkCase):
    def test_published_ports_take_none_of_the_host(self):
        self.only_berth("docker has routed gateways since 27")
        network = self.network("-o", f"{GATEWAY_MODE}=routed", "-o", GATEWAY_MODE.replace("ipv4", "ipv6") + "=routed")
        name = self.start("sleep", "300", flags=("--network", network, "-p", "8088:80"))
        ports = self.engine.inspect(name)["NetworkSettings"]["Ports"]
        self.assertEqual(ports["80/tcp"][0], {"HostIp": "0.0.0.0", "HostPort": ""})
        listed = self.engine.api.get("/containers/json").json()
        shown = [port for container in listed if f"/{name}" in container["Names"] for port in container["Ports"]]
        self.assertEqual(shown[0], {"IP": "0.0.0.0", "PrivatePort": 80, "Type": "tcp"})
        # Another may have the same.
        self.start("sleep", "300", flags=("--network", network, "-p", "8088:80"))


class Addresses(NetworkCase):
    def test_a_mac_that_was_asked_for_is_in_the_configuration_too(self):
        self.only_berth("docker has MAC addresses of endpoints since 25")
        network = self.network()
        name = self.runs_with(network, {"MacAddress": "02:42:ac:11:00:42"})
        self.assertEqual(self.engine.inspect(name)["Config"]["MacAddress"], "02:42:ac:11:00:42")
        plain = self.runs_with(network, {})
        self.assertFalse(self.engine.inspect(plain)["Config"].get("MacAddress"))


class Links(NetworkCase):
    def hosts(self, name):
        return self.ok("exec", name, "cat", "/etc/hosts").out

    def test_they_follow_a_container_that_starts_again(self):
        database, asker = self.start("sleep", "300"), self.name()
        self.ok("run", "-d", "--name", asker, "--link", f"{database}:db", IMAGE, "sleep", "300")
        self.ok("stop", "-t", "0", database)
        self.start("sleep", "300")  # takes an address in between
        self.ok("start", database)
        address = self.endpoint(database, "bridge")["IPAddress"]
        self.assertRegex(self.hosts(asker), rf"(?m)^{address}\tdb ")

    def test_to_who_shares_a_network(self):
        first = self.start("sleep", "300")
        sharing = self.start("sleep", "300", flags=("--network", f"container:{first}"))
        asker = self.start("sleep", "300", flags=("--link", f"{sharing}:shared"))
        self.assertIn(f"{self.endpoint(first, 'bridge')['IPAddress']}\tshared", self.hosts(asker))
        host = self.start("sleep", "300", flags=("--network", "host"))
        self.fails(125, "run", "--name", self.name(), "--link", f"{host}:host", IMAGE, "true",
                   says="conflicting options: host type networking can't be used with links")

    def test_to_who_is_not_there_yet(self):
        network, later = self.network(), self.name()
        asker = self.start("sleep", "300", flags=("--network", network, "--link", f"{later}:later"))
        self.assertNotEqual(self.engine("exec", asker, "nslookup", "later").code, 0)
        self.ok("run", "-d", "--name", later, "--network", network, IMAGE, "sleep", "300")
        self.pings(asker, "later")
        self.fails(125, "run", "--rm", "--link", "nobody:x", IMAGE, "true", says="could not get container for nobody")

    def test_a_network_of_ones_own_cannot_be_joined(self):
        name = self.name()
        self.fails(125, "run", "--name", name, "--network", f"container:{name}", IMAGE, "true", says="cannot join own network")


class GatewayChange(NetworkCase):
    def ports(self, name):
        ports = self.engine.inspect(name)["NetworkSettings"]["Ports"]
        return {port: sorted({one["HostPort"] for one in bindings or []}) for port, bindings in ports.items()}

    def serves(self, port):
        """Whether the container's server answers there."""
        with socket.socket() as asked:
            asked.settimeout(5)
            try:
                asked.connect(("127.0.0.1", int(port)))
                return asked.recv(5) == b"here\n"
            except OSError:
                return False

    def test_published_ports_follow_the_default_route(self):
        self.only_berth("docker orders networks by priority since 28")
        first, name = self.network(), self.name()
        self.ok("run", "-d", "--name", name, "--network", first, "-p", "127.0.0.1::80", "-p", "90", "--expose", "70", IMAGE,
                "sh", "-c", "while true; do echo here | nc -l -p 80 >/dev/null; done")
        eventually(lambda: self.serves(self.ports(name)["80/tcp"][0]), "it is served", 60)
        before = self.ports(name)
        second, third = self.network("--internal"), self.network()
        self.assertEqual(self.connect(second, name, {"GwPriority": 5}).status, 200)
        self.assertEqual(self.ports(name), before, "an internal network carries no default route")
        self.assertEqual(self.connect(third, name, {"GwPriority": 10}).status, 200)
        moved = self.ports(name)
        self.assertEqual(moved["70/tcp"], [])
        self.assertNotEqual(moved["90/tcp"], before["90/tcp"], "a port of the engine's choice is chosen again")
        eventually(lambda: self.serves(moved["80/tcp"][0]), "it is served where it has moved to", 60)
        self.assertFalse(self.serves(before["80/tcp"][0]), "nothing is where it was")
        self.ok("network", "disconnect", third, name)
        back = self.ports(name)
        eventually(lambda: self.serves(back["80/tcp"][0]), "and back", 60)
        self.ok("network", "disconnect", first, name)
        self.assertEqual(self.ports(name), {"70/tcp": [], "80/tcp": [], "90/tcp": []}, "nothing leads out")

    def test_a_port_of_ones_own_choice_stays(self):
        self.only_berth("docker orders networks by priority since 28")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        first, second = self.network(), self.network()
        name = self.start("sh", "-c", "while true; do echo here | nc -l -p 80 >/dev/null; done",
                          flags=("--network", first, "-p", f"127.0.0.1:{port}:80"))
        self.assertEqual(self.connect(second, name, {"GwPriority": 10}).status, 200)
        self.assertEqual(self.ports(name), {"80/tcp": [str(port)]})
        eventually(lambda: self.serves(port), "it is served", 60)
        self.engine.kill()
        self.engine.start()
        self.assertEqual(self.ports(name), {"80/tcp": [str(port)]}, "the engine remembers where it is")
        eventually(lambda: self.serves(port), "it is served", 60)
        self.ok("rm", "-f", name)


class LinkedExecs(NetworkCase):
    def test_they_have_the_variables_of_links(self):
        linked = self.start("sleep", "300", flags=("--expose", "5432", "-e", "PART=x"))
        name = self.start("sleep", "300", flags=("--link", f"{linked}:db"))
        variables = self.ok("exec", name, "env").lines
        self.assertIn(f"DB_NAME=/{name}/db", variables)
        self.assertIn("DB_ENV_PART=x", variables)
        self.assertIn("DB_PORT_5432_TCP_PORT=5432", variables)


class LinksOfNetworks(NetworkCase):
    def resolves(self, container, name):
        return self.engine("exec", container, "ping", "-c", "1", "-W", "2", name).code == 0

    def test_an_alias_is_known_on_its_network_alone(self):
        first, second = self.network(), self.network()
        linked = self.start("sleep", "300", flags=("--network", first))
        asking = self.start("sleep", "300", flags=("--network", first, "--link", f"{linked}:OnFirst"))
        self.pings(asking, "OnFirst")
        self.ok("network", "connect", second, linked)
        self.ok("network", "connect", "--link", f"{linked}:OnSecond", second, asking)
        self.pings(asking, "OnSecond")
        self.ok("network", "disconnect", first, linked)
        eventually(lambda: not self.resolves(asking, "OnFirst"), "the first link leads nowhere", 60)
        self.pings(asking, "OnSecond")
