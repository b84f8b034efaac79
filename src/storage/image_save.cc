// docker save: images as one tar that is a docker archive and an OCI layout at once, as docker 25 and later
// write.
#include <algorithm>

#include "base/format.h"
#include "base/json.h"
#include "storage/image_state.h"
#include "storage/tar_writer.h"

namespace berth::storage {
namespace {

/// An image to be saved and the names under which it was asked for.
struct Wanted {
  Image image;
  std::vector<spec::Reference> names;
};

class Saver {
 public:
  Saver(ImageStore::State& state, ByteSink& out, const ImageStore::SaveOptions& options)
      : state_(state), tar_(out), options_(options) {}

  Result<void> save(std::vector<Wanted> images) {
    CHECK(directory("blobs/"));
    CHECK(directory("blobs/sha256/"));
    Json repositories = Json::object();
    std::vector<spec::ArchiveManifestEntry> entries;
    spec::Index index;
    for (const Wanted& wanted : images) {
      TRY(spec::Descriptor manifest, save_image(wanted, entries));
      add_to_index(index, manifest, wanted.names);
      for (const spec::Reference& name : wanted.names) {
        if (name.tag().empty() || !wanted.image.chain_id) continue;
        repositories[name.familiar_name()][name.tag()] = wanted.image.chain_id->hex();
      }
    }
    CHECK(document("index.json", spec::serialise(index)));
    CHECK(document("manifest.json", with_parents(spec::serialise(entries), images)));
    CHECK(document("oci-layout", R"({"imageLayoutVersion":"1.0.0"})"));
    if (!repositories.empty()) CHECK(document("repositories", to_json(repositories)));
    return tar_.finish();
  }

 private:
  /// As docker has it: an image that stands on another one of the archive says so.
  static std::string with_parents(std::string manifest, const std::vector<Wanted>& images) {
    auto list = parse_json(manifest);
    if (!list || !list->is_array()) return manifest;
    bool any = false;
    for (Json& entry : *list) {
      for (const Wanted& child : images) {
        if (!child.image.parent || entry["Config"] != blob_name(child.image.id)) continue;
        const bool is_here = std::any_of(images.begin(), images.end(), [&](const Wanted& other) {
          return other.image.id == *child.image.parent;
        });
        if (!is_here) continue;
        entry["Parent"] = child.image.parent->str();
        any = true;
      }
    }
    return any ? to_json(*list) : manifest;
  }

  static TarEntry entry(std::string name, TarType type, uint32_t mode) {
    return TarEntry{.type = type, .name = std::move(name), .mode = mode};
  }
  Result<void> directory(std::string name) {
    return tar_.header(entry(std::move(name), TarType::Directory, 0755));
  }
  Result<void> document(std::string name, std::string_view bytes, TarTime time = {}) {
    TarEntry header = entry(std::move(name), TarType::File, 0644);
    header.mtime = time;
    return tar_.file(header, bytes);
  }
  static std::string blob_name(const Digest& digest) { return "blobs/sha256/" + digest.hex(); }

  Result<void> blob(const Digest& digest, std::string_view bytes, TarTime time = {}) {
    if (!written_.insert(digest).second) return {};
    return document(blob_name(digest), bytes, time);
  }

  Result<spec::Descriptor> save_image(const Wanted& wanted,
                                      std::vector<spec::ArchiveManifestEntry>& entries) {
    const Image& image = wanted.image;
    TRY(std::optional<KeptIndex> index, state_.indexes.of_names(image.repo_digests));
    if (!options_.platform) {
      TRY(spec::Descriptor manifest, save_unpacked(wanted, entries));
      if (!index) return manifest;
      return save_index(*index);
    }
    if (spec::matches(*options_.platform, image.config->platform)) return save_unpacked(wanted, entries);
    const IndexImage* other = index ? find_platform(index->images, *options_.platform) : nullptr;
    if (other == nullptr) {
      return failure(Kind::NotFound,
                     "image {} is not here for {}: pull it with --platform or --all-platforms",
                     image.id.str(), options_.platform->str());
    }
    return save_platform(wanted, *index, *other, entries);
  }

  /// The index as it came, with everything that it leads to.
  Result<spec::Descriptor> save_index(const KeptIndex& index) {
    TRY(IndexClosure closure, state_.indexes.closure(index));
    for (const spec::Descriptor& kept : closure.blobs) CHECK(save_kept(kept));
    for (const IndexDocument& kept : closure.documents) CHECK(blob(kept.descriptor.digest, kept.bytes));
    return closure.documents.back().descriptor;
  }

