"""Functions that keep their tenants apart (TenancyConfig)."""
import threading

from harness import runtimes
from harness.engine import eventually
from harness.functions import FunctionsCase

CODE = """
calls = []
def handler(event, context):
    calls.append(context.tenant_id)
    if event.get("seen"):
        print("served", context.tenant_id)
    return calls
"""
TENANCY = {"TenantIsolationMode": "PER_TENANT"}


class Tenants(FunctionsCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        loaded = cls.engine.load(runtimes.python_base())
        assert loaded.code == 0, str(loaded)

    def function(self, name, **members):
        made = self.api.create(name, {"index.py": CODE}, Runtime="python3.11", Handler="index.handler", Timeout=30,
                               **{"TenancyConfig": TENANCY, **members})
        self.assertEqual(made.status, 201, str(made))
        self.addCleanup(self.api.request, "DELETE", f"/2015-03-31/functions/{name}")
        return made.json()

    def refused(self, answer, text, kind="InvalidParameterValueException"):
        self.assertEqual((answer.status, answer.headers["x-amzn-ErrorType"]), (400, kind), str(answer))
        self.assertIn(text, str(answer.json()))

    def test_each_has_sandboxes_of_its_own(self):
        self.assertEqual(self.function("apart")["TenancyConfig"], TENANCY)
        for tenant in ("blue", "green", "blue", "green", "blue"):
            answer = self.api.invoke("apart", {}, X_Amz_Tenant_Id=tenant)
            # What this sandbox has served; the tenant may have another one, made ahead.
            self.assertEqual((answer.status, set(answer.json())), (200, {tenant}), str(answer))

    def test_many_at_once(self):
        self.function("many")
        answers = {}

        def call(tenant):
            answers[tenant] = [self.api.invoke("many", {}, X_Amz_Tenant_Id=tenant).json() for _ in range(3)]

        threads = [threading.Thread(target=call, args=(f"t{n}",)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual({tenant: {each for served in all_of_it for each in served} for tenant, all_of_it in answers.items()},
                         {f"t{n}": {f"t{n}"} for n in range(6)})

    def test_an_event_is_kept_with_its_tenant(self):
        self.function("event")
        sent = self.api.invoke("event", {"seen": 1}, X_Amz_Tenant_Id="later", X_Amz_Invocation_Type="Event")
        self.assertEqual(sent.status, 202, str(sent))
        log = {"logGroupName": "/aws/lambda/event"}
        def served():
            answer = self.api.request("POST", "/", log, {"X-Amz-Target": "Logs_20140328.FilterLogEvents",
                                                         "Content-Type": "application/x-amz-json-1.1"})
            return answer.status == 200 and "served later" in answer.body.decode()
        eventually(served, "the event was served", 60)

    def test_events_without_a_tenant_and_tenants_without_a_use(self):
        self.function("strict")
        self.refused(self.api.invoke("strict", {}), "Add a valid tenant ID")
        self.refused(self.api.invoke("strict", {}, X_Amz_Invocation_Type="Event"), "Add a valid tenant ID")
        self.refused(self.api.invoke("strict", {}, X_Amz_Tenant_Id="a;b"), "A tenant ID has at most 256")
        self.refused(self.api.invoke("strict", {}, X_Amz_Tenant_Id="x" * 257), "A tenant ID has at most 256")
        self.function("shared", TenancyConfig=None)
        self.refused(self.api.invoke("shared", {}, X_Amz_Tenant_Id="blue"), "made without TenancyConfig")

    def test_what_does_not_go_with_it_is_refused(self):
        create = lambda **members: self.api.create("no", {"index.py": CODE}, Runtime="python3.11", Handler="index.handler", **members)
        self.refused(create(TenancyConfig=TENANCY, DurableConfig={"ExecutionTimeout": 60}), "not supported with DurableConfig")
        self.refused(create(TenancyConfig=TENANCY, SnapStart={"ApplyOn": "PublishedVersions"}), "not supported with SnapStart")
        self.refused(create(TenancyConfig={"TenantIsolationMode": "SHARED"}), "enum value set: [PER_TENANT]", "ValidationException")
        self.function("alone", Publish=True)
        path = "/2015-03-31/functions/alone"
        self.refused(self.api.request("POST", "/2021-10-31/functions/alone/url", {"AuthType": "NONE"}), "Function URLs are not")
        self.refused(self.api.request("PUT", "/2019-09-30/functions/alone/provisioned-concurrency?Qualifier=1",
                                      {"ProvisionedConcurrentExecutions": 1}), "Provisioned concurrency is not")
        self.refused(self.api.request("POST", "/2015-03-31/event-source-mappings", {
            "FunctionName": "alone", "EventSourceArn": "arn:aws:sqs:us-east-1:000000000000:q"}), "Event sources are not")
        self.refused(self.api.request("PUT", f"{path}/configuration", {"SnapStart": {"ApplyOn": "PublishedVersions"}}),
                     "SnapStart is not supported")
