// The body of an upload with Content-Encoding aws-chunked: "<hex>;chunk-signature=...\r\n<bytes>\r\n" and so
// on, with trailers (checksums) behind the last, empty chunk. Signatures of chunks and trailers are skipped.
// Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::api::s3 {

class ChunkedBody {
 public:
  /// Takes bytes as they come and appends the content to `out`. InvalidArgument when they are not of the
  /// form.
  Result<void> feed(std::string_view bytes, std::string& out);
  bool ended() const { return phase_ == Phase::Trailers; }

 private:
  enum class Phase { Header, Data, DataEnd, Trailers };
  Phase phase_ = Phase::Header;
  std::string line_;
  uint64_t left_ = 0;
};

}  // namespace berth::api::s3
