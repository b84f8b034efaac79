// Facts, and what a user namespace changes about them.
#include "apps/runtime/facts.h"

#include <linux/capability.h>
#include <unistd.h>

#include "launch/namespaces.h"

namespace berth::runtime {

Result<launch::HostFacts> facts_for(const std::vector<spec::Namespace>& namespaces) {
  TRY(auto facts, launch::detect_host_facts());
  bool own_users = launch::find_namespace(namespaces, spec::NamespaceType::User) != nullptr;
  if (::geteuid() == 0 || !own_users) return facts;
  uint64_t all = (uint64_t{2} << facts.last_capability) - 1;
  facts.capabilities = all & ~(uint64_t{1} << CAP_MKNOD);
  return facts;
}

}  // namespace berth::runtime
