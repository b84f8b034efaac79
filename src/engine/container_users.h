// Users and groups by name, from the passwd and group files of a container: data from inside, so bounded and
// read beneath its root, never through libc's name services.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "storage/copy_archive.h"
#include "sys/root_dir.h"

namespace berth::engine {

/// Whether "user", "user:group" has a part that is no number, and so must be in the files.
bool has_names(std::string_view user);

/// The uid and gid that a container's User ("name", "7", "name:group", "7:8") resolves to, as a process of
/// that user would have them. Unknown names are InvalidArgument, in docker's words: "unable to find user x:
/// no matching entries in passwd file".
Result<storage::FixedOwner> owner_of_user(const sys::RootDir& root, const std::string& text);

}  // namespace berth::engine
