"""boto3, AWS's client library for Python, against the functions' API: shapes, waiters, paginators, and the sequences
that Terraform and SAM make."""
import io
import json
import os
import time
import unittest

from harness import runtimes
from harness.engine import Engine
from harness.functions import ROLE, zip_of

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError
except ImportError:
    boto3 = None


@unittest.skipIf(boto3 is None, "boto3 is not installed: \"scripts/install-packages test\" installs it")
class Boto3(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = Engine(cls.__name__)
        try:
            cls.engine.start()
            runtimes.stand_in(cls.engine)
            cls.endpoint = f"http://{cls.engine.functions_address}"
            cls.awslambda = cls.client("lambda")
        except BaseException:
            cls.engine.close()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.engine.close()

    @classmethod
    def client(cls, service, account="123456789012", **settings):
        return boto3.client(service, endpoint_url=cls.endpoint, region_name="eu-west-1", aws_access_key_id=account,
                            aws_secret_access_key="secret", config=Config(retries={"max_attempts": 0}, **settings))

    def function(self, name, **members):
        made = self.awslambda.create_function(**{
            "FunctionName": name, "Runtime": "provided.al2023", "Handler": "h", "Role": ROLE,
            "Code": {"ZipFile": zip_of({"bootstrap": "#!/bin/sh\n"})}, **members})
        self.addCleanup(self.awslambda.delete_function, FunctionName=name)
        return made

    def fails(self, code, call, **members):
        with self.assertRaises(ClientError) as raised:
            call(**members)
        self.assertEqual(raised.exception.response["Error"]["Code"], code, raised.exception.response)
        return raised.exception

    def test_account_and_region_are_the_clients(self):
        made = self.function("mine")
        self.assertEqual(made["FunctionArn"], "arn:aws:lambda:eu-west-1:123456789012:function:mine")
        self.assertEqual(self.client("sts").get_caller_identity()["Account"], "123456789012")
        others = self.client("lambda", "210987654321").list_functions()["Functions"]
        self.assertEqual(others, [])

    def test_waiters(self):
        self.function("waited")
        for waiter in ("function_exists", "function_active", "function_active_v2"):
            self.awslambda.get_waiter(waiter).wait(FunctionName="waited", WaiterConfig={"Delay": 1, "MaxAttempts": 3})
        self.awslambda.update_function_configuration(FunctionName="waited", Timeout=10)
        for waiter in ("function_updated", "function_updated_v2"):
            self.awslambda.get_waiter(waiter).wait(FunctionName="waited", WaiterConfig={"Delay": 1, "MaxAttempts": 3})
        self.awslambda.publish_version(FunctionName="waited")
        self.awslambda.get_waiter("published_version_active").wait(FunctionName="waited", Qualifier="1",
                                                                   WaiterConfig={"Delay": 1, "MaxAttempts": 3})

    def test_errors_are_the_models(self):
        self.function("errors")
        client = self.awslambda
        self.fails("ResourceNotFoundException", client.get_function, FunctionName="nope")
        self.assertIsInstance(self.fails("ResourceConflictException", client.create_function, FunctionName="errors",
                                         Runtime="provided.al2023", Handler="h", Role=ROLE,
                                         Code={"ZipFile": zip_of({"a": "b"})}),
                              client.exceptions.ResourceConflictException)
        self.fails("InvalidParameterValueException", client.create_function, FunctionName="bad", Role=ROLE,
                   Code={"ZipFile": zip_of({"a": "b"})})
        self.fails("PreconditionFailedException", client.update_function_configuration, FunctionName="errors",
                   RevisionId="other")
        client.put_function_concurrency(FunctionName="errors", ReservedConcurrentExecutions=0)
        throttled = self.fails("TooManyRequestsException", client.invoke, FunctionName="errors")
        self.assertEqual(throttled.response["Reason"], "ReservedFunctionConcurrentInvocationLimitExceeded")

    def test_paginators(self):
        for i in range(5):
            self.function(f"paged-{i}")
        pages = self.awslambda.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2})
        names = [function["FunctionName"] for page in pages for function in page["Functions"]]
        self.assertEqual([name for name in names if name.startswith("paged-")], [f"paged-{i}" for i in range(5)])

    def test_a_role_and_a_function_as_terraform_makes_them(self):
        iam = self.client("iam")
        trust = json.dumps({"Version": "2012-10-17", "Statement": []})
        role = iam.create_role(RoleName="tf", AssumeRolePolicyDocument=trust)["Role"]
        self.assertEqual(iam.get_role(RoleName="tf")["Role"]["AssumeRolePolicyDocument"], json.loads(trust))
        policy = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
        iam.attach_role_policy(RoleName="tf", PolicyArn=policy)
        attached = iam.list_attached_role_policies(RoleName="tf")["AttachedPolicies"]
        self.assertEqual(attached, [{"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": policy}])
        self.assertEqual(iam.list_role_policies(RoleName="tf")["PolicyNames"], [])
        client = self.awslambda
        self.function("tf", Role=role["Arn"], Tags={"env": "test"})
        client.get_waiter("function_active_v2").wait(FunctionName="tf", WaiterConfig={"Delay": 1, "MaxAttempts": 3})
        self.assertEqual(client.get_function(FunctionName="tf")["Tags"], {"env": "test"})
        versions = client.list_versions_by_function(FunctionName="tf", MaxItems=10000)["Versions"]
        self.assertEqual(versions[-1]["FunctionArn"].rsplit(":", 1)[1], "$LATEST")
        self.assertNotIn("CodeSigningConfigArn", client.get_function_code_signing_config(FunctionName="tf"))
        client.update_function_code(FunctionName="tf", ZipFile=zip_of({"bootstrap": "#!/bin/sh\nexit\n"}), Publish=True)
        client.put_function_concurrency(FunctionName="tf", ReservedConcurrentExecutions=3)
        self.assertEqual(client.get_function_concurrency(FunctionName="tf")["ReservedConcurrentExecutions"], 3)
        client.create_alias(FunctionName="tf", Name="live", FunctionVersion="1")
        self.assertEqual(client.get_alias(FunctionName="tf", Name="live")["FunctionVersion"], "1")
        iam.detach_role_policy(RoleName="tf", PolicyArn=policy)
        iam.delete_role(RoleName="tf")
        self.fails("NoSuchEntity", iam.get_role, RoleName="tf")

    def test_settings(self):
        self.function("set")
        client = self.awslambda
        client.publish_version(FunctionName="set")
        client.add_permission(FunctionName="set", StatementId="s", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com")
        self.assertEqual(json.loads(client.get_policy(FunctionName="set")["Policy"])["Statement"][0]["Sid"], "s")
        client.remove_permission(FunctionName="set", StatementId="s")
        client.put_function_event_invoke_config(FunctionName="set", MaximumRetryAttempts=0)
        self.assertEqual(client.get_function_event_invoke_config(FunctionName="set")["MaximumRetryAttempts"], 0)
        url = client.create_function_url_config(FunctionName="set", AuthType="NONE")
        self.assertIn(".lambda-url.eu-west-1.localhost", url["FunctionUrl"])
        put = client.put_provisioned_concurrency_config(FunctionName="set", Qualifier="1", ProvisionedConcurrentExecutions=1)
        self.assertEqual(put["Status"], "IN_PROGRESS")
        client.delete_provisioned_concurrency_config(FunctionName="set", Qualifier="1")
        if hasattr(client, "put_runtime_management_config"):  # Debian 12's boto3 is older than these operations
            client.put_runtime_management_config(FunctionName="set", UpdateRuntimeOn="FunctionUpdate")
            self.assertEqual(client.get_runtime_management_config(FunctionName="set")["UpdateRuntimeOn"], "FunctionUpdate")
        if hasattr(client, "put_function_recursion_config"):
            client.put_function_recursion_config(FunctionName="set", RecursiveLoop="Allow")
            self.assertEqual(client.get_function_recursion_config(FunctionName="set")["RecursiveLoop"], "Allow")
        self.assertGreater(client.get_account_settings()["AccountUsage"]["FunctionCount"], 0)

    def test_mappings_have_dates(self):
        self.function("mapped")
        made = self.awslambda.create_event_source_mapping(
            FunctionName="mapped", EventSourceArn="arn:aws:sqs:eu-west-1:123456789012:q", Enabled=False)
        self.addCleanup(self.awslambda.delete_event_source_mapping, UUID=made["UUID"])
        self.assertEqual(made["LastModified"].year, made["LastModified"].utcnow().year)
        kafka = self.awslambda.create_event_source_mapping(
            FunctionName="mapped", Topics=["t"], Enabled=False, StartingPosition="TRIM_HORIZON",
            SelfManagedEventSource={"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["127.0.0.1:9092"]}})
        self.addCleanup(self.awslambda.delete_event_source_mapping, UUID=kafka["UUID"])
        listed = self.awslambda.list_event_source_mappings(FunctionName="mapped")["EventSourceMappings"]
        self.assertEqual({each["UUID"] for each in listed}, {made["UUID"], kafka["UUID"]})

    def test_s3(self):
        s3 = self.client("s3")
        s3.create_bucket(Bucket="boto-bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        data = os.urandom(20 << 20)
        s3.upload_fileobj(io.BytesIO(data), "boto-bucket", "large")  # by parts
        self.assertTrue(s3.head_object(Bucket="boto-bucket", Key="large")["ETag"].endswith('-3"'))
        back = io.BytesIO()
        s3.download_fileobj("boto-bucket", "large", back)
        self.assertEqual(back.getvalue(), data)
        s3.put_object(Bucket="boto-bucket", Key="a/f.zip", Body=zip_of({"bootstrap": "#!/bin/sh\n"}), Metadata={"k": "v"})
        self.assertEqual(s3.get_object(Bucket="boto-bucket", Key="a/f.zip")["Metadata"], {"k": "v"})
        self.function("from-s3", Code={"S3Bucket": "boto-bucket", "S3Key": "a/f.zip"})
        keys = [each["Key"] for each in s3.list_objects_v2(Bucket="boto-bucket")["Contents"]]
        self.assertEqual(keys, ["a/f.zip", "large"])
        self.assertEqual(s3.list_objects_v2(Bucket="boto-bucket", Delimiter="/")["CommonPrefixes"], [{"Prefix": "a/"}])
        with self.assertRaises(ClientError):
            s3.delete_bucket(Bucket="boto-bucket")
        s3.delete_objects(Bucket="boto-bucket", Delete={"Objects": [{"Key": key} for key in keys]})
        s3.delete_bucket(Bucket="boto-bucket")
        self.fails("404", s3.head_bucket, Bucket="boto-bucket")

    def test_notifications_of_a_bucket(self):
        s3 = self.client("s3")
        s3.create_bucket(Bucket="told", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        arn = self.function("hears")["FunctionArn"]
        rules = [{"Id": "one", "LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"],
                  "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "in/&<"}]}}}]
        s3.put_bucket_notification_configuration(Bucket="told", NotificationConfiguration={
            "LambdaFunctionConfigurations": rules})
        self.assertEqual(s3.get_bucket_notification_configuration(Bucket="told")["LambdaFunctionConfigurations"], rules)
        self.fails("InvalidArgument", s3.put_bucket_notification_configuration, Bucket="told", NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": "arn:aws:sqs:eu-west-1:123456789012:q", "Events": ["s3:ObjectCreated:*"]}]})
        s3.put_bucket_notification_configuration(Bucket="told", NotificationConfiguration={})
        self.assertNotIn("LambdaFunctionConfigurations", s3.get_bucket_notification_configuration(Bucket="told"))
        s3.delete_bucket(Bucket="told")

    def test_logs(self):
        logs = self.client("logs")
        logs.create_log_group(logGroupName="/own/group")
        logs.put_retention_policy(logGroupName="/own/group", retentionInDays=7)
        logs.create_log_stream(logGroupName="/own/group", logStreamName="s")
        found = logs.describe_log_groups(logGroupNamePrefix="/own")["logGroups"]
        self.assertEqual([(group["logGroupName"], group["retentionInDays"]) for group in found], [("/own/group", 7)])
        self.fails("ResourceAlreadyExistsException", logs.create_log_group, logGroupName="/own/group")
        self.fails("ResourceNotFoundException", logs.describe_log_streams, logGroupName="/no/group")
        logs.delete_log_group(logGroupName="/own/group")

    def test_live_tail(self):
        logs = self.client("logs", inject_host_prefix=False)
        if not hasattr(logs, "start_live_tail"):
            self.skipTest("this boto3 does not know StartLiveTail")
        for name in ("/tail/one", "/tail/two"):
            logs.create_log_group(logGroupName=name)
            self.addCleanup(logs.delete_log_group, logGroupName=name)
            logs.create_log_stream(logGroupName=name, logStreamName="s")
        arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/tail/"

        def put(name, message):
            logs.put_log_events(logGroupName=name, logStreamName="s", logEvents=[
                {"timestamp": int(time.time() * 1000), "message": message}])

        put("/tail/one", "wanted before the session")
        self.fails("ResourceNotFoundException", logs.start_live_tail, logGroupIdentifiers=[arn + "none"])
        self.fails("InvalidParameterException", logs.start_live_tail, logGroupIdentifiers=[arn + "one", arn + "two"],
                   logStreamNames=["s"])
        session = logs.start_live_tail(logGroupIdentifiers=[arn + "one", arn + "two"], logEventFilterPattern="wanted")
        stream = session["responseStream"]
        self.addCleanup(stream.close)
        events = iter(stream)
        start = next(events)["sessionStart"]
        self.assertEqual((start["logGroupIdentifiers"], start["logEventFilterPattern"]), ([arn + "one", arn + "two"], "wanted"))
        put("/tail/one", "wanted 1")
        put("/tail/one", "else")
        put("/tail/two", "wanted 2")
        seen = []
        for event in events:  # each second one, whether or not there is anything
            # What was there before may be of the same millisecond.
            seen += [each for each in event["sessionUpdate"]["sessionResults"] if "before" not in each["message"]]
            if len(seen) >= 2:
                break
        self.assertEqual(sorted((each["logGroupIdentifier"], each["logStreamName"], each["message"]) for each in seen),
                         [(arn + "one", "s", "wanted 1"), (arn + "two", "s", "wanted 2")])
