// What a container must not be able to do, and images that try to have it done for them.
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "launch/kernel_tests/sandbox.h"

namespace berth::launch::testing {
namespace {

namespace fs = std::filesystem;

class IsolationTest : public SandboxTest {
 protected:
  void SetUp() override {
    SandboxTest::SetUp();
    if (directory_.empty()) return;
    fs::create_directory(directory_ + "/host");
    write_file(directory_ + "/host/canary", "alive\n");
  }
  /// Nothing has been added to or changed in the directory that stands for the host.
  void expect_host_untouched() {
    size_t entries = 0;
    for ([[maybe_unused]] const auto& entry : fs::recursive_directory_iterator(directory_ + "/host"))
      ++entries;
    EXPECT_EQ(entries, 1U);
    EXPECT_EQ(read_file(directory_ + "/host/canary"), "alive\n");
  }
  /// A path from inside the root to the host's directory, as a hostile link would have it.
  std::string escape() const { return "../../../../../../../../.." + directory_ + "/host"; }
  void replace_by_link(const std::string& path, const std::string& target) {
    fs::remove_all(root() + path);
    fs::create_symlink(target, root() + path);
  }
};

TEST_F(IsolationTest, CapabilitiesAreTheDefaultOnes) {
  auto outcome = run("grep Cap /proc/self/status");
  EXPECT_EQ(outcome.output,
            "CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n"
            "CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\n");
  auto wanted = request("grep -E 'CapEff|CapPrm|CapBnd|NoNew' /proc/self/status");
  wanted.spec.process.user.name = "alice";
  wanted.spec.process.no_new_privileges = true;
  EXPECT_EQ(
      run(wanted).output,
      "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb\nNoNewPrivs:\t1\n");
}

TEST_F(IsolationTest, AmbientCapabilitiesReachOrdinaryUsers) {
  auto wanted = request("grep -E 'CapEff|CapAmb|CapInh' /proc/self/status");
  wanted.spec.process.user.name = "alice";
  auto& sets = *wanted.spec.process.capabilities;
  sets.inheritable = sets.ambient = {"CAP_NET_BIND_SERVICE"};
  EXPECT_EQ(run(wanted).output,
            "CapInh:\t0000000000000400\nCapEff:\t0000000000000400\nCapAmb:\t0000000000000400\n");
}

TEST_F(IsolationTest, FilterDeniesWhatTheDefaultDenies) {
  auto outcome =
      run("mount -t tmpfs none /tmp 2>&1; unshare -m true 2>&1; grep Seccomp: /proc/self/status; mknod "
          "/tmp/n c 1 3 && echo "
          "node");
  EXPECT_NE(outcome.output.find("mount: permission denied"), std::string::npos) << outcome.output;
  EXPECT_NE(outcome.output.find("Operation not permitted"), std::string::npos) << outcome.output;
  EXPECT_NE(outcome.output.find("Seccomp:\t2"), std::string::npos) << outcome.output;
  EXPECT_NE(outcome.output.find("node\n"), std::string::npos) << outcome.output;
}

TEST_F(IsolationTest, MaskedAndReadonlyPaths) {
  auto outcome =
      run("for f in interrupts kcore keys timer_list; do test -e /proc/$f && wc -c </proc/$f; done | sort -u;"
          "stat -c '%t:%T' /proc/interrupts; ls /sys/firmware | wc -l; touch /sys/firmware/x 2>/dev/null || "
          "echo ro;"
          "echo 1 2>/dev/null >/proc/sys/kernel/core_pattern || echo sys; echo b 2>/dev/null "
          ">/proc/sysrq-trigger || echo "
          "sysrq");
  EXPECT_EQ(outcome.output, "0\n1:3\n0\nro\nsys\nsysrq\n") << outcome.output;
}

TEST_F(IsolationTest, PrivilegedSeesAll) {
  auto wanted = request(
      "grep Seccomp: /proc/self/status; mount -t tmpfs none /tmp && echo mounted; awk '$2 == "
      "\"/proc/sys\" || $2 == \"/sys/firmware\"' /proc/mounts; test -w /sys/kernel && echo rw");
  make_privileged(wanted.spec, host_);
  EXPECT_EQ(run(wanted).output, "Seccomp:\t0\nmounted\nrw\n");
}

TEST_F(IsolationTest, ProcAsALinkIsRefused) {
  replace_by_link("/proc", escape());
  auto outcome = run("true");
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->message,
            "mount destination \"/proc\" must be mounted on ordinary directory, not on a symbolic link");
  for (const char* target : {"/etc", "missing", "./etc/../etc"}) {
    replace_by_link("/proc", target);
    EXPECT_TRUE(run("true").failure) << target;
  }
  expect_host_untouched();
}

TEST_F(IsolationTest, DevAsALinkStaysInside) {
  replace_by_link("/dev", escape());
  auto wanted = request("ls /dev/null /dev/pts/ptmx");
  wanted.spec.devices = {{.path = "/dev/net/tun", .major = 10, .minor = 200},
                         {.path = "/outside", .major = 1, .minor = 3}};
  auto outcome = run(wanted);
  EXPECT_EQ(outcome.output, "/dev/null\n/dev/pts/ptmx\n");
  expect_host_untouched();
}

TEST_F(IsolationTest, HostileDeviceEntriesAreNotUsed) {
  for (const char* each : {"null", "console", "ptmx", "pts", "shm"})
    fs::create_symlink(escape() + "/canary", root() + "/dev/" + each);
  auto wanted = request("stat -L -c '%F %t:%T' /dev/null /proc/interrupts; cat /dev/null");
  EXPECT_EQ(run(wanted).output, "character special file 1:3\ncharacter special file 1:3\n");
  wanted.spec.process.terminal = true;
  EXPECT_NE(run(wanted).output.find("1:3"), std::string::npos);
  expect_host_untouched();
}

TEST_F(IsolationTest, DevFromAVolumeWithoutANullDeviceIsRefused) {
  fs::create_directory(directory_ + "/dev");
  fs::create_symlink("/proc/sys/kernel/core_pattern", directory_ + "/dev/null");
  auto wanted = request("true");
  std::erase_if(wanted.spec.mounts, [](const auto& mount) { return mount.destination.starts_with("/dev"); });
  wanted.spec.mounts.push_back({"/dev", "bind", directory_ + "/dev", {"rbind"}});
  auto before = read_file("/proc/sys/kernel/core_pattern");
  auto outcome = run(wanted);
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->message, "/dev/null is not the null device");
  EXPECT_EQ(read_file("/proc/sys/kernel/core_pattern"), before);
}

