// Containers whose processes live in a user namespace that is not ours: their own, or that of the engine
// (podman's, for example) that an ordinary user's containers share.
#pragma once

#include <sys/types.h>

#include <vector>

#include "base/result.h"
#include "spec/runtime.h"

namespace berth::runtime {

/// What an exec has to join: the container's namespaces, and its init's user namespace exactly when that is
/// another than ours, whatever the configuration says of it. Without, root's exec would bring the host's
/// rights into a container of an ordinary user. An ordinary user, who could join nothing else from outside,
/// enters that user namespace here and for good. Forbidden: it is not the user's.
Result<std::vector<spec::Namespace>> namespaces_to_join(const std::vector<spec::Namespace>& configured,
                                                        pid_t pid, int init);

}  // namespace berth::runtime
