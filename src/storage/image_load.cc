// docker load: a docker archive or an OCI layout becomes images. What the archive says is checked against
// what it holds; its names and paths never reach the host's filesystem.
#include <algorithm>
#include <array>
#include <future>

#include "base/format.h"
#include "base/json.h"
#include "storage/archive_spool.h"
#include "storage/compression.h"
#include "storage/image_state.h"
#include "storage/index_closure.h"
#include "storage/legacy_archive.h"

namespace berth::storage {
namespace {

constexpr size_t max_document = 8u << 20;
constexpr int max_index_depth = 8;

/// One image as the archive describes it, in either format.
struct ImageSource {
  std::string config_bytes;
  struct LayerFile {
    std::string name;  ///< in the archive
    std::optional<spec::Descriptor> descriptor;
  };
  std::vector<LayerFile> layers;
  std::optional<std::string> manifest_bytes;
  std::vector<spec::Reference> names;
  /// The index that the image was chosen from, when all that it leads to is in the archive.
  std::optional<IndexClosure> index = {};
  std::optional<Digest> parent = {};  ///< as the archive says: an image that it holds too
};

std::string blob_name(const Digest& digest) {
  return "blobs/sha256/" + digest.hex();
}

/// The blob that a descriptor names, verified.
Result<std::string> read_blob(ArchiveSpool& spool, const spec::Descriptor& descriptor) {
  TRY(std::string bytes, spool.document(blob_name(descriptor.digest), max_document));
  if (static_cast<int64_t>(bytes.size()) != descriptor.size || sha256(bytes) != descriptor.digest) {
    return failure(Kind::Corrupt, "image archive is damaged: blob {} does not match its descriptor",
                   descriptor.digest.str());
  }
  return bytes;
}

/// containerd's annotation holds the whole name; OCI's may hold a name or, as skopeo writes it, a tag alone.
std::optional<spec::Reference> name_of(const spec::Descriptor& descriptor) {
  for (const char* key : {"io.containerd.image.name", "org.opencontainers.image.ref.name"}) {
    auto it = descriptor.annotations.find(key);
    if (it == descriptor.annotations.end()) continue;
    bool is_tag_alone = it->second.find_first_of(":/") == std::string::npos;
    if (is_tag_alone) continue;
    auto reference = spec::Reference::parse(it->second);
    if (reference) return reference->with_default_tag();
  }
  return std::nullopt;
}

/// OCI layout: index.json, indexes within it, manifests.
class LayoutReader {
 public:
  LayoutReader(ArchiveSpool& spool, const spec::Platform& wanted) : spool_(spool), wanted_(wanted) {}

  Result<std::vector<ImageSource>> read() {
    TRY(std::string text, spool_.document("index.json", max_document));
    TRY(spec::Index index, spec::parse_index(text));
    std::vector<ImageSource> images;
    std::map<std::string, std::vector<spec::Descriptor>> by_name;
    for (spec::Descriptor& descriptor : index.manifests) {
      if (is_attestation(descriptor)) continue;
      auto name = name_of(descriptor);
      // Without a name each digest is an image of its own.
      by_name[name ? name->str() : descriptor.digest.str()].push_back(std::move(descriptor));
    }
    for (auto& [key, candidates] : by_name) {
      TRY(ImageSource image, read_best(candidates, 0));
      if (auto name = name_of(candidates[0])) image.names.push_back(*name);
      merge(images, std::move(image));
    }
    return images;
  }

 private:
  /// The same image under several names is one.
  static void merge(std::vector<ImageSource>& images, ImageSource image) {
    for (ImageSource& other : images) {
      if (other.config_bytes != image.config_bytes) continue;
      other.names.insert(other.names.end(), image.names.begin(), image.names.end());
      return;
    }
    images.push_back(std::move(image));
  }

  Result<ImageSource> read_best(const std::vector<spec::Descriptor>& candidates, int depth) {
    std::vector<const spec::Descriptor*> images;
    for (const spec::Descriptor& candidate : candidates) {
      if (!is_attestation(candidate)) images.push_back(&candidate);
    }
    if (images.empty()) return Error(Kind::InvalidArgument, "image archive: an index names no image");
    for (const spec::Descriptor* image : images) {
      if (image->platform && spec::matches(wanted_, *image->platform)) return read_one(*image, depth);
    }
    bool only_one = images.size() == 1 || !images[0]->platform;
    if (only_one) return read_one(*images[0], depth);
    return failure(Kind::NotFound, "image archive does not provide the platform ({})", wanted_.str());
  }

