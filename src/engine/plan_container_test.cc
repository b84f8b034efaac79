// Tests of the way from a container's record to the runtime specification: every option's effect, asserted on
// the plan.
#include "engine/plan_container.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/container_limits.h"
#include "engine/plan_mounts.h"
#include "engine/testing.h"

namespace berth::engine {
namespace {

using ::testing::Contains;
using ::testing::Not;

launch::HostFacts host_facts() {
  launch::HostFacts host;
  host.kernel = {6, 18};
  host.capabilities = (uint64_t{1} << 41) - 1;
  host.last_capability = 40;
  host.seccomp_filter = true;
  return host;
}

class PlanContainer : public ::testing::Test {
 protected:
  ContainerPlan plan() {
    auto planned = plan_container(record, joined, host);
    EXPECT_TRUE(planned) << planned.error().message();
    return planned ? std::move(*planned) : ContainerPlan{};
  }
  std::string error() {
    auto planned = plan_container(record, joined, host);
    return planned ? "" : planned.error().message();
  }
  const spec::Mount* mount(const spec::RuntimeSpec& spec, std::string_view destination) {
    for (const spec::Mount& mount : spec.mounts) {
      if (mount.destination == destination) return &mount;
    }
    return nullptr;
  }
  bool has_namespace(const spec::RuntimeSpec& spec, spec::NamespaceType type) {
    for (const spec::Namespace& entry : spec.namespaces) {
      if (entry.type == type) return true;
    }
    return false;
  }
  ContainerRecord record = testing::record("web");
  JoinedNamespaces joined;
  launch::HostFacts host = host_facts();
};

TEST_F(PlanContainer, RunsWhatTheRecordSays) {
  record.path = "sh";
  record.args = {"-c", "true"};
  record.config.env = {"A=1", "PATH=/x", "GONE"};
  record.config.working_dir = "/srv";
  record.config.user = "app:grp";
  record.config.tty = true;
  record.host_config.group_add = {"audio"};
  record.host_config.console_size = {24, 80};
  auto planned = plan();
  const spec::Process& process = planned.spec.process;
  EXPECT_EQ(process.args, (std::vector<std::string>{"sh", "-c", "true"}));
  EXPECT_THAT(process.env, Contains("PATH=/x"));
  EXPECT_THAT(process.env, Contains("HOSTNAME=" + record.config.hostname));
  EXPECT_THAT(process.env, Contains("TERM=xterm"));
  EXPECT_EQ(process.cwd, "/srv");
  EXPECT_EQ(process.user.name, "app:grp");
  EXPECT_EQ(process.user.additional_groups, std::vector<std::string>{"audio"});
  EXPECT_EQ(process.console_size->width, 80);
}

TEST_F(PlanContainer, DefaultSandbox) {
  auto planned = plan();
  EXPECT_EQ(planned.spec.process.capabilities->bounding.size(), 14u);
  EXPECT_THAT(planned.spec.masked_paths, Contains("/proc/kcore"));
  EXPECT_THAT(planned.spec.readonly_paths, Contains("/proc/sys"));
  EXPECT_FALSE(planned.spec.resources.devices.empty());
  EXPECT_THAT(mount(planned.spec, "/sys")->options, Contains("ro"));
  EXPECT_TRUE(planned.warnings.empty());
}

TEST_F(PlanContainer, CapabilitiesAddAndDrop) {
  record.host_config.cap_add = {"net_admin"};
  record.host_config.cap_drop = {"CAP_CHOWN"};
  auto planned = plan();
  ASSERT_TRUE(planned.spec.process.capabilities);
  const spec::Capabilities& capabilities = *planned.spec.process.capabilities;
  EXPECT_THAT(capabilities.bounding, Contains("CAP_NET_ADMIN"));
  EXPECT_THAT(capabilities.effective, Not(Contains("CAP_CHOWN")));
  EXPECT_TRUE(capabilities.inheritable.empty());
  EXPECT_TRUE(capabilities.ambient.empty());
  record.host_config.cap_add = {"nope"};
  EXPECT_NE(error().find("unknown capability"), std::string::npos);
}

TEST_F(PlanContainer, Namespaces) {
  auto own = plan();
  for (auto type : {spec::NamespaceType::Pid, spec::NamespaceType::Network, spec::NamespaceType::Mount,
                    spec::NamespaceType::Ipc, spec::NamespaceType::Uts, spec::NamespaceType::Cgroup}) {
    EXPECT_TRUE(has_namespace(own.spec, type));
  }
  record.host_config.pid_mode = "host";
  record.host_config.ipc_mode = "host";
  record.host_config.uts_mode = "host";
  record.host_config.network_mode = "host";
  record.host_config.cgroupns_mode = "host";
  auto shared = plan();
  EXPECT_FALSE(has_namespace(shared.spec, spec::NamespaceType::Pid));
  EXPECT_FALSE(has_namespace(shared.spec, spec::NamespaceType::Ipc));
  EXPECT_FALSE(has_namespace(shared.spec, spec::NamespaceType::Uts));
  EXPECT_FALSE(has_namespace(shared.spec, spec::NamespaceType::Network));
  EXPECT_FALSE(has_namespace(shared.spec, spec::NamespaceType::Cgroup));
  EXPECT_TRUE(has_namespace(shared.spec, spec::NamespaceType::Mount));
  EXPECT_EQ(mount(shared.spec, "/dev/shm")->type, "bind");
}

TEST_F(PlanContainer, JoinsOthers) {
  joined = {.network = "/proc/7/ns/net", .ipc = "", .pid = "/proc/7/ns/pid"};
  record.host_config.network_mode = "container:x";
  record.host_config.pid_mode = "container:x";
  auto planned = plan();
  for (const spec::Namespace& entry : planned.spec.namespaces) {
    if (entry.type == spec::NamespaceType::Network) {
      EXPECT_EQ(entry.path, "/proc/7/ns/net");
    }
    if (entry.type == spec::NamespaceType::Pid) {
      EXPECT_EQ(entry.path, "/proc/7/ns/pid");
    }
    if (entry.type == spec::NamespaceType::Ipc) {
      EXPECT_EQ(entry.path, "");
    }
  }
}

TEST_F(PlanContainer, SecurityOptions) {
  EXPECT_TRUE(plan().spec.seccomp);
  EXPECT_FALSE(plan().spec.process.no_new_privileges);
  record.host_config.security_opt = {"no-new-privileges", "seccomp=unconfined", "systempaths=unconfined"};
  auto planned = plan();
  EXPECT_FALSE(planned.spec.seccomp);
  EXPECT_TRUE(planned.spec.process.no_new_privileges);
  EXPECT_TRUE(planned.spec.masked_paths.empty());
  EXPECT_TRUE(planned.spec.readonly_paths.empty());
  record.host_config.privileged = true;
  record.host_config.security_opt = {};
  EXPECT_FALSE(plan().spec.seccomp);
  record.host_config.security_opt = {R"(seccomp={"defaultAction":"SCMP_ACT_ALLOW"})"};
  EXPECT_TRUE(plan().spec.seccomp) << "asked for by name";
  record.host_config.privileged = false;
  record.host_config.security_opt = {"apparmor=profile"};
  EXPECT_EQ(plan().warnings.size(), 1u);
  record.host_config.security_opt = {"seccomp={broken"};
  EXPECT_NE(error(), "");
}

TEST_F(PlanContainer, SysctlsStayInTheContainersNamespaces) {
  record.host_config.sysctls = {{"net.ipv4.ip_forward", "1"}, {"kernel.msgmax", "1"}};
  EXPECT_EQ(plan().spec.sysctl.size(), 2u);
  record.host_config.sysctls = {{"kernel.core_pattern", "x"}};
  EXPECT_EQ(error(), "sysctl \"kernel.core_pattern\" is not in a separate kernel namespace");
  record.host_config.sysctls = {{"net/../kernel/core_pattern", "x"}};
  EXPECT_NE(error(), "");
  record.host_config.sysctls = {{"net.ipv4.ip_forward", "1"}};
  record.host_config.network_mode = "host";
  EXPECT_EQ(error(), "sysctl 'net.ipv4.ip_forward' not allowed in host network namespace");
}

TEST_F(PlanContainer, MountsGoParentsFirst) {
  record.mounts = {
      {.type = spec::MountType::Bind,
       .source = "/host",
       .destination = "/a/b",
       .read_write = false,
       .propagation = "rprivate"},
      {.type = spec::MountType::Volume, .name = "v", .source = "/vol", .destination = "/a"},
      {.type = spec::MountType::Tmpfs, .destination = "/t", .tmpfs_options = {"noexec", "size=1m"}}};
  record.host_config.tmpfs = {{"/run", "exec,mode=755"}};
  record.hosts_path = "/files/hosts";
  auto planned = plan();
  const spec::Mount* bind = mount(planned.spec, "/a/b");
  ASSERT_NE(bind, nullptr);
  EXPECT_THAT(bind->options, Contains("ro"));
  EXPECT_THAT(bind->options, Contains("rro"));
  EXPECT_LT(mount(planned.spec, "/a"), bind);
  EXPECT_EQ(mount(planned.spec, "/t")->options, (std::vector<std::string>{"noexec", "size=1m"}));
  EXPECT_THAT(mount(planned.spec, "/run")->options, Not(Contains("noexec")));
  EXPECT_EQ(mount(planned.spec, "/etc/hosts")->source, "/files/hosts");
  EXPECT_EQ(mount(planned.spec, "/etc/hostname"), nullptr);
}

TEST_F(PlanContainer, OnesOwnShmReplacesTheDefault) {
  record.host_config.shm_size = 1 << 20;
  EXPECT_THAT(mount(plan().spec, "/dev/shm")->options, Contains("size=1048576"));
  record.mounts = {{.type = spec::MountType::Bind, .source = "/s", .destination = "/dev/shm"}};
  auto planned = plan();
  EXPECT_EQ(mount(planned.spec, "/dev/shm")->source, "/s");
}

TEST_F(PlanContainer, UlimitsInitAndScore) {
  record.host_config.resources.ulimits = {{"nofile", 10, 20}, {"core", -1, -1}};
  record.host_config.init = true;
  record.host_config.oom_score_adj = 100;
  record.host_config.readonly_rootfs = true;
  auto planned = plan();
  ASSERT_EQ(planned.spec.process.rlimits.size(), 2u);
  EXPECT_EQ(planned.spec.process.rlimits[0].type, "RLIMIT_NOFILE");
  EXPECT_EQ(planned.spec.process.rlimits[1].hard, UINT64_MAX);
  EXPECT_EQ(planned.init, launch::InitMode::Berth);
  EXPECT_EQ(planned.spec.process.oom_score_adj, 100);
  EXPECT_TRUE(planned.spec.root.readonly);
  record.host_config.resources.ulimits = {{"nope", 1, 1}};
  EXPECT_EQ(error(), "invalid ulimit type: nope");
  record.host_config.resources.ulimits = {{"nofile", 20, 10}};
  EXPECT_NE(error(), "");
}

TEST_F(PlanContainer, ExecTakesTheContainersPlace) {
  record.config.user = "app";
  record.config.env = {"A=1"};
  auto planned = plan();
  spec::ExecConfig exec{.env = {"A=2"}, .cmd = {"id"}};
  auto process = plan_exec(record, exec, planned.spec.process, host);
  ASSERT_TRUE(process);
  EXPECT_EQ(process->user.name, "app");
  EXPECT_THAT(process->env, Contains("A=2"));
  EXPECT_EQ(process->capabilities->bounding, planned.spec.process.capabilities->bounding);
  exec.working_dir = "rel";
  EXPECT_FALSE(plan_exec(record, exec, planned.spec.process, host));
  exec.working_dir = "/proc/self/fd/7";
  exec.privileged = true;
  EXPECT_GT(plan_exec(record, exec, planned.spec.process, host)->capabilities->bounding.size(), 14u);
}

TEST(Limits, ReadAsDockers) {
  auto message = [](const spec::ContainerResources& resources) {
    auto limits = limits_of(resources, {});
    return limits ? "" : limits.error().message();
  };
  EXPECT_EQ(message({.memory = 1 << 20}), "Minimum memory limit allowed is 6MB");
  EXPECT_EQ(message({.memory = 10 << 20, .memory_swap = 9 << 20}),
            "Minimum memoryswap limit should be larger than memory limit, see usage");
  EXPECT_EQ(message({.memory_swap = 9 << 20}),
            "You should always set the Memory limit when using Memoryswap limit, see usage");
  EXPECT_EQ(message({.cpu_period = 10}),
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
  EXPECT_EQ(message({.blkio_weight = 5}), "Range of blkio weight is from 10 to 1000");
  auto limits = limits_of({.memory = 64 << 20, .nano_cpus = 500'000'000, .pids_limit = 10}, {});
  ASSERT_TRUE(limits);
  EXPECT_EQ(limits->memory_swap, 128 << 20);
  EXPECT_EQ(limits->cpu_quota, 50'000);
  EXPECT_EQ(limits->pids, 10);
}

TEST(Limits, DeviceRules) {
  auto rule = parse_device_rule("c 1:* rw");
  ASSERT_TRUE(rule);
  EXPECT_EQ(rule->major, 1);
  EXPECT_FALSE(rule->minor);
  for (const char* text : {"", "c", "c 1:3", "x 1:3 r", "c 1:3 q", "c 1 r", "c a:b r", "c 1:3 rwmr"}) {
    EXPECT_FALSE(parse_device_rule(text)) << text;
  }
}

}  // namespace
}  // namespace berth::engine
