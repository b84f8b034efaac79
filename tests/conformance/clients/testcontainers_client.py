"""testcontainers for Python against the engine of DOCKER_HOST. Its reaper is an image of a registry, so it is off."""
import os
import urllib.request

from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.waiting_utils import wait_for_logs

IMAGE = os.environ["IMAGE"]
SERVE = "mkdir -p /tmp/www; echo hello > /tmp/www/index.html; echo serving; exec busybox httpd -f -p 80 -h /tmp/www"


def lines_exec_and_environment():
    with DockerContainer(IMAGE).with_command(["sh", "-c", "echo ready; sleep 1000"]).with_env("A", "b") as container:
        wait_for_logs(container, "ready", timeout=60)
        code, output = container.exec(["sh", "-c", "echo $A; exit 4"])
        assert (code, output) == (4, b"b\n"), (code, output)


def ports():
    with DockerContainer(IMAGE).with_command(["sh", "-c", SERVE]).with_exposed_ports(80) as container:
        wait_for_logs(container, "serving", timeout=60)
        address = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(80)}/"
        for attempt in range(200):
            try:
                assert urllib.request.urlopen(address, timeout=30).read() == b"hello\n"
                return
            except OSError:
                if attempt == 199:
                    raise


def networks_and_volumes():
    folder = os.path.dirname(os.path.abspath(__file__))
    with Network() as network:
        with DockerContainer(IMAGE).with_command(["sh", "-c", SERVE]).with_network(network).with_network_aliases("server") as server:
            wait_for_logs(server, "serving", timeout=60)
            client = DockerContainer(IMAGE).with_command(["sleep", "1000"]).with_network(network).with_volume_mapping(folder, "/mnt", "ro")
            with client:
                code, output = client.exec(["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do wget -qO- http://server/ && break; done; ls /mnt"])
                assert code == 0 and b"hello" in output and b"testcontainers_client.py" in output, (code, output)


for check in (lines_exec_and_environment, ports, networks_and_volumes):
    check()
    print("ok", check.__name__, flush=True)
