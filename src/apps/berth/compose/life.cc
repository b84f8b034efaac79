// up, create, down, scale: from the project to what runs of it, and back.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "apps/berth/compose/attached.h"
#include "apps/berth/compose/converge.h"
#include "apps/berth/compose/images.h"
#include "apps/berth/compose/provider.h"
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
  if (invocation.given("wait-timeout")) options.wait_timeout = invocation.number("wait-timeout");
  options.rollback = invocation.on("rollback");
  options.recreate_volumes = invocation.on("yes");
  options.start = !invocation.on("no-start");
  options.timeout = timeout_of(invocation);
  TRY(options.scale, scales(invocation.list("scale")));
  return options;
}

bool is_set(const Project& project, std::string_view variable) {
  auto found = project.environment.find(variable);
  if (found == project.environment.end()) return false;
  constexpr std::string_view words[] = {"1", "true", "True", "TRUE", "yes", "y", "on"};
  return std::find(std::begin(words), std::end(words), found->second) != std::end(words);
}

/// What $COMPOSE_REMOVE_ORPHANS and $COMPOSE_IGNORE_ORPHANS say, of the caller or of .env.
Outcome<void> choose_about_orphans(const Project& project, ConvergeOptions& options) {
  options.remove_orphans = options.remove_orphans || is_set(project, "COMPOSE_REMOVE_ORPHANS");
  options.ignore_orphans = is_set(project, "COMPOSE_IGNORE_ORPHANS");
  if (options.remove_orphans && options.ignore_orphans)
    return refuse("COMPOSE_IGNORE_ORPHANS and --remove-orphans are incompatible");
  return {};
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
                        .quiet_pull = invocation.on("quiet-pull"),
                        .quiet_build = invocation.on("quiet-build")});
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

/// Names before the lines, as wide as the longest will be.
std::vector<std::string> reserve_names(Session& session, const std::set<std::string>& services,
                                       const ConvergeOptions& options, Follower& follower) {
  std::vector<std::string> names;
  for (const std::string& name : services) {
    auto found = session.project.services.find(name);
    if (found == session.project.services.end() || is_provided(found->second)) continue;
    const Service& service = found->second;
    auto scaled = options.scale.find(name);
    const int64_t replicas = scaled == options.scale.end() ? service.replicas : scaled->second;
    const bool hooks = service.config.has("post_start") || service.config.has("pre_stop");
    for (int64_t number = 1; number <= replicas; ++number) {
      names.push_back(shown_name(session.project, {.name = session.project.container_name(service, number)}));
      follower.reserve(names.back() + (hooks ? " ->" : ""));
    }
  }
  return names;
}

Outcome<int> up_attached(Session& session, const Invocation& invocation, ConvergeOptions options) {
  std::unique_ptr<Watching> watching;
  if (invocation.on("watch")) {
    TRY(watching, Watching::prepare(session, invocation.arguments()));
  }
  Follower follower(session, {.prefix = !invocation.on("no-log-prefix"),
                              .colour = !invocation.on("no-color"),
                              .timestamps = invocation.on("timestamps")});
  AttachedOptions attached{.abort_on_exit = invocation.on("abort-on-container-exit"),
                           .abort_on_failure = invocation.on("abort-on-container-failure"),
                           .exit_code_from = invocation.text("exit-code-from"),
                           .timeout = options.timeout,
                           .stay = watching != nullptr};
  if (watching) attached.interrupted = [&] { watching->stop(); };
  if (!attached.exit_code_from.empty()) {
    CHECK(session.services({attached.exit_code_from}));
    attached.abort_on_exit = true;
  }
  auto services = attached_services(session, invocation);
  auto names = reserve_names(session, services, options, follower);
  // What the named services depend on goes on, unless its output is shown here.
  if (!invocation.arguments().empty()) {
    attached.stopped = services;
    attached.stopped.insert(invocation.arguments().begin(), invocation.arguments().end());
  }
  session.report.send_hook_lines_to(
      [&](std::string_view container, std::string_view line) { follower.hook_line(container, line); });
  TRY(auto session_of_signals, Attached::begin(session, follower, attached));
  std::once_flag announced;
  options.running = [&](const Observed& container) {
    if (!services.contains(container.service)) return;
    std::call_once(announced, [&] { follower.say(fmt::format("Attaching to {}", fmt::join(names, ", "))); });
    follower.add(container);
  };
  CHECK(Converger(session, options).run());
  if (watching) watching->begin();
  TRY(const int code, session_of_signals->run(services));
  if (watching && !watching->is_idle()) {
    // A build can take long: it ends with its connection.
    session.context.out.flush();
    ::_exit(code);
  }
  return code;
}

