// Control groups: plans, limits, device programs and parsers without the kernel; v2 against a directory tree
// made by the test; and, as root, the host's own groups.
#include "sys/cgroup.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <cstddef>
#include <filesystem>
#include <fstream>

#include "base/format.h"
#include "base/id.h"
#include "sys/cgroup_devices.h"
#include "sys/cgroup_files.h"
#include "sys/cgroup_plan.h"
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
  EXPECT_FALSE(CgroupHost::group_path("/a/../..", "abc").has_value());
  EXPECT_FALSE(CgroupHost::group_path("", "../abc").has_value());
  EXPECT_FALSE(CgroupHost::group_path("", "").has_value());
  EXPECT_FALSE(CgroupHost::group_path("/cgroup.procs", "x").has_value());
}

/// A directory tree that stands for a mounted hierarchy.
class FakeTree : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::temp_directory_path() / ("berth-cgroup-" + random_hex(8));
    std::filesystem::create_directories(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void file(const std::string& path, const std::string& content = "") {
    auto full = root_.string() + path;
    std::filesystem::create_directories(std::filesystem::path(full).parent_path());
    std::ofstream(full) << content;
  }
  std::string content(const std::string& path) { return *cgroup_files::read(root_.string() + path); }
  std::filesystem::path root_;
};

constexpr char kV2Mount[] =
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

