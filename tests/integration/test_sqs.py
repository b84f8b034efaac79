"""The local queues on the wire, in SQS's JSON and query protocols. What SQS means by visibility, order and
deduplication is tested beside the sources, on a clock that tests move."""
import hashlib
import json
import threading
import unittest
import urllib.parse
import xml.etree.ElementTree as xml

from harness.functions import FunctionsApi, FunctionsCase

NAMESPACE = "{http://queue.amazonaws.com/doc/2012-11-05/}"


class SqsCase(FunctionsCase):
    def queue(self, suffix="", **attributes):
        name = self._testMethodName[5:60] + suffix
        url = self.sqs("CreateQueue", QueueName=name, Attributes=attributes)["QueueUrl"]
        self.addCleanup(self.sqs, "DeleteQueue", QueueUrl=url)
        return url

    def query(self, path, status=200, **parameters):
        answer = self.api.request("POST", path, urllib.parse.urlencode(parameters).encode(),
                                  {"Content-Type": "application/x-www-form-urlencoded"})
        self.assertEqual(answer.status, status, str(answer))
        return xml.fromstring(answer.body)


class JsonProtocol(SqsCase):
    def test_send_receive_and_delete(self):
        url = self.queue()
        sent = self.sqs("SendMessage", QueueUrl=url, MessageBody="hello",
                        MessageAttributes={"n": {"DataType": "Number", "StringValue": "1"}})
        self.assertEqual(sent["MD5OfMessageBody"], hashlib.md5(b"hello").hexdigest())
        got = self.sqs("ReceiveMessage", QueueUrl=url, AttributeNames=["All"], MessageAttributeNames=["All"])
        message, = got["Messages"]
        self.assertEqual((message["Body"], message["MessageId"]), ("hello", sent["MessageId"]))
        self.assertEqual(message["MD5OfMessageAttributes"], sent["MD5OfMessageAttributes"])
        self.assertEqual(message["Attributes"]["ApproximateReceiveCount"], "1")
        self.assertEqual(self.sqs("ReceiveMessage", QueueUrl=url), {})
        self.sqs("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        counts = self.sqs("GetQueueAttributes", QueueUrl=url, AttributeNames=["All"])["Attributes"]
        self.assertEqual((counts["ApproximateNumberOfMessages"], counts["ApproximateNumberOfMessagesNotVisible"]),
                         ("0", "0"))

    def test_a_batch_tells_of_each_entry(self):
        url = self.queue()
        answer = self.sqs("SendMessageBatch", QueueUrl=url,
                          Entries=[{"Id": "a", "MessageBody": "x"}, {"Id": "b", "MessageBody": "\x01"}])
        self.assertEqual([entry["Id"] for entry in answer["Successful"]], ["a"])
        self.assertEqual([(entry["Id"], entry["SenderFault"]) for entry in answer["Failed"]], [("b", True)])
        for entries, error in (([], "EmptyBatchRequest"),
                               ([{"Id": "a", "MessageBody": "x"}] * 2, "BatchEntryIdsNotDistinct"),
                               ([{"Id": str(i), "MessageBody": "x"} for i in range(11)],
                                "TooManyEntriesInBatchRequest"),
                               ([{"Id": "!", "MessageBody": "x"}], "InvalidBatchEntryId")):
            refused = self.sqs("SendMessageBatch", 400, QueueUrl=url, Entries=entries)
            self.assertEqual(refused["__type"], f"com.amazonaws.sqs#{error}")

    def test_a_long_poll_ends_with_the_message(self):
        url = self.queue()
        got = []

        def wait():
            answer = FunctionsApi(self.engine.functions_address).request(
                "POST", "/", json.dumps({"QueueUrl": url, "WaitTimeSeconds": 20}).encode(),
                {"X-Amz-Target": "AmazonSQS.ReceiveMessage"})
            got.append(json.loads(answer.body))

        waiter = threading.Thread(target=wait)
        waiter.start()
        self.sqs("SendMessage", QueueUrl=url, MessageBody="late")
        waiter.join(30)
        self.assertEqual(got[0]["Messages"][0]["Body"], "late")

    def test_a_killed_daemon_loses_no_message(self):
        url = self.queue()
        for number in range(20):
            self.sqs("SendMessage", QueueUrl=url, MessageBody=str(number))
        self.engine.kill()
        self.engine.start()
        self.connect()
        bodies = set()
        while len(bodies) < 20:
            got = self.sqs("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10)
            self.assertTrue(got, f"only {sorted(bodies)}")
            bodies |= {message["Body"] for message in got["Messages"]}
        self.assertEqual(bodies, {str(number) for number in range(20)})

    def test_errors_have_the_names_of_aws(self):
        url = self.queue()
        missing = self.sqs("SendMessage", 400, QueueUrl=url + "x", MessageBody="x")
        self.assertEqual(missing["__type"], "com.amazonaws.sqs#QueueDoesNotExist")
        self.assertEqual(self.answer.headers["x-amzn-query-error"], "AWS.SimpleQueueService.NonExistentQueue;Sender")
        for operation, members, error in (
                ("SendMessage", {"QueueUrl": url}, "MissingRequiredParameterException"),
                ("SendMessage", {"QueueUrl": url, "MessageBody": ""}, "MissingRequiredParameterException"),
                ("ReceiveMessage", {"QueueUrl": url, "MaxNumberOfMessages": 11}, "InvalidParameterValueException"),
                ("DeleteMessage", {"QueueUrl": url, "ReceiptHandle": "x"}, "ReceiptHandleIsInvalid"),
                ("CreateQueue", {"QueueName": "bad name"}, "InvalidParameterValueException"),
                ("SetQueueAttributes", {"QueueUrl": url, "Attributes": {"Nope": "1"}}, "InvalidAttributeName"),
                ("SendMessage", {"QueueUrl": url, "MessageBody": "\x02"}, "InvalidMessageContents"),
                ("SendMessage", {"QueueUrl": 7, "MessageBody": ["x"]}, "InvalidParameterValueException"),
                ("Nothing", {}, "InvalidAction")):
            refused = self.sqs(operation, 400, **members)
            self.assertEqual(refused["__type"], f"com.amazonaws.sqs#{error}", operation)

    def test_refusals_in_the_words_of_aws(self):
        url, fifo = self.queue(), self.queue(".fifo", FifoQueue="true")
        name = fifo.rsplit("/", 1)[1]
        ids = "can only include alphanumeric and punctuation characters. 1 to 128 in length."

        def message(where, **members):
            return "SendMessage", {"QueueUrl": where, "MessageBody": "x", **members}

        for operation, members, code, text in (
                ("ReceiveMessage", {"QueueUrl": url, "MaxNumberOfMessages": 0}, "InvalidParameterValue",
                 "Value 0 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."),
                ("SetQueueAttributes", {"QueueUrl": url, "Attributes": {"FifoQueue": "true"}}, "InvalidAttributeName",
                 "Unknown Attribute FifoQueue."),
                ("SetQueueAttributes", {"QueueUrl": fifo, "Attributes": {"FifoQueue": "false"}}, "InvalidAttributeValue",
                 "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported."),
                ("CreateQueue", {"QueueName": name, "Attributes": {"FifoQueue": "true", "DelaySeconds": "7"}},
                 "QueueAlreadyExists", "A queue already exists with the same name and a different value for attribute DelaySeconds"),
                ("CreateQueue", {"QueueName": "plain", "Attributes": {"DeduplicationScope": "queue"}}, "InvalidAttributeName",
                 "You can specify the DeduplicationScope only when FifoQueue is set to true."),
                ("CreateQueue", {"QueueName": "plain", "Attributes": {"ContentBasedDeduplication": "true"}}, "InvalidAttributeName",
                 "Unknown Attribute ContentBasedDeduplication."),
                (*message(fifo), "MissingParameter", "The request must contain the parameter MessageGroupId."),
                (*message(fifo, MessageGroupId="a b"), "InvalidParameterValue",
                 f"Value a b for parameter MessageGroupId is invalid. Reason: MessageGroupId {ids}"),
                (*message(fifo, MessageGroupId="g", MessageDeduplicationId="x" * 129), "InvalidParameterValue",
                 f"Value {'x' * 129} for parameter MessageDeduplicationId is invalid. Reason: MessageDeduplicationId {ids}")):
            refused = self.sqs(operation, 400, **members)
            self.assertEqual((self.answer.headers["x-amzn-query-error"], refused["message"]), (f"{code};Sender", text))

    def test_an_earlier_receipt_changes_the_visibility(self):
        for suffix, attributes, status in (("", {}, 200), (".fifo", {"FifoQueue": "true"}, 400)):
            url = self.queue(suffix, **attributes)
            group = {"MessageGroupId": "g", "MessageDeduplicationId": "d"} if suffix else {}
            self.sqs("SendMessage", QueueUrl=url, MessageBody="x", **group)
            first, = self.sqs("ReceiveMessage", QueueUrl=url, VisibilityTimeout=0)["Messages"]
            self.assertEqual(len(self.sqs("ReceiveMessage", QueueUrl=url, VisibilityTimeout=600)["Messages"]), 1)
            self.sqs("ChangeMessageVisibility", status, QueueUrl=url, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0)
            found = self.sqs("ReceiveMessage", QueueUrl=url).get("Messages", [])
            self.assertEqual(len(found), 1 if status == 200 else 0)

    def test_truth_in_any_case_of_letters(self):
        url = self.queue(".fifo", FifoQueue="true", ContentBasedDeduplication="True")
        for _ in range(2):
            self.sqs("SendMessage", QueueUrl=url, MessageBody="same", MessageGroupId="g")
        got = self.sqs("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10)
        self.assertEqual([each["Body"] for each in got["Messages"]], ["same"])

    def test_input_that_is_no_json(self):
        for body in (b"[]", b"{", b"\xff", b"{\"a\":" * 100):
            answer = self.api.request("POST", "/", body, {"X-Amz-Target": "AmazonSQS.SendMessage"})
            self.assertEqual(answer.status, 400, body)


class QueryProtocol(SqsCase):
    def test_send_receive_and_delete(self):
        url = self.query("/000000000000/unused", Action="CreateQueue", QueueName="query",
                         **{"Attribute.1.Name": "VisibilityTimeout", "Attribute.1.Value": "7"}).findtext(
                             f".//{NAMESPACE}QueueUrl")
        path = urllib.parse.urlparse(url).path
        sent = self.query(path, Action="SendMessage", MessageBody="a<b", **{
            "MessageAttribute.1.Name": "k", "MessageAttribute.1.Value.DataType": "String",
            "MessageAttribute.1.Value.StringValue": "v"})
        self.assertEqual(sent.findtext(f".//{NAMESPACE}MD5OfMessageBody"), hashlib.md5(b"a<b").hexdigest())
        got = self.query(path, Action="ReceiveMessage", **{"MessageAttributeName.1": "All"})
        self.assertEqual(got.findtext(f".//{NAMESPACE}Body"), "a<b")
        self.assertEqual(got.findtext(f".//{NAMESPACE}MessageAttribute/{NAMESPACE}Value/{NAMESPACE}StringValue"), "v")
        handle = got.findtext(f".//{NAMESPACE}ReceiptHandle")
        self.query(path, Action="DeleteMessage", ReceiptHandle=handle)
        self.query(path, Action="SendMessage", MessageBody="one\r\ntwo\r")
        got = self.query(path, Action="ReceiveMessage")
        self.assertEqual(got.findtext(f".//{NAMESPACE}Body"), "one\r\ntwo\r")
        attributes = self.query(path, Action="GetQueueAttributes", **{"AttributeName.1": "VisibilityTimeout"})
        self.assertEqual(attributes.findtext(f".//{NAMESPACE}Value"), "7")
        self.query(path, Action="DeleteQueue")

    def test_errors_have_codes(self):
        error = self.query("/000000000000/none", 400, Action="ReceiveMessage")
        self.assertEqual(error.findtext(f".//{NAMESPACE}Code"), "AWS.SimpleQueueService.NonExistentQueue")


if __name__ == "__main__":
    unittest.main()
