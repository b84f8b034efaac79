// The program: from a command line to an exit code.
#pragma once

#include <span>

namespace berth::cli {

/// `words` without the program's name. Prints what is to be printed and returns the exit code.
int run_program(std::span<const char* const> words);

}  // namespace berth::cli
