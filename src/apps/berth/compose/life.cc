// up, create, down, start, stop, restart, kill, pause, unpause, rm, scale, wait.
#include <algorithm>
#include <array>
#include <charconv>

#include "apps/berth/compose/attached.h"
#include "apps/berth/compose/converge.h"
#include "apps/berth/compose/images.h"
#include "apps/berth/compose/request.h"
#include "apps/berth/compose/subcommand.h"
#include "apps/berth/compose/watch.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

using client::path_of;
using client::Query;
using grammar::Command;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;
using grammar::Visibility;

Outcome<std::map<std::string, int64_t>> scales(const std::vector<std::string>& texts) {
  std::map<std::string, int64_t> result;
  for (const std::string& text : texts) {
    size_t equals = text.find('=');
    int64_t count = -1;
    if (equals != std::string::npos) {
      auto [end, error] = std::from_chars(text.data() + equals + 1, text.data() + text.size(), count);
      if (error != std::errc() || end != text.data() + text.size()) count = -1;
    }
    if (count < 0 || count > 10'000)
      return refuse("invalid scale specifier: \"{}\": give SERVICE=NUMBER", text);
    result[text.substr(0, equals)] = count;
  }
  return result;
}

std::optional<int64_t> timeout_of(const Invocation& invocation) {
  return invocation.given("timeout") ? std::optional(invocation.number("timeout")) : std::nullopt;
}

Outcome<ConvergeOptions> converge_options(const Invocation& invocation) {
  ConvergeOptions options{.services = invocation.arguments(), .dependencies = !invocation.on("no-deps")};
  if (invocation.on("force-recreate") && invocation.on("no-recreate")) {
    return refuse("--force-recreate and --no-recreate are incompatible");
  }
  if (invocation.on("force-recreate")) options.recreate = Recreate::Always;
  if (invocation.on("no-recreate")) options.recreate = options.recreate_dependencies = Recreate::Never;
  if (invocation.on("always-recreate-deps")) options.recreate_dependencies = Recreate::Always;
  if (invocation.arguments().empty()) options.recreate_dependencies = options.recreate;
  options.renew_anonymous_volumes = invocation.on("renew-anon-volumes");
  options.remove_orphans = invocation.on("remove-orphans");
  options.wait = invocation.on("wait");
  options.rollback = invocation.on("rollback");
  options.start = !invocation.on("no-start");
  options.timeout = timeout_of(invocation);
  TRY(options.scale, scales(invocation.list("scale")));
  return options;
}

Outcome<void> prepare_images(Session& session, const Invocation& invocation, const ConvergeOptions& options) {
  if (invocation.on("build") && invocation.on("no-build"))
    return refuse("--build and --no-build are incompatible");
  TRY(auto chosen, session.services(options.services));
  auto names = options.dependencies ? session.project.with_dependencies(chosen)
                                    : std::set<std::string>(chosen.begin(), chosen.end());
  std::vector<std::string> ordered;
  for (const std::string& name : session.project.in_order()) {
    if (names.contains(name)) ordered.push_back(name);
  }
  return ensure_images(session, ordered,
                       {.build = invocation.on("build"),
                        .no_build = invocation.on("no-build"),
                        .pull = invocation.text("pull"),
                        .quiet_pull = invocation.on("quiet-pull")});
}

std::set<std::string> attached_services(Session& session, const Invocation& invocation) {
  auto chosen = invocation.arguments();
  auto attach = invocation.list("attach");
  std::set<std::string> names;
  if (!attach.empty()) {
    names = {attach.begin(), attach.end()};
  } else if (chosen.empty()) {
    for (const auto& [name, service] : session.project.services) names.insert(name);
  } else {
    names = {chosen.begin(), chosen.end()};
  }
  if (invocation.on("attach-dependencies")) {
    names = session.project.with_dependencies({names.begin(), names.end()});
  }
  for (const std::string& name : invocation.list("no-attach")) names.erase(name);
  std::erase_if(names, [&](const std::string& name) {
    auto service = session.project.services.find(name);
    return service != session.project.services.end() && attach.empty() &&
           !bool_of(service->second.config, "attach", "", true).value_or(true);
  });
  return names;
}

Outcome<int> up_attached(Session& session, const Invocation& invocation, ConvergeOptions options) {
  Follower follower(session, {.prefix = !invocation.on("no-log-prefix"),
                              .colour = !invocation.on("no-color"),
                              .timestamps = invocation.on("timestamps")});
  AttachedOptions attached{.abort_on_exit = invocation.on("abort-on-container-exit"),
                           .abort_on_failure = invocation.on("abort-on-container-failure"),
                           .exit_code_from = invocation.text("exit-code-from"),
                           .timeout = options.timeout};
  if (!attached.exit_code_from.empty()) {
    CHECK(session.services({attached.exit_code_from}));
    attached.abort_on_exit = true;
  }
  TRY(auto session_of_signals, Attached::begin(session, follower, attached));
  auto services = attached_services(session, invocation);
  options.running = [&](const Observed& container) {
    if (services.contains(container.service)) follower.add(container);
  };
  CHECK(Converger(session, options).run());
  return session_of_signals->run(services);
}

Outcome<int> up(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project(invocation.arguments()));
  TRY(auto options, converge_options(invocation));
  bool detach = invocation.on("detach") || options.wait || !options.start;
  bool attached_flags = invocation.on("abort-on-container-exit") ||
                        invocation.on("abort-on-container-failure") || invocation.given("exit-code-from");
  if (invocation.on("detach") && attached_flags) {
    return refuse(
        "--detach cannot be combined with --abort-on-container-exit, --abort-on-container-failure or "
        "--exit-code-from");
  }
  CHECK(prepare_images(*session, invocation, options));
  if (invocation.on("watch")) {
    CHECK(Converger(*session, options).run());
    return watch_project(*session, invocation.arguments());
  }
  if (!detach) return up_attached(*session, invocation, std::move(options));
  CHECK(Converger(*session, options).run());
  return 0;
}

