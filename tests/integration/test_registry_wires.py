"""Registries behind proxies and on lines that break, tokens of other servers, and what other tools make of archives."""
import contextlib
import json
import os
import re
import shutil
import tarfile
import threading
import time
import unittest

from harness import archives, registry
from harness.engine import IMAGE, EngineCase, eventually, run
from harness.registry import FakeRegistry, Image, small_image
from harness.served import Registry, digest_of
from harness.signing import Signer
from harness.tokens import repository, token
from harness.wires import Cable, Proxy


class WireCase(EngineCase):
    @classmethod
    def setUpClass(cls):
        if cls.against_docker:
            raise unittest.SkipTest("berth's own ways are held to here")
        super().setUpClass()

    @contextlib.contextmanager
    def with_flags(self, *flags, env=None):
        """The engine with these flags and variables of its environment; afterwards as before."""
        before = {key: os.environ.get(key) for key in env or {}}
        self.engine.terminate()
        self.engine.flags = list(flags)
        os.environ.update(env or {})
        try:
            self.engine.start()
            yield
        finally:
            self.engine.terminate()
            self.engine.flags = []
            for key, value in before.items():
                os.environ.pop(key) if value is None else os.environ.update({key: value})
            self.engine.start()


class Proxies(WireCase):
    """A registry whose name only the proxy knows."""

    plain = "registry.berth-test.invalid:5000"
    secure = "secure.berth-test.invalid:5443"

    def setUp(self):
        super().setUp()
        self.registry = FakeRegistry()
        self.addCleanup(self.registry.close)
        self.image = small_image(self._testMethodName)
        self.registry.add("app", "1", self.image)
        self.addCleanup(self.engine, "rmi", "-f", self.image.id)

    def proxy(self, **more):
        proxy = Proxy({self.plain: self.registry.host}, **more)
        self.addCleanup(proxy.close)
        return proxy

    def pull(self, name=None):
        name = f"{name or self.plain}/app:1"
        self.ok("pull", name)
        self.assertEqual(self.ok("run", "--rm", name).text, self._testMethodName)

    def test_http(self):
        proxy = self.proxy()
        with self.with_flags("--insecure-registry", self.plain, "--http-proxy", f"http://{proxy.host}"):
            self.pull()
        self.assertIn(("GET", f"http://{self.plain}/v2/app/blobs/{self.image.layers[0]}"), proxy.journal)

    def test_https_by_connect(self):
        folder = self.folder()
        cert, key = registry.certificate(folder)
        secure = FakeRegistry(tls=registry.server_context(cert, key))
        self.addCleanup(secure.close)
        secure.add("app", "1", self.image)
        proxy = Proxy({self.secure: secure.host})
        self.addCleanup(proxy.close)
        with self.with_flags("--insecure-registry", self.secure, "--https-proxy", f"http://{proxy.host}"):
            self.pull(self.secure)
        self.assertEqual({method for method, _ in proxy.journal}, {"CONNECT"})
        self.assertEqual({target for _, target in proxy.journal}, {self.secure})

    def test_of_the_environment(self):
        proxy = self.proxy()
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            with self.subTest(variable=variable), \
                    self.with_flags("--insecure-registry", self.plain, env={variable: f"http://{proxy.host}"}):
                self.pull()
                self.ok("rmi", "-f", self.image.id)

    def test_no_proxy_and_loopback(self):
        proxy = self.proxy()
        flags = ("--insecure-registry", self.plain, "--http-proxy", f"http://{proxy.host}", "--https-proxy", f"http://{proxy.host}")
        with self.with_flags(*flags, "--no-proxy", "other.invalid,.berth-test.invalid"):
            self.fails(1, "pull", f"{self.plain}/app:1", says="no such host")
        with self.with_flags(*flags, env={"NO_PROXY": self.plain.split(":")[0]}):
            self.fails(1, "pull", f"{self.plain}/app:1", says="no such host")
        with self.with_flags(*flags):
            self.pull(self.registry.host)
        self.assertEqual(proxy.journal, [])

    def test_its_password_is_for_the_proxy_alone(self):
        proxy = self.proxy(password="user:word")
        flags = ("--insecure-registry", self.plain)
        with self.with_flags(*flags, "--http-proxy", f"http://{proxy.host}"):
            self.fails(1, "pull", f"{self.plain}/app:1")
        with self.with_flags(*flags, "--http-proxy", f"http://user:word@{proxy.host}"):
            self.pull()
            self.assertNotIn("user:word", self.ok("info").out)
        self.assertFalse([headers for headers in self.registry.headers_of("") if "Proxy-Authorization" in headers])

    def test_credentials_of_the_registry_are_not_the_proxys(self):
        proxy = self.proxy()
        self.registry.faults.append(registry.ask_for_password)
        with self.with_flags("--insecure-registry", self.plain, "--http-proxy", f"http://{proxy.host}"):
            self.ok("login", "-u", "berth", "--password-stdin", self.plain, input="secret")
            self.addCleanup(self.engine, "logout", self.plain)
            self.pull()
        self.assertFalse([headers for headers in proxy.headers if "Proxy-Authorization" in headers])

    def test_a_proxy_that_is_not_there_is_named(self):
        proxy = self.proxy()
        proxy.close()
        with self.with_flags("--insecure-registry", self.plain, "--http-proxy", f"http://{proxy.host}", "--https-proxy", f"http://{proxy.host}"):
            self.fails(1, "pull", f"{self.plain}/app:1", says="proxy")


