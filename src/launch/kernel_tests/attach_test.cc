// Streams: terminals, stdin, framing, detaching, many and slow clients, the log.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "launch/kernel_tests/sandbox.h"

namespace berth::launch::testing {
namespace {

using AttachTest = SandboxTest;

void send_text(int fd, const std::string& text) {
  ASSERT_EQ(::send(fd, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
}

/// One more client of a running container.
sys::UniqueFd attach(Container& container, AttachRequest request) {
  int pair[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  EXPECT_TRUE(container.keeper().attach(request, sys::UniqueFd(pair[1])));
  return sys::UniqueFd(pair[0]);
}

std::string read_all(int fd) {
  std::string text;
  char buffer[4096];
  ssize_t size;
  while ((size = ::read(fd, buffer, sizeof buffer)) > 0) text.append(buffer, static_cast<size_t>(size));
  return text;
}

TEST_F(AttachTest, MultiplexedFraming) {
  auto container = start(request("printf out; printf err >&2"), {.framing = Framing::Multiplexed});
  std::string output;
  EXPECT_EQ(container->finish(output), 0);
  std::string out("\x01\0\0\0\0\0\0\x03out", 11), err("\x02\0\0\0\0\0\0\x03"
                                                      "err",
                                                      11);
  EXPECT_TRUE(output == out + err || output == err + out) << output;
}

TEST_F(AttachTest, OnlyTheStreamsAskedFor) {
  auto container = start(request("printf out; printf err >&2"), {.streams = {.output = false}});
  std::string output;
  EXPECT_EQ(container->finish(output), 0);
  EXPECT_EQ(output, "err");
}

TEST_F(AttachTest, StdinOnceEndsWithTheClientsInput) {
  auto wanted = request("cat; echo done");
  wanted.stdin_mode = StdinMode::Once;
  auto container = start(
      wanted, {.streams = {.input = true}, .input_end = InputEnd::CloseStdin, .already_read = "early "});
  send_text(container->client(), "late\n");
  ::shutdown(container->client(), SHUT_WR);
  std::string output;
  EXPECT_EQ(container->finish(output), 0);
  EXPECT_EQ(output, "early late\ndone\n");
}

TEST_F(AttachTest, MuchInputAndOutput) {
  auto wanted = request("cat");
  wanted.stdin_mode = StdinMode::Once;
  wanted.log.mode = LogConfig::Mode::None;
  auto container = start(wanted, {.streams = {.input = true}, .input_end = InputEnd::CloseStdin});
  std::string input;
  for (int i = 0; i < 1000000; ++i) input += std::to_string(i) + "\n";
  std::thread writer([&] {
    size_t at = 0;
    while (at < input.size()) {
      ssize_t sent = ::send(container->client(), input.data() + at, input.size() - at, MSG_NOSIGNAL);
      if (sent <= 0) break;
      at += static_cast<size_t>(sent);
    }
    ::shutdown(container->client(), SHUT_WR);
  });
  std::string output;
  int code = container->finish(output);
  writer.join();
  EXPECT_EQ(code, 0);
  EXPECT_TRUE(output == input);
}

TEST_F(AttachTest, OpenStdinSurvivesItsClients) {
  auto wanted = request("read a; read b; echo got $a $b");
  wanted.stdin_mode = StdinMode::Open;
  auto container = start(wanted, {.id = 1, .streams = {.input = true}});
  send_text(container->client(), "one\n");
  ::shutdown(container->client(), SHUT_WR);
  EXPECT_EQ(container->wait_for<event::AttachEnded>().reason, AttachEnd::InputEnded);
  auto second = attach(*container, {.id = 2, .streams = {.input = true}});
  send_text(second.get(), "two\n");
  EXPECT_EQ(read_all(second.get()), "got one two\n");
  EXPECT_EQ(container->wait_for<event::Exited>().record.exit_code, 0);
}

TEST_F(AttachTest, CloseStdinCommand) {
  auto wanted = request("cat; echo end");
  wanted.stdin_mode = StdinMode::Open;
  auto container = start(wanted);
  container->wait_for<event::Started>();
  ASSERT_TRUE(container->keeper().close_stdin(""));
  EXPECT_EQ(container->read_output(), "end\n");
}

TEST_F(AttachTest, Terminal) {
  auto wanted = request(
      "tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo terminal; ls -l /dev/console "
      "| cut -c1; read line; echo \"[$line]\"; stat -c %u $(tty)");
  wanted.spec.process.terminal = true;
  wanted.spec.process.console_size = spec::ConsoleSize{33, 111};
  wanted.stdin_mode = StdinMode::Open;
  auto container = start(wanted, {.streams = {.input = true}});
  send_text(container->client(), "hello\r");
  std::string output;
  EXPECT_EQ(container->finish(output), 0) << container->what_happened();
  for (const char* line : {"/dev/pts/0\r\n", "33 111\r\n", "terminal\r\n"})
    EXPECT_NE(output.find(line), std::string::npos) << output;
  EXPECT_NE(output.find("[hello]\r\n0\r\n"), std::string::npos) << output;
}

TEST_F(AttachTest, TerminalIsResized) {
  auto wanted = request("trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done");
  wanted.spec.process.terminal = true;
  auto container = start(wanted);
  container->read_until("ready");
  ASSERT_TRUE(container->keeper().resize("", 50, 132));
  EXPECT_NE(container->read_output().find("50 132"), std::string::npos);
}

TEST_F(AttachTest, ControlCReachesTheProgram) {
  auto wanted = request("trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.05; done");
  wanted.spec.process.terminal = true;
  wanted.stdin_mode = StdinMode::Open;
  auto container = start(wanted, {.streams = {.input = true}});
  container->read_until("ready");
  send_text(container->client(), "\x03");
  std::string output;
  EXPECT_EQ(container->finish(output), 3);
}

TEST_F(AttachTest, DetachKeys) {
  auto wanted = request("read a; echo \"[$a]\"");
  wanted.spec.process.terminal = true;
  wanted.stdin_mode = StdinMode::Open;
  auto container = start(wanted, {.id = 7, .streams = {.input = true}, .detach_keys = "\x10\x11"});
  send_text(container->client(), "x\x10y");
  send_text(container->client(), "\x10");
  send_text(container->client(), "\x11");
  EXPECT_EQ(container->wait_for<event::AttachEnded>().reason, AttachEnd::Detached);
  auto again = attach(*container, {.id = 8, .streams = {.input = true}});
  send_text(again.get(), "z\r");
  EXPECT_NE(read_all(again.get()).find("[x\x10yz]"), std::string::npos);
}

TEST_F(AttachTest, ManyClientsSeeTheSame) {
  auto wanted = request("read go; seq 1 20000");
  wanted.stdin_mode = StdinMode::Open;
  auto container = start(wanted, {.streams = {.input = true}});
  std::vector<sys::UniqueFd> clients;
  for (uint64_t i = 0; i < 8; ++i) clients.push_back(attach(*container, {.id = 10 + i}));
  send_text(container->client(), "\n");
  std::vector<std::string> outputs(clients.size());
  std::vector<std::thread> readers;
  for (size_t i = 0; i < clients.size(); ++i)
    readers.emplace_back([&, i] { outputs[i] = read_all(clients[i].get()); });
  std::string output = container->read_output();
  for (auto& reader : readers) reader.join();
  for (const auto& each : outputs) EXPECT_TRUE(each == output);
  EXPECT_TRUE(output.ends_with("20000\n"));
}

TEST_F(AttachTest, SlowClientLosesNothingAndDoesNotDelayTheEnd) {
  auto wanted = request("seq 1 200000");
  auto container = start(wanted);
  // Nothing is read until the container has ended; what it wrote in the end waits for us.
  container->wait_for<event::Started>();
  std::string head = container->read_until("150000\n");
  EXPECT_EQ(container->wait_for<event::Exited>().record.exit_code, 0);
  std::string output = head + container->read_output();
  EXPECT_EQ(output.size(), log_text().size());
  EXPECT_TRUE(output.ends_with("200000\n"));
}

TEST_F(AttachTest, SlowClientsMayBeDropped) {
  auto wanted = request("seq 1 300000");
  auto container = start(wanted, {.id = 5, .slow_client = SlowClient::Disconnect});
  EXPECT_EQ(container->wait_for<event::AttachEnded>().reason, AttachEnd::ClientGone);
  EXPECT_EQ(container->wait_for<event::Exited>().record.exit_code, 0);
  EXPECT_TRUE(log_text().ends_with("300000\n"));
}

TEST_F(AttachTest, ClientThatGoesAwayIsNoticed) {
  auto wanted = request("read x");
  wanted.stdin_mode = StdinMode::Open;
  auto container = start(wanted, {.id = 3, .streams = {.input = true}});
  container->wait_for<event::Started>();
  container->close_client();
  EXPECT_EQ(container->wait_for<event::AttachEnded>().id, 3U);
  ASSERT_TRUE(container->keeper().signal("", SIGKILL));
  EXPECT_EQ(container->wait_for<event::Exited>().record.exit_code, 137);
}

TEST_F(AttachTest, SlowClientThatGoesAwayHoldsNobodyUp) {
  auto container = start(request("seq 1 1000000; echo through >&2"));
  container->read_until("1000\n");
  container->close_client();
  EXPECT_EQ(container->wait_for<event::Exited>().record.exit_code, 0);
  EXPECT_TRUE(log_text().ends_with("1000000\nthrough\n"));
}

TEST_F(AttachTest, BackgroundProcessesDoNotHoldTheEndUp) {
  auto outcome = run("(sleep 1000; echo never) & echo now");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.output, "now\n");
}

TEST_F(AttachTest, LogRotates) {
  auto wanted = request("seq 1 100000");
  wanted.log.max_size = 100000;
  wanted.log.max_files = 3;
  EXPECT_EQ(run(wanted).code, 0);
  EXPECT_TRUE(std::filesystem::exists(directory_ + "/log.2"));
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/log.3"));
  std::string text;
  for (const char* name : {"/log.2", "/log.1", "/log"}) {
    std::string bytes = read_file(directory_ + name);
    LogReader reader(bytes);
    while (auto record = reader.next()) text += record->bytes;
    EXPECT_EQ(reader.consumed(), bytes.size());
    EXPECT_LT(bytes.size(), 300000U);
  }
  EXPECT_TRUE(text.ends_with("99999\n100000\n"));
  // No line is cut by a rotation.
  size_t first = text.find('\n');
  EXPECT_EQ(std::stoi(text.substr(first + 1)), std::stoi(text.substr(0, first)) + 1);
}

TEST_F(AttachTest, TornLogIsMendedAfterACrash) {
  EXPECT_EQ(run("echo first").code, 0);
  std::filesystem::remove(directory_ + "/exit");  // as if the keeper had been killed
  {
    int fd = ::open((directory_ + "/log").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
    LogHeader header{.time = 1, .length = 5000, .stream = 1};
    ASSERT_EQ(::write(fd, &header, sizeof header), ssize_t{sizeof header});
    ASSERT_EQ(::write(fd, "torn", 4), 4);
    ::close(fd);
  }
  EXPECT_EQ(run("echo second").code, 0);
  EXPECT_EQ(log_text(), "first\nsecond\n");
}

TEST_F(AttachTest, LogThatCannotBeOpenedFailsTheLaunch) {
  auto wanted = request("true");
  wanted.log.path = directory_ + "/missing/log";
  auto outcome = run(wanted);
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->message, "keeper " + directory_ + "/missing/log: no such file or directory");
}

}  // namespace
}  // namespace berth::launch::testing
