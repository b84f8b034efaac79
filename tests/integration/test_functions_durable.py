"""Durable functions: executions from their start to their end, with a handler that speaks the protocol by itself. Waits of
days, timeouts and retention are tested beside the sources, on a clock that tests move."""
import json

from harness.durable import DurableCase
from harness.engine import eventually

ARN = r"^arn:aws:lambda:us-east-1:000000000000:function:flow:\$LATEST/durable-execution/[\w-]+/[0-9a-f-]{36}$"


class Executions(DurableCase):
    def test_steps_and_a_wait_with_a_client_that_waits(self):
        answer = self.run_flow(["step", {"a": 1}], ["wait", 1], ["context", "two"])
        self.assertEqual((answer.status, answer.json()), (200, [{"a": 1}, "SUCCEEDED", "two"]), str(answer))
        arn = answer.headers["X-Amz-Durable-Execution-Arn"]
        self.assertRegex(arn, ARN)
        self.assertEqual(answer.headers["X-Amz-Executed-Version"], "$LATEST")
        state = self.execution(arn)
        self.assertEqual((state["Status"], json.loads(state["Result"])), ("SUCCEEDED", [{"a": 1}, "SUCCEEDED", "two"]))
        self.assertEqual(state["DurableConfig"], {"ExecutionTimeout": 300, "RetentionPeriodInDays": 14})
        events = self.history(arn)["Events"]
        kinds = [each["EventType"] for each in events]
        self.assertEqual(kinds.count("InvocationCompleted"), 2)  # the first is over before the wait is, or soon after
        self.assertEqual([kind for kind in kinds if kind != "InvocationCompleted"], [
            "ExecutionStarted", "StepStarted", "StepSucceeded", "WaitStarted", "WaitSucceeded", "ContextStarted",
            "ContextSucceeded", "ExecutionSucceeded"])
        self.assertEqual([each["EventId"] for each in events], list(range(1, 11)))
        self.assertEqual(events[2]["StepSucceededDetails"], {
            "Result": {"Payload": '{"a": 1}', "Truncated": False}, "RetryDetails": {"CurrentAttempt": 1}})
        self.assertEqual((events[2]["Id"], events[2]["Name"], events[2]["SubType"]), ("op0", "named op0", "Own"))
        self.assertEqual(events[3]["WaitStartedDetails"]["Duration"], 1)
        shorter = self.history(arn, "?IncludeExecutionData=false&MaxItems=3&ReverseOrder=true")
        self.assertEqual([each["EventId"] for each in shorter["Events"]], [10, 9, 8])
        self.assertEqual(shorter["Events"][0]["ExecutionSucceededDetails"], {"Result": {"Truncated": True}})
        rest = self.history(arn, f"?MaxItems=1000&ReverseOrder=true&Marker={shorter['NextMarker']}")
        self.assertEqual([each["EventId"] for each in rest["Events"]], list(range(7, 0, -1)))
        self.assertNotIn("NextMarker", rest)

    def test_steps_are_tried_again(self):
        arn = self.begin(["retry", 3])
        state = self.until(arn, "SUCCEEDED")
        self.assertEqual(json.loads(state["Result"]), [3])
        events = self.history(arn)["Events"]
        failed = [each["StepFailedDetails"] for each in events if each["EventType"] == "StepFailed"]
        self.assertEqual([each["Error"]["Payload"] for each in failed],
                         [{"ErrorType": "Flaky", "ErrorMessage": f"attempt {n}"} for n in (1, 2)])
        self.assertEqual([each["RetryDetails"] for each in failed],
                         [{"CurrentAttempt": n, "NextAttemptDelaySeconds": 1} for n in (1, 2)])

    def test_an_execution_that_waits_has_no_sandbox_at_work(self):
        arn = self.begin(["step", 1], ["wait", 200000], function="flow")
        self.event(arn, "InvocationCompleted")
        self.assertEqual(self.execution(arn)["Status"], "RUNNING")
        def at_work():
            sandboxes = self.api.request("GET", "/_berth/sandboxes").json()["sandboxes"]
            return [each for each in sandboxes if each["function"] == "flow" and each["state"] == "busy"]
        eventually(lambda: not at_work(), "no sandbox is at work")
        stopped = self.api.request("POST", self.path(arn, "/stop"), {"ErrorMessage": "enough", "ErrorType": "Mine"})
        self.assertEqual(stopped.status, 200, str(stopped))
        self.assertGreater(stopped.json()["StopTimestamp"], 1.7e9)
        state = self.execution(arn)
        self.assertEqual((state["Status"], state["Error"]), ("STOPPED", {"ErrorMessage": "enough", "ErrorType": "Mine"}))
        again = self.api.request("POST", self.path(arn, "/stop"))
        self.assertEqual(again.json()["StopTimestamp"], stopped.json()["StopTimestamp"])

    def test_failures_end_it(self):
        answer = self.run_flow(["fail", "no more"])
        self.assertEqual((answer.status, answer.headers["X-Amz-Function-Error"]), (200, "Unhandled"))
        self.assertEqual(answer.json(), {"errorMessage": "no more", "errorType": "Own", "stackTrace": ["here"]})
        for output, words in (({"keys": 1}, "Status"), ([1], "object"), ({"Status": "PENDING"}, "no pending operations"),
                              ({"Status": "SUCCEEDED", "Error": {}}, "Cannot provide an Error"),
                              ({"Status": "FAILED", "Result": "1"}, "Cannot provide a Result")):
            answer = self.run_flow(["answer", output])
            self.assertEqual(answer.json()["errorType"], "InvalidParameterValueException", output)
            self.assertIn(words, answer.json()["errorMessage"], output)

    def test_an_invocation_that_fails_is_made_again(self):
        arn = self.begin(["step", 1], ["raise", "bad luck"])
        first = self.event(arn, "InvocationCompleted")["InvocationCompletedDetails"]
        self.assertEqual(first["Error"]["Payload"]["ErrorMessage"], "bad luck")
        state = self.until(arn, "FAILED")
        self.assertEqual(state["Error"]["ErrorType"], "ValueError")
        kinds = [each["EventType"] for each in self.history(arn)["Events"]]
        self.assertEqual((kinds.count("InvocationCompleted"), kinds.count("StepStarted")), (5, 1))

    def test_a_handler_may_end_it_by_a_checkpoint(self):
        answer = self.run_flow(["step", 1], ["finish", {"large": "x"}])
        self.assertEqual(answer.json(), {"large": "x"})
        kinds = [each["EventType"] for each in self.history(answer.headers["X-Amz-Durable-Execution-Arn"])["Events"]]
        self.assertEqual(kinds.count("ExecutionSucceeded"), 1)

    def test_names_are_taken_once(self):
        name = {"X_Amz_Durable_Execution_Name": "order-7"}
        first = self.run_flow(["step", 7], **name)
        again = self.run_flow(["step", 7], **name)
        self.assertEqual(first.body, again.body)
        arn = first.headers["X-Amz-Durable-Execution-Arn"]
        self.assertEqual(again.headers["X-Amz-Durable-Execution-Arn"], arn)
        self.assertIn("/durable-execution/order-7/", arn)
        self.refused(self.run_flow(["step", 8], **name), 409, "DurableExecutionAlreadyStartedException", "order-7")
        self.refused(self.run_flow(["step", 8], X_Amz_Durable_Execution_Name="a/b"), 400, "ValidationException")
        self.assertEqual(self.api.request("DELETE", self.path(arn)).status, 202)
        self.execution(arn, status=404)
        self.assertEqual(self.run_flow(["step", 8], **name).json(), [8])

    def test_lists(self):
        self.durable("listed", ExecutionTimeout=60)
        self.addCleanup(self.api.request, "DELETE", "/2015-03-31/functions/listed")
        made = [self.run_flow(["step", n], function="listed", X_Amz_Durable_Execution_Name=f"n{n}") for n in range(3)]
        self.run_flow(["fail", "x"], function="listed", X_Amz_Durable_Execution_Name="bad")
        def names(query=""):
            answer = self.api.request("GET", f"/2025-12-01/functions/listed/durable-executions{query}")
            self.assertEqual(answer.status, 200, str(answer))
            page = answer.json()
            return [each["DurableExecutionName"] for each in page["DurableExecutions"]], page.get("NextMarker")
        self.assertEqual(names(), (["bad", "n2", "n1", "n0"], None))
        self.assertEqual(names("?ReverseOrder=true&Statuses=SUCCEEDED&Statuses=RUNNING")[0], ["n0", "n1", "n2"])
        page, marker = names("?MaxItems=3")
        self.assertEqual((page, names(f"?Marker={marker}")), (["bad", "n2", "n1"], (["n0"], None)))
        self.assertEqual(names("?DurableExecutionName=n1")[0], ["n1"])
        self.assertEqual(names("?Qualifier=$LATEST&StartedAfter=2001-01-01T00:00:00Z")[0], ["bad", "n2", "n1", "n0"])
        self.assertEqual(names("?StartedBefore=2001-01-01T00:00:00Z")[0], [])
        for query in ("?MaxItems=1001", "?MaxItems=-1", "?Statuses=GONE", "?Marker=x", "?StartedAfter=never", "?ReverseOrder=1"):
            answer = self.api.request("GET", f"/2025-12-01/functions/listed/durable-executions{query}")
            self.refused(answer, 400, "InvalidParameterValueException")
        self.assertEqual(len(made), 3)

    def test_a_function_that_goes_takes_its_executions_with_it(self):
        self.durable("passing", ExecutionTimeout=60)
        arn = self.begin(["wait", 50], function="passing", X_Amz_Durable_Execution_Name="one")
        self.event(arn, "WaitStarted")
        self.assertEqual(self.api.request("DELETE", "/2015-03-31/functions/passing").status, 204)
        self.assertEqual(self.until(arn, "FAILED")["Error"]["ErrorType"], "ResourceNotFoundException")
        self.durable("passing", ExecutionTimeout=60)
        self.addCleanup(self.api.request, "DELETE", "/2015-03-31/functions/passing")
        self.assertEqual(self.run_flow(["step", 2], function="passing", X_Amz_Durable_Execution_Name="one").json(), [2])

    def test_the_version_stays_what_it_was(self):
        self.durable("pinned", ExecutionTimeout=60)
        self.addCleanup(self.api.request, "DELETE", "/2015-03-31/functions/pinned")
        self.assertEqual(self.api.request("POST", "/2015-03-31/functions/pinned/versions", {}).json()["Version"], "1")
        arn = self.begin(["callback", {}], function="pinned:1")
        self.assertIn(":function:pinned:1/durable-execution/", arn)
        callback = self.callback_of(arn)
        changed = self.api.request("PUT", "/2015-03-31/functions/pinned/configuration", {"Handler": "nothing.there"})
        self.assertEqual(changed.status, 200, str(changed))
        self.assertEqual(self.answer_callback(callback, "succeed", b"1").status, 200)
        self.assertEqual(self.until(arn, "SUCCEEDED")["Version"], "1")

    def test_the_configuration_of_a_function(self):
        for config, words in (({"ExecutionTimeout": 0}, "ExecutionTimeout"), ({"ExecutionTimeout": 31622401}, "ExecutionTimeout"),
                              ({"ExecutionTimeout": 9, "RetentionPeriodInDays": 91}, "RetentionPeriodInDays"),
                              ({"ExecutionTimeout": "9"}, "ExecutionTimeout")):
            self.refused(self.api.create("bad", DurableConfig=config), 400, "InvalidParameterValueException", words)
        self.durable("set", ExecutionTimeout=60)
        self.addCleanup(self.api.request, "DELETE", "/2015-03-31/functions/set")
        target = "/2015-03-31/functions/set/configuration"
        self.assertEqual(self.api.request("PUT", target, {"DurableConfig": {"RetentionPeriodInDays": 3}}).json()["DurableConfig"],
                         {"ExecutionTimeout": 60, "RetentionPeriodInDays": 3})
        self.api.create("plain")
        self.addCleanup(self.api.request, "DELETE", "/2015-03-31/functions/plain")
        self.refused(self.api.request("PUT", "/2015-03-31/functions/plain/configuration", {"DurableConfig": {"ExecutionTimeout": 5}}),
                     400, "InvalidParameterValueException", "only when a function is made")
        self.refused(self.api.invoke("plain", {}, X_Amz_Durable_Execution_Name="n"), 400, "InvalidParameterValueException")

    def test_an_execution_times_out(self):
        self.durable("short", ExecutionTimeout=1)
        self.addCleanup(self.api.request, "DELETE", "/2015-03-31/functions/short")
        answer = self.run_flow(["wait", 100], function="short")
        self.assertEqual(answer.json()["errorMessage"], "Execution timed out after 1 seconds.")
        self.assertEqual(self.execution(answer.headers["X-Amz-Durable-Execution-Arn"])["Status"], "TIMED_OUT")


