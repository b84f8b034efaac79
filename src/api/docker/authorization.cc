// Asking authorization plugins.
#include "api/docker/authorization.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>

#include "api/docker/context.h"
#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"
#include "sys/file.h"

namespace berth::api {
namespace {

constexpr timeval patience{.tv_sec = 10, .tv_usec = 0};
constexpr size_t longest_answer = size_t{1} << 20;

/// The plugin's socket. NotFound: "plugin x not found".
Result<std::string> socket_of(const std::string& plugin) {
  if (plugin.empty() || plugin.find('/') != std::string::npos || plugin.starts_with('.')) {
    return failure(Kind::InvalidArgument, "invalid plugin name \"{}\"", plugin.substr(0, 64));
  }
  std::string socket = "/run/docker/plugins/" + plugin + ".sock";
  struct stat status {};
  if (::stat(socket.c_str(), &status) == 0) return socket;
  for (const char* folder : {"/etc/docker/plugins/", "/usr/lib/docker/plugins/"}) {
    auto text = sys::read_file(folder + plugin + ".spec", 4096);
    if (!text) continue;
    std::string address = text->substr(0, text->find_first_of(" \r\n"));
    if (address.starts_with("unix://")) return address.substr(7);
    return failure(Kind::Unsupported, "plugin {}: address {} is no unix:// address", plugin, address);
  }
  return failure(Kind::NotFound, "plugin \"{}\" not found: nothing listens on {}", plugin, socket);
}

Result<sys::UniqueFd> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return failure(Kind::InvalidArgument, "the socket path {} is too long", path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  sys::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return Error::from_errno("socket", path, errno);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return Error::from_errno("connect", path, errno);
  return fd;
}

/// One call of the plugin protocol, blocking. HTTP/1.0, so that the answer ends with the connection.
Result<std::string> call_plugin(const std::string& plugin, const std::string& call, const std::string& body) {
  TRY(std::string path, socket_of(plugin));
  TRY(sys::UniqueFd fd, connect_to(path));
  std::string request = fmt::format(
      "POST /{} HTTP/1.0\r\nHost: plugin\r\nAccept: application/vnd.docker.plugins.v1.2+json\r\n"
      "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
      call, body.size(), body);
  CHECK(sys::write_all(fd.get(), request));
  TRY(std::string answer, sys::read_fd(fd.get(), longest_answer));
  size_t head_end = answer.find("\r\n\r\n");
  if (!answer.starts_with("HTTP/1.") || head_end == std::string::npos || answer.size() < 12) {
    return Error(Kind::Unavailable, "its answer is no HTTP");
  }
  std::string_view status = std::string_view(answer).substr(9, 3);
  if (status != "200") return failure(Kind::Unavailable, "it answered with status {}", status);
  return answer.substr(head_end + 4);
}

/// The plugin's verdict.
Result<void> judge(const std::string& plugin, std::string_view text) {
  auto failed = [&](std::string_view why) {
    return failure(Kind::Internal, "plugin {} failed with error: {}", plugin, why);
  };
  auto answer = parse_json(text);
  if (!answer || !answer->is_object()) return failed("AuthZPlugin: its answer is no JSON object");
  auto error = json_string(*answer, "Err");
  if (!error || !error->empty()) return failed(error ? *error : error.error().message());
  auto allowed = json_bool(*answer, "Allow");
  if (allowed && *allowed) return {};
  return failure(Kind::Forbidden, "authorization denied by plugin {}: {}", plugin,
                 json_string(*answer, "Msg").value_or(""));
}

/// Without registry credentials, as docker has it.
Json headers_json(const io::HttpHeaders& headers) {
  Json object = Json::object();
  for (const auto& [name, value] : headers.fields()) {
    if (io::equals_ignoring_case(name, "X-Registry-Auth") ||
        io::equals_ignoring_case(name, "X-Registry-Config"))
      continue;
    object[name] = value;
  }
  return object;
}

/// Only what says so is read as JSON by the handlers (Context::json_body): nothing else needs showing.
bool is_json(const io::Exchange& exchange) {
  std::string type(exchange.header("Content-Type").value_or(""));
  std::transform(type.begin(), type.end(), type.begin(), [](unsigned char c) { return std::tolower(c); });
  return type.starts_with("application/json");
}

Json request_json(ObservedExchange& exchange) {
  Json object = {{"User", ""},
                 {"UserAuthNMethod", ""},
                 {"RequestMethod", exchange.request().method},
                 {"RequestUri", exchange.request().target},
                 {"RequestHeaders", headers_json(exchange.request().headers)}};
  if (exchange.has_read_ahead() && !exchange.read_body_text().empty()) {
    object["RequestBody"] = to_base64(exchange.read_body_text());
  }
  return object;
}

}  // namespace

io::Task<Result<void>> Authorizer::ask(std::string call, std::string body) {
  for (const std::string& plugin : plugins_) {
    auto work = [&plugin, &call, &body] { return call_plugin(plugin, call, body); };
    auto answer = co_await loop_.on_worker(work);
    if (!answer) {
      co_return failure(Kind::Internal, "plugin {} failed with error: {}", plugin, answer.error().message());
    }
    CO_CHECK(judge(plugin, *answer));
  }
  co_return Result<void>();
}

io::Task<Result<void>> Authorizer::check_request(ObservedExchange& exchange) {
  using Body = io::HttpRequestHead::Body;
  if (exchange.request().body != Body::None && is_json(exchange)) {
    auto read = co_await exchange.read_ahead(max_json_body);
    if (!read) {
      co_return failure(Kind::Forbidden, "authorization needs the whole request, which could not be read: {}",
                        read.error().message());
    }
  }
  std::string body = to_json(request_json(exchange));
  io::Task<Result<void>> asked = ask("AuthZPlugin.AuthZReq", std::move(body));
  co_return co_await std::move(asked);
}

io::Task<Result<void>> Authorizer::check_answer(ObservedExchange& exchange, ObservedExchange::Answer answer) {
  Json object = request_json(exchange);
  object["ResponseStatusCode"] = answer.status;
  object["ResponseHeaders"] = {{"Content-Type", answer.content_type}};
  if (!answer.body.empty()) object["ResponseBody"] = to_base64(answer.body);
  std::string body = to_json(object);
  io::Task<Result<void>> asked = ask("AuthZPlugin.AuthZRes", std::move(body));
  co_return co_await std::move(asked);
}

}  // namespace berth::api
