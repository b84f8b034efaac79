#include "registry/client/artifact.h"

#include <algorithm>

#include "base/format.h"
#include "registry/client/client_state.h"

namespace berth::registry {
namespace {

class Reader {
 public:
  Reader(Repository& repository, const ArtifactRequest& request, const ArtifactLimits& limits)
      : repository_(repository), request_(request), limits_(limits) {}

  Result<std::vector<ArtifactFile>> read() {
    const spec::Reference& reference = request_.reference;
    const std::string name = reference.digest() ? reference.digest()->str() : reference.tag();
    TRY(RemoteManifest document, repository_.get_manifest(name, reference.digest()));
    if (spec::is_index_type(document.media_type)) {
      TRY(document, choose(document));
    }
    TRY(const spec::Manifest manifest, spec::parse_manifest(document.bytes));
    const bool right = manifest.artifact_type.empty() ? manifest.config.media_type == request_.config_type
                                                      : manifest.artifact_type == request_.type;
    if (!right)
      return wrong(manifest.artifact_type.empty() ? manifest.config.media_type : manifest.artifact_type);
    if (manifest.layers.size() > limits_.max_files)
      return failure(Kind::Exhausted, "{} has more than {} files", reference.familiar_string(),
                     limits_.max_files);
    std::vector<ArtifactFile> files;
    size_t left = limits_.max_bytes;
    for (const spec::Descriptor& layer : manifest.layers) {
      if (layer.size > static_cast<int64_t>(left))
        return failure(Kind::Exhausted, "{} has more than {} bytes", reference.familiar_string(),
                       limits_.max_bytes);
      TRY(std::string content, repository_.get_blob(layer, left));
      left -= content.size();
      files.push_back({layer.media_type, layer.annotations, std::move(content)});
    }
    return files;
  }

 private:
  Result<RemoteManifest> choose(const RemoteManifest& document) {
    TRY(const spec::Index index, spec::parse_index(document.bytes));
    const auto found =
        std::find_if(index.manifests.begin(), index.manifests.end(),
                     [&](const spec::Descriptor& one) { return one.artifact_type == request_.type; });
    if (found == index.manifests.end()) return wrong("an index");
    return repository_.get_manifest(found->digest.str(), found->digest);
  }

  Error wrong(const std::string& type) const {
    return failure(Kind::InvalidArgument, "{} is no artifact of type {}, but {}",
                   request_.reference.familiar_string(), request_.type, type);
  }

  Repository& repository_;
  const ArtifactRequest& request_;
  const ArtifactLimits& limits_;
};

}  // namespace

Result<std::vector<ArtifactFile>> fetch_artifact(const Settings& settings, storage::ImageStore& images,
                                                 const ArtifactRequest& request, std::stop_token stop,
                                                 const ArtifactLimits& limits) {
  ArtifactRequest wanted = request;
  wanted.reference = request.reference.with_default_tag();
  Client::State state(settings, images);
  std::vector<ArtifactFile> files;
  auto look = [&](Repository& repository) -> Result<void> {
    TRY(files, Reader(repository, wanted, limits).read());
    return {};
  };
  CHECK(read_from_registry(state, wanted.reference, wanted.credentials, stop, look));
  return files;
}

}  // namespace berth::registry
