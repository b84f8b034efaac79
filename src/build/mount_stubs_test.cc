// What had to be made for mounts goes again, and nothing else does.
#include "build/mount_stubs.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/testing.h"
#include "sys/file.h"

namespace berth::build {
namespace {

class Stubs : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(sys::make_dirs(lower() + "/etc"));
    ASSERT_TRUE(sys::make_dirs(upper()));
    ASSERT_TRUE(sys::write_file_atomic(lower() + "/etc/hosts", ""));
    below_ = std::move(*sys::RootDir::open(lower()));
  }
  std::string lower() const { return directory_.path() + "/lower"; }
  std::string upper() const { return directory_.path() + "/upper"; }
  void touch(const std::string& path, std::string_view text = "") {
    ASSERT_TRUE(sys::write_file_atomic(upper() + path, text));
  }
  void dirs(const std::string& path) { ASSERT_TRUE(sys::make_dirs(upper() + path)); }
  bool there(const std::string& path) { return ::access((upper() + path).c_str(), F_OK) == 0; }
  void remove(const std::vector<std::string>& targets) {
    ASSERT_TRUE(remove_stubs(upper(), &below_, find_missing(below_, targets), targets));
  }

  storage::TempDir directory_;
  sys::RootDir below_;
};

TEST_F(Stubs, FindsWhatIsMissingWithItsParents) {
  EXPECT_EQ(find_missing(below_, {"/etc/hosts", "/etc/resolv.conf", "/a/b", "/a/c"}),
            (std::vector<std::string>{"/etc/resolv.conf", "/a", "/a/b", "/a/c"}));
  EXPECT_EQ(find_missing(sys::RootDir(), {"/proc"}), (std::vector<std::string>{"/proc"}));
}

TEST_F(Stubs, RemovesEmptyOnesAndPassedThroughDirectories) {
  dirs("/etc");
  touch("/etc/resolv.conf");
  dirs("/proc");
  dirs("/run/secrets");
  touch("/run/secrets/token");
  remove({"/proc", "/etc/hosts", "/etc/resolv.conf", "/run/secrets/token"});
  EXPECT_FALSE(there("/proc"));
  EXPECT_FALSE(there("/run"));
  EXPECT_FALSE(there("/etc"));
}

TEST_F(Stubs, KeepsWhatTheStepHasWritten) {
  dirs("/etc");
  touch("/etc/resolv.conf", "nameserver 1.1.1.1");
  touch("/etc/own", "x");
  dirs("/cache");
  touch("/cache/kept", "y");
  remove({"/etc/resolv.conf", "/cache"});
  EXPECT_TRUE(there("/etc/resolv.conf"));
  EXPECT_TRUE(there("/etc/own"));
  EXPECT_TRUE(there("/cache/kept"));
}

TEST_F(Stubs, KeepsChangedDirectories) {
  dirs("/etc");
  ASSERT_EQ(::chmod((upper() + "/etc").c_str(), 0700), 0);
  remove({"/etc/hosts"});
  EXPECT_TRUE(there("/etc"));
}

// CVE-2024-23652: a step puts a link where a stub's parent was, and the clean-up follows it.
TEST_F(Stubs, FollowsNoLink) {
  const std::string outside = directory_.path() + "/outside";
  ASSERT_TRUE(sys::make_dirs(outside + "/secrets"));
  ASSERT_TRUE(sys::write_file_atomic(outside + "/token", ""));
  ASSERT_EQ(::symlink(outside.c_str(), (upper() + "/run").c_str()), 0);
  remove({"/run/token", "/run/secrets"});
  EXPECT_EQ(::access((outside + "/token").c_str(), F_OK), 0);
  EXPECT_EQ(::access((outside + "/secrets").c_str(), F_OK), 0);
  EXPECT_TRUE(there("/run"));
}

}  // namespace
}  // namespace berth::build
