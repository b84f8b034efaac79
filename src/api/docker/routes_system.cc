// /_ping, /version, /info, /events, /system/df, /metrics.
#include <algorithm>

#include "api/docker/metrics.h"
#include "api/docker/object_json.h"
#include "api/docker/router.h"
#include "api/docker/system_json.h"
#include "base/format.h"
#include "base/json.h"
#include "io/cancel.h"

namespace berth::api {
namespace {

using Outcome = io::Task<Result<void>>;

Outcome ping(Context& context) {
  context.exchange().set_header("Cache-Control", "no-cache, no-store, must-revalidate");
  context.exchange().set_header("Pragma", "no-cache");
  context.exchange().set_header("Builder-Version", "1");
  context.exchange().set_header("Swarm", "inactive");
  std::string_view body = context.exchange().method() == "HEAD" ? "" : "OK";
  co_return co_await context.exchange().respond(200, "text/plain; charset=utf-8", body);
}

Outcome version(Context& context) {
  auto info = co_await context.engine().system().info();
  Json answer = version_json(info);
  co_return co_await context.json(200, std::move(answer));
}

Outcome info(Context& context) {
  auto facts = co_await context.engine().system().info();
  Json answer = info_json(facts, context.version());
  co_return co_await context.json(200, std::move(answer));
}

io::Task<Result<std::optional<engine::Event>>> next_event(engine::EventSubscription& subscription) {
  co_return co_await subscription.next();
}

Outcome events(Context& context) {
  engine::EventLog::Query query;
  CO_TRY(query.filters, context.filters());
  CO_CHECK(engine::check_event_filters(query.filters));
  Timestamp reference = now();
  if (std::string text = context.text("since"); !text.empty()) {
    CO_TRY(query.since, parse_time_reference(text, reference));
  }
  if (std::string text = context.text("until"); !text.empty()) {
    CO_TRY(query.until, parse_time_reference(text, reference));
  }
  if (query.until && !query.since) query.since = Timestamp{};  // all that is remembered
  if (query.since && query.until && *query.until < *query.since) {
    co_return failure(Kind::InvalidArgument, "`since` time ({}) cannot be after `until` time ({})",
                      to_rfc3339(*query.since), to_rfc3339(*query.until));
  }
  auto subscription = context.engine().events().subscribe(std::move(query));
  CO_CHECK(co_await context.exchange().begin(200, "application/json"));
  io::CancelToken gone = context.exchange().client_gone();
  while (true) {
    CO_TRY(auto event, co_await io::unless_cancelled(next_event(subscription), gone));
    if (!event) break;
    // Which clients know from 1.46 on.
    if (event->type == "image" && event->action == "create" && !context.since(1, 46)) continue;
    std::string line = to_json(event_json(*event, context.version())) + "\n";
    CO_CHECK(co_await context.exchange().write(line));
  }
  co_return co_await context.exchange().finish();
}

Outcome disk_usage(Context& context) {
  engine::System::DiskUsageParts parts;
  bool cache = true;
  auto types = context.exchange().query().all("type");
  if (!types.empty()) {
    auto has = [&](std::string_view type) {
      return std::find(types.begin(), types.end(), type) != types.end();
    };
    parts = {has("image"), has("container"), has("volume")};
    cache = has("build-cache");
    for (std::string_view type : types) {
      bool known = type == "image" || type == "container" || type == "volume" || type == "build-cache";
      if (!known) co_return failure(Kind::InvalidArgument, "unknown object type: {}", type.substr(0, 64));
    }
  }
  CO_TRY(auto report, co_await context.engine().system().disk_usage(parts));
  std::optional<std::vector<build::CacheRecordInfo>> records;
  if (cache) {
    CO_TRY(records, context.builder().disk_usage());
  }
  Json answer = disk_usage_json(report, records, parts, context.version());
  co_return co_await context.json(200, std::move(answer));
}

Outcome metrics(Context& context) {
  std::string text = co_await context.metrics().text(context.engine());
  co_return co_await context.exchange().respond(200, "text/plain; version=0.0.4; charset=utf-8", text);
}

constexpr Route routes[] = {
    {"GET", "/metrics", metrics},      {"GET", "/_ping", ping}, {"HEAD", "/_ping", ping},
    {"GET", "/version", version},      {"GET", "/info", info},  {"GET", "/events", events},
    {"GET", "/system/df", disk_usage},
};

}  // namespace

std::span<const Route> system_routes() {
  return routes;
}

}  // namespace berth::api
