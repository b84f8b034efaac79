// Tar archives in and out of directory trees. Unpacking treats every byte as hostile: all names resolve
// beneath the root that is given, limits are held, and a failure is an error that names the entry. Packing is
// deterministic: the same tree gives the same bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/result.h"
#include "storage/byte_stream.h"
#include "storage/checksum.h"
#include "sys/root_dir.h"

namespace berth::storage {

struct ArchiveLimits {
  uint64_t max_bytes = uint64_t{256} << 30;  ///< of uncompressed archive
  uint64_t max_entries = 5'000'000;
  size_t max_path = 4096;
  size_t max_xattr_value = 65536;      ///< the kernel's own limit
  size_t max_xattrs = 128;             ///< per entry
  size_t max_header_bytes = 1u << 20;  ///< PAX or GNU extension data of one entry
  /// Bytes that sparse files may claim beyond what the archive holds are bounded by max_bytes as well.
};

/// What `.wh.` names mean.
enum class Whiteouts {
  Overlay,  ///< an image layer: device 0/0 and trusted.overlay.opaque, as overlayfs reads them
  Literal,  ///< any other archive: ordinary files
};

/// Who owns what is unpacked.
struct FixedOwner {
  uint32_t uid = 0;
  uint32_t gid = 0;
};

enum class DeviceNodes { Create, Refuse };
/// docker cp's noOverwriteDirNonDir: whether a directory may take the place of a file or a file of a
/// directory.
enum class Overwrite { Any, SameKindOnly };
/// What an entry for the root itself ("./") does: in an archive of a volume it sets mode, owner and times. A
/// layer's, docker cp's and ADD's changes nothing, as with docker, podman and containerd: a tree that was
/// packed in a private temporary directory would make an image that no user but root can enter.
enum class RootEntry { Apply, Ignore };
/// Whether the archive's owners are kept or everything belongs to whoever runs.
enum class Ownership { Keep, Ignore };

struct UnpackOptions {
  ArchiveLimits limits = {};
  Whiteouts whiteouts = Whiteouts::Literal;
  DeviceNodes device_nodes = DeviceNodes::Create;
  Overwrite overwrite = Overwrite::Any;
  Ownership ownership = Ownership::Keep;
  RootEntry root_entry = RootEntry::Apply;
  std::optional<FixedOwner> owner = {};  ///< overrides the archive's
  /// Roots of the layers beneath, top first: a hard link to a file that only they hold copies it, and parents
  /// that the archive does not name take mode and owner from them.
  std::vector<const sys::RootDir*> lowers = {};
  /// Directory beneath the root, which exists, that the archive's names are relative to. Links still lead
  /// where they lead within the root.
  std::string base = {};
  /// Sees every entry name before it is unpacked; returning false skips the entry.
  std::function<bool(std::string_view name)> filter = {};
  /// Receives the tar recipe (recipe.h) of what is unpacked, when wanted.
  ByteSink* recipe = nullptr;
  std::stop_token stop = {};
};

struct UnpackResult {
  Digest diff_id;              ///< SHA-256 of the whole uncompressed stream
  uint64_t stream_bytes = 0;   ///< its length
  uint64_t content_bytes = 0;  ///< regular files' sizes, hard links once
  uint64_t entries = 0;
  /// The recipe is good for re-creating the archive from the tree (no entry replaced an earlier one).
  bool recipe_valid = false;
};

/// Unpacks a plain, gzip, zstd, xz or bzip2 tar beneath `root`. Decompression, hashing and writing run in a
/// pipeline of threads. After an error the tree holds part of the archive: unpack into a staging directory.
Result<UnpackResult> unpack(ByteSource& archive, const sys::RootDir& root, const UnpackOptions& options = {});

/// How names and times are written.
struct PackOptions {
  /// Prefix of every name ("" puts the tree's children at the top).
  std::string prefix = {};
  /// Entry for the root itself ("./", or the prefix).
  bool include_root = false;
  /// Later times are written as this one.
  std::optional<Timestamp> clamp_mtime = {};
  std::optional<FixedOwner> owner = {};
  /// false leaves out the entry and what is below it. Gets the path relative to the root.
  std::function<bool(std::string_view path, bool is_directory)> filter = {};
  /// Receives the tar recipe (recipe.h), with the archive's checksum.
  ByteSink* recipe = nullptr;
  Checksum checksum = nullptr;  ///< crc64, with a recipe
  std::stop_token stop = {};
};

struct PackResult {
  uint64_t stream_bytes = 0;
  uint64_t content_bytes = 0;
  uint64_t entries = 0;
};

/// A directory tree as it is (export of a merged view, a build context, a volume).
Result<PackResult> pack_tree(const sys::RootDir& root, ByteSink& out, const PackOptions& options = {});
/// An overlay upper directory as an OCI layer: device 0/0 becomes `.wh.name`, opaque directories get
/// `.wh..wh..opq`, overlayfs' own attributes are left out.
Result<PackResult> pack_layer(const sys::RootDir& upper, ByteSink& out, const PackOptions& options = {});

/// One object that is no directory, named `entry_name` in the archive.
Result<PackResult> pack_object(int parent_fd, const std::string& name, std::string_view entry_name,
                               ByteSink& out, const PackOptions& options = {});

/// Kinds of `docker diff`.
enum class ChangeKind { Modified = 0, Added = 1, Deleted = 2 };
struct Change {
  std::string path;  ///< absolute
  ChangeKind kind;
  bool operator==(const Change&) const = default;
};
/// What `upper` changes in the layers beneath (top first), sorted by path.
Result<std::vector<Change>> changes(const sys::RootDir& upper, const std::vector<sys::RootDir>& lowers);

}  // namespace berth::storage