Outcome<int> create(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project(invocation.arguments()));
  TRY(auto options, converge_options(invocation));
  options.start = false;
  CHECK(prepare_images(*session, invocation, options));
  CHECK(Converger(*session, options).run());
  return 0;
}

Outcome<int> scale(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project());
  ConvergeOptions options{.dependencies = !invocation.on("no-deps"),
                          .recreate = Recreate::Never,
                          .recreate_dependencies = Recreate::Never};
  TRY(options.scale, scales(invocation.arguments()));
  for (const auto& [name, count] : options.scale) options.services.push_back(name);
  CHECK(session->services(options.services));
  CHECK(ensure_images(*session, options.services, {}));
  CHECK(Converger(*session, options).run());
  return 0;
}

/// Works on containers, service by service along their dependencies.
Outcome<void> along(Session& session, const std::vector<Observed>& containers, const Graph& graph,
                    const std::function<Outcome<void>(client::Client&, const Observed&)>& work) {
  CHECK(session.context.engine().negotiate());
  return run_graph(graph, session.parallel, [&](const std::string& service) -> Outcome<void> {
    auto engine = session.client();
    for (const Observed& container : containers) {
      if (container.service == service) CHECK(work(*engine, container));
    }
    return {};
  });
}

Outcome<void> remove_networks(Session& session) {
  auto engine = session.client();
  Query query;
  query.add("filters", label_filter(session.project.name));
  TRY(Json networks, call_json(*engine, "GET", "/networks", std::move(query)));
  for (const Json& network : networks) {
    TRY(std::string name, json_string(network, "Name"));
    TRY(std::string id, json_string(network, "Id"));
    session.report.tell("Network", name, "Removing");
    auto removed = call(*engine, "DELETE", path_of("networks", id));
    if (!removed && removed.error().http_status == 403) {
      session.report.tell("Network", name, "Resource is still in use");
      continue;
    }
    if (!removed && !removed.error().not_found()) return removed.error();
    session.report.tell("Network", name, "Removed");
  }
  return {};
}

Outcome<void> remove_volumes(Session& session) {
  auto engine = session.client();
  Query query;
  query.add("filters", label_filter(session.project.name));
  TRY(Json answer, call_json(*engine, "GET", "/volumes", std::move(query)));
  const Json* volumes = json_member(answer, "Volumes");
  for (const Json& volume : volumes == nullptr ? Json::array() : *volumes) {
    TRY(std::string name, json_string(volume, "Name"));
    session.report.tell("Volume", name, "Removing");
    auto removed = call(*engine, "DELETE", path_of("volumes", name));
    if (!removed && removed.error().http_status == 409) {
      session.report.tell("Volume", name, "Resource is still in use");
      continue;
    }
    if (!removed && !removed.error().not_found()) return removed.error();
    session.report.tell("Volume", name, "Removed");
  }
  return {};
}

Outcome<void> remove_images(Session& session, const std::string& which) {
  for (const auto& [name, service] : session.project.services) {
    bool built_here = service.config.find("build") != nullptr && service.config.find("image") == nullptr;
    if (which == "local" && !built_here) continue;
    std::string image = image_of(session.project, service);
    auto removed = session.context.engine().call({.method = "DELETE", .path = client::image_path(image)});
    if (!removed && removed.error().not_found()) continue;
    session.report.tell("Image", image, removed ? "Removed" : removed.error().text());
  }
  return {};
}

