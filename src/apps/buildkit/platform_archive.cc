#include "apps/buildkit/platform_archive.h"

#include <algorithm>

#include "apps/buildkit/pulled_chunks.h"
#include "base/format.h"
#include "storage/tar_writer.h"

namespace berth::buildkit {
namespace {

using storage::TarEntry;
using storage::TarType;

/// The name without what stands for the root; ".." in it would leave the part.
Result<std::string> inner_name(std::string name) {
  while (name.starts_with("./") || name.starts_with('/')) name.erase(0, name.starts_with('/') ? 1 : 2);
  if (name == ".") name.clear();
  for (std::string_view rest = name; !rest.empty();) {
    const size_t end = rest.find('/');
    if (rest.substr(0, end) == "..")
      return failure(Kind::InvalidArgument, "the build's result has an entry {}, which leads out of it",
                     name);
    rest.remove_prefix(end == rest.npos ? rest.size() : end + 1);
  }
  return name;
}

/// Holes of sparse files are written out.
Result<void> copy_content(storage::TarReader& reader, uint64_t size, storage::TarWriter& writer) {
  static const std::string zeros(64 * 1024, '\0');
  uint64_t written = 0;
  auto fill = [&](uint64_t until) -> Result<void> {
    while (written < until) {
      const auto count = std::min<uint64_t>(zeros.size(), until - written);
      CHECK(writer.content(std::string_view(zeros).substr(0, count)));
      written += count;
    }
    return {};
  };
  while (true) {
    TRY(const auto piece, reader.data());
    if (!piece) break;
    CHECK(fill(piece->offset));
    CHECK(writer.content(piece->bytes));
    written += piece->bytes.size();
  }
  CHECK(fill(size));
  return writer.end_file();
}

Result<void> add_part(const ArchivePart& part, storage::TarWriter& writer) {
  const std::string prefix = part.directory.empty() ? std::string() : part.directory + "/";
  if (!prefix.empty())
    CHECK(writer.header(TarEntry{.type = TarType::Directory, .name = prefix, .mode = 0755}));
  PulledChunks chunks(part.read);
  storage::TarReader reader(chunks, storage::ArchiveLimits());
  TarEntry entry;
  while (true) {
    TRY(const bool more, reader.next(entry));
    if (!more) return {};
    TRY(const std::string name, inner_name(entry.name));
    if (name.empty()) continue;
    entry.name = prefix + name;
    if (entry.type == TarType::HardLink) {
      TRY(const std::string target, inner_name(entry.link));
      entry.link = prefix + target;
    }
    entry.is_sparse = false;
    CHECK(writer.header(entry));
    if (entry.type == TarType::File) CHECK(copy_content(reader, entry.size, writer));
  }
}

}  // namespace

std::string platform_directory(std::string platform) {
  std::replace(platform.begin(), platform.end(), '/', '_');
  return platform;
}

Result<void> merge_archives(const std::vector<ArchivePart>& parts, storage::ByteSink& out) {
  storage::TarWriter writer(out);
  for (const ArchivePart& part : parts) CHECK(add_part(part, writer));
  return writer.finish();
}

}  // namespace berth::buildkit
