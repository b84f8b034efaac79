// The event log and its subscribers.
#include "engine/events.h"

#include <algorithm>
#include <array>

#include "base/format.h"
#include "io/cancel.h"
#include "io/sync.h"

namespace berth::engine {

struct EventLog::State {
  const Clock* clock;
  size_t capacity;
  std::deque<Event> ring;
  uint64_t next_sequence = 1;
  size_t subscribers = 0;
  io::Condition published;
};

struct EventSubscription::State {
  std::shared_ptr<EventLog::State> log;
  EventLog::Query query;
  uint64_t next_sequence = 1;
};

namespace {

bool starts_with_any(const std::vector<std::string>& prefixes, std::string_view text) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return text.starts_with(prefix); });
}

bool is_any(const std::vector<std::string>& values, std::string_view text) {
  return std::find(values.begin(), values.end(), text) != values.end();
}

std::string_view attribute(const Event& event, const std::string& name) {
  auto it = event.attributes.find(name);
  return it == event.attributes.end() ? std::string_view() : std::string_view(it->second);
}

/// A reference without its tag: "localhost:5000/x:1" is "localhost:5000/x".
std::string_view without_tag(std::string_view reference) {
  reference = reference.substr(0, reference.find('@'));
  size_t colon = reference.rfind(':');
  if (colon == std::string_view::npos || reference.find('/', colon) != std::string_view::npos)
    return reference;
  return reference.substr(0, colon);
}

bool matches_image(const Event& event, const std::vector<std::string>& values) {
  std::string_view name = attribute(event, event.type == "image" ? "name" : "image");
  return is_any(values, event.actor_id) || is_any(values, name) ||
         is_any(values, without_tag(event.actor_id)) || is_any(values, without_tag(name));
}

bool has_label(const Event& event, std::string_view label) {
  size_t equals = label.find('=');
  auto it = event.attributes.find(std::string(label.substr(0, equals)));
  if (it == event.attributes.end()) return false;
  return equals == std::string_view::npos || it->second == label.substr(equals + 1);
}

bool matches_one(const Event& event, const std::string& key, const std::vector<std::string>& values) {
  if (key == "event") {
    std::string_view action = event.action;
    return is_any(values, action) || is_any(values, action.substr(0, action.find(':')));
  }
  if (key == "type") return is_any(values, event.type);
  if (key == "scope") return is_any(values, event.scope);
  if (key == "image") return matches_image(event, values);
  if (key == "label") {
    return std::all_of(values.begin(), values.end(),
                       [&](const std::string& label) { return has_label(event, label); });
  }
  // The rest name an actor by id or name, prefixes allowed.
  return starts_with_any(values, event.actor_id) || starts_with_any(values, attribute(event, "name"));
}

}  // namespace

bool matches(const Event& event, const Filters& filters) {
  return std::all_of(filters.begin(), filters.end(), [&](const auto& filter) {
    return filter.second.empty() || matches_one(event, filter.first, filter.second);
  });
}

Result<void> check_event_filters(const Filters& filters) {
  constexpr std::array<std::string_view, 15> known = {"config", "container", "daemon", "event",  "image",
                                                      "label",  "network",   "node",   "plugin", "scope",
                                                      "secret", "service",   "type",   "volume", "builder"};
  for (const auto& [key, values] : filters) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      return failure(Kind::InvalidArgument, "invalid filter '{}'", key);
    }
  }
  return {};
}

EventLog::EventLog(const Clock& clock, size_t capacity) : state_(std::make_shared<State>()) {
  state_->clock = &clock;
  state_->capacity = capacity;
}

EventLog::~EventLog() = default;

void EventLog::publish(std::string type, std::string action, std::string actor_id,
                       std::map<std::string, std::string> attributes) {
  if (state_->ring.size() >= state_->capacity) state_->ring.pop_front();
  state_->ring.push_back({.type = std::move(type),
                          .action = std::move(action),
                          .actor_id = std::move(actor_id),
                          .attributes = std::move(attributes),
                          .time = state_->clock->now(),
                          .sequence = state_->next_sequence++});
  state_->published.notify_all();
}

EventSubscription EventLog::subscribe(Query query) {
  auto state = std::make_shared<EventSubscription::State>();
  state->log = state_;
  state->next_sequence = state_->next_sequence;
  if (query.since) {
    auto first = std::find_if(state_->ring.begin(), state_->ring.end(),
                              [&](const Event& event) { return event.time >= *query.since; });
    if (first != state_->ring.end()) state->next_sequence = first->sequence;
  }
  state->query = std::move(query);
  ++state_->subscribers;
  return EventSubscription(std::move(state));
}

size_t EventLog::subscribers() const {
  return state_->subscribers;
}

uint64_t EventLog::published() const {
  return state_->next_sequence - 1;
}

EventSubscription::EventSubscription(std::shared_ptr<State> state) : state_(std::move(state)) {}
EventSubscription::EventSubscription(EventSubscription&&) noexcept = default;
EventSubscription::~EventSubscription() {
  if (state_) --state_->log->subscribers;
}

namespace {

io::Task<Result<bool>> await_publication(std::shared_ptr<EventLog::State> log) {
  co_await log->published.wait();
  co_return true;
}

}  // namespace

io::Task<std::optional<Event>> EventSubscription::next() {
  // The frame keeps the log alive, whatever becomes of the subscription.
  std::shared_ptr<State> state = state_;
  EventLog::State& log = *state->log;
  while (true) {
    if (!log.ring.empty() && state->next_sequence < log.ring.front().sequence) {
      state->next_sequence = log.ring.front().sequence;
    }
    while (state->next_sequence < log.next_sequence) {
      const Event& event = log.ring[state->next_sequence - log.ring.front().sequence];
      ++state->next_sequence;
      if (state->query.until && event.time > *state->query.until) co_return std::nullopt;
      if (matches(event, state->query.filters)) co_return event;
    }
    if (!state->query.until) {
      co_await log.published.wait();
      continue;
    }
    auto left = *state->query.until - log.clock->now();
    if (left <= std::chrono::nanoseconds(0)) co_return std::nullopt;
    auto deadline = std::chrono::steady_clock::now() + left;
    io::Task<Result<bool>> publication = await_publication(state->log);
    auto woken = co_await io::with_deadline(std::move(publication), deadline);
    if (!woken && woken.error().kind() != Kind::DeadlineExceeded) co_return std::nullopt;
  }
}

}  // namespace berth::engine
