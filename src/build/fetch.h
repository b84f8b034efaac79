// Downloads for ADD and for remote contexts, by libcurl: http and https, bounded, with redirects but never to
// another scheme. Blocking: for worker threads.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "base/digest.h"
#include "base/result.h"
#include "storage/byte_stream.h"

namespace berth::build {

struct FetchRequest {
  std::string url;
  /// Validators of what is there already: the answer may be "not modified".
  std::string etag = {};
  std::string last_modified = {};
  uint64_t max_bytes = uint64_t{16} << 30;
  /// Called now and then; total 0: unknown.
  std::function<void(uint64_t current, uint64_t total)> progress = {};
  std::stop_token stop = {};
};

struct FetchResult {
  bool not_modified = false;
  Digest content;  ///< of no bytes when not modified
  uint64_t size = 0;
  std::string etag = {};
  std::string last_modified = {};
  int64_t mtime = 0;  ///< of Last-Modified, seconds since the epoch; 0: not told
  std::string content_type = {};
};

/// Writes the body to `sink`. A status other than 200 (or 304): NotFound or Unavailable, which names the URL
/// and the status.
Result<FetchResult> fetch(const FetchRequest& request, storage::ByteSink& sink);

}  // namespace berth::build
