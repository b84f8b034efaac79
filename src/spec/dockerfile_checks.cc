// Rules about lines, keywords, stages' names and their FROM.
#include "spec/dockerfile_checks.h"

#include <algorithm>

#include "spec/dockerfile_check_rules.h"
#include "spec/dockerfile_lexer.h"
#include "spec/dockerfile_mount.h"
#include "spec/go_quote.h"
#include "spec/reference.h"
#include "spec/shell_words.h"

namespace berth::spec {
namespace checks {
namespace {

using dockerfile::lower;
using dockerfile::trim;
using dockerfile::upper;

constexpr size_t most_rules_named = 64;

VariableLookup lookup_in(const std::map<std::string, std::optional<std::string>>& values) {
  return [&values](std::string_view name) {
    const auto found = values.find(std::string(name));
    return found == values.end() ? std::nullopt : found->second;
  };
}

void add_platform(GlobalArguments& globals, const std::string& prefix, const Platform& platform) {
  globals.values[prefix + "PLATFORM"] = platform.str();
  globals.values[prefix + "OS"] = platform.os;
  globals.values[prefix + "OSVERSION"] = platform.os_version;
  globals.values[prefix + "ARCH"] = platform.architecture;
  globals.values[prefix + "VARIANT"] = platform.variant;
}

/// `build_args`: with those that were given, or by the file's defaults alone.
GlobalArguments global_arguments(const CheckInput& input, bool build_args) {
  GlobalArguments globals;
  add_platform(globals, "BUILD", Platform::host());
  add_platform(globals, "TARGET", input.platform);
  globals.values["TARGETSTAGE"] = input.target.empty() ? "default" : input.target;
  for (const Instruction& instruction : input.file.global_arguments) {
    for (const auto& [name, fallback] : std::get<ArgInstruction>(instruction.body).arguments) {
      const auto given = input.build_args.find(name);
      std::optional<std::string>& value = globals.values[name];
      if (build_args && given != input.build_args.end() && given->second) {
        value = given->second;
      } else if (fallback) {
        auto expanded = expand_word(*fallback, lookup_in(globals.values), {.escape = input.file.escape});
        value = expanded ? std::move(*expanded) : std::string();
      }
    }
  }
  return globals;
}

class FileChecks {
 public:
  FileChecks(const CheckInput& input, Findings& findings)
      : input_(input),
        file_(input.file),
        findings_(findings),
        globals_(global_arguments(input, true)),
        comments_(comments_above(input.text)) {}

  void run() {
    for (const DockerfileWarning& warning : file_.warnings)
      findings_.add(no_empty_continuation, warning.lines, "Empty continuation line");
    check_descriptions();
    for (const Stage& stage : file_.stages) check_from_words(stage);
    check_stage_names();
    check_casing();
    check_default_arguments();
    for (const Stage& stage : file_.stages) check_from_arguments(stage);
    check_stages(input_, globals_, wanted_stages(), findings_);
  }

 private:
  void check_description(std::string_view keyword, const std::vector<std::string>& names, LineRange lines) {
    const auto comment = comments_.find(lines.first);
    if (comment == comments_.end() || names.empty()) return;
    const std::string word = comment->second.substr(0, comment->second.find(' '));
    if (std::find(names.begin(), names.end(), word) != names.end()) return;
    findings_.add(invalid_definition_description, lines,
                  "Comment for {} should follow the format: `# {} <description>`", keyword,
                  names.size() == 1 ? names.front() : "<arg_key>");
  }

  void check_descriptions() {
    auto check = [this](const Instruction& instruction) {
      const auto* arg = std::get_if<ArgInstruction>(&instruction.body);
      if (arg == nullptr) return;
      std::vector<std::string> names;
      for (const auto& argument : arg->arguments) names.push_back(argument.name);
      check_description("ARG", names, instruction.lines);
    };
    for (const Instruction& instruction : file_.global_arguments) check(instruction);
    for (const Stage& stage : file_.stages) {
      if (!stage.from.name.empty()) check_description("FROM", {stage.from.name}, stage.lines);
      for (const Instruction& instruction : stage.instructions) check(instruction);
    }
  }

  void check_from_words(const Stage& stage) {
    const auto parts = dockerfile::split_command(stage.source, file_.escape);
    const auto words = dockerfile::split_blanks(parts.arguments);
    if (words.size() != 3) return;
    if (words[2] != lower(words[2]))
      findings_.add(stage_name_casing, stage.lines, "Stage name '{}' should be lowercase", words[2]);
    const bool is_lower = parts.keyword == lower(parts.keyword);
    const bool is_upper = parts.keyword == upper(parts.keyword);
    if (!is_lower && !is_upper) return;
    if (words[1] != (is_lower ? lower(words[1]) : upper(words[1])))
      findings_.add(from_as_casing, stage.lines, "'{}' and '{}' keywords' casing do not match", words[1],
                    parts.keyword);
  }

