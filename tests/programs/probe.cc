// The program that tests run inside containers where busybox has no tool for what they ask:
//   probe udp-echo PORT            answers every datagram with itself
//   probe socket DOMAIN            opens a stream socket of this address family; prints "ok" or the errno's
//   name
//   probe lines COUNT FILL         writes COUNT lines "NUMBER fill..." with one write each, then ends
//   probe forever FILL             writes such lines until it is stopped
//   probe exhaust-memory BYTES     touches that much memory, then prints "held"
//   probe agent PATH HEX           sends these bytes to an SSH agent's socket, prints one message of it in
//   hex
// Static, so that it needs nothing of the image it is put into.
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <string>
#include <string_view>

namespace {

int udp_echo(const char* port) {
  const int fd = socket(AF_INET6, SOCK_DGRAM, 0);
  sockaddr_in6 address = {};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(static_cast<uint16_t>(atoi(port)));
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    perror("probe: udp-echo");
    return 1;
  }
  for (;;) {
    char data[2048];
    sockaddr_storage peer = {};
    socklen_t size = sizeof peer;
    const ssize_t got = recvfrom(fd, data, sizeof data, 0, reinterpret_cast<sockaddr*>(&peer), &size);
    if (got >= 0) sendto(fd, data, static_cast<size_t>(got), 0, reinterpret_cast<sockaddr*>(&peer), size);
  }
}

int open_socket(const char* domain) {
  const long family = strtol(domain, nullptr, 0);
  const int fd = socket(static_cast<int>(family), family == 38 ? SOCK_SEQPACKET : SOCK_STREAM, 0);
  puts(fd >= 0 ? "ok" : strerrorname_np(errno));
  return 0;
}

int write_lines(long count, int fill) {
  const std::string padding(static_cast<size_t>(fill), 'x');
  for (long number = 0; count < 0 || number < count; ++number) {
    const std::string line = std::to_string(number) + " " + padding + "\n";
    if (write(STDOUT_FILENO, line.data(), line.size()) != static_cast<ssize_t>(line.size())) return 1;
  }
  return 0;
}

/// The message with its length in front, or why there is none.
int ask_agent(const char* path, std::string_view hex) {
  std::string request;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    request += static_cast<char>(strtoul(std::string(hex.substr(i, 2)).c_str(), nullptr, 16));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      send(fd, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) {
    puts(strerrorname_np(errno));
    return 0;
  }
  std::string answer;
  size_t wanted = 4;
  while (answer.size() < wanted) {
    char data[512];
    const ssize_t got = read(fd, data, sizeof data);
    if (got <= 0) break;
    answer.append(data, static_cast<size_t>(got));
    if (answer.size() < 4) continue;
    wanted = 4;
    for (int i = 0; i < 4; ++i)
      wanted += static_cast<size_t>(static_cast<unsigned char>(answer[i])) << (24 - 8 * i);
  }
  for (const char c : answer) printf("%02x", static_cast<unsigned char>(c));
  puts("");
  return 0;
}

int hold_memory(const char* bytes) {
  const size_t size = strtoull(bytes, nullptr, 10);
  char* held = static_cast<char*>(malloc(size));
  if (held == nullptr) return 1;
  memset(held, 1, size);
  puts("held");
  fflush(stdout);
  pause();
  return held[size - 1];
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view verb = argc > 1 ? argv[1] : "";
  if (verb == "udp-echo" && argc == 3) return udp_echo(argv[2]);
  if (verb == "socket" && argc == 3) return open_socket(argv[2]);
  if (verb == "lines" && argc == 4) return write_lines(atol(argv[2]), atoi(argv[3]));
  if (verb == "forever" && argc == 3) return write_lines(-1, atoi(argv[2]));
  if (verb == "exhaust-memory" && argc == 3) return hold_memory(argv[2]);
  if (verb == "agent" && argc == 4) return ask_agent(argv[2], argv[3]);
  fputs(
      "usage: probe udp-echo PORT | socket DOMAIN | lines COUNT FILL | forever FILL | exhaust-memory BYTES | "
      "agent PATH HEX\n",
      stderr);
  return 2;
}
