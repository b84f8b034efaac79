#include "spec/dockerfile_calls.h"

#include <algorithm>
#include <set>

#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"
#include "spec/dockerfile_check_rules.h"
#include "spec/dockerfile_lexer.h"
#include "spec/dockerfile_mount.h"
#include "spec/go_quote.h"
#include "spec/shell_words.h"

namespace berth::spec {
namespace {

Json location(LineRange lines) {
  Json ranges = Json::array();
  if (lines.first != 0)
    ranges.push_back({{"start", {{"line", lines.first}}}, {"end", {{"line", lines.last}}}});
  return {{"ranges", std::move(ranges)}};
}

using Comments = std::map<uint32_t, std::string>;

/// The comment above a line when it describes `name`: "# NAME what it is".
std::string description(const Comments& comments, LineRange lines, std::string_view name) {
  const auto found = comments.find(lines.first);
  if (found == comments.end()) return {};
  const std::string_view above = found->second;
  const size_t blank = above.find(' ');
  if (blank == above.npos || above.substr(0, blank) != name) return {};
  return std::string(dockerfile::trim(above.substr(blank)));
}

/// Rows of cells, in columns that are `gap` blanks apart.
std::string table(const std::vector<std::vector<std::string>>& rows, size_t gap) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i + 1 < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) text.append(widths[i] - row[i].size() + gap, ' ');
    }
    text += '\n';
  }
  return text;
}

/// Collects what a target takes from outside.
class Outline {
 public:
  Outline(std::string_view text, const Dockerfile& file,
          const std::map<std::string, std::optional<std::string>>& build_args)
      : text_(text), comments_(checks::comments_above(text)), file_(file), build_args_(build_args) {}

  void add_target(size_t target) {
    waiting_.push_back(target);
    while (!waiting_.empty()) {
      const size_t index = waiting_.back();
      waiting_.pop_back();
      if (seen_.insert(index).second) add_stage(index);
    }
  }
  void add_stage(size_t index) {
    const Stage& stage = file_.stages[index];
    need(stage.from.base, index);
    for (const Instruction& instruction : stage.instructions) {
      if (const auto* copy = std::get_if<CopyInstruction>(&instruction.body)) need(copy->from, index);
      if (std::holds_alternative<ArgInstruction>(instruction.body)) add_arguments(instruction);
      if (const auto* run = std::get_if<RunInstruction>(&instruction.body))
        add_mounts(*run, instruction, index);
    }
  }
  void add_globals() {
    for (const Instruction& instruction : file_.global_arguments) add_arguments(instruction);
  }

  CallAnswer finish(size_t target) const {
    const Stage& stage = file_.stages[target];
    const std::string about = description(comments_, stage.lines, stage.from.name);
    Json json = {{"sources", Json::array({to_base64(text_)})}};
    if (!stage.from.name.empty()) json["name"] = stage.from.name;
    if (!about.empty()) json["description"] = about;
    CallAnswer answer;
    std::vector<std::vector<std::string>> head = {
        {"TARGET:", stage.from.name.empty() ? "(default)" : stage.from.name}};
    if (!about.empty()) head.push_back({"DESCRIPTION:", about});
    if (!stage.from.name.empty() || !about.empty()) answer.text += table(head, 1) + "\n";
    auto add = [&](const char* name, const Json& list, std::vector<std::vector<std::string>> rows) {
      if (list.empty()) return;
      json[name] = list;
      answer.text += table(rows, 3) + "\n";
    };
    add("args", arguments_, argument_rows_);
    add("secrets", secrets_, secret_rows_);
    add("ssh", agents_, agent_rows_);
    answer.json = to_json(json);
    return answer;
  }

 private:
  void need(const std::string& name, size_t before) {
    if (auto found = checks::find_stage(file_, name, before)) waiting_.push_back(*found);
  }

  void add_arguments(const Instruction& instruction) {
    for (const auto& [name, fallback] : std::get<ArgInstruction>(instruction.body).arguments) {
      if (!names_.insert(name).second) continue;
      const auto given = build_args_.find(name);
      std::string value = fallback.value_or("");
      if (given != build_args_.end() && given->second) value = *given->second;
      Json entry = {{"name", name}, {"location", location(instruction.lines)}};
      const std::string about = description(comments_, instruction.lines, name);
      if (!value.empty()) entry["value"] = value;
      if (!about.empty()) entry["description"] = about;
      arguments_.push_back(std::move(entry));
      argument_rows_.push_back({name, value, about});
    }
  }