  /// One platform's image of an index, from the bytes that were kept of it.
  Result<spec::Descriptor> save_platform(const Wanted& wanted, const KeptIndex& index,
                                         const IndexImage& image,
                                         std::vector<spec::ArchiveManifestEntry>& entries) {
    TRY(IndexClosure closure, state_.indexes.closure(index));
    auto found = std::find_if(
        closure.documents.begin(), closure.documents.end(),
        [&](const IndexDocument& candidate) { return candidate.descriptor.digest == image.manifest; });
    if (found == closure.documents.end()) return Error(Kind::Corrupt, "an index without its manifest");
    TRY(spec::Manifest manifest, spec::parse_manifest(found->bytes));
    CHECK(save_kept(manifest.config));
    spec::ArchiveManifestEntry archive_entry{.config = blob_name(manifest.config.digest)};
    for (const spec::Descriptor& layer : manifest.layers) {
      if (layer.urls.empty()) CHECK(save_kept(layer));
      archive_entry.layers.push_back(blob_name(layer.digest));
    }
    CHECK(blob(image.manifest, found->bytes));
    add_tags(wanted, archive_entry);
    entries.push_back(std::move(archive_entry));
    return found->descriptor;
  }

  Result<void> save_kept(const spec::Descriptor& descriptor) {
    if (!written_.insert(descriptor.digest).second) return {};
    TarEntry header = entry(blob_name(descriptor.digest), TarType::File, 0644);
    header.size = static_cast<uint64_t>(descriptor.size);
    CHECK(tar_.header(header));
    TarContentSink sink(tar_);
    TRY(sys::UniqueFd file, state_.content.open_blob(descriptor.digest));
    TRY(auto source, FileSource::whole(std::move(file)));
    CHECK(copy_stream(*source, sink, options_.stop));
    if (sink.written != header.size) {
      return failure(Kind::Corrupt, "blob {} has {} bytes where {} were expected", descriptor.digest.str(),
                     sink.written, header.size);
    }
    return tar_.end_file();
  }

  static void add_tags(const Wanted& wanted, spec::ArchiveManifestEntry& archive_entry) {
    for (const spec::Reference& name : wanted.names) {
      if (!name.tag().empty()) archive_entry.repo_tags.push_back(name.familiar_string());
    }
  }

  Result<spec::Descriptor> save_unpacked(const Wanted& wanted,
                                         std::vector<spec::ArchiveManifestEntry>& entries) {
    const Image& image = wanted.image;
    TRY(std::string config, state_.content.read(image.id, max_config_bytes));
    // As docker has it, an image's document is as old as the image.
    TarTime created;
    if (image.config->created) created.seconds = to_unix_nanoseconds(*image.config->created) / 1'000'000'000;
    CHECK(blob(image.id, config, created));
    spec::ArchiveManifestEntry archive_entry{.config = blob_name(image.id)};
    spec::Manifest manifest{.config = {.media_type = std::string(spec::media_type::oci_config),
                                       .digest = image.id,
                                       .size = static_cast<int64_t>(config.size())}};
    std::vector<Layer> layers;
    if (image.chain_id) {
      TRY(layers, state_.snapshotter.chain(*image.chain_id));
      std::reverse(layers.begin(), layers.end());
    }
    for (const Layer& layer : layers) {
      spec::Descriptor descriptor = describe(layer);
      CHECK(save_layer(layer, descriptor));
      archive_entry.layers.push_back(blob_name(descriptor.digest));
      manifest.layers.push_back(std::move(descriptor));
    }
    add_tags(wanted, archive_entry);
    entries.push_back(std::move(archive_entry));
    TRY(std::string manifest_bytes, original_or(image, manifest));
    Digest digest = sha256(manifest_bytes);
    CHECK(blob(digest, manifest_bytes));
    TRY(spec::Manifest final_manifest, spec::parse_manifest(manifest_bytes));
    return spec::Descriptor{.media_type = final_manifest.media_type,
                            .digest = std::move(digest),
                            .size = static_cast<int64_t>(manifest_bytes.size())};
  }

  /// The manifest that the image came with, if it describes the very blobs that are saved.
  Result<std::string> original_or(const Image& image, const spec::Manifest& made) {
    if (image.manifest) {
      auto bytes = state_.content.read(*image.manifest, max_config_bytes);
      auto original = bytes ? spec::parse_manifest(*bytes) : Result<spec::Manifest>(bytes.error());
      bool same =
          original && original->config.digest == made.config.digest &&
          std::equal(original->layers.begin(), original->layers.end(), made.layers.begin(), made.layers.end(),
                     [](const auto& a, const auto& b) { return a.digest == b.digest; });
      if (same) return bytes;
    }
    return spec::serialise(made);
  }

