// Project quotas.
#include "sys/project_quota.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/format.h"
#include "sys/fd.h"

namespace berth::sys {
namespace {

constexpr unsigned kProject = 2;  // PRJQUOTA
constexpr unsigned command(unsigned what) {
  return what << 8 | kProject;  // QCMD()
}

Error unsupported(const std::string& path, int error) {
  return failure(
      Kind::Unsupported,
      "quota size requested but no quota support: the file system of {} has no project quotas in force "
      "(mount it with prjquota): {}",
      path, Error::from_errno("set quota", path, error).message());
}

/// quotactl_fd(2), Linux 5.14: by descriptor, so that nobody has to look for the device.
int set_limit(int fd, uint32_t project, uint64_t bytes) {
  if_dqblk limit{};
  limit.dqb_bhardlimit = (bytes + 1023) / 1024;  // in units of 1 KiB
  limit.dqb_bsoftlimit = limit.dqb_bhardlimit;
  limit.dqb_valid = QIF_BLIMITS;
  return static_cast<int>(::syscall(SYS_quotactl_fd, fd, command(Q_SETQUOTA), project, &limit));
}

}  // namespace

Result<void> limit_directory(const std::string& path, uint64_t bytes) {
  TRY(UniqueFd directory, open_file(path.c_str(), O_RDONLY | O_DIRECTORY));
  struct stat status {};
  if (::fstat(directory.get(), &status) != 0) return Error::from_errno("stat", path, errno);
  // A directory's inode number is its alone, and so is the project of that number; 0 is everybody's.
  auto project = static_cast<uint32_t>(status.st_ino);
  if (set_limit(directory.get(), project, bytes) != 0) return unsupported(path, errno);
  fsxattr attributes{};
  if (::ioctl(directory.get(), FS_IOC_FSGETXATTR, &attributes) != 0) return unsupported(path, errno);
  attributes.fsx_projid = project;
  attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
  if (::ioctl(directory.get(), FS_IOC_FSSETXATTR, &attributes) != 0) return unsupported(path, errno);
  return {};
}

}  // namespace berth::sys
