// Steps that make, attach and change mounts. Everything is made detached, then attached to a descriptor that
// was resolved beneath the root.
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>

#include <cerrno>

#include "launch/executor/beneath.h"
#include "launch/executor/executor.h"
#include "launch/executor/file_status.h"
#include "sys/kernel_call.h"

namespace berth::launch {

namespace call = sys::call;

namespace {

constexpr size_t kMaxConfigString = 255;  ///< what fsconfig(2) takes
constexpr unsigned kCloneTree = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
constexpr unsigned kByDescriptors = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;

}  // namespace

/// The filesystem's own words for the last failure, if it left any ("e overlay: ...").
long Executor::explain(int filesystem, long error, std::string_view subject) {
  char words[256];
  long size = call::read(filesystem, words, sizeof words);
  blame(error, subject);
  if (size > 2) {
    std::string_view text(words, static_cast<size_t>(size));
    text.remove_prefix(2);
    if (text.ends_with('\n')) text.remove_suffix(1);
    reason_ = Reason::FilesystemMessage;
    subject_.append(" (");
    subject_.append(text);
    subject_.append(")");
  }
  return error;
}

long Executor::clone_tree(int directory, const char* path, unsigned flags) {
  return call::open_tree(directory, path, kCloneTree | flags);
}

long Executor::attach_at(int mount, int target) {
  return call::move_mount(mount, "", target, "", kByDescriptors);
}

/// A source that the daemon resolved and holds ("/proc/<pid>/fd/N") lies in its mount namespace, of which
/// nothing can be cloned into ours. The same file is found in ours by its path, and must be the same.
long Executor::clone_held_tree(const char* link, unsigned flags) {
  char path[4096];
  long size = call::read_link(AT_FDCWD, link, path, sizeof path - 1);
  if (size < 0) return size;
  path[size] = 0;
  long held = call::open(AT_FDCWD, link, O_PATH | O_CLOEXEC);
  if (held < 0) return held;
  long own = call::open_beneath(AT_FDCWD, path, O_PATH | O_CLOEXEC, RESOLVE_NO_SYMLINKS);
  long result = own;
  if (own >= 0) {
    bool same = is_same_file(static_cast<int>(held), static_cast<int>(own));
    result = same ? clone_tree(static_cast<int>(own), "", AT_EMPTY_PATH | flags) : -ESTALE;
    call::close(static_cast<int>(own));
  }
  call::close(static_cast<int>(held));
  return result;
}

long Executor::perform(const step::OpenTree& step) {
  unsigned flags = step.recursive != 0 ? AT_RECURSIVE : 0;
  long fd = clone_tree(AT_FDCWD, step.source.c_str(), flags);
  if (fd == -EINVAL && step.source.view().starts_with("/proc/"))
    fd = clone_held_tree(step.source.c_str(), flags);
  return blame(fill(step.slot, fd), step.source.view());
}

long Executor::perform(const step::SetPropagation& step) {
  return call::mount("", "/", "", step.flags, nullptr);
}

long Executor::set_parameter(int filesystem, Text parameter) {
  FixedBuffer<kMaxConfigString> key(parameter.view());
  size_t equals = parameter.view().find('=');
  if (equals == std::string_view::npos) {
    if (key.overflowed()) return -ENAMETOOLONG;
    return call::configure(filesystem, FSCONFIG_SET_FLAG, key.c_str(), nullptr);
  }
  key.cut_to(equals);
  return call::configure(filesystem, FSCONFIG_SET_STRING, key.c_str(), parameter.c_str() + equals + 1);
}

long Executor::perform(const step::NewFilesystem& step) {
  long opened = call::open_filesystem(step.type.c_str());
  if (opened < 0) return blame(opened, step.type.view());
  int filesystem = static_cast<int>(opened);
  long error = 0;
  std::string_view subject = step.type.view();
  if (!step.source.empty())
    error = call::configure(filesystem, FSCONFIG_SET_STRING, "source", step.source.c_str());
  for (Text parameter : step.parameters) {
    if (error < 0) break;
    error = set_parameter(filesystem, parameter);
    if (error < 0) subject = parameter.view();
  }
  if (error >= 0) {
    subject = step.type.view();
    error = call::configure(filesystem, FSCONFIG_CMD_CREATE, nullptr, nullptr);
  }
  if (error < 0)
    explain(filesystem, error, subject);
  else
    error = blame(fill(step.slot, call::make_mount(filesystem, step.attributes)), subject);
  call::close(filesystem);
  if (error == -EINVAL && step.type.view() == "overlay") return mount_overlay_by_string(step, error);
  return error;
}

long Executor::perform(const step::SetAttributes& step) {
  long fd = slot(step.slot);
  if (fd < 0) return fd;
  mount_attr attributes{
      .attr_set = step.set, .attr_clr = step.clear, .propagation = step.propagation, .userns_fd = 0};
  unsigned flags = AT_EMPTY_PATH | (step.recursive != 0 ? AT_RECURSIVE : 0);
  return call::set_mount_attributes(static_cast<int>(fd), "", flags, attributes);
}

long Executor::perform(const step::AttachRoot& step) {
  long fd = slot(step.slot);
  if (fd < 0) return fd;
  long error = call::move_mount(static_cast<int>(fd), "", AT_FDCWD, step.at.c_str(), MOVE_MOUNT_F_EMPTY_PATH);
  if (error >= 0) root_ = static_cast<int>(fd);
  return blame(error, step.at.view());
}

/// Where there is no directory yet, the filesystem's own mode stays.
void Executor::inherit_mode(int mount, const char* target) {
  long covered = open_path_beneath(root_, target);
  if (covered < 0) return;
  FileStatus status;
  long error = read_status(static_cast<int>(covered), status);
  call::close(static_cast<int>(covered));
  if (error >= 0 && S_ISDIR(status.mode)) call::change_mode(mount, ".", status.mode & 07777);
}

long Executor::perform(const step::Attach& step) {
  long mount = slot(step.slot);
  if (mount < 0) return mount;
  FileStatus status;
  if (long error = read_status(static_cast<int>(mount), status); error < 0) return error;
  auto rule = static_cast<TargetRule>(step.rule);
  LastLink last = rule == TargetRule::OrdinaryDirectory ? LastLink::Refuse : LastLink::Follow;
  Make make = S_ISDIR(status.mode) ? Make::Directory : Make::File;
  if (step.inherits_mode != 0) inherit_mode(static_cast<int>(mount), step.target.c_str());
  long target = make_path_beneath(root_, step.target.c_str(), make, last);
  if (target == -ELOOP && last == LastLink::Refuse)
    return blame(Reason::TargetIsLink, -ELOOP, step.target.view());
  if (target < 0) return blame(target, step.target.view());
  bool inside_proc = filesystem_type(static_cast<int>(target)) == PROC_SUPER_MAGIC;
  bool proc_itself = filesystem_type(static_cast<int>(mount)) == PROC_SUPER_MAGIC;
  long error = 0;
  if (rule != TargetRule::InsideProc && (inside_proc || (rule == TargetRule::ProcItself && !proc_itself)))
    error = blame(Reason::TargetInProc, -EPERM, step.target.view());
  else
    error = blame(attach_at(static_cast<int>(mount), static_cast<int>(target)), step.target.view());
  call::close(static_cast<int>(target));
  return error;
}

long Executor::perform(const step::MakeDirectory& step) {
  long fd = make_path_beneath(root_, step.path.c_str(), Make::Directory);
  if (fd < 0) return blame(fd, step.path.view());
  call::close(static_cast<int>(fd));
  return 0;
}

long Executor::perform(const step::MaskPath& step) {
  long opened = open_path_beneath(root_, step.path.c_str());
  if (opened == -ENOENT || opened == -ENOTDIR) return 0;
  if (opened < 0) return blame(opened, step.path.view());
  int target = static_cast<int>(opened);
  FileStatus status;
  long error = read_status(target, status);
  if (error >= 0 && !S_ISDIR(status.mode)) {
    error = open_null(step.null_directory);
    if (error >= 0) error = clone_tree(static_cast<int>(error), "", AT_EMPTY_PATH);
  } else if (error >= 0 && empty_ >= 0) {
    error = clone_tree(empty_, "", AT_EMPTY_PATH);
  } else if (error >= 0) {
    // One empty filesystem serves all: later masks clone the mount of the first.
    long filesystem = call::open_filesystem("tmpfs");
    error = filesystem;
    if (error >= 0) {
      error = call::configure(static_cast<int>(filesystem), FSCONFIG_CMD_CREATE, nullptr, nullptr);
      if (error >= 0)
        error = call::make_mount(static_cast<int>(filesystem), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
                                                                   MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
      call::close(static_cast<int>(filesystem));
    }
    if (error >= 0) empty_ = static_cast<int>(error);
  }
  if (error >= 0) {
    int mount = static_cast<int>(error);
    error = attach_at(mount, target);
    if (mount != empty_) call::close(mount);
  }
  call::close(target);
  return blame(error, step.path.view());
}

long Executor::perform(const step::ReadonlyPath& step) {
  long opened = open_path_beneath(root_, step.path.c_str());
  if (opened == -ENOENT || opened == -ENOTDIR) return 0;
  if (opened < 0) return blame(opened, step.path.view());
  int target = static_cast<int>(opened);
  long error = clone_tree(target, "", AT_EMPTY_PATH | AT_RECURSIVE);
  if (error >= 0) {
    int mount = static_cast<int>(error);
    mount_attr attributes{.attr_set = MOUNT_ATTR_RDONLY, .attr_clr = 0, .propagation = 0, .userns_fd = 0};
    error = call::set_mount_attributes(mount, "", AT_EMPTY_PATH | AT_RECURSIVE, attributes);
    if (error >= 0) error = attach_at(mount, target);
    call::close(mount);
  }
  call::close(target);
  return blame(error, step.path.view());
}

/// The working directory, a mount, becomes "/" without a pivot. The old tree stays beneath: its /proc and
/// /sys would allow a user namespace inside to mount unmasked ones, and go.
long Executor::move_to_root() {
  constexpr int kDetach = 2;
  for (const char* path : {"/proc", "/sys"}) {
    long error = call::unmount(path, kDetach);
    if (error < 0 && error != -EINVAL && error != -ENOENT) return error;
  }
  long error = call::raw(__NR_mount, call::address("."), call::address("/"), 0, MS_MOVE, 0);
  // It lies over "/" already.
  if (error < 0 && error != -ELOOP) return error;
  return call::raw(__NR_chroot, call::address("."));
}

long Executor::perform(const step::ChangeRoot& step) {
  long fd = call::open(AT_FDCWD, step.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return blame(fd, step.path.view());
  long error = call::change_directory(static_cast<int>(fd));
  call::close(static_cast<int>(fd));
  if (error >= 0) error = call::change_root(".");
  return blame(error, step.path.view());
}

long Executor::perform(const step::PivotRoot& step) {
  long root = slot(step.root);
  if (root < 0) return root;
  if (long error = call::change_directory(static_cast<int>(root)); error < 0) return error;
  if (step.moves != 0) {
    if (long error = move_to_root(); error < 0) return error;
  } else {
    if (long error = call::pivot_root(".", "."); error < 0) return error;
    // The host's tree now lies over ours; mounts in it are slaves, so letting go is not seen outside.
    constexpr int kDetach = 2;
    if (long error = call::unmount(".", kDetach); error < 0) return error;
  }
  if (long error = call::change_directory("/"); error < 0) return error;
  // CVE-2024-21626: no descriptor of a directory may be left for a working directory of /proc/self/fd/N.
  for (Slot i = 0; i < slot_count_; ++i) {
    if (slots_[i] >= 0) call::close(slots_[i]);
    slots_[i] = -1;
  }
  if (null_ >= 0) call::close(null_);
  if (empty_ >= 0) call::close(empty_);
  root_ = null_ = empty_ = -1;
  return 0;
}

}  // namespace berth::launch
