// RootDir, files and detached overlays on real directories.
#include "sys/root_dir.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "sys/detached_overlay.h"
#include "sys/file.h"

namespace berth::sys {
namespace {

class TreeTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/berth-tree-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    base_ = name;
    ASSERT_TRUE(make_dirs(base_ + "/root/etc"));
    ASSERT_TRUE(write_file_atomic(base_ + "/secret", "outside"));
    ASSERT_TRUE(write_file_atomic(base_ + "/root/etc/passwd", "inside"));
    auto root = RootDir::open(base_ + "/root");
    ASSERT_TRUE(root);
    root_ = std::move(*root);
  }
  void TearDown() override { ASSERT_TRUE(remove_tree(base_)); }

  std::string read(std::string_view path) {
    auto fd = root_.open(path, O_RDONLY);
    if (!fd) return "error";
    auto text = read_fd(fd->get(), 100);
    return text ? *text : "error";
  }

  std::string base_;
  RootDir root_;
};

TEST_F(TreeTest, LinksAndDotsStayInside) {
  ASSERT_EQ(::symlink("/etc/passwd", (base_ + "/root/absolute").c_str()), 0);
  ASSERT_EQ(::symlink("../../../../secret", (base_ + "/root/up").c_str()), 0);
  ASSERT_EQ(::symlink("../secret", (base_ + "/root/etc/near").c_str()), 0);
  EXPECT_EQ(read("/absolute"), "inside");
  EXPECT_EQ(read("../../etc/passwd"), "inside");
  EXPECT_EQ(read("up"), "error");
  EXPECT_EQ(read("etc/near"), "error");
  EXPECT_EQ(*root_.resolve("absolute"), "/etc/passwd");
  EXPECT_EQ(*root_.resolve("absolute", Follow::No), "/absolute");
  EXPECT_EQ(*root_.resolve("etc/.."), "/");
  EXPECT_EQ(*root_.resolve("/"), "/");
  auto beneath = root_.duplicate(Scope::Beneath);
  ASSERT_TRUE(beneath);
  EXPECT_EQ(beneath->open("/absolute", O_RDONLY).error().errno_value(), EXDEV);
  EXPECT_EQ(beneath->open("../secret", O_RDONLY).error().errno_value(), EXDEV);
  EXPECT_FALSE(root_.open(std::string_view("a\0b", 3), O_RDONLY));
}

TEST_F(TreeTest, MagicLinksAreRefused) {
  auto proc = RootDir::open("/proc");
  ASSERT_TRUE(proc);
  EXPECT_EQ(proc->open("self/root", O_PATH | O_DIRECTORY).error().errno_value(), ELOOP);
}

TEST_F(TreeTest, MakesAndRemoves) {
  ASSERT_EQ(::symlink("/etc", (base_ + "/root/link").c_str()), 0);
  ASSERT_TRUE(root_.make_dirs("/link/a/b", 0755, ::geteuid(), ::getegid()));
  EXPECT_TRUE(root_.exists("etc/a/b"));
  EXPECT_EQ(::access((base_ + "/root/etc/a/b").c_str(), F_OK), 0);
  EXPECT_FALSE(root_.remove_all("/"));
  EXPECT_FALSE(root_.remove_all("etc/.."));
  ASSERT_TRUE(root_.remove_all("link"));
  EXPECT_TRUE(root_.exists("etc/passwd"));
  ASSERT_TRUE(root_.chmod("etc/passwd", 0600));
  EXPECT_EQ(root_.stat("etc/passwd")->st_mode & 07777, 0600u);
  ASSERT_TRUE(root_.rename("etc/passwd", "moved"));
  EXPECT_EQ(read("moved"), "inside");
  ASSERT_TRUE(root_.remove_all("etc"));
  EXPECT_FALSE(root_.exists("etc"));
  EXPECT_TRUE(root_.remove_all("etc/none"));
}

TEST_F(TreeTest, RemovesVeryDeepTrees) {
  auto current = RootDir::open(base_ + "/root");
  ASSERT_TRUE(current);
  for (int i = 0; i < 1500; ++i) {
    ASSERT_TRUE(current->mkdir("d", 0755));
    auto next = current->open("d", O_PATH | O_DIRECTORY);
    ASSERT_TRUE(next);
    current = RootDir(std::move(*next));
  }
  EXPECT_TRUE(disk_usage(base_ + "/root"));
  ASSERT_TRUE(remove_tree(base_ + "/root"));
  EXPECT_EQ(::access((base_ + "/root").c_str(), F_OK), -1);
  ASSERT_TRUE(make_dirs(base_ + "/root"));
}

