#include "engine/container_defaults.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

ContainerDefaults all() {
  return {.dns = {"10.0.0.53"},
          .dns_search = {"corp.example"},
          .dns_options = {"ndots:2"},
          .cgroupns_mode = "host",
          .ipc_mode = "shareable",
          .shm_size = 1 << 20,
          .init = true,
          .no_new_privileges = true,
          .seccomp = "unconfined"};
}

TEST(ContainerDefaults, FillWhatIsNotSaid) {
  spec::HostConfig host;
  apply_defaults(all(), host);
  EXPECT_THAT(host.dns, ElementsAre("10.0.0.53"));
  EXPECT_THAT(host.dns_search, ElementsAre("corp.example"));
  EXPECT_THAT(host.dns_options, ElementsAre("ndots:2"));
  EXPECT_EQ(host.cgroupns_mode, "host");
  EXPECT_EQ(host.ipc_mode, "shareable");
  EXPECT_EQ(host.shm_size, 1 << 20);
  EXPECT_EQ(host.init, true);
  EXPECT_THAT(host.security_opt, ElementsAre("no-new-privileges", "seccomp=unconfined"));
}

TEST(ContainerDefaults, LeaveWhatIsSaid) {
  spec::HostConfig host;
  host.network_mode = "container:x";
  host.cgroupns_mode = host.ipc_mode = "private";
  host.shm_size = 4096;
  host.init = false;
  host.security_opt = {"no-new-privileges:false", "seccomp=builtin"};
  apply_defaults(all(), host);
  EXPECT_THAT(host.dns, IsEmpty());
  EXPECT_EQ(host.cgroupns_mode, "private");
  EXPECT_EQ(host.ipc_mode, "private");
  EXPECT_EQ(host.shm_size, 4096);
  EXPECT_EQ(host.init, false);
  EXPECT_THAT(host.security_opt, ElementsAre("no-new-privileges:false", "seccomp=builtin"));
  host.security_opt = {};
  host.privileged = true;
  apply_defaults(all(), host);
  EXPECT_THAT(host.security_opt, ElementsAre("no-new-privileges"));
}

TEST(ContainerDefaults, AreChecked) {
  EXPECT_TRUE(check_defaults(all()));
  EXPECT_THAT(check_defaults({.dns = {"one.example"}}).error().message(), HasSubstr("name server"));
  EXPECT_THAT(check_defaults({.ipc_mode = "host"}).error().message(), HasSubstr("private or shareable"));
  EXPECT_THAT(check_defaults({.cgroupns_mode = "x"}).error().message(), HasSubstr("private or host"));
}

}  // namespace
}  // namespace berth::engine
