"""Event source mappings against Apache Kafka's own broker: groups, batches, partial failures, destinations, what a
restart of berthd means for the group, names with passwords, and certificates."""
import json
import re
import shutil
import tempfile
import unittest

from harness import runtimes
from harness.authority import Authority
from harness.engine import AGAINST, eventually
from harness.functions import FunctionsCase
from harness.kafka import Kafka, library
from harness.kafka_broker import NAME, PASSWORD, Broker

# Less than the 45 s after which a broker gives up a member that is silent.
SOON = 30
PATIENCE = 120  # a busy machine's broker

# Tells a queue what each event brought, and fails from the first record on that begins with "bad".
CONSUMER = """
import base64, json, os, urllib.request

def tell(document):
    body = json.dumps({"QueueUrl": os.environ["QUEUE"], "MessageBody": json.dumps(document)}).encode()
    urllib.request.urlopen(urllib.request.Request(os.environ["AWS_ENDPOINT_URL"], body, {"X-Amz-Target": "AmazonSQS.SendMessage"})).read()

def handler(event, context):
    seen, failed = [], []
    for place, records in event["records"].items():
        for record in records:
            value = base64.b64decode(record["value"]).decode()
            seen.append([place, record["offset"], value])
            if value.startswith("bad"):
                failed.append({"itemIdentifier": {"partition": place, "offset": record["offset"]}})
    tell({"by": context.function_name, "records": seen})
    return {"batchItemFailures": failed}
"""


