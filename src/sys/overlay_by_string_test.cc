// Overlays by string, as kernels before 6.7 need them and newer ones still take them.
#include "sys/overlay_by_string.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "base/format.h"
#include "sys/file.h"
#include "sys/mapped_tree.h"

namespace berth::sys {
namespace {

class OverlayByString : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "mounting needs root";
    char name[] = "/tmp/berth-overlay-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    base_ = name;
  }
  void TearDown() override {
    if (base_.empty()) return;
    EXPECT_TRUE(remove_tree(base_));
  }

  std::string make(const std::string& name, const std::string& file, const std::string& text) {
    std::string path = base_ + "/" + name;
    EXPECT_TRUE(make_dirs(path));
    EXPECT_TRUE(write_file_atomic(path + "/" + file, text));
    return path;
  }

  static std::string read(int mount, const char* name) {
    UniqueFd file(::openat(mount, name, O_RDONLY | O_CLOEXEC));
    if (!file) return "error";
    return read_fd(file.get(), 100).value_or("error");
  }

  std::string base_;
};

TEST_F(OverlayByString, MergesOutOfEverybodysSight) {
  OverlayLayers layers{.lower = {make("a,b", "x", "top"), make("c:d", "x", "bottom"), make("e", "y", "y")},
                       .upper = base_ + "/up",
                       .work = base_ + "/work"};
  ASSERT_TRUE(make_dirs(layers.upper));
  ASSERT_TRUE(make_dirs(layers.work));
  auto before = read_file("/proc/self/mountinfo", 1 << 20);
  {
    auto mount = mount_overlay_by_string(layers, MOUNT_ATTR_NOSUID);
    ASSERT_TRUE(mount) << mount.error().message();
    EXPECT_EQ(read(mount->get(), "x"), "top");
    EXPECT_EQ(read(mount->get(), "y"), "y");
    EXPECT_EQ(::unlinkat(mount->get(), "y", 0), 0);
    EXPECT_EQ(*before, *read_file("/proc/self/mountinfo", 1 << 20));
  }
  struct stat status {};
  ASSERT_EQ(::lstat((layers.upper + "/y").c_str(), &status), 0);
  EXPECT_TRUE(S_ISCHR(status.st_mode));
}

TEST_F(OverlayByString, MoreLayersThanTheirPathsFit) {
  OverlayLayers layers;
  for (int i = 0; i < 100; ++i)
    layers.lower.push_back(make(fmt::format("{:064}", i), fmt::format("f{}", i), "there"));
  auto mount = mount_overlay_by_string(layers, MOUNT_ATTR_RDONLY);
  ASSERT_TRUE(mount) << mount.error().message();
  EXPECT_EQ(read(mount->get(), "f0"), "there");
  EXPECT_EQ(read(mount->get(), "f99"), "there");
  EXPECT_LT(::openat(mount->get(), "new", O_CREAT | O_WRONLY | O_CLOEXEC, 0600), 0);
}

TEST_F(OverlayByString, OwnersAreMappedInAllLayers) {
  OverlayLayers layers{
      .lower = {make("low", "x", "text")}, .upper = base_ + "/rw/up", .work = base_ + "/rw/work"};
  ASSERT_TRUE(make_dirs(layers.upper));
  ASSERT_TRUE(make_dirs(layers.work));
  auto user_namespace = make_user_namespace("0 300000 65536", "0 300000 65536");
  ASSERT_TRUE(user_namespace) << user_namespace.error().message();
  OwnerMapping mapping{.user_namespace = user_namespace->get(), .root_uid = 300000, .root_gid = 300000};
  auto mount = mount_overlay_by_string(layers, 0, &mapping);
  if (!mount) GTEST_SKIP() << mount.error().message();
  struct stat status {};
  ASSERT_EQ(::fstatat(mount->get(), "x", &status, 0), 0);
  EXPECT_EQ(status.st_uid, 300000u);
  ASSERT_EQ(::lstat((base_ + "/low/x").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 0u);
}

TEST_F(OverlayByString, WhatCannotBeMountedIsNamed) {
  auto mount = mount_overlay_by_string({.lower = {base_ + "/none", base_ + "/neither"}}, 0);
  ASSERT_FALSE(mount);
  EXPECT_NE(mount.error().message().find("mount overlay"), std::string::npos);
}

}  // namespace
}  // namespace berth::sys
