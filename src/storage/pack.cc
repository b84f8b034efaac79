// pack_tree() and pack_layer(): directory trees as tar archives.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/format.h"
#include "storage/archive.h"
#include "storage/checksum.h"
#include "storage/layer_names.h"
#include "storage/recipe.h"
#include "storage/tar_writer.h"
#include "storage/tree_reader.h"
#include "sys/file.h"

namespace berth::storage {
namespace {

constexpr size_t read_chunk = 256 * 1024;

class Packer : public TreeVisitor {
 public:
  Packer(ByteSink& out, RecipeWriter* recipe, const PackOptions& options, Whiteouts whiteouts)
      : tar_(out, recipe), options_(options), whiteouts_(whiteouts), buffer_(read_chunk) {}

  Result<void> root(const sys::RootDir& root) {
    if (!options_.include_root) return {};
    struct stat status {};
    if (::fstatat(root.fd(), "", &status, AT_EMPTY_PATH) != 0) return Error::from_errno("stat", ".", errno);
    TarEntry entry = *entry_of(status);
    TRY(entry.xattrs, portable_xattrs(root.fd(), "."));
    entry.name = options_.prefix.empty() ? "./" : options_.prefix == "/" ? "/" : options_.prefix + "/";
    return write(entry);
  }

  Result<bool> visit(const TreeObject& object) override {
    bool is_directory = S_ISDIR(object.status.st_mode);
    if (options_.filter && !options_.filter(object.path, is_directory)) return false;
    if (whiteouts_ == Whiteouts::Overlay && is_whiteout(object.status)) {
      CHECK(write_whiteout(object));
      return false;
    }
    auto entry = entry_of(object.status);
    if (!entry) return false;
    entry->name = name_of(object.path) + (is_directory ? "/" : "");
    if (!object.first_link.empty()) {
      entry->type = TarType::HardLink;
      entry->link = name_of(object.first_link);
      CHECK(write(*entry));
      return false;
    }
    TRY(entry->xattrs, portable_xattrs(object.parent_fd, object.name));
    if (entry->type == TarType::Symlink) {
      TRY(entry->link, read_link(object));
    }
    if (entry->type == TarType::File) {
      CHECK(write_file(*entry, object));
    } else {
      CHECK(write(*entry));
    }
    if (is_directory && whiteouts_ == Whiteouts::Overlay) CHECK(write_opaque_mark(*entry, object));
    return true;
  }

  Result<PackResult> finish() {
    CHECK(tar_.finish());
    result_.stream_bytes = tar_.bytes();
    return result_;
  }

 private:
  std::string name_of(const std::string& path) const {
    if (options_.prefix.empty()) return path;
    return options_.prefix == "/" ? "/" + path : options_.prefix + "/" + path;
  }

  void adjust(TarEntry& entry) const {
    entry.mtime.nanoseconds = 0;
    if (options_.clamp_mtime) {
      int64_t limit = to_unix_nanoseconds(*options_.clamp_mtime) / 1'000'000'000;
      entry.mtime.seconds = std::min(entry.mtime.seconds, limit);
    }
    if (options_.owner) {
      entry.uid = options_.owner->uid;
      entry.gid = options_.owner->gid;
    }
  }

  Result<void> write(TarEntry entry) {
    adjust(entry);
    ++result_.entries;
    return tar_.header(entry);
  }

  static Result<std::vector<sys::Xattr>> portable_xattrs(int parent_fd, const std::string& name) {
    TRY(std::vector<sys::Xattr> attributes, sys::read_xattrs_at(parent_fd, name));
    for (const sys::Xattr& attribute : attributes) {
      if (attribute.name == "trusted.overlay.redirect" || attribute.name == "trusted.overlay.metacopy") {
        // berth mounts with both features off; such a directory was written by another mount.
        return failure(Kind::Unsupported, "{}: overlayfs redirect and metacopy cannot be packed", name);
      }
    }
    std::erase_if(attributes, [](const sys::Xattr& attribute) { return !is_portable_xattr(attribute.name); });
    return attributes;
  }

  static Result<std::string> read_link(const TreeObject& object) {
    std::string target(static_cast<size_t>(std::max<off_t>(object.status.st_size, 1)) + 1, '\0');
    while (true) {
      ssize_t length = ::readlinkat(object.parent_fd, object.name.c_str(), target.data(), target.size());
      if (length < 0) return Error::from_errno("read link", object.path, errno);
      if (static_cast<size_t>(length) < target.size()) {
        target.resize(static_cast<size_t>(length));
        return target;
      }
      target.resize(target.size() * 2);
    }
  }

