#include "spec/url_credentials.h"

#include <algorithm>

namespace berth::spec {

std::string_view credentials_in(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme == url.npos) return {};
  const size_t start = scheme + 3;
  const size_t end = std::min(url.find_first_of("/?#", start), url.size());
  const std::string_view authority = url.substr(start, end - start);
  const size_t at = authority.rfind('@');
  return at == authority.npos ? std::string_view() : authority.substr(0, at + 1);
}

std::string without_credentials(std::string_view url) {
  std::string shown(url);
  if (const auto credentials = credentials_in(url); !credentials.empty())
    shown.erase(static_cast<size_t>(credentials.data() - url.data()), credentials.size());
  return shown;
}

}  // namespace berth::spec
