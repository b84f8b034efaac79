// The default AppArmor profile, without a kernel that has AppArmor.
#include "launch/apparmor.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "sys/file.h"

namespace berth::launch {
namespace {

class AppArmor : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/berth-apparmor-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { EXPECT_TRUE(sys::remove_tree(folder_)); }

  std::string profile_with(std::string_view list) const {
    EXPECT_TRUE(sys::write_file_atomic(folder_ + "/profiles", list));
    return default_apparmor_profile(folder_ + "/profiles");
  }

  std::string folder_;
};

TEST_F(AppArmor, TheProfileIsTakenWhereItIsLoaded) {
  EXPECT_EQ(default_apparmor_profile(folder_ + "/none"), "");
  EXPECT_EQ(profile_with("passt (enforce)\nlsb_release (enforce)\n"), "");
  EXPECT_EQ(profile_with("berth-default (enforce)\n"), "berth-default");
  EXPECT_EQ(profile_with("passt (enforce)\nberth-default (complain)\n"), "berth-default");
  EXPECT_EQ(profile_with("my-berth-default (enforce)\nberth-default2 (enforce)\n"), "");
}

TEST_F(AppArmor, WhatIsLoadedIsKnownByItsWholeName) {
  std::string list = folder_ + "/profiles";
  EXPECT_EQ(apparmor_profile_state("mine", list), ProfileState::Unknown);
  ASSERT_TRUE(sys::write_file_atomic(list, "/usr/bin/x (enforce)\nmine//hat (enforce)\n"));
  EXPECT_EQ(apparmor_profile_state("/usr/bin/x", list), ProfileState::Loaded);
  EXPECT_EQ(apparmor_profile_state("mine//hat", list), ProfileState::Loaded);
  EXPECT_EQ(apparmor_profile_state("mine", list), ProfileState::NotLoaded);
  EXPECT_EQ(apparmor_profile_state(":space:mine", list), ProfileState::Unknown);
}

TEST_F(AppArmor, NothingIsLoadedWhereItIsOff) {
  HostFacts host;
  host.apparmor = false;
  EXPECT_TRUE(load_default_apparmor_profile(host, folder_));
  EXPECT_NE(::access((folder_ + "/apparmor-berth-default").c_str(), F_OK), 0);
}

TEST_F(AppArmor, TheTextDeniesMountsAndTheKernelsSettings) {
  std::string text = apparmor_profile_text();
  for (const char* rule : {"deny mount,", "deny @{PROC}/sys/** wkl,", "deny /sys/firmware/** rwkl,"})
    EXPECT_NE(text.find(rule), std::string::npos) << rule;
}

}  // namespace
}  // namespace berth::launch
