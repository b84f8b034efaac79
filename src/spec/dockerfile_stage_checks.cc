// Rules about instructions: variables, what counts once, words that had better be otherwise.
#include <algorithm>
#include <array>

#include "spec/dockerfile_check_rules.h"
#include "spec/dockerfile_lexer.h"
#include "spec/go_quote.h"
#include "spec/shell_words.h"

namespace berth::spec::checks {
namespace {

using dockerfile::lower;

// Words are compared with what they may have been meant to be, which takes its time.
constexpr size_t most_suggestions = 100;
constexpr size_t most_compared = 1000;

/// What a stage knows at an instruction.
struct StageFacts {
  /// Names of ENV and of ARG with a value; none: what its base brings is unknown.
  std::optional<std::map<std::string, std::string>> environment = std::map<std::string, std::string>();
  std::set<std::string> arguments = {};  ///< ARG, with or without a value
  bool has_workdir = false;
  bool has_shell = false;
};

/// A name that is one of the words, or has one between underscores: "DB_PASSWORD", "api_key".
bool has_word(const std::string& name, std::initializer_list<std::string_view> words) {
  const std::string text = "_" + lower(name) + "_";
  return std::any_of(words.begin(), words.end(), [&](std::string_view word) {
    return text.find(fmt::format("_{}_", word)) != std::string::npos;
  });
}

bool looks_secret(const std::string& name) {
  return has_word(name, {"apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd",
                         "secret", "token"}) &&
         !has_word(name, {"public"});
}

bool is_remote(std::string_view source) {
  return source.starts_with("http://") || source.starts_with("https://") || source.starts_with("git@") ||
         source.starts_with("git://") || source.starts_with("ssh://") || source.ends_with(".git");
}

class StageChecks {
 public:
  StageChecks(const CheckInput& input, const GlobalArguments& globals, StageFacts& facts, Findings& findings)
      : input_(input), globals_(globals), facts_(facts), findings_(findings) {}

  void check(const Instruction& instruction) {
    at_ = &instruction;
    std::visit([this](const auto& body) { look(body); }, instruction.body);
  }

 private:
  void look(const FromInstruction&) {}
  void look(const RunInstruction&) {}
  void look(const OnbuildInstruction&) {}
  void look(const ShellInstruction&) { facts_.has_shell = true; }
  void look(const UserInstruction& user) { use(user.user); }
  void look(const StopSignalInstruction& signal) { use(signal.signal); }
  void look(const VolumeInstruction& volume) {
    for (const std::string& path : volume.paths) use(path);
  }
  void look(const MaintainerInstruction&) {
    findings_.add(maintainer_deprecated, at_->lines,
                  "Maintainer instruction is deprecated in favor of using label");
  }
  void look(const HealthcheckInstruction&) { once("HEALTHCHECK"); }

  void look(const CmdInstruction& cmd) {
    once("CMD");
    look_at_form(cmd.command);
  }
  void look(const EntrypointInstruction& entrypoint) {
    once("ENTRYPOINT");
    look_at_form(entrypoint.command);
  }
  void look_at_form(const CommandLine& command) {
    if (command.form != CommandLine::Form::Shell || facts_.has_shell) return;
    findings_.add(json_args_recommended, at_->lines,
                  "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
                  at_->keyword);
  }
  /// The one that does not count is what is told of.
  void once(const std::string& keyword) {
    LineRange& before = seen_[keyword];
    if (before.first != 0) {
      findings_.add(multiple_instructions_disallowed, before,
                    "Multiple {} instructions should not be used in the same stage because only the last one "
                    "will be used",
                    at_->keyword);
    }
    before = at_->lines;
  }

  void look(const ArgInstruction& arg) {
    for (const auto& [name, fallback] : arg.arguments) {
      if (fallback) use(*fallback);
      if (looks_secret(name)) tell_of_secret("ARG", name);
      facts_.arguments.insert(name);
      const auto given = input_.build_args.find(name);
      std::optional<std::string> value = fallback;
      if (const auto global = globals_.values.find(name); !value && global != globals_.values.end())
        value = global->second;
      if (given != input_.build_args.end() && given->second) value = given->second;
      if (value && facts_.environment) facts_.environment->try_emplace(name, *value);
    }
  }
  void look(const EnvInstruction& env) {
    for (const KeyValue& variable : env.variables) {
      use(variable.key);
      use(variable.value);
    }
    for (const KeyValue& variable : env.variables) {
      if (variable.legacy) tell_of_legacy();
      if (looks_secret(variable.key)) tell_of_secret("ENV", variable.key);
      if (facts_.environment) (*facts_.environment)[variable.key] = variable.value;
    }
  }
  void look(const LabelInstruction& label) {
    for (const KeyValue& one : label.labels) {
      use(one.key);
      use(one.value);
      if (one.legacy) tell_of_legacy();
    }
  }
  void tell_of_legacy() {
    findings_.add(legacy_key_value_format, at_->lines,
                  "\"{} key=value\" should be used instead of legacy \"{} key value\" format", at_->keyword,
                  at_->keyword);
  }
  void tell_of_secret(std::string_view keyword, const std::string& name) {
    findings_.add(secrets_used_in_arg_or_env, at_->lines,
                  "Do not use ARG or ENV instructions for sensitive data ({} {})", keyword, go_quote(name));
  }

