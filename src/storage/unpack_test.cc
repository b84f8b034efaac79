// Unpacking: what archives become, the layer rules, and a corpus of hostile archives that must leave the
// world outside the root as it was.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>

#include "base/sha256.h"
#include "storage/archive.h"
#include "storage/compression.h"
#include "storage/layer_names.h"
#include "storage/recipe.h"
#include "storage/testing.h"

namespace berth::storage {
namespace {

class UnpackTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(sys::make_dirs(base() + "/root"));
    ASSERT_TRUE(sys::make_dirs(base() + "/outside/dir"));
    ASSERT_TRUE(sys::write_file_atomic(base() + "/outside/canary", "alive"));
    root_ = *sys::RootDir::open(base() + "/root");
    options_.ownership = ::geteuid() == 0 ? Ownership::Keep : Ownership::Ignore;
  }
  std::string base() const { return directory_.path(); }
  Result<UnpackResult> unpack_bytes(const std::string& bytes) {
    StringSource source(bytes);
    return unpack(source, root_, options_);
  }
  std::string read(const std::string& path) {
    auto fd = root_.open(path, O_RDONLY | O_NOFOLLOW);
    return fd ? *sys::read_fd(fd->get(), 1 << 24) : "<" + fd.error().message() + ">";
  }
  struct stat status(const std::string& path) {
    auto found = root_.stat(path, sys::Follow::No);
    EXPECT_TRUE(found) << path;
    return found ? *found : (struct stat){};
  }

  TempDir directory_;
  sys::RootDir root_;
  UnpackOptions options_;
};

