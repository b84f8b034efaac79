// The grammar of each instruction: from a lexed line to its typed form. Messages are worded as BuildKit's.
#include <algorithm>
#include <array>
#include <functional>

#include "base/clock.h"
#include "base/format.h"
#include "spec/dockerfile_lexer.h"
#include "spec/go_quote.h"

namespace berth::spec::dockerfile {
namespace {

Error at_least_one(std::string_view keyword) {
  return failure(Kind::InvalidArgument, "{} requires at least one argument", keyword);
}
Error exactly_one(std::string_view keyword) {
  return failure(Kind::InvalidArgument, "{} requires exactly one argument", keyword);
}
Error invalid(std::string_view message) {
  return Error(Kind::InvalidArgument, std::string(message));
}

Result<void> no_flags(const LexedLine& lexed) {
  return FlagReader(lexed.parts.flags).finish();
}

/// The whole rest of the line, for instructions that take one argument.
Result<std::string> single_argument(const LexedLine& lexed, std::string_view keyword) {
  CHECK(no_flags(lexed));
  if (lexed.parts.arguments.empty()) return exactly_one(keyword);
  return lexed.parts.arguments;
}

Result<CommandLine> command_line(const LexedLine& lexed) {
  CommandLine command;
  TRY(auto list, json_form(lexed.parts.arguments));
  if (list) {
    command.form = CommandLine::Form::Exec;
    command.args = std::move(*list);
    return command;
  }
  if (!lexed.parts.arguments.empty()) command.args.push_back(lexed.parts.arguments);
  command.heredocs = lexed.heredocs;
  return command;
}

/// JSON form, else words between blanks.
Result<std::vector<std::string>> argument_list(const LexedLine& lexed) {
  TRY(auto list, json_form(lexed.parts.arguments));
  if (list) return std::move(*list);
  return split_blanks(lexed.parts.arguments);
}

bool is_stage_name(std::string_view name) {
  if (name.empty() || name[0] < 'a' || name[0] > 'z') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

Result<InstructionBody> parse_from(const LexedLine& lexed) {
  const auto args = split_blanks(lexed.parts.arguments);
  FromInstruction from;
  const bool is_named = args.size() == 3 && lower(args[1]) == "as";
  if (!is_named && args.size() != 1) return invalid("FROM requires either one or three arguments");
  if (is_named) {
    from.name = lower(args[2]);
    if (!is_stage_name(from.name)) {
      return failure(Kind::InvalidArgument,
                     "invalid name for build stage: {}, name can't start with a number or contain symbols",
                     go_quote(args[2]));
    }
  }
  from.base = args[0];
  FlagReader flags(lexed.parts.flags);
  from.platform = flags.text("platform");
  CHECK(flags.finish());
  return InstructionBody(std::move(from));
}

Result<InstructionBody> parse_arg(const LexedLine& lexed, char escape) {
  ArgInstruction arg;
  for (const auto& word : split_words(lexed.parts.arguments, escape)) {
    const size_t equals = word.find('=');
    if (equals == 0) return invalid("ARG names can not be blank");
    ArgInstruction::Argument argument{word.substr(0, equals), std::nullopt};
    if (equals != std::string::npos) argument.value = word.substr(equals + 1);
    arg.arguments.push_back(std::move(argument));
  }
  if (arg.arguments.empty()) return at_least_one("ARG");
  return InstructionBody(std::move(arg));
}

Result<InstructionBody> parse_run(const LexedLine& lexed) {
  RunInstruction run;
  FlagReader flags(lexed.parts.flags);
  run.mounts = flags.texts("mount");
  run.network = flags.text("network");
  run.security = flags.text("security");
  run.devices = flags.texts("device");
  CHECK(flags.finish());
  if (!run.network.empty() && run.network != "default" && run.network != "none" && run.network != "host") {
    return failure(Kind::InvalidArgument, "invalid network mode {}", go_quote(run.network));
  }
  if (!run.security.empty() && run.security != "sandbox" && run.security != "insecure") {
    return failure(Kind::InvalidArgument, "security {} is not valid", go_quote(run.security));
  }
  TRY(run.command, command_line(lexed));
  // "RUN []" is for whoever builds to judge: docker's classic builder runs the image's own command.
  const bool is_empty = run.command.args.empty() && run.command.heredocs.empty();
  if (is_empty && run.command.form != CommandLine::Form::Exec) return at_least_one("RUN");
  return InstructionBody(std::move(run));
}

Result<void> take_copy_arguments(const LexedLine& lexed, std::string_view keyword, CopyInstruction& copy) {
  TRY(auto args, argument_list(lexed));
  if (args.size() < 2) {
    return failure(Kind::InvalidArgument,
                   "{} requires at least two arguments, but only one was provided. Destination could not be "
                   "determined",
                   keyword);
  }
  if (parse_heredoc_word(args.back())) {
    return failure(Kind::InvalidArgument, "{} cannot accept a heredoc as a destination", keyword);
  }
  copy.destination = std::move(args.back());
  args.pop_back();
  for (auto& source : args) {
    const auto word = parse_heredoc_word(source);
    if (!word) {
      copy.sources.push_back(std::move(source));
      continue;
    }
    const auto document = std::find_if(lexed.heredocs.rbegin(), lexed.heredocs.rend(),
                                       [&](const Heredoc& h) { return h.name == word->name; });
    copy.documents.push_back(document == lexed.heredocs.rend() ? *word : *document);
  }
  return {};
}

Result<InstructionBody> parse_copy(const LexedLine& lexed) {
  CopyInstruction copy;
  FlagReader flags(lexed.parts.flags);
  copy.chown = flags.text("chown");
  copy.from = flags.text("from");
  copy.chmod = flags.text("chmod");
  copy.link = flags.boolean("link").value_or(false);
  copy.excludes = flags.texts("exclude");
  copy.parents = flags.boolean("parents").value_or(false);
  CHECK(flags.finish());
  CHECK(take_copy_arguments(lexed, "COPY", copy));
  return InstructionBody(std::move(copy));
}

Result<InstructionBody> parse_add(const LexedLine& lexed) {
  CopyInstruction add{.kind = CopyInstruction::Kind::Add};
  FlagReader flags(lexed.parts.flags);
  add.chown = flags.text("chown");
  add.chmod = flags.text("chmod");
  add.link = flags.boolean("link").value_or(false);
  add.keep_git_dir = flags.boolean("keep-git-dir");
  add.checksum = flags.text("checksum");
  add.unpack = flags.boolean("unpack");
  add.excludes = flags.texts("exclude");
  CHECK(flags.finish());
  CHECK(take_copy_arguments(lexed, "ADD", add));
  return InstructionBody(std::move(add));
}

Result<InstructionBody> parse_expose(const LexedLine& lexed) {
  CHECK(no_flags(lexed));
  ExposeInstruction expose{split_blanks(lexed.parts.arguments)};
  if (expose.ports.empty()) return at_least_one("EXPOSE");
  std::sort(expose.ports.begin(), expose.ports.end());
  return InstructionBody(std::move(expose));
}

Result<InstructionBody> parse_volume(const LexedLine& lexed) {
  CHECK(no_flags(lexed));
  TRY(auto paths, argument_list(lexed));
  if (paths.empty()) return at_least_one("VOLUME");
  for (auto& path : paths) {
    path = std::string(trim(path));
    if (path.empty()) return invalid("VOLUME specified can not be an empty string");
  }
  return InstructionBody(VolumeInstruction{std::move(paths)});
}

Result<InstructionBody> parse_shell(const LexedLine& lexed) {
  CHECK(no_flags(lexed));
  TRY(auto list, json_form(lexed.parts.arguments));
  const bool is_empty = list ? list->empty() : lexed.parts.arguments.empty();
  if (is_empty) return at_least_one("SHELL");
  if (!list) return invalid("SHELL requires the arguments to be in JSON form");
  return InstructionBody(ShellInstruction{std::move(*list)});
}

Result<int64_t> health_interval(std::string_view name, const std::string& text) {
  if (text.empty()) return 0;
  auto duration = parse_duration(text);
  if (!duration) return failure(Kind::InvalidArgument, "time: invalid duration {}", go_quote(text));
  const int64_t nanoseconds = duration->count();
  if (nanoseconds != 0 && nanoseconds < 1'000'000) {
    return failure(Kind::InvalidArgument, "Interval {} cannot be less than 1ms", go_quote(name));
  }
  return nanoseconds;
}

Result<int> health_retries(const std::string& text) {
  if (text.empty()) return 0;
  int64_t value = 0;
  const std::string_view digits = std::string_view(text).substr(text[0] == '-' || text[0] == '+' ? 1 : 0);
  for (const char c : digits) {
    if (c < '0' || c > '9' || value > INT32_MAX) {
      return failure(Kind::InvalidArgument, "strconv.ParseInt: parsing {}: invalid syntax", go_quote(text));
    }
    value = value * 10 + (c - '0');
  }
  if (digits.empty())
    return failure(Kind::InvalidArgument, "strconv.ParseInt: parsing {}: invalid syntax", go_quote(text));
  if (value > INT32_MAX)
    return failure(Kind::InvalidArgument, "strconv.ParseInt: parsing {}: value out of range", go_quote(text));
  if (text[0] == '-' && value > 0)
    return failure(Kind::InvalidArgument, "--retries cannot be negative (-{})", value);
  return static_cast<int>(value);
}

Result<InstructionBody> parse_healthcheck(const LexedLine& lexed) {
  const std::string_view text = lexed.parts.arguments;
  if (text.empty()) return at_least_one("HEALTHCHECK");
  const auto type_end =
      std::find_if(text.begin(), text.end(), [](char c) { return is_blank(c) || c == '\n'; });
  const std::string type = upper(std::string_view(text.begin(), type_end));
  const std::string_view rest = trim(std::string_view(type_end, text.end()));
  Healthcheck check;
  if (type == "NONE") {
    if (!rest.empty()) return invalid("HEALTHCHECK NONE takes no arguments");
    check.test = {"NONE"};
    return InstructionBody(HealthcheckInstruction{std::move(check)});
  }
  FlagReader flags(lexed.parts.flags);
  const std::string interval = flags.text("interval");
  const std::string timeout = flags.text("timeout");
  const std::string start_period = flags.text("start-period");
  const std::string start_interval = flags.text("start-interval");
  const std::string retries = flags.text("retries");
  CHECK(flags.finish());
  if (type != "CMD")
    return failure(Kind::InvalidArgument, "Unknown type {} in HEALTHCHECK (try CMD)", go_quote(type));
  TRY(auto list, json_form(rest));
  if (list ? list->empty() : rest.empty()) return invalid("Missing command after HEALTHCHECK CMD");
  if (list) {
    check.test = {"CMD"};
    check.test.insert(check.test.end(), list->begin(), list->end());
  } else {
    check.test = {"CMD-SHELL", std::string(rest)};
  }
  TRY(check.interval, health_interval("interval", interval));
  TRY(check.timeout, health_interval("timeout", timeout));
  TRY(check.start_period, health_interval("start-period", start_period));
  TRY(check.start_interval, health_interval("start-interval", start_interval));
  TRY(check.retries, health_retries(retries));
  return InstructionBody(HealthcheckInstruction{std::move(check)});
}

/// Everything after the keyword, with flags and documents: what the image configuration keeps.
std::string onbuild_trigger(const LexedLine& lexed) {
  std::string_view text = trim(lexed.line);
  text.remove_prefix(lexed.parts.keyword.size());
  std::string trigger(trim(text));
  for (const auto& heredoc : lexed.heredocs) trigger += "\n" + heredoc.content + heredoc.name;
  return trigger;
}

const std::vector<std::string>& keywords() {
  static const std::vector<std::string> list = {
      "ADD",   "ARG",        "CMD",     "COPY", "ENTRYPOINT", "ENV",        "EXPOSE", "FROM",   "HEALTHCHECK",
      "LABEL", "MAINTAINER", "ONBUILD", "RUN",  "SHELL",      "STOPSIGNAL", "USER",   "VOLUME", "WORKDIR"};
  return list;
}

Result<InstructionBody> parse_onbuild(const LexedLine& lexed, char escape) {
  const CommandParts inner = split_command(lexed.parts.arguments, escape);
  if (inner.keyword.empty()) return at_least_one("ONBUILD");
  CHECK(no_flags(lexed));
  const std::string keyword = upper(inner.keyword);
  if (keyword == "ONBUILD") return invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (keyword == "MAINTAINER" || keyword == "FROM") {
    return failure(Kind::InvalidArgument, "{} isn't allowed as an ONBUILD trigger", keyword);
  }
  // A trigger that cannot be parsed would only fail in the builds of others. What is no instruction at all
  // docker takes, in changes of commits too.
  const bool is_known = std::find(keywords().begin(), keywords().end(), keyword) != keywords().end();
  const LexedLine trigger{lexed.parts.arguments, inner, lexed.heredocs};
  if (is_known) CHECK(parse_body(trigger, escape));
  return InstructionBody(OnbuildInstruction{onbuild_trigger(lexed)});
}

Result<InstructionBody> parse_command(const LexedLine& lexed, std::string_view keyword) {
  CHECK(no_flags(lexed));
  TRY(auto command, command_line(lexed));
  if (keyword == "CMD") return InstructionBody(CmdInstruction{std::move(command)});
  return InstructionBody(EntrypointInstruction{std::move(command)});
}

Error unknown_instruction(const std::string& written) {
  std::string close = closest_word(upper(written), keywords());
  if (written == lower(written)) close = lower(close);
  const std::string hint = close.empty() ? "" : " (did you mean " + close + "?)";
  constexpr size_t longest_shown = 100;
  return failure(Kind::InvalidArgument, "unknown instruction: {}{}", written.substr(0, longest_shown), hint);
}

}  // namespace

Result<bool> takes_heredocs(const CommandParts& parts, char escape) {
  const std::string keyword = upper(parts.keyword);
  if (keyword == "ONBUILD") {
    const CommandParts inner = split_command(parts.arguments, escape);
    if (upper(inner.keyword) == "ONBUILD") return false;
    return takes_heredocs(inner, escape);
  }
  if (keyword != "RUN" && keyword != "COPY" && keyword != "ADD") return false;
  TRY(auto list, json_form(parts.arguments));
  return !list.has_value();
}

Result<InstructionBody> parse_body(const LexedLine& lexed, char escape) {
  const std::string keyword = upper(lexed.parts.keyword);
  const std::string_view arguments = lexed.parts.arguments;
  if (keyword == "FROM") return parse_from(lexed);
  if (keyword == "ARG") return parse_arg(lexed, escape);
  if (keyword == "RUN") return parse_run(lexed);
  if (keyword == "COPY") return parse_copy(lexed);
  if (keyword == "ADD") return parse_add(lexed);
  if (keyword == "CMD" || keyword == "ENTRYPOINT") return parse_command(lexed, keyword);
  if (keyword == "EXPOSE") return parse_expose(lexed);
  if (keyword == "VOLUME") return parse_volume(lexed);
  if (keyword == "SHELL") return parse_shell(lexed);
  if (keyword == "HEALTHCHECK") return parse_healthcheck(lexed);
  if (keyword == "ONBUILD") return parse_onbuild(lexed, escape);
  if (keyword == "ENV" || keyword == "LABEL") {
    CHECK(no_flags(lexed));
    TRY(auto pairs, split_key_values(arguments, keyword, escape));
    if (keyword == "ENV") return InstructionBody(EnvInstruction{std::move(pairs)});
    return InstructionBody(LabelInstruction{std::move(pairs)});
  }
  if (keyword != "MAINTAINER" && keyword != "WORKDIR" && keyword != "USER" && keyword != "STOPSIGNAL") {
    return unknown_instruction(lexed.parts.keyword);
  }
  TRY(auto argument, single_argument(lexed, keyword));
  if (keyword == "MAINTAINER") return InstructionBody(MaintainerInstruction{std::move(argument)});
  if (keyword == "WORKDIR") return InstructionBody(WorkdirInstruction{std::move(argument)});
  if (keyword == "USER") return InstructionBody(UserInstruction{std::move(argument)});
  return InstructionBody(StopSignalInstruction{std::move(argument)});
}

}  // namespace berth::spec::dockerfile
