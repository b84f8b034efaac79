"""docker's classic builder (POST /build, version 1) and old archives, as moby's own tests have them: images of steps,
containers that builds leave behind, and what the builder judges otherwise than BuildKit."""
import hashlib
import io
import json
import re
import tarfile
import urllib.parse

from harness import archives
from harness.engine import IMAGE, EngineCase
from harness.registry import FakeRegistry, small_image


class BuildCase(EngineCase):
    def build(self, dockerfile, tag="", files=(), names=(), **parameters):
        """POST /build; the answer's messages. `names`: further entries of the context, by their exact names."""
        entries = [archives.entry("Dockerfile", data=dockerfile.encode())]
        entries += [archives.entry(name, data=data) for name, data in files]
        context = raw_tar(entries, names)
        query = urllib.parse.urlencode({**({"t": tag} if tag else {}), **parameters})
        answer = self.engine.api.post(f"/build?{query}", context, headers={"Content-Type": "application/x-tar"}, timeout=300)
        self.build_status = answer.status
        if tag:
            self.addCleanup(self.engine, "rmi", "-f", tag)
        return answer.json_lines()

    def text(self, messages):
        return "".join(message.get("stream", "") for message in messages)

    def error_of(self, messages):
        found = [message.get("error") or message.get("message") for message in messages]
        found = [error for error in found if error]
        self.assertTrue(found, f"no error in {messages}")
        return found[0]

    def steps(self, messages):
        """The short ids that the steps have told, in order."""
        lines = [line[len(" ---> "):] for line in self.text(messages).splitlines() if line.startswith(" ---> ")]
        return [line for line in lines if len(line) == 12 and not line.startswith("Running")]

    def images(self, everything=False):
        return [image["Id"] for image in self.engine.api.get("/images/json" + ("?all=1" if everything else "")).json()]

    def image(self, reference):
        return self.engine.api.get(f"/images/{reference}/json").json()

    def forget(self, *containers):
        for container in containers:
            self.engine.api.delete(f"/containers/{container}?force=1")

    def ran_in(self, messages):
        marks = [line for line in self.text(messages).splitlines() if line.startswith(" ---> Running in ")]
        return [line.split()[-1] for line in marks]


