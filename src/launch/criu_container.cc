// Containers in criu's words.
#include "launch/criu_container.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "base/format.h"
#include "launch/external_mounts.h"
#include "launch/namespaces.h"
#include "launch/stdio_record.h"
#include "sys/file.h"
#include "sys/root_dir.h"

namespace berth::launch {
namespace {

constexpr size_t kMaxMountinfo = 16u << 20;

/// A namespace that criu only joins; its name in the images, as runc and crun have it.
struct JoinedNamespace {
  spec::NamespaceType type;
  const char* file;
  const char* key;
};
constexpr JoinedNamespace kJoined[] = {{spec::NamespaceType::Network, "net", "extRootNetNS"},
                                       {spec::NamespaceType::Pid, "pid", "extRootPidNS"}};

bool is_joined(const spec::RuntimeSpec& spec, spec::NamespaceType type) {
  const auto* found = find_namespace(spec.namespaces, type);
  return found != nullptr && !found->path.empty();
}

Result<std::vector<SeenMount>> mounts_of(const std::string& process) {
  TRY(std::string text, sys::read_file(fmt::format("/proc/{}/mountinfo", process), kMaxMountinfo));
  return parse_mountinfo(text);
}

ResolveDestination resolver(const sys::RootDir& root) {
  return [&root](const std::string& destination) {
    auto resolved = root.resolve(destination);
    return resolved ? *resolved : destination;
  };
}

/// Links in the source of a bind are followed once, here.
void follow_sources(spec::RuntimeSpec& spec) {
  for (auto& mount : spec.mounts) {
    if (!is_bind_mount(mount)) continue;
    std::error_code error;
    auto real = std::filesystem::canonical(mount.source, error);
    if (!error) mount.source = real;
  }
}

/// Where the container's mount of its groups has a hierarchy each. Empty on hosts with cgroup v2 alone: criu
/// mounts that itself.
Result<std::vector<GroupInHierarchy>> groups_by_hierarchy(const std::vector<SeenMount>& host,
                                                          const CriuSubject& container) {
  std::vector<GroupInHierarchy> groups;
  if (container.group == nullptr) return groups;
  if (std::ranges::none_of(host, [](const auto& each) { return each.type == "cgroup"; })) return groups;
  for (const auto& [directory, controllers] : container.group->directories())
    for (const auto& hierarchy : container.hierarchies)
      if (directory.starts_with(hierarchy.mount + "/"))
        groups.push_back({hierarchy.mount.substr(hierarchy.mount.rfind('/') + 1), directory});
  return groups;
}

/// The one that pauses the container (sys::Cgroup::freeze()): of a group that is frozen in another way criu
/// would wait for ever.
std::string freezer_of(const sys::Cgroup& group) {
  std::string old;
  for (const auto& [directory, controllers] : group.directories()) {
    if (::access((directory + "/cgroup.freeze").c_str(), F_OK) == 0) return directory;
    if (::access((directory + "/freezer.state").c_str(), F_OK) == 0) old = directory;
  }
  return old;
}

}  // namespace

Result<void> check_for_criu(const spec::RuntimeSpec& spec) {
  if (::geteuid() != 0) return Error(Kind::Forbidden, "checkpoint and restore need root, as criu does");
  if (!is_new(spec.namespaces, spec::NamespaceType::Mount))
    return Error(Kind::Unsupported, "criu needs a container with a mount namespace of its own");
  if (is_joined(spec, spec::NamespaceType::Cgroup))
    return Error(Kind::Unsupported, "criu cannot join a cgroup namespace");
  return {};
}

Result<void> describe_dump(const CriuSubject& container, CriuOptions& options) {
  const spec::RuntimeSpec& spec = container.spec;
  options.pid = container.pid;
  options.root = container.root;
  for (const auto& [type, file, key] : kJoined) {
    if (!is_joined(spec, type)) continue;
    struct stat status {};
    std::string path = fmt::format("/proc/{}/ns/{}", container.pid, file);
    if (::stat(path.c_str(), &status) != 0) return Error::from_errno("look at", path, errno);
    options.external.push_back(fmt::format("{}[{}]:{}", file, status.st_ino, key));
  }
  TRY(auto root, sys::RootDir::open(fmt::format("/proc/{}/root", container.pid)));
  TRY(auto inside, mounts_of(std::to_string(container.pid)));
  TRY(auto host, mounts_of("self"));
  TRY(auto mounts, mounts_to_leave_out(spec, inside, host, resolver(root)));
  options.external.insert(options.external.end(), mounts.begin(), mounts.end());
  for (const auto& each : container.stdio)
    if (is_outside_file(each) && std::ranges::find(options.external, each) == options.external.end())
      options.external.push_back(each);
  if (container.group != nullptr)
    options.freezer = freezer_of(*container.group);
  else
    options.cgroups = CriuCgroups::Ignore;
  return {};
}

Result<std::vector<sys::UniqueFd>> describe_restore(const CriuSubject& container, CriuPlaces places,
                                                    CriuOptions& options) {
  const spec::RuntimeSpec& spec = container.spec;
  std::vector<sys::UniqueFd> namespaces;
  options.evasive_devices = true;
  options.restore_sibling = true;
  for (const auto& each : spec.namespaces) {
    if (each.path.empty()) continue;
    const auto* joined = std::ranges::find(kJoined, each.type, &JoinedNamespace::type);
    if (joined == std::end(kJoined)) {
      constexpr std::pair<spec::NamespaceType, const char*> kNames[] = {{spec::NamespaceType::Ipc, "ipc"},
                                                                        {spec::NamespaceType::Uts, "uts"},
                                                                        {spec::NamespaceType::Time, "time"},
                                                                        {spec::NamespaceType::User, "user"}};
      for (const auto& [type, name] : kNames)
        if (type == each.type) options.joined.emplace_back(name, each.path);
      continue;
    }
    TRY(auto file, sys::open_file(each.path.c_str(), O_RDONLY));
    options.inherited.emplace_back(joined->key, places.namespaces + static_cast<int>(namespaces.size()));
    namespaces.push_back(std::move(file));
  }
  spec::RuntimeSpec followed = spec;
  follow_sources(followed);
  TRY(auto root, sys::RootDir::open(container.root));
  TRY(auto host, mounts_of("self"));
  TRY(auto groups, groups_by_hierarchy(host, container));
  TRY(options.external, mounts_to_give(followed, host, groups, resolver(root)));
  for (size_t i = 0; i < container.stdio.size(); ++i)
    if (can_be_given(container.stdio[i]))
      options.inherited.emplace_back(container.stdio[i], places.streams + static_cast<int>(i));
  return namespaces;
}

std::vector<std::pair<std::string, std::string>> cgroup_roots(std::string_view proc_cgroup) {
  std::vector<std::pair<std::string, std::string>> roots;
  while (!proc_cgroup.empty()) {
    std::string_view line = proc_cgroup.substr(0, proc_cgroup.find('\n'));
    proc_cgroup.remove_prefix(std::min(proc_cgroup.size(), line.size() + 1));
    size_t first = line.find(':');
    size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    std::string_view controllers = line.substr(first + 1, second - first - 1);
    std::string path(line.substr(second + 1));
    do {
      std::string_view controller = controllers.substr(0, controllers.find(','));
      controllers.remove_prefix(std::min(controllers.size(), controller.size() + 1));
      roots.emplace_back(controller, path);
    } while (!controllers.empty());
  }
  return roots;
}

std::string criu_config_file() {
  constexpr const char* kOwn = "/etc/criu/berth.conf";
  return ::access(kOwn, F_OK) == 0 ? kOwn : "/etc/criu/runc.conf";
}

}  // namespace berth::launch
