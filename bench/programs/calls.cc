// Times requests of HTTP/1.1 to one server from this one thread, so that a client of many libraries is no
// part of what is measured.
//   calls HOST PORT COUNT CONNECTIONS METHOD PATH [METHOD PATH]...
// With one connection the targets have their turn one after the other, COUNT rounds; with more, every
// connection asks the first target again as soon as it is answered, COUNT requests in all. Prints a line per
// target: status of the last answer, median and 99th percentile in microseconds, requests a second.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr unsigned kWarmUp = 50;

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

struct Connection {
  int fd = -1;
  std::string answer;
  Clock::time_point asked;
};

struct Target {
  std::string request;
  int status = 0;
  std::vector<double> times;  ///< microseconds
};

Connection open_connection(const char* host, const char* port) {
  Connection connection;
  connection.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<unsigned short>(std::atoi(port)));
  if (::inet_pton(AF_INET, host, &address.sin_addr) != 1) fail("address");
  if (::connect(connection.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("connect");
  int one = 1;
  ::setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return connection;
}

void ask(Connection& connection, const Target& target) {
  connection.answer.clear();
  connection.asked = Clock::now();
  ssize_t sent = ::send(connection.fd, target.request.data(), target.request.size(), MSG_NOSIGNAL);
  if (sent != static_cast<ssize_t>(target.request.size())) fail("send");
}

/// Reads what is there; true when the answer is whole.
bool take(Connection& connection) {
  char buffer[16384];
  ssize_t size = ::read(connection.fd, buffer, sizeof buffer);
  if (size <= 0) fail("read");
  connection.answer.append(buffer, static_cast<size_t>(size));
  size_t end = connection.answer.find("\r\n\r\n");
  if (end == std::string::npos) return false;
  const char* field = ::strcasestr(connection.answer.c_str(), "\r\ncontent-length:");
  size_t length = field == nullptr ? 0 : std::strtoul(field + 17, nullptr, 10);
  return connection.answer.size() >= end + 4 + length;
}

void note(const Connection& connection, Target& target) {
  target.times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - connection.asked).count());
  target.status = std::atoi(connection.answer.c_str() + 9);
}

void in_turn(Connection& connection, std::vector<Target>& targets, unsigned count) {
  for (unsigned round = 0; round < count + kWarmUp; ++round) {
    for (Target& target : targets) {
      ask(connection, target);
      while (!take(connection)) {
      }
      note(connection, target);
      if (round < kWarmUp) target.times.clear();
    }
  }
}

double side_by_side(std::vector<Connection>& connections, Target& target, unsigned count) {
  std::vector<pollfd> waits;
  for (const Connection& connection : connections) waits.push_back({connection.fd, POLLIN, 0});
  unsigned asked = 0;
  auto begin = Clock::now();
  for (Connection& connection : connections) {
    ask(connection, target);
    ++asked;
  }
  while (target.times.size() < asked) {
    if (::poll(waits.data(), waits.size(), -1) < 0) fail("poll");
    for (size_t i = 0; i < waits.size(); ++i) {
      if (waits[i].revents == 0 || !take(connections[i])) continue;
      note(connections[i], target);
      if (asked < count) {
        ask(connections[i], target);
        ++asked;
      } else {
        waits[i].fd = -1;
      }
    }
  }
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double part_of(std::vector<double>& times, double part) {
  size_t at = std::min(times.size() - 1, static_cast<size_t>(static_cast<double>(times.size()) * part));
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(at), times.end());
  return times[at];
}

}  // namespace

int main(int count, char** words) {
  if (count < 7 || count % 2 == 0) {
    std::fprintf(stderr, "usage: calls HOST PORT COUNT CONNECTIONS METHOD PATH [METHOD PATH]...\n");
    return 2;
  }
  auto rounds = static_cast<unsigned>(std::max(1, std::atoi(words[3])));
  auto wanted = static_cast<size_t>(std::max(1, std::atoi(words[4])));
  std::vector<Target> targets;
  for (int i = 5; i + 1 < count; i += 2) {
    Target target;
    bool post = std::strcmp(words[i], "POST") == 0;
    target.request = std::string(words[i]) + " " + words[i + 1] + " HTTP/1.1\r\nHost: " + words[1] +
                     "\r\nContent-Length: " + (post ? "2\r\n\r\n{}" : "0\r\n\r\n");
    targets.push_back(std::move(target));
  }
  std::vector<Connection> connections;
  while (connections.size() < wanted) connections.push_back(open_connection(words[1], words[2]));
  auto begin = Clock::now();
  double seconds = 0;
  if (wanted == 1) {
    in_turn(connections.front(), targets, rounds);
    seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  } else {
    targets.resize(1);
    seconds = side_by_side(connections, targets.front(), rounds);
  }
  for (Target& target : targets) {
    double a_second = static_cast<double>(target.times.size()) / seconds;
    double median = part_of(target.times, 0.5), late = part_of(target.times, 0.99);
    std::printf("%d %.1f %.1f %.0f\n", target.status, median, late, a_second);
  }
}