Outcome<int> up(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project(invocation.arguments()));
  CHECK(confirm_remote(*session, invocation));
  TRY(auto options, converge_options(invocation));
  CHECK(choose_about_orphans(session->project, options));
  bool detach = invocation.on("detach") || options.wait || !options.start;
  bool attached_flags = invocation.on("abort-on-container-exit") ||
                        invocation.on("abort-on-container-failure") || invocation.given("exit-code-from");
  if (invocation.on("detach") && attached_flags) {
    return refuse(
        "--detach cannot be combined with --abort-on-container-exit, --abort-on-container-failure or "
        "--exit-code-from");
  }
  if (detach && invocation.on("watch"))
    return refuse("--watch cannot be combined with --detach, --wait or --no-start");
  CHECK(prepare_images(*session, invocation, options));
  if (!detach) return up_attached(*session, invocation, std::move(options));
  CHECK(Converger(*session, options).run());
  return 0;
}

Outcome<int> create(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project(invocation.arguments()));
  CHECK(confirm_remote(*session, invocation));
  TRY(auto options, converge_options(invocation));
  CHECK(choose_about_orphans(session->project, options));
  options.start = false;
  CHECK(prepare_images(*session, invocation, options));
  CHECK(Converger(*session, options).run());
  return 0;
}

Outcome<int> scale(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project());
  CHECK(confirm_remote(*session, invocation));
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
    if (is_provided(service)) continue;
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
  bool orphans = invocation.on("remove-orphans") || is_set(session->project, "COMPOSE_REMOVE_ORPHANS");
  std::erase_if(containers, [&](const Observed& container) {
    bool known = session->project.services.contains(container.service) ||
                 session->project.disabled.contains(container.service);
    if (!services.empty())
      return std::find(services.begin(), services.end(), container.service) == services.end();
    return !known && !orphans && !session->project.files.empty();
  });
  bool volumes = invocation.on("volumes");
  auto timeout = timeout_of(invocation);
  CHECK(session->along(containers, reversed(Session::graph_of(containers)),
                       [&](client::Client& engine, const Observed& container) -> Outcome<void> {
                         CHECK(stop_container(*session, engine, container, timeout));
                         return remove_container(*session, engine, container, volumes);
                       }));
  if (services.empty()) {
    CHECK(remove_networks(*session));
    if (volumes) CHECK(remove_volumes(*session));
    if (!images.empty()) CHECK(remove_images(*session, images));
  }
  if (has_providers(session->project, services)) {
    CHECK(confirm_remote(*session, invocation));  // what they are asked to do is said there
    CHECK(take_down_providers(*session, services));
  }
  return 0;
}

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
    Flag{.name = "quiet-build", .help = "Build without progress"},
    Flag{.name = "quiet-pull", .help = "Pull without progress"},
    Flag{.name = "remove-orphans", .help = "Remove containers of services that the file no longer has"},
    Flag{'V', "renew-anon-volumes", Type::Bool,
         "New anonymous volumes instead of those of the replaced containers"},
    Flag{.name = "rollback", .help = "If something fails, put everything back as it was"},
    scale_flag,
    timeout_flag,
    Flag{.name = "timestamps", .help = "Put the time before each line"},
    Flag{.name = "wait", .help = "Return when everything is running and healthy"},
    Flag{.name = "wait-timeout", .type = Type::Int, .help = "Seconds to wait at most"},
    Flag{'w', "watch", Type::Bool, "Watch source files and bring changes into the containers"},
    yes_flag,
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
    yes_flag,
};
constexpr std::array down_flags{
    Flag{.name = "remove-orphans", .help = "Remove containers of services that the file no longer has"},
    Flag{.name = "rmi",
         .type = Type::String,
         .help = "Remove images, too: \"local\" (built, without a name of their own) or \"all\""},
    timeout_flag,
    Flag{'v', "volumes", Type::Bool, "Remove the project's volumes, too"},
    yes_flag,
};
constexpr std::array scale_flags{Flag{.name = "no-deps", .help = "Leave dependencies alone"}, yes_flag};
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
constexpr Command scale_command{.usage = "[OPTIONS] SERVICE=NUMBER...",
                                .summary = "Change how many containers a service has",
                                .flags = scale_flags,
                                .arity = grammar::at_least(1)};
constexpr std::array table{
    Subcommand{"up", &up_command, up},
    Subcommand{"create", &create_command, create},
    Subcommand{"down", &down_command, down},
    Subcommand{"scale", &scale_command, scale},
};

}  // namespace

Outcome<int> take_down(Setup& setup) {
  Invocation invocation(down_command, "compose down");
  grammar::Parser parser(invocation);
  const char* words[] = {"--remove-orphans"};
  if (auto verdict = parser.parse(words); !verdict) return verdict.error();
  return down(setup, invocation);
}

std::span<const Subcommand> life_subcommands() {
  return table;
}

}  // namespace berth::cli::compose
