"""Members of requests that AWS's newest model has, one by one: what was given is shown, or refused by its name.
members.py ENDPOINT. Prints {"faults": [...]}."""
import datetime
import io
import json
import sys
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from harness.aws_model import Model

ACCOUNT, REGION = "123456789012", "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
PROVIDER = f"arn:aws:lambda:{REGION}:{ACCOUNT}:capacity-provider:p"
RUNTIME = {"RuntimeArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:runtime/mine", "RuntimeAlias": "a"}

model = Model()


def client(service):
    return model.watch(boto3.client(service, endpoint_url=sys.argv[1], region_name=REGION, aws_access_key_id=ACCOUNT,
                                    aws_secret_access_key="secret", config=Config(retries={"max_attempts": 0})))


lam = client("lambda")
faults = model.faults


def archive(text="#!/bin/sh\n"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("bootstrap", text)
    return buffer.getvalue()


def holds(given, shown):
    """Whether `shown` has all of `given`; AWS adds to it."""
    if isinstance(given, dict):
        return isinstance(shown, dict) and all(holds(value, shown.get(name)) for name, value in given.items())
    return given == shown


class Operation:
    """One operation: every member of its model has to be told of here."""

    def __init__(self, name, call, base, undo=lambda answer: None):
        self.name, self.call, self.base, self.undo = name, call, base, undo
        self.left = set(lam.meta.service_model.operation_model(name).input_shape.members) - set(base)

    def give(self, members):
        self.left -= set(members)
        return self.call(**{**self.base, **members})

    def shown(self, name, value, what=None, **more):
        """`what`: what the answer says instead."""
        try:
            answer = self.give({name: value, **more})
        except ClientError as error:
            faults.append(f"{self.name}.{name}: {error}")
            return
        wanted = value if what is None else what
        if not holds(wanted, answer.get(name)):
            faults.append(f"{self.name}.{name}: {wanted} was given, {answer.get(name)} is shown")
        self.undo(answer)

    def refused(self, name, value, **more):
        try:
            self.undo(self.give({name: value, **more}))
            faults.append(f"{self.name}.{name} is taken, and was to be refused")
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidParameterValueException" or name.lower() not in str(error).lower():
                faults.append(f"{self.name}.{name}: {error}")

    def known(self, *names):
        """Those that are looked at apart, or by other tests."""
        self.left -= set(names)

    def close(self):
        faults.extend(f"{self.name}.{name} is new in the model: nobody has looked at it" for name in sorted(self.left))


def configuration(operation):
    for name, value in {
        "Description": "d", "Timeout": 9, "MemorySize": 256, "KMSKeyArn": KEY, "Environment": {"Variables": {"NAME": "b"}},
        "VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"], "Ipv6AllowedForDualStack": True},
        "DeadLetterConfig": {"TargetArn": QUEUE}, "TracingConfig": {"Mode": "Active"}, "EphemeralStorage": {"Size": 1024},
        "FileSystemConfigs": [{"Arn": f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:access-point/fsap-01234567890123456",
                               "LocalMountPath": "/mnt/a"}],
        "SnapStart": {"ApplyOn": "PublishedVersions"},
        "LoggingConfig": {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "SystemLogLevel": "WARN", "LogGroup": "/own/group"},
    }.items():
        operation.shown(name, value)
    operation.refused("CapacityProviderConfig", {"LambdaManagedInstancesCapacityProviderConfig": {"CapacityProviderArn": PROVIDER}})
    operation.refused("RuntimeConfig", RUNTIME)
    operation.refused("AcceleratorConfig", {"AcceleratorMemorySize": 16})
    operation.known("Layers", "ImageConfig", "RevisionId", "Role", "Handler", "Runtime")


def remove(answer):
    lam.delete_function(FunctionName=answer["FunctionName"])


