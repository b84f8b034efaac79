// Execs, and daemons that come and go.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launch/kernel_tests/sandbox.h"

namespace berth::launch::testing {
namespace {

class ExecTest : public SandboxTest {
 protected:
  std::unique_ptr<Container> start_sleeper() {
    sleeper_ = request("sleep 1000");
    auto container = start(sleeper_);
    container->wait_for<event::Started>();
    return container;
  }
  /// Starts an exec with one client; the client's end is returned.
  sys::UniqueFd exec(Container& container, const ExecRequest& request, AttachRequest attach = {}) {
    auto plan = plan_exec(request, host_);
    EXPECT_TRUE(plan);
    int pair[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    std::vector<Attachment> attachments;
    attachments.push_back({attach, sys::UniqueFd(pair[1])});
    EXPECT_TRUE(container.keeper().exec(request.token, *plan, std::move(attachments)));
    return sys::UniqueFd(pair[0]);
  }
  std::string read_all(const sys::UniqueFd& fd) {
    std::string text;
    char buffer[4096];
    ssize_t size;
    while ((size = ::read(fd.get(), buffer, sizeof buffer)) > 0)
      text.append(buffer, static_cast<size_t>(size));
    return text;
  }
  void stop(Container& container) {
    ASSERT_TRUE(container.keeper().signal("", SIGKILL));
    container.wait_for<event::Exited>();
  }
  LaunchRequest sleeper_;
};

TEST_F(ExecTest, RunsBesideInit) {
  auto container = start_sleeper();
  auto client = exec(*container,
                     exec_request(sleeper_, "ps | grep -c sleep; id -u; hostname; ls /proc/self/fd; exit 9"));
  auto text = read_all(client);
  EXPECT_TRUE(text.ends_with("0\n1\n2\n3\n")) << text;
  auto exited = container->wait_for<event::ExecExited>();
  EXPECT_EQ(exited.token, "exec1");
  EXPECT_EQ(exited.exit_code, 9);
  stop(*container);
}

TEST_F(ExecTest, HasTheSameNamespacesCapabilitiesAndFilter) {
  auto wanted = request(
      "grep -E 'Cap|Seccomp:' /proc/self/status; for n in mnt pid net ipc uts cgroup; do readlink "
      "/proc/self/ns/$n; done; echo end; sleep 1000");
  auto container = start(wanted);
  auto own = container->read_until("end\n");
  auto client =
      exec(*container, exec_request(wanted,
                                    "grep -E 'Cap|Seccomp:' /proc/self/status; for n in mnt pid net "
                                    "ipc uts cgroup; do readlink /proc/self/ns/$n; done; echo end"));
  EXPECT_EQ(read_all(client), own);
  EXPECT_NE(own.find("CapInh:\t0000000000000000"), std::string::npos) << own;
  EXPECT_NE(own.find("CapEff:\t00000000a80425fb"), std::string::npos) << own;
  EXPECT_NE(own.find("Seccomp:\t2"), std::string::npos) << own;
  stop(*container);
}

TEST_F(ExecTest, StdinAndTerminal) {
  auto container = start_sleeper();
  auto wanted = exec_request(sleeper_, "cat");
  wanted.stdin_mode = StdinMode::Once;
  auto client = exec(*container, wanted, {.streams = {.input = true}, .input_end = InputEnd::CloseStdin});
  ASSERT_EQ(::write(client.get(), "hi\n", 3), 3);
  ::shutdown(client.get(), SHUT_WR);
  EXPECT_EQ(read_all(client), "hi\n");
  EXPECT_EQ(container->wait_for<event::ExecExited>().exit_code, 0);

  wanted = exec_request(sleeper_, "tty; stty size; read x; echo \"[$x]\"");
  wanted.token = "exec2";
  wanted.process.terminal = true;
  wanted.process.console_size = spec::ConsoleSize{24, 80};
  wanted.stdin_mode = StdinMode::Open;
  client = exec(*container, wanted, {.streams = {.input = true}});
  ASSERT_EQ(::write(client.get(), "abc\r", 4), 4);
  auto text = read_all(client);
  EXPECT_NE(text.find("/dev/pts/0\r\n"), std::string::npos) << text;
  EXPECT_NE(text.find("24 80\r\n"), std::string::npos) << text;
  EXPECT_NE(text.find("[abc]\r\n"), std::string::npos) << text;
  stop(*container);
}

TEST_F(ExecTest, ATerminalGoesWithItsClient) {
  auto container = start_sleeper();
  auto wanted = exec_request(sleeper_, "echo ready; read x; sleep 1000");
  wanted.process.terminal = true;
  wanted.stdin_mode = StdinMode::Open;
  AttachRequest attach{.streams = {.input = true}, .input_end = InputEnd::HangUp};
  {
    auto client = exec(*container, wanted, attach);
    char first;
    ASSERT_EQ(::read(client.get(), &first, 1), 1);
  }
  EXPECT_EQ(container->wait_for<event::ExecExited>().exit_code, 128 + SIGHUP);

  // It has gone before anything is known of the process.
  wanted.token = "exec2";
  auto plan = plan_exec(wanted, host_);
  ASSERT_TRUE(plan);
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  ::close(pair[0]);
  std::vector<Attachment> attachments;
  attachments.push_back({attach, sys::UniqueFd(pair[1])});
  ASSERT_TRUE(container->keeper().exec(wanted.token, *plan, std::move(attachments)));
  EXPECT_EQ(container->wait_for<event::ExecExited>().exit_code, 128 + SIGHUP);
  stop(*container);
}

TEST_F(ExecTest, UsersEnvironmentAndDirectory) {
  auto container = start_sleeper();
  auto wanted = exec_request(sleeper_, "id; pwd; env | sort");
  wanted.process.user.name = "alice";
  wanted.process.cwd = "/tmp";
  wanted.process.env = {"PATH=/bin", "A=b"};
  EXPECT_EQ(
      read_all(exec(*container, wanted)),
      "uid=1000(alice) gid=1000(alice) groups=10(wheel),29(audio),1000(alice)\n/tmp\nA=b\nHOME=/home/alice\n"
      "PATH=/bin\nPWD=/tmp\nSHLVL=1\n");
  stop(*container);
}

TEST_F(ExecTest, Failures) {
  auto container = start_sleeper();
  auto wanted = exec_request(sleeper_, "");
  wanted.process.args = {"nope"};
  auto client = exec(*container, wanted);
  auto failed = container->wait_for<event::ExecFailed>();
  EXPECT_EQ(failed.failure.message, "exec: \"nope\": executable file not found in $PATH");
  EXPECT_EQ(failed.failure.exit_code, 127);
  EXPECT_EQ(read_all(client), "");
  for (int i = 3; i < 20; ++i) {
    wanted = exec_request(sleeper_, "pwd; ls; exit 33");
    wanted.token = "leak" + std::to_string(i);
    wanted.process.cwd = "/proc/self/fd/" + std::to_string(i);
    EXPECT_EQ(read_all(exec(*container, wanted)).find("/work"), std::string::npos);
  }
  wanted = exec_request(sleeper_, "true");
  wanted.token = "cwd";
  wanted.process.cwd = "/not/there";
  auto gone = exec(*container, wanted);
  stop(*container);
}

TEST_F(ExecTest, DetachedOutputIsDiscarded) {
  auto container = start_sleeper();
  auto plan = plan_exec(exec_request(sleeper_, "seq 1 100000; exit 4"), host_);
  ASSERT_TRUE(plan);
  ASSERT_TRUE(container->keeper().exec("exec1", *plan));
  EXPECT_EQ(container->wait_for<event::ExecExited>().exit_code, 4);
  EXPECT_EQ(log_text(), "");
  stop(*container);
}

TEST_F(ExecTest, SignalsAndMissingOnes) {
  auto container = start_sleeper();
  auto client = exec(*container, exec_request(sleeper_, "echo ready; sleep 1000"));
  container->wait_for<event::ExecStarted>();
  char buffer[16];
  ASSERT_EQ(::read(client.get(), buffer, sizeof buffer), 6);
  ASSERT_TRUE(container->keeper().signal("exec1", SIGKILL));
  EXPECT_EQ(container->wait_for<event::ExecExited>().exit_code, 137);
  ASSERT_TRUE(container->keeper().signal("exec1", SIGKILL));
  EXPECT_EQ(container->wait_for<event::CommandFailed>().errno_value, ESRCH);
  stop(*container);
}

TEST_F(ExecTest, EndsWithTheContainer) {
  auto container = start_sleeper();
  auto client = exec(*container, exec_request(sleeper_, "sleep 1000"));
  container->wait_for<event::ExecStarted>();
  stop(*container);
  EXPECT_EQ(read_all(client), "");
  EXPECT_EQ(container->wait_for<event::ExecExited>().exit_code, 137);
}

TEST_F(ExecTest, ManyAtOnce) {
  auto container = start_sleeper();
  std::vector<sys::UniqueFd> clients;
  for (int i = 0; i < 50; ++i) {
    auto wanted = exec_request(sleeper_, "echo " + std::to_string(i));
    wanted.token = "many" + std::to_string(i);
    clients.push_back(exec(*container, wanted));
  }
  for (int i = 0; i < 50; ++i) EXPECT_EQ(read_all(clients[static_cast<size_t>(i)]), std::to_string(i) + "\n");
  stop(*container);
}

TEST_F(ExecTest, NextDaemonTakesOver) {
  auto container = start_sleeper();
  pid_t init = container->pid();
  auto client = exec(*container, exec_request(sleeper_, "sleep 1000; exit 12"));
  container->wait_for<event::ExecStarted>();
  // Another daemon connects, finds everything, and carries on.
  auto second = Keeper::connect(directory_ + "/exec/keeper.sock");
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(second->state().phase, KeeperPhase::Running);
  EXPECT_EQ(second->state().pid, init);
  EXPECT_EQ(second->state().keeper_pid, container->keeper().pid());
  EXPECT_EQ(second->state().id, "test");
  ASSERT_EQ(second->state().execs.size(), 1U);
  EXPECT_EQ(second->state().execs[0].token, "exec1");
  container->replace_keeper(std::move(*second));
  ASSERT_TRUE(container->keeper().signal("exec1", SIGTERM));
  EXPECT_EQ(container->wait_for<event::ExecExited>().exit_code, 143);
  stop(*container);
}

TEST_F(ExecTest, ExecThatEndedUnheardIsToldToTheNextDaemon) {
  auto wanted = request("sleep 1000");
  sleeper_ = wanted;
  auto container = start(wanted);
  container->wait_for<event::Started>();
  auto client = exec(*container, exec_request(wanted, "sleep 1000; exit 12"));
  pid_t pid = container->wait_for<event::ExecStarted>().pid;
  sys::UniqueFd handle(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  // The daemon goes; the exec ends while nobody listens.
  container.reset();
  ASSERT_EQ(::syscall(SYS_pidfd_send_signal, handle.get(), SIGKILL, nullptr, 0), 0);
  EXPECT_EQ(read_all(client), "");
  auto next = Keeper::connect(directory_ + "/exec/keeper.sock");
  ASSERT_TRUE(next) << next.error().message();
  Container again(std::move(*next), {});
  EXPECT_EQ(again.wait_for<event::ExecExited>().exit_code, 137);
  stop(again);
}

TEST_F(ExecTest, ExitIsRecordedWithoutADaemon) {
  auto container = start(request("sleep 0.2; echo late; exit 5"));
  container->wait_for<event::Started>();
  sys::UniqueFd handle(static_cast<int>(::syscall(SYS_pidfd_open, container->keeper().pid(), 0)));
  container.reset();
  pollfd gone{.fd = handle.get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&gone, 1, 20000), 1);
  auto record = read_exit_record(directory_ + "/exit");
  ASSERT_TRUE(record) << record.error().message();
  EXPECT_EQ(record->exit_code, 5);
  EXPECT_EQ(log_text(), "late\n");
  EXPECT_FALSE(Keeper::connect(directory_ + "/exec/keeper.sock"));
}

}  // namespace
}  // namespace berth::launch::testing
