"""Registries: pull, push, login and what goes wrong on the way, against a fake registry and docker-registry."""
import base64
import json
import os
import shutil
import threading
import time

from harness import archives, registry
from harness.archives import entry, tar
from harness.engine import IMAGE, EngineCase, eventually, run
from harness.registry import FakeRegistry, Image, RealRegistry, TokenServer, once, small_image


class RegistryCase(EngineCase):
    def setUp(self):
        super().setUp()
        self.only_berth("its messages and rules are held to here")
        self.registry = FakeRegistry()
        self.addCleanup(self.registry.close)

    def image(self, tag="app:1", text=None, **more):
        """An image of this test's own in the registry; its name and the Image."""
        image = small_image(text or self._testMethodName, **more)
        name = self.registry.add(tag.split(":")[0], tag.split(":")[1], image)
        self.addCleanup(self.engine, "rmi", "-f", name)
        return name, image

    def other_registry(self, **more):
        other = FakeRegistry(**more)
        self.addCleanup(other.close)
        return other

    def login(self, host, user="berth", password="secret"):
        return self.engine("login", "-u", user, "--password-stdin", host, input=password)

    def partials(self):
        return os.listdir(os.path.join(self.engine.data, "content", "ingest"))


class Pull(RegistryCase):
    def test_an_image_and_what_is_said_of_it(self):
        name, image = self.image()
        lines = self.ok("pull", name).lines
        for wanted in ("1: Pulling from app", f"{image.layers[0][7:19]}: Pulling fs layer",
                       f"{image.layers[1][7:19]}: Download complete", f"{image.layers[1][7:19]}: Pull complete",
                       f"Digest: {image.digest}", f"Status: Downloaded newer image for {name}", name):
            self.assertIn(wanted, lines)
        self.assertEqual(self.ok("run", "--rm", name).text, self._testMethodName)
        self.assertEqual(self.engine.inspect(name)["Id"], image.id)
        self.assertEqual(self.engine.inspect(name)["RepoDigests"], [f"{self.registry.host}/app@{image.digest}"])
        self.assertIn(image.digest, self.ok("images", "--digests").out)

    def test_nothing_to_do_is_one_request(self):
        name, _ = self.image()
        self.ok("pull", name)
        self.registry.forget()
        self.assertIn(f"Status: Image is up to date for {name}", self.ok("pull", name).lines)
        self.assertEqual([path for path in self.registry.asked()], ["/v2/app/manifests/1"])
        self.assertEqual(self.registry.asked("HEAD"), ["/v2/app/manifests/1"])

    def test_by_digest_and_run_by_digest(self):
        _, image = self.image()
        name = f"{self.registry.host}/app@{image.digest}"
        self.addCleanup(self.engine, "rmi", "-f", image.id)
        self.assertIn(f"Status: Downloaded newer image for {name}", self.ok("pull", name).lines)
        self.assertEqual(self.ok("run", "--rm", name).text, self._testMethodName)

    def test_run_pulls_what_is_missing(self):
        name, _ = self.image()
        result = self.ok("run", "--rm", name)
        self.assertEqual(result.text, self._testMethodName)
        self.assertIn(f"Unable to find image '{name}' locally", result.err)

    def test_build_pulls_its_base(self):
        name, _ = self.image()
        folder = self.folder()
        archives.written(folder, "Dockerfile", f"FROM {name}\nRUN cp /note /copy\n".encode())
        self.addCleanup(self.engine, "rmi", "-f", "on-pulled")
        self.ok("build", "-t", "on-pulled", folder)
        self.assertEqual(self.ok("run", "--rm", "on-pulled", "cat", "/copy").text, self._testMethodName)
        self.registry.forget()
        self.ok("build", "--pull", "-t", "on-pulled", folder)
        self.assertEqual(self.registry.asked("HEAD"), ["/v2/app/manifests/1"])

    def test_every_kind_of_layer_and_manifest(self):
        kinds = [{"compression": "gzip"}, {"compression": None}, {"compression": "gzip", "docker": True}]
        kinds += [{"compression": "zstd"}] if shutil.which("zstd") else []
        for number, kind in enumerate(kinds):
            with self.subTest(**kind):
                name, image = self.image(f"kinds:{number}", f"kind {number}", **kind)
                self.ok("pull", name)
                self.assertEqual(self.ok("run", "--rm", name).text, f"kind {number}")
                for layer in image.layers:
                    self.assertNotIn("partial-" + layer[7:], self.partials())

    def test_a_platform_is_chosen_from_a_list(self):
        for kind in (registry.OCI_INDEX, registry.DOCKER_LIST):
            with self.subTest(kind=kind):
                ours = small_image("ours " + kind)
                other = small_image("other " + kind, architecture="arm64")
                tag = kind.split(".")[-1].split("+")[0]
                digest = self.registry.add_index("many", tag, [other, ours], kind)
                name = f"{self.registry.host}/many:{tag}"
                self.addCleanup(self.engine, "rmi", "-f", name)
                self.assertIn(f"Digest: {digest}", self.ok("pull", name).lines)
                self.assertEqual(self.engine.inspect(name)["Id"], ours.id)
                self.ok("pull", "--platform", "linux/arm64", name)
                self.assertEqual(self.engine.inspect(name)["Architecture"], "arm64")
                self.fails(1, "pull", "--platform", "linux/s390x", name,
                           says="no matching manifest for linux/s390x in the manifest list entries: linux/arm64, linux/amd64")

    def test_a_single_image_for_another_platform(self):
        name, _ = self.image()
        self.fails(1, "pull", "--platform", "linux/arm64", name, says="does not match the specified platform")

    def test_all_tags(self):
        names = [self.image(f"all:{tag}", f"tag {tag}")[0] for tag in ("a", "b")]
        lines = self.ok("pull", "-a", f"{self.registry.host}/all").lines
        self.assertIn(f"Status: Downloaded newer image for {self.registry.host}/all", lines)
        for name in names:
            self.assertEqual(self.ok("run", "--rm", name).text, "tag " + name[-1])

    def test_a_moved_tag(self):
        name, first = self.image("moving:1", "first")
        self.ok("pull", name)
        second = small_image("second")
        self.registry.add("moving", "1", second)
        self.assertIn(f"Status: Downloaded newer image for {name}", self.ok("pull", name).lines)
        self.assertEqual(self.ok("run", "--rm", name).text, "second")
        self.assertIn(first.id, self.ok("images", "-q", "--no-trunc", "-f", "dangling=true").lines)
        self.ok("rmi", "-f", first.id)

    def test_missing_things_in_dockers_words(self):
        host = self.registry.host
        self.image("there:1")
        self.fails(1, "pull", f"{host}/there:2",
                   says=f"manifest for {host}/there:2 not found: manifest unknown: manifest unknown")
        self.registry.faults.append(once("/v2/secret/", lambda h: h.refuse(403, "DENIED", "requested access to the resource is denied"), times=9))
        self.fails(1, "pull", f"{host}/secret",
                   says=f"pull access denied for {host}/secret, repository does not exist or may require 'docker login': "
                        "denied: requested access to the resource is denied")
        self.registry.close()
        self.fails(1, "pull", f"{host}/there:1", says="connection refused")
        # docker's status. testcontainers for Go takes it for the last word, and tries for ever again after a 503.
        for path in (f"/images/create?fromImage={host}/there&tag=1", f"/distribution/{host}/there:1/json"):
            answer = self.engine.api.request("GET" if path.startswith("/dist") else "POST", path)
            self.assertEqual(answer.status, 500, path)
        self.assertEqual(self.engine.api.post("/auth", {"username": "u", "password": "p", "serveraddress": host}).status, 500)

    def test_events(self):
        name, _ = self.image()
        self.ok("pull", name)
        events = self.engine.api.get(f"/events?since=1&until={time.time():.6f}").json_lines()
        self.assertTrue([event for event in events if event["Action"] == "pull" and event["Actor"]["ID"] == name])

    def test_foreign_layers_come_from_their_urls_without_credentials(self):
        elsewhere = self.other_registry()
        layers = [tar([entry("foreign", data=b"from elsewhere")])]
        layer = Image(layers).layers[0]
        name = self.registry.add("foreign", "1", Image(layers, urls=[f"http://{elsewhere.host}/v2/x/blobs/{layer}"]))
        self.addCleanup(self.engine, "rmi", "-f", name)
        elsewhere.blobs.update(self.registry.blobs)
        self.registry.faults.append(registry.ask_for_password)
        self.assertEqual(self.login(self.registry.host).code, 0)
        self.addCleanup(self.engine, "logout", self.registry.host)
        self.ok("pull", name)
        self.assertEqual(elsewhere.asked("GET"), [f"/v2/x/blobs/{layer}"])
        self.assertFalse([h for h in elsewhere.headers_of("") if "Authorization" in h])


