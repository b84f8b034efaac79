// Planning, finding and writing the parts of a download.
#include "storage/download_parts.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/format.h"
#include "sys/file.h"

namespace berth::storage {
namespace {

/// The store's folder of ingests, which lies beside its blobs.
std::string ingest_folder(const ContentStore& content, const Digest& digest) {
  std::string blob = content.blob_path(digest);
  return blob.substr(0, blob.rfind("/blobs/")) + "/ingest";
}

std::string part_prefix(const Digest& digest) {
  return "partial-" + digest.hex() + ".";
}

/// Names and offsets of the parts on the disk.
Result<std::vector<std::pair<std::string, uint64_t>>> part_files(const ContentStore& content,
                                                                 const Digest& digest) {
  std::string folder = ingest_folder(content, digest);
  std::string prefix = part_prefix(digest);
  TRY(std::vector<sys::DirEntry> entries, sys::list_dir(folder));
  std::vector<std::pair<std::string, uint64_t>> files;
  for (const sys::DirEntry& entry : entries) {
    if (!entry.name.starts_with(prefix)) continue;
    const char* end = entry.name.data() + entry.name.size();
    uint64_t offset = 0;
    auto [rest, error] = std::from_chars(entry.name.data() + prefix.size(), end, offset);
    if (error == std::errc{} && rest == end) files.emplace_back(folder + "/" + entry.name, offset);
  }
  return files;
}

}  // namespace

std::vector<PartPlan> plan_parts(uint64_t from, uint64_t total, uint64_t part_size,
                                 std::vector<LeftPart> left) {
  std::vector<PartPlan> plan;
  uint64_t cursor = from;
  auto fill = [&](uint64_t until) {
    while (cursor < until) {
      uint64_t end = std::min(until, cursor + part_size);
      plan.push_back({.offset = cursor, .end = end});
      cursor = end;
    }
  };
  std::erase_if(left, [&](const LeftPart& part) {
    return part.offset >= total || part.size > total || part.offset + part.size <= from;
  });
  std::sort(left.begin(), left.end(),
            [](const LeftPart& a, const LeftPart& b) { return a.offset < b.offset; });
  for (size_t i = 0; i < left.size(); ++i) {
    const LeftPart& part = left[i];
    if (part.offset + part.size <= cursor) continue;
    // Another part reaches into this one, which no download has made: what it has is fetched again.
    if (part.offset < cursor && !plan.empty()) continue;
    fill(part.offset);
    uint64_t end = std::min(total, part.offset + std::max(part.size, part_size));
    if (i + 1 < left.size() && left[i + 1].offset > part.offset) end = std::min(end, left[i + 1].offset);
    if (end <= cursor) continue;
    plan.push_back({.offset = part.offset, .end = end, .have = std::min(part.size, end - part.offset)});
    cursor = end;
  }
  fill(total);
  return plan;
}

Result<PartFile> PartFile::open(const ContentStore& content, const Digest& digest, uint64_t offset,
                                uint64_t have) {
  std::string path = fmt::format("{}/{}{}", ingest_folder(content, digest), part_prefix(digest), offset);
  TRY(sys::UniqueFd file, sys::open_file(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW, 0600));
  struct stat status {};
  struct stat named {};
  // The lock is worth something only on the file that still has the name.
  bool ours = ::flock(file.get(), LOCK_EX | LOCK_NB) == 0 && ::fstat(file.get(), &status) == 0 &&
              ::lstat(path.c_str(), &named) == 0 && named.st_ino == status.st_ino;
  if (!ours) return failure(Kind::Unavailable, "a part of blob {} is being written", digest.str());
  if (static_cast<uint64_t>(status.st_size) < have)
    return failure(Kind::Corrupt, "a part of blob {} has become shorter", digest.str());
  if (::ftruncate(file.get(), static_cast<off_t>(have)) != 0)
    return Error::from_errno("truncate", path, errno);
  return PartFile(std::move(path), std::move(file));
}

Result<void> PartFile::append(std::string_view bytes) {
  return sys::write_all(fd_.get(), bytes);
}

void PartFile::remove() {
  (void)::unlink(path_.c_str());
  fd_.reset();
}

Result<std::vector<LeftPart>> left_parts(const ContentStore& content, const Digest& digest) {
  TRY(auto files, part_files(content, digest));
  std::vector<LeftPart> left;
  for (const auto& [path, offset] : files) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_size == 0) continue;
    left.push_back({.offset = offset, .size = static_cast<uint64_t>(status.st_size)});
  }
  return left;
}

void remove_parts(const ContentStore& content, const Digest& digest) {
  auto files = part_files(content, digest);
  if (!files) return;
  for (const auto& [path, offset] : *files) (void)::unlink(path.c_str());
}

}  // namespace berth::storage
