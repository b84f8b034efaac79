// Keeper: the daemon's side of one berth-keeper process, which creates a container, is its parent, owns its
// streams and outlives the daemon. No event loop here: fd() becomes readable, next_event() tells what
// happened.
//
//   auto keeper = Keeper::spawn(program, plan, std::move(fds));     returns at once
//   on fd() readable:  while ((event = keeper.next_event()) has a value) ...
//   next daemon:       Keeper::connect(exec_directory + "/keeper.sock"), then keeper.state()
//
// Order of events: [Created] Started ... Exited, or Failed alone. When Exited arrives the log holds every
// byte of output and the exit record lies on disk. The keeper then ends by itself; its socket closes.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "launch/exit_record.h"
#include "launch/keeper_protocol.h"
#include "launch/plan.h"
#include "launch/streams.h"
#include "sys/fd.h"

namespace berth::launch {

/// The keeper's program, held as a sealed copy in memory, so that nothing can write to what containers'
/// parents run (CVE-2019-5736) and an upgrade on disk does not mix versions. Load once per daemon.
class KeeperProgram {
 public:
  static Result<KeeperProgram> load(const std::string& path);
  int fd() const { return fd_.get(); }

 private:
  sys::UniqueFd fd_;
};

struct StreamSelection {
  bool input = false;
  bool output = true;
  bool error = true;
};

struct AttachRequest {
  uint64_t id = 0;         ///< chosen by the caller, comes back in AttachEnded
  std::string exec_token;  ///< empty: the container's init
  StreamSelection streams;
  Framing framing = Framing::Raw;
  InputEnd input_end = InputEnd::EndAttach;
  SlowClient slow_client = SlowClient::Wait;
  std::string detach_keys;   ///< the byte sequence itself, "\x10\x11"; at most 16 bytes; empty: none
  std::string already_read;  ///< input bytes that the daemon read behind the request; at most 96 KiB
};

struct Attachment {
  AttachRequest request;
  sys::UniqueFd client;  ///< stream socket or pipe; the keeper closes it when the attachment ends
};

/// What a launch is given besides the plan. Attachments made here see the very first byte.
struct LaunchFds {
  sys::UniqueFd network_namespace;  ///< when LaunchRequest::network_from_fd
  sys::UniqueFd sysfs;              ///< when LaunchRequest::sysfs_from_fd: a mount that is attached nowhere
  std::vector<Attachment> attachments;
  /// stdin, stdout, stderr of the process itself instead of pipes (OCI runtime callers); all three or none.
  std::vector<sys::UniqueFd> stdio;
  sys::UniqueFd criu_socket;  ///< a plan that restores (restore_plan.h): becomes criu's descriptor 3
};

/// The sandbox could not be built, or the program not started.
struct LaunchFailure {
  std::string step;     ///< "mount overlay", "exec", ...
  std::string subject;  ///< path, name
  int errno_value = 0;
  int exit_code = 125;  ///< 127: program not found, 126: not executable, 125: everything else
  std::string message;  ///< one line: exec: "nope": executable file not found in $PATH
};

namespace event {
/// The process exists and its namespaces stand; only with StartMode::WhenReleased, before Ready.
struct Created {
  pid_t pid;
};
/// The sandbox is complete and waits for release(); only with StartMode::WhenReleased.
struct Ready {
  pid_t pid;
};
/// The program has been exec'd.
struct Started {
  pid_t pid;
  Timestamp time;
};
/// No process remains, nothing was left behind; no exit record is written.
struct Failed {
  LaunchFailure failure;
};
struct Exited {
  ExitRecord record;
};
struct ExecStarted {
  std::string token;
  pid_t pid;
};
struct ExecFailed {
  std::string token;
  LaunchFailure failure;
};
/// All output of the exec has been handed to its clients.
struct ExecExited {
  std::string token;
  int exit_code;
  Timestamp finished;
};
struct AttachEnded {
  using Reason = AttachEnd;
  uint64_t id;
  Reason reason;
};
/// The filter has denied a system call (LaunchRequest::explains_denials); once for each call.
struct Denied {
  pid_t pid;
  std::string call;
};
/// Inode numbers of the pipes that the init was given as stdin, stdout and stderr; 0: none.
struct Streams {
  std::array<uint64_t, 3> inodes;
};
/// The process waits for hooks (LaunchRequest::awaits_hooks): release() lets it go on.
struct Hooks {
  pid_t pid;
};
/// A command could not be carried out (no such exec, no terminal, ...).
struct CommandFailed {
  std::string command;
  std::string token;
  int errno_value;
};
}  // namespace event

using KeeperEvent = std::variant<event::Created, event::Ready, event::Started, event::Failed, event::Exited,
                                 event::ExecStarted, event::ExecFailed, event::ExecExited, event::AttachEnded,
                                 event::CommandFailed, event::Denied, event::Streams, event::Hooks>;

/// What a keeper says of itself when a daemon connects.
struct KeeperState {
  using Phase = KeeperPhase;
  struct Exec {
    std::string token;
    pid_t pid;
  };
  Phase phase = Phase::Creating;
  std::string id;
  pid_t pid = 0;  ///< init, 0 before it exists
  pid_t keeper_pid = 0;
  Timestamp started;  ///< set when Running or Exited
  std::vector<Exec> execs;
  bool other_version = false;  ///< another berth's keeper: exec is not possible
};

class Keeper {
 public:
  /// Starts a keeper and hands it the plan; returns before the container exists. Errors are those of memory,
  /// descriptors and spawning.
  static Result<Keeper> spawn(const KeeperProgram& program, const LaunchPlan& plan, LaunchFds fds);
  /// To a living keeper. NotFound or Unavailable when there is none: then read the exit record.
  static Result<Keeper> connect(const std::string& socket_path);

