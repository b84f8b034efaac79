// The steps of a plan: a closed set, each one thing that the container's first process (or an exec'd one)
// does before it becomes the program. The planner builds them, the codec carries them, the executor performs
// them in order. Descriptors pass between steps through numbered slots.
//
// Each step lists its fields once, in fields(), for the encoder, the decoder and describe().
#pragma once

#include <cstdint>
#include <variant>

#include "launch/text.h"

namespace berth::launch {

using Slot = uint16_t;
constexpr Slot kNoSlot = 0xffff;
constexpr Slot kMaxSlots = 1024;
/// Slots that the keeper fills before the first step.
constexpr Slot kSlotNetwork = 0;  ///< LaunchFds::network_namespace
constexpr Slot kSlotInit = 1;     ///< exec: pidfd of the container's init
constexpr Slot kSlotSysfs = 2;    ///< LaunchFds::sysfs
constexpr Slot kFirstFreeSlot = 3;

/// Where Attach may put a mount.
enum class TargetRule : uint8_t {
  Ordinary,           ///< anywhere but inside a procfs (CVE-2019-16884)
  OrdinaryDirectory,  ///< proc and sysfs: also, the last component must not be a link (CVE-2019-19921)
  ProcItself,         ///< /proc, and what is mounted must be a procfs (CVE-2019-16884)
  InsideProc,         ///< files of /proc that may be covered (/proc/cpuinfo, ... as lxcfs does)
};

namespace step {

/// Enters a cgroup: writes "0" to <directory>/cgroup.procs.
struct EnterCgroup {
  Text directory;
  template <class A>
  void fields(A& a) {
    a(directory);
  }
};

/// Joins the namespace at a path, or in a slot.
struct JoinNamespace {
  uint32_t type = 0;  ///< CLONE_NEW*
  Slot slot = kNoSlot;
  Text path;
  template <class A>
  void fields(A& a) {
    a(type, slot, path);
  }
};

/// exec: joins all these namespaces of the container's init at once.
struct JoinContainer {
  uint32_t types = 0;
  template <class A>
  void fields(A& a) {
    a(types);
  }
};

struct Unshare {
  uint32_t types = 0;
  template <class A>
  void fields(A& a) {
    a(types);
  }
};

/// New user namespace: waits until the keeper has written the maps, then becomes its root.
struct AwaitMapping {
  template <class A>
  void fields(A& a) {
    a();
  }
};

struct SetHostname {
  Text name;
  template <class A>
  void fields(A& a) {
    a(name);
  }
};

struct SetDomainname {
  Text name;
  template <class A>
  void fields(A& a) {
    a(name);
  }
};

/// Brings `lo` up in a new network namespace.
struct LoopbackUp {
  template <class A>
  void fields(A& a) {
    a();
  }
};

/// Clones the tree of mounts at a host path into a slot, detached.
struct OpenTree {
  Slot slot = kNoSlot;
  Text source;
  uint8_t recursive = 0;
  template <class A>
  void fields(A& a) {
    a(slot, source, recursive);
  }
};

/// Sets the propagation of every mount of the new mount namespace (MS_SLAVE, ...), before anything is
/// attached.
struct SetPropagation {
  uint32_t flags = 0;
  template <class A>
  void fields(A& a) {
    a(flags);
  }
};

struct MountOverlay {
  Slot slot = kNoSlot;
  TextList lowers;  ///< topmost first
  Text upper;
  Text work;
  TextList options;
  template <class A>
  void fields(A& a) {
    a(slot, lowers, upper, work, options);
  }
};

/// A new filesystem instance, detached, in a slot.
struct NewFilesystem {
  Slot slot = kNoSlot;
  Text type;
  Text source;
  TextList parameters;      ///< "key=value" or "flag", for fsconfig
  uint32_t attributes = 0;  ///< MOUNT_ATTR_*
  template <class A>
  void fields(A& a) {
    a(slot, type, source, parameters, attributes);
  }
};

/// mount_setattr on the mount in a slot, attached or not.
struct SetAttributes {
  Slot slot = kNoSlot;
  uint64_t set = 0;
  uint64_t clear = 0;
  uint32_t propagation = 0;  ///< MS_PRIVATE, ... or 0
  uint8_t recursive = 0;
  template <class A>
  void fields(A& a) {
    a(slot, set, clear, propagation, recursive);
  }
};

/// Puts the root's mount over `at` ("/": the root of the mount namespace); from here on `slot` is the
/// container's root.
struct AttachRoot {
  Slot slot = kNoSlot;
  Text at;
  template <class A>
  void fields(A& a) {
    a(slot, at);
  }
};

/// Attaches a detached mount at a path beneath the root, which is made (directory or file, as the mount is).
struct Attach {
  Slot slot = kNoSlot;
  Text target;
  uint8_t rule = 0;           ///< TargetRule
  uint8_t inherits_mode = 0;  ///< the mount's root takes the mode of a directory that is there already
  template <class A>
  void fields(A& a) {
    a(slot, target, rule, inherits_mode);
  }
};

/// Makes a directory beneath the root (0755), where it is missing, with those above it.
struct MakeDirectory {
  Text path;
  template <class A>
  void fields(A& a) {
    a(path);
  }
};

/// Makes a device node, FIFO beneath a slot's directory (our own tmpfs, or the root).
struct MakeNode {
  Slot directory = kNoSlot;
  Text path;  ///< relative
  uint32_t mode = 0;
  uint32_t major = 0;
  uint32_t minor = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  template <class A>
  void fields(A& a) {
    a(directory, path, mode, major, minor, uid, gid);
  }
};

struct MakeSymlink {
  Slot directory = kNoSlot;
  Text path;
  Text target;
  template <class A>
  void fields(A& a) {
    a(directory, path, target);
  }
};

/// Copies what the root has at `path` into the slot's detached tmpfs (mount option tmpcopyup).
struct CopyUp {
  Slot slot = kNoSlot;
  Text path;
  template <class A>
  void fields(A& a) {
    a(slot, path);
  }
};

/// Opens a terminal in the container's devpts, hands its master to the keeper, makes its slave /dev/console.
struct OpenConsole {
  Slot devpts = kNoSlot;
  Text target;  ///< "/dev/console"; empty: none
  template <class A>
  void fields(A& a) {
    a(devpts, target);
  }
};

/// The process's stdin, where it is to be closed, becomes the container's own null device, so that it cannot
/// change the host's (fchmod).
struct UseNull {
  Slot directory = kNoSlot;  ///< the tmpfs that holds our own "null"; kNoSlot: /dev/null beneath the root
  template <class A>
  void fields(A& a) {
    a(directory);
  }
};

/// Hides a path: a file under /dev/null, a directory under an empty read-only tmpfs. A missing one is left
/// be.
struct MaskPath {
  Text path;
  Slot null_directory = kNoSlot;  ///< the tmpfs that holds our own "null" node; kNoSlot: the host's /dev/null
  template <class A>
  void fields(A& a) {
    a(path, null_directory);
  }
};

/// Makes a path read-only, mounts below it included. A missing one is left be.
struct ReadonlyPath {
  Text path;
  template <class A>
  void fields(A& a) {
    a(path);
  }
};

/// Writes a value to a file of the procfs in a slot (sysctl; CVE-2025-52881: never through a path of the
/// root).
struct WriteProc {
  Slot proc = kNoSlot;  ///< kNoSlot: a procfs of its own, never attached
  Text path;
  Text value;
  template <class A>
  void fields(A& a) {
    a(proc, path, value);
  }
};

/// Makes `root` the root of the mount namespace and lets go of the host's tree.
/// The root becomes "/". `moves`: by moving the mount and chroot, where "/" cannot be pivoted (a ramdisk).
struct PivotRoot {
  Slot root = kNoSlot;
  uint8_t moves = 0;
  template <class A>
  void fields(A& a) {
    a(root, moves);
  }
};

/// Without a mount namespace of its own: the root changes for this process alone, and nothing is mounted.
struct ChangeRoot {
  Text path;
  template <class A>
  void fields(A& a) {
    a(path);
  }
};

/// A session keyring of the container's own in place of the caller's, which it could read; execs join it by
/// its name.
struct JoinKeyring {
  Text name;
  template <class A>
  void fields(A& a) {
    a(name);
  }
};

struct SetRlimit {
  uint32_t resource = 0;
  uint64_t soft = 0;
  uint64_t hard = 0;
  Text name;
  template <class A>
  void fields(A& a) {
    a(resource, soft, hard, name);
  }
};

struct SetOomScore {
  int32_t value = 0;
  template <class A>
  void fields(A& a) {
    a(value);
  }
};

/// A new session; with a terminal, its slave becomes stdin, stdout, stderr and the controlling terminal.
struct StartSession {
  uint8_t terminal = 0;
  template <class A>
  void fields(A& a) {
    a(terminal);
  }
};

/// Determines uid, gid, groups and home: from the numbers, or from `name` in the root's passwd and group.
struct ResolveUser {
  uint8_t named = 0;  ///< by `name`, else by uid and gid as given (then only HOME comes from the files)
  Text name;          ///< "user[:group]", each a name or a number; empty: root
  uint32_t uid = 0;
  uint32_t gid = 0;
  TextList additional_groups;  ///< names or numbers, added to the primary group and, named, the user's own
  template <class A>
  void fields(A& a) {
    a(named, name, uid, gid, additional_groups);
  }
};

/// Enters the working directory; refuses one outside the root (CVE-2024-21626).
struct EnterDirectory {
  Text path;
  template <class A>
  void fields(A& a) {
    a(path);
  }
};

/// Takes on user, groups, umask and capabilities. SYS_ADMIN stays effective when a filter is yet to be loaded
/// without no_new_privs; Execute drops it.
struct SetCredentials {
  uint64_t bounding = 0;
  uint64_t effective = 0;
  uint64_t permitted = 0;
  uint64_t inheritable = 0;
  uint64_t ambient = 0;
  uint8_t keep_capabilities = 0;  ///< leave all sets as they are
  uint8_t no_new_privileges = 0;
  uint8_t keep_sys_admin = 0;
  uint32_t umask = 0xffffffff;  ///< all ones: leave
  uint8_t keep_groups = 0;      ///< supplementary ones
  template <class A>
  void fields(A& a) {
    a(bounding, effective, permitted, inheritable, ambient, keep_capabilities, no_new_privileges,
      keep_sys_admin, umask, keep_groups);
  }
};

/// Looks the program up in PATH (or takes it as a path) as the user it will run as.
struct FindProgram {
  Text name;
  Text search_path;  ///< value of PATH
  template <class A>
  void fields(A& a) {
    a(name, search_path);
  }
};

/// The sandbox stands, its root is not yet pivoted to: the creator runs hooks, moves network devices, and
/// gives its word.
struct AwaitHooks {
  template <class A>
  void fields(A& a) {
    a();
  }
};

/// sched_setattr(2).
struct SetScheduler {
  uint32_t policy = 0;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime = 0;
  uint64_t deadline = 0;
  uint64_t period = 0;
  template <class A>
  void fields(A& a) {
    a(policy, flags, nice, priority, runtime, deadline, period);
  }
};

/// ioprio_set(2): class and level in one value.
struct SetIoPriority {
  uint32_t value = 0;
  template <class A>
  void fields(A& a) {
    a(value);
  }
};

/// sched_setaffinity(2).
struct SetAffinity {
  Blob mask;  ///< one bit per cpu, in words of eight bytes
  template <class A>
  void fields(A& a) {
    a(mask);
  }
};

struct SetPersonality {
  uint32_t value = 0;
  template <class A>
  void fields(A& a) {
    a(value);
  }
};

/// set_mempolicy(2).
struct SetMemoryPolicy {
  uint32_t mode = 0;  ///< with its flags
  Blob nodes;         ///< one bit per node, in words of eight bytes
  template <class A>
  void fields(A& a) {
    a(mode, nodes);
  }
};

/// Tells the keeper that the sandbox stands, and waits for its word.
struct AwaitRelease {
  template <class A>
  void fields(A& a) {
    a();
  }
};

struct ApplySeccomp {
  Blob filter;  ///< struct sock_filter[]
  uint32_t flags = 0;
  uint8_t listens = 0;  ///< calls are notified: the listener's descriptor goes to the creator
  template <class A>
  void fields(A& a) {
    a(filter, flags, listens);
  }
};

/// Drops what SetCredentials kept, closes everything but stdio, becomes the program. HOME is added when the
/// environment has none.
struct Execute {
  TextList arguments;
  TextList environment;
  uint8_t through_init = 0;  ///< berth's init becomes pid 1 and starts the program
  template <class A>
  void fields(A& a) {
    a(arguments, environment, through_init);
  }
};

}  // namespace step

using Step =
    std::variant<step::EnterCgroup, step::JoinNamespace, step::JoinContainer, step::Unshare,
                 step::AwaitMapping, step::SetHostname, step::SetDomainname, step::LoopbackUp, step::OpenTree,
                 step::SetPropagation, step::MountOverlay, step::NewFilesystem, step::SetAttributes,
                 step::AttachRoot, step::Attach, step::MakeDirectory, step::MakeNode, step::MakeSymlink,
                 step::CopyUp, step::OpenConsole, step::UseNull, step::MaskPath, step::ReadonlyPath,
                 step::WriteProc, step::PivotRoot, step::SetRlimit, step::SetOomScore, step::StartSession,
                 step::ResolveUser, step::EnterDirectory, step::SetCredentials, step::FindProgram,
                 step::AwaitHooks, step::JoinKeyring, step::SetScheduler, step::SetIoPriority,
                 step::SetAffinity, step::SetPersonality, step::SetMemoryPolicy, step::AwaitRelease,
                 step::ApplySeccomp, step::ChangeRoot, step::Execute>;

/// What the step does, as messages show it; in the order of the variant.
constexpr const char* kStepNames[] = {"enter cgroup",
                                      "join namespace",
                                      "join container",
                                      "unshare namespaces",
                                      "map users",
                                      "set hostname",
                                      "set domainname",
                                      "bring up lo",
                                      "open mount source",
                                      "set mount propagation",
                                      "mount overlay",
                                      "create filesystem",
                                      "set mount attributes",
                                      "attach root",
                                      "mount",
                                      "make directory",
                                      "make device node",
                                      "make symbolic link",
                                      "copy up",
                                      "open console",
                                      "open null device",
                                      "mask path",
                                      "make path read-only",
                                      "write sysctl",
                                      "pivot root",
                                      "set rlimit",
                                      "set oom score",
                                      "start session",
                                      "resolve user",
                                      "enter working directory",
                                      "set credentials",
                                      "find program",
                                      "await hooks",
                                      "join session keyring",
                                      "set scheduler",
                                      "set I/O priority",
                                      "set cpu affinity",
                                      "set personality",
                                      "set memory policy",
                                      "await release",
                                      "load seccomp filter",
                                      "change root",
                                      "exec"};
static_assert(sizeof(kStepNames) / sizeof(kStepNames[0]) == std::variant_size_v<Step>);

}  // namespace berth::launch