TEST_F(IsolationTest, MountTargetsThroughLinksStayInside) {
  replace_by_link("/home", escape());
  replace_by_link("/tmp", "/absolute/dangling");
  fs::create_directory(directory_ + "/volume");
  write_file(directory_ + "/volume/file", "content\n");
  auto wanted = request("cat /home/alice/data/file /tmp/x/file /made/up/file; cat /one");
  wanted.spec.mounts.push_back({"/home/alice/data", "bind", directory_ + "/volume", {"rbind"}});
  wanted.spec.mounts.push_back({"/tmp/x", "bind", directory_ + "/volume", {"rbind"}});
  wanted.spec.mounts.push_back({"/made/../made/up", "bind", directory_ + "/volume", {"rbind"}});
  wanted.spec.mounts.push_back({"/one", "bind", directory_ + "/volume/file", {"bind", "ro"}});
  EXPECT_EQ(run(wanted).output, "content\ncontent\ncontent\ncontent\n");
  expect_host_untouched();
  EXPECT_TRUE(fs::is_directory(directory_ + "/upper/absolute/dangling/x"));
}

TEST_F(IsolationTest, NothingIsMountedIntoProc) {
  for (const char* target : {"/proc/self/attr", "/proc/1", "/link/1"}) {
    fs::remove(root() + "/link");
    fs::create_symlink("/proc", root() + "/link");
    auto wanted = request("true");
    wanted.spec.mounts.push_back({target, "bind", directory_ + "/host", {"rbind"}});
    auto outcome = run(wanted);
    ASSERT_TRUE(outcome.failure) << target;
    EXPECT_NE(outcome.failure->message.find("inside /proc"), std::string::npos) << outcome.failure->message;
  }
  auto wanted = request("true");
  std::erase_if(wanted.spec.mounts, [](const auto& mount) { return mount.destination == "/proc"; });
  wanted.spec.mounts.push_back({"/proc", "bind", directory_ + "/host", {"rbind"}});
  EXPECT_TRUE(run(wanted).failure);
  wanted = request("cat /proc/cpuinfo");
  wanted.spec.mounts.push_back({"/proc/cpuinfo", "bind", directory_ + "/host/canary", {"bind"}});
  EXPECT_EQ(run(wanted).output, "alive\n");
}

