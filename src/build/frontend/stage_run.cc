// RUN: the command line, what it sees of environment and arguments, and its mounts.
#include <algorithm>

#include "base/format.h"
#include "build/frontend/history_text.h"
#include "build/frontend/stage_state.h"
#include "spec/dockerfile_mount.h"
#include "spec/dockerignore.h"
#include "spec/go_quote.h"

namespace berth::build {
namespace {

using spec::RunMountType;

std::string other_case(std::string_view name) {
  std::string out(name);
  const bool is_lower = name[0] >= 'a';
  for (char& c : out) {
    if (is_lower && c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
    if (!is_lower && c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}

/// Secrets are found by id, or by the name of their target.
std::string secret_id(const spec::RunMount& mount) {
  if (!mount.source.empty()) return mount.source;
  if (!mount.id.empty()) return mount.id;
  return mount.target.substr(mount.target.rfind('/') + 1);
}

}  // namespace

/// The arguments that are executed; a document that begins with "#!" becomes a script of its own.
std::vector<std::string> StageBuilder::run_arguments(const spec::RunInstruction& run,
                                                     std::optional<DocumentOp>& script) const {
  const auto& documents = run.command.heredocs;
  if (documents.empty()) return with_shell(run.command);
  const std::string& line = run.command.args.at(0);
  // Nothing but one document: its text is the command.
  const std::string_view opened = std::string_view(line).substr(
      line.find_first_not_of(' ') == std::string::npos ? 0 : line.find_first_not_of(' '));
  const bool is_alone = documents.size() == 1 && opened.starts_with("<<") &&
                        opened.find_first_of(" \t;&|>", 2) == std::string_view::npos;
  if (is_alone) {
    const std::string content = documents[0].file_content();
    if (content.starts_with("#!")) {
      script = DocumentOp{documents[0].name, content};
      return {"/dev/pipes/" + documents[0].name};
    }
    return with_shell({.args = {content}});
  }
  std::string text = line;
  for (const auto& document : documents) text += "\n" + document.content + document.name;
  return with_shell({.args = {text}});
}

void StageBuilder::set_run_environment(RunOp& op) const {
  op.env = state_.config.config.env;
  for (const auto& [name, value] : state_.arguments) {
    if (value && !state_.environment(name)) op.env.push_back(name + "=" + *value);
  }
  for (const auto& [name, value] : context_.options.build_args) {
    if (!value || !is_proxy_argument(name) || state_.lookup(name)) continue;
    context_.consumed_arguments.insert(name);
    op.quiet_env.push_back(name + "=" + *value);
    const std::string other = other_case(name);
    if (!state_.lookup(other) && !context_.options.build_args.contains(other))
      op.quiet_env.push_back(other + "=" + *value);
  }
}

Result<void> StageBuilder::add_run_mounts(const spec::RunInstruction& run, RunOp& op,
                                          std::vector<VertexId>& inputs) {
  const spec::VariableLookup lookup = [this](std::string_view name) { return state_.lookup(name); };
  size_t agents = 0;
  for (const auto& text : run.mounts) {
    RunMountOp mount;
    TRY(mount.mount, spec::parse_run_mount(text, lookup, context_.escape));
    auto& parsed = mount.mount;
    const bool is_secret = parsed.type == RunMountType::Secret;
    if (parsed.type == RunMountType::Ssh) {
      if (parsed.id.empty()) parsed.id = "default";
      if (parsed.target.empty()) parsed.target = fmt::format("/run/buildkit/ssh_agent.{}", agents);
      ++agents;
    }
    if (is_secret) {
      parsed.id = secret_id(parsed);
      parsed.source.clear();
      if (parsed.id.empty()) return Error(Kind::InvalidArgument, "one of source, target required");
      if (parsed.target.empty() && !parsed.env) {
        parsed.target = "/run/secrets/" + parsed.id.substr(parsed.id.rfind('/') + 1);
      }
    }
    if (!is_secret || !parsed.target.empty()) {
      mount.target = absolute(parsed.target);
      if (mount.target == "/")
        return failure(Kind::InvalidArgument, "invalid mount target {}", spec::go_quote(parsed.target));
    }
    parsed.source = spec::clean_path("/" + parsed.source);
    if (parsed.type == RunMountType::Cache && parsed.id.empty()) parsed.id = mount.target;
    const bool reads_tree =
        parsed.type == RunMountType::Bind || (parsed.type == RunMountType::Cache && !parsed.from.empty());
    if (reads_tree) {
      VertexId vertex = 0;
      if (parsed.from.empty()) {
        vertex = context_.context_vertex();
      } else {
        TRY(vertex, context_.source(parsed.from));
      }
      inputs.push_back(vertex);
      mount.input = inputs.size() - 1;
    }
    op.mounts.push_back(std::move(mount));
  }
  return {};
}

Result<std::optional<VertexId>> StageBuilder::apply(const spec::RunInstruction& run) {
  if (run.security == "insecure") {
    return Error(Kind::Forbidden,
                 "security.insecure is not allowed: RUN --security=insecure needs an entitlement that this "
                 "builder does not grant");
  }
  if (!run.devices.empty()) return Error(Kind::Unsupported, "RUN --device is not supported");
  RunOp op{.cwd = state_.config.config.working_dir.empty() ? "/" : state_.config.config.working_dir,
           .user = state_.config.config.user,
           .platform = state_.config.platform,
           .network = context_.options.network,
           .extra_hosts = context_.options.extra_hosts};
  op.args = run_arguments(run, op.script);
  // docker's classic builder takes the image's command where the list is empty.
  if (op.args.empty() && context_.options.step_images) op.args = state_.config.config.cmd;
  if (op.args.empty()) return Error(Kind::InvalidArgument, "RUN requires at least one argument");
  if (run.network == "none") op.network = StepNetwork::None;
  if (run.network == "host") op.network = StepNetwork::Host;
  set_run_environment(op);
  std::vector<VertexId> inputs;
  CHECK(add_run_mounts(run, op, inputs));

  std::vector<std::pair<std::string, std::string>> declared;
  for (const auto& [name, value] : state_.arguments) {
    if (is_classic() && (!value || state_.environment(name))) continue;
    declared.emplace_back(name, state_.lookup(name).value_or(""));
  }
  std::string text = is_classic() ? classic_run_text(op.args, declared) : run_text(op.args, declared);
  const VertexId vertex = add_layer(std::move(op), std::move(inputs));
  const Wording wording = is_classic() ? Wording::Classic : Wording::BuildKit;
  state_.history.push_back({std::move(text), vertex, step_, wording});
  return vertex;
}

}  // namespace berth::build
