"""Signatures of images in cosign's format, made with openssl."""
import base64
import json
import os
import subprocess

from .registry import OCI_CONFIG, OCI_MANIFEST, digest_of

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
ARTIFACT = "application/vnd.dev.cosign.artifact.sig.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"


def _openssl(*arguments, input=None):
    return subprocess.run(["openssl", *arguments], input=input, check=True, capture_output=True).stdout


class Signer:
    """A key pair of a kind ("p256", "p384", "rsa", "rsa1024", "ed25519") in files below `folder`."""

    def __init__(self, folder, name="key", kind="p256"):
        self.kind = kind
        self.key, self.public = os.path.join(folder, f"{name}.key"), os.path.join(folder, f"{name}.pub")
        algorithm = {"p256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "p384": ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
                     "rsa": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "rsa1024": ["RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
                     "ed25519": ["ED25519"]}[kind]
        _openssl("genpkey", "-algorithm", *algorithm, "-out", self.key)
        _openssl("pkey", "-in", self.key, "-pubout", "-out", self.public)

    def sign(self, payload):
        if self.kind == "ed25519":
            path = self.key + ".payload"
            with open(path, "wb") as file:
                file.write(payload)
            return _openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.key, "-in", path)
        return _openssl("dgst", "-sha256", "-sign", self.key, input=payload)


def payload(reference, digest, **more):
    """The signed document; `more` replaces its parts."""
    critical = {"identity": {"docker-reference": reference}, "image": {"docker-manifest-digest": digest},
                "type": "cosign container image signature", **more}
    return json.dumps({"critical": critical, "optional": None}).encode()


class Signature:
    """What cosign pushes for one or several signatures: a manifest whose layers are the signed documents."""

    def __init__(self, *signed, subject=None):
        """`signed` are pairs of a document and its signature (bytes or, as it stands, text)."""
        self.config = b'{"architecture":"","os":"","rootfs":{"type":"layers","diff_ids":[]}}'
        self.blobs = {digest_of(self.config): self.config}
        layers = []
        for document, signature in signed:
            self.blobs[digest_of(document)] = document
            text = signature if isinstance(signature, str) else base64.b64encode(signature).decode()
            layers.append({"mediaType": PAYLOAD, "digest": digest_of(document), "size": len(document),
                           "annotations": {SIGNATURE: text}})
        manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST,
                    "config": {"mediaType": OCI_CONFIG, "digest": digest_of(self.config), "size": len(self.config)},
                    "layers": layers}
        if subject:
            manifest.update(artifactType=ARTIFACT, subject=subject)
        self.manifest = json.dumps(manifest).encode()
        self.digest = digest_of(self.manifest)

    def add_to(self, registry, repository, digest):
        """Into a FakeRegistry, under the tag that stands for the signed digest."""
        registry.blobs.update(self.blobs)
        tag = digest.replace(":", "-") + ".sig"
        registry.manifests[(repository, tag)] = (OCI_MANIFEST, self.manifest)

    def push(self, registry, repository, reference):
        """To a served registry (harness.served)."""
        for blob in self.blobs.values():
            registry.push_blob(repository, blob)
        answer = registry.put_manifest(repository, reference, self.manifest)
        assert answer.status == 201, str(answer)
