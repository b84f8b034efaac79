// compose: the flags before the subcommand, and the way to it.
#include <signal.h>
#include <unistd.h>

#include <array>

#include "apps/berth/client/interception.h"
#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/prompt.h"
#include "apps/berth/commands/registry_auth.h"
#include "apps/berth/compose/artifact.h"
#include "apps/berth/compose/dry_run.h"
#include "apps/berth/compose/presentation.h"
#include "apps/berth/compose/request.h"
#include "apps/berth/compose/subcommand.h"
#include "apps/berth/grammar/help.h"
#include "base/bytes.h"
#include "base/json.h"

extern char** environ;

namespace berth::cli::compose {
namespace {

using grammar::Flag;
using grammar::Invocation;
using grammar::Type;
using grammar::Visibility;

constexpr std::array global_flags{
    Flag{.name = "all-resources",
         .help = "Show also networks and volumes that no service uses",
         .visibility = Visibility::Hidden},
    Flag{.name = "ansi",
         .type = Type::String,
         .help = "When to use colours (never, always, auto)",
         .fallback = "auto"},
    Flag{.name = "compatibility", .visibility = Visibility::Hidden},
    Flag{.name = "dry-run", .help = "Say what would be done, and do nothing"},
    Flag{.name = "env-file",
         .type = Type::List,
         .help = "File of variables for interpolation, instead of .env"},
    Flag{'f', "file", Type::List, "Compose file; several are merged"},
    Flag{.name = "no-ansi", .visibility = Visibility::Hidden},  // --ansi never
    Flag{.name = "parallel",
         .type = Type::Int,
         .help = "Services worked on at once; -1 for no limit",
         .fallback = "-1"},
    Flag{.name = "profile", .type = Type::List, .help = "Profile to enable"},
    Flag{.name = "progress",
         .type = Type::String,
         .help = "Kind of progress output (auto, tty, plain, json, quiet)",
         .fallback = "auto"},
    Flag{.name = "project-directory",
         .type = Type::String,
         .help = "Folder that relative paths are relative to (default: that of the first file)"},
    Flag{'p', "project-name", Type::String, "Name of the project"},
    Flag{.name = "verbose", .visibility = Visibility::Hidden},
    Flag{'v', "version", Type::Bool, "", "", nullptr, Visibility::Hidden},
    Flag{.name = "workdir",
         .type = Type::String,
         .visibility = Visibility::Hidden},  // what it was called once
};

constexpr grammar::Command self{.usage = "[OPTIONS] COMMAND",
                                .summary = "Run applications of several containers from a Compose file",
                                .flags = global_flags,
                                .arity = grammar::at_least(0),
                                .placement = grammar::FlagPlacement::BeforeArguments};

std::vector<Subcommand> all_subcommands() {
  std::vector<Subcommand> all;
  for (auto table : {life_subcommands(), down_subcommands(), verb_subcommands(), list_subcommands(),
                     logs_subcommands(), view_subcommands(), config_subcommands(), image_subcommands(),
                     publish_subcommands(), inside_subcommands()}) {
    all.insert(all.end(), table.begin(), table.end());
  }
  std::sort(all.begin(), all.end(), [](const Subcommand& a, const Subcommand& b) { return a.name < b.name; });
  return all;
}

grammar::HelpStyle style_of(const output::Stream& out) {
  unsigned columns = out.columns();
  return {.program = "berth", .columns = columns == 0 ? 80 : std::min<size_t>(columns, 120)};
}

void show_help(Context& context) {
  std::vector<std::string> paths;
  std::vector<grammar::Entry> entries;
  auto all = all_subcommands();
  paths.reserve(all.size());
  for (const Subcommand& sub : all) {
    paths.push_back(fmt::format("compose {}", sub.name));
    entries.push_back({paths.back(), sub.command});
  }
  context.out.write(grammar::command_help(style_of(context.out), context.tree(), "compose", self));
  context.out.write("\nCommands:\n");
  size_t width = 0;
  for (const Subcommand& sub : all) width = std::max(width, sub.name.size());
  for (const Subcommand& sub : all) {
    context.out.print("  {:<{}}  {}\n", sub.name, width, sub.command->summary);
  }
  context.out.write("\nRun 'berth compose COMMAND --help' for more information on a command.\n");
}

/// --dry-run may stand before and behind the subcommand.
bool take_dry_run(std::vector<const char*>& words, const Subcommand& sub) {
  const bool flags_first = sub.command->placement == grammar::FlagPlacement::BeforeArguments;
  for (auto word = words.begin(); word != words.end(); ++word) {
    const std::string_view text = *word;
    if (text == "--" || (flags_first && !text.starts_with('-'))) return false;
    if (text != "--dry-run" && text != "--dry-run=true") continue;
    words.erase(word);
    return true;
  }
  return false;
}

/// Ctrl-C ends a command with 130, as docker's compose does; who follows containers takes it over.
void end_on_interrupts() {
  for (int signal : {SIGINT, SIGTERM}) ::signal(signal, [](int) { ::_exit(130); });
}

Outcome<int> perform_subcommand(Context& context, const Invocation& globals, const Subcommand& sub) {
  Invocation invocation(*sub.command, fmt::format("compose {}", sub.name));
  std::vector<const char*> words;
  for (size_t i = 1; i < globals.arguments().size(); ++i) words.push_back(globals.argument(i).c_str());
  const bool dry = take_dry_run(words, sub) || globals.on("dry-run");
  grammar::Parser parser(invocation);
  auto verdict = parser.parse(words);
  if (!verdict) {
    context.err.print(
        "berth: {}\n\nUsage:  berth compose {} {}\n\nRun 'berth compose {} --help' for more information\n",
        verdict.error().message(), sub.name, sub.command->usage, sub.name);
    return 125;
  }
  if (*verdict == grammar::Parser::Verdict::Help) {
    context.out.write(grammar::command_help(style_of(context.out), context.tree(),
                                            fmt::format("compose {}", sub.name), *sub.command));
    return 0;
  }
  if (auto complaint = grammar::arity_complaint(invocation, "berth")) {
    context.err.print("berth: {}\n", *complaint);
    return 1;
  }
  end_on_interrupts();
  Setup setup(context, globals, dry ? std::make_shared<DryRun>() : nullptr);
  return sub.action(setup, invocation);
}

/// What docker's compose has and this one does not.
std::string_view reason_against(std::string_view verb) {
  if (verb == "bridge") return "it turns projects into files for Kubernetes by images that a registry has";
  if (verb == "alpha") return "docker's own trials";
  if (verb == "viz" || verb == "generate") return "it is one of docker's own trials";
  return {};
}

Outcome<int> compose(Context& context, const Invocation& globals) {
  if (!globals.on("version") && (globals.arguments().empty() || globals.argument(0) == "help")) {
    show_help(context);
    return 0;
  }
  const std::string name = globals.arguments().empty() ? "version" : globals.argument(0);
  for (const Subcommand& sub : all_subcommands()) {
    if (sub.name == name) return perform_subcommand(context, globals, sub);
  }
  if (auto reason = reason_against(name); !reason.empty())
    return refuse("berth compose has no \"{}\": {}", name, reason);
  context.err.print(
      "berth: unknown command: berth compose {}\n\nRun 'berth compose --help' for more information\n", name);
  return 1;
}

/// Compose files follow each other as documents of one; what they extend and env files have names of their
/// own.
Result<std::map<std::string, std::string>> artifact_files(const Json& layers) {
  std::map<std::string, std::string> files;
  for (const Json& layer : layers) {
    TRY(const std::string type, json_string(layer, "MediaType"));
    TRY(auto annotations, json_string_map(layer, "Annotations"));
    TRY(const std::string encoded, json_string(layer, "Content"));
    const auto content = from_base64(encoded);
    if (!content) return Error(Kind::Internal, "the engine answered with what is no base64");
    if (type == artifact_file_type) {
      const bool extended = annotations.contains(std::string(annotation_extends));
      std::string& file = files[extended ? annotations[std::string(annotation_file)] : "compose.yaml"];
      if (!file.empty()) file += "\n---\n";
      file += *content;
    } else if (type == artifact_env_type) {
      files[annotations[std::string(annotation_env_file)]] = *content;
    }
  }
  return files;
}

}  // namespace

Setup::Setup(Context& context, const Invocation& globals, std::shared_ptr<DryRun> dry)
    : context(context), globals_(globals), dry_(std::move(dry)) {
  if (dry_ == nullptr) return;
  client::intercept_requests([dry = dry_](const client::Request& request, const client::Ask& ask) {
    return dry->answer(request, ask);
  });
}

LoadOptions Setup::load_options(const std::vector<std::string>& selected) const {
  LoadOptions options{.files = globals_.list("file"),
                      .name = globals_.text("project-name"),
                      .directory = globals_.text(globals_.given("workdir") ? "workdir" : "project-directory"),
                      .env_files = globals_.list("env-file"),
                      .profiles = globals_.list("profile"),
                      .selected = selected,
                      .compatibility = globals_.on("compatibility"),
                      .all_resources = globals_.on("all-resources")};
  options.artifacts = [this](const std::string& reference) { return artifact(reference); };
  for (char** variable = environ; *variable != nullptr; ++variable) {
    std::string_view text = *variable;
    size_t equals = text.find('=');
    if (equals != std::string_view::npos)
      options.environment[std::string(text.substr(0, equals))] = text.substr(equals + 1);
  }
  return options;
}

Result<std::map<std::string, std::string>> Setup::artifact(const std::string& reference) const {
  client::Query query;
  query.add("ref", reference).add("type", artifact_type).add("config", artifact_config_type);
  auto headers = commands::registry_auth_header(context, reference);
  if (!headers) return Error(Kind::Unauthenticated, headers.error().message);
  auto reply =
      context.engine().call({.path = "/berth/artifacts", .query = query, .headers = std::move(*headers)});
  if (!reply && reply.error().message == "page not found")
    return Error(Kind::Unsupported, "oci:// needs berth's own engine");
  if (!reply) return Error(Kind::Unavailable, reply.error().text());
  TRY(const Json files, parse_json(reply->body));
  if (!files.is_array()) return Error(Kind::Internal, "the engine answered with no list of files");
  return artifact_files(files);
}

Outcome<std::unique_ptr<Session>> Setup::open(Project project) const {
  TRY(const Presentation how, presentation(globals_, project));
  output::Stream& status = how.status_on_stdout ? context.out : context.err;
  const Reporter::Style style{
      .mode = how.mode, .dry_run = dry_ != nullptr, .verbose = globals_.on("verbose")};
  auto session = std::make_unique<Session>(context, std::move(project), status, style);
  for (const std::string& warning : session->project.warnings) session->report.warn(warning);
  session->all_resources = globals_.on("all-resources");
  session->colours = how.colours;
  session->dry = dry_;
  if (how.parallel > 0) session->parallel = static_cast<size_t>(how.parallel);
  return session;
}

Outcome<std::unique_ptr<Session>> Setup::project(const std::vector<std::string>& selected,
                                                 EnvFiles env_files) const {
  LoadOptions options = load_options(selected);
  options.resolve_environment = env_files == EnvFiles::Read;
  auto project = load_project(options);
  if (!project) return Failure::plain(project.error().message());
  return open(std::move(*project));
}

Outcome<std::unique_ptr<Session>> Setup::known_by_name(const std::string& name) const {
  Project known{.name = name};
  known.environment = load_options().environment;
  TRY(auto session, open(std::move(known)));
  TRY(auto containers, session->containers());
  for (const Observed& container : containers) {
    Service& service = session->project.services[container.service];
    service.name = container.service;
    service.config = Value::map();
    service.config.set("image", Value::string(container.image));
    for (const auto& [other, condition] : container.depends_on)
      service.depends_on[other] = {.condition = condition,
                                   .restart = container.restarts_with.contains(other)};
  }
  return session;
}

Outcome<std::unique_ptr<Session>> Setup::project_or_name(const std::vector<std::string>& selected) const {
  LoadOptions options = load_options(selected);
  options.resolve_environment = false;
  if (!options.name.empty() && options.files.empty()) return known_by_name(options.name);
  auto project = load_project(options);
  Outcome<std::unique_ptr<Session>> session =
      project ? open(std::move(*project)) : Failure::plain(project.error().message());
  Outcome<void> usable = session ? Outcome<void>() : session.error();
  if (session) {
    if (auto services = (*session)->services(selected); !services) usable = services.error();
  }
  if (usable) return session;
  const auto name = options.environment.find("COMPOSE_PROJECT_NAME");
  if (name == options.environment.end() || name->second.empty()) return usable.error();
  TRY(auto by_name, known_by_name(name->second));
  const bool no_file = !project && project.error().kind() == Kind::NotFound;
  if (!no_file) by_name->report.warn(usable.error().text());
  return by_name;
}

Outcome<void> confirm_remote(Session& session, const Invocation& invocation) {
  const auto variable = session.project.environment.find("BERTH_COMPOSE_YES");
  const bool said = variable != session.project.environment.end() && variable->second == "1";
  if (session.project.remote.empty() || said || invocation.on("yes")) return {};
  session.context.err.line("This project includes files from elsewhere:");
  for (const std::string& name : session.project.remote) session.context.err.line("  - " + name);
  session.context.err.flush();
  if (::isatty(STDIN_FILENO) == 1 && commands::confirm(session.context, "They say what is run here. Go on?"))
    return {};
  return Failure::plain("files from elsewhere were not agreed to: give --yes, or set BERTH_COMPOSE_YES=1");
}

Outcome<void> require_services(Session& session, const std::vector<std::string>& services) {
  if (!session.project.files.empty()) {
    CHECK(session.services(services));
    return {};
  }
  // Without files a wrong word cannot be told from a service whose containers have gone.
  for (const std::string& name : services) {
    if (!session.project.services.contains(name)) session.report.warn("no such service: " + name);
  }
  return {};
}

Outcome<std::vector<Observed>> chosen_containers(Session& session, const std::vector<std::string>& services) {
  CHECK(require_services(session, services));
  TRY(auto containers, session.containers());
  std::erase_if(containers, [&](const Observed& container) {
    return !services.empty() &&
           std::find(services.begin(), services.end(), container.service) == services.end();
  });
  return containers;
}

}  // namespace berth::cli::compose

namespace berth::cli::commands {

const Command compose_command{.usage = compose::self.usage,
                              .summary = compose::self.summary,
                              .flags = compose::global_flags,
                              .arity = compose::self.arity,
                              .action = compose::compose,
                              .placement = compose::self.placement};

}  // namespace berth::cli::commands
