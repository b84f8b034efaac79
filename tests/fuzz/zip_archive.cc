// Zip archives as clients upload them: opened, and every entry extracted into nothing.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "functions/packages/zip_reader.h"

namespace {

class Nothing final : public berth::storage::ByteSink {
 public:
  berth::Result<void> write(std::string_view) override { return {}; }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth::functions;
  auto zip = ZipReader::open({reinterpret_cast<const char*>(data), size}, {.max_unpacked_bytes = 1 << 20});
  if (!zip) return 0;
  Nothing nothing;
  for (const ZipEntry& entry : zip->entries()) {
    if (entry.name.find("..") == 0 || entry.name.starts_with('/')) __builtin_trap();
    [[maybe_unused]] auto extracted = zip->extract(entry, nothing);
  }
  return 0;
}
