"""The functions' API on the wire: paths, statuses, shapes and AWS's words for what is wrong."""
import base64
import hashlib
import io
import os
import shutil
import tempfile
import unittest
import zipfile

from harness.engine import AGAINST, IMAGE, PROGRAMS, Engine, eventually, run
from harness.functions import FunctionsApi, zip_of
from harness.lambda_api import LambdaCase, b64


class Functions(LambdaCase):
    def test_create_get_and_delete(self):
        zipped = zip_of({"bootstrap": "#!/bin/sh\n"})
        name, made = self.function(Environment={"Variables": {"A1": "x"}}, Tags={"k": "v"}, Timeout=7, MemorySize=256)
        self.assertEqual((made["State"], made["StateReasonCode"]), ("Pending", "Creating"))
        self.assertEqual(made["FunctionArn"], f"arn:aws:lambda:us-east-1:000000000000:function:{name}")
        self.assertEqual(made["CodeSha256"], b64(hashlib.sha256(zipped).digest()))
        got = self.get(f"/2015-03-31/functions/{name}")
        config = got["Configuration"]
        self.assertEqual((config["State"], config["LastUpdateStatus"]), ("Active", "Successful"))
        self.assertEqual((config["Timeout"], config["MemorySize"], config["Version"]), (7, 256, "$LATEST"))
        self.assertEqual(config["Environment"], {"Variables": {"A1": "x"}})
        self.assertRegex(config["LastModified"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000$")
        self.assertEqual(got["Tags"], {"k": "v"})
        location = got["Code"]["Location"].split("/", 3)
        code = self.api.request("GET", "/" + location[3])
        self.assertEqual((code.status, code.body), (200, zipped))
        self.assertEqual(self.api.request("DELETE", f"/2015-03-31/functions/{name}").status, 204)
        body = self.refused(self.api.request("GET", f"/2015-03-31/functions/{name}"), 404, "ResourceNotFoundException",
                            f"Function not found: arn:aws:lambda:us-east-1:000000000000:function:{name}")
        self.assertEqual(body["Type"], "User")
        self.assertIn("Message", body)  # not "message": SDKs differ by shape

    def test_every_name_of_a_function(self):
        name, _ = self.function()
        arn = f"arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3A{name}"
        for form in (name, f"000000000000:function:{name}", arn, f"{name}:$LATEST"):
            self.assertEqual(self.get(f"/2015-03-31/functions/{form}/configuration")["FunctionName"], name)
        self.refused(self.api.request("GET", "/2015-03-31/functions/a%20b"), 400, "ValidationException",
                     "1 validation error detected: Value 'a b' at 'functionName' failed to satisfy constraint")

    def test_updates_and_revisions(self):
        name, made = self.function()
        target = f"/2015-03-31/functions/{name}"
        changed = self.api.request("PUT", f"{target}/configuration", {"Timeout": 9, "Description": "d"})
        self.assertEqual(changed.status, 200, str(changed))
        self.assertEqual(changed.json()["LastUpdateStatus"], "InProgress")
        self.assertNotEqual(changed.json()["RevisionId"], made["RevisionId"])
        self.assertEqual(self.get(f"{target}/configuration")["LastUpdateStatus"], "Successful")
        self.refused(self.api.request("PUT", f"{target}/configuration", {"Timeout": 3, "RevisionId": made["RevisionId"]}),
                     412, "PreconditionFailedException", "Revision Id")
        code = self.api.request("PUT", f"{target}/code", {"ZipFile": b64(zip_of({"bootstrap": "#!/bin/sh\nexit 1\n"}))})
        self.assertEqual(code.status, 200, str(code))
        self.assertNotEqual(code.json()["CodeSha256"], made["CodeSha256"])

    def test_lists_have_pages(self):
        names = sorted(self.function(f"page-{i}")[0] for i in range(3))
        seen, marker = [], ""
        while True:
            page = self.get(f"/2015-03-31/functions/?MaxItems=2{marker}")
            self.assertLessEqual(len(page["Functions"]), 2)
            seen += [function["FunctionName"] for function in page["Functions"]]
            self.assertFalse({"State", "LastUpdateStatus", "RuntimeVersionConfig"} & set(page["Functions"][0]))
            if not page.get("NextMarker"):
                break
            marker = f"&Marker={page['NextMarker']}"
        self.assertEqual([name for name in seen if name.startswith("page-")], names)

    def test_a_version_is_published_once(self):
        name, _ = self.function(Description="made")
        target = f"/2015-03-31/functions/{name}"

        def publish(**members):
            answer = self.api.request("POST", f"{target}/versions", members).json()
            return answer["Version"], answer["Description"]

        self.assertEqual(publish(Description="first"), ("1", "first"))
        # Nothing has changed since: what is asked for beside that is not taken.
        self.assertEqual(publish(), ("1", "first"))
        self.assertEqual(publish(Description="second"), ("1", "first"))
        self.api.request("PUT", f"{target}/configuration", {"Description": "changed"})
        self.assertEqual(publish(), ("2", "changed"))
        self.assertEqual(publish(Description="third"), ("2", "changed"))
        self.api.request("PUT", f"{target}/configuration", {"Timeout": 9})
        self.assertEqual(publish(Description="third"), ("3", "third"))

    def test_versions_that_are_not_there_are_as_good_as_removed(self):
        name, _ = self.function()
        target = f"/2015-03-31/functions/{name}"
        self.assertEqual(self.api.request("DELETE", f"{target}?Qualifier=7").status, 204)
        self.assertEqual(self.get(target)["Configuration"]["FunctionName"], name)
        for gone in ("none", "none?Qualifier=7"):
            self.refused(self.api.request("DELETE", f"/2015-03-31/functions/{gone}"), 404, "ResourceNotFoundException",
                         "Function not found: arn:aws:lambda:us-east-1:000000000000:function:none")
        self.refused(self.api.request("DELETE", "/2015-03-31/functions/none?Qualifier=%24LATEST"), 400,
                     "InvalidParameterValueException", "$LATEST version cannot be deleted without deleting the function.")

    def test_versions_aliases_and_what_holds_them(self):
        name, _ = self.function()
        target = f"/2015-03-31/functions/{name}"
        first = self.api.request("POST", f"{target}/versions", {"Description": "one"})
        self.assertEqual((first.status, first.json()["Version"]), (201, "1"))
        self.assertTrue(first.json()["FunctionArn"].endswith(f"{name}:1"))
        self.assertEqual(self.api.request("POST", f"{target}/versions").json()["Version"], "1")
        self.api.request("PUT", f"{target}/configuration", {"Timeout": 9})
        self.assertEqual(self.api.request("POST", f"{target}/versions").json()["Version"], "2")
        self.assertEqual([v["Version"] for v in self.get(f"{target}/versions")["Versions"]], ["$LATEST", "1", "2"])
        alias = self.api.request("POST", f"{target}/aliases", {
            "Name": "PROD", "FunctionVersion": "1", "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.25}}})
        self.assertEqual(alias.status, 201, str(alias))
        self.assertEqual(alias.json()["RoutingConfig"], {"AdditionalVersionWeights": {"2": 0.25}})
        self.refused(self.api.request("POST", f"{target}/aliases", {"Name": "PROD", "FunctionVersion": "1"}), 409,
                     "ResourceConflictException", "Alias already exists")
        self.refused(self.api.request("POST", f"{target}/aliases", {"Name": "OTHER", "FunctionVersion": "9"}), 404,
                     "ResourceNotFoundException", "Function not found")
        self.assertEqual(self.get(f"{target}?Qualifier=PROD")["Configuration"]["Version"], "1")
        self.refused(self.api.request("DELETE", f"{target}?Qualifier=1"), 409, "ResourceConflictException", "PROD")
        self.assertEqual(self.api.request("DELETE", f"{target}/aliases/PROD").status, 204)
        self.assertEqual(self.api.request("DELETE", f"{target}?Qualifier=1").status, 204)
        self.get(f"{target}?Qualifier=1", status=404)

    def test_terraform_reads_what_it_made(self):
        name, _ = self.function()
        self.assertEqual(self.get(f"/2020-06-30/functions/{name}/code-signing-config"), {"FunctionName": name})
        self.assertEqual(self.get(f"/2019-09-30/functions/{name}/concurrency"), {})
        self.get(f"/2015-03-31/functions/{name}/policy", status=404)
        self.assertEqual(self.get(f"/2021-10-31/functions/{name}/urls"), {"FunctionUrlConfigs": []})
        self.assertIn("AccountLimit", self.get("/2016-08-19/account-settings"))

    def test_unknown_paths_and_methods(self):
        self.assertEqual(self.api.request("GET", "/2015-03-31/nothing").status, 404)
        self.assertEqual(self.api.request("PATCH", "/2015-03-31/functions").status, 405)
        self.refused(self.api.request("GET", "/2025-11-30/capacity-providers"), 400, "InvalidParameterValueException",
                     "not supported")

    def test_web_pages_are_refused(self):
        for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "rebound.evil.example:4566"}):
            self.refused(self.api.request("GET", "/2015-03-31/functions", None, headers), 403, "AccessDeniedException",
                         "web pages")
        for headers in ({"Origin": "http://localhost:3000"}, {"Host": "localhost:4566"}, {"Host": "berth:4566"}):
            self.assertEqual(self.api.request("GET", "/2015-03-31/functions", None, headers).status, 200)

    def test_kill_9_loses_nothing_that_was_answered(self):
        name, made = self.function(Tags={"a": "b"})
        self.api.request("PUT", f"/2017-10-31/functions/{name}/concurrency", {"ReservedConcurrentExecutions": 0})
        self.engine.kill()
        self.engine.start()
        type(self).api = FunctionsApi(self.engine.functions_address)
        got = self.get(f"/2015-03-31/functions/{name}")
        self.assertEqual(got["Configuration"]["RevisionId"], made["RevisionId"])
        self.assertEqual(got["Concurrency"], {"ReservedConcurrentExecutions": 0})
        self.assertEqual(got["Tags"], {"a": "b"})


class BadInput(LambdaCase):
    flags = ("--functions-limits", "strict")

    def create_fails(self, status, kind, text, **members):
        return self.refused(self.api.create("bad", **members), status, kind, text)

    def test_members(self):
        validation = "ValidationException"
        self.create_fails(400, validation, "at 'timeout' failed to satisfy constraint: Member must have value less than "
                          "or equal to 900", Timeout=901)
        self.create_fails(400, validation, "at 'memorySize'", MemorySize=127)
        self.create_fails(400, validation, "at 'role' failed to satisfy constraint", Role="nobody")
        self.create_fails(400, validation, "at 'handler'", Handler="a b")
        self.create_fails(400, validation, "at 'ephemeralStorage.size'", EphemeralStorage={"Size": 5})
        parameter = "InvalidParameterValueException"
        self.create_fails(400, parameter, "Value cobol at 'runtime' failed to satisfy constraint", Runtime="cobol")
        self.create_fails(400, parameter, "reserved keys", Environment={"Variables": {"AWS_REGION": "x"}})
        self.create_fails(400, parameter, "exceeded the 4KB limit", Environment={"Variables": {"LONG": "x" * 4096}})
        self.create_fails(400, parameter, "Layer version arn:aws:lambda:us-east-1:000000000000:layer:x:1 does not exist",
                          Layers=["arn:aws:lambda:us-east-1:000000000000:layer:x:1"])
        self.create_fails(400, "SerializationException", "Timeout", Timeout="soon")
        self.refused(self.api.request("POST", "/2015-03-31/functions", b"{no json"), 400, "SerializationException", "json")

    def test_code(self):
        parameter = "InvalidParameterValueException"
        self.create_fails(400, parameter, "Could not unzip uploaded file", Code={"ZipFile": b64(b"no zip at all")})
        self.create_fails(400, parameter, "non-empty zip", Code={"ZipFile": b64(zip_of({}))})
        self.create_fails(400, parameter, "leads out of it", Code={"ZipFile": b64(zip_of({"../evil": "x"}))})
        self.create_fails(400, parameter, "absolute path", Code={"ZipFile": b64(zip_of({"/etc/evil": "x"}))})
        bomb = zip_of({"zeros": b"\0" * 262_144_001})
        self.assertLess(len(bomb), 1 << 20)
        self.create_fails(400, parameter, "Unzipped size must be smaller than 262144000 bytes", Code={"ZipFile": b64(bomb)})
        self.create_fails(400, parameter, "NoSuchBucket", Code={"S3Bucket": "no-such-bucket", "S3Key": "k"})
        self.create_fails(400, parameter, "Please provide a source for function code", Code={})
        self.create_fails(400, "SerializationException", "base64", Code={"ZipFile": "%%%"})

    def test_size_of_requests(self):
        answer = self.api.request("POST", "/2015-03-31/functions", None,
                                  {"Content-Length": "70167212", "Expect": "100-continue"})
        self.assertEqual(answer.headers["x-amzn-ErrorType"], "RequestEntityTooLargeException", str(answer))
        self.assertIn("Request must be smaller than 70167211 bytes for the CreateFunction operation",
                      answer.json()["message"])

    def test_invocations_that_cannot_be(self):
        self.refused(self.api.invoke("missing", {}), 404, "ResourceNotFoundException", "Function not found")
        answer = self.api.create("there")
        self.assertEqual(answer.status, 201, str(answer))
        self.addCleanup(self.api.request, "DELETE", "/2015-03-31/functions/there")
        target = "/2015-03-31/functions/there/invocations"
        self.refused(self.api.request("POST", target, b"{"), 400, "InvalidRequestContentException",
                     "Could not parse request body into json")
        self.refused(self.api.request("POST", target, b"{}", {"X-Amz-Invocation-Type": "Sometimes"}), 400,
                     "ValidationException", "at 'invocationType'")
        self.refused(self.api.request("POST", target, b"{}", {"X-Amz-Client-Context": "!"}), 400,
                     "InvalidRequestContentException", "Client context")
        self.refused(self.api.request("POST", target, b'"' + b"x" * 6_291_456 + b'"'), 413,
                     "RequestEntityTooLargeException", "6291456 bytes for the InvokeFunction operation")
        self.refused(self.api.request("POST", target, b'"' + b"x" * 1_048_576 + b'"', {"X-Amz-Invocation-Type": "Event"}),
                     413, "RequestEntityTooLargeException", "1048576 bytes")
        dry = self.api.request("POST", target, b"{}", {"X-Amz-Invocation-Type": "DryRun"})
        self.assertEqual((dry.status, dry.body), (204, b""))


class Buckets(LambdaCase):
    def test_objects(self):
        api = self.api
        self.assertEqual(api.request("PUT", "/my-bucket").status, 200)
        put = api.request("PUT", "/my-bucket/a/b%20c.txt", b"hello world", {"Content-Type": "text/plain", "x-amz-meta-k": "v"})
        self.assertEqual((put.status, put.headers["ETag"]), (200, '"5eb63bbbe01eeed093cb22bb8f5acdc3"'), str(put))
        got = api.request("GET", "/my-bucket/a/b%20c.txt")
        self.assertEqual((got.body, got.headers["Content-Type"], got.headers["x-amz-meta-k"]), (b"hello world", "text/plain", "v"))
        part = api.request("GET", "/my-bucket/a/b%20c.txt", None, {"Range": "bytes=6-"})
        self.assertEqual((part.status, part.body, part.headers["Content-Range"]), (206, b"world", "bytes 6-10/11"))
        self.assertEqual(api.request("GET", "/my-bucket/a/b%20c.txt", None, {"Range": "bytes=11-"}).status, 416)
        head = api.request("HEAD", "/my-bucket/a/b%20c.txt")
        self.assertEqual((head.status, head.headers["Content-Length"], head.body), (200, "11", b""))
        api.request("PUT", "/my-bucket/z", b"")
        listed = api.request("GET", "/my-bucket?list-type=2&delimiter=/").body.decode()
        self.assertIn("<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>", listed)
        self.assertIn("<Key>z</Key>", listed)
        self.assertNotIn("b c.txt", listed)
        self.assertEqual(api.request("DELETE", "/my-bucket").status, 409)
        virtual = api.request("GET", "/z", None, {"Host": "my-bucket.s3.localhost"})
        self.assertEqual((virtual.status, virtual.body), (200, b""))
        for key in ("a/b%20c.txt", "z", "never-was"):
            self.assertEqual(api.request("DELETE", f"/my-bucket/{key}").status, 204)
        self.assertEqual(api.request("DELETE", "/my-bucket").status, 204)
        self.assertIn("NoSuchBucket", api.request("GET", "/my-bucket").body.decode())

    def test_code_of_a_function(self):
        self.api.request("PUT", "/code-bucket")
        zipped = zip_of({"bootstrap": "#!/bin/sh\n"})
        self.api.request("PUT", "/code-bucket/f.zip", zipped)
        answer = self.api.create("from-bucket", Code={"S3Bucket": "code-bucket", "S3Key": "f.zip"})
        self.assertEqual((answer.status, answer.json().get("CodeSize")), (201, len(zipped)), str(answer))
        self.api.request("DELETE", "/2015-03-31/functions/from-bucket")
        self.refused(self.api.create("from-bucket", Code={"S3Bucket": "code-bucket", "S3Key": "nope"}), 400,
                     "InvalidParameterValueException", "S3 Error Code: NoSuchKey")


class Keys(LambdaCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="bt.", dir="/tmp")
        path = os.path.join(folder, "keys")
        with open(path, "w") as file:
            file.write("# who may\nAKIDEXAMPLE secret\n")
        cls.keys, cls.flags = folder, ("--functions-keys", path)
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        shutil.rmtree(cls.keys)

    def test_only_right_signatures_get_in(self):
        self.refused(self.api.request("GET", "/2015-03-31/functions"), 403, "MissingAuthenticationTokenException", "Missing")
        wrong = ("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, "
                 "Signature=" + "0" * 64)
        self.refused(self.api.request("GET", "/2015-03-31/functions", None, {"Authorization": wrong}), 403,
                     "InvalidSignatureException", "")
        self.refused(self.api.request("GET", "/2015-03-31/functions", None,
                                      {"Authorization": wrong.replace("AKIDEXAMPLE", "OTHER")}), 403,
                     "UnrecognizedClientException", "security token")
        self.assertEqual(self.api.request("GET", "/").status, 403)


@unittest.skipIf(AGAINST == "docker", "dockerd runs no functions")
class Flags(unittest.TestCase):
    def test_wrong_ones_are_said(self):
        folder = tempfile.mkdtemp(prefix="bt.", dir="/tmp")
        self.addCleanup(shutil.rmtree, folder)
        keys = os.path.join(folder, "keys")
        with open(keys, "w") as file:
            file.write("OnlyAKey\n")
        for flags, text in ((("--functions-addr", "nowhere"), "\"nowhere\" is not IP:PORT"),
                            (("--functions-limits", "none"), "expected open or strict"),
                            (("--functions-keys", keys), "line 1: expected \"ACCESS_KEY_ID SECRET_ACCESS_KEY\""),
                            (("--functions-keys", "/no/such/file"), "/no/such/file")):
            ended = run([os.path.join(PROGRAMS, "berthd"), "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec",
                         "-H", f"unix://{folder}/sock", *flags])
            self.assertNotEqual(ended.code, 0, str(ended))
            self.assertIn(text, ended.err, str(ended))


class TakenPort(LambdaCase):
    def test_the_engine_starts_all_the_same(self):
        other = Engine("other", flags=("--functions-addr", self.engine.functions_address))
        self.addCleanup(other.close)
        other.start()
        eventually(lambda: "--functions-addr" in other.log(), "the log says what to do")
        answer = other.api.get("/2015-03-31/functions")
        self.assertEqual((answer.status, answer.json()), (200, {"Functions": []}))


# A custom runtime of busybox alone: answers with the event; {"fail": true} with an error, {"exit": n} by ending.
BOOTSTRAP = r"""#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while true; do
  event=$(wget -q -S -O - "$api/next" 2>/tmp/head) || exit 9
  id=$(tr -d '\r' </tmp/head | awk 'tolower($1) == "lambda-runtime-aws-request-id:" {print $2}')
  echo "event $event"
  case $event in
    *'"exit"'*) exit 7 ;;
    *'"fail"'*) wget -q -O /dev/null --post-data '{"errorMessage":"as asked","errorType":"Asked"}' "$api/$id/error" ;;
    *) wget -q -O /dev/null --post-data "$event" "$api/$id/response" ;;
  esac
done
"""
BASE = r"""FROM {image}
RUN mkdir -p /var/task /opt /var/runtime /tmp && chmod 1777 /tmp && echo 'sbx_user1051:x:993:990::/tmp:/bin/sh' >>/etc/passwd
"""


class Invocations(LambdaCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.engine.load_base_image()
            cls.engine.ok("build", "-t", "berth/lambda-provided.al2023", "-", input=BASE.format(image=IMAGE))
            answer = cls.api.create("echo", {"bootstrap": BOOTSTRAP})
            assert answer.status == 201, str(answer)
        except BaseException:
            cls.engine.close()
            raise

    def test_sync(self):
        answer = self.api.invoke("echo", {"a": 1})
        self.assertEqual((answer.status, answer.json()), (200, {"a": 1}), str(answer))
        self.assertEqual(answer.headers["X-Amz-Executed-Version"], "$LATEST")
        self.assertNotIn("X-Amz-Function-Error", answer.headers)
        self.assertRegex(answer.headers["x-amzn-RequestId"], r"^[0-9a-f-]{36}$")

    def test_the_tail_of_the_log(self):
        answer = self.api.invoke("echo", {"b": 2}, X_Amz_Log_Type="Tail")
        log = base64.b64decode(answer.headers["X-Amz-Log-Result"]).decode()
        request = answer.headers["x-amzn-RequestId"]
        self.assertIn(f"START RequestId: {request} Version: $LATEST", log)
        self.assertIn('event {"b": 2}', log)
        self.assertRegex(log, rf"REPORT RequestId: {request}\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB")

    def test_what_a_function_does_wrong_is_its_answer(self):
        failed = self.api.invoke("echo", {"fail": True})
        self.assertEqual((failed.status, failed.headers["X-Amz-Function-Error"]), (200, "Unhandled"), str(failed))
        self.assertEqual(failed.json(), {"errorMessage": "as asked", "errorType": "Asked"})
        ended = self.api.invoke("echo", {"exit": 7})
        self.assertEqual((ended.status, ended.headers["X-Amz-Function-Error"]), (200, "Unhandled"), str(ended))
        self.assertEqual(ended.json()["errorType"], "Runtime.ExitError")
        self.assertEqual(self.api.invoke("echo", {"next": 1}).json(), {"next": 1})

    def test_logs_of_it_can_be_read(self):
        answer = self.api.invoke("echo", {"mark": "in-the-log"})
        self.assertEqual(answer.status, 200)

        def logs(operation, **request):
            found = self.api.request("POST", "/", request, {"X-Amz-Target": f"Logs_20140328.{operation}",
                                                            "Content-Type": "application/x-amz-json-1.1"})
            self.assertEqual(found.status, 200, str(found))
            return found.json()

        groups = logs("DescribeLogGroups", logGroupNamePrefix="/aws/lambda/ec")
        self.assertEqual([group["logGroupName"] for group in groups["logGroups"]], ["/aws/lambda/echo"])
        self.assertTrue(logs("DescribeLogStreams", logGroupName="/aws/lambda/echo")["logStreams"])
        found = eventually(lambda: logs("FilterLogEvents", logGroupName="/aws/lambda/echo",
                                        filterPattern='"in-the-log"')["events"], "the line is in the log")
        self.assertIn("in-the-log", found[0]["message"])
        lines = logs("GetLogEvents", logGroupName="/aws/lambda/echo", logStreamName=found[0]["logStreamName"],
                     startFromHead=True)
        self.assertTrue(any("START RequestId" in event["message"] for event in lines["events"]))

    def test_a_stream_of_frames(self):
        answer = self.api.request("POST", "/2021-11-15/functions/echo/response-streaming-invocations", b'{"s": 1}')
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/vnd.amazon.eventstream"), str(answer))
        self.assertIn(b'{"s": 1}', answer.body)
        self.assertIn(b"InvokeComplete", answer.body)

    def test_a_function_url(self):
        made = self.api.request("POST", "/2021-10-31/functions/echo/url", {"AuthType": "NONE"})
        self.assertEqual(made.status, 201, str(made))
        self.addCleanup(self.api.request, "DELETE", "/2021-10-31/functions/echo/url")
        host = made.json()["FunctionUrl"][7:-1]
        answer = self.api.request("POST", "/some/path?q=1", b"text", {"Host": host, "Content-Type": "text/plain", "Cookie": "a=b"})
        event = answer.json()
        self.assertEqual((answer.status, event["rawPath"], event["rawQueryString"], event["body"], event["cookies"]),
                         (200, "/some/path", "q=1", "text", ["a=b"]), str(answer))
        by_path = self.api.request("GET", f"/_berth/url/{host.split('.')[0]}/x?y=z")
        self.assertEqual((by_path.json()["rawPath"], by_path.json()["rawQueryString"]), ("/x", "y=z"))
        self.api.request("PUT", "/2021-10-31/functions/echo/url", {"AuthType": "AWS_IAM"})
        self.assertEqual(self.api.request("GET", "/", None, {"Host": host}).status, 403)

    def test_new_code_is_what_runs(self):
        answer = self.api.create("changing", {"bootstrap": BOOTSTRAP})
        self.addCleanup(self.api.request, "DELETE", "/2015-03-31/functions/changing")
        self.assertEqual(answer.status, 201, str(answer))
        self.assertEqual(self.api.invoke("changing", {"v": 1}).json(), {"v": 1})
        other = BOOTSTRAP.replace('--post-data "$event"', "--post-data '{\"new\":true}'")
        updated = self.api.request("PUT", "/2015-03-31/functions/changing/code",
                                   {"ZipFile": b64(zip_of({"bootstrap": other})), "Publish": True})
        self.assertEqual(updated.status, 200, str(updated))
        self.assertEqual(self.api.invoke("changing", {"v": 2}).json(), {"new": True})
        versioned = self.api.invoke("changing:1", {"v": 2})
        self.assertEqual((versioned.json(), versioned.headers["X-Amz-Executed-Version"]), ({"new": True}, "1"))

    def test_an_image_of_a_function_and_back(self):
        made = self.api.request("POST", "/_berth/package/image", {"FunctionName": "echo", "Tag": "echo-image:1"})
        self.assertEqual(made.status, 201, str(made))
        inspected = self.engine.inspect("echo-image:1")
        self.assertEqual(inspected["Config"]["Cmd"], ["handler"])
        self.assertEqual(self.engine.ok("run", "--rm", "--entrypoint", "cat", "echo-image:1", "/var/task/bootstrap").out, BOOTSTRAP)
        back = self.api.request("GET", "/_berth/package/zip?image=echo-image:1")
        self.assertEqual((back.status, back.headers["X-Berth-Runtime"], back.headers["X-Berth-Handler"]),
                         (200, "provided.al2023", "handler"), str(back)[:500])
        with zipfile.ZipFile(io.BytesIO(back.body)) as archive:
            self.assertEqual(archive.read("bootstrap").decode(), BOOTSTRAP)
            self.assertEqual(archive.getinfo("bootstrap").external_attr >> 16 & 0o777, 0o755)
