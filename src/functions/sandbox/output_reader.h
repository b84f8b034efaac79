// OutputReader: the read end of what a sandbox's processes print. Lines become log events; a line longer than
// a log event holds is cut. Reading is live, and exact at an event's end: what the runtime wrote before it
// answered is in the pipe when the answer arrives, and drain() takes it.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/event_loop.h"
#include "io/sync.h"
#include "io/task_group.h"
#include "sys/fd.h"

namespace berth::functions {

class OutputReader {
 public:
  /// `take` gets each line with its newline. `fd` is non-blocking.
  OutputReader(io::EventLoop& loop, sys::UniqueFd fd, std::function<void(std::string_view line)> take);
  OutputReader(const OutputReader&) = delete;

  /// What is there now, without waiting; a line without newline so far is kept back.
  void drain();
  /// The same, and what is kept back too: nobody writes any more for a while.
  void drain_whole();
  /// Set when all writers have closed it.
  io::Event& ended() { return ended_; }

 private:
  static io::Task<void> follow(OutputReader& reader);
  /// False at the end of file.
  bool read_once(bool& more);
  void take_lines();

  io::EventLoop& loop_;
  sys::UniqueFd fd_;
  std::function<void(std::string_view)> take_;
  std::string pending_;
  io::Event ended_;
  io::TaskGroup tasks_;
};

}  // namespace berth::functions
