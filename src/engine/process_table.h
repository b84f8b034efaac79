// `top`: the rows that ps(1) would print for some host pids, for the option forms people pass (-ef, aux,
// -o name,...). Reads /proc only; no program is run.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::engine {

struct ProcessTable {
  std::vector<std::string> titles;
  std::vector<std::vector<std::string>> rows;  ///< one per process, as many cells as titles
};

/// `options` as `docker top` takes them ("" is -ef). Processes that end meanwhile are left out. Unknown
/// columns or options: InvalidArgument with the names there are.
Result<ProcessTable> process_table(const std::vector<int>& pids, std::string_view options,
                                   const std::string& proc = "/proc");

}  // namespace berth::engine
