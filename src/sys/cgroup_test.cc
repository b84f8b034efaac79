// Control groups: v2 against a directory tree made by the test, and, as root, the host's own groups.
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

using ::testing::ElementsAre;
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

TEST_F(FakeTree, GroupsLieBesideTheProcessesThatAnEarlierDaemonMovedDown) {
  std::string scope = "/sys/fs/cgroup/user/berth.scope";
  for (const char* group : {"", "/init"}) {
    file(scope + group + "/cgroup.procs");
    file(scope + group + "/cgroup.controllers", "memory pids\n");
  }
  for (const char* own : {"", "/init"}) {
    auto host =
        CgroupHost::detect_in(kV2Mount, std::string("0::/user/berth.scope") + own + "\n", root_.string());
    ASSERT_TRUE(host.has_value()) << host.error().message();
    ASSERT_EQ(host->version(), CgroupVersion::V2);
    EXPECT_EQ(host->hierarchies()[0].base, "/user/berth.scope");
  }
  // Of another's group below which we have been given "init" alone, nothing is ours.
  std::filesystem::remove(root_.string() + scope + "/cgroup.procs");
  auto host = CgroupHost::detect_in(kV2Mount, "0::/user/berth.scope/init\n", root_.string());
  ASSERT_TRUE(host.has_value()) << host.error().message();
  EXPECT_EQ(host->hierarchies()[0].base, "/user/berth.scope/init");
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
