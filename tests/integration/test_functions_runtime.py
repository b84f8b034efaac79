"""Functions at work: events through the API into sandboxes and back, on runtimes of the test's own making; what is
logged and measured; and everything that goes wrong, in AWS's words."""
import base64
import json
import re
import threading
import unittest

from harness import archives, runtimes
from harness.engine import AGAINST, Engine, eventually
from harness.functions import FunctionsApi

REPORT = re.compile(r"REPORT RequestId: (\S+)\tDuration: ([\d.]+) ms\tBilled Duration: (\d+) ms\tMemory Size: (\d+) MB"
                    r"\tMax Memory Used: (\d+) MB\t(?:Init Duration: ([\d.]+) ms\t)?(.*)")


@unittest.skipIf(AGAINST == "docker", "dockerd runs no functions")
class RuntimeCase(unittest.TestCase):
    flags = ()
    runtime = "provided.al2023"
    maxDiff = 4000

    @classmethod
    def base(cls):
        return runtimes.provided_base()

    @classmethod
    def setUpClass(cls):
        base = cls.base()
        if base is None:
            raise unittest.SkipTest(f"the host has no program for {cls.runtime}")
        cls.engine = Engine(cls.__name__, flags=cls.flags)
        try:
            cls.engine.start()
            loaded = cls.engine.load(base)
            assert loaded.code == 0, str(loaded)
            cls.api = FunctionsApi(cls.engine.functions_address)
        except BaseException:
            cls.engine.close()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.engine.close()

    def function(self, files=None, **members):
        name = self._testMethodName[5:50]
        files = files or {"bootstrap": archives.program("lambda_bootstrap")}
        answer = self.api.create(name, files, **{"Runtime": self.runtime, **members})
        self.assertEqual(answer.status, 201, str(answer))
        # The engine, and with it the address, may be another one by then.
        self.addCleanup(lambda: self.api.request("DELETE", f"/2015-03-31/functions/{name}"))
        eventually(lambda: self.api.request("GET", f"/2015-03-31/functions/{name}/configuration")
                   .json()["State"] == "Active", "the function is active", within=60)
        return name

    def call(self, name, event=None, log=True):
        """(payload, error, log) of an invocation."""
        answer = self.api.invoke(name, event, **({"X_Amz_Log_Type": "Tail"} if log else {}))
        self.assertEqual(answer.status, 200, str(answer))
        tail = base64.b64decode(answer.headers.get("X-Amz-Log-Result") or b"").decode()
        payload = json.loads(answer.body) if answer.body else None
        return payload, answer.headers.get("X-Amz-Function-Error"), tail

    def log_of(self, name):
        answer = self.api.request("POST", "/", {"logGroupName": f"/aws/lambda/{name}"}, {
            "X-Amz-Target": "Logs_20140328.FilterLogEvents", "Content-Type": "application/x-amz-json-1.1"})
        self.assertEqual(answer.status, 200, str(answer))
        return "".join(event["message"] for event in answer.json()["events"])

    def fails(self, name, event, kind, text):
        payload, error, tail = self.call(name, event)
        self.assertEqual(error, "Unhandled", (payload, tail))
        self.assertEqual(payload.get("errorType"), kind, tail)
        self.assertRegex(payload["errorMessage"], text)
        return tail

    def works(self, name):
        """The next call is served."""
        payload, error, tail = self.call(name, {"fine": 1})
        self.assertIsNone(error, tail)
        return payload


