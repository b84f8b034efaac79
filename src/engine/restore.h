// One restore of a container from a checkpoint. berthd asks criu, which berth-keeper has started and which
// makes the container's processes the keeper's children. Internal to engine/; start.cc makes a run's other
// parts as for any start.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/core.h"
#include "launch/criu.h"
#include "launch/launch_request.h"
#include "sys/netns.h"

namespace berth::engine {

/// A start up to its launch. What is there after a failure is torn down by whoever began it.
struct PreparedRun {
  launch::LaunchRequest request;
  sys::NetworkNamespace netns;  ///< none with host or container mode
};

/// Unsupported: what the engine or criu cannot dump, or would restore as something else.
Result<void> may_checkpoint(const Core& core, const ContainerRecord& record);
/// The specification as criu has to know it: an own network is one that is only joined.
void name_network(const std::string& path, spec::RuntimeSpec& spec);
/// Where criu writes its logs for a container.
std::string criu_work_dir(const Core& core, const ContainerRecord& record);

/// Ends a restore that is under way; it fails then. Nothing where none is.
void give_up_restore(const Container& container);

class Restore {
 public:
  /// `images`: the checkpoint's directory.
  Restore(Core& core, ContainerHandle container, PreparedRun prepared, std::string images);

  /// Looks at the checkpoint and mounts the root where criu will find it, in a mount namespace of its own.
  /// On a worker thread.
  Result<void> prepare();
  /// Starts a keeper that starts criu, into container.run.
  Result<void> spawn(std::vector<launch::Attachment> attachments);
  /// Has criu do its work; returns when the keeper has been told how that went.
  io::Task<void> drive();

 private:
  Result<void> mount_root();
  Result<void> talk();
  Result<void> follow(const launch::CriuAnswer& told, sys::UniqueFd descriptor);

  Core& core_;
  ContainerHandle container_;
  std::shared_ptr<Run> run_;
  PreparedRun prepared_;
  std::string images_path_;
  std::string work_path_;
  std::string root_path_;
  std::optional<launch::Criu> criu_;
  launch::CriuRequest request_{.action = launch::CriuAction::Restore, .options = {}};
  std::vector<std::string> stdio_;
  sys::UniqueFd mounts_;  ///< the mount namespace
  sys::UniqueFd images_, work_;
  sys::UniqueFd network_;
  sys::UniqueFd socket_;
  sys::UniqueFd master_;  ///< of the container's terminal
};

}  // namespace berth::engine