@unittest.skipIf(AGAINST == "docker", "dockerd has no functions")
@unittest.skipIf(library() is None, "librdkafka is not installed (librdkafka1)")
class RealBroker(FunctionsCase):
    @classmethod
    def setUpClass(cls):
        base = runtimes.python_base()
        if base is None:
            raise unittest.SkipTest("the host has no Python 3.11 in /usr")
        cls.broker = Broker()
        try:
            cls.broker.start()
            cls.kafka = Kafka(cls.broker.address)
            super().setUpClass()
        except BaseException:
            cls.broker.close()
            raise
        cls.addClassCleanup(cls.broker.close)
        cls.addClassCleanup(cls.kafka.close)
        loaded = cls.engine.load(base)
        assert loaded.code == 0, str(loaded)

    def setUp(self):
        self.topic = self._testMethodName.replace("_", "-")
        self.url = self.sqs("CreateQueue", QueueName=self.topic)["QueueUrl"]
        self.addCleanup(lambda: self.sqs("DeleteQueue", QueueUrl=self.url))
        self.told = []  # one document an event

    def consumer(self, name):
        made = self.api.create(name, {"index.py": CONSUMER}, Runtime="python3.11", Handler="index.handler", Timeout=60,
                               Environment={"Variables": {"QUEUE": self.url}})
        self.assertEqual(made.status, 201, str(made))
        self.addCleanup(lambda: self.api.request("DELETE", f"/2015-03-31/functions/{name}"))  # at the address of then

    def mapping(self, function, address=None, **members):
        made = self.api.request("POST", "/2015-03-31/event-source-mappings", {
            "FunctionName": function, "Topics": [self.topic], "StartingPosition": "TRIM_HORIZON",
            "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [address or self.broker.address]}},
            "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": f"group-{self.topic}"},
            "FunctionResponseTypes": ["ReportBatchItemFailures"], **members})
        self.assertEqual(made.status, 202, str(made))
        target = f"/2015-03-31/event-source-mappings/{made.json()['UUID']}"
        self.addCleanup(lambda: self.api.request("DELETE", target))
        return target

    def hear(self):
        """Takes what functions have told."""
        got = self.sqs("ReceiveMessage", QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for message in got.get("Messages", []):
            self.told.append(json.loads(message["Body"]))
            self.sqs("DeleteMessage", QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])

    def records(self):
        return [tuple(record) for document in self.told for record in document["records"]]

    def until_seen(self, values, within=PATIENCE):
        def all_seen():
            self.hear()
            return values <= {value for _, _, value in self.records()}

        eventually(all_seen, f"{len(values)} records were seen", within)

    def produce(self, values, partition):
        self.kafka.produce(self.topic, values, partition)
        return set(values)

    def test_all_partitions_in_batches_and_in_order(self):
        sent = set()
        for partition in range(3):
            sent |= self.produce([f"{partition}:{number}" for number in range(40)], partition)
        self.consumer("batches")
        self.mapping("batches", BatchSize=25)
        self.until_seen(sent)
        self.assertLessEqual(max(len(document["records"]) for document in self.told), 25)
        self.assertLessEqual(len(self.told), 20)  # they do come together
        offsets = {}
        for place, offset, value in self.records():
            self.assertEqual(value, f"{place[-1]}:{offset}")
            offsets.setdefault(place, []).append(offset)
        self.assertEqual(offsets, {f"{self.topic}-{partition}": list(range(40)) for partition in range(3)})

    def test_partial_failures_and_the_destination(self):
        failed, arn = self.queue("given-up")
        self.produce(["a", "b", "bad", "c"], 0)
        self.consumer("partial")
        self.mapping("partial", MaximumRetryAttempts=1, DestinationConfig={"OnFailure": {"Destination": arn}})
        document = json.loads(self.receive(failed)["Body"])
        info = document["KafkaBatchInfo"]
        self.assertEqual((info["topic"], info["partition"], info["startOffset"], info["endOffset"]),
                         (self.topic, 0, 2, 3))
        self.assertEqual(document["requestContext"]["approximateInvokeCount"], 2)
        self.until_seen({"a", "b", "bad", "c"})
        # The second attempt has what failed and what came after it; what was done is done.
        events = [[value for _, _, value in document["records"]] for document in self.told]
        self.assertEqual(events, [["a", "b", "bad", "c"], ["bad", "c"]])
        self.until_seen(self.produce(["d"], 0))
        self.assertEqual([value for _, _, value in self.records()].count("c"), 2)

    def test_a_batch_that_fails_is_halved_down_to_the_record(self):
        failed, arn = self.queue("poison-records")
        self.produce(["a", "b", "bad", "c"], 1)
        self.consumer("halved")
        self.mapping("halved", MaximumRetryAttempts=0, BisectBatchOnFunctionError=True,
                     DestinationConfig={"OnFailure": {"Destination": arn}})
        info = json.loads(self.receive(failed)["Body"])["KafkaBatchInfo"]
        self.assertEqual((info["startOffset"], info["endOffset"], info["batchSize"]), (2, 2, 1))
        self.until_seen({"a", "b", "c"})

    def test_the_next_engine_takes_its_place_in_the_group_at_once(self):
        self.produce(["before"], 0)
        self.consumer("restarted")
        self.mapping("restarted")
        self.until_seen({"before"})
        self.engine.kill()
        after = self.produce(["after"], 0)
        self.engine.start()
        self.connect()
        self.until_seen(after, within=SOON)

    def test_functions_of_one_group_share_the_partitions(self):
        self.produce(["first"], 0)
        for name in ("share-one", "share-two"):
            self.consumer(name)
            self.mapping(name)
        self.until_seen({"first"})
        sent, number = set(), 0

        def both_have_some():
            nonlocal number
            for partition in range(3):
                sent.update(self.produce([f"{partition}:{number}"], partition))
            number += 1
            self.hear()
            return len({document["by"] for document in self.told}) == 2

        eventually(both_have_some, "both have seen records", PATIENCE)
        self.until_seen(sent)

    def secret(self, name, password):
        return self.secret_of(name, {"username": NAME, "password": password})

    def secret_of(self, name, document):
        self.call("secretsmanager.CreateSecret", Name=name, SecretString=json.dumps(document))
        self.addCleanup(lambda: self.call("secretsmanager.DeleteSecret", SecretId=name))
        return self.call("secretsmanager.DescribeSecret", SecretId=name)["ARN"]

    def test_names_and_passwords(self):
        self.consumer("named")
        sent = self.produce(["secret"], 0)
        for kind in ("BASIC_AUTH", "SASL_SCRAM_512_AUTH"):
            self.told.clear()
            arn = self.secret(f"kafka-{kind}", PASSWORD)
            target = self.mapping("named", self.broker.sasl_address,
                                  SourceAccessConfigurations=[{"Type": kind, "URI": arn}],
                                  SelfManagedKafkaEventSourceConfig={"ConsumerGroupId": f"group-{kind}"})
            self.until_seen(sent)
            self.assertEqual(self.api.request("GET", target).json()["SourceAccessConfigurations"],
                             [{"Type": kind, "URI": arn}])

    def test_a_wrong_password_is_told_and_can_be_mended(self):
        sent = self.produce(["late"], 0)
        self.consumer("mended")
        arn = self.secret("kafka-wrong", "not it")
        target = self.mapping("mended", self.broker.sasl_address,
                              SourceAccessConfigurations=[{"Type": "BASIC_AUTH", "URI": arn}])
        result = lambda: self.api.request("GET", target).json()["LastProcessingResult"]
        eventually(lambda: "uthentication" in result(), "the mapping tells of the refusal", PATIENCE)
        self.assertNotIn("not it", result())
        self.call("secretsmanager.PutSecretValue", SecretId="kafka-wrong",
                  SecretString=json.dumps({"username": NAME, "password": PASSWORD}))
        self.assertEqual(self.api.request("PUT", target, {"BatchSize": 7}).status, 202)
        self.until_seen(sent)

    def authority_secret(self, name, authority):
        return {"Type": "SERVER_ROOT_CA_CERTIFICATE",
                "URI": self.secret_of(name, {"certificate": authority.certificate})}

    def client_secret(self, name, authority, password=None):
        certificate, key = authority.issue(name, "DNS:client", password)
        document = {"certificate": certificate, "privateKey": key}
        if password:
            document["privateKeyPassword"] = password
        return {"Type": "CLIENT_CERTIFICATE_TLS_AUTH", "URI": self.secret_of(name, document)}

    def test_certificates_of_server_and_client(self):
        self.consumer("certified")
        sent = self.produce(["over tls"], 0)
        trusted = self.authority_secret("kafka-ca", self.broker.authority)
        for password in (None, "of-the-key"):
            self.told.clear()
            name = f"kafka-client-{password}"
            client = self.client_secret(name, self.broker.authority, password)
            self.mapping("certified", self.broker.tls_address, SourceAccessConfigurations=[trusted, client],
                         SelfManagedKafkaEventSourceConfig={"ConsumerGroupId": f"group-{name}"})
            self.until_seen(sent)

    def test_a_name_and_a_password_over_tls(self):
        self.consumer("named-tls")
        sent = self.produce(["over tls"], 0)
        trusted = self.authority_secret("kafka-ca-named", self.broker.authority)
        for kind in ("BASIC_AUTH", "SASL_SCRAM_512_AUTH"):
            self.told.clear()
            login = {"Type": kind, "URI": self.secret(f"kafka-tls-{kind}", PASSWORD)}
            self.mapping("named-tls", self.broker.sasl_tls_address, SourceAccessConfigurations=[trusted, login],
                         SelfManagedKafkaEventSourceConfig={"ConsumerGroupId": f"group-tls-{kind}"})
            self.until_seen(sent)

    def test_a_broker_of_another_authority_is_refused_and_can_be_mended(self):
        folder = tempfile.mkdtemp(prefix="bt.ca.", dir="/tmp")
        self.addCleanup(shutil.rmtree, folder)
        self.consumer("deceived")
        sent = self.produce(["to the right one"], 0)
        other = self.authority_secret("kafka-other-ca", Authority(folder, "other"))
        client = self.client_secret("kafka-client", self.broker.authority)
        target = self.mapping("deceived", self.broker.tls_address, SourceAccessConfigurations=[other, client])
        result = lambda: self.api.request("GET", target).json()["LastProcessingResult"]
        eventually(lambda: "certificate verify failed" in result(), lambda: f"the reason is told: {result()}", PATIENCE)
        self.hear()
        self.assertEqual(self.told, [])
        self.call("secretsmanager.PutSecretValue", SecretId="kafka-other-ca",
                  SecretString=json.dumps({"certificate": self.broker.authority.certificate}))
        self.assertEqual(self.api.request("PUT", target, {"BatchSize": 7}).status, 202)
        self.until_seen(sent)

    def test_a_client_without_a_certificate_is_told_so(self):
        self.produce(["not for all"], 0)
        self.consumer("nameless")
        trusted = self.authority_secret("kafka-ca-alone", self.broker.authority)
        target = self.mapping("nameless", self.broker.tls_address, SourceAccessConfigurations=[trusted])
        result = lambda: self.api.request("GET", target).json()["LastProcessingResult"]
        # Java's TLS says "bad certificate" for none, others say "certificate required".
        eventually(lambda: re.search("alert (bad certificate|certificate required)", result()),
                   lambda: f"the reason is told: {result()}", PATIENCE)


if __name__ == "__main__":
    unittest.main()
