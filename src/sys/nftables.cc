// nf_tables messages and transactions.
#include "sys/nftables.h"

#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/format.h"
#include "sys/netlink_message.h"

namespace berth::sys {
namespace {

constexpr uint16_t kChange = NLM_F_REQUEST;
/// NFTA_LIST_ELEM of a batch is limited by the 16-bit length of its attribute.
constexpr size_t kElementsPerMessage = 400;

uint16_t message_type(int type) {
  return static_cast<uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type);
}

nfgenmsg family_header(uint8_t family, uint16_t resource = 0) {
  nfgenmsg header{};
  header.nfgen_family = family;
  header.version = NFNETLINK_V0;
  header.res_id = htobe16(resource);
  return header;
}

uint32_t padded(uint32_t size) {
  return (size + 3) & ~3u;
}

uint32_t type_size(NftType type) {
  switch (type) {
    case NftType::Ipv4Address:
      return 4;
    case NftType::Ipv6Address:
      return 16;
    case NftType::Protocol:
      return 1;
    case NftType::Port:
      return 2;
    case NftType::InterfaceName:
      return 16;
  }
  return 0;
}

/// nft composes the number of a concatenation of six bits per type.
uint32_t type_number(const std::vector<NftType>& types) {
  uint32_t number = 0;
  for (NftType type : types) number = number << 6 | static_cast<uint32_t>(type);
  return number;
}

uint32_t types_size(const std::vector<NftType>& types) {
  if (types.size() == 1) return type_size(types.front());
  uint32_t size = 0;
  for (NftType type : types) size += padded(type_size(type));
  return size;
}

uint32_t register_number(uint32_t word) {
  return NFT_REG32_00 + word;
}

std::span<const uint8_t> as_bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

/// One NFTA_LIST_ELEM with an expression's name and data. A NetlinkMessage serves as the writer; its header
/// is cut off again.
template <class Content>
std::string expression(std::string_view name, Content content) {
  std::string buffer;
  NetlinkMessage writer(buffer, 0, 0, std::span<const uint8_t>());
  writer.nest(NFTA_LIST_ELEM, [&](NetlinkMessage& element) {
    element.text(NFTA_EXPR_NAME, name);
    element.nest(NFTA_EXPR_DATA, content);
  });
  writer.finish();
  return buffer.substr(NLMSG_HDRLEN);
}

void data_value(NetlinkMessage& message, uint16_t type, std::span<const uint8_t> value) {
  message.nest(type, [&](NetlinkMessage& data) { data.attribute(NFTA_DATA_VALUE, value); });
}

std::string payload_expression(uint32_t base, uint32_t offset, uint32_t length, uint32_t word) {
  return expression("payload", [&](NetlinkMessage& data) {
    data.u32_be(NFTA_PAYLOAD_DREG, register_number(word));
    data.u32_be(NFTA_PAYLOAD_BASE, base);
    data.u32_be(NFTA_PAYLOAD_OFFSET, offset);
    data.u32_be(NFTA_PAYLOAD_LEN, length);
  });
}

std::string conntrack_expression(uint32_t key, uint32_t word) {
  return expression("ct", [&](NetlinkMessage& data) {
    data.u32_be(NFTA_CT_DREG, register_number(word));
    data.u32_be(NFTA_CT_KEY, key);
  });
}

}  // namespace

NftRule& NftRule::meta(Meta key, uint32_t word) {
  bytes_ += expression("meta", [&](NetlinkMessage& data) {
    data.u32_be(NFTA_META_DREG, register_number(word));
    data.u32_be(NFTA_META_KEY, static_cast<uint32_t>(key));
  });
  return *this;
}

NftRule& NftRule::network_header(uint32_t offset, uint32_t length, uint32_t word) {
  bytes_ += payload_expression(NFT_PAYLOAD_NETWORK_HEADER, offset, length, word);
  return *this;
}

NftRule& NftRule::transport_header(uint32_t offset, uint32_t length, uint32_t word) {
  bytes_ += payload_expression(NFT_PAYLOAD_TRANSPORT_HEADER, offset, length, word);
  return *this;
}

NftRule& NftRule::compare(NftCompare how, std::span<const uint8_t> value, uint32_t word) {
  bytes_ += expression("cmp", [&](NetlinkMessage& data) {
    data.u32_be(NFTA_CMP_SREG, register_number(word));
    data.u32_be(NFTA_CMP_OP, static_cast<uint32_t>(how));
    data_value(data, NFTA_CMP_DATA, value);
  });
  return *this;
}

