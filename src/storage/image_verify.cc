// Parts are looked at once, whatever number of images share them.
#include "storage/image_verify.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/format.h"
#include "storage/image_lookup.h"
#include "storage/image_table.h"
#include "storage/index_store.h"
#include "storage/tree_check.h"

namespace berth::storage {
namespace {

/// Differences of one layer's tree that are told one by one.
constexpr size_t told_differences = 5;

class Verification {
 public:
  Verification(ImageStore& images, Database& database, const VerifyOptions& options)
      : content_(images.content()),
        snapshotter_(images.snapshotter()),
        indexes_(images.indexes()),
        table_(database),
        options_(options),
        lease_(images.lease()) {}

  Result<VerifyReport> run() {
    CHECK(choose());
    for (const ImageRow& row : chosen_) CHECK(check_image(row));
    if (options_.references.empty()) CHECK(check_other_blobs());
    return std::move(report_);
  }

 private:
  /// The rows to look at, and who needs what: also the images that were not asked for.
  Result<void> choose() {
    TRY(std::vector<ImageRow> rows, table_.all());
    TRY(std::vector<NameRow> names, table_.all_names());
    for (const NameRow& name : names) {
      std::string& known = names_[name.image];
      bool better = known.empty() || !name.reference.digest();
      if (better) known = name.reference.familiar_string();
    }
    for (const NameRow& name : names) {
      if (name.reference.digest()) CHECK(note_index(name.image, *name.reference.digest()));
    }
    std::set<Digest> wanted;
    for (const std::string& reference : options_.references) {
      TRY(Digest id, find_image(table_, reference));
      wanted.insert(std::move(id));
    }
    for (const ImageRow& row : rows) {
      note_users(row);
      if (!wanted.empty() && !wanted.contains(row.id)) continue;
      lease_.add_image(row.id);
      if (row.manifest) lease_.add_blob(*row.manifest);
      if (row.chain_id) lease_.add_chain(*row.chain_id);
      for (const Digest& blob : index_blobs_[row.id]) lease_.add_blob(blob);
      for (const Digest& index : index_documents_[row.id]) lease_.add_blob(index);
      chosen_.push_back(row);
    }
    return {};
  }

  /// What an index that is kept whole holds belongs to the image that has its name.
  Result<void> note_index(const Digest& image, const Digest& digest) {
    TRY(std::set<Digest> held, indexes_.blobs(digest));
    if (held.empty()) return {};
    users_[digest].insert(name_of(image));
    for (const Digest& blob : held) users_[blob].insert(name_of(image));
    held.erase(digest);
    index_blobs_[image].merge(held);
    index_documents_[image].insert(digest);
    return {};
  }

  std::string name_of(const Digest& id) const {
    auto it = names_.find(id);
    return it == names_.end() ? id.str() : it->second;
  }

  void note_users(const ImageRow& row) {
    std::string name = name_of(row.id);
    users_[row.id].insert(name);
    if (row.manifest) users_[*row.manifest].insert(name);
    auto chain = row.chain_id ? snapshotter_.chain(*row.chain_id) : Result<std::vector<Layer>>();
    if (!chain) return;
    for (const Layer& layer : *chain) {
      users_[layer.chain_id].insert(name);
      if (layer.blob) users_[layer.blob->digest].insert(name);
    }
  }

  Result<void> check_image(const ImageRow& row) {
    std::string name = name_of(row.id);
    report_.images.push_back(name);
    if (options_.progress) options_.progress({.id = row.id.short_hex(), .status = "Verifying " + name});
    CHECK(check_blob(VerifiedPart::Configuration, row.id, std::nullopt));
    if (row.manifest) CHECK(check_blob(VerifiedPart::Manifest, *row.manifest, std::nullopt));
    CHECK(check_layers(row, name));
    for (const Digest& index : index_documents_[row.id])
      CHECK(check_blob(VerifiedPart::Manifest, index, std::nullopt));
    for (const Digest& blob : index_blobs_[row.id]) CHECK(check_blob(VerifiedPart::Blob, blob, std::nullopt));
    return {};
  }

  Result<void> check_layers(const ImageRow& row, const std::string& name) {
    if (!row.chain_id) return {};
    auto chain = snapshotter_.chain(*row.chain_id);
    if (!chain) {
      users_[*row.chain_id].insert(name);
      add(VerifiedPart::Layer, *row.chain_id, *row.chain_id, "is missing: " + chain.error().message());
      return {};
    }
    for (auto layer = chain->rbegin(); layer != chain->rend(); ++layer) CHECK(check_layer(*layer));
    return {};
  }

  /// Whether the bytes are there and are those of the name.
  Result<bool> check_blob(VerifiedPart part, const Digest& digest, std::optional<uint64_t> size) {
    if (auto known = blobs_.find(digest); known != blobs_.end()) return known->second;
    if (options_.stop.stop_requested()) return Error(Kind::Cancelled, "cancelled");
    TRY(std::string trouble, blob_trouble(digest, size));
    bool is_whole = trouble.empty();
    blobs_.emplace(digest, is_whole);
    ++report_.blobs;
    if (!is_whole) add(part, digest, digest, std::move(trouble));
    return is_whole;
  }

