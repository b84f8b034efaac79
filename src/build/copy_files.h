// COPY, ADD and WORKDIR on a root filesystem. Everything happens beneath the root's descriptor: neither the
// image's links nor the sources' names lead outside.
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "build/file_tree.h"
#include "build/graph.h"
#include "storage/archive.h"
#include "sys/root_dir.h"

namespace berth::build {

struct CopyContext {
  const sys::RootDir& root;  ///< merged view, writable
  std::vector<const FileTree*> inputs;
  storage::ArchiveLimits limits = {};
  std::stop_token stop = {};
};

/// Messages name the path as the Dockerfile has it.
Result<void> copy_files(const CopyOp& op, const CopyContext& context);

/// WORKDIR: makes the directory where it is missing, with those above it.
Result<void> make_directory(const MakeDirectoryOp& op, const sys::RootDir& root);

/// Whether a regular file is a tar that ADD unpacks, plain or compressed.
Result<bool> is_archive(const FileTree& tree, const std::string& path);

}  // namespace berth::build