NftRule& NftRule::compare(NftCompare how, std::string_view value, uint32_t word) {
  std::string name(value);
  name.resize(16, '\0');
  return compare(how, as_bytes(name), word);
}

NftRule& NftRule::mask(std::span<const uint8_t> mask, uint32_t word) {
  std::vector<uint8_t> zero(mask.size(), 0);
  bytes_ += expression("bitwise", [&](NetlinkMessage& data) {
    data.u32_be(NFTA_BITWISE_SREG, register_number(word));
    data.u32_be(NFTA_BITWISE_DREG, register_number(word));
    data.u32_be(NFTA_BITWISE_LEN, static_cast<uint32_t>(mask.size()));
    data_value(data, NFTA_BITWISE_MASK, mask);
    data_value(data, NFTA_BITWISE_XOR, zero);
  });
  return *this;
}

NftRule& NftRule::destination_route_type(uint32_t word) {
  bytes_ += expression("fib", [&](NetlinkMessage& data) {
    data.u32_be(NFTA_FIB_DREG, register_number(word));
    data.u32_be(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    data.u32_be(NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
  });
  return *this;
}

NftRule& NftRule::conntrack_state(uint32_t word) {
  bytes_ += conntrack_expression(NFT_CT_STATE, word);
  return *this;
}

NftRule& NftRule::conntrack_status(uint32_t word) {
  bytes_ += conntrack_expression(NFT_CT_STATUS, word);
  return *this;
}

NftRule& NftRule::lookup(const NftSet& set, uint32_t word, bool inverted) {
  bytes_ += expression("lookup", [&](NetlinkMessage& data) {
    data.text(NFTA_LOOKUP_SET, set.name);
    data.u32_be(NFTA_LOOKUP_SET_ID, set.id);
    data.u32_be(NFTA_LOOKUP_SREG, register_number(word));
    if (inverted) data.u32_be(NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
  });
  return *this;
}

NftRule& NftRule::lookup_map(const NftSet& map, uint32_t word, uint32_t result_word) {
  bytes_ += expression("lookup", [&](NetlinkMessage& data) {
    data.text(NFTA_LOOKUP_SET, map.name);
    data.u32_be(NFTA_LOOKUP_SET_ID, map.id);
    data.u32_be(NFTA_LOOKUP_SREG, register_number(word));
    data.u32_be(NFTA_LOOKUP_DREG, register_number(result_word));
  });
  return *this;
}

NftRule& NftRule::counter() {
  bytes_ += expression("counter", [](NetlinkMessage&) {});
  return *this;
}

NftRule& NftRule::verdict(NftVerdict verdict, std::string_view chain) {
  bytes_ += expression("immediate", [&](NetlinkMessage& data) {
    data.u32_be(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    data.nest(NFTA_IMMEDIATE_DATA, [&](NetlinkMessage& value) {
      value.nest(NFTA_DATA_VERDICT, [&](NetlinkMessage& inner) {
        inner.u32_be(NFTA_VERDICT_CODE, static_cast<uint32_t>(verdict));
        if (!chain.empty()) inner.text(NFTA_VERDICT_CHAIN, chain);
      });
    });
  });
  return *this;
}

NftRule& NftRule::destination_nat(NftFamily family, uint32_t address_word, uint32_t port_word) {
  bytes_ += expression("nat", [&](NetlinkMessage& data) {
    data.u32_be(NFTA_NAT_TYPE, NFT_NAT_DNAT);
    data.u32_be(NFTA_NAT_FAMILY, static_cast<uint32_t>(family));
    data.u32_be(NFTA_NAT_REG_ADDR_MIN, register_number(address_word));
    data.u32_be(NFTA_NAT_REG_PROTO_MIN, register_number(port_word));
  });
  return *this;
}

NftRule& NftRule::load(std::span<const uint8_t> value, uint32_t word) {
  bytes_ += expression("immediate", [&](NetlinkMessage& data) {
    data.u32_be(NFTA_IMMEDIATE_DREG, register_number(word));
    data_value(data, NFTA_IMMEDIATE_DATA, value);
  });
  return *this;
}

NftRule& NftRule::source_nat(NftFamily family, uint32_t address_word) {
  bytes_ += expression("nat", [&](NetlinkMessage& data) {
    data.u32_be(NFTA_NAT_TYPE, NFT_NAT_SNAT);
    data.u32_be(NFTA_NAT_FAMILY, static_cast<uint32_t>(family));
    data.u32_be(NFTA_NAT_REG_ADDR_MIN, register_number(address_word));
  });
  return *this;
}

NftRule& NftRule::masquerade() {
  bytes_ += expression("masq", [](NetlinkMessage&) {});
  return *this;
}

NftKey& NftKey::byte(uint8_t value) {
  return bytes({&value, 1});
}

NftKey& NftKey::port(uint16_t value) {
  uint8_t big[2] = {static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value & 0xff)};
  return bytes(big);
}

NftKey& NftKey::bytes(std::span<const uint8_t> value) {
  bytes_.append(reinterpret_cast<const char*>(value.data()), value.size());
  bytes_.append(padded(static_cast<uint32_t>(value.size())) - value.size(), '\0');
  return *this;
}

NftKey& NftKey::interface(std::string_view name) {
  std::string padded_name(name.substr(0, 15));
  padded_name.resize(16, '\0');
  return bytes(as_bytes(padded_name));
}

NftTransaction::NftTransaction() {
  NetlinkMessage(bytes_, NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, family_header(AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

std::string& NftTransaction::begin(std::string_view operation, std::string subject) {
  steps_.push_back({operation, std::move(subject)});
  return bytes_;
}

NftTransaction& NftTransaction::add_table(NftFamily family, std::string_view table) {
  NetlinkMessage message(begin("add table", std::string(table)), message_type(NFT_MSG_NEWTABLE),
                         kChange | NLM_F_CREATE, family_header(static_cast<uint8_t>(family)));
  message.text(NFTA_TABLE_NAME, table);
  return *this;
}

NftTransaction& NftTransaction::delete_table(NftFamily family, std::string_view table) {
  NetlinkMessage message(begin("delete table", std::string(table)), message_type(NFT_MSG_DELTABLE), kChange,
                         family_header(static_cast<uint8_t>(family)));
  message.text(NFTA_TABLE_NAME, table);
  return *this;
}

NftTransaction& NftTransaction::add_chain(NftFamily family, std::string_view table, const NftChain& chain) {
  NetlinkMessage message(begin("add chain", chain.name), message_type(NFT_MSG_NEWCHAIN),
                         kChange | NLM_F_CREATE, family_header(static_cast<uint8_t>(family)));
  message.text(NFTA_CHAIN_TABLE, table);
  message.text(NFTA_CHAIN_NAME, chain.name);
  if (!chain.hook) return *this;
  message.nest(NFTA_CHAIN_HOOK, [&](NetlinkMessage& hook) {
    hook.u32_be(NFTA_HOOK_HOOKNUM, static_cast<uint32_t>(*chain.hook));
    hook.u32_be(NFTA_HOOK_PRIORITY, static_cast<uint32_t>(chain.priority));
  });
  message.u32_be(NFTA_CHAIN_POLICY, chain.policy == NftVerdict::Drop ? NF_DROP : NF_ACCEPT);
  message.text(NFTA_CHAIN_TYPE, chain.type == NftChainType::Nat ? "nat" : "filter");
  return *this;
}

NftTransaction& NftTransaction::add_set(NftFamily family, std::string_view table, const NftSet& set) {
  NetlinkMessage message(begin("add set", set.name), message_type(NFT_MSG_NEWSET), kChange | NLM_F_CREATE,
                         family_header(static_cast<uint8_t>(family)));
  message.text(NFTA_SET_TABLE, table);
  message.text(NFTA_SET_NAME, set.name);
  message.u32_be(NFTA_SET_ID, set.id);
  uint32_t flags = set.data.empty() ? 0 : NFT_SET_MAP;
  if (set.key.size() > 1) flags |= NFT_SET_CONCAT;
  message.u32_be(NFTA_SET_FLAGS, flags);
  message.u32_be(NFTA_SET_KEY_TYPE, type_number(set.key));
  message.u32_be(NFTA_SET_KEY_LEN, types_size(set.key));
  if (!set.data.empty()) {
    message.u32_be(NFTA_SET_DATA_TYPE, type_number(set.data));
    message.u32_be(NFTA_SET_DATA_LEN, types_size(set.data));
  }
  if (set.key.size() > 1) {
    message.nest(NFTA_SET_DESC, [&](NetlinkMessage& description) {
      description.nest(NFTA_SET_DESC_CONCAT, [&](NetlinkMessage& fields) {
        for (NftType type : set.key) {
          fields.nest(NFTA_LIST_ELEM,
                      [&](NetlinkMessage& field) { field.u32_be(NFTA_SET_FIELD_LEN, type_size(type)); });
        }
      });
    });
  }
  return *this;
}

NftTransaction& NftTransaction::set_policy(NftFamily family, std::string_view table, std::string_view chain,
                                           NftVerdict policy) {
  NetlinkMessage message(begin("set policy of", std::string(chain)), message_type(NFT_MSG_NEWCHAIN), kChange,
                         family_header(static_cast<uint8_t>(family)));
  message.text(NFTA_CHAIN_TABLE, table);
  message.text(NFTA_CHAIN_NAME, chain);
  message.u32_be(NFTA_CHAIN_POLICY, policy == NftVerdict::Drop ? NF_DROP : NF_ACCEPT);
  return *this;
}

NftTransaction& NftTransaction::delete_chain(NftFamily family, std::string_view table,
                                             std::string_view chain) {
  NetlinkMessage message(begin("delete chain", std::string(chain)), message_type(NFT_MSG_DELCHAIN), kChange,
                         family_header(static_cast<uint8_t>(family)));
  message.text(NFTA_CHAIN_TABLE, table);
  message.text(NFTA_CHAIN_NAME, chain);
  return *this;
}

NftTransaction& NftTransaction::flush_chain(NftFamily family, std::string_view table,
                                            std::string_view chain) {
  NetlinkMessage message(begin("flush chain", std::string(chain)), message_type(NFT_MSG_DELRULE), kChange,
                         family_header(static_cast<uint8_t>(family)));
  message.text(NFTA_RULE_TABLE, table);
  message.text(NFTA_RULE_CHAIN, chain);
  return *this;
}

NftTransaction& NftTransaction::delete_rule(NftFamily family, std::string_view table, std::string_view chain,
                                            uint64_t handle) {
  NetlinkMessage message(begin("delete rule of", std::string(chain)), message_type(NFT_MSG_DELRULE), kChange,
                         family_header(static_cast<uint8_t>(family)));
  message.text(NFTA_RULE_TABLE, table);
  message.text(NFTA_RULE_CHAIN, chain);
  message.u64_be(NFTA_RULE_HANDLE, handle);
  return *this;
}

NftTransaction& NftTransaction::add_rule(NftFamily family, std::string_view table, std::string_view chain,
                                         const NftRule& rule, NftPlace place) {
  uint16_t flags = kChange | NLM_F_CREATE | (place == NftPlace::Last ? NLM_F_APPEND : 0);
  NetlinkMessage message(begin("add rule to", std::string(chain)), message_type(NFT_MSG_NEWRULE), flags,
                         family_header(static_cast<uint8_t>(family)));
  message.text(NFTA_RULE_TABLE, table);
  message.text(NFTA_RULE_CHAIN, chain);
  message.nest(NFTA_RULE_EXPRESSIONS, [&](NetlinkMessage& list) { list.raw(as_bytes(rule.bytes())); });
  return *this;
}

NftTransaction& NftTransaction::insert_rule(NftFamily family, std::string_view table, std::string_view chain,
                                            const NftRule& rule, uint64_t before) {
  NetlinkMessage message(begin("insert rule into", std::string(chain)), message_type(NFT_MSG_NEWRULE),
                         kChange | NLM_F_CREATE, family_header(static_cast<uint8_t>(family)));
  message.text(NFTA_RULE_TABLE, table);
  message.text(NFTA_RULE_CHAIN, chain);
  message.u64_be(NFTA_RULE_POSITION, before);
  message.nest(NFTA_RULE_EXPRESSIONS, [&](NetlinkMessage& list) { list.raw(as_bytes(rule.bytes())); });
  return *this;
}

void NftTransaction::change_elements(NftFamily family, std::string_view table, std::string_view set,
                                     std::span<const NftElement> elements, bool add) {
  for (size_t first = 0; first < elements.size(); first += kElementsPerMessage) {
    auto part = elements.subspan(first, std::min(kElementsPerMessage, elements.size() - first));
    // NLM_F_EXCL: an element that is there already is a failure, not silence.
    uint16_t flags = kChange | (add ? NLM_F_CREATE | NLM_F_EXCL : 0);
    NetlinkMessage message(begin(add ? "add elements to" : "delete elements of", std::string(set)),
                           message_type(add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM), flags,
                           family_header(static_cast<uint8_t>(family)));
    message.text(NFTA_SET_ELEM_LIST_TABLE, table);
    message.text(NFTA_SET_ELEM_LIST_SET, set);
    message.nest(NFTA_SET_ELEM_LIST_ELEMENTS, [&](NetlinkMessage& list) {
      for (const auto& element : part) {
        list.nest(NFTA_LIST_ELEM, [&](NetlinkMessage& entry) {
          data_value(entry, NFTA_SET_ELEM_KEY, as_bytes(element.key));
          if (add && !element.data.empty()) data_value(entry, NFTA_SET_ELEM_DATA, as_bytes(element.data));
        });
      }
    });
  }
}

NftTransaction& NftTransaction::add_elements(NftFamily family, std::string_view table, std::string_view set,
                                             std::span<const NftElement> elements) {
  change_elements(family, table, set, elements, true);
  return *this;
}

NftTransaction& NftTransaction::delete_elements(NftFamily family, std::string_view table,
                                                std::string_view set, std::span<const NftElement> elements) {
  change_elements(family, table, set, elements, false);
  return *this;
}

Result<NftSocket> NftSocket::open() {
  TRY(UniqueFd fd, open_netlink(NETLINK_NETFILTER));
  return NftSocket(std::move(fd));
}

Result<void> NftSocket::commit(const NftTransaction& transaction) {
  if (transaction.empty()) return {};
  std::string bytes = transaction.bytes();
  size_t end_offset = bytes.size();
  NetlinkMessage(bytes, NFNL_MSG_BATCH_END, NLM_F_REQUEST, family_header(AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
  // The batch's begin has the first sequence number, step i the one i + 1 further on. The last step asks for
  // an acknowledgement, so that the end of the answers is known; every failed step is answered anyway.
  uint32_t begin = sequence_;
  for (size_t at = 0; at < end_offset;) {
    nlmsghdr header;
    std::memcpy(&header, bytes.data() + at, sizeof(header));
    header.nlmsg_seq = sequence_++;
    size_t next = at + NLMSG_ALIGN(header.nlmsg_len);
    if (next >= end_offset) header.nlmsg_flags |= NLM_F_ACK;
    std::memcpy(bytes.data() + at, &header, sizeof(header));
    at = next;
  }
  uint32_t last = sequence_ - begin - 1;
  CHECK(send_netlink(fd_.get(), bytes, "change nf_tables"));
  std::optional<Error> error;
  CHECK(receive_netlink(fd_.get(), "change nf_tables", [&](const NetlinkReply& reply) {
    uint32_t index = reply.sequence - begin;
    if (reply.type != NLMSG_ERROR || index > last) return true;
    NetlinkFailure failed = parse_netlink_error(reply);
    if (failed.errno_value != 0 && !error) {
      if (index == 0) {
        error = netlink_error("change nf_tables", {}, failed);
      } else {
        const auto& step = transaction.steps_[index - 1];
        error = netlink_error(fmt::format("nf_tables: {}", step.operation), step.subject, failed);
      }
    }
    // An answer to the begin is about the whole batch (no permission, no memory): none follows.
    return index != last && !(index == 0 && failed.errno_value != 0);
  }));
  if (error) return *std::move(error);
  return {};
}

Result<void> NftSocket::dump(uint16_t type, NftFamily family, std::string_view operation,
                             const std::function<void(std::span<const uint8_t>)>& visit,
                             const std::function<void(NetlinkMessage&)>& narrow) {
  std::string bytes;
  {
    NetlinkMessage message(bytes, message_type(type), NLM_F_REQUEST | NLM_F_DUMP,
                           family_header(static_cast<uint8_t>(family)));
    if (narrow) narrow(message);
  }
  uint32_t sequence = sequence_++;
  nlmsghdr header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  header.nlmsg_seq = sequence;
  std::memcpy(bytes.data(), &header, sizeof(header));
  CHECK(send_netlink(fd_.get(), bytes, operation));
  std::optional<Error> error;
  CHECK(receive_netlink(fd_.get(), operation, [&](const NetlinkReply& reply) {
    if (reply.sequence != sequence) return true;
    if (reply.type == NLMSG_DONE) return false;
    if (reply.type == NLMSG_ERROR) {
      NetlinkFailure failed = parse_netlink_error(reply);
      if (failed.errno_value != 0) error = netlink_error(operation, {}, failed);
      return false;
    }
    constexpr size_t kHeader = NLMSG_ALIGN(sizeof(nfgenmsg));
    if (reply.payload.size() >= kHeader) visit(reply.payload.subspan(kHeader));
    return true;
  }));
  if (error) return *std::move(error);
  return {};
}

}  // namespace berth::sys
