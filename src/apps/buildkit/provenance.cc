#include "apps/buildkit/provenance.h"

#include "base/bytes.h"
#include "base/json.h"
#include "spec/package_url.h"

namespace berth::buildkit {
namespace {

constexpr const char* build_type = "https://mobyproject.org/buildkit@v1";
constexpr const char* own_metadata = "https://mobyproject.org/buildkit@v1#metadata";

Json digest_json(const std::string& digest) {
  const size_t colon = digest.find(':');
  if (colon == digest.npos) return Json::object();
  return {{digest.substr(0, colon), digest.substr(colon + 1)}};
}

Json materials_json(const BuildParameters& parameters, const BuildFacts& facts) {
  Json materials = Json::array();
  for (const Material& material : facts.materials) {
    const auto name = spec::Reference::parse(material.reference);
    const auto platform = spec::Platform::parse(material.platform);
    // An image that a named context gives by its id has no name of its own.
    std::string uri = "pkg:docker/" + material.reference;
    if (name && platform)
      uri = spec::docker_package_url(name->digest() ? *name : name->with_default_tag(), *platform);
    materials.push_back({{"uri", std::move(uri)}, {"digest", digest_json(material.digest)}});
  }
  if (!parameters.remote.empty())
    materials.push_back({{"uri", parameters.remote}, {"digest", Json::object()}});
  return materials;
}

/// What was asked for. Clients' own bookkeeping (session keys, attestations) is no parameter of the build.
Json arguments_json(const Attributes& attributes, bool max) {
  Json arguments = Json::object();
  for (const auto& [name, value] : attributes) {
    const bool bookkeeping = name.starts_with("attest:") || name.starts_with("vcs:") || name == "platform" ||
                             name == "filename" || name.starts_with("context:") ||
                             name.starts_with("cache-") || name.ends_with("key") || name == "source";
    const bool detail = name.starts_with("build-arg:") || name.starts_with("label:");
    if (!bookkeeping && (max || !detail)) arguments[name] = value;
  }
  return arguments;
}

Json locals_json(const BuildParameters& parameters) {
  Json locals = Json::array();
  if (!parameters.remote.empty()) return locals;
  locals.push_back({{"name", parameters.context_directory}});
  if (parameters.dockerfile_directory != parameters.context_directory)
    locals.push_back({{"name", parameters.dockerfile_directory}});
  return locals;
}

Json metadata_json(const Attributes& attributes, const BuildParameters& parameters, const BuildFacts& facts) {
  const bool max = parameters.provenance.max;
  Json own = Json::object();
  Json vcs = Json::object();
  for (const auto& [name, value] : attributes)
    if (name.starts_with("vcs:")) vcs[name.substr(4)] = value;
  if (!vcs.empty()) own["vcs"] = std::move(vcs);
  if (max && !facts.dockerfile.empty()) {
    own["source"] = {{"infos", Json::array({{{"filename", parameters.dockerfile},
                                             {"language", "Dockerfile"},
                                             {"data", to_base64(facts.dockerfile)}}})}};
  }
  return {{"buildInvocationID", facts.ref},
          {"buildStartedOn", to_rfc3339(facts.started)},
          {"buildFinishedOn", to_rfc3339(facts.finished)},
          {"completeness", {{"parameters", max}, {"environment", true}, {"materials", false}}},
          {"reproducible", false},
          {own_metadata, std::move(own)}};
}

}  // namespace

Json provenance(const BuildParameters& parameters, const Attributes& attributes, const BuildFacts& facts) {
  Json source = Json::object();
  if (!parameters.remote.empty()) source["uri"] = parameters.remote;
  source["entryPoint"] = parameters.dockerfile;
  Json asked = {{"frontend", "dockerfile.v0"},
                {"args", arguments_json(attributes, parameters.provenance.max)},
                {"locals", locals_json(parameters)}};
  if (parameters.provenance.max) {
    Json secrets = Json::array();
    for (const std::string& id : needs_of(facts.dockerfile).secrets)
      secrets.push_back({{"id", id}, {"optional", true}});
    if (!secrets.empty()) asked["secrets"] = std::move(secrets);
  }
  return {{"builder", {{"id", parameters.provenance.builder}}},
          {"buildType", build_type},
          {"materials", materials_json(parameters, facts)},
          {"invocation",
           {{"configSource", std::move(source)},
            {"parameters", std::move(asked)},
            {"environment", {{"platform", spec::Platform::host().str()}}}}},
          {"metadata", metadata_json(attributes, parameters, facts)}};
}

}  // namespace berth::buildkit
