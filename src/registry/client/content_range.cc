// Content-Range.
#include "registry/client/content_range.h"

#include <charconv>

namespace berth::registry {
namespace {

/// A decimal number at the beginning, which is taken away.
std::optional<uint64_t> take_number(std::string_view& text) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return value;
}

bool take(std::string_view& text, std::string_view what) {
  if (!text.starts_with(what)) return false;
  text.remove_prefix(what.size());
  return true;
}

}  // namespace

std::optional<ContentRange> parse_content_range(std::string_view text) {
  if (!take(text, "bytes ")) return std::nullopt;
  auto first = take_number(text);
  if (!first || !take(text, "-")) return std::nullopt;
  auto last = take_number(text);
  if (!last || *last < *first || !take(text, "/")) return std::nullopt;
  if (text == "*") return ContentRange{.first = *first, .last = *last, .total = std::nullopt};
  auto total = take_number(text);
  if (!total || !text.empty() || *last >= *total) return std::nullopt;
  return ContentRange{.first = *first, .last = *last, .total = total};
}

}  // namespace berth::registry
