"""A durable function as AWS's SDK for Python has them: one of each of its operations."""
import os

from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.config import Duration, StepConfig
from aws_durable_execution_sdk_python.retries import RetryStrategyConfig, create_retry_strategy
from aws_durable_execution_sdk_python.waits import WaitForConditionConfig, WaitForConditionDecision

TRIES = "/tmp/tries"  # of this sandbox: the step's attempts come to it one after the other


def flaky(_):
    with open(TRIES, "a") as file:
        file.write("x")
    if os.path.getsize(TRIES) < 3:
        raise ValueError("not yet")
    return os.path.getsize(TRIES)


def told(callback_id, _):
    print("CALLBACK " + callback_id, flush=True)


def poll(state, _):
    return state + 1


def decide(state, _):
    if state >= 3:
        return WaitForConditionDecision.stop_polling()
    return WaitForConditionDecision.continue_waiting(Duration.from_seconds(1))


@durable_execution
def handler(event, context):
    one = Duration.from_seconds(1)
    again = create_retry_strategy(RetryStrategyConfig(max_attempts=5, initial_delay=one, max_delay=one))
    results = {"step": context.step(lambda _: {"n": event["n"]}, name="first")}
    context.wait(one, name="pause")
    results["flaky"] = context.step(flaky, name="flaky", config=StepConfig(retry_strategy=again))
    results["child"] = context.run_in_child_context(lambda child: child.step(lambda _: "inner", name="inner"), name="child")
    results["parallel"] = context.parallel([lambda branch: branch.step(lambda _: 1), lambda branch: branch.wait(one)]).get_results()
    results["map"] = context.map([1, 2, 3], lambda each, item, index, items: each.step(lambda _: item * 10)).get_results()
    results["condition"] = context.wait_for_condition(poll, WaitForConditionConfig(wait_strategy=decide, initial_state=0))
    results["invoke"] = context.invoke(event["other"], {"to": "other"}, name="other")
    results["callback"] = context.wait_for_callback(told, name="approval")
    if event.get("large"):
        results["large"] = "y" * event["large"]
    if event.get("fail"):
        raise RuntimeError(event["fail"])
    return results
