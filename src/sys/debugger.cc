#include "sys/debugger.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <vector>

#include "base/format.h"
#include "sys/file.h"

namespace berth::sys {
namespace {

constexpr size_t kMaxFile = 1u << 20;
constexpr std::string_view kListens = "0A", kEstablished = "01";
/// 127.0.0.1 and ::1 (also mapped) as the kernel writes them: words in the machine's order.
constexpr std::string_view kLoopback4 = "7F", kLoopback6 = "00000000000000000000000001000000",
                           kMapped = "0000000000000000FFFF0000";

/// The next word of a line.
std::string_view take_word(std::string_view& line) {
  size_t begin = std::min(line.find_first_not_of(' '), line.size());
  line.remove_prefix(begin);
  std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(word.size());
  return word;
}

struct Connection {
  uint16_t port = 0;
  std::string_view remote;  ///< hexadecimal, without port
  std::string_view state;
};

/// "sl local remote st ..."; the heading and what is malformed have no state.
Connection parse_connection(std::string_view line) {
  take_word(line);
  std::string_view local = take_word(line), remote = take_word(line);
  Connection connection{.remote = remote.substr(0, remote.find(':')), .state = take_word(line)};
  size_t colon = local.find(':');
  if (colon == std::string_view::npos) return {};
  std::string_view port = local.substr(colon + 1);
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), connection.port, 16);
  if (error != std::errc() || end != port.data() + port.size()) return {};
  return connection;
}

bool is_loopback(std::string_view remote) {
  if (remote.size() == 8) return remote.ends_with(kLoopback4);
  return remote == kLoopback6 || (remote.starts_with(kMapped) && remote.ends_with(kLoopback4));
}

std::vector<Connection> parse_connections(std::string_view text) {
  std::vector<Connection> all;
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    if (Connection connection = parse_connection(text.substr(0, end)); !connection.state.empty())
      all.push_back(connection);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return all;
}

}  // namespace

bool has_tracer(std::string_view status) {
  constexpr std::string_view field = "\nTracerPid:";
  size_t at = status.find(field);
  if (at == std::string_view::npos) return false;
  std::string_view value = status.substr(at + field.size());
  value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
  return !value.empty() && value.front() != '0' && value.front() != '\n';
}

bool has_client(std::string_view text, std::span<const uint16_t> except) {
  std::vector<Connection> connections = parse_connections(text);
  auto is_listened_on = [&](uint16_t port) {
    return std::any_of(connections.begin(), connections.end(), [port](const Connection& other) {
      return other.state == kListens && other.port == port;
    });
  };
  return std::any_of(connections.begin(), connections.end(), [&](const Connection& connection) {
    return connection.state == kEstablished && !is_loopback(connection.remote) &&
           std::find(except.begin(), except.end(), connection.port) == except.end() &&
           is_listened_on(connection.port);
  });
}

bool is_debugged(std::span<const pid_t> processes, std::span<const uint16_t> except_ports) {
  auto text_of = [](pid_t pid, std::string_view name) {
    auto text = read_file(fmt::format("/proc/{}/{}", pid, name), kMaxFile);
    return text ? std::move(*text) : std::string();
  };
  for (pid_t pid : processes) {
    if (has_tracer(text_of(pid, "status"))) return true;
  }
  if (processes.empty()) return false;
  return has_client(text_of(processes.front(), "net/tcp"), except_ports) ||
         has_client(text_of(processes.front(), "net/tcp6"), except_ports);
}

}  // namespace berth::sys
