// What a keeper keeps track of: processes, clients attached to them, daemons connected. Fixed tables in
// zeroed memory: an entry never used costs nothing, since its page is never touched.
#pragma once

#include <array>
#include <cstdint>
#include <new>
#include <string_view>

#include "apps/keeper/byte_queue.h"
#include "launch/detach_keys.h"
#include "launch/executor/fixed_buffer.h"
#include "launch/keeper_protocol.h"
#include "launch/streams.h"

namespace berth::keeper {

/// What an epoll event is about.
enum class Watch : uint8_t { None, Listener, Connection, Sync, Exit, Output, Input, Client, Denial, Criu };

/// How far a process (the container's init, or an exec) has come.
enum class Phase : uint8_t {
  Unused,
  Announced,  ///< named; attachments may come
  Creating,   ///< its process performs the plan's steps
  Hooks,      ///< waits for the daemon to run hooks
  Ready,      ///< waits for release
  Running,
  Exited,  ///< reaped; init: record written; exec: waits for a daemon to tell
};

/// A daemon's connection.
struct Connection {
  int fd = -1;
  ByteQueue outbox;  ///< {u32 size, message} each, when the socket is full
};

/// The process's end of its streams, or the terminal's master.
struct Target {
  Phase phase = Phase::Unused;
  bool terminal = false;
  bool opens_stdin = false;
  bool wait_for_release = false;
  bool said_executing = false;
  bool paused = false;       ///< output is not read, a client has to catch up
  bool input_waits = false;  ///< stdin is full
  bool close_input = false;  ///< close stdin once what is queued has gone
  bool hung_up = false;      ///< whoever was at the terminal has left it
  int pid = 0;
  int pidfd = -1;
  int sync = -1;                      ///< socket pair with the process, until exec
  int input = -1;                     ///< write end of stdin; the master for terminals
  std::array<int, 2> output{-1, -1};  ///< read ends of stdout, stderr; the master for terminals
  uint16_t rows = 0;
  uint16_t columns = 0;
  int64_t started = 0;  ///< unix nanoseconds
  int64_t finished = 0;
  int exit_code = 0;
  int signal = 0;
  const char* plan = nullptr;  ///< mapped until the program runs
  size_t plan_size = 0;
  launch::FixedBuffer<launch::kMaxToken> token;  ///< empty: init
};

/// An attached client.
struct Client {
  bool reads_input = false;  ///< its input goes to the process
  bool input_ended = false;
  bool polls = true;    ///< its descriptor can be polled (not a regular file)
  bool ending = false;  ///< goes once its output has been written
  launch::AttachEnd end_reason = launch::AttachEnd::OutputEnded;
  uint8_t streams = 0;
  launch::Framing framing = launch::Framing::Raw;
  launch::InputEnd input_end = launch::InputEnd::EndAttach;
  launch::SlowClient slow_client = launch::SlowClient::Wait;
  uint16_t target = 0;
  uint32_t interest = 0;  ///< what epoll watches
  int fd = -1;
  uint64_t id = 0;
  launch::DetachKeys keys;
  ByteQueue output;  ///< for the client
  ByteQueue input;   ///< for the process
};

/// A table whose entries are found by index; its empty state is all zero. An entry given back can no longer
/// be found, and is taken anew only after sweep(), so that an event of the same batch cannot meet its
/// successor.
template <class T, size_t Size>
class Table {
 public:
  /// A fresh entry with the lowest free index, or null when full.
  T* take() {
    for (size_t i = 0; i < Size; ++i) {
      if (use_[i] != Use::Free) continue;
      use_[i] = Use::Taken;
      if (i >= end_) end_ = i + 1;
      return new (at(i)) T();
    }
    return nullptr;
  }
  void give_back(T* entry) {
    use_[index(entry)] = Use::Given;
    swept_ = false;
  }
  void sweep() {
    if (swept_) return;
    for (size_t i = 0; i < end_; ++i)
      if (use_[i] == Use::Given) use_[i] = Use::Free;
    while (end_ > 0 && use_[end_ - 1] == Use::Free) --end_;
    swept_ = true;
  }
  T* find(size_t i) { return i < end_ && use_[i] == Use::Taken ? at(i) : nullptr; }
  size_t index(const T* entry) const {
    return static_cast<size_t>(entry - reinterpret_cast<const T*>(memory_));
  }
  /// One past the highest index in use.
  size_t end() const { return end_; }

 private:
  enum class Use : uint8_t { Free = 0, Taken, Given };
  T* at(size_t i) { return reinterpret_cast<T*>(memory_) + i; }
  size_t end_;
  bool swept_;
  Use use_[Size];
  alignas(T) char memory_[Size * sizeof(T)];
};

constexpr size_t kMaxTargets = 512;
constexpr size_t kMaxClients = 1024;
constexpr size_t kMaxConnections = 16;

}  // namespace berth::keeper
