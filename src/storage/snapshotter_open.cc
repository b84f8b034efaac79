// The snapshotter's start-up: tables, directories, what a crash has left, and layers that a crash of the
// machine may have damaged.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/format.h"
#include "base/log.h"
#include "storage/housekeeper.h"
#include "storage/snapshotter.h"
#include "storage/snapshotter_staging.h"

namespace berth::storage {
namespace {

constexpr std::array<std::string_view, 1> schema = {
    // boot_id: the boot in which the layer was made, until its files are known to be on the disk.
    "CREATE TABLE layers(chain_id TEXT PRIMARY KEY, diff_id TEXT NOT NULL, parent TEXT, size INTEGER NOT "
    "NULL, "
    "tar_size INTEGER NOT NULL, blob TEXT, media_type TEXT, blob_size INTEGER, serial INTEGER NOT NULL, "
    "boot_id TEXT) WITHOUT ROWID"};

constexpr std::chrono::seconds sync_delay{3};

std::string current_boot() {
  auto text = sys::read_file("/proc/sys/kernel/random/boot_id", 100);
  return text ? text->substr(0, text->find('\n')) : std::string("unknown");
}

}  // namespace

Result<std::unique_ptr<Snapshotter>> Snapshotter::open(Database& database, ContentStore& content,
                                                       std::string data_root) {
  std::unique_ptr<Snapshotter> snapshotter(new Snapshotter(database, content, std::move(data_root)));
  snapshotter->boot_id_ = current_boot();
  Snapshotter* self = snapshotter.get();
  snapshotter->housekeeper_ = std::make_unique<Housekeeper>(
      Housekeeper::Work{
          .empty_trash = [self](std::stop_token stop) { return self->empty_trash(std::move(stop)); },
          .sync = [self] { return self->sync(); }},
      sync_delay);
  CHECK(database.migrate("layers", schema));
  CHECK(snapshotter->make_directories());
  CHECK(snapshotter->load());
  CHECK(snapshotter->remove_strays());
  if (!snapshotter->unsynced_.empty()) snapshotter->housekeeper_->request_sync();
  TRY(std::vector<sys::DirEntry> trash, sys::list_dir(snapshotter->data_root_ + "/trash"));
  if (!trash.empty()) snapshotter->housekeeper_->request_trash();
  return snapshotter;
}

Result<void> Snapshotter::make_directories() {
  CHECK(sys::make_dirs(data_root_, 0710));
  for (const char* name : {"/layers/l", "/containers", "/trash"})
    CHECK(sys::make_dirs(data_root_ + name, 0710));
  CHECK(sys::make_dirs(data_root_ + "/layers/empty", 0755));
  sys::spread_subdirectories(data_root_ + "/layers");
  if (::symlink("../empty", (data_root_ + "/layers/l/empty").c_str()) != 0 && errno != EEXIST) {
    return Error::from_errno("symlink", "layers/l/empty", errno);
  }
  return {};
}

Result<void> Snapshotter::load() {
  std::vector<std::pair<Record, bool>> records;
  {
    TRY(Statement select,
        database_.prepare(
            "SELECT chain_id, diff_id, parent, size, blob, media_type, blob_size, serial, boot_id, "
            "tar_size FROM layers"));
    while (true) {
      TRY(bool row, select.step());
      if (!row) break;
      TRY(Digest chain, select.digest(0));
      TRY(Digest diff, select.digest(1));
      TRY(std::optional<Digest> parent, select.optional_digest(2));
      TRY(std::optional<Digest> blob, select.optional_digest(4));
      Record record{.layer = {.chain_id = std::move(chain),
                              .diff_id = std::move(diff),
                              .parent = std::move(parent),
                              .size = static_cast<uint64_t>(select.integer(3)),
                              .tar_size = static_cast<uint64_t>(select.integer(9))},
                    .serial = static_cast<uint64_t>(select.integer(7))};
      if (blob) {
        record.layer.blob = LayerBlob{.digest = std::move(*blob),
                                      .media_type = select.text(5),
                                      .size = static_cast<uint64_t>(select.integer(6))};
      }
      next_serial_ = std::max(next_serial_, record.serial + 1);
      auto boot = select.optional_text(8);
      if (boot && *boot == boot_id_) unsynced_.insert(record.layer.chain_id);
      records.emplace_back(std::move(record), boot && *boot != boot_id_);
    }
  }
  return repair(records);
}

/// `second` of a record: made in another boot and never synced, so its files may be empty or torn. Parents
/// come before children, for a child without its parent is nothing.
Result<void> Snapshotter::repair(const std::vector<std::pair<Record, bool>>& records) {
  std::vector<std::pair<Record, bool>> waiting = records;
  std::vector<Digest> lost;
  for (bool progress = true; progress && !waiting.empty();) {
    progress = false;
    std::vector<std::pair<Record, bool>> later;
    for (auto& [record, suspect] : waiting) {
      if (record.layer.parent && !layers_.contains(*record.layer.parent)) {
        later.emplace_back(std::move(record), suspect);
        continue;
      }
      progress = true;
      Layer layer = record.layer;
      layers_.emplace(layer.chain_id, std::move(record));
      bool present = ::access((layer_dir(layer.chain_id) + "/fs").c_str(), F_OK) == 0;
      bool whole = present && !suspect;
      if (present && suspect) {
        TRY(whole, verify(layer));
      }
      if (whole) {
        if (suspect) unsynced_.insert(layer.chain_id);
        continue;
      }
      // A damaged blob must not be taken for the real one when the layer arrives again.
      if (suspect && layer.blob) CHECK(content_.remove(layer.blob->digest));
      layers_.erase(layer.chain_id);
      lost.push_back(layer.chain_id);
    }
    waiting = std::move(later);
  }
  for (const auto& [record, suspect] : waiting) lost.push_back(record.layer.chain_id);
  for (const Digest& chain : lost) {
    log::warn("layer {} was lost in a crash of the machine: images that use it are gone", chain.str());
    TRY(Statement remove, database_.prepare("DELETE FROM layers WHERE chain_id = ?"));
    CHECK(remove.bind(chain).run());
  }
  return {};
}

Result<bool> Snapshotter::verify(const Layer& layer) {
  HashingSink discard(nullptr);
  if (!layer.blob) return write_by_recipe(layer, discard, {}, Proof::Digest).has_value();
  if (unpack_again(layer)) return true;
  // A blob that a push has made is younger than its layer.
  if (!write_by_recipe(layer, discard, {}, Proof::Digest)) return false;
  CHECK(forget_blob(layer));
  return true;
}

/// From its blob, in place of the tree that is there.
Result<void> Snapshotter::unpack_again(const Layer& layer) {
  TRY(sys::UniqueFd blob, content_.open_blob(layer.blob->digest));
  TRY(auto source, FileSource::whole(std::move(blob)));
  TRY(Staging staging, make_staging(layer.parent));
  UnpackRequest request{.parent = layer.parent, .diff_id = layer.diff_id, .blob = layer.blob};
  TRY(UnpackResult result, unpack_into(staging, *source, request));
  if (result.diff_id != layer.diff_id) return Error(Kind::Corrupt, "diff id differs");
  std::string target = layer_dir(layer.chain_id);
  CHECK(sys::remove_tree(target));
  if (::rename(staging.path.c_str(), target.c_str()) != 0) return Error::from_errno("rename", target, errno);
  staging.path.clear();
  return {};
}

/// A damaged blob must not be taken for the real one when the layer is pushed or pulled again.
Result<void> Snapshotter::forget_blob(const Layer& layer) {
  CHECK(content_.remove(layer.blob->digest));
  TRY(Statement update,
      database_.prepare("UPDATE layers SET blob = NULL, media_type = NULL, blob_size = NULL "
                        "WHERE chain_id = ?"));
  CHECK(update.bind(layer.chain_id).run());
  layers_.at(layer.chain_id).layer.blob.reset();
  log::warn("the compressed form of layer {} was lost in a crash of the machine; a push makes it again",
            layer.chain_id.str());
  return {};
}

/// Directories without a row, links without a layer, stagings, trash.
Result<void> Snapshotter::remove_strays() {
  std::string root = data_root_ + "/layers";
  TRY(std::vector<sys::DirEntry> entries, sys::list_dir(root));
  for (const sys::DirEntry& entry : entries) {
    auto digest = Digest::parse("sha256:" + entry.name);
    bool is_stray = digest ? !layers_.contains(*digest) : entry.name.starts_with(".staging-");
    if (!is_stray) continue;
    std::string target = fmt::format("{}/trash/{}-stray", data_root_, entry.name);
    CHECK(sys::remove_tree(target));
    if (::rename((root + "/" + entry.name).c_str(), target.c_str()) != 0) {
      return Error::from_errno("move away", entry.name, errno);
    }
  }
  std::set<std::string> serials = {"empty"};
  for (const auto& [chain, record] : layers_) {
    serials.insert(std::to_string(record.serial));
    std::string link = fmt::format("{}/l/{}", root, record.serial);
    if (::symlink(("../" + chain.hex() + "/fs").c_str(), link.c_str()) != 0 && errno != EEXIST) {
      return Error::from_errno("symlink", link, errno);
    }
  }
  TRY(std::vector<sys::DirEntry> links, sys::list_dir(root + "/l"));
  for (const sys::DirEntry& link : links) {
    if (!serials.contains(link.name)) (void)::unlink((root + "/l/" + link.name).c_str());
  }
  return {};
}

}  // namespace berth::storage