  void check_stage_names() {
    std::set<std::string> seen;
    for (const Stage& stage : file_.stages) {
      const std::string& name = stage.from.name;
      if (name.empty()) continue;
      if (name == "scratch" || name == "context")
        findings_.add(reserved_stage_name, stage.lines,
                      "Stage name should not use the same name as reserved stage {}", go_quote(name));
      if (!seen.insert(name).second)
        findings_.add(duplicate_stage_name, stage.lines,
                      "Duplicate stage name {}, stage names should be unique", go_quote(name));
    }
  }

  void check_casing() {
    std::vector<std::pair<std::string, LineRange>> keywords;
    for (const Stage& stage : file_.stages) {
      keywords.emplace_back(dockerfile::split_command(stage.source, file_.escape).keyword, stage.lines);
      for (const Instruction& instruction : stage.instructions)
        keywords.emplace_back(instruction.keyword, instruction.lines);
    }
    size_t lowers = 0;
    size_t uppers = 0;
    for (const auto& [keyword, lines] : keywords) {
      lowers += keyword == lower(keyword);
      uppers += keyword == upper(keyword);
    }
    const bool majority = lowers > uppers;
    for (const auto& [keyword, lines] : keywords) {
      if (keyword == (majority ? lower(keyword) : upper(keyword))) continue;
      findings_.add(consistent_instruction_casing, lines,
                    "Command '{}' should match the case of the command majority ({})", keyword,
                    majority ? "lowercase" : "uppercase");
    }
  }

  void check_default_arguments() {
    const GlobalArguments defaults = global_arguments(input_, false);
    for (const Stage& stage : file_.stages) {
      auto base = expand_word(stage.from.base, lookup_in(defaults.values), {.escape = file_.escape});
      if (!base) return;
      if (Reference::parse(*base)) continue;
      findings_.add(invalid_default_arg_in_from, stage.lines,
                    "Default value for ARG {} results in empty or invalid base image name", stage.from.base);
    }
  }

  void check_undeclared(const std::set<std::string>& unmatched, LineRange lines) {
    for (const std::string& name : unmatched) {
      if (globals_.values.contains(name)) continue;
      const std::string close = closest_word(name, globals_.names());
      findings_.add(undefined_arg_in_from, lines, "FROM argument '{}' is not declared{}", name,
                    close.empty() ? "" : fmt::format(" (did you mean {}?)", close));
    }
  }

  void check_from_arguments(const Stage& stage) {
    const ShellWordsOptions options{.escape = file_.escape};
    auto base = expand_words(stage.from.base, lookup_in(globals_.values), options);
    if (base) check_undeclared(base->unmatched, stage.lines);
    if (stage.from.platform.empty()) return;
    auto platform = expand_words(stage.from.platform, lookup_in(globals_.values), options);
    if (!platform) return;
    check_undeclared(platform->unmatched, stage.lines);
    if (platform->matched == std::set<std::string>{"TARGETPLATFORM"} && platform->unmatched.empty() &&
        platform->text == input_.platform.str()) {
      findings_.add(redundant_target_platform, stage.lines,
                    "Setting platform to predefined {} in FROM is redundant as this is the default behavior",
                    stage.from.platform);
    }
    auto parsed = Platform::parse(platform->text);
    if (!platform->matched.empty() || !platform->unmatched.empty() || !parsed) return;
    const std::string& name = stage.from.name;
    if (name.find(parsed->os) != name.npos || name.find(parsed->architecture) != name.npos) return;
    findings_.add(from_platform_flag_const_disallowed, stage.lines,
                  "FROM --platform flag should not use constant value {}", go_quote(platform->text));
  }

  /// The target and what it is made of.
  std::vector<bool> wanted_stages() const {
    std::vector<bool> wanted(file_.stages.size(), false);
    if (input_.target.empty() && input_.stages == CheckInput::Stages::All) {
      wanted.assign(wanted.size(), true);
      return wanted;
    }
    std::optional<size_t> target = file_.stages.size() - 1;
    if (!input_.target.empty()) target = find_stage(file_, input_.target, file_.stages.size());
    std::vector<size_t> waiting;
    auto need = [&](std::optional<size_t> index) {
      if (!index || wanted[*index]) return;
      wanted[*index] = true;
      waiting.push_back(*index);
    };
    need(target);
    while (!waiting.empty()) {
      const size_t index = waiting.back();
      waiting.pop_back();
      const Stage& stage = file_.stages[index];
      auto base = expand_word(stage.from.base, lookup_in(globals_.values), {.escape = file_.escape});
      if (base) need(find_stage(file_, *base, index));
      for (const Instruction& instruction : stage.instructions) {
        for (const std::string& from : sources_of(instruction)) need(find_stage(file_, from, index));
      }
    }
    return wanted;
  }

