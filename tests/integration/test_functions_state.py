"""A function's state while the base of its runtime is made. The distribution's tool for it is a stand-in that does as a
test wants."""
import errno
import os
import shutil
import tempfile

from harness import archives
from harness.engine import IMAGE, Client, Engine, eventually
from harness.functions import FunctionsApi, FunctionsCase

BOOTSTRAP = r"""#!/bin/sh
set -f
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while :; do
  wget -q -S -O /tmp/event "$api/next" 2>/tmp/head
  id=$(tr -d '\r' </tmp/head | awk 'tolower($1) == "lambda-runtime-aws-request-id:" {print $2}')
  wget -q -O /dev/null --post-file=/tmp/event "$api/$id/response"
done
"""


class MadeBases(FunctionsCase):
    """mmdebstrap waits until a word is written to the gate of its family, and does what that says. A base that was removed
    may be made again at any time, for a sandbox that is made ahead: each family has a gate of its own."""

    @classmethod
    def setUpClass(cls):
        cls.tools = tempfile.mkdtemp(prefix="bt.", dir="/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.tools)
        for family in ("provided", "python", "nodejs", "java"):
            os.mkfifo(cls.gate(family))
        root = os.path.join(cls.tools, "root.tar")
        folders = [archives.directory(name) for name in ("var", "var/task", "var/runtime", "opt")]
        with open(root, "wb") as file:
            file.write(archives.tar(archives.busybox_entries(folders)))
        with open(os.path.join(cls.tools, "mmdebstrap"), "w") as file:
            file.write("#!/bin/sh\ncase \"$*\" in *openjdk*) family=java;; *nodejs*) family=nodejs;; *python3*) family=python;; "
                       f"*) family=provided; esac\nread word <{cls.gate('$family')}\n[ $word = make ] && exec cat {root}\n"
                       "echo 'E: no way to the packages' >&2\n# Of what comes after the cause, mmdebstrap complains as well.\n"
                       "echo 'E: mmdebstrap failed to run' >&2\nexit 1\n")
        os.chmod(file.name, 0o755)
        cls.engine = Engine(cls.__name__)
        cls.engine.surroundings["PATH"] = f"{cls.tools}:{os.environ['PATH']}"
        try:
            cls.engine.start()
            cls.api = FunctionsApi(cls.engine.functions_address)
        except BaseException:
            cls.engine.close()
            raise

    @classmethod
    def gate(cls, family):
        return os.path.join(cls.tools, f"gate-{family}")

    def go(self, family, word):
        """What mmdebstrap does now; it may not have been started yet."""
        def opened():
            try:
                return os.open(self.gate(family), os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                return None
        gate = eventually(opened, "mmdebstrap waits", 60)
        os.write(gate, f"{word}\n".encode())
        os.close(gate)

    def function(self, name, runtime):
        made = self.api.create(name, {"bootstrap": BOOTSTRAP}, Runtime=runtime, Timeout=30)
        self.assertEqual((made.status, made.json()["State"]), (201, "Pending"), str(made))
        self.addCleanup(self.api.request, "DELETE", f"/2015-03-31/functions/{name}")

    def configuration(self, name):
        answer = self.api.request("GET", f"/2015-03-31/functions/{name}/configuration")
        self.assertEqual(answer.status, 200, str(answer))
        return answer.json()

    def state(self, name, wanted):
        def reached():
            found = self.configuration(name)
            self.assertIn(found["State"], ("Pending", wanted), str(found))
            return found["State"] == wanted and found
        return eventually(reached, f"{name} is {wanted}", 60)

    def test_pending_until_it_is_there(self):
        self.function("slow", "provided.al2")
        pending = self.configuration("slow")
        self.assertEqual((pending["State"], pending["StateReasonCode"]), ("Pending", "Creating"))
        self.assertIn("base berth/lambda-provided.al2 is being made", pending["StateReason"])
        self.assertNotIn("LastUpdateStatus", pending)
        self.assertEqual(self.api.request("GET", "/2015-03-31/functions/slow").json()["Configuration"]["State"], "Pending")
        for kind in ("RequestResponse", "Event", "DryRun"):
            refused = self.api.invoke("slow", {}, X_Amz_Invocation_Type=kind)
            self.assertEqual((refused.status, refused.headers["x-amzn-ErrorType"]), (409, "ResourceConflictException"), str(refused))
            self.assertIn("currently in the following state: Pending. The runtime's base", str(refused.json()))
        self.go("provided", "make")
        active = self.state("slow", "Active")
        self.assertEqual(active["LastUpdateStatus"], "Successful")
        answer = self.api.invoke("slow", {"a": 1})
        self.assertEqual((answer.status, answer.json()), (200, {"a": 1}), str(answer))
        # Whoever removes it hears that it comes back with the next call, or is on its way for a sandbox that is made ahead.
        self.engine.ok("rmi", "-f", "berth/lambda-provided.al2")
        idle = self.configuration("slow")
        self.assertIn((idle["State"], idle["StateReasonCode"]), (("Inactive", "Idle"), ("Pending", "Creating")))

    def test_runtimes_of_a_family_have_one_base(self):
        self.function("newer", "java21")
        self.function("older", "java11")
        self.go("java", "make")  # once
        for name in ("newer", "older"):
            self.state(name, "Active")
        ids = self.engine.ok("inspect", "-f", "{{.Id}}", "berth/lambda-java21", "berth/lambda-java11").out.split()
        self.assertEqual((len(ids), len(set(ids))), (2, 1), ids)
        # What users have made of one is theirs.
        self.engine.ok("build", "-q", "-t", "berth/lambda-java17", "-", input="FROM berth/lambda-java21\nRUN echo own >/own\n")
        self.engine.ok("rmi", "-f", "berth/lambda-java21", "berth/lambda-java11")
        self.function("third", "java8.al2")
        self.go("java", "make")
        self.state("third", "Active")

    def test_failed_with_the_reason_and_mended_by_the_next_update(self):
        self.function("broken", "nodejs22.x")
        self.go("nodejs", "fail")
        failed = self.state("broken", "Failed")
        self.assertEqual((failed["StateReasonCode"], failed["LastUpdateStatus"], failed["LastUpdateStatusReasonCode"]),
                         ("InvalidRuntime", "Failed", "InvalidRuntime"))
        self.assertRegex(failed["StateReason"], 'the base for "nodejs22.x" could not be made: .*no way to the packages')
        changed = self.api.request("PUT", "/2015-03-31/functions/broken/configuration", {"Timeout": 9})
        self.assertEqual(changed.status, 200, str(changed))
        self.assertEqual(self.configuration("broken")["State"], "Pending")
        self.go("nodejs", "make")
        self.assertEqual(self.state("broken", "Active")["Timeout"], 9)

    def test_what_nothing_can_be_made_for_has_failed(self):
        self.function("gem", "ruby3.4")
        failed = self.state("gem", "Failed")
        self.assertIn("tag an image that has its runtime and runtime client with berth/lambda-ruby3.4", failed["StateReason"])
        self.engine.load_base_image()
        self.engine.ok("tag", IMAGE, "berth/lambda-ruby3.4")
        self.state("gem", "Active")

    def test_deploy_says_what_it_waits_for(self):
        folder = os.path.join(self.tools, "told")
        os.mkdir(folder)
        with open(os.path.join(folder, "app.py"), "w") as file:
            file.write("def lambda_handler(event, context):\n    return 1\n")
        with Client([*self.engine.cli, "function", "deploy", folder], stdout=-1, stderr=-1, text=True,
                    env={**os.environ, **self.engine.env}) as deploying:
            self.assertIn("The runtime's base berth/lambda-python3.11 is being made", deploying.stderr.readline())
            self.go("python", "make")
            self.assertEqual(deploying.wait(60), 0)
            self.assertEqual(deploying.stdout.read(), "created told\n")
