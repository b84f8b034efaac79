// What the tests of storage share: a directory that goes away, and a builder of tar bytes good and bad.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/format.h"
#include "storage/recipe.h"
#include "sys/file.h"

namespace berth::storage {

/// A fresh directory below $TMPDIR or /tmp, removed at the end.
class TempDir {
 public:
  TempDir() {
    const char* base = ::getenv("TMPDIR");
    path_ = std::string(base != nullptr ? base : "/tmp") + "/berth-storage-XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) ::abort();
  }
  ~TempDir() { (void)sys::remove_tree(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// One tar header as raw fields, so that tests can lie in any of them.
struct RawEntry {
  std::string name;
  char type = '0';
  std::string content = {};
  std::string link = {};
  uint32_t mode = 0644;
  uint64_t uid = 0;
  uint64_t gid = 0;
  int64_t mtime = 1'700'000'000;
  uint32_t major = 0;
  uint32_t minor = 0;
  std::string size_field = {};  ///< overrides the octal size
};

/// Builds ustar archives without any check of its own.
class TarBytes {
 public:
  TarBytes& add(const RawEntry& entry) {
    char header[512] = {};
    auto put = [&](size_t at, size_t size, std::string_view text) {
      std::memcpy(header + at, text.data(), std::min(size, text.size()));
    };
    put(0, 100, entry.name);
    put(100, 8, fmt::format("{:07o}", entry.mode));
    put(108, 8, fmt::format("{:07o}", entry.uid));
    put(116, 8, fmt::format("{:07o}", entry.gid));
    put(124, 12, entry.size_field.empty() ? fmt::format("{:011o}", entry.content.size()) : entry.size_field);
    put(136, 12, fmt::format("{:011o}", entry.mtime));
    header[156] = entry.type;
    put(157, 100, entry.link);
    put(257, 8, std::string_view("ustar\00000", 8));
    put(329, 8, fmt::format("{:07o}", entry.major));
    put(337, 8, fmt::format("{:07o}", entry.minor));
    std::memset(header + 148, ' ', 8);
    unsigned sum = 0;
    for (unsigned char c : header) sum += c;
    put(148, 8, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
    bytes_.append(header, 512);
    bytes_ += entry.content;
    bytes_.append((512 - entry.content.size() % 512) % 512, '\0');
    return *this;
  }
  TarBytes& file(std::string name, std::string content, uint32_t mode = 0644) {
    return add({.name = std::move(name), .content = std::move(content), .mode = mode});
  }
  TarBytes& dir(std::string name, uint32_t mode = 0755) {
    return add({.name = std::move(name), .type = '5', .mode = mode});
  }
  TarBytes& symlink(std::string name, std::string target) {
    return add({.name = std::move(name), .type = '2', .link = std::move(target), .mode = 0777});
  }
  TarBytes& hardlink(std::string name, std::string target) {
    return add({.name = std::move(name), .type = '1', .link = std::move(target)});
  }
  /// A PAX header for the entry that follows; records are "key=value".
  TarBytes& pax(std::initializer_list<std::string> records, char type = 'x') {
    std::string content;
    for (const std::string& record : records) content += pax_record(record);
    return add({.name = "PaxHeaders/x", .type = type, .content = std::move(content)});
  }
  TarBytes& raw(std::string_view bytes) {
    bytes_ += bytes;
    return *this;
  }
  static std::string pax_record(const std::string& record) {
    size_t length = record.size() + 2;
    while (fmt::format("{} {}\n", length, record).size() != length) {
      length = fmt::format("{} {}\n", length, record).size();
    }
    return fmt::format("{} {}\n", length, record);
  }
  std::string finish() const { return bytes_ + std::string(1024, '\0'); }

 private:
  std::string bytes_;
};

/// The archive that a recipe and a tree make up.
inline Result<void> replayed_from(ByteSource& recipe, const sys::RootDir& tree, ByteSink& out) {
  TRY(RecipeReader reader, RecipeReader::open(recipe));
  return reader.replay(tree, out);
}

}  // namespace berth::storage
