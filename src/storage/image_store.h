// ImageStore: images, their names and their layers, over the database, the content store and the snapshotter.
// An image's id is the digest of its configuration, as docker's graph-driver store has it. All functions may
// be called from any thread; long ones report progress, can be stopped, and leave nothing when they fail.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/result.h"
#include "spec/image.h"
#include "spec/reference.h"
#include "storage/content_store.h"
#include "storage/database.h"
#include "storage/gc_plan.h"
#include "storage/snapshotter.h"

namespace berth::storage {

/// One step of a long operation; `id` is a layer's short digest or empty. total 0: unknown.
struct Progress {
  std::string id;
  std::string status;
  uint64_t current = 0;
  uint64_t total = 0;
};
using ProgressCallback = std::function<void(const Progress&)>;

struct Image {
  Digest id;
  std::shared_ptr<const spec::ImageConfig> config;
  std::vector<std::string> repo_tags;     ///< familiar, sorted: "busybox:latest"
  std::vector<std::string> repo_digests;  ///< "busybox@sha256:..."
  std::optional<Digest> parent;           ///< the image it was built on, when that was here
  std::optional<Digest> chain_id;         ///< top layer; none: an image without layers
  uint64_t size = 0;                      ///< content bytes of all layers
  Timestamp last_tagged;
  std::optional<Digest> manifest;  ///< in the content store, when the image came with one
};

/// A container that keeps an image in use.
struct ImageUse {
  Digest image;
  std::string container_id;
  bool running = false;
};
/// What the caller's containers hold; chains keep layers alive even when their image is gone.
struct InUse {
  std::vector<ImageUse> images;
  std::set<Digest> chains;
};

struct RemovedName {
  enum class Kind { Untagged, Deleted } kind;
  std::string name;  ///< familiar name, or an id with "sha256:"
};
struct RemoveOptions {
  bool force = false;
  bool prune_parents = true;
};

struct LoadedImage {
  Digest id;
  std::vector<std::string> names;  ///< familiar; empty: "Loaded image ID: ..."
};

struct ImportOptions {
  std::optional<spec::Reference> reference = {};
  spec::ExecutionConfig config = {};
  std::string message = {};  ///< history comment; default "Imported from -"
  std::optional<spec::Platform> platform = {};
  std::optional<Timestamp> created = {};
  ArchiveLimits limits = {};
  std::stop_token stop = {};
  ProgressCallback progress = {};
};

/// A new image over layers that are in the snapshotter already (commit, build).
struct NewImage {
  spec::ImageConfig config;  ///< its diff_ids must be those of `chain_id`
  std::optional<Digest> chain_id = {};
  std::optional<Digest> parent = {};
  std::vector<spec::Reference> tags = {};
};

/// A distributed image whose blobs are in the content store and whose layers are unpacked (pull).
struct ReceivedImage {
  std::string config_bytes;
  std::optional<Digest> manifest = {};
  std::vector<spec::Reference> names = {};  ///< with tags and/or digests
};

struct HistoryItem {
  std::string id;  ///< image id, or "<missing>"
  Timestamp created;
  std::string created_by;
  std::vector<std::string> tags;
  uint64_t size = 0;
  std::string comment;
};

struct PruneOptions {
  bool all = false;  ///< not only dangling
  std::optional<Timestamp> created_before = {};
  std::function<bool(const Image&)> filter = {};
};
struct PruneReport {
  std::vector<RemovedName> removed;
  uint64_t reclaimed_bytes = 0;
};

struct ImageUsage {
  /// Content bytes of all layers, shared ones once (docker's LayersSize), and of other platforms' images.
  uint64_t layers_bytes = 0;
  uint64_t disk_bytes = 0;                  ///< allocated on disk, layers and blobs, as du counts
  std::map<Digest, uint64_t> shared_bytes;  ///< per image: bytes also in another image
};

/// Keeps blobs, layers and images that no name refers to yet from collection while work is under way.
class Lease {
 public:
  Lease(Lease&&) noexcept;
  Lease& operator=(Lease&&) noexcept;
  ~Lease();
  void add_blob(const Digest& digest);
  void add_chain(const Digest& chain_id);
  void add_image(const Digest& id);

  struct State;

 private:
  friend class ImageStore;
  explicit Lease(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

class IndexStore;

class ImageStore {
 public:
  static Result<std::unique_ptr<ImageStore>> open(Database& database, ContentStore& content,
                                                  Snapshotter& snapshotter);
  ~ImageStore();

  /// By name, name:tag, name@digest, id or unambiguous id prefix (with or without "sha256:"). Missing:
  /// NotFound "No such image: <ref>"; several: InvalidArgument.
  Result<Image> resolve(std::string_view reference) const;
  Result<Image> get(const Digest& id) const;
  /// The exact bytes that the id is the digest of.
  Result<std::string> config_bytes(const Digest& id) const;
  /// Newest first. Intermediate images of builds (untagged, with children) only when asked for.
  Result<std::vector<Image>> list(bool include_intermediate) const;
  Result<std::vector<Digest>> children(const Digest& id) const;
  /// No tag (a digest alone does not count, as with docker) and no child.
  bool is_dangling(const Image& image) const;
  Result<std::vector<HistoryItem>> history(const Digest& id) const;

  /// Moves the name if another image has it; returns whether that left the other without any name.
  Result<std::optional<Digest>> tag(const Digest& id, const spec::Reference& reference);
  /// docker rmi: a name is untagged, the last one (or an id) deletes the image and what is then unreferenced.
  /// In use by a container: WrongState "conflict: unable to ..." as docker words it, unless forced and
  /// stopped.
  Result<std::vector<RemovedName>> remove(std::string_view reference, const RemoveOptions& options,
                                          const InUse& in_use);
  Result<PruneReport> prune(const PruneOptions& options, const InUse& in_use);

  struct LoadOptions {
    ArchiveLimits limits = {};
    std::optional<spec::Platform> platform = {};
    std::stop_token stop = {};
    ProgressCallback progress = {};
  };
  /// docker archive or OCI layout in a tar, plain or compressed; several images at once.
  Result<std::vector<LoadedImage>> load(ByteSource& archive, const LoadOptions& options);
  struct SaveOptions {
    /// Of an image that came with others in an index: this one alone.
    std::optional<spec::Platform> platform = {};
    std::stop_token stop = {};
    ProgressCallback progress = {};
  };
  /// docker archive and OCI layout in one tar. References as the user gave them: a name without tag saves all
  /// its tags, an id saves the image without name.
  Result<void> save(std::span<const std::string> references, ByteSink& out, const SaveOptions& options);
  /// A root filesystem tar becomes a single-layer image.
  Result<Digest> import(ByteSource& archive, const ImportOptions& options);
  Result<Digest> create(const NewImage& image);
  Result<Digest> receive(const ReceivedImage& image);

  Lease lease();
  /// Images that leases hold: work is under way with them.
  std::set<Digest> leased_images() const;
  /// Removes layers and blobs that no image, chain in use or lease refers to; returns the bytes freed.
  Result<uint64_t> collect(const InUse& in_use);
  Result<ImageUsage> usage() const;

  Snapshotter& snapshotter() { return snapshotter_; }
  ContentStore& content() { return content_; }
  /// Indexes that are kept whole (index_store.h).
  IndexStore& indexes();

  struct State;

 private:
  ImageStore(Database& database, ContentStore& content, Snapshotter& snapshotter);
  Database& database_;
  ContentStore& content_;
  Snapshotter& snapshotter_;
  std::unique_ptr<State> state_;
};

}  // namespace berth::storage
