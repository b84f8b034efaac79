#include "functions/events/rules.h"

#include <algorithm>
#include <array>

#include "base/format.h"
#include "base/json.h"
#include "base/log.h"
#include "functions/events/destinations.h"
#include "functions/events/event_queue.h"
#include "functions/queues/queues.h"
#include "functions/uuid.h"
#include "storage/database.h"
#include "storage/group_commit.h"

namespace berth::functions::events {
namespace {

using namespace std::chrono_literals;
using storage::Database;
using storage::Statement;

constexpr std::array<std::string_view, 1> kSteps{R"(
  CREATE TABLE rules(
    account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL,
    next_ms INTEGER, PRIMARY KEY(account, region, name)) WITHOUT ROWID;
)"};
constexpr size_t kMaxRules = 10'000;
constexpr size_t kMaxTargets = 100;

std::string document_of(const Rule& rule) {
  Json targets = Json::array();
  for (const RuleTarget& target : rule.targets)
    targets.push_back({{"id", target.id}, {"arn", target.arn}, {"input", target.input}});
  return to_json(Json{{"description", rule.description},
                      {"schedule", rule.schedule},
                      {"pattern", rule.pattern},
                      {"enabled", rule.enabled},
                      {"created", rule.created_ms},
                      {"targets", std::move(targets)}});
}

Result<void> read_document(std::string_view text, Rule& rule) {
  TRY(Json json, parse_json(text));
  TRY(rule.description, json_string(json, "description"));
  TRY(rule.schedule, json_string(json, "schedule"));
  TRY(rule.pattern, json_string(json, "pattern"));
  TRY(rule.enabled, json_bool(json, "enabled", true));
  TRY(rule.created_ms, json_int(json, "created"));
  if (!json.contains("targets")) return {};
  for (const Json& each : json["targets"]) {
    RuleTarget target;
    TRY(target.id, json_string(each, "id"));
    TRY(target.arn, json_string(each, "arn"));
    TRY(target.input, json_string(each, "input"));
    rule.targets.push_back(std::move(target));
  }
  return {};
}

Result<void> write_rule(Database& database, const Rule& rule, std::optional<int64_t> next_ms) {
  TRY(Statement write, database.prepare("INSERT OR REPLACE INTO rules VALUES(?, ?, ?, ?, ?)"));
  write.bind(rule.realm.account).bind(rule.realm.region).bind(rule.name).bind(document_of(rule));
  return write.bind(next_ms).run();
}

Error no_rule(const std::string& name) {
  return failure(Kind::NotFound, "Rule {} does not exist on EventBus default.", name);
}

std::string seconds_time(int64_t ms) {
  return to_rfc3339(from_unix_nanoseconds(ms / 1000 * 1'000'000'000));
}

std::string scheduled_event(const Rule& rule, int64_t due_ms) {
  return to_json(Json{{"version", "0"},
                      {"id", random_uuid()},
                      {"detail-type", "Scheduled Event"},
                      {"source", "aws.events"},
                      {"account", rule.realm.account},
                      {"time", seconds_time(due_ms)},
                      {"region", rule.realm.region},
                      {"resources", {rule.arn()}},
                      {"detail", Json::object()}});
}

/// Realm, name and qualifier of a function's ARN.
AsyncEvent event_for(const std::string& arn, const Realm& realm, std::string payload) {
  std::string rest = arn.substr(arn.find(":function:") + 10);
  size_t colon = rest.find(':');
  return {.realm = realm,
          .function = rest.substr(0, colon),
          .qualifier = colon == rest.npos ? std::string() : rest.substr(colon + 1),
          .request_id = random_uuid(),
          .payload = std::move(payload),
          .source = InvocationSource::Schedule};
}

}  // namespace

std::string Rule::arn() const {
  return fmt::format("arn:aws:events:{}:{}:rule/{}", realm.region, realm.account, name);
}

struct Rules::Live {
  Rule rule;
  std::optional<Schedule> schedule;
  std::optional<EventPattern> pattern;
  std::optional<int64_t> next_ms;
};

/// What goes out in one transaction.
struct Rules::Outgoing {
  std::vector<EventQueue::Prepared> events;
  std::vector<std::pair<std::shared_ptr<const queues::QueueRecord>, queues::NewMessage>> messages;
  std::optional<Rule> rule;  ///< whose next time is noted with it
  std::optional<int64_t> next_ms;
  int64_t now_ms = 0;
};

Rules::Rules(io::EventLoop& loop, storage::GroupCommit& commits, EventQueue& events, queues::Queues& queues,
             const Clock& clock)
    : loop_(loop), commits_(commits), events_(events), queues_(queues), clock_(clock) {}
Rules::~Rules() = default;

int64_t Rules::now_ms() const {
  return to_unix_nanoseconds(clock_.now()) / 1'000'000;
}

Result<std::unique_ptr<Rules>> Rules::open(io::EventLoop& loop, Database& database,
                                           storage::GroupCommit& commits, EventQueue& events,
                                           queues::Queues& queues, const Clock& clock) {
  CHECK(database.migrate("rules", kSteps));
  std::unique_ptr<Rules> rules(new Rules(loop, commits, events, queues, clock));
  {
    TRY(Statement read, database.prepare("SELECT account, region, name, document, next_ms FROM rules"));
    while (true) {
      TRY(bool more, read.step());
      if (!more) break;
      auto live = std::make_unique<Live>();
      live->rule.realm = {.account = read.text(0), .region = read.text(1)};
      live->rule.name = read.text(2);
      CHECK(read_document(read.text(3), live->rule));
      if (!read.is_null(4)) live->next_ms = read.integer(4);
      if (auto schedule = Schedule::parse(live->rule.schedule)) live->schedule = std::move(*schedule);
      if (auto pattern = EventPattern::parse(live->rule.pattern)) live->pattern = std::move(*pattern);
      Key key{live->rule.realm, live->rule.name};
      rules->rules_[key] = std::move(live);
    }
  }
  rules->tasks_.spawn(rules->run());
  return rules;
}

Result<Rules::Live*> Rules::live(const Realm& realm, const std::string& name) {
  auto it = rules_.find({realm, name});
  if (it == rules_.end()) return no_rule(name);
  return it->second.get();
}

Result<const Rule*> Rules::find(const Realm& realm, const std::string& name) const {
  auto it = rules_.find({realm, name});
  if (it == rules_.end()) return no_rule(name);
  return &it->second->rule;
}

std::vector<const Rule*> Rules::list(const Realm& realm) const {
  std::vector<const Rule*> result;
  for (const auto& [key, live] : rules_) {
    if (key.first == realm) result.push_back(&live->rule);
  }
  return result;
}

io::Task<Result<void>> Rules::store(Rule rule) {
  auto fresh = std::make_unique<Live>();
  if (!rule.schedule.empty()) {
    CO_TRY(fresh->schedule, Schedule::parse(rule.schedule));
    if (rule.enabled) fresh->next_ms = fresh->schedule->next(now_ms(), rule.created_ms);
  }
  if (!rule.pattern.empty()) {
    CO_TRY(fresh->pattern, EventPattern::parse(rule.pattern));
  }
  Key key{rule.realm, rule.name};
  auto old = rules_.find(key);
  // A change of something else does not move the next time.
  if (old != rules_.end() && old->second->rule.schedule == rule.schedule && rule.enabled &&
      old->second->next_ms)
    fresh->next_ms = old->second->next_ms;
  auto work = [rule, next = fresh->next_ms](Database& database) { return write_rule(database, rule, next); };
  CO_CHECK(co_await commits_.run(std::move(work)));
  fresh->rule = std::move(rule);
  rules_[key] = std::move(fresh);
  changed_.notify_all();
  co_return Result<void>();
}

io::Task<Result<void>> Rules::put(Rule rule) {
  if (rule.schedule.empty() && rule.pattern.empty()) {
    co_return Error(Kind::InvalidArgument,
                    "Parameter(s) EventPattern or ScheduleExpression must be specified.");
  }
  auto old = rules_.find({rule.realm, rule.name});
  if (old == rules_.end() && rules_.size() >= kMaxRules) {
    co_return failure(Kind::Exhausted, "there are {} rules, which is as many as there may be", rules_.size());
  }
  rule.created_ms = old == rules_.end() ? now_ms() : old->second->rule.created_ms;
  if (old != rules_.end()) rule.targets = old->second->rule.targets;
  co_return co_await store(std::move(rule));
}

io::Task<Result<void>> Rules::put_targets(Realm realm, std::string name, std::vector<RuleTarget> targets) {
  CO_TRY(Live * found, live(realm, name));
  Rule rule = found->rule;
  for (RuleTarget& target : targets) {
    if (destination_kind(target.arn) == DestinationKind::Unsupported) {
      co_return failure(
          Kind::InvalidArgument,
          "Provided Arn is not in correct format or not supported: {}: a rule's targets are functions "
          "and SQS queues",
          target.arn.substr(0, 200));
    }
    std::erase_if(rule.targets, [&](const RuleTarget& old) { return old.id == target.id; });
    rule.targets.push_back(std::move(target));
  }
  if (rule.targets.size() > kMaxTargets) co_return Error(Kind::Exhausted, "a rule has at most 100 targets");
  co_return co_await store(std::move(rule));
}

io::Task<Result<void>> Rules::remove_targets(Realm realm, std::string name, std::vector<std::string> ids) {
  CO_TRY(Live * found, live(realm, name));
  Rule rule = found->rule;
  std::erase_if(rule.targets, [&](const RuleTarget& target) {
    return std::find(ids.begin(), ids.end(), target.id) != ids.end();
  });
  co_return co_await store(std::move(rule));
}

io::Task<Result<void>> Rules::set_enabled(Realm realm, std::string name, bool enabled) {
  CO_TRY(Live * found, live(realm, name));
  Rule rule = found->rule;
  rule.enabled = enabled;
  co_return co_await store(std::move(rule));
}

io::Task<Result<void>> Rules::remove(Realm realm, std::string name, WithTargets with_targets) {
  auto it = rules_.find({realm, name});
  if (it == rules_.end()) co_return Result<void>();  // as AWS has it
  if (!it->second->rule.targets.empty() && with_targets == WithTargets::No)
    co_return Error(Kind::WrongState, "Rule can't be deleted since it has targets.");
  auto work = [realm, name](Database& database) -> Result<void> {
    TRY(Statement remove,
        database.prepare("DELETE FROM rules WHERE account = ? AND region = ? AND name = ?"));
    return remove.bind(realm.account).bind(realm.region).bind(name).run();
  };
  CO_CHECK(co_await commits_.run(std::move(work)));
  rules_.erase({realm, name});
  co_return Result<void>();
}

std::shared_ptr<Rules::Outgoing> Rules::address(const Rule& rule, const std::string& event) const {
  auto outgoing = std::make_shared<Outgoing>();
  outgoing->now_ms = now_ms();
  for (const RuleTarget& target : rule.targets) {
    const std::string& payload = target.input.empty() ? event : target.input;
    if (destination_kind(target.arn) == DestinationKind::Function) {
      auto prepared = events_.prepare(event_for(target.arn, rule.realm, payload));
      if (prepared) {
        outgoing->events.push_back(std::move(*prepared));
      } else {
        log::warn("rule {}: {}", rule.name, prepared.error().message());
      }
      continue;
    }
    auto name = queues::parse_queue_arn(target.arn);
    auto queue =
        name ? queues_.find(*name) : Result<std::shared_ptr<const queues::QueueRecord>>(name.error());
    if (queue) {
      outgoing->messages.emplace_back(*queue, queues::NewMessage{.body = payload});
    } else {
      log::warn("rule {}: target {}: {}", rule.name, target.arn, queue.error().message());
    }
  }
  return outgoing;
}

io::Task<Result<void>> Rules::send(std::shared_ptr<Outgoing> outgoing) {
  auto work = [outgoing](Database& database) -> Result<void> {
    for (const auto& prepared : outgoing->events) CHECK(EventQueue::insert_within(database, prepared));
    for (const auto& [queue, message] : outgoing->messages)
      CHECK(queues::Queues::insert_within(database, *queue, message, outgoing->now_ms));
    if (outgoing->rule) return write_rule(database, *outgoing->rule, outgoing->next_ms);
    return {};
  };
  CO_CHECK(co_await commits_.run(std::move(work)));
  for (const auto& prepared : outgoing->events) events_.take_over(prepared);
  for (const auto& [queue, message] : outgoing->messages) queues_.notify(*queue);
  co_return Result<void>();
}

io::Task<Result<void>> Rules::deliver(Realm realm, std::string event_json) {
  CO_TRY(Json event, parse_json(event_json));
  std::vector<std::shared_ptr<Outgoing>> all;
  for (const auto& [key, live] : rules_) {
    bool wanted = key.first == realm && live->rule.enabled && live->pattern && live->pattern->matches(event);
    if (wanted) all.push_back(address(live->rule, event_json));
  }
  for (auto& outgoing : all) CO_CHECK(co_await send(outgoing));
  co_return Result<void>();
}

io::Task<void> Rules::fire(Key key, int64_t due_ms) {
  auto it = rules_.find(key);
  if (it == rules_.end() || it->second->next_ms != due_ms) co_return;
  Live& live = *it->second;
  auto outgoing = address(live.rule, scheduled_event(live.rule, due_ms));
  outgoing->rule = live.rule;
  outgoing->next_ms = live.schedule->next(std::max(due_ms, now_ms()), live.rule.created_ms);
  live.next_ms = outgoing->next_ms;
  auto sent = co_await send(std::move(outgoing));
  if (!sent) log::error("rule {}: an event is lost: {}", key.second, sent.error().message());
}

io::Task<void> Rules::run() {
  while (true) {
    std::optional<int64_t> earliest;
    std::vector<std::pair<Key, int64_t>> due;
    int64_t now = now_ms();
    for (const auto& [key, live] : rules_) {
      if (!live->next_ms || !live->rule.enabled || !live->schedule) continue;
      if (*live->next_ms <= now) {
        due.emplace_back(key, *live->next_ms);
      } else if (!earliest || *live->next_ms < *earliest) {
        earliest = live->next_ms;
      }
    }
    if (!due.empty()) {
      for (const auto& [key, time] : due) {
        Key which = key;
        co_await fire(std::move(which), time);
      }
      continue;
    }
    io::TaskGroup timer;
    auto ring = [](io::EventLoop& loop, std::chrono::milliseconds delay,
                   io::Condition& changed) -> io::Task<void> {
      co_await loop.sleep_for(delay);
      changed.notify_all();
    };
    // At the latest in a minute, since the wall clock may be set.
    int64_t delay = earliest ? std::clamp<int64_t>(*earliest - now, 1, 60'000) : 60'000;
    if (earliest) timer.spawn(ring(loop_, std::chrono::milliseconds(delay), changed_));
    co_await changed_.wait();
  }
}

}  // namespace berth::functions::events
