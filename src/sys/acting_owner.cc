// setfsuid(2), and the capabilities that it takes.
#include "sys/acting_owner.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace berth::sys {

ActingOwner::ActingOwner(uint32_t uid, uint32_t gid) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct capabilities[2] = {};
  bool known = ::syscall(SYS_capget, &header, capabilities) == 0;
  ::syscall(SYS_setfsgid, gid);
  ::syscall(SYS_setfsuid, uid);
  // Leaving id 0 has taken those that concern files.
  if (known) ::syscall(SYS_capset, &header, capabilities);
}

ActingOwner::~ActingOwner() {
  ::syscall(SYS_setfsuid, ::geteuid());
  ::syscall(SYS_setfsgid, ::getegid());
}

}  // namespace berth::sys
