"""The signature policy: who must have signed what may be pulled."""
import json
import os
import unittest

from harness import archives, registry
from harness.engine import Engine, EngineCase
from harness.registry import FakeRegistry, small_image
from harness.served import MANIFEST, Registry
from harness.signing import Signature, Signer, payload


class PolicyCase(EngineCase):
    @classmethod
    def setUpClass(cls):
        if cls.against_docker:
            raise unittest.SkipTest("docker has no such policy")
        cls.engine = Engine(cls.__name__)
        cls.policy_path = os.path.join(cls.engine.folder, "policy.json")
        cls.engine.flags = ["--signature-policy", cls.policy_path]
        try:
            cls.write({"default": "accept"})
            cls.signer = Signer(cls.engine.folder, "team")
            cls.engine.start()
        except BaseException:
            cls.engine.close()
            raise

    def setUp(self):
        super().setUp()
        self.registry = FakeRegistry()
        self.addCleanup(self.registry.close)

    @classmethod
    def write(cls, policy):
        with open(cls.policy_path, "w") as file:
            file.write(policy if isinstance(policy, str) else json.dumps(policy))

    def require(self, *keys, **more):
        """Everything must be signed by one of these keys, which lie beside the policy."""
        keys = list(keys) or [os.path.basename(self.signer.public)]
        self.write({"default": "reject", "rules": [{"images": "*", "require": "signed", "keys": keys, **more}]})

    def image(self, repository="app", tag="1"):
        image = small_image(self._testMethodName + repository)
        name = self.registry.add(repository, tag, image)
        self.addCleanup(self.engine, "rmi", "-f", image.id)
        return name, image

    def signed(self, image, signer=None, reference=None, repository="app"):
        document = payload(reference or f"{self.registry.host}/{repository}", image.digest)
        return document, (signer or self.signer).sign(document)

    def sign(self, image, **more):
        Signature(self.signed(image, **more)).add_to(self.registry, more.get("repository", "app"), image.digest)

    def refused(self, name, *says):
        self.registry.forget()
        result = self.fails(1, "pull", name, says=["refused by the signature policy " + self.policy_path, *says])
        self.assertEqual(self.engine("image", "inspect", name).code, 1)
        return result


