// Build parameters and progress.
#include "api/docker/build_request.h"

#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"
#include "engine/image_events.h"
#include "engine/image_quota.h"

namespace berth::api {
namespace {

/// A query parameter that is a JSON object of strings; null values are "declared, not set".
Result<std::map<std::string, std::optional<std::string>>> map_parameter(Context& context,
                                                                        std::string_view name) {
  std::map<std::string, std::optional<std::string>> values;
  std::string text = context.text(name);
  if (text.empty()) return values;
  TRY(Json object, parse_json(text));
  if (object.is_null()) return values;
  if (!object.is_object())
    return failure(Kind::InvalidArgument, "error reading {}: expected a JSON object", name);
  for (const auto& [key, value] : object.items()) {
    if (!value.is_null() && !value.is_string()) {
      return failure(Kind::InvalidArgument, "error reading {}: the value of \"{}\" must be a string", name,
                     key);
    }
    values[key] = value.is_null() ? std::nullopt : std::optional<std::string>(value.get<std::string>());
  }
  return values;
}

Result<std::vector<spec::Ulimit>> ulimits_parameter(Context& context) {
  std::vector<spec::Ulimit> ulimits;
  std::string text = context.text("ulimits");
  if (text.empty()) return ulimits;
  TRY(Json list, parse_json(text));
  if (list.is_null()) return ulimits;  // docker's commands before 23 say so of none
  if (!list.is_array()) return Error(Kind::InvalidArgument, "error reading ulimits: expected a JSON list");
  for (const Json& entry : list) {
    spec::Ulimit ulimit;
    TRY(ulimit.name, json_string(entry, "Name"));
    TRY(ulimit.soft, json_int(entry, "Soft"));
    TRY(ulimit.hard, json_int(entry, "Hard"));
    ulimits.push_back(std::move(ulimit));
  }
  return ulimits;
}

Result<int64_t> number(Context& context, std::string_view name) {
  TRY(auto value, context.integer(name));
  return value.value_or(0);
}

Result<spec::ContainerResources> resources_of(Context& context) {
  spec::ContainerResources resources;
  TRY(resources.memory, number(context, "memory"));
  TRY(resources.memory_swap, number(context, "memswap"));
  TRY(resources.cpu_shares, number(context, "cpushares"));
  TRY(resources.cpu_period, number(context, "cpuperiod"));
  TRY(resources.cpu_quota, number(context, "cpuquota"));
  resources.cpuset_cpus = context.text("cpusetcpus");
  resources.cpuset_mems = context.text("cpusetmems");
  resources.cgroup_parent = context.text("cgroupparent");
  TRY(resources.ulimits, ulimits_parameter(context));
  return resources;
}

}  // namespace

Result<build::BuildRequest> parse_build_parameters(Context& context) {
  build::BuildRequest request;
  request.dockerfile = context.text("dockerfile");
  if (request.dockerfile.empty()) request.dockerfile = "Dockerfile";
  for (std::string_view tag : context.exchange().query().all("t")) {
    if (!tag.empty()) request.tags.emplace_back(tag);
  }
  request.target = context.text("target");
  TRY(request.build_args, map_parameter(context, "buildargs"));
  TRY(auto labels, map_parameter(context, "labels"));
  for (auto& [name, value] : labels) request.labels[name] = value.value_or("");
  request.platform = context.text("platform");
  if (context.flag("nocache")) request.cache = build::CacheUse::Ignore;
  if (context.flag("pull")) request.pull = build::PullPolicy::Always;
  request.network_mode = context.text("networkmode");
  for (std::string_view host : context.exchange().query().all("extrahosts"))
    request.extra_hosts.emplace_back(host);
  TRY(request.shm_size, number(context, "shmsize"));
  TRY(request.resources, resources_of(context));
  request.squash = context.flag("squash");
  if (auto encoded = context.exchange().header("X-Registry-Config")) {
    // Values that cannot be decoded are ignored, as docker does.
    if (auto decoded = from_base64(*encoded)) request.registry_config = std::move(*decoded);
  }
  return request;
}

Result<std::optional<std::vector<std::string>>> parse_cache_from(Context& context) {
  constexpr size_t most_images = 1000;
  using Images = std::optional<std::vector<std::string>>;
  const std::string text = context.text("cachefrom");
  if (text.empty()) return Images();
  TRY(const Json list, parse_json(text));
  if (list.is_null() || (list.is_array() && list.empty())) return Images();
  if (!list.is_array() || list.size() > most_images)
    return failure(Kind::InvalidArgument, "error reading cachefrom: expected a JSON list of at most {} names",
                   most_images);
  std::vector<std::string> images;
  for (const Json& entry : list) {
    if (!entry.is_string())
      return Error(Kind::InvalidArgument, "error reading cachefrom: expected a JSON list of names");
    images.push_back(entry.get<std::string>());
  }
  return Images(std::move(images));
}

io::Task<Result<std::string>> BodyContext::next() {
  if (!beginning_.empty()) co_return std::exchange(beginning_, {});
  std::string bytes(size_t{128} << 10, '\0');
  CO_TRY(size_t count, co_await exchange_.read_some(bytes));
  bytes.resize(count);
  co_return bytes;
}

io::Task<Result<build::BuildResult>> run_build(Context& context, build::BuildRequest request,
                                               build::ProgressSink& sink) {
  CO_TRY(auto built,
         co_await context.builder().build(std::move(request), sink, context.exchange().client_gone()));
  const std::string id = built.image_id.str();
  const storage::ImageStore& store = context.engine().image_store();
  context.engine().events().publish("image", "create", id, engine::image_event_attributes(store, id, id));
  for (const std::string& tag : built.tags)
    context.engine().events().publish("image", "tag", id, engine::image_event_attributes(store, id, tag));
  context.engine().image_quota().check();
  co_return built;
}

io::Task<Result<void>> run_whole_build(Context& context, build::BuildRequest request,
                                       build::ProgressSink& sink) {
  io::Task<Result<build::BuildResult>> building = run_build(context, std::move(request), sink);
  CO_CHECK(co_await std::move(building));
  co_return Result<void>();
}

void ClassicBuildLines::stream(std::string text) {
  lines_.push({{"stream", std::move(text)}});
}

/// A stage's image, as the build's own is told at the end.
void ClassicBuildLines::tell_stage_end() {
  if (!last_id_.empty()) lines_.push({{"aux", {{"ID", "sha256:" + last_id_}}}});
  last_id_.clear();
}

void ClassicBuildLines::tell_step(uint32_t step, uint32_t total, const std::string& instruction) {
  stream(fmt::format("Step {}/{} : {}", step, total, instruction));
  stream("\n");
}

void ClassicBuildLines::report(const build::ProgressEvent& event) {
  if (const auto* built = std::get_if<build::ImageBuilt>(&event)) {
    lines_.push({{"aux", {{"ID", built->id.str()}}}});
    stream(verbosity_ == Verbosity::Quiet ? built->id.str() + "\n"
                                          : "Successfully built " + built->id.short_hex() + "\n");
    return;
  }
  if (const auto* failed = std::get_if<build::BuildFailed>(&event)) {
    // The error itself ends the stream, from whoever runs the build.
    lines_.set_error_code(failed->exit_code);
    failed_at_an_instruction_ = failed->lines.first != 0;
    // Before the first step nothing has been sent, and the error is the answer's status.
    if (steps_begun_ && verbosity_ == Verbosity::All) stream(failed->excerpt);
    return;
  }
  if (verbosity_ == Verbosity::Quiet) return;
  if (const auto* awaited = std::get_if<build::StepAwaited>(&event)) {
    steps_begun_ = true;
    awaited_ = awaited->step;
    tell_step(awaited->step, awaited->total, awaited->instruction);
  } else if (const auto* started = std::get_if<build::StepStarted>(&event)) {
    if (steps_begun_ && started->stage != stage_) tell_stage_end();
    steps_begun_ = true;
    stage_ = started->stage;
    if (started->step > awaited_)
      tell_step(started->step, started->total, (started->onbuild ? "ONBUILD " : "") + started->instruction);
    if (started->triggers != 0)
      stream(fmt::format("# Executing {} build trigger{}\n", started->triggers,
                         started->triggers == 1 ? "" : "s"));
  } else if (std::holds_alternative<build::StepCached>(event)) {
    stream(" ---> Using cache\n");
  } else if (const auto* running = std::get_if<build::StepRunning>(&event)) {
    running_in_ = running->container_id.substr(0, 12);
    stream(" ---> Running in " + running_in_ + "\n");
  } else if (const auto* log = std::get_if<build::StepLog>(&event)) {
    // docker shows what a step writes to stderr in red on a terminal, by this escape.
    bool error = log->stream == build::OutputStream::Stderr;
    stream(error ? "\x1b[91m" + log->bytes + "\x1b[0m" : log->bytes);
  } else if (const auto* transfer = std::get_if<build::StepTransfer>(&event)) {
    Json detail = {{"current", transfer->current}};
    if (transfer->total != 0) detail["total"] = transfer->total;
    lines_.push({{"status", transfer->what}, {"progressDetail", std::move(detail)}},
                JsonLines::Weight::Progress);
  } else if (const auto* done = std::get_if<build::StepCompleted>(&event)) {
    if (!running_in_.empty())
      stream(" ---> Removed intermediate container " + std::exchange(running_in_, {}) + "\n");
    if (!done->id.empty()) stream(" ---> " + done->id.substr(0, 12) + "\n");
    last_id_ = done->id;
  } else if (const auto* warning = std::get_if<build::BuildWarning>(&event)) {
    if (warning->rule == nullptr) stream("[Warning] " + warning->text + "\n");
  } else if (const auto* tagged = std::get_if<build::ImageTagged>(&event)) {
    stream("Successfully tagged " + tagged->reference + "\n");
  }
}

}  // namespace berth::api
