// Fuzz target: bodies of create, update and exec, and the port grammar.
#include <cstdint>
#include <string_view>

#include "spec/container.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)berth::spec::parse_create_request(text);
  (void)berth::spec::parse_update_request(text);
  (void)berth::spec::parse_exec_config(text);
  (void)berth::spec::expand_container_ports(text);
  return 0;
}
