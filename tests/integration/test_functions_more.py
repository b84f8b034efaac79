"""Functions beyond Lambda's own: web servers as functions, notifications of buckets, debuggers, sandboxes that are made
ahead, filter patterns, images that are pulled, and a function's package as a container."""
import base64
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

from harness import archives, runtimes
from harness.engine import eventually
from harness.functions import ROLE, FunctionsCase
from harness.registry import FakeRegistry, small_image

CGI = """#!/bin/sh
echo "Content-Type: text/plain"
echo "Set-Cookie: seen=1"
echo "X-Method: $REQUEST_METHOD"
echo
echo "$REQUEST_METHOD $QUERY_STRING $HTTP_COOKIE"
[ "$REQUEST_METHOD" = POST ] && head -c "$CONTENT_LENGTH"
exit 0
"""
PASSED = """#!/bin/sh
echo "Content-Type: application/json"
echo
head -c "$CONTENT_LENGTH"
"""
CONTEXT = """#!/bin/sh
printf 'Content-Type: application/json\\n\\n{"tenant": "%s", "context": %s}' "$HTTP_X_AMZ_TENANT_ID" "$HTTP_X_AMZN_LAMBDA_CONTEXT"
"""
# Attaches to a process as debuggers do, says so, and stays until it is told to go.
DEBUGGER = """
import ctypes, sys
ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
PTRACE_SEIZE = 0x4206
sys.exit(1) if ptrace(PTRACE_SEIZE, int(sys.argv[1]), None, None) else print("attached", flush=True)
sys.stdin.read()
"""


