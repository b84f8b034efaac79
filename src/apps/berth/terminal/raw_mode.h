// RawMode: the terminal passes every key on; it is given back as it was on every way out.
#pragma once

#include "base/result.h"

namespace berth::cli::terminal {

struct Size {
  unsigned rows = 0;
  unsigned columns = 0;
  bool known() const { return rows > 0 || columns > 0; }
};

bool is_terminal(int fd);
/// Zeros when fd is not a terminal.
Size size_of(int fd);

class RawMode {
 public:
  RawMode() = default;
  ~RawMode() { restore(); }
  RawMode(RawMode&& other) noexcept : active_(other.active_) { other.active_ = false; }
  RawMode& operator=(RawMode&& other) noexcept;

  /// Only one at a time. A crash of this program restores the terminal, too.
  static Result<RawMode> enter(int fd);
  /// Safe to call more than once.
  void restore();

 private:
  bool active_ = false;
};

}  // namespace berth::cli::terminal
