// The reference grammar, by hand: docker's regular expressions restated as scanners.
#include "spec/reference.h"

#include <algorithm>

#include "base/format.h"

namespace berth::spec {
namespace {

constexpr std::string_view default_domain = "docker.io";
constexpr std::string_view legacy_default_domain = "index.docker.io";
constexpr std::string_view official_prefix = "library/";
constexpr size_t max_name = 255;
constexpr size_t max_reference = 1024;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool is_lower_alnum(char c) {
  return is_lower(c) || is_digit(c);
}
bool is_alnum(char c) {
  return is_lower_alnum(c) || is_upper(c);
}
bool has_upper(std::string_view text) {
  return std::any_of(text.begin(), text.end(), is_upper);
}

bool is_image_id(std::string_view text) {
  return text.size() == 64 &&
         std::all_of(text.begin(), text.end(), [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
}

/// [a-z0-9]+ ((\.|_|__|-+) [a-z0-9]+)*
bool is_path_component(std::string_view text) {
  size_t i = 0;
  while (true) {
    size_t start = i;
    while (i < text.size() && is_lower_alnum(text[i])) ++i;
    if (i == start) return false;
    if (i == text.size()) return true;
    if (text[i] == '-') {
      while (i < text.size() && text[i] == '-') ++i;
    } else if (text.substr(i).starts_with("__")) {
      i += 2;
    } else if (text[i] == '.' || text[i] == '_') {
      ++i;
    } else {
      return false;
    }
  }
}

bool is_path(std::string_view text) {
  while (true) {
    size_t slash = text.find('/');
    if (!is_path_component(text.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    text.remove_prefix(slash + 1);
  }
}

bool is_host_label(std::string_view text) {
  return !text.empty() && is_alnum(text.front()) && is_alnum(text.back()) &&
         std::all_of(text.begin(), text.end(), [](char c) { return is_alnum(c) || c == '-'; });
}

bool is_host_name(std::string_view text) {
  while (true) {
    size_t dot = text.find('.');
    if (!is_host_label(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool is_bracketed_ipv6(std::string_view text) {
  if (text.size() < 3 || text.front() != '[' || text.back() != ']') return false;
  text = text.substr(1, text.size() - 2);
  return std::all_of(text.begin(), text.end(), [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':';
  });
}

bool is_domain(std::string_view text) {
  size_t port = std::string_view::npos;
  if (text.starts_with('[')) {
    size_t close = text.find(']');
    if (close == std::string_view::npos) return false;
    if (close + 1 < text.size()) {
      if (text[close + 1] != ':') return false;
      port = close + 1;
    }
  } else {
    port = text.find(':');
  }
  if (port != std::string_view::npos) {
    std::string_view digits = text.substr(port + 1);
    if (digits.empty() || !std::all_of(digits.begin(), digits.end(), is_digit)) return false;
  }
  std::string_view host = text.substr(0, port);
  return is_bracketed_ipv6(host) || is_host_name(host);
}

struct Split {
  std::string_view domain;
  std::string_view rest;
};

/// The first component is a domain if it has a dot, a colon or an upper-case letter, or is "localhost".
Split split_domain(std::string_view text) {
  size_t slash = text.find('/');
  if (slash == std::string_view::npos) return {default_domain, text};
  std::string_view first = text.substr(0, slash);
  bool looks_like_host =
      first.find_first_of(".:") != std::string_view::npos || first == "localhost" || has_upper(first);
  if (!looks_like_host) return {default_domain, text};
  return {first, text.substr(slash + 1)};
}

Error invalid_format() {
  return Error(Kind::InvalidArgument, "invalid reference format");
}

}  // namespace

bool is_valid_tag(std::string_view tag) {
  if (tag.empty() || tag.size() > 128) return false;
  if (!is_alnum(tag.front()) && tag.front() != '_') return false;
  return std::all_of(tag.begin(), tag.end(),
                     [](char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; });
}

Result<Reference> Reference::parse(std::string_view text) {
  if (text.size() > max_reference) return invalid_format();
  if (is_image_id(text)) {
    return failure(Kind::InvalidArgument,
                   "invalid repository name ({}), cannot specify 64-byte hexadecimal strings", text);
  }
  auto [domain, rest] = split_domain(text);
  Reference reference;
  reference.domain_ = domain == legacy_default_domain ? default_domain : domain;

  if (size_t at = rest.find('@'); at != std::string_view::npos) {
    auto digest = Digest::parse(rest.substr(at + 1));
    if (!digest) return invalid_format();
    reference.digest_ = std::move(*digest);
    rest = rest.substr(0, at);
  }
  if (size_t colon = rest.find(':'); colon != std::string_view::npos) {
    reference.tag_ = rest.substr(colon + 1);
    if (!is_valid_tag(reference.tag_)) return invalid_format();
    rest = rest.substr(0, colon);
  }
  if (has_upper(rest)) {
    return failure(Kind::InvalidArgument, "invalid reference format: repository name ({}) must be lowercase",
                   rest);
  }
  reference.path_ = rest;
  if (reference.domain_ == default_domain && rest.find('/') == std::string_view::npos) {
    reference.path_ = std::string(official_prefix) + std::string(rest);
  }
  if (!is_domain(reference.domain_) || !is_path(reference.path_)) return invalid_format();
  if (reference.path_.size() > max_name) {
    return Error(Kind::InvalidArgument, "repository name must not be more than 255 characters");
  }
  return reference;
}

std::string Reference::familiar_name() const {
  if (domain_ != default_domain) return name();
  std::string_view short_path = path_;
  if (short_path.starts_with(official_prefix) &&
      short_path.find('/', official_prefix.size()) == std::string_view::npos) {
    short_path.remove_prefix(official_prefix.size());
  }
  return std::string(short_path);
}

namespace {
std::string with_suffix(std::string name, const std::string& tag, const std::optional<Digest>& digest) {
  if (!tag.empty()) name += ":" + tag;
  if (digest) name += "@" + digest->str();
  return name;
}
}  // namespace

std::string Reference::str() const {
  return with_suffix(name(), tag_, digest_);
}
std::string Reference::familiar_string() const {
  return with_suffix(familiar_name(), tag_, digest_);
}

Reference Reference::with_default_tag() const {
  return is_name_only() ? with_tag("latest") : *this;
}

Reference Reference::with_tag(std::string tag) const {
  Reference copy = *this;
  copy.tag_ = std::move(tag);
  return copy;
}

Reference Reference::with_digest(Digest digest) const {
  Reference copy = *this;
  copy.digest_ = std::move(digest);
  return copy;
}

Reference Reference::without_tag_and_digest() const {
  Reference copy = *this;
  copy.tag_.clear();
  copy.digest_.reset();
  return copy;
}

}  // namespace berth::spec
