// Launching: exit codes, the view from inside, users, directories, failures, what is left behind.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>

#include "launch/kernel_tests/sandbox.h"

namespace berth::launch::testing {
namespace {

using RunTest = SandboxTest;

TEST_F(RunTest, ExitCodesAndOutput) {
  auto outcome = run("echo out; echo err >&2; exit 42");
  EXPECT_EQ(outcome.code, 42);
  EXPECT_NE(outcome.output.find("out\n"), std::string::npos);
  EXPECT_NE(outcome.output.find("err\n"), std::string::npos);
  auto text = log_text();
  EXPECT_NE(text.find("out\n"), std::string::npos);
  auto record = read_exit_record(directory_ + "/exit");
  ASSERT_TRUE(record) << record.error().message();
  EXPECT_EQ(record->exit_code, 42);
  EXPECT_EQ(record->signal, 0);
  EXPECT_GE(record->finished, record->started);
}

TEST_F(RunTest, DeathBySignalIs128PlusItsNumber) {
  auto container = start(request("sleep 100"));
  container->wait_for<event::Started>();
  ASSERT_TRUE(container->keeper().signal("", SIGKILL));
  auto record = container->wait_for<event::Exited>().record;
  EXPECT_EQ(record.exit_code, 137);
  EXPECT_EQ(record.signal, SIGKILL);
}

TEST_F(RunTest, ProgramNotFound) {
  auto wanted = request("");
  wanted.spec.process.args = {"nope"};
  auto outcome = run(wanted);
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->message, "exec: \"nope\": executable file not found in $PATH");
  EXPECT_EQ(outcome.failure->exit_code, 127);
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/exit"));

  wanted.spec.process.args = {"/nope"};
  outcome = run(wanted);
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->message, "exec: \"/nope\": no such file or directory");
  EXPECT_EQ(outcome.failure->exit_code, 127);
}

TEST_F(RunTest, ProgramNotExecutable) {
  auto wanted = request("");
  wanted.spec.process.args = {"/etc/passwd"};
  auto outcome = run(wanted);
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->message, "exec: \"/etc/passwd\": permission denied");
  EXPECT_EQ(outcome.failure->exit_code, 126);
  wanted.spec.process.args = {"/etc"};
  outcome = run(wanted);
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->message, "exec: \"/etc\": is a directory: permission denied");
  EXPECT_EQ(outcome.failure->exit_code, 126);
  write_file(root() + "/bin/broken", "\x7f\x45LF nonsense");
  ::chmod((root() + "/bin/broken").c_str(), 0755);
  wanted.spec.process.args = {"broken"};
  outcome = run(wanted);
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->message, "exec: \"broken\": exec format error");
  EXPECT_EQ(outcome.failure->exit_code, 126);
}

TEST_F(RunTest, NamespacesAreItsOwn) {
  auto wanted = request(
      "hostname; echo pid $$; ls /sys/class/net; cat /proc/self/cgroup >/dev/null; ls -d /proc/[0-9]* | wc "
      "-l;"
      "cat /sys/class/net/lo/operstate; ip addr show lo | grep -c 127.0.0.1");
  wanted.spec.hostname = "box";
  auto outcome = run(wanted);
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_TRUE(outcome.output.starts_with("box\npid 1\nlo\n")) << outcome.output;
  EXPECT_TRUE(outcome.output.ends_with("\nunknown\n1\n")) << outcome.output;
}

TEST_F(RunTest, NoDescriptorLeaks) {
  auto outcome = run("ls /proc/self/fd");
  // 3 is the directory that ls reads.
  EXPECT_EQ(outcome.output, "0\n1\n2\n3\n");
  outcome = run("readlink /proc/1/fd/0; stat -L -c '%F %t:%T' /proc/self/fd/0");
  EXPECT_EQ(outcome.output, "/dev/null\ncharacter special file 1:3\n");
}

