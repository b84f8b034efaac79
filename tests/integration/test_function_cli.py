"""The commands for functions: init, deploy, ls, rm, watch, templates, bill. No handler runs here, so that no runtime
base has to be made."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from harness.engine import Client
from harness.functions import FunctionsCase


class FunctionCommands(FunctionsCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="bt.", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.folder)
        self.addCleanup(self.remove_functions)

    def remove_functions(self):
        names = self.engine.ok("function", "ls", "-q").lines
        if names:
            self.engine.ok("function", "rm", *names)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        return path

    def configuration(self, name):
        answer = self.api.request("GET", f"/2015-03-31/functions/{name}/configuration")
        self.assertEqual(answer.status, 200, str(answer))
        return answer.json()

    def refused(self, *arguments, text):
        result = self.engine(*arguments)
        self.assertEqual(result.code, 1, str(result))
        self.assertIn(text, result.err)

    def test_init_of_a_folder_whose_name_no_function_can_have(self):
        folder = os.path.join(self.folder, "my api.v2!")
        self.assertIn("berth function invoke my-api-v2 ", self.engine.ok("function", "init", folder).out)
        self.assertIn("created function my-api-v2", self.engine.ok("function", "deploy", folder).out)
        self.engine.ok("function", "rm", "my-api-v2")
        self.refused("function", "init", os.path.join(self.folder, "!!"), text="no function can have its name")

    def test_init_deploy_ls_rm(self):
        folder = os.path.join(self.folder, "greeter")
        self.engine.ok("function", "init", folder)
        self.assertEqual(sorted(os.listdir(folder)), ["app.py", "template.yaml"])
        self.refused("function", "init", folder, text="exists already")
        self.assertIn("created function greeter", self.engine.ok("function", "deploy", folder).out)
        self.assertIn("updated function greeter", self.engine.ok("function", "deploy", folder).out)
        config = self.configuration("greeter")
        self.assertEqual((config["Runtime"], config["Handler"], config["Timeout"]),
                         ("python3.11", "app.lambda_handler", 30))
        listed = self.engine.ok("function", "ls").lines
        self.assertRegex(listed[1], r"^greeter +python3\.11 +app\.lambda_handler +128MB +30s ")
        self.assertEqual(self.engine.ok("function", "rm", "greeter").text, "greeter")
        self.refused("function", "rm", "greeter", text="ResourceNotFoundException: Function not found")

    def test_deploy_guesses_and_takes_flags(self):
        self.write("plain/index.mjs", "export const handler = async () => 1;\n")
        plain = os.path.join(self.folder, "plain")
        self.engine.ok("function", "deploy", "-m", "256m", "--timeout", "7s", "-e", "NAME=1", plain)
        config = self.configuration("plain")
        self.assertEqual((config["Runtime"], config["Handler"], config["MemorySize"], config["Timeout"]),
                         ("nodejs20.x", "index.handler", 256, 7))
        self.assertEqual(config["Environment"]["Variables"], {"NAME": "1"})
        first = config["CodeSha256"]
        self.engine.ok("function", "deploy", plain)
        self.assertEqual(self.configuration("plain")["CodeSha256"], first, "the same code has the same digest")
        empty = os.path.join(self.folder, "empty")
        os.mkdir(empty)
        self.refused("function", "deploy", empty, text="cannot tell the runtime")
        self.refused("function", "deploy", os.path.join(self.folder, "none"), text="No such file or directory")
        text = self.write("text.zip", "no archive")
        self.refused("function", "deploy", text, text="neither a folder nor a zip archive")
        # What a template says is changed there: a flag beside it would be lost.
        self.write("plain/template.yaml", "Resources: {}\n")
        self.refused("function", "deploy", "-m", "512m", plain, text="--memory is for a function without a template")
        self.engine.ok("function", "deploy", "--name", "plain", "-m", "512m", plain)
        self.assertEqual(self.configuration("plain")["MemorySize"], 512)

    def test_invoke_says_what_is_wrong(self):
        self.refused("function", "invoke", "none", text="ResourceNotFoundException: Function not found")
        self.refused("function", "logs", "none", text="ResourceNotFoundException: Function not found")
        self.refused("function", "why", "none", text="no record of request none")

    def test_a_template_with_events(self):
        self.write("src/app.py", "def lambda_handler(event, context):\n    return event\n")
        path = self.write("template.yaml", """Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: {Type: String, Default: dev}
