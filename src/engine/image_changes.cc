// Dockerfile instructions on a configuration.
#include "engine/image_changes.h"

#include <algorithm>

#include "base/format.h"
#include "engine/paths.h"
#include "spec/container.h"
#include "spec/dockerfile.h"
#include "spec/shell_words.h"

namespace berth::engine {
namespace {

/// One visitor per instruction; what it does not know cannot be a change.
struct Applier {
  spec::ExecutionConfig& config;
  std::string keyword;
  bool& cmd_is_set;  ///< by a change before

  Result<void> operator()(const spec::CmdInstruction& cmd) {
    config.cmd = command(cmd.command);
    cmd_is_set = true;
    return {};
  }
  Result<void> operator()(const spec::EntrypointInstruction& entrypoint) {
    config.entrypoint = command(entrypoint.command);
    if (!cmd_is_set) config.cmd.clear();
    return {};
  }
  Result<void> operator()(const spec::EnvInstruction& env) {
    for (const spec::KeyValue& variable : env.variables) {
      TRY(std::string name, expand(variable.key));
      TRY(std::string value, expand(variable.value));
      auto same = [&](const std::string& entry) { return entry.starts_with(name + "="); };
      const auto found = std::find_if(config.env.begin(), config.env.end(), same);
      if (found != config.env.end())
        *found = name + "=" + value;
      else
        config.env.push_back(name + "=" + value);
    }
    return {};
  }
  Result<void> operator()(const spec::ExposeInstruction& expose) {
    for (const std::string& text : expose.ports) {
      TRY(std::string expanded, expand(text));
      TRY(auto ports, spec::expand_container_ports(expanded));
      for (const spec::ContainerPort& port : ports) config.exposed_ports.insert(port.str());
    }
    return {};
  }
  Result<void> operator()(const spec::LabelInstruction& label) {
    for (const spec::KeyValue& pair : label.labels) {
      TRY(std::string name, expand(pair.key));
      TRY(config.labels[name], expand(pair.value));
    }
    return {};
  }
  Result<void> operator()(const spec::OnbuildInstruction& onbuild) {
    config.on_build.push_back(onbuild.trigger);
    return {};
  }
  Result<void> operator()(const spec::StopSignalInstruction& stop) {
    TRY(config.stop_signal, expand(stop.signal));
    return {};
  }
  Result<void> operator()(const spec::UserInstruction& user) {
    TRY(config.user, expand(user.user));
    return {};
  }
  Result<void> operator()(const spec::VolumeInstruction& volume) {
    for (const std::string& path : volume.paths) {
      TRY(std::string expanded, expand(path));
      config.volumes.insert(std::move(expanded));
    }
    return {};
  }
  Result<void> operator()(const spec::WorkdirInstruction& workdir) {
    TRY(std::string path, expand(workdir.path));
    bool absolute = is_absolute(path);
    config.working_dir = clean_path(absolute ? path : config.working_dir + "/" + path);
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

  /// Variables in a change are those of the image that is changed.
  Result<std::string> expand(const std::string& text) const {
    return spec::expand_word(text, [this](std::string_view name) -> std::optional<std::string> {
      for (const std::string& entry : config.env) {
        if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=')
          return entry.substr(name.size() + 1);
      }
      return std::nullopt;
    });
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
  // As docker reads them: together they are what follows FROM, so that one may be several lines.
  std::string text = "FROM scratch\n";
  for (const std::string& change : changes) text += change + "\n";
  auto dockerfile = spec::parse_dockerfile(text);
  if (!dockerfile) return Error(Kind::InvalidArgument, dockerfile.error().message);
  if (dockerfile->stages.size() != 1)
    return Error(Kind::InvalidArgument, "FROM is not a valid change command");
  bool cmd_is_set = false;
  for (const spec::Instruction& instruction : dockerfile->stages[0].instructions) {
    Applier applier{config, instruction.keyword, cmd_is_set};
    CHECK(std::visit(applier, instruction.body));
  }
  return {};
}

}  // namespace berth::engine