TEST_F(RunTest, StdinIsTheContainersOwnNullDevice) {
  struct stat before {
  }, after{};
  ASSERT_EQ(::stat("/dev/null", &before), 0);
  auto outcome = run("chmod 0700 /proc/self/fd/0; stat -L -c %a /proc/self/fd/0");
  EXPECT_EQ(outcome.output, "700\n");
  ASSERT_EQ(::stat("/dev/null", &after), 0);
  EXPECT_EQ(before.st_mode, after.st_mode);
}

TEST_F(RunTest, DevicesAndLinks) {
  auto outcome =
      run("cd /dev; stat -c '%n %F %t:%T %a' null zero full random urandom tty;"
          "for l in fd stdin stdout stderr ptmx; do readlink $l; done;"
          "ls -d mqueue; ls -d pts; ls -d shm; echo x >/dev/stdout; echo y | cat - /dev/fd/0 </dev/null");
  EXPECT_EQ(
      outcome.output,
      "null character special file 1:3 666\nzero character special file 1:5 666\n"
      "full character special file 1:7 666\nrandom character special file 1:8 666\n"
      "urandom character special file 1:9 666\ntty character special file 5:0 666\n"
      "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\nmqueue\npts\nshm\nx\n");
}

TEST_F(RunTest, RootAndItsMountsAreWhereTheyShouldBe) {
  auto outcome = run("awk '{print $2, $3}' /proc/mounts | sort -u");
  for (const char* line : {"/ overlay\n", "/proc proc\n", "/dev tmpfs\n", "/dev/pts devpts\n", "/sys sysfs\n",
                           "/dev/shm tmpfs\n", "/dev/mqueue mqueue\n", "/proc/sys proc\n"})
    EXPECT_NE(outcome.output.find(line), std::string::npos) << line << outcome.output;
  EXPECT_EQ(outcome.output.find(directory_), std::string::npos) << outcome.output;
  // Nothing of it is to be seen on the host.
  EXPECT_EQ(read_file("/proc/self/mountinfo").find(directory_), std::string::npos);
}

TEST_F(RunTest, WritesGoToTheUpperLayer) {
  auto outcome = run("echo hello >/tmp/file; rm /etc/group");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(read_file(directory_ + "/upper/tmp/file"), "hello\n");
  EXPECT_TRUE(std::filesystem::exists(root() + "/etc/group"));
}

TEST_F(RunTest, ReadonlyRoot) {
  auto wanted = request("touch /x || echo refused; touch /dev/shm/y && echo scratch");
  wanted.spec.root.readonly = true;
  auto outcome = run(wanted);
  EXPECT_NE(outcome.output.find("refused"), std::string::npos);
  EXPECT_NE(outcome.output.find("scratch"), std::string::npos);
}

TEST_F(RunTest, DirectoryAsRoot) {
  auto wanted = request("echo hi >/tmp/made; pwd");
  wanted.root = DirectoryRoot{root()};
  EXPECT_EQ(run(wanted).output, "/\n");
  EXPECT_EQ(read_file(root() + "/tmp/made"), "hi\n");
}

TEST_F(RunTest, ReadonlyOverlayWithoutUpper) {
  auto wanted = request("cat /etc/group | head -n 1; touch /x || echo refused");
  wanted.root = OverlayRoot{.lowers = {root()}, .upper = {}, .work = {}, .options = {}};
  auto outcome = run(wanted);
  EXPECT_TRUE(outcome.output.starts_with("root:x:0:\n")) << outcome.output;
  EXPECT_TRUE(outcome.output.ends_with("refused\n")) << outcome.output;
}

TEST_F(RunTest, ManyLowerLayers) {
  auto wanted = request("cat /l0 /l59");
  OverlayRoot overlay{
      .lowers = {}, .upper = directory_ + "/upper", .work = directory_ + "/work", .options = {}};
  for (int i = 0; i < 60; ++i) {
    std::string name = directory_ + "/" + std::string(64, 'x') + std::to_string(i);
    std::filesystem::create_directory(name);
    write_file(name + "/l" + std::to_string(i), std::to_string(i) + "\n");
    overlay.lowers.push_back(name);
  }
  overlay.lowers.push_back(root());
  wanted.root = overlay;
  EXPECT_EQ(run(wanted).output, "0\n59\n");
}

