// A program that cannot be written to.
#include "apps/runtime/own_program.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>

#include "sys/kernel_call.h"
#include "sys/memory_file.h"

namespace berth::runtime {
namespace {

constexpr char kSelf[] = "/proc/self/exe";

bool is_safe() {
  sys::UniqueFd self(::open(kSelf, O_RDONLY | O_CLOEXEC));
  if (!self) return false;
  struct statvfs status {};
  if (::fstatvfs(self.get(), &status) == 0 && (status.f_flag & ST_RDONLY) != 0) return true;
  constexpr int kSealed = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK;
  int seals = ::fcntl(self.get(), F_GET_SEALS);
  return seals >= 0 && (seals & kSealed) == kSealed;
}

/// -1 when mounts are not ours to make.
sys::UniqueFd open_read_only() {
  namespace call = sys::call;
  long tree = call::open_tree(AT_FDCWD, kSelf, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  sys::UniqueFd mount(static_cast<int>(tree));
  if (tree < 0) return {};
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  if (call::set_mount_attributes(mount.get(), "", AT_EMPTY_PATH, attributes) < 0) return {};
  return mount;
}

}  // namespace

Result<void> run_from_safe_copy(char** arguments, char** environment) {
  if (is_safe()) return {};
  sys::UniqueFd program = open_read_only();
  if (!program) {
    TRY(program, sys::load_sealed_program(kSelf));
  }
  sys::call::execute(program.get(), "", arguments, environment, AT_EMPTY_PATH);
  return Error::from_errno("run own program", kSelf, errno);
}

}  // namespace berth::runtime
