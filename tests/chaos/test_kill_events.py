"""kill -9 while events are accepted and worked off: every event that was answered with 202 ends in its promised
outcome, at least once: the destination for successes, or the dead letter queue."""
import http.client
import json
import os
import random
import unittest

from harness.engine import AGAINST, Engine, eventually
from harness.functions import ROLE, FunctionsApi, build_worker

EVENTS = 400
KILLS = 5


@unittest.skipIf(AGAINST == "docker", "dockerd runs no functions")
class KilledWhileEventsRun(unittest.TestCase):
    def setUp(self):
        self.engine = Engine(type(self).__name__)
        self.addCleanup(self.engine.close)
        self.engine.start()
        self.engine.load_base_image()
        build_worker(self.engine, "worker")
        self.make("dead")
        self.make("done")
        self.api = FunctionsApi(self.engine.functions_address)
        answer = self.api.request("POST", "/2015-03-31/functions", {
            "FunctionName": "worker", "Role": ROLE, "PackageType": "Image", "Code": {"ImageUri": "worker:latest"},
            "Timeout": 30, "DeadLetterConfig": {"TargetArn": "arn:aws:sqs:us-east-1:000000000000:dead"}})
        self.assertEqual(answer.status, 201, str(answer))
        eventually(lambda: self.api.request("GET", "/2015-03-31/functions/worker/configuration").json()["State"] ==
                   "Active", "the function is active")
        answer = self.api.request("PUT", "/2019-09-25/functions/worker/event-invoke-config", {
            "MaximumRetryAttempts": 0,
            "DestinationConfig": {"OnSuccess": {"Destination": "arn:aws:sqs:us-east-1:000000000000:done"}}})
        self.assertEqual(answer.status, 200, str(answer))

    def sqs(self, operation, **members):
        answer = FunctionsApi(self.engine.functions_address).request(
            "POST", "/", json.dumps(members).encode(), {"X-Amz-Target": f"AmazonSQS.{operation}"})
        self.assertEqual(answer.status, 200, str(answer))
        return json.loads(answer.body) if answer.body else {}

    def make(self, queue):
        self.sqs("CreateQueue", QueueName=queue)

    def send(self, number):
        """Whether the event was accepted; an answer that never came says nothing."""
        event = {"number": number, **({"fail": True} if number % 3 == 0 else {})}
        try:
            answer = FunctionsApi(self.engine.functions_address).request(
                "POST", "/2015-03-31/functions/worker/invocations", json.dumps(event).encode(),
                {"X-Amz-Invocation-Type": "Event"})
        except (OSError, http.client.HTTPException):
            return False
        self.assertEqual(answer.status, 202, str(answer))
        return True

    def collect(self, queue, number_of, into):
        got = self.sqs("ReceiveMessage", QueueUrl=f"http://x/000000000000/{queue}", MaxNumberOfMessages=10)
        for message in got.get("Messages", []):
            into.add(number_of(json.loads(message["Body"])))
            self.sqs("DeleteMessage", QueueUrl=f"http://x/000000000000/{queue}", ReceiptHandle=message["ReceiptHandle"])

    def test_every_accepted_event_has_its_outcome(self):
        chance = random.Random(os.environ.get("BERTH_SEED", "events"))
        kills = set(chance.sample(range(EVENTS), KILLS))
        accepted = set()
        for number in range(EVENTS):
            if self.send(number):
                accepted.add(number)
            if number in kills:
                self.engine.kill()
                self.engine.start()
        self.engine.kill()
        self.engine.start()
        self.assertGreater(len(accepted), EVENTS // 2)
        done, dead = set(), set()

        def all_there():
            self.collect("done", lambda document: document["requestPayload"]["number"], done)
            self.collect("dead", lambda event: event["number"], dead)
            return accepted <= done | dead

        eventually(all_there, "every accepted event has its outcome", within=120)
        self.assertEqual({number for number in accepted if number % 3 == 0} - dead, set())
        self.assertEqual({number for number in accepted if number % 3 != 0} - done, set())
        self.assertEqual(done & dead, set())


if __name__ == "__main__":
    unittest.main()
