// Capabilities that a configuration names and the kernel does not have.
#pragma once

#include <set>
#include <string>

#include "spec/runtime.h"

namespace berth::runtime {

/// Takes them out of all sets of the process, as the specification wants it; their names, to be warned of.
std::set<std::string> drop_unknown_capabilities(spec::Process& process);

}  // namespace berth::runtime
