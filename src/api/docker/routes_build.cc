// /build: the classic builder, and the door to BuildKit's.
#include <algorithm>

#include "api/docker/build_request.h"
#include "api/docker/buildkit_build.h"
#include "api/docker/router.h"
#include "api/docker/step_containers.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::api {
namespace {

using Outcome = io::Task<Result<void>>;

/// docker has begun to answer when it looks for the base image: that it cannot be had is told in the stream.
/// What is wrong with the request or the Dockerfile is the answer's status.
Outcome build_in_lines(Context& context, build::BuildRequest request, JsonLines& lines,
                       ClassicBuildLines& sink) {
  Outcome building = run_whole_build(context, std::move(request), sink);
  auto built = co_await std::move(building);
  if (!built && built.error().kind() != Kind::InvalidArgument && sink.failed_at_an_instruction())
    lines.answer_in_band();
  co_return built;
}

/// What this protocol's builder has that BuildKit has not: images of steps, and their containers.
Result<void> set_classic_parameters(Context& context, build::BuildRequest& request) {
  request.step_images = true;
  TRY(request.cache_from, parse_cache_from(context));
  const StepRemoval removal{.after_success = context.text("rm").empty() || context.flag("rm"),
                            .always = context.flag("forcerm")};
  StepContainerSettings settings{.network_mode = request.network_mode, .labels = request.labels};
  request.step_keeper = keep_step_containers(context.engine(), removal, std::move(settings));
  return {};
}

Outcome build_image(Context& context) {
  if (context.text("version") == "2") {
    Outcome building = build_by_buildkit(context);
    co_return co_await std::move(building);
  }
  CO_TRY(auto request, parse_build_parameters(context));
  if (context.flag("classic", true)) CO_CHECK(set_classic_parameters(context, request));
  if (std::string remote = context.text("remote"); !remote.empty()) {
    request.context = build::RemoteContext{std::move(remote)};
  } else {
    request.context = build::StreamContext{std::make_unique<BodyContext>(context.exchange())};
  }
  JsonLines lines(context.exchange());
  auto verbosity =
      context.flag("q") ? ClassicBuildLines::Verbosity::Quiet : ClassicBuildLines::Verbosity::All;
  ClassicBuildLines sink(lines, verbosity);
  co_return co_await lines.run(build_in_lines(context, std::move(request), lines, sink));
}

Outcome cancel(Context& context) {
  if (context.text("id").empty()) co_return Error(Kind::InvalidArgument, "build ID not provided");
  std::string id = context.text("id");
  Outcome cancelling = cancel_by_buildkit(context, std::move(id));
  co_return co_await std::move(cancelling);
}

storage::InUse nothing_in_use() {
  return {};
}

/// Filters that choose records by what they are: berth's records have no parents and no labels. `docker
/// system prune` sends the labels that it was given here too.
bool is_chosen(const build::CacheRecordInfo& record, const engine::Filters& filters) {
  return std::all_of(filters.begin(), filters.end(), [&](const auto& filter) {
    const auto& [name, values] = filter;
    auto any = [&](auto fits) { return std::any_of(values.begin(), values.end(), fits); };
    auto is = [&](bool state) {
      return any([&](const std::string& value) { return (value != "0" && value != "false") == state; });
    };
    if (name == "parent" || name == "label") return false;
    if (name == "inuse") return is(record.in_use);
    if (name == "shared") return is(record.shared);
    if (name == "private") return is(!record.shared);
    if (name == "description")
      return any(
          [&](const std::string& value) { return record.description.find(value) != std::string::npos; });
    return true;
  });
}

bool chooses_records(const engine::Filters& filters) {
  return std::any_of(filters.begin(), filters.end(), [](const auto& filter) {
    const std::string& name = filter.first;
    return name == "parent" || name == "label" || name == "inuse" || name == "shared" || name == "private" ||
           name == "description";
  });
}

Outcome answer_pruned(Context& context, const build::PruneResult& report) {
  Json ids = Json(nullptr);
  for (const std::string& id : report.ids) ids.push_back(id);
  Json answer = {{"CachesDeleted", std::move(ids)}, {"SpaceReclaimed", report.reclaimed_bytes}};
  context.engine().events().publish("builder", "prune", "",
                                    {{"reclaimed", std::to_string(report.reclaimed_bytes)}});
  co_return co_await context.json(200, std::move(answer));
}

Outcome prune(Context& context) {
  CO_TRY(auto filters, context.filters());
  build::PruneRequest request;
  request.all = context.flag("all");
  for (std::string_view name : {"keep-storage", "reserved-space"}) {
    CO_TRY(auto keep, context.integer(name));
    if (keep && *keep > 0) request.keep_bytes = static_cast<uint64_t>(*keep);
  }
  for (const auto& [name, values] : filters) {
    if (name == "until" || name == "unused-for") {
      for (const std::string& value : values) {
        CO_TRY(request.unused_since, parse_time_reference(value, now()));
      }
    } else if (name == "id") {
      request.ids = values;
    } else if (name == "type") {
      request.types = values;
    } else if (name != "parent" && name != "description" && name != "inuse" && name != "shared" &&
               name != "private" && name != "label" && name != "label!") {
      co_return failure(Kind::InvalidArgument, "invalid filter '{}'", name);
    }
  }
  if (chooses_records(filters)) {
    CO_TRY(auto records, context.builder().disk_usage());
    std::vector<std::string> chosen;
    for (const build::CacheRecordInfo& record : records) {
      bool named = request.ids.empty() ||
                   std::any_of(request.ids.begin(), request.ids.end(),
                               [&](const std::string& id) { return record.id.starts_with(id); });
      if (named && is_chosen(record, filters)) chosen.push_back(record.id);
    }
    if (chosen.empty()) co_return co_await answer_pruned(context, {});
    request.ids = std::move(chosen);
    if (filters.contains("shared") || filters.contains("inuse")) request.all = true;
  }
  CO_TRY(auto report, co_await context.builder().prune(std::move(request), nothing_in_use()));
  co_return co_await answer_pruned(context, report);
}

constexpr Route routes[] = {
    {"POST", "/build", build_image},
    {"POST", "/build/cancel", cancel},
    {"POST", "/build/prune", prune},
};

}  // namespace

std::span<const Route> build_routes() {
  return routes;
}

}  // namespace berth::api