  Result<ImageSource> read_one(const spec::Descriptor& descriptor, int depth) {
    TRY(std::string bytes, read_blob(spool_, descriptor));
    if (spec::is_index_type(descriptor.media_type)) {
      if (depth >= max_index_depth)
        return Error(Kind::InvalidArgument, "image archive: indexes are nested too deep");
      TRY(spec::Index index, spec::parse_index(bytes));
      TRY(ImageSource image, read_best(index.manifests, depth + 1));
      if (depth == 0) image.index = whole_index({descriptor, std::move(bytes)});
      return image;
    }
    TRY(spec::Manifest manifest, spec::parse_manifest(bytes));
    return from_manifest(manifest, std::move(bytes));
  }

  /// None when the archive holds a part of it only.
  std::optional<IndexClosure> whole_index(const IndexDocument& index) {
    auto closure =
        walk_index(index, [this](const spec::Descriptor& wanted) { return read_blob(spool_, wanted); });
    if (!closure) return std::nullopt;
    bool whole = std::all_of(closure->blobs.begin(), closure->blobs.end(), [this](const auto& descriptor) {
      SpooledFile* file = spool_.find(blob_name(descriptor.digest));
      return file != nullptr && static_cast<int64_t>(file->size) == descriptor.size;
    });
    if (!whole) return std::nullopt;
    return std::move(*closure);
  }

  Result<ImageSource> from_manifest(const spec::Manifest& manifest, std::string bytes) {
    if (!spec::is_config_type(manifest.config.media_type)) {
      return failure(Kind::InvalidArgument, "image archive: a manifest of type \"{}\" is no image",
                     manifest.config.media_type);
    }
    ImageSource image;
    TRY(image.config_bytes, read_blob(spool_, manifest.config));
    for (const spec::Descriptor& layer : manifest.layers) {
      image.layers.push_back({.name = blob_name(layer.digest), .descriptor = layer});
    }
    image.manifest_bytes = std::move(bytes);
    return image;
  }

  ArchiveSpool& spool_;
  spec::Platform wanted_;
};

Result<std::vector<ImageSource>> read_docker_archive(ArchiveSpool& spool) {
  TRY(std::string text, spool.document("manifest.json", max_document));
  TRY(std::vector<spec::ArchiveManifestEntry> entries, spec::parse_archive_manifest(text));
  TRY(const Json documents, parse_json(text));
  std::vector<ImageSource> images;
  for (size_t i = 0; i < entries.size(); ++i) {
    const spec::ArchiveManifestEntry& entry = entries[i];
    ImageSource image;
    TRY(const std::string parent, json_string(documents[i], "Parent"));
    if (auto digest = Digest::parse(parent)) image.parent = std::move(*digest);
    TRY(image.config_bytes, spool.document(entry.config, max_document));
    for (const std::string& layer : entry.layers) image.layers.push_back({.name = layer});
    for (const std::string& tag : entry.repo_tags) {
      auto reference = spec::Reference::parse(tag);
      if (!reference)
        return failure(Kind::InvalidArgument, "invalid tag \"{}\": {}", tag, reference.error().message());
      image.names.push_back(reference->with_default_tag());
    }
    images.push_back(std::move(image));
  }
  return images;
}

Result<std::vector<ImageSource>> from_legacy(ArchiveSpool& spool, const std::stop_token& stop) {
  TRY(std::vector<LegacyImage> found, read_legacy_archive(spool, stop));
  std::vector<ImageSource> images;
  for (LegacyImage& legacy : found) {
    ImageSource image{.config_bytes = std::move(legacy.config_bytes)};
    for (std::string& layer : legacy.layers) image.layers.push_back({.name = std::move(layer)});
    image.names = std::move(legacy.names);
    images.push_back(std::move(image));
  }
  return images;
}

/// The manifests of an archive that is both: kept, so that the image leaves as it came.
void adopt_manifests(ArchiveSpool& spool, const spec::Platform& wanted, std::vector<ImageSource>& images) {
  if (spool.find("index.json") == nullptr || spool.find("oci-layout") == nullptr) return;
  auto layout = LayoutReader(spool, wanted).read();
  if (!layout) return;
  for (ImageSource& image : images) {
    for (ImageSource& other : *layout) {
      bool same = other.config_bytes == image.config_bytes && other.layers.size() == image.layers.size();
      if (!same) continue;
      image.layers = std::move(other.layers);
      image.manifest_bytes = std::move(other.manifest_bytes);
      image.index = std::move(other.index);
      break;
    }
  }
}

std::string layer_media_type(Compression compression) {
  switch (compression) {
    case Compression::Gzip:
      return std::string(spec::media_type::oci_layer_gzip);
    case Compression::Zstd:
      return std::string(spec::media_type::oci_layer_zstd);
    default:
      return std::string(spec::media_type::oci_layer);
  }
}

Result<Compression> compression_of(const SpooledFile& file) {
  std::array<char, 6> prefix{};
  auto source = file.source();
  size_t used = 0;
  while (used < prefix.size()) {
    TRY(size_t count, source->read(std::span(prefix).subspan(used)));
    if (count == 0) break;
    used += count;
  }
  return detect_compression(std::string_view(prefix.data(), used));
}

class Loader {
 public:
  Loader(ImageStore& store, ImageStore::State& state, const ImageStore::LoadOptions& options)
      : state_(state), options_(options), lease_(store.lease()) {}

