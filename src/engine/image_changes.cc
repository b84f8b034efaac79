// Dockerfile instructions on a configuration.
#include "engine/image_changes.h"

#include <algorithm>

#include "base/format.h"
#include "engine/paths.h"
#include "spec/container.h"
#include "spec/dockerfile.h"

namespace berth::engine {
namespace {

/// One visitor per instruction; what it does not know cannot be a change.
struct Applier {
  spec::ExecutionConfig& config;
  std::string keyword;

  Result<void> operator()(const spec::CmdInstruction& cmd) {
    config.cmd = command(cmd.command);
    return {};
  }
  Result<void> operator()(const spec::EntrypointInstruction& entrypoint) {
    config.entrypoint = command(entrypoint.command);
    config.cmd.clear();
    return {};
  }
  Result<void> operator()(const spec::EnvInstruction& env) {
    for (const spec::KeyValue& variable : env.variables) {
      auto same = [&](const std::string& entry) { return entry.starts_with(variable.key + "="); };
      std::erase_if(config.env, same);
      config.env.push_back(variable.key + "=" + variable.value);
    }
    return {};
  }
  Result<void> operator()(const spec::ExposeInstruction& expose) {
    for (const std::string& text : expose.ports) {
      TRY(auto ports, spec::expand_container_ports(text));
      for (const spec::ContainerPort& port : ports) config.exposed_ports.insert(port.str());
    }
    return {};
  }
  Result<void> operator()(const spec::LabelInstruction& label) {
    for (const spec::KeyValue& pair : label.labels) config.labels[pair.key] = pair.value;
    return {};
  }
  Result<void> operator()(const spec::OnbuildInstruction& onbuild) {
    config.on_build.push_back(onbuild.trigger);
    return {};
  }
  Result<void> operator()(const spec::StopSignalInstruction& stop) {
    config.stop_signal = stop.signal;
    return {};
  }
  Result<void> operator()(const spec::UserInstruction& user) {
    config.user = user.user;
    return {};
  }
  Result<void> operator()(const spec::VolumeInstruction& volume) {
    config.volumes.insert(volume.paths.begin(), volume.paths.end());
    return {};
  }
  Result<void> operator()(const spec::WorkdirInstruction& workdir) {
    bool absolute = is_absolute(workdir.path);
    config.working_dir = clean_path(absolute ? workdir.path : config.working_dir + "/" + workdir.path);
    if (!is_absolute(config.working_dir)) config.working_dir = "/" + config.working_dir;
    return {};
  }
  Result<void> operator()(const spec::HealthcheckInstruction& health) {
    config.healthcheck = health.check;
    return {};
  }
  Result<void> operator()(const spec::ShellInstruction& shell) {
    config.shell = shell.shell;
    return {};
  }
  template <class Other>
  Result<void> operator()(const Other&) {
    return failure(Kind::InvalidArgument, "{} is not a valid change command", keyword);
  }

  std::vector<std::string> command(const spec::CommandLine& line) const {
    if (line.form == spec::CommandLine::Form::Exec) return line.args;
    std::vector<std::string> words =
        config.shell.empty() ? std::vector<std::string>{"/bin/sh", "-c"} : config.shell;
    words.insert(words.end(), line.args.begin(), line.args.end());
    return words;
  }
};

}  // namespace

Result<void> apply_changes(const std::vector<std::string>& changes, spec::ExecutionConfig& config) {
  for (const std::string& change : changes) {
    TRY(spec::Instruction instruction, spec::parse_instruction(change));
    Applier applier{config, instruction.keyword};
    CHECK(std::visit(applier, instruction.body));
  }
  return {};
}

}  // namespace berth::engine
