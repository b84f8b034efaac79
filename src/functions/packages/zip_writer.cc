#include "functions/packages/zip_writer.h"

#include <fcntl.h>
#include <isa-l/crc.h>
#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>

#include "base/format.h"
#include "sys/file.h"

namespace berth::functions {
namespace {

constexpr uint64_t largest = 0xfffffffe;  // beyond, zip64 would be needed
constexpr uint16_t unix_version_20 = 3 << 8 | 20;

void put16(std::string& out, uint32_t value) {
  out.push_back(static_cast<char>(value));
  out.push_back(static_cast<char>(value >> 8));
}
void put32(std::string& out, uint64_t value) {
  put16(out, static_cast<uint32_t>(value & 0xffff));
  put16(out, static_cast<uint32_t>(value >> 16 & 0xffff));
}

Result<std::string> deflate_bytes(std::string_view bytes) {
  z_stream stream{};
  if (deflateInit2(&stream, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    return Error(Kind::Exhausted, "no memory to compress");
  }
  std::string packed(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  int ended = deflate(&stream, Z_FINISH);
  packed.resize(packed.size() - stream.avail_out);
  deflateEnd(&stream);
  if (ended != Z_STREAM_END) return Error(Kind::Internal, "deflate did not end");
  return packed;
}

/// Walks a tree in the order of names.
class TreeZipper {
 public:
  TreeZipper(ZipWriter& writer, uint64_t max_bytes) : writer_(writer), left_(max_bytes) {}

  Result<void> directory(const sys::RootDir& dir, const std::string& prefix) {
    TRY(auto readable, dir.open(".", O_RDONLY | O_DIRECTORY));
    TRY(auto entries, sys::list_dir(readable.get()));
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    for (const auto& entry : entries) CHECK(one(dir, entry.name, prefix + entry.name));
    return {};
  }

 private:
  Result<void> one(const sys::RootDir& dir, const std::string& name, const std::string& path) {
    TRY(struct stat status, dir.stat(name, sys::Follow::No));
    if (S_ISDIR(status.st_mode)) {
      CHECK(writer_.add_directory(path, status.st_mode & 0777));
      TRY(auto inner, dir.open_dir(name));
      return directory(inner, path + "/");
    }
    if (S_ISLNK(status.st_mode)) {
      TRY(auto target, dir.readlink(name));
      return writer_.add_symlink(path, target);
    }
    if (!S_ISREG(status.st_mode)) return {};
    auto size = static_cast<uint64_t>(status.st_size);
    if (size > left_) return Error(Kind::Exhausted, "the files are too large for one zip archive");
    left_ -= size;
    TRY(auto file, dir.open(name, O_RDONLY | O_NOFOLLOW));
    TRY(auto content, sys::read_fd(file.get(), size + 1));
    return writer_.add_file(path, content, status.st_mode & 0777);
  }

  ZipWriter& writer_;
  uint64_t left_;
};

}  // namespace

Result<void> ZipWriter::add(const Added& added) {
  if (added.content.size() > largest || offset_ > largest - added.content.size() ||
      added.name.size() > 0xffff) {
    return Error(Kind::Exhausted, "the zip archive would exceed 4 GiB");
  }
  uint32_t crc =
      crc32_gzip_refl(0, reinterpret_cast<const uint8_t*>(added.content.data()), added.content.size());
  std::string packed;
  if (added.deflate) {
    TRY(packed, deflate_bytes(added.content));
  }
  bool shrinks = added.deflate && packed.size() < added.content.size();
  std::string_view body = shrinks ? std::string_view(packed) : added.content;
  std::string common;  // from "version needed" to the lengths, the same in both records
  put16(common, 20);
  put16(common, 1 << 11);  // names are UTF-8
  put16(common, shrinks ? 8 : 0);
  put16(common, 0);
  put16(common, 0x21);  // 1980-01-01
  put32(common, crc);
  put32(common, body.size());
  put32(common, added.content.size());
  put16(common, static_cast<uint32_t>(added.name.size()));
  put16(common, 0);
  std::string local;
  put32(local, 0x04034b50);
  local.append(common).append(added.name);
  put32(central_, 0x02014b50);
  put16(central_, unix_version_20);
  central_.append(common);
  put16(central_, 0);
  put16(central_, 0);
  put16(central_, 0);
  put32(central_, static_cast<uint64_t>(added.mode) << 16);
  put32(central_, offset_);
  central_.append(added.name);
  ++entries_;
  offset_ += local.size() + body.size();
  CHECK(sink_.write(local));
  return sink_.write(body);
}

Result<void> ZipWriter::add_file(std::string_view name, std::string_view content, uint32_t mode) {
  return add({.name = name, .content = content, .mode = S_IFREG | mode});
}
Result<void> ZipWriter::add_symlink(std::string_view name, std::string_view target) {
  return add({.name = name, .content = target, .mode = S_IFLNK | 0777, .deflate = false});
}
Result<void> ZipWriter::add_directory(std::string_view name, uint32_t mode) {
  std::string with_slash = fmt::format("{}/", name);
  return add({.name = with_slash, .content = {}, .mode = S_IFDIR | mode, .deflate = false});
}

Result<void> ZipWriter::finish() {
  if (entries_ > 0xfffe) return Error(Kind::Exhausted, "the zip archive would have more than 65,534 entries");
  std::string end;
  put32(end, 0x06054b50);
  put32(end, 0);
  put16(end, entries_);
  put16(end, entries_);
  put32(end, central_.size());
  put32(end, offset_);
  put16(end, 0);
  CHECK(sink_.write(central_));
  return sink_.write(end);
}

Result<void> zip_tree(const sys::RootDir& root, storage::ByteSink& sink, uint64_t max_bytes) {
  ZipWriter writer(sink);
  TreeZipper zipper(writer, max_bytes);
  CHECK(zipper.directory(root, ""));
  return writer.finish();
}

}  // namespace berth::functions
