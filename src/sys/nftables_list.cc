// What is in nf_tables: tables, chains and rules, also of others.
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <optional>

#include "base/format.h"
#include "sys/netlink_message.h"
#include "sys/nftables.h"

namespace berth::sys {
namespace {

/// The chain that the verdict of an "immediate" expression jumps to.
std::string jump_of(std::span<const uint8_t> immediate) {
  std::string chain;
  bool jumps = false;
  for_each_attribute(immediate, [&](const NetlinkAttribute& part) {
    if (part.type != NFTA_IMMEDIATE_DATA) return;
    for_each_attribute(part.value, [&](const NetlinkAttribute& data) {
      if (data.type != NFTA_DATA_VERDICT) return;
      for_each_attribute(data.value, [&](const NetlinkAttribute& verdict) {
        if (verdict.type == NFTA_VERDICT_CODE)
          jumps = static_cast<int32_t>(verdict.u32_be()) == static_cast<int32_t>(NftVerdict::Jump);
        if (verdict.type == NFTA_VERDICT_CHAIN) chain = verdict.text();
      });
    });
  });
  return jumps ? chain : std::string();
}

/// Where a rule sends every packet; empty for one that has conditions or another verdict.
std::string unconditional_jump(std::span<const uint8_t> expressions) {
  std::string chain;
  bool conditional = false;
  for_each_attribute(expressions, [&](const NetlinkAttribute& element) {
    std::string_view name;
    std::span<const uint8_t> data;
    for_each_attribute(element.value, [&](const NetlinkAttribute& part) {
      if (part.type == NFTA_EXPR_NAME) name = part.text();
      if (part.type == NFTA_EXPR_DATA) data = part.value;
    });
    if (name == "immediate") {
      chain = jump_of(data);
    } else if (name != "counter") {
      conditional = true;
    }
  });
  return conditional ? std::string() : chain;
}

}  // namespace

Result<std::vector<std::string>> NftSocket::tables(NftFamily family) {
  std::vector<std::string> names;
  CHECK(dump(NFT_MSG_GETTABLE, family, "list nf_tables", [&](std::span<const uint8_t> attributes) {
    for_each_attribute(attributes, [&](const NetlinkAttribute& attribute) {
      if (attribute.type == NFTA_TABLE_NAME) names.emplace_back(attribute.text());
    });
  }));
  return names;
}

Result<std::vector<std::string>> NftSocket::chains(NftFamily family, std::string_view wanted) {
  std::vector<std::string> names;
  CHECK(dump(NFT_MSG_GETCHAIN, family, "list nf_tables chains", [&](std::span<const uint8_t> attributes) {
    std::string_view table;
    std::string_view name;
    for_each_attribute(attributes, [&](const NetlinkAttribute& attribute) {
      if (attribute.type == NFTA_CHAIN_TABLE) table = attribute.text();
      if (attribute.type == NFTA_CHAIN_NAME) name = attribute.text();
    });
    if (table == wanted) names.emplace_back(name);
  }));
  return names;
}

Result<std::vector<NftRuleInfo>> NftSocket::rules(NftFamily family, std::string_view wanted_table,
                                                  std::string_view wanted_chain) {
  std::vector<NftRuleInfo> rules;
  auto visit = [&](std::span<const uint8_t> attributes) {
    std::string_view table;
    std::string_view chain;
    NftRuleInfo rule;
    for_each_attribute(attributes, [&](const NetlinkAttribute& attribute) {
      if (attribute.type == NFTA_RULE_TABLE) table = attribute.text();
      if (attribute.type == NFTA_RULE_CHAIN) chain = attribute.text();
      if (attribute.type == NFTA_RULE_HANDLE) rule.handle = attribute.u64_be();
      if (attribute.type == NFTA_RULE_EXPRESSIONS) rule.jump = unconditional_jump(attribute.value);
    });
    if (table == wanted_table && chain == wanted_chain) rules.push_back(std::move(rule));
  };
  auto narrow = [&](NetlinkMessage& request) {
    request.text(NFTA_RULE_TABLE, wanted_table);
    request.text(NFTA_RULE_CHAIN, wanted_chain);
  };
  CHECK(dump(NFT_MSG_GETRULE, family, "list nf_tables rules", visit, narrow));
  return rules;
}

Result<std::vector<std::string>> NftSocket::dropping_chains(NftFamily family, NftHook hook) {
  std::vector<std::string> chains;
  CHECK(dump(NFT_MSG_GETCHAIN, family, "list nf_tables chains", [&](std::span<const uint8_t> attributes) {
    std::string table;
    std::string name;
    std::optional<uint32_t> hook_number;
    uint32_t policy = NF_ACCEPT;
    for_each_attribute(attributes, [&](const NetlinkAttribute& attribute) {
      if (attribute.type == NFTA_CHAIN_TABLE) table = attribute.text();
      if (attribute.type == NFTA_CHAIN_NAME) name = attribute.text();
      if (attribute.type == NFTA_CHAIN_POLICY) policy = attribute.u32_be();
      if (attribute.type != NFTA_CHAIN_HOOK) return;
      for_each_attribute(attribute.value, [&](const NetlinkAttribute& inner) {
        if (inner.type == NFTA_HOOK_HOOKNUM) hook_number = inner.u32_be();
      });
    });
    if (hook_number == static_cast<uint32_t>(hook) && policy == NF_DROP) chains.push_back(table + " " + name);
  }));
  return chains;
}

Result<bool> NftSocket::has_table(NftFamily family, std::string_view table) {
  TRY(auto names, tables(family));
  return std::find(names.begin(), names.end(), table) != names.end();
}

}  // namespace berth::sys
