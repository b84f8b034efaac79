#include "apps/berth/compose/bake.h"

#include <algorithm>
#include <filesystem>

#include "apps/berth/compose/request.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

using Strings = std::vector<std::string>;

/// Bake's targets by service: dots are not for them.
std::map<std::string, std::string> targets_of(const Project& project) {
  std::map<std::string, std::string> targets;
  std::set<std::string> taken;
  for (const auto& [name, service] : project.services) {
    std::string target = name;
    std::replace(target.begin(), target.end(), '.', '_');
    while (!taken.insert(target).second) target += "_";
    targets[name] = target;
  }
  return targets;
}

bool is_git(const std::string& context) {
  return context.find("://") != std::string::npos || context.starts_with("git@") ||
         context.starts_with("github.com/");
}

std::string dockerfile_path(const std::string& context, const std::string& file) {
  if (is_git(context)) return file;
  const std::filesystem::path path = std::filesystem::path(context) / file;
  std::error_code failed;
  const auto folder = std::filesystem::canonical(path.parent_path(), failed);
  return failed ? path.lexically_normal().string() : (folder / path.filename()).string();
}

/// What bake would take for its own variables.
std::string escaped(std::string text) {
  for (size_t at = text.find("${"); at != std::string::npos; at = text.find("${", at + 3))
    text.insert(at, "$");
  return text;
}

/// One target, field by field.
class Target {
 public:
  Target(const Project& project, const Service& service, const BuildOptions& options,
         const std::map<std::string, std::string>& targets)
      : project_(project), service_(service), options_(options), targets_(targets) {}

  Result<Json> json() {
    CHECK(add_source());
    CHECK(add_arguments());
    CHECK(add_names());
    CHECK(add_inputs());
    CHECK(add_limits());
    CHECK(add_output());
    return std::move(json_);
  }

 private:
  const Value& build() const { return *service_.config.find("build"); }
  std::string path() const { return service_.path() + ".build"; }

  Result<void> copy_list(std::string_view key, std::string_view name) {
    TRY(Strings values, texts_of(build(), key, path()));
    if (!values.empty()) json_[std::string(name)] = values;
    return {};
  }

  Result<void> copy_text(std::string_view key, std::string_view name) {
    TRY(std::string value, text_of(build(), key, path()));
    if (!value.empty()) json_[std::string(name)] = value;
    return {};
  }

  Result<void> add_source() {
    TRY(const std::string context, text_of(build(), "context", path()));
    json_["context"] = context;
    TRY(auto contexts, text_map_of(build(), "additional_contexts", path()));
    for (auto& [name, value] : contexts) {
      if (!value.starts_with("service:")) continue;
      const auto other = targets_.find(value.substr(8));
      if (other != targets_.end()) value = "target:" + other->second;
    }
    if (!contexts.empty()) json_["contexts"] = contexts;
    TRY(const std::string file, text_of(build(), "dockerfile", path()));
    if (!file.empty()) json_["dockerfile"] = dockerfile_path(context, file);
    TRY(const std::string text, text_of(build(), "dockerfile_inline", path()));
    if (!text.empty()) json_["dockerfile-inline"] = escaped(text);
    return copy_text("target", "target");
  }

  void set_argument(const std::string& name, std::optional<std::string> value) {
    const auto outer = project_.environment.find(name);
    if (!value && outer != project_.environment.end()) value = outer->second;
    if (value) json_["args"][name] = escaped(*value);
  }

  Result<void> add_arguments() {
    if (const Value* arguments = build().find("args"))
      for (const auto& [name, value] : arguments->members)
        set_argument(name, value.is_null() ? std::nullopt : std::optional(value.text));
    for (const std::string& given : options_.arguments) {
      const size_t equals = given.find('=');
      set_argument(given.substr(0, equals),
                   equals == std::string::npos ? std::nullopt : std::optional(given.substr(equals + 1)));
    }
    return {};
  }

  Result<void> add_names() {
    TRY(auto labels, text_map_of(build(), "labels", path()));
    labels[std::string(label_project)] = project_.name;
    labels[std::string(label_service)] = service_.name;
    labels[std::string(label_version)] = compose_version;
    json_["labels"] = labels;
    TRY(Strings tags, texts_of(build(), "tags", path()));
    tags.push_back(image_of(project_, service_));
    json_["tags"] = tags;
    return {};
  }

