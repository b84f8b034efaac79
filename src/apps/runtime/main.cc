// berth-runtime: an OCI runtime.
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "apps/runtime/create.h"
#include "apps/runtime/flags.h"
#include "apps/runtime/own_program.h"
#include "apps/runtime/settings.h"
#include "base/format.h"
#include "base/log.h"
#include "sys/file.h"

namespace berth::runtime {
namespace {

constexpr Flag kGlobalFlags[] = {{"root"},
                                 {"log"},
                                 {"log-format"},
                                 {"debug", FlagKind::Switch},
                                 {"systemd-cgroup", FlagKind::Switch, 's'},
                                 {"cgroup-manager"},
                                 {"rootless"},
                                 {"criu"},
                                 {"help", FlagKind::Switch, 'h'},
                                 {"version", FlagKind::Switch, 'v'}};

enum class Own { Program, SafeCopy };

struct VerbEntry {
  std::string_view name;
  Verb verb;
  /// Whether a process that a container sees is made of this program.
  Own own;
  std::string_view usage;
};

constexpr VerbEntry kVerbs[] = {
    {"create", create, Own::SafeCopy, "[--bundle DIR] [--console-socket PATH] [--pid-file PATH] ID"},
    {"start", start, Own::Program, "ID"},
    {"run", run, Own::SafeCopy, "[--bundle DIR] [--detach] [--keep] [--pid-file PATH] ID"},
    {"exec", exec, Own::SafeCopy, "[--process FILE] [--tty] [--detach] [--pid-file PATH] ID [COMMAND...]"},
    {"kill", kill, Own::Program, "[--all] ID [SIGNAL]"},
    {"delete", remove, Own::Program, "[--force] ID"},
    {"state", state, Own::Program, "ID"},
    {"list", list, Own::Program, "[--quiet] [--format table|json]"},
    {"ps", ps, Own::Program, "[--format table|json] ID [PS-FLAGS...]"},
    {"events", events, Own::Program, "[--stats] [--interval 5s] ID"},
    {"pause", pause, Own::Program, "ID"},
    {"resume", resume, Own::Program, "ID"},
    {"update", update, Own::Program, "[--resources FILE|-] [--memory BYTES] [--cpu-quota USEC] ... ID"},
    {"features", features, Own::Program, ""},
    {"spec", spec, Own::Program, "[--bundle DIR] [--rootless]"},
    {"checkpoint", checkpoint, Own::Program,
     "[--image-path DIR] [--work-path DIR] [--leave-running] [--pre-dump] ... ID"},
    {"restore", restore, Own::Program,
     "[--bundle DIR] [--image-path DIR] [--work-path DIR] [--detach] [--pid-file PATH] ... ID"},
};

std::string help_text() {
  std::string text =
      "Usage:  berth-runtime [OPTIONS] COMMAND ...\n\nAn OCI runtime: runs bundles as the OCI runtime "
      "specification has them.\n\nOptions:\n"
      "  --root DIR                Where containers are kept (default /run/berth-runtime)\n"
      "  --log FILE                Write errors there too\n"
      "  --log-format text|json    How (default text)\n"
      "  --debug                   Tell every call and how it ended too\n"
      "  --rootless true|false|auto\n"
      "                            Containers without a control group: also where making one is not "
      "permitted,\n"
      "                            never, or where this host has none that can be written to (default auto)\n"
      "  --cgroup-manager cgroupfs|systemd|disabled\n"
      "                            disabled: no control groups and no limits (default cgroupfs)\n"
      "  --systemd-cgroup          Groups are systemd's scopes, cgroupsPath is SLICE:PREFIX:NAME\n"
      "  --criu PATH               For checkpoint and restore (default CRIU, or criu in PATH)\n"
      "  --version                 Print the version\n\nCommands:\n";
  for (const auto& entry : kVerbs) text += fmt::format("  {:<11}{}\n", entry.name, entry.usage);
  return text;
}

std::string default_root() {
  const char* runtime_dir = std::getenv("XDG_RUNTIME_DIR");
  if (::geteuid() != 0 && runtime_dir != nullptr) return fmt::format("{}/berth-runtime", runtime_dir);
  return "/run/berth-runtime";
}

/// Of runc's --rootless and crun's --cgroup-manager.
Result<Groups> groups_of(const CommandLine& line) {
  std::string manager = line.text("cgroup-manager");
  if (manager == "disabled") return Groups::None;
  if (line.has("cgroup-manager") && manager != "cgroupfs" && manager != "systemd")
    return failure(Kind::InvalidArgument,
                   "--cgroup-manager \"{}\": it is \"cgroupfs\", \"systemd\" or \"disabled\"", manager);
  std::string rootless = line.text("rootless");
  if (!line.has("rootless") || rootless == "auto") return Groups::WherePossible;
  if (rootless == "true") return Groups::Forgiven;
  if (rootless == "false") return Groups::Demanded;
  return failure(Kind::InvalidArgument, "--rootless \"{}\": it is \"true\", \"false\" or \"auto\"", rootless);
}

Result<Settings> settings_of(const CommandLine& line) {
  Settings settings{.root = line.has("root") ? line.text("root") : default_root(),
                    .root_is_given = line.has("root")};
  std::string format = line.text("log-format");
  if (!format.empty() && format != "text" && format != "json")
    return failure(Kind::InvalidArgument, "invalid log format \"{}\": it is \"text\" or \"json\"", format);
  settings.complaints.set_log(line.text("log"),
                              format == "json" ? Complaints::Format::Json : Complaints::Format::Text);
  CHECK(settings.complaints.check());
  settings.complaints.set_debug(line.on("debug"));
  TRY(settings.groups, groups_of(line));
  settings.criu = line.text("criu");
  settings.systemd_cgroup = line.on("systemd-cgroup") || line.text("cgroup-manager") == "systemd";
  return settings;
}

int fail(const Complaints& complaints, const Error& error) {
  complaints.error(error.message());
  return 1;
}

/// Flags after the verb that every verb has.
bool asks_for_help(const std::vector<std::string>& words) {
  return !words.empty() && (words[0] == "--help" || words[0] == "-h");
}

int run_verb(const VerbEntry& entry, const Settings& settings, const std::vector<std::string>& words,
             char** arguments, char** environment) {
  if (asks_for_help(words)) {
    (void)sys::write_all(STDOUT_FILENO,
                         fmt::format("Usage:  berth-runtime {} {}\n", entry.name, entry.usage));
    return 0;
  }
  if (entry.own == Own::SafeCopy) {
    if (auto done = run_from_safe_copy(arguments, environment); !done)
      return fail(settings.complaints, done.error());
  }
  settings.complaints.debug(fmt::format("{} {}", entry.name, fmt::join(words, " ")));
  auto code = entry.verb(settings, words);
  settings.complaints.debug(
      fmt::format("{}: {}", entry.name, code ? fmt::format("exit code {}", *code) : code.error().message()));
  return code ? *code : fail(settings.complaints, code.error());
}

}  // namespace

int main(int argc, char** argv, char** environment) {
  ::signal(SIGPIPE, SIG_IGN);
  log::set_level(log::Level::Error);
  std::vector<std::string> words(argv + 1, argv + argc);
  auto line = CommandLine::parse(words, kGlobalFlags, CommandLine::Order::FlagsFirst);
  if (!line) return fail({}, line.error());
  if (line->on("version")) {
    (void)sys::write_all(STDOUT_FILENO,
                         fmt::format("berth-runtime version {}\nspec: 1.3.0\n", BERTH_VERSION));
    return 0;
  }
  if (line->on("help") || line->arguments().empty() || line->arguments()[0] == "help") {
    (void)sys::write_all(line->on("help") ? STDOUT_FILENO : STDERR_FILENO, help_text());
    return line->arguments().empty() && !line->on("help") ? 1 : 0;
  }
  auto settings = settings_of(*line);
  if (!settings) return fail({}, settings.error());
  std::string verb = line->arguments()[0];
  for (const auto& entry : kVerbs) {
    if (entry.name != verb) continue;
    return run_verb(entry, *settings, {line->arguments().begin() + 1, line->arguments().end()}, argv,
                    environment);
  }
  return fail(settings->complaints,
              failure(Kind::InvalidArgument, "unknown command \"{}\": see \"berth-runtime --help\"", verb));
}

}  // namespace berth::runtime

int main(int argc, char** argv, char** environment) {
  return berth::runtime::main(argc, argv, environment);
}
