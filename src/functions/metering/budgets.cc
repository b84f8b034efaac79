#include "functions/metering/budgets.h"

#include <charconv>

#include "base/log.h"
#include "functions/metering/metering_store.h"

namespace berth::functions {
namespace {

using namespace std::chrono_literals;

constexpr double kGigabyteSecond = 0.0000166667, kRequest = 0.0000002;
constexpr auto kLookAgain = 60s;

}  // namespace

std::optional<Budget> budget_of(const std::map<std::string, std::string>& tags) {
  auto limit = tags.find("berth:budget");
  if (limit == tags.end()) return std::nullopt;
  Budget budget;
  const std::string& text = limit->second;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), budget.limit);
  if (error != std::errc() || end != text.data() + text.size() || !(budget.limit >= 0)) return std::nullopt;
  auto action = tags.find("berth:budget-action");
  if (action != tags.end() && action->second == "stop") budget.action = Budget::Action::Stop;
  return budget;
}

double month_cost(uint64_t mebibyte_ms, uint64_t requests) {
  return static_cast<double>(mebibyte_ms) / 1024 / 1000 * kGigabyteSecond +
         static_cast<double>(requests) * kRequest;
}

Budgets::Budgets(io::EventLoop& loop, MeteringStore& store, Find find, Changed changed)
    : loop_(loop), store_(store), find_(std::move(find)), changed_(std::move(changed)) {
  tasks_.spawn(watch_month());
}

bool Budgets::stopped(const Realm& realm, const std::string& function) const {
  auto budget = find_(realm, function);
  if (!budget || budget->action != Budget::Action::Stop) return false;
  auto use = store_.this_month(realm, function);
  return month_cost(use.mebibyte_ms, use.runs) >= budget->limit;
}

void Budgets::record(const InvocationRecord& record) {
  store_.record(record);
  auto budget = find_(record.realm, record.function);
  if (!budget) return;
  auto use = store_.this_month(record.realm, record.function);
  double cost = month_cost(use.mebibyte_ms, use.runs);
  if (cost < budget->limit || !told_.insert({record.realm, record.function}).second) return;
  bool stop = budget->action == Budget::Action::Stop;
  log::warn("function {} has used up its budget of ${:.2f} for this month (${:.6f}){}", record.function,
            budget->limit, cost,
            stop ? ": it is throttled until the next one; raise its tag berth:budget to let it run" : "");
  if (stop) changed_(record.realm, record.function);
}

io::Task<void> Budgets::watch_month() {
  std::string month = to_rfc3339(now()).substr(0, 7);
  while (true) {
    co_await loop_.sleep_for(kLookAgain);
    std::string current = to_rfc3339(now()).substr(0, 7);
    if (current == month) continue;
    month = current;
    std::set<Key> told = std::move(told_);
    told_.clear();
    for (const auto& [realm, function] : told) changed_(realm, function);
  }
}

}  // namespace berth::functions
