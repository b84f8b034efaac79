// Stages: their names, which of them the target needs, the images beneath them, and the order of their steps.
#include "build/frontend/plan.h"

#include <algorithm>
#include <array>
#include <functional>

#include "base/format.h"
#include "build/frontend/history_text.h"
#include "build/frontend/stage_state.h"
#include "spec/dockerfile_mount.h"
#include "spec/go_quote.h"
#include "spec/reference.h"
#include "spec/shell_words.h"

namespace berth::build {
namespace {

using spec::DockerfileProblem;
using spec::DockerfileResult;

constexpr std::string_view default_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}

std::optional<size_t> parse_index(std::string_view text) {
  if (text.empty() || text.size() > 5) return std::nullopt;
  size_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<size_t>(c - '0');
  }
  return value;
}

/// A stage with what its FROM means.
struct PlannedStage {
  const spec::Stage* stage = nullptr;
  std::string base;      ///< expanded
  std::string platform;  ///< expanded
  std::optional<size_t> parent = {};
  bool needed = false;
  std::vector<spec::Instruction> triggers = {};  ///< ONBUILD of the base
  std::optional<StageState> state = {};          ///< when built
  uint32_t last_step = 0;                        ///< its number, when built
};

/// The triggers of its base come before a stage's own instructions.
std::array<const std::vector<spec::Instruction>*, 2> instructions_of(const PlannedStage& planned) {
  return {&planned.triggers, &planned.stage->instructions};
}

constexpr size_t most_stages = 500;
/// What the configurations of step images may take together; later steps have none.
constexpr size_t most_step_image_bytes = size_t{64} << 20;

size_t size_of(const StageState& state) {
  size_t size = spec::serialise(state.config).size();
  for (const PlannedHistory& entry : state.history) size += entry.created_by.size() + sizeof entry;
  return size;
}

class Planner {
 public:
  Planner(const spec::Dockerfile& file, const PlanOptions& options, const KnownImages& images)
      : file_(file), options_(options), images_(images), context_{.options = options, .escape = file.escape} {
    context_.source = [this](const std::string& from) { return source_root(from); };
  }

  DockerfileResult<PlanOutcome> run() {
    for (auto stage : {&Planner::set_global_arguments, &Planner::read_stages, &Planner::find_target,
                       &Planner::find_needed}) {
      if (auto failed = (this->*stage)()) return std::unexpected(std::move(*failed));
    }
    if (!missing_.empty()) return PlanOutcome(std::move(missing_));
    number_steps();
    for (current_ = 0; current_ < stages_.size(); ++current_) {
      if (!stages_[current_].needed) continue;
      if (auto failed = build_stage(stages_[current_])) return std::unexpected(std::move(*failed));
    }
    return PlanOutcome(finish());
  }

 private:
  using Failed = std::optional<DockerfileProblem>;

