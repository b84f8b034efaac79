#include "apps/berth/options/build_caches.h"

#include <map>

#include "base/format.h"

namespace berth::cli::options {
namespace {

Result<std::map<std::string, std::string>> fields_of(std::string_view text) {
  std::map<std::string, std::string> fields;
  while (!text.empty()) {
    const size_t end = text.find(',');
    const std::string_view field = text.substr(0, end);
    const size_t equals = field.find('=');
    if (equals == field.npos || equals == 0)
      return failure(Kind::InvalidArgument, "invalid build cache \"{}\": expected key=value", field);
    fields[std::string(field.substr(0, equals))] = field.substr(equals + 1);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return fields;
}

/// `directory`: the key that names one.
Result<BuildCache> parse(std::string_view text, const char* flag, const char* directory) {
  TRY(auto fields, fields_of(text));
  const std::string type = fields["type"];
  BuildCache cache{.reference = fields["ref"],
                   .directory = fields[directory],
                   .digest = fields["digest"],
                   .mode = fields["mode"]};
  if (!fields["tag"].empty()) cache.tag = fields["tag"];
  if (!cache.mode.empty() && cache.mode != "min" && cache.mode != "max")
    return failure(Kind::InvalidArgument, "{} {}: mode is min or max", flag, text);
  if (type == "registry") {
    if (cache.reference.empty()) return failure(Kind::InvalidArgument, "{} {} needs ref=", flag, text);
  } else if (type == "local") {
    cache.type = BuildCache::Type::Local;
    if (cache.directory.empty())
      return failure(Kind::InvalidArgument, "{} {} needs {}=", flag, text, directory);
  } else if (type == "inline") {
    cache.type = BuildCache::Type::Inline;
  } else {
    return failure(Kind::Unsupported,
                   "{} type={} is not supported: type=registry, type=local and type=inline are", flag, type);
  }
  return cache;
}

}  // namespace

Result<BuildCache> parse_cache_from(std::string_view text) {
  if (text.find('=') == text.npos) return BuildCache{.reference = std::string(text)};
  TRY(BuildCache cache, parse(text, "--cache-from", "src"));
  if (cache.type == BuildCache::Type::Inline)
    return Error(Kind::InvalidArgument,
                 "--cache-from type=inline: name the image, as --cache-from IMAGE does");
  return cache;
}

Result<BuildCache> parse_cache_to(std::string_view text) {
  if (text == "inline") return BuildCache{.type = BuildCache::Type::Inline};
  if (text.find('=') == text.npos) return BuildCache{.reference = std::string(text)};
  return parse(text, "--cache-to", "dest");
}

Result<std::string> check_cache_from(std::string_view text) {
  CHECK(parse_cache_from(text));
  return std::string(text);
}

Result<std::string> check_cache_to(std::string_view text) {
  CHECK(parse_cache_to(text));
  return std::string(text);
}

}  // namespace berth::cli::options
