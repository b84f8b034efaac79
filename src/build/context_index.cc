// Filling an IndexTree: from a tar that streams in, hashed and spooled as it comes, or from a directory.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/format.h"
#include "base/sha256.h"
#include "build/index_tree.h"
#include "storage/compression.h"
#include "storage/layer_names.h"
#include "storage/tar_reader.h"

namespace berth::build {
namespace {

/// Elements of a path, at most: deeper trees could not be walked on a bounded stack.
constexpr size_t deepest = 256;

FileType type_of(storage::TarType type) {
  switch (type) {
    case storage::TarType::Symlink:
      return FileType::Symlink;
    case storage::TarType::CharDevice:
      return FileType::CharDevice;
    case storage::TarType::BlockDevice:
      return FileType::BlockDevice;
    case storage::TarType::Directory:
      return FileType::Directory;
    case storage::TarType::Fifo:
      return FileType::Fifo;
    case storage::TarType::File:
    case storage::TarType::HardLink:
      break;
  }
  return FileType::Regular;
}

/// Names that climb out of the context are bent back into it, as docker has it: the tree is in memory, and
/// nothing lies above its root.
Result<std::string> path_within(const std::string& name) {
  return storage::clean_entry_path("/" + name);
}

/// Appends to the spool in large writes.
class Spool {
 public:
  explicit Spool(int fd) : fd_(fd) {}
  uint64_t end() const { return written_ + buffer_.size(); }

  Result<void> append(std::string_view bytes) {
    buffer_ += bytes;
    if (buffer_.size() < flush_at) return {};
    return flush();
  }
  Result<void> flush() {
    CHECK(sys::pwrite_all(fd_, buffer_, written_));
    written_ += buffer_.size();
    buffer_.clear();
    return {};
  }
  /// Reserves `size` bytes that read as zeros where nothing is written.
  Result<uint64_t> reserve(uint64_t size) {
    CHECK(flush());
    const uint64_t start = written_;
    written_ += size;
    if (::ftruncate(fd_, static_cast<off_t>(written_)) < 0)
      return Error::from_errno("extend", "context spool", errno);
    return start;
  }
  Result<void> write_at(uint64_t offset, std::string_view bytes) {
    return sys::pwrite_all(fd_, bytes, offset);
  }

 private:
  static constexpr size_t flush_at = 1 << 20;
  int fd_;
  std::string buffer_;
  uint64_t written_ = 0;
};

}  // namespace

class TarIndexer {
 public:
  TarIndexer(IndexTree& tree, storage::TarReader& reader)
      : tree_(tree), reader_(reader), spool_(tree.spool_.get()) {}

  Result<void> run(const std::stop_token& stop) {
    storage::TarEntry entry;
    while (true) {
      if (stop.stop_requested()) return Error(Kind::Cancelled, "build cancelled");
      TRY(const bool more, reader_.next(entry));
      if (!more) return spool_.flush();
      auto added = add(entry);
      if (!added) return std::move(added).error().in("build context entry", entry.name.substr(0, 200));
    }
  }

 private:
  Result<void> add(const storage::TarEntry& entry) {
    TRY(const auto path, path_within(entry.name));
    if (path == ".") {
      if (entry.type == storage::TarType::Directory) describe(entry, tree_.nodes_[0].info);
      return {};
    }
    const auto slash = path.rfind('/');
    TRY(const uint32_t parent,
        make_parents(slash == std::string::npos ? "" : std::string_view(path).substr(0, slash)));
    const std::string name = path.substr(slash == std::string::npos ? 0 : slash + 1);
    if (entry.type == storage::TarType::HardLink) return add_hard_link(entry, parent, name);
    const uint32_t id = place(parent, name, type_of(entry.type));
    describe(entry, tree_.nodes_[id].info);
    if (entry.type != storage::TarType::File) return {};
    return take_content(entry, id);
  }

  void describe(const storage::TarEntry& entry, FileNode& info) {
    info.type = type_of(entry.type);
    info.mode = entry.mode & 07777;
    info.mtime = entry.mtime;
    info.size = entry.type == storage::TarType::File ? entry.size : 0;
    info.link = entry.type == storage::TarType::Symlink ? entry.link : "";
    info.device = makedev(entry.major, entry.minor);
    info.xattrs.clear();
    for (const auto& xattr : entry.xattrs) {
      if (storage::is_portable_xattr(xattr.name)) info.xattrs.push_back(xattr);
    }
  }

