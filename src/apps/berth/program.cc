// Finding the command that a command line means, and performing it.
#include "apps/berth/program.h"

#include <optional>

#include "apps/berth/commands/commands.h"
#include "apps/berth/context.h"
#include "apps/berth/grammar/help.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/plugin.h"

namespace berth::cli {
namespace {

using grammar::Entry;
using grammar::HelpStyle;
using grammar::Invocation;
using grammar::Parser;
using Words = std::span<const char* const>;

constexpr std::string_view program = "berth";
/// docker's exit code for a command line that cannot be read.
constexpr int usage_error = 125;

HelpStyle style_for(const output::Stream& out) {
  unsigned columns = out.columns();
  return {.program = program, .columns = columns == 0 ? 80 : std::min<size_t>(columns, 120)};
}

/// The entry that the first one or two words name; `used` says how many words.
const Entry* find_entry(grammar::Tree tree, Words words, size_t& used) {
  if (words.empty()) return nullptr;
  std::string first = words[0];
  if (words.size() > 1) {
    if (const Entry* entry = grammar::find(tree, first + " " + words[1])) {
      used = 2;
      return entry;
    }
  }
  used = 1;
  return grammar::find(tree, first);
}

int complain(Context& context, std::string_view message, std::string_view path,
             const grammar::Command& command, int exit_code, std::string_view verb = "Run") {
  HelpStyle style = style_for(context.err);
  std::string name = path.empty() ? std::string(program) : fmt::format("{} {}", program, path);
  std::string usage =
      path.empty() ? fmt::format("{} {}", program, command.usage) : grammar::usage_line(style, path, command);
  context.err.print("{}: {}\n\nUsage:  {}\n\n{} '{} --help' for more information\n", program, message, usage,
                    verb, name);
  return exit_code;
}

int unknown_command(Context& context, std::string_view name, std::string_view group) {
  std::string whole = group.empty() ? std::string(program) : fmt::format("{} {}", program, group);
  std::string usage = group.empty() ? std::string() : fmt::format("\nUsage:  {} COMMAND\n", whole);
  context.err.print("{}: unknown command: {} {}\n{}\nRun '{} --help' for more information\n", program, whole,
                    name, usage, whole);
  return 1;
}

int show_group(Context& context, const Entry& group, Words rest) {
  bool help = rest.empty() || std::string_view(rest[0]) == "--help" || std::string_view(rest[0]) == "-h";
  if (!help) {
    std::string_view word = rest[0];
    if (word.starts_with("-")) {
      context.err.print(
          "{}: unknown flag: {}\n\nUsage:  {} {} COMMAND\n\nRun '{} {} --help' for more information\n",
          program, word, program, group.path, program, group.path);
      return usage_error;
    }
    return unknown_command(context, word, group.path);
  }
  output::Stream& out = rest.empty() ? context.err : context.out;
  out.write(grammar::group_help(style_for(out), context.tree(), group));
  return 0;
}

int perform(Context& context, const Entry& entry, Words rest) {
  Invocation invocation(*entry.command, std::string(entry.path));
  Parser parser(invocation);
  auto verdict = parser.parse(rest);
  if (!verdict) return complain(context, verdict.error().message(), entry.path, *entry.command, usage_error);
  if (*verdict == Parser::Verdict::Help) {
    context.out.write(
        grammar::command_help(style_for(context.out), context.tree(), entry.path, *entry.command));
    return 0;
  }
  if (auto complaint = grammar::arity_complaint(invocation, program)) {
    bool at_least = entry.command->arity.max == grammar::Arity::any;
    return complain(context, *complaint, entry.path, *entry.command, 1, at_least ? "See" : "Run");
  }
  auto exit_code = entry.command->action(context, invocation);
  if (exit_code) return *exit_code;
  context.report(exit_code.error());
  return exit_code.error().exit_code;
}

int help_for(Context& context, Words words) {
  size_t used = 0;
  const Entry* entry = find_entry(context.tree(), words, used);
  if (entry == nullptr && !words.empty()) return unknown_command(context, words[0], "");
  if (entry == nullptr) {
    context.out.write(
        grammar::program_help(style_for(context.out), context.tree(), commands::program_command.flags));
  } else if (entry->command == nullptr) {
    context.out.write(grammar::group_help(style_for(context.out), context.tree(), *entry));
  } else {
    context.out.write(
        grammar::command_help(style_for(context.out), context.tree(), entry->path, *entry->command));
  }
  return 0;
}

int dispatch(Context& context, Words words) {
  if (words.empty()) return help_for(context, {});
  std::string_view first = words[0];
  if (first == "help") return help_for(context, words.subspan(1));
  size_t used = 0;
  const Entry* entry = find_entry(context.tree(), words, used);
  if (entry == nullptr) {
    if (auto failure = run_plugin(context, words)) {
      context.report(*failure);
      return failure->exit_code;
    }
    return unknown_command(context, first, "");
  }
  if (entry->command == nullptr) return show_group(context, *entry, words.subspan(1));
  return perform(context, *entry, words.subspan(used));
}

/// What of the global flags cannot be honoured.
std::optional<std::string> refusal(const Invocation& invocation) {
  if (invocation.given("context") && invocation.given("host"))
    return std::string("conflicting options: cannot specify both --host and --context");
  if (invocation.list("host").size() > 1) return std::string("specify only one -H");
  std::string level = invocation.text("log-level");
  for (std::string_view known : {"debug", "info", "warn", "error", "fatal"}) {
    if (level == known) return std::nullopt;
  }
  return fmt::format("unable to parse logging level: {}", level);
}

}  // namespace

int run_program(Words words) {
  Invocation global(commands::program_command, "");
  Parser parser(global);
  auto verdict = parser.parse(words);

  GlobalOptions options;
  if (auto hosts = global.list("host"); !hosts.empty()) options.host = hosts.back();
  options.context = global.text("context");
  options.config_folder = global.text("config");
  options.debug = global.on("debug");
  if (global.on("tls") || global.on("tlsverify")) {
    auto server =
        global.on("tlsverify") ? client::TlsFiles::Server::Verified : client::TlsFiles::Server::Unverified;
    options.tls = client::TlsFiles{.server = server};
  }
  options.tls_ca = global.text("tlscacert");
  options.tls_certificate = global.text("tlscert");
  options.tls_key = global.text("tlskey");
  Context context(std::move(options), commands::command_tree());
  int exit_code = 0;
  if (!verdict) {
    exit_code = complain(context, verdict.error().message(), "", commands::program_command, usage_error);
  } else if (global.on("version")) {
    context.out.print("Berth version {}\n", BERTH_VERSION);
  } else if (*verdict == Parser::Verdict::Help) {
    exit_code = help_for(context, {});
  } else if (auto reason = refusal(global)) {
    context.report(Failure::client(*reason));
    exit_code = 1;
  } else {
    exit_code = dispatch(context, words.subspan(parser.consumed()));
  }
  context.out.flush();
  context.err.flush();
  if (exit_code == 0 && context.out.broken() != 0) {
    context.report(
        Failure::client(Error::from_errno("write", "standard output", context.out.broken()).message()));
    exit_code = 1;
  }
  return exit_code;
}

}  // namespace berth::cli
