// Steps that make device nodes and links, the console, and the null device that masks are made of.
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>

#include <cerrno>

#include "launch/executor/beneath.h"
#include "launch/executor/executor.h"
#include "launch/executor/file_status.h"
#include "launch/plan_codec.h"
#include "sys/kernel_call.h"

namespace berth::launch {

namespace call = sys::call;

namespace {

constexpr unsigned long kUnlockTerminal = 0x40045431;  // TIOCSPTLCK
constexpr unsigned long kOpenPeer = 0x5441;            // TIOCGPTPEER
constexpr unsigned long kSetWindowSize = 0x5414;       // TIOCSWINSZ

/// The kernel's encoding of a device number as mknod(2) takes it.
uint64_t device_number(uint32_t major, uint32_t minor) {
  return (minor & 0xff) | (uint64_t{major} << 8) | (uint64_t{minor & ~0xffU} << 12);
}

/// The size that the plan has for it. Here, as whoever gets the master may be late: the program must not see
/// a terminal without one.
void size_terminal(std::string_view encoded_plan, int master) {
  auto plan = PlanReader::open(encoded_plan);
  if (!plan || plan->setup().rows == 0 || plan->setup().columns == 0) return;
  struct {
    uint16_t rows, columns, width, height;
  } size{plan->setup().rows, plan->setup().columns, 0, 0};
  call::device_control(master, kSetWindowSize, call::address(&size));
}

bool is_null_device(const FileStatus& status) {
  return S_ISCHR(status.mode) && status.device_major == 1 && status.device_minor == 3;
}

}  // namespace

long Executor::perform(const step::MakeNode& step) {
  long directory = slot(step.directory);
  if (directory < 0) return directory;
  const char* name = nullptr;
  long parent = open_parent_beneath(static_cast<int>(directory), step.path.c_str(), &name);
  if (parent < 0) return blame(parent, step.path.view());
  int in = static_cast<int>(parent);
  long error = call::make_node(in, name, step.mode, device_number(step.major, step.minor));
  if (error == -EEXIST) {
    // An image may bring /dev nodes of its own, or the same device be asked for twice.
    error = call::unlink(in, name);
    if (error >= 0) error = call::make_node(in, name, step.mode, device_number(step.major, step.minor));
  }
  if (error >= 0 && (step.uid != 0 || step.gid != 0))
    error = call::change_owner(in, name, step.uid, step.gid, AT_SYMLINK_NOFOLLOW);
  if (parent != directory) call::close(in);
  return blame(error, step.path.view());
}

long Executor::perform(const step::MakeSymlink& step) {
  long directory = slot(step.directory);
  if (directory < 0) return directory;
  const char* name = nullptr;
  long parent = open_parent_beneath(static_cast<int>(directory), step.path.c_str(), &name);
  if (parent < 0) return blame(parent, step.path.view());
  long error = call::make_symlink(step.target.c_str(), static_cast<int>(parent), name);
  if (parent != directory) call::close(static_cast<int>(parent));
  return error == -EEXIST ? 0 : blame(error, step.path.view());
}

/// The multiplexer of the container's devpts. By the mount itself where we made it; otherwise what the root
/// has at /dev/pts, if it is a devpts: links and files in its place may be anything (CVE-2025-52565).
long Executor::open_terminal_master(Slot devpts) {
  long directory = devpts == kNoSlot ? open_path_beneath(root_, "/dev/pts", LastLink::Refuse) : slot(devpts);
  if (directory < 0) return blame(directory, "/dev/pts");
  long master = -ENODEV;
  if (filesystem_type(static_cast<int>(directory)) == DEVPTS_SUPER_MAGIC)
    master = call::open_beneath(static_cast<int>(directory), "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC,
                                RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
  if (devpts == kNoSlot) call::close(static_cast<int>(directory));
  return blame(master, "/dev/pts/ptmx");
}

long Executor::perform(const step::OpenConsole& step) {
  long master = open_terminal_master(step.devpts);
  if (master < 0) return master;
  int locked = 0;
  long error = call::device_control(static_cast<int>(master), kUnlockTerminal, call::address(&locked));
  if (error >= 0) {
    error = call::device_control(static_cast<int>(master), kOpenPeer, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (error >= 0) terminal_ = static_cast<int>(error);
    size_terminal(plan_, static_cast<int>(master));
  }
  if (error >= 0) error = say(ProcessSays::Console, static_cast<int>(master));
  call::close(static_cast<int>(master));
  // A creator that relays sets the terminal up first; a keeper has it as it is.
  if (error >= 0 && descriptors_.outlives_creator) error = await_word();
  if (error < 0 || step.target.empty()) return error;

  long console = clone_tree(terminal_, "", AT_EMPTY_PATH);
  if (console < 0) return blame(console, step.target.view());
  long target = make_path_beneath(root_, step.target.c_str(), Make::File, LastLink::Refuse);
  if (target == -ELOOP) blame(Reason::TargetIsLink, target, step.target.view());
  error = target < 0 ? target : attach_at(static_cast<int>(console), static_cast<int>(target));
  call::close(static_cast<int>(console));
  if (target >= 0) call::close(static_cast<int>(target));
  return blame(error, step.target.view());
}

/// An O_PATH descriptor of the container's null device, verified: a link in its place would have masks
/// expose, and stdin be, any file (CVE-2025-31133).
long Executor::open_null(Slot directory) {
  if (null_ >= 0) return null_;
  long fd;
  if (directory == kNoSlot) {
    fd = open_path_beneath(root_, "/dev/null", LastLink::Refuse);
  } else {
    fd = slot(directory);
    if (fd >= 0) fd = open_path_beneath(static_cast<int>(fd), "null", LastLink::Refuse);
  }
  if (fd < 0) return blame(fd == -ELOOP ? Reason::NotADevice : Reason::None, fd, "/dev/null");
  FileStatus status;
  long error = read_status(static_cast<int>(fd), status);
  if (error >= 0 && is_null_device(status)) return null_ = static_cast<int>(fd);
  call::close(static_cast<int>(fd));
  return blame(Reason::NotADevice, error < 0 ? error : -ENODEV, "/dev/null");
}

long Executor::perform(const step::UseNull& step) {
  long null = open_null(step.directory);
  if (null < 0) return null;
  long in = step.directory == kNoSlot ? root_ : slot(step.directory);
  long fd = call::open_beneath(static_cast<int>(in), step.directory == kNoSlot ? "/dev/null" : "null",
                               O_RDWR | O_NOFOLLOW | O_CLOEXEC, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  if (fd < 0) return blame(fd, "/dev/null");
  FileStatus status;
  long error = read_status(static_cast<int>(fd), status);
  if (error >= 0 && !is_null_device(status)) error = blame(Reason::NotADevice, -ENODEV, "/dev/null");
  if (error >= 0) {
    call::close(descriptors_.stdio[0]);
    descriptors_.stdio[0] = static_cast<int>(fd);
  } else {
    call::close(static_cast<int>(fd));
  }
  return error;
}

}  // namespace berth::launch
