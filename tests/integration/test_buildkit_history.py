"""What BuildKit's interface tells of builds that have ended: records, progress, attachments (docs/buildkit.md)."""
import json
import threading
import uuid

from harness.engine import IMAGE
from test_buildkit import BuildkitCase

LISTEN = "/moby.buildkit.v1.Control/ListenBuildHistory"
UPDATE = "/moby.buildkit.v1.Control/UpdateBuildHistory"


class History(BuildkitCase):
    def events(self, client=None, **query):
        control = self.messages.control
        request = control.BuildHistoryRequest(early_exit=True, **query)
        return list((client or self.client()).stream(LISTEN, request, control.BuildHistoryEvent))

    def record(self, ref):
        found = [event.record for event in self.events(ref=ref)]
        self.assertEqual([record.ref for record in found], [ref])
        return found[0]

    def update(self, **change):
        control = self.messages.control
        self.client().call(UPDATE, control.UpdateBuildHistoryRequest(**change), control.UpdateBuildHistoryResponse)

    def blob(self, descriptor):
        content = self.messages.content
        pieces = self.client().stream("/containerd.services.content.v1.Content/Read",
                                      content.ReadContentRequest(digest=descriptor.digest), content.ReadContentResponse)
        data = b"".join(piece.data for piece in pieces)
        self.assertEqual(len(data), descriptor.size)
        return data

    def build(self, dockerfile=f"FROM {IMAGE}\nRUN echo remembered\n", ref=None, **more):
        ref = ref or uuid.uuid4().hex
        self.solve(self.files(dockerfile), more.pop("attributes", None), ref=ref, **more)
        return ref

    def test_a_build_leaves_a_record_with_its_progress(self):
        ref = self.build(attributes={"build-arg:A": "b"}, exporter=("moby", {"name": "history/one"}))
        record = self.record(ref)
        self.assertEqual((record.frontend, record.frontend_attrs["build-arg:A"]), ("dockerfile.v0", "b"))
        self.assertEqual([exporter.type for exporter in record.exporters], ["moby"])
        self.assertTrue(record.HasField("completed_at"))
        self.assertFalse(record.HasField("error"))
        self.assertEqual(record.num_completed_steps, record.num_total_steps)
        self.assertEqual(record.exporter_response["image.name"], "docker.io/history/one:latest")
        control = self.messages.control
        seen = list(self.client().stream("/moby.buildkit.v1.Control/Status", control.StatusRequest(ref=ref), control.StatusResponse))
        self.assertIn(b"remembered\n", [log.msg for message in seen for log in message.logs])

    def test_attachments(self):
        record = self.record(self.build())
        provenance, = record.result.attestations
        self.assertEqual(provenance.annotations["in-toto.io/predicate-type"], "https://slsa.dev/provenance/v0.2")
        self.assertEqual(json.loads(self.blob(provenance))["buildType"], "https://mobyproject.org/buildkit@v1")
        spans = [json.loads(line) for line in self.blob(record.trace).splitlines()]
        self.assertEqual(len({span["SpanContext"]["TraceID"] for span in spans}), 1)
        self.assertEqual(len(spans), record.num_total_steps + 1)
        self.assertIn("RUN echo remembered", " ".join(span["Name"] for span in spans))
        several = self.record(self.build("FROM scratch\nCOPY Dockerfile /f\n", attributes={"platform": "linux/amd64,linux/arm64"}))
        self.assertEqual(sorted(several.results), ["linux/amd64", "linux/arm64"])

    def test_a_failed_build_is_remembered_with_its_error(self):
        ref = uuid.uuid4().hex
        self.fails_to_solve(self.files(f"FROM {IMAGE}\nRUN exit 7\n"), ref=ref)
        record = self.record(ref)
        self.assertIn("exit code: 7", record.error.message)
        self.assertLess(record.num_completed_steps, record.num_total_steps)

    def test_builds_that_clients_call_internal_are_left_out(self):
        control = self.messages.control
        ref = uuid.uuid4().hex
        client, session = self.client(), uuid.uuid4().hex
        client.open_session(session, self.files("FROM scratch\nCOPY Dockerfile /f\n"))
        request = control.SolveRequest(ref=ref, session=session, frontend="dockerfile.v0", internal=True)
        client.call("/moby.buildkit.v1.Control/Solve", request, control.SolveResponse)
        self.assertEqual(self.events(ref=ref), [])

    def test_records_survive_the_engine(self):
        ref = self.build()
        self.update(ref=ref, pinned=True)
        before = self.record(ref)
        self.engine.kill()
        self.engine.start()
        self.assertEqual(self.record(ref), before)
        self.assertTrue(before.pinned)
        self.assertTrue(self.blob(before.trace))
        self.update(ref=ref, pinned=False)
        self.assertFalse(self.record(ref).pinned)

    def test_records_are_removed(self):
        import grpc
        ref = self.build()
        self.update(ref=ref, delete=True)
        self.assertEqual(self.events(ref=ref), [])
        with self.assertRaises(grpc.RpcError) as raised:
            self.update(ref=ref, delete=True)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.NOT_FOUND)

    def test_watchers_hear_of_builds(self):
        control = self.messages.control
        client = self.client()
        stream = client.stream(LISTEN, control.BuildHistoryRequest(active_only=True), control.BuildHistoryEvent)
        heard, ref = [], uuid.uuid4().hex

        def listen():
            for event in stream:
                if event.record.ref == ref:
                    heard.append(event.type)
                if len(heard) == 2:
                    return
        thread = threading.Thread(target=listen)
        thread.start()
        self.addCleanup(stream.cancel)
        # The stream begins with its headers: what is built from then on is heard of.
        stream.initial_metadata()
        self.build(ref=ref)
        thread.join(60)
        self.assertEqual(heard, [control.STARTED, control.COMPLETE])

    def test_the_history_is_bounded(self):
        for number in range(104):
            self.build("FROM scratch\nCOPY Dockerfile /f\n", ref=f"many-{number:03}")
        refs = [event.record.ref for event in self.events()]
        self.assertLessEqual(len(refs), 100)
        self.assertEqual(refs[-1], "many-103")
        self.assertNotIn("many-000", refs)
        self.assertEqual([event.record.ref for event in self.events(limit=2)], ["many-102", "many-103"])

    def test_a_definition_of_nothing_is_a_build_too(self):
        control = self.messages.control
        ref = uuid.uuid4().hex
        request = control.SolveRequest(ref=ref)
        request.definition.SetInParent()
        self.client().call("/moby.buildkit.v1.Control/Solve", request, control.SolveResponse)
        self.assertTrue(self.record(ref).HasField("trace"))
