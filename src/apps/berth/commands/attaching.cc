// Sessions with containers.
#include "apps/berth/commands/attaching.h"

#include <poll.h>
#include <unistd.h>

#include "apps/berth/terminal/detach_keys.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using client::path_of;
using client::Query;

constexpr std::string_view default_detach_keys = "ctrl-p,ctrl-q";
constexpr int patience_ms = 30'000;
constexpr int pause_ms = 100;

Outcome<int> exit_code_in(std::string_view body) {
  TRY(Json json, parse_json(body));
  if (auto error = json.find("Error"); error != json.end() && error->is_object()) {
    std::string message = json_string(*error, "Message").value_or("");
    if (!message.empty())
      return Failure::client(fmt::format("Error waiting for container: {}", message), 125);
  }
  TRY(int64_t status, json_int(json, "StatusCode"));
  return static_cast<int>(status & 0xFF);
}

}  // namespace

std::string detach_keys(Context& context, const std::string& from_flag) {
  return from_flag.empty() ? context.configuration().detach_keys : from_flag;
}

Outcome<client::Upgraded> attach_stream(Context& context, const Attach& attach) {
  Query query;
  query.add("stream", "1");
  query.flag("stdin", attach.attach_stdin)
      .flag("stdout", attach.attach_stdout)
      .flag("stderr", attach.attach_stderr);
  query.add_unless_empty("detachKeys", attach.detach_keys);
  return context.engine().upgrade(
      {.method = "POST", .path = path_of("containers", attach.container, "attach"), .query = query});
}

Outcome<terminal::SessionOptions> session_options(Context& context, const Attach& attach, bool proxy) {
  terminal::SessionOptions options;
  options.tty = attach.tty;
  options.attach_stdin = attach.attach_stdin;
  options.attach_stdout = attach.attach_stdout;
  options.attach_stderr = attach.attach_stderr;
  std::string keys = attach.detach_keys.empty() ? std::string(default_detach_keys) : attach.detach_keys;
  TRY(options.detach_keys, terminal::parse_detach_keys(keys));
  std::string id = attach.container;
  if (proxy) {
    options.proxy = [&context, id](int signal) {
      // The container may have ended a moment ago: nothing to do then.
      (void)context.engine().call({.method = "POST",
                                   .path = path_of("containers", id, "kill"),
                                   .query = Query().add("signal", terminal::signal_name(signal))});
    };
  }
  options.resize = [&context, id](terminal::Size size) { resize_container(context, id, size); };
  return options;
}

void resize_container(Context& context, const std::string& id, terminal::Size size) {
  if (!size.known()) return;
  Query query;
  query.add("h", fmt::format("{}", size.rows)).add("w", fmt::format("{}", size.columns));
  (void)context.engine().call(
      {.method = "POST", .path = path_of("containers", id, "resize"), .query = query});
}

Outcome<client::Pending> begin_wait(Context& context, const std::string& id, std::string_view condition) {
  return context.engine().begin({.method = "POST",
                                 .path = path_of("containers", id, "wait"),
                                 .query = Query().add("condition", condition)});
}

Outcome<client::Reply> call_patiently(Context& context, const client::Request& request) {
  for (int waited = 0;; waited += pause_ms) {
    auto reply = context.engine().call(request);
    // An answer of the engine, good or bad, ends the waiting; so does too long a time without one.
    if (reply || reply.error().http_status != 0 || waited >= patience_ms) return reply;
    ::poll(nullptr, 0, pause_ms);
  }
}

Outcome<int> exit_code_of(Context& context, const std::string& id, client::Pending& wait) {
  auto waited = wait.wait();
  if (waited) return exit_code_in(wait.body());
  if (waited.error().http_status != 0) return waited.error();
  // The engine went away; containers outlive it, so its successor knows how this one ended.
  auto reply = call_patiently(context, {.method = "POST", .path = path_of("containers", id, "wait")});
  if (!reply && reply.error().not_found()) {
    return Failure::client("the container was removed while the engine was away: its exit code is lost", 125);
  }
  if (!reply)
    return Failure::client(fmt::format("Error waiting for container: {}", waited.error().text()), 125);
  return exit_code_in(reply->body);
}

}  // namespace berth::cli::commands