  /// A fresh node, or the one of that name when both are directories.
  uint32_t place(uint32_t parent, const std::string& name, FileType type) {
    const auto existing = tree_.nodes_[parent].children.find(name);
    const bool merges = existing != tree_.nodes_[parent].children.end() && type == FileType::Directory &&
                        tree_.nodes_[existing->second].info.type == FileType::Directory;
    if (merges) return existing->second;
    const auto id = static_cast<uint32_t>(tree_.nodes_.size());
    tree_.nodes_.emplace_back();
    tree_.nodes_[parent].children[name] = id;
    return id;
  }

  Result<uint32_t> make_parents(std::string_view path) {
    if (path == last_parent_path_) return last_parent_;
    uint32_t id = 0;
    size_t depth = 0;
    for (size_t at = 0; at < path.size();) {
      const size_t end = std::min(path.find('/', at), path.size());
      const std::string name(path.substr(at, end - at));
      if (++depth > deepest)
        return failure(Kind::InvalidArgument, "nested deeper than {} directories", deepest);
      const auto child = tree_.nodes_[id].children.find(name);
      if (child == tree_.nodes_[id].children.end()) {
        const uint32_t parent = id;
        id = place(parent, name, FileType::Directory);
        tree_.nodes_[id].info = {.type = FileType::Directory, .mode = 0755};
      } else {
        id = child->second;
      }
      if (tree_.nodes_[id].info.type != FileType::Directory)
        return failure(Kind::InvalidArgument, "{} is not a directory", path.substr(0, end));
      at = end + 1;
    }
    last_parent_path_ = path;
    last_parent_ = id;
    return id;
  }

  Result<void> add_hard_link(const storage::TarEntry& entry, uint32_t parent, const std::string& name) {
    TRY(const auto target_path, path_within(entry.link));
    const auto target = tree_.find("/" + target_path);
    if (!target || target_path == "." || tree_.nodes_[*target].info.type == FileType::Directory) {
      return failure(Kind::InvalidArgument, "hard link to {}, which is no earlier file",
                     entry.link.substr(0, 200));
    }
    auto& info = tree_.nodes_[*target].info;
    if (info.link_group == 0) info.link_group = ++link_groups_;
    tree_.nodes_[parent].children[name] = *target;
    return {};
  }

  Result<void> take_content(const storage::TarEntry& entry, uint32_t id) {
    tree_.content_bytes_ += entry.size;
    return entry.is_sparse ? take_sparse_content(entry, id) : take_plain_content(id);
  }

  Result<void> take_plain_content(uint32_t id) {
    Sha256 hash;
    tree_.nodes_[id].offset = spool_.end();
    while (true) {
      TRY(auto piece, reader_.data());
      if (!piece) break;
      hash.update(piece->bytes);
      CHECK(spool_.append(piece->bytes));
    }
    tree_.nodes_[id].digest = hash.finish();
    return {};
  }

  /// Holes are not hashed as zeros: a small archive can claim enormous ones.
  Result<void> take_sparse_content(const storage::TarEntry& entry, uint32_t id) {
    TRY(const uint64_t start, spool_.reserve(entry.size));
    Sha256 hash;
    hash.update(fmt::format("sparse {}\n", entry.size));
    while (true) {
      TRY(auto piece, reader_.data());
      if (!piece) break;
      hash.update(fmt::format("{} {}\n", piece->offset, piece->bytes.size()));
      hash.update(piece->bytes);
      CHECK(spool_.write_at(start + piece->offset, piece->bytes));
    }
    tree_.nodes_[id].offset = start;
    tree_.nodes_[id].digest = hash.finish();
    return {};
  }

  IndexTree& tree_;
  storage::TarReader& reader_;
  Spool spool_;
  std::string last_parent_path_;
  uint32_t last_parent_ = 0;
  uint64_t link_groups_ = 0;
};

Result<std::unique_ptr<IndexTree>> IndexTree::from_tar(storage::ByteSource& archive,
                                                       const std::string& spool_directory,
                                                       const storage::ArchiveLimits& limits,
                                                       std::stop_token stop) {
  auto tree = std::make_unique<IndexTree>();
  TRY(tree->spool_, sys::open_file(spool_directory.c_str(), O_TMPFILE | O_RDWR, 0600));
  TRY(auto plain, storage::decompress(archive));
  storage::BufferedChunks chunks(*plain);
  storage::TarReader reader(chunks, limits);
  CHECK(TarIndexer(*tree, reader).run(stop));
  CHECK(reader.drain());
  return tree;
}

class DirectoryIndexer {
 public:
  DirectoryIndexer(IndexTree& tree, size_t max_entries, const std::stop_token& stop)
      : tree_(tree), max_entries_(max_entries), stop_(stop) {}

