// Records as JSON text.
#include "network/records.h"

#include <algorithm>
#include <charconv>

#include "base/format.h"
#include "base/json.h"

namespace berth::network {
namespace {

Error corrupt(std::string_view what, const Error& cause) {
  return failure(Kind::Corrupt, "stored {} record: {}", what, cause.message());
}

Json pool_json(const IpamPool& pool) {
  Json json = {{"subnet", pool.subnet.to_string()}, {"gateway", pool.gateway.to_string()}};
  if (pool.range) json["range"] = pool.range->to_string();
  if (pool.automatic) json["automatic"] = true;
  if (pool.implied_gateway) json["implied_gateway"] = true;
  for (const auto& [name, address] : pool.auxiliary) json["auxiliary"][name] = address.to_string();
  return json;
}

Result<IpamPool> parse_pool(const Json& json) {
  IpamPool pool;
  TRY(std::string subnet, json_string(json, "subnet"));
  TRY(pool.subnet, IpPrefix::parse(subnet));
  TRY(std::string gateway, json_string(json, "gateway"));
  TRY(pool.gateway, IpAddress::parse(gateway));
  TRY(std::string range, json_string(json, "range"));
  if (!range.empty()) {
    TRY(pool.range, IpPrefix::parse(range));
  }
  TRY(pool.automatic, json_bool(json, "automatic"));
  TRY(pool.implied_gateway, json_bool(json, "implied_gateway"));
  TRY(auto auxiliary, json_string_map(json, "auxiliary"));
  for (const auto& [name, text] : auxiliary) {
    TRY(pool.auxiliary[name], IpAddress::parse(text));
  }
  return pool;
}

Result<NetworkDriver> parse_driver(std::string_view text) {
  for (NetworkDriver driver : {NetworkDriver::Bridge, NetworkDriver::Host, NetworkDriver::Null,
                               NetworkDriver::Macvlan, NetworkDriver::Ipvlan}) {
    if (to_string(driver) == text) return driver;
  }
  return failure(Kind::Corrupt, "unknown network driver \"{}\"", text);
}

Result<NetworkRecord> parse_network(const Json& json) {
  NetworkRecord record;
  TRY(record.id, json_string(json, "id"));
  TRY(record.name, json_string(json, "name"));
  TRY(int64_t created, json_int(json, "created"));
  record.created = from_unix_nanoseconds(created);
  TRY(std::string driver, json_string(json, "driver"));
  TRY(record.driver, parse_driver(driver));
  TRY(record.predefined, json_bool(json, "predefined"));
  TRY(record.internal, json_bool(json, "internal"));
  TRY(record.attachable, json_bool(json, "attachable"));
  TRY(record.enable_ipv4, json_bool(json, "enable_ipv4", true));
  TRY(record.enable_ipv6, json_bool(json, "enable_ipv6"));
  TRY(record.ipam_options, json_string_map(json, "ipam_options"));
  TRY(record.options, json_string_map(json, "options"));
  TRY(record.labels, json_string_map(json, "labels"));
  TRY(record.bridge, json_string(json, "bridge"));
  TRY(record.foreign_bridge, json_bool(json, "foreign_bridge"));
  TRY(record.config_only, json_bool(json, "config_only"));
  TRY(record.config_from, json_string(json, "config_from"));
  if (record.id.empty() || record.name.empty()) return failure(Kind::Corrupt, "a network without id or name");
  auto pools = json.find("pools");
  if (pools == json.end()) return record;
  if (!pools->is_array()) return failure(Kind::Corrupt, "pools is not a list");
  for (const auto& item : *pools) {
    TRY(IpamPool pool, parse_pool(item));
    record.pools.push_back(std::move(pool));
  }
  return record;
}

Json port_json(const PublishedPort& port) {
  return {{"protocol", to_string(port.protocol)},
          {"container_port", port.container_port},
          {"host_ip", port.host_ip.to_string()},
          {"host_port", port.host_port}};
}

Result<uint16_t> parse_port_number(const Json& json, std::string_view key, int64_t lowest) {
  TRY(int64_t number, json_int(json, key));
  if (number < lowest || number > 65535) return failure(Kind::Corrupt, "{} {} is not a port", key, number);
  return static_cast<uint16_t>(number);
}

Result<PublishedPort> parse_port(const Json& json) {
  PublishedPort port;
  TRY(std::string protocol, json_string(json, "protocol"));
  TRY(port.protocol, parse_protocol(protocol));
  TRY(port.container_port, parse_port_number(json, "container_port", 1));
  TRY(port.host_port, parse_port_number(json, "host_port", 0));
  TRY(std::string host_ip, json_string(json, "host_ip"));
  TRY(port.host_ip, IpAddress::parse(host_ip));
  return port;
}

template <class Value>
Result<void> parse_optional(const Json& json, std::string_view key, std::optional<Value>& value) {
  TRY(std::string text, json_string(json, key));
  if (text.empty()) return {};
  TRY(value, Value::parse(text));
  return {};
}

Result<EndpointRecord> parse_endpoint(const Json& json) {
  EndpointRecord record;
  TRY(record.id, json_string(json, "id"));
  TRY(record.network_id, json_string(json, "network"));
  TRY(record.container_id, json_string(json, "container"));
  TRY(record.container_name, json_string(json, "container_name"));
  TRY(record.aliases, json_strings(json, "aliases"));
  TRY(record.interface, json_string(json, "interface"));
  TRY(record.host_link, json_string(json, "host_link"));
  TRY(std::string mac, json_string(json, "mac"));
  if (!mac.empty()) {
    TRY(record.mac, MacAddress::parse(mac));
  }
  CHECK(parse_optional(json, "ipv4", record.ipv4));
  CHECK(parse_optional(json, "gateway4", record.gateway4));
  CHECK(parse_optional(json, "ipv6", record.ipv6));
  CHECK(parse_optional(json, "gateway6", record.gateway6));
  TRY(record.generated_mac, json_bool(json, "generated_mac"));
  // Those that earlier versions gave follow from the address, and are not said to be generated.
  if (record.ipv4 && record.mac == MacAddress::of_ipv4(record.ipv4->address)) record.generated_mac = true;
  TRY(record.is_default_gateway, json_bool(json, "default_gateway"));
  if (record.id.empty() || record.network_id.empty()) return failure(Kind::Corrupt, "an endpoint without id");
  auto ports = json.find("ports");
  if (ports == json.end()) return record;
  if (!ports->is_array()) return failure(Kind::Corrupt, "ports is not a list");
  for (const auto& item : *ports) {
    TRY(PublishedPort port, parse_port(item));
    record.ports.push_back(port);
  }
  return record;
}

}  // namespace

Result<SubnetPool> parse_subnet_pool(std::string_view text) {
  auto invalid = [&](std::string_view why) {
    return failure(Kind::InvalidArgument, "invalid address pool \"{}\": {}", text.substr(0, 128), why);
  };
  SubnetPool pool;
  bool has_base = false;
  while (!text.empty()) {
    std::string_view field = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), field.size() + 1));
    std::string_view value = field.substr(std::min(field.size(), field.find('=') + 1));
    if (field.starts_with("base=")) {
      auto base = IpPrefix::parse(value);
      if (!base || base->network() != *base) return invalid("base must be a subnet such as 10.10.0.0/16");
      pool.base = *base;
      has_base = true;
    } else if (field.starts_with("size=")) {
      auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), pool.size);
      if (error != std::errc() || end != value.data() + value.size()) return invalid("size must be a number");
    } else {
      return invalid("it has base and size alone");
    }
  }
  if (!has_base) return invalid("base is missing");
  unsigned room = pool.base.address.width() - 2u;  // for a gateway and containers
  if (pool.size < pool.base.length || pool.size > room) {
    return invalid(fmt::format("size must be from {} to {}", pool.base.length, room));
  }
  return pool;
}

