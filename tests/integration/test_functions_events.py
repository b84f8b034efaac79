"""What calls functions without a client that waits: asynchronous events, event source mappings, rules; and what was
used. Delays and retries are tested beside the sources, on a clock that tests move."""
import datetime
import json
import unittest

from harness.engine import IMAGE, eventually
from harness.functions import FunctionsCase
from harness.kafka import Kafka, library

class EventsCase(FunctionsCase):
    def rule(self, name, target, **members):
        self.call("AWSEvents.PutRule", Name=name, **members)
        self.call("AWSEvents.PutTargets", Rule=name, Targets=[{"Id": "1", "Arn": target}])
        self.addCleanup(self.call, "AWSEvents.DeleteRule", Name=name)
        self.addCleanup(self.call, "AWSEvents.RemoveTargets", Rule=name, Ids=["1"])


class Rules(EventsCase):
    def test_a_schedule_of_one_moment_fires_once_and_survives_a_kill(self):
        url, arn = self.queue("ticks")
        # A moment that has passed by the time it is looked at would never fire: a minute's cron is the finest there
        # is, so the moment is asked of the engine's own clock two seconds ahead.
        moment = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)).strftime(
            "%Y-%m-%dT%H:%M:%S")
        self.rule("once", arn, ScheduleExpression=f"at({moment})")
        self.engine.kill()
        self.engine.start()
        self.connect()
        event = json.loads(self.receive(url)["Body"])
        self.assertEqual((event["detail-type"], event["source"]), ("Scheduled Event", "aws.events"))
        self.assertEqual(event["time"], moment + "Z")
        self.assertEqual(event["resources"], ["arn:aws:events:us-east-1:000000000000:rule/once"])

    def test_events_reach_the_rules_that_match(self):
        url, arn = self.queue("matched")
        self.rule("orders", arn, EventPattern=json.dumps({"source": ["shop"], "detail": {"sum": [{"numeric": [">", 5]}]}}))
        answer = self.call("AWSEvents.PutEvents", Entries=[
            {"Source": "shop", "DetailType": "order", "Detail": json.dumps({"sum": 3})},
            {"Source": "shop", "DetailType": "order", "Detail": json.dumps({"sum": 7})},
            {"Source": "shop"}])
        self.assertEqual(answer["FailedEntryCount"], 1)
        self.assertEqual(json.loads(self.receive(url)["Body"])["detail"], {"sum": 7})
        self.assertEqual(self.sqs("ReceiveMessage", QueueUrl=url), {})

    def test_what_is_refused(self):
        for members, error in (({"Name": "x", "ScheduleExpression": "rate(1 minutes)"}, "ValidationException"),
                               ({"Name": "x"}, "ValidationException"),
                               ({"Name": "a b", "ScheduleExpression": "rate(1 minute)"}, "ValidationException"),
                               ({"Name": "x", "EventPattern": "{\"a\":1}"}, "ValidationException")):
            self.assertEqual(self.call("AWSEvents.PutRule", 400, **members)["__type"], error)
        self.assertEqual(self.call("AWSEvents.DescribeRule", 400, Name="none")["__type"], "ResourceNotFoundException")


