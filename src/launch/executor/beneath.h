// Paths beneath a container's root, before the root is the root: resolved with openat2(RESOLVE_IN_ROOT), so
// that neither links nor ".." nor a rename going on at the same time lead outside, and never through magic
// links. All functions return a descriptor or -errno.
#pragma once

#include <cstdint>

namespace berth::launch {

enum class LastLink {
  Follow,
  Refuse,  ///< ELOOP when the last component is a symbolic link
};

enum class Make { Nothing, Directory, File };

/// An O_PATH descriptor of what `path` names beneath `root`.
long open_path_beneath(int root, const char* path, LastLink last = LastLink::Follow);

/// The same; missing directories (0755) are made on the way, and the last component as `make` says (a file is
/// empty and 0644). Dangling links are followed and their targets made, beneath the root, as docker does.
long make_path_beneath(int root, const char* path, Make make, LastLink last = LastLink::Follow);

/// The directory that is to hold the last component of `path` (made if missing), and where that component
/// begins: `root` itself for a plain name, otherwise a new descriptor.
long open_parent_beneath(int root, const char* path, const char** last_component);

}  // namespace berth::launch