base = {"FunctionName": "new", "Runtime": "provided.al2023", "Role": ROLE, "Handler": "h", "Code": {"ZipFile": archive()}}
create = Operation("CreateFunction", lam.create_function, base, remove)
configuration(create)
create.shown("Architectures", ["x86_64"])
create.shown("PackageType", "Zip")
create.shown("DurableConfig", {"ExecutionTimeout": 60, "RetentionPeriodInDays": 2})
create.shown("TenancyConfig", {"TenantIsolationMode": "PER_TENANT"})
create.refused("PublishTo", "LATEST_PUBLISHED")
create.refused("CapacityProviderConfig", {"LambdaManagedInstancesCapacityProviderConfig": {"CapacityProviderArn": PROVIDER}})
signing = lam.create_code_signing_config(AllowedPublishers={"SigningProfileVersionArns": [
    f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/p/0123456789"]})["CodeSigningConfig"]["CodeSigningConfigArn"]
made = create.give({"CodeSigningConfigArn": signing, "Tags": {"a": "b"}, "Publish": True})
if made["Version"] != "1" or lam.get_function(FunctionName="new")["Tags"] != {"a": "b"}:
    faults.append(f"CreateFunction.Publish or Tags: {made}")
if lam.get_function_code_signing_config(FunctionName="new").get("CodeSigningConfigArn") != signing:
    faults.append("CreateFunction.CodeSigningConfigArn is not shown")
create.close()

update = Operation("UpdateFunctionConfiguration", lam.update_function_configuration, {"FunctionName": "new"})
configuration(update)
update.known("DurableConfig")  # of durable functions alone
update.close()
first, second = (lam.update_function_configuration(FunctionName="new", Timeout=seconds) for seconds in (9, 10))
if first["ConfigSha256"] == second["ConfigSha256"] or \
        lam.update_function_configuration(FunctionName="new", Timeout=9)["ConfigSha256"] != first["ConfigSha256"]:
    faults.append("ConfigSha256 does not follow the configuration")

code = Operation("UpdateFunctionCode", lam.update_function_code, {"FunctionName": "new", "ZipFile": archive("2")})
code.give({"SourceKMSKeyArn": KEY, "DryRun": False, "Architectures": ["x86_64"], "Publish": False})
if lam.get_function(FunctionName="new")["Code"].get("SourceKMSKeyArn") != KEY:
    faults.append("UpdateFunctionCode.SourceKMSKeyArn is not shown")
code.refused("PublishTo", "LATEST_PUBLISHED")
s3 = client("s3")
s3.create_bucket(Bucket="members")
s3.put_object(Bucket="members", Key="code.zip", Body=archive("3"))
code.base = {"FunctionName": "new"}
code.give({"S3Bucket": "members", "S3Key": "code.zip", "S3ObjectStorageMode": "REFERENCE"})
if lam.get_function(FunctionName="new")["Code"].get("ResolvedS3Object", {}).get("S3Key") != "code.zip":
    faults.append("UpdateFunctionCode.S3ObjectStorageMode is not shown")
code.refused("S3ObjectVersion", "1", S3Bucket="members", S3Key="code.zip")
code.known("ImageUri", "RevisionId")
code.close()

publish = Operation("PublishVersion", lam.publish_version, {"FunctionName": "new"})
publish.shown("Description", "of it")
publish.refused("PublishTo", "LATEST_PUBLISHED")
sha = lam.get_function_configuration(FunctionName="new")["CodeSha256"]
publish.shown("CodeSha256", sha)
publish.refused("CodeSha256", "no")
publish.known("RevisionId")
publish.close()


def unmap(answer):
    lam.delete_event_source_mapping(UUID=answer["UUID"])


source = Operation("CreateEventSourceMapping", lam.create_event_source_mapping,
                   {"FunctionName": "new", "EventSourceArn": QUEUE, "Enabled": False}, unmap)
of_queues = {"BatchSize": 5, "FilterCriteria": {"Filters": [{"Pattern": "{}"}]}, "MaximumBatchingWindowInSeconds": 2,
             "ScalingConfig": {"MaximumConcurrency": 5}, "FunctionResponseTypes": ["ReportBatchItemFailures"],
             "MetricsConfig": {"Metrics": ["EventCount"]}, "KMSKeyArn": KEY, "LoggingConfig": {"SystemLogLevel": "DEBUG"},
             "ProvisionedPollerConfig": {"MinimumPollers": 1, "MaximumPollers": 2}}
of_streams = {"ParallelizationFactor": 2, "TumblingWindowInSeconds": 3, "MaximumRecordAgeInSeconds": 60, "MaximumRetryAttempts": 3,
              "BisectBatchOnFunctionError": True, "DestinationConfig": {"OnFailure": {"Destination": QUEUE}}}
for name, value in of_queues.items():
    source.shown(name, value)
source.base["EventSourceArn"] = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s"
source.base["StartingPosition"] = "LATEST"
for name, value in of_streams.items():
    source.shown(name, value)
source.shown("StartingPosition", "TRIM_HORIZON")
moment = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)
source.shown("StartingPositionTimestamp", moment, StartingPosition="AT_TIMESTAMP")
source.base["EventSourceArn"] = f"arn:aws:mq:{REGION}:{ACCOUNT}:broker:b:b-1"
source.shown("Queues", ["q"])
source.base["EventSourceArn"] = f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster:c"
source.shown("DocumentDBEventSourceConfig", {"DatabaseName": "d"})
source.base.update(EventSourceArn=f"arn:aws:kafka:{REGION}:{ACCOUNT}:cluster/c/1", Topics=["t"])
source.shown("AmazonManagedKafkaEventSourceConfig", {"ConsumerGroupId": "g"})
del source.base["EventSourceArn"]
source.base["SelfManagedEventSource"] = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["127.0.0.1:9"]}}
for name, value in {
    "SelfManagedEventSource": source.base["SelfManagedEventSource"], "Topics": ["u"],
    "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g"}, "MaximumRetryAttempts": 3, "BisectBatchOnFunctionError": True,
    "MaximumRecordAgeInSeconds": 60,
    "SourceAccessConfigurations": [{"Type": "BASIC_AUTH", "URI": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:s"}],
}.items():
    source.shown(name, value)
registry = {"SchemaRegistryConfig": {"SchemaRegistryURI": "http://127.0.0.1:9", "EventRecordFormat": "JSON",
                                     "SchemaValidationConfigs": [{"Attribute": "VALUE"}]}}
source.refused("SelfManagedKafkaEventSourceConfig", registry)
mapped = source.give({"Tags": {"a": "b"}})
if lam.list_tags(Resource=mapped["EventSourceMappingArn"])["Tags"] != {"a": "b"}:
    faults.append("CreateEventSourceMapping.Tags are not shown")
source.close()
change = Operation("UpdateEventSourceMapping", lam.update_event_source_mapping, {"UUID": mapped["UUID"]})
for name, value in {**of_queues, **of_streams}.items():
    change.shown(name, value)
change.refused("SelfManagedKafkaEventSourceConfig", registry)
change.known("FunctionName", "Enabled", "SourceAccessConfigurations", "AmazonManagedKafkaEventSourceConfig",
             "DocumentDBEventSourceConfig")
change.close()
unmap(mapped)

# Of the other operations the members that this was written for: what is new in the model has to be looked at.
LOOKED_AT = {
    "AddLayerVersionPermission": "LayerName VersionNumber StatementId Action Principal OrganizationId RevisionId",
    "AddPermission": "FunctionName StatementId Action Principal SourceArn FunctionUrlAuthType InvokedViaFunctionUrl "
                     "SourceAccount EventSourceToken Qualifier RevisionId PrincipalOrgID",
    "CreateAlias": "FunctionName Name FunctionVersion Description RoutingConfig",
    "CreateFunctionUrlConfig": "FunctionName Qualifier AuthType Cors InvokeMode",
    "Invoke": "FunctionName InvocationType LogType ClientContext DurableExecutionName Payload Qualifier TenantId",
    "InvokeWithResponseStream": "FunctionName LogType ClientContext Qualifier Payload TenantId InvocationType",
    "PublishLayerVersion": "LayerName Description Content CompatibleArchitectures CompatibleRuntimes LicenseInfo",
    "PutFunctionConcurrency": "FunctionName ReservedConcurrentExecutions",
    "PutFunctionEventInvokeConfig": "FunctionName Qualifier MaximumRetryAttempts MaximumEventAgeInSeconds DestinationConfig",
    "PutFunctionRecursionConfig": "FunctionName RecursiveLoop",
    "PutProvisionedConcurrencyConfig": "FunctionName Qualifier ProvisionedConcurrentExecutions",
    "PutRuntimeManagementConfig": "FunctionName Qualifier UpdateRuntimeOn RuntimeVersionArn",
    "RemoveLayerVersionPermission": "LayerName VersionNumber StatementId RevisionId",
    "RemovePermission": "FunctionName StatementId Qualifier RevisionId",
    "TagResource": "Resource Tags",
    "UpdateAlias": "FunctionName Name FunctionVersion Description RoutingConfig RevisionId",
    "UpdateFunctionEventInvokeConfig": "FunctionName Qualifier MaximumRetryAttempts MaximumEventAgeInSeconds DestinationConfig",
    "UpdateFunctionUrlConfig": "FunctionName Qualifier AuthType Cors InvokeMode",
}
for name, members in LOOKED_AT.items():
    known = set(lam.meta.service_model.operation_model(name).input_shape.members)
    faults.extend(f"{name}.{member} is new in the model: nobody has looked at it" for member in sorted(known - set(members.split())))
print(json.dumps({"faults": faults, "operations": sorted(model.operations)}))
