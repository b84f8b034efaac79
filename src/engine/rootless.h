// What the composition root has found out before the engine was opened: whether an ordinary user runs it, and
// what this host lacks for that. Facts of the process, said once.
#pragma once

#include <string>
#include <vector>

namespace berth::engine {

struct RootlessFacts {
  bool rootless = false;              ///< root of a user namespace alone
  std::vector<std::string> warnings;  ///< one line each, for `info`
};

void set_rootless_facts(RootlessFacts facts);
const RootlessFacts& rootless_facts();

}  // namespace berth::engine
