#include "registry/client/artifact_push.h"

#include "base/format.h"
#include "base/json.h"
#include "registry/client/client_state.h"
#include "storage/byte_stream.h"

namespace berth::registry {
namespace {

constexpr std::string_view manifest_type = "application/vnd.oci.image.manifest.v1+json";
constexpr std::string_view empty_type = "application/vnd.oci.empty.v1+json";

Json descriptor_of(std::string_view media_type, const std::string& content) {
  return {{"mediaType", media_type}, {"digest", sha256(content).str()}, {"size", content.size()}};
}

std::string manifest_of(const ArtifactRequest& request, const std::vector<ArtifactFile>& files,
                        ArtifactForm form) {
  Json manifest{{"schemaVersion", 2}, {"mediaType", manifest_type}, {"layers", Json::array()}};
  if (form == ArtifactForm::Oci11) manifest["artifactType"] = request.type;
  manifest["config"] = descriptor_of(form == ArtifactForm::Oci11 ? empty_type : request.config_type, "{}");
  for (const ArtifactFile& file : files) {
    Json layer = descriptor_of(file.media_type, file.content);
    if (!file.annotations.empty()) layer["annotations"] = file.annotations;
    manifest["layers"].push_back(std::move(layer));
  }
  return to_json(manifest);
}

Result<void> send(Repository& repository, const std::string& content) {
  const Digest digest = sha256(content);
  TRY(const bool there, repository.has_blob(digest));
  if (there) return {};
  TRY(auto start, repository.start_upload(std::nullopt, ""));
  storage::StringSource source(content);
  return repository.put_whole(start.location, digest, source, content.size());
}

}  // namespace

Result<Digest> push_artifact(const Settings& settings, storage::ImageStore& images,
                             const ArtifactRequest& request, const std::vector<ArtifactFile>& files,
                             ArtifactForm form, std::stop_token stop, const ArtifactLimits& limits) {
  size_t bytes = 0;
  for (const ArtifactFile& file : files) bytes += file.content.size();
  if (files.size() > limits.max_files || bytes > limits.max_bytes)
    return failure(Kind::Exhausted, "an artifact has at most {} files and {} bytes", limits.max_files,
                   limits.max_bytes);
  const spec::Reference reference = request.reference.with_default_tag();
  const std::string manifest = manifest_of(request, files, form);
  Client::State state(settings, images);
  auto put = [&](Repository& repository) -> Result<void> {
    CHECK(send(repository, "{}"));
    for (const ArtifactFile& file : files) CHECK(send(repository, file.content));
    return repository.put_manifest(reference.tag(), manifest, std::string(manifest_type));
  };
  auto endpoints = state.endpoints(reference.domain());
  std::erase_if(endpoints, [](const Endpoint& endpoint) { return endpoint.mirror; });
  CHECK(on_some_endpoint(state, endpoints, reference, request.credentials, Access::Push, stop, put));
  return sha256(manifest);
}

}  // namespace berth::registry
