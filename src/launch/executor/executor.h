// Executor: performs a plan's steps in a new process, in order, up to and including exec. The first step that
// fails is reported to the keeper, and the process ends. Runs without libc and heap (sys/kernel_call.h).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "launch/executor/fixed_buffer.h"
#include "launch/plan_codec.h"
#include "launch/step_report.h"
#include "launch/steps.h"

namespace berth::launch {

constexpr size_t kMaxGroups = 256;

class Executor {
 public:
  /// What the keeper hands to the process; all descriptors are above 2.
  struct Descriptors {
    int keeper = -1;                       ///< our end of the socket pair of step_report.h
    std::array<int, 3> stdio{-1, -1, -1};  ///< become 0, 1, 2; -1: from the terminal
    int network = -1;                      ///< slot kSlotNetwork
    int init = -1;                         ///< slot kSlotInit
    int self_program = -1;                 ///< berth-keeper itself, for berth's init
    /// Whoever connects here releases the process in the keeper's place, and takes its reports (OCI start).
    int start_listener = -1;
    /// The process lives on when its creator ends, which OCI callers do.
    bool outlives_creator = false;
    unsigned inherited = 0;  ///< descriptors 3 to 2 + inherited stay open for the program
    struct Filled {
      Slot slot;
      int fd;
    };
    const Filled* filled = nullptr;  ///< slots that the creator has filled
    size_t filled_count = 0;
  };

  Executor(const Descriptors& descriptors, std::string_view encoded_plan);

  /// Performs all steps of the plan. Only a failure comes back: it has been reported; the caller exits.
  void run();

 private:
  /// Each returns 0 or -errno, and names its subject on failure.
  long perform(const step::EnterCgroup&);
  long perform(const step::JoinNamespace&);
  long perform(const step::JoinContainer&);
  long perform(const step::Unshare&);
  long perform(const step::AwaitMapping&);
  long perform(const step::SetHostname&);
  long perform(const step::SetDomainname&);
  long perform(const step::LoopbackUp&);
  long perform(const step::OpenTree&);
  long perform(const step::SetPropagation&);
  long perform(const step::MountOverlay&);
  long perform(const step::NewFilesystem&);
  long perform(const step::SetAttributes&);
  long perform(const step::AttachRoot&);
  long perform(const step::Attach&);
  long perform(const step::MakeDirectory&);
  long perform(const step::MakeNode&);
  long perform(const step::MakeSymlink&);
  long perform(const step::CopyUp&);
  long perform(const step::OpenConsole&);
  long perform(const step::UseNull&);
  long perform(const step::MaskPath&);
  long perform(const step::ReadonlyPath&);
  long perform(const step::WriteProc&);
  long perform(const step::PivotRoot&);
  long perform(const step::ChangeRoot&);
  long perform(const step::SetRlimit&);
  long perform(const step::SetOomScore&);
  long perform(const step::StartSession&);
  long perform(const step::ResolveUser&);
  long perform(const step::EnterDirectory&);
  long perform(const step::SetCredentials&);
  long perform(const step::FindProgram&);
  long perform(const step::AwaitHooks&);
  long perform(const step::JoinKeyring&);
  long perform(const step::SetScheduler&);
  long perform(const step::SetIoPriority&);
  long perform(const step::SetAffinity&);
  long perform(const step::SetPersonality&);
  long perform(const step::SetMemoryPolicy&);
  long perform(const step::AwaitRelease&);
  long perform(const step::ApplySeccomp&);
  long perform(const step::Execute&);

  // executor.cc
  long say(ProcessSays what, int fd = -1);
  long await_word();
  void report(uint32_t step, long error);
  /// Gives `error` back; if it is one, remembers what it is about, unless something nearer did already.
  long blame(Reason reason, long error, std::string_view subject);
  long blame(long error, std::string_view subject) { return blame(Reason::None, error, subject); }
  /// The descriptor in a slot, or -EBADF.
  long slot(Slot slot) const;
  long fill(Slot slot, long fd);

  // overlay.cc
  long configure_overlay(int filesystem, const step::MountOverlay&);
  long create_overlay(int filesystem);
  long mount_overlay_by_string(const step::MountOverlay&, long error);
  long mount_overlay_by_string(const step::NewFilesystem&, long error);
  long finish_overlay_by_string(Slot slot, long fd, long first, std::string_view subject);

  // mounts.cc
  long set_parameter(int filesystem, Text parameter);
  long explain(int filesystem, long error, std::string_view subject);
  long clone_tree(int directory, const char* path, unsigned flags);
  long clone_held_tree(const char* link, unsigned flags);
  long attach_at(int mount, int target);
  long move_to_root();
  void inherit_mode(int mount, const char* target);

  // devices.cc
  long open_null(Slot directory);
  long open_terminal_master(Slot devpts);

  // credentials.cc
  long drop_bounding(uint64_t keep);
  long change_groups();
  long set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable);

  // program.cc
  long say_executing();
  long start_program(const step::Execute&);

  // user.cc
  long resolve_name(const step::ResolveUser&, int root, bool& group_given);

  Descriptors descriptors_;
  std::string_view plan_;
  uint16_t slot_count_ = 0;
  std::array<int, kMaxSlots> slots_;

  int root_ = -1;      ///< the container's root, once attached
  int null_ = -1;      ///< O_PATH of a verified null device
  int empty_ = -1;     ///< an empty read-only tmpfs that stands somewhere beneath the root
  int terminal_ = -1;  ///< slave of the console
  uint32_t uid_ = 0;
  uint32_t gid_ = 0;
  uint32_t group_count_ = 0;
  bool groups_are_optional_ = false;  ///< root's own, where no user was named
  std::array<uint32_t, kMaxGroups> groups_;
  FixedBuffer<1023> home_;
  PathBuffer program_;
  bool keeps_sys_admin_ = false;
  bool said_executing_ = false;
  step::SetCredentials credentials_;
  Reason reason_ = Reason::None;
  FixedBuffer<sizeof(StepReport::subject) - 1> subject_;
};

/// What a freshly cloned process does: lets go of every descriptor that it was not given, and runs the plan.
[[noreturn]] void become_process(const Executor::Descriptors& descriptors, std::string_view encoded_plan);

}  // namespace berth::launch
