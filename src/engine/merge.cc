// Image configuration and defaults beneath what a client asked for.
#include "engine/merge.h"

#include <algorithm>

namespace berth::engine {
namespace {

std::string_view variable_name(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

void merge_environment(spec::StringList& env, const spec::StringList& image) {
  for (const std::string& variable : image) {
    bool given = std::any_of(env.begin(), env.end(), [&](const std::string& own) {
      return variable_name(own) == variable_name(variable);
    });
    if (!given) env.push_back(variable);
  }
}

void merge_command(spec::ContainerConfig& config, const spec::ExecutionConfig& image) {
  bool own_entrypoint = config.entrypoint && !config.entrypoint->empty();
  if (own_entrypoint) return;
  bool own_command = config.cmd && !config.cmd->empty();
  if (!own_command && !image.cmd.empty()) config.cmd = image.cmd;
  if (!config.entrypoint && !image.entrypoint.empty()) config.entrypoint = image.entrypoint;
}

void merge_healthcheck(std::optional<spec::Healthcheck>& own, const std::optional<spec::Healthcheck>& image) {
  if (!image) return;
  if (!own) {
    own = image;
    return;
  }
  if (own->test.empty()) own->test = image->test;
  if (own->interval == 0) own->interval = image->interval;
  if (own->timeout == 0) own->timeout = image->timeout;
  if (own->start_period == 0) own->start_period = image->start_period;
  if (own->start_interval == 0) own->start_interval = image->start_interval;
  if (own->retries == 0) own->retries = image->retries;
}

}  // namespace

Result<void> merge_image(spec::ContainerConfig& config, const spec::ExecutionConfig& image) {
  if (config.user.empty()) config.user = image.user;
  config.exposed_ports.insert(image.exposed_ports.begin(), image.exposed_ports.end());
  merge_environment(config.env, image.env);
  for (const auto& [name, value] : image.labels) config.labels.emplace(name, value);
  merge_command(config, image);
  merge_healthcheck(config.healthcheck, image.healthcheck);
  if (config.working_dir.empty()) config.working_dir = image.working_dir;
  config.volumes.insert(image.volumes.begin(), image.volumes.end());
  if (config.stop_signal.empty()) config.stop_signal = image.stop_signal;
  if (!config.stop_timeout) config.stop_timeout = image.stop_timeout;
  if (config.shell.empty()) config.shell = image.shell;
  // [""] is how clients clear an entrypoint.
  if (config.entrypoint && config.entrypoint->size() == 1 && config.entrypoint->front().empty()) {
    config.entrypoint.reset();
  }
  if (command_line(config).empty()) return Error(Kind::InvalidArgument, "no command specified");
  return {};
}

void fill_defaults(spec::HostConfig& host) {
  spec::ContainerResources& resources = host.resources;
  if (resources.memory > 0 && resources.memory_swap == 0) resources.memory_swap = resources.memory * 2;
  if (resources.memory_swappiness == -1) resources.memory_swappiness.reset();
  if (host.shm_size == 0) host.shm_size = int64_t{64} << 20;
  if (host.ipc_mode.empty()) host.ipc_mode = "private";
  if (host.cgroupns_mode.empty()) host.cgroupns_mode = "private";
  if (host.log_config.type.empty()) host.log_config.type = "json-file";
  if (host.restart_policy.name.empty()) host.restart_policy.name = "no";
  if (host.network_mode.empty() || host.network_mode == "default") host.network_mode = "bridge";
  // docker's name for the runtime that it has by default, which clients compare.
  if (host.runtime.empty()) host.runtime = "runc";
}

std::vector<std::string> command_line(const spec::ContainerConfig& config) {
  std::vector<std::string> words;
  if (config.entrypoint) words = *config.entrypoint;
  if (config.cmd) words.insert(words.end(), config.cmd->begin(), config.cmd->end());
  return words;
}

}  // namespace berth::engine
