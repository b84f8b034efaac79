// The root mount of this very process.
#include "sys/process_root.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace berth::sys {
namespace {

TEST(ProcessRoot, IsTheMountWithoutWhatLiesOnIt) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  auto root = open_root_mount(::getpid());
  if (!root && root.error().errno_value() == EINVAL) GTEST_SKIP() << "the mounts here may not be parted";
  ASSERT_TRUE(root) << root.error().message();
  struct stat own {
  }, seen{}, mounted{}, below{};
  ASSERT_EQ(::stat("/", &own), 0);
  ASSERT_EQ(::fstat(root->get(), &seen), 0);
  EXPECT_EQ(own.st_dev, seen.st_dev);
  EXPECT_EQ(own.st_ino, seen.st_ino);
  ASSERT_EQ(::stat("/proc", &mounted), 0);
  ASSERT_EQ(::fstatat(root->get(), "proc", &below, 0), 0);
  EXPECT_EQ(below.st_dev, seen.st_dev);
  EXPECT_NE(below.st_dev, mounted.st_dev);
}

TEST(ProcessRoot, OfNobody) {
  EXPECT_EQ(open_root_mount(1 << 30).error().kind(), Kind::NotFound);
}

}  // namespace
}  // namespace berth::sys
