#include "apps/berth/compose/attached.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "apps/berth/compose/converge.h"

namespace berth::cli::compose {
namespace {

using client::path_of;

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
  for (std::thread& stopper : stoppers_) stopper.join();
}

void Attached::beside(std::function<void()> work) {
  std::lock_guard lock(stoppers_mutex_);
  stoppers_.emplace_back(std::move(work));
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
      beside([this] {
        const bool any = stop_all(false);
        // Nothing ends any more that events could tell of.
        if (options_.stay && !any) ::_exit(130);
      });
    } else if (count == 2) {
      beside([this] { stop_all(true); });
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
      if (container.service != service) continue;
      if (!container.running()) {
        if (!by_force) session_.report.tell("Container", container.name, "Stopped");
      } else if (by_force) {
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

void Attached::abort() {
  aborting_ = true;
  follower_.say("Aborting on container exit...");
  beside([this] { stop_all(false); });
}

void Attached::note_end(const Observed& container, int64_t code) {
  follower_.say(fmt::format("{} exited with code {}", shown_name(session_.project, container), code));
  if (container.service != options_.exit_code_from || code_is_final_) return;
  code_is_final_ = true;
  exit_code_ = static_cast<int>(code);
}

void Attached::started(const ContainerEvent& event) {
  alive_.insert(event.id);
  if (shown_.empty() || shown_.contains(event.service)) follower_.add_restarted(event.container());
}

void Attached::ended(const ContainerEvent& event) {
  if (!alive_.contains(event.id)) return;
  follower_.note_end(event.id);
  if (interrupts_ == 0 && end_state(*session_.client(), event.id).goes_on) {
    follower_.say(fmt::format("{} exited with code {} (restarting)",
                              shown_name(session_.project, event.container()), event.exit_code));
    return;
  }
  alive_.erase(event.id);
  note_end(event.container(), event.exit_code);
  const bool ends_all = options_.abort_on_exit || (options_.abort_on_failure && event.exit_code != 0);
  if (!ends_all || aborting_ || interrupts_ > 0) return;
  if (options_.exit_code_from.empty()) exit_code_ = event.exit_code;
  abort();
}

/// A container as it is when following begins: it may have ended meanwhile.
void Attached::look(const Observed& container) {
  if (shown_.contains(container.service)) follower_.add(container, {.new_alone = true});
  if (container.running()) {
    alive_.insert(container.id);
    return;
  }
  EndState end = end_state(*session_.client(), container.id);
  note_end(container, end.exit_code);
  if (!options_.abort_on_exit && !(options_.abort_on_failure && end.exit_code != 0)) return;
  if (end.finished.ends_with('Z')) end.finished.pop_back();  // so that fractions of other lengths compare
  const bool is_first = !aborting_ || end.finished < first_end_;
  aborting_ = true;
  if (!is_first) return;
  first_end_ = end.finished;
  if (options_.exit_code_from.empty()) exit_code_ = static_cast<int>(end.exit_code);
}

/// What dependencies write that go on is shown no further.
Outcome<void> Attached::finish_output() {
  TRY(auto containers, session_.containers());
  std::set<std::string> running;
  for (const Observed& container : containers)
    if (container.running() && !alive_.contains(container.id)) running.insert(container.id);
  goes_on_ = follower_.wait_but_for(running);
  return {};
}

Outcome<int> Attached::run(const std::set<std::string>& shown, const std::set<std::string>& watched) {
  shown_ = shown;
  watched_ = watched;
  TRY(auto events, ProjectEvents::open(session_, {"start", "die"}));
  running_ = true;
  auto is_watched = [&](const std::string& service) {
    return watched_.empty() || watched_.contains(service);
  };
  TRY(auto containers, session_.containers());
  for (const Observed& container : containers)
    if (is_watched(container.service)) look(container);
  if (aborting_) abort();
  while (!alive_.empty() || (options_.stay && interrupts_ == 0)) {
    TRY(auto happened, events.next());
    for (const ContainerEvent& event : happened) {
      if (event.one_off || !is_watched(event.service)) continue;
      event.action == "start" ? started(event) : ended(event);
    }
  }
  CHECK(finish_output());
  if (interrupts_ > 0 && options_.exit_code_from.empty()) return 130;
  return exit_code_;
}

}  // namespace berth::cli::compose
