"""What Lambda's API refuses, in AWS's words: each as AWS itself was recorded to answer."""
import base64
import io
import json
import zipfile

from harness.functions import ROLE, FunctionsCase, zip_of
from harness.lambda_api import LambdaCase

NAME = "arn:aws:lambda:us-east-1:000000000000:function:"
NAMED = "(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?"
TAGGED = ("arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}:"
          "(function:[a-zA-Z0-9-_]+(:(\\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|"
          "event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|"
          "capacity-provider:[a-zA-Z0-9-_]+)")


def violated(value, member, constraint):
    return f"1 validation error detected: Value {value} at '{member}' failed to satisfy constraint: {constraint}"


class Refusals(FunctionsCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name in ("f", "other"):
            made = cls.api.create(name, Publish=True)
            assert made.status == 201, str(made)
        made = cls.api.request("POST", "/2015-03-31/functions/f/aliases", {"Name": "live", "FunctionVersion": "1"})
        assert made.status == 201, str(made)

    def refused(self, kind, text, method, target, body=None):
        status = {"ResourceNotFoundException": 404, "ResourceConflictException": 409, "CodeSigningConfigNotFoundException": 404,
                  "PreconditionFailedException": 412, "ProvisionedConcurrencyConfigNotFoundException": 404}.get(kind, 400)
        answer = self.api.request(method, target, body)
        told = answer.json()
        self.assertEqual((answer.status, answer.headers["x-amzn-ErrorType"], told.get("message", told.get("Message"))),
                         (status, kind, text), str(answer))

    def invalid(self, text, *request):
        self.refused("InvalidParameterValueException", text, *request)

    def missing(self, text, *request):
        self.refused("ResourceNotFoundException", text, *request)

    def test_names(self):
        name_pattern = NAMED + "([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?"
        namespaced = NAMED + "([a-zA-Z0-9-_\\.]+)(:(\\$LATEST(\\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
        regular = "Member must satisfy regular expression pattern: "
        create = lambda name: ("POST", "/2015-03-31/functions", {"FunctionName": name, "Role": ROLE, "Code": {}})
        self.refused("ValidationException", violated("'invalid:function:name'", "functionName", regular + name_pattern),
                     *create("invalid:function:name"))
        long = "a" * 65
        too_long = violated(f"'{long}'", "functionName", "Member must have length less than or equal to 64")
        self.invalid(too_long, *create(long))
        arn = NAME + "a" * 100
        self.refused("ValidationException",
                     violated(f"'{arn}'", "functionName", "Member must have length less than or equal to 140"), *create(arn))
        self.refused("ValidationException", violated("'f@g'", "functionName", regular + namespaced),
                     "GET", "/2015-03-31/functions/f@g")
        self.refused("ValidationException",
                     violated("'with-?'", "qualifier", regular + "\\$(LATEST(\\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"),
                     "GET", "/2015-03-31/functions/f?Qualifier=with-%3F")

    def test_members_that_are_not_there(self):
        null = lambda member: violated("null", member, "Member must not be null")
        self.refused("ValidationException", null("role"), "POST", "/2015-03-31/functions", {"FunctionName": "g"})
        self.refused("ValidationException", null("tagKeys"), "DELETE", f"/2017-03-31/tags/{NAME}f")
        self.refused("ValidationException", null("qualifier"), "GET", "/2019-09-30/functions/f/provisioned-concurrency")

    def test_configuration(self):
        code = base64.b64encode(zip_of({"bootstrap": "#!/bin/sh\n"})).decode()
        update = "PUT", "/2015-03-31/functions/f/configuration"
        self.invalid("Value PYTHON3.9 at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: "
                     "[nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, nodejs22.x, java25, python3.10, "
                     "python3.11, java21, ruby3.3, ruby3.4, ruby3.2, python3.8, python3.9, java17, nodejs16.x, dotnet10, dotnet8, "
                     "java11, dotnet6, nodejs18.x, provided.al2, java8.al2] or be a valid ARN", *update, {"Runtime": "PYTHON3.9"})
        self.refused("ValidationException", violated(
            "'[sg_1]'", "vpcConfig.securityGroupIds", "Member must satisfy constraint: [Member must have length less than or equal to "
            "1024, Member must have length greater than or equal to 0, Member must satisfy regular expression pattern: sg-[0-9a-zA-Z]*]"),
            *update, {"VpcConfig": {"SecurityGroupIds": ["sg_1"]}})
        layers = [self.layer("l", code) for _ in range(2)]
        self.invalid("Two different versions of the same layer are not allowed to be referenced in the same function. "
                     f"{layers[0]} and {layers[1]} are versions of the same layer.", *update, {"Layers": layers})
        self.invalid("Layer Version Cannot be less than 1", "GET", "/2018-10-31/layers/l/versions/0")

    def layer(self, name, code):
        made = self.api.request("POST", f"/2018-10-31/layers/{name}/versions", {"Content": {"ZipFile": code}})
        self.assertEqual(made.status, 201, str(made))
        return made.json()["LayerVersionArn"]

    def test_an_environment_without_variables_is_shown(self):
        target = "/2015-03-31/functions/other/configuration"
        self.assertNotIn("Environment", self.api.request("GET", target).json())
        self.api.request("PUT", target, {"Environment": {"Variables": {}}})
        self.assertEqual(self.api.request("GET", target).json()["Environment"], {"Variables": {}})
        self.api.request("PUT", target, {"Environment": {"Variables": {"AB": "1"}}})
        self.api.request("PUT", target, {"Description": "kept"})
        self.assertEqual(self.api.request("GET", target).json()["Environment"], {"Variables": {"AB": "1"}})

    def test_event_invoke_configurations(self):
        def target(name, qualifier=""):
            return f"/2019-09-25/functions/{name}/event-invoke-config" + (qualifier and f"?Qualifier={qualifier}")

        def leads(arn, side="OnSuccess"):
            return {"DestinationConfig": {side: {"Destination": arn}}}

        self.invalid("You must specify at least one of error handling or destination setting.", "PUT", target("none"), {})
        for method, name, qualifier in (("PUT", "none", ""), ("POST", "none", ""), ("PUT", "f", "no-alias"), ("PUT", "f", "7")):
            self.missing("The function doesn't exist.", method, target(name, qualifier), {"MaximumRetryAttempts": 1})
        self.missing("The function doesn't exist.", "GET", target("none") + "/list")
        for method, body in (("GET", None), ("DELETE", None)):
            self.missing(f"The function {NAME}none:$LATEST doesn't have an EventInvokeConfig", method, target("none"), body)
            self.missing(f"The function {NAME}f:no-alias doesn't have an EventInvokeConfig", method, target("f", "no-alias"), body)
        self.missing(f"The function {NAME}f:live doesn't have an EventInvokeConfig", "POST", target("f", "live"),
                     {"MaximumRetryAttempts": 1})
        self.invalid("You can't specify the function as a destination for itself.", "PUT", target("f"), leads(NAME + "f"))
        self.invalid(f"The destination ARN {NAME}none is invalid.", "PUT", target("f"), leads(NAME + "none"))
        iam = NAME.replace(":lambda:", ":iam:") + "f"
        self.invalid(f"The provided destination config DestinationConfig(onSuccess=OnSuccess(destination={iam}), onFailure=null) "
                     "is invalid.", "PUT", target("f"), leads(iam))
        self.invalid(f"The provided destination config DestinationConfig(onSuccess=null, onFailure=OnFailure(destination={iam})) "
                     "is invalid.", "PUT", target("f"), leads(iam, "OnFailure"))
        wild = NAME.replace(":lambda:", ":_-/!lambda:") + "f"
        self.refused("ValidationException", violated(
            f"'{wild}'", "destinationConfig.onFailure.destination",
            "Member must satisfy regular expression pattern: $|kafka://([^.]([a-zA-Z0-9\\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):"
            "([a-zA-Z0-9\\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1})?:(\\d{12})?:(.*)"),
            "PUT", target("f"), leads(wild, "OnFailure"))
        good = self.api.request("PUT", target("f"), leads(NAME + "other"))
        self.assertEqual(good.status, 200, str(good))

    def test_policies(self):
        target = "/2015-03-31/functions/f/policy"
        statement = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
        self.missing(f"Cannot find alias arn: {NAME}f:no-alias", "POST", f"{target}?Qualifier=no-alias", statement)
        self.missing(f"Function not found: {NAME}f:7", "POST", f"{target}?Qualifier=7", statement)
        for principal in ("s3", "invalid.example.com"):
            self.invalid("The provided principal was invalid. Please check the principal and try again.", "POST", target,
                         {**statement, "Principal": principal})
        self.missing("The resource you requested does not exist.", "GET", "/2015-03-31/functions/none/policy")
        self.missing("The resource you requested does not exist.", "GET", f"{target}?Qualifier=7")
        self.missing(f"No policy found for: {NAME}none", "DELETE", "/2015-03-31/functions/none/policy/s")
        self.missing("No policy is associated with the given resource.", "DELETE", f"{target}/s")
        self.missing(f"Cannot find alias arn: {NAME}f:no-alias", "DELETE", f"{target}/s?Qualifier=no-alias")
        self.refused("PreconditionFailedException", "The Revision Id provided does not match the latest Revision Id. Call the "
                     "GetPolicy API to retrieve the latest Revision Id", "POST", target, {**statement, "RevisionId": "wrong"})
        self.layer("guarded", base64.b64encode(zip_of({"a": "b"})).decode())
        self.refused("PreconditionFailedException", "The Revision Id provided does not match the latest Revision Id. Call the "
                     "GetLayerPolicy API to retrieve the latest Revision Id", "POST",
                     "/2018-10-31/layers/guarded/versions/1/policy?RevisionId=wrong",
                     {"StatementId": "s", "Action": "lambda:GetLayerVersion", "Principal": "*"})

    def test_urls(self):
        def target(name, qualifier=""):
            return f"/2021-10-31/functions/{name}/url" + (qualifier and f"?Qualifier={qualifier}")

        for method in ("POST", "PUT"):
            for name, qualifier in (("none", ""), ("f", "no-alias")):
                self.missing("Function does not exist", method, target(name, qualifier), {"AuthType": "NONE"})
        self.missing("Function does not exist", "GET", "/2021-10-31/functions/none/urls")
        for name, qualifier in (("none", ""), ("f", "no-alias"), ("f", "")):
            for method in ("GET", "DELETE"):
                self.missing("The resource you requested does not exist.", method, target(name, qualifier))
        self.missing("The resource you requested does not exist.", "PUT", target("f"), {"AuthType": "NONE"})
        for method in ("POST", "PUT", "GET", "DELETE"):
            for name, qualifier in (("none", "1"), ("f", "$LATEST")):
                self.refused("ValidationException", violated(
                    f"'{qualifier}'", "qualifier", "Member must satisfy regular expression pattern: ((?!^\\d+$)^[0-9a-zA-Z-_]+$)"),
                    method, target(name, qualifier), {"AuthType": "NONE"})

    def test_aliases(self):
        self.missing(f"Alias not found: {NAME}f:no-alias", "PUT", "/2015-03-31/functions/f/aliases/no-alias", {})
        self.missing(f"Cannot find alias arn: {NAME}f:no-alias", "GET", "/2015-03-31/functions/f/aliases/no-alias")
        self.missing(f"Function not found: {NAME}none:1", "POST", "/2015-03-31/functions/none/aliases",
                     {"Name": "a", "FunctionVersion": "1"})
        self.refused("ValidationException", violated(
            "'{1=2.0}'", "routingConfig.additionalVersionWeights",
            "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value greater "
            "than or equal to 0.0, Member must not be null]"), "PUT",
            "/2015-03-31/functions/f/aliases/live", {"RoutingConfig": {"AdditionalVersionWeights": {"1": 2}}})

    def test_concurrency(self):
        def provisioned(name, qualifier):
            return f"/2019-09-30/functions/{name}/provisioned-concurrency?Qualifier={qualifier}"

        self.missing(f"Function not found: {NAME}none:$LATEST", "PUT", "/2017-10-31/functions/none/concurrency",
                     {"ReservedConcurrentExecutions": 1})
        self.invalid("This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
                     "Please specify either a function name or an unqualified function ARN.", "PUT",
                     "/2017-10-31/functions/f:live/concurrency", {"ReservedConcurrentExecutions": 1})
        wanted = {"ProvisionedConcurrentExecutions": 1}
        self.invalid("Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum "
                     "value of [100].", "PUT", provisioned("f", "live"), {"ProvisionedConcurrentExecutions": 901})
        self.invalid("Provisioned Concurrency Configs cannot be applied to unpublished function versions.", "PUT",
                     provisioned("f", "$LATEST"), wanted)
        for method in ("GET", "DELETE"):
            self.invalid("The function resource provided must be an alias or a published version.", method, provisioned("f", "$LATEST"))
        for method, body in (("PUT", wanted), ("GET", None), ("DELETE", None)):
            for name in ("none", "f"):
                self.missing(f"Cannot find alias arn: {NAME}{name}:no-alias", method, provisioned(name, "no-alias"), body)
                self.missing(f"Function not found: {NAME}{name}:7", method, provisioned(name, "7"), body)
        self.refused("ProvisionedConcurrencyConfigNotFoundException", "No Provisioned Concurrency Config found for this function",
                     "GET", provisioned("f", "live"))

    def test_what_is_provisioned_twice(self):
        def provisioned(qualifier):
            return f"/2019-09-30/functions/other/provisioned-concurrency?Qualifier={qualifier}"

        wanted = {"ProvisionedConcurrentExecutions": 2}
        made = self.api.request("POST", "/2015-03-31/functions/other/aliases", {"Name": "twice", "FunctionVersion": "1"})
        self.assertEqual(made.status, 201, str(made))
        for first, second, text in (
                ("1", "twice", "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"),
                ("twice", "1", "Version is pointed by a Provisioned Concurrency alias")):
            put = self.api.request("PUT", provisioned(first), wanted)
            self.assertEqual(put.status, 202, str(put))
            self.refused("ResourceConflictException", text, "PUT", provisioned(second), wanted)
            self.invalid(" ReservedConcurrentExecutions  1 should not be lower than function's total provisioned concurrency [2].",
                         "PUT", "/2017-10-31/functions/other/concurrency", {"ReservedConcurrentExecutions": 1})
            self.assertEqual(self.api.request("PUT", provisioned(first), wanted).status, 202)
            self.assertEqual(self.api.request("DELETE", provisioned(first)).status, 204)
        # What an alias has provisioned goes with it.
        self.assertEqual(self.api.request("PUT", provisioned("twice"), wanted).status, 202)
        self.assertEqual(self.api.request("DELETE", "/2015-03-31/functions/other/aliases/twice").status, 204)
        self.missing(f"Cannot find alias arn: {NAME}other:twice", "GET", provisioned("twice"))
        self.assertEqual(self.api.request("PUT", provisioned("1"), wanted).status, 202)
        self.assertEqual(self.api.request("DELETE", provisioned("1")).status, 204)

    def test_event_source_mappings(self):
        queue = "arn:aws:sqs:us-east-1:000000000000:q"
        target = "POST", "/2015-03-31/event-source-mappings"
        self.invalid("Function does not exist", *target, {"FunctionName": "none", "EventSourceArn": queue})
        self.invalid("Function does not exist", *target, {"FunctionName": "f:7", "EventSourceArn": queue})
        self.invalid("Unsupported DestinationConfig parameter for given event source mapping type.", *target,
                     {"FunctionName": "none", "EventSourceArn": queue, "DestinationConfig": {"OnFailure": {"Destination": queue}}})
        stream = "arn:aws:kinesis:us-east-1:000000000000:stream/s"
        self.refused("ValidationException", violated("'invalid'", "startingPosition",
                                                     "Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]"),
                     *target, {"FunctionName": "f", "EventSourceArn": stream, "StartingPosition": "invalid"})

    def test_tags(self):
        def target(resource):
            return f"/2017-03-31/tags/arn:aws:lambda:us-east-1:000000000000:{resource}"

        tags = {"Tags": {"a": "b"}}
        for resource in ("foobar:f", "event-source-mapping:x", "code-signing-config:csc-1", "function:f:a:b"):
            arn = target(resource)[len("/2017-03-31/tags/"):]
            self.refused("ValidationException", violated(f"'{arn}'", "resource",
                                                         f"Member must satisfy regular expression pattern: {TAGGED}"),
                         "POST", target(resource), tags)
        self.refused("ValidationException", violated("'arn:aws:something'", "resource",
                                                     f"Member must satisfy regular expression pattern: {TAGGED}"),
                     "POST", "/2017-03-31/tags/arn:aws:something", tags)
        uuid = "event-source-mapping:00000000-0000-0000-0000-000000000000"
        self.missing(f"Event source mapping not found: arn:aws:lambda:us-east-1:000000000000:{uuid}", "GET", target(uuid))
        provider = "capacity-provider:p"
        self.missing(f"Capacity provider not found: arn:aws:lambda:us-east-1:000000000000:{provider}", "POST", target(provider), tags)
        self.missing(f"Function not found: {NAME}none", "POST", target("function:none"), tags)
        self.invalid("Tags on function aliases and versions are not supported. Please specify a function ARN.", "POST",
                     target("function:f:live"), tags)
        self.invalid("An error occurred and the request cannot be processed.", "POST", target("function:f"), {"Tags": {}})
        many = {"Tags": {f"key{n}": "" for n in range(51)}}
        self.invalid("Number of tags exceeds resource tag limit.", "POST", target("function:f"), many)

    def test_code_signing_configurations(self):
        arn = "arn:aws:lambda:us-east-1:000000000000:code-signing-config:csc-00000000000000000"
        self.missing(f"The Lambda code signing configuration {arn} can not be found.", "GET", f"/2020-04-22/code-signing-configs/{arn}")
        self.refused("CodeSigningConfigNotFoundException",
                     f"The code signing configuration cannot be found. Check that the provided configuration is not deleted: {arn}.",
                     "PUT", "/2020-06-30/functions/f/code-signing-config", {"CodeSigningConfigArn": arn})

    def test_tags_of_code_signing_configurations(self):
        made = self.api.request("POST", "/2020-04-22/code-signing-configs", {
            "AllowedPublishers": {"SigningProfileVersionArns": ["arn:aws:signer:us-east-1:000000000000:/signing-profiles/p"]},
            "Tags": {"team": "a"}})
        self.assertEqual(made.status, 201, str(made))
        self.assertNotIn("Tags", made.json()["CodeSigningConfig"])
        arn = made.json()["CodeSigningConfig"]["CodeSigningConfigArn"]
        target, config = f"/2017-03-31/tags/{arn}", f"/2020-04-22/code-signing-configs/{arn}"
        self.assertEqual(self.api.request("POST", target, {"Tags": {"stage": "b"}}).status, 204)
        self.assertEqual(self.api.request("PUT", config, {"Description": "kept"}).status, 200)
        self.assertEqual(self.api.request("GET", target).json(), {"Tags": {"stage": "b", "team": "a"}})
        self.assertEqual(self.api.request("DELETE", f"{target}?tagKeys=team").status, 204)
        self.assertEqual(self.api.request("GET", target).json(), {"Tags": {"stage": "b"}})
        for answer in (self.api.request("GET", config).json()["CodeSigningConfig"],
                       self.api.request("GET", "/2020-04-22/code-signing-configs").json()["CodeSigningConfigs"][0]):
            self.assertEqual((answer["Description"], answer.get("Tags")), ("kept", None))
        self.assertEqual(self.api.request("DELETE", config).status, 204)
        self.missing(f"The Lambda code signing configuration {arn} can not be found.", "GET", target)


class Strict(LambdaCase):
    """What is refused with AWS's limits alone."""
    flags = ("--functions-limits", "strict")

    def test_runtimes_that_are_over(self):
        for runtime in ("python3.7", "nodejs14.x", "go1.x", "provided"):
            self.refused(self.api.create("old", Runtime=runtime), 400, "InvalidParameterValueException",
                         f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions. We "
                         "recommend you use a supported runtime while creating or updating functions.")

    def test_the_environment_is_measured_as_json(self):
        name, _ = self.function()
        target = f"/2015-03-31/functions/{name}/configuration"
        frame = len(json.dumps({"LARGE": ""}, separators=(",", ":")))
        fits = {"LARGE": "x" * (4096 - frame)}
        self.assertEqual(self.api.request("PUT", target, {"Environment": {"Variables": fits}}).status, 200)
        larger = {"LARGE": fits["LARGE"] + "x"}
        self.refused(self.api.request("PUT", target, {"Environment": {"Variables": larger}}), 400, "InvalidParameterValueException",
                     "exceeded the 4KB limit. String measured: " + json.dumps(larger, separators=(",", ":")))

    def test_an_archive_in_a_bucket_may_be_larger_than_one_that_is_uploaded(self):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
            file.writestr("bootstrap", b"#!/bin/sh\n")
            file.writestr("data", bytes(51 << 20))
        self.assertEqual(self.api.request("PUT", "/large").status, 200)
        self.assertEqual(self.api.request("PUT", "/large/code.zip", archive.getvalue()).status, 200)
        name, config = self.function(Code={"S3Bucket": "large", "S3Key": "code.zip"})
        self.assertGreater(config["CodeSize"], 50 << 20)
