// Reading config.json.
#include "apps/berth/configuration.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "apps/berth/archive/file_text.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::cli {
namespace {

constexpr size_t max_size = 4u << 20;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

Result<Configuration> read(const Json& json, std::string folder) {
  Configuration configuration;
  configuration.folder = std::move(folder);
  TRY(configuration.detach_keys, json_string(json, "detachKeys"));
  TRY(auto headers, json_string_map(json, "HttpHeaders"));
  for (auto& [name, value] : headers) configuration.http_headers.emplace_back(name, value);
  TRY(configuration.plugin_folders, json_strings(json, "cliPluginsExtraDirs"));
  constexpr std::string_view suffix = "Format";
  for (const auto& [key, value] : json.items()) {
    if (key.size() > suffix.size() && key.ends_with(suffix) && value.is_string()) {
      configuration.formats[key.substr(0, key.size() - suffix.size())] = value.get<std::string>();
    }
  }
  if (auto proxies = json.find("proxies"); proxies != json.end() && proxies->is_object()) {
    for (const auto& [host, entries] : proxies->items()) {
      for (auto [key, variable] : {std::pair{"httpProxy", "HTTP_PROXY"},
                                   {"httpsProxy", "HTTPS_PROXY"},
                                   {"noProxy", "NO_PROXY"},
                                   {"ftpProxy", "FTP_PROXY"},
                                   {"allProxy", "ALL_PROXY"}}) {
        TRY(std::string value, json_string(entries, key));
        if (!value.empty()) configuration.proxies[host][variable] = value;
      }
    }
  }
  return configuration;
}

}  // namespace

std::string Configuration::format_of(std::string_view command) const {
  auto it = formats.find(command);
  return it == formats.end() ? std::string() : it->second;
}

std::vector<std::string> Configuration::proxy_variables(std::string_view host,
                                                        const std::vector<std::string>& given) const {
  auto entry = proxies.find(host);
  if (entry == proxies.end()) entry = proxies.find("default");
  std::vector<std::string> variables;
  if (entry == proxies.end()) return variables;
  auto is_given = [&](std::string_view name) {
    for (const std::string& variable : given) {
      if (std::string_view(variable).substr(0, variable.find('=')) == name) return true;
    }
    return false;
  };
  for (const auto& [upper, value] : entry->second) {
    std::string lower = upper;
    for (char& c : lower) c = c == '_' ? '_' : static_cast<char>(c - 'A' + 'a');
    for (const std::string& name : {upper, lower}) {
      if (!is_given(name)) variables.push_back(fmt::format("{}={}", name, value));
    }
  }
  return variables;
}

std::string configuration_folder(const std::string& from_flag) {
  if (!from_flag.empty()) return from_flag;
  for (const char* name : {"BERTH_CONFIG", "DOCKER_CONFIG"}) {
    if (std::string folder = environment(name); !folder.empty()) return folder;
  }
  std::string home = environment("HOME");
  if (home.empty()) home = ::geteuid() == 0 ? "/root" : "/";
  std::string own = home + "/.berth";
  return ::access((own + "/config.json").c_str(), F_OK) == 0 ? own : home + "/.docker";
}

Result<Configuration> load_configuration(const std::string& folder_from_flag) {
  std::string folder = configuration_folder(folder_from_flag);
  std::string path = folder + "/config.json";
  auto text = archive::read_text(path, max_size);
  if (!text && text.error().kind() == Kind::NotFound) {
    Configuration empty;
    empty.folder = folder;
    return empty;
  }
  if (!text) return text.error();
  auto json = parse_json(*text);
  if (!json || !json->is_object()) {
    return failure(Kind::InvalidArgument, "{}: {}", path,
                   json ? std::string("it must hold a JSON object") : json.error().message());
  }
  return read(*json, folder);
}

}  // namespace berth::cli
