#include "spec/git_place.h"

#include <algorithm>

#include "base/format.h"
#include "spec/url_credentials.h"

namespace berth::spec {
namespace {

/// http(s) URLs are many things, of which ".git" is a repository.
bool is_repository(std::string_view url) {
  for (std::string_view scheme : {"git://", "ssh://", "git@"})
    if (url.starts_with(scheme)) return true;
  return (url.starts_with("https://") || url.starts_with("http://")) && url.ends_with(".git");
}

bool is_plain(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte <= ' ' || byte == 0x7f;
  });
}

/// Where the path begins in "scheme://host/path" and in "git@host:path".
size_t path_start(std::string_view repository) {
  const size_t scheme = repository.find("://");
  if (scheme == repository.npos) return std::min(repository.find(':'), repository.size() - 1) + 1;
  return std::min(repository.find('/', scheme + 3), repository.size());
}

}  // namespace

std::optional<GitPlace> parse_git_place(std::string_view text) {
  const size_t hash = text.find('#');
  std::string url(text.substr(0, hash));
  if (url.starts_with("github.com/")) url = "https://" + url + (url.ends_with(".git") ? "" : ".git");
  if (!is_repository(url)) return std::nullopt;
  GitPlace place{.repository = std::move(url), .ref = "HEAD"};
  if (hash == text.npos) return place;
  std::string_view fragment = text.substr(hash + 1);
  const size_t colon = fragment.find(':');
  if (const std::string_view ref = fragment.substr(0, colon); !ref.empty()) place.ref = ref;
  if (colon != fragment.npos) place.path = fragment.substr(colon + 1);
  while (place.path.starts_with('/')) place.path.erase(0, 1);
  return place;
}

Result<void> check_git_place(const GitPlace& place) {
  const bool is_option = place.ref.starts_with('-') || place.repository.find("://-") != std::string::npos ||
                         place.repository.find("@-") != std::string::npos;
  // A ref with a colon or a '+' before would be a refspec, which writes.
  const bool is_refspec = place.ref.find_first_of(":+^~?*[\\") != std::string::npos;
  if (is_option || is_refspec || !is_plain(place.ref) || !is_plain(place.repository))
    return failure(Kind::InvalidArgument, "{}#{} is no place in a repository",
                   without_credentials(place.repository), place.ref);
  return {};
}

bool is_git_commit(std::string_view text) {
  return text.size() == 40 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

Result<std::string> submodule_repository(const std::string& parent, const std::string& url) {
  const auto refuse = [&url](std::string_view why) {
    return failure(Kind::InvalidArgument, "the submodule's repository {} {}", without_credentials(url), why);
  };
  if (!is_plain(url)) return refuse("is no URL");
  std::string_view rest = url;
  if (!rest.starts_with("./") && !rest.starts_with("../")) {
    for (std::string_view scheme : {"https://", "http://", "git://", "ssh://", "git@"})
      if (url.starts_with(scheme)) return url;
    return refuse("is not reached over a network: git, http, https and ssh are");
  }
  std::string base = parent;
  const size_t start = path_start(base);
  while (base.size() > start && base.ends_with('/')) base.pop_back();
  while (rest.starts_with("./") || rest.starts_with("../")) {
    const bool is_up = rest.starts_with("../");
    rest.remove_prefix(is_up ? 3 : 2);
    if (!is_up) continue;
    if (base.size() <= start) return refuse("leads out of its parent's host");
    const size_t slash = base.rfind('/');
    base.resize(slash == base.npos || slash < start ? start : slash);
  }
  const bool needs_slash = !base.ends_with(':') && !base.ends_with('/');
  return base + (needs_slash ? "/" : "") + std::string(rest);
}

}  // namespace berth::spec
