#include "apps/berth/compose/attached.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "apps/berth/compose/converge.h"
#include "apps/berth/compose/request.h"
#include "apps/berth/output/progress.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

using client::path_of;
using client::Query;

std::string attribute(const Json& event, std::string_view key) {
  const Json* actor = json_member(event, "Actor");
  const Json* attributes = actor == nullptr ? nullptr : json_member(*actor, "Attributes");
  return attributes == nullptr ? std::string() : json_string(*attributes, key).value_or("");
}

}  // namespace

Outcome<std::unique_ptr<Attached>> Attached::begin(Session& session, Follower& follower,
                                                   AttachedOptions options) {
  TRY(auto signals, terminal::Signals::block(terminal::Signals::Take::Endings, false));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno("pipe2", "", errno);
  return std::unique_ptr<Attached>(
      new Attached(session, follower, std::move(options), std::move(signals), ends[0], ends[1]));
}

Attached::Attached(Session& session, Follower& follower, AttachedOptions options, terminal::Signals signals,
                   int pipe_read, int pipe_write)
    : session_(session),
      follower_(follower),
      options_(std::move(options)),
      signals_(std::move(signals)),
      done_read_(pipe_read),
      done_write_(pipe_write),
      watcher_([this] { watch_signals(); }) {}

Attached::~Attached() {
  done_write_.reset();
  watcher_.join();
  if (stopper_.joinable()) stopper_.join();
}

void Attached::watch_signals() {
  while (true) {
    pollfd fds[2] = {{signals_.fd(), POLLIN, 0}, {done_read_.get(), POLLIN, 0}};
    if (::poll(fds, 2, -1) < 0) continue;
    if (fds[1].revents != 0) return;
    if (!signals_.next()) continue;
    int count = ++interrupts_;
    if (!running_) {
      session_.report.warn("canceled");
      ::_exit(130);
    }
    if (count == 1) {
      follower_.say("Gracefully Stopping... press Ctrl+C again to force");
      if (options_.interrupted) options_.interrupted();
      stopper_ = std::thread([this] {
        const bool any = stop_all(false);
        // Nothing ends any more that events could tell of.
        if (options_.stay && !any) ::_exit(130);
      });
    } else if (count == 2) {
      stop_all(true);
    }
  }
}

bool Attached::stop_all(bool by_force) {
  auto containers = session_.containers();
  if (!containers) {
    session_.report.warn(containers.error().text());
    return false;
  }
  std::erase_if(*containers, [&](const Observed& container) {
    return !options_.stopped.empty() && !options_.stopped.contains(container.service);
  });
  Graph order = reversed(Session::graph_of(*containers));
  auto work = [&](const std::string& service) -> Outcome<void> {
    auto engine = session_.client();
    for (const Observed& container : *containers) {
      if (container.service != service || !container.running()) continue;
      if (by_force) {
        (void)call(*engine, "POST", path_of("containers", container.id, "kill"));
      } else {
        CHECK(stop_container(session_, *engine, container, options_.timeout));
      }
    }
    return {};
  };
  if (auto stopped = run_graph(order, session_.parallel, work); !stopped)
    session_.report.warn(stopped.error().text());
  return std::any_of(containers->begin(), containers->end(), [](const auto& one) { return one.running(); });
}

Outcome<bool> Attached::ended(const Json& event, const std::set<std::string>& services) {
  std::string action = json_string(event, "Action").value_or("");
  std::string service = attribute(event, label_service);
  const Json* actor = json_member(event, "Actor");
  std::string id = actor == nullptr ? "" : json_string(*actor, "ID").value_or("");
  if (!services.contains(service) || attribute(event, label_one_off) == "True") return false;
  Observed container{.id = id, .name = attribute(event, "name"), .service = service};
  if (action == "start") {
    alive_.insert(id);
    follower_.add(container, fmt::format("{}", json_int(event, "time").value_or(0)));
    return false;
  }
  if (action != "die" || alive_.erase(id) == 0) return false;
  std::string code = attribute(event, "exitCode");
  int status = std::atoi(code.c_str());
  auto engine = session_.client();
  auto json = call_json(*engine, "GET", path_of("containers", id, "json"));
  const Json* state = json ? json_member(*json, "State") : nullptr;
  if (state != nullptr && json_bool(*state, "Restarting").value_or(false) && interrupts_ == 0) {
    alive_.insert(id);
    return false;
  }
  follower_.say(fmt::format("{} exited with code {}", shown_name(session_.project, container), code));
  if (service == options_.exit_code_from) exit_code_ = status;
  bool abort = options_.abort_on_exit || (options_.abort_on_failure && status != 0);
  if (abort && !aborting_ && interrupts_ == 0) {
    aborting_ = true;
    if (options_.exit_code_from.empty()) exit_code_ = status;
    follower_.say("Aborting on container exit...");
    stopper_ = std::thread([this] { stop_all(false); });
  }
  return alive_.empty();
}

Outcome<int> Attached::run(const std::set<std::string>& services) {
  Query query;
  query.add("filters",
            to_json(Json{{"type", {"container"}},
                         {"event", {"start", "die"}},
                         {"label", {fmt::format("{}={}", label_project, session_.project.name)}}}));
  auto engine = session_.client();
  TRY(auto events, engine->open_answer({.path = "/events", .query = query}));
  running_ = true;
  TRY(auto containers, session_.containers());
  bool any_failed = false;
  std::string first_end;  // whose container's code counts
  for (const Observed& container : containers) {
    if (!services.contains(container.service)) continue;
    if (container.running()) {
      alive_.insert(container.id);
      follower_.add(container);
    } else {
      any_failed = true;
      auto json = call_json(*session_.client(), "GET", path_of("containers", container.id, "json"));
      const Json* state = json ? json_member(*json, "State") : nullptr;
      int64_t code = state == nullptr ? 0 : json_int(*state, "ExitCode").value_or(0);
      follower_.add(container);
      follower_.say(fmt::format("{} exited with code {}", shown_name(session_.project, container), code));
      if (container.service == options_.exit_code_from) exit_code_ = static_cast<int>(code);
      if (options_.abort_on_exit || (options_.abort_on_failure && code != 0)) {
        std::string end = state == nullptr ? "" : json_string(*state, "FinishedAt").value_or("");
        if (end.ends_with('Z')) end.pop_back();  // so that fractions of other lengths compare
        if (options_.exit_code_from.empty() && (!aborting_ || end < first_end)) {
          exit_code_ = static_cast<int>(code);
          first_end = end;
        }
        aborting_ = true;
      }
    }
  }
  if (aborting_ && any_failed) stopper_ = std::thread([this] { stop_all(false); });
  output::JsonCutter cutter;
  bool all_ended = alive_.empty();
  while (!all_ended || (options_.stay && interrupts_ == 0)) {
    TRY(std::string_view piece, events.next());
    if (piece.empty()) return Failure::plain("the engine went away");
    CHECK(cutter.feed(piece, [&](std::string_view text) -> Outcome<void> {
      TRY(Json event, parse_json(text));
      TRY(bool last, ended(event, services));
      all_ended = (all_ended && alive_.empty()) || last;
      return {};
    }));
  }
  follower_.wait();
  if (interrupts_ > 0 && options_.exit_code_from.empty()) return 130;
  return exit_code_;
}

}  // namespace berth::cli::compose
