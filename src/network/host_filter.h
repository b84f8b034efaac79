// What berth keeps in iptables' own filter table (nf_tables' "ip filter" and "ip6 filter"), where the host's
// administrator works: the chain DOCKER-USER for rules about containers' traffic, which people know from
// docker, and a chain of berth's that accepts this traffic where the table's policy drops what nobody has
// asked for. It stands last in FORWARD, before a rule that refuses whatever is left: what the administrator's
// own rules drop stays dropped.
//
// Reading what is there and planning the change are apart; the plan is pure. iptables reads the rules back,
// so that they have no sets. Of the older iptables (ip_tables in the kernel) nothing is seen here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sys/nftables.h"

namespace berth::network {

/// The table as far as it concerns berth.
struct HostFilterState {
  std::vector<std::string> chains;
  std::vector<sys::NftRuleInfo> forward;  ///< rules of FORWARD
  std::vector<sys::NftRuleInfo> user;     ///< rules of DOCKER-USER
  bool drops = false;                     ///< FORWARD's policy
};

/// Whether the table drops what it forwards unless a rule says otherwise; Keep leaves it as it is.
enum class ForwardPolicy { Keep, Drop };

/// "BERTH-FORWARD", or "BERTH-FORWARD-<instance>".
std::string own_filter_chain(std::string_view instance);
Result<HostFilterState> read_host_filter(sys::NftSocket& nft, sys::NftFamily family);

/// Lets the traffic of these bridges pass, in the table as it is.
sys::NftTransaction plan_host_filter(sys::NftFamily family, std::string_view own_chain,
                                     const std::vector<std::string>& bridges, const HostFilterState& state,
                                     ForwardPolicy policy);
/// Whether berth's chain stands where it should: last, or before a rule that refuses whatever is left.
bool is_in_place(const HostFilterState& state, std::string_view own_chain);
/// Lets one more bridge's traffic pass; berth's chain is there.
sys::NftTransaction plan_add_to_host_filter(sys::NftFamily family, std::string_view own_chain,
                                            const std::string& bridge);
/// Lets a bridge's traffic pass no more; `rules` are those of berth's chain as they are.
sys::NftTransaction plan_remove_from_host_filter(sys::NftFamily family, std::string_view own_chain,
                                                 const std::string& bridge,
                                                 const std::vector<sys::NftRuleInfo>& rules);
/// The rules of berth's chain.
Result<std::vector<sys::NftRuleInfo>> read_own_filter(sys::NftSocket& nft, sys::NftFamily family,
                                                      std::string_view own_chain);
/// Takes berth's chain out again.
sys::NftTransaction plan_leave_host_filter(sys::NftFamily family, std::string_view own_chain,
                                           const HostFilterState& state);
/// Removes DOCKER-USER, and the table, while they hold nothing of anybody's.
sys::NftTransaction plan_tidy_host_filter(sys::NftFamily family, const HostFilterState& state);

}  // namespace berth::network
