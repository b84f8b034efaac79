// Names of scopes.
#include "apps/berthd/rootless/own_scope.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "sys/user_directories.h"

namespace berth::berthd::rootless {
namespace {

TEST(OwnScope, EnginesWithOtherDirectoriesHaveOthers) {
  std::string folder = ::testing::TempDir() + "own-scope-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  ::setenv("XDG_RUNTIME_DIR", folder.c_str(), 1);
  auto usual = sys::user_runtime_directory(::getuid());
  ASSERT_TRUE(usual) << usual.error().message();
  EXPECT_EQ(scope_of(*usual), "berth.scope");
  std::string one = scope_of("/run/one"), two = scope_of("/run/two");
  EXPECT_NE(one, two);
  EXPECT_TRUE(one.starts_with("berth-") && one.ends_with(".scope")) << one;
  ::unsetenv("XDG_RUNTIME_DIR");
  ::rmdir(folder.c_str());
}

}  // namespace
}  // namespace berth::berthd::rootless