  Result<void> run() {
    waiting_.push_back({0, "/", 0});
    while (!waiting_.empty()) {
      const Waiting next = std::move(waiting_.back());
      waiting_.pop_back();
      CHECK(read(next));
    }
    return {};
  }

 private:
  struct Waiting {
    uint32_t id;
    std::string path;
    size_t depth;
  };

  Result<void> read(const Waiting& directory) {
    if (directory.depth > deepest)
      return failure(Kind::InvalidArgument, "build context: nested deeper than {} directories", deepest);
    TRY(auto fd, tree_.host_.open(directory.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    TRY(const auto entries, sys::list_dir(fd.get()));
    for (const auto& entry : entries) {
      if (stop_.stop_requested()) return Error(Kind::Cancelled, "build cancelled");
      if (tree_.nodes_.size() >= max_entries_)
        return failure(Kind::Exhausted, "build context: more than {} files", max_entries_);
      const auto child = static_cast<uint32_t>(tree_.nodes_.size());
      tree_.nodes_.emplace_back();
      TRY(tree_.nodes_[child].info, look_at(fd.get(), entry.name));
      tree_.nodes_[directory.id].children[entry.name] = child;
      if (tree_.nodes_[child].info.type != FileType::Directory) continue;
      waiting_.push_back({child, join_path(directory.path, entry.name), directory.depth + 1});
    }
    return {};
  }

  Result<FileNode> look_at(int directory, const std::string& name);

  IndexTree& tree_;
  size_t max_entries_;
  const std::stop_token& stop_;
  std::vector<Waiting> waiting_;
};

Result<FileNode> DirectoryIndexer::look_at(int directory, const std::string& name) {
  struct stat status {};
  if (::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) < 0)
    return Error::from_errno("stat", name, errno);
  FileNode info{.mode = status.st_mode & 07777};
  info.mtime = {status.st_mtim.tv_sec, static_cast<uint32_t>(status.st_mtim.tv_nsec)};
  info.device = status.st_rdev;
  switch (status.st_mode & S_IFMT) {
    case S_IFDIR:
      info.type = FileType::Directory;
      break;
    case S_IFLNK:
      info.type = FileType::Symlink;
      break;
    case S_IFCHR:
      info.type = FileType::CharDevice;
      break;
    case S_IFBLK:
      info.type = FileType::BlockDevice;
      break;
    case S_IFIFO:
      info.type = FileType::Fifo;
      break;
    case S_IFSOCK:
      info.type = FileType::Socket;
      break;
    default:
      info.size = static_cast<uint64_t>(status.st_size);
      break;
  }
  if (info.type == FileType::Regular) {
    tree_.content_bytes_ += info.size;
    if (status.st_nlink > 1) info.link_group = status.st_ino;
  }
  if (info.type == FileType::Symlink) {
    info.link.resize(4096);
    const ssize_t length = ::readlinkat(directory, name.c_str(), info.link.data(), info.link.size());
    if (length < 0) return Error::from_errno("readlink", name, errno);
    info.link.resize(static_cast<size_t>(length));
  }
  auto xattrs = sys::read_xattrs_at(directory, name);
  if (!xattrs) return info;  // filesystems without them
  for (auto& xattr : *xattrs) {
    if (storage::is_portable_xattr(xattr.name)) info.xattrs.push_back(std::move(xattr));
  }
  return info;
}

Result<std::unique_ptr<IndexTree>> IndexTree::from_directory(sys::RootDir directory, size_t max_entries,
                                                             std::stop_token stop) {
  auto tree = std::make_unique<IndexTree>();
  tree->host_ = std::move(directory);
  tree->on_host_ = true;
  CHECK(DirectoryIndexer(*tree, max_entries, stop).run());
  return tree;
}

}  // namespace berth::build
