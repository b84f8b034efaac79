// What a request to the registry means: paths, ranges and pages as pure functions over bytes from outside.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::registry::server {

struct Route {
  enum class Kind { Unknown, Root, Catalog, Token, Tags, Manifest, Blob, StartUpload, Upload, Referrers };
  Kind kind = Kind::Unknown;
  std::string name = {};       ///< of the repository; may be malformed (is_repository_name)
  std::string reference = {};  ///< tag, digest or upload id, unchecked
};
/// `path` is percent-decoded. Names hold slashes, so the end of the path decides.
Route parse_route(std::string_view path);

/// First and last byte, inclusive.
struct ByteRange {
  uint64_t first = 0;
  uint64_t last = 0;
  uint64_t length() const { return last - first + 1; }
  bool operator==(const ByteRange&) const = default;
};
/// Content-Range of a chunk: "0-1023". Malformed or reversed: InvalidArgument.
Result<ByteRange> parse_content_range(std::string_view text);

/// What a Range header asks of `size` bytes. Whole: there is none, or one that need not be honoured (several
/// ranges, another unit).
struct RangeAnswer {
  enum class Kind { Whole, Part, Unsatisfiable };
  Kind kind = Kind::Whole;
  ByteRange range = {};
};
RangeAnswer choose_range(std::optional<std::string_view> header, uint64_t size);

/// ?n=: how many entries a page has. Absent: `fallback`; malformed, negative or beyond `most`:
/// InvalidArgument (CVE-2023-2253: an unbounded n made registries allocate without bound).
Result<size_t> parse_page_size(std::optional<std::string_view> text, size_t fallback, size_t most);

}  // namespace berth::registry::server