TEST_F(IsolationTest, BindOptions) {
  fs::create_directories(directory_ + "/volume/sub");
  ASSERT_EQ(::mount("none", (directory_ + "/volume/sub").c_str(), "tmpfs", 0, ""), 0);
  auto wanted = request(
      "touch /v/x || echo v; touch /v/sub/x || echo sub; touch /r/x || echo r; touch /r/sub/x || echo rsub;"
      "ls /single/sub; awk '$2 == \"/v\" {print $4}' /proc/mounts");
  wanted.spec.mounts.push_back({"/v", "bind", directory_ + "/volume", {"rbind", "ro", "nosuid", "nodev"}});
  wanted.spec.mounts.push_back({"/r", "bind", directory_ + "/volume", {"rbind", "rro"}});
  wanted.spec.mounts.push_back({"/single", "bind", directory_ + "/volume", {"bind"}});
  auto outcome = run(wanted);
  ::umount((directory_ + "/volume/sub").c_str());
  EXPECT_NE(outcome.output.find("v\n"), std::string::npos);
  EXPECT_EQ(outcome.output.find("\nsub\n"), std::string::npos);
  EXPECT_NE(outcome.output.find("r\n"), std::string::npos);
  EXPECT_NE(outcome.output.find("rsub\n"), std::string::npos);
  EXPECT_NE(outcome.output.find("ro,nosuid,nodev"), std::string::npos) << outcome.output;
}

TEST_F(IsolationTest, PropagationFromTheHost) {
  fs::create_directory(directory_ + "/shared");
  std::string shared = directory_ + "/shared";
  ASSERT_EQ(::mount(shared.c_str(), shared.c_str(), "", MS_BIND, ""), 0);
  ASSERT_EQ(::mount("", shared.c_str(), "", MS_SHARED, ""), 0);
  fs::create_directory(shared + "/late");
  auto wanted = request(
      "echo ready; while test ! -e /slave/late/mounted; do sleep 0.01; done; ls /private/late; mkdir "
      "/both/own; mount -t tmpfs none /both/own && echo mounted; sleep 1000");
  make_privileged(wanted.spec, host_);
  wanted.spec.mounts.push_back({"/slave", "bind", shared, {"rbind", "rslave"}});
  wanted.spec.mounts.push_back({"/private", "bind", shared, {"rbind"}});
  wanted.spec.mounts.push_back({"/both", "bind", shared, {"rbind", "rshared"}});
  auto container = start(wanted);
  container->read_until("ready\n");
  EXPECT_EQ(::mount("none", (shared + "/late").c_str(), "tmpfs", 0, ""), 0);
  write_file(shared + "/late/mounted", "");
  EXPECT_EQ(container->read_until("mounted\n"), "mounted\n");
  EXPECT_NE(read_file("/proc/self/mountinfo").find(shared + "/own"), std::string::npos);
  EXPECT_TRUE(container->keeper().signal("", SIGKILL));
  container->wait_for<event::Exited>();
  ::umount((shared + "/own").c_str());
  ::umount((shared + "/late").c_str());
  ::umount(shared.c_str());
}

TEST_F(IsolationTest, TmpfsWithCopyUp) {
  fs::create_directories(root() + "/data/deep");
  write_file(root() + "/data/deep/file", "kept\n");
  ::chown((root() + "/data/deep/file").c_str(), 1000, 1000);
  auto wanted = request(
      "cat /data/deep/file; stat -c %u /data/deep/file; touch /data/new; awk '$2 == \"/data\" {print "
      "$3}' /proc/mounts");
  wanted.spec.mounts.push_back({"/data", "tmpfs", "tmpfs", {"tmpcopyup", "size=1m"}});
  EXPECT_EQ(run(wanted).output, "kept\n1000\ntmpfs\n");
  EXPECT_FALSE(fs::exists(directory_ + "/upper/data/new"));
}

TEST_F(IsolationTest, RenamingSiblingsCannotMisleadMounts) {
  // Another container that shares the volume flips a directory and a link to the host while ours are
  // launched.
  fs::create_directories(directory_ + "/volume/target");
  std::string base = directory_ + "/volume";
  fs::create_directory_symlink(escape(), base + "/link");
  std::atomic<bool> stop = false;
  std::thread flipper([&] {
    while (!stop)
      ::syscall(SYS_renameat2, AT_FDCWD, (base + "/target").c_str(), AT_FDCWD, (base + "/link").c_str(), 2);
  });
  for (int i = 0; i < 60; ++i) {
    auto wanted = request("true");
    wanted.spec.mounts.push_back({"/v", "bind", base, {"rbind"}});
    wanted.spec.mounts.push_back({"/v/target/a/b", "bind", root(), {"rbind"}});
    wanted.spec.process.cwd = "/v/target/made/here";
    run(wanted);  // may fail, must not escape
  }
  stop = true;
  flipper.join();
  expect_host_untouched();
}

