// Control groups without the kernel: plans, limits, device programs and parsers.
#include "sys/cgroup_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/format.h"
#include "sys/cgroup_devices.h"
#include "sys/cgroup_files.h"
#include "sys/cgroup_stats.h"

namespace berth::sys {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> as_lines(const std::vector<CgroupWrite>& writes) {
  std::vector<std::string> lines;
  for (const auto& write : writes) lines.push_back(fmt::format("{}={}", write.file, write.value));
  return lines;
}

CgroupFeatures everything() {
  CgroupFeatures features;
  features.version = CgroupVersion::V2;
  features.memory = features.memory_reservation = features.swap = features.swappiness = true;
  features.oom_kill_disable = features.cpu_shares = features.cpu_quota = features.cpu_realtime = true;
  features.cpuset = features.pids = features.blkio_weight = features.blkio_weight_device = true;
  features.blkio_throttle = features.devices = features.freezer = features.hugepages = true;
  features.available_cpus = "0-3";
  features.available_mems = "0";
  features.cpu_count = 4;
  return features;
}

std::string refused(CgroupLimits limits, const CgroupFeatures& features = everything()) {
  auto result = check_limits(features, limits);
  return result ? "accepted" : result.error().message();
}

TEST(CgroupPlan, WritesOnlyWhatIsAskedFor) {
  EXPECT_THAT(plan_v1_limits({}, {}), IsEmpty());
  EXPECT_THAT(plan_v2_limits({}), IsEmpty());
}

TEST(CgroupPlan, V1MemoryBeforeSwapInANewGroup) {
  CgroupLimits limits{.memory = 64 << 20, .memory_reservation = 32 << 20, .memory_swap = 128 << 20};
  EXPECT_THAT(as_lines(plan_v1_limits(limits, {})),
              ElementsAre("memory.limit_in_bytes=67108864", "memory.memsw.limit_in_bytes=134217728",
                          "memory.soft_limit_in_bytes=33554432"));
}

TEST(CgroupPlan, V1RaisesSwapBeforeMemoryBeyondTheOldSwapLimit) {
  CgroupLimits limits{.memory = 64 << 20, .memory_swap = 128 << 20};
  EXPECT_THAT(as_lines(plan_v1_limits(limits, {.memory = 16 << 20, .memory_swap = 32 << 20})),
              ElementsAre("memory.memsw.limit_in_bytes=134217728", "memory.limit_in_bytes=67108864"));
}

TEST(CgroupPlan, V2CountsSwapApartFromMemory) {
  CgroupLimits limits{.memory = 64 << 20, .memory_swap = 128 << 20};
  EXPECT_THAT(as_lines(plan_v2_limits(limits)),
              ElementsAre("memory.swap.max=67108864", "memory.max=67108864"));
  limits.memory_swap = -1;
  EXPECT_THAT(as_lines(plan_v2_limits(limits)), Contains("memory.swap.max=max"));
}

TEST(CgroupPlan, CpuQuotaAndShares) {
  CgroupLimits limits{.cpu_shares = 1024};
  limits.set_nano_cpus(1500000000);
  EXPECT_THAT(as_lines(plan_v1_limits(limits, {})),
              ElementsAre("cpu.shares=1024", "cpu.cfs_period_us=100000", "cpu.cfs_quota_us=150000"));
  EXPECT_THAT(as_lines(plan_v2_limits(limits)), ElementsAre("cpu.weight=100", "cpu.max=150000 100000"));
  // Below a millisecond of quota the period grows, to a second at most.
  limits = {};
  limits.set_nano_cpus(5'000'000);
  EXPECT_THAT(as_lines(plan_v2_limits(limits)), ElementsAre("cpu.max=1000 200000"));
  limits.set_nano_cpus(500'000);
  EXPECT_THAT(as_lines(plan_v2_limits(limits)), ElementsAre("cpu.max=1000 1000000"));
  EXPECT_EQ(cpu_weight_of_shares(2), 1u);
  EXPECT_EQ(cpu_weight_of_shares(262144), 10000u);
  EXPECT_EQ(io_weight_of_blkio(10), 1u);
  EXPECT_EQ(io_weight_of_blkio(1000), 10000u);
}

TEST(CgroupPlan, PidsAndBlockIo) {
  CgroupLimits limits{.pids = 100, .blkio_weight = 500};
  limits.read_bps = {{.major = 8, .minor = 0, .rate = 1048576}};
  limits.write_iops = {{.major = 8, .minor = 16, .rate = 0}};
  EXPECT_THAT(as_lines(plan_v1_limits(limits, {})),
              ElementsAre("pids.max=100", "blkio.weight=500", "blkio.throttle.read_bps_device=8:0 1048576",
                          "blkio.throttle.write_iops_device=8:16 0"));
  EXPECT_THAT(
      as_lines(plan_v2_limits(limits)),
      ElementsAre("pids.max=100", "io.bfq.weight=500", "io.max=8:0 rbps=1048576", "io.max=8:16 wiops=max"));
  limits.pids = -1;
  EXPECT_THAT(as_lines(plan_v2_limits(limits)), Contains("pids.max=max"));
}

TEST(CgroupPlan, V1DeviceRulesInOrder) {
  CgroupLimits limits;
  limits.devices = {{.allow = false, .type = 'a'},
                    {.allow = true, .type = 'c', .access = "m"},
                    {.allow = true, .type = 'c', .major = 1, .minor = 3}};
  EXPECT_THAT(as_lines(plan_v1_limits(limits, {})),
              ElementsAre("devices.deny=a", "devices.allow=c *:* m", "devices.allow=c 1:3 rwm"));
}

TEST(CgroupPlan, NetworkRdmaBurstAndReservations) {
  CgroupLimits limits{.cpu_burst = 1000, .cpu_idle = 1, .network_class = 0x100001};
  limits.hugepages = {{"2MB", 4096}};
  limits.network_priorities = {{"eth0", 5}};
  limits.rdma = {{"mlx5_1", "hca_handle=3 hca_object=10000"}};
  auto written = [](const std::vector<CgroupWrite>& writes, std::string_view file) -> std::string {
    for (const auto& write : writes)
      if (write.file == file) return std::string(write.controller) + "=" + write.value;
    return {};
  };
  auto v1 = plan_v1_limits(limits, {});
  EXPECT_EQ(written(v1, "net_cls.classid"), "net_cls=1048577");
  EXPECT_EQ(written(v1, "net_prio.ifpriomap"), "net_prio=eth0 5");
  EXPECT_EQ(written(v1, "rdma.max"), "rdma=mlx5_1 hca_handle=3 hca_object=10000");
  EXPECT_EQ(written(v1, "cpu.cfs_burst_us"), "cpu=1000");
  EXPECT_EQ(written(v1, "cpu.idle"), "cpu=1");
  EXPECT_EQ(written(v1, "hugetlb.2MB.rsvd.limit_in_bytes"), "hugetlb=4096");
  auto v2 = plan_v2_limits(limits);
  EXPECT_EQ(written(v2, "rdma.max"), "=mlx5_1 hca_handle=3 hca_object=10000");
  EXPECT_EQ(written(v2, "cpu.max.burst"), "=1000");
  EXPECT_EQ(written(v2, "hugetlb.2MB.rsvd.max"), "=4096");
}

TEST(CgroupLimits, WhatDockerHasNoWordsForIsRefused) {
  CgroupFeatures features;
  CgroupLimits classed{.network_class = 1}, prioritised, rdma;
  prioritised.network_priorities = {{"eth0", 1}};
  rdma.rdma = {{"mlx5_1", "hca_handle=1"}};
  for (CgroupLimits* limits : {&classed, &prioritised, &rdma}) {
    auto checked = check_limits(features, *limits);
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().kind(), Kind::Unsupported);
    EXPECT_THAT(checked.error().message(), HasSubstr("which this host has not mounted"));
  }
}

TEST(CgroupPlan, CpuLists) {
  EXPECT_THAT(*parse_cpu_list("0-2,7"), ElementsAre(0, 1, 2, 7));
  EXPECT_THAT(*parse_cpu_list(""), IsEmpty());
  for (const char* bad : {"a", "1-", "3-1", "1,,2", "-1", "0-70000", "1 2"}) {
    EXPECT_FALSE(parse_cpu_list(bad).has_value()) << bad;
  }
  EXPECT_TRUE(is_cpu_subset("1,3", "0-3"));
  EXPECT_FALSE(is_cpu_subset("4", "0-3"));
}

TEST(CgroupLimits, RefusesContradictionsInDockersWords) {
  EXPECT_EQ(refused({.memory = 1 << 20}), "Minimum memory limit allowed is 6MB");
  EXPECT_EQ(refused({.memory = 64 << 20, .memory_swap = 32 << 20}),
            "Minimum memoryswap limit should be larger than memory limit, see usage");
  EXPECT_EQ(refused({.memory_swap = 32 << 20}),
            "You should always set the Memory limit when using Memoryswap limit, see usage");
  EXPECT_EQ(refused({.memory = 16 << 20, .memory_reservation = 32 << 20}),
            "Minimum memory limit can not be less than memory reservation limit, see usage");
  EXPECT_EQ(refused({.swappiness = 101}), "invalid value: 101, valid memory swappiness range is 0-100");
  EXPECT_EQ(refused({.cpu_period = 10}),
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
  EXPECT_EQ(refused({.cpu_quota = 10}), "CPU cfs quota can not be less than 1ms (i.e. 1000)");
  EXPECT_EQ(refused({.cpuset_cpus = "9"}), "Requested CPUs are not available - requested 9, available: 0-3");
  EXPECT_EQ(refused({.blkio_weight = 5}), "range of blkio weight is from 10 to 1000");
  EXPECT_THAT(refused({.unified = {{"../memory.max", "1"}}}), HasSubstr("must be a file name"));
  EXPECT_THAT(refused({.unified = {{"cgroup.kill", "1"}}}), HasSubstr("must be a file name"));
}

TEST(CgroupLimits, WhatTheHostCannotHoldIsSaidAndTakenOut) {
  CgroupLimits limits{.memory = 64 << 20, .memory_swap = 128 << 20, .oom_kill_disable = true, .pids = 10};
  limits.cpuset_cpus = "0";
  limits.read_bps = {{.major = 8, .minor = 0, .rate = 1}};
  CgroupFeatures features;
  features.memory = true;
  auto warnings = check_limits(features, limits);
  ASSERT_TRUE(warnings.has_value());
  EXPECT_THAT(
      *warnings,
      ElementsAre("Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory "
                  "limited without swap.",
                  "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
                  "Your kernel does not support cpuset or the cgroup is not mounted. CPUset discarded.",
                  "Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. Block "
                  "I/O BPS read limit discarded.",
                  "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs "
                  "limit discarded."));
  EXPECT_EQ(limits.memory, 64 << 20);
  EXPECT_FALSE(limits.memory_swap || limits.oom_kill_disable || limits.pids);
  EXPECT_TRUE(limits.cpuset_cpus.empty() && limits.read_bps.empty());
}

/// Runs a device program as the kernel would: only the instructions that device_program() emits.
bool allows(const std::vector<bpf_insn>& program, char type, uint32_t major, uint32_t minor,
            uint32_t access) {
  uint32_t registers[11] = {};
  uint32_t context[3] = {
      access << 16 | static_cast<uint32_t>(type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR), major,
      minor};
  for (size_t at = 0; at < program.size(); ++at) {
    const bpf_insn& code = program[at];
    uint32_t& to = registers[code.dst_reg];
    uint32_t value = static_cast<uint32_t>(code.imm);
    switch (code.code) {
      case BPF_LDX | BPF_W | BPF_MEM:
        to = context[code.off / 4];
        break;
      case BPF_ALU | BPF_MOV | BPF_X:
        to = registers[code.src_reg];
        break;
      case BPF_ALU | BPF_MOV | BPF_K:
        to = value;
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        to &= value;
        break;
      case BPF_ALU | BPF_RSH | BPF_K:
        to >>= value;
        break;
      case BPF_JMP32 | BPF_JNE | BPF_K:
        if (to != value) at += static_cast<size_t>(code.off);
        break;
      case BPF_JMP32 | BPF_JEQ | BPF_K:
        if (to == value) at += static_cast<size_t>(code.off);
        break;
      case BPF_JMP | BPF_EXIT:
        return registers[0] != 0;
      default:
        ADD_FAILURE() << "unexpected instruction " << int{code.code};
        return false;
    }
  }
  ADD_FAILURE() << "the program runs off its end";
  return false;
}

constexpr uint32_t kRead = BPF_DEVCG_ACC_READ;
constexpr uint32_t kWrite = BPF_DEVCG_ACC_WRITE;
constexpr uint32_t kMknod = BPF_DEVCG_ACC_MKNOD;

TEST(CgroupDevices, AllowListGrantsNothingBeyondItself) {
  auto program = device_program(
      reduce_device_rules({{.allow = false, .type = 'a'},
                           {.allow = true, .type = 'c', .access = "m"},
                           {.allow = true, .type = 'c', .major = 1, .minor = 3},
                           {.allow = true, .type = 'c', .major = 136},
                           {.allow = true, .type = 'b', .major = 8, .minor = 0, .access = "r"}}));
  EXPECT_TRUE(allows(program, 'c', 1, 3, kRead | kWrite));
  EXPECT_TRUE(allows(program, 'c', 136, 77, kWrite));
  EXPECT_TRUE(allows(program, 'c', 10, 229, kMknod));
  EXPECT_FALSE(allows(program, 'c', 10, 229, kRead));
  EXPECT_FALSE(allows(program, 'c', 10, 229, kRead | kMknod));
  EXPECT_FALSE(allows(program, 'b', 1, 3, kRead));
  EXPECT_TRUE(allows(program, 'b', 8, 0, kRead));
  EXPECT_FALSE(allows(program, 'b', 8, 0, kRead | kWrite));
}

TEST(CgroupDevices, DenyListTakesAwayAnyOverlap) {
  auto program = device_program(reduce_device_rules(
      {{.allow = true, .type = 'a'}, {.allow = false, .type = 'b', .major = 8, .access = "w"}}));
  EXPECT_TRUE(allows(program, 'b', 8, 1, kRead));
  EXPECT_FALSE(allows(program, 'b', 8, 1, kRead | kWrite));
  EXPECT_TRUE(allows(program, 'c', 8, 1, kWrite));
}

TEST(CgroupDevices, LaterRulesChangeEarlierOnes) {
  auto access = reduce_device_rules({{.allow = false, .type = 'a'},
                                     {.allow = true, .type = 'c', .major = 1, .minor = 3, .access = "r"},
                                     {.allow = true, .type = 'c', .major = 1, .minor = 3, .access = "w"},
                                     {.allow = true, .type = 'c', .major = 1, .minor = 5},
                                     {.allow = false, .type = 'c', .major = 1, .minor = 5}});
  ASSERT_EQ(access.exceptions.size(), 1u);
  EXPECT_EQ(access.exceptions[0].access, kRead | kWrite);
  EXPECT_TRUE(
      reduce_device_rules({{.allow = false, .type = 'a'}, {.allow = true, .type = 'a'}}).allow_by_default);
}

TEST(CgroupStats, Parsers) {
  EXPECT_EQ(parse_cgroup_number("123\n"), 123u);
  EXPECT_EQ(parse_cgroup_number("max\n"), UINT64_MAX);
  EXPECT_EQ(parse_cgroup_number("rubbish"), 0u);
  EXPECT_EQ(find_cgroup_value("low 0\noom_kill 3\n", "oom_kill"), "3");
  EXPECT_THAT(parse_number_list("1 22 \n3\n"), ElementsAre(1, 22, 3));
  EXPECT_EQ(parse_flat_keyed("a 1\nb x\n\nc 3").size(), 2u);
  auto v1 = parse_v1_block_entries("8:0 Read 100\n8:0 Total 100\nTotal 100\n");
  ASSERT_EQ(v1.size(), 2u);
  EXPECT_EQ(v1[0].op, "read");
  EXPECT_EQ(v1[0].value, 100u);
  std::vector<CgroupBlockEntry> bytes;
  std::vector<CgroupBlockEntry> operations;
  parse_v2_io_stat("259:1 rbytes=7 wbytes=8 rios=1 wios=2 dbytes=0 dios=0\nbad line\n", bytes, operations);
  EXPECT_EQ(bytes.size(), 3u);
  EXPECT_EQ(operations[1].value, 2u);
}

TEST(CgroupHost, GroupPaths) {
  EXPECT_EQ(*CgroupHost::group_path("", "abc"), "/berth/abc");
  EXPECT_EQ(*CgroupHost::group_path("custom//deep/", "abc"), "/custom/deep/abc");
  // As in a file system, and never out of the hierarchy.
  EXPECT_EQ(*CgroupHost::group_path("/a/../..", "abc"), "/abc");
  EXPECT_EQ(*CgroupHost::group_path("../../x/../y", "abc"), "/y/abc");
  EXPECT_FALSE(CgroupHost::group_path("", "../abc").has_value());
  EXPECT_FALSE(CgroupHost::group_path("", "").has_value());
  EXPECT_FALSE(CgroupHost::group_path("/cgroup.procs", "x").has_value());
}

}  // namespace
}  // namespace berth::sys
