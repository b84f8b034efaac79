#include "apps/buildkit/parameters.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "base/format.h"
#include "base/json.h"
#include "spec/dockerfile.h"
#include "spec/dockerfile_mount.h"
#include "spec/image.h"
#include "spec/reference.h"

namespace berth::buildkit {
namespace {

constexpr std::string_view upload_prefix = "http://buildkit-session/";

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    size_t end = text.find(separator);
    if (end != 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return parts;
}

std::string get(const Attributes& attributes, const std::string& name) {
  auto found = attributes.find(name);
  return found == attributes.end() ? std::string() : found->second;
}

bool is_true(std::string_view text) {
  return text == "1" || text == "true" || text == "True" || text == "TRUE" || text == "t";
}

bool is_disabled(std::string_view attestation) {
  for (const std::string& field : split(attestation, ','))
    if (field == "disabled=true" || field == "false") return true;
  return false;
}

/// "mode=max,builder-id=https://..." and what clients add to it.
Result<ProvenanceRequest> provenance_of(const Attributes& attributes) {
  ProvenanceRequest request;
  const auto found = attributes.find("attest:provenance");
  if (found == attributes.end() || is_disabled(found->second)) return request;
  request.wanted = true;
  for (const std::string& field : split(found->second, ',')) {
    const size_t equals = field.find('=');
    const std::string key = field.substr(0, equals);
    const std::string value = equals == field.npos ? std::string() : field.substr(equals + 1);
    if (key == "mode" && value != "min" && value != "max")
      return failure(Kind::InvalidArgument, "invalid provenance mode {}: it is min or max",
                     value.substr(0, 64));
    if (key == "version" && value != "v0.2")
      return failure(Kind::Unsupported, "provenance of SLSA {} is not supported: v0.2 is",
                     value.substr(0, 64));
    if (key == "mode") request.max = value == "max";
    if (key == "builder-id") request.builder = value;
    if (key == "inline-only") request.by_default = is_true(value);
  }
  return request;
}

Result<std::vector<std::string>> platforms_of(const Attributes& attributes) {
  constexpr size_t most = 16;
  std::vector<std::string> platforms;
  for (const std::string& text : split(get(attributes, "platform"), ',')) {
    TRY(const auto platform, spec::Platform::parse(text));
    std::string name = platform.str();
    if (std::find(platforms.begin(), platforms.end(), name) == platforms.end())
      platforms.push_back(std::move(name));
  }
  if (platforms.size() > most)
    return failure(Kind::InvalidArgument, "a build is for {} platforms at most", most);
  return platforms;
}

Result<void> refuse_unsupported(const Attributes& attributes) {
  for (const auto& [name, value] : attributes) {
    if (name.starts_with("input:"))
      return Error(Kind::Unsupported, "inputs of a build by LLB are not supported");
    if (name == "requestid" && !value.empty() && value != "frontend.lint" && value != "frontend.targets" &&
        value != "frontend.outline")
      return failure(
          Kind::Unsupported,
          "unsupported request {}: frontend.lint (--check), frontend.outline and frontend.targets are",
          value.substr(0, 128));
    if (name == "attest:sbom" && !is_disabled(value))
      return Error(
          Kind::Unsupported,
          "--sbom is not supported: it needs a scanner's image; build without it, and scan the image "
          "or an archive (--output type=oci) with a scanner of your choice");
    const bool known_attestation = name == "attest:provenance" || name == "attest:sbom";
    if (name.starts_with("attest:") && !known_attestation)
      return failure(Kind::Unsupported, "attestations of type {} are not supported: provenance is",
                     name.substr(7, 64));
  }
  return {};
}

/// "nofile=1024:2048,nproc=5" as docker's JSON list.
Result<std::string> ulimits_json(std::string_view text) {
  Json list = Json::array();
  for (const std::string& item : split(text, ',')) {
    size_t equals = item.find('=');
    size_t colon = item.find(':', equals == item.npos ? 0 : equals);
    auto number = [&](std::string_view digits, int64_t& value) {
      auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
      return error == std::errc{} && end == digits.data() + digits.size();
    };
    int64_t soft = 0;
    int64_t hard = 0;
    bool valid = equals != item.npos;
    if (valid) {
      std::string_view values = std::string_view(item).substr(equals + 1);
      valid = colon == item.npos ? number(values, soft) && number(values, hard)
                                 : number(values.substr(0, colon - equals - 1), soft) &&
                                       number(std::string_view(item).substr(colon + 1), hard);
    }
    if (!valid) return failure(Kind::InvalidArgument, "invalid ulimit \"{}\"", item.substr(0, 64));
    list.push_back({{"Name", item.substr(0, equals)}, {"Soft", soft}, {"Hard", hard}});
  }
  return to_json(list);
}

std::string prefixed_json(const Attributes& attributes, std::string_view prefix) {
  Json object = Json::object();
  for (const auto& [name, value] : attributes)
    if (name.starts_with(prefix)) object[name.substr(prefix.size())] = value;
  return object.empty() ? std::string() : to_json(object);
}

void place_context(const Attributes& attributes, BuildParameters& parameters) {
  std::string context = get(attributes, "context");
  if (context.starts_with("local:")) {
    parameters.context_directory = context.substr(6);
  } else if (context.starts_with(upload_prefix)) {
    parameters.upload = context.substr(upload_prefix.size() - 1);
  } else if (!context.empty()) {
    parameters.remote = context;
  }
  // bake shares a directory among targets under another name.
  if (std::string key = get(attributes, "contextkey"); !key.empty()) parameters.context_directory = key;
  if (std::string key = get(attributes, "dockerfilekey"); !key.empty()) parameters.dockerfile_directory = key;
}

/// "context:NAME" or "context:NAME::PLATFORM".
Result<void> place_named_contexts(const Attributes& attributes, BuildParameters& parameters) {
  constexpr std::string_view prefix = "context:";
  constexpr std::string_view image = "docker-image://";
  constexpr std::string_view local = "local:";
  for (const auto& [key, value] : attributes) {
    if (!key.starts_with(prefix)) continue;
    std::string name = key.substr(prefix.size());
    name = name.substr(0, name.find("::"));
    if (value.starts_with(image)) {
      parameters.named_images[name] = value.substr(image.size());
    } else if (value.starts_with(local)) {
      parameters.named_directories[name] = value.substr(local.size());
    } else {
      return failure(Kind::Unsupported,
                     "the build context {} is neither a directory nor docker-image://: {} is not supported",
                     name, value.substr(0, 128));
    }
  }
  return {};
}

/// "cache-imports" is JSON of BuildKit's own, "cache-from" a list of references.
Result<std::vector<CacheOption>> cache_imports(const Attributes& attributes) {
  std::vector<CacheOption> options;
  for (std::string& reference : split(get(attributes, "cache-from"), ','))
    options.push_back({.type = "registry", .attributes = {{"ref", std::move(reference)}}});
  std::string text = get(attributes, "cache-imports");
  if (text.empty()) return options;
  TRY(Json list, parse_json(text));
  if (!list.is_array()) return Error(Kind::InvalidArgument, "cache-imports must be a JSON list");
  for (const Json& entry : list) {
    CacheOption option;
    TRY(option.type, json_string(entry, "Type"));
    TRY(option.attributes, json_string_map(entry, "Attrs"));
    options.push_back(std::move(option));
  }
  return options;
}

/// Of FROM and --from; stages' names are taken for images here, which costs a question in vain.
void add_host(std::set<std::string>& hosts, const std::string& name) {
  if (name.empty() || name == "scratch" || name.find('$') != name.npos) return;
  if (auto reference = spec::Reference::parse(name); reference) hosts.insert(reference->domain());
}

}  // namespace

Result<BuildParameters> parse_attributes(const Attributes& attributes) {
  CHECK(refuse_unsupported(attributes));
  BuildParameters parameters;
  place_context(attributes, parameters);
  CHECK(place_named_contexts(attributes, parameters));
  TRY(parameters.cache_imports, cache_imports(attributes));
  TRY(parameters.platforms, platforms_of(attributes));
  parameters.several = parameters.platforms.size() > 1 || is_true(get(attributes, "multi-platform"));
  TRY(parameters.provenance, provenance_of(attributes));
  if (std::string request = get(attributes, "requestid"); !request.empty())
    parameters.call = request.substr(request.find('.') + 1);
  if (std::string name = get(attributes, "filename"); !name.empty()) parameters.dockerfile = name;
  auto& query = parameters.query;
  auto add = [&query](const char* name, std::string value) {
    if (!value.empty()) query.emplace_back(name, std::move(value));
  };
  add("dockerfile", parameters.dockerfile);
  add("target", get(attributes, "target"));
  add("buildargs", prefixed_json(attributes, "build-arg:"));
  add("labels", prefixed_json(attributes, "label:"));
  // "" ignores the cache for all stages; a list of stages is taken for all of them.
  if (attributes.contains("no-cache")) add("nocache", "1");
  if (get(attributes, "image-resolve-mode") == "pull") add("pull", "1");
  if (std::string mode = get(attributes, "force-network-mode"); mode == "host" || mode == "none")
    add("networkmode", mode);
  add("cgroupparent", get(attributes, "cgroup-parent"));
  add("shmsize", get(attributes, "shm-size"));
  if (std::string limits = get(attributes, "ulimit"); !limits.empty()) {
    TRY(std::string list, ulimits_json(limits));
    add("ulimits", std::move(list));
  }
  for (std::string& host : split(get(attributes, "add-hosts"), ',')) {
    size_t equals = host.find('=');
    if (equals != host.npos) host[equals] = ':';
    add("extrahosts", std::move(host));
  }
  if (is_true(get(attributes, "squash"))) add("squash", "1");
  return parameters;
}

Result<CachePlaces> cache_places(const std::vector<CacheOption>& imports,
                                 const std::vector<CacheOption>& exports) {
  CachePlaces places;
  for (const CacheOption& option : imports) {
    CachePlaces::Source source;
    if (option.type == "registry") source.reference = get(option.attributes, "ref");
    if (option.type == "local" && option.attributes.contains("src")) {
      source.directory = "local:" + get(option.attributes, "src");
      source.digest = get(option.attributes, "digest");
    }
    if (source == CachePlaces::Source()) {
      places.notes.push_back(fmt::format(
          "--cache-from type={} is not supported and passed over: type=registry and type=local are",
          option.type.substr(0, 64)));
    } else if (std::find(places.from.begin(), places.from.end(), source) == places.from.end()) {
      places.from.push_back(std::move(source));
    }
  }
  for (const CacheOption& option : exports) {
    if (option.type == "inline") {
      places.inline_cache = true;
      continue;
    }
    CachePlaces::Target target{.mode = get(option.attributes, "mode")};
    if (target.mode.empty()) target.mode = "min";
    if (option.type == "registry") {
      target.reference = get(option.attributes, "ref");
      if (target.reference.empty())
        return Error(Kind::InvalidArgument, "--cache-to type=registry needs a ref");
    } else if (option.type == "local") {
      if (get(option.attributes, "dest").empty())
        return Error(Kind::InvalidArgument, "--cache-to type=local needs a dest");
      target.directory = "local:" + get(option.attributes, "dest");
    } else {
      return failure(Kind::Unsupported,
                     "--cache-to type={} is not supported: type=registry, type=local and type=inline are",
                     option.type.substr(0, 64));
    }
    places.to.push_back(std::move(target));
  }
  return places;
}

DockerfileNeeds needs_of(std::string_view text) {
  DockerfileNeeds needs;
  auto dockerfile = spec::parse_dockerfile(text);
  if (!dockerfile) return needs;  // the engine says what is wrong with it
  needs.several_stages = dockerfile->stages.size() > 1;
  const spec::VariableLookup nothing = [](std::string_view) { return std::nullopt; };
  for (const spec::Stage& stage : dockerfile->stages) {
    add_host(needs.registries, stage.from.base);
    for (const spec::Instruction& instruction : stage.instructions) {
      if (const auto* copy = std::get_if<spec::CopyInstruction>(&instruction.body))
        add_host(needs.registries, copy->from);
      const auto* run = std::get_if<spec::RunInstruction>(&instruction.body);
      for (const std::string& value : run == nullptr ? std::vector<std::string>() : run->mounts) {
        auto mount = spec::parse_run_mount(value, nothing, dockerfile->escape);
        if (!mount) continue;
        add_host(needs.registries, mount->from);
        if (mount->type == spec::RunMountType::Ssh)
          needs.agents.insert(mount->id.empty() ? "default" : mount->id);
        if (mount->type != spec::RunMountType::Secret) continue;
        std::string id = mount->id.empty() ? mount->target.substr(mount->target.rfind('/') + 1) : mount->id;
        if (!id.empty()) needs.secrets.insert(id);
      }
    }
  }
  return needs;
}

}  // namespace berth::buildkit
