// What daemon and keeper say to each other: packets on a SOCK_SEQPACKET socket, each one message encoded as
// in codec.h, descriptors beside it by SCM_RIGHTS. The first connection is inherited by the keeper, later
// daemons connect to <exec directory>/keeper.sock.
//
//   daemon                                   keeper
//     | -- Attach ""  + client -------------> |    any number, before Launch: they see the first byte
//     | -- Launch + plan, network, stdio ---> |    clone3, steps
//     | <----------------------------- Hooks  |  ] with LaunchRequest::awaits_hooks only; when the daemon
//     goes | -- Release -------------------------> |  ] before its word, the process is ended |
//     <--------------------------- Created  |  ] | <----------------------------- Ready  |  ]
//     StartMode::WhenReleased only | -- Release -------------------------> |  ] |
//     <--------------------------- Started  |    or Failed, and the keeper ends | -- NewExec t, Attach t,
//     RunExec t --> | | <----------------------- ExecStarted  |    or ExecFailed | -- Resize, Signal,
//     CloseStdin ------> | | <------------------------ ExecExited  |    all its output handed over |
//     <------------------------ AttachEnded | | <---------------------------- Exited  |    log complete, exit
//     record on disk; the keeper ends
//
//   a container that criu restores (KeeperSetup::restores):
//     | -- Launch + plan, network, criu ----> |    clone3, steps, criu
//     | <----------------------------- Ready  |    criu waits at its socket, whose other end the daemon has
//     | -- Adopt + terminal ----------------> |    what it has made is this keeper's child now
//     | -- Release -------------------------> |
//     | <--------------------------- Started  |    or Failed; also when the daemon goes before Started
//
//   after connecting to keeper.sock:
//     | <------ Hello, HelloExec..., HelloEnd |
//     | <----------------------- ExecExited   |    those that nobody was there to hear
//
// Both sides check everything they receive; a keeper drops a connection that breaks the rules.
#pragma once

#include <cstdint>
#include <variant>

#include "launch/codec.h"
#include "launch/plan_codec.h"
#include "launch/text.h"

