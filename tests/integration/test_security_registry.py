"""Registries against a running engine (docs/security-cases.md): whom credentials are sent to, and broken layers that
many wait for."""
import threading

from harness import registry
from harness.engine import eventually
from harness.registry import FakeRegistry, once
from test_registry import RegistryCase


class Lookalikes(RegistryCase):
    def test_cve_2026_105769_only_the_host_itself_gets_credentials(self):
        """Neither the same address at another port, nor names that begin or end like the one logged in to."""
        self.registry.faults.append(registry.ask_for_password)
        self.assertEqual(self.login(self.registry.host).code, 0)
        self.addCleanup(self.engine, "logout", self.registry.host)
        for address, shown in (("127.0.0.1", None), ("127.0.0.2", None), ("127.0.0.1", "localhost")):
            other = FakeRegistry(address=address)
            self.addCleanup(other.close)
            other.faults.append(registry.ask_for_password)
            host = f"{shown}:{other.port}" if shown else other.host
            result = self.engine("pull", f"{host}/app:1")
            self.assertNotEqual(result.code, 0)
            self.assertTrue(other.journal, f"{host} was asked: {result}")
            self.assertFalse([headers for headers in other.headers_of("") if "Authorization" in headers], host)


class Broken(RegistryCase):
    def test_cve_2021_20291_many_wait_for_a_layer_that_is_cut(self):
        """All of them are told, and the next pull finds nothing locked."""
        name, image = self.image()
        layer = image.layers[1]
        whole = image.blobs[layer]
        cut = whole[:len(whole) // 2]
        self.registry.faults.append(once(f"/blobs/{layer}", lambda h: h.reply(200, cut), times=1000))
        codes = []
        clients = [threading.Thread(target=lambda: codes.append(self.engine("pull", name).code)) for _ in range(4)]
        for client in clients:
            client.start()
        eventually(lambda: len(codes) == 4, "all of them have an answer", 60)
        for client in clients:
            client.join()
        self.assertNotIn(0, codes)
        self.registry.faults.clear()
        self.ok("pull", name)
        self.assertEqual(self.ok("run", "--rm", name).text, self._testMethodName)
