// logs: what containers have written, and with --follow what they go on to write: also those that are
// started, restarted or made later, until none runs any more.
#include <algorithm>
#include <array>

#include "apps/berth/compose/follow.h"
#include "apps/berth/compose/project_events.h"
#include "apps/berth/compose/subcommand.h"
#include "apps/berth/options/moment.h"

namespace berth::cli::compose {
namespace {

using grammar::Command;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

class LogMonitor {
 public:
  LogMonitor(Session& session, Follower& follower, std::vector<std::string> services, int64_t index)
      : session_(session), follower_(follower), services_(std::move(services)), index_(index) {}

  Outcome<void> run() {
    // The events first, so that nothing falls in between.
    TRY(auto events, ProjectEvents::open(session_, {"create", "start", "die", "destroy"}));
    TRY(auto containers, session_.containers());
    std::erase_if(containers, [&](const Observed& one) { return !is_wanted(one); });
    for (const Observed& container : containers) follower_.reserve(shown_name(session_.project, container));
    for (const Observed& container : containers) {
      if (container.running()) expected_.insert(container.id);
      follower_.add(container);
    }
    while (!expected_.empty()) {
      TRY(auto happened, events.next());
      for (const ContainerEvent& event : happened)
        if (is_wanted(event.container())) take(event);
    }
    return {};
  }

 private:
  bool is_wanted(const Observed& container) const {
    if (container.one_off || (index_ != 0 && container.number != index_)) return false;
    return services_.empty() ||
           std::find(services_.begin(), services_.end(), container.service) != services_.end();
  }

  void take(const ContainerEvent& event) {
    if (event.action == "create") {
      expected_.insert(event.id);  // in the place of one that ends, or besides
    } else if (event.action == "start") {
      expected_.insert(event.id);
      follower_.add_restarted(event.container());
    } else if (event.action == "destroy") {
      expected_.erase(event.id);
    } else {
      follower_.note_end(event.id);
      const bool goes_on = end_state(*session_.client(), event.id).goes_on;
      if (!goes_on) expected_.erase(event.id);
      follower_.say(fmt::format("{} exited with code {}{}", shown_name(session_.project, event.container()),
                                event.exit_code, goes_on ? " (restarting)" : ""));
    }
  }

  Session& session_;
  Follower& follower_;
  std::vector<std::string> services_;
  int64_t index_;
  std::set<std::string> expected_;  ///< containers that will write
};

/// Those that the words name, else those of the files (`attach: false` excepted), else all of the project.
std::vector<std::string> services_of(const Session& session, const Invocation& invocation) {
  if (!invocation.arguments().empty() || session.project.files.empty()) return invocation.arguments();
  std::vector<std::string> names = session.project.in_order();
  std::erase_if(names, [&](const std::string& name) {
    const Service& service = session.project.services.at(name);
    return !bool_of(service.config, "attach", service.path(), true).value_or(true);
  });
  return names;
}

Outcome<int> logs(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  const int64_t index = invocation.number("index");
  if (index != 0 && invocation.arguments().size() != 1)
    return refuse("--index requires one service to be selected");
  FollowOptions options{.follow = invocation.on("follow"),
                        .prefix = !invocation.on("no-log-prefix"),
                        .colour = !invocation.on("no-color") && session->coloured(),
                        .timestamps = invocation.on("timestamps"),
                        .tail = invocation.text("tail")};
  const Timestamp time = now();
  TRY(options.since, options::api_time(invocation.text("since"), time));
  TRY(options.until, options::api_time(invocation.text("until"), time));
  CHECK(setup.context.engine().negotiate());
  Follower follower(*session, options);
  if (options.follow) {
    CHECK(LogMonitor(*session, follower, services_of(*session, invocation), index).run());
    follower.wait();
    return 0;
  }
  TRY(auto containers, chosen_containers(*session, services_of(*session, invocation)));
  for (const Observed& container : containers) follower.reserve(shown_name(session->project, container));
  for (const Observed& container : containers) {
    if (index != 0 && container.number != index) continue;
    follower.add(container);
    follower.wait();
  }
  return 0;
}

constexpr std::array logs_flags{
    Flag{'f', "follow", Type::Bool, "Go on with new lines as they come"},
    Flag{.name = "index", .type = Type::Int, .help = "Number of the container"},
    Flag{.name = "no-color", .help = "No colours"},
    Flag{.name = "no-log-prefix", .help = "No names before the lines"},
    Flag{.name = "since", .type = Type::String, .help = "Show lines from this time on"},
    Flag{'n', "tail", Type::String, "Number of lines to show from the end", "all"},
    Flag{'t', "timestamps", Type::Bool, "Put the time before each line"},
    Flag{.name = "until", .type = Type::String, .help = "Show lines before this time"},
};
constexpr Command logs_command{.usage = "[OPTIONS] [SERVICE...]",
                               .summary = "Show what containers have written",
                               .flags = logs_flags,
                               .arity = grammar::at_least(0)};
constexpr std::array table{Subcommand{"logs", &logs_command, logs}};

}  // namespace

std::span<const Subcommand> logs_subcommands() {
  return table;
}

}  // namespace berth::cli::compose
