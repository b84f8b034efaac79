// Telling criu of mounts.
#include "launch/external_mounts.h"

#include <algorithm>
#include <array>

#include "base/format.h"
#include "launch/mount_options.h"
#include "launch/mount_plan.h"

namespace berth::launch {
namespace {

/// "\040" is a space.
std::string unescaped(std::string_view text) {
  std::string plain;
  auto octal = [](char c) { return c >= '0' && c <= '7'; };
  for (size_t i = 0; i < text.size(); ++i) {
    bool escape = text[i] == '\\' && i + 3 < text.size() && octal(text[i + 1]) && octal(text[i + 2]) &&
                  octal(text[i + 3]);
    if (!escape) {
      plain.push_back(text[i]);
      continue;
    }
    plain.push_back(
        static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0')));
    i += 3;
  }
  return plain;
}

bool is_beneath(std::string_view path, std::string_view folder) {
  if (folder == "/") return path.size() > 1;
  return path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/';
}

bool is_cgroup(std::string_view type) {
  return type == "cgroup" || type == "cgroup2";
}

/// What the kernel makes anew for every mount of it, or shows by who looks.
bool is_pseudo(std::string_view type) {
  constexpr std::array kPseudo = {std::string_view("proc"),    std::string_view("sysfs"),
                                  std::string_view("mqueue"),  std::string_view("cgroup"),
                                  std::string_view("cgroup2"), std::string_view("securityfs"),
                                  std::string_view("debugfs"), std::string_view("tracefs")};
  return std::ranges::find(kPseudo, type) != kPseudo.end();
}

/// CVE-2026-119101: what follows "]:" in the name of a mount, which a link of the root may have chosen, would
/// be taken for a directory of the host.
Result<std::string> named(std::string_view key, std::string_view value) {
  if (key.find(']') == std::string_view::npos) return fmt::format("mnt[{}]:{}", key, value);
  return failure(Kind::Unsupported,
                 "mount \"{}\": criu cannot be told of paths with \"]\": have it elsewhere", key);
}

Result<void> check_owners(const spec::Mount& mount) {
  TRY(auto options, parse_mount_options(mount.options));
  if (options.id_map == MountOptions::IdMap::No && mount.uid_mappings.empty() && mount.gid_mappings.empty())
    return {};
  return failure(
      Kind::Unsupported,
      "mount \"{}\" has mapped owners, and criu would restore it without: containers with idmapped "
      "mounts cannot be checkpointed",
      mount.destination);
}

/// A configured mount and where it is.
struct Placed {
  const spec::Mount* mount;
  std::string at;
};

Result<std::vector<Placed>> place_mounts(const spec::RuntimeSpec& spec, const ResolveDestination& resolve) {
  std::vector<Placed> placed;
  for (const auto& mount : spec.mounts) {
    CHECK(check_owners(mount));
    placed.push_back({&mount, resolve(clean_path(mount.destination))});
  }
  return placed;
}

/// The configured mount that this one is, or is mounted in.
const Placed* nearest(const std::vector<Placed>& placed, const std::string& at) {
  const Placed* best = nullptr;
  for (const auto& each : placed)
    if ((each.at == at || is_beneath(at, each.at)) && (best == nullptr || each.at.size() >= best->at.size()))
      best = &each;
  return best;
}

bool has_device(const std::vector<SeenMount>& mounts, const std::string& device) {
  return std::ranges::any_of(mounts, [&](const SeenMount& each) { return each.device == device; });
}

/// A part of a filesystem that is mounted whole, or in a larger part, nowhere else: whoever made it has the
/// rest.
bool is_a_part_alone(const SeenMount& mount, const std::vector<SeenMount>& inside) {
  return mount.root != "/" && std::ranges::none_of(inside, [&](const SeenMount& other) {
           return other.device == mount.device && is_beneath(mount.root, other.root);
         });
}

bool is_recursive(const spec::Mount& mount) {
  auto options = parse_mount_options(mount.options);
  return options && options->bind == MountOptions::Bind::Recursive;
}

}  // namespace

std::vector<SeenMount> parse_mountinfo(std::string_view text) {
  std::vector<SeenMount> mounts;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    std::vector<std::string_view> words;
    while (!line.empty()) {
      std::string_view word = line.substr(0, line.find(' '));
      line.remove_prefix(std::min(line.size(), word.size() + 1));
      words.push_back(word);
    }
    auto separator = std::ranges::find(words, "-");
    if (words.size() < 7 || separator - words.begin() < 6 || words.end() - separator < 2) continue;
    mounts.push_back({.device = std::string(words[2]),
                      .root = unescaped(words[3]),
                      .at = unescaped(words[4]),
                      .type = std::string(separator[1])});
  }
  return mounts;
}

bool is_bind_mount(const spec::Mount& mount) {
  auto options = parse_mount_options(mount.options);
  return mount.type == "bind" || (options && options->bind != MountOptions::Bind::No);
}

Result<std::vector<std::string>> mounts_to_leave_out(const spec::RuntimeSpec& spec,
                                                     const std::vector<SeenMount>& inside,
                                                     const std::vector<SeenMount>& host,
                                                     const ResolveDestination& resolve) {
  TRY(auto placed, place_mounts(spec, resolve));
  bool v1 = std::ranges::any_of(inside, [](const SeenMount& each) { return each.type == "cgroup"; });
  const SeenMount* root = nullptr;
  for (const auto& each : inside)
    if (each.at == "/") root = &each;
  std::vector<std::string> names;
  for (const auto& mount : inside) {
    if (mount.at == "/") continue;
    const Placed* near = nearest(placed, mount.at);
    bool bound = near != nullptr && is_bind_mount(*near->mount);
    bool in_root = root != nullptr && mount.device == root->device &&
                   (mount.root == root->root || is_beneath(mount.root, root->root));
    bool hosts = !is_pseudo(mount.type) && !in_root &&
                 (has_device(host, mount.device) || is_a_part_alone(mount, inside));
    std::string name = mount.at;
    if (bound && (mount.at == near->at || hosts))
      name = clean_path(near->mount->destination) + mount.at.substr(near->at.size());
    else if (!hosts && !(v1 && is_cgroup(mount.type)))
      continue;
    TRY(std::string told, named(mount.at, name));
    CHECK(named(name, {}));  // as the key of the restore
    names.push_back(std::move(told));
  }
  return names;
}

Result<std::vector<std::string>> mounts_to_give(const spec::RuntimeSpec& spec,
                                                const std::vector<SeenMount>& host,
                                                const std::vector<GroupInHierarchy>& groups,
                                                const ResolveDestination& resolve) {
  TRY(auto placed, place_mounts(spec, resolve));
  std::vector<std::string> names;
  auto give = [&names](const std::string& key, const std::string& value) -> Result<void> {
    TRY(std::string name, named(key, value));
    if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
    return {};
  };
  for (const auto& [mount, at] : placed) {
    std::string destination = clean_path(mount->destination);
    if (is_cgroup(mount->type)) {
      for (const auto& group : groups)
        CHECK(give(fmt::format("{}/{}", destination, group.name), group.directory));
      continue;
    }
    if (!is_bind_mount(*mount)) continue;
    CHECK(give(destination, mount->source));
    CHECK(give(at, mount->source));  // as runc names it
    if (!is_recursive(*mount)) continue;
    for (const auto& below : host)
      if (is_beneath(below.at, mount->source))
        CHECK(give(destination + below.at.substr(mount->source == "/" ? 0 : mount->source.size()), below.at));
  }
  for (const auto& path : spec.masked_paths) CHECK(give(path, "/dev/null"));
  CHECK(give("/dev/null", "/dev/null"));  // what runc calls a masked file
  // Bound where the container has a user namespace.
  for (const char* node : {"/dev/zero", "/dev/full", "/dev/tty", "/dev/random", "/dev/urandom"})
    CHECK(give(node, node));
  for (const auto& device : spec.devices) CHECK(give(device.path, device.path));
  return names;
}

}  // namespace berth::launch
