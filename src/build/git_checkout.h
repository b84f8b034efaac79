// A repository's files as a build's context, or for ADD: fetched by their commit without its history,
// measured, and only then written, submodules included. Everything that comes is taken for hostile
// (git_program.h). Blocking: for worker threads.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>

#include "base/result.h"
#include "spec/git_place.h"
#include "sys/root_dir.h"

namespace berth::build {

struct GitRequest {
  spec::GitPlace place;
  std::string directory;  ///< of the caller's, made here; removed by the caller
  uint64_t max_bytes = 0;
  size_t max_entries = 0;
  bool keep_git_directory = false;  ///< ".git" among the files, when the place is the repository's top
  std::string agent = {};           ///< socket of the SSH agent to log in with (git_program.h)
  std::stop_token stop = {};
};

struct GitCheckout {
  sys::RootDir files;  ///< of the place
  std::string commit;  ///< its full name
};

/// The place in the error is without its credentials.
Result<GitCheckout> check_out(const GitRequest& request);

}  // namespace berth::build
