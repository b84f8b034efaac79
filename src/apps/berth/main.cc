// berth: the command line of the engine.
#include "apps/berth/program.h"

int main(int argc, char** argv) {
  return berth::cli::run_program(
      {const_cast<const char* const*>(argv + 1), static_cast<size_t>(argc > 0 ? argc - 1 : 0)});
}
