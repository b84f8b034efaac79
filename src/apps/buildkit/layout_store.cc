#include "apps/buildkit/layout_store.h"

#include "apps/buildkit/pulled_chunks.h"

namespace berth::buildkit {
namespace {

constexpr std::string_view blobs = "blobs/sha256/";

}  // namespace

Result<void> store_layout(const ClientStore& store, const std::function<Result<std::string>()>& read) {
  PulledChunks chunks(read);
  storage::TarReader reader(chunks, storage::ArchiveLimits());
  storage::TarEntry entry;
  while (true) {
    TRY(const bool more, reader.next(entry));
    if (!more) return {};
    if (entry.type != storage::TarType::File || !entry.name.starts_with(blobs)) continue;
    TRY(const Digest digest, Digest::parse("sha256:" + entry.name.substr(blobs.size())));
    auto next = [&reader]() -> Result<std::string> {
      TRY(const auto piece, reader.data());
      return piece ? std::string(piece->bytes) : std::string();
    };
    CHECK(store.write(digest, static_cast<int64_t>(entry.size), next));
  }
}

}  // namespace berth::buildkit
