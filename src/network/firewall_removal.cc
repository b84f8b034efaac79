// Taking a network's rules out of tables that are there.
#include "network/firewall.h"

namespace berth::network {

bool is_rule_of(const sys::NftRuleInfo& rule, std::string_view bridge) {
  // What lets an interface's packets into a network names that interface as well.
  return rule.output.empty() ? rule.input == bridge : rule.output == bridge;
}

sys::NftTransaction plan_remove_network(std::string_view table, sys::NftFamily family,
                                        std::string_view bridge,
                                        const std::map<std::string, std::vector<sys::NftRuleInfo>>& rules) {
  sys::NftTransaction transaction;
  for (const auto& [chain, present] : rules) {
    for (const sys::NftRuleInfo& rule : present) {
      if (is_rule_of(rule, bridge)) transaction.delete_rule(family, table, chain, rule.handle);
    }
  }
  const std::vector<sys::NftElement> name = {{sys::NftKey().interface(bridge), {}}};
  transaction.delete_elements(family, table, kBridgeSet, name);
  return transaction;
}

}  // namespace berth::network
