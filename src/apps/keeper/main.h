// The two programs that the binary is.
#pragma once

namespace berth::keeper {

/// What main() would be; chooses by argv[0].
int run_program(int argc, char** argv, char** environment);

/// The keeper; `id` names the container in ps.
int run_keeper();

/// Pid 1 of a container started with --init: runs the program given after "--", forwards signals to it, reaps
/// whatever is left to it, ends with its exit code.
int run_init(int argc, char** argv, char** environment);

}  // namespace berth::keeper
