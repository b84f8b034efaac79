// Snapshotter: layers as directories that overlayfs stacks, and the writable directories of containers.
//
//   data-root/layers/<chain id hex>/fs       one unpacked layer, immutable, shared
//   data-root/layers/<chain id hex>/recipe   how to re-create its tar when no blob is kept (recipe.h)
//   data-root/layers/l/<serial>              link to ../<chain id hex>/fs, for mount option strings
//   data-root/layers/empty                   lower directory of containers without an image
//   data-root/containers/<id>/{upper,work}   what a container writes
//   data-root/trash/                         what is being removed
//
// Lifecycle: unpack() or commit() makes layers; prepare() makes a container's directories and says what to
// mount; remove() ends them. Nothing is mounted on the host.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/result.h"
#include "storage/archive.h"
#include "storage/content_store.h"
#include "storage/database.h"
#include "sys/detached_overlay.h"
#include "sys/file.h"
#include "sys/root_dir.h"

namespace berth::storage {

/// What a container's overlay is made of. All paths absolute; the executor mounts with fsconfig "lowerdir+"
/// per lower, or on older kernels chdirs to `short_root` and joins `short_lower` with ':'.
struct OverlaySpec {
  std::vector<std::string> lower;  ///< top first; never empty
  std::string upper;
  std::string work;
  std::vector<std::string> options;  ///< "index=off", ...
  std::string short_root;
  std::vector<std::string> short_lower;
};

/// Stacks deeper than this are refused, as the kernel does (OVL_MAX_STACK).
inline constexpr size_t max_layer_depth = 500;

/// Whether a container's writes must survive a crash of the machine; Disposable (run --rm) spares overlayfs
/// the sync of the whole filesystem at unmount.
enum class UpperDurability { Kept, Disposable };

struct LayerBlob {
  Digest digest;
  std::string media_type;
  uint64_t size = 0;
};

struct Layer {
  Digest chain_id;
  Digest diff_id;
  std::optional<Digest> parent;   ///< chain id
  uint64_t size = 0;              ///< content bytes
  uint64_t tar_size = 0;          ///< bytes of its uncompressed tar
  std::optional<LayerBlob> blob;  ///< as received; none: re-created from the tree by its recipe
};

enum class ViewAccess { ReadOnly, ReadWrite };

/// What becomes of a container's upper directory when it is committed.
enum class CommitMode {
  Copy,     ///< the container goes on (docker commit)
  Consume,  ///< upper is moved and gone (a build step)
};

class Housekeeper;

class Snapshotter {
 public:
  /// Opens the layers below `data_root`, empties the trash and drops layers that a crash of the machine may
  /// have left with unwritten content (they are unpacked again from their blobs when next needed).
  static Result<std::unique_ptr<Snapshotter>> open(Database& database, ContentStore& content,
                                                   std::string data_root);

  ~Snapshotter();

  /// What arrives as a layer.
  struct UnpackRequest {
    std::optional<Digest> parent = {};   ///< chain id; must exist
    std::optional<Digest> diff_id = {};  ///< what it must turn out to be; else Corrupt
    std::optional<LayerBlob> blob = {};  ///< in the content store already: kept as the layer's bytes
    /// Puts the archive into the content store once it is unpacked and found whole. Called when `keep` says
    /// so, from unpack()'s thread. Without it an archive that cannot be re-created is packed anew, and the
    /// layer's diff id is that of the new tar (not if one is required).
    std::function<Result<LayerBlob>()> keep_archive = {};
    enum class Keep {
      IfNeeded,  ///< only if the tree and a recipe cannot give the archive back (an entry replaced another)
      Always,    ///< the archive is compressed: its bytes are to leave as they came
    } keep = Keep::IfNeeded;
    ArchiveLimits limits = {};
    std::stop_token stop = {};
  };
  /// Unpacks once: when the chain id is known and exists, or is being unpacked by another thread, returns
  /// that one. Failure leaves nothing.
  Result<Layer> unpack(ByteSource& archive, const UnpackRequest& request);
  /// Makes a layer over `parent` of what the container has written. No changes: an empty layer all the same
  /// (ask is_unchanged() first).
  Result<Layer> commit(const std::string& container_id, const std::optional<Digest>& parent, CommitMode mode,
                       std::stop_token stop = {});
  /// Nothing has been written: upper is empty.
  Result<bool> is_unchanged(const std::string& container_id) const;

  Result<Layer> layer(const Digest& chain_id) const;
  bool has_layer(const Digest& chain_id) const;
  std::vector<Layer> layers() const;
  /// Layers made within `age`, which a build or commit may be about to refer to.
  std::set<Digest> layers_younger_than(std::chrono::seconds age) const;
  /// From the layer itself down to the bottom.
  Result<std::vector<Layer>> chain(const Digest& chain_id) const;
  /// How a layer's tar is verified while it is written. Checksum: against damage alone, where the layer has
  /// one, which takes a tenth of the digest's time.
  enum class Proof { Digest, Checksum };
  /// The layer's tar with exactly its diff id: from the blob (decompressed) or by the recipe. A mismatch:
  /// Corrupt.
  Result<void> write_layer_tar(const Digest& chain_id, ByteSink& out, std::stop_token stop = {},
                               Proof proof = Proof::Digest) const;
  /// Removes the row and moves the directory to the trash, which empties itself; the blob stays for gc. In
  /// use as a parent: WrongState.
  Result<void> remove_layer(const Digest& chain_id);
  /// Records a kept blob for the layer (after a push has compressed it). Durability::None: the blob is not on
  /// the disk yet, and becomes durable with the next sync(); a crash of the machine before costs the blob at
  /// most, where the layer has a recipe.
  Result<void> set_blob(const Digest& chain_id, LayerBlob blob, sys::Durability durability);

