// A composition as an OCI layout in a tar.
#include <set>

#include "base/format.h"
#include "base/json.h"
#include "storage/composition.h"
#include "storage/tar_writer.h"

namespace berth::storage {
namespace {

std::string blob_name(const Digest& digest) {
  return "blobs/sha256/" + digest.hex();
}

class LayoutWriter {
 public:
  LayoutWriter(ImageStore& images, ByteSink& out, std::stop_token stop)
      : images_(images), tar_(out), stop_(std::move(stop)) {}

  Result<void> directories() {
    for (const char* name : {"blobs/", "blobs/sha256/"})
      CHECK(tar_.header(TarEntry{.type = TarType::Directory, .name = name, .mode = 0755}));
    return {};
  }
  Result<void> document(std::string name, std::string_view bytes) {
    return tar_.file(TarEntry{.type = TarType::File, .name = std::move(name), .mode = 0644}, bytes);
  }
  Result<void> blob(const spec::Descriptor& descriptor) {
    if (!written_.insert(descriptor.digest).second) return {};
    TarEntry header{.type = TarType::File, .name = blob_name(descriptor.digest), .mode = 0644};
    header.size = static_cast<uint64_t>(descriptor.size);
    CHECK(tar_.header(header));
    TarContentSink sink(tar_);
    TRY(sys::UniqueFd file, images_.content().open_blob(descriptor.digest));
    TRY(auto source, FileSource::whole(std::move(file)));
    CHECK(copy_stream(*source, sink, stop_));
    if (sink.written != header.size)
      return failure(Kind::Corrupt, "blob {} has {} bytes where {} were expected", descriptor.digest.str(),
                     sink.written, header.size);
    return tar_.end_file();
  }
  Result<void> finish() { return tar_.finish(); }

 private:
  ImageStore& images_;
  TarWriter tar_;
  std::stop_token stop_;
  std::set<Digest> written_;
};

spec::Index layout_index(const Composition& composition) {
  spec::Index index;
  spec::Descriptor top = composition.top;
  top.platform.reset();
  top.annotations = composition.descriptor_annotations;
  if (composition.names.empty()) index.manifests.push_back(top);
  for (const spec::Reference& name : composition.names) {
    spec::Descriptor named = top;
    named.annotations["io.containerd.image.name"] = name.str();
    if (!name.tag().empty()) named.annotations["org.opencontainers.image.ref.name"] = name.tag();
    index.manifests.push_back(std::move(named));
  }
  return index;
}

/// docker's list of what is in an archive.
Result<std::string> archive_manifest(const Composition& composition) {
  if (composition.closure.images.size() != 1) {
    return Error(Kind::InvalidArgument,
                 "docker's archives hold one platform's image: use type=oci for an index of several");
  }
  const IndexImage& image = composition.closure.images.front();
  spec::ArchiveManifestEntry entry{.config = blob_name(image.image)};
  for (const IndexDocument& document : composition.closure.documents) {
    if (document.descriptor.digest != image.manifest) continue;
    TRY(spec::Manifest manifest, spec::parse_manifest(document.bytes));
    for (const spec::Descriptor& layer : manifest.layers) entry.layers.push_back(blob_name(layer.digest));
  }
  for (const spec::Reference& name : composition.names)
    if (!name.tag().empty()) entry.repo_tags.push_back(name.familiar_string());
  return spec::serialise(std::vector<spec::ArchiveManifestEntry>{std::move(entry)});
}

}  // namespace

Result<void> write_layout(ImageStore& images, const Composition& composition, LayoutFlavour flavour,
                          ByteSink& out, std::stop_token stop) {
  std::string listed;
  if (flavour == LayoutFlavour::Docker) {
    TRY(listed, archive_manifest(composition));
  }
  LayoutWriter writer(images, out, std::move(stop));
  CHECK(writer.directories());
  for (const spec::Descriptor& blob : composition.closure.blobs) CHECK(writer.blob(blob));
  for (const IndexDocument& document : composition.closure.documents) CHECK(writer.blob(document.descriptor));
  CHECK(writer.document("index.json", spec::serialise(layout_index(composition))));
  if (!listed.empty()) CHECK(writer.document("manifest.json", listed));
  CHECK(writer.document("oci-layout", R"({"imageLayoutVersion":"1.0.0"})"));
  return writer.finish();
}

}  // namespace berth::storage