class Cables(WireCase):
    """Lines that break in the middle of a blob, to and from the registry that berth serves."""

    def setUp(self):
        super().setUp()
        self.serving = Registry(self.engine, "--data-root", os.path.join(self.folder(), "own"))
        self.addCleanup(self.serving.close)
        self.cable = Cable(self.serving.address)
        self.addCleanup(self.cable.close)

    def test_an_upload_goes_on_in_the_middle_of_a_blob(self):
        folder = self.folder()
        archives.written(folder, "Dockerfile", f"FROM {IMAGE}\nCOPY big /big\n".encode())
        archives.written(folder, "big", os.urandom(24 << 20))
        name = f"{self.cable.host}/app:1"
        self.addCleanup(self.engine, "rmi", "-f", name)
        self.ok("build", "-t", name, folder)
        for after in (8 << 20, 10 << 20):
            self.cable.cut(after)
        self.ok("push", name)
        self.assertEqual(self.cable.cuts, [], "the line was cut twice")
        # Sent anew it would be 42 MiB and more. Some MiB are under way in each line that breaks.
        self.assertLess(self.cable.carried, 36 << 20, "what had arrived was not sent again")
        digest = self.engine.inspect(name)["RepoDigests"][0].split("@")[1]
        manifest = self.serving.get("/v2/app/manifests/1")
        self.assertEqual(digest_of(manifest.body), digest)
        for part in (manifest.json()["config"], *manifest.json()["layers"]):
            self.assertEqual(digest_of(self.serving.get(f"/v2/app/blobs/{part['digest']}").body), part["digest"])


