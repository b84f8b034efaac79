"""The API over TLS, and named contexts: who is let in, streams that leave HTTP, large bodies."""
import os
import random
import socket
import ssl
import subprocess
import unittest

from harness.engine import CLIENT, IMAGE, PROGRAMS, Engine, EngineCase, run
from harness.served import Certificates


def free_port():
    """A port that nobody has now; engines take it by name."""
    for _ in range(50):
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("no free port")


class TlsEngine(EngineCase):
    """An engine that serves TLS as well, with certificates for both sides."""

    @classmethod
    def setUpClass(cls):
        cls.engine = Engine(cls.__name__)
        os.makedirs(cls.engine.folder, exist_ok=True)
        cls.certificates = Certificates(cls.engine.folder)
        cls.server = cls.certificates.sign("server")
        cls.client = cls.certificates.sign("client")
        cls.port = free_port()
        cls.engine.flags = ["-H", f"tcp://127.0.0.1:{cls.port}", "--tlsverify", "--tlscacert", cls.certificates.ca,
                            "--tlscert", cls.server[0], "--tlskey", cls.server[1]]
        try:
            cls.engine.start()
            cls.engine.load_base_image()
        except BaseException:
            cls.engine.close()
            raise


@unittest.skipIf(CLIENT == "docker", "the flags are tested with berth's own command; test_tls_clients has docker's")
class Tls(TlsEngine):
    def berth(self, *arguments, tls=None, env=None, host=None, **more):
        flags = ["--tlsverify", "--tlscacert", self.certificates.ca, "--tlscert", self.client[0], "--tlskey",
                 self.client[1]] if tls is None else tls
        base = {"DOCKER_CONFIG": os.path.join(self.engine.folder, "config"), "HOME": self.engine.folder}
        return run([os.path.join(PROGRAMS, "berth"), "-H", host or f"tcp://127.0.0.1:{self.port}", *flags, *arguments],
                   env={**base, **(env or {})}, **more)

    def good(self, *arguments, **more):
        result = self.berth(*arguments, **more)
        self.assertEqual(result.code, 0, str(result))
        return result

    def test_commands_and_streams(self):
        self.assertIn("Version", self.good("version").out)
        self.assertEqual(self.good("run", "--rm", IMAGE, "echo", "over TLS").out, "over TLS\n")
        self.assertEqual(self.good("run", "--rm", "-i", IMAGE, "cat", input="in and out").out, "in and out")
        self.assertEqual(self.berth("run", "--rm", IMAGE, "sh", "-c", "exit 7").code, 7)
        name = self.start("sleep", "1000")
        self.assertEqual(self.good("exec", "-i", name, "wc", "-c", input="x" * 300_000).text, "300000")
        self.assertEqual(self.good("exec", name, "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' a").out, "a" * 3_000_000)

    def test_large_bodies(self):
        saved = os.path.join(self.folder(), "image.tar")
        self.good("save", "-o", saved, IMAGE)
        self.assertIn("Loaded image", self.good("load", "-i", saved).out)

    def test_environment(self):
        folder = self.folder()
        for source, target in ((self.certificates.ca, "ca.pem"), (self.client[0], "cert.pem"), (self.client[1], "key.pem")):
            os.link(source, os.path.join(folder, target))
        env = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": folder}
        self.assertEqual(self.good("ps", "-q", tls=[], env=env).code, 0)
        self.assertEqual(self.good("ps", "-q", tls=[], env=env, host=f"tcp://localhost:{self.port}").code, 0)

    def test_who_is_not_let_in(self):
        stranger = Certificates(self.folder())
        cert, key = stranger.sign("stranger")
        ca = ["--tlsverify", "--tlscacert", self.certificates.ca]
        self.assertEqual(self.berth("ps", tls=[*ca, "--tlscert", cert, "--tlskey", key]).code, 1)
        self.assertEqual(self.berth("ps", tls=ca).code, 1)  # no certificate
        plain = self.berth("ps", tls=[])
        self.assertEqual(plain.code, 1, str(plain))
        untrusted = self.berth("ps", tls=["--tlsverify", "--tlscacert", stranger.ca, "--tlscert", cert, "--tlskey", key])
        self.assertEqual(untrusted.code, 1)
        self.assertIn("not trusted", untrusted.err)
        missing = self.berth("ps", tls=["--tlsverify", "--tlscacert", "/nonexistent.pem"])
        self.assertIn("/nonexistent.pem", missing.err)
        # The server's name is checked.
        context = ssl.create_default_context(cafile=self.certificates.ca)
        context.load_cert_chain(*self.client)
        with socket.create_connection(("127.0.0.1", self.port)) as raw:
            with self.assertRaises(ssl.SSLCertVerificationError):
                context.wrap_socket(raw, server_hostname="other.example")

    def test_old_protocols_are_refused(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(*self.client)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(("127.0.0.1", self.port)) as raw:
            with self.assertRaises((ssl.SSLError, ConnectionResetError)):
                context.wrap_socket(raw)

    def test_contexts(self):
        config = self.folder()
        env = {"DOCKER_CONFIG": config, "BERTH_HOST": "", "DOCKER_HOST": ""}

        def berth(*arguments):
            return run([os.path.join(PROGRAMS, "berth"), *arguments], env={**env, "HOME": config})

        made = berth("context", "create", "far", "--description", "another one", "--docker",
                     f"host=tcp://127.0.0.1:{self.port},ca={self.certificates.ca},cert={self.client[0]},key={self.client[1]}")
        self.assertEqual(made.out, "far\n", str(made))
        self.assertEqual(berth("--context", "far", "run", "--rm", IMAGE, "echo", "x").out, "x\n")
        self.assertEqual(berth("context", "use", "far").code, 0)
        self.assertEqual(berth("context", "show").out, "far\n")
        self.assertEqual(berth("ps", "-q").code, 0)
        listed = berth("context", "ls", "--format", "{{.Name}} {{.Current}}")
        self.assertEqual(sorted(listed.lines), ["default false", "far true"])
        self.assertIn('"ca.pem"', berth("context", "inspect", "far").out)
        self.assertEqual(berth("context", "rm", "far").code, 1)  # in use
        self.assertEqual(berth("context", "rm", "-f", "far").out, "far\n")
        self.assertEqual(berth("--context", "far", "ps").code, 1)
        self.assertEqual(berth("context", "show").out, "default\n")
        for bad in (["context", "create", "x"], ["context", "create", "default", "--docker", "host=tcp://x"],
                    ["context", "create", "ok", "--docker", "hast=tcp://x"], ["context", "use", "nobody"]):
            self.assertNotEqual(berth(*bad).code, 0, bad)


@unittest.skipIf(CLIENT == "docker", "berthd's flags alone")
class Flags(unittest.TestCase):
    def test_what_berthd_refuses(self):
        engine = Engine("tls-flags")
        self.addCleanup(engine.close)
        os.makedirs(engine.folder, exist_ok=True)
        certificates = Certificates(engine.folder)
        cert, key = certificates.sign("server")
        other, other_key = certificates.sign("other")
        base = [os.path.join(PROGRAMS, "berthd"), "--data-root", engine.data, "--exec-root", engine.exec, "-H",
                f"tcp://127.0.0.1:{free_port()}"]
        for flags, says in ((["--tlsverify", "--tlscacert", certificates.ca, "--tlscert", cert, "--tlskey", other_key],
                             "do not belong together"),
                            (["--tls", "--tlscert", "/nonexistent", "--tlskey", key], "--tlscert"),
                            (["--tls", "--tlscert", key, "--tlskey", key], "certificate"),
                            (["--tlsverify", "--tlscacert", key, "--tlscert", cert, "--tlskey", key], "CA")):
            done = subprocess.run([*base, *flags], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(says, done.stderr)
        del other
