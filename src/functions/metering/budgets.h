// Budgets: how much a function may cost in a calendar month (UTC), said by its tags: "berth:budget" = "5.00"
// in dollars at AWS's x86 prices, and "berth:budget-action" = "warn" (the default) or "stop". Takes the
// records on their way to the store. A function that is stopped is throttled until the next month, or until
// its tags say otherwise.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "functions/metering.h"
#include "io/event_loop.h"
#include "io/task_group.h"

namespace berth::functions {

class MeteringStore;

struct Budget {
  double limit = 0;
  enum class Action { Warn, Stop } action = Action::Warn;
};
/// Nothing: no budget, or a tag that is none.
std::optional<Budget> budget_of(const std::map<std::string, std::string>& tags);
/// In dollars.
double month_cost(uint64_t mebibyte_ms, uint64_t requests);

class Budgets final : public MeteringSink {
 public:
  using Find = std::function<std::optional<Budget>(const Realm& realm, const std::string& function)>;
  /// Told when a function is stopped, and when it may run again.
  using Changed = std::function<void(const Realm& realm, const std::string& function)>;
  Budgets(io::EventLoop& loop, MeteringStore& store, Find find, Changed changed);

  void record(const InvocationRecord& record) override;
  /// Whether its budget keeps the function from running now.
  bool stopped(const Realm& realm, const std::string& function) const;

 private:
  io::Task<void> watch_month();
  using Key = std::pair<Realm, std::string>;
  io::EventLoop& loop_;
  MeteringStore& store_;
  Find find_;
  Changed changed_;
  std::set<Key> told_;  ///< whose budget is used up this month
  io::TaskGroup tasks_;
};

}  // namespace berth::functions
