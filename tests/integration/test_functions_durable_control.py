"""What others do to durable executions: callbacks, chained invokes, stop, pause and resume; kill -9 of the engine in their
midst; and what is refused."""
import json

from harness.durable import HANDLER, DurableCase

PLAIN = """
def handler(event, context):
    if event.get("fail"):
        raise ValueError("plain failure")
    return {"got": event}
"""


class Callbacks(DurableCase):
    def test_a_callback_succeeds_once(self):
        arn = self.begin(["callback", {"TimeoutSeconds": 600, "HeartbeatTimeoutSeconds": 500}])
        started = self.event(arn, "CallbackStarted")["CallbackStartedDetails"]
        self.assertEqual((started["Timeout"], started["HeartbeatTimeout"]), (600, 500))
        callback = started["CallbackId"]
        self.event(arn, "InvocationCompleted")
        self.assertEqual(self.answer_callback(callback, "heartbeat").status, 200)
        sent = self.answer_callback(callback, "succeed", b'{"approved": true}')
        self.assertEqual((sent.status, sent.json()), (200, {}))
        for what in ("succeed", "fail", "heartbeat"):
            self.refused(self.answer_callback(callback, what, b"{}"), 400, "CallbackTimeoutException")
        state = self.until(arn, "SUCCEEDED")
        self.assertEqual(json.loads(state["Result"]), [["SUCCEEDED", '{"approved": true}', None]])
        succeeded = self.event(arn, "CallbackSucceeded")["CallbackSucceededDetails"]
        self.assertEqual(succeeded["Result"]["Payload"], '{"approved": true}')

    def test_a_callback_fails(self):
        arn = self.begin(["callback", {}])
        error = {"ErrorMessage": "no", "ErrorType": "Denied", "ErrorData": "d", "StackTrace": ["a", "b"]}
        self.assertEqual(self.answer_callback(self.callback_of(arn), "fail", json.dumps(error).encode()).status, 200)
        self.assertEqual(json.loads(self.until(arn, "SUCCEEDED")["Result"]), [["FAILED", None, error]])

    def test_callbacks_that_nobody_answers(self):
        arn = self.begin(["callback", {"TimeoutSeconds": 1}], ["callback", {"TimeoutSeconds": 99, "HeartbeatTimeoutSeconds": 1}])
        results = json.loads(self.until(arn, "SUCCEEDED")["Result"])
        self.assertEqual([(status, error["ErrorType"]) for status, _, error in results],
                         [("TIMED_OUT", "Callback.Timeout"), ("TIMED_OUT", "Callback.Heartbeat")])

    def test_what_is_refused(self):
        self.refused(self.answer_callback("bm9uZQ==", "succeed", b"1"), 404, "ResourceNotFoundException")
        self.refused(self.answer_callback("no-base64!", "succeed", b"1"), 400, "InvalidParameterValueException")
        arn = self.begin(["callback", {}])
        callback = self.callback_of(arn)
        for body, words in ((b"x" * (1 << 20 | 1), "bytes"), (b"\xff\xfe", "UTF-8")):
            self.refused(self.answer_callback(callback, "succeed", body), 400, "InvalidParameterValueException", words)
        for body in (b'{"ErrorMessage": 5}', b'{"StackTrace": "x"}', b'{"StackTrace": [1]}'):
            self.refused(self.answer_callback(callback, "fail", body), 400, "InvalidParameterValueException")
        self.refused(self.answer_callback(callback, "fail", b"[]"), 400, "SerializationException")
        self.assertEqual(self.api.request("POST", self.path(arn, "/stop")).status, 200)
        self.refused(self.answer_callback(callback, "succeed", b"1"), 400, "CallbackTimeoutException")


