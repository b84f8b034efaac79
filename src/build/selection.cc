// Selecting and digesting files.
#include "build/selection.h"

#include "base/format.h"
#include "base/sha256.h"
#include "spec/go_quote.h"
#include "spec/path_pattern.h"

namespace berth::build {
namespace {

constexpr size_t deepest = 512;

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
    auto start = tree_.resolve(prefix);
    if (!start && start.error().kind() == Kind::NotFound) return std::vector<std::string>();
    if (!start) return std::move(start).error();
    CHECK(descend(*start, literal));
    return std::move(found_);
  }

 private:
  Result<void> descend(const std::string& directory, size_t index) {
    if (index > deepest) return Error(Kind::InvalidArgument, "the pattern has too many elements");
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
    CHECK(children(root.path, "", 0));
    if (by_parents_ && visited_ == 0 && !has_wildcards(parents_pattern)) {
      return failure(Kind::NotFound, "{}: not found", spec::go_quote(join_path(root.path, parents_pattern)));
    }
    return {};
  }

 private:
  /// Directories on the way that were passed without being selected themselves: they are visited once
  /// something in them is.
  struct Pending {
    std::string path;
    std::string relative;
    FileNode node;
  };

  Result<void> children(const std::string& directory, const std::string& relative, size_t depth) {
    if (depth > deepest)
      return failure(Kind::Exhausted, "{}: nested deeper than {} directories", directory, deepest);
    TRY(const auto names, tree_.list(directory));
    for (const auto& name : names) {
      if (stop_.stop_requested()) return Error(Kind::Cancelled, "build cancelled");
      CHECK(entry(join_path(directory, name), relative.empty() ? name : relative + "/" + name, depth));
    }
    return {};
  }

  Result<void> entry(const std::string& path, const std::string& relative, size_t depth) {
    const bool excluded = !excludes_.empty() && excludes_.matches(relative);
    const bool included = !excluded && (!by_parents_ || includes_.matches(relative));
    if (excluded && !excludes_.has_exceptions()) return {};
    TRY(const auto node, tree_.stat(path));
    if (node.type != FileType::Directory) {
      if (!included) return {};
      CHECK(visit_pending());
      return visit(path, relative, node);
    }
    if (included) {
      CHECK(visit_pending());
      CHECK(visit(path, relative, node));
      return children(path, relative, depth + 1);
    }
    pending_.push_back({path, relative, node});
    const size_t mine = pending_.size();
    CHECK(children(path, relative, depth + 1));
    if (pending_.size() >= mine) pending_.resize(mine - 1);
    return {};
  }

  Result<void> visit(const std::string& path, const std::string& relative, const FileNode& node) {
    ++visited_;
    return visitor_(path, relative, node);
  }

  Result<void> visit_pending() {
    for (const auto& [path, relative, node] : pending_) CHECK(visit(path, relative, node));
    // Visited directories leave the list; their own entry() sees that by its size.
    pending_.clear();
    return {};
  }

  const FileTree& tree_;
  const spec::PatternSet& excludes_;
  const SelectionVisitor& visitor_;
  const std::stop_token& stop_;
  bool by_parents_;
  spec::PatternSet includes_;
  std::vector<Pending> pending_;
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