  void add_mounts(const RunInstruction& run, const Instruction& instruction, size_t index) {
    const VariableLookup nothing = [](std::string_view) { return std::nullopt; };
    for (const std::string& text : run.mounts) {
      auto mount = parse_run_mount(text, nothing, file_.escape);
      if (!mount) continue;
      need(mount->from, index);
      std::string id = mount->id;
      if (mount->type == RunMountType::Secret) {
        if (id.empty()) id = mount->target.substr(mount->target.rfind('/') + 1);
        add_mount(id, mount->required, instruction, secrets_, secret_rows_);
      } else if (mount->type == RunMountType::Ssh) {
        add_mount(id.empty() ? "default" : id, mount->required, instruction, agents_, agent_rows_);
      }
    }
  }
  static void add_mount(const std::string& id, bool required, const Instruction& instruction, Json& list,
                        std::vector<std::vector<std::string>>& rows) {
    for (const Json& entry : list) {
      if (entry["name"] == id) return;
    }
    Json entry = {{"name", id}, {"location", location(instruction.lines)}};
    if (required) entry["required"] = true;
    list.push_back(std::move(entry));
    rows.push_back({id, required ? "true" : ""});
  }

  std::string_view text_;
  Comments comments_;
  const Dockerfile& file_;
  const std::map<std::string, std::optional<std::string>>& build_args_;
  std::vector<size_t> waiting_;
  std::set<size_t> seen_;
  std::set<std::string> names_;
  Json arguments_ = Json::array();
  Json secrets_ = Json::array();
  Json agents_ = Json::array();
  std::vector<std::vector<std::string>> argument_rows_ = {{"BUILD ARG", "VALUE", "DESCRIPTION"}};
  std::vector<std::vector<std::string>> secret_rows_ = {{"SECRET", "REQUIRED"}};
  std::vector<std::vector<std::string>> agent_rows_ = {{"SSH", "REQUIRED"}};
};

}  // namespace

CallAnswer call_check(std::string_view name, std::string_view text, const CheckInput* input,
                      const std::optional<DockerfileProblem>& problem) {
  CallAnswer answer;
  Json warnings;
  if (input != nullptr) {
    for (const CheckFinding& finding : check_dockerfile(*input)) {
      warnings.push_back({{"ruleName", finding.rule->name},
                          {"description", finding.rule->description},
                          {"url", finding.rule->url()},
                          {"detail", finding.detail},
                          {"location", location(finding.lines)}});
      answer.text += fmt::format("\nWARNING: {} - {}\n{}\n{}", finding.rule->name, finding.rule->url(),
                                 finding.detail, source_excerpt(name, text, finding.lines));
      ++answer.findings;
    }
  }
  Json json = {{"warnings", std::move(warnings)},
               {"sources",
                Json::array({{{"filename", name}, {"language", "Dockerfile"}, {"data", to_base64(text)}}})}};
  if (problem) {
    json["buildError"] = {{"message", problem->message}, {"location", location(problem->lines)}};
    answer.error = problem->message + "\n" + source_excerpt(name, text, problem->lines);
  }
  answer.json = to_json(json);
  answer.status = answer.findings > 0 || problem ? 1 : 0;
  return answer;
}

CallAnswer call_targets(std::string_view text, const Dockerfile& file) {
  const Comments comments = checks::comments_above(text);
  Json targets = Json::array();
  std::vector<std::vector<std::string>> rows = {{"TARGET", "DESCRIPTION"}};
  for (size_t i = 0; i < file.stages.size(); ++i) {
    const Stage& stage = file.stages[i];
    const bool is_default = i + 1 == file.stages.size();
    Json target = {{"base", stage.from.base}, {"location", location(stage.lines)}};
    const std::string about = description(comments, stage.lines, stage.from.name);
    if (!stage.from.name.empty()) target["name"] = stage.from.name;
    if (is_default) target["default"] = true;
    if (!stage.from.platform.empty()) target["platform"] = stage.from.platform;
    if (!about.empty()) target["description"] = about;
    targets.push_back(std::move(target));
    std::string shown = stage.from.name;
    if (is_default) shown += shown.empty() ? "(default)" : " (default)";
    rows.push_back({shown, about});
  }
  return {.json = to_json({{"targets", std::move(targets)}, {"sources", Json::array({to_base64(text)})}}),
          .text = table(rows, 1)};
}

Result<CallAnswer> call_outline(std::string_view text, const Dockerfile& file, const std::string& target,
                                const std::map<std::string, std::optional<std::string>>& build_args) {
  std::optional<size_t> index = file.stages.size() - 1;
  if (!target.empty()) index = checks::find_stage(file, target, file.stages.size());
  if (!index)
    return failure(Kind::InvalidArgument, "target stage {} could not be found",
                   go_quote(target.substr(0, 256)));
  Outline outline(text, file, build_args);
  outline.add_globals();
  outline.add_target(*index);
  return outline.finish(*index);
}

std::string check_summary(const CallAnswer& answer) {
  if (answer.findings == 1) return "Check complete, 1 warning has been found!\n";
  if (answer.findings > 1)
    return fmt::format("Check complete, {} warnings have been found!\n", answer.findings);
  return answer.error.empty() ? "Check complete, no warnings found.\n" : "";
}

}  // namespace berth::spec
