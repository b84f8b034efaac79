// berth-keeper and, inside containers, berth-init.
#include "apps/keeper/main.h"

#include <string_view>

namespace berth::keeper {

int run_program(int argc, char** argv, char** environment) {
  if (argc > 0 && std::string_view(argv[0]) == "berth-init") return run_init(argc, argv, environment);
  return run_keeper();
}

}  // namespace berth::keeper
