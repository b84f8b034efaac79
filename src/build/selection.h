// Which files of a tree a COPY takes: wildcards, directories, --parents and --exclude; and the digest of
// exactly those files, which is what a COPY is cached by.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "build/file_tree.h"
#include "build/graph.h"
#include "spec/dockerignore.h"

namespace berth::build {

/// One thing to copy: a file, or a directory whose contents are meant.
struct SelectedRoot {
  std::string path;  ///< in the tree, links followed
  std::string name;  ///< the name it was selected by, for a destination that is a directory
  bool is_directory = false;
};

/// Without wildcards: the path, which must exist (NotFound `"/x": not found`). With: what matches, sorted;
/// perhaps nothing.
Result<std::vector<SelectedRoot>> select_roots(const FileTree& tree, const CopyOp::Source& source);

/// Gets the path in the tree, the path relative to the root ("" for the root itself) and the node;
/// directories come before what is in them.
using SelectionVisitor =
    std::function<Result<void>(const std::string& path, const std::string& relative, const FileNode& node)>;

/// Goes through what is selected below a root. `excludes` are relative to the root; a file that is selected
/// itself is excluded by its name.
Result<void> walk_selection(const FileTree& tree, const SelectedRoot& root, const CopyOp::Source& source,
                            const spec::PatternSet& excludes, const SelectionVisitor& visitor,
                            const std::stop_token& stop);

/// Digest of names, modes, owners (where they are kept), link targets, extended attributes and contents;
/// times do not count.
Result<Digest> selection_digest(const FileTree& tree, const CopyOp::Source& source,
                                const std::vector<std::string>& excludes, const std::stop_token& stop);
/// The same of everything at a path, for bind mounts.
Result<Digest> subtree_digest(const FileTree& tree, const std::string& path, const std::stop_token& stop);

}  // namespace berth::build
