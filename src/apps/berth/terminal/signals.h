// Signals of an attached session: taken as messages from a descriptor instead of as interruptions.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "sys/fd.h"

namespace berth::cli::terminal {

class Signals {
 public:
  enum class Take {
    Everything,  ///< all that can be passed on to a container (--sig-proxy)
    Endings,     ///< those that end this program: the terminal must be given back before
    Nothing,
  };
  Signals() = default;
  ~Signals();
  Signals(Signals&& other) noexcept;
  Signals& operator=(Signals&&) = delete;

  /// `window`: also the changes of the terminal's size.
  static Result<Signals> block(Take take, bool window);

  /// Readable when a signal has come; -1 when none are taken.
  int fd() const { return fd_.get(); }
  /// The next signal that has come.
  std::optional<int> next();

 private:
  sys::UniqueFd fd_;
  bool blocked_ = false;
};

/// "TERM", "INT", "RTMIN+2": how the API names a signal.
std::string signal_name(int signal);
/// Ends this program by `signal`, as if it had never been taken.
[[noreturn]] void die_by(int signal);

}  // namespace berth::cli::terminal
