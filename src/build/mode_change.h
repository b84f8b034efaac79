// ModeChange: the value of --chmod, octal or symbolic ("u=rwX,go=rX"), as chmod(1) means it with umask 0.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::build {

class ModeChange {
 public:
  /// Malformed: InvalidArgument in BuildKit's words.
  static Result<ModeChange> parse(std::string_view text);
  /// The new permission bits (with set-id and sticky) of a file that has `mode`.
  uint32_t apply(uint32_t mode, bool is_directory) const;

 private:
  struct Clause {
    uint32_t who = 0;  ///< bits of the classes that are meant: 4700 user, 2070 group, 1007 others
    char operation = '=';
    uint32_t bits = 0;                 ///< as for all classes; cut down by who
    bool execute_if_sensible = false;  ///< X
    char copy_from = 0;                ///< 'u', 'g', 'o'
  };
  bool absolute_ = false;
  uint32_t mode_ = 0;
  std::vector<Clause> clauses_;
};

}  // namespace berth::build
