// exec, run, cp, attach, export, watch: a service's containers from inside.
#include <array>
#include <random>

#include "apps/berth/archive/file_text.h"
#include "apps/berth/commands/commands.h"
#include "apps/berth/compose/config_hash.h"
#include "apps/berth/compose/converge.h"
#include "apps/berth/compose/dotenv.h"
#include "apps/berth/compose/images.h"
#include "apps/berth/compose/normalise.h"
#include "apps/berth/compose/provider.h"
#include "apps/berth/compose/request.h"
#include "apps/berth/compose/subcommand.h"
#include "apps/berth/compose/watch.h"
#include "apps/berth/terminal/raw_mode.h"
#include "base/json.h"

#include <unistd.h>

namespace berth::cli::compose {
namespace {

using client::path_of;
using client::Query;
using grammar::Command;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;
using grammar::Visibility;

/// "--name=value" for flags that were given, as another command takes them.
void pass_on(const Invocation& invocation, std::initializer_list<std::string_view> names,
             std::vector<std::string>& words) {
  for (std::string_view name : names) {
    if (!invocation.given(name)) continue;
    for (const std::string& value : invocation.list(name))
      words.push_back(fmt::format("--{}={}", name, value));
  }
}

bool wants_terminal(const Invocation& invocation) {
  if (invocation.on("no-tty") || invocation.on("no-TTY")) return false;
  return terminal::is_terminal(STDIN_FILENO) && terminal::is_terminal(STDOUT_FILENO);
}

/// `run`: a terminal if there is one, unless a flag says what is wanted.
Outcome<bool> wants_terminal_for_run(const Invocation& invocation, bool interactive) {
  std::optional<bool> said;
  for (std::string_view flag : {"no-tty", "no-TTY"})
    if (invocation.given(flag)) said = !invocation.on(flag);
  if (invocation.given("tty")) {
    if (said) return refuse("--tty and --no-TTY can't be used together");
    said = invocation.on("tty");
  }
  if (!said && invocation.given("interactive")) said = terminal::is_terminal(STDOUT_FILENO);
  if (!said) return wants_terminal(invocation);
  if (*said && interactive && !terminal::is_terminal(STDIN_FILENO))
    return Failure::plain("the input device is not a TTY");
  return *said;
}

/// A name alone takes the value that the caller or .env has.
std::string with_value(const Project& project, const std::string& variable) {
  if (variable.find('=') != std::string::npos) return variable;
  auto found = project.environment.find(variable);
  return found == project.environment.end() ? variable : fmt::format("{}={}", variable, found->second);
}

Outcome<int> exec(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name({invocation.argument(0)}));
  int64_t index = invocation.given("index") ? invocation.number("index") : 0;
  TRY(Observed container, session->container(invocation.argument(0), index));
  if (!container.running())
    return Failure::plain(fmt::format("service \"{}\" is not running", invocation.argument(0)));
  std::vector<std::string> words;
  bool detach = invocation.on("detach");
  if (detach && session->dry_run()) {
    session->report.tell("Container", container.name, "Executing command");
    return 0;
  }
  if (detach) words.push_back("--detach");
  if (!detach && invocation.text("interactive") != "false") words.push_back("--interactive");
  if (!detach && wants_terminal(invocation)) words.push_back("--tty");
  pass_on(invocation, {"user", "workdir", "privileged"}, words);
  for (const std::string& variable : invocation.list("env"))
    words.push_back("--env=" + with_value(session->project, variable));
  words.push_back(container.id);
  words.insert(words.end(), invocation.arguments().begin() + 1, invocation.arguments().end());
  return perform(setup.context, commands::exec_command, "exec", words);
}

std::string random_slug() {
  std::random_device source;
  return fmt::format("{:08x}{:04x}", source(), source() & 0xffff);
}

Result<void> add_env_files(const std::vector<std::string>& files, std::map<std::string, std::string>& into) {
  auto own = [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  for (const std::string& file : files) {
    TRY(std::string text, archive::read_text(file, size_t{4} << 20));
    TRY(auto variables, parse_dotenv(text, file, own));
    for (auto& variable : variables) {
      auto value = variable.value ? variable.value : own(variable.name);
      if (value) into[variable.name] = *value;
    }
  }
  return {};
}

Outcome<OneOff> one_off(const Project& project, const Invocation& invocation) {
  OneOff one;
  const auto& arguments = invocation.arguments();
  if (arguments.size() > 1) one.command = std::vector<std::string>(arguments.begin() + 1, arguments.end());
  if (invocation.given("entrypoint")) {
    auto words = split_command(invocation.text("entrypoint"));
    if (!words) return refuse("--entrypoint: {}", words.error().message());
    one.entrypoint = std::move(*words);
  }
  CHECK(add_env_files(invocation.list("env-from-file"), one.environment));
  for (const std::string& given : invocation.list("env")) {
    const std::string variable = with_value(project, given);
    const size_t equals = variable.find('=');
    if (equals != std::string::npos)
      one.environment[variable.substr(0, equals)] = variable.substr(equals + 1);
  }
  one.labels = invocation.list("label");
  for (const std::string& label : one.labels)
    if (label.find('=') == std::string::npos) return refuse("label must be set as KEY=VALUE");
  one.publish = invocation.list("publish");
  one.volumes = invocation.list("volume");
  for (const std::string& volume : invocation.list("volumes")) one.volumes.push_back(volume);
  one.user = invocation.text("user");
  one.working_directory = invocation.text("workdir");
  one.cap_add = invocation.list("cap-add");
  one.cap_drop = invocation.list("cap-drop");
  one.service_ports = invocation.on("service-ports");
  one.use_aliases = invocation.on("use-aliases");
  bool detach = invocation.on("detach");
  one.interactive = !invocation.given("interactive") || invocation.on("interactive");
  if (!detach) {
    TRY(one.tty, wants_terminal_for_run(invocation, one.interactive));
  }
  one.auto_remove = invocation.on("rm");
  return one;
}

Outcome<std::string> create_one_off(Session& session, const Service& service, const Invocation& invocation) {
  std::string slug = random_slug();
  CreateInput input;
  TRY(input.one_off, one_off(session.project, invocation));
  input.one_off->labels.push_back("com.docker.compose.slug=" + slug);
  TRY(Json image, call_json(session.context.engine(), "GET",
                            client::image_path(image_of(session.project, service), "json")));
  TRY(input.image_id, json_string(image, "Id"));
  TRY(auto containers, session.containers());
  input.container_of = [&](const std::string& other) -> std::optional<std::string> {
    for (const Observed& container : containers) {
      if (container.service == other) return container.id;
    }
    return std::nullopt;
  };
  input.hash = config_hash(service, input.container_of);
  TRY(Json body, create_body(session.project, service, input));
  std::string name = invocation.text("name");
  if (name.empty())
    name = fmt::format("{}{}{}{}run{}{}", session.project.name, session.project.separator, service.name,
                       session.project.separator, session.project.separator, slug);
  Query query;
  query.add("name", name);
  TRY(Json made,
      call_json(session.context.engine(), "POST", "/containers/create", std::move(query), to_json(body)));
  TRY(std::string id, json_string(made, "Id"));
  CHECK(put_files(session.project, service, id, session.context.engine()));
  return id;
}

Outcome<int> run(Setup& setup, const Invocation& invocation) {
  const std::string& name = invocation.argument(0);
  if (invocation.on("service-ports") && invocation.given("publish"))
    return refuse("--service-ports and --publish are incompatible");
  TRY(auto session, setup.project({name}));
  CHECK(session->services({name}));
  CHECK(confirm_remote(*session, invocation));
  if (is_provided(session->project.services.at(name)))
    return Failure::plain(fmt::format("service \"{}\" comes from a provider: it has no image to run", name));
  Service service = session->project.services.at(name);
  std::vector<std::string> dependencies;
  for (const auto& [other, dependency] : service.depends_on) {
    if (session->project.services.contains(other)) dependencies.push_back(other);
  }
  ImageOptions images{.build = invocation.on("build"),
                      .pull = invocation.text("pull"),
                      .quiet_pull = invocation.on("quiet-pull"),
                      .quiet_build = invocation.on("quiet-build")};
  CHECK(ensure_images(*session, {name}, images));
  // Networks and volumes are made as for the service itself, with no container of it.
  ConvergeOptions options{
      .services = {name}, .dependencies = !invocation.on("no-deps"), .recreate = Recreate::Never};
  options.remove_orphans = invocation.on("remove-orphans");
  options.ignore_orphans = session->project.is_on("COMPOSE_IGNORE_ORPHANS");
  if (!invocation.on("no-deps")) {
    auto needed = session->project.with_dependencies(dependencies);
    CHECK(ensure_images(*session, {needed.begin(), needed.end()}, images));
  }
  TRY(auto before, session->containers_of(name));
  options.scale = {{name, static_cast<int64_t>(before.size())}};
  options.start = true;
  CHECK(Converger(*session, options).run());
  service.config = session->project.services.at(name).config;  // with what providers have told
  TRY(std::string id, create_one_off(*session, service, invocation));
  if (invocation.on("detach")) {
    CHECK(call(setup.context.engine(), "POST", path_of("containers", id, "start")));
    setup.context.out.line(id);
    return 0;
  }
  return perform(setup.context, commands::start_command, "start", {"--attach", "--interactive", id});
}

struct CopyPlace {
  std::string service, path;  ///< no service: a path of the host's
};

CopyPlace copy_place(const std::string& argument) {
  const size_t colon = argument.find(':');
  const bool inside = colon != std::string::npos && !argument.starts_with('/') && !argument.starts_with('.');
  return inside ? CopyPlace{argument.substr(0, colon), argument.substr(colon + 1)} : CopyPlace{"", argument};
}

Outcome<int> copy(Setup& setup, const Invocation& invocation) {
  std::vector<std::string> flags;
  pass_on(invocation, {"archive", "follow-link"}, flags);
  TRY(auto session, setup.project_or_name({}));
  const int64_t index = invocation.given("index") ? invocation.number("index") : 0;
  const CopyPlace from = copy_place(invocation.argument(0)), to = copy_place(invocation.argument(1));
  if (from.service.empty() == to.service.empty())
    return refuse("give a path of the host's and SERVICE:PATH, in the order from and to");
  const std::string& service = from.service.empty() ? to.service : from.service;
  std::vector<Observed> containers;
  if (from.service.empty() && index == 0) {
    // What comes from the host goes to all containers of the service.
    CHECK(session->services({service}));
    TRY(containers, session->containers_of(service));
  }
  if (containers.empty()) {
    TRY(Observed one, session->container(service, index));
    containers.push_back(std::move(one));
  }
  for (const Observed& container : containers) {
    if (session->dry_run()) {
      session->report.tell("Container", container.name, "Copied");
      continue;
    }
    std::vector<std::string> words = flags;
    for (const CopyPlace& place : {from, to})
      words.push_back(place.service.empty() ? place.path : container.id + ":" + place.path);
    TRY(const int code, perform(setup.context, commands::copy_command, "cp", words));
    if (code != 0) return code;
  }
  return 0;
}

Outcome<int> attach(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name({invocation.argument(0)}));
  TRY(Observed container,
      session->container(invocation.argument(0), invocation.given("index") ? invocation.number("index") : 0));
  std::vector<std::string> words;
  pass_on(invocation, {"detach-keys", "no-stdin", "sig-proxy"}, words);
  words.push_back(container.id);
  return perform(setup.context, commands::attach_command, "attach", words);
}

Outcome<int> export_root(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name({invocation.argument(0)}));
  TRY(Observed container,
      session->container(invocation.argument(0), invocation.given("index") ? invocation.number("index") : 0));
  std::vector<std::string> words;
  if (session->dry_run()) {
    session->report.tell("Container", container.name, "Exported");
    return 0;
  }
  pass_on(invocation, {"output"}, words);
  words.push_back(container.id);
  return perform(setup.context, commands::export_command, "export", words);
}

