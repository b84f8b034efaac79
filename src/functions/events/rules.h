// Rules: what EventBridge calls so: a schedule or a pattern, and the targets that get an event when it is due
// or matches. An event of a schedule is put into the queue in the transaction that notes the next time, so
// that each time counts once, whenever the daemon is killed; times that passed while it was down count as
// one. Loop thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json_fwd.h"
#include "base/result.h"
#include "functions/events/event_pattern.h"
#include "functions/events/schedule.h"
#include "functions/model.h"
#include "io/event_loop.h"
#include "io/sync.h"
#include "io/task_group.h"

namespace berth::storage {
class Database;
class GroupCommit;
}  // namespace berth::storage
namespace berth::functions::queues {
class Queues;
}

namespace berth::functions::events {

class EventQueue;

struct RuleTarget {
  std::string id, arn;
  std::string input;  ///< JSON that is sent instead of the event; empty: the event
};

struct Rule {
  Realm realm;
  std::string name;
  std::string description;
  std::string schedule;  ///< expression; empty: none
  std::string pattern;   ///< JSON; empty: none
  bool enabled = true;
  int64_t created_ms = 0;
  std::vector<RuleTarget> targets;
  std::string arn() const;
};

class Rules {
 public:
  static Result<std::unique_ptr<Rules>> open(io::EventLoop& loop, storage::Database& database,
                                             storage::GroupCommit& commits, EventQueue& events,
                                             queues::Queues& queues, const Clock& clock = Clock::system());
  ~Rules();
  Rules(const Rules&) = delete;

  /// New or changed; targets stay. InvalidArgument: a schedule or pattern that is none.
  io::Task<Result<void>> put(Rule rule);
  io::Task<Result<void>> put_targets(Realm realm, std::string rule, std::vector<RuleTarget> targets);
  io::Task<Result<void>> remove_targets(Realm realm, std::string rule, std::vector<std::string> ids);
  io::Task<Result<void>> set_enabled(Realm realm, std::string rule, bool enabled);
  /// WrongState while it has targets, unless `with_targets`.
  enum class WithTargets { No, Yes };
  io::Task<Result<void>> remove(Realm realm, std::string rule, WithTargets with_targets);
  /// NotFound: "Rule NAME does not exist on EventBus default."
  Result<const Rule*> find(const Realm& realm, const std::string& name) const;
  std::vector<const Rule*> list(const Realm& realm) const;
  /// An event that a client puts: to the targets of all rules whose pattern matches.
  io::Task<Result<void>> deliver(Realm realm, std::string event_json);
  /// For clocks that are moved by hand.
  void look_again() { changed_.notify_all(); }

 private:
  struct Live;
  struct Outgoing;
  Rules(io::EventLoop& loop, storage::GroupCommit& commits, EventQueue& events, queues::Queues& queues,
        const Clock& clock);
  using Key = std::pair<Realm, std::string>;
  int64_t now_ms() const;
  io::Task<Result<void>> store(Rule rule);
  Result<Live*> live(const Realm& realm, const std::string& name);
  io::Task<void> run();
  io::Task<void> fire(Key key, int64_t due_ms);
  std::shared_ptr<Outgoing> address(const Rule& rule, const std::string& event) const;
  io::Task<Result<void>> send(std::shared_ptr<Outgoing> outgoing);

  io::EventLoop& loop_;
  storage::GroupCommit& commits_;
  EventQueue& events_;
  queues::Queues& queues_;
  const Clock& clock_;
  std::map<Key, std::unique_ptr<Live>> rules_;
  io::Condition changed_;
  io::TaskGroup tasks_;
};

}  // namespace berth::functions::events
