"""Runtime bases that are pulled: AWS's own, from a stand-in for its registry. What makes bases from the distribution's
packages is a stand-in, too, which fails or makes a base without a client."""
import json
import os
import shutil
import tempfile
import unittest

from harness import archives
from harness.engine import AGAINST, Engine, eventually
from harness.functions import FunctionsApi
from harness.registry import FakeRegistry, Image

# As AWS's images begin: the script takes the handler, the runtime behind it minds the wrapper.
ENTRYPOINT = b"""#!/bin/sh
if [ $# -ne 1 ]; then
  echo "entrypoint requires the handler name to be the first argument" >&2
  exit 142
fi
export _HANDLER="$1"
exec /var/runtime/bootstrap
"""
BOOTSTRAP = r"""#!/bin/sh
if [ -n "$AWS_LAMBDA_EXEC_WRAPPER" ] && [ -z "$IN_WRAPPER" ]; then
  export IN_WRAPPER=1
  exec "$AWS_LAMBDA_EXEC_WRAPPER" "$0"
fi
set -f
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while :; do
  wget -q -S -O /tmp/event "$api/next" 2>/tmp/head
  id=$(tr -d '\r' </tmp/head | awk 'tolower($1) == "lambda-runtime-aws-request-id:" {print $2}')
  printf '{"base": "%s", "handler": "%s", "wrapped": "%s", "code": "%s"}' "BASE" "$_HANDLER" "$WRAPPED" "$(cat code)" >/tmp/answer
  wget -q -O /dev/null --post-file=/tmp/answer "$api/$id/response"
done
"""
WRAPPER = "#!/bin/sh\nexport WRAPPED=\"$WRAPPED+\"\nexec \"$@\"\n"


def base_of_aws(name):
    folders = [archives.directory(each) for each in ("var", "var/task", "var/runtime", "opt")]
    files = [archives.entry("lambda-entrypoint.sh", 0o755, data=ENTRYPOINT),
             archives.entry("var/runtime/bootstrap", 0o755, data=BOOTSTRAP.replace("BASE", name).encode())]
    return Image([archives.tar(archives.busybox_entries(folders + files))],
                 {"Entrypoint": ["/lambda-entrypoint.sh"], "WorkingDir": "/var/task"})


