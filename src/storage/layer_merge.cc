// Layer upon layer into one overlay directory.
#include "storage/layer_merge.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/format.h"
#include "base/id.h"
#include "base/log.h"
#include "base/rollback.h"
#include "storage/copy_archive.h"
#include "storage/layer_names.h"
#include "storage/opaque_directories.h"
#include "storage/tree_reader.h"
#include "sys/file.h"

namespace berth::storage {
namespace {

/// Layers above `base`, the lowest first.
Result<std::vector<Layer>> layers_above(const Snapshotter& snapshotter, const std::optional<Digest>& top,
                                        const std::optional<Digest>& base) {
  std::vector<Layer> above;
  if (top == base) return above;
  if (top) {
    TRY(above, snapshotter.chain(*top));
  }
  auto found =
      std::ranges::find_if(above, [&](const Layer& layer) { return base && layer.chain_id == *base; });
  if (base && found == above.end())
    return failure(Kind::InvalidArgument, "{} does not stand on {}", top ? top->str() : "nothing",
                   base->str());
  above.erase(found, above.end());
  std::ranges::reverse(above);
  return above;
}

/// What has to be seen to in the merged tree before and after a layer is copied over it.
class Differences : public TreeVisitor {
 public:
  Differences(const sys::RootDir& merged, OpaqueDirectories& opaque) : merged_(merged), opaque_(opaque) {}

  Result<bool> visit(const TreeObject& object) override {
    if (!S_ISDIR(object.status.st_mode)) return true;
    auto there = merged_.stat(object.path, sys::Follow::No);
    bool marked = is_opaque(object);
    if (marked) opaque_.add(object.path);
    if (!there) return true;
    // A directory in the place of what was removed shows nothing of the base.
    if (is_whiteout(*there)) hiding_.push_back(object.path);
    if (marked && S_ISDIR(there->st_mode)) CHECK(merged_.remove_all(object.path));
    return true;
  }

  Result<void> finish() {
    for (const std::string& path : hiding_) {
      TRY(auto place, merged_.open_parent(path));
      const char* mark = ::geteuid() == 0 ? opaque_xattr : user_opaque_xattr;
      CHECK(sys::set_xattr_at(place.parent.get(), place.name, mark, "y"));
      opaque_.add(path);
    }
    return {};
  }

 private:
  static bool is_opaque(const TreeObject& object) {
    for (const char* name : {opaque_xattr, user_opaque_xattr}) {
      auto value = sys::get_xattr_at(object.parent_fd, object.name, name);
      if (value && *value == "y") return true;
    }
    return false;
  }

  const sys::RootDir& merged_;
  OpaqueDirectories& opaque_;
  std::vector<std::string> hiding_;
};

/// Whiteouts of what the base does not have: of what one of the layers had made.
class StaleWhiteouts : public TreeVisitor {
 public:
  explicit StaleWhiteouts(const sys::RootDir* base) : base_(base) {}

  Result<bool> visit(const TreeObject& object) override {
    bool stale =
        is_whiteout(object.status) && (base_ == nullptr || !base_->exists(object.path, sys::Follow::No));
    if (stale) paths_.push_back(object.path);
    return true;
  }
  Result<void> remove(const sys::RootDir& merged) const {
    for (const std::string& path : paths_) CHECK(merged.unlink(path));
    return {};
  }

 private:
  const sys::RootDir* base_;
  std::vector<std::string> paths_;
};

Result<void> remove_stale_whiteouts(const Snapshotter& snapshotter, const std::optional<Digest>& base,
                                    const sys::RootDir& merged, const std::stop_token& stop) {
  std::optional<sys::RootDir> view;
  if (base) {
    TRY(view, snapshotter.view_chain(*base));
  }
  StaleWhiteouts stale(view ? &*view : nullptr);
  CHECK(walk_tree(merged, stale, stop));
  return stale.remove(merged);
}

Result<void> add_layer(const std::string& directory, const sys::RootDir& merged, OpaqueDirectories& opaque,
                       const std::stop_token& stop) {
  TRY(auto layer, sys::RootDir::open(directory));
  Differences differences(merged, opaque);
  CHECK(walk_tree(layer, differences, stop));
  CHECK(copy_tree(layer, merged, {.overlay_marks = OverlayMarks::Keep, .stop = stop}));
  return differences.finish();
}

}  // namespace

Result<Layer> merge_layers(Snapshotter& snapshotter, const std::optional<Digest>& top,
                           const std::optional<Digest>& base, std::stop_token stop) {
  TRY(auto layers, layers_above(snapshotter, top, base));
  // By a container's kind of name, so that a daemon that starts finds it should this one not come to its end.
  const std::string id = random_id();
  Rollback undo;
  undo.add([&] {
    if (auto removed = snapshotter.remove(id); !removed) log::debug("{}", removed.error().message());
  });
  TRY(auto overlay, snapshotter.prepare(id, base));
  TRY(auto merged, sys::RootDir::open(overlay.upper));
  OpaqueDirectories opaque;
  for (const Layer& layer : layers)
    CHECK(add_layer(snapshotter.layer_dir(layer.chain_id) + "/fs", merged, opaque, stop));
  CHECK(opaque.remove_whiteouts(merged));
  CHECK(remove_stale_whiteouts(snapshotter, base, merged, stop));
  auto made = snapshotter.commit(id, base, CommitMode::Consume, stop);
  return made;
}

}  // namespace berth::storage
