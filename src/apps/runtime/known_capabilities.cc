// Dropping capabilities that nobody knows.
#include "apps/runtime/known_capabilities.h"

#include "launch/capability_names.h"

namespace berth::runtime {

std::set<std::string> drop_unknown_capabilities(spec::Process& process) {
  std::set<std::string> unknown;
  if (!process.capabilities) return unknown;
  auto& sets = *process.capabilities;
  for (auto* set : {&sets.bounding, &sets.effective, &sets.inheritable, &sets.permitted, &sets.ambient})
    std::erase_if(*set, [&](const std::string& name) {
      bool known = launch::capability_number(name).has_value();
      if (!known) unknown.insert(name);
      return !known;
    });
  return unknown;
}

}  // namespace berth::runtime
