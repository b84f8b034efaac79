"""Rules, and what was used, on the wire. Queues are the targets here; that functions are called is tested with the
queue of events (beside its sources, on a clock that tests move) and in tests/chaos."""
import datetime
import json
import unittest

from harness.engine import eventually
from harness.functions import FunctionsCase

class EventsCase(FunctionsCase):
    def queue(self, name, **attributes):
        url = self.sqs("CreateQueue", QueueName=name, Attributes=attributes)["QueueUrl"]
        self.addCleanup(self.sqs, "DeleteQueue", QueueUrl=url)
        return url, f"arn:aws:sqs:us-east-1:000000000000:{name}"

    def receive(self, url):
        """The next message; it waits for one."""
        def look():
            got = self.sqs("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20, MessageAttributeNames=["All"])
            return got.get("Messages")

        message, = eventually(look, f"a message in {url}", 60)
        self.sqs("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return message

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


if __name__ == "__main__":
    unittest.main()