Outcome<int> down(Setup& setup, const Invocation& invocation) {
  std::string images = invocation.text("rmi");
  if (!images.empty() && images != "all" && images != "local")
    return refuse("invalid value for --rmi: \"{}\"", images);
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  TRY(auto containers, session->containers(Session::Scope::All));
  const auto& services = invocation.arguments();
  bool orphans = invocation.on("remove-orphans");
  std::erase_if(containers, [&](const Observed& container) {
    bool known = session->project.services.contains(container.service) ||
                 session->project.disabled.contains(container.service);
    if (!services.empty())
      return std::find(services.begin(), services.end(), container.service) == services.end();
    return !known && !orphans && !session->project.files.empty();
  });
  bool volumes = invocation.on("volumes");
  auto timeout = timeout_of(invocation);
  CHECK(along(*session, containers, reversed(Session::graph_of(containers)),
              [&](client::Client& engine, const Observed& container) -> Outcome<void> {
                CHECK(stop_container(*session, engine, container, timeout));
                return remove_container(*session, engine, container, volumes);
              }));
  if (!services.empty()) return 0;
  CHECK(remove_networks(*session));
  if (volumes) CHECK(remove_volumes(*session));
  if (!images.empty()) CHECK(remove_images(*session, images));
  return 0;
}

Outcome<int> stop(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  TRY(auto containers, chosen_containers(*session, invocation.arguments()));
  auto timeout = timeout_of(invocation);
  CHECK(along(*session, containers, reversed(Session::graph_of(containers)),
              [&](client::Client& engine, const Observed& container) {
                return stop_container(*session, engine, container, timeout);
              }));
  return 0;
}

Outcome<void> simple(Session& session, client::Client& engine, const Observed& container,
                     std::string_view action, std::string_view before, std::string_view after,
                     Query query = {}) {
  if (!before.empty()) session.report.tell("Container", container.name, before);
  CHECK(call(engine, "POST", path_of("containers", container.id, action), std::move(query)));
  session.report.tell("Container", container.name, after);
  return {};
}

Outcome<int> start(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  TRY(auto containers, chosen_containers(*session, invocation.arguments()));
  for (const std::string& service : invocation.arguments()) {
    bool has = std::any_of(containers.begin(), containers.end(),
                           [&](const auto& c) { return c.service == service; });
    if (!has) return Failure::plain(fmt::format("service \"{}\" has no container to start", service));
  }
  if (containers.empty()) return Failure::plain("no container to start");
  CHECK(along(*session, containers, Session::graph_of(containers),
              [&](client::Client& engine, const Observed& container) -> Outcome<void> {
                for (const auto& [other, condition] : container.depends_on) {
                  if (condition != "service_healthy") continue;
                  for (const Observed& needed : containers) {
                    if (needed.service == other) CHECK(wait_until_healthy(engine, needed.id, needed.name));
                  }
                }
                if (container.running()) return {};
                return simple(*session, engine, container, "start", "Starting", "Started");
              }));
  return 0;
}

Outcome<int> restart(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  TRY(auto containers, chosen_containers(*session, invocation.arguments()));
  CHECK(along(*session, containers, Session::graph_of(containers),
              [&](client::Client& engine, const Observed& container) {
                Query query;
                if (auto timeout = timeout_of(invocation)) query.add("t", fmt::format("{}", *timeout));
                return simple(*session, engine, container, "restart", "Restarting", "Started",
                              std::move(query));
              }));
  return 0;
}

Outcome<int> kill(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  TRY(auto containers, chosen_containers(*session, invocation.arguments()));
  std::erase_if(containers, [](const Observed& container) { return !container.running(); });
  CHECK(along(*session, containers, Session::graph_of(containers),
              [&](client::Client& engine, const Observed& container) {
                Query query;
                query.add("signal", invocation.text("signal"));
                return simple(*session, engine, container, "kill", "Killing", "Killed", std::move(query));
              }));
  return 0;
}

Outcome<int> pause_or_not(Setup& setup, const Invocation& invocation, std::string_view action,
                          std::string_view done) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  TRY(auto containers, chosen_containers(*session, invocation.arguments()));
  std::erase_if(containers, [&](const Observed& container) {
    return (action == "pause") != (container.state == "running");
  });
  CHECK(along(*session, containers, Session::graph_of(containers),
              [&](client::Client& engine, const Observed& container) {
                return simple(*session, engine, container, action, "", done);
              }));
  return 0;
}
Outcome<int> pause(Setup& setup, const Invocation& invocation) {
  return pause_or_not(setup, invocation, "pause", "Paused");
}
Outcome<int> unpause(Setup& setup, const Invocation& invocation) {
  return pause_or_not(setup, invocation, "unpause", "Unpaused");
}

