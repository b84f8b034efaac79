#include "apps/berth/archive/zip_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "apps/berth/archive/file_text.h"
#include "base/format.h"
#include "sys/file.h"

namespace berth::cli::archive {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLimit = 0xffff'0000;  // of the 32-bit format
constexpr uint32_t kDate = 0x21 << 16;    // 1980-01-01, the earliest there is

uint32_t crc32_of(std::string_view bytes) {
  static const auto table = [] {
    std::array<uint32_t, 256> entries{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = value & 1 ? 0xedb88320u ^ (value >> 1) : value >> 1;
      entries[i] = value;
    }
    return entries;
  }();
  uint32_t crc = ~0u;
  for (char c : bytes) crc = table[(crc ^ static_cast<unsigned char>(c)) & 0xff] ^ (crc >> 8);
  return ~crc;
}

void put(std::string& out, uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

/// What the local header and the directory have in common.
std::string entry_fields(std::string_view name, std::string_view content, uint32_t crc) {
  std::string fields;
  put(fields, 20, 2);      // version needed
  put(fields, 0x0800, 2);  // names are UTF-8
  put(fields, 0, 2);       // stored
  put(fields, kDate, 4);
  put(fields, crc, 4);
  put(fields, static_cast<uint32_t>(content.size()), 4);
  put(fields, static_cast<uint32_t>(content.size()), 4);
  put(fields, static_cast<uint32_t>(name.size()), 2);
  put(fields, 0, 2);  // extra
  return fields;
}

bool left_out(const fs::path& relative) {
  for (const fs::path& part : relative) {
    if (part == ".git" || part == "__pycache__" || part == ".aws-sam") return true;
  }
  return relative == "template.yaml" || relative == "template.yml";
}

}  // namespace

Result<void> ZipFile::add(std::string_view name, std::string_view content, uint32_t mode) {
  if (bytes_.size() + content.size() + directory_.size() > kLimit || count_ == 65'000 || name.size() > 4096) {
    return failure(Kind::Exhausted,
                   "the archive is too large: at most 4 GiB and 65,000 files; use an image instead");
  }
  uint32_t crc = crc32_of(content);
  std::string fields = entry_fields(name, content, crc);
  auto offset = static_cast<uint32_t>(bytes_.size());
  bytes_.append("PK\x03\x04", 4).append(fields).append(name).append(content);
  directory_.append("PK\x01\x02", 4);
  put(directory_, 0x031e, 2);  // made on Unix
  directory_.append(fields);
  put(directory_, 0, 2);  // comment
  put(directory_, 0, 2);  // disk
  put(directory_, 0, 2);
  put(directory_, mode << 16, 4);
  put(directory_, offset, 4);
  directory_.append(name);
  ++count_;
  return {};
}

std::string ZipFile::finish() && {
  auto offset = static_cast<uint32_t>(bytes_.size());
  auto size = static_cast<uint32_t>(directory_.size());
  bytes_ += directory_;
  bytes_.append("PK\x05\x06", 4);
  put(bytes_, 0, 4);
  put(bytes_, count_, 2);
  put(bytes_, count_, 2);
  put(bytes_, size, 4);
  put(bytes_, offset, 4);
  put(bytes_, 0, 2);
  return std::move(bytes_);
}

Result<std::string> zip_folder(const std::string& folder, uint64_t max_bytes) {
  std::error_code problem;
  std::vector<fs::path> files;
  fs::recursive_directory_iterator it(folder, fs::directory_options::none, problem);
  if (problem) return Error::from_errno("read folder", folder, problem.value());
  for (; it != fs::recursive_directory_iterator(); it.increment(problem)) {
    if (problem) return Error::from_errno("read folder", folder, problem.value());
    fs::path relative = it->path().lexically_relative(folder);
    if (left_out(relative)) {
      if (it->is_directory(problem)) it.disable_recursion_pending();
      continue;
    }
    if (it->is_symlink(problem) || it->is_regular_file(problem)) files.push_back(relative);
  }
  std::sort(files.begin(), files.end());
  ZipFile zip;
  uint64_t total = 0;
  for (const fs::path& relative : files) {
    std::string path = (fs::path(folder) / relative).string();
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) return Error::from_errno("stat", path, errno);
    std::string content;
    if (S_ISLNK(status.st_mode)) {
      content = fs::read_symlink(path, problem).string();
      if (problem) return Error::from_errno("readlink", path, problem.value());
    } else {
      TRY(content, sys::read_file(path, max_bytes));
    }
    total += content.size();
    if (total > max_bytes) {
      return failure(Kind::Exhausted,
                     "{}: more than {} bytes of code; leave out what is not needed, or use an image", folder,
                     max_bytes);
    }
    // One mode for all readers, whatever the umask was: only whether it may be executed counts.
    uint32_t mode = S_ISLNK(status.st_mode) ? 0120777 : (status.st_mode & 0111) != 0 ? 0100755 : 0100644;
    CHECK(zip.add(relative.generic_string(), content, mode));
  }
  return std::move(zip).finish();
}

}  // namespace berth::cli::archive
