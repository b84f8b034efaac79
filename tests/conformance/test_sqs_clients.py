"""boto3 and the aws command against the local queues."""
import json
import os
import shutil
import unittest

from harness.engine import run
from harness.functions import FunctionsCase

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError
except ImportError:
    boto3 = None


@unittest.skipIf(boto3 is None, "boto3 is not installed (python3-boto3)")
class Boto3(FunctionsCase):
    def setUp(self):
        self.sqs = boto3.client("sqs", endpoint_url=f"http://{self.engine.functions_address}", region_name="us-east-1",
                                aws_access_key_id="test", aws_secret_access_key="test",
                                config=Config(retries={"max_attempts": 0}))

    def queue(self, **attributes):
        name = self._testMethodName[5:60] + (".fifo" if "FifoQueue" in attributes else "")
        url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.addCleanup(self.sqs.delete_queue, QueueUrl=url)
        return url

    def test_messages_and_their_sums(self):
        url = self.queue()
        # botocore checks the MD5 sums of what it sends and receives itself.
        self.sqs.send_message(QueueUrl=url, MessageBody="körper", MessageAttributes={
            "text": {"DataType": "String", "StringValue": "ä"}, "number": {"DataType": "Number.int", "StringValue": "5"},
            "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}})
        message, = self.sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"],
                                            AttributeNames=["All"])["Messages"]
        self.assertEqual(message["Body"], "körper")
        self.assertEqual(message["MessageAttributes"]["bytes"]["BinaryValue"], b"\x00\xff")
        self.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
        again, = self.sqs.receive_message(QueueUrl=url)["Messages"]
        self.sqs.delete_message_batch(QueueUrl=url, Entries=[{"Id": "1", "ReceiptHandle": again["ReceiptHandle"]}])
        self.sqs.purge_queue(QueueUrl=url)

    def test_fifo(self):
        url = self.queue(FifoQueue="true", ContentBasedDeduplication="true")
        for body in ("a", "b", "a"):
            self.sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId="g")
        got = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"])["Messages"]
        self.assertEqual([message["Body"] for message in got], ["a", "b"])
        self.assertLess(got[0]["Attributes"]["SequenceNumber"], got[1]["Attributes"]["SequenceNumber"])

    def test_dead_letters_and_tags(self):
        dead = self.sqs.create_queue(QueueName="dead")["QueueUrl"]
        self.addCleanup(self.sqs.delete_queue, QueueUrl=dead)
        arn = self.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        url = self.queue(VisibilityTimeout="0",
                         RedrivePolicy=json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1}))
        self.sqs.send_message(QueueUrl=url, MessageBody="x")
        self.assertIn("Messages", self.sqs.receive_message(QueueUrl=url))
        self.assertNotIn("Messages", self.sqs.receive_message(QueueUrl=url))
        self.assertEqual(self.sqs.receive_message(QueueUrl=dead)["Messages"][0]["Body"], "x")
        self.assertEqual(self.sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"], [url])
        self.sqs.tag_queue(QueueUrl=url, Tags={"k": "v"})
        self.assertEqual(self.sqs.list_queue_tags(QueueUrl=url)["Tags"], {"k": "v"})
        self.sqs.untag_queue(QueueUrl=url, TagKeys=["k"])
        self.assertNotIn("Tags", self.sqs.list_queue_tags(QueueUrl=url))

    def test_errors_are_the_client_s_exceptions(self):
        with self.assertRaises(self.sqs.exceptions.QueueDoesNotExist):
            self.sqs.get_queue_url(QueueName="none")
        url = self.queue()
        with self.assertRaises(self.sqs.exceptions.ReceiptHandleIsInvalid):
            self.sqs.delete_message(QueueUrl=url, ReceiptHandle="x")
        with self.assertRaises(ClientError) as refused:
            self.sqs.create_queue(QueueName="bad name")
        self.assertEqual(refused.exception.response["Error"]["Code"], "InvalidParameterValue")

    def test_rules(self):
        events = boto3.client("events", endpoint_url=f"http://{self.engine.functions_address}",
                              region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
        made = events.put_rule(Name="hourly", ScheduleExpression="rate(1 hour)")
        self.assertEqual(made["RuleArn"], "arn:aws:events:us-east-1:000000000000:rule/hourly")
        events.put_targets(Rule="hourly", Targets=[{"Id": "1", "Arn": "arn:aws:sqs:us-east-1:000000000000:q"}])
        self.assertEqual(events.list_targets_by_rule(Rule="hourly")["Targets"][0]["Id"], "1")
        events.remove_targets(Rule="hourly", Ids=["1"])
        events.delete_rule(Name="hourly")
        self.assertEqual(events.list_rules()["Rules"], [])


@unittest.skipIf(shutil.which("aws") is None, "the aws command is not installed (awscli)")
class AwsCommand(FunctionsCase):
    def aws(self, *arguments):
        environment = {**os.environ, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
                       "AWS_DEFAULT_REGION": "us-east-1", "AWS_PAGER": ""}
        result = run(["aws", "--endpoint-url", f"http://{self.engine.functions_address}", "--output", "json",
                      *arguments], env=environment)
        self.assertEqual(result.code, 0, str(result))
        return json.loads(result.out) if result.out.strip() else None

    def test_a_queue(self):
        url = self.aws("sqs", "create-queue", "--queue-name", "cli")["QueueUrl"]
        self.aws("sqs", "send-message", "--queue-url", url, "--message-body", "hello")
        message, = self.aws("sqs", "receive-message", "--queue-url", url, "--attribute-names", "All")["Messages"]
        self.assertEqual(message["Body"], "hello")
        self.aws("sqs", "delete-message", "--queue-url", url, "--receipt-handle", message["ReceiptHandle"])
        self.assertEqual(self.aws("sqs", "list-queues")["QueueUrls"], [url])
        self.aws("sqs", "delete-queue", "--queue-url", url)


if __name__ == "__main__":
    unittest.main()
