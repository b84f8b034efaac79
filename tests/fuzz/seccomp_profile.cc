// Fuzz target: seccomp profiles of --security-opt, in docker's and the OCI's form.
#include <cstdint>
#include <string_view>

#include "launch/defaults.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const berth::launch::HostFacts host;
  (void)berth::launch::parse_seccomp_profile(text, {}, host);
  return 0;
}
