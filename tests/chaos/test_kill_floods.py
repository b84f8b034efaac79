"""kill -9 under a flood: as many events as BERTH_EVENTS says (20,000) are sent over several connections while berthd
is killed BERTH_KILLS times (3) at random. Every event that was accepted ends in its promised outcome at least once:
the destination for successes, or the dead letter queue, which are read all the while."""
import http.client
import json
import os
import random
import sys
import threading
import time
import unittest

from harness.engine import AGAINST, Engine, eventually
from harness.functions import ROLE, FunctionsApi, build_worker

EVENTS = int(os.environ.get("BERTH_EVENTS", "20000"))
KILLS = int(os.environ.get("BERTH_KILLS", "3"))
SENDERS, READERS = 4, 2
# A receipt that got lost in a kill: how long its messages stay out of sight.
VISIBILITY_SECONDS = 10
PATIENCE = 120 + EVENTS / 100  # for what is left once all were sent
QUEUE_ARN = "arn:aws:sqs:us-east-1:000000000000:"
QUEUES = {"done": lambda document: document["requestPayload"]["number"], "dead": lambda event: event["number"]}


class Line:
    """A connection to the functions' API that finds the engine again after a kill."""

    def __init__(self, engine):
        self.engine = engine
        self.connection = None

    def request(self, target, body, headers):
        """(status, body), or None: the engine went away, and whether it did what was asked is not known."""
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.engine.functions_address, timeout=60)
            self.connection.request("POST", target, body, headers)
            answer = self.connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return None

    def sqs(self, operation, **members):
        answer = self.request("/", json.dumps(members), {"X-Amz-Target": f"AmazonSQS.{operation}"})
        if answer is None:
            return None
        assert answer[0] == 200, answer
        return json.loads(answer[1]) if answer[1] else {}

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


