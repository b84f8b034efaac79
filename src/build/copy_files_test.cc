// COPY and ADD onto a root: destinations, attributes, links in hostile places, archives.
#include "build/copy_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "build/index_tree.h"
#include "storage/testing.h"

namespace berth::build {
namespace {

using storage::TarBytes;
using storage::TempDir;

class CopyFiles : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "files are given to root";
    ASSERT_TRUE(sys::make_dirs(root_path()));
    ASSERT_TRUE(sys::make_dirs(outside()));
    root_ = std::move(*sys::RootDir::open(root_path()));
  }
  std::string root_path() const { return directory_.path() + "/root"; }
  std::string outside() const { return directory_.path() + "/outside"; }

  void context(const TarBytes& tar) {
    const std::string bytes = tar.finish();
    storage::StringSource source(bytes);
    auto made = IndexTree::from_tar(source, directory_.path(), {}, {});
    ASSERT_TRUE(made) << made.error().message();
    tree_ = std::move(*made);
  }
  static CopyOp op(std::vector<std::string> sources, std::string destination) {
    CopyOp op{.destination = std::move(destination)};
    for (auto& path : sources)
      op.sources.push_back({.path = path, .wildcards = path.find('*') != std::string::npos});
    return op;
  }
  std::string run(const CopyOp& op) {
    auto done = copy_files(op, {.root = root_, .inputs = {tree_.get()}});
    return done ? "" : done.error().message();
  }
  std::string copy(std::vector<std::string> sources, std::string destination) {
    return run(op(std::move(sources), std::move(destination)));
  }
  std::string read(const std::string& path) {
    auto text = sys::read_file(root_path() + path, 1 << 20);
    return text ? *text : "error: " + text.error().message();
  }
  struct stat status(const std::string& path) {
    struct stat found {};
    EXPECT_EQ(::lstat((root_path() + path).c_str(), &found), 0) << path;
    return found;
  }

  TempDir directory_;
  sys::RootDir root_;
  std::unique_ptr<IndexTree> tree_;
};

TEST_F(CopyFiles, FindsDestinations) {
  context(TarBytes().file("f", "F").file("g", "G").file("d/x", "X").file("d/sub/y", "Y"));
  EXPECT_EQ(copy({"/f"}, "/new/name"), "");
  EXPECT_EQ(read("/new/name"), "F");
  EXPECT_EQ(copy({"/f"}, "/dir/"), "");
  EXPECT_EQ(read("/dir/f"), "F");
  EXPECT_EQ(copy({"/g"}, "/dir"), "") << "an existing directory takes the file in";
  EXPECT_EQ(read("/dir/g"), "G");
  EXPECT_EQ(copy({"/d"}, "/contents"), "");
  EXPECT_EQ(read("/contents/x"), "X");
  EXPECT_EQ(read("/contents/sub/y"), "Y");
  EXPECT_EQ(copy({"/f", "/d"}, "/many/"), "");
  EXPECT_EQ(read("/many/f"), "F");
  EXPECT_EQ(read("/many/x"), "X");
  EXPECT_EQ(copy({"/*"}, "/all/"), "");
  EXPECT_EQ(read("/all/g"), "G");
  EXPECT_EQ(
      copy({"/*"}, "/all"),
      "When using COPY with more than one source file, the destination must be a directory and end with a /");
  EXPECT_EQ(copy({"/none*"}, "/nothing/"), "");
  EXPECT_EQ(copy({"/f"}, "/"), "");
  EXPECT_EQ(read("/f"), "F");
}

TEST_F(CopyFiles, RefusesToMixKinds) {
  context(TarBytes().file("f", "F").file("d/x", "X").dir("e/d"));
  ASSERT_EQ(copy({"/f"}, "/file"), "");
  EXPECT_EQ(copy({"/d"}, "/file"), "cannot copy to non-directory: /file");
  EXPECT_EQ(copy({"/f"}, "/file/"), "cannot copy to non-directory: /file/");
  ASSERT_EQ(copy({"/f"}, "/t/d"), "");
  EXPECT_EQ(copy({"/e"}, "/t"), "cannot copy to non-directory: d");
  ASSERT_EQ(copy({"/d"}, "/u/x"), "");
  EXPECT_EQ(copy({"/d"}, "/u"), "cannot replace to directory x with file");
  EXPECT_EQ(copy({"/missing"}, "/x"), "\"/missing\": not found");
}

