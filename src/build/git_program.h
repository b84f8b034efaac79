// GitProgram: the host's git, for contexts that are repositories. It reads nobody's configuration, asks
// nobody, speaks to networks alone, runs no hooks, and is ended when it has fetched too much. Blocking: for
// worker threads.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sys/host_program.h"

namespace berth::build {

class GitProgram {
 public:
  struct Limits {
    std::string directory;   ///< everything that git writes lies in it
    uint64_t max_bytes = 0;  ///< on disk
    /// Socket of the SSH agent whose keys log in, and none else; hosts that nobody knows are then taken as
    /// they are, as BuildKit has it. Empty: the keys of the engine's user, and the hosts which that user
    /// knows.
    std::string agent = {};
    std::stop_token stop = {};
  };
  explicit GitProgram(Limits limits) : limits_(std::move(limits)) {}

  /// What git writes to its output, as it comes; a failure ends it and is run()'s.
  using Output = std::function<Result<void>(std::string_view bytes)>;
  /// Runs "git <arguments>" to its end. Its own words are the error's (Unavailable); Unsupported: there is no
  /// git on this host; Exhausted: too much was fetched; Cancelled: stopped.
  Result<void> run(const std::vector<std::string>& arguments, const Output& output = {}) const;
  /// The same, its output as text without the end of its line. More than a mebibyte: Exhausted.
  Result<std::string> text(const std::vector<std::string>& arguments) const;

 private:
  Result<std::string> read(const sys::HostProgram& program, const Output& output) const;
  Result<void> check() const;

  Limits limits_;
};

}  // namespace berth::build