TEST_F(TreeTest, ReadsAreBoundedAndNeverBlock) {
  EXPECT_EQ(read_file(base_ + "/secret", 3).error().kind(), Kind::Exhausted);
  EXPECT_EQ(*read_file(base_ + "/secret", 7), "outside");
  ASSERT_EQ(::mkfifo((base_ + "/fifo").c_str(), 0600), 0);
  EXPECT_EQ(read_file(base_ + "/fifo", 10).error().kind(), Kind::InvalidArgument);
  EXPECT_EQ(read_file("/dev/zero", 10).error().kind(), Kind::InvalidArgument);
  EXPECT_TRUE(read_file("/proc/self/status", 1 << 16));
}

TEST_F(TreeTest, CopiesKeepHoles) {
  auto from = open_file((base_ + "/sparse").c_str(), O_RDWR | O_CREAT, 0644);
  auto to = open_file((base_ + "/copy").c_str(), O_RDWR | O_CREAT, 0644);
  ASSERT_TRUE(from && to);
  ASSERT_TRUE(pwrite_all(from->get(), "data", 8 << 20));
  ASSERT_EQ(::ftruncate(from->get(), 16 << 20), 0);
  EXPECT_EQ(*copy_content(from->get(), to->get()), 16u << 20);
  struct stat status {};
  ASSERT_EQ(::fstat(to->get(), &status), 0);
  EXPECT_EQ(status.st_size, 16 << 20);
  EXPECT_LT(status.st_blocks * 512, 1 << 20);
  char text[4];
  ASSERT_EQ(::pread(to->get(), text, 4, 8 << 20), 4);
  EXPECT_EQ(std::string_view(text, 4), "data");
}

TEST_F(TreeTest, AttributesReadBack) {
  auto fd = root_.open("etc/passwd", O_RDONLY);
  ASSERT_TRUE(fd);
  auto set = set_xattr(fd->get(), "user.test", std::string_view("a\0b", 3));
  if (!set) GTEST_SKIP() << "no user attributes here: " << set.error().message();
  auto path = root_.open_path("etc/passwd");
  ASSERT_TRUE(path);
  EXPECT_EQ(get_xattr(path->get(), "user.test")->size(), 3u);
  EXPECT_EQ(get_xattr(path->get(), "user.none").error().kind(), Kind::NotFound);
  auto all = read_xattrs(path->get());
  ASSERT_TRUE(all);
  EXPECT_EQ(all->back().name, "user.test");
}

TEST_F(TreeTest, DetachedOverlayMergesWithoutTouchingTheMountTable) {
  if (::geteuid() != 0) GTEST_SKIP() << "mounting needs root";
  for (const char* name : {"/low1", "/low2", "/up", "/work"}) ASSERT_TRUE(make_dirs(base_ + name));
  ASSERT_TRUE(write_file_atomic(base_ + "/low1/a", "top"));
  ASSERT_TRUE(write_file_atomic(base_ + "/low2/a", "bottom"));
  ASSERT_TRUE(write_file_atomic(base_ + "/low2/b", "b"));
  auto before = read_file("/proc/self/mountinfo", 1 << 20);
  {
    auto view = open_detached_overlay({.lower = {base_ + "/low1", base_ + "/low2"},
                                       .upper = base_ + "/up",
                                       .work = base_ + "/work",
                                       .options = {"index=off"}});
    ASSERT_TRUE(view) << view.error().message();
    auto a = view->open("a", O_RDONLY);
    ASSERT_TRUE(a);
    EXPECT_EQ(*read_fd(a->get(), 10), "top");
    EXPECT_TRUE(view->exists("b"));
    ASSERT_TRUE(view->unlink("b"));
    EXPECT_EQ(*view->resolve("/"), "/");
    EXPECT_EQ(*view->resolve("a"), "/a");
  }
  EXPECT_EQ(*before, *read_file("/proc/self/mountinfo", 1 << 20));
  struct stat status {};
  ASSERT_EQ(::lstat((base_ + "/up/b").c_str(), &status), 0);
  EXPECT_TRUE(S_ISCHR(status.st_mode));
  EXPECT_FALSE(open_detached_overlay({.lower = {base_ + "/none", base_ + "/low2"}}));
}

}  // namespace
}  // namespace berth::sys