  Keeper(Keeper&&) noexcept = default;
  Keeper& operator=(Keeper&&) noexcept = default;
  /// Lets go of the keeper, which goes on.
  ~Keeper();

  /// Poll for reading. Stays the same for the life of the object.
  int fd() const { return socket_.get(); }
  pid_t pid() const { return keeper_pid_; }
  /// As of connect(); for a spawned keeper only pid and phase Creating.
  const KeeperState& state() const { return state_; }

  /// The next event, or nothing for now. Unavailable: the keeper has gone (after Exited or Failed that is how
  /// it ends; otherwise it was killed and so was the container). Reaps the keeper when it is this process's
  /// child.
  Result<std::optional<KeeperEvent>> next_event();

  /// Commands return when handed over; what comes of them are events. Unavailable when the keeper has gone.
  Result<void> release();
  Result<void> attach(const AttachRequest& request, sys::UniqueFd client);
  /// `attachments` see the exec's output from the first byte; with none, its output is discarded.
  Result<void> exec(const std::string& token, const ExecPlan& plan, std::vector<Attachment> attachments = {});
  /// `exec_token` empty: the container's init.
  Result<void> resize(const std::string& exec_token, uint16_t rows, uint16_t columns);
  Result<void> signal(const std::string& exec_token, int signal_number);
  Result<void> close_stdin(const std::string& exec_token);
  /// Of a plan that restores, after Ready: `pid`, a child of the keeper, is the container's first process.
  /// May be called on another thread than the other commands. `terminal`: its master, -1: it has none.
  Result<void> adopt(pid_t pid, int terminal) const;
  /// Answered by event::Streams. Unsupported: another berth's keeper.
  Result<void> ask_streams();

 private:
  Keeper() = default;
  sys::UniqueFd socket_;
  pid_t keeper_pid_ = 0;
  bool is_child_ = false;
  KeeperState state_;
  std::vector<KeeperEvent> early_;  ///< came while connect() waited for the greeting
};

}  // namespace berth::launch
