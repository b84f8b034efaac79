"""`berth registry serve` on the wire: the distribution specification, hostile input, crashes, collection, access."""
import base64
import crypt
import json
import os
import threading
import unittest
import warnings

from harness.engine import Engine, EngineCase, eventually
from harness.served import DOCKER_MANIFEST, INDEX, MANIFEST, Certificates, Registry, digest_of, image_manifest

warnings.filterwarnings("ignore", category=DeprecationWarning)


class ServeCase(EngineCase):
    flags = ()

    @classmethod
    def setUpClass(cls):
        if cls.docker_command:
            raise unittest.SkipTest("docker has no registry command")
        cls.engine = Engine(cls.__name__)
        try:
            cls.engine.start()
            cls.registry = Registry(cls.engine, *cls.flags)
        except BaseException:
            cls.engine.close()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.registry.close()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.repo = "test/" + self._testMethodName[5:40].replace("_", "-").lower().strip("-")

    def other(self, *flags, **more):
        registry = Registry(self.engine, *flags, **more)
        self.addCleanup(registry.close)
        return registry

    def refused(self, answer, status, code=None):
        self.assertEqual(answer.status, status, str(answer))
        if code:
            self.assertEqual(answer.code, code, str(answer))


class Blobs(ServeCase):
    def test_root_and_unknown_paths(self):
        answer = self.registry.get("/v2/")
        self.assertEqual((answer.status, answer.headers["Docker-Distribution-Api-Version"]), (200, "registry/2.0"))
        for path in ("/", "/v1/", "/v2/x", "/token", "/v2/x/y/z"):
            self.assertEqual(self.registry.get(path).status, 404, path)
        self.refused(self.registry.request("POST", "/v2/"), 405, "UNSUPPORTED")

    def test_monolithic_streamed_and_chunked_push(self):
        data = os.urandom(3_000_000)
        digest = digest_of(data)
        one = self.registry.request("POST", f"/v2/{self.repo}/blobs/uploads/?digest={digest}", data)
        self.assertEqual((one.status, one.headers["Docker-Content-Digest"]), (201, digest))
        self.assertEqual(self.registry.get(one.headers["Location"]).body, data)

        data = os.urandom(1_000_000)
        location = self.registry.start_upload(self.repo)
        streamed = self.registry.request("PATCH", location, iter([data[:400_000], data[400_000:]]))  # chunked coding
        self.assertEqual((streamed.status, streamed.headers["Range"]), (202, f"0-{len(data) - 1}"), str(streamed))
        self.assertEqual(self.registry.finish(streamed.headers["Location"], digest_of(data)).status, 201)

        data = os.urandom(700_001)
        location = self.registry.start_upload(self.repo)
        for first in range(0, len(data), 300_000):
            piece = data[first:first + 300_000]
            answer = self.registry.request("PATCH", location, piece, {"Content-Range": f"{first}-{first + len(piece) - 1}"})
            self.assertEqual(answer.status, 202, str(answer))
            location = answer.headers["Location"]
        self.assertEqual(self.registry.get(location).headers["Range"], "0-700000")
        done = self.registry.finish(location, digest_of(data))
        self.assertEqual(done.status, 201)
        self.assertEqual(self.registry.get(done.headers["Location"]).body, data)
        self.refused(self.registry.get(location), 404, "BLOB_UPLOAD_UNKNOWN")

    def test_last_chunk_comes_with_the_put(self):
        data = os.urandom(5000)
        location = self.registry.start_upload(self.repo)
        location = self.registry.request("PATCH", location, data[:2000], {"Content-Range": "0-1999"}).headers["Location"]
        self.refused(self.registry.request("PUT", f"{location}?digest={digest_of(data)}", data[2000:],
                                           {"Content-Range": "2001-5000"}), 416)
        self.assertEqual(self.registry.finish(location, digest_of(data), data[2000:]).status, 201)

    def test_chunks_out_of_order_are_refused_and_resumed(self):
        data = os.urandom(1000)
        location = self.registry.start_upload(self.repo)
        self.refused(self.registry.request("PATCH", location, data[500:], {"Content-Range": "500-999"}), 416)
        self.registry.request("PATCH", location, data[:400], {"Content-Range": "0-399"})
        again = self.registry.request("PATCH", location, data[:400], {"Content-Range": "0-399"})
        self.refused(again, 416)
        self.assertEqual(again.headers["Range"], "0-399")
        for bad in ("400", "x-y", "999-400", "400-18446744073709551615", "-", "400-"):
            self.refused(self.registry.request("PATCH", location, data[400:], {"Content-Range": bad}), 400)
        self.refused(self.registry.request("PATCH", location, data[400:], {"Content-Range": "400-500"}), 400, "SIZE_INVALID")
        self.assertEqual(self.registry.get(location).headers["Range"], "0-399")
        self.registry.request("PATCH", location, data[400:], {"Content-Range": "400-999"})
        self.assertEqual(self.registry.finish(location, digest_of(data)).status, 201)

    def test_wrong_digest_leaves_nothing(self):
        location = self.registry.start_upload(self.repo)
        self.refused(self.registry.finish(location, digest_of(b"other"), b"data"), 400, "DIGEST_INVALID")
        self.refused(self.registry.head(f"/v2/{self.repo}/blobs/{digest_of(b'other')}"), 404)
        self.refused(self.registry.head(f"/v2/{self.repo}/blobs/{digest_of(b'data')}"), 404)

    def test_cancel(self):
        location = self.registry.start_upload(self.repo)
        self.assertEqual(self.registry.delete(location).status, 204)
        self.refused(self.registry.get(location), 404, "BLOB_UPLOAD_UNKNOWN")
        self.refused(self.registry.delete(location), 404, "BLOB_UPLOAD_UNKNOWN")

    def test_an_upload_belongs_to_its_repository(self):
        location = self.registry.start_upload(self.repo)
        self.refused(self.registry.get(location.replace(self.repo, self.repo + "/x")), 404, "BLOB_UPLOAD_UNKNOWN")
        for identity in ("0" * 32, "..", "x", "%2e%2e%2fblobs", "0" * 33, "A" * 32):
            self.refused(self.registry.get(f"/v2/{self.repo}/blobs/uploads/{identity}"), 404)

    def test_ranges_and_conditions(self):
        data = bytes(range(256)) * 40
        path = f"/v2/{self.repo}/blobs/{self.registry.push_blob(self.repo, data)}"
        part = self.registry.get(path, Range="bytes=10-19")
        self.assertEqual((part.status, part.body, part.headers["Content-Range"]), (206, data[10:20], "bytes 10-19/10240"))
        self.assertEqual(self.registry.get(path, Range="bytes=10230-").body, data[-10:])
        self.assertEqual(self.registry.get(path, Range="bytes=-5").body, data[-5:])
        self.assertEqual(self.registry.get(path, Range="bytes=10240-").status, 416)
        self.assertEqual(self.registry.get(path, Range="lines=1-2").status, 200)
        head = self.registry.head(path)
        self.assertEqual((head.status, head.headers["Content-Length"], head.body), (200, "10240", b""))
        self.assertEqual(self.registry.get(path, If_None_Match=head.headers["ETag"]).status, 304)

    def test_mount(self):
        data = os.urandom(100)
        digest = self.registry.push_blob(self.repo, data)
        target = f"{self.repo}-2"
        mounted = self.registry.request("POST", f"/v2/{target}/blobs/uploads/?mount={digest}&from={self.repo}")
        self.assertEqual((mounted.status, mounted.headers["Location"]), (201, f"/v2/{target}/blobs/{digest}"))
        self.assertEqual(self.registry.get(mounted.headers["Location"]).body, data)
        anywhere = self.registry.request("POST", f"/v2/{self.repo}-3/blobs/uploads/?mount={digest}")
        self.assertEqual(anywhere.status, 201)
        missing = self.registry.request("POST", f"/v2/{target}/blobs/uploads/?mount={digest_of(b'?')}&from={self.repo}")
        self.assertEqual(missing.status, 202)
        self.refused(self.registry.request("POST", f"/v2/{target}/blobs/uploads/?mount=sha256:x&from={self.repo}"), 400)
        self.refused(self.registry.request("POST", f"/v2/{target}/blobs/uploads/?mount={digest}&from=../x"), 400)

    def test_empty_and_sha512(self):
        self.assertEqual(self.registry.get(f"/v2/{self.repo}/blobs/{self.registry.push_blob(self.repo, b'')}").body, b"")
        digest = self.registry.push_blob(self.repo, b"long", "sha512")
        answer = self.registry.get(f"/v2/{self.repo}/blobs/{digest}")
        self.assertEqual((answer.body, answer.headers["Docker-Content-Digest"]), (b"long", digest))

    def test_cve_2024_3727_digest_strings(self):
        for digest in ("sha256:../../../etc/passwd", "sha256:" + "A" * 64, "sha256:" + "a" * 63, "sha1:" + "a" * 40,
                       "sha256:%2e%2e%2f" + "a" * 61, "sha256:" + "a" * 64 + "%00", "latest"):
            answer = self.registry.get(f"/v2/{self.repo}/blobs/{digest}")
            self.assertIn(answer.status, (400, 404), digest)
            self.refused(self.registry.finish(self.registry.start_upload(self.repo), digest.replace("%00", ""), b"x")
                         if "%" not in digest else answer, answer.status if "%" in digest else 400)

    def test_names_are_checked_first(self):
        for name in ("UPPER", "a..b", "-a", "a%20b", "a//b", "x" * 256, "%c3%a9", "a/../../b"):
            answer = self.registry.request("POST", f"/v2/{name}/blobs/uploads/")
            self.refused(answer, 400, "NAME_INVALID")

    def test_a_body_that_breaks_off_can_be_resumed(self):
        data = os.urandom(200_000)
        location = self.registry.start_upload(self.repo)
        with self.registry.raw() as connection:
            # As below: a question that comes first would have the upload to itself.
            connection.sendall(f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\nExpect: 100-continue\r\n\r\n".encode())
            self.assertIn(b"100 Continue", connection.recv(1024))
            connection.sendall(data[:150_000])
        def offset():
            answer = self.registry.get(location)
            return int(answer.headers["Range"].split("-")[1]) + 1 if answer.status == 204 else 0
        have = eventually(lambda: offset() == 150_000 and offset(), "what came is kept")
        answer = self.registry.request("PATCH", location, data[have:], {"Content-Range": f"{have}-{len(data) - 1}"})
        self.assertEqual(answer.status, 202, str(answer))
        self.assertEqual(self.registry.finish(location, digest_of(data)).status, 201)

    def test_one_request_at_a_time_works_on_an_upload(self):
        location = self.registry.start_upload(self.repo)
        with self.registry.raw() as connection:
            # The answer to Expect comes once the upload is this request's; a question before that would be in its way.
            connection.sendall(f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n".encode())
            self.assertIn(b"100 Continue", connection.recv(1024))
            connection.sendall(b"half")
            self.assertEqual(self.registry.get(location).status, 409)
            self.refused(self.registry.request("PATCH", location, b"x"), 409, "BLOB_UPLOAD_INVALID")


class Manifests(ServeCase):
    def test_push_and_pull_by_tag_and_digest(self):
        digest = self.registry.push_image(self.repo, "v1")
        for reference in ("v1", digest):
            answer = self.registry.get(f"/v2/{self.repo}/manifests/{reference}")
            self.assertEqual((answer.status, digest_of(answer.body)), (200, digest))
            self.assertEqual(answer.headers["Content-Type"], MANIFEST)
            self.assertEqual(answer.headers["Docker-Content-Digest"], digest)
            head = self.registry.head(f"/v2/{self.repo}/manifests/{reference}")
            self.assertEqual((head.status, head.headers["Content-Length"]), (200, str(len(answer.body))))
        self.refused(self.registry.get(f"/v2/{self.repo}/manifests/none"), 404, "MANIFEST_UNKNOWN")
        self.refused(self.registry.get(f"/v2/{self.repo}x/manifests/v1"), 404, "MANIFEST_UNKNOWN")

    def test_docker_types_lists_and_artifacts(self):
        data = b"{}"
        blob = self.registry.push_blob(self.repo, data)
        docker = image_manifest(blob, 2, blob, 2)
        docker["mediaType"] = DOCKER_MANIFEST
        self.assertEqual(self.registry.put_manifest(self.repo, "docker", docker, DOCKER_MANIFEST).status, 201)
        child = self.registry.get(f"/v2/{self.repo}/manifests/docker")
        list_type = "application/vnd.docker.distribution.manifest.list.v2+json"
        listing = {"schemaVersion": 2, "mediaType": list_type, "manifests": [
            {"mediaType": DOCKER_MANIFEST, "digest": digest_of(child.body), "size": len(child.body),
             "platform": {"os": "linux", "architecture": "amd64"}}]}
        self.assertEqual(self.registry.put_manifest(self.repo, "list", listing, list_type).status, 201)
        self.assertEqual(self.registry.get(f"/v2/{self.repo}/manifests/list").headers["Content-Type"], list_type)
        artifact = image_manifest(blob, 2, blob, 2)
        artifact["artifactType"] = "application/vnd.example.sbom"
        artifact["config"]["mediaType"] = "application/vnd.oci.empty.v1+json"
        self.assertEqual(self.registry.put_manifest(self.repo, "artifact", artifact).status, 201)

    def test_what_a_manifest_names_must_be_there(self):
        data = b"there"
        there = self.registry.push_blob(self.repo, data)
        missing = digest_of(b"missing")
        self.refused(self.registry.put_manifest(self.repo, "a", image_manifest(there, 5, missing, 7)), 404, "MANIFEST_BLOB_UNKNOWN")
        self.refused(self.registry.put_manifest(self.repo, "a", image_manifest(there, 4, there, 5)), 400, "MANIFEST_INVALID")
        # Another repository's blob is not this one's.
        self.registry.push_blob(self.repo + "/x", b"elsewhere")
        self.refused(self.registry.put_manifest(self.repo, "a", image_manifest(there, 5, digest_of(b"elsewhere"), 9)), 404)
        foreign = image_manifest(there, 5, missing, 7)
        foreign["layers"][0]["urls"] = ["https://example.invalid/layer"]
        self.assertEqual(self.registry.put_manifest(self.repo, "foreign", foreign).status, 201)
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"mediaType": MANIFEST, "digest": missing, "size": 7}]}
        self.refused(self.registry.put_manifest(self.repo, "i", index, INDEX), 404, "MANIFEST_BLOB_UNKNOWN")

    def test_cve_2021_41190_manifest_confusion(self):
        blob = self.registry.push_blob(self.repo, b"{}")
        both = {**image_manifest(blob, 2, blob, 2), "manifests": []}
        del both["mediaType"]
        for media_type in (MANIFEST, INDEX, DOCKER_MANIFEST):
            self.refused(self.registry.put_manifest(self.repo, "x", both, media_type), 400, "MANIFEST_INVALID")
        self.refused(self.registry.put_manifest(self.repo, "x", image_manifest(blob, 2, blob, 2), INDEX), 400, "MANIFEST_INVALID")
        self.refused(self.registry.put_manifest(self.repo, "x", {"schemaVersion": 2, "mediaType": INDEX, "manifests": []},
                                                MANIFEST), 400, "MANIFEST_INVALID")

    def test_hostile_manifests(self):
        for body in (b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"schemaVersion":1,"fsLayers":[]}', b"[" * 100_000):
            self.refused(self.registry.put_manifest(self.repo, "x", body), 400, "MANIFEST_INVALID")
        self.refused(self.registry.put_manifest(self.repo, "bad tag".replace(" ", "%20"), b"{}"), 400)
        self.refused(self.registry.put_manifest(self.repo, "x" * 129, b"{}"), 400)
        self.refused(self.registry.put_manifest(self.repo, digest_of(b"other"),
                     json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode(), INDEX), 400, "DIGEST_INVALID")

    def test_cve_2017_11468_manifest_body_is_bounded(self):
        with self.registry.raw() as connection:
            connection.sendall(f"PUT /v2/{self.repo}/manifests/x HTTP/1.1\r\nHost: x\r\n"
                               f"Content-Length: {100 << 20}\r\n\r\n".encode())
            self.assertIn(b" 413 ", connection.recv(200))
        with self.registry.raw() as connection:  # of a length that is not told
            connection.sendall(f"PUT /v2/{self.repo}/manifests/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            piece = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
            try:
                for _ in range(5):
                    connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                pass
            self.assertIn(b" 413 ", connection.recv(200))
        blob = self.registry.push_blob(self.repo, b"{}")
        large = image_manifest(blob, 2, blob, 2)
        large["annotations"] = {"a": "x" * 4_000_000}
        self.assertEqual(self.registry.put_manifest(self.repo, "large", large).status, 201)

    def test_cve_2023_2253_pages_are_bounded(self):
        self.registry.push_image(self.repo, "v1")
        for n in ("1000000000000", "-1", "x", "99999999999999999999999999"):
            self.refused(self.registry.get(f"/v2/_catalog?n={n}"), 400, "PAGINATION_NUMBER_INVALID")
            self.refused(self.registry.get(f"/v2/{self.repo}/tags/list?n={n}"), 400, "PAGINATION_NUMBER_INVALID")

    def test_tags_are_listed_in_pages(self):
        digest = self.registry.push_image(self.repo, "base")
        body = self.registry.get(f"/v2/{self.repo}/manifests/base").body
        for tag in ("b", "a", "C", "d.1", "_x"):
            self.registry.put_manifest(self.repo, tag, body)
        everything = sorted(["base", "b", "a", "C", "d.1", "_x"])
        path, seen = f"/v2/{self.repo}/tags/list?n=4", []
        while path:
            answer = self.registry.get(path)
            seen += answer.json()["tags"]
            link = answer.headers.get("Link")
            path = link[1:link.index(">")] if link else None
        self.assertEqual(seen, everything)
        self.assertEqual(self.registry.get(f"/v2/{self.repo}/tags/list").json(), {"name": self.repo, "tags": everything})
        self.assertEqual(self.registry.get(f"/v2/{self.repo}/tags/list?n=0").json()["tags"], [])
        self.assertEqual(self.registry.get(f"/v2/{self.repo}/tags/list?last=base").json()["tags"], ["d.1"])
        self.refused(self.registry.get("/v2/no/such/tags/list"), 404, "NAME_UNKNOWN")
        several = self.registry.request("PUT", f"/v2/{self.repo}/manifests/{digest}?tag=p1&tag=p2", body, {"Content-Type": MANIFEST})
        self.assertEqual((several.status, several.headers.get_all("OCI-Tag")), (201, ["p1", "p2"]))
        self.assertIn(self.repo, self.registry.get("/v2/_catalog").json()["repositories"])
        self.assertIn(self.repo, self.engine.ok("registry", "ls", "-q").lines)

    def test_referrers(self):
        subject = self.registry.push_image(self.repo, "v1")
        empty = self.registry.get(f"/v2/{self.repo}/referrers/{subject}")
        self.assertEqual((empty.status, empty.headers["Content-Type"], empty.json()["manifests"]), (200, INDEX, []))
        size = len(self.registry.get(f"/v2/{self.repo}/manifests/v1").body)
        blob = self.registry.push_blob(self.repo, b"{}")
        digests = {}
        for kind in ("application/x.sbom", "application/x.signature"):
            manifest = image_manifest(blob, 2, blob, 2)
            manifest.update(artifactType=kind, annotations={"of": kind},
                            subject={"mediaType": MANIFEST, "digest": subject, "size": size})
            body = json.dumps(manifest).encode()
            answer = self.registry.put_manifest(self.repo, digest_of(body), body)
            self.assertEqual((answer.status, answer.headers["OCI-Subject"]), (201, subject), str(answer))
            digests[kind] = digest_of(body)
        found = self.registry.get(f"/v2/{self.repo}/referrers/{subject}").json()["manifests"]
        self.assertEqual({one["artifactType"]: one["digest"] for one in found}, digests)
        self.assertEqual(found[0]["annotations"], {"of": found[0]["artifactType"]})
        some = self.registry.get(f"/v2/{self.repo}/referrers/{subject}?artifactType=application/x.sbom")
        self.assertEqual(some.headers["OCI-Filters-Applied"], "artifactType")
        self.assertEqual([one["digest"] for one in some.json()["manifests"]], [digests["application/x.sbom"]])
        self.registry.delete(f"/v2/{self.repo}/manifests/{digests['application/x.sbom']}")
        self.assertEqual(len(self.registry.get(f"/v2/{self.repo}/referrers/{subject}").json()["manifests"]), 1)
        self.refused(self.registry.get(f"/v2/{self.repo}/referrers/sha256:x"), 400)

    def test_delete(self):
        digest = self.registry.push_image(self.repo, "v1", layer=b"kept")
        body = self.registry.get(f"/v2/{self.repo}/manifests/v1").body
        self.registry.put_manifest(self.repo, "v2", body)
        self.assertEqual(self.registry.delete(f"/v2/{self.repo}/manifests/v1").status, 202)
        self.refused(self.registry.get(f"/v2/{self.repo}/manifests/v1"), 404)
        self.assertEqual(self.registry.get(f"/v2/{self.repo}/manifests/{digest}").status, 200)
        self.assertEqual(self.registry.delete(f"/v2/{self.repo}/manifests/{digest}").status, 202)
        self.refused(self.registry.get(f"/v2/{self.repo}/manifests/v2"), 404)
        self.refused(self.registry.delete(f"/v2/{self.repo}/manifests/{digest}"), 404, "MANIFEST_UNKNOWN")

    def test_cve_2026_35172_a_deleted_blob_is_gone(self):
        digest = self.registry.push_blob(self.repo, b"secret")
        self.registry.push_blob(self.repo + "/other", b"secret")
        path = f"/v2/{self.repo}/blobs/{digest}"
        self.assertEqual(self.registry.get(path).status, 200)
        self.assertEqual(self.registry.delete(path).status, 202)
        self.refused(self.registry.get(path), 404, "BLOB_UNKNOWN")
        self.refused(self.registry.head(path), 404)
        self.refused(self.registry.delete(path), 404, "BLOB_UNKNOWN")
        self.assertEqual(self.registry.get(f"/v2/{self.repo}/other/blobs/{digest}").status, 200)

    def test_cve_2026_41888_no_deletion_where_it_is_disabled(self):
        digest = self.registry.push_image(self.repo, "v1", layer=b"stays")
        for flags in (["--delete=false"], ["--readonly"]):
            guarded = self.other(*flags)
            for path in ("manifests/v1", f"manifests/{digest}", f"blobs/{digest_of(b'stays')}"):
                self.refused(guarded.delete(f"/v2/{self.repo}/{path}"), 405, "UNSUPPORTED")
            self.assertEqual(guarded.get(f"/v2/{self.repo}/manifests/v1").status, 200)


class Life(ServeCase):
    def test_readonly(self):
        digest = self.registry.push_blob(self.repo, b"x")
        reading = self.other("--readonly")
        self.assertEqual(reading.get(f"/v2/{self.repo}/blobs/{digest}").body, b"x")
        self.refused(reading.request("POST", f"/v2/{self.repo}/blobs/uploads/"), 405, "UNSUPPORTED")
        self.refused(reading.request("POST", f"/v2/{self.repo}2/blobs/uploads/?mount={digest}&from={self.repo}"), 405)
        self.refused(reading.put_manifest(self.repo, "x", b"{}"), 405, "UNSUPPORTED")

    def test_quota_and_largest_blob(self):
        limited = self.other("--quota", "10k", "--max-blob-size", "8k")
        limited.push_blob(self.repo, os.urandom(6000))
        self.refused(limited.finish(limited.start_upload(self.repo), digest_of(b"a" * 9000), b"a" * 9000), 413, "DENIED")
        location = limited.start_upload(self.repo)
        self.refused(limited.request("PATCH", location, iter([b"a" * 3000, b"a" * 2000])), 413, "DENIED")
        limited.push_blob(self.repo, b"b" * 4000)
        self.refused(limited.put_manifest(self.repo, "x", {"schemaVersion": 2, "mediaType": INDEX, "manifests": [],
                                                           "annotations": {"a": "b" * 400}}, INDEX), 413, "DENIED")
        limited.push_blob(self.repo + "/other", os.urandom(6000))

    def test_images_and_repositories_share_their_blobs(self):
        """A pushed blob is the file that the image's store has, and neither's removal takes it from the other."""
        data = os.urandom(50_000)
        digest = self.registry.push_blob(self.repo, data)
        path = os.path.join(self.engine.data, "content", "blobs", "sha256", digest[7:])
        inode = os.stat(path).st_ino
        self.registry.push_blob(self.repo + "/again", data)
        self.assertEqual(os.stat(path).st_ino, inode)
        self.engine.ok("image", "prune", "-a", "-f")
        self.assertEqual(self.registry.get(f"/v2/{self.repo}/blobs/{digest}").body, data)
        self.registry.delete(f"/v2/{self.repo}/blobs/{digest}")
        self.engine.ok("registry", "gc")
        self.assertTrue(os.path.exists(path))
        self.registry.delete(f"/v2/{self.repo}/again/blobs/{digest}")
        self.engine.ok("registry", "gc")
        self.assertFalse(os.path.exists(path))

    def test_gc(self):
        kept = self.registry.push_image(self.repo, "v1", layer=os.urandom(1000))
        untagged = self.registry.push_image(self.repo, "v2", layer=os.urandom(1000))
        loose = self.registry.push_blob(self.repo, os.urandom(1000))
        self.registry.delete(f"/v2/{self.repo}/manifests/v2")
        self.engine.ok("registry", "gc")  # everything is fresh
        self.assertEqual(self.registry.head(f"/v2/{self.repo}/blobs/{loose}").status, 200)
        self.engine.ok("registry", "gc", "--grace", "0s")
        self.assertEqual(self.registry.head(f"/v2/{self.repo}/blobs/{loose}").status, 404)
        self.assertEqual(self.registry.get(f"/v2/{self.repo}/manifests/{untagged}").status, 200)
        self.engine.ok("registry", "gc", "--grace", "0s", "--untagged")
        self.assertEqual(self.registry.get(f"/v2/{self.repo}/manifests/{untagged}").status, 404)
        manifest = self.registry.get(f"/v2/{self.repo}/manifests/{kept}").json()
        for part in (manifest["config"], *manifest["layers"]):
            self.assertEqual(self.registry.head(f"/v2/{self.repo}/blobs/{part['digest']}").status, 200)

    def test_gc_while_pushes_run(self):
        done = threading.Event()
        failures = []

        def push(number):
            try:
                for round_number in range(8):
                    name = f"{self.repo}/{number}"
                    layer = os.urandom(20_000)
                    self.registry.push_image(name, f"r{round_number}", layer=layer)
                    answer = self.registry.get(f"/v2/{name}/blobs/{digest_of(layer)}")
                    if answer.body != layer:
                        failures.append(str(answer))
            except Exception as error:  # noqa: BLE001: told below
                failures.append(repr(error))

        def collect():
            while not done.is_set():
                result = self.engine("registry", "gc", "--untagged")
                if result.code != 0:
                    failures.append(str(result))

        pushers = [threading.Thread(target=push, args=(number,)) for number in range(3)]
        collector = threading.Thread(target=collect)
        for thread in (*pushers, collector):
            thread.start()
        for thread in pushers:
            thread.join()
        done.set()
        collector.join()
        self.assertEqual(failures, [])

    def test_a_store_of_its_own(self):
        root = os.path.join(self.folder(), "own")
        own = self.other("--data-root", root)
        digest = own.push_blob(self.repo, b"apart")
        self.refused(self.registry.head(f"/v2/{self.repo}/blobs/{digest}"), 404)
        self.assertEqual(self.engine.ok("registry", "ls", "-q", "--data-root", root).lines, [self.repo])
        own.delete(f"/v2/{self.repo}/blobs/{digest}")
        self.engine.ok("registry", "gc", "--data-root", root)
        self.assertFalse(os.path.exists(os.path.join(root, "content/blobs/sha256", digest[7:])))
        self.fails(1, "registry", "serve", "--addr", "127.0.0.1:0", "--data-root", self.engine.data, says="data root of an engine")

    def test_interrupt_ends_it_and_the_log_tells(self):
        registry = Registry(self.engine)
        registry.get("/v2/%22evil%0a/tags/list")
        line = registry.log.until("tags/list")
        self.assertIn("400", line)
        registry.close()
        def refused():
            try:
                registry.get("/v2/")
            except OSError:
                return True
        eventually(refused, "nobody listens any more")

    def test_bad_arguments(self):
        for flags, says in ((["--addr", "nowhere"], "invalid address"), (["--addr", "127.0.0.1:99999"], "invalid address"),
                            (["--htpasswd", "/nonexistent"], "no such file"), (["--token"], "needs users"),
                            (["--token-realm", "http://x"], "its key"), (["--proxy", "ftp://x"], "invalid registry"),
                            (["--data-root", "relative"], "absolute")):
            self.fails(1, "registry", "serve", *flags, says=says)
        self.fails(1, "registry", "serve", "--addr", self.registry.address, says="in use")

    def test_pull_through_cache(self):
        layer = os.urandom(30_000)
        digest = self.registry.push_image(self.repo, "v1", layer=layer)
        root = os.path.join(self.folder(), "cache")
        origin = self.other()
        cache = self.other("--proxy", f"http://{origin.address}", "--data-root", root)
        first = cache.get(f"/v2/{self.repo}/manifests/v1")
        self.assertEqual((first.status, digest_of(first.body)), (200, digest), str(first))
        self.assertEqual(cache.get(f"/v2/{self.repo}/blobs/{digest_of(layer)}").body, layer)
        self.refused(cache.get(f"/v2/{self.repo}/manifests/none"), 404, "MANIFEST_UNKNOWN")
        self.refused(cache.get(f"/v2/{self.repo}/blobs/{digest_of(b'none')}"), 404, "BLOB_UNKNOWN")
        self.refused(cache.request("POST", f"/v2/{self.repo}/blobs/uploads/"), 405)
        moved = self.registry.push_image(self.repo, "v1", layer=b"new")
        self.assertEqual(digest_of(cache.get(f"/v2/{self.repo}/manifests/v1").body), moved)
        origin.close()  # what is here has to do
        self.assertEqual(digest_of(cache.get(f"/v2/{self.repo}/manifests/v1").body), moved)
        self.assertEqual(cache.get(f"/v2/{self.repo}/blobs/{digest_of(layer)}").body, layer)


class Crashes(ServeCase):
    def test_kill_9_during_an_upload_and_resume(self):
        """The upload goes on where its bytes end, and what was pushed before is whole."""
        for share in (0.2, 0.7):
            data = os.urandom(2_000_000)
            before = os.urandom(10_000)
            registry = Registry(self.engine)
            whole = registry.push_blob(self.repo, before)
            location = registry.start_upload(self.repo)
            sent = int(len(data) * share)
            with registry.raw() as connection:
                connection.sendall(f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode()
                                   + data[:sent])
                eventually(lambda: os.path.getsize(self.upload_file(location)) > 0, "bytes have arrived")
                self.engine.kill()
            registry.close()
            self.engine.start()
            registry = Registry(self.engine)
            self.assertEqual(registry.get(f"/v2/{self.repo}/blobs/{whole}").body, before)
            state = registry.get(location)
            self.assertEqual(state.status, 204, str(state))
            have = int(state.headers["Range"].split("-")[1]) + 1
            self.assertLessEqual(have, sent)
            self.refused(registry.head(f"/v2/{self.repo}/blobs/{digest_of(data)}"), 404)
            rest = registry.request("PATCH", location, data[have:], {"Content-Range": f"{have}-{len(data) - 1}"})
            self.assertEqual(rest.status, 202, str(rest))
            self.assertEqual(registry.finish(location, digest_of(data)).status, 201)
            self.assertEqual(registry.get(f"/v2/{self.repo}/blobs/{digest_of(data)}").body, data)
            registry.close()
        # setUpClass's registry ended with its engine.
        type(self).registry.close()
        type(self).registry = Registry(self.engine)

    def upload_file(self, location):
        return os.path.join(self.engine.data, "content", "uploads", location.rsplit("/", 1)[1])

    def test_random_kills_leave_no_lie(self):
        """Pushes under kill -9: every blob that the registry admits to has the bytes of its name."""
        for _ in range(4):
            registry = Registry(self.engine)
            begun = threading.Event()

            def push():
                try:
                    while True:
                        registry.push_blob(self.repo, os.urandom(300_000))
                        begun.set()
                except (OSError, AssertionError, ValueError, KeyError, TypeError):
                    begun.set()

            threads = [threading.Thread(target=push) for _ in range(2)]
            for thread in threads:
                thread.start()
            begun.wait(30)
            self.engine.kill()
            for thread in threads:
                thread.join()
            registry.close()
            self.engine.start()
        type(self).registry.close()
        type(self).registry = Registry(self.engine)
        folder = os.path.join(self.engine.data, "content", "blobs", "sha256")
        names = os.listdir(folder)
        self.assertTrue(names)
        for name in names:
            with open(os.path.join(folder, name), "rb") as blob:
                data = blob.read()
            self.assertEqual(digest_of(data), f"sha256:{name}")


class Access(ServeCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.users = os.path.join(cls.engine.folder, "htpasswd")
        with open(cls.users, "w") as file:
            file.write("ann:" + crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=1 << 4)) + "\n")
        cls.basic = {"Authorization": "Basic " + base64.b64encode(b"ann:secret").decode()}

    def test_htpasswd(self):
        guarded = self.other("--htpasswd", self.users)
        answer = guarded.get("/v2/")
        self.refused(answer, 401, "UNAUTHORIZED")
        self.assertIn("Basic realm=", answer.headers["WWW-Authenticate"])
        self.assertEqual(guarded.request("GET", "/v2/", headers=self.basic).status, 200)
        for wrong in ("ann:Secret", "bob:secret", "ann:", ":", "ann:secret\0"):
            header = {"Authorization": "Basic " + base64.b64encode(wrong.encode()).decode()}
            self.refused(guarded.request("GET", "/v2/", headers=header), 401)
        for target in ("/v2/_catalog", "/v2/a/tags/list", "/v2/x/y/z", "/v2/UPPER/tags/list"):
            self.refused(guarded.get(target), 401)
        self.refused(guarded.request("POST", "/v2/a/blobs/uploads/"), 401)

    def test_plain_passwords_are_refused(self):
        path = os.path.join(self.folder(), "plain")
        for line in ("ann:secret", "ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "ann:$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00"):
            with open(path, "w") as file:
                file.write(line + "\n")
            self.fails(1, "registry", "serve", "--addr", "127.0.0.1:0", "--htpasswd", path, says="bcrypt")

    def token(self, registry, *scopes, headers=None):
        query = "&".join(["service=berth-registry", *(f"scope={scope}" for scope in scopes)])
        return registry.request("GET", f"/token?{query}", headers=self.basic if headers is None else headers)

    def test_tokens(self):
        guarded = self.other("--htpasswd", self.users, "--token")
        challenge = guarded.get(f"/v2/{self.repo}/tags/list")
        self.refused(challenge, 401, "UNAUTHORIZED")
        self.assertEqual(challenge.headers["WWW-Authenticate"],
                         f'Bearer realm="http://{guarded.address}/token",service="berth-registry",'
                         f'scope="repository:{self.repo}:pull"')
        self.refused(self.token(guarded, headers={}), 401)
        granted = self.token(guarded, f"repository:{self.repo}:pull,push")
        self.assertEqual(granted.status, 200, str(granted))
        bearer = {"Authorization": "Bearer " + granted.json()["token"]}
        start = guarded.request("POST", f"/v2/{self.repo}/blobs/uploads/", headers=bearer)
        self.assertEqual(start.status, 202, str(start))
        for method, target in (("DELETE", f"/v2/{self.repo}/manifests/x"), ("GET", "/v2/other/tags/list"),
                               ("POST", f"/v2/{self.repo}/blobs/uploads/?mount={digest_of(b'')}&from=other"),
                               ("GET", "/v2/_catalog")):
            answer = guarded.request(method, target, headers=bearer)
            self.refused(answer, 401, "DENIED")
            self.assertIn("insufficient_scope", answer.headers["WWW-Authenticate"])
        for wrong in ("Bearer x", "Bearer a.b.c", bearer["Authorization"][:-3] + "AAA", self.basic["Authorization"]):
            self.refused(guarded.request("GET", f"/v2/{self.repo}/tags/list", headers={"Authorization": wrong}), 401)

    def test_tls(self):
        certificates = Certificates(self.folder())
        cert, key = certificates.sign("server")
        served = self.other("--tls-cert", cert, "--tls-key", key, ca=certificates.ca)
        self.assertEqual(served.scheme, "https")
        data = os.urandom(2_500_000)
        digest = served.push_blob(self.repo, data)
        self.assertEqual(served.get(f"/v2/{self.repo}/blobs/{digest}").body, data)
        with served.raw() as connection:  # no TLS at all
            connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
            try:
                self.assertNotIn(b"200 OK", connection.recv(1000))
            except ConnectionResetError:
                pass
        self.fails(1, "registry", "serve", "--addr", "127.0.0.1:0", "--tls-cert", cert, says="both a certificate and its key")
        self.fails(1, "registry", "serve", "--addr", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", cert, says="private key")
