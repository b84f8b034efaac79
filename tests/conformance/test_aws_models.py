"""Every answer of the functions' ports against botocore's service models: Lambda in all its operations, CloudWatch Logs,
S3, SQS, STS, IAM, EventBridge and Secrets Manager."""
import json
import unittest

from harness import runtimes
from harness.aws_model import Model
from harness.engine import Engine
from harness.functions import ROLE, zip_of

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError
except ImportError:
    boto3 = None

ACCOUNT, REGION = "123456789012", "eu-west-1"
ZIP = {"bootstrap": "#!/bin/sh\n"}
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"


@unittest.skipIf(boto3 is None, "boto3 is not installed: \"scripts/install-packages test\" installs it")
class Models(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = Engine(cls.__name__)
        try:
            cls.engine.start()
            runtimes.stand_in(cls.engine)
        except BaseException:
            cls.engine.close()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.engine.close()

    def setUp(self):
        self.model = Model()

    def tearDown(self):
        self.assertEqual(self.model.faults, [])

    def client(self, service, **settings):
        return self.model.watch(boto3.client(
            service, endpoint_url=f"http://{self.engine.functions_address}", region_name=REGION, aws_access_key_id=ACCOUNT,
            aws_secret_access_key="secret", config=Config(retries={"max_attempts": 0}, **settings)))

    def refused(self, code, call, **members):
        with self.assertRaises(ClientError) as raised:
            call(**members)
        self.assertEqual(raised.exception.response["Error"]["Code"], code, raised.exception.response)

    def function(self, client, name, **members):
        made = client.create_function(**{
            "FunctionName": name, "Runtime": "provided.al2023", "Handler": "h", "Role": ROLE, "Code": {"ZipFile": zip_of(ZIP)},
            **members})
        self.addCleanup(client.delete_function, FunctionName=name)
        return made

    def test_functions(self):
        client = self.client("lambda")
        layer = client.publish_layer_version(LayerName="l", Content={"ZipFile": zip_of({"f": "x"})}, LicenseInfo="MIT",
                                             CompatibleRuntimes=["python3.9"], CompatibleArchitectures=["x86_64"])
        made = self.function(
            client, "f", Description="d", Environment={"Variables": {"NAME": "b"}}, Layers=[layer["LayerVersionArn"]], Tags={"k": "v"},
            DeadLetterConfig={"TargetArn": QUEUE}, TracingConfig={"Mode": "Active"}, EphemeralStorage={"Size": 1024},
            VpcConfig={"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}, SnapStart={"ApplyOn": "PublishedVersions"},
            FileSystemConfigs=[{"Arn": f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:access-point/fsap-01234567890123456",
                                "LocalMountPath": "/mnt/a"}],
            KMSKeyArn=f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k", Publish=True)
        self.assertEqual(made["Version"], "1")
        client.get_function(FunctionName="f")
        client.get_function(FunctionName="f", Qualifier="1")
        client.get_function_configuration(FunctionName="f")
        client.update_function_configuration(FunctionName="f", Timeout=7, Layers=[])
        client.update_function_code(FunctionName="f", ZipFile=zip_of({**ZIP, "more": "x"}), Publish=True)
        client.list_functions()
        client.list_functions(FunctionVersion="ALL", MasterRegion="ALL")
        client.list_versions_by_function(FunctionName="f")
        client.publish_version(FunctionName="f", Description="again")
        client.create_alias(FunctionName="f", Name="live", FunctionVersion="1", RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}})
        client.get_alias(FunctionName="f", Name="live")
        client.update_alias(FunctionName="f", Name="live", Description="d", RoutingConfig={})
        client.list_aliases(FunctionName="f")
        client.get_function(FunctionName="f", Qualifier="live")
        client.list_layers()
        client.list_layer_versions(LayerName="l")
        client.get_layer_version(LayerName="l", VersionNumber=1)
        client.get_layer_version_by_arn(Arn=layer["LayerVersionArn"])
        client.get_account_settings()
        client.invoke(FunctionName="f", InvocationType="DryRun")
        client.delete_alias(FunctionName="f", Name="live")
        client.delete_function(FunctionName="f", Qualifier="1")
        client.delete_layer_version(LayerName="l", VersionNumber=1)
        self.refused("ResourceNotFoundException", client.get_function, FunctionName="none")
        self.refused("ResourceConflictException", self.function, client=client, name="f")
        self.refused("InvalidParameterValueException", client.delete_function, FunctionName="f", Qualifier="$LATEST")
        self.refused("PreconditionFailedException", client.update_function_configuration, FunctionName="f", RevisionId="r")
        self.refused("ResourceNotFoundException", client.get_alias, FunctionName="f", Name="none")
        self.refused("ResourceNotFoundException", client.get_layer_version, LayerName="l", VersionNumber=9)
        self.refused("ResourceNotFoundException", client.get_function,
                     FunctionName=f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f")

    def test_policies(self):
        client = self.client("lambda")
        made = self.function(client, "f")
        self.refused("ResourceNotFoundException", client.get_policy, FunctionName="f")
        client.add_permission(FunctionName="f", StatementId="s", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com")
        self.refused("ResourceConflictException", client.add_permission, FunctionName="f", StatementId="s",
                     Action="lambda:InvokeFunction", Principal="s3.amazonaws.com")
        revision = client.get_policy(FunctionName="f")["RevisionId"]
        client.remove_permission(FunctionName="f", StatementId="s", RevisionId=revision)
        client.publish_layer_version(LayerName="p", Content={"ZipFile": zip_of({"f": "x"})})
        of_layer = {"LayerName": "p", "VersionNumber": 1}
        self.refused("ResourceNotFoundException", client.get_layer_version_policy, **of_layer)
        client.add_layer_version_permission(**of_layer, StatementId="s", Action="lambda:GetLayerVersion", Principal="*",
                                            OrganizationId="o-a1b2c3d4e5")
        client.get_layer_version_policy(**of_layer)
        client.remove_layer_version_permission(**of_layer, StatementId="s")
        self.refused("ValidationException", client.add_layer_version_permission, **of_layer, StatementId="s",
                     Action="lambda:GetLayerVersion", Principal="nobody")
        client.add_layer_version_permission(**of_layer, StatementId="s", Action="lambda:GetLayerVersion",
                                            Principal=f"arn:aws:iam::{ACCOUNT}:root")
        client.delete_layer_version(**of_layer)
        if not hasattr(client, "put_resource_policy"):
            return
        arn = made["FunctionArn"]
        policy = {"Version": "2012-10-17", "Statement": [
            {"Sid": "one", "Effect": "Allow", "Principal": "*", "Action": "lambda:InvokeFunction", "Resource": arn}]}
        put = client.put_resource_policy(ResourceArn=arn, Policy=json.dumps(policy))
        self.assertEqual(json.loads(client.get_policy(FunctionName="f")["Policy"])["Statement"], policy["Statement"])
        self.assertEqual(client.get_resource_policy(ResourceArn=arn)["RevisionId"], put["RevisionId"])
        self.refused("PreconditionFailedException", client.delete_resource_policy, ResourceArn=arn, RevisionId="0" * 36)
        client.delete_resource_policy(ResourceArn=arn, RevisionId=put["RevisionId"])
        self.refused("ResourceNotFoundException", client.get_resource_policy, ResourceArn=arn)
        self.refused("InvalidParameterValueException", client.put_resource_policy, ResourceArn=arn, Policy="[]")

    def test_settings(self):
        client = self.client("lambda")
        made = self.function(client, "f", Publish=True)
        client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=5)
        client.get_function_concurrency(FunctionName="f")
        client.delete_function_concurrency(FunctionName="f")
        client.get_function_concurrency(FunctionName="f")
        client.put_provisioned_concurrency_config(FunctionName="f", Qualifier="1", ProvisionedConcurrentExecutions=1)
        client.get_provisioned_concurrency_config(FunctionName="f", Qualifier="1")
        client.list_provisioned_concurrency_configs(FunctionName="f")
        client.delete_provisioned_concurrency_config(FunctionName="f", Qualifier="1")
        self.refused("ProvisionedConcurrencyConfigNotFoundException", client.get_provisioned_concurrency_config,
                     FunctionName="f", Qualifier="1")
        client.tag_resource(Resource=made["FunctionArn"].removesuffix(":1"), Tags={"a": "b"})
        client.list_tags(Resource=made["FunctionArn"].removesuffix(":1"))
        client.untag_resource(Resource=made["FunctionArn"].removesuffix(":1"), TagKeys=["a"])
        client.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=1, MaximumEventAgeInSeconds=60,
                                                DestinationConfig={"OnFailure": {"Destination": QUEUE}})
        client.update_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=0)
        client.get_function_event_invoke_config(FunctionName="f")
        client.list_function_event_invoke_configs(FunctionName="f")
        client.delete_function_event_invoke_config(FunctionName="f")
        self.refused("ResourceNotFoundException", client.get_function_event_invoke_config, FunctionName="f")
        client.create_function_url_config(FunctionName="f", AuthType="NONE", Cors={
            "AllowOrigins": ["*"], "AllowMethods": ["GET"], "AllowHeaders": ["x"], "ExposeHeaders": ["y"], "MaxAge": 5})
        client.update_function_url_config(FunctionName="f", AuthType="AWS_IAM")
        client.get_function_url_config(FunctionName="f")
        client.list_function_url_configs(FunctionName="f")
        client.delete_function_url_config(FunctionName="f")
        self.refused("ResourceNotFoundException", client.get_function_url_config, FunctionName="f")
        config = client.create_code_signing_config(
            Description="d", AllowedPublishers={"SigningProfileVersionArns": [
                f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/p/0123456789"]})["CodeSigningConfig"]["CodeSigningConfigArn"]
        client.get_code_signing_config(CodeSigningConfigArn=config)
        client.update_code_signing_config(CodeSigningConfigArn=config, CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Enforce"})
        client.list_code_signing_configs()
        client.get_function_code_signing_config(FunctionName="f")
        client.put_function_code_signing_config(FunctionName="f", CodeSigningConfigArn=config)
        client.get_function_code_signing_config(FunctionName="f")
        client.list_functions_by_code_signing_config(CodeSigningConfigArn=config)
        client.delete_function_code_signing_config(FunctionName="f")
        client.delete_code_signing_config(CodeSigningConfigArn=config)
        self.refused("CodeSigningConfigNotFoundException", client.put_function_code_signing_config, FunctionName="f",
                     CodeSigningConfigArn=config)
        if hasattr(client, "put_runtime_management_config"):
            client.put_runtime_management_config(FunctionName="f", UpdateRuntimeOn="Auto")
            client.get_runtime_management_config(FunctionName="f")
        if hasattr(client, "put_function_recursion_config"):
            client.put_function_recursion_config(FunctionName="f", RecursiveLoop="Allow")
            client.get_function_recursion_config(FunctionName="f")
        if hasattr(client, "put_function_scaling_config"):
            scaling = {"MinExecutionEnvironments": 0, "MaxExecutionEnvironments": 3}
            client.put_function_scaling_config(FunctionName="f", Qualifier="1", FunctionScalingConfig=scaling)
            got = client.get_function_scaling_config(FunctionName="f", Qualifier="$LATEST.PUBLISHED")
            self.assertEqual(got["RequestedFunctionScalingConfig"], scaling)

    def test_mappings(self):
        client = self.client("lambda")
        self.function(client, "f")
        takes = client.meta.service_model.operation_model("CreateEventSourceMapping").input_shape.members
        scaling = {"ScalingConfig": {"MaximumConcurrency": 2}} if "ScalingConfig" in takes else {}  # Debian 12's does not
        made = client.create_event_source_mapping(
            FunctionName="f", EventSourceArn=QUEUE, Enabled=False, FunctionResponseTypes=["ReportBatchItemFailures"],
            FilterCriteria={"Filters": [{"Pattern": "{}"}]}, MaximumBatchingWindowInSeconds=1, **scaling)
        client.update_event_source_mapping(UUID=made["UUID"], BatchSize=3)
        client.get_event_source_mapping(UUID=made["UUID"])
        kafka = client.create_event_source_mapping(
            FunctionName="f", Topics=["t"], Enabled=False, StartingPosition="TRIM_HORIZON",
            SourceAccessConfigurations=[{"Type": "BASIC_AUTH", "URI": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:s"}],
            SelfManagedEventSource={"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["127.0.0.1:9092"]}})
        client.list_event_source_mappings(FunctionName="f")
        for each in (made, kafka):
            client.delete_event_source_mapping(UUID=each["UUID"])
        self.refused("ResourceNotFoundException", client.get_event_source_mapping, UUID=made["UUID"])

    def test_logs(self):
        client = self.client("logs")
        client.create_log_group(logGroupName="/g", tags={"a": "b"})
        client.create_log_stream(logGroupName="/g", logStreamName="s")
        client.put_log_events(logGroupName="/g", logStreamName="s", logEvents=[{"timestamp": 1_700_000_000_000, "message": "m"}])
        client.put_retention_policy(logGroupName="/g", retentionInDays=7)
        client.describe_log_groups()
        client.describe_log_streams(logGroupName="/g", orderBy="LastEventTime", descending=True)
        client.get_log_events(logGroupName="/g", logStreamName="s", startFromHead=True)
        client.filter_log_events(logGroupName="/g", filterPattern="m")
        client.delete_retention_policy(logGroupName="/g")
        client.delete_log_stream(logGroupName="/g", logStreamName="s")
        self.assertEqual(client.filter_log_events(logGroupName="/g")["events"], [])
        self.assertEqual(client.describe_log_streams(logGroupName="/g")["logStreams"], [])
        self.refused("ResourceNotFoundException", client.delete_log_stream, logGroupName="/g", logStreamName="s")
        self.refused("ResourceAlreadyExistsException", client.create_log_group, logGroupName="/g")
        self.refused("ResourceNotFoundException", client.get_log_events, logGroupName="/none", logStreamName="s")
        client.delete_log_group(logGroupName="/g")

    def test_queues(self):
        client = self.client("sqs")
        url = client.create_queue(QueueName="m", Attributes={"VisibilityTimeout": "1"})["QueueUrl"]
        client.get_queue_url(QueueName="m")
        client.send_message(QueueUrl=url, MessageBody="b", MessageAttributes={"a": {"DataType": "String", "StringValue": "v"}})
        client.send_message_batch(QueueUrl=url, Entries=[{"Id": "1", "MessageBody": "c"}])
        got = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"], MessageAttributeNames=["All"])
        handle = got["Messages"][0]["ReceiptHandle"]
        client.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=3)
        client.delete_message(QueueUrl=url, ReceiptHandle=handle)
        client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        client.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "1"})
        client.tag_queue(QueueUrl=url, Tags={"a": "b"})
        client.list_queue_tags(QueueUrl=url)
        client.list_queues()
        client.purge_queue(QueueUrl=url)
        client.delete_queue(QueueUrl=url)

    def test_buckets(self):
        client = self.client("s3", s3={"addressing_style": "path"})
        client.create_bucket(Bucket="model-b", CreateBucketConfiguration={"LocationConstraint": REGION})
        client.put_object(Bucket="model-b", Key="k/1", Body=b"x")
        client.head_object(Bucket="model-b", Key="k/1")
        client.copy_object(Bucket="model-b", Key="k/2", CopySource={"Bucket": "model-b", "Key": "k/1"})
        client.list_buckets()
        client.list_objects_v2(Bucket="model-b", Delimiter="/")
        client.list_objects(Bucket="model-b")
        client.get_bucket_location(Bucket="model-b")
        upload = client.create_multipart_upload(Bucket="model-b", Key="big")["UploadId"]
        part = client.upload_part(Bucket="model-b", Key="big", UploadId=upload, PartNumber=1, Body=b"y")
        client.list_parts(Bucket="model-b", Key="big", UploadId=upload)
        client.complete_multipart_upload(Bucket="model-b", Key="big", UploadId=upload, MultipartUpload={
            "Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
        self.refused("NoSuchKey", client.get_object, Bucket="model-b", Key="none")
        client.delete_objects(Bucket="model-b", Delete={"Objects": [{"Key": key} for key in ("k/1", "k/2", "big")]})
        client.delete_bucket(Bucket="model-b")
        self.refused("NoSuchBucket", client.list_objects_v2, Bucket="model-b")

    def test_identities_rules_and_secrets(self):
        self.client("sts").get_caller_identity()
        iam = self.client("iam")
        iam.create_role(RoleName="r", AssumeRolePolicyDocument="{}")
        iam.get_role(RoleName="r")
        iam.list_attached_role_policies(RoleName="r")
        iam.list_role_policies(RoleName="r")
        iam.tag_role(RoleName="r", Tags=[{"Key": "a", "Value": "b"}])
        self.assertEqual(iam.list_role_tags(RoleName="r")["Tags"], [{"Key": "a", "Value": "b"}])
        iam.update_role(RoleName="r", Description="d")
        document = '{"Version": "2012-10-17", "Statement": []}'
        policy = iam.create_policy(PolicyName="p", PolicyDocument=document, Tags=[{"Key": "a", "Value": "b"}])["Policy"]["Arn"]
        iam.attach_role_policy(RoleName="r", PolicyArn=policy)
        self.assertEqual(iam.get_policy(PolicyArn=policy)["Policy"]["AttachmentCount"], 1)
        self.assertEqual(iam.get_policy_version(PolicyArn=policy, VersionId="v1")["PolicyVersion"]["Document"], json.loads(document))
        iam.create_policy_version(PolicyArn=policy, PolicyDocument=document)
        iam.list_policy_versions(PolicyArn=policy)
        iam.list_entities_for_policy(PolicyArn=policy)
        iam.list_policies(Scope="Local")
        iam.detach_role_policy(RoleName="r", PolicyArn=policy)
        iam.delete_policy_version(PolicyArn=policy, VersionId="v2")
        iam.delete_policy(PolicyArn=policy)
        iam.delete_role(RoleName="r")
        self.refused("NoSuchEntity", iam.get_role, RoleName="r")
        arn = self.function(self.client("lambda"), "f")["FunctionArn"]
        events = self.client("events")
        events.put_rule(Name="n", ScheduleExpression="rate(1 day)", State="DISABLED")
        events.put_targets(Rule="n", Targets=[{"Id": "1", "Arn": arn}])
        events.describe_rule(Name="n")
        events.list_rules()
        events.list_targets_by_rule(Rule="n")
        events.put_events(Entries=[{"Source": "s", "DetailType": "d", "Detail": "{}"}])
        events.remove_targets(Rule="n", Ids=["1"])
        events.delete_rule(Name="n")
        self.refused("ResourceNotFoundException", events.describe_rule, Name="n")
        secrets = self.client("secretsmanager")
        secrets.create_secret(Name="s", SecretString="x")
        secrets.get_secret_value(SecretId="s")
        secrets.describe_secret(SecretId="s")
        secrets.list_secrets()
        secrets.delete_secret(SecretId="s", ForceDeleteWithoutRecovery=True)
        self.refused("ResourceNotFoundException", secrets.get_secret_value, SecretId="s")
