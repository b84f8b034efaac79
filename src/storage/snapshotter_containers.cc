// Containers' writable directories and the views of what they merge to.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/format.h"
#include "base/id.h"
#include "storage/snapshotter.h"
#include "sys/sub_ids.h"

namespace berth::storage {
namespace {

/// A container id becomes a path: nothing but a plain name passes.
Result<void> check_id(const std::string& id) {
  constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
  if (id.empty() || id.size() > 128 || id[0] == '.' || id.find_first_not_of(allowed) != std::string::npos) {
    return failure(Kind::InvalidArgument, "invalid container id \"{}\"", id.substr(0, 128));
  }
  return {};
}

Result<void> make_dir(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) != 0) return Error::from_errno("mkdir", path, errno);
  return {};
}

}  // namespace

std::string Snapshotter::container_dir(const std::string& container_id) const {
  return data_root_ + "/containers/" + container_id;
}

Result<OverlaySpec> Snapshotter::spec_for(const std::string& container_id,
                                          const std::optional<Digest>& chain_id,
                                          UpperDurability durability) const {
  OverlaySpec spec;
  spec.short_root = data_root_ + "/layers/l";
  if (chain_id) {
    TRY(std::vector<Record> records, records_of(*chain_id));
    for (const Record& record : records) {
      spec.lower.push_back(layer_dir(record.layer.chain_id) + "/fs");
      spec.short_lower.push_back(std::to_string(record.serial));
    }
  } else {
    spec.lower.push_back(data_root_ + "/layers/empty");
    spec.short_lower.push_back("empty");
  }
  std::string directory = container_dir(container_id);
  spec.upper = directory + "/upper";
  spec.work = directory + "/work";
  // Layers are shared and packed as they are: nothing may refer from one to another by redirect, metacopy or
  // index.
  spec.options = {"index=off", "metacopy=off"};
  // With its marks in user.*, overlayfs neither makes redirects nor follows them, and wants it said that way.
  if (sys::in_initial_user_namespace())
    spec.options.push_back("redirect_dir=off");
  else
    spec.options.insert(spec.options.end(), {"redirect_dir=nofollow", "userxattr"});
  if (durability == UpperDurability::Disposable) spec.options.push_back("volatile");
  return spec;
}

Result<OverlaySpec> Snapshotter::prepare(const std::string& container_id,
                                         const std::optional<Digest>& chain_id, UpperDurability durability) {
  CHECK(check_id(container_id));
  TRY(OverlaySpec spec, spec_for(container_id, chain_id, durability));
  std::string directory = container_dir(container_id);
  if (::mkdir(directory.c_str(), 0710) != 0 && errno != EEXIST)
    return Error::from_errno("mkdir", directory, errno);
  CHECK(make_dir(spec.upper, 0755));
  auto finish = [&]() -> Result<void> {
    CHECK(copy_root_attributes(chain_id, spec.upper));
    return make_dir(spec.work, 0711);
  };
  if (auto finished = finish(); !finished) {
    (void)::rmdir(spec.upper.c_str());
    (void)::rmdir(directory.c_str());  // stays if the engine has put something there
    return std::move(finished).error();
  }
  return spec;
}

Result<OverlaySpec> Snapshotter::mount_spec(const std::string& container_id,
                                            const std::optional<Digest>& chain_id,
                                            UpperDurability durability) {
  CHECK(check_id(container_id));
  TRY(OverlaySpec spec, spec_for(container_id, chain_id, durability));
  // A volatile mount leaves this mark, and overlayfs refuses the directory ever after (overlayfs.rst,
  // "Volatile mount"). Whoever starts such a container again accepts what a crash may have done to its files.
  CHECK(sys::remove_tree(spec.work + "/work/incompat"));
  return spec;
}

Result<void> Snapshotter::discard(const std::string& container_id) {
  CHECK(check_id(container_id));
  std::string target = fmt::format("{}/trash/{}-{}", data_root_, container_id, random_hex(4));
  if (::rename(container_dir(container_id).c_str(), target.c_str()) != 0 && errno != ENOENT) {
    return Error::from_errno("remove container", container_id, errno);
  }
  return {};
}

Result<void> Snapshotter::empty_trash(std::stop_token stop) {
  std::string trash = data_root_ + "/trash";
  TRY(std::vector<sys::DirEntry> entries, sys::list_dir(trash));
  std::optional<Error> first_error;
  for (const sys::DirEntry& entry : entries) {
    if (stop.stop_requested()) return Error(Kind::Cancelled, "cancelled");
    auto removed = sys::remove_tree(trash + "/" + entry.name, stop);
    // One tree that cannot go must not keep the others.
    if (!removed && !first_error) first_error = std::move(removed).error();
  }
  if (first_error) return *first_error;
  return {};
}

Result<void> Snapshotter::remove(const std::string& container_id) {
  CHECK(discard(container_id));
  return empty_trash();
}

Result<bool> Snapshotter::is_unchanged(const std::string& container_id) const {
  TRY(std::vector<sys::DirEntry> entries, sys::list_dir(container_dir(container_id) + "/upper"));
  return entries.empty();
}

Result<uint64_t> Snapshotter::usage(const std::string& container_id) const {
  TRY(sys::DiskUsage usage, sys::disk_usage(container_dir(container_id) + "/upper"));
  return usage.apparent_bytes;
}

Result<std::vector<Change>> Snapshotter::changes(const std::string& container_id,
                                                 const std::optional<Digest>& chain_id) const {
  CHECK(check_id(container_id));
  TRY(sys::RootDir upper, sys::RootDir::open(container_dir(container_id) + "/upper"));
  TRY(std::vector<sys::RootDir> lowers, open_chain(chain_id));
  return storage::changes(upper, lowers);
}

Result<sys::RootDir> Snapshotter::view(const std::string& container_id, const std::optional<Digest>& chain_id,
                                       ViewAccess access) const {
  CHECK(check_id(container_id));
  TRY(OverlaySpec spec, spec_for(container_id, chain_id, UpperDurability::Kept));
  if (access == ViewAccess::ReadOnly) {
    spec.lower.insert(spec.lower.begin(), spec.upper);
    return sys::open_detached_overlay({.lower = spec.lower, .options = {"metacopy=off"}});
  }
  CHECK(sys::remove_tree(spec.work + "/work/incompat"));
  return sys::open_detached_overlay(
      {.lower = spec.lower, .upper = spec.upper, .work = spec.work, .options = spec.options});
}

Result<sys::RootDir> Snapshotter::view_chain(const Digest& chain_id) const {
  TRY(std::vector<Record> records, records_of(chain_id));
  sys::OverlayLayers layers;
  for (const Record& record : records) layers.lower.push_back(layer_dir(record.layer.chain_id) + "/fs");
  return sys::open_detached_overlay(layers);
}

}  // namespace berth::storage