TEST_F(UnpackTest, MakesEverythingThatATarHolds) {
  TarBytes tar;
  tar.dir("./").dir("d/", 0750).file("d/f", "hello", 04755).symlink("d/l", "../x").hardlink("d/h", "d/f");
  tar.add({.name = "p", .type = '6', .mode = 0622})
      .file("/abs", "relative to the root")
      .file("im/plied/x", "y");
  std::string bytes = tar.finish();
  auto result = unpack_bytes(bytes);
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(result->diff_id, sha256(bytes));
  EXPECT_EQ(result->stream_bytes, bytes.size());
  EXPECT_EQ(read("d/f"), "hello");
  EXPECT_EQ(status("d/f").st_mode, S_IFREG | 04755u);
  EXPECT_EQ(status("d/f").st_mtim.tv_sec, 1'700'000'000);
  EXPECT_EQ(status("d").st_mtim.tv_sec, 1'700'000'000);
  EXPECT_EQ(status("d").st_mode, S_IFDIR | 0750u);
  EXPECT_EQ(*root_.readlink("d/l"), "../x");
  EXPECT_EQ(status("d/l").st_mtim.tv_sec, 1'700'000'000);
  EXPECT_EQ(status("d/h").st_ino, status("d/f").st_ino);
  EXPECT_EQ(status("p").st_mode, S_IFIFO | 0622u);
  EXPECT_EQ(read("abs"), "relative to the root");
  EXPECT_EQ(read("im/plied/x"), "y");
  EXPECT_EQ(result->content_bytes, 5u + 20u + 1u);
}

TEST_F(UnpackTest, ReadsExtensions) {
  std::string long_name = std::string(150, 'n') + "/" + std::string(200, 'm');
  TarBytes tar;
  tar.pax({"path=" + long_name, "mtime=1350244992.5", "SCHILY.xattr.user.k=v"}).file("short", "1");
  tar.add({.name = "././@LongLink",
           .type = 'L',
           .content = "gnu/" + std::string(150, 'g') + std::string(1, '\0')});
  tar.file("x", "2");
  tar.pax({"comment=of git"}, 'g').pax({"path=ümläut", "size=3"}).add({.name = "y", .content = "abc"});
  auto result = unpack_bytes(tar.finish());
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(read(long_name), "1");
  EXPECT_EQ(status(long_name).st_mtim.tv_nsec, 500'000'000);
  EXPECT_EQ(read("gnu/" + std::string(150, 'g')), "2");
  EXPECT_EQ(read("ümläut"), "abc");
}

TEST_F(UnpackTest, KeepsSparseFilesSparse) {
  std::string map = "2\n4194304\n5\n8388608\n0\n";
  map.resize(512, '\0');
  TarBytes tar;
  tar.pax({"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=s10", "GNU.sparse.realsize=8388608"})
      .file("GNUSparseFile.0/s10", map + "hello");
  tar.pax({"GNU.sparse.size=8388608", "GNU.sparse.map=4194304,5", "GNU.sparse.name=s01"}).file("x", "hello");
  tar.pax({"GNU.sparse.size=8388608", "GNU.sparse.numblocks=1", "GNU.sparse.offset=4194304",
           "GNU.sparse.numbytes=5"})
      .file("s00", "hello");
  StringSink recipe;
  options_.recipe = &recipe;
  std::string bytes = tar.finish();
  auto result = unpack_bytes(bytes);
  ASSERT_TRUE(result) << result.error().message();
  for (const char* name : {"s10", "s01", "s00"}) {
    EXPECT_EQ(status(name).st_size, 8'388'608) << name;
    EXPECT_LT(status(name).st_blocks, 100) << name;
    EXPECT_EQ(read(name).substr(4194304, 6), std::string("hello\0", 6)) << name;
  }
  ASSERT_TRUE(result->recipe_valid);
  StringSource source(recipe.text);
  StringSink again;
  ASSERT_TRUE(replayed_from(source, root_, again));
  EXPECT_EQ(sha256(again.text), sha256(bytes));
}

TEST_F(UnpackTest, LongZerosBecomeHoles) {
  std::string content(6 << 20, '\0');
  content.replace(3 << 20, 4, "data");
  StringSink recipe;
  options_.recipe = &recipe;
  std::string bytes = TarBytes().file("zeros", content).file("end", "x").finish();
  ASSERT_TRUE(unpack_bytes(bytes));
  EXPECT_TRUE(read("zeros") == content);
  EXPECT_LT(status("zeros").st_blocks * 512, 1 << 20);
  StringSource source(recipe.text);
  StringSink again;
  ASSERT_TRUE(replayed_from(source, root_, again));
  EXPECT_EQ(sha256(again.text), sha256(bytes));
}

TEST_F(UnpackTest, RecipeRecreatesTheArchive) {
  TarBytes tar;
  tar.dir("d")
      .file("d/a", std::string(300'000, 'a'))
      .file("empty", "")
      .hardlink("h", "d/a")
      .symlink("s", "d");
  tar.pax({"path=d/long"}).file("zz", "content").file("s/through", "link");
  std::string bytes = tar.finish() + std::string(10240, '\0');
  StringSink recipe;
  options_.recipe = &recipe;
  auto result = unpack_bytes(bytes);
  ASSERT_TRUE(result) << result.error().message();
  ASSERT_TRUE(result->recipe_valid);
  EXPECT_LT(recipe.text.size(), 20'000u);
  StringSource source(recipe.text);
  StringSink again;
  ASSERT_TRUE(replayed_from(source, root_, again));
  EXPECT_EQ(again.text, bytes);

  ASSERT_EQ(::truncate((base() + "/root/d/a").c_str(), 5), 0);
  StringSource source_again(recipe.text);
  EXPECT_EQ(replayed_from(source_again, root_, again).error().kind(), Kind::Corrupt);
}

TEST_F(UnpackTest, RecipeIsInvalidWhenAnEntryReplacesAnother) {
  StringSink recipe;
  options_.recipe = &recipe;
  auto result = unpack_bytes(TarBytes().file("a", "1").file("a", "2").finish());
  ASSERT_TRUE(result);
  EXPECT_FALSE(result->recipe_valid);
  EXPECT_EQ(read("a"), "2");
}

TEST_F(UnpackTest, ReplacesAcrossKinds) {
  TarBytes tar;
  tar.dir("a").file("a/x", "1").file("a", "now a file").file("b", "file").dir("b").file("b/y", "2");
  tar.symlink("c", "a").file("c", "no link").dir("e").dir("e", 0700);
  ASSERT_TRUE(unpack_bytes(tar.finish()));
  EXPECT_EQ(read("a"), "now a file");
  EXPECT_EQ(read("b/y"), "2");
  EXPECT_EQ(read("c"), "no link");
  EXPECT_EQ(status("e").st_mode & 07777, 0700u);
}

TEST_F(UnpackTest, HonoursOverwriteAndRootOptions) {
  ASSERT_TRUE(unpack_bytes(TarBytes().dir("d").file("f", "x").finish()));
  options_.overwrite = Overwrite::SameKindOnly;
  options_.root_entry = RootEntry::Ignore;
  EXPECT_FALSE(unpack_bytes(TarBytes().file("d", "x").finish()));
  EXPECT_FALSE(unpack_bytes(TarBytes().dir("f").finish()));
  ASSERT_TRUE(unpack_bytes(TarBytes().dir("./", 0700).file("f", "y").dir("d").finish()));
  EXPECT_EQ(read("f"), "y");
  EXPECT_NE(status("").st_mode & 0777, 0u);
  options_.device_nodes = DeviceNodes::Refuse;
  EXPECT_EQ(unpack_bytes(TarBytes().add({.name = "n", .type = '3', .major = 1, .minor = 3}).finish())
                .error()
                .kind(),
            Kind::Forbidden);
  options_.filter = [](std::string_view name) { return name != "skip"; };
  ASSERT_TRUE(unpack_bytes(TarBytes().file("skip", "1").file("keep", "2").finish()));
  EXPECT_FALSE(root_.exists("skip"));
  EXPECT_EQ(read("keep"), "2");
}

TEST_F(UnpackTest, LayerWhiteouts) {
  if (::geteuid() != 0) GTEST_SKIP() << "whiteout devices and trusted attributes need root";
  options_.whiteouts = Whiteouts::Overlay;
  TarBytes tar;
  tar.dir("d").file("d/.wh..wh..opq", "").file(".wh.gone", "").file("d/.wh.x", "");
  tar.file(".wh.again", "")
      .dir("again")
      .file("stays", "1")
      .file(".wh.stays", "")
      .dir("kept")
      .file(".wh.kept", "");
  tar.file(".wh..wh.plnk", "").file(".wh.deep", "").file("deep/er/f", "2");
  tar.pax({"SCHILY.xattr.trusted.overlay.redirect=/etc", "SCHILY.xattr.user.ok=1"}).dir("sly");
  auto result = unpack_bytes(tar.finish());
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_TRUE(is_whiteout(status("gone")));
  EXPECT_FALSE(root_.exists("d/x", sys::Follow::No));  // in an opaque directory it hides nothing
  EXPECT_FALSE(root_.exists("d/.wh..wh..opq"));
  EXPECT_FALSE(root_.exists(".wh..wh.plnk"));
  EXPECT_EQ(read("stays"), "1");
  EXPECT_EQ(read("deep/er/f"), "2");
  auto opaque = [&](const char* path) {
    auto fd = root_.open_path(path);
    auto value = sys::get_xattr(fd->get(), opaque_xattr);
    return value && *value == "y";
  };
  EXPECT_TRUE(opaque("d"));
  EXPECT_TRUE(opaque("again"));
  EXPECT_TRUE(opaque("kept"));
  EXPECT_TRUE(opaque("deep"));
  EXPECT_FALSE(opaque("deep/er"));
  auto sly = root_.open_path("sly");
  EXPECT_EQ(sys::get_xattr(sly->get(), "trusted.overlay.redirect").error().kind(), Kind::NotFound);
  for (const char* bad : {".wh.", ".wh..", ".wh...", "a/.wh..", "a/.wh."}) {
    EXPECT_FALSE(unpack_bytes(TarBytes().file(bad, "").finish())) << bad;
  }
}

TEST_F(UnpackTest, TakesFromLowerLayers) {
  ASSERT_TRUE(sys::make_dirs(base() + "/lower/etc", 0700));
  ASSERT_TRUE(sys::write_file_atomic(base() + "/lower/etc/conf", "lower", 0640));
  ASSERT_EQ(::chmod((base() + "/lower/etc").c_str(), 0711), 0);
  auto lower = sys::RootDir::open(base() + "/lower");
  options_.lowers = {&*lower};
  ASSERT_TRUE(unpack_bytes(TarBytes().file("etc/new", "1").hardlink("link", "etc/conf").finish()));
  EXPECT_EQ(status("etc").st_mode & 07777, 0711u);
  EXPECT_EQ(read("link"), "lower");
  EXPECT_EQ(status("link").st_ino, status("etc/conf").st_ino);
  EXPECT_EQ(status("link").st_mode & 07777, 0640u);
}

TEST_F(UnpackTest, DevicesAndOwners) {
  if (::geteuid() != 0) GTEST_SKIP() << "device nodes and owners need root";
  TarBytes tar;
  tar.add({.name = "null", .type = '3', .mode = 0666, .uid = 3, .gid = 4, .major = 1, .minor = 3});
  tar.pax({"uid=2200000", "gid=2200001"}).file("big", "x", 06755);
  ASSERT_TRUE(unpack_bytes(tar.finish()));
  EXPECT_EQ(status("null").st_rdev, makedev(1, 3));
  EXPECT_EQ(status("null").st_mode, S_IFCHR | 0666u);
  EXPECT_EQ(status("null").st_gid, 4u);
  EXPECT_EQ(status("big").st_uid, 2'200'000u);
  EXPECT_EQ(status("big").st_mode & 07777, 06755u);
  options_.owner = FixedOwner{.uid = 7, .gid = 8};
  ASSERT_TRUE(unpack_bytes(TarBytes().file("fixed", "x").finish()));
  EXPECT_EQ(status("fixed").st_uid, 7u);
}

TEST_F(UnpackTest, UnpacksEveryCompression) {
  std::string bytes = TarBytes().file("a", std::string(2'000'000, 'z')).finish();
  for (Compression compression : {Compression::Gzip, Compression::Zstd}) {
    StringSink packed;
    auto sink = compress(packed, compression);
    ASSERT_TRUE((*sink)->write(bytes) && (*sink)->finish());
    auto result = unpack_bytes(packed.text);
    ASSERT_TRUE(result) << result.error().message();
    EXPECT_EQ(result->diff_id, sha256(bytes));
    EXPECT_FALSE(unpack_bytes(packed.text.substr(0, packed.text.size() - 9)));
  }
}

TEST_F(UnpackTest, StopsWhenAsked) {
  std::stop_source stop;
  options_.stop = stop.get_token();
  stop.request_stop();
  EXPECT_EQ(unpack_bytes(TarBytes().file("a", "b").finish()).error().kind(), Kind::Cancelled);
}

/// One hostile archive, and whether it must be refused or merely be harmless.
struct Hostile {
  const char* what;
  std::function<std::string()> bytes;
  bool must_fail = true;
};

std::vector<Hostile> hostile_archives(const std::string& outside) {
  auto tar = [] { return TarBytes(); };
  return {
      {"parent", [=] { return tar().file("../outside/canary", "dead").finish(); }},
      {"deep parent", [=] { return tar().file("a/b/../../../outside/canary", "dead").finish(); }},
      {"parent alone", [=] { return tar().file("..", "dead").finish(); }},
      {"parent directory", [=] { return tar().dir("../outside").finish(); }},
      {"absolute", [=] { return tar().file(outside + "/canary", "dead").finish(); }, false},
      {"absolute with parents",
       [=] { return tar().file("/../../.." + outside + "/canary", "dead").finish(); }, false},
      {"link then write", [=] { return tar().symlink("l", outside).file("l/canary", "dead").finish(); },
       false},
      {"relative link then write",
       [=] { return tar().symlink("l", "../outside").file("l/canary", "dead").finish(); }, false},
      {"link chain",
       [=] {
         return tar().symlink("a", "b").symlink("b", "../..").file("a/outside/canary", "dead").finish();
       },
       false},
      {"link to itself", [=] { return tar().symlink("a", "a").file("a/x", "dead").finish(); }},
      {"file over link", [=] { return tar().symlink("l", outside + "/canary").file("l", "dead").finish(); },
       false},
      {"directory over link", [=] { return tar().symlink("l", outside).dir("l", 0777).finish(); }, false},
      {"hard link out", [=] { return tar().hardlink("h", "../outside/canary").file("h", "dead").finish(); }},
      {"hard link absolute", [=] { return tar().hardlink("h", outside + "/canary").finish(); }},
      {"hard link through link",
       [=] { return tar().symlink("l", outside).hardlink("h", "l/canary").file("h", "dead").finish(); }},
      {"hard link to link",
       [=] { return tar().symlink("l", outside + "/canary").hardlink("h", "l").file("h", "dead").finish(); },
       false},
      {"hard link to directory", [=] { return tar().dir("d").hardlink("h", "d").finish(); }},
      {"root as link", [=] { return tar().symlink("./", outside).file("canary", "dead").finish(); }},
      {"root as file", [=] { return tar().file(".", "dead").finish(); }},
      {"root by dots as link", [=] { return tar().dir("a").symlink("a/..", outside).finish(); }},
      {"node through link",
       [=] { return tar().symlink("l", outside).add({.name = "l/n", .type = '6'}).finish(); }, false},
      {"remove through link", [=] { return tar().symlink("l", outside).symlink("l/dir", "x").finish(); },
       false},
      {"pax path out", [=] { return tar().pax({"path=../outside/canary"}).file("a", "dead").finish(); }},
      {"pax link out", [=] { return tar().pax({"linkpath=../outside/canary"}).hardlink("a", "b").finish(); }},
      {"pax NUL name", [=] { return tar().pax({std::string("path=a\0b", 8)}).file("a", "x").finish(); }},
      {"pax record overrun",
       [=] { return tar().add({.name = "p", .type = 'x', .content = "99 path=a\n"}).finish(); }},
      {"pax record zero",
       [=] { return tar().add({.name = "p", .type = 'x', .content = "0 path=a\n"}).finish(); }},
      {"pax negative size", [=] { return tar().pax({"size=-1"}).file("a", "x").finish(); }},
      {"pax huge size", [=] { return tar().pax({"size=9223372036854775807"}).file("a", "x").finish(); }},
      {"pax size lies", [=] { return tar().pax({"size=100000"}).file("a", "x").finish(); }},
      {"pax header endless",
       [=] { return tar().add({.name = "p", .type = 'x', .size_field = "77777777777"}).finish(); }},
      {"gnu name endless",
       [=] { return tar().add({.name = "p", .type = 'L', .size_field = "77777777777"}).finish(); }},
      {"gnu name out",
       [=] {
         return tar()
             .add({.name = "x", .type = 'L', .content = "../outside/canary"})
             .file("a", "dead")
             .finish();
       }},
      {"name too long",
       [=] { return tar().pax({"path=" + std::string(5000, 'a')}).file("a", "x").finish(); }},
      {"component too long",
       [=] { return tar().pax({"path=" + std::string(300, 'a')}).file("a", "x").finish(); }},
      {"empty name", [=] { return tar().file("", "x").finish(); }},
      {"size negative",
       [=] {
         return tar()
             .add({.name = "a", .size_field = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"})
             .finish();
       }},
      {"size not octal", [=] { return tar().add({.name = "a", .size_field = "99999999999"}).finish(); }},
      {"size beyond the end", [=] { return tar().add({.name = "a", .size_field = "00000100000"}).finish(); }},
      {"unknown type", [=] { return tar().add({.name = "a", .type = 'Z'}).finish(); }},
      {"truncated", [=] { return tar().file("a", std::string(5000, 'x')).finish().substr(0, 2000); }},
      {"bad checksum",
       [=] {
         std::string bytes = tar().file("a", "x").finish();
         bytes[0] = 'b';
         return bytes;
       }},
      {"no tar at all", [=] { return std::string(2048, 'x'); }},
      {"sparse overlap",
       [=] {
         return tar()
             .pax({"GNU.sparse.size=100", "GNU.sparse.map=0,10,5,10"})
             .file("a", std::string(20, 'x'))
             .finish();
       }},
      {"sparse beyond size",
       [=] {
         return tar()
             .pax({"GNU.sparse.size=4", "GNU.sparse.map=0,10"})
             .file("a", std::string(10, 'x'))
             .finish();
       }},
      {"sparse map and content differ",
       [=] {
         return tar().pax({"GNU.sparse.size=99", "GNU.sparse.map=0,10"}).file("a", "xyz").finish();
       }},
      {"sparse overflow",
       [=] {
         return tar()
             .pax({"GNU.sparse.size=9223372036854775807",
                   "GNU.sparse.map=9223372036854775806,9223372036854775807"})
             .file("a", "x")
             .finish();
       }},
      {"sparse claims too much",
       [=] {
         return tar()
             .pax({"GNU.sparse.size=9000000000000000000", "GNU.sparse.map=0,1"})
             .file("a", "x")
             .finish();
       }},
      {"sparse 1.0 without map",
       [=] {
         return tar()
             .pax({"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=5"})
             .file("a", std::string(512, '7'))
             .finish();
       }},
      {"sparse 1.0 name out",
       [=] {
         std::string map = "0\n";
         map.resize(512, '\0');
         return tar()
             .pax({"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=0",
                   "GNU.sparse.name=../outside/c"})
             .file("a", map)
             .finish();
       }},
      {"too many attributes",
       [=] {
         TarBytes bytes;
         std::string records;
         for (int i = 0; i < 200; ++i)
           records += TarBytes::pax_record(fmt::format("SCHILY.xattr.user.a{}=1", i));
         return bytes.add({.name = "p", .type = 'x', .content = records}).file("a", "x").finish();
       }},
      {"attribute too large",
       [=] {
         return tar().pax({"SCHILY.xattr.user.a=" + std::string(70'000, 'x')}).file("a", "x").finish();
       }},
  };
}

class HostileTest : public UnpackTest {
 protected:
  std::string outside_state() {
    std::string state = *sys::read_file(base() + "/outside/canary", 100);
    for (const char* name : {"", "/canary", "/dir"}) {
      struct stat status {};
      EXPECT_EQ(::lstat((base() + "/outside" + name).c_str(), &status), 0);
      state += fmt::format(" {} {:o} {} {}", name, status.st_mode, status.st_mtim.tv_nsec, status.st_nlink);
    }
    auto entries = sys::list_dir(base());
    for (const auto& entry : *entries) state += " " + entry.name;
    return state;
  }
};

TEST_F(HostileTest, NothingEscapes) {
  std::string before = outside_state();
  for (Whiteouts whiteouts : {Whiteouts::Literal, Whiteouts::Overlay}) {
    options_.whiteouts = whiteouts;
    for (const Hostile& archive : hostile_archives(base() + "/outside")) {
      SCOPED_TRACE(archive.what);
      auto result = unpack_bytes(archive.bytes());
      EXPECT_TRUE(!archive.must_fail || !result);
      EXPECT_EQ(outside_state(), before);
      ASSERT_TRUE(sys::remove_contents(root_.fd()));
    }
  }
}

TEST_F(HostileTest, LimitsHold) {
  options_.limits = {.max_bytes = 100'000};
  EXPECT_EQ(unpack_bytes(TarBytes().file("a", std::string(200'000, 'x')).finish()).error().kind(),
            Kind::Exhausted);
  options_.limits = {.max_entries = 10};
  TarBytes many;
  for (int i = 0; i < 11; ++i) many.dir(fmt::format("d{}", i));
  EXPECT_EQ(unpack_bytes(many.finish()).error().kind(), Kind::Exhausted);
}

TEST_F(HostileTest, TruncationAnywhereIsAnErrorOrAnEnd) {
  std::string bytes =
      TarBytes().pax({"path=long"}).file("a", std::string(700, 'x')).dir("d").symlink("s", "d").finish();
  for (size_t size = 0; size < bytes.size(); size += 37) {
    (void)unpack_bytes(bytes.substr(0, size));
    ASSERT_TRUE(sys::remove_contents(root_.fd()));
  }
  EXPECT_EQ(*sys::read_file(base() + "/outside/canary", 100), "alive");
}

TEST_F(HostileTest, BitFlipsNeverEscape) {
  std::string good = TarBytes()
                         .pax({"path=long/er", "mtime=1.5"})
                         .file("a", "content")
                         .symlink("s", "x")
                         .hardlink("h", "s")
                         .finish();
  std::string before = outside_state();
  for (size_t at = 0; at < good.size(); at += 3) {
    std::string bad = good;
    bad[at] ^= static_cast<char>(1 << (at % 8));
    // A wrong checksum would end every case at the header; it is made right again.
    for (size_t block = 0; block + 512 <= bad.size(); block += 512) {
      if (bad.substr(block + 257, 5) != "ustar") continue;
      unsigned sum = 0;
      for (size_t i = 0; i < 512; ++i)
        sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(bad[block + i]);
      bad.replace(block + 148, 7, fmt::format("{:06o}", sum) + std::string(1, '\0'));
    }
    (void)unpack_bytes(bad);
    ASSERT_EQ(outside_state(), before) << at;
    ASSERT_TRUE(sys::remove_contents(root_.fd()));
  }
}

}  // namespace
}  // namespace berth::storage