std::string_view to_string(NetworkDriver driver) {
  switch (driver) {
    case NetworkDriver::Bridge:
      return "bridge";
    case NetworkDriver::Host:
      return "host";
    case NetworkDriver::Null:
      return "null";
    case NetworkDriver::Macvlan:
      return "macvlan";
    case NetworkDriver::Ipvlan:
      return "ipvlan";
  }
  return "null";
}

std::string_view to_string(Protocol protocol) {
  switch (protocol) {
    case Protocol::Tcp:
      return "tcp";
    case Protocol::Udp:
      return "udp";
    case Protocol::Sctp:
      return "sctp";
  }
  return "tcp";
}

Result<Protocol> parse_protocol(std::string_view text) {
  if (text == "tcp") return Protocol::Tcp;
  if (text == "udp") return Protocol::Udp;
  if (text == "sctp") return Protocol::Sctp;
  return failure(Kind::InvalidArgument, "Invalid proto: {}", text.substr(0, 32));
}

std::string_view default_gateway_key(IpFamily family) {
  return family == IpFamily::V4 ? "DefaultGatewayIPv4" : "DefaultGatewayIPv6";
}

const IpAddress& IpamPool::container_gateway() const {
  auto own = auxiliary.find(std::string(default_gateway_key(subnet.family())));
  return own == auxiliary.end() ? gateway : own->second;
}

