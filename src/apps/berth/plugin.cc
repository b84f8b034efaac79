// Running docker-NAME programs.
#include "apps/berth/plugin.h"

#include <errno.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

namespace berth::cli {
namespace {

bool is_plugin_name(std::string_view name) {
  if (name.empty()) return false;
  for (char c : name) {
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) return false;
  }
  return true;
}

std::string find_plugin(Context& context, std::string_view name) {
  const Configuration& configuration = context.configuration();
  std::vector<std::string> folders{configuration.folder + "/cli-plugins"};
  folders.insert(folders.end(), configuration.plugin_folders.begin(), configuration.plugin_folders.end());
  for (const char* folder : {"/usr/local/lib/docker/cli-plugins", "/usr/local/libexec/docker/cli-plugins",
                             "/usr/lib/docker/cli-plugins", "/usr/libexec/docker/cli-plugins"}) {
    folders.emplace_back(folder);
  }
  for (const std::string& folder : folders) {
    std::string path = fmt::format("{}/docker-{}", folder, name);
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return {};
}

}  // namespace

std::optional<Failure> run_plugin(Context& context, std::span<const char* const> words) {
  std::string_view name = words[0];
  if (!is_plugin_name(name)) return std::nullopt;
  std::string path = find_plugin(context, name);
  if (path.empty()) return std::nullopt;
  if (context.endpoint_error()) return Failure::client(context.endpoint_error()->message());
  // The plugin connects by itself: the engine must be there before it starts.
  if (auto connection = context.engine().open(); !connection) return connection.error();
  ::setenv("DOCKER_HOST", context.endpoint().str().c_str(), 1);
  ::setenv("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", "berth", 1);
  std::vector<char*> arguments{path.data()};
  for (const char* word : words) arguments.push_back(const_cast<char*>(word));
  arguments.push_back(nullptr);
  ::execv(path.c_str(), arguments.data());
  return refuse("cannot run plugin {}: {}", path, Error::from_errno("exec", path, errno).message());
}

}  // namespace berth::cli
