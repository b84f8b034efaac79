// file_sync.cc, file_send.cc: trees of files from and to a client's session, by the packets that BuildKit's
// clients speak.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/buildkit/session.h"
#include "base/result.h"

namespace berth::buildkit {

struct TreeRequest {
  std::string directory;                  ///< the client's name for it: "context", "dockerfile"
  std::vector<std::string> exclude = {};  ///< patterns of an ignore file
  std::vector<std::string> follow = {};   ///< only these paths, and what their links lead to
};

struct TreeProgress {
  uint64_t bytes = 0;
};

using WriteBytes = std::function<Result<void>(std::string_view)>;

/// Fetches the tree and writes it as a tar. What a client sends is bounded and checked: paths stay beneath
/// the root.
Result<void> fetch_tree(const Session& session, const TreeRequest& request, const WriteBytes& write,
                        const std::function<void(TreeProgress)>& progress, const Cancelled& cancelled);

/// One regular file of a directory; NotFound when the client has none of that name.
Result<std::string> fetch_file(const Session& session, const std::string& directory, const std::string& path);

/// Sends the files of a tar, plain, to where the client wants exporter number `exporter`'s result. `read`
/// gives the archive piece by piece, empty at the end; file contents wait in `spool`, an open file, until
/// they are asked for.
Result<void> send_tree(const Session& session, int exporter, const std::function<Result<std::string>()>& read,
                       int spool, const Cancelled& cancelled);

}  // namespace berth::buildkit