  std::vector<std::string> sources_of(const Instruction& instruction) const {
    std::vector<std::string> sources;
    const VariableLookup nothing = [](std::string_view) { return std::nullopt; };
    if (const auto* copy = std::get_if<CopyInstruction>(&instruction.body)) sources.push_back(copy->from);
    if (const auto* run = std::get_if<RunInstruction>(&instruction.body)) {
      for (const std::string& text : run->mounts) {
        if (auto mount = parse_run_mount(text, nothing, file_.escape)) sources.push_back(mount->from);
      }
    }
    return sources;
  }

  const CheckInput& input_;
  const Dockerfile& file_;
  Findings& findings_;
  GlobalArguments globals_;
  std::map<uint32_t, std::string> comments_;
};

Result<std::set<std::string>> rule_names(std::string_view text) {
  std::set<std::string> names;
  while (!text.empty()) {
    const size_t end = text.find(',');
    names.emplace(trim(text.substr(0, end)));
    if (names.size() > most_rules_named) return Error(Kind::InvalidArgument, "too many rules are named");
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return names;
}

bool is_experimental(const CheckRule& rule) {
  return rule.name == copy_ignored_file.name || rule.name == invalid_definition_description.name;
}

}  // namespace

std::map<uint32_t, std::string> comments_above(std::string_view text) {
  std::map<uint32_t, std::string> comments;
  uint32_t number = 0;
  std::optional<std::string> last;
  bool directives = true;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    ++number;
    if (last) comments[number] = std::move(*last);
    last.reset();
    const bool is_comment = line.starts_with('#');
    const std::string_view comment = is_comment ? trim(line.substr(1)) : std::string_view();
    const std::string_view key = trim(comment.substr(0, comment.find('=')));
    directives =
        directives && is_comment && key != comment && (key == "syntax" || key == "escape" || key == "check");
    if (is_comment && !directives) last = std::string(comment);
  }
  return comments;
}

std::vector<std::string> GlobalArguments::names() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : values) names.push_back(name);
  return names;
}

std::optional<size_t> find_stage(const Dockerfile& file, std::string_view name, size_t count) {
  if (name.empty()) return std::nullopt;
  const std::string wanted = lower(name);
  count = std::min(count, file.stages.size());
  for (size_t i = count; i-- > 0;) {
    if (file.stages[i].from.name == wanted) return i;
  }
  for (size_t i = 0; i < count; ++i) {
    if (name == std::to_string(i)) return i;
  }
  return std::nullopt;
}

}  // namespace checks

std::string CheckRule::url() const {
  return fmt::format("https://docs.docker.com/go/dockerfile/rule/{}/", page);
}

Result<CheckConfig> CheckConfig::parse(std::string_view text) {
  CheckConfig config;
  text = dockerfile::trim(text);
  while (!text.empty()) {
    const size_t end = text.find(';');
    const std::string_view part = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    const size_t equals = part.find('=');
    if (equals == part.npos)
      return failure(Kind::InvalidArgument, "invalid check option {}", go_quote(part.substr(0, 128)));
    const std::string_view key = dockerfile::trim(part.substr(0, equals));
    const std::string_view value = dockerfile::trim(part.substr(equals + 1));
    if (key == "skip") {
      config.skip_all = value == "all";
      TRY(config.skip, checks::rule_names(value));
    } else if (key == "experimental") {
      config.experimental_all = value == "all";
      TRY(config.experimental, checks::rule_names(value));
    } else if (key == "error") {
      config.as_error = value == "true" || value == "1" || value == "True" || value == "TRUE" || value == "t";
      if (!config.as_error && value != "false" && value != "0" && value != "False" && value != "FALSE" &&
          value != "f")
        return failure(Kind::InvalidArgument, "failed to parse check option {}",
                       go_quote(part.substr(0, 128)));
    } else {
      return failure(Kind::InvalidArgument, "invalid check option {}", go_quote(key.substr(0, 128)));
    }
  }
  return config;
}

bool CheckConfig::wants(const CheckRule& rule) const {
  const std::string name(rule.name);
  if (checks::is_experimental(rule)) return experimental_all || experimental.contains(name);
  return !skip_all && !skip.contains(name);
}

std::vector<CheckFinding> check_dockerfile(const CheckInput& input) {
  constexpr size_t most_stages = 500;  // as many as are built
  if (input.file.stages.size() > most_stages) return {};
  checks::Findings findings(input.config);
  checks::FileChecks(input, findings).run();
  auto found = findings.take();
  std::stable_sort(found.begin(), found.end(), [](const CheckFinding& a, const CheckFinding& b) {
    return a.lines.first < b.lines.first;
  });
  return found;
}

std::string warning_text(const CheckFinding& finding) {
  return fmt::format("{}: {} (line {})", finding.rule->name, finding.detail, finding.lines.first);
}

Result<void> checks_as_error(const CheckConfig& config, const std::vector<CheckFinding>& findings) {
  if (!config.as_error || findings.empty()) return {};
  std::set<std::string_view> rules;
  for (const CheckFinding& finding : findings) rules.insert(finding.rule->name);
  return failure(Kind::InvalidArgument, "lint violation found for rules: {}", fmt::join(rules, ", "));
}

}  // namespace berth::spec