class Ranges(WireCase):
    """One layer by several requests at a time. The registry is slow at first (a delay, which is the fault itself), so that
    one line is not enough; `lines` then answers the ranges that the engine asks for besides."""

    size = 40 << 20

    def setUp(self):
        super().setUp()
        self.registry = FakeRegistry()
        self.addCleanup(self.registry.close)
        files = [archives.entry("first", data=os.urandom(6 << 20)), archives.entry("payload", data=os.urandom(self.size))]
        self.image = Image([archives.tar(archives.busybox_entries([archives.entry("base", data=os.urandom(16))])),
                            archives.tar(files)], {"Cmd": ["wc", "-c", "/payload"]}, compression=None)
        self.layer = self.image.layers[1]
        self.data = self.image.blobs[self.layer]
        self.name = self.registry.add("app", "1", self.image)
        self.addCleanup(self.engine, "rmi", "-f", self.name)
        self.registry.faults.append(self.answer)
        self.lines = self.send

    @staticmethod
    def asked(handler):
        """The range of a request: (first byte, end or None)."""
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", handler if isinstance(handler, str) else handler.headers.get("Range", "bytes=0-"))
        return int(match.group(1)), int(match.group(2)) + 1 if match.group(2) else None

    def answer(self, handler):
        if self.layer not in handler.path:
            return False
        first, end = self.asked(handler)
        if first == 0:
            time.sleep(0.3)
            self.send(handler)
        elif end is None:
            self.send(handler)
        else:
            self.lines(handler)
        return True

    def send(self, handler, until=None):
        self.registry.send_blob(handler, self.data, until)

    def ranges(self):
        return [self.asked(headers.get("Range", "bytes=0-")) for headers in self.registry.headers_of(self.layer)]

    def left(self):
        folder = os.path.join(self.engine.data, "content", "ingest")
        return {name: os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder) if self.layer[7:] in name}

    def is_whole(self):
        self.assertIn(f"{self.size} /payload", self.ok("run", "--rm", self.name).out)
        self.assertEqual(self.left(), {})
        self.ok("image", "verify", self.name)

    def test_four_at_a_time_and_each_byte_once(self):
        busy, most, changed = [0], [0], threading.Condition()

        def together(handler):
            with changed:
                busy[0] += 1
                most[0] = max(most[0], busy[0])
                changed.notify_all()
                changed.wait_for(lambda: most[0] >= 4, 60)
            self.send(handler)
            with changed:
                busy[0] -= 1
        self.lines = together
        self.ok("pull", self.name)
        self.assertEqual(most[0], 4)
        position = 0
        for first, end in sorted(self.ranges()):
            self.assertEqual(first, position)
            position = end
        self.assertEqual(position, len(self.data))
        self.is_whole()

    def test_it_is_unpacked_while_its_end_is_missing(self):
        seen = threading.Event()
        self.addCleanup(seen.set)

        def last_waits(handler):
            if self.asked(handler)[1] == len(self.data):
                seen.wait(60)
            self.send(handler)
        self.lines = last_waits
        layers = os.path.join(self.engine.data, "layers")

        def unpacked():
            return [name for name in os.listdir(layers) if name.startswith(".staging-")
                    and os.path.exists(os.path.join(layers, name, "fs", "payload"))]
        with self.engine.popen("pull", self.name) as client:
            eventually(unpacked, "the layer's second file is begun", within=60)
            seen.set()
            out, err = client.communicate(timeout=60)
            self.assertEqual(client.returncode, 0, err)
        self.is_whole()

    def test_lines_that_break_and_registries_that_ask_to_wait(self):
        self.lines_seen = 0

        def trouble(handler):
            self.lines_seen += 1
            if self.lines_seen in (1, 4):
                return self.send(handler, until=1 << 20)
            if self.lines_seen in (2, 3):
                return handler.refuse(429, "TOOMANYREQUESTS", "slow down", {"Retry-After": "1"})
            self.send(handler)
        self.lines = trouble
        self.ok("pull", self.name)
        self.assertFalse([one for one in self.ranges() if one[1] is None], "it went on by ranges")
        self.is_whole()

    def test_answers_that_are_no_such_range_leave_one_line(self):
        def reply(handler, status, body, content_range):
            handler.reply(status, body, {"Content-Range": content_range} if content_range else {})

        def honest(handler):
            first, end = self.asked(handler)
            return first, end, len(self.data)
        answers = {
            "another beginning": lambda h, a, b, n: reply(h, 206, self.data[a - 1:b - 1], f"bytes {a - 1}-{b - 2}/{n}"),
            "another whole": lambda h, a, b, n: reply(h, 206, self.data[a:b], f"bytes {a}-{b - 1}/{n + 1}"),
            "a longer range": lambda h, a, b, n: reply(h, 206, self.data[a:b] + b"+" * 9, f"bytes {a}-{b + 8}/*"),
            "more than the range": lambda h, a, b, n: reply(h, 206, self.data[a:b] + b"+" * 9, f"bytes {a}-{b - 1}/{n}"),
            "no range": lambda h, a, b, n: reply(h, 206, self.data[a:b], None),
            "nonsense": lambda h, a, b, n: reply(h, 206, self.data[a:b], f"bytes {b}-{a}/{n}"),
            "the whole": lambda h, a, b, n: reply(h, 200, self.data, None),
            "not satisfiable": lambda h, a, b, n: h.refuse(416, "RANGE_INVALID", "no"),
            "denied": lambda h, a, b, n: h.refuse(403, "DENIED", "no"),
        }
        for what, answer in answers.items():
            with self.subTest(what):
                self.registry.forget()
                self.lines = lambda handler, answer=answer: answer(handler, *honest(handler))
                self.ok("pull", self.name)
                self.assertTrue([one for one in self.ranges() if one[1] is None], "the rest came by one line")
                self.is_whole()
                self.ok("rmi", "-f", self.name)

    def test_a_registry_without_ranges_is_asked_once(self):
        self.registry.faults.insert(0, lambda handler: self.layer in handler.path and not handler.reply(200, self.data))
        self.ok("pull", self.name)
        self.assertEqual(len(self.registry.asked("GET", self.layer)), 1)
        self.is_whole()

    def test_wrong_bytes_in_a_part(self):
        def wrong(handler):
            first, end = self.asked(handler)
            handler.reply(206, b"+" * (end - first), {"Content-Range": f"bytes {first}-{end - 1}/{len(self.data)}"})
        self.lines = wrong
        self.fails(1, "pull", self.name, says="verification failed")
        self.assertEqual(self.left(), {})
        self.assertNotEqual(self.engine("image", "inspect", self.name).code, 0)

    def hold(self):
        """Lines that stop after a mebibyte until the returned event is set, and then break; the first part is served."""
        release = threading.Event()
        self.addCleanup(release.set)

        def some(handler):
            first, end = self.asked(handler)
            if first == 4 << 20:
                return self.send(handler)
            handler.reply(206, self.data[first:first + (1 << 20)], {"Content-Range": f"bytes {first}-{end - 1}/{len(self.data)}"},
                          length=end - first)
            release.wait(120)
            handler.break_off()
        self.lines = some
        return release

    def test_a_kill_of_the_engine_is_resumed_by_the_next(self):
        release = self.hold()
        with self.engine.popen("pull", self.name):
            # The probe and the first part are in the blob's file; four others have a mebibyte each.
            eventually(lambda: sorted(self.left().values()) == [1 << 20] * 4 + [9 << 20], "four parts have begun", within=60)
            self.engine.kill()
        release.set()
        before = self.left()
        own = before.pop(f"partial-{self.layer[7:]}")
        there = own + sum(max(0, int(name.rsplit(".", 1)[1]) + size - max(own, int(name.rsplit(".", 1)[1])))
                          for name, size in before.items())
        self.engine.start()
        self.assertNotEqual(self.engine("image", "inspect", self.name).code, 0, "nothing is claimed that is not there")
        self.registry.forget()
        self.lines = self.send
        self.ok("pull", self.name)
        fetched = sum(end - first for first, end in self.ranges())
        self.assertEqual(fetched, len(self.data) - there, (before, own))
        self.is_whole()

    def test_a_registry_that_goes_away_is_gone_on_with(self):
        release = self.hold()
        with self.engine.popen("pull", self.name) as client:
            eventually(lambda: sorted(self.left().values()) == [1 << 20] * 4 + [9 << 20], "four parts have begun", within=60)
            self.registry.faults.insert(0, lambda handler: self.layer in handler.path and not handler.break_off())
            release.set()
            client.communicate(timeout=120)
            self.assertEqual(client.returncode, 1)
        self.registry.faults.pop(0)
        self.assertEqual(len(self.left()), 5, "what has come is kept")
        self.registry.forget()
        self.lines = self.send
        self.ok("pull", self.name)
        self.assertLessEqual(sum(end - first for first, end in self.ranges()), len(self.data) - (8 << 20))
        self.is_whole()

    def test_a_damaged_part_is_thrown_away(self):
        with open(os.path.join(self.engine.data, "content", "ingest", f"partial-{self.layer[7:]}.{8 << 20}"), "wb") as part:
            part.write(b"\0" * (2 << 20))
        self.ok("pull", self.name)
        self.is_whole()


