"""Durable functions: a handler that does what its input says, speaking the protocol by itself, and calls of the API."""
import json
import urllib.parse

from . import runtimes
from .engine import eventually
from .functions import FunctionsCase

# {"do": [["step", VALUE], ["wait", SECONDS], ["retry", TIMES], ["callback", OPTIONS], ["invoke", FUNCTION, INPUT],
#         ["context", VALUE], ["big", BYTES], ["await", STATUS], ["sleep", SECONDS], ["finish", VALUE], ["fail", WORDS], ["raise", WORDS], ["exit"], ["answer", ANYTHING]]}:
# one operation after the other, replayed from what the event brings. Its result is the list of their results.
HANDLER = '''
import http.client, json, os, time, urllib.parse

class Suspend(Exception):
    pass

class Refused(Exception):
    pass

class Run:
    def __init__(self, event):
        self.arn = event["DurableExecutionArn"]
        self.token = event["CheckpointToken"]
        state = event["InitialExecutionState"]
        self.path = "/2025-12-01/durable-executions/" + urllib.parse.quote(self.arn, safe="")
        self.operations = {each["Id"]: each for each in state["Operations"]}
        self.input = json.loads(state["Operations"][0]["ExecutionDetails"]["InputPayload"])
        marker = state.get("NextMarker")
        while marker:
            query = urllib.parse.urlencode({"CheckpointToken": self.token, "Marker": marker, "MaxItems": 1000})
            page = self.call("GET", f"{self.path}/state?{query}")
            self.operations.update((each["Id"], each) for each in page["Operations"])
            marker = page.get("NextMarker")

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection(os.environ["AWS_ENDPOINT_URL"].split("//")[1], timeout=60)
        connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        document = json.loads(answer.read() or b"{}")
        if answer.status != 200:
            raise Refused(f"{answer.status} {answer.headers['x-amzn-ErrorType']}: {document}")
        return document

    def checkpoint(self, *updates):
        answer = self.call("POST", f"{self.path}/checkpoint", {"CheckpointToken": self.token, "Updates": list(updates)})
        self.operations.update((each["Id"], each) for each in answer["NewExecutionState"]["Operations"])
        if "CheckpointToken" not in answer:
            raise Suspend
        self.token = answer["CheckpointToken"]

    def started(self, id, kind, **members):
        """The operation, begun now unless it was; suspends until it has ended."""
        if id not in self.operations:
            self.checkpoint({"Id": id, "Type": kind, "Action": "START", **members})
        found = self.operations[id]
        if found["Status"] == "STARTED":
            raise Suspend
        return found

    def do(self, id, what, *rest):
        found = self.operations.get(id)
        if what in ("step", "big", "context", "await"):
            kind = "CONTEXT" if what == "context" else "STEP"
            if found is None:
                while what == "await" and self.call("GET", self.path)["Status"] != rest[0]:
                    time.sleep(0.05)
                self.checkpoint({"Id": id, "Type": kind, "Action": "START", "Name": "named " + id, "SubType": "Own"})
            if self.operations[id]["Status"] == "STARTED":
                result = rest[0] if what != "big" else "x" * rest[0]
                self.checkpoint({"Id": id, "Type": kind, "Action": "SUCCEED", "Payload": json.dumps(result)})
            found = self.operations[id]
            return json.loads(found[kind.title() + "Details"]["Result"])
        if what == "retry":
            if found is None:
                self.checkpoint({"Id": id, "Type": "STEP", "Action": "START"})
                found = self.operations[id]
            if found["Status"] == "PENDING":
                raise Suspend
            if found["Status"] in ("STARTED", "READY"):
                attempt = found["StepDetails"]["Attempt"] + 1
                if attempt < rest[0]:
                    self.checkpoint({"Id": id, "Type": "STEP", "Action": "RETRY", "StepOptions": {"NextAttemptDelaySeconds": 1},
                                     "Error": {"ErrorType": "Flaky", "ErrorMessage": f"attempt {attempt}"}})
                    raise Suspend
                self.checkpoint({"Id": id, "Type": "STEP", "Action": "SUCCEED", "Payload": json.dumps(attempt)})
            return json.loads(self.operations[id]["StepDetails"]["Result"])
        if what == "wait":
            return self.started(id, "WAIT", WaitOptions={"WaitSeconds": rest[0]})["Status"]
        if what == "callback":
            found = self.started(id, "CALLBACK", CallbackOptions=rest[0])
            details = found["CallbackDetails"]
            return [found["Status"], details.get("Result"), details.get("Error")]
        if what == "invoke":
            found = self.started(id, "CHAINED_INVOKE", Payload=json.dumps(rest[1]), ChainedInvokeOptions={"FunctionName": rest[0]})
            details = found["ChainedInvokeDetails"]
            return [found["Status"], details.get("Result"), details.get("Error")]
        if what == "sleep":
            print("sleeping", flush=True)
            return time.sleep(rest[0])
        if what == "raise":
            raise ValueError(rest[0])
        if what == "exit":
            os._exit(1)
        return None

def handler(event, context):
    run = Run(event)
    results = []
    try:
        for number, (what, *rest) in enumerate(run.input["do"]):
            if what == "fail":
                return {"Status": "FAILED", "Error": {"ErrorMessage": rest[0], "ErrorType": "Own", "StackTrace": ["here"]}}
            if what == "answer":
                return rest[0]
            if what == "finish":
                run.checkpoint({"Id": "end", "Type": "EXECUTION", "Action": "SUCCEED", "Payload": json.dumps(rest[0])})
                return {"Status": "SUCCEEDED", "Result": ""}
            results.append(run.do(f"op{number}", what, *rest))
    except Suspend:
        return {"Status": "PENDING"}
    except Refused as refused:
        return {"Status": "FAILED", "Error": {"ErrorMessage": str(refused), "ErrorType": "Refused"}}
    return {"Status": "SUCCEEDED", "Result": json.dumps(results)}
'''


