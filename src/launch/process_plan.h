// The part of a plan that is the same for a container's first process and for an exec: from session to exec.
#pragma once

#include <optional>

#include "launch/host_facts.h"
#include "launch/plan_builder.h"
#include "spec/runtime.h"

namespace berth::launch {

struct ProcessPlan {
  const spec::Process& process;
  const std::optional<spec::Seccomp>& seccomp;
  bool through_init = false;
  bool await_release = false;
  std::string_view personality = {};
  const spec::MemoryPolicy* memory_policy = nullptr;
  bool explains_denials = false;
  bool keeps_groups = false;
};

/// Checks what must hold of any process: arguments, working directory. InvalidArgument.
Result<void> check_process(const spec::Process& process);
/// False where device nodes cannot be made (CAP_MKNOD, which means nothing in the user namespace of an
/// ordinary user's engine): the host's own are bound instead.
bool makes_device_nodes(const HostFacts& host);
/// OOM score, where it is another than what the process begins with: while the host's /proc is still in
/// sight.
Result<void> plan_oom_score(PlanBuilder& builder, const spec::Process& process, const HostFacts& host,
                            int oom_score_now);
/// AppArmor profile and SELinux label for the coming exec, written through the procfs in a slot.
Result<void> plan_labels(PlanBuilder& builder, const spec::Process& process, const HostFacts& host,
                         Slot proc);
bool has_labels(const spec::Process& process);
/// Session, user, directory, credentials, filter, exec.
Result<void> plan_process(PlanBuilder& builder, const ProcessPlan& plan, const HostFacts& host);

}  // namespace berth::launch