TEST_F(CopyFiles, KeepsAttributesOfTheContextButItsOwners) {
  context(TarBytes()
              .add({.name = "d/f", .content = "x", .mode = 04751, .uid = 7, .gid = 8, .mtime = 1234})
              .add({.name = "d/sub/", .type = '5', .mode = 0700, .mtime = 55})
              .file("d/sub/z", "z")
              .symlink("d/l", "nowhere")
              .hardlink("d/h", "d/f")
              .add({.name = "d/p", .type = '6', .mode = 0600}));
  EXPECT_EQ(copy({"/d"}, "/out"), "");
  EXPECT_EQ(status("/out/f").st_mode, static_cast<mode_t>(S_IFREG | 04751));
  EXPECT_EQ(status("/out/f").st_uid, 0u);
  EXPECT_EQ(status("/out/f").st_mtime, 1234);
  EXPECT_EQ(status("/out/sub").st_mode, static_cast<mode_t>(S_IFDIR | 0700));
  EXPECT_EQ(status("/out/sub").st_mtime, 55) << "set after what is in it was written";
  EXPECT_TRUE(S_ISLNK(status("/out/l").st_mode));
  EXPECT_EQ(status("/out/h").st_ino, status("/out/f").st_ino);
  EXPECT_TRUE(S_ISFIFO(status("/out/p").st_mode));
  EXPECT_EQ(status("/out").st_mode, static_cast<mode_t>(S_IFDIR | 0755));
}

TEST_F(CopyFiles, GivesOwnersAndModes) {
  context(TarBytes().file("f", "x").file("d/g", "y"));
  ASSERT_TRUE(sys::make_dirs(root_path() + "/etc"));
  ASSERT_TRUE(sys::write_file_atomic(root_path() + "/etc/passwd",
                                     "root:x:0:0::/:/bin/sh\nweb:x:33:44::/:/bin/sh\nbad:x:zz:1::\n"));
  ASSERT_TRUE(sys::write_file_atomic(root_path() + "/etc/group", "root:x:0:\nstaff:x:50:\n"));
  CopyOp named = op({"/f"}, "/new/dir/f");
  named.owner = Owner{"web"};
  EXPECT_EQ(run(named), "");
  EXPECT_EQ(status("/new/dir/f").st_uid, 33u);
  EXPECT_EQ(status("/new/dir/f").st_gid, 44u);
  EXPECT_EQ(status("/new/dir").st_uid, 33u) << "directories made for it belong to the owner too";
  named.destination = "/two";
  named.owner = Owner{"1000", "staff"};
  named.chmod = "u=rwX,go=r";
  EXPECT_EQ(run(named), "");
  EXPECT_EQ(status("/two").st_uid, 1000u);
  EXPECT_EQ(status("/two").st_gid, 50u);
  EXPECT_EQ(status("/two").st_mode & 07777, 0644u);
  named.owner = Owner{"1000"};
  named.chmod = "750";
  named.sources[0].path = "/d";
  named.destination = "/three/";
  EXPECT_EQ(run(named), "");
  EXPECT_EQ(status("/three/g").st_gid, 1000u);
  EXPECT_EQ(status("/three/g").st_mode & 07777, 0750u);
  named.owner = Owner{"nobody"};
  EXPECT_EQ(run(named), "unable to find user nobody: no matching entries in passwd file");
  named.owner = Owner{"0", "wheel"};
  EXPECT_EQ(run(named), "unable to find group wheel: no matching entries in group file");
  named.owner = Owner{"bad"};
  EXPECT_EQ(run(named), "unable to find user bad: no matching entries in passwd file");
}