TEST_F(RunTest, UsersByNameAndNumber) {
  struct Case {
    const char* user;
    const char* expected;
  };
  for (const auto& [user, expected] :
       {Case{"", "uid=0(root) gid=0(root) groups=0(root),10(wheel)\nHOME=/root\n"},
        Case{"alice",
             "uid=1000(alice) gid=1000(alice) groups=10(wheel),29(audio),1000(alice)\nHOME=/home/alice\n"},
        Case{"1000",
             "uid=1000(alice) gid=1000(alice) groups=10(wheel),29(audio),1000(alice)\nHOME=/home/alice\n"},
        Case{"alice:audio", "uid=1000(alice) gid=29(audio) groups=29(audio)\nHOME=/home/alice\n"},
        Case{"1234", "uid=1234 gid=0(root) groups=0(root)\nHOME=/\n"},
        Case{"77:88", "uid=77 gid=88 groups=88\nHOME=/\n"}}) {
    auto wanted = request("id; env | grep HOME");
    wanted.spec.process.user.name = user;
    EXPECT_EQ(run(wanted).output, expected) << user;
  }
}

TEST_F(RunTest, OddUsersAreErrorsNeverRoot) {
  for (const char* user : {"nobody-here", "+1", " 1", "-1", "4294967296", "4294967297", "2147483648",
                           "alice:nogroup", "1000:4294967296"}) {
    auto wanted = request("id -u");
    wanted.spec.process.user.name = user;
    auto outcome = run(wanted);
    EXPECT_TRUE(outcome.failure) << user << " ran as " << outcome.output;
  }
  auto wanted = request("true");
  wanted.spec.process.user.name = "nobody-here";
  EXPECT_EQ(run(wanted).failure->message,
            "unable to find user nobody-here: no matching entries in passwd file");
}

TEST_F(RunTest, HostilePasswdFiles) {
  auto wanted = request("id -u");
  wanted.spec.process.user.name = "alice";
  std::filesystem::remove(root() + "/etc/passwd");
  ASSERT_EQ(::mkfifo((root() + "/etc/passwd").c_str(), 0644), 0);
  EXPECT_TRUE(run(wanted).failure);
  std::filesystem::remove(root() + "/etc/passwd");
  int fd = ::open((root() + "/etc/passwd").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
  ASSERT_EQ(::ftruncate(fd, int64_t{1} << 30), 0);
  ::close(fd);
  auto outcome = run(wanted);
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->message, "/etc/passwd is larger than 16 MiB, or not an ordinary file");
}

TEST_F(RunTest, GroupsMayBeAdded) {
  auto wanted = request("id -G");
  wanted.spec.process.user.name = "alice";
  wanted.spec.process.user.additional_groups = {"777", "root"};
  EXPECT_EQ(run(wanted).output, "1000 0 10 29 777\n");
}

TEST_F(RunTest, NonRootMayReopenItsStreams) {
  auto wanted = request("echo again >/dev/stdout; echo error >/dev/stderr");
  wanted.spec.process.user.name = "alice";
  EXPECT_EQ(run(wanted).output, "again\nerror\n");
}

TEST_F(RunTest, WorkingDirectory) {
  auto wanted = request("pwd; stat -c %u:%a .");
  wanted.spec.process.cwd = "/made/for/us";
  EXPECT_EQ(run(wanted).output, "/made/for/us\n0:755\n");
  wanted.spec.process.cwd = "/etc/passwd";
  auto outcome = run(wanted);
  ASSERT_TRUE(outcome.failure);
}

