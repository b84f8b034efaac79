// Drivers of device requests, and their edits.
#include "engine/device_requests.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "base/format.h"
#include "engine/plan_container.h"

namespace berth::engine {
namespace {

constexpr std::string_view kNvidiaHook = "nvidia-container-runtime-hook";
constexpr std::string_view kNvidiaDrivers[] = {"compute", "compat32", "graphics",
                                               "utility", "video",    "display"};

std::string find_in_path(std::string_view program) {
  const char* path = ::getenv("PATH");
  std::string_view rest = path == nullptr ? "/usr/sbin:/usr/bin:/sbin:/bin" : path;
  while (!rest.empty()) {
    std::string_view folder = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), folder.size() + 1));
    std::string candidate = fmt::format("{}/{}", folder, program);
    if (folder.starts_with('/') && ::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

bool is_among(std::string_view name, std::initializer_list<std::string_view> more) {
  return std::ranges::find(kNvidiaDrivers, name) != std::end(kNvidiaDrivers) ||
         std::ranges::find(more, name) != more.end();
}

/// The first of the alternatives whose every capability the driver has. One is needed.
std::optional<spec::StringList> matching(const spec::DeviceRequest& request,
                                         std::initializer_list<std::string_view> own) {
  for (const spec::StringList& all : request.capabilities) {
    if (std::ranges::all_of(all, [&](const std::string& name) { return is_among(name, own); })) return all;
  }
  return std::nullopt;
}

Result<void> check_count(const spec::DeviceRequest& request) {
  if (request.count == 0 || request.device_ids.empty()) return {};
  return Error(Kind::InvalidArgument, "cannot set both Count and DeviceIDs on device request");
}

/// "all", or the numbers of the first ones.
std::vector<std::string> wanted_devices(const spec::DeviceRequest& request) {
  if (!request.device_ids.empty()) return request.device_ids;
  if (request.count < 0) return {"all"};
  std::vector<std::string> names;
  for (int i = 0; i < request.count; ++i) names.push_back(std::to_string(i));
  return names;
}

spec::Hook nvidia_hook(const std::string& path) {
  return {.path = path, .args = {std::string(kNvidiaHook), "prestart"}};
}

/// The hook reads from the container's environment which devices are meant.
spec::CdiEdits nvidia_edits(const spec::DeviceRequest& request, const spec::StringList& capabilities,
                            const std::string& hook) {
  spec::CdiEdits edits;
  auto devices = wanted_devices(request);
  std::string visible = devices.empty() ? "void" : fmt::format("{}", fmt::join(devices, ","));
  edits.env.push_back("NVIDIA_VISIBLE_DEVICES=" + visible);
  spec::StringList drivers;
  for (const std::string& name : capabilities) {
    if (is_among(name, {})) drivers.push_back(name);
  }
  if (!drivers.empty())
    edits.env.push_back(fmt::format("NVIDIA_DRIVER_CAPABILITIES={}", fmt::join(drivers, ",")));
  edits.hooks.prestart.push_back(nvidia_hook(hook));
  return edits;
}

Error no_driver(const spec::DeviceRequest& request, const DeviceDrivers& drivers) {
  std::string lists;
  for (const spec::StringList& all : request.capabilities)
    lists += fmt::format("{}[{}]", lists.empty() ? "" : " ", fmt::join(all, " "));
  return failure(Kind::InvalidArgument, "could not select device driver \"{}\" with capabilities: [{}]: {}",
                 request.driver, lists,
                 drivers.cdi ? "no CDI specification of this host (--cdi-spec-dir) has such devices, and "
                               "nvidia-container-runtime-hook is not installed"
                             : "CDI is switched off (features: {\"cdi\": false}), and "
                               "nvidia-container-runtime-hook is not installed");
}

/// GPUs of one vendor by their CDI names: "nvidia.com/gpu=all".
Result<spec::CdiEdits> gpus_of(std::string_view kind, const spec::DeviceRequest& request,
                               const DeviceDrivers& drivers) {
  std::vector<std::string> names;
  for (const std::string& id : wanted_devices(request)) names.push_back(fmt::format("{}={}", kind, id));
  return drivers.catalog.edits_of(names);
}

bool has_kind(const DeviceDrivers& drivers, std::string_view kind) {
  return std::ranges::any_of(drivers.catalog.devices(), [&](const std::string& name) {
    return name.starts_with(kind) && name[kind.size()] == '=';
  });
}

Result<spec::CdiEdits> serve_cdi(const spec::DeviceRequest& request, const DeviceDrivers& drivers) {
  if (!drivers.cdi) return no_driver(request, drivers);
  if (request.count != 0) return Error(Kind::InvalidArgument, "unexpected count in CDI device request");
  if (!request.options.empty())
    return Error(Kind::InvalidArgument, "unexpected options in CDI device request");
  return drivers.catalog.edits_of(request.device_ids);
}

Result<spec::CdiEdits> serve(const spec::DeviceRequest& request, const DeviceDrivers& drivers) {
  if (request.driver == "cdi") {
    auto edits = serve_cdi(request, drivers);
    if (!edits && edits.error().kind() == Kind::NotFound)
      return std::move(edits).error().in("CDI device injection failed");
    return edits;
  }
  CHECK(check_count(request));
  bool any = request.driver.empty();
  if (any || request.driver == "nvidia") {
    auto capabilities = matching(request, {"gpu", "nvidia"});
    if (capabilities && !drivers.nvidia_hook.empty())
      return nvidia_edits(request, *capabilities, drivers.nvidia_hook);
    if (capabilities && has_kind(drivers, "nvidia.com/gpu"))
      return gpus_of("nvidia.com/gpu", request, drivers);
  }
  if (any || request.driver == "amd") {
    if (matching(request, {"gpu", "amd"}) && has_kind(drivers, "amd.com/gpu"))
      return gpus_of("amd.com/gpu", request, drivers);
  }
  return no_driver(request, drivers);
}

/// What the specification leaves to the host's node.
Result<spec::Device> device_of(const spec::CdiDeviceNode& node) {
  spec::Device device{.path = node.path,
                      .type = node.type,
                      .major = node.major,
                      .minor = node.minor,
                      .file_mode = node.file_mode,
                      .uid = node.uid,
                      .gid = node.gid};
  bool complete = node.type == 'p' || (node.type != 0 && node.major != 0);
  if (complete) return device;
  const std::string& host_path = node.host_path.empty() ? node.path : node.host_path;
  struct stat status {};
  if (::stat(host_path.c_str(), &status) != 0)
    return Error::from_errno("stat CDI host device", host_path, errno);
  char type = S_ISBLK(status.st_mode)    ? 'b'
              : S_ISCHR(status.st_mode)  ? 'c'
              : S_ISFIFO(status.st_mode) ? 'p'
                                         : 0;
  char wanted = node.type == 'u' ? 'c' : node.type;
  if (type == 0 || (wanted != 0 && wanted != type))
    return failure(Kind::InvalidArgument, "CDI device \"{}\": host type mismatch, \"{}\" is no such device",
                   node.path, host_path);
  device.type = type;
  if (node.major == 0 && type != 'p') {
    device.major = ::major(status.st_rdev);
    device.minor = ::minor(status.st_rdev);
  }
  return device;
}

/// Ids of a user that is given by numbers; what names mean is known inside alone.
std::optional<uint32_t> number_in(std::string_view text) {
  uint32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || value == 0)
    return std::nullopt;
  return value;
}

Result<void> add_node(const spec::CdiDeviceNode& node, bool privileged, spec::RuntimeSpec& spec) {
  TRY(spec::Device device, device_of(node));
  std::string user = spec.process.user.name.value_or("");
  size_t colon = user.find(':');
  if (!device.uid) device.uid = number_in(std::string_view(user).substr(0, colon));
  if (!device.gid && colon != user.npos) device.gid = number_in(std::string_view(user).substr(colon + 1));
  if (!privileged && device.type != 'p')
    spec.resources.devices.push_back({.allow = true,
                                      .type = device.type == 'u' ? 'c' : device.type,
                                      .major = device.major,
                                      .minor = device.minor,
                                      .access = node.permissions.empty() ? "rwm" : node.permissions});
  std::erase_if(spec.devices, [&](const spec::Device& other) { return other.path == device.path; });
  spec.devices.push_back(std::move(device));
  return {};
}

void add_mounts(const std::vector<spec::Mount>& mounts, spec::RuntimeSpec& spec) {
  for (spec::Mount mount : mounts) {
    std::erase_if(spec.mounts,
                  [&](const spec::Mount& other) { return other.destination == mount.destination; });
    bool bound = std::ranges::any_of(
        mount.options, [](const std::string& option) { return option == "bind" || option == "rbind"; });
    if (mount.type.empty() && bound) mount.type = "bind";
    spec.mounts.push_back(std::move(mount));
  }
  // What lies deeper comes later.
  std::ranges::stable_sort(
      spec.mounts, {}, [](const spec::Mount& mount) { return std::ranges::count(mount.destination, '/'); });
}

template <class T>
void append_all(std::vector<T>& list, const std::vector<T>& more) {
  list.insert(list.end(), more.begin(), more.end());
}

}  // namespace