  void declare_global(const std::string& name, std::optional<std::string> value) {
    auto& all = context_.global_arguments;
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const Argument& a) { return a.name == name; });
    if (found == all.end()) {
      all.push_back({name, std::move(value)});
    } else if (value) {
      found->value = std::move(value);
    }
  }

  void set_platform_arguments() {
    const auto set = [&](const std::string& prefix, const spec::Platform& platform) {
      declare_global(prefix + "PLATFORM", platform.str());
      declare_global(prefix + "OS", platform.os);
      declare_global(prefix + "OSVERSION", platform.os_version);
      declare_global(prefix + "ARCH", platform.architecture);
      declare_global(prefix + "VARIANT", platform.variant);
    };
    set("BUILD", spec::Platform::host());
    set("TARGET", options_.platform);
    const std::string last = file_.stages.back().from.name;
    declare_global("TARGETSTAGE",
                   options_.target.empty() ? (last.empty() ? "default" : last) : options_.target);
    for (auto& argument : context_.global_arguments) {
      const auto given = options_.build_args.find(argument.name);
      if (given != options_.build_args.end() && given->second) argument.value = given->second;
    }
  }

  spec::VariableLookup global_lookup() const {
    return [this](std::string_view name) { return context_.global(name); };
  }

  Failed set_global_arguments() {
    set_platform_arguments();
    for (const auto& instruction : file_.global_arguments) {
      for (const auto& [name, fallback] : std::get<spec::ArgInstruction>(instruction.body).arguments) {
        const auto given = options_.build_args.find(name);
        std::optional<std::string> value;
        if (given != options_.build_args.end()) context_.consumed_arguments.insert(name);
        if (given != options_.build_args.end() && given->second) {
          value = given->second;
        } else if (fallback) {
          auto expanded = spec::expand_word(*fallback, global_lookup(), {.escape = file_.escape});
          if (!expanded) return DockerfileProblem{instruction.lines, expanded.error().message()};
          value = std::move(*expanded);
        }
        declare_global(name, std::move(value));
      }
    }
    return {};
  }

  Result<void> read_from(const spec::Stage& stage, PlannedStage& planned) {
    TRY(planned.base, spec::expand_word(stage.from.base, global_lookup(), {.escape = file_.escape}));
    if (planned.base.empty())
      return failure(Kind::InvalidArgument, "base name ({}) should not be blank", stage.from.base);
    if (!stage.from.platform.empty()) {
      TRY(planned.platform,
          spec::expand_word(stage.from.platform, global_lookup(), {.escape = file_.escape}));
      if (planned.platform.empty()) {
        return failure(Kind::InvalidArgument, "empty platform value from expression {}", stage.from.platform);
      }
      auto platform = spec::Platform::parse(planned.platform);
      if (!platform) return std::move(platform).error().in("failed to parse platform", planned.platform);
      planned.platform = platform->str();
    }
    planned.parent = find_stage(planned.base, stages_.size());
    if (planned.parent || planned.base == "scratch") return {};
    auto reference = spec::Reference::parse(planned.base);
    const bool is_id =
        !reference && planned.base.find_first_not_of("0123456789abcdef:sh") == std::string::npos;
    if (!reference && !is_id) {
      return failure(Kind::InvalidArgument, "failed to parse stage name {}: {}", spec::go_quote(planned.base),
                     reference.error().message());
    }
    return {};
  }

  Failed read_stages() {
    if (file_.stages.size() > most_stages) {
      return DockerfileProblem{file_.stages[most_stages].lines,
                               fmt::format("the Dockerfile has more than {} stages", most_stages)};
    }
    for (const auto& stage : file_.stages) {
      PlannedStage planned{.stage = &stage};
      auto read = read_from(stage, planned);
      if (!read) return DockerfileProblem{stage.lines, read.error().message()};
      stages_.push_back(std::move(planned));
    }
    return {};
  }

  /// The last stage of that name among the first `count`.
  std::optional<size_t> find_stage(std::string_view name, size_t count) const {
    const std::string wanted = lower(name);
    for (size_t i = std::min(count, file_.stages.size()); i-- > 0;) {
      if (!file_.stages[i].from.name.empty() && file_.stages[i].from.name == wanted) return i;
    }
    return std::nullopt;
  }

  Failed find_target() {
    target_ = file_.stages.size() - 1;
    if (options_.target.empty()) return {};
    auto found = find_stage(options_.target, file_.stages.size());
    if (!found) found = parse_index(options_.target);
    if (found && *found < file_.stages.size()) {
      target_ = *found;
      return {};
    }
    std::vector<std::string> names;
    for (const auto& stage : file_.stages) names.push_back(stage.from.name);
    const std::string close = spec::closest_word(options_.target, names);
    const std::string hint = close.empty() ? "" : " (did you mean " + close + "?)";
    return DockerfileProblem{
        {}, fmt::format("target stage {} could not be found{}", spec::go_quote(options_.target), hint)};
  }

  /// A name after --from or in a mount's from=: an earlier stage, or none for an image.
  Result<std::optional<size_t>> stage_of(const std::string& from, size_t current) const {
    auto found = find_stage(from, current);
    if (found) return found;
    if (const auto index = parse_index(from)) {
      if (*index == current)
        return failure(Kind::InvalidArgument, "invalid from flag value {}: refers to current build stage",
                       from);
      if (*index > current)
        return failure(Kind::InvalidArgument, "invalid from flag value {}: index out of bounds", from);
      return index;
    }
    if (const auto later = find_stage(from, file_.stages.size())) {
      if (*later == current)
        return failure(Kind::InvalidArgument, "invalid from flag value {}: refers to current build stage",
                       from);
      return failure(Kind::InvalidArgument,
                     "cannot copy from stage {}, it needs to be defined before current stage {}",
                     spec::go_quote(from), spec::go_quote(stage_label(current)));
    }
    return std::optional<size_t>();
  }

  Result<void> need_source(const std::string& from, size_t current, spec::LineRange lines) {
    if (from == "scratch") return {};
    if (from.find('$') != std::string::npos) {
      return Error(Kind::InvalidArgument,
                   "variable expansion is not supported for --from, define a new stage with FROM using ARG "
                   "from global "
                   "scope as a workaround");
    }
    TRY(const auto stage, stage_of(from, current));
    if (!stage) {
      need_image(ImageName{from, options_.platform.str()}, lines, true);
      return {};
    }
    need_stage(*stage);
    return {};
  }

  Result<void> need_instruction_sources(const spec::Instruction& instruction, size_t current) {
    if (const auto* copy = std::get_if<spec::CopyInstruction>(&instruction.body);
        copy && !copy->from.empty()) {
      CHECK(need_source(copy->from, current, instruction.lines));
    }
    const auto* run = std::get_if<spec::RunInstruction>(&instruction.body);
    if (!run) return {};
    // Types and targets may hold variables; "from" may not, and is all that counts here.
    const spec::VariableLookup nothing = [](std::string_view) { return std::nullopt; };
    for (const auto& text : run->mounts) {
      const auto mount = spec::parse_run_mount(text, nothing, file_.escape);
      if (mount && !mount->from.empty()) CHECK(need_source(mount->from, current, instruction.lines));
    }
    return {};
  }

  /// Marks a stage; what it depends on in turn is found by find_needed().
  void need_stage(size_t index) {
    if (stages_[index].needed) return;
    stages_[index].needed = true;
    waiting_.push_back(index);
  }

  Result<void> need_stage_parts(size_t index) {
    PlannedStage& planned = stages_[index];
    if (planned.parent) {
      need_stage(*planned.parent);
      CHECK(take_stage_triggers(planned));
    } else if (planned.base != "scratch") {
      const ImageName name = base_image(planned);
      need_image(name, planned.stage->lines);
      const auto known = images_.find(name);
      if (known != images_.end()) CHECK(take_triggers(known->second.config->config.on_build, planned));
    }
    for (const auto* list : instructions_of(planned)) {
      for (const auto& instruction : *list) {
        auto found = need_instruction_sources(instruction, index);
        if (!found) failed_lines_ = instruction.lines;
        CHECK(std::move(found));
      }
    }
    return {};
  }

  /// FROM an earlier stage runs the ONBUILDs of that stage, not those of its own base.
  Result<void> take_stage_triggers(PlannedStage& planned) {
    std::vector<std::string> triggers;
    for (const auto& instruction : stages_[*planned.parent].stage->instructions) {
      if (const auto* onbuild = std::get_if<spec::OnbuildInstruction>(&instruction.body))
        triggers.push_back(onbuild->trigger);
    }
    return take_triggers(triggers, planned);
  }

  Result<void> take_triggers(const std::vector<std::string>& triggers, PlannedStage& planned) {
    constexpr size_t most_triggers = 1000;
    if (triggers.size() > most_triggers)
      return failure(Kind::InvalidArgument, "the base image has more than {} ONBUILD triggers",
                     most_triggers);
    for (const auto& trigger : triggers) {
      auto instruction = spec::parse_instruction(trigger);
      if (!instruction)
        return std::move(instruction).error().in("ONBUILD trigger of the base image", trigger.substr(0, 200));
      if (std::holds_alternative<spec::OnbuildInstruction>(instruction->body)) {
        return Error(Kind::InvalidArgument, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
      }
      instruction->lines = planned.stage->lines;
      planned.triggers.push_back(std::move(*instruction));
    }
    return {};
  }

  Failed find_needed() {
    // docker's classic builder goes through all stages on the way.
    for (size_t i = 0; options_.step_images && i < target_; ++i) need_stage(i);
    need_stage(target_);
    while (!waiting_.empty()) {
      const size_t index = waiting_.back();
      waiting_.pop_back();
      failed_lines_ = stages_[index].stage->lines;
      auto done = need_stage_parts(index);
      if (!done) return DockerfileProblem{failed_lines_, done.error().message()};
    }
    return {};
  }

  ImageName base_image(const PlannedStage& planned) const {
    return {planned.base, planned.platform.empty() ? options_.platform.str() : planned.platform};
  }

  void need_image(ImageName name, spec::LineRange lines, bool by_from_flag = false) {
    if (images_.contains(name)) return;
    const auto listed =
        std::find_if(missing_.begin(), missing_.end(), [&](const MissingImage& m) { return m.name == name; });
    const MissingImage wanted{std::move(name), lines, by_from_flag};
    if (listed == missing_.end()) {
      missing_.push_back(wanted);
    } else if (lines.first < listed->lines.first) {
      *listed = wanted;  // the first place that names it is told of
    }
  }

  std::string stage_label(size_t index) const {
    const std::string& name = file_.stages[index].from.name;
    return name.empty() ? fmt::format("stage-{}", index) : name;
  }

  PlannedStep& add_step(std::string stage, std::string instruction, spec::LineRange lines) {
    steps_.push_back(
        {static_cast<uint32_t>(steps_.size() + 1), std::move(stage), std::move(instruction), lines});
    return steps_.back();
  }

  void number_steps() {
    for (const auto& instruction : file_.global_arguments)
      add_step("", instruction.source, instruction.lines);
  }

  Result<VertexId> image_root(const ImageName& name) {
    const auto known = images_.find(name);
    if (known == images_.end()) return failure(Kind::Internal, "image {} was not resolved", name.reference);
    const auto existing = image_vertices_.find(name);
    if (existing != image_vertices_.end()) return existing->second;
    const VertexId vertex =
        context_.graph.add({.op = ImageOp{name.reference, known->second.id, known->second.chain_id}});
    image_vertices_.emplace(name, vertex);
    return vertex;
  }

  Result<VertexId> source_root(const std::string& from) {
    if (from == "scratch") return context_.graph.add({.op = ScratchOp{}});
    TRY(const auto stage, stage_of(from, current_));
    if (!stage) return image_root({from, options_.platform.str()});
    return stages_[*stage].state->rootfs;
  }

  Result<StageState> start_stage(const PlannedStage& planned) {
    StageState state;
    if (planned.parent) {
      state = *stages_[*planned.parent].state;
      state.cmd_is_set = false;
      state.config.config.on_build.clear();
      return state;
    }
    if (planned.base == "scratch") {
      state.rootfs = context_.graph.add({.op = ScratchOp{}});
      state.config.platform = options_.platform;
    } else {
      const ImageName name = base_image(planned);
      TRY(state.rootfs, image_root(name));
      state.config = *images_.at(name).config;
      state.config.config.on_build.clear();
      state.config.created.reset();
      state.config.comment.clear();
      state.config.docker_version.clear();
    }
    if (!state.environment("PATH")) state.set_environment("PATH", std::string(default_path));
    return state;
  }

  Failed build_stage(PlannedStage& planned) {
    const size_t index = static_cast<size_t>(&planned - stages_.data());
    const std::string label = stage_label(index);
    auto state = start_stage(planned);
    if (!state) return DockerfileProblem{planned.stage->lines, state.error().message()};
    planned.state = std::move(*state);
    PlannedStep& from = add_step(label, planned.stage->source, planned.stage->lines);
    from.vertex = planned.state->rootfs;
    if (planned.parent) {
      planned.last_step = stages_[*planned.parent].last_step;
      if (planned.last_step != 0)
        from.image = std::make_shared<StepImage>(StepImage{.same_as = planned.last_step});
    } else if (planned.base != "scratch" && options_.step_images) {
      from.image = std::make_shared<StepImage>(StepImage{.existing = images_.at(base_image(planned)).id});
      planned.last_step = from.number;
    }
    for (const auto* list : instructions_of(planned)) {
      for (const auto& instruction : *list) {
        PlannedStep& step = add_step(label, instruction.source, instruction.lines);
        step.onbuild = list == &planned.triggers;
        auto vertex = StageBuilder(context_, *planned.state, step.number).apply(instruction);
        if (!vertex) return DockerfileProblem{instruction.lines, vertex.error().message()};
        step.vertex = *vertex;
        remember_image(planned, step);
      }
    }
    return {};
  }

  void remember_image(PlannedStage& planned, PlannedStep& step) {
    if (!options_.step_images || step_image_bytes_ > most_step_image_bytes) return;
    const StageState& state = *planned.state;
    step_image_bytes_ += size_of(state);
    step.image = std::make_shared<StepImage>(StepImage{.config = state.config,
                                                       .history = state.history,
                                                       .rootfs = state.rootfs,
                                                       .previous = planned.last_step});
    planned.last_step = step.number;
  }

  void warn_of_unused_arguments() {
    std::vector<std::string> unused;
    for (const auto& [name, value] : options_.build_args) {
      const bool is_known = context_.consumed_arguments.contains(name) || is_proxy_argument(name) ||
                            name.starts_with("BUILDKIT_") || name == "SOURCE_DATE_EPOCH" ||
                            context_.global(name);
      if (!is_known) unused.push_back(name);
    }
    if (unused.empty()) return;
    context_.warnings.push_back(
        {{}, fmt::format("[Warning] One or more build-args {} were not consumed", spec::go_list(unused))});
  }

  BuildPlan finish() {
    StageState& state = *stages_[target_].state;
    for (const auto& [name, value] : options_.labels) state.config.config.labels[name] = value;
    warn_of_unused_arguments();
    BuildPlan plan{.target = state.rootfs,
                   .config = std::move(state.config),
                   .history = std::move(state.history),
                   .steps = std::move(steps_)};
    plan.graph = std::move(context_.graph);
    plan.warnings = file_.warnings;
    plan.warnings.insert(plan.warnings.end(), context_.warnings.begin(), context_.warnings.end());
    return plan;
  }

  const spec::Dockerfile& file_;
  const PlanOptions& options_;
  const KnownImages& images_;
  PlanContext context_;
  std::vector<PlannedStage> stages_;
  size_t target_ = 0;
  size_t current_ = 0;
  std::vector<size_t> waiting_;  ///< needed stages whose own needs are not known yet
  spec::LineRange failed_lines_;
  std::vector<MissingImage> missing_;
  std::map<ImageName, VertexId> image_vertices_;
  std::vector<PlannedStep> steps_;
  size_t step_image_bytes_ = 0;
};

}  // namespace

DockerfileResult<PlanOutcome> plan_build(const spec::Dockerfile& file, const PlanOptions& options,
                                         const KnownImages& images) {
  return Planner(file, options, images).run();
}

}  // namespace berth::build
