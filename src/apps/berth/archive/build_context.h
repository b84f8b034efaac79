// Build contexts: which files of a folder go to the engine, and their archive.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "apps/berth/archive/local_tree.h"
#include "apps/berth/failure.h"

namespace berth::cli::archive {

struct BuildContext {
  std::string folder;      ///< real path of the context
  std::string dockerfile;  ///< relative to the folder, as the engine is to find it
  /// Contents of a Dockerfile from outside the context; it is sent under `dockerfile`, a name of its own.
  std::optional<std::string> outside_dockerfile = {};
};

/// `path` is the context; `file` is -f: "" (Dockerfile in the context), "-" (standard input) or a path
/// relative to the working directory. Errors start with "unable to prepare context: " as docker's do.
Outcome<BuildContext> examine_context(const std::string& path, const std::string& file);

/// The archive: everything that .dockerignore leaves, the Dockerfile and .dockerignore in any case, owned by
/// root.
Outcome<void> write_context(const BuildContext& context, const WriteBytes& write);
/// An archive that holds nothing but this Dockerfile.
Outcome<void> write_dockerfile_alone(std::string_view dockerfile, const WriteBytes& write);

/// True for the beginning of a tar archive, plain or compressed by gzip, bzip2, xz or zstd. Pure.
bool looks_like_archive(std::string_view beginning);

}  // namespace berth::cli::archive
