// Fuzz target: CDI specifications, in JSON and in YAML, and the names of what they describe.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "spec/cdi.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)spec::is_cdi_name(text);
  auto specification = spec::parse_cdi_spec(text);
  if (!specification) return 0;
  // What was taken can be asked for by its name, and changes something.
  spec::CdiEdits all = specification->edits;
  for (const spec::CdiDevice& device : specification->devices) {
    if (!spec::is_cdi_name(specification->kind + "=" + device.name) || device.edits.empty()) std::abort();
    all.append(device.edits);
  }
  if (all.empty()) std::abort();
  return 0;
}
