"""Functions that call themselves, and how many sandboxes a published version has."""
import threading

from harness import archives, runtimes
from harness.engine import eventually
from harness.functions import FunctionsCase

RUNS = 16  # of one function in one chain of events
# Passes the trace header on, as AWS's SDKs do, until it is refused or far enough.
CALLS_ITSELF = """
import json, os, urllib.error, urllib.request
def handler(event, context):
    n = event["n"]
    print(f"run {n}")
    if n == event["end"]:
        print("came to its end")
        return n
    request = urllib.request.Request(
        f"{os.environ['AWS_ENDPOINT_URL']}/2015-03-31/functions/{context.function_name}/invocations",
        json.dumps({**event, "n": n + 1}).encode(),
        {"X-Amz-Invocation-Type": "Event", "X-Amzn-Trace-Id": os.environ["_X_AMZN_TRACE_ID"]}, method="POST")
    try:
        urllib.request.urlopen(request).read()
    except urllib.error.HTTPError as error:
        print("refused:", error.code, error.headers["x-amzn-ErrorType"], error.read().decode())
"""


class Loops(FunctionsCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        loaded = cls.engine.load(runtimes.python_base())
        assert loaded.code == 0, str(loaded)

    def log_of(self, name):
        answer = self.api.request("POST", "/", {"logGroupName": f"/aws/lambda/{name}"}, {
            "X-Amz-Target": "Logs_20140328.FilterLogEvents", "Content-Type": "application/x-amz-json-1.1"})
        return "".join(event["message"] for event in answer.json()["events"]) if answer.status == 200 else ""

    def begin(self, name):
        answer = self.api.create(name, {"index.py": CALLS_ITSELF}, Runtime="python3.11", Handler="index.handler", Timeout=60)
        self.assertEqual(answer.status, 201, str(answer))
        self.addCleanup(self.api.request, "DELETE", f"/2015-03-31/functions/{name}")

    def run_of(self, name, until):
        answer = self.api.invoke(name, {"n": 1, "end": RUNS + 4}, X_Amz_Invocation_Type="Event")
        self.assertEqual(answer.status, 202, str(answer))
        eventually(lambda: until in self.log_of(name), f"{name}: {until}", within=120)
        return self.log_of(name)

    def test_a_function_that_calls_itself_without_end_is_stopped(self):
        self.begin("loop")
        log = self.run_of("loop", "refused: ")
        self.assertIn("refused: 400 RecursiveInvocationException", log)
        self.assertIn('"Message":"Function arn:aws:lambda:us-east-1:000000000000:function:loop has been called 16 times', log)
        self.assertEqual([f"run {n}\n" in log for n in (1, RUNS, RUNS + 1)], [True, True, False], log)

    def test_one_that_may_goes_on(self):
        self.begin("allowed")
        answer = self.api.request("PUT", "/2024-08-31/functions/allowed/recursion-config", {"RecursiveLoop": "Allow"})
        self.assertEqual(answer.json(), {"RecursiveLoop": "Allow"})
        log = self.run_of("allowed", "came to its end")
        self.assertEqual(log.count("START RequestId"), RUNS + 4)

    def test_a_header_of_ones_own_counts_as_well(self):
        self.begin("own")
        answer = self.api.invoke("own", {"n": 1, "end": 1})
        mark = answer.headers["X-Amzn-Trace-Id"].rsplit("Lineage=", 1)[1].split(":")[0]
        for runs, status in ((RUNS - 1, 200), (RUNS, 400), (0xffffffffff, 200)):
            answer = self.api.invoke("own", {"n": 1, "end": 1}, X_Amzn_Trace_Id=f"Lineage=0123abcd:5|{mark}:{runs}")
            self.assertEqual(answer.status, status, (runs, str(answer)))


class Scaling(FunctionsCase):
    """PutFunctionScalingConfig: how many sandboxes of a version there are always, and at most."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        loaded = cls.engine.load(runtimes.provided_base())
        assert loaded.code == 0, str(loaded)

    def published(self, name):
        answer = self.api.create(name, {"bootstrap": archives.program("lambda_bootstrap")}, Timeout=60, Publish=True)
        self.assertEqual(answer.status, 201, str(answer))
        self.addCleanup(self.api.request, "DELETE", f"/2015-03-31/functions/{name}")

    def scale(self, name, status=202, qualifier="1", **config):
        answer = self.api.request("PUT", f"/2025-11-30/functions/{name}/function-scaling-config?Qualifier={qualifier}",
                                  {"FunctionScalingConfig": config})
        self.assertEqual(answer.status, status, str(answer))
        return answer.json()

    def boxes(self, name):
        return [box for box in self.api.request("GET", "/_berth/sandboxes").json()["sandboxes"] if box["function"] == name]

    def test_at_least_and_at_most(self):
        self.published("scaled")
        self.assertEqual(self.scale("scaled", MinExecutionEnvironments=1, MaxExecutionEnvironments=1), {"FunctionState": "Active"})
        eventually(lambda: any(box["version"] == "1" and box["initialized"] for box in self.boxes("scaled")),
                   "one is initialised before any event", within=120)
        caller = threading.Thread(target=lambda: self.api.invoke("scaled:1", {"do": "sleep", "seconds": 5}))
        caller.start()
        try:
            eventually(lambda: any(box["state"] == "busy" for box in self.boxes("scaled")), "one is at work", within=60)
            refused = self.api.invoke("scaled:1", {})
            self.assertEqual((refused.status, refused.headers["x-amzn-ErrorType"]), (429, "TooManyRequestsException"))
            self.assertEqual(self.api.invoke("scaled", {"a": 1}).json(), {"a": 1}, "$LATEST has no bound")
        finally:
            caller.join()
        self.assertEqual(self.api.invoke("scaled:1", {"a": 1}).json(), {"a": 1})
        got = self.api.request("GET", "/2025-11-30/functions/scaled/function-scaling-config?Qualifier=%24LATEST.PUBLISHED").json()
        self.assertEqual(got, {"FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:scaled:1",
                               "RequestedFunctionScalingConfig": {"MinExecutionEnvironments": 1, "MaxExecutionEnvironments": 1},
                               "AppliedFunctionScalingConfig": {"MinExecutionEnvironments": 1, "MaxExecutionEnvironments": 1}})
        self.scale("scaled")
        got = self.api.request("GET", "/2025-11-30/functions/scaled/function-scaling-config?Qualifier=1").json()
        self.assertNotIn("RequestedFunctionScalingConfig", got)

    def test_bad_input(self):
        self.published("bad")
        for qualifier, status in (("", 400), ("live", 400), ("%24LATEST", 400), ("7", 404)):
            self.scale("bad", status, qualifier, MaxExecutionEnvironments=1)
        for config in ({"MinExecutionEnvironments": -1}, {"MaxExecutionEnvironments": 15001}, {"MinExecutionEnvironments": "1"},
                       {"MinExecutionEnvironments": 2, "MaxExecutionEnvironments": 1}):
            self.scale("bad", 400, **config)