class Chained(DurableCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        made = cls.api.create("plain", {"index.py": PLAIN}, Runtime="python3.11", Handler="index.handler", Timeout=60)
        assert made.status == 201, str(made)

    def test_functions_of_both_kinds(self):
        answer = self.run_flow(["invoke", "plain", {"n": 1}], ["invoke", "flow:$LATEST", {"do": [["wait", 1], ["step", 5]]}],
                               ["invoke", "plain", {"fail": 1}], ["invoke", "flow", {"do": [["fail", "inside"]]}],
                               ["invoke", "none", {}])
        plain, durable, failed, inside, none = answer.json()
        self.assertEqual(plain[0], "SUCCEEDED")
        self.assertEqual(json.loads(plain[1]), {"got": {"n": 1}})
        self.assertEqual((durable[0], json.loads(durable[1])), ("SUCCEEDED", ["SUCCEEDED", 5]))
        self.assertEqual((failed[0], failed[2]["ErrorMessage"], failed[2]["ErrorType"]), ("FAILED", "plain failure", "ValueError"))
        self.assertEqual((inside[0], inside[2]["ErrorMessage"]), ("FAILED", "inside"))
        self.assertEqual((none[0], none[2]["ErrorType"]), ("FAILED", "ResourceNotFoundException"))
        events = self.history(answer.headers["X-Amz-Durable-Execution-Arn"])["Events"]
        started = [each["ChainedInvokeStartedDetails"] for each in events if each["EventType"] == "ChainedInvokeStarted"]
        self.assertEqual(started[0]["Input"]["Payload"], '{"n": 1}')
        child = started[1]["DurableExecutionArn"]
        self.assertEqual(self.execution(child)["Status"], "SUCCEEDED")
        self.assertEqual(json.loads(self.execution(child)["InputPayload"]), {"do": [["wait", 1], ["step", 5]]})

    def test_a_child_that_is_stopped(self):
        arn = self.begin(["invoke", "flow", {"do": [["callback", {}]]}])
        child = self.event(arn, "ChainedInvokeStarted")["ChainedInvokeStartedDetails"]["DurableExecutionArn"]
        self.callback_of(child)
        self.api.request("POST", self.path(child, "/stop"), {"ErrorMessage": "stopped"})
        result, = json.loads(self.until(arn, "SUCCEEDED")["Result"])
        self.assertEqual(result, ["STOPPED", None, {"ErrorMessage": "stopped"}])

    def test_another_region_and_account_are_refused(self):
        for target, words in (("arn:aws:lambda:us-east-1:111111111111:function:x", "another account"),
                              ("arn:aws:lambda:eu-west-1:000000000000:function:x", "another region"),
                              ("a b", "Invalid function ARN")):
            answer = self.begin(["invoke", target, {}])
            state = self.until(answer, "FAILED")
            self.assertIn(words, state["Error"]["ErrorMessage"])


class Pauses(DurableCase):
    def pause(self, arn, status=202, **members):
        answer = self.api.request("POST", self.path(arn, "/pause"), members)
        self.assertEqual(answer.status, status, str(answer))
        return answer

    def resume(self, arn, status=202, **members):
        answer = self.api.request("POST", self.path(arn, "/resume"), members)
        self.assertEqual(answer.status, status, str(answer))
        return answer

    def test_while_it_waits(self):
        arn = self.begin(["callback", {}], ["step", 1])
        callback = self.callback_of(arn)
        self.event(arn, "InvocationCompleted")
        self.pause(arn, ClientToken="t1", Reason="looking")
        self.pause(arn, ClientToken="t1", Reason="looking")
        self.assertEqual(self.pause(arn, 409).headers["x-amzn-ErrorType"], "ResourceConflictException")
        state = self.execution(arn)
        self.assertEqual((state["Status"], state["PauseDetails"]["Reason"]), ("PAUSED", "looking"))
        self.assertTrue(state["PauseDetails"]["ExecutionTimeoutPaused"])
        self.assertAlmostEqual(state["ExpectedExecutionTimeoutTimestamp"] - state["StartTimestamp"], 31622400, delta=1)
        self.assertEqual(self.answer_callback(callback, "succeed", b"7").status, 200)
        self.event(arn, "CallbackSucceeded")
        self.assertEqual(self.execution(arn)["Status"], "PAUSED")
        self.resume(arn, Reason="go")
        self.until(arn, "SUCCEEDED")
        kinds = [each["EventType"] for each in self.history(arn)["Events"]]
        order = [kinds.index(kind) for kind in ("ExecutionPaused", "CallbackSucceeded", "ExecutionResumed", "StepStarted")]
        self.assertEqual(order, sorted(order))
        self.assertEqual(self.resume(arn, 409).headers["x-amzn-ErrorType"], "ResourceConflictException")

    def test_while_its_handler_works(self):
        arn = self.begin(["step", 1], ["await", "PAUSING"], ["step", 2])
        self.event(arn, "StepSucceeded")
        self.pause(arn, ExecutionTimeoutPaused=False)
        self.until(arn, "PAUSED")
        self.event(arn, "InvocationCompleted")
        self.resume(arn)
        self.assertEqual(json.loads(self.until(arn, "SUCCEEDED")["Result"]), [1, "PAUSING", 2])

    def test_stop_and_delete(self):
        arn = self.begin(["wait", 1000])
        self.event(arn, "InvocationCompleted")
        self.pause(arn)
        refused = self.api.request("DELETE", self.path(arn))
        self.assertEqual((refused.status, refused.headers["x-amzn-ErrorType"]), (409, "ResourceConflictException"))
        self.assertEqual(self.api.request("POST", self.path(arn, "/stop")).status, 200)
        removed = self.api.request("DELETE", self.path(arn))
        self.assertEqual(removed.status, 202, str(removed))
        self.assertIn("DeletionRequestTimestamp", removed.json())
        self.execution(arn, 404)
        self.refused(self.api.request("GET", self.path(arn, "/history")), 404, "ResourceNotFoundException")


class Kills(DurableCase):
    def kill(self):
        self.engine.kill()
        self.engine.start()
        self.connect()

    def test_nothing_is_lost(self):
        waits = [self.begin(["step", n], ["wait", 2], ["callback", {}], ["step", -n], X_Amz_Durable_Execution_Name=f"w{n}")
                 for n in range(5)]
        for arn in waits:
            self.event(arn, "WaitStarted")
        chained = self.begin(["invoke", "flow", {"do": [["sleep", 1], ["step", 3]]}], ["step", 4])
        self.event(chained, "ChainedInvokeStarted")
        busy = self.begin(["step", "a"], ["sleep", 3], ["step", "b"])
        self.event(busy, "StepSucceeded")
        self.kill()
        for n, arn in enumerate(waits):
            callback = self.callback_of(arn)
            self.assertEqual(self.answer_callback(callback, "succeed", b"1").status, 200)
        self.kill()
        for n, arn in enumerate(waits):
            result = json.loads(self.until(arn, "SUCCEEDED", 120)["Result"])
            self.assertEqual(result, [n, "SUCCEEDED", ["SUCCEEDED", "1", None], -n])
        self.assertEqual(json.loads(self.until(chained, "SUCCEEDED", 120)["Result"]), [["SUCCEEDED", "[null, 3]", None], 4])
        self.assertEqual(json.loads(self.until(busy, "SUCCEEDED", 120)["Result"]), ["a", None, "b"])
        kinds = [each["EventType"] for each in self.history(busy)["Events"]]
        self.assertEqual(kinds.count("StepStarted"), 2, "the first step was not made again")

    def test_killed_again_and_again(self):
        arns = [self.begin(*[["step", n] for n in range(8)], ["wait", 1], ["step", "end"]) for _ in range(6)]
        for _ in range(3):
            self.kill()
        for arn in arns:
            self.assertEqual(json.loads(self.until(arn, "SUCCEEDED", 120)["Result"]), [*range(8), "SUCCEEDED", "end"])
            kinds = [each["EventType"] for each in self.history(arn, "?MaxItems=1000")["Events"]]
            self.assertEqual((kinds.count("StepSucceeded"), kinds.count("ExecutionSucceeded")), (9, 1))


# Returns its token and its state, and says what a checkpoint with other tokens, updates and ARNs is answered.
HOSTILE = HANDLER + '''
plain = handler
def handler(event, context):
    run = Run(event)
    if "calls" not in run.input:
        return plain(event, context)
    answers = []
    def ask(path, body):
        connection = http.client.HTTPConnection(os.environ["AWS_ENDPOINT_URL"].split("//")[1], timeout=60)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        document = json.loads(answer.read() or b"{}")
        answers.append([answer.status, answer.headers["x-amzn-ErrorType"], document.get("message", "")])
        run.token = document.get("CheckpointToken", run.token)
    first = run.token
    ask(run.path + "/checkpoint", {"CheckpointToken": run.token, "ClientToken": "c", "Updates": [
        {"Id": "there", "Type": "STEP", "Action": "SUCCEED", "Payload": "1"}]})
    ask(run.path + "/checkpoint", {"CheckpointToken": first, "ClientToken": "c", "Updates": [
        {"Id": "there", "Type": "STEP", "Action": "SUCCEED", "Payload": "1"}]})
    ask(run.path + "/checkpoint", {"CheckpointToken": first, "Updates": []})
    for call in run.input["calls"]:
        path = run.path if "arn" not in call else "/2025-12-01/durable-executions/" + urllib.parse.quote(call["arn"], safe="")
        ask(path + "/checkpoint", {"CheckpointToken": call.get("token", run.token), "Updates": call.get("updates", [])})
    return {"Status": "SUCCEEDED", "Result": json.dumps(answers)}
'''


class Refusals(DurableCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.durable("hostile", HOSTILE, ExecutionTimeout=300)

    def test_checkpoints_that_do_not_fit(self):
        other = self.begin(["wait", 200])
        self.event(other, "WaitStarted")
        step = {"Id": "s", "Type": "STEP", "Action": "SUCCEED"}
        wait = {"Id": "w", "Type": "WAIT", "Action": "START", "WaitOptions": {"WaitSeconds": 5}}
        cases = [
            ({"token": "AAAA"}, "Invalid checkpoint token"),
            ({"arn": other}, "Invalid checkpoint token"),
            ({"arn": other[:-1] + ("0" if other[-1] != "0" else "1")}, "does not exist"),
            ({"arn": "arn:aws:lambda:us-east-1:000000000000:function:flow:$LATEST"}, "Invalid Durable Execution ARN"),
            ({"updates": [{"Id": "x"}]}, "updates[0].Type"),
            ({"updates": [{"Type": "STEP", "Action": "START"}]}, "updates[0].Id"),
            ({"updates": [{**step, "Type": "BOGUS"}]}, "updates[0].Type"),
            ({"updates": [{**step, "Action": "JUMP"}]}, "updates[0].Action"),
            ({"updates": [{**step, "Action": "CANCEL"}]}, "Invalid action for the given operation type."),
            ({"updates": [{**step, "Id": "a/b"}]}, "updates[0].Id"),
            ({"updates": [{**step, "Id": "x" * 65}]}, "at most 64"),
            ({"updates": [{**step, "Name": "x" * 257}]}, "at most 256"),
            ({"updates": [{**step, "Payload": 5}]}, "must be a string"),
            ({"updates": [{**step, "ParentId": "nobody"}]}, "Invalid parent operation id."),
            ({"updates": [{**step, "ParentId": "there"}]}, "Invalid parent operation id."),
            ({"updates": [{**step, "Id": "there"}]}, "Invalid current STEP state to close."),
            ({"updates": [{**wait, "Id": "there"}]}, "Inconsistent operation type."),
            ({"updates": [{**step, "Action": "RETRY"}]}, "Invalid StepOptions"),
            ({"updates": [{**step, "Action": "FAIL", "Payload": "1"}]}, "Cannot provide a Payload for FAIL action."),
            ({"updates": [{**step, "Error": {"ErrorMessage": "x"}}]}, "Cannot provide an Error for SUCCEED action."),
            ({"updates": [{**wait, "WaitOptions": {"WaitSeconds": 0}}]}, "WaitSeconds"),
            ({"updates": [{**wait, "WaitOptions": {}}]}, "Invalid WaitOptions"),
            ({"updates": [{**wait, "Action": "CANCEL"}]}, "Cannot cancel a WAIT"),
            ({"updates": [step, step]}, "multiple operations with the same ID"),
            ({"updates": [{"Id": "e", "Type": "EXECUTION", "Action": "SUCCEED"}, step]}, "must be the last update"),
            ({"updates": [{"Id": "i", "Type": "CHAINED_INVOKE", "Action": "START"}]}, "requires ChainedInvokeOptions"),
            ({"updates": [{"Id": "c", "Type": "CALLBACK", "Action": "START", "CallbackOptions": {"TimeoutSeconds": -1}}]}, "TimeoutSeconds"),
            ({"updates": {"not": "a list"}}, "updates must be a list"),
            ({"updates": [7]}, "updates[0] must be an object"),
        ]
        answer = self.api.invoke("hostile", {"calls": [call for call, _ in cases]})
        first, repeated, stale, *answers = answer.json()
        self.assertEqual((first[0], repeated[0]), (200, 200), "a repeated checkpoint is answered as the first")
        self.assertEqual(stale[:2], [400, "InvalidParameterValueException"])
        for (call, words), (status, kind, message) in zip(cases, answers):
            self.assertEqual((status, kind), (400, "InvalidParameterValueException"), (call, message))
            self.assertIn(words, message, call)
        state = self.api.request("GET", self.path(answer.headers["X-Amz-Durable-Execution-Arn"], "/state?CheckpointToken=AAAA"))
        self.refused(state, 400, "InvalidParameterValueException", "Invalid checkpoint token")

    def test_hostile_requests(self):
        arn = self.begin(["wait", 200])
        self.event(arn, "WaitStarted")
        answer = self.api.request("POST", self.path(arn, "/checkpoint"), b"{", {"Content-Length": str((64 << 20) + 1)})
        self.refused(answer, 413, "RequestEntityTooLargeException")
        for body in (b"[", b"[]", b'{"CheckpointToken": 5}', b"\xff", b"[" * 100000):
            answer = self.api.request("POST", self.path(arn, "/checkpoint"), body)
            self.assertEqual(answer.status, 400, str(answer))
        self.refused(self.api.request("GET", self.path("not-an-arn")), 400, "InvalidParameterValueException", "Invalid Durable Execution ARN")
        for bad in (arn.replace("/durable-execution/", "/"), arn + "/x", arn.replace("$LATEST", "live"), "a" * 5000):
            self.refused(self.api.request("GET", self.path(bad)), 400, "InvalidParameterValueException")
        unknown = arn[:-12] + "0" * 12
        for method, rest in (("GET", ""), ("GET", "/history"), ("POST", "/stop"), ("POST", "/pause"), ("POST", "/resume"), ("DELETE", "")):
            self.refused(self.api.request(method, self.path(unknown, rest), b"" if method != "POST" else b"{}"), 404,
                         "ResourceNotFoundException")
        for query in ("?MaxItems=1001", "?MaxItems=x", "?Marker=-1", "?ReverseOrder=yes", "?IncludeExecutionData=1"):
            self.refused(self.api.request("GET", self.path(arn, "/history" + query)), 400, "InvalidParameterValueException")
        self.assertEqual(self.execution(arn)["Status"], "RUNNING")

    def test_many_operations_come_in_pages(self):
        answer = self.run_flow(*[["big", 300_000] for _ in range(20)], ["wait", 1], ["step", "end"])
        self.assertEqual([len(each) for each in answer.json()], [300_000] * 20 + [9, 3])


class Command(DurableCase):
    def test_executions_from_the_command_line(self):
        berth = lambda *words: self.engine.ok("function", *words).out
        arn = berth("invoke", "--async", "--execution", "cli", "flow", '{"do": [["callback", {}], ["step", 5]]}').strip()
        self.assertIn("/durable-execution/cli/", arn)
        callback = self.callback_of(arn)
        self.assertEqual(berth("executions", "-q", "--status", "RUNNING", "flow").split(), [arn])
        self.assertRegex(berth("executions", "--name", "cli", "flow"), rf"(?m)^cli +RUNNING +20\S+ +{arn.replace('$', '.')}$")
        self.assertEqual(berth("callback", callback, "heartbeat").strip(), callback)
        self.assertEqual(berth("callback", callback, "succeed", '"yes"').strip(), callback)
        self.until(arn, "SUCCEEDED")
        shown = json.loads(berth("execution", arn))
        self.assertEqual((shown["Status"], json.loads(shown["Result"])), ("SUCCEEDED", [["SUCCEEDED", '"yes"', None], 5]))
        history = berth("execution", "--history", arn)
        self.assertRegex(history, r"(?m)^\d+ +20\S+ +CallbackStarted +op0 +callback " + callback)
        self.assertIn("ExecutionSucceeded", history)
        waits = [self.begin(["callback", {}]), self.begin(["callback", {}])]
        for each in waits:
            self.event(each, "InvocationCompleted")
        self.assertEqual(berth("execution-pause", "--reason", "lunch", *waits).split(), waits)
        self.assertEqual(berth("execution-resume", *waits).split(), waits)
        self.assertEqual(berth("execution-stop", "--reason", "over", *waits).split(), waits)
        self.assertEqual(self.execution(waits[0])["Error"], {"ErrorMessage": "over"})
        self.assertEqual(berth("execution-rm", *waits).split(), waits)
        failed = self.engine("function", "callback", callback, "fail", "late")
        self.assertEqual((failed.code, "CallbackTimeoutException" in failed.err), (1, True), str(failed))
        failed = self.engine("function", "execution", waits[0])
        self.assertEqual((failed.code, "ResourceNotFoundException" in failed.err), (1, True), str(failed))


class Strict(DurableCase):
    @classmethod
    def setUpClass(cls):
        from harness import functions
        made = functions.Engine
        functions.Engine = lambda name: made(name, flags=("--functions-limits", "strict"))
        try:
            super().setUpClass()
        finally:
            functions.Engine = made

    def test_aws_s_limits(self):
        self.refused(self.run_flow(["step", 1]), 400, "InvalidParameterValueException",
                     "You cannot invoke a durable function using an unqualified ARN.")
        self.assertEqual(self.run_flow(["step", 1], function="flow:$LATEST").json(), [1])
        self.durable("long", ExecutionTimeout=901)
        self.refused(self.run_flow(["step", 1], function="long:$LATEST"), 400, "InvalidParameterValueException", "greater than 15 minutes")
        arn = self.begin(["step", 1], function="long:$LATEST")
        self.until(arn, "SUCCEEDED")
        arn = self.begin(["big", 1 << 20], function="long:$LATEST")
        self.assertIn("payload size must be less", self.until(arn, "FAILED")["Error"]["ErrorMessage"])
