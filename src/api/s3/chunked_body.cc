#include "api/s3/chunked_body.h"

#include <algorithm>
#include <charconv>

namespace berth::api::s3 {
namespace {

constexpr size_t longest_line = 1024;

Error malformed() {
  return Error(Kind::InvalidArgument, "The chunked body is malformed");
}

}  // namespace

Result<void> ChunkedBody::feed(std::string_view bytes, std::string& out) {
  while (!bytes.empty()) {
    if (phase_ == Phase::Trailers) return {};
    if (phase_ == Phase::Data) {
      size_t count = static_cast<size_t>(std::min<uint64_t>(left_, bytes.size()));
      out.append(bytes.substr(0, count));
      bytes.remove_prefix(count);
      left_ -= count;
      if (left_ == 0) phase_ = Phase::DataEnd;
      continue;
    }
    size_t end = bytes.find('\n');
    line_.append(bytes.substr(0, end));
    if (line_.size() > longest_line) return malformed();
    if (end == std::string_view::npos) return {};
    bytes.remove_prefix(end + 1);
    if (!line_.ends_with('\r')) return malformed();
    line_.pop_back();
    if (phase_ == Phase::DataEnd) {
      if (!line_.empty()) return malformed();
      phase_ = Phase::Header;
    } else {
      std::string_view size = std::string_view(line_).substr(0, line_.find(';'));
      auto [last, error] = std::from_chars(size.data(), size.data() + size.size(), left_, 16);
      if (size.empty() || error != std::errc{} || last != size.data() + size.size()) return malformed();
      phase_ = left_ == 0 ? Phase::Trailers : Phase::Data;
    }
    line_.clear();
  }
  return {};
}

}  // namespace berth::api::s3
