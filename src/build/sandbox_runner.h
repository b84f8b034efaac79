// SandboxRunner: executes RUN steps in the sandbox that containers have, through launch/ and network/. Its
// groups are berth's own, and what belongs to a step while it runs lies in <exec_root>/build/<step>, so that
// the next daemon finds what a crash has left.
#pragma once

#include <memory>
#include <string>

#include "build/step_runner.h"
#include "io/event_loop.h"
#include "io/task_group.h"
#include "launch/host_facts.h"
#include "launch/keeper.h"
#include "network/networks.h"
#include "sys/cgroup.h"
#include "sys/netns.h"

namespace berth::build {

/// A running container whose network steps join, and what it knows of names.
struct JoinedContainer {
  sys::UniqueFd network;
  std::string hosts = {};        ///< its /etc/hosts
  std::string resolv_conf = {};  ///< its /etc/resolv.conf
};

struct SandboxServices {
  io::EventLoop& loop;
  const launch::HostFacts& host;
  const launch::KeeperProgram& keeper;
  network::Networks& networks;
  sys::NetnsPool& namespaces;
  const sys::CgroupHost& cgroups;
  std::string exec_root;
  std::string cgroup_parent = {};  ///< empty: "/berth"
  std::string network = "bridge";  ///< that steps with the default network join
  /// Whether steps see the host's cgroups, as containers do that say nothing of it. None: they do not.
  std::function<bool()> shares_cgroup_namespace = {};
  /// Finds a container by what follows "container:". WrongState if it does not run.
  std::function<Result<JoinedContainer>(const std::string& reference)> find_container = {};
};

class SandboxRunner : public StepRunner {
 public:
  explicit SandboxRunner(SandboxServices services) : services_(std::move(services)) {}

  io::Task<Result<StepOutcome>> run(StepRequest request, StepOutput& output, io::CancelToken cancel) override;
  io::Task<Result<void>> recover() override;
  std::vector<std::string> mount_targets() const override;

  /// Ends when nothing of steps that have ended is left to be removed.
  io::Task<void> wait_until_idle();

 private:
  struct Sandbox;
  std::string step_directory(const std::string& id) const;
  Result<void> join_network(const StepRequest& request, Sandbox& sandbox);
  /// The step's resolv.conf; on a network with names they are answered to it.
  Result<std::string> resolve_names(const StepRequest& request, const Sandbox& sandbox, bool has_ipv6);
  Result<void> write_files(const StepRequest& request, Sandbox& sandbox);
  Result<void> start(const StepRequest& request, Sandbox& sandbox);
  io::Task<Result<StepOutcome>> watch(Sandbox& sandbox, StepOutput& output, io::CancelToken cancel);
  void tear_down(std::unique_ptr<Sandbox> sandbox);
  io::Task<void> see_off(launch::Keeper keeper);
  io::Task<void> remove_links(network::LinkRemoval removal);
  io::Task<void> remove_traces(std::unique_ptr<sys::Cgroup> cgroup, std::string directory);

  SandboxServices services_;
  io::TaskGroup background_;
};

}  // namespace berth::build
