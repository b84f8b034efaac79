// compose: the flags before the subcommand, and the way to it.
#include <unistd.h>

#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/prompt.h"
#include "apps/berth/commands/registry_auth.h"
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
    Flag{.name = "dry-run", .visibility = Visibility::Hidden},
    Flag{.name = "env-file",
         .type = Type::List,
         .help = "File of variables for interpolation, instead of .env"},
    Flag{'f', "file", Type::List, "Compose file; several are merged"},
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
};

constexpr grammar::Command self{.usage = "[OPTIONS] COMMAND",
                                .summary = "Run applications of several containers from a Compose file",
                                .flags = global_flags,
                                .arity = grammar::at_least(0),
                                .placement = grammar::FlagPlacement::BeforeArguments};

std::vector<Subcommand> all_subcommands() {
  std::vector<Subcommand> all;
  for (auto table : {life_subcommands(), verb_subcommands(), list_subcommands(), view_subcommands(),
                     config_subcommands(), image_subcommands(), inside_subcommands()}) {
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

Outcome<int> perform_subcommand(Context& context, const Invocation& globals, const Subcommand& sub) {
  Invocation invocation(*sub.command, fmt::format("compose {}", sub.name));
  std::vector<const char*> words;
  for (size_t i = 1; i < globals.arguments().size(); ++i) words.push_back(globals.argument(i).c_str());
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
  Setup setup(context, globals);
  return sub.action(setup, invocation);
}

/// What docker's compose has and this one does not.
std::string_view reason_against(std::string_view verb) {
  if (verb == "bridge") return "it turns projects into files for Kubernetes by images that a registry has";
  if (verb == "publish")
    return "projects are published by docker's compose; here they are run (-f oci://...)";
  if (verb == "alpha") return "docker's own trials";
  if (verb == "viz" || verb == "generate") return "it is one of docker's own trials";
  return {};
}

Outcome<int> compose(Context& context, const Invocation& globals) {
  if (globals.on("dry-run"))
    return refuse(
        "--dry-run: berth compose always does what it says: \"config\" shows what would be run, and "
        "\"up --rollback\" puts everything back if something fails");
  if (globals.arguments().empty() || globals.argument(0) == "help") {
    show_help(context);
    return 0;
  }
  const std::string& name = globals.argument(0);
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
    if (type == "application/vnd.docker.compose.file+yaml") {
      const bool extended = annotations.contains("com.docker.compose.extends");
      std::string& file = files[extended ? annotations["com.docker.compose.file"] : "compose.yaml"];
      if (!file.empty()) file += "\n---\n";
      file += *content;
    } else if (type == "application/vnd.docker.compose.envfile") {
      files[annotations["com.docker.compose.envfile"]] = *content;
    }
  }
  return files;
}

}  // namespace

LoadOptions Setup::load_options(const std::vector<std::string>& selected) const {
  LoadOptions options{.files = globals_.list("file"),
                      .name = globals_.text("project-name"),
                      .directory = globals_.text("project-directory"),
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
  // As `docker compose publish` names them.
  constexpr const char* type = "application/vnd.docker.compose.project";
  constexpr const char* config_type = "application/vnd.docker.compose.config.empty.v1+json";
  client::Query query;
  query.add("ref", reference).add("type", type).add("config", config_type);
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
  bool quiet = globals_.text("progress") == "quiet";
  auto session = std::make_unique<Session>(context, std::move(project), quiet);
  for (const std::string& warning : session->project.warnings) session->report.warn(warning);
  int64_t parallel = globals_.number("parallel");
  if (parallel > 0) session->parallel = static_cast<size_t>(parallel);
  return session;
}

Outcome<std::unique_ptr<Session>> Setup::project(const std::vector<std::string>& selected) const {
  auto project = load_project(load_options(selected));
  if (!project) return Failure::plain(project.error().message());
  return open(std::move(*project));
}

Outcome<std::unique_ptr<Session>> Setup::project_or_name(const std::vector<std::string>& selected) const {
  LoadOptions options = load_options(selected);
  auto project = load_project(options);
  if (project) return open(std::move(*project));
  auto from_environment = options.environment.find("COMPOSE_PROJECT_NAME");
  std::string name = options.name;
  if (name.empty() && from_environment != options.environment.end()) name = from_environment->second;
  bool has_files = !options.files.empty() || options.environment.contains("COMPOSE_FILE");
  if (name.empty() || has_files) {
    return Failure::plain(project.error().message());
  }
  Project known{.name = name};
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

Outcome<std::vector<Observed>> chosen_containers(Session& session, const std::vector<std::string>& services) {
  if (!services.empty()) CHECK(session.services(services));
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
