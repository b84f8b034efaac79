#include "apps/buildkit/image_push.h"

#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::buildkit {
namespace {

constexpr size_t max_line = size_t{1} << 20;

/// X-Registry-Auth; an empty object where the client knows nothing.
std::string auth_header(const Session* session, const std::string& host) {
  Json auth = Json::object();
  if (session != nullptr && session->offers("/moby.filesync.v1.Auth/Credentials")) {
    auto found = session->credentials(host == "docker.io" ? "registry-1.docker.io" : host);
    bool token = found && (found->username.empty() || found->username == "<token>");
    if (found && token) auth["identitytoken"] = found->secret;
    if (found && !token) auth = {{"username", found->username}, {"password", found->secret}};
  }
  return "X-Registry-Auth: " + to_base64(to_json(auth));
}

/// The error in a push's lines, if there is one.
class PushLines {
 public:
  Result<void> feed(std::string_view bytes) {
    while (!bytes.empty()) {
      size_t end = bytes.find('\n');
      line_.append(bytes.substr(0, end));
      if (line_.size() > max_line) return Error(Kind::Exhausted, "the engine's line is too long");
      if (end == bytes.npos) return {};
      bytes.remove_prefix(end + 1);
      std::string line = std::exchange(line_, {});
      while (line.ends_with('\r')) line.pop_back();
      if (line.empty()) continue;
      TRY(Json object, parse_json(line));
      TRY(error_, json_string(object, "error", error_));
    }
    return {};
  }
  const std::string& error() const { return error_; }

 private:
  std::string line_;
  std::string error_;
};

}  // namespace

Result<void> push_image(const EngineClient& engine, const Session* session, const spec::Reference& reference,
                        Progress& progress, const Cancelled& cancelled) {
  std::string vertex = progress.begin("pushing " + reference.familiar_string());
  PushLines lines;
  EngineRequest request{.method = "POST",
                        .path = "/images/" + reference.name() + "/push",
                        .query = {{"tag", reference.tag()}},
                        .headers = {auth_header(session, reference.domain())},
                        .cancelled = cancelled};
  request.write = [&lines](std::string_view bytes) { return lines.feed(bytes); };
  auto sent = engine.send(std::move(request));
  Result<void> pushed;
  if (!sent) {
    pushed = std::move(sent).error();
  } else if (!lines.error().empty()) {
    pushed = failure(Kind::InvalidArgument, "pushing {}: {}", reference.familiar_string(), lines.error());
  }
  progress.complete(vertex, pushed ? std::string() : pushed.error().message());
  return pushed;
}

}  // namespace berth::buildkit
