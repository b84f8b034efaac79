// Where a process is born: the namespaces that its creator has to enter first, for a new process cannot
// choose them (pid, time) or would no longer be allowed to (everything, once it is in a user namespace).
#pragma once

#include <linux/sched.h>
#include <sys/types.h>

#include "base/result.h"
#include "launch/plan.h"

namespace berth::launch {

/// The part of a plan that joins a user namespace by its path, taken out of it.
struct ForeignUsers {
  std::vector<step::JoinNamespace> others;  ///< joined before it, with the creator's rights
  const step::JoinNamespace* users = nullptr;
  std::vector<Step> steps;  ///< the plan's steps, with these replaced by becoming the namespace's root
};

/// users: null when the plan joins none by path.
ForeignUsers find_foreign_users(const LaunchPlan& plan);

/// Enters, for good, what a child is to be born into: the pid namespace of the container's init (exec), or
/// the plan's own, and a time namespace with offsets.
Result<void> enter_birthplace(const KeeperSetup& setup, int container_init);

/// clone3 from within a user namespace that we do not enter ourselves: a process in between joins all of
/// `foreign` and makes our child. 0 in the child, its pid for us.
Result<pid_t> clone_among_foreign_users(const ForeignUsers& foreign, const KeeperSetup& setup,
                                        clone_args arguments);

}  // namespace berth::launch
