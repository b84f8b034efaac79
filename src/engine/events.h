// EventLog: what happened, in order: the newest events are kept for replay, subscribers get all that follow.
// Shapes and names are docker's (GET /events).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "io/task.h"

namespace berth::engine {

struct Event {
  std::string type;    ///< "container", "image", "volume", "network", "daemon", "builder"
  std::string action;  ///< "start", "exec_start: ls -l", "health_status: healthy"
  std::string actor_id;
  std::map<std::string, std::string> attributes;
  std::string scope = "local";
  Timestamp time{};
  uint64_t sequence = 0;  ///< counts up by one per event
};

/// The filters of GET /events: key -> values; values of one key OR, keys AND, labels AND.
using Filters = std::map<std::string, std::vector<std::string>>;

/// Whether an event passes. Keys must have been checked by check_event_filters().
bool matches(const Event& event, const Filters& filters);
/// InvalidArgument: "invalid filter 'x'".
Result<void> check_event_filters(const Filters& filters);

class EventLog;

/// A subscriber's place in the log. When it falls too far behind, the oldest events are gone for it.
class EventSubscription {
 public:
  EventSubscription(EventSubscription&&) noexcept;
  EventSubscription& operator=(EventSubscription&&) = delete;
  ~EventSubscription();
  /// The next event that passes the filters; nothing after `until`. May be destroyed while it waits.
  io::Task<std::optional<Event>> next();

 private:
  friend class EventLog;
  struct State;
  explicit EventSubscription(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

class EventLog {
 public:
  explicit EventLog(const Clock& clock = Clock::system(), size_t capacity = 512);
  ~EventLog();

  void publish(std::string type, std::string action, std::string actor_id,
               std::map<std::string, std::string> attributes);
  struct Query {
    std::optional<Timestamp> since = {};  ///< none: only what is to come
    std::optional<Timestamp> until = {};
    Filters filters = {};
  };
  /// Registered when this returns.
  EventSubscription subscribe(Query query);
  size_t subscribers() const;
  /// How many there have been.
  uint64_t published() const;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace berth::engine