  /// Makes containers/<id>/{upper,work}; without a chain the container starts from an empty root.
  Result<OverlaySpec> prepare(const std::string& container_id, const std::optional<Digest>& chain_id,
                              UpperDurability durability = UpperDurability::Kept);
  /// The same mount again for a container that is started anew.
  Result<OverlaySpec> mount_spec(const std::string& container_id, const std::optional<Digest>& chain_id,
                                 UpperDurability durability = UpperDurability::Kept);
  /// Moves the whole containers/<id> away at once (cheap, on the path a user waits on)...
  Result<void> discard(const std::string& container_id);
  /// ...and this removes what was moved (slow, off the path).
  Result<void> empty_trash(std::stop_token stop = {});
  /// discard() and removal of it.
  Result<void> remove(const std::string& container_id);
  /// Bytes that the container has written.
  Result<uint64_t> usage(const std::string& container_id) const;
  Result<std::vector<Change>> changes(const std::string& container_id,
                                      const std::optional<Digest>& chain_id) const;

  /// Root of the container's merged view as a descriptor. ReadOnly works while it runs (what it writes later
  /// may or may not be seen); ReadWrite only when it does not run.
  Result<sys::RootDir> view(const std::string& container_id, const std::optional<Digest>& chain_id,
                            ViewAccess access) const;
  /// Root of an image's content, read-only.
  Result<sys::RootDir> view_chain(const Digest& chain_id) const;

  /// Bytes of all layers on disk (allocated, as du counts).
  Result<uint64_t> layers_disk_usage() const;
  /// Makes layers that were made since the last call durable (one syncfs). Happens by itself a few seconds
  /// after a layer was made; until then a crash of the machine may cost the layer (open() notices, and
  /// restores or drops it).
  Result<void> sync();

  std::string container_dir(const std::string& container_id) const;
  std::string layer_dir(const Digest& chain_id) const;
  const std::string& data_root() const { return data_root_; }

 private:
  struct Record {
    Layer layer;
    uint64_t serial = 0;                              ///< name below layers/l/
    std::chrono::steady_clock::time_point made = {};  ///< in this process; none for older ones
  };
  /// A layer that is being made in layers/.staging-<random>; gone when destroyed before publish().
  struct Staging;

  Snapshotter(Database& database, ContentStore& content, std::string data_root);
  Result<void> make_directories();
  Result<void> load();
  Result<void> repair(const std::vector<std::pair<Record, bool>>& records);
  /// True if the layer is whole, or could be made whole; a blob that is not is forgotten.
  Result<bool> verify(const Layer& layer);
  Result<void> write_by_recipe(const Layer& layer, ByteSink& out, std::stop_token stop, Proof proof) const;
  Result<void> unpack_again(const Layer& layer);
  Result<void> forget_blob(const Layer& layer);
  Result<void> remove_strays();

  Result<Staging> make_staging(const std::optional<Digest>& parent);
  Result<UnpackResult> unpack_into(Staging& staging, ByteSource& archive, UnpackRequest& request);
  Result<PackResult> pack_staging(const Staging& staging, Digest& diff_id, std::stop_token stop);
  Result<Layer> unpack_new(ByteSource& archive, UnpackRequest request);
  Result<Layer> publish(Staging& staging, Layer layer);
  Result<void> insert(const Record& record);
  /// Waits while another thread unpacks the chain; true if this thread shall do it.
  bool claim(const Digest& chain_id);
  void release(const Digest& chain_id);

  Result<OverlaySpec> spec_for(const std::string& container_id, const std::optional<Digest>& chain_id,
                               UpperDurability durability) const;
  Result<std::vector<Record>> records_of(const Digest& chain_id) const;
  Result<std::vector<sys::RootDir>> open_chain(const std::optional<Digest>& chain_id) const;
  Result<void> copy_root_attributes(const std::optional<Digest>& parent, const std::string& directory) const;

  Database& database_;
  ContentStore& content_;
  std::string data_root_;
  std::string boot_id_;
  mutable std::mutex mutex_;  ///< held while the database is written; never taken with a Statement in hand
  std::condition_variable unpacked_;
  std::map<Digest, Record> layers_;
  std::set<Digest> unpacking_;
  std::set<Digest> unsynced_;
  uint64_t next_serial_ = 1;
  std::unique_ptr<Housekeeper> housekeeper_;  ///< last: its thread uses all the others
};

}  // namespace berth::storage