  Result<std::string> blob_trouble(const Digest& digest, std::optional<uint64_t> size) {
    auto file = content_.open_blob(digest);
    if (!file && file.error().kind() == Kind::NotFound) return std::string("is missing");
    if (!file) return "cannot be read: " + file.error().message();
    TRY(auto source, FileSource::whole(std::move(*file)));
    HashingSink hash(nullptr);
    auto read = copy_stream(*source, hash, options_.stop);
    if (!read && read.error().kind() == Kind::Cancelled) return std::move(read).error();
    if (!read) return "cannot be read: " + read.error().message();
    report_.bytes += *read;
    if (size && *read != *size) return fmt::format("has {} bytes and not {}", *read, *size);
    Digest found = hash.finish();
    if (found != digest) return "has other bytes: their digest is " + found.str();
    return std::string();
  }

  Result<void> check_layer(const Layer& layer) {
    if (!layers_.insert(layer.chain_id).second) return {};
    if (options_.progress)
      options_.progress({.id = layer.diff_id.short_hex(), .status = "Verifying layer", .total = layer.size});
    ++report_.layers;
    report_.bytes += layer.size;
    bool bytes_are_whole = true;
    if (layer.blob) {
      TRY(bytes_are_whole, check_blob(VerifiedPart::Blob, layer.blob->digest, layer.blob->size));
    }
    auto tree = sys::RootDir::open(snapshotter_.layer_dir(layer.chain_id) + "/fs");
    if (!tree) {
      add(VerifiedPart::Layer, layer.chain_id, layer.diff_id, "is not unpacked: " + tree.error().message());
      return {};
    }
    if (!layer.blob) return check_by_recipe(layer);
    // Damaged bytes prove nothing of the tree.
    if (!bytes_are_whole) return {};
    return check_by_bytes(layer, *tree);
  }

  Result<void> check_by_recipe(const Layer& layer) {
    HashingSink discard(nullptr);
    auto written = snapshotter_.write_layer_tar(layer.chain_id, discard, options_.stop);
    if (written) return {};
    if (written.error().kind() == Kind::Cancelled) return written;
    add(VerifiedPart::Layer, layer.chain_id, layer.diff_id, "is damaged: " + written.error().message());
    return {};
  }

  Result<void> check_by_bytes(const Layer& layer, const sys::RootDir& tree) {
    TRY(sys::UniqueFd file, content_.open_blob(layer.blob->digest));
    TRY(auto source, FileSource::whole(std::move(file)));
    auto compared = compare_tree(*source, tree, options_.stop);
    if (!compared) {
      if (compared.error().kind() == Kind::Cancelled) return std::move(compared).error();
      add(VerifiedPart::Layer, layer.chain_id, layer.diff_id,
          "cannot be compared: " + compared.error().message());
      return {};
    }
    if (compared->diff_id != layer.diff_id) {
      add(VerifiedPart::Blob, layer.blob->digest, layer.blob->digest,
          "unpacks to other bytes: their digest is " + compared->diff_id.str());
    }
    size_t total = compared->differences.size() + compared->left_out;
    for (size_t i = 0; i < std::min(compared->differences.size(), told_differences); ++i) {
      const TreeDifference& difference = compared->differences[i];
      add(VerifiedPart::Layer, layer.chain_id, layer.diff_id,
          fmt::format("/{} {}", difference.path, difference.trouble));
    }
    if (total > told_differences) {
      add(VerifiedPart::Layer, layer.chain_id, layer.diff_id,
          fmt::format("{} further files differ", total - told_differences));
    }
    return {};
  }

  /// What repositories of the registry and others hold.
  Result<void> check_other_blobs() {
    TRY(std::vector<BlobInfo> blobs, content_.list());
    for (const BlobInfo& blob : blobs) {
      if (blobs_.contains(blob.digest)) continue;
      if (options_.stop.stop_requested()) return Error(Kind::Cancelled, "cancelled");
      TRY(std::string trouble, blob_trouble(blob.digest, std::nullopt));
      ++report_.blobs;
      // Nobody has promised to keep it: it may have gone since it was listed.
      if (!trouble.empty() && content_.contains(blob.digest))
        add(VerifiedPart::Blob, blob.digest, blob.digest, std::move(trouble));
    }
    return {};
  }

  /// `user_key` is what images were noted under.
  void add(VerifiedPart part, const Digest& user_key, const Digest& digest, std::string trouble) {
    VerifyFault fault{.images = {}, .part = part, .digest = digest, .trouble = std::move(trouble)};
    if (auto it = users_.find(user_key); it != users_.end())
      fault.images.assign(it->second.begin(), it->second.end());
    report_.faults.push_back(std::move(fault));
  }

  ContentStore& content_;
  Snapshotter& snapshotter_;
  IndexStore& indexes_;
  ImageTable table_;
  const VerifyOptions& options_;
  Lease lease_;
  std::vector<ImageRow> chosen_;
  std::map<Digest, std::string> names_;
  std::map<Digest, std::set<std::string>> users_;
  std::map<Digest, std::set<Digest>> index_blobs_;  ///< of images with an index that is kept whole
  std::map<Digest, std::set<Digest>> index_documents_;
  std::map<Digest, bool> blobs_;  ///< looked at, and whether they are whole
  std::set<Digest> layers_;
  VerifyReport report_;
};

}  // namespace

std::string_view to_string(VerifiedPart part) {
  switch (part) {
    case VerifiedPart::Configuration:
      return "configuration";
    case VerifiedPart::Manifest:
      return "manifest";
    case VerifiedPart::Layer:
      return "layer";
    case VerifiedPart::Blob:
      break;
  }
  return "blob";
}

Result<VerifyReport> verify_images(ImageStore& images, Database& database, const VerifyOptions& options) {
  return Verification(images, database, options).run();
}

}  // namespace berth::storage
