// Fuzz target: image references, digests in them and platforms. What parses must parse again from its own
// text.
#include <cstdint>
#include <string_view>

#include "spec/image.h"
#include "spec/reference.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto reference = berth::spec::Reference::parse(text)) {
    const auto again = berth::spec::Reference::parse(reference->str());
    const auto familiar = berth::spec::Reference::parse(reference->familiar_string());
    if (!again || *again != *reference || !familiar || *familiar != *reference) __builtin_trap();
  }
  (void)berth::spec::Platform::parse(text);
  return 0;
}