class Flood:
    """Numbers that were accepted, and those that came out at either end."""

    def __init__(self, engine):
        self.engine = engine
        self.lock = threading.Lock()
        self.next = 0
        self.accepted = set()
        self.ended = {name: set() for name in QUEUES}
        self.messages = 0
        self.failures = []
        self.over = threading.Event()

    def guarded(self, work, *arguments):
        try:
            work(*arguments)
        except BaseException as error:  # noqa: B902: whatever ends a thread fails the test
            self.failures.append(error)

    def take(self):
        with self.lock:
            if self.next == EVENTS:
                return None
            self.next += 1
            return self.next - 1

    def send(self):
        line = Line(self.engine)
        while not self.failures:
            number = self.take()
            if number is None:
                break
            event = {"number": number, **({"fail": True} if number % 3 == 0 else {})}
            answer = line.request("/2015-03-31/functions/worker/invocations", json.dumps(event),
                                  {"X-Amz-Invocation-Type": "Event"})
            if answer is None:
                self.engine_is_back()
                continue
            assert answer[0] == 202, answer
            with self.lock:
                self.accepted.add(number)
        line.close()

    def read(self, queue):
        line = Line(self.engine)
        url = f"http://x/000000000000/{queue}"
        while not self.over.is_set():
            got = line.sqs("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            if got is None:
                self.engine_is_back()
                continue
            messages = got.get("Messages", [])
            if not messages:
                continue
            numbers = [QUEUES[queue](json.loads(message["Body"])) for message in messages]
            with self.lock:
                self.ended[queue].update(numbers)
                self.messages += len(numbers)
            line.sqs("DeleteMessageBatch", QueueUrl=url, Entries=[
                {"Id": str(i), "ReceiptHandle": message["ReceiptHandle"]} for i, message in enumerate(messages)])
        line.close()

    def engine_is_back(self):
        """Waits until the next engine has said where its API is, and answers."""
        def answers():
            try:
                return bool(self.engine.functions_address) and self.engine.api.get("/_ping").status == 200
            except OSError:
                return False

        eventually(answers, "the next engine answers", within=60)

    def left(self):
        with self.lock:
            return len(self.accepted - self.ended["done"] - self.ended["dead"])


@unittest.skipIf(AGAINST == "docker", "dockerd runs no functions")
class KilledUnderAFlood(unittest.TestCase):
    def setUp(self):
        self.engine = Engine(type(self).__name__)
        self.addCleanup(self.engine.close)
        self.engine.start()
        self.engine.load_base_image()
        build_worker(self.engine, "worker")
        line = Line(self.engine)
        for name in QUEUES:
            self.assertIsNotNone(line.sqs("CreateQueue", QueueName=name,
                                          Attributes={"VisibilityTimeout": str(VISIBILITY_SECONDS)}))
        line.close()
        api = FunctionsApi(self.engine.functions_address)
        answer = api.request("POST", "/2015-03-31/functions", {
            "FunctionName": "worker", "Role": ROLE, "PackageType": "Image", "Code": {"ImageUri": "worker:latest"},
            "Timeout": 30, "DeadLetterConfig": {"TargetArn": QUEUE_ARN + "dead"}})
        self.assertEqual(answer.status, 201, str(answer))
        eventually(lambda: api.request("GET", "/2015-03-31/functions/worker/configuration").json()["State"] == "Active",
                   "the function is active")
        answer = api.request("PUT", "/2019-09-25/functions/worker/event-invoke-config", {
            "MaximumRetryAttempts": 0, "DestinationConfig": {"OnSuccess": {"Destination": QUEUE_ARN + "done"}}})
        self.assertEqual(answer.status, 200, str(answer))

    def restart(self):
        self.engine.kill()
        os.unlink(os.path.join(self.engine.exec, "functions.addr"))  # nobody may take the old port for the next one
        self.engine.start()

    def test_every_accepted_event_has_its_outcome(self):
        seed = os.environ.get("BERTH_SEED") or str(random.randrange(1 << 32))
        chance = random.Random(seed)
        kills = sorted(chance.sample(range(EVENTS // 10, EVENTS), KILLS))
        flood = Flood(self.engine)
        self.addCleanup(flood.over.set)
        begin = time.monotonic()
        senders = [threading.Thread(target=flood.guarded, args=(flood.send,), daemon=True) for _ in range(SENDERS)]
        readers = [threading.Thread(target=flood.guarded, args=(flood.read, queue), daemon=True)
                   for queue in QUEUES for _ in range(READERS)]
        for thread in senders + readers:
            thread.start()
        for kill in kills:
            eventually(lambda: flood.next >= kill or flood.failures, f"{kill} events were sent", within=60 + EVENTS / 50)
            if not flood.failures:
                self.restart()
        for thread in senders:
            thread.join()
        sent = time.monotonic() - begin
        if not flood.failures:
            eventually(lambda: flood.left() == 0 or flood.failures, f"every accepted event has its outcome (seed {seed})",
                       within=PATIENCE)
        flood.over.set()
        for thread in readers:
            thread.join()
        self.assertEqual(flood.failures, [])
        done, dead = flood.ended["done"], flood.ended["dead"]
        if EVENTS > 20000:
            print(f"  {len(flood.accepted):,} of {EVENTS:,} accepted in {sent:.0f} s with {KILLS} kills, all ended after "
                  f"{time.monotonic() - begin:.0f} s: {len(done):,} at the destination, {len(dead):,} dead letters, "
                  f"{flood.messages - len(done) - len(dead):,} told twice", file=sys.stderr)
        # The kills hit a few of each sender's.
        self.assertGreaterEqual(len(flood.accepted), EVENTS * 99 // 100)
        self.assertEqual({number for number in flood.accepted if number % 3 == 0} - dead, set())
        self.assertEqual({number for number in flood.accepted if number % 3 != 0} - done, set())
        self.assertEqual(done & dead, set())


if __name__ == "__main__":
    unittest.main()
