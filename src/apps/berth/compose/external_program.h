// Programs that compose runs for a project: git for files from elsewhere, providers of services. Started by
// posix_spawn without a shell; their output is bounded.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/berth/compose/project.h"
#include "apps/berth/failure.h"

namespace berth::cli::compose {

struct ExternalProgram {
  std::vector<std::string> arguments;  ///< the first is the program, with its path
  Environment environment = {};        ///< all of it
  std::string directory = {};          ///< empty: the caller's
  /// A line of standard output, without its end. A failure ends the program.
  std::function<Outcome<void>(std::string_view line)> line = {};
};

/// Runs to its end; the exit code, 128 and more for a signal. Standard input is empty, standard error the
/// caller's. A line of more than a mebibyte is a failure.
Outcome<int> run_program(const ExternalProgram& program);

/// Where a program is in PATH, or the path itself when it has one. Empty: nowhere.
std::string find_program(const std::string& name, const Environment& environment);

}  // namespace berth::cli::compose
