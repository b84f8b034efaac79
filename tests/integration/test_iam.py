"""IAM beside functions: roles with their tags, policies with their versions, as Terraform and other tools make them."""
import json
import re
import urllib.parse

from harness.lambda_api import LambdaCase

DOCUMENT = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "logs:*", "Resource": "*"}]})
OTHER = json.dumps({"Version": "2012-10-17", "Statement": []})


def texts(xml, name):
    return re.findall(f"<{name}>([^<]*)</{name}>", xml)


class Iam(LambdaCase):
    def iam(self, action, status=200, **fields):
        """The answer's text. A member "Tags" is {key: value}, "TagKeys" a list."""
        for number, (key, value) in enumerate(fields.pop("Tags", {}).items(), 1):
            fields.update({f"Tags.member.{number}.Key": key, f"Tags.member.{number}.Value": value})
        for number, key in enumerate(fields.pop("TagKeys", []), 1):
            fields[f"TagKeys.member.{number}"] = key
        form = urllib.parse.urlencode({"Action": action, "Version": "2010-05-08", **fields}).encode()
        answer = self.api.request("POST", "/", form, {"Content-Type": "application/x-www-form-urlencoded"})
        self.assertEqual(answer.status, status, str(answer))
        return answer.body.decode()

    def refused(self, code, status, action, **fields):
        self.assertEqual(texts(self.iam(action, status, **fields), "Code"), [code])

    def tags(self, xml):
        return dict(zip(texts(xml, "Key"), texts(xml, "Value")))

    def policy(self, name, **fields):
        made = self.iam("CreatePolicy", PolicyName=name, PolicyDocument=DOCUMENT, **fields)
        return texts(made, "Arn")[0], made

    def test_a_policy_and_its_versions(self):
        arn, made = self.policy("logs", Path="/team/", Description="d & e", Tags={"env": "test"})
        self.assertEqual(arn, "arn:aws:iam::000000000000:policy/team/logs")
        self.assertEqual((texts(made, "DefaultVersionId"), texts(made, "Description"), self.tags(made)),
                         (["v1"], ["d &amp; e"], {"env": "test"}))
        self.refused("EntityAlreadyExists", 409, "CreatePolicy", PolicyName="logs", Path="/team/", PolicyDocument=DOCUMENT)
        for id in ("v2", "v3", "v4", "v5"):
            version = self.iam("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=OTHER,
                               SetAsDefault="true" if id == "v3" else "false")
            self.assertEqual(texts(version, "VersionId"), [id])
        self.refused("LimitExceeded", 409, "CreatePolicyVersion", PolicyArn=arn, PolicyDocument=OTHER)
        listed = self.iam("ListPolicyVersions", PolicyArn=arn)
        self.assertEqual((texts(listed, "VersionId"), texts(listed, "IsDefaultVersion")),
                         (["v5", "v4", "v3", "v2", "v1"], ["false", "false", "true", "false", "false"]))
        for id, document in (("v1", DOCUMENT), ("v3", OTHER)):
            shown = texts(self.iam("GetPolicyVersion", PolicyArn=arn, VersionId=id), "Document")[0]
            self.assertEqual(urllib.parse.unquote(shown), document)
        self.refused("DeleteConflict", 409, "DeletePolicyVersion", PolicyArn=arn, VersionId="v3")
        self.refused("DeleteConflict", 409, "DeletePolicy", PolicyArn=arn)
        self.iam("SetDefaultPolicyVersion", PolicyArn=arn, VersionId="v1")
        for id in ("v2", "v3", "v4", "v5"):
            self.iam("DeletePolicyVersion", PolicyArn=arn, VersionId=id)
        self.refused("NoSuchEntity", 404, "GetPolicyVersion", PolicyArn=arn, VersionId="v2")
        self.assertEqual(texts(self.iam("GetPolicy", PolicyArn=arn), "DefaultVersionId"), ["v1"])
        # An id that was given is not given again.
        self.assertEqual(texts(self.iam("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=OTHER), "VersionId"), ["v6"])
        self.iam("DeletePolicyVersion", PolicyArn=arn, VersionId="v6")
        self.iam("DeletePolicy", PolicyArn=arn)
        self.refused("NoSuchEntity", 404, "GetPolicy", PolicyArn=arn)

    def test_a_policy_in_use(self):
        arn, _ = self.policy("used")
        self.iam("CreateRole", RoleName="user", AssumeRolePolicyDocument=OTHER)
        self.iam("AttachRolePolicy", RoleName="user", PolicyArn=arn)
        self.assertEqual(texts(self.iam("GetPolicy", PolicyArn=arn), "AttachmentCount"), ["1"])
        self.assertEqual(texts(self.iam("ListEntitiesForPolicy", PolicyArn=arn), "RoleName"), ["user"])
        self.refused("DeleteConflict", 409, "DeletePolicy", PolicyArn=arn)
        self.refused("DeleteConflict", 409, "DeleteRole", RoleName="user")
        self.iam("DetachRolePolicy", RoleName="user", PolicyArn=arn)
        self.assertIn("used", texts(self.iam("ListPolicies", Scope="Local"), "PolicyName"))
        self.assertEqual(texts(self.iam("ListPolicies", Scope="AWS"), "PolicyName"), [])
        self.iam("DeletePolicy", PolicyArn=arn)
        self.iam("DeleteRole", RoleName="user")

    def test_policies_that_are_none(self):
        self.refused("MalformedPolicyDocument", 400, "CreatePolicy", PolicyName="p", PolicyDocument="{")
        self.refused("MalformedPolicyDocument", 400, "CreatePolicy", PolicyName="p", PolicyDocument="{}")
        self.refused("ValidationError", 400, "CreatePolicy", PolicyName="a b", PolicyDocument=DOCUMENT)
        self.refused("NoSuchEntity", 404, "GetPolicy", PolicyArn="arn:aws:iam::000000000000:policy/none")
        self.refused("NoSuchEntity", 404, "GetPolicy", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")

    def test_tags_of_roles_and_policies(self):
        made = self.iam("CreateRole", RoleName="tagged", AssumeRolePolicyDocument=OTHER, Tags={"a": "1", "b": "<2>"})
        self.assertEqual(self.tags(made), {"a": "1", "b": "&lt;2&gt;"})
        arn, _ = self.policy("tagged", Tags={"a": "1", "b": "<2>"})
        for kind, name in (("Role", {"RoleName": "tagged"}), ("Policy", {"PolicyArn": arn})):
            self.iam(f"Tag{kind}", **name, Tags={"c": "3"})
            self.iam(f"Untag{kind}", **name, TagKeys=["a", "none"])
            for listed in (self.iam(f"List{kind}Tags", **name), self.iam(f"Get{kind}", **name)):
                self.assertEqual(self.tags(listed), {"b": "&lt;2&gt;", "c": "3"})
        self.iam("DeletePolicy", PolicyArn=arn)
        self.iam("DeleteRole", RoleName="tagged")

    def test_a_role_is_updated(self):
        self.iam("CreateRole", RoleName="changed", AssumeRolePolicyDocument=OTHER, Description="old")
        self.iam("UpdateRole", RoleName="changed", Description="new", MaxSessionDuration="7200")
        role = self.iam("GetRole", RoleName="changed")
        self.assertEqual((texts(role, "Description"), texts(role, "MaxSessionDuration")), (["new"], ["7200"]))
        self.iam("DeleteRole", RoleName="changed")
        self.refused("NoSuchEntity", 404, "UpdateRole", RoleName="changed")