Outcome<int> remove(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  TRY(auto containers, chosen_containers(*session, invocation.arguments()));
  bool stop = invocation.on("stop");
  if (!stop) std::erase_if(containers, [](const Observed& container) { return container.running(); });
  if (containers.empty()) {
    session->context.err.line("No stopped containers");
    return 0;
  }
  if (!invocation.on("force") && session->context.out.is_terminal()) {
    std::string names;
    for (const Observed& container : containers) names += (names.empty() ? "" : ", ") + container.name;
    session->context.out.print("? Going to remove {} (y/N) ", names);
    session->context.out.flush();
    char answer[8] = {};
    if (::read(0, answer, sizeof answer - 1) <= 0 || (answer[0] != 'y' && answer[0] != 'Y')) return 0;
  }
  CHECK(along(*session, containers, reversed(Session::graph_of(containers)),
              [&](client::Client& engine, const Observed& container) -> Outcome<void> {
                if (stop) CHECK(stop_container(*session, engine, container, std::nullopt));
                return remove_container(*session, engine, container, invocation.on("volumes"));
              }));
  return 0;
}

Outcome<int> wait(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  TRY(auto containers, chosen_containers(*session, invocation.arguments()));
  if (containers.empty())
    return Failure::plain(fmt::format("no containers for project \"{}\"", session->project.name));
  int64_t code = 0;
  for (const Observed& container : containers) {
    TRY(Json ended,
        call_json(session->context.engine(), "POST", path_of("containers", container.id, "wait")));
    TRY(code, json_int(ended, "StatusCode"));
    session->context.out.print("container \"{}\" exited with status code {}\n", container.name, code);
    session->context.out.flush();
  }
  return static_cast<int>(code & 0xff);
}

constexpr Flag timeout_flag{'t', "timeout", Type::Int,
                            "Seconds until a container that does not stop is killed"};
constexpr Flag scale_flag{
    .name = "scale", .type = Type::List, .help = "Number of containers of a service (SERVICE=NUMBER)"};
constexpr std::array up_flags{
    Flag{.name = "abort-on-container-exit", .help = "Stop everything when a container ends"},
    Flag{.name = "abort-on-container-failure", .help = "Stop everything when a container fails"},
    Flag{.name = "always-recreate-deps", .help = "Replace the containers of dependencies, too"},
    Flag{.name = "attach", .type = Type::List, .help = "Show the output of this service alone"},
    Flag{.name = "attach-dependencies", .help = "Show the output of dependencies, too"},
    Flag{.name = "build", .help = "Build images before containers are started"},
    Flag{'d', "detach", Type::Bool, "Run in the background"},
    Flag{.name = "exit-code-from", .type = Type::String, .help = "End with this service's exit code"},
    Flag{.name = "force-recreate", .help = "Replace containers even where nothing has changed"},
    Flag{.name = "menu", .visibility = Visibility::Hidden},
    Flag{.name = "no-attach", .type = Type::List, .help = "Do not show the output of this service"},
    Flag{.name = "no-build", .help = "Do not build, even if an image is missing"},
    Flag{.name = "no-color", .help = "No colours in the output"},
    Flag{.name = "no-deps", .help = "Leave dependencies alone"},
    Flag{.name = "no-log-prefix", .help = "No names before the lines"},
    Flag{.name = "no-recreate", .help = "Leave existing containers as they are"},
    Flag{.name = "no-start", .help = "Create containers, but do not start them"},
    Flag{.name = "pull", .type = Type::String, .help = "Pull images before running (always, missing, never)"},
    Flag{.name = "quiet-pull", .help = "Pull without progress"},
    Flag{.name = "remove-orphans", .help = "Remove containers of services that the file no longer has"},
    Flag{'V', "renew-anon-volumes", Type::Bool,
         "New anonymous volumes instead of those of the replaced containers"},
    Flag{.name = "rollback", .help = "If something fails, put everything back as it was"},
    scale_flag,
    timeout_flag,
    Flag{.name = "timestamps", .help = "Put the time before each line"},
    Flag{.name = "wait", .help = "Return when everything is running and healthy"},
    Flag{.name = "wait-timeout",
         .type = Type::Int,
         .help = "Seconds to wait at most",
         .visibility = Visibility::Hidden},
    Flag{'w', "watch", Type::Bool, "Watch source files and bring changes into the containers"},
    Flag{'y', "yes", Type::Bool, "Assume yes", "", nullptr, Visibility::Hidden},
};
constexpr std::array create_flags{
    Flag{.name = "build", .help = "Build images before containers are created"},
    Flag{.name = "force-recreate", .help = "Replace containers even where nothing has changed"},
    Flag{.name = "no-build", .help = "Do not build, even if an image is missing"},
    Flag{.name = "no-recreate", .help = "Leave existing containers as they are"},
    Flag{.name = "pull", .type = Type::String, .help = "Pull images before (always, missing, never)"},
    Flag{.name = "quiet-pull", .help = "Pull without progress"},
    Flag{.name = "remove-orphans", .help = "Remove containers of services that the file no longer has"},
    scale_flag,
    Flag{'y', "yes", Type::Bool, "Assume yes", "", nullptr, Visibility::Hidden},
};
constexpr std::array down_flags{
    Flag{.name = "remove-orphans", .help = "Remove containers of services that the file no longer has"},
    Flag{.name = "rmi",
         .type = Type::String,
         .help = "Remove images, too: \"local\" (built, without a name of their own) or \"all\""},
    timeout_flag,
    Flag{'v', "volumes", Type::Bool, "Remove the project's volumes, too"},
};
constexpr std::array stop_flags{timeout_flag};
constexpr std::array restart_flags{Flag{.name = "no-deps", .help = "Leave dependent services alone"},
                                   timeout_flag};
