// What the engine keeps of sandboxes beside their containers: the wiring of their start, and what they had
// used at their end. Internal to engine/. One table per Core, found by it: containers and core stay free of
// what only sandboxes need. Nothing of a sandbox is in the database: the next daemon finds keepers, groups
// and folders that no record knows, and ends and removes them.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/lifecycle.h"
#include "engine/sandboxes.h"
#include "io/sync.h"

namespace berth::engine {

/// One sandbox, from before its container exists until that is gone.
struct SandboxLife {
  SandboxWiring wiring;
  std::vector<MountPoint> mounts;
  std::shared_ptr<Run> run;  ///< set by its start
  io::Event ready;           ///< it runs, could not be started, or waits for its release
  launch::ExitRecord exit;   ///< when run->exited is set
  std::optional<SandboxUsage> usage;
};

class SandboxTable {
 public:
  static SandboxTable& of(const Core& core);
  /// The engine's core; for façades that are given the engine.
  static Core& core_of(const Engine& engine);
  static void add(Core& core);
  static void remove(const Core& core);

  /// Containers of this name are sandboxes, from before they are made.
  void expect(const std::string& name) { names_.insert(name); }
  void forget(const std::string& name) { names_.erase(name); }
  bool expects(std::string_view name) const { return names_.contains(name); }

  /// Null for ordinary containers.
  SandboxLife* find(std::string_view container_id) const;
  void insert(const std::string& container_id, std::shared_ptr<SandboxLife> life);
  void erase(std::string_view container_id);

 private:
  std::set<std::string, std::less<>> names_;
  std::map<std::string, std::shared_ptr<SandboxLife>, std::less<>> lives_;
};

// Steps of an ordinary start and end that sandboxes add to; nothing for other containers.

/// Before the launch is planned: streams, where the start pauses, the look at the network namespace.
Result<void> wire_sandbox(const Core& core, const ContainerRecord& record, const sys::NetworkNamespace& netns,
                          launch::LaunchRequest& request);
/// The run's end: keeps what it used while its groups are there.
void note_sandbox_exit(const Core& core, const ContainerRecord& record, const Run& run,
                       const launch::ExitRecord& exit);
/// It runs, failed, or waits.
void note_sandbox_ready(const Core& core, std::string_view container_id);

}  // namespace berth::engine
