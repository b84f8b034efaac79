// A runtime of its own for tests of functions: a `bootstrap` that asks the Runtime API for events and does
// what the event says, the things that a well-behaved runtime never does among them. Static, so that it runs
// on any base.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

int connect_api() {
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(9001);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) std::_Exit(70);
  int one = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

struct Answer {
  int status = 0;
  std::string head, body;
};

/// Reads one answer; the connection is kept.
Answer read_answer(int fd) {
  std::string bytes;
  char buffer[65536];
  while (true) {
    size_t end = bytes.find("\r\n\r\n");
    if (end != std::string::npos) {
      Answer answer;
      answer.head = bytes.substr(0, end + 2);
      size_t length = 0;
      const char* field = ::strcasestr(answer.head.c_str(), "\r\ncontent-length:");
      if (field != nullptr) length = std::strtoul(field + 17, nullptr, 10);
      if (bytes.size() >= end + 4 + length) {
        answer.status = std::atoi(bytes.c_str() + 9);
        answer.body = bytes.substr(end + 4, length);
        return answer;
      }
    }
    ssize_t size = ::read(fd, buffer, sizeof buffer);
    if (size <= 0) std::_Exit(71);
    bytes.append(buffer, static_cast<size_t>(size));
  }
}

void send_all(int fd, const std::string& bytes) {
  size_t at = 0;
  while (at < bytes.size()) {
    ssize_t size = ::write(fd, bytes.data() + at, bytes.size() - at);
    if (size <= 0) std::_Exit(72);
    at += static_cast<size_t>(size);
  }
}

Answer post(int fd, const std::string& path, const std::string& body, const std::string& fields = "") {
  send_all(fd, "POST /2018-06-01/runtime/" + path + " HTTP/1.1\r\nHost: x\r\n" + fields +
                   "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  return read_answer(fd);
}

std::string field_of(const Answer& answer, const char* name) {
  const char* at = ::strcasestr(answer.head.c_str(), name);
  if (at == nullptr) return {};
  at += std::strlen(name) + 1;
  while (*at == ' ') ++at;
  return std::string(at, std::strcspn(at, "\r\n"));
}

/// Text between "what":" and the next quote in the event.
std::string member(const std::string& event, const std::string& name) {
  size_t at = event.find("\"" + name + "\":");
  if (at == std::string::npos) return {};
  at += name.size() + 3;
  while (at < event.size() && (event[at] == ' ' || event[at] == '"')) ++at;
  return event.substr(at, event.find_first_of("\",}", at) - at);
}

void misbehave(int fd, const std::string& id, const std::string& what, const std::string& event) {
  std::string path = "invocation/" + id + "/response";
  if (what == "exit") std::_Exit(std::atoi(member(event, "code").c_str()));
  if (what == "abort") std::abort();
  if (what == "sleep") ::sleep(static_cast<unsigned>(std::atoi(member(event, "seconds").c_str())));
  if (what == "twice") {
    post(fd, path, "\"first\"");
    Answer second = post(fd, path, "\"second\"");
    std::printf("second answer %d\n", second.status);
    return;
  }
  if (what == "foreign") {
    Answer answer = post(fd, "invocation/11111111-2222-4333-8444-555555555555/response", "\"x\"");
    post(fd, path, "{\"status\":" + std::to_string(answer.status) + ",\"body\":" + answer.body + "}");
    return;
  }
  if (what == "lie") {
    send_all(
        fd, "POST /2018-06-01/runtime/" + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nshort");
    ::close(fd);
    ::sleep(1000);
  }
  if (what == "stream") {
    send_all(
        fd,
        "POST /2018-06-01/runtime/" + path +
            " HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nLambda-Runtime-Function-Response-Mode: "
            "streaming\r\nTransfer-Encoding: chunked\r\nTrailer: Lambda-Runtime-Function-Error-Type\r\n\r\n"
            "5\r\nhello\r\n6\r\n world\r\n0\r\n" +
            (member(event, "fail").empty() ? "" : "Lambda-Runtime-Function-Error-Type: Function.Broken\r\n") +
            "\r\n");
    read_answer(fd);
    return;
  }
  if (what == "error") {
    post(fd, "invocation/" + id + "/error", "{\"errorMessage\":\"own\",\"errorType\":\"Own\"}",
         "Lambda-Runtime-Function-Error-Type: Function.Own\r\n");
    return;
  }
  post(fd, path, event);
}

}  // namespace

int main() {
  std::setvbuf(stdout, nullptr, _IONBF, 0);
  const char* init = std::getenv("INIT");
  if (init != nullptr && std::strcmp(init, "exit") == 0) return 3;
  if (init != nullptr && std::strcmp(init, "sleep") == 0) ::sleep(1000);
  std::printf("init\n");
  const char* fail_on = std::getenv("FAIL_ON");  // a word: events that hold it fail
  int fd = connect_api();
  while (true) {
    send_all(fd, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n");
    Answer event = read_answer(fd);
    std::string id = field_of(event, "lambda-runtime-aws-request-id:");
    std::string what = member(event.body, "do");
    if (fail_on != nullptr && event.body.find(fail_on) != std::string::npos) {
      post(fd, "invocation/" + id + "/error", "{\"errorMessage\":\"no\",\"errorType\":\"Refused\"}",
           "Lambda-Runtime-Function-Error-Type: Function.Refused\r\n");
      continue;
    }
    if (what == "say") std::printf("%s\n", member(event.body, "text").c_str());
    if (what == "environment") {
      post(fd, "invocation/" + id + "/response",
           "{\"pid\":" + std::to_string(::getpid()) + ",\"uid\":" + std::to_string(::getuid()) +
               ",\"deadline\":\"" + field_of(event, "lambda-runtime-deadline-ms:") + "\",\"arn\":\"" +
               field_of(event, "lambda-runtime-invoked-function-arn:") + "\",\"stream\":\"" +
               std::string(std::getenv("AWS_LAMBDA_LOG_STREAM_NAME")) +
               "\",\"readonly\":" + (::access("/var/task/bootstrap", W_OK) != 0 ? "true" : "false") + "}");
      continue;
    }
    misbehave(fd, id, what, event.body);
  }
}
