// Namespaces and id mappings of a spec.
#include "launch/namespaces.h"

#include <linux/sched.h>

#include "base/format.h"

namespace berth::launch {

uint32_t clone_flag(spec::NamespaceType type) {
  switch (type) {
    case spec::NamespaceType::Pid:
      return CLONE_NEWPID;
    case spec::NamespaceType::Network:
      return CLONE_NEWNET;
    case spec::NamespaceType::Mount:
      return CLONE_NEWNS;
    case spec::NamespaceType::Ipc:
      return CLONE_NEWIPC;
    case spec::NamespaceType::Uts:
      return CLONE_NEWUTS;
    case spec::NamespaceType::User:
      return CLONE_NEWUSER;
    case spec::NamespaceType::Cgroup:
      return CLONE_NEWCGROUP;
    case spec::NamespaceType::Time:
      return CLONE_NEWTIME;
  }
  return 0;
}

const spec::Namespace* find_namespace(const std::vector<spec::Namespace>& namespaces,
                                      spec::NamespaceType type) {
  for (const auto& each : namespaces)
    if (each.type == type) return &each;
  return nullptr;
}

bool is_new(const std::vector<spec::Namespace>& namespaces, spec::NamespaceType type) {
  const auto* found = find_namespace(namespaces, type);
  return found != nullptr && found->path.empty();
}

Result<void> check_namespaces(const std::vector<spec::Namespace>& namespaces) {
  uint32_t seen = 0;
  for (const auto& each : namespaces) {
    uint32_t flag = clone_flag(each.type);
    if ((seen & flag) != 0) return Error(Kind::InvalidArgument, "malformed spec file: duplicated ns");
    seen |= flag;
  }
  return {};
}

bool maps_id(const std::vector<spec::IdMapping>& mappings, uint32_t container_id) {
  if (mappings.empty()) return true;
  for (const auto& map : mappings)
    if (container_id >= map.container_id && container_id - map.container_id < map.size) return true;
  return false;
}

std::string id_map_text(const std::vector<spec::IdMapping>& mappings) {
  std::string text;
  for (const auto& map : mappings) text += fmt::format("{} {} {}\n", map.container_id, map.host_id, map.size);
  return text;
}

}  // namespace berth::launch
