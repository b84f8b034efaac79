// berth-mount: started by berthd beside a running container to change its mounts: enters the container's
// mount namespace, puts a tree that berthd has cloned in place or takes a mount away, and ends.
#pragma once

namespace berth::keeper {

/// Descriptors: 3 the mount namespace, 4 (attach) the detached tree. Arguments: "attach" KIND PATH, with KIND
/// "directory" or "file" for a mount point that has to be made, or "detach" PATH. The exit status is 0 or an
/// errno value.
int run_mounter(int argc, char** argv);

}  // namespace berth::keeper
