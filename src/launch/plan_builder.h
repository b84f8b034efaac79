// PlanBuilder: gathers the steps of a plan, its slots and its bytes.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "launch/plan.h"

namespace berth::launch {

class PlanBuilder {
 public:
  template <class S>
  void add(S step) {
    plan_.steps.emplace_back(std::move(step));
  }
  Step& last() { return plan_.steps.back(); }
  Result<Text> text(std::string_view value) { return plan_.arena.text(value); }
  Result<TextList> list(const std::vector<std::string>& values) { return plan_.arena.list(values); }
  Blob blob(std::string_view bytes) { return plan_.arena.blob(bytes); }
  KeeperSetup& setup() { return plan_.setup; }

  void add_mapped(MappedMount mount) { plan_.mapped_mounts.push_back(std::move(mount)); }

  void add_node(NodeMount node) { plan_.node_mounts.push_back(std::move(node)); }

  /// A fresh slot. Exhausted when there are too many mounts.
  Result<Slot> slot();
  LaunchPlan finish() && { return std::move(plan_); }

 private:
  LaunchPlan plan_;
};

}  // namespace berth::launch
