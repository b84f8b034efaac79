// Zip archives: what is read, and everything that is refused.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "functions/packages/package_store.h"
#include "functions/packages/zip_reader.h"
#include "functions/packages/zip_writer.h"
#include "sys/file.h"

namespace berth::functions {
namespace {

class Folder {
 public:
  Folder() {
    char path[] = "/tmp/berth-zip-XXXXXX";
    path_ = ::mkdtemp(path);
  }
  ~Folder() { [[maybe_unused]] auto removed = sys::remove_tree(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// An archive with one stored file of that name.
std::string archive(std::string_view name, std::string_view content = "x", uint32_t mode = 0644) {
  storage::StringSink sink;
  ZipWriter writer(sink);
  EXPECT_TRUE(writer.add_file(name, content, mode));
  EXPECT_TRUE(writer.finish());
  return sink.text;
}

std::string message_of(std::string_view bytes, const ZipLimits& limits = {}) {
  auto zip = ZipReader::open(bytes, limits);
  return zip ? "" : zip.error().message();
}

/// Changes a 32-bit field of the first central record.
std::string with_central_field(std::string bytes, size_t offset, uint32_t value) {
  size_t at = bytes.rfind("PK\x01\x02");
  for (int i = 0; i < 4; ++i) bytes[at + offset + i] = static_cast<char>(value >> (8 * i));
  return bytes;
}

TEST(Zip, RoundTripKeepsContentModesAndLinks) {
  storage::StringSink sink;
  ZipWriter writer(sink);
  std::string large(300'000, 'a');
  ASSERT_TRUE(writer.add_directory("lib"));
  ASSERT_TRUE(writer.add_file("lib/large.txt", large));
  ASSERT_TRUE(writer.add_file("bootstrap", "#!/bin/sh\n", 0700));
  ASSERT_TRUE(writer.add_symlink("current", "lib"));
  ASSERT_TRUE(writer.finish());
  EXPECT_LT(sink.text.size(), 10'000u);
  auto zip = ZipReader::open(sink.text);
  ASSERT_TRUE(zip) << zip.error().message();
  EXPECT_EQ(zip->entries().size(), 4u);
  Folder folder;
  auto unpacked = unpack_zip(*zip, folder.path());
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  EXPECT_EQ(sys::read_file(folder.path() + "/lib/large.txt", 1 << 20).value(), large);
  struct stat status {};
  ASSERT_EQ(::lstat((folder.path() + "/bootstrap").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0755u);  // whoever runs it is not its owner
  ASSERT_EQ(::lstat((folder.path() + "/current").c_str(), &status), 0);
  EXPECT_TRUE(S_ISLNK(status.st_mode));
}

TEST(Zip, RefusesNamesThatLeaveTheArchive) {
  EXPECT_NE(message_of(archive("../evil")), "");
  EXPECT_NE(message_of(archive("a/../../evil")), "");
  EXPECT_NE(message_of(archive("/etc/passwd")), "");
  EXPECT_NE(message_of(archive(std::string_view("a\0b", 3))), "");
  EXPECT_EQ(message_of(archive("./a//b")), "");
}

TEST(Zip, RefusesDuplicatesAndFilesBelowFiles) {
  storage::StringSink twice;
  ZipWriter first(twice);
  ASSERT_TRUE(first.add_file("a", "1"));
  ASSERT_TRUE(first.add_file("./a", "2"));
  ASSERT_TRUE(first.finish());
  EXPECT_NE(message_of(twice.text).find("twice"), std::string::npos);
  // The classic: a link, and then a file written through it.
  storage::StringSink through;
  ZipWriter second(through);
  ASSERT_TRUE(second.add_symlink("link", "/etc"));
  ASSERT_TRUE(second.add_file("link/passwd", "root"));
  ASSERT_TRUE(second.finish());
  EXPECT_NE(message_of(through.text).find("below a file or link"), std::string::npos);
}

TEST(Zip, HoldsItsLimits) {
  std::string bytes = archive("a", std::string(100'000, 'z'));
  EXPECT_EQ(message_of(bytes, {.max_unpacked_bytes = 1000}), "Unzipped size must be smaller than 1000 bytes");
  EXPECT_NE(message_of(bytes, {.max_ratio = 10, .ratio_grace_bytes = 1000}), "");
  EXPECT_NE(message_of(bytes, {.max_entries = 0}), "");
}

TEST(Zip, EntriesThatClaimMoreThanTheyAreFailToUnpack) {
  std::string bytes = archive("a", std::string(5000, 'z'));
  Folder folder;
  for (uint32_t size : {4999u, 5001u}) {
    std::string lying = with_central_field(bytes, 24, size);
    auto zip = ZipReader::open(lying);
    ASSERT_TRUE(zip);
    EXPECT_FALSE(unpack_zip(*zip, folder.path()));
    ASSERT_TRUE(sys::remove_tree(folder.path() + "/a"));
  }
  std::string wrong_crc = with_central_field(bytes, 16, 0);
  auto zip = ZipReader::open(wrong_crc);
  ASSERT_TRUE(zip);
  EXPECT_FALSE(unpack_zip(*zip, folder.path()));
}

TEST(Zip, RefusesOverlappingEntriesAndTruncation) {
  std::string bytes = archive("a", "content");
  EXPECT_NE(message_of(with_central_field(bytes, 20, 0x7fffffff)), "");
  for (size_t size = 0; size < bytes.size(); ++size) EXPECT_NE(message_of(bytes.substr(0, size)), "") << size;
  EXPECT_NE(message_of("PK but no zip"), "");
}

TEST(Packages, OneCopyHoweverManyUseItAndNoneWhenUnused) {
  Folder folder;
  auto store = PackageStore::open(folder.path() + "/functions", LimitProfile::Open);
  ASSERT_TRUE(store);
  std::string bytes = archive("index.py", "def handler(e, c): return e");
  std::string directory;
  {
    auto one = (*store)->add(bytes);
    auto two = (*store)->add(bytes);
    ASSERT_TRUE(one && two);
    EXPECT_EQ(one->directory, two->directory);
    directory = one->directory;
    EXPECT_TRUE((*store)->set_aside({})->empty());  // pinned while a request holds it
    EXPECT_EQ((*store)->zip_size(one->digest).value(), bytes.size());
  }
  EXPECT_TRUE((*store)->set_aside({directory})->empty());
  EXPECT_EQ(::access(directory.c_str(), F_OK), 0);
  auto doomed = (*store)->set_aside({});
  ASSERT_EQ(doomed->size(), 1u);
  EXPECT_TRUE(PackageStore::remove(*doomed));
  EXPECT_NE(::access(directory.c_str(), F_OK), 0);
  EXPECT_TRUE(sys::list_dir(folder.path() + "/functions/code")->empty());
}

TEST(Packages, ABrokenArchiveLeavesNothing) {
  Folder folder;
  auto store = PackageStore::open(folder.path() + "/functions", LimitProfile::Strict);
  ASSERT_TRUE(store);
  std::string bytes = with_central_field(archive("a", std::string(5000, 'z')), 16, 0);
  EXPECT_FALSE((*store)->add(bytes));
  EXPECT_TRUE(sys::list_dir(folder.path() + "/functions/code")->empty());
}

}  // namespace
}  // namespace berth::functions
