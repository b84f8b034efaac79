// start, attach.
#include <unistd.h>

#include <array>

#include "apps/berth/commands/attaching.h"
#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/targets.h"
#include "apps/berth/grammar/invocation.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using client::path_of;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;
using terminal::Signals;

/// What of GET /containers/ID/json matters for attaching.
struct Inspected {
  std::string id;
  bool tty = false;
  bool open_stdin = false;
  bool auto_remove = false;
  bool running = false;
  bool paused = false;
  bool restarting = false;
};

Outcome<Inspected> inspect(Context& context, const std::string& name) {
  CHECK(check_name(name));
  TRY(auto reply, context.engine().call({.path = path_of("containers", name, "json")}));
  TRY(Json json, parse_json(reply.body));
  Json config = json.value("Config", Json::object());
  Json host = json.value("HostConfig", Json::object());
  Json state = json.value("State", Json::object());
  Inspected inspected;
  TRY(inspected.id, json_string(json, "Id"));
  TRY(inspected.tty, json_bool(config, "Tty"));
  TRY(inspected.open_stdin, json_bool(config, "OpenStdin"));
  TRY(inspected.auto_remove, json_bool(host, "AutoRemove"));
  TRY(inspected.running, json_bool(state, "Running"));
  TRY(inspected.paused, json_bool(state, "Paused"));
  TRY(inspected.restarting, json_bool(state, "Restarting"));
  return inspected;
}

Signals::Take taking(bool proxy, bool tty) {
  if (proxy) return Signals::Take::Everything;
  return tty ? Signals::Take::Endings : Signals::Take::Nothing;
}

client::Request start_request(const Invocation& invocation, const std::string& container) {
  client::Query query;
  if (std::string checkpoint = invocation.text("checkpoint"); !checkpoint.empty()) {
    query.add("checkpoint", checkpoint);
    if (std::string directory = invocation.text("checkpoint-dir"); !directory.empty())
      query.add("checkpoint-dir", directory);
  }
  return {.method = "POST", .path = path_of("containers", container, "start"), .query = query};
}

Outcome<int> start_attached(Context& context, const Invocation& invocation) {
  if (invocation.arguments().size() > 1)
    return refuse("you cannot start and attach multiple containers at once");
  TRY(Inspected container, inspect(context, invocation.argument(0)));
  bool window = container.tty && terminal::is_terminal(STDOUT_FILENO);
  bool proxy = !container.tty;
  TRY(Signals signals, Signals::block(taking(proxy, container.tty), window));
  Attach attach{.container = container.id,
                .tty = container.tty,
                .attach_stdin = invocation.on("interactive") && container.open_stdin,
                .detach_keys = detach_keys(context, invocation.text("detach-keys"))};
  TRY(auto session, session_options(context, attach, proxy));
  TRY(client::Pending wait,
      begin_wait(context, container.id, container.auto_remove ? "removed" : "next-exit"));
  TRY(client::Upgraded stream, attach_stream(context, attach));
  CHECK(wait.wait_for_head());
  auto started = context.engine().call(start_request(invocation, container.id));
  if (!started) {
    if (container.auto_remove) (void)wait.wait();
    return started.error();
  }
  if (window) resize_container(context, container.id, terminal::size_of(STDOUT_FILENO));
  TRY(auto end, terminal::run_session(std::move(stream), session, signals, &wait));
  if (end == terminal::SessionEnd::Detached) return 0;
  return exit_code_of(context, container.id, wait);
}

Outcome<int> start(Context& context, const Invocation& invocation) {
  if (invocation.on("attach") || invocation.on("interactive")) return start_attached(context, invocation);
  if (!invocation.text("checkpoint").empty()) {
    if (invocation.arguments().size() > 1) return refuse("you cannot restore multiple containers at once");
    CHECK(check_name(invocation.argument(0)));
    CHECK(context.engine().call(start_request(invocation, invocation.argument(0))));
    return 0;
  }
  std::vector<std::string> failed;
  for (const std::string& name : invocation.arguments()) {
    auto valid = check_name(name);
    auto reply = valid
                     ? context.engine().call({.method = "POST", .path = path_of("containers", name, "start")})
                     : Outcome<client::Reply>(valid.error());
    if (reply) {
      context.out.line(name);
    } else {
      context.report(reply.error());
      failed.push_back(name);
    }
  }
  if (failed.empty()) return 0;
  return Failure::plain(fmt::format("Error: failed to start containers: {}", fmt::join(failed, ", ")));
}

Outcome<int> attach(Context& context, const Invocation& invocation) {
  TRY(Inspected container, inspect(context, invocation.argument(0)));
  if (!container.running) return refuse("You cannot attach to a stopped container, start it first");
  if (container.paused) return refuse("You cannot attach to a paused container, unpause it first");
  if (container.restarting) {
    return refuse("You cannot attach to a restarting container, wait until it is running");
  }
  bool with_stdin = !invocation.on("no-stdin");
  CHECK(terminal::check_tty(with_stdin, container.tty));
  bool window = container.tty && terminal::is_terminal(STDOUT_FILENO);
  bool proxy = invocation.on("sig-proxy") && !container.tty;
  TRY(Signals signals, Signals::block(taking(proxy, container.tty), window));
  Attach attach{.container = container.id,
                .tty = container.tty,
                .attach_stdin = with_stdin && container.open_stdin,
                .detach_keys = detach_keys(context, invocation.text("detach-keys"))};
  TRY(auto session, session_options(context, attach, proxy));
  TRY(client::Pending wait, begin_wait(context, container.id, "not-running"));
  TRY(client::Upgraded stream, attach_stream(context, attach));
  if (window) {
    // A shell draws its prompt again only when the size changes.
    auto size = terminal::size_of(STDOUT_FILENO);
    resize_container(context, container.id, {size.rows + 1, size.columns + 1});
    resize_container(context, container.id, size);
  }
  TRY(auto end, terminal::run_session(std::move(stream), session, signals, &wait));
  if (end == terminal::SessionEnd::Detached) return Failure::plain("read escape sequence");
  return exit_code_of(context, container.id, wait);
}

constexpr Flag keys_flag{
    .name = "detach-keys", .type = Type::String, .help = "Keys that detach from the container"};
constexpr std::array start_flags{
    Flag{'a', "attach", Type::Bool, "Attach to the output and pass signals on"},
    Flag{.name = "checkpoint", .type = Type::String, .help = "Go on from this checkpoint"},
    Flag{.name = "checkpoint-dir",
         .type = Type::String,
         .help = "A directory of the engine's host for checkpoints"},
    keys_flag,
    Flag{'i', "interactive", Type::Bool, "Attach standard input"},
};
constexpr std::array attach_flags{
    keys_flag,
    Flag{.name = "no-stdin", .help = "Do not attach standard input"},
    Flag{.name = "sig-proxy", .help = "Pass signals on to the container", .fallback = "true"},
};

}  // namespace

const Command start_command{.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
                            .summary = "Start one or more stopped containers",
                            .flags = start_flags,
                            .arity = grammar::at_least(1),
                            .action = start};
const Command attach_command{.usage = "[OPTIONS] CONTAINER",
                             .summary = "Attach standard input, output and error to a running container",
                             .flags = attach_flags,
                             .arity = grammar::exactly(1),
                             .action = attach};

}  // namespace berth::cli::commands
