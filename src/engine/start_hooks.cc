// Bundles, and the process that runs hooks.
#include "engine/start_hooks.h"

#include <unistd.h>

#include <csignal>

#include "base/format.h"
#include "base/json.h"
#include "base/log.h"
#include "launch/hooks.h"
#include "spec/runtime_json.h"
#include "sys/file.h"
#include "sys/host_program.h"

namespace berth::engine {
namespace {

constexpr size_t kMaxComplaint = size_t{64} << 10;
constexpr size_t kMaxConfig = size_t{8} << 20;
/// Of hooks that name no time of their own: nothing may keep a start, or the engine's end, for ever.
constexpr int64_t kLongestSeconds = 120;

std::string bundle_of(const std::string& exec_dir) {
  return exec_dir + "/bundle";
}

bool any_hooks(const spec::Hooks& hooks) {
  return !hooks.prestart.empty() || !hooks.create_runtime.empty() || !hooks.create_container.empty() ||
         !hooks.poststart.empty() || !hooks.poststop.empty();
}

bool any_create_hooks(const spec::Hooks& hooks) {
  return !hooks.prestart.empty() || !hooks.create_runtime.empty() || !hooks.create_container.empty();
}

/// Each within some time.
launch::HookStage stage_of(launch::HookPlace place, std::vector<spec::Hook> hooks) {
  for (spec::Hook& hook : hooks) hook.timeout = hook.timeout.value_or(kLongestSeconds);
  return {std::move(place), std::move(hooks)};
}

Json capability_sets(const spec::Process& process) {
  if (!process.capabilities) return nullptr;
  const spec::Capabilities& sets = *process.capabilities;
  return {{"bounding", sets.bounding},
          {"effective", sets.effective},
          {"permitted", sets.permitted},
          {"inheritable", sets.inheritable},
          {"ambient", sets.ambient}};
}

/// config.json, as far as hooks look into it: root, process, mounts, devices and the hooks themselves.
std::string bundle_config(const spec::RuntimeSpec& spec, const std::string& root) {
  Json mounts = Json::array();
  for (const spec::Mount& mount : spec.mounts) {
    mounts.push_back({{"destination", mount.destination},
                      {"type", mount.type},
                      {"source", mount.source},
                      {"options", mount.options}});
  }
  Json devices = Json::array();
  for (const spec::Device& device : spec.devices) {
    devices.push_back({{"path", device.path},
                       {"type", std::string(1, device.type)},
                       {"major", device.major},
                       {"minor", device.minor}});
  }
  Json process = {{"cwd", spec.process.cwd},
                  {"args", spec.process.args},
                  {"env", spec.process.env},
                  {"terminal", spec.process.terminal},
                  {"user", {{"uid", spec.process.user.uid}, {"gid", spec.process.user.gid}}}};
  if (spec.process.capabilities) process["capabilities"] = capability_sets(spec.process);
  return to_json(Json{{"ociVersion", spec.oci_version},
                      {"root", {{"path", root}, {"readonly", spec.root.readonly}}},
                      {"hostname", spec.hostname},
                      {"process", std::move(process)},
                      {"mounts", std::move(mounts)},
                      {"annotations", spec.annotations},
                      {"hooks",
                       {{"prestart", launch::hook_list(spec.hooks.prestart)},
                        {"createRuntime", launch::hook_list(spec.hooks.create_runtime)},
                        {"createContainer", launch::hook_list(spec.hooks.create_container)},
                        {"poststart", launch::hook_list(spec.hooks.poststart)},
                        {"poststop", launch::hook_list(spec.hooks.poststop)}}},
                      {"linux", {{"devices", std::move(devices)}}}});
}

/// What hooks get on their stdin.
std::string state_text(const std::string& id, std::string_view status, pid_t pid, const std::string& bundle,
                       const std::map<std::string, std::string>& annotations) {
  Json state = {{"ociVersion", "1.2.0"},
                {"id", id},
                {"status", status},
                {"bundle", bundle},
                {"annotations", annotations}};
  if (pid != 0) state["pid"] = pid;
  return to_json(state);
}

Result<spec::RuntimeSpec> read_bundle(const std::string& bundle) {
  TRY(std::string text, sys::read_file(bundle + "/config.json", kMaxConfig));
  return spec::parse_runtime_spec(text);
}

/// Has a process run what the document says, and waits for its end.
Result<void> run_document(std::vector<std::string> runner, const std::string& bundle, std::string_view name,
                          const std::string& document) {
  if (runner.empty()) return Error(Kind::Internal, "there is no program to run hooks with");
  std::string path = fmt::format("{}/{}.json", bundle, name);
  CHECK(sys::write_file_atomic(path, document, 0600));
  runner.push_back(path);
  TRY(auto program, sys::HostProgram::start(runner, sys::host_environment()));
  program.close_output();
  auto complaint = sys::read_fd(program.standard_error(), kMaxComplaint);
  TRY(int status, program.wait());
  if (status == 0) return {};
  std::string text = complaint ? *complaint : std::string();
  while (text.ends_with('\n')) text.pop_back();
  return failure(Kind::Internal, "{}", text.empty() ? fmt::format("hooks ended with {}", status) : text);
}

Result<void> run_creation(const std::vector<std::string>& runner, const std::string& id,
                          const std::string& bundle, pid_t pid) {
  TRY(spec::RuntimeSpec spec, read_bundle(bundle));
  std::vector<launch::HookStage> stages = {
      stage_of({.what = "prestart", .directory = bundle}, spec.hooks.prestart),
      stage_of({.what = "createRuntime", .directory = bundle}, spec.hooks.create_runtime),
      stage_of({.what = "createContainer", .directory = spec.root.path, .container = pid},
               spec.hooks.create_container)};
  return run_document(
      runner, bundle, "create",
      launch::encode_hooks(stages, state_text(id, "creating", pid, bundle, spec.annotations)));
}

io::Task<void> create_hooks(Core& core, ContainerHandle container, std::shared_ptr<Run> run, pid_t pid) {
  const std::string id = container->record.id;
  const std::string bundle = bundle_of(core.exec_dir(id));
  auto work = [&] { return run_creation(core.options.hook_runner, id, bundle, pid); };
  auto done = co_await core.loop.on_worker(work);
  if (!run->keeper || run->exited.is_set()) co_return;
  if (!done) run->start_problem = done.error().message();
  auto told = done ? run->keeper->release() : run->keeper->signal("", SIGKILL);
  if (!told) log::warn("container {}: {}", container->record.short_id(), told.error().message());
}

io::Task<void> poststart_hooks(Core& core, ContainerHandle container, pid_t pid) {
  const std::string id = container->record.id;
  const std::string bundle = bundle_of(core.exec_dir(id));
  auto work = [&]() -> Result<void> {
    TRY(spec::RuntimeSpec spec, read_bundle(bundle));
    if (spec.hooks.poststart.empty()) return {};
    return run_document(
        core.options.hook_runner, bundle, "poststart",
        launch::encode_hooks({stage_of({.what = "poststart", .directory = bundle}, spec.hooks.poststart)},
                             state_text(id, "running", pid, bundle, spec.annotations)));
  };
  auto done = co_await core.loop.on_worker(work);
  if (!done) log::warn("container {}: {}", container->record.short_id(), done.error().message());
}

}  // namespace

Result<void> prepare_hooks(Core& core, const ContainerRecord& record, const UserMaps& maps,
                           launch::LaunchRequest& request) {
  const spec::Hooks& hooks = request.spec.hooks;
  if (!any_hooks(hooks)) return {};
  if (maps)
    return Error(
        Kind::Unsupported,
        "the container's devices come with hooks, which berth does not run in a user namespace: give "
        "--userns host");
  std::string bundle = bundle_of(core.exec_dir(record.id));
  std::string root = bundle + "/rootfs";
  CHECK(sys::make_dirs(root, 0700));
  CHECK(sys::write_file_atomic(bundle + "/config.json", bundle_config(request.spec, root), 0600));
  if (!any_create_hooks(hooks)) return {};
  request.awaits_hooks = true;
  std::get<launch::OverlayRoot>(request.root).seen_at = root;
  return {};
}

void run_create_hooks(Core& core, const ContainerHandle& container, pid_t pid) {
  core.tasks.spawn(create_hooks(core, container, container->run, pid));
}

void run_poststart_hooks(Core& core, const ContainerHandle& container) {
  if (::access(bundle_of(core.exec_dir(container->record.id)).c_str(), F_OK) != 0) return;
  core.in_background(poststart_hooks(core, container, container->run->pid));
}

void run_poststop_hooks(const std::vector<std::string>& runner, const std::string& id,
                        const std::string& exec_dir) {
  std::string bundle = bundle_of(exec_dir);
  if (::access(bundle.c_str(), F_OK) != 0) return;
  auto spec = read_bundle(bundle);
  Result<void> done = spec ? Result<void>() : Result<void>(std::move(spec).error());
  if (spec && !spec->hooks.poststop.empty())
    done = run_document(
        runner, bundle, "poststop",
        launch::encode_hooks({stage_of({.what = "poststop", .directory = bundle}, spec->hooks.poststop)},
                             state_text(id, "stopped", 0, bundle, spec->annotations)));
  if (!done) log::warn("container {}: {}", id.substr(0, 12), done.error().message());
}

}  // namespace berth::engine
