// Walking components.
#include "engine/mounted_paths.h"

#include <cerrno>
#include <deque>

namespace berth::engine {
namespace {

constexpr int kMostLinks = 40;  // as in the kernel

/// To the front of what is still to be walked.
void push_components(std::string_view path, std::deque<std::string>& pending) {
  std::vector<std::string> components;
  while (!path.empty()) {
    size_t slash = path.find('/');
    std::string_view component = path.substr(0, slash);
    if (!component.empty() && component != ".") components.emplace_back(component);
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  pending.insert(pending.begin(), components.begin(), components.end());
}

std::string join(const std::vector<std::string>& components) {
  std::string path;
  for (const std::string& component : components) path.append("/").append(component);
  return path.empty() ? "/" : path;
}

bool has_source(const MountPoint& mount) {
  return mount.type != spec::MountType::Tmpfs && !mount.source.empty();
}

}  // namespace

Result<sys::RootDir> open_source(const MountPoint& mount) {
  if (mount.subpath.empty()) return sys::RootDir::open(mount.source);
  TRY(auto whole, sys::RootDir::open(mount.source, sys::Scope::Beneath));
  TRY(auto part, whole.open_dir(mount.subpath));
  return part.duplicate(sys::Scope::InRoot);
}

MountedPaths::MountedPaths(const sys::RootDir& root, std::vector<MountPoint> mounts) : root_(root) {
  for (MountPoint& mount : mounts) {
    if (!has_source(mount)) continue;
    // Where it is mounted is what the destination leads to in the root: /var/run/x is /run/x in most images.
    if (auto place = root.resolve(mount.destination)) mount.destination = std::move(*place);
    mounts_.push_back(std::move(mount));
  }
}

const MountPoint* MountedPaths::mount_of(std::string_view path) const {
  const MountPoint* found = nullptr;
  for (const MountPoint& mount : mounts_) {
    bool within = path == mount.destination ||
                  (path.starts_with(mount.destination) && path[mount.destination.size()] == '/');
    if (within && (found == nullptr || mount.destination.size() >= found->destination.size())) found = &mount;
  }
  return found;
}

/// What the link at a path without links says; empty: it is none, or nothing is there.
std::string MountedPaths::link_at(const std::string& path) {
  const MountPoint* mount = mount_of(path);
  if (mount == nullptr) return root_.readlink(path).value_or(std::string());
  if (path.size() == mount->destination.size()) return {};  // the mount point itself
  auto opened = opened_.find(mount);
  if (opened == opened_.end()) {
    auto directory = open_source(*mount);
    if (!directory) return {};
    opened = opened_.emplace(mount, std::move(*directory)).first;
  }
  return opened->second.readlink(path.substr(mount->destination.size())).value_or(std::string());
}

Result<std::string> MountedPaths::resolve(std::string_view path, sys::Follow last) {
  std::deque<std::string> pending;
  push_components(path, pending);
  std::vector<std::string> walked;
  for (int links = 0; !pending.empty();) {
    std::string component = std::move(pending.front());
    pending.pop_front();
    if (component == "..") {
      if (!walked.empty()) walked.pop_back();
      continue;
    }
    walked.push_back(std::move(component));
    if (pending.empty() && last == sys::Follow::No) break;
    std::string target = link_at(join(walked));
    if (target.empty()) continue;
    if (++links > kMostLinks) return Error::from_errno("resolve", path, ELOOP);
    walked.pop_back();
    if (target.starts_with('/')) walked.clear();
    push_components(target, pending);
  }
  return join(walked);
}

}  // namespace berth::engine
