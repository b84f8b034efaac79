// The audit log.
#include "api/docker/audit_log.h"

#include <fcntl.h>

#include <algorithm>
#include <array>

#include "api/docker/router.h"
#include "base/json.h"
#include "base/log.h"
#include "sys/file.h"

namespace berth::api {
namespace {

constexpr size_t longest_text = 512;

Result<sys::UniqueFd> open_for_append(const std::string& path) {
  auto file = sys::open_file(path.c_str(), O_WRONLY | O_APPEND | O_CREAT, 0600);
  if (!file) return std::move(file).error().in("audit log");
  return file;
}

std::string first_parameter(const io::HttpRequestHead& request,
                            std::initializer_list<std::string_view> names) {
  for (std::string_view name : names) {
    std::string value(request.query.get_or(name, ""));
    if (!value.empty()) return value;
  }
  return {};
}

}  // namespace

bool is_audited(const io::HttpRequestHead& request) {
  if (request.method == "HEAD" || request.method == "OPTIONS") return false;
  if (request.method != "GET") return true;
  constexpr std::array<std::string_view, 5> taking = {"/archive", "/export", "/get", "/logs", "/attach/ws"};
  return std::any_of(taking.begin(), taking.end(),
                     [&](std::string_view end) { return request.path.ends_with(end); });
}

std::string audited_object(const io::HttpRequestHead& request) {
  std::string path = split_version(request.path).path;
  std::string_view rest = path;
  if (rest.starts_with('/')) rest.remove_prefix(1);
  std::string_view group = rest.substr(0, rest.find('/'));
  rest.remove_prefix(std::min(rest.size(), group.size() + 1));
  bool creates = rest.empty() || rest == "create" || rest == "prune" || rest == "load" || rest == "get";
  if (creates || group == "build" || group == "commit") {
    return first_parameter(request, {"name", "fromImage", "repo", "t", "container", "names"});
  }
  if (group == "images") {
    // Names of images hold slashes; a verb follows.
    size_t verb = request.method == "DELETE" ? std::string_view::npos : rest.rfind('/');
    return std::string(rest.substr(0, verb));
  }
  return std::string(rest.substr(0, rest.find('/')));
}

Result<std::unique_ptr<AuditLog>> AuditLog::open(std::string path) {
  TRY(sys::UniqueFd file, open_for_append(path));
  return std::unique_ptr<AuditLog>(new AuditLog(std::move(path), std::move(file)));
}

Result<void> AuditLog::reopen() {
  TRY(file_, open_for_append(path_));
  return {};
}

void AuditLog::record(const io::Exchange& exchange, int status, Timestamp began) {
  const io::HttpRequestHead& request = exchange.request();
  if (!is_audited(request)) return;
  Json entry = {
      {"time", to_rfc3339(began)},
      {"method", request.method},
      {"path", request.path.substr(0, longest_text)},
      {"object", audited_object(request).substr(0, longest_text)},
      {"status", status},
      {"milliseconds", std::chrono::duration_cast<std::chrono::milliseconds>(now() - began).count()}};
  if (auto peer = exchange.peer()) {
    entry["uid"] = peer->uid;
    entry["gid"] = peer->gid;
    entry["pid"] = peer->pid;
  }
  std::string line = to_json(entry) + "\n";
  if (auto written = sys::write_all(file_.get(), line); !written) {
    log::error("audit log {}: {}: lost {}", path_, written.error().message(), line);
  }
}

}  // namespace berth::api
