// How many events and sandboxes of a function there may be, and must be: reserved and provisioned
// concurrency.
#include <algorithm>

#include "functions/sandbox/function_pool.h"

namespace berth::functions {
namespace {

Error throttled() {
  return Error(Kind::Exhausted, "Rate Exceeded.");
}

}  // namespace

Result<std::shared_ptr<void>> FunctionPool::take_place(Function& function, const std::string& version) {
  auto bound = function.concurrency.most.find(version);
  if (bound == function.concurrency.most.end()) return take_place_of_function(function);
  auto counts = function.counts;
  if (counts->of_version[version] >= bound->second) {
    last_throttle_ = Throttle::Concurrency;
    return throttled();
  }
  TRY(auto place, take_place_of_function(function));
  ++counts->of_version[version];
  return std::shared_ptr<void>(nullptr, [counts, version, place](void*) { --counts->of_version[version]; });
}

Result<std::shared_ptr<void>> FunctionPool::take_place_of_function(Function& function) {
  auto counts = function.counts;
  if (function.concurrency.reserved) {
    if (counts->in_flight >= *function.concurrency.reserved) {
      last_throttle_ = Throttle::ReservedConcurrency;
      return throttled();
    }
    ++counts->in_flight;
    return std::shared_ptr<void>(nullptr, [counts](void*) { --counts->in_flight; });
  }
  uint32_t shared = settings_.account_concurrency - std::min(settings_.account_concurrency, reserved_total_);
  if (*shared_in_flight_ >= shared) {
    last_throttle_ = Throttle::Concurrency;
    return throttled();
  }
  ++counts->in_flight;
  ++*shared_in_flight_;
  return std::shared_ptr<void>(nullptr, [counts, total = shared_in_flight_](void*) {
    --counts->in_flight;
    --*total;
  });
}

void FunctionPool::set_concurrency(const Realm& realm, const std::string& name,
                                   ConcurrencySettings settings) {
  bool nothing_set = !settings.reserved && settings.provisioned.empty() && settings.most.empty();
  if (nothing_set && !functions_.contains(Key(realm, name))) return;
  Function& function = function_of(realm, name);
  reserved_total_ -= function.concurrency.reserved.value_or(0);
  reserved_total_ += settings.reserved.value_or(0);
  function.concurrency = std::move(settings);
  for (Version& version : function.versions) {
    if (version.outdated) continue;
    auto wanted = function.concurrency.provisioned.find(version.function->version);
    version.provisioned = wanted == function.concurrency.provisioned.end() ? 0 : wanted->second;
    version.provision_failure.clear();
    provide(version);
  }
}

void FunctionPool::set_provisioned(FunctionVersionPtr function, uint32_t count) {
  Function& entry = function_of(function->realm, function->name);
  if (count == 0) {
    entry.concurrency.provisioned.erase(function->version);
  } else {
    entry.concurrency.provisioned[function->version] = count;
  }
  Version& version = version_of(function);
  version.provisioned = count;
  version.provision_failure.clear();
  provide(version);
}

void FunctionPool::provide(Version& version) {
  if (version.outdated || closing_) return;
  size_t there = version.starting;
  for (const auto& sandbox : version.sandboxes) {
    bool counts = sandbox->plan().initialization != "on-demand" &&
                  sandbox->phase() != FunctionSandbox::Phase::Ending && !sandbox->starting;
    there += counts ? 1 : 0;
  }
  for (; there < version.provisioned; ++there) {
    ++version.starting;
    start(version, nullptr, "provisioned-concurrency");
  }
}

Invoker::Provisioned FunctionPool::provisioned(const Realm& realm, const std::string& name,
                                               const std::string& wanted) const {
  Invoker::Provisioned answer;
  auto found = functions_.find(Key(realm, name));
  if (found == functions_.end()) return answer;
  for (const Version& version : found->second.versions) {
    if (version.outdated || version.function->version != wanted) continue;
    answer.wanted += version.provisioned;
    answer.failure = version.provision_failure;
    for (const auto& sandbox : version.sandboxes) {
      if (sandbox->plan().initialization == "on-demand") continue;
      using Phase = FunctionSandbox::Phase;
      bool ready = sandbox->phase() == Phase::Idle || sandbox->phase() == Phase::Busy;
      answer.allocated += ready ? 1 : 0;
      answer.available += sandbox->phase() == Phase::Idle ? 1 : 0;
    }
  }
  return answer;
}

}  // namespace berth::functions
