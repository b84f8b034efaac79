// ActingOwner: for as long as it lives, the calling thread makes files as another user, with the capabilities
// that it has. For directories whose owners are mapped: through the map nobody makes files whose own id it
// does not know (EOVERFLOW).
#pragma once

#include <cstdint>

namespace berth::sys {

class ActingOwner {
 public:
  /// As root of the initial user namespace; these are the kernel's, not the C library's, credentials.
  ActingOwner(uint32_t uid, uint32_t gid);
  ~ActingOwner();
  ActingOwner(const ActingOwner&) = delete;
  ActingOwner& operator=(const ActingOwner&) = delete;
};

}  // namespace berth::sys