  Result<void> add_secrets() {
    const Value* grants = build().find("secrets");
    for (const Value& grant : grants == nullptr ? Value::List() : grants->items) {
      const auto found = project_.secrets.find(grant.find("source")->text);
      if (found == project_.secrets.end()) continue;
      const Value* target = grant.find("target");
      const std::string& id = target == nullptr ? found->first : target->text;
      if (const Value* variable = found->second.config.find("environment"))
        json_["secret"].push_back(fmt::format("id={},type=env,env={}", id, variable->text));
      else if (const Value* file = found->second.config.find("file"))
        json_["secret"].push_back(fmt::format("id={},type=file,src={}", id, file->text));
    }
    return {};
  }

  Result<void> add_inputs() {
    CHECK(copy_list("cache_from", "cache-from"));
    CHECK(copy_list("cache_to", "cache-to"));
    CHECK(add_secrets());
    Strings agents = options_.ssh;
    if (const Value* ssh = build().find("ssh")) {
      for (const auto& [id, file] : ssh->members) agents.push_back(id + "=" + file.text);
      for (const Value& one : ssh->items) agents.push_back(one.text);
    }
    if (!agents.empty()) json_["ssh"] = agents;
    TRY(bool pull, bool_of(build(), "pull", path()));
    if (pull || options_.pull) json_["pull"] = true;
    TRY(bool no_cache, bool_of(build(), "no_cache", path()));
    if (no_cache || options_.no_cache) json_["no-cache"] = true;
    return {};
  }

  Result<void> add_limits() {
    CHECK(copy_text("network", "network"));
    if (const Value* size = build().find("shm_size")) {
      TRY(const int64_t bytes, as_bytes(*size, path() + ".shm_size"));
      json_["shm-size"] = std::to_string(bytes);
    }
    TRY(Strings limits, ulimit_words(build(), path()));
    if (!limits.empty()) json_["ulimits"] = limits;
    CHECK(copy_list("entitlements", "entitlements"));
    TRY(const bool privileged, bool_of(build(), "privileged", path()));
    if (privileged) json_["entitlements"].push_back("security.insecure");
    TRY(Strings hosts, texts_of(build(), "extra_hosts", path()));
    for (const std::string& host : hosts) {
      const size_t end = host.find('=');
      if (end != std::string::npos) json_["extra-hosts"][host.substr(0, end)] = host.substr(end + 1);
    }
    return {};
  }

  Result<void> add_attestations() {
    for (std::string_view kind : {"provenance", "sbom"}) {
      TRY(const std::string wanted, text_of(build(), kind, path()));
      if (wanted.empty() || wanted == "false") continue;
      json_["attest"].push_back(wanted == "true" ? fmt::format("type={}", kind)
                                                 : fmt::format("type={},{}", kind, wanted));
    }
    return {};
  }

  Result<void> add_output() {
    TRY(const Strings platforms, texts_of(build(), "platforms", path()));
    if (!platforms.empty()) json_["platforms"] = platforms;
    CHECK(add_attestations());
    const bool push = options_.push && service_.config.find("image") != nullptr;
    if (options_.check)
      json_["call"] = "lint";
    else if (platforms.size() > 1)
      json_["output"] = {fmt::format("type=image,push={}", push)};
    else
      json_["output"] = {push ? "type=registry" : "type=docker"};
    return {};
  }

  const Project& project_;
  const Service& service_;
  const BuildOptions& options_;
  const std::map<std::string, std::string>& targets_;
  Json json_ = Json::object();
};

}  // namespace

Result<std::vector<std::string>> ulimit_words(const Value& build, const std::string& path) {
  Strings words;
  const Value* limits = build.find("ulimits");
  for (const auto& [name, limit] : limits == nullptr ? Value::Map() : limits->members) {
    if (limit.is_scalar()) {
      words.push_back(fmt::format("{}={}", name, limit.text));
      continue;
    }
    TRY(auto soft, int_of(limit, "soft", path + ".ulimits"));
    TRY(auto hard, int_of(limit, "hard", path + ".ulimits"));
    words.push_back(fmt::format("{}={}:{}", name, soft.value_or(0), hard.value_or(0)));
  }
  return words;
}

Result<Json> bake_file(const Project& project, const std::vector<std::string>& names,
                       const BuildOptions& options) {
  const auto targets = targets_of(project);
  Json file{{"group", {{"default", {{"targets", Json::array()}}}}}, {"target", Json::object()}};
  for (const auto& [name, service] : project.services) {
    if (service.config.find("build") == nullptr) continue;
    TRY(file["target"][targets.at(name)], Target(project, service, options, targets).json());
  }
  for (const std::string& name : names) {
    if (project.services.at(name).config.find("build") != nullptr)
      file["group"]["default"]["targets"].push_back(targets.at(name));
  }
  return file;
}

}  // namespace berth::cli::compose
