// Chains in the host's filter table.
#include "network/host_filter.h"

#include <algorithm>

#include "base/format.h"

namespace berth::network {
namespace {

using sys::NftFamily;
using sys::NftRule;
using sys::NftTransaction;
using sys::NftVerdict;

constexpr char kTable[] = "filter";
constexpr char kForward[] = "FORWARD";
constexpr char kUser[] = "DOCKER-USER";
constexpr char kOwnPrefix[] = "BERTH-FORWARD";

bool has_chain(const HostFilterState& state, std::string_view name) {
  return std::find(state.chains.begin(), state.chains.end(), name) != state.chains.end();
}

bool jumps_to(const HostFilterState& state, std::string_view chain) {
  return std::any_of(state.forward.begin(), state.forward.end(),
                     [&](const sys::NftRuleInfo& rule) { return rule.jump == chain; });
}

/// With a counter, as iptables writes its rules and expects them.
NftRule jump(std::string_view chain) {
  NftRule rule;
  rule.counter().verdict(NftVerdict::Jump, chain);
  return rule;
}

NftRule accept(NftRule::Meta direction, std::string_view bridge) {
  NftRule rule;
  rule.meta(direction).compare(sys::NftCompare::Equal, bridge).counter().verdict(NftVerdict::Accept);
  return rule;
}

void add_bridge(NftTransaction& transaction, NftFamily family, std::string_view own_chain,
                const std::string& bridge) {
  transaction.add_rule(family, kTable, own_chain, accept(NftRule::Meta::InputName, bridge));
  transaction.add_rule(family, kTable, own_chain, accept(NftRule::Meta::OutputName, bridge));
}

/// The rule that refuses whatever is left, which some hosts have in place of a policy; the end: there is
/// none.
std::vector<sys::NftRuleInfo>::const_iterator catch_all(const HostFilterState& state) {
  return std::find_if(state.forward.begin(), state.forward.end(),
                      [](const sys::NftRuleInfo& rule) { return rule.refuses_all; });
}

void delete_jumps(NftTransaction& transaction, NftFamily family, const HostFilterState& state,
                  std::string_view chain) {
  for (const sys::NftRuleInfo& rule : state.forward) {
    if (rule.jump == chain) transaction.delete_rule(family, kTable, kForward, rule.handle);
  }
}

}  // namespace

std::string own_filter_chain(std::string_view instance) {
  return instance.empty() ? std::string(kOwnPrefix) : fmt::format("{}-{}", kOwnPrefix, instance);
}

Result<HostFilterState> read_host_filter(sys::NftSocket& nft, NftFamily family) {
  HostFilterState state;
  TRY(state.chains, nft.chains(family, kTable));
  if (has_chain(state, kForward)) {
    TRY(state.forward, nft.rules(family, kTable, kForward));
  }
  TRY(auto dropping, nft.dropping_chains(family, sys::NftHook::Forward));
  state.drops = std::find(dropping.begin(), dropping.end(), "filter FORWARD") != dropping.end();
  if (has_chain(state, kUser)) {
    TRY(state.user, nft.rules(family, kTable, kUser));
  }
  return state;
}

NftTransaction plan_host_filter(NftFamily family, std::string_view own_chain,
                                const std::vector<std::string>& bridges, const HostFilterState& state,
                                ForwardPolicy policy) {
  NftTransaction transaction;
  transaction.add_table(family, kTable);
  if (!has_chain(state, kForward)) {
    transaction.add_chain(family, kTable, {kForward, sys::NftChainType::Filter, sys::NftHook::Forward, 0});
  }
  if (policy == ForwardPolicy::Drop) transaction.set_policy(family, kTable, kForward, NftVerdict::Drop);
  if (!has_chain(state, kUser)) transaction.add_chain(family, kTable, {kUser, {}, {}, 0});
  if (!jumps_to(state, kUser))
    transaction.add_rule(family, kTable, kForward, jump(kUser), sys::NftPlace::First);
  if (has_chain(state, own_chain)) {
    transaction.flush_chain(family, kTable, own_chain);
  } else {
    transaction.add_chain(family, kTable, {std::string(own_chain), {}, {}, 0});
  }
  for (const std::string& bridge : bridges) add_bridge(transaction, family, own_chain, bridge);
  if (is_in_place(state, own_chain)) return transaction;
  delete_jumps(transaction, family, state, own_chain);
  if (auto rest = catch_all(state); rest != state.forward.end()) {
    transaction.insert_rule(family, kTable, kForward, jump(own_chain), rest->handle);
  } else {
    transaction.add_rule(family, kTable, kForward, jump(own_chain));
  }
  return transaction;
}

bool is_in_place(const HostFilterState& state, std::string_view own_chain) {
  auto rest = catch_all(state);
  return rest != state.forward.begin() && std::prev(rest)->jump == own_chain;
}

NftTransaction plan_add_to_host_filter(NftFamily family, std::string_view own_chain,
                                       const std::string& bridge) {
  NftTransaction transaction;
  add_bridge(transaction, family, own_chain, bridge);
  return transaction;
}

NftTransaction plan_remove_from_host_filter(NftFamily family, std::string_view own_chain,
                                            const std::string& bridge,
                                            const std::vector<sys::NftRuleInfo>& rules) {
  NftTransaction transaction;
  for (const sys::NftRuleInfo& rule : rules) {
    if (rule.input == bridge || rule.output == bridge)
      transaction.delete_rule(family, kTable, own_chain, rule.handle);
  }
  return transaction;
}

Result<std::vector<sys::NftRuleInfo>> read_own_filter(sys::NftSocket& nft, NftFamily family,
                                                      std::string_view own_chain) {
  return nft.rules(family, kTable, own_chain);
}

NftTransaction plan_leave_host_filter(NftFamily family, std::string_view own_chain,
                                      const HostFilterState& state) {
  NftTransaction transaction;
  if (has_chain(state, own_chain)) {
    delete_jumps(transaction, family, state, own_chain);
    transaction.flush_chain(family, kTable, own_chain);
    transaction.delete_chain(family, kTable, own_chain);
  }
  return transaction;
}

NftTransaction plan_tidy_host_filter(NftFamily family, const HostFilterState& state) {
  NftTransaction transaction;
  // Another engine's, berth or docker.
  bool is_shared = std::any_of(state.chains.begin(), state.chains.end(), [&](const std::string& chain) {
    return chain != kUser && (chain.starts_with(kOwnPrefix) || chain.starts_with("DOCKER"));
  });
  if (!has_chain(state, kUser) || !state.user.empty() || is_shared) return transaction;
  bool is_ours = !state.drops && state.chains.size() == 2 && has_chain(state, kForward) &&
                 std::all_of(state.forward.begin(), state.forward.end(),
                             [](const sys::NftRuleInfo& rule) { return rule.jump == kUser; });
  if (is_ours) return transaction.delete_table(family, kTable);
  delete_jumps(transaction, family, state, kUser);
  transaction.delete_chain(family, kTable, kUser);
  return transaction;
}

}  // namespace berth::network
