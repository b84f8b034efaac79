// Selecting and digesting files.
#include "build/selection.h"

#include <optional>
#include <utility>

#include "base/format.h"
#include "base/sha256.h"
#include "spec/go_quote.h"
#include "spec/path_pattern.h"

namespace berth::build {
namespace {

constexpr size_t deepest = 512;
/// Elements of a pattern from the first wildcard on; each is a level of recursion.
constexpr size_t most_elements = 64;

bool has_wildcards(std::string_view element) {
  return element.find_first_of("*?[\\") != std::string_view::npos;
}

/// Matches a pattern's elements against the tree, one directory level for each.
class WildcardSearch {
 public:
  WildcardSearch(const FileTree& tree, std::string_view pattern) : tree_(tree) {
    while (!pattern.empty()) {
      const size_t end = std::min(pattern.find('/'), pattern.size());
      if (end > 0) elements_.emplace_back(pattern.substr(0, end));
      pattern.remove_prefix(std::min(end + 1, pattern.size()));
    }
  }

  Result<std::vector<std::string>> run() {
    // Links are followed before the first wildcard only.
    size_t literal = 0;
    std::string prefix = "/";
    while (literal < elements_.size() && !has_wildcards(elements_[literal]))
      prefix = join_path(prefix, elements_[literal++]);
    if (elements_.size() - literal > most_elements)
      return Error(Kind::InvalidArgument, "the pattern has too many elements");
    auto start = tree_.resolve(prefix);
    if (!start && start.error().kind() == Kind::NotFound) return std::vector<std::string>();
    if (!start) return std::move(start).error();
    CHECK(descend(*start, literal));
    return std::move(found_);
  }

 private:
  Result<void> descend(const std::string& directory, size_t index) {
    auto node = tree_.stat(directory);
    if (!node || node->type != FileType::Directory) return {};
    TRY(const auto pattern, spec::PathPattern::compile(elements_[index], spec::PathPattern::Dialect::Match));
    TRY(const auto names, tree_.list(directory));
    for (const auto& name : names) {
      if (!pattern.matches(name)) continue;
      const std::string path = join_path(directory, name);
      if (index + 1 == elements_.size()) {
        found_.push_back(path);
      } else {
        CHECK(descend(path, index + 1));
      }
    }
    return {};
  }

  const FileTree& tree_;
  std::vector<std::string> elements_;
  std::vector<std::string> found_;
};

/// Depth first, with a stack of its own: trees are as deep as whoever made them likes.
class Walker {
 public:
  Walker(const FileTree& tree, const CopyOp::Source& source, const spec::PatternSet& excludes,
         const SelectionVisitor& visitor, const std::stop_token& stop)
      : tree_(tree),
        excludes_(excludes),
        visitor_(visitor),
        stop_(stop),
        by_parents_(!source.parents_pattern.empty()) {}

  Result<void> run(const SelectedRoot& root, const std::string& parents_pattern) {
    if (by_parents_) {
      TRY(includes_, spec::PatternSet::create({parents_pattern}));
    }
    TRY(const auto node, tree_.stat(root.path));
    if (node.type != FileType::Directory) {
      if (excludes_.matches(root.name)) return {};
      return visit(root.path, "", node);
    }
    if (!by_parents_) CHECK(visit(root.path, "", node));
    CHECK(open(root.path, "", {}));
    while (!open_.empty()) {
      if (stop_.stop_requested()) return Error(Kind::Cancelled, "build cancelled");
      CHECK(next());
    }
    if (by_parents_ && visited_ == 0 && !has_wildcards(parents_pattern)) {
      return failure(Kind::NotFound, "{}: not found", spec::go_quote(join_path(root.path, parents_pattern)));
    }
    return {};
  }

 private:
  struct Directory {
    std::string path;
    std::string relative;
    std::vector<std::string> names;
    size_t index = 0;
    /// Passed without being selected itself: it is visited once something in it is.
    std::optional<FileNode> pending;
  };

  Result<void> open(const std::string& path, const std::string& relative, std::optional<FileNode> pending) {
    if (open_.size() == deepest)
      return failure(Kind::Exhausted, "{}: nested deeper than {} directories", path, deepest);
    TRY(auto names, tree_.list(path));
    open_.push_back({path, relative, std::move(names), 0, std::move(pending)});
    return {};
  }

  Result<void> next() {
    Directory& directory = open_.back();
    if (directory.index == directory.names.size()) {
      open_.pop_back();
      return {};
    }
    const std::string& name = directory.names[directory.index++];
    const std::string path = join_path(directory.path, name);
    const std::string relative = directory.relative.empty() ? name : directory.relative + "/" + name;
    const bool excluded = !excludes_.empty() && excludes_.matches(relative);
    const bool included = !excluded && (!by_parents_ || includes_.matches(relative));
    if (excluded && !excludes_.has_exceptions()) return {};
    TRY(const auto node, tree_.stat(path));
    const bool is_directory = node.type == FileType::Directory;
    if (included) {
      CHECK(visit_pending());
      CHECK(visit(path, relative, node));
    }
    if (!is_directory) return {};
    return open(path, relative, included ? std::nullopt : std::optional(node));
  }

