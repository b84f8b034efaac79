// nf_tables by raw netlink: one transaction of tables, chains, maps, rules and elements. It encodes what it
// is told; which rules berth needs is decided in network/. A transaction is performed as a whole or not at
// all.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace berth::sys {

class NetlinkMessage;

enum class NftFamily : uint8_t { Ip = 2, Ip6 = 10 };
enum class NftChainType { Filter, Nat };
enum class NftHook : uint32_t { Prerouting = 0, Input = 1, Forward = 2, Output = 3, Postrouting = 4 };
enum class NftVerdict : int32_t { Drop = 0, Accept = 1, Jump = -3, Return = -5 };
enum class NftCompare : uint32_t { Equal = 0, NotEqual = 1 };

/// nft's numbers for the types of set keys and data, so that `nft list ruleset` prints them readably.
enum class NftType : uint32_t {
  Ipv4Address = 7,
  Ipv6Address = 8,
  Protocol = 12,
  Port = 13,
  InterfaceName = 41
};

struct NftChain {
  std::string name;
  NftChainType type = NftChainType::Filter;
  std::optional<NftHook> hook;  ///< none: a chain that others jump to
  int32_t priority = 0;
  NftVerdict policy = NftVerdict::Accept;
};

/// A set (no data types) or a map. Keys and data of several types are concatenations, each field padded to
/// four bytes.
struct NftSet {
  std::string name;
  uint32_t id = 0;  ///< unique within the transaction
  std::vector<NftType> key;
  std::vector<NftType> data;
};

/// The expressions of one rule, in order. Registers are numbered in words of 4 bytes from 0 to 15.
class NftRule {
 public:
  enum class Meta : uint32_t { InputName = 6, OutputName = 7, Protocol = 16 };
  NftRule& meta(Meta key, uint32_t word = 0);
  /// Bytes of the network header.
  NftRule& network_header(uint32_t offset, uint32_t length, uint32_t word = 0);
  /// Bytes of the transport header.
  NftRule& transport_header(uint32_t offset, uint32_t length, uint32_t word = 0);
  NftRule& compare(NftCompare how, std::span<const uint8_t> value, uint32_t word = 0);
  NftRule& compare(NftCompare how, std::string_view value, uint32_t word = 0);
  /// word := (word & mask) ^ 0
  NftRule& mask(std::span<const uint8_t> mask, uint32_t word = 0);
  /// The type of route the destination address has (RTN_LOCAL = 2).
  NftRule& destination_route_type(uint32_t word = 0);
  /// ct state or ct status bits.
  NftRule& conntrack_state(uint32_t word = 0);
  NftRule& conntrack_status(uint32_t word = 0);
  /// Matches (or, inverted, fails) when the key at `word` is in the set.
  NftRule& lookup(const NftSet& set, uint32_t word = 0, bool inverted = false);
  /// Loads the map's data for the key at `word` into `result_word`; no match ends the rule.
  NftRule& lookup_map(const NftSet& map, uint32_t word, uint32_t result_word);
  NftRule& counter();
  NftRule& verdict(NftVerdict verdict, std::string_view chain = {});
  NftRule& destination_nat(NftFamily family, uint32_t address_word, uint32_t port_word);
  /// Puts a constant into the register.
  NftRule& load(std::span<const uint8_t> value, uint32_t word = 0);
  NftRule& source_nat(NftFamily family, uint32_t address_word);
  NftRule& masquerade();
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

struct NftElement {
  std::string key;   ///< concatenated, padded: NftKey
  std::string data;  ///< empty for sets
};

/// Builds keys and data of elements: each field in network order, padded to 4 bytes.
class NftKey {
 public:
  NftKey& byte(uint8_t value);
  NftKey& port(uint16_t value);
  NftKey& bytes(std::span<const uint8_t> value);
  /// An interface name, zero padded to 16 bytes.
  NftKey& interface(std::string_view name);
  operator std::string() const { return bytes_; }  // NOLINT: a builder's result

