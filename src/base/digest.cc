// Parsing of digests.
#include "base/digest.h"

#include <cstdlib>

#include "base/format.h"

namespace berth {
namespace {

bool is_hex64(std::string_view text) {
  if (text.size() != 64) return false;
  for (char c : text) {
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
  }
  return true;
}

}  // namespace

Result<Digest> Digest::parse(std::string_view text) {
  constexpr std::string_view prefix = "sha256:";
  if (!text.starts_with(prefix) || !is_hex64(text.substr(prefix.size()))) {
    return failure(Kind::InvalidArgument, "invalid digest \"{}\": expected sha256: and 64 hex digits",
                   text.substr(0, 100));
  }
  return Digest(std::string(text.substr(prefix.size())));
}

Digest Digest::from_hex(std::string hex) {
  if (!is_hex64(hex)) std::abort();  // a caller's defect: the digits were computed here, not received
  return Digest(std::move(hex));
}

}  // namespace berth