TEST_F(CopyFiles, StaysInsideTheRoot) {
  context(TarBytes().file("f", "new").file("d/deep/f", "deep"));
  const std::string out = outside();
  ASSERT_EQ(::symlink(out.c_str(), (root_path() + "/abs").c_str()), 0);
  ASSERT_EQ(::symlink("../../../../../../../../tmp", (root_path() + "/up").c_str()), 0);
  EXPECT_EQ(copy({"/f"}, "/abs/x"), "");
  EXPECT_FALSE(sys::read_file(out + "/x", 10)) << "a link out of the root leads to the same path inside it";
  EXPECT_EQ(read(out + "/x"), "new");
  EXPECT_EQ(copy({"/f"}, "/up/berth-escaped"), "");
  EXPECT_NE(::access("/tmp/berth-escaped", F_OK), 0);
  // The last element is followed inside the root as well, and what it leads to is replaced.
  ASSERT_TRUE(sys::write_file_atomic(root_path() + "/real", "old"));
  ASSERT_EQ(::symlink("/real", (root_path() + "/to-file").c_str()), 0);
  EXPECT_EQ(copy({"/f"}, "/to-file"), "");
  EXPECT_EQ(read("/real"), "new");
  // Below a directory that is copied, a link is in the way, not a way.
  ASSERT_TRUE(sys::make_dirs(root_path() + "/merge"));
  ASSERT_EQ(::symlink(out.c_str(), (root_path() + "/merge/deep").c_str()), 0);
  EXPECT_EQ(copy({"/d"}, "/merge"), "cannot copy to non-directory: deep");
  ASSERT_TRUE(sys::make_dirs(root_path() + "/merge2"));
  ASSERT_EQ(::symlink((out + "/target").c_str(), (root_path() + "/merge2/f").c_str()), 0);
  EXPECT_EQ(copy({"/d/deep"}, "/merge2"), "");
  EXPECT_EQ(read("/merge2/f"), "deep");
  EXPECT_NE(::access((out + "/target").c_str(), F_OK), 0);
  ASSERT_EQ(::symlink("loop", (root_path() + "/loop").c_str()), 0);
  EXPECT_NE(copy({"/f"}, "/loop"), "");
}

TEST_F(CopyFiles, UnpacksArchivesForAdd) {
  const std::string inner = TarBytes()
                                .add({.name = "bin/tool", .content = "T", .mode = 0755, .uid = 12, .gid = 13})
                                .symlink("esc", outside())
                                .finish();
  context(TarBytes()
              .file("a.tar", inner)
              .file("plain", "not a tar")
              .file("zeros", std::string(1024, '\0'))
              .file("fake.gz", "\x1f\x8b nope"));
  CopyOp add = op({"/a.tar"}, "/opt/tool");
  add.sources[0].unpack = Unpack::LocalArchives;
  EXPECT_EQ(run(add), "");
  EXPECT_EQ(read("/opt/tool/bin/tool"), "T");
  EXPECT_EQ(status("/opt/tool/bin/tool").st_uid, 12u);
  add.owner = Owner{"5", "6"};
  add.destination = "/owned/";
  EXPECT_EQ(run(add), "");
  EXPECT_EQ(status("/owned/bin/tool").st_uid, 5u);
  for (const char* name : {"/plain", "/zeros", "/fake.gz"}) {
    CopyOp file = op({name}, "/files/");
    file.sources[0].unpack = Unpack::LocalArchives;
    EXPECT_EQ(run(file), "") << name;
    EXPECT_EQ(::access((root_path() + "/files" + name).c_str(), F_OK), 0) << name;
  }
  CopyOp forced = op({"/plain"}, "/x/");
  forced.sources[0].unpack = Unpack::Yes;
  EXPECT_EQ(run(forced), "plain is not an archive");
  const std::string hostile = TarBytes().symlink("l", outside()).file("l/pwned", "x").finish();
  context(TarBytes().file("h.tar", hostile));
  CopyOp bad = op({"/h.tar"}, "/hostile/");
  bad.sources[0].unpack = Unpack::LocalArchives;
  run(bad);
  EXPECT_NE(::access((outside() + "/pwned").c_str(), F_OK), 0);
}

TEST_F(CopyFiles, MakesWorkingDirectories) {
  EXPECT_TRUE(make_directory({"/srv/app", Owner{"7"}}, root_));
  EXPECT_EQ(status("/srv/app").st_uid, 7u);
  EXPECT_EQ(status("/srv").st_uid, 7u);
  EXPECT_TRUE(make_directory({"/srv/app", Owner{"9"}}, root_));
  EXPECT_EQ(status("/srv/app").st_uid, 7u) << "what exists stays as it is";
}

}  // namespace
}  // namespace berth::build