class WebServers(FunctionsCase):
    """An image with a web server in it and no word of Lambda."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.engine.load_base_image()
        with tempfile.TemporaryDirectory(prefix="bt.", dir="/tmp") as folder:
            for name, text in (("index.html", "front page\n"), ("cgi-bin/echo", CGI), ("cgi-bin/events", PASSED),
                               ("cgi-bin/context", CONTEXT)):
                path = os.path.join(folder, "www", name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w") as file:
                    file.write(text)
                os.chmod(path, 0o755)
            with open(os.path.join(folder, "Dockerfile"), "w") as file:
                file.write("FROM berth-test:base\nCOPY www /www\nENV AWS_LWA_PORT=8000\n"
                           "ENV AWS_LWA_PASS_THROUGH_PATH=/cgi-bin/events\n"
                           'ENTRYPOINT ["/bin/sh", "-c", "exec httpd -f -p 127.0.0.1:$PORT -h /www"]\n')
            cls.engine.ok("build", "-q", "-t", "web", folder)

    def web(self, name, **members):
        answer = self.api.request("POST", "/2015-03-31/functions", {
            "FunctionName": name, "Role": ROLE, "PackageType": "Image", "Code": {"ImageUri": "web:latest"},
            "Timeout": 20, **members})
        self.assertEqual(answer.status, 201, str(answer))
        self.addCleanup(self.api.request, "DELETE", f"/2015-03-31/functions/{name}")

    def call_web(self, name, method, path, query="", **more):
        event = {"version": "2.0", "rawPath": path, "rawQueryString": query, "headers": {"host": "example"},
                 "requestContext": {"http": {"method": method}}, **more}
        answer = self.api.invoke(name, event)
        self.assertEqual((answer.status, answer.headers.get("X-Amz-Function-Error")), (200, None), str(answer))
        return answer.json()

    def test_requests_become_requests(self):
        self.web("site")
        page = self.call_web("site", "GET", "/index.html")
        self.assertEqual((page["statusCode"], page["body"], page["isBase64Encoded"]), (200, "front page\n", False))
        self.assertEqual(self.call_web("site", "GET", "/none")["statusCode"], 404)
        posted = self.call_web("site", "POST", "/cgi-bin/echo", "a=1&b=%20", cookies=["c=2"],
                               body=base64.b64encode(b"words").decode(), isBase64Encoded=True)
        self.assertEqual((posted["statusCode"], posted["body"]), (200, "POST a=1&b=%20 c=2\nwords"))
        self.assertEqual((posted["headers"]["x-method"], posted["cookies"]), ("POST", ["seen=1"]))

    def test_other_events_are_posted(self):
        self.web("passed")
        self.assertEqual(self.api.invoke("passed", {"Records": [1]}).json(), {"Records": [1]})

    def test_the_tenant_and_the_context_are_told(self):
        self.web("apart", TenancyConfig={"TenantIsolationMode": "PER_TENANT"}, MemorySize=256)
        for tenant in ("blue", "green"):
            event = {"version": "2.0", "rawPath": "/cgi-bin/context", "requestContext": {"http": {"method": "GET"}},
                     "headers": {"X-Amz-Tenant-Id": "a client's word"}}
            answer = self.api.invoke("apart", event, X_Amz_Tenant_Id=tenant)
            self.assertEqual(answer.status, 200, str(answer))
            told = json.loads(answer.json()["body"])
            context = told["context"]
            self.assertEqual((told["tenant"], context["tenant_id"]), (tenant, tenant))
            self.assertEqual(context["request_id"], answer.headers["x-amzn-RequestId"])
            self.assertEqual(context["invoked_function_arn"], "arn:aws:lambda:us-east-1:000000000000:function:apart")
            self.assertGreater(context["deadline"], 1_700_000_000_000)
            self.assertEqual({name: context["env_config"][name] for name in ("function_name", "memory", "version", "log_group")},
                             {"function_name": "apart", "memory": 256, "version": "$LATEST", "log_group": "/aws/lambda/apart"})
            self.assertIn("[$LATEST]", context["env_config"]["log_stream"])

    def test_a_function_url_leads_to_it(self):
        self.web("linked")
        made = self.api.request("POST", "/2021-10-31/functions/linked/url", {"AuthType": "NONE"})
        self.assertEqual(made.status, 201, str(made))
        host = urllib.parse.urlparse(made.json()["FunctionUrl"]).hostname
        answer = self.api.request("GET", f"/_berth/url/{host.split('.')[0]}/index.html")
        self.assertEqual((answer.status, answer.body), (200, b"front page\n"), str(answer))

    def test_a_server_that_never_listens_fails_its_init(self):
        self.web("deaf", Environment={"Variables": {"AWS_LWA_PORT": "8001"}},
                 ImageConfig={"EntryPoint": ["/bin/sh", "-c", "exit 3"]})
        answer = self.api.invoke("deaf", {})
        self.assertEqual(answer.headers.get("X-Amz-Function-Error"), "Unhandled", str(answer))
        self.assertEqual(answer.json()["errorType"], "Runtime.ExitError")

    def test_a_port_that_is_none(self):
        self.web("wrong", Environment={"Variables": {"AWS_LWA_PORT": "http"}})
        answer = self.api.invoke("wrong", {})
        self.assertIn('AWS_LWA_PORT: "http" is no port', answer.json()["errorMessage"], str(answer))


class Notifications(FunctionsCase):
    def notify(self, bucket, rules, status=200):
        text = "".join(f"<CloudFunctionConfiguration><Id>{name}</Id><CloudFunction>{arn}</CloudFunction>"
                       f"<Event>{event}</Event><Filter><S3Key><FilterRule><Name>{kind}</Name><Value>{value}</Value>"
                       "</FilterRule></S3Key></Filter></CloudFunctionConfiguration>"
                       for name, arn, event, kind, value in rules)
        document = f'<NotificationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{text}</NotificationConfiguration>'
        answer = self.api.request("PUT", f"/{bucket}?notification", document.encode())
        self.assertEqual(answer.status, status, str(answer))
        return answer.body.decode()

    def test_objects_reach_the_function_that_asked(self):
        done, done_arn = self.queue("done")
        self.worker("watcher")
        self.api.request("PUT", "/2019-09-25/functions/watcher/event-invoke-config", {
            "DestinationConfig": {"OnSuccess": {"Destination": done_arn}}})
        self.assertEqual(self.api.request("PUT", "/photos").status, 200)
        arn = "arn:aws:lambda:us-east-1:000000000000:function:watcher"
        self.notify("photos", [("one", arn, "s3:ObjectCreated:*", "Prefix", "in/"),
                               ("two", arn, "s3:ObjectRemoved:Delete", "suffix", ".jpg")])
        self.assertIn(arn, self.api.request("GET", "/photos?notification").body.decode())
        for method, key, body in (("PUT", "other/a", b"x"), ("PUT", "in/a%20b.jpg", b"four"), ("DELETE", "in/a%20b.jpg", b"")):
            self.assertIn(self.api.request(method, f"/photos/{key}", body).status, (200, 204))
        records = {}
        for _ in range(2):
            record, = json.loads(self.receive(done)["Body"])["requestPayload"]["Records"]
            records[record["eventName"]] = record
        created, removed = records["ObjectCreated:Put"], records["ObjectRemoved:Delete"]
        self.assertEqual((created["eventSource"], created["s3"]["bucket"]["name"]), ("aws:s3", "photos"))
        self.assertEqual((created["s3"]["object"]["key"], created["s3"]["object"]["size"]), ("in/a+b.jpg", 4))
        self.assertEqual(created["s3"]["configurationId"], "one")
        self.assertEqual(removed["s3"]["object"]["key"], "in/a+b.jpg")
        self.assertLess(created["s3"]["object"]["sequencer"], removed["s3"]["object"]["sequencer"])

    def test_what_is_refused(self):
        self.assertEqual(self.api.request("PUT", "/plain").status, 200)
        arn = "arn:aws:lambda:us-east-1:000000000000:function:nobody"
        self.assertIn("there is no function", self.notify("plain", [("a", arn, "s3:ObjectCreated:*", "prefix", "")], 400))
        self.assertIn("is not supported", self.notify("plain", [("a", arn, "s3:TestEvent", "prefix", "")], 400))
        self.notify("absent", [], 404)
        answer = self.api.request("PUT", "/plain?notification", b"no xml")
        self.assertEqual(answer.status, 400, str(answer))
        self.notify("plain", [])
        self.assertNotIn("CloudFunction", self.api.request("GET", "/plain?notification").body.decode())


class Patterns(FunctionsCase):
    def logs(self, operation, status=200, **members):
        return self.call(f"Logs_20140328.{operation}", status, **members)

    def test_filters_of_logs(self):
        self.logs("CreateLogGroup", logGroupName="patterns")
        self.logs("CreateLogStream", logGroupName="patterns", logStreamName="s")
        now = int(time.time() * 1000)
        messages = ['{"level":"ERROR","took":120}', '{"level":"INFO","took":3}', "GET /a 404 12", "GET /b 200 13"]
        self.logs("PutLogEvents", logGroupName="patterns", logStreamName="s",
                  logEvents=[{"timestamp": now, "message": message} for message in messages])

        def found(pattern):
            answer = self.logs("FilterLogEvents", logGroupName="patterns", filterPattern=pattern)
            return [messages.index(event["message"]) for event in answer["events"]]

        self.assertEqual(found('{ $.level = "ERROR" }'), [0])
        self.assertEqual(found("{ $.took < 100 || $.level = ERR* }"), [0, 1])
        self.assertEqual(found("[method, path, status = 4*, size]"), [2])
        self.assertEqual(found("GET -404"), [3])
        refused = self.logs("FilterLogEvents", 400, logGroupName="patterns", filterPattern="{ $.level }")
        self.assertEqual(refused["__type"], "InvalidParameterException")
        self.assertIn("Invalid filter pattern: expected one of", refused["message"])


class Sandboxes(FunctionsCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        loaded = cls.engine.load(runtimes.provided_base())
        assert loaded.code == 0, str(loaded)

    def make(self, name, **members):
        answer = self.api.create(name, {"bootstrap": archives.program("lambda_bootstrap")}, Timeout=20, **members)
        self.assertEqual(answer.status, 201, str(answer))
        self.addCleanup(self.api.request, "DELETE", f"/2015-03-31/functions/{name}")

    def boxes(self, name):
        return [box for box in self.api.request("GET", "/_berth/sandboxes").json()["sandboxes"] if box["function"] == name]

    def until(self, name, what, condition):
        return eventually(lambda: condition(self.boxes(name)) and self.boxes(name), f"{name}: {what}", within=60)

    def test_one_is_made_ahead_and_initialised_once_the_function_has_run(self):
        self.make("ahead")
        box, = self.until("ahead", "one is prepared", lambda boxes: [box["state"] for box in boxes] == ["prepared"])
        self.assertEqual(box["initialized"], False, "nothing of a function runs before it is called")
        self.assertEqual(self.api.invoke("ahead", {"a": 1}).json(), {"a": 1})
        spares = self.until("ahead", "another is initialised", lambda boxes: sorted(box["events"] for box in boxes) == [0, 1]
                            and all(box["state"] == "frozen" for box in boxes))
        listed = self.engine.ok("function", "ls", "--sandboxes")
        for box in spares:
            self.assertIn(box["container"][:12], listed.out)
        # New code is ready before it is called.
        self.api.request("PUT", "/2015-03-31/functions/ahead/configuration", {"Timeout": 21})
        self.until("ahead", "the new version is initialised", lambda boxes: [(box["state"], box["events"]) for box in boxes]
                   == [("frozen", 0)])
        answer = self.api.invoke("ahead", {"b": 2})
        self.assertEqual(answer.json(), {"b": 2})
        self.assertIn("taken from the stock", self.engine.ok("function", "why", answer.headers["x-amzn-RequestId"]).out)

    def test_an_init_that_fails_is_not_run_ahead(self):
        self.make("broken", Environment={"Variables": {"INIT": "exit"}})
        self.until("broken", "one is prepared", lambda boxes: [box["state"] for box in boxes] == ["prepared"])
        self.assertEqual(self.api.invoke("broken", {}).json()["errorType"], "Runtime.ExitError")
        self.until("broken", "what is left is prepared", lambda boxes: {box["state"] for box in boxes} <= {"prepared"})

    def provision(self, name, count):
        """The provisioned concurrency of version 1 once it is settled."""
        eventually(lambda: self.api.request("GET", f"/2015-03-31/functions/{name}/configuration").json()["State"] == "Active",
                   f"{name} is active", within=60)
        answer = self.api.request("POST", f"/2015-03-31/functions/{name}/versions", {})
        self.assertEqual(answer.status, 201, str(answer))
        target = f"/2019-09-30/functions/{name}/provisioned-concurrency?Qualifier=1"
        answer = self.api.request("PUT", target, {"ProvisionedConcurrentExecutions": count})
        self.assertEqual(answer.status, 202, str(answer))

        def settled():
            state = self.api.request("GET", target).json()
            return state if state["Status"] != "IN_PROGRESS" else None

        return eventually(settled, f"provisioned concurrency of {name} is settled", within=120)

    def test_provisioned_ones_are_initialised_before_an_event(self):
        self.make("provisioned")
        state = self.provision("provisioned", 2)
        self.assertEqual(state["Status"], "READY", state)
        self.assertEqual([state[f"{kind}ProvisionedConcurrentExecutions"] for kind in
                          ("Requested", "Allocated", "Available")], [2, 2, 2], state)
        self.assertNotIn("StatusReason", state)
        # One more may be there: an init that went well is run ahead as well.
        ready = [box for box in self.boxes("provisioned") if box["initialized"] and box["version"] == "1"]
        self.assertGreaterEqual(len(ready), 2, ready)
        self.assertEqual({box["events"] for box in ready}, {0}, ready)
        self.assertEqual(self.api.invoke("provisioned:1", {"a": 1}).json(), {"a": 1})

    def test_provisioned_ones_that_work_are_still_ready(self):
        self.make("occupied")
        self.provision("occupied", 1)
        caller = threading.Thread(target=lambda: self.api.invoke("occupied:1", {"do": "sleep", "seconds": 6}))
        caller.start()
        try:
            target = "/2019-09-30/functions/occupied/provisioned-concurrency?Qualifier=1"
            boxes = self.until("occupied", "one is at work", lambda boxes: any(box["state"] == "busy" for box in boxes))
            state = self.api.request("GET", target).json()
            self.assertEqual(state["Status"], "READY", (state, boxes))
            self.assertGreaterEqual(state["AllocatedProvisionedConcurrentExecutions"], 1, state)
        finally:
            caller.join()

    def test_a_provisioned_one_whose_init_fails_is_told(self):
        self.make("unready", Environment={"Variables": {"INIT": "exit"}})
        state = self.provision("unready", 1)
        self.assertEqual(state["Status"], "FAILED", state)
        self.assertEqual(state["StatusReason"], "FUNCTION_ERROR_INIT_FAILURE")
        self.assertEqual(state["AvailableProvisionedConcurrentExecutions"], 0)

    def test_the_clock_stands_still_while_a_debugger_is_attached(self):
        self.make("slow")
        self.api.request("PUT", "/2015-03-31/functions/slow/configuration", {"Timeout": 5})
        answers = []

        def call():
            answers.append(self.api.invoke("slow", {"do": "sleep", "seconds": 11}, X_Berth_Debug="true"))

        caller = threading.Thread(target=call)
        caller.start()
        try:
            box = self.until("slow", "it is at work", lambda boxes: any(box["state"] == "busy" for box in boxes))
            container = next(each["container"] for each in box if each["state"] == "busy")
            init = int(self.engine.ok("inspect", "-f", "{{.State.Pid}}", container).text)
            with open(f"/proc/{init}/task/{init}/children") as children:
                program = children.read().split()[0]
            debugger = subprocess.Popen([sys.executable, "-c", DEBUGGER, program], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
            self.addCleanup(debugger.kill)
            self.assertEqual(debugger.stdout.readline(), "attached\n")
        finally:
            caller.join()
        debugger.communicate()
        self.assertIsNone(answers[0].headers.get("X-Amz-Function-Error"), str(answers[0]))
        self.assertEqual(answers[0].json()["do"], "sleep")
        late = self.api.invoke("slow", {"do": "sleep", "seconds": 11}, X_Berth_Debug="true")
        self.assertEqual(late.json()["errorType"], "Sandbox.Timedout", "without a debugger it runs")

    def test_a_package_runs_as_a_container(self):
        answer = self.api.create("both", {"bootstrap": archives.program("lambda_bootstrap"), "data.txt": "of the package"},
                                 Environment={"Variables": {"GREETING": "hello"}})
        self.assertEqual(answer.status, 201, str(answer))
        self.addCleanup(self.api.request, "DELETE", "/2015-03-31/functions/both")
        result = self.engine.ok("run", "--rm", "--function", "both", "sh", "-c", "cat data.txt; echo \" $GREETING $PWD\"")
        self.assertEqual(result.text, "of the package hello /var/task")
        refused = self.engine("run", "--rm", "--function", "both")
        self.assertNotEqual(refused.code, 0)
        self.assertIn("say what to run", refused.err)
        missing = self.engine("run", "--rm", "--function", "nobody", "true")
        self.assertIn("Function not found", missing.err)


class Pulled(FunctionsCase):
    def create(self, name, uri):
        return self.api.request("POST", "/2015-03-31/functions", {
            "FunctionName": name, "Role": ROLE, "PackageType": "Image", "Code": {"ImageUri": uri}})

    def test_a_missing_image_is_pulled(self):
        registry = FakeRegistry()
        self.addCleanup(registry.close)
        registry.add("team/function", "1", small_image())
        made = self.create("pulled", f"{registry.host}/team/function:1")
        self.assertEqual(made.status, 201, str(made))
        self.assertIn(f"{registry.host}/team/function", self.engine.ok("images").out)
        refused = self.create("absent", f"{registry.host}/team/none:1")
        self.assertEqual(refused.status, 400, str(refused))
        self.assertIn(f"Source image {registry.host}/team/none:1 does not exist", refused.json()["message"])
