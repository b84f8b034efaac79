// Fuzz target: what a registry reads before it looks anything up: paths, ranges, manifests, credentials.
#include <cstdint>
#include <string>
#include <string_view>

#include "registry/server/auth.h"
#include "registry/server/manifest_check.h"
#include "registry/server/names.h"
#include "registry/server/route.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  namespace server = berth::registry::server;
  const auto route = server::parse_route(text);
  if (server::is_repository_name(route.name) && route.name.find("..") != std::string::npos) __builtin_trap();
  if (auto digest = server::ContentDigest::parse(route.reference)) {
    if (digest->str() != route.reference || digest->str().find('/') != std::string::npos) __builtin_trap();
  }
  if (auto range = server::parse_content_range(text);
      range && (range->last < range->first || range->length() == 0))
    __builtin_trap();
  for (uint64_t blob : {uint64_t{0}, uint64_t{1}, uint64_t{1000}}) {
    const auto answer = server::choose_range(text, blob);
    bool outside = answer.range.last < answer.range.first || answer.range.last >= blob;
    if (answer.kind == server::RangeAnswer::Kind::Part && outside) __builtin_trap();
  }
  if (auto count = server::parse_page_size(text, 1, 100); count && *count > 100) __builtin_trap();
  (void)server::check_manifest(text, "");
  (void)server::parse_basic(text);
  (void)server::parse_scope(text);
  return 0;
}