class DurableCase(FunctionsCase):
    """Tests of durable functions share an engine, a Python runtime and the function "flow"."""
    limits = {"ExecutionTimeout": 300}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            loaded = cls.engine.load(runtimes.python_base())
            assert loaded.code == 0, str(loaded)
            cls.durable("flow", **cls.limits)
        except BaseException:
            cls.engine.close()
            raise

    @classmethod
    def durable(cls, name, code=HANDLER, members=None, **config):
        made = cls.api.create(name, {"index.py": code}, Runtime="python3.11", Handler="index.handler", Timeout=60,
                              DurableConfig=config, **(members or {}))
        assert made.status == 201, str(made)
        return made.json()

    def run_flow(self, *do, function="flow", **headers):
        """Invokes it and waits; the Response."""
        return self.api.invoke(function, {"do": do}, **headers)

    def begin(self, *do, function="flow", **headers):
        """Starts an execution that nobody waits for; its ARN."""
        sent = self.api.invoke(function, {"do": do}, X_Amz_Invocation_Type="Event", **headers)
        self.assertEqual((sent.status, sent.body), (202, b""), str(sent))
        return sent.headers["X-Amz-Durable-Execution-Arn"]

    @staticmethod
    def path(arn, rest=""):
        return "/2025-12-01/durable-executions/" + urllib.parse.quote(arn, safe="") + rest

    def execution(self, arn, status=200):
        answer = self.api.request("GET", self.path(arn))
        self.assertEqual(answer.status, status, str(answer))
        return answer.json()

    def until(self, arn, status, within=60):
        """Its state once it has this status."""
        def look():
            state = self.execution(arn)
            return state if state["Status"] == status else None
        return eventually(look, f"{arn} is {status}", within)

    def history(self, arn, query=""):
        answer = self.api.request("GET", self.path(arn, "/history" + query))
        self.assertEqual(answer.status, 200, str(answer))
        return answer.json()

    def event(self, arn, kind, within=60):
        """The first event of that type, once there is one."""
        def look():
            return next((each for each in self.history(arn)["Events"] if each["EventType"] == kind), None)
        return eventually(look, f"{kind} of {arn}", within)

    def callback_of(self, arn):
        return self.event(arn, "CallbackStarted")["CallbackStartedDetails"]["CallbackId"]

    def answer_callback(self, callback_id, what, body=b""):
        target = f"/2025-12-01/durable-execution-callbacks/{urllib.parse.quote(callback_id, safe='')}/{what}"
        return self.api.request("POST", target, body)

    def refused(self, answer, status, kind, text=""):
        self.assertEqual((answer.status, answer.headers["x-amzn-ErrorType"]), (status, kind), str(answer))
        self.assertIn(text, str(answer.json()))
