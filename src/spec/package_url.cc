#include "spec/package_url.h"

#include "base/format.h"

namespace berth::spec {

std::string docker_package_url(const Reference& name, const Platform& platform) {
  std::string quoted;
  for (char c : platform.str()) quoted += c == '/' ? std::string("%2F") : std::string(1, c);
  const std::string tag = name.tag().empty() ? std::string() : "@" + name.tag();
  const std::string digest = name.digest() ? fmt::format("digest={}&", name.digest()->str()) : std::string();
  return fmt::format("pkg:docker/{}{}?{}platform={}", name.familiar_name(), tag, digest, quoted);
}

}  // namespace berth::spec
