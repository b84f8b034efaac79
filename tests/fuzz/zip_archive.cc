// Zip archives as clients upload them: opened, and every entry extracted into nothing.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "functions/packages/zip_reader.h"

namespace {

class Nothing final : public berth::storage::ByteSink {
 public:
  berth::Result<void> write(std::string_view) override { return {}; }
};

/// A name may begin with two dots ("..x" is a file like any other); a component of two dots alone may not be
/// there.
bool leaves_the_root(std::string_view name) {
  const std::string framed = "/" + std::string(name) + "/";
  return name.starts_with('/') || framed.find("/../") != std::string::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth::functions;
  auto zip = ZipReader::open({reinterpret_cast<const char*>(data), size}, {.max_unpacked_bytes = 1 << 20});
  if (!zip) return 0;
  Nothing nothing;
  for (const ZipEntry& entry : zip->entries()) {
    if (leaves_the_root(entry.name)) __builtin_trap();
    [[maybe_unused]] auto extracted = zip->extract(entry, nothing);
  }
  return 0;
}
