// start, stop, restart, kill, pause, unpause, rm, wait: on containers that are there.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "apps/berth/compose/converge.h"
#include "apps/berth/compose/hooks.h"
#include "apps/berth/compose/subcommand.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

using client::path_of;
using client::Query;
using grammar::Command;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

/// Containers of the services that the arguments name; without arguments, of those that the files have.
Outcome<std::vector<Observed>> containers_to_act_on(Session& session,
                                                    const std::vector<std::string>& services) {
  TRY(auto containers, chosen_containers(session, services));
  const Project& project = session.project;
  std::erase_if(containers, [&](const Observed& container) {
    return !project.files.empty() && !project.services.contains(container.service) &&
           !project.disabled.contains(container.service);
  });
  return containers;
}

Outcome<int> stop(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  TRY(auto containers, containers_to_act_on(*session, invocation.arguments()));
  auto timeout = timeout_of(invocation);
  CHECK(session->along(containers, reversed(Session::graph_of(containers)),
                       [&](client::Client& engine, const Observed& container) -> Outcome<void> {
                         if (!container.running())
                           session->report.tell("Container", container.name, "Stopped");
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

/// Containers of these services, and of what they depend on.
void keep_with_dependencies(std::vector<Observed>& containers, const std::vector<std::string>& services) {
  std::vector<std::string> wanted = services;
  auto is_wanted = [&](const std::string& name) {
    return std::find(wanted.begin(), wanted.end(), name) != wanted.end();
  };
  for (size_t i = 0; i < wanted.size(); ++i) {
    for (const Observed& container : containers) {
      if (container.service != wanted[i]) continue;
      for (const auto& [other, condition] : container.depends_on)
        if (!is_wanted(other)) wanted.push_back(other);
    }
  }
  std::erase_if(containers, [&](const Observed& container) { return !is_wanted(container.service); });
}

Outcome<int> start(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  CHECK(session->services(invocation.arguments()));
  TRY(auto containers, containers_to_act_on(*session, {}));
  if (!invocation.arguments().empty()) keep_with_dependencies(containers, invocation.arguments());
  for (const std::string& service : invocation.arguments()) {
    bool has = std::any_of(containers.begin(), containers.end(),
                           [&](const auto& c) { return c.service == service; });
    if (!has) return Failure::plain(fmt::format("service \"{}\" has no container to start", service));
  }
  if (containers.empty()) return Failure::plain("no container to start");
  CHECK(session->along(containers, Session::graph_of(containers),
                       [&](client::Client& engine, const Observed& container) -> Outcome<void> {
                         for (const auto& [other, condition] : container.depends_on) {
                           if (condition != "service_healthy") continue;
                           for (const Observed& needed : containers) {
                             if (needed.service == other)
                               CHECK(wait_until_healthy(engine, needed.id, needed.name));
                           }
                         }
                         if (container.running()) return {};
                         CHECK(simple(*session, engine, container, "start", "Starting", "Started"));
                         return run_hooks(*session, engine, container, "post_start");
                       }));
  return 0;
}

/// The services, and those that are to be restarted with them (`restart: true` among their dependencies).
std::vector<std::string> with_dependents(const Project& project, std::vector<std::string> names) {
  for (size_t i = 0; i < names.size(); ++i) {
    for (const auto& [other, service] : project.services) {
      auto dependency = service.depends_on.find(names[i]);
      const bool known = std::find(names.begin(), names.end(), other) != names.end();
      if (dependency != service.depends_on.end() && dependency->second.restart && !known)
        names.push_back(other);
    }
  }
  return names;
}

/// Of those that are restarted with it and that it wants healthy.
Outcome<void> await_health_of_dependencies(Session& session, client::Client& engine,
                                           const Observed& container,
                                           const std::vector<Observed>& containers) {
  for (const auto& [other, condition] : container.depends_on) {
    if (condition != "service_healthy") continue;
    for (const Observed& needed : containers) {
      if (needed.service != other) continue;
      session.report.tell("Container", needed.name, "Waiting");
      CHECK(wait_until_healthy(engine, needed.id, needed.name));
      session.report.tell("Container", needed.name, "Healthy");
    }
  }
  return {};
}

Outcome<int> restart(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  auto services = invocation.arguments();
  if (!services.empty()) CHECK(session->services(services));
  if (!invocation.on("no-deps")) services = with_dependents(session->project, std::move(services));
  TRY(auto containers, containers_to_act_on(*session, services));
  CHECK(session->along(containers, Session::graph_of(containers),
                       [&](client::Client& engine, const Observed& container) -> Outcome<void> {
                         Query query;
                         if (auto timeout = timeout_of(invocation))
                           query.add("t", fmt::format("{}", *timeout));
                         CHECK(await_health_of_dependencies(*session, engine, container, containers));
                         if (container.state == "running")
                           CHECK(run_hooks(*session, engine, container, "pre_stop"));
                         CHECK(simple(*session, engine, container, "restart", "Restarting", "Started",
                                      std::move(query)));
                         return run_hooks(*session, engine, container, "post_start");
                       }));
  return 0;
}

/// Containers of services that the files do not have.
Outcome<void> remove_orphans(Session& session) {
  TRY(auto containers, session.containers());
  std::erase_if(containers, [&](const Observed& container) {
    return session.project.services.contains(container.service) ||
           session.project.disabled.contains(container.service);
  });
  return session.along(containers, Session::graph_of(containers),
                       [&](client::Client& engine, const Observed& container) {
                         return remove_container(session, engine, container, false);
                       });
}

Outcome<int> kill(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  TRY(auto containers, containers_to_act_on(*session, invocation.arguments()));
  std::erase_if(containers, [](const Observed& container) { return !container.running(); });
  if (containers.empty()) session->context.err.line("no container to kill");
  CHECK(session->along(
      containers, Session::graph_of(containers), [&](client::Client& engine, const Observed& container) {
        Query query;
        query.add("signal", invocation.text("signal"));
        return simple(*session, engine, container, "kill", "Killing", "Killed", std::move(query));
      }));
  if (invocation.on("remove-orphans")) CHECK(remove_orphans(*session));
  return 0;
}

Outcome<int> pause_or_not(Setup& setup, const Invocation& invocation, std::string_view action,
                          std::string_view done) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  TRY(auto containers, containers_to_act_on(*session, invocation.arguments()));
  // What cannot be done (paused already) is refused by the engine.
  std::erase_if(containers, [&](const Observed& container) { return !container.running(); });
  CHECK(session->along(containers, Session::graph_of(containers),
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
  TRY(auto containers, containers_to_act_on(*session, invocation.arguments()));
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
  CHECK(session->along(containers, reversed(Session::graph_of(containers)),
                       [&](client::Client& engine, const Observed& container) -> Outcome<void> {
                         if (stop) CHECK(stop_container(*session, engine, container, std::nullopt));
                         return remove_container(*session, engine, container, invocation.on("volumes"));
                       }));
  return 0;
}

/// Which of the answers is complete, as soon as one is.
Outcome<size_t> first_complete(std::vector<client::Pending>& answers) {
  while (true) {
    std::vector<pollfd> descriptors;
    for (size_t i = 0; i < answers.size(); ++i) {
      if (answers[i].complete()) return i;
      descriptors.push_back({answers[i].fd(), POLLIN, 0});
    }
    if (::poll(descriptors.data(), descriptors.size(), -1) < 0 && errno != EINTR)
      return Error::from_errno("poll", "the engine", errno);
    for (size_t i = 0; i < answers.size(); ++i) {
      if (descriptors[i].revents != 0) CHECK(answers[i].advance());
    }
  }
}

/// Waits for all, or for the first alone, and tells of each as it ends; the code of the one that ended last.
Outcome<int64_t> wait_for(Session& session, std::vector<Observed> containers, bool first_alone) {
  std::vector<client::Pending> answers;
  for (const Observed& container : containers) {
    TRY(auto answer, session.context.engine().begin(
                         {.method = "POST", .path = path_of("containers", container.id, "wait")}));
    answers.push_back(std::move(answer));
  }
  int64_t code = 0;
  while (!answers.empty()) {
    TRY(const size_t ended, first_complete(answers));
    CHECK(answers[ended].wait());
    TRY(const Json status, parse_json(answers[ended].body()));
    TRY(code, json_int(status, "StatusCode"));
    session.context.out.print("container \"{}\" exited with status code {}\n", containers[ended].name, code);
    session.context.out.flush();
    if (first_alone) break;
    answers.erase(answers.begin() + static_cast<ptrdiff_t>(ended));
    containers.erase(containers.begin() + static_cast<ptrdiff_t>(ended));
  }
  return code;
}

Outcome<int> wait(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  TRY(auto containers, chosen_containers(*session, invocation.arguments()));
  if (containers.empty())
    return Failure::plain(fmt::format("no containers for project \"{}\"", session->project.name));
  CHECK(session->context.engine().negotiate());
  TRY(const int64_t code, wait_for(*session, std::move(containers), invocation.on("down-project")));
  if (invocation.on("down-project")) CHECK(take_down(setup));
  return static_cast<int>(code & 0xff);
}

constexpr std::array stop_flags{timeout_flag};
constexpr std::array restart_flags{Flag{.name = "no-deps", .help = "Leave dependent services alone"},
                                   timeout_flag};
constexpr std::array kill_flags{
    Flag{.name = "remove-orphans", .help = "Remove containers of services that the file no longer has"},
    Flag{'s', "signal", Type::String, "Signal to send", "SIGKILL"}};
constexpr std::array remove_flags{
    Flag{'f', "force", Type::Bool, "Do not ask"},
    Flag{'s', "stop", Type::Bool, "Stop the containers first"},
    Flag{'v', "volumes", Type::Bool, "Remove anonymous volumes, too"},
};
constexpr std::array wait_flags{
    Flag{.name = "down-project", .help = "Take the project down when the first container ends"}};

constexpr std::string_view services = "[OPTIONS] [SERVICE...]";
constexpr auto any = grammar::at_least(0);

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
constexpr Command wait_command{.usage = "SERVICE [SERVICE...]",
                               .summary = "Wait until containers end",
                               .flags = wait_flags,
                               .arity = grammar::at_least(1)};

constexpr std::array table{
    Subcommand{"start", &start_command, start},       Subcommand{"stop", &stop_command, stop},
    Subcommand{"restart", &restart_command, restart}, Subcommand{"kill", &kill_command, kill},
    Subcommand{"pause", &pause_command, pause},       Subcommand{"unpause", &unpause_command, unpause},
    Subcommand{"rm", &remove_command, remove},        Subcommand{"wait", &wait_command, wait},
};

}  // namespace

std::optional<int64_t> timeout_of(const Invocation& invocation) {
  return invocation.given("timeout") ? std::optional(invocation.number("timeout")) : std::nullopt;
}

std::span<const Subcommand> verb_subcommands() {
  return table;
}

}  // namespace berth::cli::compose