class Asynchronous(EventsCase):
    def test_success_and_failure_end_where_they_were_told(self):
        done, done_arn = self.queue("done")
        dead, dead_arn = self.queue("dead")
        self.worker("worker", DeadLetterConfig={"TargetArn": dead_arn})
        answer = self.api.request("PUT", "/2019-09-25/functions/worker/event-invoke-config", {
            "MaximumRetryAttempts": 0, "DestinationConfig": {"OnSuccess": {"Destination": done_arn}}})
        self.assertEqual(answer.status, 200, str(answer))
        sent = self.api.invoke("worker", {"n": 1}, X_Amz_Invocation_Type="Event")
        self.assertEqual((sent.status, sent.body), (202, b""))
        document = json.loads(self.receive(done)["Body"])
        self.assertEqual(document["requestContext"]["condition"], "Success")
        self.assertEqual(document["requestContext"]["requestId"], sent.headers["x-amzn-RequestId"])
        self.assertEqual(document["requestPayload"], {"n": 1})
        self.api.invoke("worker", {"fail": 1}, X_Amz_Invocation_Type="Event")
        letter = self.receive(dead)
        self.assertEqual(json.loads(letter["Body"]), {"fail": 1})
        self.assertEqual(letter["MessageAttributes"]["ErrorMessage"]["StringValue"], "no")
        used = {row["name"]: row for row in self.api.request("GET", "/_berth/usage").json()["rows"]}["worker"]
        self.assertEqual((used["runs"], used["errors"]), (2, 1))
        self.assertGreater(used["billedMs"], 0)
        why = self.engine.ok("function", "why", document["requestContext"]["requestId"])
        self.assertIn("the queue of events", why.out)

    def test_a_queue_is_polled_and_failures_come_to_its_dead_letters(self):
        dead, dead_arn = self.queue("poison")
        url, arn = self.queue("work", VisibilityTimeout="1", RedrivePolicy=json.dumps(
            {"deadLetterTargetArn": dead_arn, "maxReceiveCount": 1}))
        self.worker("polled")
        made = self.api.request("POST", "/2015-03-31/event-source-mappings", {
            "FunctionName": "polled", "EventSourceArn": arn, "BatchSize": 1})
        self.assertEqual(made.status, 202, str(made))
        self.addCleanup(self.api.request, "DELETE", f"/2015-03-31/event-source-mappings/{made.json()['UUID']}")
        for body in ("good", "fail", "good"):
            self.sqs("SendMessage", QueueUrl=url, MessageBody=body)
        self.assertEqual(self.receive(dead)["Body"], "fail")
        counts = lambda: self.sqs("GetQueueAttributes", QueueUrl=url, AttributeNames=["All"])["Attributes"]
        eventually(lambda: (counts()["ApproximateNumberOfMessages"],
                            counts()["ApproximateNumberOfMessagesNotVisible"]) == ("0", "0"), "all is worked off")


class Secrets(EventsCase):
    def secret(self, operation, status=200, **members):
        return self.call(f"secretsmanager.{operation}", status, **members)

    def test_a_secret_from_its_making_to_its_end(self):
        made = self.secret("CreateSecret", Name="kafka/login", SecretString="{\"a\":1}", Description="for tests")
        self.assertRegex(made["ARN"], r"^arn:aws:secretsmanager:us-east-1:000000000000:secret:kafka/login-[0-9a-f]{6}$")
        self.assertEqual(self.secret("CreateSecret", 400, Name="kafka/login")["__type"], "ResourceExistsException")
        for name in ("kafka/login", made["ARN"], made["ARN"][:-7]):
            self.assertEqual(self.secret("GetSecretValue", SecretId=name)["SecretString"], "{\"a\":1}")
        changed = self.secret("PutSecretValue", SecretId=made["ARN"], SecretString="two")
        self.assertNotEqual(changed["VersionId"], made["VersionId"])
        self.engine.kill()
        self.engine.start()
        self.connect()
        self.assertEqual(self.secret("GetSecretValue", SecretId="kafka/login")["SecretString"], "two")
        self.assertEqual(self.secret("GetSecretValue", 400, SecretId="kafka/login", VersionId=made["VersionId"])["__type"],
                         "ResourceNotFoundException")
        self.secret("UpdateSecret", SecretId="kafka/login", Description="other")
        self.assertEqual([(each["Name"], each["Description"]) for each in self.secret("ListSecrets")["SecretList"]],
                         [("kafka/login", "other")])
        self.secret("DeleteSecret", SecretId="kafka/login")
        self.assertEqual(self.secret("DescribeSecret", 400, SecretId="kafka/login")["__type"], "ResourceNotFoundException")

    def test_lists_by_pages(self):
        for name in ("a", "b", "c"):
            self.secret("CreateSecret", Name=name)
            self.addCleanup(self.secret, "DeleteSecret", SecretId=name)
        first = self.secret("ListSecrets", MaxResults=2)
        second = self.secret("ListSecrets", MaxResults=2, NextToken=first["NextToken"])
        self.assertEqual([each["Name"] for each in first["SecretList"] + second["SecretList"]], ["a", "b", "c"])
        self.assertNotIn("NextToken", second)

    def test_what_is_refused(self):
        for members, error in (({"Name": "a b"}, "ValidationException"), ({}, "ValidationException"),
                               ({"Name": "x", "SecretBinary": "AAAA"}, "InvalidParameterException"),
                               ({"Name": "x", "SecretString": "y" * 65537}, "InvalidParameterException"),
                               ({"Name": "x", "SecretString": 5}, "InvalidParameterException")):
            self.assertEqual(self.secret("CreateSecret", 400, **members)["__type"], error, str(members)[:80])
        self.assertEqual(self.secret("ListSecrets")["SecretList"], [])
        self.assertEqual(self.secret("GetSecretValue", 400, SecretId="arn:aws:secretsmanager:x")["__type"],
                         "ResourceNotFoundException")
        self.assertEqual(self.secret("RotateSecret", 400, SecretId="x")["__type"], "UnknownOperationException")