  Result<void> visit_pending() {
    for (auto& directory : open_) {
      if (!directory.pending) continue;
      const FileNode node = *std::exchange(directory.pending, std::nullopt);
      CHECK(visit(directory.path, directory.relative, node));
    }
    return {};
  }

  Result<void> visit(const std::string& path, const std::string& relative, const FileNode& node) {
    ++visited_;
    return visitor_(path, relative, node);
  }

  const FileTree& tree_;
  const spec::PatternSet& excludes_;
  const SelectionVisitor& visitor_;
  const std::stop_token& stop_;
  bool by_parents_;
  spec::PatternSet includes_;
  std::vector<Directory> open_;  ///< from the root down to the current one
  uint64_t visited_ = 0;
};

/// Hashes records whose fields carry their lengths.
class SelectionHash {
 public:
  explicit SelectionHash(bool with_owner) : with_owner_(with_owner) {}

  void field(std::string_view value) {
    hash_.update(fmt::format("{}:", value.size()));
    hash_.update(value);
  }
  Result<void> node(const FileTree& tree, const std::string& path, std::string_view name,
                    const FileNode& node) {
    field(name);
    hash_.update(fmt::format("{} {:o} ", static_cast<int>(node.type),
                             node.type == FileType::Symlink ? 0777 : node.mode));
    if (with_owner_) hash_.update(fmt::format("{} {} ", node.uid, node.gid));
    for (const auto& xattr : node.xattrs) {
      field(xattr.name);
      field(xattr.value);
    }
    switch (node.type) {
      case FileType::Regular: {
        TRY(const auto digest, tree.content_digest(path));
        field(digest.hex());
        break;
      }
      case FileType::Symlink:
        field(node.link);
        break;
      case FileType::CharDevice:
      case FileType::BlockDevice:
        hash_.update(fmt::format("{} ", node.device));
        break;
      case FileType::Directory:
      case FileType::Fifo:
      case FileType::Socket:
        break;
    }
    hash_.update("\n");
    return {};
  }
  Digest finish() { return hash_.finish(); }

 private:
  Sha256 hash_;
  bool with_owner_;
};

}  // namespace

Result<std::vector<SelectedRoot>> select_roots(const FileTree& tree, const CopyOp::Source& source) {
  std::vector<std::string> paths = {source.path};
  if (source.wildcards) {
    TRY(paths, WildcardSearch(tree, source.path).run());
  }
  std::vector<SelectedRoot> roots;
  for (const auto& path : paths) {
    auto resolved = tree.resolve(path);
    // A dangling link that a wildcard happens to match is not asked for by name.
    if (!resolved && source.wildcards && resolved.error().kind() == Kind::NotFound) continue;
    if (!resolved) return std::move(resolved).error();
    TRY(const auto node, tree.stat(*resolved));
    roots.push_back({std::move(*resolved), std::string(base_name(path)), node.type == FileType::Directory});
  }
  return roots;
}

Result<void> walk_selection(const FileTree& tree, const SelectedRoot& root, const CopyOp::Source& source,
                            const spec::PatternSet& excludes, const SelectionVisitor& visitor,
                            const std::stop_token& stop) {
  return Walker(tree, source, excludes, visitor, stop).run(root, source.parents_pattern);
}

Result<Digest> selection_digest(const FileTree& tree, const CopyOp::Source& source,
                                const std::vector<std::string>& exclude_patterns,
                                const std::stop_token& stop) {
  TRY(const auto excludes, spec::PatternSet::create(exclude_patterns));
  TRY(const auto roots, select_roots(tree, source));
  SelectionHash hash(source.keep_owner);
  for (const auto& root : roots) {
    // A directory's name and mode do not show in the result: its contents are copied.
    hash.field(root.is_directory ? "contents" : root.name);
    const SelectionVisitor visitor = [&](const std::string& path, const std::string& relative,
                                         const FileNode& node) -> Result<void> {
      if (root.is_directory && relative.empty()) return {};
      return hash.node(tree, path, relative, node);
    };
    CHECK(walk_selection(tree, root, source, excludes, visitor, stop));
  }
  return hash.finish();
}

Result<Digest> subtree_digest(const FileTree& tree, const std::string& path, const std::stop_token& stop) {
  TRY(const auto resolved, tree.resolve(path));
  TRY(const auto root, tree.stat(resolved));
  SelectionHash hash(true);
  const SelectionVisitor visitor = [&](const std::string& at, const std::string& relative,
                                       const FileNode& node) { return hash.node(tree, at, relative, node); };
  const SelectedRoot selected{resolved, std::string(base_name(resolved)), root.type == FileType::Directory};
  CHECK(walk_selection(tree, selected, {}, {}, visitor, stop));
  return hash.finish();
}

}  // namespace berth::build