  Result<void> write_whiteout(const TreeObject& object) {
    auto [parent, name] = split_path(object.path);
    TarEntry entry = *entry_of(object.status);
    entry.type = TarType::File;
    entry.mode = 0600;
    entry.size = entry.major = entry.minor = 0;
    entry.name =
        name_of(parent.empty() ? fmt::format(".wh.{}", name) : fmt::format("{}/.wh.{}", parent, name));
    return write(std::move(entry));
  }

  Result<void> write_opaque_mark(const TarEntry& directory, const TreeObject& object) {
    auto mark = sys::get_xattr_at(object.parent_fd, object.name, opaque_xattr);
    if (!mark) mark = sys::get_xattr_at(object.parent_fd, object.name, user_opaque_xattr);
    if (!mark || *mark != "y") return {};
    TarEntry entry = directory;
    entry.type = TarType::File;
    entry.mode &= 0777;
    entry.size = 0;
    entry.xattrs.clear();
    entry.name = directory.name + std::string(opaque_marker);
    return write(std::move(entry));
  }

  Result<void> write_file(TarEntry entry, const TreeObject& object) {
    // O_NONBLOCK: a fifo may have taken the file's place since it was seen.
    sys::UniqueFd file(
        ::openat(object.parent_fd, object.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file && errno == ENOENT) return {};
    if (!file) return Error::from_errno("open", object.path, errno);
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) return Error::from_errno("stat", object.path, errno);
    if (!S_ISREG(status.st_mode)) return {};
    entry.size = static_cast<uint64_t>(status.st_size);
    adjust(entry);
    ++result_.entries;
    result_.content_bytes += entry.size;
    TRY(std::vector<SparseExtent> extents, data_extents(file.get(), entry.size));
    bool is_whole = extents.size() == 1 && extents[0].offset == 0 && extents[0].length == entry.size;
    if (is_whole) {
      CHECK(tar_.header(entry));
    } else {
      CHECK(tar_.sparse_header(entry, extents));
    }
    for (const SparseExtent& extent : extents) CHECK(copy_extent(file.get(), extent, object.path));
    return tar_.end_file();
  }

  /// The header has promised a length: a file that has shrunk meanwhile is filled up with zeros.
  Result<void> copy_extent(int fd, const SparseExtent& extent, const std::string& path) {
    uint64_t offset = extent.offset;
    uint64_t end = extent.offset + extent.length;
    while (offset < end) {
      if (options_.stop.stop_requested()) return Error(Kind::Cancelled, "cancelled");
      size_t wanted = static_cast<size_t>(std::min<uint64_t>(end - offset, buffer_.size()));
      ssize_t count = ::pread(fd, buffer_.data(), wanted, static_cast<off_t>(offset));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return Error::from_errno("read", path, errno);
      if (count == 0) {
        std::fill_n(buffer_.begin(), wanted, '\0');
        CHECK(tar_.content(std::string_view(buffer_.data(), wanted)));
        offset += wanted;
        continue;
      }
      CHECK(tar_.content_of(path, offset, std::string_view(buffer_.data(), static_cast<size_t>(count))));
      offset += static_cast<uint64_t>(count);
    }
    return {};
  }

  TarWriter tar_;
  const PackOptions& options_;
  Whiteouts whiteouts_;
  std::vector<char> buffer_;
  PackResult result_;
};

Result<PackResult> pack(const sys::RootDir& root, ByteSink& out, const PackOptions& options,
                        Whiteouts whiteouts) {
  std::optional<RecipeWriter> recipe;
  if (options.recipe != nullptr) recipe.emplace(*options.recipe);
  ChecksumSink checked(&out, options.checksum);
  Packer packer(recipe ? static_cast<ByteSink&>(checked) : out, recipe ? &*recipe : nullptr, options,
                whiteouts);
  CHECK(packer.root(root));
  CHECK(walk_tree(root, packer, options.stop));
  TRY(PackResult result, packer.finish());
  if (recipe) CHECK(recipe->finish(checked.checksum()));
  return result;
}

}  // namespace

Result<PackResult> pack_tree(const sys::RootDir& root, ByteSink& out, const PackOptions& options) {
  return pack(root, out, options, Whiteouts::Literal);
}

Result<PackResult> pack_object(int parent_fd, const std::string& name, std::string_view entry_name,
                               ByteSink& out, const PackOptions& options) {
  Packer packer(out, nullptr, options, Whiteouts::Literal);
  TreeObject object{.path = std::string(entry_name), .parent_fd = parent_fd, .name = name};
  if (::fstatat(parent_fd, name.c_str(), &object.status, AT_SYMLINK_NOFOLLOW) != 0) {
    return Error::from_errno("stat", entry_name, errno);
  }
  CHECK(packer.visit(object));
  return packer.finish();
}

Result<PackResult> pack_layer(const sys::RootDir& upper, ByteSink& out, const PackOptions& options) {
  return pack(upper, out, options, Whiteouts::Overlay);
}

}  // namespace berth::storage
