// The directory that a container's process begins in, where the image has none: docker makes it with the
// container. Here a start makes it, in its own mount, and a container that has never been started gets it
// when its files are first asked for, so that creating one does not wait for it. Internal to engine/.
#pragma once

#include "engine/core.h"

namespace berth::engine {

/// Makes it, with its parents, for a container that has never been started; for all others nothing is to be
/// done. Whoever holds the container's operation lock must not call it.
io::Task<Result<void>> settle_working_directory(Core& core, ContainerHandle container);

/// The same for who holds the lock.
io::Task<Result<void>> settle_working_directory_locked(Core& core, ContainerHandle container);

}  // namespace berth::engine