Globals:
  Function: {Runtime: python3.11, Timeout: 9}
Resources:
  Jobs:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: !Sub "jobs-${Stage}"
      VisibilityTimeout: 60
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Sub "worker-${Stage}"
      CodeUri: src
      Handler: app.lambda_handler
      Environment:
        Variables: {QUEUE: !GetAtt Jobs.Arn}
      EventInvokeConfig: {MaximumRetryAttempts: 1}
      Events:
        Nightly:
          Type: Schedule
          Properties: {Schedule: "cron(0 3 * * ? *)", Input: '{"night": true}'}
        Queue:
          Type: SQS
          Properties: {Queue: !GetAtt Jobs.Arn, BatchSize: 5}
""")
        for _ in range(2):  # the second time changes what is there
            self.engine.ok("deploy", "--parameter", "Stage=test", path)
        config = self.configuration("worker-test")
        self.assertEqual(config["Timeout"], 9)
        self.assertEqual(config["Environment"]["Variables"]["QUEUE"],
                         "arn:aws:sqs:us-east-1:000000000000:jobs-test")
        mappings = self.api.request("GET", "/2015-03-31/event-source-mappings?FunctionName=worker-test").json()
        mapping, = mappings["EventSourceMappings"]
        self.assertEqual((mapping["BatchSize"], mapping["EventSourceArn"]),
                         (5, "arn:aws:sqs:us-east-1:000000000000:jobs-test"))
        self.addCleanup(self.api.request, "DELETE", f"/2015-03-31/event-source-mappings/{mapping['UUID']}")
        rules = self.api.request("POST", "/", b"{}", {"X-Amz-Target": "AWSEvents.ListRules"}).json()["Rules"]
        rule, = (rule for rule in rules if rule["Name"] == "worker-test-Nightly")
        self.assertEqual(rule["ScheduleExpression"], "cron(0 3 * * ? *)")
        targets = self.api.request("POST", "/", json.dumps({"Rule": rule["Name"]}).encode(),
                                   {"X-Amz-Target": "AWSEvents.ListTargetsByRule"}).json()["Targets"]
        self.assertEqual(targets[0]["Input"], '{"night": true}')

    def test_a_template_with_a_bucket_whose_objects_are_told_of(self):
        self.write("src/app.py", "def lambda_handler(event, context):\n    return event\n")
        path = self.write("template.yaml", """Resources:
  Uploads:
    Type: AWS::S3::Bucket
  Thumbnails:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: src
      Handler: app.lambda_handler
      Runtime: python3.11
      Events:
        Made:
          Type: S3
          Properties:
            Bucket: !Ref Uploads
            Events: s3:ObjectCreated:*
            Filter: {S3Key: {Rules: [{Name: suffix, Value: .jpg}]}}
        Gone:
          Type: S3
          Properties: {Bucket: !Ref Uploads, Events: ["s3:ObjectRemoved:*"]}
