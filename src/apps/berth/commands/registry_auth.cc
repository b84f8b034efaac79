// Stored credentials.
#include "apps/berth/commands/registry_auth.h"

#include <errno.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/berth/archive/file_text.h"
#include "apps/berth/output/stream.h"
#include "base/bytes.h"
#include "base/json.h"
#include "spec/reference.h"
#include "sys/fd.h"

extern char** environ;

namespace berth::cli::commands {
namespace {

constexpr size_t max_config = 4u << 20;
constexpr size_t max_helper_answer = 1u << 20;

std::string config_path(Context& context) {
  return context.configuration().folder + "/config.json";
}

Outcome<Json> read_config(Context& context) {
  auto text = archive::read_text(config_path(context), max_config);
  if (!text && text.error().kind() == Kind::NotFound) return Json::object();
  if (!text) return text.error();
  TRY(Json json, parse_json(*text));
  if (!json.is_object()) return refuse("{} must hold a JSON object", config_path(context));
  return json;
}

Outcome<void> write_config(Context& context, const Json& json) {
  ::mkdir(context.configuration().folder.c_str(), 0700);
  CHECK(archive::write_text(config_path(context), to_pretty_json(json, 2) + "\n", 0600));
  return {};
}

/// The helper for a registry: credHelpers first, then credsStore.
std::string helper_for(const Json& config, const std::string& key) {
  auto helpers = json_string_map(config, "credHelpers").value_or(std::map<std::string, std::string>());
  if (auto it = helpers.find(key); it != helpers.end()) return it->second;
  return json_string(config, "credsStore").value_or("");
}

bool valid_helper(std::string_view name) {
  return !name.empty() &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
             std::string_view::npos;
}

/// Runs `docker-credential-NAME action` with `input`; its answer, or its words when it fails.
Outcome<std::string> run_helper(const std::string& name, const char* action, const std::string& input) {
  if (!valid_helper(name)) return refuse("invalid name of a credential helper: \"{}\"", name);
  std::string program = "docker-credential-" + name;
  TRY(auto to_child, sys::make_pipe());
  TRY(auto from_child, sys::make_pipe());
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, to_child.read.get(), 0);
  ::posix_spawn_file_actions_adddup2(&actions, from_child.write.get(), 1);
  std::string verb = action;
  char* arguments[] = {program.data(), verb.data(), nullptr};
  pid_t child = 0;
  int error = ::posix_spawnp(&child, program.c_str(), &actions, nullptr, arguments, environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return Error::from_errno("start", program, error);
  to_child.read.reset();
  from_child.write.reset();
  output::write_fully(to_child.write.get(), input);
  to_child.write.reset();
  std::string answer;
  char buffer[4096];
  ssize_t got;
  while ((got = ::read(from_child.read.get(), buffer, sizeof buffer)) != 0) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 || answer.size() > max_helper_answer) break;
    answer.append(buffer, static_cast<size_t>(got));
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  while (answer.ends_with('\n')) answer.pop_back();
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return refuse("{} {}: {}", program, action, answer);
  return answer;
}

bool means_absent(const Failure& failure) {
  return failure.message.find("credentials not found") != std::string::npos;
}

Outcome<Credentials> from_entry(const Json& entry, const std::string& key) {
  Credentials credentials;
  credentials.server = key;
  TRY(credentials.identity_token, json_string(entry, "identitytoken"));
  TRY(credentials.user, json_string(entry, "username"));
  TRY(credentials.secret, json_string(entry, "password"));
  TRY(std::string packed, json_string(entry, "auth"));
  if (!packed.empty()) {
    TRY(std::string plain, from_base64(packed));
    size_t colon = plain.find(':');
    if (colon == std::string::npos) return refuse("invalid auth configuration file for {}", key);
    credentials.user = plain.substr(0, colon);
    credentials.secret = plain.substr(colon + 1);
    while (credentials.secret.ends_with('\0')) credentials.secret.pop_back();
  }
  return credentials;
}

/// "https://host/v1/" and "host" are the same registry.
std::string host_of(std::string_view key) {
  for (std::string_view scheme : {"https://", "http://"}) {
    if (key.starts_with(scheme)) key.remove_prefix(scheme.size());
  }
  return std::string(key.substr(0, key.find('/')));
}

Json as_json(const Credentials& credentials) {
  Json json;
  if (!credentials.identity_token.empty()) {
    json["identitytoken"] = credentials.identity_token;
  } else {
    json["username"] = credentials.user;
    json["password"] = credentials.secret;
  }
  json["serveraddress"] = credentials.server;
  return json;
}

std::string url_base64(std::string text) {
  text = to_base64(text);
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return text;
}

}  // namespace

