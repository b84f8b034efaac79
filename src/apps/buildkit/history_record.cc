#include "apps/buildkit/history_record.h"

#include <grpcpp/support/status.h>

#include <chrono>
#include <set>

#include "apps/buildkit/provenance.h"
#include "apps/buildkit/services.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/sha256.h"

namespace berth::buildkit {
namespace {

namespace pb = moby::buildkit::v1;

constexpr const char* trace_type = "application/vnd.buildkit.otlp.json.v0";
constexpr const char* in_toto_type = "application/vnd.in-toto+json";

google::protobuf::Timestamp time_now() {
  const int64_t nanoseconds = to_unix_nanoseconds(now());
  google::protobuf::Timestamp time;
  time.set_seconds(nanoseconds / 1'000'000'000);
  time.set_nanos(static_cast<int32_t>(nanoseconds % 1'000'000'000));
  return time;
}

std::string text_of(const google::protobuf::Timestamp& time) {
  return to_rfc3339(from_unix_nanoseconds(time.seconds() * 1'000'000'000 + time.nanos()));
}

void describe(const std::string& blob, const char* type, pb::Descriptor& descriptor) {
  descriptor.set_media_type(type);
  descriptor.set_digest(sha256(blob).str());
  descriptor.set_size(static_cast<int64_t>(blob.size()));
}

/// The last that was said of each vertex.
std::map<std::string, pb::Vertex> vertices_of(const std::vector<pb::StatusResponse>& progress) {
  std::map<std::string, pb::Vertex> vertices;
  for (const pb::StatusResponse& message : progress)
    for (const pb::Vertex& vertex : message.vertexes()) vertices[vertex.digest()] = vertex;
  return vertices;
}

Json span_context(const std::string& trace, const std::string& span) {
  return {{"TraceID", trace}, {"SpanID", span}, {"TraceFlags", "01"}, {"TraceState", ""}, {"Remote", false}};
}

/// OpenTelemetry's spans as Go's SDK writes them in JSON, one a line: the build and its steps.
std::string trace_of(const pb::BuildHistoryRecord& record,
                     const std::map<std::string, pb::Vertex>& vertices) {
  const std::string trace = sha256("trace\n" + record.ref()).hex().substr(0, 32);
  const std::string root = sha256("span\n" + record.ref()).hex().substr(0, 16);
  const std::string none(32, '0');
  auto span = [&](const std::string& name, const std::string& id, const std::string& parent,
                  const google::protobuf::Timestamp& from, const google::protobuf::Timestamp& until,
                  const std::string& error) {
    const Json service = {{"Key", "service.name"},
                          {"Value", {{"Type", "STRING"}, {"Value", "berth-buildkit"}}}};
    const Json json = {
        {"Name", name},
        {"SpanContext", span_context(trace, id)},
        {"Parent", parent.empty() ? span_context(none, none.substr(0, 16)) : span_context(trace, parent)},
        {"SpanKind", 1},
        {"StartTime", text_of(from)},
        {"EndTime", text_of(until)},
        {"Attributes", Json::array()},
        {"Events", nullptr},
        {"Links", nullptr},
        {"Status", {{"Code", error.empty() ? "Unset" : "Error"}, {"Description", error}}},
        {"DroppedAttributes", 0},
        {"DroppedEvents", 0},
        {"DroppedLinks", 0},
        {"ChildSpanCount", parent.empty() ? vertices.size() : 0},
        {"Resource", Json::array({service})},
        {"InstrumentationLibrary", {{"Name", "berth"}, {"Version", BERTH_VERSION}, {"SchemaURL", ""}}}};
    return to_json(json) + "\n";
  };
  std::string lines = span("build " + record.ref(), root, "", record.created_at(), record.completed_at(),
                           record.error().message());
  for (const auto& [digest, vertex] : vertices) {
    const std::string id = sha256(digest).hex().substr(0, 16);
    const auto& until = vertex.has_completed() ? vertex.completed() : record.completed_at();
    lines += span(vertex.name(), id, root, vertex.started(), until, vertex.error());
  }
  return lines;
}

void add_results(const Product& product, RecordedBuild& build) {
  for (const PlatformImage& image : product.images) {
    pb::BuildResultInfo& result =
        product.several ? (*build.record.mutable_results())[image.platform] : *build.record.mutable_result();
    if (image.history.empty()) continue;
    pb::Descriptor& attestation = *result.add_attestations();
    describe(image.history, in_toto_type, attestation);
    (*attestation.mutable_annotations())["in-toto.io/predicate-type"] = provenance_type;
    build.blobs.push_back(image.history);
  }
}

}  // namespace

pb::BuildHistoryRecord begun_record(const pb::SolveRequest& request) {
  pb::BuildHistoryRecord record;
  record.set_ref(request.ref());
  record.set_frontend(request.frontend().empty() ? "dockerfile.v0" : request.frontend());
  *record.mutable_frontend_attrs() = request.frontend_attrs();
  *record.mutable_exporters() = request.exporters();
  *record.mutable_created_at() = time_now();
  return record;
}

RecordedBuild ended_record(pb::BuildHistoryRecord record, const Product& product,
                           const Result<std::map<std::string, std::string>>& outcome,
                           const std::vector<pb::StatusResponse>& progress) {
  RecordedBuild build{.record = std::move(record), .blobs = {}};
  *build.record.mutable_completed_at() = time_now();
  if (outcome) {
    for (const auto& [name, value] : *outcome) (*build.record.mutable_exporter_response())[name] = value;
  } else {
    const grpc::Status status = to_status(outcome.error());
    build.record.mutable_error()->set_code(status.error_code());
    build.record.mutable_error()->set_message(status.error_message());
  }
  const auto vertices = vertices_of(progress);
  int cached = 0;
  int completed = 0;
  for (const auto& [digest, vertex] : vertices) {
    cached += vertex.cached() ? 1 : 0;
    completed += vertex.has_completed() && vertex.error().empty() ? 1 : 0;
  }
  int warnings = 0;
  for (const pb::StatusResponse& message : progress) warnings += message.warnings_size();
  build.record.set_num_total_steps(static_cast<int>(vertices.size()));
  build.record.set_num_cached_steps(cached);
  build.record.set_num_completed_steps(completed);
  build.record.set_num_warnings(warnings);
  add_results(product, build);
  std::string trace = trace_of(build.record, vertices);
  describe(trace, trace_type, *build.record.mutable_trace());
  build.blobs.push_back(std::move(trace));
  return build;
}

}  // namespace berth::buildkit
