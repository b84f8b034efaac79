// Parts of a service that have a short and a long syntax: pairs, ports, volumes, secrets and configs.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "apps/berth/compose/value.h"
#include "base/result.h"

namespace berth::cli::compose {

/// What KEY without "=value" means: the caller's variable (Null), or an empty text.
enum class MissingValue { Null, Empty };
/// [KEY=value, ...] becomes {KEY: value}; all values become texts.
Result<void> pairs_to_map(Value& map, std::string_view key, const std::string& path, MissingValue missing);
/// One scalar becomes a list of one.
Result<void> scalars_to_list(Value& map, std::initializer_list<std::string_view> keys,
                             const std::string& path);
/// {host: address} and ["host=address"] become ["host:address"].
Result<void> hosts_to_list(Value& map, std::string_view key, const std::string& path);
/// Long form: {target, published, host_ip, protocol, mode}; ranges become one element per port.
Result<void> normalise_ports(Value& service, const std::string& path);
/// Long form: {type, source, target, read_only, bind, volume, tmpfs, image}.
Result<void> normalise_volumes(Value& service, const std::string& path, const std::string& directory);
/// secrets, configs: {source, target, uid, gid, mode}.
Result<void> normalise_grants(Value& service, std::string_view key, const std::string& path);

}  // namespace berth::cli::compose
