// What criu wants of a root before it restores a container: a mount of its own, with the places of all
// mounts. It is made in a mount namespace of our own, so that nothing of it stays when we are killed.
#pragma once

#include <string>

#include "base/result.h"
#include "spec/runtime.h"
#include "sys/fd.h"

namespace berth::launch {

/// This process in a mount namespace of its own, whose mounts follow the host's. For programs of one thread,
/// or a thread that ends afterwards.
class PrivateMounts {
 public:
  static Result<PrivateMounts> enter();
  PrivateMounts(PrivateMounts&&) = default;
  PrivateMounts& operator=(PrivateMounts&&) = delete;
  ~PrivateMounts() { (void)leave(); }
  /// The namespace itself, for others to join.
  Result<sys::UniqueFd> open_namespace() const;
  /// Back to where it was, with its root and working directory. Once more is harmless.
  Result<void> leave();

 private:
  PrivateMounts() = default;
  sys::UniqueFd host_;  ///< the namespace; -1: left
  sys::UniqueFd root_;
  sys::UniqueFd directory_;
};

/// Mounts `rootfs` at `place`, an empty directory, and makes directories and files there for the mounts of
/// the configuration, in bound directories too. What is on a filesystem that criu restores is left to it.
/// Bind sources are absolute.
Result<void> mount_restore_root(const std::string& rootfs, const std::string& place,
                                const spec::RuntimeSpec& spec);
/// The same where the root is mounted at `place` already.
Result<void> make_mount_places(const std::string& place, const spec::RuntimeSpec& spec);

}  // namespace berth::launch