  static spec::Descriptor describe(const Layer& layer) {
    if (layer.blob) {
      return {.media_type = layer.blob->media_type,
              .digest = layer.blob->digest,
              .size = static_cast<int64_t>(layer.blob->size)};
    }
    return {.media_type = std::string(spec::media_type::oci_layer),
            .digest = layer.diff_id,
            .size = static_cast<int64_t>(layer.tar_size)};
  }

  Result<void> save_layer(const Layer& layer, const spec::Descriptor& descriptor) {
    if (!written_.insert(descriptor.digest).second) return {};
    TarEntry header = entry(blob_name(descriptor.digest), TarType::File, 0644);
    header.size = static_cast<uint64_t>(descriptor.size);
    CHECK(tar_.header(header));
    if (options_.progress) {
      options_.progress({.id = layer.diff_id.short_hex(), .status = "Saving layer", .total = header.size});
    }
    TarContentSink sink(tar_);
    if (layer.blob) {
      TRY(sys::UniqueFd file, state_.content.open_blob(layer.blob->digest));
      FileSource source(std::move(file), 0, layer.blob->size);
      CHECK(copy_stream(source, sink, options_.stop));
    } else {
      CHECK(state_.snapshotter.write_layer_tar(layer.chain_id, sink, options_.stop));
    }
    if (sink.written != header.size) {
      return failure(Kind::Corrupt, "layer {} has {} bytes where {} were expected", layer.diff_id.str(),
                     sink.written, header.size);
    }
    return tar_.end_file();
  }

  static void add_to_index(spec::Index& index, const spec::Descriptor& manifest,
                           const std::vector<spec::Reference>& names) {
    if (names.empty()) index.manifests.push_back(manifest);
    for (const spec::Reference& name : names) {
      spec::Descriptor named = manifest;
      named.annotations["io.containerd.image.name"] = name.str();
      if (!name.tag().empty()) named.annotations["org.opencontainers.image.ref.name"] = name.tag();
      index.manifests.push_back(std::move(named));
    }
  }

  ImageStore::State& state_;
  TarWriter tar_;
  const ImageStore::SaveOptions& options_;
  std::set<Digest> written_;
};

/// The image and names that one argument of `docker save` asks for.
Result<std::vector<std::pair<Digest, std::optional<spec::Reference>>>> expand(ImageStore::State& state,
                                                                              std::string_view argument) {
  std::vector<std::pair<Digest, std::optional<spec::Reference>>> found;
  auto reference = spec::Reference::parse(argument);
  // "sha256:<id>" also has the form of a name with a tag.
  bool is_id = argument.starts_with("sha256:");
  if (reference && reference->is_name_only()) {
    // A bare repository stands for all its tags.
    TRY(std::vector<NameRow> names, state.table.all_names());
    for (NameRow& row : names) {
      bool wanted = row.reference.name() == reference->name() && !row.reference.tag().empty();
      if (wanted) found.emplace_back(row.image, row.reference);
    }
    if (!found.empty()) return found;
  }
  TRY(Digest id, state.find(argument));
  std::optional<spec::Reference> name;
  if (!is_id && reference && !reference->tag().empty() && !reference->digest()) name = *reference;
  found.emplace_back(std::move(id), std::move(name));
  return found;
}

}  // namespace

Result<void> ImageStore::save(std::span<const std::string> references, ByteSink& out,
                              const SaveOptions& options) {
  std::vector<Wanted> images;
  Lease held = lease();
  for (const std::string& reference : references) {
    TRY(auto found, expand(*state_, reference));
    for (auto& [id, name] : found) {
      auto it = std::find_if(images.begin(), images.end(),
                             [&](const Wanted& wanted) { return wanted.image.id == id; });
      if (it == images.end()) {
        TRY(Image image, get(id));
        held.add_image(image.id);
        if (image.manifest) held.add_blob(*image.manifest);
        if (image.chain_id) held.add_chain(*image.chain_id);
        TRY(auto index, state_->indexes.of_names(image.repo_digests));
        std::set<Digest> kept;
        if (index) {
          TRY(kept, state_->indexes.blobs(index->digest));
        }
        for (const Digest& blob : kept) held.add_blob(blob);
        images.push_back({.image = std::move(image)});
        it = std::prev(images.end());
      }
      if (name && std::find(it->names.begin(), it->names.end(), *name) == it->names.end())
        it->names.push_back(*name);
    }
  }
  return Saver(*state_, out, options).save(std::move(images));
}

}  // namespace berth::storage
