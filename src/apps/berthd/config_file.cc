// Reading daemon.json.
#include "apps/berthd/config_file.h"

#include <string>
#include <vector>

#include "base/format.h"
#include "base/json.h"
#include "engine/validate.h"
#include "spec/url_credentials.h"

namespace berth::berthd {
namespace {

/// The flag that a key sets: lists are plural in the file. Empty: none.
std::string flag_of(std::string_view key) {
  std::string name(key);
  constexpr std::string_view not_in_a_file[] = {"config-file", "help", "version",
                                                "validate",    "host", "label"};
  for (std::string_view refused : not_in_a_file) {
    if (key == refused) return {};
  }
  if (name == "runtimes") return "add-runtime";
  if (is_flag(name)) return name;
  if (name.ends_with("ies")) {
    name.replace(name.size() - 3, 3, "y");
  } else if (name.ends_with("s")) {
    name.pop_back();
  }
  return is_flag(name) ? name : std::string();
}

Result<std::string> scalar_text(std::string_view key, const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return std::string(value.get<bool>() ? "true" : "false");
  if (value.is_number_integer()) return fmt::to_string(value.get<int64_t>());
  return failure(Kind::InvalidArgument, "{}: expected a text, a number, true or false", key);
}

/// {"base": "10.10.0.0/16", "size": 24}
Result<std::string> pool_text(const Json& pool) {
  TRY(std::string base, json_string(pool, "base"));
  TRY(int64_t size, json_int(pool, "size"));
  return fmt::format("base={},size={}", base, size);
}

/// {"Name": "nofile", "Soft": 1, "Hard": 2}
Result<std::string> ulimit_text(std::string_view name, const Json& limit) {
  TRY(std::string own_name, json_string(limit, "Name", std::string(name)));
  TRY(int64_t hard, json_int(limit, "Hard"));
  TRY(int64_t soft, json_int(limit, "Soft", hard));
  return fmt::format("{}={}:{}", own_name, soft, hard);
}

/// {"com.docker.network.driver.mtu": "1400"} of the driver "bridge".
Result<void> add_driver_options(std::string_view driver, const Json& options,
                                std::vector<std::string>& values) {
  for (const auto& [name, value] : options.items()) {
    TRY(std::string text, scalar_text(name, value));
    values.push_back(fmt::format("{}={}={}", driver, name, text));
  }
  return {};
}

/// The values that the flag is given one after the other.
Result<std::vector<std::string>> flag_values(std::string_view key, const Json& value) {
  std::vector<std::string> values;
  // An empty list says "none" where there is a default.
  if (key == "cdi-spec-dirs" && value.is_array() && value.empty()) return std::vector<std::string>{""};
  if (value.is_array()) {
    for (const Json& element : value) {
      TRY(std::string text, element.is_object() ? pool_text(element) : scalar_text(key, element));
      values.push_back(std::move(text));
    }
  } else if (value.is_object()) {
    for (const auto& [name, element] : value.items()) {
      if (element.is_object() && key.starts_with("default-network-opt")) {
        CHECK(add_driver_options(name, element, values));
      } else if (element.is_object() && key == "runtimes") {
        TRY(std::string path, json_string(element, "path"));
        values.push_back(name + "=" + path);
      } else if (element.is_object()) {
        TRY(std::string text, ulimit_text(name, element));
        values.push_back(std::move(text));
      } else {
        TRY(std::string text, scalar_text(key, element));
        values.push_back(name + "=" + text);
      }
    }
  } else {
    TRY(std::string text, scalar_text(key, value));
    values.push_back(std::move(text));
  }
  return values;
}

/// Keys that docker groups below others are flags of their own.
void flatten(Json& document) {
  auto proxies = document.find("proxies");
  if (proxies == document.end() || !proxies->is_object()) return;
  Json group = *proxies;
  document.erase(proxies);
  document.update(group);
}

/// "builder": {"gc": {...}, "entitlements": {...}}: of its collector the sizes count that say how much may
/// stay.
Result<void> take_builder(Json& document, Options& options) {
  auto builder = document.find("builder");
  if (builder == document.end()) return {};
  Json group = *builder;
  document.erase(builder);
  const Json* collector = json_member(group, "gc");
  if (collector == nullptr) return {};
  TRY(bool enabled, json_bool(*collector, "enabled", true));
  for (std::string_view key : {"defaultKeepStorage", "defaultReservedSpace", "defaultMaxUsedSpace"}) {
    TRY(std::string text, json_string(*collector, key));
    if (text.empty()) continue;
    auto bytes = engine::parse_size(text);
    if (!bytes) return std::move(bytes).error().in(fmt::format("builder.gc.{}", key));
    if (enabled) options.build_cache_bytes = static_cast<uint64_t>(*bytes);
  }
  if (json_member(*collector, "policy") != nullptr)
    options.notices.emplace_back(
        "builder.gc.policy is not used: the build cache is bounded by builder.gc.defaultMaxUsedSpace and "
        "--storage-quota");
  return {};
}

}  // namespace

Result<void> apply_config_file(std::string_view text, Options& options) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return {};
  TRY(Json document, parse_json(text));
  if (!document.is_object()) return Error(Kind::InvalidArgument, "expected a JSON object");
  flatten(document);
  if (auto taken = take_builder(document, options); !taken) return taken;
  std::string unknown;
  std::string conflicting;
  for (const auto& [key, value] : document.items()) {
    std::string flag = flag_of(key);
    if (flag.empty()) unknown += (unknown.empty() ? "" : ", ") + key;
    if (auto given = options.given.find(flag); given != options.given.end()) {
      TRY(auto values, flag_values(key, value));
      conflicting += fmt::format("{}{}: (from flag: {}, from file: {})", conflicting.empty() ? "" : ", ", key,
                                 without_credentials(given->second),
                                 without_credentials(fmt::format("{}", fmt::join(values, ","))));
    }
  }
  if (!unknown.empty()) {
    return failure(Kind::InvalidArgument, "the following directives don't match any configuration option: {}",
                   unknown);
  }
  if (!conflicting.empty()) {
    return failure(Kind::InvalidArgument,
                   "the following directives are specified both as a flag and in the configuration file: {}",
                   conflicting);
  }
  for (const auto& [key, value] : document.items()) {
    TRY(auto values, flag_values(key, value));
    options.in_file[key] = fmt::format("{}", fmt::join(values, ","));
    for (const std::string& one : values) {
      if (auto applied = apply_flag(flag_of(key), one, options); !applied)
        return std::move(applied).error().in(key);
    }
  }
  return {};
}

std::string without_credentials(const std::string& value) {
  std::string_view credentials = spec::credentials_in(value);
  if (credentials.empty()) return value;
  std::string text = value;
  return text.replace(static_cast<size_t>(credentials.data() - value.data()), credentials.size(),
                      "xxxxx:xxxxx@");
}

std::string settings_text(const Options& options) {
  Json settings = Json::object();
  for (const auto& [name, value] : options.in_file) settings[name] = without_credentials(value);
  for (const auto& [name, value] : options.given) settings[name] = without_credentials(value);
  return to_json(settings);
}

}  // namespace berth::berthd
