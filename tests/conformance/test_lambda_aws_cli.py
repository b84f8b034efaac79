"""The aws command against the functions' API: what people type."""
import json
import os
import shutil
import unittest

from harness import runtimes
from harness.engine import Engine, run
from harness.functions import ROLE, zip_of

AWS = shutil.which("aws")


@unittest.skipIf(AWS is None, "the aws command is not installed: \"scripts/install-packages test\" installs it")
class AwsCommand(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = Engine(cls.__name__)
        try:
            cls.engine.start()
            runtimes.stand_in(cls.engine)
            cls.zip = os.path.join(cls.engine.folder, "f.zip")
            with open(cls.zip, "wb") as file:
                file.write(zip_of({"bootstrap": "#!/bin/sh\n"}))
        except BaseException:
            cls.engine.close()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.engine.close()

    def aws(self, *arguments, fails=False):
        environment = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
                       "AWS_PAGER": "", "AWS_MAX_ATTEMPTS": "1", "AWS_CONFIG_FILE": "/nowhere", "AWS_EC2_METADATA_DISABLED": "true"}
        result = run([AWS, "--endpoint-url", f"http://{self.engine.functions_address}", "--output", "json", *arguments],
                     env=environment)
        self.assertEqual(result.code != 0, fails, str(result))
        return json.loads(result.out) if result.out.strip().startswith("{") else result

    def test_a_functions_life(self):
        made = self.aws("lambda", "create-function", "--function-name", "cli", "--runtime", "provided.al2023", "--handler", "h",
                        "--role", ROLE, "--zip-file", f"fileb://{self.zip}")
        self.assertEqual(made["State"], "Pending")
        self.aws("lambda", "wait", "function-active-v2", "--function-name", "cli")
        self.assertEqual(self.aws("lambda", "get-function", "--function-name", "cli")["Configuration"]["State"], "Active")
        self.aws("lambda", "update-function-configuration", "--function-name", "cli", "--timeout", "20")
        self.aws("lambda", "wait", "function-updated-v2", "--function-name", "cli")
        listed = self.aws("lambda", "list-functions")["Functions"]
        self.assertEqual([(each["FunctionName"], each["Timeout"]) for each in listed], [("cli", 20)])
        self.aws("lambda", "put-function-concurrency", "--function-name", "cli", "--reserved-concurrent-executions", "0")
        refused = self.aws("lambda", "invoke", "--function-name", "cli", os.path.join(self.engine.folder, "out"), fails=True)
        self.assertIn("TooManyRequestsException", refused.err)
        self.aws("lambda", "delete-function", "--function-name", "cli")
        self.assertIn("ResourceNotFoundException", self.aws("lambda", "get-function", "--function-name", "cli", fails=True).err)

    def test_who_am_i(self):
        self.assertEqual(self.aws("sts", "get-caller-identity")["Account"], "000000000000")

    def test_copies_to_and_from_buckets(self):
        self.aws("s3", "mb", "s3://cli-bucket")
        self.aws("s3", "cp", self.zip, "s3://cli-bucket/dir/f.zip")
        self.assertIn("dir/f.zip", self.aws("s3", "ls", "--recursive", "s3://cli-bucket").out)
        back = os.path.join(self.engine.folder, "back.zip")
        self.aws("s3", "cp", "s3://cli-bucket/dir/f.zip", back)
        with open(back, "rb") as one, open(self.zip, "rb") as two:
            self.assertEqual(one.read(), two.read())
        self.aws("s3", "rb", "--force", "s3://cli-bucket")
        self.assertNotIn("cli-bucket", self.aws("s3", "ls").out)
