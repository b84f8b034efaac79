// GitPlace: a place in a git repository as docker and Compose name it, "https://host/x.git#ref:dir": the
// context of a build, what ADD takes, a Compose file. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::spec {

struct GitPlace {
  std::string repository;  ///< what git is given
  std::string ref;         ///< "HEAD" when none is named
  std::string path = {};   ///< within it, without a '/' before; empty: the top
  bool operator==(const GitPlace&) const = default;
};

/// None: the text is no repository's URL. It is git://, ssh:// or git@, http(s) that ends in ".git", or
/// "github.com/...", behind which "#ref", "#ref:dir" or "#:dir" may stand.
std::optional<GitPlace> parse_git_place(std::string_view text);

/// Whether git may be given the place: nothing in it is taken for an option, or has lines of its own.
Result<void> check_git_place(const GitPlace& place);

/// A full commit's name.
bool is_git_commit(std::string_view text);

/// The repository of a submodule: its own URL, or "./x" and "../x" beside the parent's. One that is not
/// reached over a network is refused, so that no repository leads to files of this host.
Result<std::string> submodule_repository(const std::string& parent, const std::string& url);

}  // namespace berth::spec
