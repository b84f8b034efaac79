// What is in nf_tables: tables, chains and rules, also of others.
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <optional>

#include "base/format.h"
#include "sys/netlink_message.h"
#include "sys/nftables.h"

namespace berth::sys {
namespace {

struct Verdict {
  int32_t code = 0;
  std::string chain;
};

/// What an "immediate" expression says; nothing if it loads a value.
std::optional<Verdict> verdict_of(std::span<const uint8_t> immediate) {
  std::optional<Verdict> found;
  for_each_attribute(immediate, [&](const NetlinkAttribute& part) {
    if (part.type != NFTA_IMMEDIATE_DATA) return;
    for_each_attribute(part.value, [&](const NetlinkAttribute& data) {
      if (data.type != NFTA_DATA_VERDICT) return;
      found.emplace();
      for_each_attribute(data.value, [&](const NetlinkAttribute& verdict) {
        if (verdict.type == NFTA_VERDICT_CODE) found->code = static_cast<int32_t>(verdict.u32_be());
        if (verdict.type == NFTA_VERDICT_CHAIN) found->chain = verdict.text();
      });
    });
  });
  return found;
}

/// The name of an extension of iptables' (NFTA_MATCH_NAME, NFTA_TARGET_NAME).
std::string_view extension_name(std::span<const uint8_t> data) {
  std::string_view name;
  for_each_attribute(data, [&](const NetlinkAttribute& part) {
    if (part.type == NFTA_MATCH_NAME) name = part.text();
  });
  return name;
}

/// Which of the packet's interfaces a "meta" expression loads the name of; nullptr: something else.
std::string NftRuleInfo::*loaded_interface(std::span<const uint8_t> meta) {
  std::string NftRuleInfo::*loaded = nullptr;
  for_each_attribute(meta, [&](const NetlinkAttribute& part) {
    if (part.type != NFTA_META_KEY) return;
    if (part.u32_be() == NFT_META_IIFNAME) loaded = &NftRuleInfo::input;
    if (part.u32_be() == NFT_META_OIFNAME) loaded = &NftRuleInfo::output;
  });
  return loaded;
}

/// The text that a "cmp" expression compares with.
std::string compared_text(std::span<const uint8_t> cmp) {
  std::string text;
  for_each_attribute(cmp, [&](const NetlinkAttribute& part) {
    if (part.type != NFTA_CMP_DATA) return;
    for_each_attribute(part.value, [&](const NetlinkAttribute& data) {
      if (data.type == NFTA_DATA_VALUE) text = data.text();
    });
  });
  return text;
}

/// What a rule does to every packet; one that has conditions does nothing to every packet.
void read_expressions(std::span<const uint8_t> expressions, NftRuleInfo& rule) {
  bool conditional = false;
  std::string NftRuleInfo::*interface = nullptr;
  std::optional<Verdict> verdict;
  for_each_attribute(expressions, [&](const NetlinkAttribute& element) {
    std::string_view name;
    std::span<const uint8_t> data;
    for_each_attribute(element.value, [&](const NetlinkAttribute& part) {
      if (part.type == NFTA_EXPR_NAME) name = part.text();
      if (part.type == NFTA_EXPR_DATA) data = part.value;
    });
    if (name == "cmp" && interface != nullptr) rule.*interface = compared_text(data);
    interface = name == "meta" ? loaded_interface(data) : nullptr;
    bool comment = name == "match" && extension_name(data) == "comment";
    if (name == "immediate") {
      verdict = verdict_of(data);
    } else if (name == "reject" || (name == "target" && extension_name(data) == "REJECT")) {
      rule.refuses_all = true;
    } else if (name != "counter" && !comment) {
      conditional = true;
    }
  });
  if (verdict && verdict->code == static_cast<int32_t>(NftVerdict::Jump)) rule.jump = verdict->chain;
  if (verdict && verdict->code == static_cast<int32_t>(NftVerdict::Drop)) rule.refuses_all = true;
  if (!conditional) return;
  rule.jump.clear();
  rule.refuses_all = false;
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
      if (attribute.type == NFTA_RULE_EXPRESSIONS) read_expressions(attribute.value, rule);
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
