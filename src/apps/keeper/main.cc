// berth-keeper, beside running containers berth-mount, and inside them berth-init.
#include "apps/keeper/main.h"

#include <string_view>

#include "apps/keeper/mounter.h"

namespace berth::keeper {

int run_program(int argc, char** argv, char** environment) {
  if (argc > 0 && std::string_view(argv[0]) == "berth-init") return run_init(argc, argv, environment);
  if (argc > 0 && std::string_view(argv[0]) == "berth-mount") return run_mounter(argc, argv);
  return run_keeper();
}

}  // namespace berth::keeper