@unittest.skipIf(library() is None, "librdkafka is not installed (librdkafka1)")
class KafkaTopics(EventsCase):
    def setUp(self):
        self.kafka = Kafka()
        self.addCleanup(self.kafka.close)

    def mapping(self, topic, **members):
        made = self.api.request("POST", "/2015-03-31/event-source-mappings", {
            "FunctionName": "consumer", "Topics": [topic], "StartingPosition": "TRIM_HORIZON", "BatchSize": 10,
            "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [self.kafka.address]}},
            "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": f"berth-{topic}"}, **members})
        self.assertEqual(made.status, 202, str(made))
        target = f"/2015-03-31/event-source-mappings/{made.json()['UUID']}"
        self.addCleanup(self.api.request, "DELETE", target)
        return target

    def test_records_are_consumed(self):
        self.kafka.topic("orders")
        self.kafka.produce("orders", ["one", "two", "three"])
        self.worker("consumer")
        target = self.mapping("orders")
        eventually(lambda: self.api.request("GET", target).json()["LastProcessingResult"] == "OK",
                   "the first batch is done", 60)

    def test_records_that_fail_reach_the_destination(self):
        failed, failed_arn = self.queue("failed-records")
        self.kafka.topic("fail")  # the worker fails on events with this word, and the topic stands in them
        self.kafka.produce("fail", ["one", "two"])
        self.worker("consumer")
        self.mapping("fail", MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": failed_arn}})
        info = json.loads(self.receive(failed)["Body"])["KafkaBatchInfo"]
        self.assertEqual((info["topic"], info["partition"], info["startOffset"], info["endOffset"]),
                         ("fail", 0, 0, 1))


class Usage(EventsCase):
    def test_nothing_was_used_and_nothing_is_known(self):
        answer = self.api.request("GET", "/_berth/usage?from=2026-01-01")
        self.assertEqual(answer.status, 200, str(answer))
        self.assertEqual([row for row in answer.json()["rows"] if row["kind"] == "function"], [])
        self.assertEqual(self.api.request("GET", "/_berth/usage?from=soon").status, 400)
        self.assertEqual(self.api.request("GET", "/_berth/invocations/none").status, 404)
        bill = self.engine.ok("bill")
        self.assertIn("TOTAL", bill.out)
        self.assertIn("0.0000166667 per GB-second", bill.out)


class Metered(EventsCase):
    def test_a_sandbox_is_metered_by_its_invocations_alone(self):
        self.worker("metered")
        self.assertEqual(self.api.invoke("metered", {"n": 1}).status, 200)
        self.assertEqual(self.api.request("DELETE", "/2015-03-31/functions/metered").status, 204)
        sandboxes = ("ps", "-aq", "--filter", "label=berth.function=metered")
        eventually(lambda: self.engine.ok(*sandboxes).out == "", "the sandbox is gone", 60)
        self.engine.ok("run", "--rm", "--name", "afterwards", IMAGE, "true")
        runs = lambda: [row["name"] for row in self.api.request("GET", "/_berth/usage").json()["rows"]
                        if row["kind"] == "container"]
        eventually(lambda: "afterwards" in runs(), "the container's run is recorded", 60)
        self.assertEqual([name for name in runs() if "metered" in name], [])


if __name__ == "__main__":
    unittest.main()