TEST_F(RunTest, LeakedDirectoriesAreNoWayOut) {
  for (int i = 3; i < 30; ++i) {
    auto wanted = request("pwd; ls");
    wanted.spec.process.cwd = "/proc/self/fd/" + std::to_string(i);
    auto outcome = run(wanted);
    EXPECT_TRUE(outcome.failure || outcome.output.starts_with("/\n")) << outcome.output;
  }
}

TEST_F(RunTest, LimitsAndMask) {
  auto wanted = request("ulimit -n; umask");
  wanted.spec.process.rlimits = {{"RLIMIT_NOFILE", 77, 77}};
  wanted.spec.process.user.umask = 027;
  EXPECT_EQ(run(wanted).output, "77\n0027\n");
}

TEST_F(RunTest, InitForwardsSignalsAndReaps) {
  auto wanted =
      request("trap 'echo term; exit 7' TERM; (sleep 0.01 & ) ; echo ready; while :; do sleep 0.05; done");
  wanted.init = InitMode::Berth;
  auto container = start(wanted);
  container->read_until("ready\n");
  ASSERT_TRUE(container->keeper().signal("", SIGTERM));
  std::string output;
  EXPECT_EQ(container->finish(output), 7);
  EXPECT_EQ(output, "term\n");
  wanted = request("cat /proc/1/comm; readlink /proc/1/exe; echo $$");
  wanted.init = InitMode::Berth;
  auto outcome = run(wanted);
  EXPECT_EQ(outcome.output, "berth-init\n/memfd:berth-keeper (deleted)\n2\n");
}

TEST_F(RunTest, WaitsForRelease) {
  auto wanted = request("echo go");
  wanted.start = StartMode::WhenReleased;
  auto container = start(wanted);
  EXPECT_GT(container->wait_for<event::Created>().pid, 0);
  container->wait_for<event::Ready>();
  ASSERT_TRUE(container->keeper().release());
  std::string output;
  EXPECT_EQ(container->finish(output), 0);
  EXPECT_EQ(output, "go\n");
}

TEST_F(RunTest, KillingTheKeeperEndsTheContainer) {
  auto container = start(request("sleep 100"));
  pid_t pid = container->wait_for<event::Started>().pid;
  sys::UniqueFd handle(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  ASSERT_TRUE(handle);
  ::kill(container->keeper().pid(), SIGKILL);
  pollfd gone{.fd = handle.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&gone, 1, 10000), 1);
  EXPECT_FALSE(read_exit_record(directory_ + "/exit"));
}

TEST_F(RunTest, SysctlsOfItsOwnNamespaces) {
  auto wanted = request("cat /proc/sys/net/ipv4/ip_unprivileged_port_start");
  wanted.spec.sysctl["net.ipv4.ip_unprivileged_port_start"] = "0";
  EXPECT_EQ(run(wanted).output, "0\n");
  wanted.spec.sysctl["kernel.core_pattern"] = "|/evil";
  auto plan = plan_launch(wanted, host_);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().message(), "sysctl \"kernel.core_pattern\" is not in a separate kernel namespace");
}

TEST_F(RunTest, EntersItsGroups) {
  for (const auto& hierarchy : host_.cgroups) {
    std::string path = hierarchy.mount_point + "/berth-launch-test-" + std::to_string(::getpid());
    if (::mkdir(path.c_str(), 0755) == 0) groups_.push_back(path);
  }
  if (groups_.empty()) GTEST_SKIP() << "no cgroup can be made here";
  auto wanted = request("cat /proc/self/cgroup; ls /sys/fs/cgroup");
  for (const auto& group : groups_)
    if (group.find("cpuset") == std::string::npos) wanted.cgroups.push_back({group});
  auto container = start(wanted);
  std::string output;
  EXPECT_EQ(container->finish(output), 0) << container->what_happened();
  // In its own cgroup namespace each of them is "/".
  EXPECT_EQ(output.find("berth-launch-test"), std::string::npos) << output;
  EXPECT_NE(output.find(":/\n"), std::string::npos) << output;
}

}  // namespace
}  // namespace berth::launch::testing
