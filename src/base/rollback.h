// Rollback: undo steps that run in reverse order unless the work is kept.
#pragma once

#include <functional>
#include <utility>
#include <vector>

namespace berth {

class Rollback {
 public:
  Rollback() = default;
  Rollback(Rollback&& other) noexcept : steps_(std::exchange(other.steps_, {})) {}
  Rollback& operator=(Rollback&& other) noexcept {
    run();
    steps_ = std::exchange(other.steps_, {});
    return *this;
  }
  ~Rollback() { run(); }

  /// An undo step must not throw and should log its own failure.
  void add(std::function<void()> undo) { steps_.push_back(std::move(undo)); }
  /// The work succeeded: nothing is undone.
  void keep() { steps_.clear(); }
  void run() {
    while (!steps_.empty()) {
      auto step = std::move(steps_.back());
      steps_.pop_back();
      step();
    }
  }

 private:
  std::vector<std::function<void()>> steps_;
};

}  // namespace berth
