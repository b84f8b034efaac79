// Image references as people write them: "busybox", "ghcr.io/org/app:1.2", "localhost:5000/x@sha256:...".
// The grammar is the one of docker's reference package; short names belong to docker.io/library.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/result.h"

namespace berth::spec {

class Reference {
 public:
  /// Parses and normalises. Malformed: InvalidArgument "invalid reference format...", worded as docker's.
  /// 64 hex digits alone are an image id, not a reference, and are refused.
  static Result<Reference> parse(std::string_view text);

  /// "docker.io", "localhost:5000", ...
  const std::string& domain() const { return domain_; }
  /// "library/busybox": the repository without its domain.
  const std::string& path() const { return path_; }
  /// Empty when none was given.
  const std::string& tag() const { return tag_; }
  const std::optional<Digest>& digest() const { return digest_; }

  /// "docker.io/library/busybox"
  std::string name() const { return domain_ + "/" + path_; }
  /// "busybox": the shortest form that parses to the same name.
  std::string familiar_name() const;
  /// name() with tag and digest as given.
  std::string str() const;
  /// familiar_name() with tag and digest as given: what tables and RepoTags show.
  std::string familiar_string() const;

  /// The same with tag "latest" if there is neither tag nor digest.
  Reference with_default_tag() const;
  Reference with_tag(std::string tag) const;
  Reference with_digest(Digest digest) const;
  /// Name alone.
  Reference without_tag_and_digest() const;
  bool is_name_only() const { return tag_.empty() && !digest_; }

  bool operator==(const Reference&) const = default;

 private:
  std::string domain_;
  std::string path_;
  std::string tag_;
  std::optional<Digest> digest_;
};

/// [A-Za-z0-9_][A-Za-z0-9_.-]{0,127}
bool is_valid_tag(std::string_view tag);

}  // namespace berth::spec
