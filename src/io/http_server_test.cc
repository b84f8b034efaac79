// Tests of the HTTP server over real sockets.
#include "io/http_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "io/event_loop.h"
#include "io/sync.h"

namespace berth::io {
namespace {

using namespace std::chrono_literals;

class HttpServerTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/berth-http-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    path_ = folder_ + "/s";
  }
  void TearDown() override {
    server_.reset();
    struct stat status;
    EXPECT_NE(::lstat(path_.c_str(), &status), 0) << "the socket's path is left";
    ::rmdir(folder_.c_str());
  }

  void serve(HttpLimits limits = {}) {
    server_ = std::make_unique<HttpServer>(
        loop_, [this](Exchange& exchange) { return handle(exchange); }, limits);
    ASSERT_TRUE(server_->listen_unix(path_, {.mode = 0600}));
  }

  Task<void> handle(Exchange& exchange) {
    ++requests_;
    if (exchange.path() == "/echo") {
      auto body = co_await exchange.read_body(1 << 20);
      if (!body) {
        [[maybe_unused]] auto sent = co_await exchange.respond(400, "text/plain", body.error().message());
        co_return;
      }
      exchange.set_header("X-Test", "1");
      [[maybe_unused]] auto sent = co_await exchange.respond(200, "text/plain", *body);
    } else if (exchange.path() == "/ignore") {
      [[maybe_unused]] auto sent = co_await exchange.respond(200, "text/plain", "ignored");
    } else if (exchange.path() == "/stream") {
      [[maybe_unused]] auto begun = co_await exchange.begin(200, "text/plain");
      for (int i = 0; i < 3; ++i) [[maybe_unused]] auto written = co_await exchange.write("piece\n");
      [[maybe_unused]] auto finished = co_await exchange.finish();
    } else if (exchange.path() == "/endless") {
      [[maybe_unused]] auto begun = co_await exchange.begin(200, "text/plain");
      std::string block(100'000, 'x');
      while (true) {
        auto written = co_await exchange.write(block);
        if (!written) {
          endless_error_ = written.error().kind();
          break;
        }
      }
      loop_.stop();
    } else if (exchange.path() == "/wait") {
      [[maybe_unused]] auto begun = co_await exchange.begin(200, "text/plain");
      co_await exchange.client_gone().wait();
      gone_ = true;
      loop_.stop();
    } else if (exchange.path() == "/hijack") {
      auto body = co_await exchange.read_body(100);
      auto taken = co_await exchange.hijack("application/vnd.docker.raw-stream");
      if (taken) hijacked_ = std::move(*taken);
      loop_.stop();
    }
  }

  Task<void> drain_and_stop() {
    co_await server_->drain(std::chrono::steady_clock::now() + 10s);
    loop_.stop();
  }

  Task<void> drain_at_once() {
    co_await server_->drain(std::chrono::steady_clock::now());
    drained_ = true;
    loop_.stop();
  }

  sys::UniqueFd connect() {
    sys::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    timeval limit{10, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
  }

  static std::string read_all(int fd) {
    std::string all;
    char buffer[4096];
    for (ssize_t got; (got = ::read(fd, buffer, sizeof buffer)) > 0;)
      all.append(buffer, static_cast<size_t>(got));
    return all;
  }
  /// Reads until `end` has come.
  static std::string read_until(int fd, std::string_view end) {
    std::string all;
    char byte;
    while (!all.ends_with(end) && ::read(fd, &byte, 1) == 1) all.push_back(byte);
    return all;
  }
  static void send_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }

  /// Runs the loop while `client` does its blocking work on another thread.
  void with_client(std::function<void(int fd)> client) {
    std::thread thread([&] {
      sys::UniqueFd fd = connect();
      client(fd.get());
      loop_.stop();
    });
    loop_.run();
    thread.join();
  }

  /// What the server answers to these bytes followed by the end of the stream.
  std::string answer_to(std::string_view request) {
    std::string answer;
    with_client([&](int fd) {
      send_all(fd, request);
      ::shutdown(fd, SHUT_WR);
      answer = read_all(fd);
    });
    return answer;
  }
  static std::string body_of(const std::string& answer) { return answer.substr(answer.find("\r\n\r\n") + 4); }

  EventLoop loop_;
  std::string folder_;
  std::string path_;
  std::unique_ptr<HttpServer> server_;
  std::atomic<int> requests_ = 0;
  bool gone_ = false;
  bool drained_ = false;
  std::optional<Kind> endless_error_;
  HijackedSocket hijacked_;
};

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  serve();
  std::string answer = answer_to(
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\none"
      "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n"
      "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n"
      "POST /ignore HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nunred"
      "HEAD /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(requests_, 5);
  size_t one = answer.find("\r\n\r\none"), two = answer.find("\r\n\r\ntwo");
  size_t stream = answer.find("6\r\npiece\n\r\n6\r\npiece\n\r\n6\r\npiece\n\r\n0\r\n\r\n");
  ASSERT_NE(one, std::string::npos);
  EXPECT_LT(one, two);
  EXPECT_LT(two, stream);
  EXPECT_LT(stream, answer.find("ignored"));
  EXPECT_TRUE(answer.ends_with("Content-Length: 0\r\nConnection: close\r\n\r\n")) << answer;
}

TEST_F(HttpServerTest, SplitBytesMakeNoDifference) {
  serve();
  with_client([&](int fd) {
    for (char c : std::string_view("\r\nPOST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                                   "5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nT: r\r\n\r\n")) {
      send_all(fd, {&c, 1});
    }
    EXPECT_NE(read_until(fd, "hello!").find("200 OK"), std::string::npos);
    send_all(fd, "GET /echo HTTP/1.0\r\n\r\n");
    EXPECT_NE(read_all(fd).find("Connection: close"), std::string::npos);
  });
}

TEST_F(HttpServerTest, LargeBodiesPassBothWays) {
  serve();
  std::string body(900'000, 'b');
  std::string request =
      "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 900000\r\n\r\n" + body;
  EXPECT_EQ(body_of(answer_to(request)), body);
  std::string chunked =
      "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 300; ++i) chunked += "bb8\r\n" + std::string(3000, 'c') + "\r\n";
  EXPECT_EQ(body_of(answer_to(chunked + "0\r\n\r\n")), std::string(900'000, 'c'));
}

TEST_F(HttpServerTest, RefusesSmugglingAndCloses) {
  serve();
  std::string answer = answer_to(
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
      "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << answer;
  EXPECT_EQ(requests_, 0);
  answer = answer_to(
      "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\nGET /echo HTTP/1.1\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << answer;
  EXPECT_NE(answer.find("Connection: close"), std::string::npos);
  EXPECT_EQ(requests_, 1);
}

TEST_F(HttpServerTest, LimitsTheHead) {
  serve({.max_head_bytes = 4096});
  EXPECT_TRUE(
      answer_to("GET / HTTP/1.1\r\nHost: x\r\nA: " + std::string(100'000, 'a')).starts_with("HTTP/1.1 431 "));
  EXPECT_TRUE(answer_to("GET / HTTP/1.1\r\nHost: x\r\nA: " + std::string(5000, 'a') + "\r\n\r\n")
                  .starts_with("HTTP/1.1 431 "));
}

TEST_F(HttpServerTest, LimitsTheBody) {
  serve();
  EXPECT_NE(answer_to("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n").find("too large"),
            std::string::npos);
}

TEST_F(HttpServerTest, AClientThatSendsAllBeforeItReadsGetsTheRefusal) {
  serve();
  with_client([&](int fd) {
    constexpr size_t kSize = 12 << 20;
    send_all(fd, fmt::format("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", kSize));
    std::string piece(64 << 10, 'x');
    size_t sent = 0;
    while (sent < kSize &&
           ::send(fd, piece.data(), piece.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(piece.size()))
      sent += piece.size();
    EXPECT_EQ(sent, kSize);
    EXPECT_NE(read_all(fd).find("too large"), std::string::npos);
  });
}

TEST_F(HttpServerTest, ContinuesOnlyWhenTheBodyIsWanted) {
  serve();
  with_client([&](int fd) {
    send_all(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    EXPECT_EQ(read_until(fd, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    send_all(fd, "ok");
    EXPECT_NE(read_until(fd, "ok").find("200 OK"), std::string::npos);
    send_all(fd, "POST /ignore HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    std::string answer = read_all(fd);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK")) << answer;
    EXPECT_NE(answer.find("Connection: close"), std::string::npos);
  });
}

TEST_F(HttpServerTest, AnUnansweredRequestIsAnError) {
  serve();
  EXPECT_TRUE(answer_to("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 500 "));
}

TEST_F(HttpServerTest, SlowHeadsTimeOut) {
  serve({.head_timeout = 20ms});
  with_client([&](int fd) {
    send_all(fd, "GET / HTTP/1.1\r\nHo");
    EXPECT_TRUE(read_all(fd).starts_with("HTTP/1.1 408 "));
  });
}

TEST_F(HttpServerTest, IdleConnectionsAndStalledBodiesTimeOut) {
  serve({.body_timeout = 20ms, .idle_timeout = 20ms});
  with_client([&](int fd) { EXPECT_EQ(read_all(fd), ""); });
  with_client([&](int fd) {
    send_all(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
    EXPECT_NE(read_all(fd).find("stalled"), std::string::npos);
  });
}

TEST_F(HttpServerTest, ConnectionsBeyondTheLimitWait) {
  serve({.max_connections = 1, .idle_timeout = 50ms});
  with_client([&](int) {
    sys::UniqueFd second = connect();
    send_all(second.get(), "GET /ignore HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(read_all(second.get()).starts_with("HTTP/1.1 200 "));
  });
}

TEST_F(HttpServerTest, SeesClientsLeave) {
  serve();
  std::thread leaving([&] {
    sys::UniqueFd fd = connect();
    send_all(fd.get(), "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    read_until(fd.get(), "\r\n\r\n");
  });
  loop_.run();
  leaving.join();
  EXPECT_TRUE(gone_);
  std::thread reading([&] {
    sys::UniqueFd fd = connect();
    send_all(fd.get(), "GET /endless HTTP/1.1\r\nHost: x\r\n\r\n");
    read_until(fd.get(), "xxxx");
  });
  loop_.run();
  reading.join();
  EXPECT_EQ(endless_error_, Kind::Cancelled);
}

TEST_F(HttpServerTest, DestroyingTheServerDestroysRunningHandlers) {
  serve();
  sys::UniqueFd fd;
  std::thread client([&] {
    fd = connect();
    send_all(fd.get(), "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    read_until(fd.get(), "\r\n\r\n");
    loop_.stop();
  });
  loop_.run();
  client.join();
  server_.reset();
  EXPECT_EQ(read_all(fd.get()), "");
}

TEST_F(HttpServerTest, HijackHandsOverSocketAndBytes) {
  serve();
  std::thread client([&] {
    sys::UniqueFd fd = connect();
    send_all(fd.get(),
             "POST /hijack HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: "
             "2\r\n\r\n{}early");
    EXPECT_EQ(
        read_until(fd.get(), "\r\n\r\n"),
        "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\n"
        "Upgrade: tcp\r\n\r\n");
    EXPECT_EQ(read_all(fd.get()), "bye");
  });
  loop_.run();
  EXPECT_EQ(hijacked_.already_read, "early");
  send_all(hijacked_.socket.get(), "bye");
  hijacked_.socket.reset();
  client.join();
}

TEST_F(HttpServerTest, HijackWithoutUpgradeSays200) {
  serve();
  std::thread client([&] {
    sys::UniqueFd fd = connect();
    send_all(fd.get(), "POST /hijack HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(read_until(fd.get(), "\r\n\r\n"),
              "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n");
  });
  loop_.run();
  client.join();
}

TEST_F(HttpServerTest, ServesTcp) {
  serve();
  uint16_t port = server_->listen_tcp("127.0.0.1", 0).value();
  std::thread client([&] {
    sys::UniqueFd fd(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    send_all(fd.get(), "GET /ignore HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_NE(read_until(fd.get(), "ignored").find("200 OK"), std::string::npos);
    loop_.stop();
  });
  loop_.run();
  client.join();
  EXPECT_FALSE(server_->listen_tcp("localhost", 0));
}

TEST_F(HttpServerTest, ReplacesOnlyStaleSockets) {
  serve();
  struct stat status;
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  HttpServer second(loop_, [](Exchange&) -> Task<void> { co_return; });
  EXPECT_EQ(second.listen_unix(path_, {}).error().kind(), Kind::AlreadyExists);
  server_->close_listeners();
  // What a killed daemon leaves: a path that nobody listens on.
  sys::UniqueFd stale(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path_.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(stale.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  stale.reset();
  EXPECT_TRUE(second.listen_unix(path_, {}));
  second.close_listeners();
  auto file = sys::open_file(path_.c_str(), O_CREAT | O_WRONLY, 0600);
  EXPECT_EQ(second.listen_unix(path_, {}).error().kind(), Kind::AlreadyExists);
  ::unlink(path_.c_str());
}

TEST_F(HttpServerTest, DrainWaitsForRunningRequests) {
  serve();
  std::thread client([&] {
    sys::UniqueFd idle = connect();
    sys::UniqueFd fd = connect();
    send_all(fd.get(), "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n");
    while (requests_ == 0) std::this_thread::yield();
    loop_.post([&] { send_all(fd.get(), "ok"); });
    loop_.post([&] { loop_.spawn(drain_and_stop()); });
    EXPECT_NE(read_all(fd.get()).find("ok"), std::string::npos);
    EXPECT_EQ(read_all(idle.get()), "");
  });
  loop_.run();
  loop_.run_until_complete([](EventLoop* on) -> Task<void> { co_await on->yield(); }(&loop_));
  client.join();
}

TEST_F(HttpServerTest, DrainCutsOffWhatDoesNotEnd) {
  serve();
  std::thread client([&] {
    sys::UniqueFd waiting = connect();
    sys::UniqueFd sending = connect();
    send_all(waiting.get(), "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    send_all(sending.get(), "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n");
    while (requests_ < 2) std::this_thread::yield();
    loop_.post([&] { loop_.spawn(drain_at_once()); });
    read_all(waiting.get());
    read_all(sending.get());
  });
  while (!drained_) loop_.run();
  client.join();
  EXPECT_TRUE(gone_);
}

}  // namespace
}  // namespace berth::io
