// Fuzz target: tar streams, with limits small enough to be reached.
#include <cstdint>
#include <string_view>

#include "storage/tar_reader.h"

namespace {

/// The input in pieces of 512 bytes, so that headers and content are met at their seams.
class OneChunk : public berth::storage::ChunkSource {
 public:
  explicit OneChunk(std::string_view bytes) : rest_(bytes) {}
  berth::Result<std::string_view> next_chunk() override {
    const std::string_view piece = rest_.substr(0, 512);
    rest_.remove_prefix(piece.size());
    return piece;
  }

 private:
  std::string_view rest_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  OneChunk source(text);
  berth::storage::ArchiveLimits limits;
  limits.max_bytes = 16u << 20;
  limits.max_entries = 1000;
  berth::storage::TarReader reader(source, limits);
  berth::storage::TarEntry entry;
  for (auto more = reader.next(entry); more && *more; more = reader.next(entry)) {
    for (auto piece = reader.data(); piece && *piece; piece = reader.data()) {
      if ((*piece)->offset + (*piece)->bytes.size() > entry.size) __builtin_trap();
    }
  }
  (void)reader.drain();
  return 0;
}
