"""Settings beside functions on the wire: aliases' neighbours, layers, concurrency, permissions, tags, events."""
import json
import unittest

from harness.functions import zip_of
from harness.lambda_api import LambdaCase, b64


class Settings(LambdaCase):
    def test_layers(self):
        target = "/2018-10-31/layers/lib/versions"
        made = self.api.request("POST", target, {"Content": {"ZipFile": b64(zip_of({"python/lib.py": "x = 1"}))},
                                                 "CompatibleRuntimes": ["python3.11"], "Description": "d"})
        self.assertEqual((made.status, made.json()["Version"]), (201, 1), str(made))
        arn = made.json()["LayerVersionArn"]
        second = self.api.request("POST", target, {"Content": {"ZipFile": b64(zip_of({"a": "b"}))}, "CompatibleRuntimes": []}).json()
        self.assertEqual((second["Version"], second["CompatibleRuntimes"]), (2, []))
        self.assertEqual([each["Version"] for each in self.get(target)["LayerVersions"]], [2, 1])
        self.assertEqual(len(self.get(f"{target}?CompatibleRuntime=python3.11")["LayerVersions"]), 1)
        self.assertEqual(self.get(f"/2018-10-31/layers?find=LayerVersion&Arn={arn}")["LayerVersionArn"], arn)
        self.assertEqual(self.get("/2018-10-31/layers")["Layers"][0]["LatestMatchingVersion"]["Version"], 2)
        name, config = self.function(Layers=[arn])
        self.assertEqual(config["Layers"][0]["Arn"], arn)
        permission = self.api.request("POST", f"{target}/1/policy", {
            "StatementId": "all", "Action": "lambda:GetLayerVersion", "Principal": "*"})
        self.assertEqual(permission.status, 201, str(permission))
        self.assertIn("lambda:GetLayerVersion", self.get(f"{target}/1/policy")["Policy"])
        self.assertEqual(self.api.request("DELETE", f"{target}/1/policy/all").status, 204)
        for version in (1, 2):
            self.assertEqual(self.api.request("DELETE", f"{target}/{version}").status, 204)
        self.get(f"{target}/1", status=404)

    def test_permissions(self):
        name, _ = self.function()
        target = f"/2015-03-31/functions/{name}/policy"
        added = self.api.request("POST", target, {"StatementId": "s3", "Action": "lambda:InvokeFunction",
                                                  "Principal": "s3.amazonaws.com", "SourceArn": "arn:aws:s3:::b"})
        self.assertEqual(added.status, 201, str(added))
        statement = json.loads(added.json()["Statement"])
        self.assertEqual(statement["Condition"], {"ArnLike": {"AWS:SourceArn": "arn:aws:s3:::b"}})
        self.refused(self.api.request("POST", target, {"StatementId": "s3", "Action": "lambda:InvokeFunction",
                                                       "Principal": "s3.amazonaws.com"}), 409, "ResourceConflictException", "s3")
        policy = json.loads(self.get(target)["Policy"])
        self.assertEqual(policy["Statement"][0]["Sid"], "s3")
        self.assertEqual(self.api.request("DELETE", f"{target}/s3").status, 204)
        self.get(target, status=404)

    def test_concurrency(self):
        name, _ = self.function()
        target = f"/2017-10-31/functions/{name}/concurrency"
        self.assertEqual(self.api.request("PUT", target, {"ReservedConcurrentExecutions": 5}).json(),
                         {"ReservedConcurrentExecutions": 5})
        self.refused(self.api.request("PUT", target, {"ReservedConcurrentExecutions": 901}), 400,
                     "InvalidParameterValueException", "UnreservedConcurrentExecution below its minimum value of [100]")
        self.assertEqual(self.api.request("PUT", target, {"ReservedConcurrentExecutions": 0}).status, 200)
        turned_away = self.api.invoke(name, {})
        self.assertEqual(turned_away.status, 429, str(turned_away))
        self.assertEqual(turned_away.json()["Reason"], "ReservedFunctionConcurrentInvocationLimitExceeded")
        self.assertEqual(turned_away.json()["message"], "Rate Exceeded.")
        self.assertEqual(self.api.request("DELETE", target).status, 204)

    def test_the_url_of_an_alias_that_is_deleted(self):
        name, _ = self.function(Publish=True)
        alias = f"/2015-03-31/functions/{name}/aliases/live"
        made = {"Name": "live", "FunctionVersion": "1"}
        self.assertEqual(self.api.request("POST", alias.rsplit("/", 1)[0], made).status, 201)
        target = f"/2021-10-31/functions/{name}/url?Qualifier=live"
        url = self.api.request("POST", target, {"AuthType": "NONE"})
        self.assertEqual(url.status, 201, str(url))
        where = "/_berth/url/{}/".format(url.json()["FunctionUrl"].split("//")[1].split(".")[0])
        self.assertEqual(self.api.request("DELETE", alias).status, 204)
        self.assertEqual(self.get(target)["FunctionUrl"], url.json()["FunctionUrl"])
        for path, text in ((where, "Forbidden"), ("/_berth/url/0123456789abcdefghijklmnopqrstuv/", None)):
            denied = self.api.request("GET", path)
            self.assertEqual((denied.status, denied.headers["x-amzn-ErrorType"], denied.json()["Message"]),
                             (403, "AccessDeniedException", text))
        self.assertEqual(self.api.request("DELETE", target).status, 204)
        self.assertEqual(self.get(f"/2021-10-31/functions/{name}/urls")["FunctionUrlConfigs"], [])

    def test_event_invoke_configuration(self):
        name, _ = self.function()
        target = f"/2019-09-25/functions/{name}/event-invoke-config"
        self.refused(self.api.request("GET", target), 404, "ResourceNotFoundException", "EventInvokeConfig")
        put = self.api.request("PUT", target, {"MaximumRetryAttempts": 1})
        self.assertEqual((put.status, put.json()["MaximumRetryAttempts"]), (200, 1), str(put))
        self.assertTrue(put.json()["FunctionArn"].endswith(":$LATEST"))
        merged = self.api.request("POST", target, {"MaximumEventAgeInSeconds": 60}).json()
        self.assertEqual((merged["MaximumRetryAttempts"], merged["MaximumEventAgeInSeconds"]), (1, 60))
        self.assertEqual(len(self.get(f"{target}/list")["FunctionEventInvokeConfigs"]), 1)
        self.assertEqual(self.api.request("DELETE", target).status, 204)

    def test_destinations_that_lead_nowhere(self):
        name, _ = self.function()
        target = f"/2019-09-25/functions/{name}/event-invoke-config"
        for arn in ("arn:aws:states:us-east-1:000000000000:stateMachine:m", "arn:aws:sqs:us-east-1:000000000000:"):
            for side in ("OnSuccess", "OnFailure"):
                self.refused(self.api.request("PUT", target, {"DestinationConfig": {side: {"Destination": arn}}}), 400,
                             "InvalidParameterValueException", arn)
        for service in ("sqs", "sns"):
            good = f"arn:aws:{service}:us-east-1:000000000000:x"
            self.assertEqual(self.api.request("PUT", target, {"DestinationConfig": {"OnFailure": {"Destination": good}}}).status, 200)
        for arn in ("arn:aws:lambda:us-east-1:000000000000:function:f", "arn:aws:sqs:us-east-1:000000000000:"):
            self.refused(self.api.request("PUT", f"/2015-03-31/functions/{name}/configuration",
                                          {"DeadLetterConfig": {"TargetArn": arn}}), 400, "InvalidParameterValueException", arn)
        self.assertNotIn("DeadLetterConfig", self.get(f"/2015-03-31/functions/{name}/configuration"))
        self.refused(self.api.request("POST", "/2015-03-31/event-source-mappings", {
            "FunctionName": name, "EventSourceArn": "arn:aws:sqs:us-east-1:000000000000:"}), 400,
            "InvalidParameterValueException", "names nothing")

    def test_queues_of_another_region(self):
        name, _ = self.function()
        there = "arn:aws:sqs:eu-west-1:000000000000:q"
        for method, target, body in (
                ("POST", "/2015-03-31/event-source-mappings", {"FunctionName": name, "EventSourceArn": there}),
                ("PUT", f"/2019-09-25/functions/{name}/event-invoke-config",
                 {"DestinationConfig": {"OnFailure": {"Destination": there}}}),
                ("PUT", f"/2015-03-31/functions/{name}/configuration", {"DeadLetterConfig": {"TargetArn": there}})):
            self.refused(self.api.request(method, target, body), 400, "InvalidParameterValueException",
                         f"The queue {there} is not in the region of the function (us-east-1)")

    def test_layers_of_another_account(self):
        name, _ = self.function()
        there = "arn:aws:lambda:us-east-1:111111111111:layer:l:1"
        self.refused(self.api.request("PUT", f"/2015-03-31/functions/{name}/configuration", {"Layers": [there]}), 403,
                     "AccessDeniedException", "is not authorized to perform: lambda:GetLayerVersion")
        self.refused(self.api.request("GET", f"/2018-10-31/layers?find=LayerVersion&Arn={there}"), 403,
                     "AccessDeniedException", there)
        self.refused(self.api.request("PUT", f"/2015-03-31/functions/{name}/configuration",
                                      {"Layers": [there.replace("111111111111", "000000000000")]}), 400,
                     "InvalidParameterValueException", "does not exist")

    def test_members_of_another_type(self):
        name, _ = self.function()
        for member in ("VpcConfig", "TracingConfig", "DeadLetterConfig", "EphemeralStorage", "SnapStart", "ImageConfig"):
            self.refused(self.api.request("PUT", f"/2015-03-31/functions/{name}/configuration", {member: "text"}), 400,
                         "SerializationException", f"{member} must be an object")
        for body, text in (({"VpcConfig": {"SubnetIds": ["x"]}}, "vpcConfig.subnetIds"), ({"KMSKeyArn": "x"}, "kMSKeyArn"),
                           ({"FileSystemConfigs": [{"Arn": "arn:aws:x", "LocalMountPath": "/tmp"}]}, "localMountPath"),
                           ({"SnapStart": {"ApplyOn": "Always"}}, "snapStart.applyOn"),
                           ({"LoggingConfig": {"LogGroup": "a b"}}, "loggingConfig.logGroup")):
            self.refused(self.api.request("PUT", f"/2015-03-31/functions/{name}/configuration", body), 400,
                         "ValidationException", text)
        for body in ({"FilterCriteria": {"Filters": "x"}}, {"SourceAccessConfigurations": {}}, {"DestinationConfig": "x"}):
            answer = self.api.request("POST", "/2015-03-31/event-source-mappings", {
                "FunctionName": name, "EventSourceArn": "arn:aws:sqs:us-east-1:000000000000:q", **body})
            self.refused(answer, 400, "SerializationException", "must be")

    def test_event_source_mappings(self):
        name, _ = self.function()
        body = {"FunctionName": name, "EventSourceArn": "arn:aws:sqs:us-east-1:000000000000:q", "Enabled": False}
        made = self.api.request("POST", "/2015-03-31/event-source-mappings", body)
        self.assertEqual((made.status, made.json()["State"], made.json()["BatchSize"]), (202, "Creating", 10), str(made))
        target = f"/2015-03-31/event-source-mappings/{made.json()['UUID']}"
        self.assertEqual(self.get(target)["State"], "Disabled")
        self.refused(self.api.request("POST", "/2015-03-31/event-source-mappings", body), 409,
                     "ResourceConflictException", "already exists")
        self.assertEqual(self.api.request("PUT", target, {"BatchSize": 5}).json()["BatchSize"], 5)
        listed = self.get(f"/2015-03-31/event-source-mappings?FunctionName={name}")
        self.assertEqual(len(listed["EventSourceMappings"]), 1)
        self.assertEqual(self.api.request("DELETE", target).json()["State"], "Deleting")
        self.get(target, status=404)

    def test_tags(self):
        name, config = self.function()
        target = "/2017-03-31/tags/" + config["FunctionArn"].replace(":", "%3A")
        self.assertEqual(self.api.request("POST", target, {"Tags": {"a": "1", "b": "2"}}).status, 204)
        self.assertEqual(self.api.request("DELETE", f"{target}?tagKeys=a").status, 204)
        self.assertEqual(self.get(target), {"Tags": {"b": "2"}})

    def test_function_url_configuration(self):
        name, config = self.function()
        target = f"/2021-10-31/functions/{name}/url"
        named = "/2021-10-31/functions/" + config["FunctionArn"].replace(":", "%3A")
        self.refused(self.api.request("POST", f"{named}%3A1/url", {"AuthType": "NONE"}), 400,
                     "InvalidParameterValueException", "not for versions")
        made = self.api.request("POST", target, {"AuthType": "NONE", "Cors": {"AllowOrigins": ["https://a.example"]}})
        self.assertEqual(made.status, 201, str(made))
        self.assertRegex(made.json()["FunctionUrl"], r"^http://[a-z2-7]{32}\.lambda-url\.us-east-1\.localhost:\d+/$")
        self.assertEqual(self.get(f"{named}%3A$LATEST/url")["FunctionUrl"], made.json()["FunctionUrl"])
        host = made.json()["FunctionUrl"][7:-1]
        preflight = self.api.request("OPTIONS", "/x", None, {"Host": host, "Origin": "https://a.example",
                                                             "Access-Control-Request-Method": "GET"})
        self.assertEqual((preflight.status, preflight.headers["Access-Control-Allow-Origin"]), (200, "https://a.example"))
        self.assertEqual(self.api.request("PUT", target, {"AuthType": "AWS_IAM"}).json()["AuthType"], "AWS_IAM")
        self.assertEqual(self.api.request("GET", "/", None, {"Host": host}).status, 403)
        self.assertEqual(self.api.request("DELETE", target).status, 204)
        self.assertEqual(self.api.request("GET", "/", None, {"Host": host}).status, 403)


if __name__ == "__main__":
    unittest.main()