  Result<std::vector<LoadedImage>> load(ByteSource& archive) {
    TRY(ArchiveSpool spool, ArchiveSpool::read(archive, state_.content, options_.limits, {}, options_.stop));
    spec::Platform wanted = options_.platform.value_or(spec::Platform::host());
    std::vector<ImageSource> images;
    // manifest.json knows of one platform alone.
    bool by_layout = options_.platform && spool.find("index.json") != nullptr;
    if (spool.find("manifest.json") != nullptr && !by_layout) {
      TRY(images, read_docker_archive(spool));
      adopt_manifests(spool, wanted, images);
    } else if (spool.find("index.json") != nullptr) {
      TRY(images, LayoutReader(spool, wanted).read());
    } else if (spool.find("repositories") != nullptr) {
      TRY(images, from_legacy(spool, options_.stop));
    } else {
      return Error(
          Kind::InvalidArgument,
          "invalid archive: does not contain a manifest.json or an index.json (to make an image of a root "
          "filesystem use import)");
    }
    std::vector<LoadedImage> loaded;
    for (ImageSource& image : images) {
      TRY(LoadedImage one, load_one(spool, image));
      loaded.push_back(std::move(one));
    }
    for (const ImageSource& image : images) CHECK(set_parent(image));
    return loaded;
  }

 private:
  Result<LoadedImage> load_one(ArchiveSpool& spool, const ImageSource& image) {
    TRY(spec::ImageConfig config, spec::parse_image_config(image.config_bytes));
    if (config.diff_ids.size() != image.layers.size()) {
      return failure(Kind::InvalidArgument, "invalid manifest, layers length mismatch: expected {}, got {}",
                     config.diff_ids.size(), image.layers.size());
    }
    if (options_.platform && !spec::matches(*options_.platform, config.platform)) {
      return failure(Kind::NotFound, "image with platform {} does not match the wanted platform {}",
                     config.platform.str(), options_.platform->str());
    }
    lease_.add_image(sha256(image.config_bytes));
    std::optional<Digest> parent;
    for (size_t i = 0; i < image.layers.size(); ++i) {
      Digest chain = spec::chain_id(parent, config.diff_ids[i]);
      lease_.add_chain(chain);
      CHECK(load_layer(spool, image.layers[i], parent, config.diff_ids[i]));
      parent = chain;
    }
    std::optional<Digest> manifest;
    if (image.manifest_bytes) {
      manifest = sha256(*image.manifest_bytes);
      lease_.add_blob(*manifest);
      CHECK(state_.content.put(*image.manifest_bytes, sys::Durability::None));
    }
    // The index's digest among the names is what it is kept by.
    std::vector<spec::Reference> names = image.names;
    if (image.index) {
      CHECK(store_index(spool, *image.index));
      const Digest& digest = image.index->documents.back().descriptor.digest;
      for (const spec::Reference& name : image.names)
        names.push_back(name.without_tag_and_digest().with_digest(digest));
    }
    TRY(Digest id,
        state_.add_image(image.config_bytes, config, std::nullopt, manifest, names, options_.progress));
    if (image.index && !image.names.empty()) CHECK(state_.indexes.keep(*image.index));
    LoadedImage loaded{.id = std::move(id)};
    for (const spec::Reference& name : image.names) loaded.names.push_back(name.familiar_string());
    return loaded;
  }

  /// An image stands on another one only if it has all of its layers and history: else what the archive says
  /// is passed over.
  Result<void> set_parent(const ImageSource& image) {
    if (!image.parent) return {};
    TRY(const auto row, state_.table.find(*image.parent));
    const Digest id = sha256(image.config_bytes);
    if (!row || *image.parent == id) return {};
    TRY(const auto child, state_.config(id));
    TRY(const auto parent, state_.config(*image.parent));
    const bool begins = parent->diff_ids.size() <= child->diff_ids.size() &&
                        parent->history.size() < child->history.size() &&
                        std::equal(parent->diff_ids.begin(), parent->diff_ids.end(), child->diff_ids.begin());
    if (!begins) return {};
    std::lock_guard lock(state_.references);
    TRY(auto own, state_.table.find(id));
    if (!own) return {};
    own->parent = image.parent;
    return state_.table.insert(*own);
  }