class Trouble(RegistryCase):
    """Lines that break, registries that err or lie."""

    def big(self, tag="big:1"):
        payload = os.urandom(3 << 20)
        base = tar(archives.busybox_entries([entry("base", data=os.urandom(16))]))
        image = Image([base, tar([entry("payload", data=payload)])], {"Cmd": ["wc", "-c", "/payload"]})
        name = self.registry.add(*tag.split(":"), image)
        self.addCleanup(self.engine, "rmi", "-f", name)
        return name, image

    def test_a_broken_line_is_resumed_where_it_broke(self):
        name, image = self.big()
        layer = image.layers[1]
        self.registry.faults.append(once(layer, lambda h: self.registry.send_blob(h, image.blobs[layer], 1 << 20), times=2))
        self.ok("pull", name)
        ranges = [headers.get("Range") for headers in self.registry.headers_of(layer)]
        self.assertEqual(ranges[0], None)
        self.assertEqual(len(ranges), 3)
        offsets = [int(text.removeprefix("bytes=").removesuffix("-")) for text in ranges[1:]]
        self.assertEqual(offsets, sorted(offsets))
        self.assertTrue(0 < offsets[0] <= 1 << 20, offsets)
        self.assertIn("3145728", self.ok("run", "--rm", name).out)

    def test_a_registry_without_ranges(self):
        name, image = self.big()
        layer = image.layers[1]
        self.registry.faults.append(once(layer, lambda h: self.registry.send_blob(h, image.blobs[layer], 1 << 20)))
        self.registry.faults.append(once(layer, lambda h: h.reply(200, image.blobs[layer])))
        self.ok("pull", name)
        self.assertIn("3145728", self.ok("run", "--rm", name).out)

    def test_a_kill_of_the_engine_is_resumed_by_the_next(self):
        name, image = self.big()
        layer = image.layers[1]
        reached, release = threading.Event(), threading.Event()
        self.addCleanup(release.set)

        def stall(handler):
            handler.reply(200, image.blobs[layer][:2 << 20], length=len(image.blobs[layer]))
            reached.set()
            release.wait(60)
            handler.break_off()
        self.registry.faults.append(once(layer, stall))
        with self.engine.popen("pull", name):
            self.assertTrue(reached.wait(30))
            partial = os.path.join(self.engine.data, "content", "ingest", "partial-" + layer[7:])
            eventually(lambda: os.path.exists(partial) and os.path.getsize(partial) >= 1 << 20, "a part of the layer is on the disk")
            whole = os.path.join(self.engine.data, "content", "blobs", "sha256", image.layers[0][7:])
            eventually(lambda: os.path.exists(whole), "the other layer is whole")
            self.engine.kill()
        release.set()
        self.engine.start()
        self.assertNotEqual(self.engine("image", "inspect", name).code, 0, "nothing is claimed that is not there")
        self.registry.forget()
        self.ok("pull", name)
        self.assertRegex(self.registry.headers_of(layer)[0]["Range"], r"bytes=[1-9]\d+-")
        self.assertEqual(self.registry.asked("GET", image.layers[0]), [], "what is whole is not fetched again")
        self.assertIn("3145728", self.ok("run", "--rm", name).out)
        self.assertNotIn("partial-" + layer[7:], self.partials())

    def test_a_damaged_partial_download_is_thrown_away(self):
        name, image = self.big()
        layer = image.layers[1]
        with open(os.path.join(self.engine.data, "content", "ingest", "partial-" + layer[7:]), "wb") as part:
            part.write(b"\0" * (1 << 20))
        self.ok("pull", name)
        self.assertIn("3145728", self.ok("run", "--rm", name).out)

    def test_wrong_bytes(self):
        name, image = self.image("wrong:1")
        layer = image.layers[1]
        data = bytearray(image.blobs[layer])
        data[len(data) // 2] ^= 1
        self.registry.faults.append(once(layer, lambda h: h.reply(200, bytes(data)), times=9))
        result = self.fails(1, "pull", name)
        self.assertIn("verification failed", result.err)
        self.assertNotEqual(self.engine("image", "inspect", name).code, 0)
        self.assertNotIn("partial-" + layer[7:], self.partials())

    def test_a_body_longer_than_announced(self):
        name, image = self.image("longer:1")
        layer = image.layers[1]
        self.registry.faults.append(once(layer, lambda h: h.reply(200, image.blobs[layer] + b"\0" * (1 << 20)), times=9))
        self.fails(1, "pull", name, says="larger than")
        self.assertNotIn("partial-" + layer[7:], self.partials())

    def test_a_registry_that_asks_to_wait(self):
        name, image = self.image("busy:1")
        busy = lambda h: h.refuse(429, "TOOMANYREQUESTS", "slow down", {"Retry-After": "1"})
        self.registry.faults += [once("/manifests/", busy), once(image.layers[1], busy),
                                 once(image.layers[0], lambda h: h.refuse(503, "UNAVAILABLE", "starting"))]
        self.ok("pull", name)

    def test_a_registry_that_stays_away(self):
        name, image = self.image("away:1")
        self.registry.faults.append(once(image.layers[1], lambda h: h.break_off(), times=99))
        self.fails(1, "pull", name, timeout=120)
        self.assertEqual(len(self.registry.asked("GET", image.layers[1])), 5)

    def test_many_ask_and_it_comes_once(self):
        name, image = self.image("shared:1")
        arrived = threading.Barrier(2, timeout=30)
        self.registry.faults.append(once(image.layers[0], lambda h: (arrived.wait(), self.registry.send_blob(h, image.blobs[image.layers[0]]))))
        clients = [self.engine.popen("pull", name) for _ in range(4)]
        # All of them are there before the first layer is.
        eventually(lambda: self.registry.asked("GET", image.layers[0]), "the layer is asked for")
        arrived.wait()
        for client in clients:
            with client:
                out, err = client.communicate(timeout=60)
                self.assertEqual(client.returncode, 0, err)
        for layer in image.layers:
            self.assertEqual(len(self.registry.asked("GET", layer)), 1)

    def test_hanging_up_ends_a_pull_that_nobody_waits_for(self):
        name, image = self.image("left:1")
        layer = image.layers[0]
        asked, gone = threading.Event(), threading.Event()

        def stall(handler):
            handler.reply(200, image.blobs[layer][:1000], length=len(image.blobs[layer]))
            asked.set()
            handler.connection.settimeout(30)
            try:
                if handler.connection.recv(1) == b"":
                    gone.set()
            except OSError:
                pass
        self.registry.faults.append(once(layer, stall))
        with self.engine.popen("pull", name) as client:
            self.assertTrue(asked.wait(30))
            client.kill()
        self.assertTrue(gone.wait(30), "the download has ended")

    def test_confused_and_hostile_manifests(self):
        host, image = self.registry.host, small_image("confused")
        self.registry.add("x", "base", image)
        both = json.dumps({**json.loads(image.manifest), "manifests": []}).encode()
        climbing = image.manifest.replace(image.layers[0].encode(), b"sha256:../../../../etc/passwd")
        upper = image.manifest.replace(image.layers[0].encode(), image.layers[0].upper().replace("SHA256", "sha256").encode())
        cases = {"both": (image.type, both, 'has "manifests" too'),
                 "type": (registry.OCI_INDEX, image.manifest, "the registry calls this manifest"),
                 "climbing": (image.type, climbing, "digest"), "upper": (image.type, upper, "digest"),
                 "short": (image.type, image.manifest.replace(image.layers[0].encode(), b"sha256:abc"), "digest"),
                 "huge": (image.type, image.manifest + b" " * (9 << 20), "more than"),
                 "chart": (image.type, image.manifest.replace(b"vnd.oci.image.config.v1", b"vnd.cncf.helm.config.v1"), "no container image"),
                 "text": (image.type, b"hello", "JSON"), "empty": (image.type, b"", "JSON")}
        for tag, (kind, data, says) in cases.items():
            with self.subTest(tag):
                self.registry.manifests[("x", tag)] = (kind, data)
                self.registry.manifests[("x", registry.digest_of(data))] = (kind, data)
                self.fails(1, "pull", f"{host}/x:{tag}", says=says)
        self.registry.manifests[("x", "lie")] = (image.type, both)
        self.registry.manifests[("x", image.digest)] = (image.type, both)
        self.fails(1, "pull", f"{host}/x@{image.digest}", says="manifest verification failed")
        self.assertEqual(self.engine.api.get("/_ping").status, 200)


class Credentials(RegistryCase):
    """Who is given them, and who is not."""

    def tearDown(self):
        self.engine("logout", self.registry.host)
        super().tearDown()

    def test_a_password(self):
        name, _ = self.image()
        self.registry.faults.append(registry.ask_for_password)
        self.fails(1, "pull", name, says="no basic auth credentials")
        wrong = self.login(self.registry.host, password="wrong")
        self.assertEqual(wrong.code, 1)
        self.assertIn("401 Unauthorized", wrong.err)
        result = self.login(self.registry.host)
        self.assertEqual((result.code, result.text), (0, "Login Succeeded"), str(result))
        self.assertIn("stored unencrypted in", result.err)
        self.ok("pull", name)
        self.assertIn("Removing login credentials", self.ok("logout", self.registry.host).out)
        self.ok("rmi", name)
        self.fails(1, "pull", name, says="no basic auth credentials")

    def token_registry(self):
        server = TokenServer()
        self.addCleanup(server.close)
        self.registry.faults.append(registry.ask_for_token(f"http://{server.host}/token"))
        return server

    def test_a_token_server_elsewhere_gets_no_credentials(self):
        name, _ = self.image()
        server = self.token_registry()
        result = self.login(self.registry.host)
        self.assertEqual(result.code, 1)
        self.assertIn(f"--registry-token-server {server.host}", result.err)
        self.assertFalse([h for h in server.headers_of("") if "Authorization" in h])

    def test_a_token_server_that_is_named(self):
        name, _ = self.image()
        server = self.token_registry()
        self.engine.terminate()
        self.engine.flags = ["--registry-token-server", server.host]
        self.engine.start()
        self.addCleanup(setattr, self.engine, "flags", [])
        self.assertEqual(self.login(self.registry.host, password="wrong").code, 1)
        result = self.login(self.registry.host)
        self.assertEqual(result.code, 0, str(result))
        # The token server has given a token to keep, and the password is not stored.
        with open(os.path.join(self.engine.folder, "config", "config.json")) as stored:
            kept = json.load(stored)["auths"][self.registry.host]
        self.assertEqual(kept["identitytoken"], "kept")
        self.assertNotIn("secret", base64.b64decode(kept["auth"]).decode())
        self.ok("pull", name)
        self.assertTrue([path for verb, path, _ in server.journal if verb == "POST"], "the kept token is used")

    def test_a_redirect_takes_no_credentials_along(self):
        name, image = self.image()
        other = self.other_registry()
        other.blobs.update(image.blobs)
        self.registry.faults.append(registry.ask_for_password)
        self.registry.faults.append(once("/blobs/", lambda h: h.reply(307, headers={"Location": f"http://{other.host}{h.path}?signed=yes"}), times=99))
        other.blobs[image.id] = image.config
        self.assertEqual(self.login(self.registry.host).code, 0)
        self.ok("pull", name)
        self.assertTrue(other.asked("GET", "signed=yes"))
        self.assertFalse([headers for headers in other.headers_of("") if "Authorization" in headers])

    def test_a_challenge_of_another_host_is_not_answered(self):
        name, image = self.image()
        other = self.other_registry()
        other.faults.append(registry.ask_for_password)
        self.registry.faults.append(registry.ask_for_password)
        self.registry.faults.append(once("/blobs/", lambda h: h.reply(307, headers={"Location": f"http://{other.host}{h.path}"}), times=99))
        self.assertEqual(self.login(self.registry.host).code, 0)
        self.fails(1, "pull", name, says="unauthorized")
        self.assertFalse([headers for headers in other.headers_of("") if "Authorization" in headers])

    def test_both_alphabets_of_the_header(self):
        name, _ = self.image()
        self.registry.faults.append(registry.ask_for_password)
        words = json.dumps({"username": "berth", "password": "secret", "note": "\u00ff\u00fe?>"}, ensure_ascii=False)
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            header = {"X-Registry-Auth": encode(words.encode()).decode()}
            answer = self.engine.api.post(f"/images/create?fromImage={name}", headers=header)
            self.assertIn("Status:", answer.json_lines()[-1]["status"], str(answer))

    def test_a_credential_helper(self):
        name, _ = self.image()
        self.registry.faults.append(registry.ask_for_password)
        folder = self.folder()
        helper = archives.written(folder, "docker-credential-test", b"#!/bin/sh\ncat >/dev/null\n"
                                  b"echo '{\"Username\":\"berth\",\"Secret\":\"secret\"}'\n")
        os.chmod(helper, 0o755)
        archives.written(folder, "config/config.json", json.dumps({"credHelpers": {self.registry.host: "test"}}).encode())
        self.ok("pull", name, env={"DOCKER_CONFIG": os.path.join(folder, "config"), "PATH": folder + ":" + os.environ["PATH"]})

    def test_tls(self):
        folder = self.folder()
        cert, key = registry.certificate(folder)
        secure = self.other_registry(tls=registry.server_context(cert, key))
        image = small_image(self._testMethodName)
        name = secure.add("tls", "1", image)
        self.addCleanup(self.engine, "rmi", "-f", name)
        # A loopback registry may have any certificate, as with docker.
        self.ok("pull", name)


    def test_certificates_are_verified_off_the_loopback(self):
        self.start("sleep", "60")
        address = self.engine.inspect("bridge", "network")["IPAM"]["Config"][0]["Gateway"]
        folder = self.folder()
        cert, key = registry.certificate(folder, address)
        secure = self.other_registry(tls=registry.server_context(cert, key, clients=cert), address=address)
        name = secure.add("tls", "1", small_image(self._testMethodName))
        self.addCleanup(self.engine, "rmi", "-f", name)
        self.fails(1, "pull", name, says="tls: failed to verify certificate")
        self.assertEqual(secure.asked(), [])
        certificates = f"/etc/berth/certs.d/{secure.host}"
        os.makedirs(certificates)
        self.addCleanup(shutil.rmtree, certificates)
        shutil.copy(cert, f"{certificates}/ca.crt")
        shutil.copy(key, f"{certificates}/client.key")
        self.fails(1, "pull", name, says="missing client certificate client.cert for key client.key")
        shutil.copy(cert, f"{certificates}/client.cert")
        self.ok("pull", name)

    def test_plain_http_off_the_loopback_is_refused(self):
        self.start("sleep", "60")
        address = self.engine.inspect("bridge", "network")["IPAM"]["Config"][0]["Gateway"]
        plain = self.other_registry(address=address)
        name = plain.add("plain", "1", small_image(self._testMethodName))
        self.addCleanup(self.engine, "rmi", "-f", name)
        self.fails(1, "pull", name, says="http: server gave HTTP response to HTTPS client")
        self.engine.terminate()
        self.engine.flags = ["--insecure-registry", plain.host]
        self.engine.start()
        self.addCleanup(setattr, self.engine, "flags", [])
        self.ok("pull", name)


class Push(RegistryCase):
    def tagged(self, source, name):
        self.ok("tag", source, f"{self.registry.host}/{name}")
        self.addCleanup(self.engine, "rmi", "-f", f"{self.registry.host}/{name}")
        return f"{self.registry.host}/{name}"

    def test_what_was_pulled_leaves_as_it_came(self):
        for number, kind in enumerate([{}, {"docker": True}, {"compression": None}]):
            with self.subTest(**kind):
                name, image = self.image(f"came:{number}", f"came {number}", **kind)
                self.ok("pull", name)
                other = self.other_registry()
                goal = f"{other.host}/gone:{number}"
                self.ok("tag", name, goal)
                self.addCleanup(self.engine, "rmi", "-f", goal)
                lines = self.ok("push", goal).lines
                self.assertIn(f"The push refers to repository [{other.host}/gone]", lines)
                self.assertIn(f"{number}: digest: {image.digest} size: {len(image.manifest)}", lines)
                self.assertEqual(other.manifests[("gone", str(number))], (image.type, image.manifest))
                self.assertEqual(other.blobs, {**image.blobs, image.id: image.config})

    def test_a_built_image_and_a_second_push(self):
        folder = self.folder()
        archives.written(folder, "Dockerfile", f"FROM {IMAGE}\nRUN echo built > /built\nCMD cat /built\n".encode())
        name = f"{self.registry.host}/built:1"
        self.addCleanup(self.engine, "rmi", "-f", name)
        self.ok("build", "-t", name, folder)
        first = self.ok("push", name)
        self.assertIn(": Pushed", first.out)
        again = self.ok("push", name)
        self.assertIn(": Layer already exists", again.out)
        self.assertEqual(first.lines[-1], again.lines[-1], "the digest stays the same")
        digest = first.lines[-1].split("digest: ")[1].split()[0]
        self.assertEqual(self.engine.inspect(name)["RepoDigests"], [f"{self.registry.host}/built@{digest}"])
        self.ok("rmi", name)
        self.ok("pull", name)
        self.assertEqual(self.ok("run", "--rm", name).text, "built")

    def test_aux_and_events(self):
        name, image = self.image()
        self.ok("pull", name)
        lines = self.engine.api.post(f"/images/{name}/push", headers={"X-Registry-Auth": "e30="}).json_lines()
        self.assertEqual(lines[-1]["aux"], {"Tag": "1", "Digest": image.digest, "Size": len(image.manifest)})
        events = self.engine.api.get(f"/events?since=1&until={time.time():.6f}").json_lines()
        self.assertTrue([event for event in events if event["Action"] == "push" and event["Actor"]["ID"] == name])

    def test_layers_are_mounted_from_another_repository(self):
        name, image = self.image()
        self.ok("pull", name)
        goal = self.tagged(name, "elsewhere:1")
        # As far as the new repository knows, it has none of the blobs.
        self.registry.faults.append(once("/v2/elsewhere/blobs/sha256", lambda h: h.refuse(404, "BLOB_UNKNOWN", "unknown"), "HEAD", 99))
        self.assertIn("Mounted from app", self.ok("push", goal).out)
        self.assertTrue(self.registry.asked("POST", f"mount={image.layers[0].replace(':', '%3A')}&from=app"))

    def test_all_tags(self):
        for tag in ("a", "b"):
            self.tagged(IMAGE, f"every:{tag}")
        out = self.ok("push", "-a", f"{self.registry.host}/every").out
        self.assertIn("a: digest: sha256:", out)
        self.assertIn("b: digest: sha256:", out)
        self.assertEqual(self.registry.manifests[("every", "a")], self.registry.manifests[("every", "b")])

    def test_a_broken_upload_goes_on(self):
        name = self.tagged(IMAGE, "broken:1")
        self.registry.faults.append(once("/uploads/", lambda h: h.break_off(), "PATCH"))
        self.registry.faults.append(once("/uploads/", lambda h: h.refuse(503, "UNAVAILABLE", "busy"), "PATCH"))
        self.ok("push", name)
        self.ok("rmi", name)
        self.ok("pull", name)

    def test_refusals(self):
        host = self.registry.host
        self.fails(1, "push", f"{host}/none", says=f"An image does not exist locally with the tag: {host}/none")
        name = self.tagged(IMAGE, "closed:1")
        self.fails(1, "push", f"{host}/closed:2", says=f"tag does not exist: {host}/closed:2")
        self.registry.faults.append(once("/v2/closed/", lambda h: h.refuse(403, "DENIED", "requested access to the resource is denied"), times=99))
        self.fails(1, "push", name, says="denied: requested access to the resource is denied")


class Lookups(RegistryCase):
    def test_distribution(self):
        name, image = self.image()
        answer = self.engine.api.get(f"/distribution/{name}/json").json()
        self.assertEqual(answer["Descriptor"], {"mediaType": image.type, "digest": image.digest, "size": len(image.manifest)})
        self.assertEqual(answer["Platforms"], [{"architecture": "amd64", "os": "linux"}])
        self.assertEqual(self.engine.api.get(f"/distribution/{self.registry.host}/none:1/json").status, 404)

    def test_search(self):
        self.fails(1, "search", f"{self.registry.host}/app", says="offers no search")
        found = {"results": [{"name": "app", "description": "an app", "star_count": 3, "is_official": True},
                             {"name": "other", "description": "another", "star_count": 0, "is_official": False}]}
        self.registry.faults.append(once("/v1/search", lambda h: h.reply(200, json.dumps(found).encode()), times=9))
        self.assertIn("an app", self.ok("search", f"{self.registry.host}/app").out)
        only = self.ok("search", "--filter", "stars=1", f"{self.registry.host}/app").out
        self.assertNotIn("another", only)

    def test_a_mirror_is_asked_first_and_replaced_when_it_fails(self):
        name, image = self.image("mirrored:1")
        mirror = self.other_registry()
        mirror.add("mirrored", "1", image)
        self.engine.terminate()
        self.engine.flags = ["--registry-mirror", f"{self.registry.host}=http://{mirror.host}"]
        self.engine.start()
        self.addCleanup(setattr, self.engine, "flags", [])
        self.ok("pull", name)
        self.assertTrue(mirror.asked("GET", image.layers[0]))
        self.assertEqual(self.registry.asked(), [])
        self.ok("rmi", name)
        del mirror.blobs[image.layers[1]]
        self.ok("pull", name)
        self.assertEqual(self.registry.asked("GET", "/blobs/"), [f"/v2/mirrored/blobs/{image.layers[1]}"])
        self.ok("rmi", name)
        mirror.close()
        self.ok("pull", name)


class Real(EngineCase):
    """docker-registry as the server, skopeo as the reader."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.registry = RealRegistry() if RealRegistry.available() else None

    @classmethod
    def tearDownClass(cls):
        if cls.registry:
            cls.registry.close()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        if not self.registry:
            self.skipTest("docker-registry is not installed")

    def test_push_and_pull(self):
        name = f"{self.registry.host}/library/thing:1"
        self.ok("tag", IMAGE, name)
        pushed = self.ok("push", name).lines[-1].split("digest: ")[1].split()[0]
        identifier = self.engine.inspect(name)["Id"]
        other = f"{self.registry.host}/library/other:1"
        self.ok("tag", name, other)
        self.assertIn("Mounted from library/thing", self.ok("push", other).out)
        self.ok("rmi", name, other)
        self.assertIn(pushed, self.ok("pull", name).out)
        self.assertEqual(self.engine.inspect(name)["Id"], identifier)
        self.assertEqual(self.ok("run", "--rm", name, "echo", "pulled").text, "pulled")
        if shutil.which("skopeo"):
            seen = run(["skopeo", "inspect", "--tls-verify=false", f"docker://{name}"])
            self.assertEqual(seen.code, 0, str(seen))
            self.assertEqual(json.loads(seen.out)["Digest"], pushed)
            folder = self.folder()
            copied = run(["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", f"docker://{other}", f"oci:{folder}/layout:1"])
            self.assertEqual(copied.code, 0, str(copied))