DeviceDrivers find_device_drivers(const std::vector<std::string>& cdi_directories) {
  return {.cdi = !cdi_directories.empty(),
          .catalog = CdiCatalog::read(cdi_directories),
          .nvidia_hook = find_in_path(kNvidiaHook)};
}

Result<spec::CdiEdits> serve_device_requests(const std::vector<spec::DeviceRequest>& requests,
                                             const DeviceDrivers& drivers) {
  spec::CdiEdits all;
  for (const spec::DeviceRequest& request : requests) {
    TRY(auto edits, serve(request, drivers));
    all.append(edits);
  }
  if (all.intel_rdt)
    return Error(Kind::Unsupported, "a CDI device asks for Intel RDT (intelRdt), which berth does not set");
  if (!all.hooks.start_container.empty())
    return failure(Kind::Unsupported,
                   "a CDI device has a startContainer hook ({}), a program inside the container, which berth "
                   "does not run",
                   all.hooks.start_container.front().path);
  return all;
}

Result<spec::CdiEdits> serve_nvidia_runtime(const spec::StringList& env, const DeviceDrivers& drivers) {
  spec::CdiEdits edits;
  if (!drivers.nvidia_hook.empty()) {
    edits.hooks.prestart.push_back(nvidia_hook(drivers.nvidia_hook));
    return edits;
  }
  if (!has_kind(drivers, "nvidia.com/gpu"))
    return Error(
        Kind::InvalidArgument,
        "runtime \"nvidia\": this host has no nvidia-container-runtime-hook, and no CDI specification "
        "of it (--cdi-spec-dir) has devices of nvidia.com/gpu: install NVIDIA's container toolkit");
  constexpr std::string_view kVisible = "NVIDIA_VISIBLE_DEVICES=";
  auto found = std::ranges::find_if(env, [&](const std::string& line) { return line.starts_with(kVisible); });
  std::string_view wanted = found == env.end() ? "" : std::string_view(*found).substr(kVisible.size());
  if (wanted == "void" || wanted == "none") return edits;
  spec::DeviceRequest request;
  while (!wanted.empty()) {
    std::string_view id = wanted.substr(0, wanted.find(','));
    wanted.remove_prefix(std::min(wanted.size(), id.size() + 1));
    request.device_ids.emplace_back(id);
  }
  return request.device_ids.empty() ? edits : gpus_of("nvidia.com/gpu", request, drivers);
}

Result<void> apply_device_edits(const spec::CdiEdits& edits, bool privileged, spec::RuntimeSpec& spec) {
  override_environment(spec.process.env, edits.env);
  for (const spec::CdiDeviceNode& node : edits.device_nodes) CHECK(add_node(node, privileged, spec));
  if (!edits.mounts.empty()) add_mounts(edits.mounts, spec);
  for (uint32_t gid : edits.additional_gids) {
    if (gid != 0) spec.process.user.additional_groups.push_back(std::to_string(gid));
  }
  append_all(spec.hooks.prestart, edits.hooks.prestart);
  append_all(spec.hooks.create_runtime, edits.hooks.create_runtime);
  append_all(spec.hooks.create_container, edits.hooks.create_container);
  append_all(spec.hooks.poststart, edits.hooks.poststart);
  append_all(spec.hooks.poststop, edits.hooks.poststop);
  return {};
}

}  // namespace berth::engine