class Letters(DurableCase):
    def test_an_event_whose_execution_fails_is_a_dead_letter(self):
        dead, dead_arn = self.queue("dead")
        self.durable("lettered", members={"DeadLetterConfig": {"TargetArn": dead_arn}}, ExecutionTimeout=60)
        self.addCleanup(self.api.request, "DELETE", "/2015-03-31/functions/lettered")
        arn = self.begin(["fail", "for good"], function="lettered")
        letter = self.receive(dead)
        self.assertEqual(json.loads(letter["Body"]), {"do": [["fail", "for good"]]})
        self.assertEqual(letter["MessageAttributes"]["ErrorMessage"]["StringValue"], "for good")
        self.assertEqual(self.execution(arn)["Status"], "FAILED")
        self.run_flow(["fail", "with a client"], function="lettered")
        counts = self.sqs("GetQueueAttributes", QueueUrl=dead, AttributeNames=["All"])["Attributes"]
        self.assertEqual(counts["ApproximateNumberOfMessages"], "0")

    def test_a_queue_and_a_rule_start_executions(self):
        url, arn = self.queue("work")
        made = self.api.request("POST", "/2015-03-31/event-source-mappings", {
            "FunctionName": "flow", "EventSourceArn": arn, "BatchSize": 1})
        self.assertEqual(made.status, 202, str(made))
        self.addCleanup(self.api.request, "DELETE", f"/2015-03-31/event-source-mappings/{made.json()['UUID']}")
        self.sqs("SendMessage", QueueUrl=url, MessageBody="one")
        def listed():
            return self.api.request("GET", "/2025-12-01/functions/flow/durable-executions").json()["DurableExecutions"]
        # The handler has no "do" in such an event: that it fails shows that the batch came to it.
        found = eventually(lambda: [each for each in listed() if each["Status"] == "FAILED"], "an execution of the queue", 60)
        self.assertIn("Records", self.execution(found[0]["DurableExecutionArn"])["InputPayload"])
        self.call("AWSEvents.PutRule", Name="flows", EventPattern=json.dumps({"source": ["flows"]}))
        self.call("AWSEvents.PutTargets", Rule="flows", Targets=[{
            "Id": "1", "Arn": "arn:aws:lambda:us-east-1:000000000000:function:flow", "Input": json.dumps({"do": [["step", "by rule"]]})}])
        self.addCleanup(self.call, "AWSEvents.DeleteRule", Name="flows")
        self.addCleanup(self.call, "AWSEvents.RemoveTargets", Rule="flows", Ids=["1"])
        self.call("AWSEvents.PutEvents", Entries=[{"Source": "flows", "DetailType": "d", "Detail": "{}"}])
        found = eventually(lambda: [each for each in listed() if each["Status"] == "SUCCEEDED"], "an execution of the rule", 60)
        self.assertEqual(self.execution(found[0]["DurableExecutionArn"])["Result"], '["by rule"]')