 private:
  std::string bytes_;
};

/// Where a new rule stands in its chain.
enum class NftPlace { First, Last };

class NftTransaction {
 public:
  NftTransaction();
  NftTransaction& add_table(NftFamily family, std::string_view table);
  /// Fails the transaction (ENOENT) when it does not exist; add_table before makes it unconditional.
  NftTransaction& delete_table(NftFamily family, std::string_view table);
  NftTransaction& add_chain(NftFamily family, std::string_view table, const NftChain& chain);
  NftTransaction& add_set(NftFamily family, std::string_view table, const NftSet& set);
  /// Of a base chain that exists.
  NftTransaction& set_policy(NftFamily family, std::string_view table, std::string_view chain,
                             NftVerdict policy);
  /// The chain must be empty, and nobody may jump to it.
  NftTransaction& delete_chain(NftFamily family, std::string_view table, std::string_view chain);
  NftTransaction& flush_chain(NftFamily family, std::string_view table, std::string_view chain);
  NftTransaction& delete_rule(NftFamily family, std::string_view table, std::string_view chain,
                              uint64_t handle);
  NftTransaction& add_rule(NftFamily family, std::string_view table, std::string_view chain,
                           const NftRule& rule, NftPlace place = NftPlace::Last);
  /// Before the rule of that handle.
  NftTransaction& insert_rule(NftFamily family, std::string_view table, std::string_view chain,
                              const NftRule& rule, uint64_t before);
  NftTransaction& add_elements(NftFamily family, std::string_view table, std::string_view set,
                               std::span<const NftElement> elements);
  NftTransaction& delete_elements(NftFamily family, std::string_view table, std::string_view set,
                                  std::span<const NftElement> elements);
  bool empty() const { return steps_.empty(); }
  const std::string& bytes() const { return bytes_; }

 private:
  friend class NftSocket;
  struct Step {
    std::string_view operation;
    std::string subject;
  };
  std::string& begin(std::string_view operation, std::string subject);
  void change_elements(NftFamily family, std::string_view table, std::string_view set,
                       std::span<const NftElement> elements, bool add);
  std::string bytes_;
  std::vector<Step> steps_;
};

/// A rule that exists, as far as berth looks into those of others.
struct NftRuleInfo {
  uint64_t handle = 0;
  std::string jump;          ///< the chain that everything is sent to; empty: the rule is of another kind
  bool refuses_all = false;  ///< drops or rejects whatever comes to it
  /// Names that it compares those of the packet's interfaces with; empty: it does not, or with a set.
  std::string input;
  std::string output;
};

/// A NETLINK_NETFILTER socket of the namespace it was made in.
class NftSocket {
 public:
  NftSocket() = default;
  static Result<NftSocket> open();
  explicit operator bool() const { return static_cast<bool>(fd_); }
  /// Commits the transaction; on failure nothing has changed and the error names the first failed step.
  Result<void> commit(const NftTransaction& transaction);
  Result<bool> has_table(NftFamily family, std::string_view table);
  /// Names of all tables of the family.
  Result<std::vector<std::string>> tables(NftFamily family);
  /// "table chain" of every base chain of the family at the hook whose policy is to drop.
  Result<std::vector<std::string>> dropping_chains(NftFamily family, NftHook hook);
  /// Names of all chains of the table; none where there is no such table.
  Result<std::vector<std::string>> chains(NftFamily family, std::string_view table);
  /// The chain's rules in their order; none where there is no such chain.
  Result<std::vector<NftRuleInfo>> rules(NftFamily family, std::string_view table, std::string_view chain);

 private:
  explicit NftSocket(UniqueFd fd) : fd_(std::move(fd)) {}
  /// Calls `visit` with the attributes of each object; `narrow` adds to the request which ones.
  Result<void> dump(uint16_t type, NftFamily family, std::string_view operation,
                    const std::function<void(std::span<const uint8_t>)>& visit,
                    const std::function<void(NetlinkMessage&)>& narrow = {});
  UniqueFd fd_;
  uint32_t sequence_ = 1;
};

}  // namespace berth::sys
