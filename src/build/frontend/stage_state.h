// StageState: what a stage knows while its instructions are applied one after the other, and StageBuilder,
// which applies them. Internal to the front end.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "build/frontend/plan.h"
#include "build/graph.h"
#include "spec/dockerfile.h"
#include "spec/image.h"
#include "spec/shell_words.h"

namespace berth::build {

/// A name with a value or, for an ARG that got none, without.
struct Argument {
  std::string name;
  std::optional<std::string> value;
};

struct StageState {
  VertexId rootfs = 0;
  spec::ImageConfig config;
  std::vector<PlannedHistory> history;
  std::vector<Argument> arguments;  ///< ARGs in scope, in order of declaration
  bool cmd_is_set = false;          ///< by this stage

  /// ENV comes before ARG.
  std::optional<std::string> lookup(std::string_view name) const;
  std::optional<std::string> environment(std::string_view name) const;
  void set_environment(const std::string& name, const std::string& value);
  void declare(const std::string& name, std::optional<std::string> value);
};

/// What stages share while a plan is made.
struct PlanContext {
  const PlanOptions& options;
  char escape = '\\';
  std::vector<Argument> global_arguments = {};  ///< predefined ones and ARGs before the first FROM
  Graph graph = {};
  std::vector<spec::DockerfileWarning> warnings = {};
  std::set<std::string> consumed_arguments = {};
  /// The root filesystem of a stage (by name or index) or image.
  std::function<Result<VertexId>(const std::string& from)> source = {};
  std::optional<VertexId> context = {};

  VertexId context_vertex();
  std::optional<std::string> global(std::string_view name) const;
};

class StageBuilder {
 public:
  StageBuilder(PlanContext& context, StageState& state, uint32_t step)
      : context_(context), state_(state), step_(step) {}

  /// Applies one instruction; the vertex that it adds, if any.
  Result<std::optional<VertexId>> apply(const spec::Instruction& instruction);

 private:
  using Applied = Result<std::optional<VertexId>>;
  Applied apply(const spec::FromInstruction&);
  Applied apply(const spec::ArgInstruction& arg);
  Applied apply(const spec::RunInstruction& run);
  Applied apply(const spec::CopyInstruction& copy);
  Applied apply(const spec::EnvInstruction& env);
  Applied apply(const spec::LabelInstruction& label);
  Applied apply(const spec::MaintainerInstruction& maintainer);
  Applied apply(const spec::WorkdirInstruction& workdir);
  Applied apply(const spec::UserInstruction& user);
  Applied apply(const spec::ExposeInstruction& expose);
  Applied apply(const spec::VolumeInstruction& volume);
  Applied apply(const spec::CmdInstruction& cmd);
  Applied apply(const spec::EntrypointInstruction& entrypoint);
  Applied apply(const spec::ShellInstruction& shell);
  Applied apply(const spec::StopSignalInstruction& signal);
  Applied apply(const spec::HealthcheckInstruction& health);
  Applied apply(const spec::OnbuildInstruction& onbuild);

  Result<std::string> expand(std::string_view word) const;
  std::vector<std::string> with_shell(const spec::CommandLine& command) const;
  bool is_classic() const { return context_.options.step_images; }
  void remember(std::string instruction, std::optional<VertexId> vertex = {});
  void remember_copy(const spec::CopyInstruction& copy, std::string text, const std::string& chown,
                     const std::string& destination, VertexId vertex);
  VertexId add_layer(Op op, std::vector<VertexId> inputs = {});
  std::string absolute(std::string_view path) const;

  // COPY and ADD (stage_files.cc)
  struct CopyInputs;
  Result<void> add_local_source(const spec::CopyInstruction& copy, std::string path, CopyInputs& inputs);
  Result<void> add_url_source(const spec::CopyInstruction& copy, const std::string& url, CopyInputs& inputs);
  Result<void> add_git_source(const spec::CopyInstruction& copy, spec::GitPlace place, CopyInputs& inputs);
  Result<void> add_document(const spec::Heredoc& document, CopyInputs& inputs);

  // RUN (stage_run.cc)
  std::vector<std::string> run_arguments(const spec::RunInstruction& run,
                                         std::optional<DocumentOp>& script) const;
  void set_run_environment(RunOp& op) const;
  Result<void> add_run_mounts(const spec::RunInstruction& run, RunOp& op, std::vector<VertexId>& inputs);

  PlanContext& context_;
  StageState& state_;
  uint32_t step_;
};

/// "8080", "80-82/udp": "port/protocol" of each. Malformed: InvalidArgument.
Result<std::vector<std::string>> parse_exposed_ports(std::string_view text);
/// HTTP_PROXY and its kin, in either case.
bool is_proxy_argument(std::string_view name);

}  // namespace berth::build