class Tokens(WireCase):
    """Tokens that another server has signed."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.keys = {"RS256": Signer(cls.engine.folder, "rsa", "rsa"), "ES256": Signer(cls.engine.folder, "ec", "p256")}
        cls.stranger = {"RS256": Signer(cls.engine.folder, "rsa2", "rsa"), "ES256": Signer(cls.engine.folder, "ec2", "p256")}

    def serve(self, algorithm):
        serving = Registry(self.engine, "--token-realm", "http://tokens.invalid/token", "--token-issuer", "issuer",
                           "--token-key", self.keys[algorithm].public, "--data-root", os.path.join(self.folder(), "own"))
        self.addCleanup(serving.close)
        return serving

    def test_signed_tokens_and_all_others(self):
        for algorithm in ("RS256", "ES256"):
            key = self.keys[algorithm].key
            with open(self.keys[algorithm].public, "rb") as file:
                public = file.read()
            serving = self.serve(algorithm)
            access = [repository("app", "pull", "push")]

            def asked(bearer, method="GET", target="/v2/app/tags/list"):
                return serving.request(method, target, headers={"Authorization": f"Bearer {bearer}"} if bearer else {})
            good = token(algorithm, key, access)
            challenge = asked(None)
            self.assertEqual((challenge.status, challenge.headers["WWW-Authenticate"].split(",")[0]),
                             (401, 'Bearer realm="http://tokens.invalid/token"'))
            self.assertEqual(asked(good, "POST", "/v2/app/blobs/uploads/").status, 202)
            self.assertEqual(asked(good, "POST", "/v2/other/blobs/uploads/").status, 401)
            self.assertEqual(asked(token(algorithm, key, [repository("app", "pull")]), "POST", "/v2/app/blobs/uploads/").status, 401)
            now = int(time.time())
            header, body, signature = good.split(".")
            other = "ES256" if algorithm == "RS256" else "RS256"
            for wrong, bearer in (("another key", token(algorithm, self.stranger[algorithm].key, access)),
                                  ("no signature", token("none", key, access)),
                                  ("the public key as a secret", token("HS256", public, access)),
                                  ("the other algorithm", token(other, self.keys[other].key, access)),
                                  ("expired", token(algorithm, key, access, exp=now - 3600)),
                                  ("not yet", token(algorithm, key, access, nbf=now + 3600)),
                                  ("another issuer", token(algorithm, key, access, iss="somebody")),
                                  ("another service", token(algorithm, key, access, aud="elsewhere")),
                                  ("a changed claim", f"{header}.{body[:-2]}AA.{signature}"),
                                  ("a cut signature", f"{header}.{body}.{signature[:-4]}"),
                                  ("an empty signature", f"{header}.{body}.")):
                with self.subTest(algorithm=algorithm, wrong=wrong):
                    self.assertEqual(asked(bearer, "POST", "/v2/app/blobs/uploads/").status, 401)

    def test_keys_that_are_none(self):
        ed25519 = Signer(self.engine.folder, "ed", "ed25519")
        for path, says in ((self.keys["RS256"].key, "no PEM public key"), (ed25519.public, "must be RSA")):
            self.fails(1, "registry", "serve", "--addr", "127.0.0.1:0", "--token-realm", "http://tokens.invalid/token",
                       "--token-key", path, says=says)


class Cache(WireCase):
    def test_a_cache_fetches_with_nobodys_rights(self):
        """What a cache holds it shows to everyone: a client's credentials are not passed on, and a registry that wants
        some is said to want them."""
        origin = FakeRegistry()
        self.addCleanup(origin.close)
        image = small_image(self._testMethodName)
        origin.add("app", "1", image)
        cache = Registry(self.engine, "--proxy", f"http://{origin.host}", "--data-root", os.path.join(self.folder(), "cache"))
        self.addCleanup(cache.close)
        basic = {"Authorization": registry.basic("berth", "secret")}
        self.assertEqual(cache.request("GET", "/v2/app/manifests/1", headers=basic).status, 200)
        self.assertEqual(cache.request("GET", f"/v2/app/blobs/{image.layers[0]}", headers=basic).status, 200)
        self.assertTrue(origin.asked("GET", "/blobs/"))
        self.assertFalse([headers for headers in origin.headers_of("") if "Authorization" in headers])
        origin.faults.append(registry.ask_for_password)
        answer = cache.request("GET", f"/v2/app/blobs/{image.layers[1]}", headers=basic)
        self.assertGreaterEqual(answer.status, 400, str(answer))
        self.assertFalse([headers for headers in origin.headers_of("") if "Authorization" in headers])


    def test_credentials_of_its_own_go_to_its_registry_alone(self):
        """Those that whoever serves the cache has given: for that registry and its token server, not where it redirects."""
        origin, elsewhere = FakeRegistry(), FakeRegistry()
        for one in (origin, elsewhere):
            self.addCleanup(one.close)
        image = small_image(self._testMethodName)
        origin.add("app", "1", image)
        elsewhere.add("app", "1", image)
        moved = image.layers[1]
        origin.faults.append(registry.ask_for_password)
        origin.faults.append(lambda handler: moved in handler.path and not handler.reply(
            307, headers={"Location": f"http://{elsewhere.host}/v2/app/blobs/{moved}"}))
        path = archives.written(self.folder(), "credentials", b"berth:secret\n")
        cache = Registry(self.engine, "--proxy", f"http://{origin.host}", "--proxy-credentials", path,
                         "--data-root", os.path.join(self.folder(), "cache"))
        self.addCleanup(cache.close)
        self.assertEqual(cache.get("/v2/app/manifests/1").body, image.manifest)
        for layer in image.layers:
            self.assertEqual(cache.get(f"/v2/app/blobs/{layer}").body, image.blobs[layer])
        self.assertTrue([headers for headers in origin.headers_of("") if "Authorization" in headers])
        self.assertTrue(elsewhere.asked("GET", moved))
        self.assertFalse([headers for headers in elsewhere.headers_of("") if "Authorization" in headers])
        self.assertNotIn("secret", self.engine.log())

    def test_credentials_that_are_wrong_or_would_be_everyones(self):
        folder = self.folder()
        good = archives.written(folder, "good", b"berth:secret\n")
        cache = ("registry", "serve", "--proxy", "http://127.0.0.1:1", "--proxy-credentials")
        for content in (b"nobody", b":secret", b"a:b\nc:d", b"a:b\0"):
            self.fails(1, *cache, archives.written(folder, "bad", content), "--addr", "127.0.0.1:0", says="USER:PASSWORD")
        self.fails(1, *cache, good, "--addr", "0.0.0.0:0", says="--htpasswd")
        self.fails(1, "registry", "serve", "--proxy-credentials", good, "--addr", "127.0.0.1:0", says="--proxy")
        self.fails(1, *cache, os.path.join(folder, "missing"), "--addr", "127.0.0.1:0", says="missing")


class Umoci(WireCase):
    @unittest.skipUnless(shutil.which("umoci"), "umoci is not installed")
    def test_what_save_writes_unpacks(self):
        folder = self.folder()
        archives.written(folder, "context/Dockerfile", f"FROM {IMAGE}\nRUN rm /etc/group && echo new > /added\nLABEL l=v\n".encode())
        self.ok("build", "-t", "for-umoci:1", os.path.join(folder, "context"))
        self.addCleanup(self.engine, "rmi", "-f", "for-umoci:1")
        path = os.path.join(folder, "saved.tar")
        self.ok("save", "-o", path, "for-umoci:1")
        layout = os.path.join(folder, "layout")
        with tarfile.open(path) as archive:
            archive.extractall(layout)
        listed = run(["umoci", "list", "--layout", layout])
        self.assertEqual((listed.code, listed.lines), (0, ["1"]), str(listed))
        bundle = os.path.join(folder, "bundle")
        unpacked = run(["umoci", "unpack", "--image", f"{layout}:1", bundle])
        self.assertEqual(unpacked.code, 0, str(unpacked))
        root = os.path.join(bundle, "rootfs")
        with open(os.path.join(root, "added")) as file:
            self.assertEqual(file.read(), "new\n")
        self.assertFalse(os.path.exists(os.path.join(root, "etc/group")))
        stat = run(["umoci", "stat", "--image", f"{layout}:1", "--json"])
        self.assertGreaterEqual(len(json.loads(stat.out)["history"]), 2)
