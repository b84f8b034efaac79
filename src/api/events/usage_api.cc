#include "api/events/usage_api.h"

#include "base/format.h"
#include "base/json.h"
#include "functions/buckets/bucket_store.h"
#include "functions/catalog/catalog.h"
#include "functions/metering/metering_store.h"

namespace berth::api::events {
namespace {

using functions::InvocationRecord;
using functions::UsageRow;

constexpr std::string_view kBuckets = "/_berth/buckets/";
constexpr std::string_view kInvocations = "/_berth/invocations/";

std::string_view name_of(functions::InvocationSource source) {
  switch (source) {
    case functions::InvocationSource::Sync:
      return "a waiting client";
    case functions::InvocationSource::Async:
      return "the queue of events";
    case functions::InvocationSource::EventSource:
      return "an event source";
    case functions::InvocationSource::Url:
      return "the function's URL";
    case functions::InvocationSource::Schedule:
      return "a rule";
  }
  return "";
}
std::string_view name_of(functions::InvocationStatus status) {
  switch (status) {
    case functions::InvocationStatus::Success:
      return "success";
    case functions::InvocationStatus::Error:
      return "error";
    case functions::InvocationStatus::Timeout:
      return "timeout";
    case functions::InvocationStatus::Crash:
      return "crash";
  }
  return "";
}
std::string_view name_of(functions::InitializationType type) {
  switch (type) {
    case functions::InitializationType::None:
      return "warm";
    case functions::InitializationType::OnDemand:
      return "on demand";
    case functions::InitializationType::Provisioned:
      return "provisioned";
  }
  return "";
}

Json record_json(const InvocationRecord& record) {
  return {{"requestId", record.request_id},
          {"function", record.function},
          {"version", record.version},
          {"started", to_rfc3339(record.started)},
          {"source", name_of(record.source)},
          {"status", name_of(record.status)},
          {"initialization", name_of(record.initialization)},
          {"durationUs", record.duration_us},
          {"initUs", record.init_us},
          {"billedMs", record.billed_ms},
          {"cpuUs", record.cpu_us},
          {"memoryPeakBytes", record.memory_peak_bytes},
          {"memoryMebibytes", record.memory_mebibytes},
          {"sandboxUs", record.cold.sandbox_us},
          {"runtimeUs", record.cold.runtime_us},
          {"extensionsUs", record.cold.extensions_us},
          {"pooled", record.cold.pooled}};
}

Json usage_json(const functions::Catalog& catalog, const UsageRow& row) {
  Json json{{"kind", row.kind},
            {"name", row.name},
            {"version", row.version},
            {"day", row.day},
            {"runs", row.runs},
            {"errors", row.errors},
            {"durationUs", row.duration_us},
            {"billedMs", row.billed_ms},
            {"cpuUs", row.cpu_us},
            {"mebibyteMs", row.mebibyte_ms},
            {"peakBytes", row.peak_bytes}};
  if (row.kind != "function") return json;
  if (const auto* entry = catalog.find(row.realm, row.name);
      entry != nullptr && !entry->settings().tags.empty())
    json["tags"] = entry->settings().tags;
  return json;
}

aws::Reply make_bucket(functions::BucketStore& buckets, const std::string& name) {
  auto made = buckets.create(name, "us-east-1");
  if (made) return aws::json_reply(200, Json::object());
  bool taken = made.error().kind() == Kind::AlreadyExists;
  return aws::json_error_reply(
      {taken ? 409 : 400, taken ? "BucketAlreadyOwnedByYou" : "InvalidBucketName", made.error().message()});
}

/// "2026-11-28", or empty.
bool is_day(std::string_view text) {
  if (text.empty()) return true;
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  return parse_rfc3339(text).has_value();
}

}  // namespace

io::Task<aws::Reply> answer_usage(const functions::Catalog& catalog, functions::MeteringStore& metering,
                                  functions::BucketStore& buckets, const io::HttpRequestHead& head) {
  if (head.path.starts_with(kBuckets) && head.method == "PUT") {
    co_return make_bucket(buckets, head.path.substr(kBuckets.size()));
  }
  if (head.path.starts_with(kInvocations)) {
    std::string id = head.path.substr(kInvocations.size());
    auto record = co_await metering.find(std::move(id));
    if (!record) {
      bool missing = record.error().kind() == Kind::NotFound;
      aws::AwsError error{missing ? 404 : 500, missing ? "ResourceNotFoundException" : "ServiceException",
                          record.error().message()};
      co_return aws::json_error_reply(error);
    }
    co_return aws::json_reply(200, record_json(*record));
  }
  if (head.path != "/_berth/usage") {
    aws::AwsError error{404, "UnknownOperationException",
                        "berth answers /_berth/usage and /_berth/invocations/ID"};
    co_return aws::json_error_reply(error);
  }
  functions::MeteringStore::Query query{.from_day = std::string(head.query.get_or("from", "")),
                                        .until_day = std::string(head.query.get_or("until", ""))};
  for (const std::string& day : {query.from_day, query.until_day}) {
    if (is_day(day)) continue;
    aws::AwsError error{400, "InvalidParameterValueException",
                        fmt::format("\"{}\" is not a day: it is written 2026-11-28", day.substr(0, 40))};
    co_return aws::json_error_reply(error);
  }
  auto rows = co_await metering.usage(std::move(query));
  if (!rows) {
    aws::AwsError error{500, "ServiceException", rows.error().message()};
    co_return aws::json_error_reply(error);
  }
  Json list = Json::array();
  for (const UsageRow& row : *rows) list.push_back(usage_json(catalog, row));
  co_return aws::json_reply(200, Json{{"rows", std::move(list)}});
}

}  // namespace berth::api::events