""")
        for _ in range(2):
            self.engine.ok("deploy", path)
        text = self.api.request("GET", "/uploads?notification").body.decode()
        self.assertEqual(re.findall("<Id>(.*?)</Id>", text), ["Thumbnails-Gone", "Thumbnails-Made"])
        self.assertIn("<Name>suffix</Name><Value>.jpg</Value>", text)
        self.assertIn("<CloudFunction>arn:aws:lambda:us-east-1:000000000000:function:Thumbnails</CloudFunction>", text)
        path = self.write("template.yaml", "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n"
                                           "      {CodeUri: src, Handler: app.h, Runtime: python3.11, Events: {E: {Type: S3,"
                                           " Properties: {Bucket: other, Events: 's3:ObjectCreated:*'}}}}\n")
        self.refused("deploy", path, text="event E needs a Bucket of this template")

    def test_what_a_template_says_of_a_function_is_what_it_is(self):
        self.write("src/app.py", "def lambda_handler(event, context):\n    return event\n")
        body = """Globals:
  Function:
    LoggingConfig: {LogFormat: JSON, LogGroup: /own/group}
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: src
      Handler: app.lambda_handler
      Runtime: python3.11
      Tracing: Active
      Tags: {team: blue}
      TenancyConfig: {TenantIsolationMode: PER_TENANT}
  Web:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: src
      Handler: app.lambda_handler
      Runtime: python3.11
      FunctionUrlConfig: {AuthType: NONE, Cors: {AllowOrigins: ["*"], MaxAge: 60, AllowCredentials: true}}
"""
        path = self.write("template.yaml", body)
        for tags in ({"team": "blue"}, {"team": "green"}):  # the second time changes what is there
            path = self.write("template.yaml", body.replace("team: blue", f"team: {tags['team']}"))
            self.engine.ok("deploy", path)
            function = self.api.request("GET", "/2015-03-31/functions/F").json()
            self.assertEqual(function["Tags"], tags)
        config = function["Configuration"]
        self.assertEqual((config["LoggingConfig"]["LogFormat"], config["LoggingConfig"]["LogGroup"]), ("JSON", "/own/group"))
        self.assertEqual((config["TracingConfig"]["Mode"], config["TenancyConfig"]),
                         ("Active", {"TenantIsolationMode": "PER_TENANT"}))
        url = self.api.request("GET", "/2021-10-31/functions/Web/url").json()
        self.assertEqual(url["Cors"], {"AllowOrigins": ["*"], "MaxAge": 60, "AllowCredentials": True})
        for wrong, line, text in (("Tags: {team: blue}", 12, "Tags: [a]"), ("Tags: {team: blue}", 12, "Layers: a"),
                                  ("Tracing: Active", 11, "EphemeralStorage: 5")):
            path = self.write("template.yaml", body.replace(wrong, text))
            self.refused("deploy", path, text=f"{path}:{line}: {text.split(':')[0]} must")
        path = self.write("template.yaml", body.replace("  Web:", "  G:").replace("  F:", "  Web:"))
        self.refused("deploy", path, text="TenancyConfig can be given only when a function is made")

    def test_an_alias_of_a_template_is_what_events_call(self):
        self.write("src/app.py", "def lambda_handler(event, context):\n    return event\n")
        body = """Resources:
  F:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: src
      Handler: app.lambda_handler
      Runtime: python3.11
      AutoPublishAlias: live
      Events:
        Daily: {Type: Schedule, Properties: {Schedule: rate(1 day)}}
