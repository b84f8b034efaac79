"""The docker command and docker-py over TLS, as they speak it to dockerd."""
import importlib.util
import os
import unittest
import unittest.mock

from harness.engine import IMAGE, docker_client, run

try:
    import docker
except ImportError:
    docker = None

_place = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "integration", "test_tls.py")
_spec = importlib.util.spec_from_file_location("tls_server", _place)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)


class TlsClients(_module.TlsEngine):
    def flags(self):
        return ["-H", f"tcp://127.0.0.1:{self.port}", "--tlsverify", "--tlscacert", self.certificates.ca, "--tlscert",
                self.client[0], "--tlskey", self.client[1]]

    @unittest.skipIf(docker_client() is None, "no docker command")
    def test_docker_command(self):
        command = [docker_client(), *self.flags()]
        self.assertEqual(run([*command, "run", "--rm", "-i", IMAGE, "cat"], input="through TLS").out, "through TLS")
        self.assertEqual(run([*command, "run", "--rm", IMAGE, "sh", "-c", "exit 3"]).code, 3)

    @unittest.skipIf(docker is None, "docker-py is not installed")
    def test_docker_py(self):
        # requests would take these in place of the CA that is given.
        clean = {key: value for key, value in os.environ.items() if key not in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")}
        patch = unittest.mock.patch.dict(os.environ, clean, clear=True)
        patch.start()
        self.addCleanup(patch.stop)
        tls = docker.tls.TLSConfig(ca_cert=self.certificates.ca, client_cert=self.client, verify=True)
        client = docker.DockerClient(base_url=f"tcp://127.0.0.1:{self.port}", tls=tls, timeout=30)
        self.addCleanup(client.close)
        self.assertTrue(client.ping())
        self.assertEqual(client.containers.run(IMAGE, ["echo", "hello"], remove=True), b"hello\n")
