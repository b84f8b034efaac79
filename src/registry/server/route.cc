// Reading paths and ranges.
#include "registry/server/route.h"

#include <charconv>

#include "base/format.h"

namespace berth::registry::server {
namespace {

std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Takes the last segment off.
std::string_view pop(std::string_view& path) {
  size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return std::exchange(path, {});
  std::string_view last = path.substr(slash + 1);
  path = path.substr(0, slash);
  return last;
}

Route route(Route::Kind kind, std::string_view name, std::string_view reference = {}) {
  return {kind, std::string(name), std::string(reference)};
}

}  // namespace

Route parse_route(std::string_view path) {
  if (path == "/v2" || path == "/v2/") return {Route::Kind::Root};
  if (path == "/v2/_catalog") return {Route::Kind::Catalog};
  if (path == "/token") return {Route::Kind::Token};
  if (!path.starts_with("/v2/")) return {};
  std::string_view name = path.substr(4);
  std::string_view last = pop(name);
  std::string_view before = pop(name);
  if (before == "manifests") return route(Route::Kind::Manifest, name, last);
  if (before == "referrers") return route(Route::Kind::Referrers, name, last);
  if (before == "tags" && last == "list") return route(Route::Kind::Tags, name);
  if (before == "blobs") {
    if (last == "uploads") return route(Route::Kind::StartUpload, name);
    return route(Route::Kind::Blob, name, last);
  }
  if (before == "uploads" && pop(name) == "blobs") {
    if (last.empty()) return route(Route::Kind::StartUpload, name);
    return route(Route::Kind::Upload, name, last);
  }
  return {};
}

Result<ByteRange> parse_content_range(std::string_view text) {
  // Some clients write it as RFC 9110 has it: "bytes 0-9/10".
  std::string_view digits = text;
  if (digits.starts_with("bytes ")) digits = digits.substr(6, digits.find('/', 6) - 6);
  size_t dash = digits.find('-');
  auto first = number(digits.substr(0, dash));
  auto last = dash == std::string_view::npos ? std::nullopt : number(digits.substr(dash + 1));
  if (!first || !last || *last < *first || *last == UINT64_MAX) {
    return failure(Kind::InvalidArgument, "malformed Content-Range \"{}\": expected FIRST-LAST",
                   text.substr(0, 100));
  }
  return ByteRange{*first, *last};
}

RangeAnswer choose_range(std::optional<std::string_view> header, uint64_t size) {
  constexpr RangeAnswer whole{};
  if (!header || !header->starts_with("bytes=") || header->find(',') != std::string_view::npos) return whole;
  std::string_view text = header->substr(6);
  size_t dash = text.find('-');
  if (dash == std::string_view::npos) return whole;
  auto first = number(text.substr(0, dash));
  auto last = number(text.substr(dash + 1));
  if (dash == 0) {  // the last N bytes
    if (!last) return whole;
    if (*last == 0 || size == 0) return {RangeAnswer::Kind::Unsatisfiable};
    return {RangeAnswer::Kind::Part, {size - std::min(size, *last), size - 1}};
  }
  if (!first || (dash + 1 < text.size() && !last) || (last && *last < *first)) return whole;
  if (*first >= size) return {RangeAnswer::Kind::Unsatisfiable};
  return {RangeAnswer::Kind::Part, {*first, last ? std::min(*last, size - 1) : size - 1}};
}

Result<size_t> parse_page_size(std::optional<std::string_view> text, size_t fallback, size_t most) {
  if (!text) return fallback;
  auto value = number(*text);
  if (!value || *value > most) {
    return failure(Kind::InvalidArgument, "n={}: expected a number from 0 to {}", text->substr(0, 40), most);
  }
  return static_cast<size_t>(*value);
}

}  // namespace berth::registry::server
