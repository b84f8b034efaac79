// Security options.
#include "apps/berth/options/security.h"

#include "apps/berth/archive/file_text.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::cli::options {
namespace {

constexpr size_t max_profile = 4u << 20;

Result<std::string> profile_text(const std::string& path) {
  auto text = archive::read_text(path, max_profile);
  if (!text) {
    return failure(Kind::InvalidArgument, "opening seccomp profile ({}) failed: {}", path,
                   text.error().message());
  }
  auto json = parse_json(*text);
  if (!json) {
    return failure(Kind::InvalidArgument, "compacting json for seccomp profile ({}) failed: {}", path,
                   json.error().message());
  }
  return to_json(*json);
}

}  // namespace

Result<SecurityOptions> read_security_options(const std::vector<std::string>& flags) {
  SecurityOptions security;
  for (const std::string& flag : flags) {
    size_t split = flag.find('=');
    if (split == std::string::npos) split = flag.find(':');
    std::string key = flag.substr(0, split);
    std::string value = split == std::string::npos ? "" : flag.substr(split + 1);
    if (value.empty() && key != "no-new-privileges") {
      return failure(Kind::InvalidArgument, "Invalid --security-opt: \"{}\"", flag);
    }
    if (flag == "systempaths=unconfined") {
      security.unconfined_paths = true;
    } else if (key == "seccomp" && value != "unconfined" && value != "builtin") {
      TRY(std::string profile, profile_text(value));
      security.options.push_back("seccomp=" + profile);
    } else {
      security.options.push_back(flag);
    }
  }
  return security;
}

}  // namespace berth::cli::options