@unittest.skipIf(AGAINST == "docker", "dockerd has no functions")
class Pulled(unittest.TestCase):
    def setUp(self):
        self.registry = FakeRegistry()
        self.addCleanup(self.registry.close)
        self.tools = tempfile.mkdtemp(prefix="bt.", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.tools)

    def start(self, *flags, makes=False):
        """An engine with a tool for making bases that fails, or makes one whose answers say "made"."""
        root = os.path.join(self.tools, "root.tar")
        bootstrap = archives.entry("usr/bin/python3", 0o755, data=BOOTSTRAP.replace("BASE", "made").encode())
        with open(root, "wb") as file:
            file.write(archives.tar(archives.busybox_entries([archives.directory("usr"), archives.directory("usr/bin"), bootstrap])))
        tool = os.path.join(self.tools, "mmdebstrap")
        with open(tool, "w") as file:
            file.write(f"#!/bin/sh\necho made >>{self.tools}/journal\n" +
                       (f"exec cat {root}\n" if makes else "echo 'E: no way to the packages' >&2\nexit 1\n"))
        os.chmod(tool, 0o755)
        self.engine = Engine(type(self).__name__, flags=flags)
        self.addCleanup(self.engine.close)
        self.engine.surroundings["PATH"] = f"{self.tools}:{os.environ['PATH']}"
        self.engine.start()
        self.api = FunctionsApi(self.engine.functions_address)

    def made(self):
        """How often the tool was asked."""
        journal = os.path.join(self.tools, "journal")
        return len(open(journal).readlines()) if os.path.exists(journal) else 0

    def function(self, name, runtime, wanted="Active", **members):
        made = self.api.create(name, {"code": f"of {name}", "wrapper": WRAPPER}, Runtime=runtime, Timeout=30,
                               Handler="app.handle", **members)
        self.assertEqual((made.status, made.json()["State"]), (201, "Pending"), str(made))

        def reached():
            found = self.api.request("GET", f"/2015-03-31/functions/{name}/configuration").json()
            self.assertIn(found["State"], ("Pending", wanted), str(found))
            return found["State"] == wanted and found
        return eventually(reached, f"{name} is {wanted}", 60)

    def invoked(self, name):
        answer = self.api.invoke(name, {})
        self.assertEqual(answer.status, 200, str(answer))
        return answer.json()

    def test_what_berth_cannot_make_comes_from_aws_registry(self):
        """By its usual name, through a mirror of it."""
        self.registry.add("lambda/ruby", "3.3", base_of_aws("ruby"))
        self.registry.add("lambda/dotnet", "core3.1", base_of_aws("dotnet"))
        self.start("--registry-mirror", f"public.ecr.aws=http://{self.registry.host}",
                   "--functions-base-registry", "public.ecr.aws/lambda")
        self.function("gem", "ruby3.3")
        self.assertEqual(self.invoked("gem"), {"base": "ruby", "handler": "app.handle", "wrapped": "", "code": "of gem"})
        self.function("net", "dotnetcore3.1")
        self.assertEqual(self.invoked("net")["base"], "dotnet")
        self.assertEqual(self.made(), 0)
        names = self.engine.ok("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").lines
        ids = {line.split()[0]: line.split()[1] for line in names}
        self.assertEqual(ids["berth/lambda-ruby3.3:latest"], ids["public.ecr.aws/lambda/ruby:3.3"])
        # It is here now.
        self.registry.forget()
        self.api.request("DELETE", "/2015-03-31/functions/gem")
        again = self.api.create("again", {"code": "2"}, Runtime="ruby3.3", Handler="app.handle")
        self.assertEqual(again.status, 201, str(again))
        self.assertEqual(self.invoked("again")["code"], "2")
        self.assertEqual(self.registry.asked(pattern="ruby"), [])

    def test_wrappers_wrap_once(self):
        self.registry.add("lambda/ruby", "3.3", base_of_aws("ruby"))
        self.start("--functions-base-registry", f"{self.registry.host}/lambda")
        self.function("gem", "ruby3.3", Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrapper"}})
        self.assertEqual(self.invoked("gem")["wrapped"], "+")

    def test_pulled_when_making_fails(self):
        self.registry.add("lambda/python", "3.12", base_of_aws("python"))
        self.start("--functions-base-registry", f"{self.registry.host}/lambda")
        self.function("snake", "python3.12")
        self.assertEqual(self.invoked("snake")["base"], "python")
        self.assertEqual(self.made(), 1)

    def test_both_reasons_when_neither_works(self):
        self.start("--functions-base-registry", f"{self.registry.host}/lambda")
        failed = self.function("snake", "python3.12", "Failed")
        self.assertEqual(failed["StateReasonCode"], "InvalidRuntime")
        self.assertRegex(failed["StateReason"], r'the base for "python3.12" could not be made: .*no way to the packages.*; the base for '
                         rf'"python3.12" could not be pulled: .*{self.registry.host}/lambda/python:3.12.*tagged with berth/lambda-python3.12')
        # The registry has it now: the next change tries again.
        self.registry.add("lambda/python", "3.12", base_of_aws("python"))
        self.assertEqual(self.api.request("PUT", "/2015-03-31/functions/snake/configuration", {"Timeout": 9}).status, 200)
        eventually(lambda: self.api.request("GET", "/2015-03-31/functions/snake/configuration").json()["State"] == "Active",
                   "it is active", 60)

    def test_pulled_first_where_asked_for(self):
        self.registry.add("lambda/python", "3.12", base_of_aws("python"))
        self.start("--functions-bases", "pulled", "--functions-base-registry", f"{self.registry.host}/lambda", makes=True)
        self.function("snake", "python3.12")
        self.assertEqual((self.invoked("snake")["base"], self.made()), ("python", 0))
        # Not there: made.
        self.function("other", "python3.13")
        self.assertEqual((self.invoked("other")["base"], self.made()), ("made", 1))

    def test_an_image_for_another_machine_alone(self):
        other = "arm64" if os.uname().machine == "x86_64" else "amd64"
        image = Image([archives.tar(archives.busybox_entries())], {}, architecture=other)
        self.registry.add_index("lambda/ruby", "3.3", [image])
        self.start("--functions-base-registry", f"{self.registry.host}/lambda")
        failed = self.function("gem", "ruby3.3", "Failed")
        self.assertIn('the base for "ruby3.3" could not be pulled', failed["StateReason"])

    def test_none_are_pulled_where_nobody_wants_it(self):
        self.start("--functions-base-registry", "")
        failed = self.function("gem", "ruby3.3", "Failed")
        self.assertIn("tag an image that has its runtime and runtime client with berth/lambda-ruby3.3", failed["StateReason"])

    def test_flags(self):
        for flags in (["--functions-bases", "baked"], ["--functions-base-registry", "no place", "--functions-bases", "pulled"]):
            with self.subTest(flags):
                try:
                    self.start(*flags)
                except AssertionError as refused:
                    self.assertIn(flags[1], str(refused))
                else:
                    self.fail(f"{flags} were taken")
