#include "apps/berth/compose/follow.h"

#include <algorithm>

#include "apps/berth/compose/project_events.h"
#include "apps/berth/options/moment.h"
#include "apps/berth/terminal/frames.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

using client::path_of;
using client::Query;

/// Cuts what comes into lines; each of the two streams has its own rest.
class Lines {
 public:
  template <class Emit>
  void feed(std::string_view bytes, const Emit& emit) {
    while (true) {
      size_t end = bytes.find('\n');
      rest_ += bytes.substr(0, end);
      if (end == std::string_view::npos) break;
      if (rest_.ends_with('\r')) rest_.pop_back();
      emit(rest_);
      rest_.clear();
      bytes.remove_prefix(end + 1);
    }
    if (rest_.size() > (1u << 20)) finish(emit);
  }
  template <class Emit>
  void finish(const Emit& emit) {
    if (!rest_.empty()) emit(rest_);
    rest_.clear();
  }

 private:
  std::string rest_;
};

}  // namespace

std::string shown_name(const Project& project, const Observed& container) {
  std::string prefix = project.name + project.separator;
  return container.name.starts_with(prefix) ? container.name.substr(prefix.size()) : container.name;
}

Follower::Follower(Session& session, FollowOptions options)
    : session_(session), options_(std::move(options)) {}

Follower::~Follower() {
  wait();
}

void Follower::reserve(const std::string& container_name) {
  std::lock_guard lock(mutex_);
  width_ = std::max(width_, container_name.size());
}

void Follower::add(const Observed& container, From from) {
  std::lock_guard lock(mutex_);
  if (!begun_.insert(container.id).second && from.since.empty()) return;
  auto [active, is_new] = active_.try_emplace(container.id);
  if (!is_new) {
    active->second.again = std::move(from);
    return;
  }
  std::string name = shown_name(session_.project, container);
  width_ = std::max(width_, name.size());
  auto [known, fresh] = colour_of_.try_emplace(name, colours_);
  if (fresh) ++colours_;
  threads_.emplace_back(&Follower::stream, this, container, std::move(from), known->second);
}

void Follower::note_end(const std::string& id) {
  std::lock_guard lock(mutex_);
  auto active = active_.find(id);
  if (active != active_.end()) active->second = {.fed_since = false};
}

void Follower::add_restarted(const Observed& container) {
  const EndState state = end_state(*session_.client(), container.id);
  auto since = options::api_time(state.started, now());
  add(container, {.since = since ? *since : ""});
}

void Follower::wait() {
  while (true) {
    std::thread thread;
    {
      std::lock_guard lock(mutex_);
      if (threads_.empty()) return;
      thread = std::move(threads_.front());
      threads_.pop_front();
    }
    thread.join();
  }
}

bool Follower::wait_but_for(const std::set<std::string>& ids) {
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [&] {
    return std::all_of(active_.begin(), active_.end(),
                       [&](const auto& one) { return ids.contains(one.first); });
  });
  return !active_.empty();
}

void Follower::say(std::string_view line) {
  std::lock_guard lock(mutex_);
  session_.context.out.line(line);
  session_.context.out.flush();
}

void Follower::hook_line(std::string_view container_name, std::string_view line) {
  const std::string name = fmt::format("{} ->", container_name);
  reserve(name);
  print(name, 0, line, false);
}

void Follower::print(const std::string& name, size_t colour, std::string_view line, bool error) {
  std::lock_guard lock(mutex_);
  output::Stream& out = error && options_.split ? session_.context.err : session_.context.out;
  if (options_.prefix) {
    constexpr std::string_view colours[] = {"36", "33", "32", "35", "34", "96", "93", "92", "95", "94"};
    if (options_.colour) {
      out.print("\x1b[{}m{:<{}}  | \x1b[0m", colours[colour % std::size(colours)], name, width_);
    } else {
      out.print("{:<{}}  | ", name, width_);
    }
  }
  out.line(line);
  out.flush();
}

void Follower::stream(Observed container, From from, size_t colour) {
  while (true) {
    stream_once(container, from, colour);
    std::lock_guard lock(mutex_);
    auto active = active_.find(container.id);
    // An engine may go on with one stream when a container is started again, or end it.
    const bool missed = active->second.again && !active->second.fed_since;
    if (!missed) {
      active_.erase(active);
      ended_.notify_all();
      return;
    }
    from = std::move(*active->second.again);
    active->second = {};
  }
}

void Follower::stream_once(const Observed& container, const From& from, size_t colour) {
  std::string name = shown_name(session_.project, container);
  auto engine = session_.client();
  Query query;
  query.add("stdout", "1").add("stderr", "1").flag("follow", options_.follow);
  query.flag("timestamps", options_.timestamps).add("tail", from.new_alone ? "0" : options_.tail);
  query.add_unless_empty("since", from.since.empty() ? options_.since : from.since)
      .add_unless_empty("until", options_.until);
  bool tty = false;
  if (auto json = call_json(*engine, "GET", path_of("containers", container.id, "json"))) {
    if (const Json* config = json_member(*json, "Config")) tty = json_bool(*config, "Tty").value_or(false);
  }
  terminal::FrameSplitter splitter;
  Lines out, err;
  auto emit_out = [&](std::string_view line) { print(name, colour, line, false); };
  auto emit_err = [&](std::string_view line) { print(name, colour, line, true); };
  auto take = [&](std::string_view bytes) -> Outcome<void> {
    {
      std::lock_guard lock(mutex_);
      active_[container.id].fed_since = true;
    }
    if (tty) {
      out.feed(bytes, emit_out);
      return {};
    }
    CHECK(splitter.feed(bytes, [&](auto stream, std::string_view payload) {
      const bool is_error = stream == terminal::FrameSplitter::Stream::Stderr;
      is_error ? err.feed(payload, emit_err) : out.feed(payload, emit_out);
    }));
    return {};
  };
  auto ended = engine->stream({.path = path_of("containers", container.id, "logs"), .query = query}, take);
  out.finish(emit_out);
  err.finish(emit_err);
  if (!ended && !ended.error().not_found())
    session_.report.warn(fmt::format("{}: {}", name, ended.error().text()));
}

}  // namespace berth::cli::compose