namespace berth::launch {

constexpr size_t kMaxMessage = 112u << 10;
constexpr size_t kMaxNotice = 4096;
constexpr size_t kMaxAlreadyRead = 96u << 10;
constexpr size_t kMaxToken = 128;
constexpr size_t kMaxDetachKeys = 16;
constexpr size_t kMaxMessageFds = 8;

namespace command {

/// Descriptors: the plan's memfd; with `network` the namespace; with `sysfs` a mount; with `stdio` three;
/// with `criu` its socket.
struct Launch {
  uint8_t network = 0;
  uint8_t sysfs = 0;
  uint8_t stdio = 0;
  uint8_t criu = 0;
  template <class A>
  void fields(A& a) {
    a(network, sysfs, stdio, criu);
  }
};

/// Descriptor: the client.
struct Attach {
  uint64_t id = 0;
  Text token;
  uint8_t streams = 0;  ///< bits kAttach*
  uint8_t framing = 0;
  uint8_t input_end = 0;
  uint8_t slow_client = 0;
  Blob detach_keys;
  Blob already_read;
  template <class A>
  void fields(A& a) {
    a(id, token, streams, framing, input_end, slow_client, detach_keys, already_read);
  }
};
constexpr uint8_t kAttachInput = 1, kAttachOutput = 2, kAttachError = 4;

struct Release {
  template <class A>
  void fields(A& a) {
    a();
  }
};

/// Makes the exec known, so that attachments can be made before it runs.
struct NewExec {
  Text token;
  template <class A>
  void fields(A& a) {
    a(token);
  }
};

/// Descriptor: the plan's memfd.
struct RunExec {
  Text token;
  template <class A>
  void fields(A& a) {
    a(token);
  }
};

struct Resize {
  Text token;
  uint16_t rows = 0;
  uint16_t columns = 0;
  template <class A>
  void fields(A& a) {
    a(token, rows, columns);
  }
};

struct Signal {
  Text token;
  int32_t number = 0;
  template <class A>
  void fields(A& a) {
    a(token, number);
  }
};

struct CloseStdin {
  Text token;
  template <class A>
  void fields(A& a) {
    a(token);
  }
};

/// The first process of what criu has restored, which must be the keeper's child, takes criu's place as the
/// container's init. Descriptor, with `terminal`: its master.
struct Adopt {
  int32_t pid = 0;
  uint8_t terminal = 0;
  template <class A>
  void fields(A& a) {
    a(pid, terminal);
  }
};

/// Which pipes the init was given; answered with notice::Streams.
struct AskStreams {
  template <class A>
  void fields(A& a) {
    a();
  }
};

}  // namespace command

using Command =
    std::variant<command::Launch, command::Attach, command::Release, command::NewExec, command::RunExec,
                 command::Resize, command::Signal, command::CloseStdin, command::Adopt, command::AskStreams>;

constexpr const char* kCommandNames[] = {"launch", "attach", "release",     "new exec", "run exec",
                                         "resize", "signal", "close stdin", "adopt",    "ask streams"};

enum class KeeperPhase : uint8_t { Creating, Ready, Running, Exited };

namespace notice {

struct Hello {
  uint32_t version = kPlanVersion;
  Text id;
  uint8_t phase = 0;  ///< KeeperPhase
  int32_t pid = 0;
  int32_t keeper_pid = 0;
  int64_t started = 0;  ///< unix nanoseconds
  template <class A>
  void fields(A& a) {
    a(version, id, phase, pid, keeper_pid, started);
  }
};

struct HelloExec {
  Text token;
  int32_t pid = 0;
  template <class A>
  void fields(A& a) {
    a(token, pid);
  }
};

struct HelloEnd {
  template <class A>
  void fields(A& a) {
    a();
  }
};

struct Created {
  int32_t pid = 0;
  template <class A>
  void fields(A& a) {
    a(pid);
  }
};

struct Ready {
  int32_t pid = 0;
  template <class A>
  void fields(A& a) {
    a(pid);
  }
};

/// Token empty: the container's init.
struct Started {
  Text token;
  int32_t pid = 0;
  int64_t time = 0;
  template <class A>
  void fields(A& a) {
    a(token, pid, time);
  }
};

/// A StepReport, or `step` kKeeperStep: what the keeper itself could not do.
struct Failed {
  Text token;
  uint32_t step = 0;
  uint32_t reason = 0;
  int32_t error = 0;
  int32_t signal = 0;  ///< the process was killed by it before exec
  Text subject;
  template <class A>
  void fields(A& a) {
    a(token, step, reason, error, signal, subject);
  }
};
constexpr uint32_t kKeeperStep = 0xffffffff;

struct Exited {
  int32_t exit_code = 0;
  int32_t signal = 0;
  uint8_t oom_killed = 0;
  int64_t started = 0;
  int64_t finished = 0;
  template <class A>
  void fields(A& a) {
    a(exit_code, signal, oom_killed, started, finished);
  }
};

struct ExecExited {
  Text token;
  int32_t exit_code = 0;
  int64_t finished = 0;
  template <class A>
  void fields(A& a) {
    a(token, exit_code, finished);
  }
};

struct AttachEnded {
  uint64_t id = 0;
  uint8_t reason = 0;  ///< AttachEnd
  template <class A>
  void fields(A& a) {
    a(id, reason);
  }
};

/// The filter has denied a call; told once for each call.
struct Denied {
  int32_t pid = 0;
  uint32_t architecture = 0;  ///< AUDIT_ARCH_*
  uint32_t number = 0;
  template <class A>
  void fields(A& a) {
    a(pid, architecture, number);
  }
};

/// Inode numbers of the init's stdin, stdout and stderr; 0: no pipe of ours (a terminal, the container's own
/// null device, closed).
struct Streams {
  uint64_t input = 0;
  uint64_t output = 0;
  uint64_t error = 0;
  template <class A>
  void fields(A& a) {
    a(input, output, error);
  }
};

/// The sandbox stands, its root is not yet pivoted to: the process waits until the daemon has run hooks.
struct Hooks {
  int32_t pid = 0;
  template <class A>
  void fields(A& a) {
    a(pid);
  }
};

struct CommandFailed {
  uint8_t command = 0;  ///< alternative of Command
  Text token;
  int32_t error = 0;
  template <class A>
  void fields(A& a) {
    a(command, token, error);
  }
};

}  // namespace notice

using Notice =
    std::variant<notice::Hello, notice::HelloExec, notice::HelloEnd, notice::Created, notice::Ready,
                 notice::Started, notice::Failed, notice::Exited, notice::ExecExited, notice::AttachEnded,
                 notice::CommandFailed, notice::Denied, notice::Streams, notice::Hooks>;

/// The exit record on disk (exit_record.h).
struct ExitRecordLayout {
  uint32_t magic = kMagic;
  uint32_t version = 1;
  notice::Exited exited;
  static constexpr uint32_t kMagic = 0x54584542;  ///< "BEXT"
  template <class A>
  void fields(A& a) {
    a(magic, version);
    exited.fields(a);
  }
};

}  // namespace berth::launch
