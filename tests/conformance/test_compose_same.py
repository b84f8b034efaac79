"""The same project through docker's compose and through berth's: what the engine then says of containers, networks
and volumes is the same but for ids, times and addresses that are dealt out in order of arrival. Hashes are the same too,
so that each goes on with what the other has made."""
import json
import os
import re
import unittest

from harness.engine import IMAGE, PROGRAMS, TOP, EngineCase, docker_client, run

PROJECT = f"""
services:
  database:
    image: {IMAGE}
    command: sh -c 'touch /var/lib/data/up; exec sleep 1000'
    environment: [MODE=primary, "EMPTY=", "QUOTED=a 'b' $$HOME"]
    volumes:
      - data:/var/lib/data
      - type: tmpfs
        target: /scratch
        tmpfs: {{size: 1048576}}
    networks:
      back: {{aliases: [db, store]}}
    healthcheck: {{test: [CMD, test, -f, /var/lib/data/up], interval: 1s, timeout: 3s, retries: 10, start_period: 2s}}
    secrets: [password]
    configs: [{{source: inline, target: /etc/inline, mode: 0440}}]
    restart: unless-stopped
    stop_grace_period: 3s
    stop_signal: SIGINT
    mem_limit: 64m
    cpus: 0.5
    ulimits: {{nofile: {{soft: 1024, hard: 2048}}}}
  web:
    image: {IMAGE}
    entrypoint: [sh, -c]
    command: ["exec sleep 1000"]
    depends_on: {{database: {{condition: service_healthy}}, task: {{condition: service_completed_successfully}}}}
    ports: ["127.0.0.1::80", {{target: 81}}]
    expose: ["9000"]
    networks: [front, back]
    configs: [{{source: settings, target: /etc/settings}}]
    secrets: [{{source: password, target: pw, mode: 0400}}]
    env_file: [web.env]
    labels: {{tier: front, "com.example/with.dots": "1"}}
    user: "1000:1000"
    working_dir: /tmp
    read_only: true
    tmpfs: [/run, "/cache:size=1m,mode=1777"]
    cap_drop: [ALL]
    cap_add: [NET_BIND_SERVICE]
    security_opt: ["no-new-privileges:true"]
    extra_hosts: ["gateway:host-gateway", "fixed:192.0.2.7"]
    dns: [192.0.2.53]
    sysctls: {{net.ipv4.ip_unprivileged_port_start: "0"}}
    logging: {{driver: json-file, options: {{max-size: 1m, max-file: "2"}}}}
    init: true
    deploy: {{resources: {{limits: {{pids: 50}}, reservations: {{memory: 16m}}}}}}
  worker:
    image: {IMAGE}
    command: [sleep, "1000"]
    network_mode: "service:database"
    volumes: ["./files:/mnt/files:ro", "/anonymous"]
    volumes_from: [database]
    depends_on: [database]
    pid: host
    tty: true
    stdin_open: true
    shm_size: 8m
    privileged: false
    group_add: ["7"]
  task:
    image: {IMAGE}
    command: "true"
    networks: {{back: {{ipv4_address: 10.213.77.50}}}}
    hostname: tasks
    domainname: example.org
    container_name: same-own-name
  debug:
    image: {IMAGE}
    command: [sleep, "1000"]
    profiles: [debug]
    links: [database]
    networks: [back]
  never:
    image: no-such-image:1
    profiles: [other]
networks:
  front: {{driver_opts: {{com.docker.network.bridge.host_binding_ipv4: 127.0.0.1}}, labels: {{net: front}}}}
  back: {{internal: true, ipam: {{config: [{{subnet: 10.213.77.0/24, gateway: 10.213.77.1}}]}}}}
volumes:
  data: {{labels: {{keep: "yes"}}}}
configs:
  settings: {{file: ./settings.conf}}
  inline: {{content: "written here\\n"}}
secrets:
  password: {{file: ./password.txt}}
"""
FILES = {"compose.yaml": PROJECT, "settings.conf": "a = b\n", "password.txt": "hunter2", "web.env": "FROM_FILE=yes\nSPACED=\"a b\"\n",
         "files/one": "1"}