const IpamPool* NetworkRecord::pool(IpFamily family) const {
  for (const auto& pool : pools) {
    if (pool.subnet.family() == family) return &pool;
  }
  return nullptr;
}

std::string encode(const NetworkRecord& record) {
  Json pools = Json::array();
  for (const auto& pool : record.pools) pools.push_back(pool_json(pool));
  Json json = {{"id", record.id},
               {"name", record.name},
               {"created", to_unix_nanoseconds(record.created)},
               {"driver", to_string(record.driver)},
               {"predefined", record.predefined},
               {"internal", record.internal},
               {"attachable", record.attachable},
               {"enable_ipv4", record.enable_ipv4},
               {"enable_ipv6", record.enable_ipv6},
               {"pools", std::move(pools)},
               {"ipam_options", record.ipam_options},
               {"options", record.options},
               {"labels", record.labels},
               {"bridge", record.bridge},
               {"foreign_bridge", record.foreign_bridge}};
  if (record.config_only) json["config_only"] = true;
  if (!record.config_from.empty()) json["config_from"] = record.config_from;
  return to_json(json);
}

std::string encode(const EndpointRecord& record) {
  Json json = {{"id", record.id},
               {"network", record.network_id},
               {"container", record.container_id},
               {"container_name", record.container_name},
               {"aliases", record.aliases},
               {"interface", record.interface},
               {"host_link", record.host_link},
               {"default_gateway", record.is_default_gateway}};
  if (!record.mac.is_zero()) json["mac"] = record.mac.to_string();
  if (record.generated_mac) json["generated_mac"] = true;
  if (record.ipv4) json["ipv4"] = record.ipv4->to_string();
  if (record.gateway4) json["gateway4"] = record.gateway4->to_string();
  if (record.ipv6) json["ipv6"] = record.ipv6->to_string();
  if (record.gateway6) json["gateway6"] = record.gateway6->to_string();
  for (const auto& port : record.ports) json["ports"].push_back(port_json(port));
  return to_json(json);
}

Result<NetworkRecord> decode_network(std::string_view text) {
  auto json = parse_json(text);
  if (!json) return corrupt("network", json.error());
  auto record = parse_network(*json);
  if (!record) return corrupt("network", record.error());
  return record;
}

Result<EndpointRecord> decode_endpoint(std::string_view text) {
  auto json = parse_json(text);
  if (!json) return corrupt("endpoint", json.error());
  auto record = parse_endpoint(*json);
  if (!record) return corrupt("endpoint", record.error());
  return record;
}

}  // namespace berth::network
