// Packing, changes and docker cp: trees to archives and back.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "base/sha256.h"
#include "storage/archive.h"
#include "storage/copy_archive.h"
#include "storage/layer_names.h"
#include "storage/recipe.h"
#include "storage/tar_reader.h"
#include "storage/testing.h"

namespace berth::storage {
namespace {

struct Listed {
  std::string text;  ///< one line per entry
  std::map<std::string, std::string> content;
};

Listed list_tar(const std::string& bytes) {
  Listed listed;
  StringSource source(bytes);
  BufferedChunks chunks(source, 1000);
  TarReader reader(chunks, {});
  TarEntry entry;
  while (true) {
    auto found = reader.next(entry);
    EXPECT_TRUE(found) << found.error().message();
    if (!found || !*found) return listed;
    listed.text += fmt::format("{} {:o} {} {}{}\n", "fhlcbdp"[static_cast<int>(entry.type)], entry.mode,
                               entry.name, entry.size, entry.link.empty() ? "" : " -> " + entry.link);
    std::string content;
    while (true) {
      auto piece = reader.data();
      EXPECT_TRUE(piece);
      if (!piece || !*piece) break;
      content.resize((*piece)->offset);
      content += (*piece)->bytes;
    }
    listed.content[entry.name] = content;
  }
}

class PackTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(sys::make_dirs(path("tree")));
    tree_ = *sys::RootDir::open(path("tree"));
  }
  std::string path(const std::string& name) const { return directory_.path() + "/" + name; }
  void write(const std::string& name, std::string_view content, mode_t mode = 0644) {
    ASSERT_TRUE(
        sys::make_dirs(path(name.substr(0, name.find('/') == std::string::npos ? 0 : name.rfind('/')))));
    auto written = sys::write_file_atomic(path(name), content, mode);
    ASSERT_TRUE(written) << written.error().message();
  }
  void fill_tree() {
    write("tree/b/file", "content", 04755);
    write("tree/a", "first");
    ASSERT_EQ(::link(path("tree/a").c_str(), path("tree/z").c_str()), 0);
    ASSERT_EQ(::symlink("../b", path("tree/b/link").c_str()), 0);
    ASSERT_EQ(::mkfifo(path("tree/pipe").c_str(), 0600), 0);
    write("tree/" + std::string(120, 'n') + "/" + std::string(120, 'm'), "long");
    write("tree/ümlaut", "");
    for (const char* directory : {"tree/b", "tree"}) ASSERT_EQ(::chmod(path(directory).c_str(), 0755), 0);
  }
  UnpackOptions unpack_options() {
    UnpackOptions options;
    options.ownership = ::geteuid() == 0 ? Ownership::Keep : Ownership::Ignore;
    return options;
  }

  TempDir directory_;
  sys::RootDir tree_;
};

TEST_F(PackTest, IsSortedAndReadsBack) {
  fill_tree();
  StringSink out;
  StringSink recipe;
  auto result = pack_tree(tree_, out, {.recipe = &recipe, .checksum = crc64});
  ASSERT_TRUE(result) << result.error().message();
  Listed listed = list_tar(out.text);
  std::string n(120, 'n');
  EXPECT_EQ(listed.text, "f 644 a 5\nd 755 b/ 0\nf 4755 b/file 7\nl 777 b/link 0 -> ../b\nd 755 " + n +
                             "/ 0\nf 644 " + n + "/" + std::string(120, 'm') +
                             " 4\np 600 pipe 0\nh 644 z 0 -> a\nf 644 ümlaut 0\n");
  EXPECT_EQ(listed.content["b/file"], "content");
  EXPECT_EQ(result->stream_bytes, out.text.size());
  EXPECT_EQ(result->entries, 9u);

  StringSink again;
  ASSERT_TRUE(pack_tree(tree_, again));
  EXPECT_EQ(again.text, out.text);
  StringSource recipe_source(recipe.text);
  StringSink replayed;
  ASSERT_TRUE(replayed_from(recipe_source, tree_, replayed));
  EXPECT_EQ(replayed.text, out.text);

  ASSERT_TRUE(sys::make_dirs(path("copy")));
  auto copy = sys::RootDir::open(path("copy"));
  StringSource source(out.text);
  auto unpacked = unpack(source, *copy, unpack_options());
  ASSERT_TRUE(unpacked) << unpacked.error().message();
  StringSink third;
  ASSERT_TRUE(pack_tree(*copy, third));
  EXPECT_EQ(third.text, out.text);
}