# Of their nature different: identity, time, order of arrival, and each program's own memory of the configuration.
DROPPED = {"Created", "CreatedAt", "StartedAt", "FinishedAt", "Pid", "SandboxID", "SandboxKey", "EndpointID", "NetworkID",
           "MacAddress", "Log", "HostPort", "com.docker.compose.image", "LogPath", "berth.compose.grants",
           "ResolvConfPath", "HostnamePath", "HostsPath", "GraphDriver", "com.docker.compose.version"}
ADDRESSES = {"IPAddress", "IPv4Address", "GlobalIPv6Address", "IPv6Address"}


def plugin():
    """The words that begin docker's compose, or None: the docker command's own, or one in build/clients."""
    docker = docker_client()
    own = os.path.join(TOP, "build", "clients", "compose", "docker-compose")
    if os.access(own, os.X_OK):
        return [own]
    if docker and run([docker, "compose", "version"]).code == 0:
        return [docker, "compose"]
    return None


def normal(value, names, key=""):
    """`value` without what differs by nature; ids become the names of what they stand for."""
    if isinstance(value, dict):
        result = {}
        for name, member in value.items():
            if name in DROPPED or (name in ADDRESSES and key != "IPAMConfig"):
                continue
            result[rename(name, names)] = normal(member, names, name)
        return result
    if isinstance(value, list):
        items = [normal(member, names, key) for member in value]
        # Sets that come as lists.
        ordered = key in ("Aliases", "DNSNames", "Env", "Binds", "Mounts", "CapAdd", "CapDrop", "ExtraHosts", "SecurityOpt", "Ulimits", "VolumesFrom", "Links")
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True)) if ordered else items
    if key == "com.docker.compose.depends_on":  # in the order of a Go map
        return sorted(value.split(","))
    # Of the engine's pool, in the order in which networks are made, which is random in docker's compose.
    if key in ("Subnet", "Gateway") and re.match(r"172\.(1[6-9]|2\d|3[01])\.", value):
        return "<of the pool>"
    return rename(value, names) if isinstance(value, str) else value


def rename(text, names):
    for found, name in names:
        text = text.replace(found, name)
    return text


def differences(left, right, path=""):
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(set(left) | set(right)):
            if key not in left:
                yield f"{path}.{key}: only berth's has it: {right[key]!r}"
            elif key not in right:
                yield f"{path}.{key}: only docker's has it: {left[key]!r}"
            else:
                yield from differences(left[key], right[key], f"{path}.{key}")
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for i, (one, other) in enumerate(zip(left, right)):
            yield from differences(one, other, f"{path}[{i}]")
    elif left != right:
        yield f"{path}: docker's {left!r}, berth's {right!r}"


