// The instructions that change an image's configuration.
#include "build/frontend/stage_state.h"

#include <algorithm>
#include <array>

#include "base/format.h"
#include "build/frontend/history_text.h"
#include "spec/dockerignore.h"
#include "spec/go_quote.h"

namespace berth::build {
namespace {

std::string_view variable_name(std::string_view assignment) {
  return assignment.substr(0, assignment.find('='));
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}

Result<int> parse_port(std::string_view text) {
  int port = 0;
  const bool digits = !text.empty() && text.size() <= 5 &&
                      std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits) return Error(Kind::InvalidArgument, "invalid containerPort");
  for (const char c : text) port = port * 10 + (c - '0');
  if (port > 65535) return Error(Kind::InvalidArgument, "invalid containerPort");
  return port;
}

}  // namespace

bool is_proxy_argument(std::string_view name) {
  constexpr std::array names = {"http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"};
  const std::string lowered = lower(name);
  const bool one_case =
      lowered == name || std::none_of(name.begin(), name.end(), [](char c) { return c >= 'a' && c <= 'z'; });
  return one_case && std::find(names.begin(), names.end(), lowered) != names.end();
}

Result<std::vector<std::string>> parse_exposed_ports(std::string_view text) {
  const size_t slash = text.find('/');
  const std::string_view range = text.substr(0, slash);
  const std::string protocol =
      slash == std::string_view::npos || slash + 1 == text.size() ? "tcp" : lower(text.substr(slash + 1));
  if (range.empty())
    return failure(Kind::InvalidArgument, "invalid port: {}: no port specified", spec::go_quote(text));
  if (protocol != "tcp" && protocol != "udp" && protocol != "sctp") {
    return failure(Kind::InvalidArgument, "invalid port: {}: invalid proto: {}", spec::go_quote(text),
                   text.substr(slash + 1));
  }
  // "8080:80" is docker run's form; Dockerfiles that have it mean the container's port.
  const size_t colon = range.rfind(':');
  const std::string_view ports = colon == std::string_view::npos ? range : range.substr(colon + 1);
  const size_t dash = ports.find('-');
  const auto first = parse_port(ports.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : parse_port(ports.substr(dash + 1));
  if (!first || !last || *last < *first)
    return failure(Kind::InvalidArgument, "invalid containerPort: {}", range);
  std::vector<std::string> out;
  for (int port = *first; port <= *last; ++port) out.push_back(fmt::format("{}/{}", port, protocol));
  return out;
}

std::optional<std::string> StageState::environment(std::string_view name) const {
  for (const auto& assignment : config.config.env) {
    if (variable_name(assignment) == name)
      return assignment.substr(std::min(name.size() + 1, assignment.size()));
  }
  return std::nullopt;
}

std::optional<std::string> StageState::lookup(std::string_view name) const {
  if (auto value = environment(name)) return value;
  const auto found =
      std::find_if(arguments.begin(), arguments.end(), [&](const Argument& a) { return a.name == name; });
  return found == arguments.end() ? std::nullopt : found->value;
}

void StageState::set_environment(const std::string& name, const std::string& value) {
  for (auto& assignment : config.config.env) {
    if (variable_name(assignment) == name) {
      assignment = name + "=" + value;
      return;
    }
  }
  config.config.env.push_back(name + "=" + value);
}

void StageState::declare(const std::string& name, std::optional<std::string> value) {
  for (auto& argument : arguments) {
    if (argument.name != name) continue;
    if (value) argument.value = std::move(value);
    return;
  }
  arguments.push_back({name, std::move(value)});
}

VertexId PlanContext::context_vertex() {
  if (!context) context = graph.add({.op = ContextOp{}});
  return *context;
}

std::optional<std::string> PlanContext::global(std::string_view name) const {
  for (const auto& argument : global_arguments) {
    if (argument.name == name) return argument.value;
  }
  return std::nullopt;
}

Result<std::optional<VertexId>> StageBuilder::apply(const spec::Instruction& instruction) {
  return std::visit([&](const auto& body) { return apply(body); }, instruction.body);
}

Result<std::string> StageBuilder::expand(std::string_view word) const {
  const spec::VariableLookup lookup = [this](std::string_view name) { return state_.lookup(name); };
  return spec::expand_word(word, lookup, {.escape = context_.escape});
}

std::vector<std::string> StageBuilder::with_shell(const spec::CommandLine& command) const {
  if (command.form == spec::CommandLine::Form::Exec) return command.args;
  std::vector<std::string> args = state_.config.config.shell;
  if (args.empty()) args = {"/bin/sh", "-c"};
  args.push_back(command.args.empty() ? "" : command.args[0]);
  return args;
}

void StageBuilder::remember(std::string instruction, std::optional<VertexId> vertex) {
  const Wording wording = is_classic() ? Wording::Classic : Wording::BuildKit;
  if (is_classic()) {
    const bool makes_directory = instruction.starts_with("WORKDIR ");
    instruction = classic_text(state_.config.config.shell, instruction,
                               makes_directory ? NopSpace::One : NopSpace::Two);
  }
  state_.history.push_back({std::move(instruction), vertex, step_, wording});
}

VertexId StageBuilder::add_layer(Op op, std::vector<VertexId> inputs) {
  state_.rootfs = context_.graph.add({.op = std::move(op),
                                      .base = state_.rootfs,
                                      .inputs = std::move(inputs),
                                      .step = step_,
                                      .caching = context_.options.caching});
  return state_.rootfs;
}

/// Relative to the working directory; cleaned, never above "/".
std::string StageBuilder::absolute(std::string_view path) const {
  if (path.starts_with('/')) return spec::clean_path(path);
  return spec::clean_path("/" + state_.config.config.working_dir + "/" + std::string(path));
}

Result<std::optional<VertexId>> StageBuilder::apply(const spec::FromInstruction&) {
  return Error(Kind::Internal, "FROM begins a stage");
}

Result<std::optional<VertexId>> StageBuilder::apply(const spec::ArgInstruction& arg) {
  std::string text = "ARG";
  for (const auto& [name, fallback] : arg.arguments) {
    const auto given = context_.options.build_args.find(name);
    const bool is_given = given != context_.options.build_args.end() && given->second;
    std::optional<std::string> value;
    if (is_given) {
      value = given->second;
    } else if (fallback) {
      TRY(value, expand(*fallback));
    } else {
      value = context_.global(name);
    }
    if (given != context_.options.build_args.end()) context_.consumed_arguments.insert(name);
    // What a build was given may be nobody else's business: the classic builder tells the default alone.
    std::optional<std::string> told = value;
    if (is_classic() && !fallback) told.reset();
    if (is_classic() && fallback) {
      TRY(told, expand(*fallback));
    }
    text += " " + name + (told ? "=" + *told : "");
    state_.declare(name, std::move(value));
  }
  remember(std::move(text));
  return std::nullopt;
}

Result<std::optional<VertexId>> StageBuilder::apply(const spec::EnvInstruction& env) {
  std::vector<std::pair<std::string, std::string>> expanded;
  std::string text = "ENV";
  for (const auto& [key, value, legacy] : env.variables) {
    TRY(auto name, expand(key));
    TRY(auto content, expand(value));
    if (name.empty() || name.find('=') != std::string::npos)
      return Error(Kind::InvalidArgument, "ENV names can not be blank");
    text += " " + name + "=" + content;
    expanded.emplace_back(std::move(name), std::move(content));
  }
  // All values were expanded with what was set before the instruction.
  for (const auto& [name, content] : expanded) state_.set_environment(name, content);
  remember(std::move(text));
  return std::nullopt;
}

Result<std::optional<VertexId>> StageBuilder::apply(const spec::LabelInstruction& label) {
  std::string text = "LABEL";
  for (const auto& [key, value, legacy] : label.labels) {
    TRY(auto name, expand(key));
    TRY(auto content, expand(value));
    if (name.empty()) return Error(Kind::InvalidArgument, "LABEL names can not be blank");
    text += " " + name + "=" + content;
    state_.config.config.labels[std::move(name)] = std::move(content);
  }
  remember(std::move(text));
  return std::nullopt;
}

Result<std::optional<VertexId>> StageBuilder::apply(const spec::MaintainerInstruction& maintainer) {
  state_.config.author = maintainer.name;
  remember("MAINTAINER " + maintainer.name);
  return std::nullopt;
}

Result<std::optional<VertexId>> StageBuilder::apply(const spec::WorkdirInstruction& workdir) {
  TRY(auto path, expand(workdir.path));
  if (path.empty()) return Error(Kind::InvalidArgument, "WORKDIR requires exactly one argument");
  const std::string directory = absolute(path);
  state_.config.config.working_dir = directory;
  if (directory == "/") {
    remember("WORKDIR /");
    return std::nullopt;
  }
  const VertexId vertex = add_layer(MakeDirectoryOp{directory, parse_owner(state_.config.config.user)});
  remember("WORKDIR " + directory, vertex);
  return vertex;
}

Result<std::optional<VertexId>> StageBuilder::apply(const spec::UserInstruction& user) {
  TRY(state_.config.config.user, expand(user.user));
  remember("USER " + state_.config.config.user);
  return std::nullopt;
}

Result<std::optional<VertexId>> StageBuilder::apply(const spec::ExposeInstruction& expose) {
  std::vector<std::string> all;
  std::string words;
  const spec::VariableLookup lookup = [this](std::string_view name) { return state_.lookup(name); };
  for (const auto& port : expose.ports) {
    TRY(auto expansion, spec::expand_words(port, lookup, {.escape = context_.escape}));
    for (const auto& word : expansion.words) {
      words += (words.empty() ? "" : " ") + word;
      TRY(auto ports, parse_exposed_ports(word));
      all.insert(all.end(), ports.begin(), ports.end());
    }
  }
  state_.config.config.exposed_ports.insert(all.begin(), all.end());
  remember("EXPOSE " + (is_classic() ? words : spec::go_list(all)));
  return std::nullopt;
}

Result<std::optional<VertexId>> StageBuilder::apply(const spec::VolumeInstruction& volume) {
  std::vector<std::string> paths;
  for (const auto& path : volume.paths) {
    TRY(auto expanded, expand(path));
    if (expanded.empty()) return Error(Kind::InvalidArgument, "VOLUME specified can not be an empty string");
    paths.push_back(std::move(expanded));
  }
  state_.config.config.volumes.insert(paths.begin(), paths.end());
  if (!context_.options.step_images) {
    remember("VOLUME " + spec::go_list(paths));
    return std::nullopt;
  }
  // With docker's classic builder the steps that follow find the directories.
  std::optional<VertexId> last;
  for (const auto& path : paths) {
    std::optional<VertexId> vertex;
    const std::string directory = absolute(path);
    if (directory != "/") vertex = last = add_layer(MakeDirectoryOp{directory});
    remember("VOLUME " + spec::go_list(std::vector<std::string>{path}), vertex);
  }
  return last;
}

Result<std::optional<VertexId>> StageBuilder::apply(const spec::CmdInstruction& cmd) {
  state_.config.config.cmd = with_shell(cmd.command);
  state_.cmd_is_set = true;
  remember("CMD " + spec::go_quote(state_.config.config.cmd));
  return std::nullopt;
}

Result<std::optional<VertexId>> StageBuilder::apply(const spec::EntrypointInstruction& entrypoint) {
  state_.config.config.entrypoint = with_shell(entrypoint.command);
  if (!state_.cmd_is_set) state_.config.config.cmd.clear();
  remember("ENTRYPOINT " + spec::go_quote(state_.config.config.entrypoint));
  return std::nullopt;
}

Result<std::optional<VertexId>> StageBuilder::apply(const spec::ShellInstruction& shell) {
  state_.config.config.shell = shell.shell;
  remember("SHELL " + spec::go_list(shell.shell));
  return std::nullopt;
}

Result<std::optional<VertexId>> StageBuilder::apply(const spec::StopSignalInstruction& signal) {
  TRY(auto name, expand(signal.signal));
  if (!spec::is_valid_signal(name)) return failure(Kind::InvalidArgument, "invalid signal: {}", name);
  state_.config.config.stop_signal = name;
  remember("STOPSIGNAL " + name);
  return std::nullopt;
}

Result<std::optional<VertexId>> StageBuilder::apply(const spec::HealthcheckInstruction& health) {
  state_.config.config.healthcheck = health.check;
  remember(is_classic() ? classic_healthcheck_text(health.check) : healthcheck_text(health.check));
  return std::nullopt;
}

Result<std::optional<VertexId>> StageBuilder::apply(const spec::OnbuildInstruction& onbuild) {
  state_.config.config.on_build.push_back(onbuild.trigger);
  remember("ONBUILD " + onbuild.trigger);
  return std::nullopt;
}

}  // namespace berth::build
