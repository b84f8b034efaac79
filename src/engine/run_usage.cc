#include "engine/run_usage.h"

namespace berth::engine {
namespace {

RunObserver& current() {
  static RunObserver observer;
  return observer;
}

}  // namespace

void set_run_observer(RunObserver observer) {
  current() = std::move(observer);
}
const RunObserver& run_observer() {
  return current();
}

}  // namespace berth::engine