Outcome<int> commit(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name({invocation.argument(0)}));
  TRY(Observed container,
      session->container(invocation.argument(0), invocation.given("index") ? invocation.number("index") : 0));
  std::vector<std::string> words;
  if (session->dry_run()) {
    session->report.tell("Container", container.name, "Committed");
    return 0;
  }
  pass_on(invocation, {"author", "change", "message", "pause"}, words);
  words.push_back(container.id);
  if (invocation.arguments().size() > 1) words.push_back(invocation.argument(1));
  return perform(setup.context, commands::commit_command, "commit", words);
}

Outcome<int> watch(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project(invocation.arguments()));
  if (session->dry_run()) return refuse("watch is not supported in dry-run mode");
  CHECK(confirm_remote(*session, invocation));
  TRY(auto watching, Watching::prepare(*session, invocation.arguments()));
  if (!invocation.on("no-up")) {
    TRY(auto names, session->services(invocation.arguments()));
    CHECK(ensure_images(*session, names, {.build = true}));
    CHECK(Converger(*session, {.services = invocation.arguments()}).run());
  }
  CHECK(watching->run());
  return 0;
}

constexpr Flag index_flag{.name = "index", .type = Type::Int, .help = "Number of the container"};
constexpr std::array exec_flags{
    Flag{'d', "detach", Type::Bool, "Run in the background"},
    Flag{'e', "env", Type::List, "Set an environment variable"},
    index_flag,
    Flag{'i', "interactive", Type::Bool, "Keep standard input open", "true", nullptr, Visibility::Hidden},
    Flag{'T', "no-tty", Type::Bool, "Do not allocate a terminal"},
    Flag{.name = "no-TTY", .visibility = Visibility::Hidden},
    Flag{.name = "privileged", .help = "Give the command all privileges"},
    Flag{'t', "tty", Type::Bool, "Allocate a terminal", "true", nullptr, Visibility::Hidden},
    Flag{'u', "user", Type::String, "User to run as"},
    Flag{'w', "workdir", Type::String, "Working directory"},
};
constexpr std::array run_flags{
    Flag{.name = "build", .help = "Build the image first"},
    Flag{.name = "cap-add", .type = Type::List, .help = "Add a capability"},
    Flag{.name = "cap-drop", .type = Type::List, .help = "Drop a capability"},
    Flag{'d', "detach", Type::Bool, "Run in the background and print the container's id"},
    Flag{.name = "entrypoint", .type = Type::String, .help = "Run this instead of the image's entrypoint"},
    Flag{'e', "env", Type::List, "Set an environment variable"},
    Flag{.name = "env-from-file", .type = Type::List, .help = "Read environment variables from a file"},
    Flag{'i', "interactive", Type::Bool, "Keep standard input open", "true"},
    Flag{'l', "label", Type::List, "Label of the container"},
    Flag{.name = "name", .type = Type::String, .help = "Name of the container"},
    Flag{'T', "no-tty", Type::Bool, "Do not allocate a terminal"},
    Flag{.name = "no-TTY", .visibility = Visibility::Hidden},
    Flag{.name = "no-deps", .help = "Do not start dependencies"},
    Flag{'p', "publish", Type::List, "Publish a port"},
    Flag{.name = "pull", .type = Type::String, .help = "Pull the image first (always, missing, never)"},
    Flag{'q', "quiet", Type::Bool, "", "", nullptr, Visibility::Hidden},
    Flag{.name = "quiet-build", .visibility = Visibility::Hidden},
    Flag{.name = "quiet-pull", .help = "Pull without progress"},
    Flag{.name = "remove-orphans", .help = "Remove containers of services that the file no longer has"},
    Flag{.name = "rm", .help = "Remove the container when it ends"},
    Flag{'P', "service-ports", Type::Bool, "Publish the service's ports"},
    Flag{'t', "tty", Type::Bool, "", "true", nullptr, Visibility::Hidden},
    Flag{.name = "use-aliases", .help = "Take the service's names on its networks"},
    Flag{'u', "user", Type::String, "User to run as"},
    Flag{'v', "volume", Type::List, "Mount a volume"},
    Flag{
        .name = "volumes", .type = Type::List, .visibility = Visibility::Hidden},  // how docker's may call it
    Flag{'w', "workdir", Type::String, "Working directory"},
    yes_flag,
};
constexpr std::array copy_flags{
    Flag{.name = "all", .visibility = Visibility::Hidden},
    Flag{'a', "archive", Type::Bool, "Keep owners"},
    Flag{'L', "follow-link", Type::Bool, "Follow links in the source"},
    index_flag,
};
constexpr std::array attach_flags{
    Flag{.name = "detach-keys", .type = Type::String, .help = "Keys that detach"},
    index_flag,
    Flag{.name = "no-stdin", .help = "Do not attach standard input"},
    Flag{.name = "sig-proxy", .help = "Pass signals on", .fallback = "true"},
};
constexpr std::array export_flags{index_flag, Flag{'o', "output", Type::String, "Write to a file"}};
constexpr std::array watch_flags{
    Flag{.name = "no-up", .help = "Do not build and start the services first"},
    Flag{.name = "prune", .visibility = Visibility::Hidden},
    Flag{.name = "quiet", .visibility = Visibility::Hidden},
    yes_flag,
};