  /// Puts everything of an index that is not in the content store yet there, leased.
  Result<void> store_index(ArchiveSpool& spool, const IndexClosure& index) {
    for (const IndexDocument& document : index.documents) {
      lease_.add_blob(document.descriptor.digest);
      CHECK(state_.content.put(document.bytes));
    }
    for (const spec::Descriptor& descriptor : index.blobs) {
      lease_.add_blob(descriptor.digest);
      if (state_.content.contains(descriptor.digest)) continue;
      SpooledFile* file = spool.find(blob_name(descriptor.digest));
      if (file == nullptr) return damaged(descriptor);
      TRY(Digest digest, file->digest());
      if (digest != descriptor.digest) return damaged(descriptor);
      if (file->ingest) {
        CHECK(file->ingest->commit());
      } else {
        CHECK(state_.content.put(file->bytes));
      }
    }
    return {};
  }

  Result<void> load_layer(ArchiveSpool& spool, const ImageSource::LayerFile& layer,
                          const std::optional<Digest>& parent, const Digest& diff_id) {
    SpooledFile* file = spool.find(layer.name);
    if (state_.snapshotter.has_layer(spec::chain_id(parent, diff_id))) return {};
    if (file == nullptr) {
      return failure(Kind::InvalidArgument, "invalid archive: no layer \"{}\"", layer.name.substr(0, 256));
    }
    TRY(Compression compression, compression_of(*file));
    Snapshotter::UnpackRequest request{
        .parent = parent, .diff_id = diff_id, .limits = options_.limits, .stop = options_.stop};
    std::string media_type = layer.descriptor && !layer.descriptor->media_type.empty()
                                 ? layer.descriptor->media_type
                                 : layer_media_type(compression);
    if (compression != Compression::None) request.keep = Snapshotter::UnpackRequest::Keep::Always;
    if (compression == Compression::None && layer.descriptor) {
      // A plain tar's digest is its diff id, which unpacking checks.
      bool matches =
          layer.descriptor->digest == diff_id && layer.descriptor->size == static_cast<int64_t>(file->size);
      if (!matches) return damaged(*layer.descriptor);
    }
    // The compressed bytes' own digest is taken on another core while they are unpacked.
    std::future<Result<Digest>> digest;
    if (compression != Compression::None)
      digest = std::async(std::launch::async, [file] { return file->digest(); });
    request.keep_archive = [&]() -> Result<LayerBlob> {
      if (digest.valid()) digest.wait();
      return keep(*file, layer.descriptor, media_type);
    };
    auto source = file->source();
    LayerProgress counted(*source, diff_id.short_hex(), file->size, options_.progress);
    CHECK(state_.snapshotter.unpack(counted, request));
    return {};
  }

  static Error damaged(const spec::Descriptor& descriptor) {
    return failure(Kind::Corrupt, "image archive is damaged: blob {} does not match its descriptor",
                   descriptor.digest.str());
  }

  /// Puts the layer's bytes as they came into the content store.
  Result<LayerBlob> keep(SpooledFile& file, const std::optional<spec::Descriptor>& descriptor,
                         const std::string& media_type) {
    TRY(Digest digest, file.digest());
    bool matches =
        !descriptor || (descriptor->digest == digest && descriptor->size == static_cast<int64_t>(file.size));
    if (!matches) return damaged(*descriptor);
    lease_.add_blob(digest);
    // The snapshotter syncs layers and their blobs together, and checks both after a crash of the machine.
    if (file.ingest) {
      CHECK(file.ingest->commit(sys::Durability::None));
    } else {
      CHECK(state_.content.put(file.bytes, sys::Durability::None));
    }
    return LayerBlob{.digest = std::move(digest), .media_type = media_type, .size = file.size};
  }

  /// Tells of a layer's progress, about a hundred times.
  class LayerProgress : public ByteSource {
   public:
    LayerProgress(ByteSource& source, std::string id, uint64_t total, const ProgressCallback& progress)
        : source_(source), id_(std::move(id)), total_(total), progress_(progress) {}
    Result<size_t> read(std::span<char> buffer) override {
      TRY(size_t count, source_.read(buffer));
      current_ += count;
      bool due = current_ - reported_ > total_ / 100 || (count == 0 && reported_ != current_);
      if (progress_ && due) {
        reported_ = current_;
        progress_({.id = id_, .status = "Loading layer", .current = current_, .total = total_});
      }
      return count;
    }

   private:
    ByteSource& source_;
    std::string id_;
    uint64_t total_;
    const ProgressCallback& progress_;
    uint64_t current_ = 0;
    uint64_t reported_ = 0;
  };

  ImageStore::State& state_;
  const ImageStore::LoadOptions& options_;
  Lease lease_;
};

}  // namespace

Result<std::vector<LoadedImage>> ImageStore::load(ByteSource& archive, const LoadOptions& options) {
  return Loader(*this, *state_, options).load(archive);
}

}  // namespace berth::storage