TEST_F(IsolationTest, OtherNamespacesMayBeJoined) {
  auto first = request("echo shared >/dev/shm/note; hostname; echo ready; sleep 1000");
  first.spec.hostname = "first";
  auto container = start(first);
  container->read_until("ready\n");
  std::string base = "/proc/" + std::to_string(container->wait_for<event::Started>().pid) + "/ns/";
  auto second = request("hostname; ps | grep -c 'sleep 1000'; echo $$");
  second.exec_directory = directory_;
  second.exit_path = directory_ + "/exit2";
  second.log.mode = LogConfig::Mode::None;
  second.root = OverlayRoot{.lowers = {root()}, .upper = {}, .work = {}, .options = {}};
  std::erase_if(second.spec.namespaces, [](const auto& each) {
    return each.type == spec::NamespaceType::Uts || each.type == spec::NamespaceType::Pid ||
           each.type == spec::NamespaceType::Network;
  });
  second.spec.namespaces.push_back({spec::NamespaceType::Uts, base + "uts"});
  second.spec.namespaces.push_back({spec::NamespaceType::Pid, base + "pid"});
  second.spec.namespaces.push_back({spec::NamespaceType::Network, base + "net"});
  auto outcome = run(second);
  EXPECT_TRUE(outcome.output.starts_with("first\n")) << outcome.output;
  EXPECT_FALSE(outcome.output.ends_with("\n1\n")) << outcome.output;
}

TEST_F(IsolationTest, UserNamespace) {
  auto wanted = request("id -u; cat /proc/self/uid_map; echo x >/tmp/f; stat -c '%F %t:%T' /dev/null");
  wanted.spec.namespaces.push_back({spec::NamespaceType::User, {}});
  wanted.spec.uid_mappings = {{0, 100000, 65536}};
  wanted.spec.gid_mappings = {{0, 100000, 65536}};
  for (const auto& entry : fs::recursive_directory_iterator(root()))
    ::lchown(entry.path().c_str(), 100000, 100000);
  for (const std::string& each : {root(), directory_ + "/upper", directory_ + "/work"})
    ASSERT_EQ(::lchown(each.c_str(), 100000, 100000), 0);
  // The root is opened by the host's user, before the process has ids of its own; what is mounted later is
  // not.
  ASSERT_EQ(::chmod(directory_.c_str(), 0711), 0);
  wanted.root = DirectoryRoot{root()};
  auto outcome = run(wanted);
  EXPECT_FALSE(outcome.failure) << outcome.failure->message;
  EXPECT_TRUE(outcome.output.starts_with("0\n")) << outcome.output;
  EXPECT_TRUE(outcome.output.ends_with("character special file 1:3\n")) << outcome.output;
  struct stat status {};
  ASSERT_EQ(::stat((root() + "/tmp/f").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 100000U);
}

TEST_F(IsolationTest, FailuresLeaveNothingBehind) {
  auto wanted = request("true");
  wanted.spec.mounts.push_back({"/x", "nosuchfs", "none", {}});
  auto outcome = run(wanted);
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->message, "create filesystem nosuchfs: no such device");
  wanted = request("true");
  wanted.spec.mounts.push_back({"/x", "bind", "/no/such/source", {"rbind"}});
  outcome = run(wanted);
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->message, "open mount source /no/such/source: no such file or directory");
  wanted = request("true");
  wanted.spec.mounts.push_back({"/x", "tmpfs", "tmpfs", {"bogus=1"}});
  outcome = run(wanted);
  ASSERT_TRUE(outcome.failure);
  EXPECT_NE(outcome.failure->message.find("bogus"), std::string::npos) << outcome.failure->message;
  EXPECT_EQ(read_file("/proc/self/mountinfo").find(directory_), std::string::npos);
  EXPECT_FALSE(fs::exists(directory_ + "/exit"));
  // And it still works.
  EXPECT_EQ(run("exit 3").code, 3);
}

TEST_F(IsolationTest, KeeperIsSmall) {
  auto container = start(request("sleep 1000"));
  container->wait_for<event::Started>();
  std::string rollup = read_file("/proc/" + std::to_string(container->keeper().pid()) + "/smaps_rollup");
  size_t at = rollup.find("\nPss:");
  ASSERT_NE(at, std::string::npos);
  EXPECT_LT(std::stoi(rollup.substr(at + 5)), 300) << rollup;
  RecordProperty("pss_kib", std::stoi(rollup.substr(at + 5)));
  EXPECT_TRUE(container->keeper().signal("", SIGKILL));
  container->wait_for<event::Exited>();
}

}  // namespace
}  // namespace berth::launch::testing
