"""Build caches in registries: what one engine has built, another does not build again."""
import base64
import json
import os

from harness.archives import entry, tar
from harness.engine import IMAGE, Engine, EngineCase
from harness.registry import FakeRegistry, digest_of, small_image

CACHE_CONFIG = "application/vnd.buildkit.cacheconfig.v0"
UUID = "cat /proc/sys/kernel/random/uuid"


class BuildCaches(EngineCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.other = Engine("other")
        try:
            cls.other.start()
            cls.other.load_base_image()
        except BaseException:
            cls.other.close()
            super().tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.other.close()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.only_berth("docker has no such route")
        self.registry = FakeRegistry()
        self.addCleanup(self.registry.close)
        self.ref = f"{self.registry.host}/cache:1"
        self.addCleanup(self.engine, "builder", "prune", "-af")
        self.addCleanup(self.other, "builder", "prune", "-af")

    def build(self, engine, dockerfile, files=(), query="", **preamble):
        """The events of a build."""
        context = tar([entry("Dockerfile", data=dockerfile.encode()), *(entry(name, data=data) for name, data in files)])
        answer = engine.api.post(f"/berth/build?t=cached{query}", json.dumps(preamble).encode() + b"\n" + context, timeout=120)
        self.assertEqual(answer.status, 200, str(answer))
        events = answer.json_lines()
        self.assertNotIn("error", events[-1], events)
        return events

    def leave(self, dockerfile, mode="max", **more):
        return self.build(self.engine, dockerfile, CacheTo=[{"ref": self.ref, "mode": mode}], **more)

    def take(self, dockerfile, **more):
        return self.build(self.other, dockerfile, CacheFrom=[{"ref": self.ref}], **more)

    @staticmethod
    def count(events, kind):
        return sum(event.get("event") == kind for event in events)

    @staticmethod
    def task(events, beginning):
        return next(event for event in events if event.get("event") == "task_done" and event["name"].startswith(beginning))

    def manifest(self):
        return json.loads(self.registry.manifests["cache", "1"][1])

    def test_another_engine_runs_no_step(self):
        dockerfile = (f"FROM {IMAGE} AS tools\nRUN {UUID} > /tool\nFROM {IMAGE}\nWORKDIR /here\nCOPY f /f\n"
                      f"COPY --from=tools /tool /tool\nRUN {UUID} > /made\nCMD cat /tool /made /f\n")
        files = [("f", b"from the context")]
        first = self.leave(dockerfile, files=files)
        self.assertEqual(self.count(first, "running"), 2)
        self.assertEqual(self.task(first, "exporting cache to registry")["reason"], "")
        manifest = self.manifest()
        self.assertEqual(manifest["config"]["mediaType"], CACHE_CONFIG)
        config = json.loads(self.registry.blobs[manifest["config"]["digest"]])
        self.assertEqual({layer["blob"] for layer in config["layers"]}, {layer["digest"] for layer in manifest["layers"]})
        second = self.take(dockerfile, files=files)
        self.assertEqual(self.task(second, "importing cache manifest")["reason"], "")
        self.assertEqual((self.count(second, "running"), self.count(second, "cached")), (0, 5))
        self.assertEqual(self.other.ok("run", "--rm", "cached").text, self.ok("run", "--rm", "cached").text)
        self.assertEqual(self.other.inspect("cached", "image")["Id"], self.engine.inspect("cached", "image")["Id"])
        # From now on the engine knows by itself.
        self.assertEqual(self.count(self.build(self.other, dockerfile, files=files), "running"), 0)

    def test_the_image_s_own_stage_alone(self):
        dockerfile = (f"FROM {IMAGE} AS tools\nRUN echo tool > /tool\nFROM {IMAGE}\n"
                      f"RUN --mount=type=bind,from=tools,source=/tool,target=/tool cat /tool; {UUID} > /made\n")
        self.leave(dockerfile, mode="min")
        second = self.take(dockerfile)
        self.assertEqual((self.count(second, "running"), self.count(second, "cached")), (1, 1))
        self.assertEqual(self.other.inspect("cached", "image")["Id"], self.engine.inspect("cached", "image")["Id"])

    def test_layers_come_when_a_step_wants_them(self):
        self.leave(f"FROM {IMAGE}\nRUN echo one > /one\nRUN {UUID} > /made\n")
        self.registry.forget()
        self.assertEqual(self.count(self.take(f"FROM {IMAGE}\nRUN echo two > /one\nRUN {UUID} > /made\n"), "running"), 2)
        config = self.manifest()["config"]["digest"]
        self.assertEqual(self.registry.asked("GET", "/blobs/"), [f"/v2/cache/blobs/{config}"])

    def test_no_cache_asks_nobody(self):
        dockerfile = f"FROM {IMAGE}\nRUN {UUID} > /made\n"
        self.leave(dockerfile)
        self.registry.forget()
        self.assertEqual(self.count(self.take(dockerfile, query="&nocache=1"), "running"), 1)
        self.assertEqual(self.registry.asked(), [])

    def test_a_cache_that_cannot_be_had_is_told_of(self):
        dockerfile = f"FROM {IMAGE}\nRUN {UUID} > /made\n"
        events = self.take(dockerfile)
        self.assertIn("not found", self.task(events, "importing cache manifest from " + self.ref)["reason"])
        self.assertEqual(self.count(events, "running"), 1)
        self.registry.add("cache", "1", small_image())
        events = self.build(self.other, dockerfile, CacheFrom=[{"ref": self.ref}])
        self.assertIn("no build cache", self.task(events, "importing cache manifest")["reason"])

    def change_config(self, change):
        """Has the cache's configuration be another, and all digests fit."""
        manifest = self.manifest()
        config = json.loads(self.registry.blobs[manifest["config"]["digest"]])
        change(config)
        data = json.dumps(config).encode()
        manifest["config"].update(digest=digest_of(data), size=len(data))
        self.registry.blobs[digest_of(data)] = data
        kind, _ = self.registry.manifests["cache", "1"]
        self.registry.manifests["cache", "1"] = (kind, json.dumps(manifest).encode())

    def test_configurations_that_lie(self):
        dockerfile = f"FROM {IMAGE}\nRUN echo one > /one\nRUN {UUID} > /made\n"
        self.leave(dockerfile)
        kept = dict(self.registry.manifests)

        def parents(config):
            for layer in config["layers"]:
                layer["parent"] = len(config["layers"]) - 1
        for change, words in ((parents, "no earlier layer"),
                              (lambda config: config["layers"][0].update(blob="sha256:" + "0" * 64), "has no layer"),
                              (lambda config: config.update(records=[{"digest": "x", "berth": {}}]), "digest")):
            self.registry.manifests.update(kept)
            self.change_config(change)
            events = self.take(dockerfile)
            self.assertIn(words, self.task(events, "importing cache manifest")["reason"])
            self.assertEqual(self.count(events, "running"), 2)
            self.other.ok("builder", "prune", "-af")
            self.other.ok("rmi", "-f", "cached")

    def test_layers_that_are_not_what_they_are_said_to_be(self):
        dockerfile = f"FROM {IMAGE}\nRUN {UUID} > /made\n"
        self.leave(dockerfile)
        last = self.manifest()["layers"][-1]["digest"]

        def other_content(config):
            for layer in config["layers"]:
                if layer["blob"] == last:
                    layer["annotations"]["diffID"] = "sha256:" + "1" * 64
        kept = dict(self.registry.manifests)
        self.change_config(other_content)
        self.assertEqual(self.count(self.take(dockerfile), "running"), 1)
        self.other.ok("builder", "prune", "-af")
        self.other.ok("rmi", "-f", "cached")
        self.registry.manifests.update(kept)
        self.registry.blobs[last] = b"x" * len(self.registry.blobs[last])
        self.assertEqual(self.count(self.take(dockerfile), "running"), 1)

    def test_an_export_that_fails_fails_the_build(self):
        body = json.dumps({"Dockerfile": f"FROM {IMAGE}\nRUN true\n", "Context": False,
                           "CacheTo": [{"ref": "127.0.0.1:1/cache:1"}]}).encode()
        events = self.engine.api.post("/berth/build", body + b"\n").json_lines()
        self.assertIn("exporting the build cache to 127.0.0.1:1/cache:1", events[-1]["error"])

    def test_what_is_malformed_is_refused(self):
        for caches in ({"CacheTo": [{"ref": self.ref, "mode": "most"}]}, {"CacheTo": [{"ref": "UPPER"}]}, {"CacheFrom": {}},
                       {"CacheTo": [{"ref": f"x@sha256:{'0' * 64}"}]}, {"CacheFrom": [{"ref": self.ref}] * 17},
                       {"CacheFrom": ["x"]}):
            answer = self.engine.api.post("/berth/build", json.dumps({"Context": False, **caches}).encode() + b"\n")
            self.assertEqual(answer.status, 400, str(answer))

    def test_a_token_that_nobody_was_given(self):
        digest = digest_of(b"x")
        for method, path in (("PUT", f"/blobs/{digest}"), ("GET", f"/blobs/{digest}"), ("DELETE", f"/blobs/{digest}"), ("DELETE", "")):
            answer = self.engine.api.request(method, f"/berth/build/{'0' * 32}{path}", b"x" if method == "PUT" else None)
            self.assertEqual(answer.status, 404, str(answer))

    # The command's own flags.

    STEPS = f"FROM {IMAGE} AS tools\nRUN echo tool > /tool\nFROM {IMAGE}\nCOPY --from=tools /tool /tool\nRUN {UUID} > /made\n"

    def folder_with(self, dockerfile):
        folder = self.folder()
        with open(os.path.join(folder, "Dockerfile"), "w") as file:
            file.write(dockerfile)
        return folder

    def command(self, engine, folder, *flags):
        return engine.ok("build", "-t", "cached", *flags, folder).out

    def assert_same_image(self):
        self.assertEqual(self.other.inspect("cached", "image")["Id"], self.engine.inspect("cached", "image")["Id"])

    def forget(self, engine):
        engine.ok("rmi", "-f", "cached")
        engine.ok("builder", "prune", "-af")

    def test_a_directory(self):
        folder, place = self.folder_with(self.STEPS), os.path.join(self.folder(), "new", "cache")
        to = ("--cache-to", f"type=local,dest={place},mode=max")
        told = self.command(self.engine, folder, *to)
        self.assertIn("exporting cache to client directory", told)
        with open(os.path.join(place, "index.json")) as file:
            index = json.load(file)
        self.assertEqual([entry["annotations"]["org.opencontainers.image.ref.name"] for entry in index["manifests"]], ["latest"])
        blobs = set(os.listdir(os.path.join(place, "blobs", "sha256")))
        for name in blobs:
            with open(os.path.join(place, "blobs", "sha256", name), "rb") as file:
                self.assertEqual(digest_of(file.read()), f"sha256:{name}")
        told = self.command(self.other, folder, "--cache-from", f"type=local,src={place}", *to)
        self.assertEqual(told.count("Using cache"), 3, told)
        self.assert_same_image()
        # Written again by an engine that has all of it, the directory has nothing new but what the same layers are called.
        self.assertEqual(set(os.listdir(os.path.join(place, "blobs", "sha256"))), blobs)

    def test_a_directory_that_lies(self):
        folder, place = self.folder_with(self.STEPS), self.folder()
        self.command(self.engine, folder, "--cache-to", f"type=local,dest={place},mode=min")
        with open(os.path.join(place, "index.json")) as file:
            manifest = json.load(file)["manifests"][0]["digest"][7:]
        blobs = os.path.join(place, "blobs", "sha256")
        with open(os.path.join(blobs, manifest)) as file:
            last = json.load(file)["layers"][-1]["digest"][7:]
        with open(os.path.join(blobs, last), "r+b") as file:
            file.write(b"other")
        flags = ("--cache-from", f"type=local,src={place}")
        told = self.command(self.other, folder, *flags)
        self.assertIn("importing cache manifest", told)
        self.assertNotEqual(self.other.inspect("cached", "image")["Id"], self.engine.inspect("cached", "image")["Id"])
        self.forget(self.other)
        os.unlink(os.path.join(blobs, last))
        self.command(self.other, folder, *flags)
        self.forget(self.other)
        with open(os.path.join(blobs, manifest), "w") as file:
            file.write("{}")
        for flag in (flags[1], f"type=local,src={place}/none", f"type=local,src={place},tag=none", f"type=local,src={place},digest=../x"):
            done = self.other("build", "-t", "cached", "--cache-from", flag, folder)
            self.assertEqual(done.code, 0, done)
            self.assertIn("is passed over", done.err)
            self.forget(self.other)

    def test_an_image_with_its_cache(self):
        folder, image = self.folder_with(self.STEPS), f"{self.registry.host}/app:1"
        for flags in (("--cache-to", "type=inline"), ("--build-arg", "BUILDKIT_INLINE_CACHE=1")):
            self.command(self.engine, folder, *flags)
            self.ok("tag", "cached", image)
            self.ok("push", image)
            config = json.loads(self.registry.blobs[json.loads(self.registry.manifests["app", "1"][1])["config"]["digest"]])
            self.assertIn("moby.buildkit.cache.v0", config)
            told = self.command(self.other, folder, "--cache-from", image, *flags)
            self.assertEqual(told.count("Using cache"), 2, told)  # of the image's own stage
            self.assert_same_image()
            self.ok("rmi", "-f", image)
            for engine in (self.engine, self.other):
                self.forget(engine)

    def test_an_image_that_lies_about_its_cache(self):
        folder, image = self.folder_with(self.STEPS), f"{self.registry.host}/app:1"
        self.command(self.engine, folder, "--cache-to", "type=inline")
        self.ok("tag", "cached", image)
        self.ok("push", image)
        self.ok("rmi", image)
        kind, text = self.registry.manifests["app", "1"]
        manifest = json.loads(text)
        config = json.loads(self.registry.blobs[manifest["config"]["digest"]])
        for lie in ("%%", base64.b64encode(b"{}").decode(), base64.b64encode(b'[{"digest": "x", "berth": {}}]').decode(), 7):
            config["moby.buildkit.cache.v0"] = lie
            data = json.dumps(config).encode()
            manifest["config"].update(digest=digest_of(data), size=len(data))
            self.registry.blobs[digest_of(data)] = data
            self.registry.manifests["app", "1"] = (kind, json.dumps(manifest).encode())
            told = self.command(self.other, folder, "--cache-from", image)
            self.assertEqual(told.count("Using cache"), 0, told)
            self.forget(self.other)

    def test_a_registry_by_the_command(self):
        folder = self.folder_with(self.STEPS)
        self.command(self.engine, folder, "--cache-to", f"type=registry,ref={self.ref},mode=max")
        told = self.command(self.other, folder, "--cache-from", f"type=registry,ref={self.ref}")
        self.assertEqual(told.count("Using cache"), 3, told)
        self.assert_same_image()

    def test_flags_that_are_none(self):
        folder = self.folder_with(self.STEPS)
        for flag, value, words in (("--cache-to", "type=gha", "type=gha is not supported"), ("--cache-to", "type=s3", "type=s3"),
                                   ("--cache-from", "type=azblob", "type=azblob"), ("--cache-to", "type=local", "needs dest="),
                                   ("--cache-from", "type=local", "needs src="), ("--cache-to", "type=registry", "needs ref="),
                                   ("--cache-to", "type=local,dest=x,mode=all", "min or max")):
            self.fails(125, "build", flag, value, folder, says=words)
