"""`build` with what comes beside the context: SSH agents (--ssh), contexts by name (--build-context), and the same from a
Compose file."""
import base64
import glob
import os
import subprocess

from harness import agent
from harness.agent import ADD, ANSWERS, IDENTITIES, LOCK, REFUSED, SIGN, Agent, message
from harness.engine import IMAGE, EngineCase, eventually
from harness.host import runs

ASK = "probe agent $SSH_AUTH_SOCK"


class InputsCase(EngineCase):
    def setUp(self):
        super().setUp()
        self.context = self.folder()
        self.tag = f"inputs-{self._testMethodName[5:50].replace('_', '-')}:1"
        self.addCleanup(self.engine, "rmi", "-f", self.tag)

    def write(self, name, text, folder=None):
        path = os.path.join(folder or self.context, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        return path

    def agent(self, name="agent"):
        made = Agent(self.folder(), name)
        self.addCleanup(made.close)
        return made

    def try_build(self, dockerfile, *flags, **more):
        self.write("Dockerfile", dockerfile)
        return self.engine("build", "-t", self.tag, *flags, self.context, **more)

    def build(self, dockerfile, *flags, **more):
        result = self.try_build(dockerfile, *flags, **more)
        self.assertEqual(result.code, 0, str(result))
        return result

    def sh(self, script):
        return self.ok("run", "--rm", self.tag, "sh", "-c", script).out


class Agents(InputsCase):
    def setUp(self):
        super().setUp()
        self.only_berth("its classic builder has no agents")
        self.only_our_command("the docker command asks BuildKit for them")

    def ask(self, *messages):
        return " && ".join(f"{ASK} {one.hex()} >> /answers" for one in messages)

    def test_keys_are_listed_and_sign(self):
        one = self.agent()
        self.build(f"FROM {IMAGE}\nRUN --mount=type=ssh {self.ask(message(IDENTITIES), message(SIGN, b'anything'))}\n",
                   "--ssh", f"default={one.path}")
        self.assertEqual(self.sh("cat /answers").split(), [ANSWERS[IDENTITIES].hex(), ANSWERS[SIGN].hex()])
        self.assertEqual(one.asked, [IDENTITIES, SIGN])

    def test_the_agent_of_the_environment(self):
        one = self.agent()
        self.build(f"FROM {IMAGE}\nRUN --mount=type=ssh,required {self.ask(message(IDENTITIES))}\n", "--ssh", "default",
                   env={"SSH_AUTH_SOCK": one.path})
        self.assertEqual(one.asked, [IDENTITIES])

    def test_nothing_else_reaches_it(self):
        one = self.agent()
        self.build(f"FROM {IMAGE}\nRUN --mount=type=ssh {self.ask(message(ADD, b'key'), message(LOCK, b'x'))}\n",
                   "--ssh", f"default={one.path}")
        self.assertEqual(self.sh("cat /answers").split(), [REFUSED.hex()] * 2)
        self.assertEqual(one.asked, [])

    def test_what_is_no_message_ends_the_connection(self):
        one = self.agent()
        self.build(f"FROM {IMAGE}\nRUN --mount=type=ssh {ASK} ffffffff0b > /answers; {ASK} 000000000b >> /answers; "
                   f"{ASK} {message(IDENTITIES).hex()} >> /answers\n", "--ssh", f"default={one.path}")
        self.assertEqual(self.sh("cat /answers").splitlines(), ["", "", ANSWERS[IDENTITIES].hex()])

    def test_ids_targets_and_owners(self):
        first, second = self.agent("first"), self.agent("second")
        self.build(f"FROM {IMAGE}\nRUN --mount=type=ssh,id=one,uid=33,gid=34,mode=0640 "
                   f"--mount=type=ssh,id=two,target=/sockets/two stat -c %u:%g:%a $SSH_AUTH_SOCK > /owner; "
                   f"echo $SSH_AUTH_SOCK > /where; probe agent /sockets/two {message(SIGN).hex()} > /answers\n",
                   "--ssh", f"one={first.path}", "--ssh", f"two={second.path}")
        self.assertEqual(self.sh("cat /owner /where").split(), ["33:34:640", "/run/buildkit/ssh_agent.0"])
        self.assertEqual((first.asked, second.asked), ([], [SIGN]))
        self.assertEqual(self.sh("ls -d /sockets /run/buildkit 2>&1 | grep -c 'No such'").strip(), "2", "nothing of it stays")

    def test_without_an_agent(self):
        self.build(f"FROM {IMAGE}\nRUN --mount=type=ssh echo \"[$SSH_AUTH_SOCK]\" > /socket\n")
        self.assertEqual(self.sh("cat /socket"), "[]\n")
        result = self.try_build(f"FROM {IMAGE}\nRUN --mount=type=ssh,id=mine,required true\n")
        self.assertNotEqual(result.code, 0)
        self.assertIn('no SSH agent "mine" was given', result.err)
        self.assertIn("--ssh mine", result.err)

    def test_what_is_no_agent(self):
        file = self.write("key", "PRIVATE")
        for value, says in ((f"default={file}", f"--ssh default={file}: "), ("default=/no/such", "there is no /no/such"),
                            ("=x", "invalid ssh agent")):
            result = self.try_build(f"FROM {IMAGE}\n", "--ssh", value)
            self.assertNotEqual(result.code, 0, value)
            self.assertIn(says, result.err)
        result = self.try_build(f"FROM {IMAGE}\n", "--ssh", "default", env={"SSH_AUTH_SOCK": ""})
        self.assertIn("needs SSH_AUTH_SOCK", result.err)

    def key(self, name, passphrase=""):
        path = os.path.join(self.folder(), name)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", path], check=True)
        return path

    def test_keys_in_files(self):
        """As docker's buildx takes them. OpenSSH's own agent holds them for as long as the build lasts."""
        first, second = self.key("first"), self.key("second")
        before = set(glob.glob("/tmp/berth-ssh-*"))
        self.build(f"FROM {IMAGE}\nRUN --mount=type=ssh,id=mine {self.ask(message(IDENTITIES))}\n", "--ssh", f"mine={first},{second}",
                   env={"SSH_AUTH_SOCK": ""})
        answer = bytes.fromhex(self.sh("cat /answers").strip())
        for path in (first, second):
            with open(path + ".pub") as public:
                self.assertIn(base64.b64decode(public.read().split()[1]), answer)
        locked = self.try_build(f"FROM {IMAGE}\n", "--ssh", f"default={self.key('locked', 'secret')}")
        self.assertNotEqual(locked.code, 0, "nobody can be asked for its passphrase")
        self.assertIn("--ssh default=", locked.err)
        mixed = self.try_build(f"FROM {IMAGE}\n", "--ssh", f"default={first},{self.agent().path}")
        self.assertIn("one agent for an id, or files of keys", mixed.err)
        self.assertEqual(set(glob.glob("/tmp/berth-ssh-*")), before, "the agents and their sockets are gone")

    def test_keys_do_not_outlive_a_command_that_is_killed(self):
        self.write("Dockerfile", f"FROM {IMAGE}\nRUN --mount=type=ssh sleep 300\n")
        before = set(glob.glob("/tmp/berth-ssh-*"))
        with self.engine.popen("build", "--ssh", f"default={self.key('key')}", self.context) as client:
            eventually(lambda: set(glob.glob("/tmp/berth-ssh-*/agent")), "the agent is there")
            self.assertTrue(runs("berth-ssh"), "somebody watches")
            client.kill()
        eventually(lambda: set(glob.glob("/tmp/berth-ssh-*")) == before and not runs("berth-ssh"), "all of it is gone")

    def test_an_agent_that_is_gone(self):
        one = self.agent()
        one.close()
        result = self.try_build(f"FROM {IMAGE}\nRUN --mount=type=ssh true\n", "--ssh", f"default={one.path}")
        self.assertNotEqual(result.code, 0)
        self.assertIn("nothing answers at", result.err)


class NamedContexts(InputsCase):
    def setUp(self):
        super().setUp()
        self.only_berth("its classic builder has no named contexts")
        self.only_our_command("the docker command asks BuildKit for them")

    def test_a_directory(self):
        other = self.folder()
        self.write("sub/file", "other", other)
        self.write(".dockerignore", "left-out", other)
        self.write("left-out", "x", other)
        before = self.ok("images", "-aq").out.split()
        self.build(f"FROM {IMAGE}\nCOPY --from=other /sub/file /file\nRUN --mount=from=other,target=/o ls /o > /list\n",
                   "--build-context", f"other={other}")
        self.assertEqual(self.sh("cat /file"), "other")
        self.assertEqual(self.sh("cat /list").split(), ["sub"])
        after = set(self.ok("images", "-aq").out.split()) - set(before)
        self.assertEqual(len(after), 1, "the directory's image goes")

    def test_an_image(self):
        self.build("FROM base\nRUN echo made > /made\n", "--build-context", f"base=docker-image://{IMAGE}")
        self.assertEqual(self.sh("cat /made"), "made\n")

    def test_refusals(self):
        for value, says in (("a=https://x/y", "is not supported"), ("a=/no/such", "is no directory"),
                            ("a", "expected key=value")):
            result = self.try_build(f"FROM {IMAGE}\n", "--build-context", value)
            self.assertNotEqual(result.code, 0)
            self.assertIn(says, result.err)


class Compose(InputsCase):
    def setUp(self):
        super().setUp()
        self.only_berth("compose is the command's own")
        self.only_our_command("compose is the command's own")

    def compose(self, text, *arguments, **more):
        self.write("compose.yaml", text)
        return self.engine("compose", "-p", "inputs", "-f", os.path.join(self.context, "compose.yaml"), *arguments, **more)

    def test_secrets_agents_and_contexts(self):
        one = self.agent()
        self.write("token", "from a file")
        self.write("more/file", "context")
        self.write(".env", "FROM_ENV=from .env\n")
        self.write("app/Dockerfile", f"FROM {IMAGE}\nRUN --mount=type=secret,id=token --mount=type=secret,id=word "
                   f"cat /run/secrets/token /run/secrets/word > /secrets\n"
                   f"RUN --mount=type=ssh {ASK} {message(IDENTITIES).hex()} > /answers\n"
                   f"COPY --from=more file /file\nCOPY --from=base /base /base\n")
        self.write("base/Dockerfile", f"FROM {IMAGE}\nRUN echo base > /base\n")
        text = f"""
services:
  app:
    image: {self.tag}
    build:
      context: app
      secrets:
        - token
        - source: environment
          target: word
      ssh: [ "default={one.path}" ]
      additional_contexts:
        more: more
        base: service:zbase
  zbase:
    build: base
secrets:
  token: {{ file: token }}
  environment: {{ environment: FROM_ENV }}
"""
        self.addCleanup(self.engine, "rmi", "-f", "inputs-zbase")
        result = self.compose(text, "build", "app")
        self.assertEqual(result.code, 0, str(result))
        self.assertEqual(self.sh("cat /secrets /file /base"), "from a filefrom .envcontextbase\n")
        self.assertEqual(one.asked, [IDENTITIES])

    def test_mistakes_are_named_with_their_place(self):
        build = f"services:\n  a:\n    build:\n      context: .\n"
        self.write("Dockerfile", f"FROM {IMAGE}\n")
        for text, says in ((f"{build}      secrets: [none]\n", "undefined build secret none"),
                           (f"{build}      additional_contexts: {{ x: 'service:b' }}\n", 'takes unknown service "b" as context'),
                           (f"{build}      additional_contexts: {{ x: 'service:a' }}\n", "need each other")):
            result = self.compose(text, "build")
            self.assertNotEqual(result.code, 0, text)
            self.assertIn(says, result.err)
            self.assertIn("compose.yaml:", result.err)