constexpr std::array kill_flags{Flag{.name = "remove-orphans", .visibility = Visibility::Hidden},
                                Flag{'s', "signal", Type::String, "Signal to send", "SIGKILL"}};
constexpr std::array remove_flags{
    Flag{'f', "force", Type::Bool, "Do not ask"},
    Flag{'s', "stop", Type::Bool, "Stop the containers first"},
    Flag{'v', "volumes", Type::Bool, "Remove anonymous volumes, too"},
};
constexpr std::array scale_flags{Flag{.name = "no-deps", .help = "Leave dependencies alone"}};
constexpr std::array wait_flags{Flag{.name = "down-project", .visibility = Visibility::Hidden}};

constexpr std::string_view services = "[OPTIONS] [SERVICE...]";
constexpr auto any = grammar::at_least(0);

constexpr Command up_command{
    .usage = services, .summary = "Create and start containers", .flags = up_flags, .arity = any};
constexpr Command create_command{
    .usage = services, .summary = "Create containers", .flags = create_flags, .arity = any};
constexpr Command down_command{.usage = services,
                               .summary = "Stop and remove containers and networks",
                               .flags = down_flags,
                               .arity = any};
constexpr Command start_command{.usage = "[SERVICE...]", .summary = "Start containers", .arity = any};
constexpr Command stop_command{
    .usage = services, .summary = "Stop containers", .flags = stop_flags, .arity = any};
constexpr Command restart_command{
    .usage = services, .summary = "Restart containers", .flags = restart_flags, .arity = any};
constexpr Command kill_command{
    .usage = services, .summary = "Kill containers", .flags = kill_flags, .arity = any};
constexpr Command pause_command{.usage = "[SERVICE...]", .summary = "Pause containers", .arity = any};
constexpr Command unpause_command{
    .usage = "[SERVICE...]", .summary = "Let paused containers go on", .arity = any};
constexpr Command remove_command{
    .usage = services, .summary = "Remove stopped containers", .flags = remove_flags, .arity = any};
constexpr Command scale_command{.usage = "[OPTIONS] SERVICE=NUMBER...",
                                .summary = "Change how many containers a service has",
                                .flags = scale_flags,
                                .arity = grammar::at_least(1)};
constexpr Command wait_command{.usage = "SERVICE [SERVICE...]",
                               .summary = "Wait until containers end",
                               .flags = wait_flags,
                               .arity = grammar::at_least(1)};

constexpr std::array table{
    Subcommand{"up", &up_command, up},
    Subcommand{"create", &create_command, create},
    Subcommand{"down", &down_command, down},
    Subcommand{"start", &start_command, start},
    Subcommand{"stop", &stop_command, stop},
    Subcommand{"restart", &restart_command, restart},
    Subcommand{"kill", &kill_command, kill},
    Subcommand{"pause", &pause_command, pause},
    Subcommand{"unpause", &unpause_command, unpause},
    Subcommand{"rm", &remove_command, remove},
    Subcommand{"scale", &scale_command, scale},
    Subcommand{"wait", &wait_command, wait},
};

}  // namespace

std::span<const Subcommand> life_subcommands() {
  return table;
}

}  // namespace berth::cli::compose