  void look(const WorkdirInstruction& workdir) {
    use(workdir.path);
    const auto path = expand_word(workdir.path, lookup(), {.escape = input_.file.escape});
    const bool is_known = facts_.environment || workdir.path.find('$') == std::string::npos;
    if (!facts_.has_workdir && is_known && path && !path->starts_with('/')) {
      findings_.add(workdir_relative_path, at_->lines,
                    "Relative workdir {} can have unexpected results if the base image changes",
                    go_quote(*path));
    }
    facts_.has_workdir = true;
  }

  void look(const ExposeInstruction& expose) {
    for (const std::string& text : expose.ports) {
      auto words = expand_words(text, lookup(), {.escape = input_.file.escape});
      if (!words) continue;
      for (const std::string& port : words->words) {
        const size_t slash = port.rfind('/');
        if (slash != port.npos && lower(port.substr(slash)) != port.substr(slash))
          findings_.add(expose_proto_casing, at_->lines,
                        "Defined protocol '{}' in EXPOSE instruction should be lowercase", port);
        if (port.substr(0, slash).find(':') != port.npos)
          findings_.add(expose_invalid_format, at_->lines,
                        "EXPOSE instruction should not define an IP address or host-port mapping, found '{}'",
                        port);
      }
    }
  }

  void look(const CopyInstruction& copy) {
    for (const std::string& source : copy.sources) use(source);
    use(copy.destination);
    use(copy.chown);
    use(copy.chmod);
    if (input_.ignored == nullptr || !copy.from.empty()) return;
    for (const std::string& source : copy.sources) {
      auto path = expand_word(source, lookup(), {.escape = input_.file.escape});
      if (!path || is_remote(*path)) continue;
      std::string clean = clean_path("/" + *path).substr(1);
      if (!clean.empty() && input_.ignored->matches(clean))
        findings_.add(copy_ignored_file, at_->lines,
                      "Attempting to {} file {} that is excluded by .dockerignore",
                      copy.kind == CopyInstruction::Kind::Add ? "Add" : "Copy", go_quote(*path));
    }
  }

  VariableLookup lookup() const {
    return [this](std::string_view name) -> std::optional<std::string> {
      if (!facts_.environment) return std::nullopt;
      const auto found = facts_.environment->find(std::string(name));
      if (found == facts_.environment->end()) return std::nullopt;
      return found->second;
    };
  }

  void use(const std::string& word) {
    if (!facts_.environment || word.find('$') == word.npos) return;
    auto expanded = expand_words(word, lookup(), {.escape = input_.file.escape});
    if (!expanded) return;
    for (const std::string& name : expanded->unmatched) {
      if (facts_.arguments.contains(name) || !told_.insert({at_, name}).second) continue;
      const std::string close = told_.size() > most_suggestions ? std::string() : suggestion(name);
      findings_.add(undefined_var, at_->lines, "Usage of undefined variable '${}'{}", name,
                    close.empty() ? "" : fmt::format(" (did you mean ${}?)", close));
    }
  }

  std::string suggestion(const std::string& name) const {
    std::vector<std::string> known;
    for (const auto& [other, value] : *facts_.environment) {
      if (known.size() < most_compared) known.push_back(other);
    }
    return closest_word(name, known);
  }

  const CheckInput& input_;
  const GlobalArguments& globals_;
  StageFacts& facts_;
  Findings& findings_;
  const Instruction* at_ = nullptr;
  std::map<std::string, LineRange> seen_;
  std::set<std::pair<const Instruction*, std::string>> told_;
};

/// What the base of a stage brings: another stage, an image, nothing.
StageFacts facts_of_base(const CheckInput& input, const GlobalArguments& globals,
                         const std::vector<StageFacts>& earlier, const Stage& stage) {
  const VariableLookup lookup = [&globals](std::string_view name) -> std::optional<std::string> {
    const auto found = globals.values.find(std::string(name));
    return found == globals.values.end() ? std::nullopt : found->second;
  };
  StageFacts facts;
  auto base = expand_word(stage.from.base, lookup, {.escape = input.file.escape});
  if (!base) return {.environment = std::nullopt};
  std::optional<size_t> parent;
  for (size_t i = earlier.size(); i-- > 0 && !parent;) {
    if (!input.file.stages[i].from.name.empty() && input.file.stages[i].from.name == lower(*base)) parent = i;
  }
  if (parent) return earlier[*parent];
  if (*base != "scratch") {
    auto known = input.environment ? input.environment(*base) : std::nullopt;
    if (!known) return {.environment = std::nullopt};
    for (const std::string& entry : *known) {
      const size_t equals = entry.find('=');
      (*facts.environment)[entry.substr(0, equals)] = equals == entry.npos ? "" : entry.substr(equals + 1);
    }
  }
  facts.environment->try_emplace("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  return facts;
}

}  // namespace

void check_stages(const CheckInput& input, const GlobalArguments& globals, const std::vector<bool>& wanted,
                  Findings& findings) {
  const CheckConfig nothing{.skip_all = true};
  std::vector<StageFacts> facts;
  for (size_t i = 0; i < input.file.stages.size(); ++i) {
    const Stage& stage = input.file.stages[i];
    facts.push_back(facts_of_base(input, globals, facts, stage));
    Findings unheard(nothing);
    StageChecks checks(input, globals, facts.back(), wanted[i] ? findings : unheard);
    for (const Instruction& instruction : stage.instructions) checks.check(instruction);
  }
}

}  // namespace berth::spec::checks