std::string registry_key(const std::string& domain) {
  return domain == "docker.io" || domain == "index.docker.io" ? "https://index.docker.io/v1/" : domain;
}

Outcome<Credentials> find_credentials(Context& context, const std::string& key) {
  TRY(Json config, read_config(context));
  if (std::string helper = helper_for(config, key); !helper.empty()) {
    auto answer = run_helper(helper, "get", key);
    if (!answer && means_absent(answer.error())) return Credentials{};
    if (!answer) return answer.error();
    TRY(Json json, parse_json(*answer));
    Credentials credentials;
    credentials.server = key;
    TRY(credentials.user, json_string(json, "Username"));
    TRY(credentials.secret, json_string(json, "Secret"));
    if (credentials.user == "<token>") credentials.identity_token = std::exchange(credentials.secret, {});
    return credentials;
  }
  auto auths = config.find("auths");
  if (auths == config.end() || !auths->is_object()) return Credentials{};
  for (const auto& [server, entry] : auths->items()) {
    if (server == key) return from_entry(entry, key);
  }
  for (const auto& [server, entry] : auths->items()) {
    if (host_of(server) == host_of(key)) return from_entry(entry, key);
  }
  return Credentials{};
}

std::string configuration_file(Context& context) {
  return config_path(context);
}

Outcome<StoredIn> store_credentials(Context& context, const Credentials& credentials) {
  TRY(Json config, read_config(context));
  bool token = !credentials.identity_token.empty();
  if (std::string helper = helper_for(config, credentials.server); !helper.empty()) {
    Json json{{"ServerURL", credentials.server},
              {"Username", token ? "<token>" : credentials.user},
              {"Secret", token ? credentials.identity_token : credentials.secret}};
    CHECK(run_helper(helper, "store", to_json(json)));
    config["auths"][credentials.server] = Json::object();
    CHECK(write_config(context, config));
    return StoredIn::Helper;
  }
  Json entry = Json::object();
  if (token) entry["identitytoken"] = credentials.identity_token;
  entry["auth"] = to_base64(fmt::format("{}:{}", credentials.user, token ? "" : credentials.secret));
  config["auths"][credentials.server] = entry;
  CHECK(write_config(context, config));
  return StoredIn::PlainFile;
}

Outcome<bool> erase_credentials(Context& context, const std::string& key) {
  TRY(Json config, read_config(context));
  bool found = false;
  if (std::string helper = helper_for(config, key); !helper.empty()) {
    auto answer = run_helper(helper, "erase", key);
    if (!answer && !means_absent(answer.error())) return answer.error();
    found = answer.has_value();
  }
  if (auto auths = config.find("auths"); auths != config.end() && auths->is_object()) {
    if (auths->erase(key) > 0) {
      found = true;
      CHECK(write_config(context, config));
    }
  }
  return found;
}

Outcome<client::Headers> registry_auth_header(Context& context, const std::string& reference) {
  TRY(auto parsed, spec::Reference::parse(reference));
  TRY(Credentials credentials, find_credentials(context, registry_key(parsed.domain())));
  if (credentials.empty()) return client::Headers{};
  return client::Headers{{"X-Registry-Auth", url_base64(to_json(as_json(credentials)))}};
}

Outcome<client::Headers> registry_config_header(Context& context) {
  TRY(Json config, read_config(context));
  auto auths = config.find("auths");
  if (auths == config.end() || !auths->is_object() || auths->empty()) return client::Headers{};
  Json all = Json::object();
  for (const auto& [server, entry] : auths->items()) {
    TRY(Credentials credentials, find_credentials(context, server));
    if (!credentials.empty()) all[server] = as_json(credentials);
  }
  if (all.empty()) return client::Headers{};
  return client::Headers{{"X-Registry-Config", url_base64(to_json(all))}};
}

}  // namespace berth::cli::commands
