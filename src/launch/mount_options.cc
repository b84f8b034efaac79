// The table of mount options.
#include "launch/mount_options.h"

#include <linux/mount.h>

#include <array>
#include <string_view>

#include "base/format.h"

namespace berth::launch {
namespace {

struct AttributeOption {
  std::string_view name;
  uint64_t set;
  uint64_t clear;
};

// A time option replaces the whole field.
constexpr AttributeOption kAttributes[] = {
    {"ro", MOUNT_ATTR_RDONLY, 0},
    {"rw", 0, MOUNT_ATTR_RDONLY},
    {"nosuid", MOUNT_ATTR_NOSUID, 0},
    {"suid", 0, MOUNT_ATTR_NOSUID},
    {"nodev", MOUNT_ATTR_NODEV, 0},
    {"dev", 0, MOUNT_ATTR_NODEV},
    {"noexec", MOUNT_ATTR_NOEXEC, 0},
    {"exec", 0, MOUNT_ATTR_NOEXEC},
    {"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"diratime", 0, MOUNT_ATTR_NODIRATIME},
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
    {"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    {"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"atime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"norelatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"nostrictatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
};

struct PropagationOption {
  std::string_view name;
  uint32_t flag;
  bool recursive;
};

constexpr PropagationOption kPropagations[] = {
    {"private", MS_PRIVATE, false},       {"rprivate", MS_PRIVATE, true},       {"slave", MS_SLAVE, false},
    {"rslave", MS_SLAVE, true},           {"shared", MS_SHARED, false},         {"rshared", MS_SHARED, true},
    {"unbindable", MS_UNBINDABLE, false}, {"runbindable", MS_UNBINDABLE, true},
};

/// Options that the superblock knows by another name, or not at all.
constexpr std::pair<std::string_view, std::string_view> kSuperblock[] = {
    {"sync", "sync"},    {"async", ""},    {"dirsync", "dirsync"}, {"lazytime", "lazytime"},
    {"nolazytime", ""},  {"mand", "mand"}, {"nomand", ""},         {"iversion", "iversion"},
    {"noiversion", ""},  {"silent", ""},   {"loud", ""},           {"defaults", ""},
    {"newinstance", ""}, {"remount", ""},  {"nofail", ""},         {"_netdev", ""},
    {"z", ""},           {"Z", ""},        {"nocopy", ""},
};

void apply(uint64_t& set, uint64_t& clear, const AttributeOption& option) {
  set = (set & ~option.clear) | option.set;
  clear = (clear & ~option.set) | option.clear;
}

bool apply_attribute(MountOptions& result, std::string_view name) {
  for (const auto& option : kAttributes) {
    if (option.name == name) {
      apply(result.set, result.clear, option);
      return true;
    }
    if (name.starts_with('r') && name.substr(1) == option.name) {
      apply(result.recursive_set, result.recursive_clear, option);
      return true;
    }
  }
  return false;
}

bool apply_propagation(MountOptions& result, std::string_view name) {
  for (const auto& option : kPropagations) {
    if (option.name != name) continue;
    result.propagation = option.flag;
    result.recursive_propagation = option.recursive;
    return true;
  }
  return false;
}

bool apply_superblock(MountOptions& result, std::string_view name) {
  for (const auto& [option, parameter] : kSuperblock) {
    if (option != name) continue;
    if (!parameter.empty()) result.parameters.emplace_back(parameter);
    return true;
  }
  return false;
}

}  // namespace

Result<MountOptions> parse_mount_options(const std::vector<std::string>& options) {
  MountOptions result;
  for (const auto& option : options) {
    if (option.empty()) continue;
    if (option == "bind") {
      if (result.bind == MountOptions::Bind::No) result.bind = MountOptions::Bind::Single;
    } else if (option == "rbind") {
      result.bind = MountOptions::Bind::Recursive;
    } else if (option == "tmpcopyup") {
      result.copy_up = true;
    } else if (option == "idmap") {
      result.id_map = MountOptions::IdMap::Single;
    } else if (option == "ridmap") {
      result.id_map = MountOptions::IdMap::Recursive;
    } else if (!apply_propagation(result, option) && !apply_attribute(result, option) &&
               !apply_superblock(result, option)) {
      result.parameters.push_back(option);
    }
  }
  return result;
}

}  // namespace berth::launch