def raw_tar(entries, names):
    """A tar that also has entries with names that Python would clean."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for info, data in [*entries, *[archives.entry(name, data=data) for name, data in names]]:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


class StepImages(BuildCase):
    def test_no_limits_in_the_words_of_older_clients(self):
        messages = self.build(f"FROM {IMAGE}\nENV ONE=1\n", f"{self.name()}-unlimited:1", ulimits="null", buildargs="null",
                              labels="null", cachefrom="null")
        self.assertEqual(self.build_status, 200, messages)
        self.assertIn("Successfully built", self.text(messages))

    def test_the_images_of_steps_are_counted(self):
        self.build(f"FROM {IMAGE}\nENV ONE=1\nENV TWO=2\n", f"{self.name()}-steps:1")
        everything = set(self.images(everything=True))
        self.assertGreater(len(everything), len(self.images()))
        self.assertEqual(self.engine.api.get("/info").json()["Images"], len(everything))

    def test_every_step_leaves_an_image(self):
        tag = f"{self.name()}:1"
        messages = self.build(f"FROM {IMAGE}\nENV one={self.name()}\nRUN echo two > /two\nLABEL three=3\n", tag)
        base, first, second, last = self.steps(messages)
        self.assertTrue(self.image(IMAGE)["Id"].startswith(f"sha256:{base}"))
        self.assertEqual(self.image(tag)["Id"][7:19], last)
        chain = [self.image(step)["Parent"][7:19] for step in (last, second, first)]
        self.assertEqual(chain, [second, first, base], "each stands on the one before")
        self.assertEqual(self.image(second)["Config"].get("Labels") or {}, {})
        self.assertEqual(self.run_sh("cat /two", image=second).text, "two", "an image like any other")
        shown, hidden = self.images(), self.images(everything=True)
        self.assertFalse({image[7:19] for image in shown} & {first, second}, "not among images unless all are wanted")
        self.assertTrue({first, second} <= {image[7:19] for image in hidden})
        history = self.engine.api.get(f"/images/{tag}/history").json()
        self.assertEqual([item["Id"][7:19] for item in history[:3]], [last, second, first])

    def test_they_go_with_the_image(self):
        tag = f"{self.name()}:1"
        messages = self.build(f"FROM {IMAGE}\nENV gone={self.name()}\nRUN echo {tag} > /x\n", tag)
        steps = self.steps(messages)[1:]
        self.assertNotEqual(self.engine("rmi", "-f", steps[0]).code, 0, "others stand on it")
        self.ok("rmi", tag)
        left = {image[7:19] for image in self.images(everything=True)}
        self.assertFalse(left & set(steps))
        self.assertIn(self.image(IMAGE)["Id"], self.images())

    def test_the_cache_is_told_for_every_step(self):
        tag, dockerfile = f"{self.name()}:1", f"FROM {IMAGE}\nENV a={self.name()}\nCOPY f /f\nWORKDIR /\nCMD [\"b\"]\n"
        files = [("f", tag.encode())]
        first = self.build(dockerfile, tag, files=files)
        again = self.build(dockerfile, tag, files=files)
        self.assertEqual(self.text(first).count("Using cache"), 0)
        self.assertEqual(self.text(again).count("Using cache"), 4)
        self.assertEqual(self.steps(first), self.steps(again))
        longer = self.build(dockerfile + "LABEL more=1\n", files=files)
        self.assertEqual(self.steps(longer)[:-1], self.steps(first), "the image itself is a step of the longer file")

    def test_cache_from(self):
        one, two = f"{self.name()}:1", f"{self.name()}:2"
        dockerfile = f"FROM {IMAGE}\nENV a={self.name()}\nCOPY f /f\nRUN echo x > /x\n"
        files = [("f", b"x")]
        self.build(dockerfile, one, files=files)
        same = self.build(dockerfile, two, files=files, cachefrom=json.dumps([one]))
        self.assertEqual(self.text(same).count("Using cache"), 3)
        self.assertEqual(self.image(one)["Id"], self.image(two)["Id"])
        other = self.build(dockerfile, two, files=files, cachefrom=json.dumps(["no/such:image"]))
        self.assertEqual(self.text(other).count("Using cache"), 0, "nothing but that image's steps may be taken")
        self.assertNotEqual(self.image(one)["Id"], self.image(two)["Id"])
        changed = dockerfile.replace("/x\n", "/y\n")
        part = self.build(changed, two, files=files, cachefrom=json.dumps([one]))
        self.assertEqual(self.text(part).count("Using cache"), 2)
        layers = [self.image(name)["RootFS"]["Layers"] for name in (one, two)]
        self.assertEqual(layers[0][:-1], layers[1][:-1])
        for bad in ("{", '"x"', "[1]", json.dumps(["x"] * 2000)):
            self.build(dockerfile, files=files, cachefrom=bad)
            self.assertEqual(self.build_status, 400, bad)

    def test_stages_are_images(self):
        tag = f"{self.name()}:1"
        messages = self.build(f"FROM {IMAGE} AS base\nONBUILD ENV by=trigger\nONBUILD RUN echo t > /t\n"
                              f"FROM base\nRUN echo {tag} > /two\nFROM base\nRUN cat /t\n", tag)
        told = [message["aux"]["ID"] for message in messages if "aux" in message]
        self.assertEqual(len(told), 3, told)
        self.assertEqual(told[-1], self.image(tag)["Id"])
        self.assertIn("by=trigger", self.image(told[1])["Config"]["Env"])
        self.assertIn("# Executing 2 build triggers", self.text(messages))
        self.addCleanup(self.engine, "rmi", "-f", told[1])

    def test_none_for_clients_that_say_so(self):
        before = self.images(everything=True), self.engine.api.get("/containers/json?all=1").json()
        messages = self.build(f"FROM {IMAGE} AS unused\nRUN false\nFROM {IMAGE}\nENV a={self.name()}\nRUN exit 7\n", classic="0")
        self.assertIn("non-zero code: 7", self.error_of(messages))
        self.assertEqual((self.images(everything=True), self.engine.api.get("/containers/json?all=1").json()), before)

    def test_from_alone_is_that_image(self):
        tag = f"{self.name()}:1"
        self.build(f"FROM {IMAGE}\n", tag)
        self.assertEqual(self.image(tag)["Id"], self.image(IMAGE)["Id"])
        error = self.error_of(self.build("FROM scratch\n"))
        self.assertIn("No image was generated", error)
        self.build("FROM scratch\nLABEL a=b\n", tag)
        self.assertEqual(self.image(tag)["Config"]["Labels"], {"a": "b"})


class ImagesAsCache(BuildCase):
    def test_a_step_is_known_as_long_as_its_image(self):
        tag, dockerfile = f"{self.name()}:1", f"FROM {IMAGE}\nENV a={self.name()}\nCOPY f /f\nRUN echo seen\n"
        files = [("f", tag.encode())]
        self.build(dockerfile, tag, files=files)
        self.assertEqual(self.text(self.build(dockerfile, tag, files=files)).count("Using cache"), 3)
        self.ok("rmi", tag)
        again = self.text(self.build(dockerfile, tag, files=files))
        self.assertEqual(again.count("Using cache"), 0)
        self.assertIn("\nseen\n", again)
        self.ok("rmi", tag)
        other = self.text(self.build(dockerfile, tag, files=files, classic="0"))
        self.assertEqual(other.count("Using cache"), 2, "what others build by is the build cache: COPY and RUN")

    def test_labels_of_the_request_do_not_hide_the_last_step(self):
        tag, dockerfile = f"{self.name()}:1", f"FROM {IMAGE}\nRUN echo {self.name()} > /x\n"
        parameters = {"labels": json.dumps({"a": "b"})}
        first = self.build(dockerfile, tag, **parameters)
        self.assertEqual(self.text(self.build(dockerfile, tag, **parameters)).count("Using cache"), 1)
        self.assertEqual(self.image(tag)["Config"]["Labels"], {"a": "b"})
        self.assertIn(self.image(tag)["Id"][7:19], self.steps(first))

    def test_steps_that_are_equal_are_done_once(self):
        tag = f"{self.name()}:1"
        stage = f"FROM {IMAGE}\nADD f /\n"
        files = [("f", tag.encode())]
        messages = self.build(stage + stage, tag, files=files)
        self.assertEqual(self.text(messages).count("Using cache"), 1)
        told = [message["aux"]["ID"] for message in messages if "aux" in message]
        self.assertEqual(set(told), {self.image(tag)["Id"]}, "both stages are the same image")
        same = self.build(stage + stage, f"{self.name()}:2", files=files, cachefrom=json.dumps([tag]))
        self.assertEqual(self.text(same).count("Using cache"), 2)

    def test_a_stage_that_is_known_is_the_parent_of_what_stands_on_it(self):
        dockerfile = f"FROM scratch AS base\nENV something={self.name()}\nONBUILD ENV foo=bar\n"
        self.build(dockerfile)
        messages = self.build(dockerfile + "FROM base")
        told = [message["aux"]["ID"] for message in messages if "aux" in message]
        self.assertEqual(len(told), 2, messages)
        self.addCleanup(self.engine, "rmi", "-f", told[1])
        self.assertEqual(self.image(told[1])["Parent"], told[0])


class History(BuildCase):
    def words(self, dockerfile, files=(), **parameters):
        tag = f"{self.name()}:1"
        self.build(dockerfile, tag, files=files, **parameters)
        history = self.engine.api.get(f"/images/{tag}/history").json()
        below = len(self.engine.api.get(f"/images/{IMAGE}/history").json())
        return [item["CreatedBy"] for item in reversed(history[:len(history) - below])]

    def test_the_words_of_the_classic_builder(self):
        words = self.words(f"FROM {IMAGE}\nARG a=default\nARG b\nENV c=d\nRUN echo hi\nEXPOSE 80 81/udp\nWORKDIR /w\n"
                           "HEALTHCHECK --interval=30s --retries=3 CMD true\nCOPY f g /x/\nADD --chown=1:2 f /y\n"
                           "SHELL [\"/bin/ash\", \"-c\"]\nCMD run\nVOLUME /v\n",
                           files=[("f", b"1"), ("g", b"2")], buildargs=json.dumps({"a": "given", "b": "other"}))
        digests = [re.search("(file|multi):[0-9a-f]{64}", word) for word in words]
        words = [re.sub("(file|multi):[0-9a-f]{64}", r"\1:HEX", word) for word in words]
        nothing = "/bin/sh -c #(nop) "
        self.assertEqual(words, [f"{nothing} ARG a=default", f"{nothing} ARG b", f"{nothing} ENV c=d", "|2 a=given b=other /bin/sh -c echo hi",
                                 f"{nothing} EXPOSE 80 81/udp", f"{nothing}WORKDIR /w",
                                 f"{nothing} HEALTHCHECK &{{[\"CMD-SHELL\" \"true\"] \"30s\" \"0s\" \"0s\" \"0s\" '\\x03'}}",
                                 f"{nothing}COPY multi:HEX in /x/ ", f"{nothing}ADD --chown=1:2 file:HEX in /y ",
                                 "/bin/ash -c #(nop)  SHELL [/bin/ash -c]", "/bin/ash -c #(nop)  CMD [\"/bin/ash\" \"-c\" \"run\"]",
                                 "/bin/ash -c #(nop)  VOLUME [/v]"])
        self.assertEqual(len([found for found in digests if found]), 2)

    def test_others_have_buildkits_words(self):
        words = self.words(f"FROM {IMAGE}\nARG a\nCOPY f /f\n", files=[("f", b"1")], classic="0", buildargs='{"a": "given"}')
        self.assertEqual(words, ["ARG a=given", "COPY f /f # buildkit"])

    def test_the_same_content_from_elsewhere_is_the_same_image(self):
        one, two = f"{self.name()}:1", f"{self.name()}:2"
        self.build(f"FROM {IMAGE}\nCOPY file1.txt /tmp/\n", one, files=[("file1.txt", one.encode())])
        messages = self.build(f"FROM {IMAGE}\nCOPY file*.txt /tmp/\n", two, files=[("file1.txt", one.encode())])
        self.assertEqual(self.text(messages).count("Using cache"), 1)
        self.assertEqual(self.image(one)["Id"], self.image(two)["Id"])
        self.build(f"FROM {IMAGE} AS first\nCOPY file1.txt /tmp/\nFROM {IMAGE}\nCOPY --from=first /tmp /tmp\n", two,
                   files=[("file1.txt", two.encode())])
        newest = self.engine.api.get(f"/images/{two}/history").json()[0]["CreatedBy"]
        self.assertRegex(newest, "COPY dir:[0-9a-f]{64} in /tmp $")


class Events(BuildCase):
    def events_of(self, container, until):
        """The actions of a container that is named by the beginning of its id."""
        query = f"/events?since=0&until={urllib.parse.quote(until)}&filters={urllib.parse.quote(json.dumps({'type': ['container']}))}"
        found = [event for event in self.engine.api.get(query).json_lines() if event["Actor"]["ID"].startswith(container)]
        return [(event["Action"], event["Actor"]["Attributes"].get("exitCode")) for event in found], found

    def now(self):
        return self.engine.api.get("/info").json()["SystemTime"]

    def test_of_steps_containers(self):
        tag = f"{self.name()}:1"
        [good] = self.ran_in(self.build(f"FROM {IMAGE}\nRUN echo {tag}\n", tag))
        actions, events = self.events_of(good, self.now())
        self.assertEqual(actions, [("create", None), ("start", None), ("die", "0"), ("destroy", None)])
        attributes = events[0]["Actor"]["Attributes"]
        self.assertEqual(attributes["image"], self.image(IMAGE)["Id"])
        self.assertTrue(attributes["name"])
        [bad] = self.ran_in(self.build(f"FROM {IMAGE}\nRUN exit 3\n"))
        self.addCleanup(self.forget, bad)
        actions, events = self.events_of(bad, self.now())
        self.assertEqual(actions, [("create", None), ("start", None), ("die", "3")], "it is left behind")
        name = self.engine.api.get(f"/containers/{bad}/json").json()["Name"]
        self.assertEqual("/" + events[0]["Actor"]["Attributes"]["name"], name)

    def test_of_steps_that_change_the_configuration_alone(self):
        """docker commits such a step from a container that never runs. One that is remembered needs none."""
        kind = self.name()
        dockerfile = f"FROM {IMAGE}\nLABEL kind={kind}\nENV a=b\n"
        self.build(dockerfile, f"{kind}:1")
        filters = urllib.parse.quote(json.dumps({"type": ["container"], "label": [f"kind={kind}"]}))

        def told():
            events = self.engine.api.get(f"/events?since=0&until={urllib.parse.quote(self.now())}&filters={filters}").json_lines()
            return [(event["Action"], event["Actor"]["Attributes"]["image"]) for event in events]

        labelled = self.engine.api.get(f"/images/{kind}:1/json").json()["Parent"]
        base = self.image(IMAGE)["Id"]
        expected = [("create", base), ("destroy", base), ("create", labelled), ("destroy", labelled)]
        self.assertEqual(told(), expected)
        self.build(dockerfile, f"{kind}:2")
        self.addCleanup(self.engine, "rmi", "-f", f"{kind}:2")
        self.assertEqual(told(), expected)

    def test_none_for_other_builders(self):
        messages = self.build(f"FROM {IMAGE}\nRUN echo {self.name()}\n", f"{self.name()}:1", classic="0")
        for container in self.ran_in(messages):
            self.assertEqual(self.events_of(container, self.now())[0], [])


class LeftContainers(BuildCase):
    def left(self, messages):
        """Of each RUN, the container that is there."""
        found = []
        for step in self.ran_in(messages):
            answer = self.engine.api.get(f"/containers/{step}/json")
            if answer.status == 200:
                found.append(answer.json())
        self.addCleanup(self.forget, *[container["Id"] for container in found])
        return found

    def test_a_failed_step_can_be_looked_at(self):
        messages = self.build(f"FROM {IMAGE}\nENV a=b\nRUN echo {self.name()}; true\nRUN echo made > /made; exit 3\n", rm="1")
        self.assertIn("returned a non-zero code: 3", self.error_of(messages))
        [container] = self.left(messages)
        state = container["State"]
        self.assertEqual((state["Status"], state["ExitCode"]), ("exited", 3))
        self.assertEqual(container["Config"]["Cmd"], ["/bin/sh", "-c", "echo made > /made; exit 3"])
        self.assertIn("a=b", container["Config"]["Env"])
        self.assertEqual(container["Image"][7:19], self.steps(messages)[-1], "it ran on the step before")
        changes = self.engine.api.get(f"/containers/{container['Id']}/changes").json()
        self.assertEqual([change["Path"] for change in changes], ["/made"], "and nothing that the sandbox needed")
        tag = f"{self.name()}:1"
        self.ok("commit", container["Id"], tag)
        self.addCleanup(self.engine, "rmi", "-f", tag)
        self.assertEqual(self.run_sh("cat /made", image=tag).text, "made")
        listed = self.engine.api.get("/containers/json?all=1").json()
        self.assertIn(container["Id"], [other["Id"] for other in listed])

    def test_which_stay(self):
        works, fails = f"FROM {IMAGE}\nRUN exit 0\nRUN true\n", f"FROM {IMAGE}\nRUN exit 0\nRUN exit 1\n"
        for dockerfile, parameters, count in ((works, {}, 0), (works, {"rm": "1"}, 0), (works, {"rm": "0"}, 2),
                                              (works, {"rm": "1", "forcerm": "1"}, 0), (fails, {"rm": "0"}, 2),
                                              (fails, {"rm": "1"}, 1), (fails, {"rm": "1", "forcerm": "1"}, 0)):
            messages = self.build(dockerfile, nocache="1", **parameters)
            self.assertEqual(len(self.ran_in(messages)), 2)
            self.assertEqual(len(self.left(messages)), count, f"{parameters} of {dockerfile}")

    def test_one_that_succeeded_has_what_it_made(self):
        messages = self.build(f"FROM {IMAGE}\nRUN echo {self.name()} > /here\n", rm="0", nocache="1", memory=str(64 << 20),
                              labels=json.dumps({"by": self.id()}))
        [container] = self.left(messages)
        self.assertEqual(container["Config"]["Labels"], {"by": self.id()})
        self.assertEqual(container["HostConfig"]["Memory"], 64 << 20)
        answer = self.engine.api.get(f"/containers/{container['Id']}/archive?path=/here")
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(self.engine.api.post(f"/containers/{container['Id']}/start").status, 204, "it runs again")
        self.assertEqual(self.engine.api.post(f"/containers/{container['Id']}/wait", timeout=120).json()["StatusCode"], 0)


class Judgements(BuildCase):
    def test_a_volume_is_a_directory_for_later_steps(self):
        tag = f"{self.name()}:1"
        messages = self.build(f"FROM {IMAGE}\nVOLUME /data/{tag[:4]} /two\nRUN chown app /two && ls -d /data/{tag[:4]}\n", tag)
        self.assertIn(f"/data/{tag[:4]}", self.text(messages))
        self.assertEqual(len(self.image(tag)["Config"]["Volumes"]), 2)
        error = self.error_of(self.build(f"FROM {IMAGE}\nRUN touch /foo\nVOLUME /foo\n"))
        self.assertIn("file exists", error)

    def test_an_empty_run_is_the_images_command(self):
        tag = f"{self.name()}:1"
        self.build(f"FROM {IMAGE}\nCMD [\"touch\", \"/by-cmd\"]\nRUN []\n", tag)
        self.assertEqual(self.run_sh("ls /by-cmd", image=tag).text, "/by-cmd")
        error = self.error_of(self.build("FROM scratch\nRUN []\n"))
        self.assertIn("RUN requires at least one argument", error)

    def test_names_outside_of_the_context_are_bent_into_it(self):
        tag = f"{self.name()}:1"
        self.build("FROM scratch\nCOPY foo bar deep /\n", tag,
                   names=[("../foo", b"one"), ("/bar", b"two"), ("a/../../../deep", b"three")])
        self.assertEqual(self.build_status, 200)
        name = self.name()
        self.ok("create", "--name", name, tag, "x")
        for path, content in (("foo", "one"), ("bar", "two"), ("deep", "three")):
            got = self.engine.api.get(f"/containers/{name}/archive?path=/{path}")
            with tarfile.open(fileobj=io.BytesIO(got.body)) as archive:
                self.assertEqual(archive.extractfile(path).read().decode(), content)

    def test_an_archive_that_is_cut_off(self):
        whole = archives.tar([archives.entry("test/foo", data=b"Hi")])
        short = whole[:1024 + 1023]  # one byte of the second end mark is missing
        error = self.error_of(self.build(f"FROM {IMAGE}\nADD test.tar /\n", files=[("test.tar", short)]))
        self.assertIn("ends early", error)
        tag = f"{self.name()}:1"
        self.build(f"FROM {IMAGE}\nADD test.tar /\n", tag, files=[("test.tar", whole)])
        self.assertEqual(self.run_sh("cat /test/foo", image=tag).text, "Hi")

    def test_what_is_missing_is_named(self):
        error = self.error_of(self.build(f"FROM {IMAGE}\nADD foo /usr/local/bar\n"))
        self.assertIn("stat foo: file does not exist", error)
        error = self.error_of(self.build(f"FROM {IMAGE}\nCOPY --from=localhost:1/none foo /\n"))
        self.assertIn("invalid from flag value localhost:1/none", error)

    def test_the_network_of_a_container(self):
        other, tag = self.start("nc", "-ll", "-p", "1234", "-e", "hostname", flags=("--hostname", "foobar")), f"{self.name()}:1"
        self.build(f"FROM {IMAGE}\nRUN until nc localhost 1234 > /other && test -s /other; do sleep 0.1; done\n", tag,
                   networkmode=f"container:{other}")
        self.assertEqual(self.run_sh("cat /other", image=tag).text, "foobar")
        self.ok("rm", "-f", other)
        error = self.error_of(self.build(f"FROM {IMAGE}\nRUN true\n", networkmode=f"container:{other}", nocache="1"))
        self.assertIn("No such container", error)


class Images(BuildCase):
    def test_a_blank_name(self):
        answer = self.engine.api.delete("/images/%20")
        self.assertEqual((answer.status, answer.message), (400, "image name cannot be blank"))


class Bases(BuildCase):
    def test_a_step_is_told_before_the_pull_of_its_base(self):
        registry = FakeRegistry()
        self.addCleanup(registry.close)
        base = registry.add("base", "1", small_image("base"))
        self.addCleanup(self.engine, "rmi", "-f", base)
        for expected_pull in (True, False):
            messages = self.build(f"ARG x=1\nFROM {base} AS first\nENV a=b\nFROM {base}\nENV c=d\nENV e=f\n", f"{self.name()}:1")
            said = [message.get("stream") or message.get("status") or "" for message in messages]
            self.assertEqual(said[:4], ["Step 1/6 : ARG x=1", "\n", f"Step 2/6 : FROM {base} AS first", "\n"])
            self.assertEqual("Pulling from" in "".join(said), expected_pull)
            self.assertEqual([line.split()[1] for line in self.text(messages).splitlines() if line.startswith("Step ")],
                             [f"{step}/6" for step in range(1, 7)])

    def test_a_base_that_cannot_be_had(self):
        messages = self.build("FROM 127.0.0.1:1/nothing\nENV a=b\n")
        self.assertEqual(self.build_status, 200)
        self.assertEqual(messages[0], {"stream": "Step 1/2 : FROM 127.0.0.1:1/nothing"})
        self.assertIn("connection refused", self.error_of(messages))


class Archives(BuildCase):
    def legacy(self, layers, names, top=None, **changes):
        """What docker before 1.10 saved: `layers` are tars, bottom first."""
        entries, parent, ids = [], "", []
        for number, layer in enumerate(layers):
            identifier = hashlib.sha256(f"{self.id()} {number}".encode()).hexdigest()
            ids.append(identifier)
            document = {"id": identifier, "created": "2014-10-01T20:46:13.51090041Z", "architecture": "amd64", "os": "linux",
                        "container_config": {"Cmd": ["/bin/sh", "-c", f"#(nop) layer {number}"]},
                        "config": {"Env": ["PATH=/bin"], "Cmd": ["cat", "/last"]}, **({"parent": parent} if parent else {}),
                        **changes}
            entries += [archives.entry(f"{identifier}/VERSION", data=b"1.0"),
                        archives.entry(f"{identifier}/json", data=json.dumps(document).encode()),
                        archives.entry(f"{identifier}/layer.tar", data=layer)]
            parent = identifier
        repositories = {}
        for name in names:
            repository, _, tag = name.rpartition(":")
            repositories.setdefault(repository, {})[tag] = top or ids[-1]
            self.addCleanup(self.engine, "rmi", "-f", name)
        return archives.tar([*entries, archives.entry("repositories", data=json.dumps(repositories).encode())])

    def load(self, archive):
        return self.engine.api.post("/images/load?quiet=1", archive, headers={"Content-Type": "application/x-tar"}).json_lines()

    def test_archives_of_docker_before_1_10(self):
        layers = [archives.tar(archives.busybox_entries()), b"", archives.tar([archives.entry("last", data=b"old")])]
        names = [f"{self.name()}:1", f"{self.name()}:2"]
        messages = self.load(self.legacy(layers, names))
        self.assertEqual(self.text(messages), "".join(f"Loaded image: {name}\n" for name in names))
        self.assertEqual(self.ok("run", "--rm", names[1]).text, "old")
        image = self.image(names[0])
        self.assertEqual(len(image["RootFS"]["Layers"]), 3)
        history = self.engine.api.get(f"/images/{names[0]}/history").json()
        self.assertEqual([item["CreatedBy"] for item in history], [f"/bin/sh -c #(nop) layer {n}" for n in (2, 1, 0)])

    def test_old_archives_that_are_wrong(self):
        layer, name = archives.tar([archives.entry("x", data=b"y")]), f"{self.name()}:1"
        own = hashlib.sha256(f"{self.id()} 0".encode()).hexdigest()
        for archive, says in ((self.legacy([layer], [name], parent=own), "its own parent"),
                              (self.legacy([layer], [name], parent="../../etc"), "is no layer"),
                              (self.legacy([layer], [name], top="../x"), "means no layer"),
                              (self.legacy([layer], [name], top="0" * 64), "0000"),
                              (self.legacy([b"no tar at all" * 100], [name]), "tar"),
                              (archives.tar([archives.entry("repositories", data=b"[]")]), "no JSON object")):
            error = self.error_of(self.load(archive))
            self.assertIn(says, error)
        self.assertNotIn(name, str(self.engine.api.get("/images/json?all=1").json()))

    def test_a_parent_comes_back(self):
        tag, name = f"{self.name()}:1", self.name()
        self.ok("create", "--name", name, IMAGE, "true")
        first = self.ok("commit", name).text
        self.ok("rm", name)
        self.ok("create", "--name", name, first, "true")
        self.ok("commit", name, tag)
        self.ok("rm", name)
        self.addCleanup(self.engine, "rmi", "-f", tag)
        second = self.image(tag)["Id"]
        archive = self.engine.api.get(f"/images/get?names={second}&names={first}").body
        self.ok("rmi", tag)
        self.load(archive)
        self.addCleanup(self.engine, "rmi", "-f", second)
        self.assertEqual(self.image(second)["Parent"], first)
        self.assertEqual(self.image(first).get("Parent", ""), "", "its own parent was not in the archive")

    def test_a_name_that_moves_is_told(self):
        tag, name = f"{self.name()}:1", self.name()
        self.ok("create", "--name", name, IMAGE, "true")
        self.ok("commit", "--change", f"LABEL own={tag}", name, tag)
        self.addCleanup(self.engine, "rmi", "-f", tag)
        archive = self.engine.api.get(f"/images/{tag}/get").body
        before = self.image(tag)
        self.load(archive)
        self.assertEqual(self.image(tag), before, "loading what is there changes nothing")
        self.ok("rmi", tag)
        self.ok("tag", IMAGE, tag)
        self.assertIn(f"The image {tag} already exists, renaming the old one", self.text(self.load(archive)))

    def test_events_carry_the_images_labels(self):
        tag = f"{self.name()}:1"
        since = self.engine.api.get("/info").json()["SystemTime"]
        self.build(f"FROM {IMAGE}\nLABEL kind=events-{tag[:6]}\n", tag)
        self.ok("tag", tag, f"{tag}x")
        self.ok("rmi", f"{tag}x")
        until = self.engine.api.get("/info").json()["SystemTime"]
        filters = urllib.parse.quote(json.dumps({"type": ["image"], "label": [f"kind=events-{tag[:6]}"]}))
        query = f"/events?since={urllib.parse.quote(since)}&until={urllib.parse.quote(until)}&filters={filters}"
        events = self.engine.api.get(query).json_lines()
        self.assertEqual([event["Action"] for event in events], ["create", "tag", "tag", "untag"])
        older = self.engine.api.get("/v1.45" + query).json_lines()
        self.assertEqual([event["Action"] for event in older], ["tag", "tag", "untag"], "creations are told from 1.46 on")
