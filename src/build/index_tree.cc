// The index: looking up, reading, pruning.
#include "build/index_tree.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/format.h"
#include "base/sha256.h"

namespace berth::build {
namespace {

Error not_found(std::string_view path) {
  return failure(Kind::NotFound, "{}: no such file or directory", path);
}

Result<void> copy_range(int from, uint64_t offset, uint64_t length, int to) {
  while (length > 0) {
    off_t position = static_cast<off_t>(offset);
    const ssize_t count = ::copy_file_range(from, &position, to, nullptr, length, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && (errno == EXDEV || errno == EOPNOTSUPP || errno == EINVAL)) break;
    if (count < 0) return Error::from_errno("copy", "context file", errno);
    if (count == 0) return Error(Kind::Corrupt, "the spooled context is shorter than its index says");
    offset += static_cast<uint64_t>(count);
    length -= static_cast<uint64_t>(count);
  }
  if (length == 0) return {};
  storage::FileSource source(from, offset, length);
  storage::FdSink sink(to);
  CHECK(storage::copy_stream(source, sink));
  return {};
}

}  // namespace

IndexTree::IndexTree() {
  nodes_.push_back({.info = {.type = FileType::Directory, .mode = 0755}});
}

std::unique_ptr<IndexTree> IndexTree::from_text(const std::string& name, std::string content, uint32_t mode) {
  auto tree = std::make_unique<IndexTree>();
  tree->content_bytes_ = content.size();
  Node node{.info = {.mode = mode, .size = content.size()}, .digest = sha256(content)};
  tree->text_ = std::move(content);
  tree->nodes_[0].children.emplace(name, 1);
  tree->nodes_.push_back(std::move(node));
  return tree;
}

Result<std::unique_ptr<IndexTree>> IndexTree::from_file(const std::string& name, sys::UniqueFd fd,
                                                        const Digest& digest, uint32_t mode,
                                                        storage::TarTime mtime) {
  struct stat status {};
  if (::fstat(fd.get(), &status) < 0) return Error::from_errno("stat", name, errno);
  auto tree = std::make_unique<IndexTree>();
  tree->content_bytes_ = static_cast<uint64_t>(status.st_size);
  tree->nodes_[0].children.emplace(name, 1);
  tree->nodes_.push_back(
      {.info = {.mode = mode, .size = tree->content_bytes_, .mtime = mtime}, .digest = digest});
  tree->spool_ = std::move(fd);
  return tree;
}

std::optional<uint32_t> IndexTree::find(std::string_view path) const {
  uint32_t id = 0;
  for (size_t at = 1; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const auto child = nodes_[id].children.find(path.substr(at, end - at));
    if (child == nodes_[id].children.end()) return std::nullopt;
    id = child->second;
    at = end + 1;
  }
  return id;
}

Result<FileNode> IndexTree::stat(const std::string& path) const {
  const auto id = find(path);
  if (!id) return not_found(path);
  return nodes_[*id].info;
}

Result<std::vector<std::string>> IndexTree::list(const std::string& path) const {
  const auto id = find(path);
  if (!id) return not_found(path);
  std::vector<std::string> names;
  for (const auto& [name, child] : nodes_[*id].children) names.push_back(name);
  return names;
}

Result<const IndexTree::Node*> IndexTree::regular_file(const std::string& path) const {
  const auto id = find(path);
  if (!id) return not_found(path);
  if (nodes_[*id].info.type != FileType::Regular)
    return failure(Kind::InvalidArgument, "{} is not a regular file", path);
  return &nodes_[*id];
}

Result<sys::UniqueFd> IndexTree::open_host_file(const std::string& path) const {
  return host_.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
}

Result<Digest> IndexTree::content_digest(const std::string& path) const {
  TRY(const Node* node, regular_file(path));
  if (node->digest) return *node->digest;
  TRY(auto source, read(path));
  storage::HashingSink sink(nullptr);
  CHECK(storage::copy_stream(*source, sink));
  return sink.finish();
}

Result<std::unique_ptr<storage::ByteSource>> IndexTree::read(const std::string& path) const {
  TRY(const Node* node, regular_file(path));
  if (on_host_) {
    TRY(auto fd, open_host_file(path));
    TRY(auto source, storage::FileSource::whole(std::move(fd)));
    return std::unique_ptr<storage::ByteSource>(std::move(source));
  }
  if (!spool_) return std::unique_ptr<storage::ByteSource>(std::make_unique<storage::StringSource>(text_));
  return std::unique_ptr<storage::ByteSource>(
      std::make_unique<storage::FileSource>(spool_.get(), node->offset, node->info.size));
}

Result<void> IndexTree::copy_content(const std::string& path, int to_fd) const {
  TRY(const Node* node, regular_file(path));
  if (on_host_) {
    TRY(auto fd, open_host_file(path));
    CHECK(sys::copy_content(fd.get(), to_fd));
    return {};
  }
  if (!spool_) return sys::write_all(to_fd, text_);
  return copy_range(spool_.get(), node->offset, node->info.size, to_fd);
}

Result<std::string> IndexTree::read_text(std::string_view wanted, size_t max_bytes) const {
  TRY(const auto path, resolve(wanted));
  TRY(auto source, read(path));
  return storage::read_all(*source, max_bytes);
}

void IndexTree::apply_ignore(const spec::PatternSet& patterns) {
  if (!patterns.empty()) prune(0, "", patterns);
}

/// Whether anything of the node is left.
bool IndexTree::prune(uint32_t id, const std::string& path, const spec::PatternSet& patterns) {
  auto& children = nodes_[id].children;
  for (auto child = children.begin(); child != children.end();) {
    const std::string child_path = path.empty() ? child->first : path + "/" + child->first;
    const bool ignored = patterns.matches(child_path);
    const bool is_directory = nodes_[child->second].info.type == FileType::Directory;
    bool stays = !ignored;
    if (ignored && is_directory && patterns.has_exceptions()) {
      stays = prune(child->second, child_path, patterns);
    } else if (!ignored && is_directory) {
      prune(child->second, child_path, patterns);
    }
    child = stays ? std::next(child) : children.erase(child);
  }
  return !children.empty();
}

}  // namespace berth::build
