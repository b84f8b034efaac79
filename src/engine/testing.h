// What the engine's tests share.
#pragma once

#include <string>

#include "engine/records.h"

namespace berth::engine::testing {

/// A container of the name, with an id that begins with it as far as hex digits go.
inline ContainerRecord record(const std::string& name) {
  ContainerRecord record{.image_id = Digest::from_hex(std::string(64, 'a'))};
  record.id = std::string(62, 'b') + (name.size() % 2 == 0 ? "c0" : "d1");
  record.name = name;
  record.created = from_unix_nanoseconds(1'700'000'000'000'000'000);
  record.config.hostname = record.short_id();
  record.path = "/bin/true";
  record.config.cmd = spec::StringList{"/bin/true"};
  record.host_config.network_mode = "bridge";
  return record;
}

}  // namespace berth::engine::testing
