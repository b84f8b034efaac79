"""What moby's tests have found of registries: layers that came uncompressed, docker's lists with wrong sizes, and what the token
server says of a push."""
import json

from harness import registry
from harness.registry import TokenServer, once, small_image
from test_registry import RegistryCase


class Mounts(RegistryCase):
    def test_layers_that_came_uncompressed_are_mounted_too(self):
        name, image = self.image(compression=None)
        self.ok("pull", name)
        goal = f"{self.registry.host}/elsewhere:1"
        self.ok("tag", name, goal)
        self.addCleanup(self.engine, "rmi", "-f", goal)
        # As far as the new repository knows, it has none of the blobs.
        self.registry.faults.append(once("/v2/elsewhere/blobs/sha256", lambda h: h.refuse(404, "BLOB_UNKNOWN", "unknown"), "HEAD", 99))
        self.assertIn("Mounted from app", self.ok("push", goal).out)
        for layer in image.layers:
            self.assertTrue(self.registry.asked("POST", f"mount={layer.replace(':', '%3A')}&from=app"))


class Lists(RegistryCase):
    def test_the_digest_decides_and_not_the_size(self):
        """docker takes such an image: what came is what the list names. OCI's indexes are held to their word (test_indexes)."""
        image = small_image(self._testMethodName)
        self.registry.add("app", image.digest, image)
        entry = {"mediaType": image.type, "digest": image.digest, "size": 3253, "platform": {"os": "linux", "architecture": image.architecture}}
        data = json.dumps({"schemaVersion": 2, "mediaType": registry.DOCKER_LIST, "manifests": [entry]}).encode()
        for reference in ("1", registry.digest_of(data)):
            self.registry.manifests[("app", reference)] = (registry.DOCKER_LIST, data)
        name = f"{self.registry.host}/app:1"
        self.addCleanup(self.engine, "rmi", "-f", name)
        self.ok("pull", name)
        self.assertEqual(self.engine.inspect(name)["Id"], image.id)


class TokensOfPushes(RegistryCase):
    def test_what_the_token_server_says_is_told_alone(self):
        name, _ = self.image()
        self.ok("pull", name)
        server = TokenServer()
        self.addCleanup(server.close)
        self.registry.faults.append(registry.ask_for_token(f"http://{server.host}/token"))
        for status, body, says in ((400, b'{"errors":[{"code":"TOOMANYREQUESTS","message":"out of tokens"}]}', "toomanyrequests: out of tokens"),
                                   (401, b'{"error": "unauthorized"}', "unauthorized: authentication required"),
                                   (403, b"no way", 'denied: error parsing HTTP 403 response body: it is no JSON: "no way"')):
            with self.subTest(status=status):
                def answer(handler):
                    handler.reply(status, body, {"Content-Type": "application/json"})
                    return True
                server.faults[:] = [answer]
                messages = self.engine.api.post(f"/images/{name}/push", headers={"X-Registry-Auth": "e30="}).json_lines()
                self.assertEqual(messages[-1]["error"], says)