@unittest.skipIf(plugin() is None, "no docker compose of version 2: scripts/install-compose builds one from its sources")
class Same(EngineCase):
    def write_project(self):
        work = self.folder()
        for name, text in FILES.items():
            path = os.path.join(work, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(text)
        return work

    def compose(self, who, work, *arguments):
        words = plugin() if who == "docker" else [os.path.join(PROGRAMS, "berth"), "compose"]
        result = run([*words, "-p", "same", *arguments], timeout=180, cwd=work,
                     env={"DOCKER_HOST": f"unix://{self.engine.socket}", "HOME": self.engine.folder})
        self.assertEqual(result.code, 0, str(result))
        return result

    def look(self):
        """All that the engine tells of the project, without what differs by nature."""
        api = self.engine.api
        containers = [api.get(f"/containers/{one['Id']}/json").json() for one in api.get("/containers/json?all=1").json()]
        networks = [api.get(f"/networks/{one['Id']}").json() for one in api.get("/networks").json() if one["Name"].startswith("same")]
        volumes = api.get("/volumes").json()["Volumes"]
        names = []
        for container in containers:
            if container["HostConfig"]["NetworkMode"].startswith("container:"):
                del container["Config"]["Labels"]["com.docker.compose.config-hash"]  # of another container's id
            names += [(container["Id"], f"<{container['Name']}>"), (container["Id"][:12], f"<{container['Name']}>")]
        for network in networks:
            names.append((network["Id"], f"<{network['Name']}>"))
        # Anonymous volumes by where they are mounted.
        for container in containers:
            for mount in container["Mounts"]:
                if re.fullmatch("[0-9a-f]{64}", mount.get("Name", "")):
                    names.append((mount["Name"], f"<anonymous {mount['Destination']}>"))
        seen = {}
        for kind, objects in (("container", containers), ("network", networks), ("volume", volumes)):
            for one in objects:
                clean = normal(one, names)
                seen[f"{kind} {clean['Name']}"] = clean
        return seen

    def test_what_the_engine_tells(self):
        work = self.write_project()
        told = {}
        for who in ("docker", "berth"):
            try:
                self.compose(who, work, "--profile", "debug", "up", "-d")
                told[who] = self.look()
            finally:
                self.compose(who, work, "--profile", "debug", "down", "-v", "-t", "0")
        self.assertEqual(len(told["docker"]), 5 + 2 + 2)
        found = list(differences(told["docker"], told["berth"]))
        self.assertEqual(found, [], "\n" + "\n".join(found))

    def test_what_config_prints(self):
        work = self.write_project()
        shown = {}
        for who in ("docker", "berth"):
            shown[who] = {words: self.compose(who, work, "--profile", "debug", "config", *words).out
                          for words in ((), ("--format", "json"), ("--volumes",), ("--networks",), ("--profiles",), ("--services",))}
        load = lambda who: json.loads(shown[who][("--format", "json")])
        found = list(differences(load("docker"), load("berth")))
        self.assertEqual(found, [], "\n" + "\n".join(found))
        for words in (("--volumes",), ("--networks",), ("--profiles",), ("--services",)):
            self.assertEqual(sorted(shown["docker"][words].split()), sorted(shown["berth"][words].split()), words)
        # Each reads what the other has printed.
        for one, other in (("docker", "berth"), ("berth", "docker")):
            with open(os.path.join(work, "printed.yaml"), "w") as file:
                file.write(shown[one][()])
            again = json.loads(self.compose(other, work, "-f", "printed.yaml", "--profile", "debug", "config", "--format", "json").out)
            self.assertEqual(list(differences(load(one), again)), [])

    def test_hashes(self):
        """What is declared has the same hash, and so has what containers, networks and volumes are made from."""
        work = self.write_project()
        shown = {who: self.compose(who, work, "--profile", "debug", "config", "--hash", "*").lines for who in ("docker", "berth")}
        self.assertEqual(len(shown["docker"]), 5)
        self.assertEqual(shown["docker"], shown["berth"])

    def test_each_takes_over_what_the_other_has_made(self):
        work = self.write_project()
        self.addCleanup(self.compose, "berth", work, "down", "-v", "-t", "0")
        ids = lambda: {kind: sorted(one[key] for one in found) for kind, key, found in (
            ("containers", "Id", self.engine.api.get("/containers/json?all=1").json()),
            ("networks", "Id", self.engine.api.get("/networks").json()),
            ("volumes", "Name", self.engine.api.get("/volumes").json()["Volumes"]))}
        for one, other in (("docker", "berth"), ("berth", "docker")):
            self.compose(one, work, "up", "-d")
            made = ids()
            self.assertEqual(len(made["containers"]), 4)
            self.compose(other, work, "up", "-d")
            self.assertEqual(ids(), made, f"{other} after {one}")
            self.compose(one, work, "up", "-d")
            self.assertEqual(ids(), made, f"{one} after {other}")
            self.compose(other, work, "down", "-v", "-t", "0")

    def test_each_takes_down_what_the_other_has_put_up(self):
        work = self.write_project()
        self.addCleanup(self.compose, "berth", work, "down", "-v", "-t", "0")
        for one, other in (("docker", "berth"), ("berth", "docker")):
            self.compose(one, work, "up", "-d")
            services = sorted(self.compose(other, work, "ps", "--services", "--all").lines)
            self.assertEqual(services, ["database", "task", "web", "worker"])
            self.compose(other, work, "down", "-v", "-t", "0")
            self.assertEqual(self.engine.api.get("/containers/json?all=1").json(), [])


if __name__ == "__main__":
    unittest.main()