class Policy(PolicyCase):
    def test_a_signed_image_and_an_unsigned_one(self):
        self.require()
        name, image = self.image()
        self.refused(name, "must be signed by " + self.signer.public, "it has no signature", "cosign sign --key")
        self.assertFalse(self.registry.asked("GET", "/blobs/"), "nothing of a refused image is fetched")
        self.sign(image)
        self.ok("pull", name)
        self.assertEqual(self.ok("run", "--rm", name).text, self._testMethodName + "app")

    def test_every_kind_of_key(self):
        for kind in ("p256", "p384", "rsa", "ed25519"):
            with self.subTest(kind=kind):
                signer = Signer(self.engine.folder, kind, kind)
                self.require(signer.public)
                name, image = self.image(kind)
                self.sign(image, signer=signer, repository=kind)
                self.ok("pull", name)

    def test_one_of_several_keys_and_of_several_signatures(self):
        other = Signer(self.engine.folder, "other")
        self.require(self.signer.public, other.public)
        name, image = self.image()
        stranger = Signer(self.engine.folder, "stranger")
        Signature(self.signed(image, signer=stranger), self.signed(image, signer=other)).add_to(self.registry, "app", image.digest)
        self.ok("pull", name)

    def test_signatures_that_do_not_count(self):
        self.require()
        name, image = self.image()
        host = self.registry.host
        stranger = Signer(self.engine.folder, "stranger")
        document, good = self.signed(image)
        elsewhere = payload(f"{host}/app", "sha256:" + "0" * 64)
        renamed = payload(f"{host}/other", image.digest)
        tagged = payload(f"{host}/app:2", image.digest)
        kind = payload(f"{host}/app", image.digest, type="something else")
        sign = self.signer.sign
        for signed, says in (((document, stranger.sign(document)), "by another key"),
                             ((document, good[:-1] + bytes([good[-1] ^ 1])), "by another key"),
                             ((document.replace(b"app", b"axx"), good), "by another key"),
                             ((document, "no base64!"), "not base64"),
                             ((document, ""), "another key"),
                             ((elsewhere, sign(elsewhere)), "for another image"),
                             ((renamed, sign(renamed)), f'for "{host}/other"'),
                             ((tagged, sign(tagged)), f'for "{host}/app:2"'),
                             ((kind, sign(kind)), "of another type"),
                             ((b"{}", sign(b"{}")), "of another type"),
                             ((b"not json", sign(b"not json")), "1 signature was looked at")):
            with self.subTest(says=says):
                Signature(signed).add_to(self.registry, "app", image.digest)
                self.refused(name, says)

    def test_hostile_signature_manifests(self):
        self.require()
        name, image = self.image()
        tag = image.digest.replace(":", "-") + ".sig"
        document, good = self.signed(image)
        huge = b" " * (1 << 20) + document
        many = Signature(*[(document, "AAAA")] * 400, (document, good))
        for manifest, blobs in ((b"{}", {}), (b"[" * 50_000, {}), (b"\xff", {}),
                                (Signature((huge, self.signer.sign(huge))).manifest, {registry.digest_of(huge): huge}),
                                (many.manifest, many.blobs)):
            with self.subTest(manifest=manifest[:40]):
                self.registry.blobs.update(blobs)
                self.registry.manifests[("app", tag)] = (MANIFEST, manifest)
                self.refused(name)
        # The bytes of a document are those of its digest.
        swapped = Signature((document, good))
        swapped.add_to(self.registry, "app", image.digest)
        self.registry.blobs[registry.digest_of(document)] = document[:-1] + b" "
        self.refused(name, "cannot be had")

    def test_rules_in_their_order(self):
        host = self.registry.host
        self.write({"default": "reject", "rules": [
            {"images": f"{host}/open/*", "require": "accept"},
            {"images": f"{host}/closed/*", "require": "reject"},
            {"images": f"{host}/signed", "require": "signed", "keys": [self.signer.public]}]})
        for repository, says in (("open/deep/app", None), ("closed/app", f'"{host}/closed/*": reject'), ("signed", "must be signed"),
                                 ("signed-not", '"default": reject'), ("open", '"default": reject')):
            with self.subTest(repository=repository):
                name, _ = self.image(repository)
                if says:
                    self.refused(name, says)
                else:
                    self.ok("pull", name)

    def test_a_copy_with_its_signers_name(self):
        name, image = self.image()
        self.sign(image, reference="docker.io/team/original")
        self.require()
        self.refused(name, 'for "docker.io/team/original"')
        self.require(identity="team/original")
        self.ok("pull", name)

    def test_by_digest(self):
        self.require()
        _, image = self.image()
        name = f"{self.registry.host}/app@{image.digest}"
        self.refused(name, "it has no signature")
        self.sign(image, reference=f"{self.registry.host}/app:7")
        self.ok("pull", name)

    def test_an_index_and_one_image_of_it(self):
        self.require()
        ours, other = small_image("ours"), small_image("other", architecture="arm64")
        index = self.registry.add_index("many", "1", [other, ours])
        name = f"{self.registry.host}/many:1"
        self.addCleanup(self.engine, "rmi", "-f", name)
        self.refused(name, "it has no signature")
        document = payload(f"{self.registry.host}/many", ours.digest)
        Signature((document, self.signer.sign(document))).add_to(self.registry, "many", ours.digest)
        self.ok("pull", name)
        self.refused_platforms(name)
        document = payload(f"{self.registry.host}/many", index)
        Signature((document, self.signer.sign(document))).add_to(self.registry, "many", index)
        self.ok("pull", "--all-platforms", name)

    def refused_platforms(self, name):
        """Nobody has signed the whole."""
        self.fails(1, "pull", "--all-platforms", name, says="refused by the signature policy")

    def test_what_is_here_already_is_asked_about_again(self):
        self.write({"default": "accept"})
        name, image = self.image()
        self.ok("pull", name)
        self.require()
        self.fails(1, "pull", name, says="it has no signature")
        self.sign(image)
        self.ok("pull", name)

    def test_run_and_build_pull_by_the_same_rules(self):
        self.require()
        name, image = self.image()
        result = self.engine("run", "--rm", name)
        self.assertEqual(result.code, 125, str(result))
        self.assertIn("refused by the signature policy", result.err)
        folder = self.folder()
        archives.written(folder, "Dockerfile", f"FROM {name}\n".encode())
        self.fails(1, "build", folder, says="refused by the signature policy")
        self.sign(image)
        self.assertEqual(self.ok("run", "--rm", name).text, self._testMethodName + "app")

    def test_policies_that_are_not_understood_allow_nothing(self):
        name, _ = self.image()
        weak = Signer(self.engine.folder, "weak", "rsa1024")
        rule = {"images": "*", "require": "signed", "keys": [self.signer.public]}
        for policy, says in (("", "json"), ("[]", "expected an object"), ({}, "none of accept"), ({"default": "maybe"}, "none of accept"),
                             ({"default": "signed"}, "needs keys"), ({"default": "accept", "Rules": []}, 'unknown member "Rules"'),
                             ({"default": "accept", "rules": [{**rule, "key": "x"}]}, 'rule 1: unknown member "key"'),
                             ({"default": "accept", "rules": [{**rule, "keys": []}]}, 'needs "keys"'),
                             ({"default": "accept", "rules": [{"require": "accept"}]}, '"images" is missing'),
                             ({"default": "accept", "rules": [{**rule, "keys": ["/nonexistent"]}]}, "/nonexistent"),
                             ({"default": "accept", "rules": [{**rule, "keys": [weak.public]}]}, "less than 2048 bits"),
                             ({"default": "accept", "rules": [{**rule, "keys": [self.signer.key]}]}, "no PEM public key"),
                             ({"default": "accept", "rules": [{**rule, "identity": "a:1"}]}, "no repository's name")):
            with self.subTest(policy=policy):
                self.write(policy)
                self.fails(1, "pull", name, says=["signature policy", says])
        os.unlink(self.policy_path)
        self.fails(1, "pull", name, says=self.policy_path)

    def test_a_bad_policy_keeps_the_engine_from_starting(self):
        self.write({"default": "perhaps"})
        other = Engine("refused", flags=self.engine.flags)
        self.addCleanup(other.close)
        with self.assertRaisesRegex(AssertionError, "none of accept, reject, signed"):
            other.start()


class Served(PolicyCase):
    """Against the registry that berth serves, with referrers."""

    def test_by_tag_and_by_referrer(self):
        self.require()
        serving = Registry(self.engine, "--data-root", os.path.join(self.engine.folder, "own"))
        self.addCleanup(serving.close)
        for way in ("tag", "referrer"):
            with self.subTest(way=way):
                image = small_image(way)
                for blob in (*image.blobs.values(), image.config):
                    serving.push_blob(way, blob)
                self.assertEqual(serving.put_manifest(way, "1", image.manifest).status, 201)
                name = f"{serving.address}/{way}:1"
                self.addCleanup(self.engine, "rmi", "-f", name)
                self.refused(name, "it has no signature")
                document = payload(f"{serving.address}/{way}", image.digest)
                subject = {"mediaType": MANIFEST, "digest": image.digest, "size": len(image.manifest)}
                signature = Signature((document, self.signer.sign(document)), subject=subject if way == "referrer" else None)
                signature.push(serving, way, image.digest.replace(":", "-") + ".sig" if way == "tag" else signature.digest)
                self.ok("pull", name)