TEST_F(PackTest, OptionsShapeNames) {
  write("tree/d/x", "1");
  write("tree/skip/y", "2");
  StringSink out;
  ASSERT_TRUE(pack_tree(tree_, out,
                        {.prefix = "top",
                         .include_root = true,
                         .clamp_mtime = from_unix_nanoseconds(5'000'000'000),
                         .owner = FixedOwner{.uid = 1, .gid = 3'000'000},
                         .filter = [](std::string_view name, bool) { return name != "skip"; }}));
  EXPECT_EQ(list_tar(out.text).text, "d 755 top/ 0\nd 755 top/d/ 0\nf 644 top/d/x 1\n") << out.text.size();
}

TEST_F(PackTest, SparseFilesStaySmall) {
  write("tree/s", "");
  auto fd = sys::open_file(path("tree/s").c_str(), O_WRONLY);
  ASSERT_TRUE(sys::pwrite_all(fd->get(), "data", 16 << 20));
  ASSERT_EQ(::ftruncate(fd->get(), 32 << 20), 0);
  StringSink out;
  ASSERT_TRUE(pack_tree(tree_, out));
  EXPECT_LT(out.text.size(), 100'000u);
  Listed listed = list_tar(out.text);
  EXPECT_EQ(listed.text, "f 644 s 33554432\n");
  EXPECT_EQ(listed.content["s"].substr(16 << 20, 4), "data");
  ASSERT_TRUE(sys::make_dirs(path("copy")));
  auto copy = sys::RootDir::open(path("copy"));
  StringSource source(out.text);
  ASSERT_TRUE(unpack(source, *copy, unpack_options()));
  auto usage = sys::disk_usage(path("copy/s"));
  EXPECT_LT(usage->allocated_bytes, 1u << 20);
  EXPECT_EQ(usage->apparent_bytes, 32u << 20);
}

TEST_F(PackTest, LayerMarksAndTheirWayBack) {
  if (::geteuid() != 0) GTEST_SKIP() << "whiteout devices need root";
  write("tree/dir/new", "x");
  ASSERT_EQ(::mknod(path("tree/gone").c_str(), S_IFCHR, 0), 0);
  ASSERT_EQ(::mknod(path("tree/dir/sub").c_str(), S_IFCHR, 0), 0);
  auto dir = tree_.open_path("dir");
  ASSERT_TRUE(sys::set_xattr(dir->get(), opaque_xattr, "y"));
  ASSERT_TRUE(sys::set_xattr(dir->get(), "trusted.overlay.origin", "x"));
  StringSink out;
  ASSERT_TRUE(pack_layer(tree_, out));
  EXPECT_EQ(
      list_tar(out.text).text,
      "d 755 dir/ 0\nf 755 dir/.wh..wh..opq 0\nf 644 dir/new 1\nf 600 dir/.wh.sub 0\nf 600 .wh.gone 0\n");
  ASSERT_TRUE(sys::make_dirs(path("copy")));
  auto copy = sys::RootDir::open(path("copy"));
  StringSource source(out.text);
  UnpackOptions options;
  options.whiteouts = Whiteouts::Overlay;
  ASSERT_TRUE(unpack(source, *copy, options));
  StringSink again;
  ASSERT_TRUE(pack_layer(*copy, again));
  // A whiteout in an opaque directory hides nothing, and the kernel would show it: it does not come back.
  EXPECT_EQ(list_tar(again.text).text,
            "d 755 dir/ 0\nf 755 dir/.wh..wh..opq 0\nf 644 dir/new 1\nf 600 .wh.gone 0\n");
  StringSource once_more(again.text);
  ASSERT_TRUE(sys::make_dirs(path("third")));
  auto third = sys::RootDir::open(path("third"));
  ASSERT_TRUE(unpack(once_more, *third, options));
  StringSink last;
  ASSERT_TRUE(pack_layer(*third, last));
  EXPECT_EQ(last.text, again.text);
}

TEST_F(PackTest, ChangesAreThoseThatOverlayShows) {
  if (::geteuid() != 0) GTEST_SKIP() << "whiteout devices need root";
  write("low1/etc/a", "1");
  write("low1/etc/hidden", "1");
  write("low2/etc/b", "1");
  write("low2/etc/hidden2", "1");
  write("low2/opq/x", "1");
  write("low2/opq/y", "1");
  ASSERT_EQ(::mknod(path("low1/etc/hidden2").c_str(), S_IFCHR, 0), 0);
  write("tree/etc/a", "2");
  write("tree/etc/new", "2");
  write("tree/etc/hidden2", "2");
  write("tree/opq/y", "2");
  write("tree/added/deep/f", "2");
  ASSERT_EQ(::mknod(path("tree/etc/b").c_str(), S_IFCHR, 0), 0);
  ASSERT_EQ(::mknod(path("tree/etc/never").c_str(), S_IFCHR, 0), 0);
  auto opaque = tree_.open_path("opq");
  ASSERT_TRUE(sys::set_xattr(opaque->get(), opaque_xattr, "y"));
  std::vector<sys::RootDir> lowers;
  lowers.push_back(*sys::RootDir::open(path("low1")));
  lowers.push_back(*sys::RootDir::open(path("low2")));
  auto list = changes(tree_, lowers);
  ASSERT_TRUE(list);
  std::string text;
  for (const Change& change : *list)
    text += fmt::format("{} {}\n", "CAD"[static_cast<int>(change.kind)], change.path);
  EXPECT_EQ(
      text,
      "A /added\nA /added/deep\nA /added/deep/f\nC /etc\nC /etc/a\nD /etc/b\nA /etc/hidden2\nA /etc/new\n"
      "C /opq\nD /opq/x\nC /opq/y\n");
}

TEST_F(PackTest, StatPathSpeaksGo) {
  fill_tree();
  ASSERT_EQ(::symlink("/b/file", path("tree/abs").c_str()), 0);
  ASSERT_EQ(::symlink("../../../nowhere/x", path("tree/b/dangling").c_str()), 0);
  ASSERT_EQ(::symlink("/b", path("tree/dirlink").c_str()), 0);
  auto stat = stat_path(tree_, "/b/file");
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->name, "file");
  EXPECT_EQ(stat->size, 7);
  EXPECT_EQ(stat->mode, (1u << 23) | 0755u);
  EXPECT_EQ(stat_path(tree_, "/b")->mode, (1u << 31) | 0755u);
  EXPECT_EQ(stat_path(tree_, "/abs")->link_target, "/b/file");
  EXPECT_EQ(stat_path(tree_, "/b/dangling")->link_target, "/nowhere/x");
  EXPECT_EQ(stat_path(tree_, "/dirlink")->link_target, "/b");
  EXPECT_EQ(stat_path(tree_, "/dirlink/")->name, "dirlink");
  EXPECT_EQ(stat_path(tree_, "/dirlink/")->link_target, "");
  EXPECT_EQ(stat_path(tree_, "/dirlink/.")->name, ".");
  EXPECT_EQ(stat_path(tree_, "/")->name, "/");
  EXPECT_EQ(stat_path(tree_, "/none").error().kind(), Kind::NotFound);
  EXPECT_EQ(stat_path(tree_, "/a/").error().kind(), Kind::InvalidArgument);
}

TEST_F(PackTest, CopyOutNamesByBase) {
  fill_tree();
  ASSERT_EQ(::symlink("/b", path("tree/dirlink").c_str()), 0);
  auto names = [&](std::string_view of) {
    StringSink out;
    auto copied = copy_out(tree_, of, out);
    return copied ? list_tar(out.text).text : copied.error().message();
  };
  EXPECT_EQ(names("/b/file"), "f 4755 file 7\n");
  EXPECT_EQ(names("/z"), "f 644 z 5\n");
  EXPECT_EQ(names("/b"), "d 755 b/ 0\nf 4755 b/file 7\nl 777 b/link 0 -> ../b\n");
  EXPECT_EQ(names("/b/."), "d 755 ./ 0\nf 4755 ./file 7\nl 777 ./link 0 -> ../b\n");
  EXPECT_EQ(names("/dirlink"), "l 777 dirlink 0 -> /b\n");
  EXPECT_EQ(names("/dirlink/"), "d 755 dirlink/ 0\nf 4755 dirlink/file 7\nl 777 dirlink/link 0 -> ../b\n");
  EXPECT_EQ(names("/nothing"), "Could not find the file /nothing in container");
}

TEST_F(PackTest, CopyInFollowsTheRootsOwnLinks) {
  write("tree/opt/real/keep", "1");
  write("tree/data/f", "1");
  write("outside", "alive");
  ASSERT_EQ(::symlink("/opt/real", path("tree/data/cur").c_str()), 0);
  ASSERT_EQ(::symlink("../../../../outside", path("tree/data/up").c_str()), 0);
  CopyInOptions options;
  if (::geteuid() != 0) options.owner = FixedOwner{.uid = ::geteuid(), .gid = ::getegid()};
  std::string bytes =
      TarBytes().dir("./", 0700).file("cur/new", "2").file("up", "3").file("sub/x", "4").finish();
  StringSource archive(bytes);
  auto copied = copy_in(tree_, "/data", archive, options);
  ASSERT_TRUE(copied) << copied.error().message();
  EXPECT_EQ(*sys::read_file(path("tree/opt/real/new"), 10), "2");
  EXPECT_EQ(*sys::read_file(path("tree/data/up"), 10), "3");
  EXPECT_EQ(*sys::read_file(path("tree/data/sub/x"), 10), "4");
  EXPECT_EQ(*sys::read_file(path("outside"), 10), "alive");
  EXPECT_EQ(tree_.stat("data")->st_mode & 07777, 0755u);
  StringSource none("");
  EXPECT_EQ(copy_in(tree_, "/none", none, options).error().kind(), Kind::NotFound);
  EXPECT_EQ(copy_in(tree_, "/data/f", none, options).error().kind(), Kind::InvalidArgument);
}

TEST_F(PackTest, CopyTreeAndCopyUp) {
  fill_tree();
  ASSERT_TRUE(sys::make_dirs(path("copy")));
  auto copy = sys::RootDir::open(path("copy"));
  ASSERT_TRUE(copy_tree(tree_, *copy));
  StringSink a;
  StringSink b;
  ASSERT_TRUE(pack_tree(tree_, a));
  ASSERT_TRUE(pack_tree(*copy, b));
  EXPECT_EQ(sha256(a.text), sha256(b.text));
  ASSERT_TRUE(copy_tree(tree_, *copy)) << "copying over itself merges";

  ASSERT_TRUE(sys::make_dirs(path("volume"), 0700));
  ASSERT_EQ(::chmod(path("tree/b").c_str(), 01711), 0);
  auto volume = sys::RootDir::open(path("volume"));
  ASSERT_TRUE(copy_up(tree_, "/../b", *volume, {}));
  EXPECT_EQ(*sys::read_file(path("volume/file"), 10), "content");
  EXPECT_EQ(volume->stat(".")->st_mode & 07777, 01711u);
  ASSERT_TRUE(sys::write_file_atomic(path("tree/b/later"), "x"));
  ASSERT_TRUE(copy_up(tree_, "/b", *volume, {})) << "not empty: nothing happens";
  EXPECT_FALSE(volume->exists("later"));
  ASSERT_TRUE(sys::make_dirs(path("volume2")));
  EXPECT_TRUE(copy_up(tree_, "/missing", *sys::RootDir::open(path("volume2")), {}));
}

}  // namespace
}  // namespace berth::storage
