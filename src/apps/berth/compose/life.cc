// up, create, scale: from the project to what runs of it.
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

bool is_given(const Invocation& invocation, std::string_view flag) {
  const Flag* declared = invocation.declared(flag);
  if (declared == nullptr || !invocation.given(flag)) return false;
  return declared->type != Type::Bool || invocation.on(flag);
}

Outcome<void> refuse_together(const Invocation& invocation, std::string_view one, std::string_view other) {
  if (!is_given(invocation, one) || !is_given(invocation, other)) return {};
  return refuse("--{} and --{} are incompatible", one, other);
}

Outcome<ConvergeOptions> converge_options(const Invocation& invocation) {
  ConvergeOptions options{.services = invocation.arguments(), .dependencies = !invocation.on("no-deps")};
  for (auto [one, other] : {std::pair{"force-recreate", "no-recreate"},
                            {"renew-anon-volumes", "no-recreate"},
                            {"always-recreate-deps", "no-recreate"},
                            {"build", "no-build"},
                            {"watch", "no-build"},
                            {"abort-on-container-exit", "abort-on-container-failure"},
                            {"attach", "attach-dependencies"}})
    CHECK(refuse_together(invocation, one, other));
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

/// What $COMPOSE_REMOVE_ORPHANS and $COMPOSE_IGNORE_ORPHANS say, of the caller or of .env.
Outcome<void> choose_about_orphans(const Project& project, ConvergeOptions& options) {
  options.remove_orphans = options.remove_orphans || project.is_on("COMPOSE_REMOVE_ORPHANS");
  options.ignore_orphans = project.is_on("COMPOSE_IGNORE_ORPHANS");
  if (options.remove_orphans && options.ignore_orphans)
    return refuse("COMPOSE_IGNORE_ORPHANS and --remove-orphans are incompatible");
  return {};
}

Outcome<void> prepare_images(Session& session, const Invocation& invocation, const ConvergeOptions& options) {
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
                              .split = true,
                              .colour = !invocation.on("no-color") && session.coloured(),
                              .timestamps = invocation.on("timestamps")});
  AttachedOptions attached{.abort_on_exit = invocation.on("abort-on-container-exit"),
                           .abort_on_failure = invocation.on("abort-on-container-failure"),
                           .exit_code_from = invocation.text("exit-code-from"),
                           .timeout = options.timeout,
                           .stay = watching != nullptr};
  if (watching) attached.interrupted = [&] { watching->stop(); };
  if (!attached.exit_code_from.empty()) {
    CHECK(session.services({attached.exit_code_from}));
    attached.abort_on_exit = !attached.abort_on_failure;
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
  options.running = [&](const Observed& container, ConvergeOptions::Runs runs) {
    if (!services.contains(container.service)) return;
    std::call_once(announced, [&] { follower.say(fmt::format("Attaching to {}", fmt::join(names, ", "))); });
    // What a container has written before is for "logs".
    if (runs == ConvergeOptions::Runs::Again) return follower.add_restarted(container);
    follower.add(container, {.new_alone = runs == ConvergeOptions::Runs::AsFound});
  };
  CHECK(Converger(session, options).run());
  if (watching) watching->begin();
  const auto& chosen = invocation.arguments();
  const std::set<std::string> watched =
      chosen.empty() ? services : std::set<std::string>(chosen.begin(), chosen.end());
  TRY(const int code, session_of_signals->run(services, watched));
  if (session_of_signals->goes_on() || (watching && !watching->is_idle())) {
    // A build can take long: it ends with its connection.
    session.context.out.flush();
    ::_exit(code);
  }
  return code;
}

/// What cannot be had without following the containers.
Outcome<void> check_detached(const Invocation& invocation) {
  const bool waits = invocation.on("wait");
  if (!waits && !invocation.on("detach")) return {};
  for (std::string_view flag : {"abort-on-container-exit", "abort-on-container-failure", "exit-code-from",
                                "attach", "attach-dependencies", "watch"}) {
    if (is_given(invocation, flag))
      return refuse("--{} cannot be combined with --{}", waits ? "wait" : "detach", flag);
  }
  return {};
}

Outcome<void> check_attached_services(const Session& session, const Invocation& invocation) {
  auto names = session.project.with_dependencies(invocation.arguments());
  for (const std::string& name : invocation.list("attach")) {
    const bool known =
        invocation.arguments().empty() ? session.project.services.contains(name) : names.contains(name);
    if (!known) return refuse("cannot attach to services not included in up: {}", name);
  }
  return {};
}

Outcome<int> up(Setup& setup, const Invocation& invocation) {
  CHECK(check_detached(invocation));
  TRY(auto options, converge_options(invocation));
  TRY(auto session, setup.project(invocation.arguments()));
  CHECK(confirm_remote(*session, invocation));
  CHECK(choose_about_orphans(session->project, options));
  options.all_resources = session->all_resources;
  if (session->project.services.empty() && !options.all_resources)
    return Failure::plain("no service selected");
  CHECK(check_attached_services(*session, invocation));
  CHECK(prepare_images(*session, invocation, options));
  const bool follows = !invocation.on("detach") && !options.wait && options.start;
  if (follows && !session->dry_run()) return up_attached(*session, invocation, std::move(options));
  CHECK(Converger(*session, options).run());
  if (follows)
    session->context.out.line("end of 'compose up' output, containers are not followed in dry-run mode");
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
constexpr std::array scale_flags{Flag{.name = "no-deps", .help = "Leave dependencies alone"}, yes_flag};
constexpr std::string_view services = "[OPTIONS] [SERVICE...]";
constexpr auto any = grammar::at_least(0);

constexpr Command up_command{
    .usage = services, .summary = "Create and start containers", .flags = up_flags, .arity = any};
constexpr Command create_command{
    .usage = services, .summary = "Create containers", .flags = create_flags, .arity = any};
constexpr Command scale_command{.usage = "[OPTIONS] SERVICE=NUMBER...",
                                .summary = "Change how many containers a service has",
                                .flags = scale_flags,
                                .arity = grammar::at_least(1)};
constexpr std::array table{
    Subcommand{"up", &up_command, up},
    Subcommand{"create", &create_command, create},
    Subcommand{"scale", &scale_command, scale},
};

}  // namespace

std::span<const Subcommand> life_subcommands() {
  return table;
}

}  // namespace berth::cli::compose
