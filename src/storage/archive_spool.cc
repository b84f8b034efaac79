// Spooling an image archive.
#include "storage/archive_spool.h"

#include "base/format.h"
#include "base/sha256.h"
#include "storage/compression.h"
#include "storage/layer_names.h"
#include "storage/tar_reader.h"

namespace berth::storage {
namespace {

/// Larger files go to disk.
constexpr uint64_t max_memory_file = 64 * 1024;
/// Of all small files together.
constexpr uint64_t max_memory = 64u << 20;
constexpr int max_links = 16;
constexpr size_t max_files = 20'000;

class Chunks : public ChunkSource {
 public:
  Chunks(ByteSource& source, const std::function<void(uint64_t)>& progress, std::stop_token stop)
      : source_(source), progress_(progress), stop_(std::move(stop)), buffer_(512 * 1024) {}
  Result<std::string_view> next_chunk() override {
    if (stop_.stop_requested()) return Error(Kind::Cancelled, "cancelled");
    TRY(size_t count, source_.read(buffer_));
    total_ += count;
    if (progress_) progress_(total_);
    return std::string_view(buffer_.data(), count);
  }

 private:
  ByteSource& source_;
  const std::function<void(uint64_t)>& progress_;
  std::stop_token stop_;
  std::vector<char> buffer_;
  uint64_t total_ = 0;
};

Result<SpooledFile> spool_file(TarReader& reader, const TarEntry& entry, const ContentStore& content) {
  SpooledFile file{.size = entry.size};
  if (entry.is_sparse) {
    return failure(Kind::InvalidArgument, "image archive: \"{}\" is a sparse file", entry.name);
  }
  if (entry.size > max_memory_file) {
    // A plain layer's digest is nobody's concern; a compressed one's is taken while it is unpacked.
    TRY(file.ingest, content.begin({}, Hashing::Later));
  }
  while (true) {
    TRY(auto piece, reader.data());
    if (!piece) break;
    if (file.ingest) {
      CHECK(file.ingest->write(piece->bytes));
    } else {
      file.bytes += piece->bytes;
    }
  }
  return file;
}

/// A symbolic link is relative to where it stands, a hard link to the archive's root.
Result<std::string> link_target(const TarEntry& entry, const std::string& path) {
  if (entry.type == TarType::HardLink || entry.link.starts_with('/')) return clean_entry_path(entry.link);
  auto [parent, name] = split_path(path);
  return clean_entry_path(parent.empty() ? entry.link : fmt::format("{}/{}", parent, entry.link));
}

}  // namespace

Result<Digest> SpooledFile::digest() {
  if (ingest) return ingest->finish();
  return sha256(bytes);
}

std::unique_ptr<ByteSource> SpooledFile::source() const {
  if (ingest) return std::make_unique<FileSource>(ingest->fd(), 0, size);
  return std::make_unique<StringSource>(bytes);
}

Result<ArchiveSpool> ArchiveSpool::read(ByteSource& archive, const ContentStore& content,
                                        const ArchiveLimits& limits,
                                        const std::function<void(uint64_t)>& progress, std::stop_token stop) {
  TRY(auto plain, decompress(archive, {.max_bytes = limits.max_bytes}));
  Chunks chunks(*plain, progress, std::move(stop));
  TarReader reader(chunks, limits);
  ArchiveSpool spool;
  uint64_t in_memory = 0;
  TarEntry entry;
  while (true) {
    TRY(bool found, reader.next(entry));
    if (!found) break;
    TRY(std::string path, clean_entry_path(entry.name));
    bool is_link = entry.type == TarType::Symlink || entry.type == TarType::HardLink;
    if (!is_link && entry.type != TarType::File) continue;
    if (spool.files_.size() + spool.links_.size() >= max_files) {
      return Error(Kind::Exhausted, "image archive holds too many files");
    }
    if (is_link) {
      TRY(std::string target, link_target(entry, path));
      spool.links_.insert_or_assign(std::move(path), std::move(target));
      continue;
    }
    TRY(SpooledFile file, spool_file(reader, entry, content));
    in_memory += file.bytes.size();
    if (in_memory > max_memory) return Error(Kind::Exhausted, "image archive holds too many small files");
    spool.files_.insert_or_assign(std::move(path), std::move(file));
  }
  CHECK(reader.drain());
  return spool;
}

SpooledFile* ArchiveSpool::find(std::string_view name) {
  auto path = clean_entry_path(name);
  if (!path) return nullptr;
  for (int i = 0; i < max_links; ++i) {
    if (auto file = files_.find(*path); file != files_.end()) return &file->second;
    auto link = links_.find(*path);
    if (link == links_.end()) return nullptr;
    path = link->second;
  }
  return nullptr;
}

Result<std::string> ArchiveSpool::document(std::string_view name, size_t max_bytes) {
  SpooledFile* file = find(name);
  if (file == nullptr) return failure(Kind::NotFound, "image archive has no \"{}\"", name.substr(0, 256));
  if (file->size > max_bytes) {
    return failure(Kind::Exhausted, "image archive: \"{}\" is larger than {} bytes", name, max_bytes);
  }
  auto source = file->source();
  return read_all(*source, max_bytes);
}

}  // namespace berth::storage