TEST_F(FakeTree, DetectsV2) {
  file("/sys/fs/cgroup/cgroup.procs");
  file("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
  file("/sys/fs/cgroup/cpuset.cpus.effective", "0-7\n");
  auto host = CgroupHost::detect_in(kV2Mount, "0::/system.slice/berthd.service\n", root_.string());
  ASSERT_TRUE(host.has_value()) << host.error().message();
  EXPECT_EQ(host->version(), CgroupVersion::V2);
  EXPECT_TRUE(host->features().memory && host->features().cpu_quota && host->features().blkio_throttle);
  EXPECT_FALSE(host->features().swappiness || host->features().oom_kill_disable ||
               host->features().hugepages);
  EXPECT_EQ(host->features().available_cpus, "0-7");
  EXPECT_EQ(host->hierarchies()[0].base, "");
}

TEST_F(FakeTree, DetectsHybridWithCoMountedControllersAndOctalEscapes) {
  constexpr char kMounts[] =
      "31 30 0:27 / /sys/fs/cgroup/a\\040b rw - cgroup cgroup rw,cpu,cpuacct\n"
      "32 30 0:28 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n"
      "33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
      "34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
      "35 30 0:27 / /elsewhere rw - cgroup cgroup rw,cpu,cpuacct\n"
      "nonsense\n";
  for (const char* directory : {"a b", "memory", "systemd", "unified"}) {
    file(fmt::format("/sys/fs/cgroup/{}/cgroup.procs", directory));
  }
  file("/sys/fs/cgroup/unified/cgroup.controllers");
  file("/sys/fs/cgroup/a b/cpu.cfs_quota_us");
  auto host = CgroupHost::detect_in(kMounts, "2:cpu,cpuacct:/\n1:memory:/\n0::/\n", root_.string());
  ASSERT_TRUE(host.has_value()) << host.error().message();
  EXPECT_EQ(host->version(), CgroupVersion::Hybrid);
  ASSERT_EQ(host->hierarchies().size(), 4u);
  EXPECT_THAT(host->hierarchies()[0].controllers, ElementsAre("cpu", "cpuacct"));
  EXPECT_EQ(host->hierarchies()[0].mount, root_.string() + "/sys/fs/cgroup/a b");
  EXPECT_TRUE(host->features().cpu_quota);
  EXPECT_FALSE(host->features().swap);
}

TEST_F(FakeTree, NoCgroupsIsAHostWithoutLimits) {
  auto host = CgroupHost::detect_in("", "", root_.string());
  ASSERT_TRUE(host.has_value());
  EXPECT_EQ(host->version(), CgroupVersion::None);
  auto made = Cgroup::create(*host, "/berth/x", {.memory = 64 << 20});
  ASSERT_TRUE(made.has_value());
  EXPECT_THAT(
      made->warnings,
      ElementsAre("Your kernel does not support memory limit capabilities or the cgroup is not mounted. "
                  "Limitation discarded."));
  EXPECT_EQ(made->cgroup->freeze().error().kind(), Kind::Unsupported);
}

TEST_F(FakeTree, V2GroupWritesReadsAndFreezes) {
  file("/sys/fs/cgroup/cgroup.procs");
  file("/sys/fs/cgroup/cgroup.controllers", "cpu memory pids io\n");
  std::string group = "/sys/fs/cgroup/berth/x/";
  for (const char* name :
       {"memory.max", "memory.swap.max", "cpu.max", "pids.max", "io.weight", "cgroup.freeze"}) {
    file(group + name);
  }
  file(group + "cgroup.events", "populated 1\nfrozen 1\n");
  file(group + "cgroup.procs", "41\n42\n");
  file(group + "sub/cgroup.procs", "43\n0\n");
  file(group + "cpu.stat", "usage_usec 5000\nuser_usec 3000\nsystem_usec 2000\nnr_throttled 4\n");
  file(group + "memory.current", "1000\n");
  file(group + "memory.events", "max 2\noom 1\noom_kill 1\n");
  auto host = CgroupHost::detect_in(kV2Mount, "0::/\n", root_.string());
  ASSERT_TRUE(host.has_value());
  auto opened = Cgroup::open(*host, "/berth/x");
  ASSERT_TRUE(opened.has_value()) << opened.error().message();
  Cgroup& cgroup = **opened;

  CgroupLimits limits{
      .memory = 64 << 20, .memory_swap = 64 << 20, .cpu_quota = 50000, .pids = 7, .blkio_weight = 10};
  auto warnings = cgroup.apply(limits);
  ASSERT_TRUE(warnings.has_value()) << warnings.error().message();
  EXPECT_EQ(content(group + "memory.max"), "67108864");
  EXPECT_EQ(content(group + "memory.swap.max"), "0");
  EXPECT_EQ(content(group + "cpu.max"), "50000");
  EXPECT_EQ(content(group + "pids.max"), "7");
  EXPECT_EQ(content(group + "io.weight"), "default 1");

  EXPECT_THAT(*cgroup.pids(), ElementsAre(41, 42, 43));
  auto stats = cgroup.stats();
  EXPECT_EQ(stats->cpu.total_ns, 5000000u);
  EXPECT_EQ(stats->cpu.throttled_periods, 4u);
  EXPECT_EQ(stats->memory.usage, 1000u);
  EXPECT_EQ(*cgroup.oom_kills(), 1u);
  ASSERT_TRUE(cgroup.freeze(std::chrono::milliseconds(0)).has_value());
  EXPECT_EQ(content(group + "cgroup.freeze"), "1");
  EXPECT_EQ(*cgroup.freeze_state(), FreezeState::Frozen);
}

TEST_F(FakeTree, V2FreezeThatDoesNotHappenIsUndone) {
  file("/sys/fs/cgroup/cgroup.procs");
  file("/sys/fs/cgroup/cgroup.controllers", "\n");
  file("/sys/fs/cgroup/berth/x/cgroup.freeze");
  file("/sys/fs/cgroup/berth/x/cgroup.events", "frozen 0\n");
  auto host = CgroupHost::detect_in(kV2Mount, "0::/\n", root_.string());
  auto cgroup = Cgroup::open(*host, "/berth/x");
  ASSERT_TRUE(cgroup.has_value());
  EXPECT_EQ((*cgroup)->freeze(std::chrono::milliseconds(0)).error().kind(), Kind::DeadlineExceeded);
  EXPECT_TRUE(content("/sys/fs/cgroup/berth/x/cgroup.freeze").starts_with("0"));
}

/// The host's own hierarchies, with a parent group of the test's own.
class HostGroups : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "control groups of the host need root";
    auto host = CgroupHost::detect();
    ASSERT_TRUE(host.has_value()) << host.error().message();
    if (host->version() == CgroupVersion::None) GTEST_SKIP() << "no writable cgroups on this host";
    host_ = *std::move(host);
  }
  void TearDown() override {
    for (pid_t child : children_) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
    if (cgroup_) {
      EXPECT_TRUE(cgroup_->remove().has_value());
    }
    host_.remove_parent(parent_);
  }
  void create(const CgroupLimits& limits) {
    auto path = CgroupHost::group_path(parent_, "group");
    auto made = Cgroup::create(host_, *path, limits);
    ASSERT_TRUE(made.has_value()) << made.error().message();
    warnings_ = std::move(made->warnings);
    cgroup_ = std::move(made->cgroup);
  }
  /// A child that runs `work` once it has been put into the group.
  template <class Work>
  pid_t spawn(Work work) {
    auto gate = make_pipe();
    pid_t child = ::fork();
    if (child == 0) {
      gate->write.reset();
      char byte;
      if (::read(gate->read.get(), &byte, 1) != 0) ::_exit(99);
      ::_exit(work());
    }
    children_.push_back(child);
    auto attached = cgroup_->attach(child);
    EXPECT_TRUE(attached.has_value()) << attached.error().message();
    return child;  // the gate closes here
  }
  int wait_for(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    std::erase(children_, child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  CgroupHost host_;
  std::string parent_ = "/berth-test-" + random_hex(4);
  std::unique_ptr<Cgroup> cgroup_;
  std::vector<std::string> warnings_;
  std::vector<pid_t> children_;
};

int pause_for_ever() {
  while (true) ::pause();
}

TEST_F(HostGroups, CreatesListsKillsAndRemoves) {
  create({.memory = 64 << 20, .pids = 5});
  spawn(pause_for_ever);
  pid_t child = children_.back();
  EXPECT_THAT(*cgroup_->pids(), ElementsAre(child));
  auto stats = cgroup_->stats();
  ASSERT_TRUE(stats.has_value());
  if (host_.features().pids) {
    EXPECT_EQ(stats->pids, 1u);
    EXPECT_EQ(stats->pids_limit, 5u);
  }
  if (host_.features().memory) {
    EXPECT_EQ(stats->memory.limit, 64u << 20);
  }
  EXPECT_EQ(cgroup_->remove(std::chrono::milliseconds(0)).error().kind(),
            host_.version() == CgroupVersion::V2 ? Kind::DeadlineExceeded : Kind::WrongState);
  EXPECT_EQ(Cgroup::create(host_, cgroup_->path(), {}).error().kind(), Kind::AlreadyExists);
  ASSERT_TRUE(cgroup_->kill_all().has_value());
  EXPECT_EQ(wait_for(child), 128 + SIGKILL);
  ASSERT_TRUE(cgroup_->remove().has_value());
  EXPECT_EQ(Cgroup::open(host_, cgroup_->path()).error().kind(), Kind::NotFound);
  EXPECT_TRUE(cgroup_->remove().has_value());
}

TEST_F(HostGroups, AnEmptyLeftoverIsMadeAnew) {
  create({.pids = 5});
  auto again = Cgroup::create(host_, cgroup_->path(), {});
  ASSERT_TRUE(again.has_value()) << again.error().message();
  EXPECT_EQ(again->cgroup->stats()->pids_limit, 0u);
}

TEST_F(HostGroups, FreezesAndThaws) {
  if (!host_.features().freezer) GTEST_SKIP() << "no freezer";
  create({});
  auto pipe = make_pipe();
  spawn([&] {
    char byte = 'x';
    while (::write(pipe->write.get(), &byte, 1) == 1) ::poll(nullptr, 0, 1);
    return 0;
  });
  char byte;
  ASSERT_EQ(::read(pipe->read.get(), &byte, 1), 1);
  ASSERT_TRUE(cgroup_->freeze().has_value());
  EXPECT_EQ(*cgroup_->freeze_state(), FreezeState::Frozen);
  // What was written before the freeze; after it the pipe stays empty.
  pollfd ready{pipe->read.get(), POLLIN, 0};
  while (::poll(&ready, 1, 0) == 1) ASSERT_EQ(::read(pipe->read.get(), &byte, 1), 1);
  EXPECT_EQ(::poll(&ready, 1, 20), 0);
  ASSERT_TRUE(cgroup_->thaw().has_value());
  EXPECT_EQ(*cgroup_->freeze_state(), FreezeState::Thawed);
  EXPECT_EQ(::read(pipe->read.get(), &byte, 1), 1);
}

TEST_F(HostGroups, KillsFrozenProcesses) {
  if (!host_.features().freezer) GTEST_SKIP() << "no freezer";
  create({});
  pid_t child = spawn(pause_for_ever);
  ASSERT_TRUE(cgroup_->freeze().has_value());
  ASSERT_TRUE(cgroup_->kill_all().has_value());
  (void)cgroup_->thaw();
  EXPECT_EQ(wait_for(child), 128 + SIGKILL);
}

TEST_F(HostGroups, TellsOfOutOfMemory) {
  if (!host_.features().memory) GTEST_SKIP() << "no memory controller";
  create({.memory = 8 << 20, .memory_swap = 8 << 20});
  auto watch = cgroup_->watch_oom();
  ASSERT_TRUE(watch.has_value()) << watch.error().message();
  EXPECT_EQ(*cgroup_->oom_kills(), 0u);
  pid_t child = spawn([] {
    for (size_t total = 0; total < (256u << 20); total += 1 << 20) {
      volatile char* block = static_cast<volatile char*>(::malloc(1 << 20));
      for (size_t i = 0; i < (1 << 20); i += 4096) block[i] = 1;
    }
    return 0;
  });
  EXPECT_EQ(wait_for(child), 128 + SIGKILL);
  pollfd ready{watch->get(), POLLIN, 0};
  EXPECT_EQ(::poll(&ready, 1, 10000), 1);
  EXPECT_GE(*cgroup_->oom_kills(), 1u);
}

TEST_F(HostGroups, PidsLimitStopsForks) {
  if (!host_.features().pids) GTEST_SKIP() << "no pids controller";
  create({.pids = 1});
  EXPECT_EQ(wait_for(spawn([] { return ::fork() < 0 ? errno == EAGAIN ? 7 : 8 : 9; })), 7);
}

TEST_F(HostGroups, DeviceRulesHold) {
  if (!host_.features().devices) GTEST_SKIP() << "no device control";
  CgroupLimits limits;
  limits.devices = {{.allow = false, .type = 'a'}, {.allow = true, .type = 'c', .major = 1, .minor = 3}};
  create(limits);
  int result = wait_for(spawn([] {
    if (::open("/dev/null", O_RDWR) < 0) return 1;
    if (::open("/dev/zero", O_RDONLY) >= 0) return 2;
    return errno == EPERM ? 0 : 3;
  }));
  EXPECT_EQ(result, 0);
}

TEST_F(HostGroups, LiveUpdateRaisesAndLowersMemory) {
  if (!host_.features().memory || !host_.features().swap) GTEST_SKIP() << "no memory and swap limits";
  create({.memory = 16 << 20, .memory_swap = 32 << 20});
  for (int64_t megabytes : {64, 8}) {
    auto changed = cgroup_->apply({.memory = megabytes << 20, .memory_swap = megabytes << 21});
    ASSERT_TRUE(changed.has_value()) << changed.error().message();
    EXPECT_EQ(cgroup_->stats()->memory.limit, static_cast<uint64_t>(megabytes) << 20);
  }
}

/// The v2 core and its device program on a hybrid host's unified mount: no controllers, but the real kernel.
TEST_F(HostGroups, DeviceProgramInTheUnifiedHierarchy) {
  std::string mount;
  for (const auto& hierarchy : host_.hierarchies()) {
    if (hierarchy.unified) mount = hierarchy.mount + hierarchy.base;
  }
  if (mount.empty()) GTEST_SKIP() << "no cgroup v2 mount";
  std::string directory = mount + "/berth-test-" + random_hex(4);
  ASSERT_EQ(::mkdir(directory.c_str(), 0755), 0);
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  auto try_both = [&] {
    pid_t child = ::fork();
    if (child == 0) {
      if (!cgroup_files::write(directory + "/cgroup.procs", "0")) ::_exit(4);
      int bits = (::open("/dev/null", O_RDWR) >= 0 ? 1 : 0) | (::open("/dev/zero", O_RDONLY) >= 0 ? 2 : 0);
      ::_exit(bits);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  };
  EXPECT_EQ(try_both(), 3);
  auto attached = attach_device_rules(
      fd.get(), {{.allow = false, .type = 'a'}, {.allow = true, .type = 'c', .major = 1, .minor = 3}});
  EXPECT_TRUE(attached.has_value()) << attached.error().message();
  EXPECT_EQ(try_both(), 1);
  auto replaced = attach_device_rules(
      fd.get(),
      {{.allow = false, .type = 'a'}, {.allow = true, .type = 'c', .major = 1, .minor = 5, .access = "r"}});
  EXPECT_TRUE(replaced.has_value()) << replaced.error().message();
  EXPECT_EQ(try_both(), 2);
  EXPECT_TRUE(attach_device_rules(fd.get(), {{.allow = true, .type = 'a'}}).has_value());
  EXPECT_EQ(try_both(), 3);
  EXPECT_TRUE(cgroup_files::remove_tree(directory).has_value());
}

}  // namespace
}  // namespace berth::sys
