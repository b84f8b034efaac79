"""Every operation of durable executions by today's boto3; prints what no model has, and what was found out.
client.py ENDPOINT"""
import json
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from harness.aws_model import Model

model = Model()
client = model.watch(boto3.client(
    "lambda", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="000000000000",
    aws_secret_access_key="secret", config=Config(retries={"max_attempts": 0}, read_timeout=300)))


def until(look, what, within=120):
    end = time.monotonic() + within
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {within} s: {what}")


def refused(code, call, **members):
    try:
        call(**members)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error.response
        return
    raise AssertionError(f"{code} was expected")


def events(arn):
    return [event for page in client.get_paginator("get_durable_execution_history").paginate(DurableExecutionArn=arn)
            for event in page["Events"]]


def callback_of(arn):
    return until(lambda: next((event["CallbackStartedDetails"]["CallbackId"] for event in events(arn)
                               if event["EventType"] == "CallbackStarted"), None), "a callback")


def started(name, **members):
    event = {"n": 5, "other": "plain", **members}
    answer = client.invoke(FunctionName="sdk:$LATEST", InvocationType="Event", DurableExecutionName=name, Payload=json.dumps(event))
    return answer["DurableExecutionArn"]


configuration = client.get_function_configuration(FunctionName="sdk")
assert configuration["DurableConfig"]["ExecutionTimeout"] == 600, configuration
arn = started("one")
assert started("one") == arn
refused("DurableExecutionAlreadyStartedException", client.invoke, FunctionName="sdk:$LATEST", DurableExecutionName="one", Payload=b"1")
callback = callback_of(arn)
client.send_durable_execution_callback_heartbeat(CallbackId=callback)
client.send_durable_execution_callback_success(CallbackId=callback, Result=b'"approved"')
refused("CallbackTimeoutException", client.send_durable_execution_callback_success, CallbackId=callback, Result=b"1")
refused("ResourceNotFoundException", client.send_durable_execution_callback_failure, CallbackId="bm9uZQ==", Error={"ErrorMessage": "x"})


def over():
    state = client.get_durable_execution(DurableExecutionArn=arn)
    return state if state["Status"] not in ("RUNNING",) else None


state = until(over, "its end")
assert state["Status"] == "SUCCEEDED", state
result = json.loads(state["Result"])

failing = started("two", fail="on purpose")
client.send_durable_execution_callback_failure(CallbackId=callback_of(failing), Error={"ErrorMessage": "denied", "ErrorType": "No"})
until(lambda: client.get_durable_execution(DurableExecutionArn=failing)["Status"] == "FAILED", "its failure")

large = started("three", large=5_000_000)
client.send_durable_execution_callback_success(CallbackId=callback_of(large), Result=b"1")
until(lambda: client.get_durable_execution(DurableExecutionArn=large)["Status"] == "SUCCEEDED", "the large one")
assert len(json.loads(client.get_durable_execution(DurableExecutionArn=large)["Result"])["large"]) == 5_000_000

paused = started("four")
callback_of(paused)
until(lambda: any(event["EventType"] == "InvocationCompleted" for event in events(paused)[-1:]), "it waits")
client.pause_durable_execution(DurableExecutionArn=paused, Reason="a look")
assert client.get_durable_execution(DurableExecutionArn=paused)["Status"] == "PAUSED"
refused("ResourceConflictException", client.pause_durable_execution, DurableExecutionArn=paused)
refused("ResourceConflictException", client.delete_durable_execution, DurableExecutionArn=paused)
client.resume_durable_execution(DurableExecutionArn=paused)
client.stop_durable_execution(DurableExecutionArn=paused, Error={"ErrorMessage": "enough"})
events(paused)
client.get_durable_execution_history(DurableExecutionArn=paused, IncludeExecutionData=False, ReverseOrder=True, MaxItems=2)
client.delete_durable_execution(DurableExecutionArn=paused)
refused("ResourceNotFoundException", client.get_durable_execution, DurableExecutionArn=paused)
refused("ResourceNotFoundException", client.get_durable_execution_history, DurableExecutionArn=paused)
refused("InvalidParameterValueException", client.checkpoint_durable_execution, DurableExecutionArn=arn, CheckpointToken="AAAA")
refused("InvalidParameterValueException", client.get_durable_execution_state, DurableExecutionArn=arn, CheckpointToken="AAAA")
listed = [each["DurableExecutionName"] for page in client.get_paginator("list_durable_executions_by_function").paginate(
    FunctionName="sdk", Statuses=["SUCCEEDED", "FAILED"], PaginationConfig={"PageSize": 1}) for each in page["DurableExecutions"]]
print(json.dumps({"faults": model.faults, "result": result, "listed": listed, "operations": sorted(model.operations),
                  "events": sorted({event["EventType"] for event in events(arn) + events(failing)})}))