constexpr Command exec_command{.usage = "[OPTIONS] SERVICE COMMAND [ARGS...]",
                               .summary = "Run a command in a running container",
                               .flags = exec_flags,
                               .arity = grammar::at_least(2),
                               .placement = grammar::FlagPlacement::BeforeArguments};
constexpr Command run_command{.usage = "[OPTIONS] SERVICE [COMMAND] [ARGS...]",
                              .summary = "Run a command in a container of its own",
                              .flags = run_flags,
                              .arity = grammar::at_least(1),
                              .placement = grammar::FlagPlacement::BeforeArguments};
constexpr Command copy_command{.usage = "[OPTIONS] SERVICE:SRC_PATH DEST_PATH|-",
                               .summary = "Copy files to or from a container",
                               .flags = copy_flags,
                               .arity = grammar::exactly(2)};
constexpr Command attach_command{.usage = "[OPTIONS] SERVICE",
                                 .summary = "Attach to a running container",
                                 .flags = attach_flags,
                                 .arity = grammar::exactly(1)};
constexpr Command export_command{.usage = "[OPTIONS] SERVICE",
                                 .summary = "Export a container's files as an archive",
                                 .flags = export_flags,
                                 .arity = grammar::exactly(1)};
constexpr std::array commit_flags{
    Flag{'a', "author", Type::String, "Author of the image"},
    Flag{'c', "change", Type::List, "Apply an instruction of a Dockerfile"},
    index_flag,
    Flag{'m', "message", Type::String, "What the image is for"},
    Flag{'p', "pause", Type::Bool, "Pause the container meanwhile", "true"},
};
constexpr Command commit_command{.usage = "[OPTIONS] SERVICE [REPOSITORY[:TAG]]",
                                 .summary = "Make an image of a service's container",
                                 .flags = commit_flags,
                                 .arity = grammar::between(1, 2)};
constexpr Command watch_command{.usage = "[SERVICE...]",
                                .summary = "Bring changes of source files into the containers",
                                .flags = watch_flags,
                                .arity = grammar::at_least(0)};

constexpr std::array table{
    Subcommand{"exec", &exec_command, exec},       Subcommand{"run", &run_command, run},
    Subcommand{"cp", &copy_command, copy},         Subcommand{"attach", &attach_command, attach},
    Subcommand{"commit", &commit_command, commit}, Subcommand{"export", &export_command, export_root},
    Subcommand{"watch", &watch_command, watch},
};

}  // namespace

std::span<const Subcommand> inside_subcommands() {
  return table;
}

}  // namespace berth::cli::compose