class Events(RuntimeCase):
    def test_an_event_and_its_log(self):
        name = self.function()
        payload, error, tail = self.call(name, {"do": "say", "text": "words"})
        self.assertEqual((payload, error), ({"do": "say", "text": "words"}, None))
        lines = tail.splitlines()
        self.assertRegex(lines[0], r"^START RequestId: [0-9a-f-]{36} Version: \$LATEST$")
        self.assertEqual(lines[1], "words")
        self.assertRegex(lines[2], r"^END RequestId: [0-9a-f-]{36}$")
        report = REPORT.match(lines[3])
        self.assertIsNotNone(report, tail)
        self.assertEqual(report[4], "128")
        self.assertIsNotNone(report[6], "the first event waits for an init")
        self.assertGreaterEqual(int(report[3]), 2)
        second = REPORT.match(self.call(name, {})[2].splitlines()[-1])
        self.assertIsNone(second[6], "the second finds it warm")
        whole = self.log_of(name)
        self.assertTrue(whole.startswith("INIT_START Runtime Version: provided.al2023\tRuntime Version ARN: "), whole)
        self.assertIn("\ninit\n", whole)

    def test_what_a_runtime_finds(self):
        name = self.function(Timeout=9)
        found, error, _ = self.call(name, {"do": "environment"})
        self.assertIsNone(error)
        self.assertEqual((found["uid"], found["readonly"]), (993, True))
        self.assertRegex(found["deadline"], r"^\d{13}$")
        self.assertEqual(found["arn"], f"arn:aws:lambda:us-east-1:000000000000:function:{name}")
        self.assertRegex(found["stream"], r"^\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}$")

    def test_one_sandbox_serves_one_event_after_the_other(self):
        name = self.function()
        pids = {json.dumps(self.call(name, {"do": "environment"})[0]["stream"]) for _ in range(5)}
        self.assertEqual(len(pids), 1)

    def test_events_at_once_get_sandboxes_of_their_own(self):
        name = self.function(Timeout=20)
        answers = []

        def one():
            answers.append(self.call(name, {"do": "sleep", "seconds": 1})[1])

        threads = [threading.Thread(target=one) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(answers, [None] * 3)
        # More may have been made ahead, which nobody has called yet.
        self.assertGreaterEqual(self.log_of(name).count("INIT_START"), 3)
        self.assertEqual(self.log_of(name).count("START RequestId"), 3)

    def test_reserved_concurrency_is_held(self):
        name = self.function(Timeout=20)
        self.api.request("PUT", f"/2017-10-31/functions/{name}/concurrency", {"ReservedConcurrentExecutions": 1})
        self.works(name)
        busy = threading.Thread(target=self.call, args=(name, {"do": "sleep", "seconds": 2}))
        before = self.log_of(name).count("START RequestId")
        busy.start()
        eventually(lambda: self.log_of(name).count("START RequestId") > before, "the first event is at work")
        refused = self.api.invoke(name, {})
        busy.join()
        self.assertEqual(refused.status, 429, str(refused))
        self.assertEqual(refused.headers["x-amzn-ErrorType"], "TooManyRequestsException")
        self.assertEqual(refused.json()["Reason"], "ReservedFunctionConcurrentInvocationLimitExceeded")
        self.works(name)

    def test_a_new_version_of_the_code_is_run_at_once(self):
        name = self.function()
        self.works(name)
        before = self.call(name, {"do": "environment"})[0]["stream"]
        self.api.request("PUT", f"/2015-03-31/functions/{name}/configuration", {"Timeout": 8})
        after = self.call(name, {"do": "environment"})[0]["stream"]
        self.assertNotEqual(before, after)

    def test_sandboxes_are_containers_that_end_with_the_daemon(self):
        name = self.function()
        self.works(name)
        listed = self.engine.ok("ps", "--filter", f"label=berth.function={name}", "-q").lines
        self.assertGreaterEqual(len(listed), 1)
        self.engine.kill()
        self.engine.start()
        type(self).api = FunctionsApi(self.engine.functions_address)
        self.assertEqual(self.engine.ok("ps", "-a", "--filter", f"label=berth.function={name}", "-q").lines, [])
        self.assertIn("START RequestId", self.log_of(name), "lines of answered events are there")
        self.works(name)


class BadInput(RuntimeCase):
    def test_a_runtime_that_exits(self):
        name = self.function()
        tail = self.fails(name, {"do": "exit", "code": 1}, "Runtime.ExitError",
                          r"^RequestId: \S+ Error: Runtime exited with error: exit status 1$")
        self.assertIn("Runtime.ExitError", tail)
        self.fails(name, {"do": "exit", "code": 0}, "Runtime.ExitError", "Runtime exited without providing a reason$")
        self.fails(name, {"do": "abort"}, "Runtime.ExitError", "signal: aborted$")
        self.works(name)

    def test_a_timeout(self):
        name = self.function(Timeout=1)
        tail = self.fails(name, {"do": "sleep", "seconds": 30}, "Sandbox.Timedout",
                          r"^RequestId: \S+ Error: Task timed out after 1.00 seconds$")
        self.assertIn("Status: timeout", tail)
        self.works(name)

    def test_an_init_that_exits(self):
        name = self.function(Environment={"Variables": {"INIT": "exit"}})
        self.fails(name, {}, "Runtime.ExitError", "Runtime exited with error: exit status 3$")
        log = self.log_of(name)
        self.assertIn("Phase: init\tStatus: error\tError Type: Runtime.ExitError", log)
        self.assertIn("Phase: invoke\tStatus: error", log)

    def test_no_bootstrap(self):
        name = self.function({"other": "x"})
        self.fails(name, {}, "Runtime.InvalidEntrypoint",
                   r"Couldn't find valid bootstrap\(s\): \[/var/task/bootstrap /opt/bootstrap\]$")

    def test_a_bootstrap_that_cannot_run(self):
        name = self.function({"bootstrap": "no program"})
        self.fails(name, {}, "Runtime.InvalidEntrypoint", "fork/exec /var/task/bootstrap: permission denied$")

    def test_calls_out_of_order(self):
        name = self.function()
        payload, error, tail = self.call(name, {"do": "twice"})
        self.assertEqual((payload, error), ("first", None))
        self.works(name)
        self.assertRegex(self.log_of(name), r"second answer (400|403)\n")
        found, error, _ = self.call(name, {"do": "foreign"})
        self.assertEqual((found["status"], found["body"]["errorType"]), (400, "InvalidRequestID"))

    def test_a_response_that_is_cut_short(self):
        name = self.function(Timeout=2)
        payload, error, tail = self.call(name, {"do": "lie"})
        self.assertEqual(error, "Unhandled")
        self.assertIn(payload["errorType"], ("Runtime.TruncatedResponse", "Sandbox.Timedout"))
        self.works(name)

    def test_an_error_of_the_functions_own(self):
        name = self.function()
        payload, error, _ = self.call(name, {"do": "error"})
        self.assertEqual((payload, error), ({"errorMessage": "own", "errorType": "Own"}, "Unhandled"))


class Python(RuntimeCase):
    runtime = "python3.11"

    @classmethod
    def base(cls):
        return runtimes.python_base()

    def test_a_handler(self):
        name = self.function({"app.py": "import os\ndef handler(event, context):\n    print('seen', event)\n"
                                        "    return {'event': event, 'id': context.aws_request_id, 'uid': os.getuid()}\n"},
                             Handler="app.handler")
        payload, error, tail = self.call(name, {"a": "ä"})
        self.assertIsNone(error, tail)
        self.assertEqual((payload["event"], payload["uid"]), ({"a": "ä"}, 993))
        self.assertIn(payload["id"], tail)
        self.assertIn("seen {'a': 'ä'}\n", tail)

    def test_logging_is_set_up_as_aws_has_it(self):
        name = self.function({"app.py": "import logging\nlogging.getLogger().setLevel('INFO')\n"
                                        "def handler(event, context):\n    logging.info('one %d', 1)\n"},
                             Handler="app.handler")
        payload, error, tail = self.call(name, {})
        self.assertEqual((payload, error), (None, None), tail)
        self.assertRegex(tail, r"\[INFO\]\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\t[0-9a-f-]{36}\tone 1\n")

    def test_exceptions(self):
        name = self.function({"app.py": "def handler(event, context):\n    raise ValueError('boom')\n"},
                             Handler="app.handler")
        payload, error, tail = self.call(name, {})
        self.assertEqual(error, "Unhandled")
        self.assertEqual((payload["errorType"], payload["errorMessage"]), ("ValueError", "boom"))
        self.assertEqual(len(payload["stackTrace"]), 1)
        self.assertIn("[ERROR] ValueError: boom\rTraceback (most recent call last):\r", tail)

    def test_handlers_that_cannot_be_loaded(self):
        name = self.function({"app.py": "def handler(event, context): pass\n", "bad.py": "def (:\n"}, Handler="no.h")
        self.fails(name, {}, "Runtime.ImportModuleError", "^Unable to import module 'no': No module named 'no'$")
        for handler, kind, text in (("app.no", "Runtime.HandlerNotFound", "^Handler 'no' missing on module 'app'$"),
                                    ("bad.h", "Runtime.UserCodeSyntaxError", "^Syntax error in module 'bad': "),
                                    ("app", "Runtime.MalformedHandlerName", "^Bad handler 'app': ")):
            self.api.request("PUT", f"/2015-03-31/functions/{name}/configuration", {"Handler": handler})
            self.fails(name, {}, kind, text)

    def test_active_tracing_samples(self):
        code = {"index.py": "import os\ndef handler(event, context):\n    return os.environ['_X_AMZN_TRACE_ID']\n"}
        form = r"^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled="
        given = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
        name = self.function(code, Handler="index.handler")
        for mode, sampled in (("Active", 1), ("PassThrough", 0)):
            changed = self.api.request("PUT", f"/2015-03-31/functions/{name}/configuration", {"TracingConfig": {"Mode": mode}})
            self.assertEqual(changed.status, 200, str(changed))
            self.assertRegex(self.call(name)[0], f"{form}{sampled};Lineage=[0-9a-f]{{8}}:1$")
            self.assertRegex(self.api.invoke(name, {}, X_Amzn_Trace_Id=given).json(), f"^{given};Lineage=[0-9a-f]{{8}}:1$")

    def test_memory_and_tmp_are_bounded_apart(self):
        name = self.function({"app.py": "def handler(event, context):\n    if event.get('memory'):\n"
                                        "        return len(bytearray(event['memory'] << 20))\n"
                                        "    with open('/tmp/f', 'wb') as f:\n"
                                        "        for _ in range(event['tmp']): f.write(bytes(1 << 20))\n"
                                        "    return event['tmp']\n"}, Handler="app.handler", Timeout=30)
        tail = self.fails(name, {"memory": 500}, "Runtime.ExitError", "signal: killed$")
        self.assertIn("Max Memory Used: 128 MB", tail)
        self.assertEqual(self.call(name, {"memory": 60})[0], 60 << 20)
        self.assertEqual(self.call(name, {"tmp": 200})[0], 200, "more than its memory")
        self.fails(name, {"tmp": 600}, "OSError", r"^\[Errno 28\] No space left on device$")


class Strict(RuntimeCase):
    """AWS's limits."""
    runtime = "python3.11"
    flags = ("--functions-limits", "strict")

    @classmethod
    def base(cls):
        return runtimes.python_base()

    def test_a_response_that_is_too_large(self):
        name = self.function({"app.py": "def handler(event, context):\n    return 'x' * event['size']\n"},
                             Handler="app.handler", MemorySize=256, Timeout=20)
        self.assertEqual(len(self.call(name, {"size": 6_000_000}, log=False)[0]), 6_000_000)
        self.fails(name, {"size": 7_000_000}, "Function.ResponseSizeTooLarge",
                   r"^Response payload size \(7000002 bytes\) exceeded maximum allowed payload size \(6291556 bytes\)\.$")
        self.assertEqual(self.call(name, {"size": 1}, log=False)[0], "x")


class StrictNodeJs(RuntimeCase):
    """AWS's limits with a client that writes its answers in one go."""
    runtime = "nodejs20.x"
    flags = ("--functions-limits", "strict")

    @classmethod
    def base(cls):
        return runtimes.nodejs_base()

    def test_a_response_that_is_too_large(self):
        name = self.function({"index.js": "exports.handler = async (event) => 'x'.repeat(event.size);"},
                             Handler="index.handler", MemorySize=1024, Timeout=20)
        for size in (7_000_000, 60_000_000):
            self.fails(name, {"size": size}, "Function.ResponseSizeTooLarge", r"exceeded maximum allowed payload size")
            self.assertEqual(self.call(name, {"size": 6_000_000}, log=False)[0], "x" * 6_000_000)


class NodeJs(RuntimeCase):
    runtime = "nodejs20.x"

    @classmethod
    def base(cls):
        return runtimes.nodejs_base()

    def node(self, text, ending="js", **members):
        return self.function({f"index.{ending}": text}, Handler="index.handler", MemorySize=256, Timeout=20, **members)

    def test_async_handlers_of_either_module_kind(self):
        name = self.node("exports.handler = async (event, context) => { console.log('seen', event);"
                         " return { event, id: context.awsRequestId }; };")
        payload, error, tail = self.call(name, {"a": 1})
        self.assertIsNone(error, tail)
        self.assertEqual(payload["event"], {"a": 1})
        self.assertRegex(tail, r"\dZ\t[0-9a-f-]{36}\tINFO\tseen \{ a: 1 \}\n")

    def test_es_modules(self):
        name = self.node("export const handler = async (event) => ({ module: import.meta.url });", "mjs")
        payload, error, tail = self.call(name, {})
        self.assertEqual((payload, error), ({"module": "file:///var/task/index.mjs"}, None), tail)

    def test_callbacks(self):
        name = self.node("exports.handler = (event, context, callback) => { setTimeout(() => callback(null, 'late'), 5); };")
        self.assertEqual(self.call(name, {})[:2], ("late", None))
        self.assertEqual(self.call(name, {})[:2], ("late", None))

    def test_errors(self):
        name = self.node("exports.handler = async () => { throw new TypeError('boom'); };")
        payload, error, tail = self.call(name, {})
        self.assertEqual((payload["errorType"], payload["errorMessage"], error), ("TypeError", "boom", "Unhandled"))
        self.assertIn("Invoke Error", tail)
        self.assertTrue(payload["trace"][0].startswith("TypeError: boom"))

    def test_large_events_and_answers(self):
        name = self.node("exports.handler = async (event) => ({ size: event.text.length, text: event.text });")
        text = "ä" * 300_000
        payload, error, _ = self.call(name, {"text": text})
        self.assertEqual((payload, error), ({"size": len(text), "text": text}, None))

    def test_streamed_responses_and_the_next_event(self):
        name = self.node("exports.handler = awslambda.streamifyResponse(async (event, stream) => {"
                         " stream.write('one '); stream.write(event.word); stream.end(); });")
        for word in ("two", "three"):
            answer = self.api.request("POST", f"/2021-11-15/functions/{name}/response-streaming-invocations",
                                      json.dumps({"word": word}).encode())
            self.assertEqual(answer.status, 200, str(answer))
            self.assertIn(b"one ", answer.body)
            self.assertIn(word.encode(), answer.body)

    def test_what_nobody_catches_after_an_event(self):
        name = self.node("exports.handler = (event, context, callback) => {"
                         " context.callbackWaitsForEmptyEventLoop = false;"
                         " if (event.later) setTimeout(() => { throw new Error('late'); }, 0);"
                         " else callback(null, 1); };")
        payload, error, tail = self.call(name, {"later": True})
        self.assertEqual((payload["errorMessage"], error), ("late", "Unhandled"), tail)
        self.assertEqual(self.call(name, {})[:2], (1, None))

    def test_a_first_event_needs_no_network_library(self):
        """berth-init has connected; neither the handler nor its children see anything of it."""
        name = self.node("exports.handler = async () => {"
                         " const net = process.moduleLoadList.includes('NativeModule net');"
                         " const open = require('child_process').execFileSync('/bin/busybox', ['ls', '/proc/self/fd']);"
                         " return { net, told: 'BERTH_RUNTIME_SOCKET' in process.env,"
                         " open: String(open).split(/\\s+/).filter((each) => each) }; };")
        payload, error, tail = self.call(name, {})
        self.assertIsNone(error, tail)
        self.assertEqual((payload["net"], payload["told"]), (False, False))
        self.assertEqual(payload["open"], ["0", "1", "2", "3"])  # the last is the folder that ls reads

    def test_a_frozen_client_goes_on_with_its_connection(self):
        name = self.node("let count = 0; exports.handler = async () =>"
                         " [++count, process.moduleLoadList.includes('NativeModule net')];")
        counts = []
        for _ in range(8):
            payload, error, tail = self.call(name, {})
            self.assertEqual((payload[1:], error), ([False], None), tail)
            counts.append(payload[0])
            eventually(lambda: {box["state"] for box in self.api.request("GET", "/_berth/sandboxes").json()["sandboxes"]
                                if box["function"] == name and box["initialized"]} == {"frozen"},
                       "all that have run are frozen", within=60)
        self.assertGreater(max(counts), 1)

    def test_a_client_that_finds_no_socket_connects_for_itself(self):
        name = self.node("exports.handler = async (event) => [event,"
                         " process.moduleLoadList.includes('NativeModule net')];",
                         Environment={"Variables": {"BERTH_RUNTIME_SOCKET": "7"}})
        for number in range(3):
            self.assertEqual(self.call(name, number)[:2], ([number, True], None))

    def test_modules_that_are_missing(self):
        name = self.node("require('nowhere'); exports.handler = async () => 1;")
        self.fails(name, {}, "Runtime.ImportModuleError", "^Error: Cannot find module 'nowhere'")


class Extensions(RuntimeCase):
    runtime = "python3.11"

    @classmethod
    def base(cls):
        return runtimes.python_base()

    MONITOR = """#!/usr/bin/python3.11
import json, os, sys, threading, urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"]
class Sink(BaseHTTPRequestHandler):
    def do_POST(self):
        for event in json.loads(self.rfile.read(int(self.headers["Content-Length"]))):
            if event["type"] != "extension":
                print("telemetry", event["type"], flush=True)
        self.send_response(200); self.end_headers()
    def log_message(self, *words): pass
def call(method, path, body=None, **headers):
    request = urllib.request.Request(api + path, body, {k.replace("_", "-"): v for k, v in headers.items()}, method=method)
    return urllib.request.urlopen(request)
answer = call("POST", "/2020-01-01/extension/register", b'{"events":["INVOKE","SHUTDOWN"]}', Lambda_Extension_Name="monitor")
who = answer.headers["Lambda-Extension-Identifier"]
server = HTTPServer(("sandbox.localdomain", 8123), Sink)
threading.Thread(target=server.serve_forever, daemon=True).start()
call("PUT", "/2022-07-01/telemetry", json.dumps({"schemaVersion": "2022-12-13", "types": ["platform", "function"],
     "buffering": {"timeoutMs": 25, "maxItems": 1000, "maxBytes": 262144},
     "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:8123/"}}).encode(), Lambda_Extension_Identifier=who)
print("registered", "_HANDLER" in os.environ, flush=True)
while True:
    event = json.load(call("GET", "/2020-01-01/extension/event/next", Lambda_Extension_Identifier=who))
    print("event", event["eventType"], flush=True)
    if event["eventType"] == "SHUTDOWN": sys.exit(0)
"""

    def test_an_external_extension(self):
        from harness.functions import zip_of
        layer = self.api.request("POST", "/2018-10-31/layers/monitor/versions", {
            "Content": {"ZipFile": base64.b64encode(zip_of({"extensions/monitor": self.MONITOR})).decode()}})
        self.assertEqual(layer.status, 201, str(layer))
        name = self.function({"app.py": "def handler(event, context):\n    print('work')\n    return 1\n"},
                             Handler="app.handler", Layers=[layer.json()["LayerVersionArn"]], Timeout=20)
        payload, error, tail = self.call(name, {})
        self.assertEqual((payload, error), (1, None), tail)
        self.call(name, {})
        log = self.log_of(name)
        self.assertIn("registered False\n", log)
        self.assertEqual(log.count("event INVOKE\n"), 2)
        for kind in ("platform.initStart", "platform.start", "function", "platform.runtimeDone"):
            eventually(lambda: f"telemetry {kind}\n" in self.log_of(name) or not self.call(name, {}) or None,
                       f"{kind} is delivered")
        self.api.request("PUT", f"/2015-03-31/functions/{name}/configuration", {"Timeout": 21})
        eventually(lambda: "event SHUTDOWN\n" in self.log_of(name), "the extension hears of the end")