"""
        for number in ("1", "2"):
            path = self.write("template.yaml", body)
            self.engine.ok("deploy", path)
            alias = self.api.request("GET", "/2015-03-31/functions/F/aliases/live").json()
            self.assertEqual(alias["FunctionVersion"], number)
            self.write("src/app.py", "def lambda_handler(event, context):\n    return 2\n")
        targets = self.call("AWSEvents.ListTargetsByRule", Rule="F-Daily")["Targets"]
        self.assertEqual(targets[0]["Arn"], "arn:aws:lambda:us-east-1:000000000000:function:F:live")
        path = self.write("template.yaml", body.replace("AutoPublishAlias: live", "ProvisionedConcurrencyConfig: {}"))
        self.refused("deploy", path, text=f"{path}:8: ProvisionedConcurrencyConfig needs AutoPublishAlias")

    def test_durable_functions(self):
        self.write("flow/app.py", "def lambda_handler(event, context):\n    return {\"Status\": \"SUCCEEDED\"}\n")
        flow = os.path.join(self.folder, "flow")
        self.engine.ok("function", "deploy", "--durable", "36h", flow)
        self.assertEqual(self.configuration("flow")["DurableConfig"], {"ExecutionTimeout": 36 * 3600, "RetentionPeriodInDays": 14})
        self.engine.ok("function", "deploy", "--durable", "10m", flow)  # what is durable stays so, and may change
        self.assertEqual(self.configuration("flow")["DurableConfig"]["ExecutionTimeout"], 600)
        self.engine.ok("function", "deploy", flow)
        self.assertEqual(self.configuration("flow")["DurableConfig"]["ExecutionTimeout"], 600)
        self.refused("function", "deploy", "--durable", "9000h", flow, text="durableConfig.ExecutionTimeout")
        self.write("plain/app.py", "def lambda_handler(event, context):\n    return 1\n")
        plain = os.path.join(self.folder, "plain")
        self.engine.ok("function", "deploy", plain)
        self.refused("function", "deploy", "--durable", "1h", plain, text="only when a function is made")

    def test_durable_functions_of_a_template(self):
        self.write("src/app.py", "def lambda_handler(event, context):\n    return {\"Status\": \"SUCCEEDED\"}\n")
        body = """Parameters:
  Days: {Type: Number, Default: 7}
Resources:
  Order:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: src
      Handler: app.lambda_handler
      Runtime: python3.11
      DurableConfig: {ExecutionTimeout: 3600, RetentionPeriodInDays: !Ref Days}
"""
        path = self.write("template.yaml", body)
        for _ in range(2):
            self.engine.ok("deploy", path)
            self.assertEqual(self.configuration("Order")["DurableConfig"], {"ExecutionTimeout": 3600, "RetentionPeriodInDays": 7})
        path = self.write("template.yaml", body.replace("3600", "soon"))
        self.refused("deploy", path, text=f"{path}:10: ")

    def test_errors_of_templates_have_file_and_line(self):
        path = self.write("template.yaml", "Resources:\n  T:\n    Type: AWS::DynamoDB::Table\n")
        self.refused("deploy", path, text=f"{path}:2: T is a AWS::DynamoDB::Table, which berth does not deploy")
        path = self.write("template.yaml", "Resources:\n  F:\n    Type: AWS::Serverless::Function\n"
                                           "    Properties:\n      CodeUri: !ImportValue x\n")
        self.refused("deploy", path, text=f"{path}:5: !ImportValue is not supported")
        path = self.write("template.yaml", "Resources:\n  F:\n    Type: AWS::Serverless::Function\n"
                                           "    Properties:\n      CodeUri: .\n      Nonsense: 1\n")
        self.refused("deploy", path, text=f"{path}:6: the property Nonsense of functions is not supported")

    def test_watch_deploys_what_changes(self):
        path = self.write("live/app.py", "def lambda_handler(event, context):\n    return 1\n")
        command = [*self.engine.cli, "function", "watch", os.path.dirname(path)]
        with Client(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **self.engine.env}) as watching:
            self.assertIn("created live", watching.stdout.readline())
            before = self.configuration("live")["CodeSha256"]
            self.write("live/app.py", "def lambda_handler(event, context):\n    return 2\n")
            self.assertRegex(watching.stdout.readline(), r"^updated live in \d+ ms$")
            self.assertNotEqual(self.configuration("live")["CodeSha256"], before)

    def test_bill_by_a_table_of_ones_own(self):
        prices = self.write("prices", "function_gb_second = 1\ncurrency = EUR\n")
        bill = self.engine.ok("bill", "--by", "day", "--prices", prices)
        self.assertIn("EUR 0.00000000", bill.out)
        self.assertIn(f"Prices: {prices}", bill.out)
        self.refused("bill", "--by", "weather", text="--by weather")
        wrong = self.write("wrong", "\nwater = 3\n")
        self.refused("bill", "--prices", wrong, text=f"{wrong}:2: \"water\" is no price")


if __name__ == "__main__":
    unittest.main()
