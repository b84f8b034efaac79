// Layers: making, publishing, finding and removing them. Start-up is in snapshotter_open.cc, containers'
// directories are in snapshotter_containers.cc.
#include "storage/snapshotter.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/format.h"
#include "base/id.h"
#include "base/rollback.h"
#include "spec/image.h"
#include "storage/compression.h"
#include "storage/copy_archive.h"
#include "storage/housekeeper.h"
#include "storage/layer_unpack.h"
#include "storage/recipe.h"
#include "storage/snapshotter_staging.h"

namespace berth::storage {
namespace {

Error no_such_layer(const Digest& chain_id) {
  return failure(Kind::NotFound, "no such layer: {}", chain_id.str());
}

Result<void> expect_diff_id(HashingSink& tar, const Layer& layer) {
  if (tar.finish() == layer.diff_id) return {};
  return failure(Kind::Corrupt, "layer {} is damaged on disk: it no longer gives its diff id",
                 layer.diff_id.str());
}

}  // namespace

Snapshotter::Snapshotter(Database& database, ContentStore& content, std::string data_root)
    : database_(database), content_(content), data_root_(std::move(data_root)) {}

Snapshotter::~Snapshotter() = default;

std::string Snapshotter::layer_dir(const Digest& chain_id) const {
  return data_root_ + "/layers/" + chain_id.hex();
}

Snapshotter::Staging::~Staging() {
  if (!path.empty()) (void)sys::remove_tree(path);
}

Result<Snapshotter::Staging> Snapshotter::make_staging(const std::optional<Digest>& parent) {
  std::string path = data_root_ + "/layers/.staging-" + random_hex(8);
  if (::mkdir(path.c_str(), 0700) != 0) return Error::from_errno("mkdir", path, errno);
  Staging staging(path);
  if (::mkdir(staging.tree().c_str(), 0755) != 0) return Error::from_errno("mkdir", staging.tree(), errno);
  CHECK(copy_root_attributes(parent, staging.tree()));
  return staging;
}

/// The root directory of the merged view is the topmost one: it must look like the one beneath.
Result<void> Snapshotter::copy_root_attributes(const std::optional<Digest>& parent,
                                               const std::string& directory) const {
  struct stat status {};
  status.st_mode = 0755;
  status.st_uid = ::geteuid();
  status.st_gid = ::getegid();
  std::string source = parent ? layer_dir(*parent) + "/fs" : std::string();
  if (parent && ::stat(source.c_str(), &status) != 0) return Error::from_errno("stat", source, errno);
  bool other_owner = status.st_uid != ::geteuid() || status.st_gid != ::getegid();
  if (other_owner && ::chown(directory.c_str(), status.st_uid, status.st_gid) != 0) {
    return Error::from_errno("chown", directory, errno);
  }
  if (::chmod(directory.c_str(), status.st_mode & 07777) != 0)
    return Error::from_errno("chmod", directory, errno);
  return {};
}

bool Snapshotter::claim(const Digest& chain_id) {
  std::unique_lock lock(mutex_);
  unpacked_.wait(lock, [&] { return !unpacking_.contains(chain_id); });
  if (layers_.contains(chain_id)) return false;
  unpacking_.insert(chain_id);
  return true;
}

void Snapshotter::release(const Digest& chain_id) {
  std::lock_guard lock(mutex_);
  unpacking_.erase(chain_id);
  unpacked_.notify_all();
}

Result<Layer> Snapshotter::unpack(ByteSource& archive, const UnpackRequest& request) {
  if (!request.diff_id) return unpack_new(archive, request);
  Digest chain = spec::chain_id(request.parent, *request.diff_id);
  if (!claim(chain)) return layer(chain);
  Rollback claimed;
  claimed.add([&] { release(chain); });
  return unpack_new(archive, request);
}

/// The layers beneath need to be there only when the archive leads into them (WrongState otherwise), or at
/// the latest when the layer is published.
Result<UnpackResult> Snapshotter::unpack_into(Staging& staging, ByteSource& archive, UnpackRequest& request) {
  TRY(sys::RootDir tree, sys::RootDir::open(staging.tree()));
  std::vector<sys::RootDir> lowers;
  auto find_lowers = [&]() -> Result<std::vector<const sys::RootDir*>> {
    if (request.parent && !has_layer(*request.parent))
      return failure(Kind::WrongState, "layer {} is not here yet", request.parent->str());
    TRY(lowers, open_chain(request.parent));
    std::vector<const sys::RootDir*> roots;
    for (const sys::RootDir& lower : lowers) roots.push_back(&lower);
    return roots;
  };
  UnpackOptions options{.limits = request.limits,
                        .whiteouts = Whiteouts::Overlay,
                        .root_entry = RootEntry::Ignore,
                        .stop = request.stop};
  bool has_blob = request.blob || request.keep == UnpackRequest::Keep::Always;
  if (has_blob) return unpack_layer(archive, tree, options, find_lowers);
  TRY(RecipeFile recipe, RecipeFile::create(staging.recipe()));
  options.recipe = &recipe.sink();
  TRY(UnpackResult layer, unpack_layer(archive, tree, options, find_lowers));
  CHECK(recipe.finish());
  return layer;
}

Result<PackResult> Snapshotter::pack_staging(const Staging& staging, Digest& diff_id, std::stop_token stop) {
  TRY(sys::RootDir tree, sys::RootDir::open(staging.tree()));
  TRY(RecipeFile recipe, RecipeFile::create(staging.recipe()));
  HashingSink hash(nullptr);
  TRY(PackResult packed,
      pack_layer(tree, hash, {.recipe = &recipe.sink(), .checksum = crc64, .stop = std::move(stop)}));
  CHECK(recipe.finish());
  diff_id = hash.finish();
  return packed;
}

Result<Layer> Snapshotter::unpack_new(ByteSource& archive, UnpackRequest request) {
  TRY(Staging staging, make_staging(std::nullopt));
  TRY(UnpackResult result, unpack_into(staging, archive, request));
  if (request.diff_id && result.diff_id != *request.diff_id) {
    return failure(Kind::Corrupt, "layer is damaged: its diff id is {} and not {}", result.diff_id.str(),
                   request.diff_id->str());
  }
  if (!request.blob && request.keep == UnpackRequest::Keep::Always) {
    TRY(request.blob, request.keep_archive());
  } else if (!request.blob && !result.recipe_valid) {
    if (::unlink(staging.recipe().c_str()) != 0) return Error::from_errno("unlink", staging.recipe(), errno);
    if (request.keep_archive) {
      TRY(request.blob, request.keep_archive());
    } else if (request.diff_id) {
      return Error(Kind::Internal, "layer archive cannot be re-created and nobody keeps it");
    } else {
      TRY(PackResult packed, pack_staging(staging, result.diff_id, request.stop));
      result.stream_bytes = packed.stream_bytes;
    }
  }
  // Only now, and not before: the layer beneath may have come meanwhile.
  if (request.parent && !has_layer(*request.parent)) return no_such_layer(*request.parent);
  if (request.parent) CHECK(copy_root_attributes(request.parent, staging.tree()));
  Layer layer{.chain_id = spec::chain_id(request.parent, result.diff_id),
              .diff_id = result.diff_id,
              .parent = request.parent,
              .size = result.content_bytes,
              .tar_size = result.stream_bytes,
              .blob = std::move(request.blob)};
  return publish(staging, std::move(layer));
}

Result<Layer> Snapshotter::commit(const std::string& container_id, const std::optional<Digest>& parent,
                                  CommitMode mode, std::stop_token stop) {
  std::string upper = container_dir(container_id) + "/upper";
  TRY(Staging staging, make_staging(parent));
  Rollback undo;
  if (mode == CommitMode::Consume) {
    if (::rmdir(staging.tree().c_str()) != 0) return Error::from_errno("rmdir", staging.tree(), errno);
    if (::rename(upper.c_str(), staging.tree().c_str()) != 0) return Error::from_errno("move", upper, errno);
    undo.add([&] { (void)::rename(staging.tree().c_str(), upper.c_str()); });
  } else {
    TRY(sys::RootDir from, sys::RootDir::open(upper));
    TRY(sys::RootDir to, sys::RootDir::open(staging.tree()));
    CHECK(copy_tree(from, to, {.overlay_marks = OverlayMarks::Keep, .stop = stop}));
  }
  Digest diff_id = sha256("");
  TRY(PackResult packed, pack_staging(staging, diff_id, stop));
  Layer layer{.chain_id = spec::chain_id(parent, diff_id),
              .diff_id = diff_id,
              .parent = parent,
              .size = packed.content_bytes,
              .tar_size = packed.stream_bytes};
  auto published = publish(staging, std::move(layer));
  if (published) undo.keep();
  return published;
}

/// Makes the staged tree the layer's directory. If the layer has come into being meanwhile, that one is it.
Result<Layer> Snapshotter::publish(Staging& staging, Layer layer) {
  size_t depth = 1;
  if (layer.parent) {
    TRY(std::vector<Record> below, records_of(*layer.parent));
    depth += below.size();
  }
  if (depth > max_layer_depth) {
    return failure(Kind::Exhausted, "max depth exceeded: an image has at most {} layers", max_layer_depth);
  }
  std::lock_guard lock(mutex_);
  if (auto it = layers_.find(layer.chain_id); it != layers_.end()) return it->second.layer;
  if (layer.parent && !layers_.contains(*layer.parent)) return no_such_layer(*layer.parent);

  Record record{.layer = std::move(layer), .serial = next_serial_, .made = std::chrono::steady_clock::now()};
  std::string target = layer_dir(record.layer.chain_id);
  std::string link = fmt::format("{}/layers/l/{}", data_root_, record.serial);
  // What a crash has left under the name belongs to no row.
  CHECK(sys::remove_tree(target));
  if (::rename(staging.path.c_str(), target.c_str()) != 0)
    return Error::from_errno("publish layer", target, errno);
  staging.path = target;
  (void)::unlink(link.c_str());
  if (::symlink(("../" + record.layer.chain_id.hex() + "/fs").c_str(), link.c_str()) != 0) {
    return Error::from_errno("symlink", link, errno);
  }
  CHECK(insert(record));
  staging.path.clear();
  ++next_serial_;
  unsynced_.insert(record.layer.chain_id);
  housekeeper_->request_sync();
  Layer result = record.layer;
  layers_.emplace(record.layer.chain_id, std::move(record));
  return result;
}

Result<void> Snapshotter::insert(const Record& record) {
  const Layer& layer = record.layer;
  TRY(Statement insert,
      database_.prepare("INSERT INTO layers(chain_id, diff_id, parent, size, tar_size, blob, media_type, "
                        "blob_size, serial, boot_id) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  insert.bind(layer.chain_id).bind(layer.diff_id).bind(layer.parent).bind(layer.size).bind(layer.tar_size);
  if (layer.blob) {
    insert.bind(layer.blob->digest).bind(layer.blob->media_type).bind(layer.blob->size);
  } else {
    insert.bind_null().bind_null().bind_null();
  }
  return insert.bind(record.serial).bind(boot_id_).run();
}

Result<Layer> Snapshotter::layer(const Digest& chain_id) const {
  std::lock_guard lock(mutex_);
  auto it = layers_.find(chain_id);
  if (it == layers_.end()) return no_such_layer(chain_id);
  return it->second.layer;
}

bool Snapshotter::has_layer(const Digest& chain_id) const {
  std::lock_guard lock(mutex_);
  return layers_.contains(chain_id);
}

std::vector<Layer> Snapshotter::layers() const {
  std::lock_guard lock(mutex_);
  std::vector<Layer> all;
  for (const auto& [chain, record] : layers_) all.push_back(record.layer);
  return all;
}

std::set<Digest> Snapshotter::layers_younger_than(std::chrono::seconds age) const {
  auto limit = std::chrono::steady_clock::now() - age;
  std::lock_guard lock(mutex_);
  std::set<Digest> young;
  for (const auto& [chain, record] : layers_) {
    bool made_here = record.made.time_since_epoch().count() != 0;
    if (made_here && record.made > limit) young.insert(chain);
  }
  return young;
}

Result<std::vector<Snapshotter::Record>> Snapshotter::records_of(const Digest& chain_id) const {
  std::lock_guard lock(mutex_);
  std::vector<Record> records;
  std::optional<Digest> next = chain_id;
  while (next) {
    auto it = layers_.find(*next);
    if (it == layers_.end()) return no_such_layer(*next);
    records.push_back(it->second);
    next = it->second.layer.parent;
  }
  return records;
}

Result<std::vector<Layer>> Snapshotter::chain(const Digest& chain_id) const {
  TRY(std::vector<Record> records, records_of(chain_id));
  std::vector<Layer> layers;
  for (Record& record : records) layers.push_back(std::move(record.layer));
  return layers;
}

Result<std::vector<sys::RootDir>> Snapshotter::open_chain(const std::optional<Digest>& chain_id) const {
  std::vector<sys::RootDir> roots;
  if (!chain_id) return roots;
  TRY(std::vector<Record> records, records_of(*chain_id));
  for (const Record& record : records) {
    TRY(sys::RootDir root, sys::RootDir::open(layer_dir(record.layer.chain_id) + "/fs"));
    roots.push_back(std::move(root));
  }
  return roots;
}

Result<void> Snapshotter::write_layer_tar(const Digest& chain_id, ByteSink& out, std::stop_token stop,
                                          Proof proof) const {
  TRY(Layer layer, this->layer(chain_id));
  if (!layer.blob) return write_by_recipe(layer, out, std::move(stop), proof);
  HashingSink hash(&out);
  TRY(sys::UniqueFd blob, content_.open_blob(layer.blob->digest));
  TRY(auto file, FileSource::whole(std::move(blob)));
  TRY(auto plain, decompress(*file));
  CHECK(copy_stream(*plain, hash, stop));
  return expect_diff_id(hash, layer);
}

Result<void> Snapshotter::write_by_recipe(const Layer& layer, ByteSink& out, std::stop_token stop,
                                          Proof proof) const {
  HashingSink hash(&out);
  TRY(sys::UniqueFd recipe, sys::open_file((layer_dir(layer.chain_id) + "/recipe").c_str(), O_RDONLY));
  TRY(auto file, FileSource::whole(std::move(recipe)));
  TRY(auto plain, decompress(*file));
  TRY(sys::RootDir tree, sys::RootDir::open(layer_dir(layer.chain_id) + "/fs"));
  TRY(RecipeReader reader, RecipeReader::open(*plain));
  bool by_checksum = proof == Proof::Checksum && reader.has_checksum();
  auto replayed = reader.replay(tree, by_checksum ? out : static_cast<ByteSink&>(hash), stop);
  if (!replayed && replayed.error().kind() == Kind::Corrupt)
    return std::move(replayed).error().in("layer", layer.diff_id.str());
  if (!replayed || by_checksum) return replayed;
  return expect_diff_id(hash, layer);
}

Result<void> Snapshotter::remove_layer(const Digest& chain_id) {
  std::lock_guard lock(mutex_);
  auto it = layers_.find(chain_id);
  if (it == layers_.end()) return {};
  for (const auto& [other, record] : layers_) {
    if (record.layer.parent == chain_id) {
      return failure(Kind::WrongState, "layer {} is in use by layer {}", chain_id.str(), other.str());
    }
  }
  {
    TRY(Statement remove, database_.prepare("DELETE FROM layers WHERE chain_id = ?"));
    CHECK(remove.bind(chain_id).run());
  }
  std::string target = fmt::format("{}/trash/{}-{}", data_root_, chain_id.hex(), random_hex(4));
  (void)::unlink(fmt::format("{}/layers/l/{}", data_root_, it->second.serial).c_str());
  layers_.erase(it);
  unsynced_.erase(chain_id);
  if (::rename(layer_dir(chain_id).c_str(), target.c_str()) != 0 && errno != ENOENT) {
    return Error::from_errno("remove layer", chain_id.str(), errno);
  }
  housekeeper_->request_trash();
  return {};
}

Result<void> Snapshotter::set_blob(const Digest& chain_id, LayerBlob blob, sys::Durability durability) {
  std::lock_guard lock(mutex_);
  auto it = layers_.find(chain_id);
  if (it == layers_.end()) return no_such_layer(chain_id);
  bool later = durability == sys::Durability::None;
  TRY(Statement update, database_.prepare("UPDATE layers SET blob = ?, media_type = ?, blob_size = ?, "
                                          "boot_id = coalesce(?, boot_id) WHERE chain_id = ?"));
  update.bind(blob.digest).bind(blob.media_type).bind(blob.size);
  CHECK(update.bind(later ? std::optional<std::string>(boot_id_) : std::nullopt).bind(chain_id).run());
  it->second.layer.blob = std::move(blob);
  if (!later) return {};
  unsynced_.insert(chain_id);
  housekeeper_->request_sync();
  return {};
}

Result<uint64_t> Snapshotter::layers_disk_usage() const {
  TRY(sys::DiskUsage usage, sys::disk_usage(data_root_ + "/layers"));
  return usage.allocated_bytes;
}

Result<void> Snapshotter::sync() {
  std::set<Digest> pending;
  {
    std::lock_guard lock(mutex_);
    pending.swap(unsynced_);
  }
  if (pending.empty()) return {};
  auto write_out = [&]() -> Result<void> {
    TRY(sys::UniqueFd root, sys::open_file(data_root_.c_str(), O_RDONLY | O_DIRECTORY));
    if (::syncfs(root.get()) != 0) return Error::from_errno("sync", data_root_, errno);
    std::lock_guard lock(mutex_);
    // What has got more to be written meanwhile waits for the next sync.
    for (const Digest& chain : unsynced_) pending.erase(chain);
    TRY(Transaction transaction, database_.begin());
    for (const Digest& chain : pending) {
      TRY(Statement update, database_.prepare("UPDATE layers SET boot_id = NULL WHERE chain_id = ?"));
      CHECK(update.bind(chain).run());
    }
    return transaction.commit();
  };
  auto written = write_out();
  if (!written) {
    std::lock_guard lock(mutex_);
    unsynced_.merge(pending);
  }
  return written;
}

}  // namespace berth::storage
