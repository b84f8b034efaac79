#include "apps/berth/compose/hooks.h"

#include "apps/berth/compose/copier.h"
#include "apps/berth/compose/follow.h"
#include "apps/berth/terminal/frames.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

using client::path_of;

Result<Json> exec_body(const Value& hook, const std::string& path) {
  Json body{{"AttachStdout", true}, {"AttachStderr", true}};
  CHECK(Copier(hook, path, body)
            .texts("command", "Cmd")
            .text("user", "User")
            .text("working_dir", "WorkingDir")
            .flag("privileged", "Privileged")
            .done());
  const Value* variables = hook.find("environment");
  for (const auto& [name, value] : variables == nullptr ? Value::Map() : variables->members)
    body["Env"].push_back(value.is_null() ? name : fmt::format("{}={}", name, value.text));
  return body;
}

Outcome<void> run_one(Session& session, client::Client& engine, const Observed& container, const Value& hook,
                      const std::string& path) {
  TRY(const Json body, exec_body(hook, path));
  TRY(Json made, call_json(engine, "POST", path_of("containers", container.id, "exec"), {}, to_json(body)));
  TRY(std::string id, json_string(made, "Id"));
  terminal::FrameSplitter frames;
  std::string rest;
  const std::string name = shown_name(session.project, container);
  auto take = [&](auto, std::string_view payload) {
    rest += payload;
    for (size_t end = rest.find('\n'); end != std::string::npos; end = rest.find('\n')) {
      session.report.hook_line(name, std::string_view(rest).substr(0, end));
      rest.erase(0, end + 1);
    }
    constexpr size_t longest = size_t{1} << 20;
    if (rest.size() > longest) rest.clear();
  };
  const client::Request request{
      .method = "POST", .path = path_of("exec", id, "start"), .body = R"({"Detach":false,"Tty":false})"};
  CHECK(engine.stream(request, [&](std::string_view bytes) -> Outcome<void> {
    CHECK(frames.feed(bytes, take));
    return {};
  }));
  if (!rest.empty()) session.report.hook_line(name, rest);
  TRY(Json state, call_json(engine, "GET", path_of("exec", id, "json")));
  TRY(int64_t code, json_int(state, "ExitCode"));
  if (code == 0) return {};
  return Failure::plain(fmt::format("{} hook exited with status {}", container.service, code));
}

}  // namespace

Outcome<void> run_hooks(Session& session, client::Client& engine, const Observed& container,
                        std::string_view key) {
  auto service = session.project.services.find(container.service);
  if (service == session.project.services.end() || container.one_off) return {};
  if (session.dry_run()) return {};
  const Value* hooks = service->second.config.find(key);
  for (const Value& hook : hooks == nullptr ? Value::List() : hooks->items)
    CHECK(run_one(session, engine, container, hook, fmt::format("{}.{}", service->second.path(), key)));
  return {};
}

}  // namespace berth::cli::compose
