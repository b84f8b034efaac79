// LaunchPlan and ExecPlan: what the keeper is to do, decided. plan_launch() and plan_exec() are pure: they
// look at the request and the host's facts, never at the system, so tests assert plans without root.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "launch/host_facts.h"
#include "launch/keeper_setup.h"
#include "launch/launch_request.h"
#include "launch/steps.h"

namespace berth::launch {

/// Owns the bytes that a plan's texts point at.
class Arena {
 public:
  /// Copies; a NUL inside is InvalidArgument ("... contains a NUL byte").
  Result<Text> text(std::string_view value);
  Result<TextList> list(const std::vector<std::string>& values);
  Blob blob(std::string_view bytes);

 private:
  std::deque<std::string> strings_;
};

/// A mount that the creator makes and gives to the process in a slot: one whose file owners are mapped (where
/// the filesystem's own user namespace is at hand), or without maps, one that the process may not see.
struct MappedMount {
  Slot slot = kNoSlot;
  std::string source;
  bool recursive = false;         ///< with the mounts below it
  bool maps_recursively = false;  ///< and those are mapped too
  std::string uid_map;            ///< lines of uid_map
  std::string gid_map;
};

/// A device node that the creator makes: a process in a user namespace cannot.
struct NodeMount {
  Slot slot = kNoSlot;
  std::string path;   ///< inside; where the creator cannot make it either, the host's own at this path
  uint32_t mode = 0;  ///< with its type
  uint32_t major = 0;
  uint32_t minor = 0;
  uint32_t uid = 0;  ///< as the host sees them
  uint32_t gid = 0;
};

struct LaunchPlan {
  KeeperSetup setup;
  std::vector<NodeMount> node_mounts;      ///< not part of the encoded plan
  std::vector<MappedMount> mapped_mounts;  ///< not part of the encoded plan
  std::vector<Step> steps;
  Arena arena;
};

using ExecPlan = LaunchPlan;

/// InvalidArgument, Unsupported: in the words a user reads.
Result<LaunchPlan> plan_launch(const LaunchRequest& request, const HostFacts& host);
Result<ExecPlan> plan_exec(const ExecRequest& request, const HostFacts& host);

/// The bytes for the keeper; PlanReader (plan_codec.h) reads them. Exhausted when over its limits.
Result<std::string> encode_plan(const LaunchPlan& plan);
/// The plan as text, one line per step, for tests and diagnosis.
std::string describe(const LaunchPlan& plan);

}  // namespace berth::launch
