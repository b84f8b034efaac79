// exec.
#include <unistd.h>

#include <array>

#include "apps/berth/commands/attaching.h"
#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/targets.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/options/key_values.h"
#include "apps/berth/terminal/detach_keys.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using client::path_of;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;
using terminal::Signals;
using terminal::Size;

Outcome<std::string> create(Context& context, const Invocation& invocation, const std::string& keys,
                            Size size) {
  const auto& arguments = invocation.arguments();
  bool detach = invocation.on("detach");
  TRY(auto environment, options::read_key_values(invocation.list("env-file"), invocation.list("env"),
                                                 options::Lookup::Environment));
  Json body{{"User", invocation.text("user")},
            {"Privileged", invocation.on("privileged")},
            {"Tty", invocation.on("tty")},
            {"AttachStdin", !detach && invocation.on("interactive")},
            {"AttachStdout", !detach},
            {"AttachStderr", !detach},
            {"Env", environment},
            {"WorkingDir", invocation.text("workdir")},
            {"Cmd", std::vector<std::string>(arguments.begin() + 1, arguments.end())}};
  if (!keys.empty()) body["DetachKeys"] = keys;
  if (size.known()) body["ConsoleSize"] = std::vector{size.rows, size.columns};
  TRY(auto reply,
      context.engine().call(
          {.method = "POST", .path = path_of("containers", arguments[0], "exec"), .body = to_json(body)}));
  TRY(Json json, parse_json(reply.body));
  TRY(std::string id, json_string(json, "Id"));
  if (id.empty()) return refuse("exec ID empty");
  return id;
}

void resize(Context& context, const std::string& id, Size size) {
  if (!size.known()) return;
  client::Query query;
  query.add("h", fmt::format("{}", size.rows)).add("w", fmt::format("{}", size.columns));
  (void)context.engine().call({.method = "POST", .path = path_of("exec", id, "resize"), .query = query});
}

Outcome<int> exit_code(Context& context, const std::string& id) {
  TRY(auto reply, call_patiently(context, {.path = path_of("exec", id, "json")}));
  TRY(Json json, parse_json(reply.body));
  TRY(int64_t code, json_int(json, "ExitCode"));
  return static_cast<int>(code & 0xFF);
}

Outcome<int> attached(Context& context, const Invocation& invocation, const std::string& id,
                      const std::string& keys, Size size) {
  bool tty = invocation.on("tty");
  bool window = tty && terminal::is_terminal(STDIN_FILENO);
  TRY(Signals signals, Signals::block(tty ? Signals::Take::Endings : Signals::Take::Nothing, window));
  terminal::SessionOptions session;
  session.tty = tty;
  session.attach_stdin = invocation.on("interactive");
  TRY(session.detach_keys, terminal::parse_detach_keys(keys.empty() ? "ctrl-p,ctrl-q" : keys));
  session.resize = [&](Size changed) { resize(context, id, changed); };
  Json body{{"Detach", false}, {"Tty", tty}};
  // Whoever closes the window means the shell in it, too. docker leaves it behind.
  if (window && session.attach_stdin) body["HangUp"] = true;
  if (size.known()) body["ConsoleSize"] = std::vector{size.rows, size.columns};
  TRY(client::Upgraded stream,
      context.engine().upgrade(
          {.method = "POST", .path = path_of("exec", id, "start"), .body = to_json(body)}));
  if (window && !context.engine().speaks("1.42")) resize(context, id, size);
  TRY(auto end, terminal::run_session(std::move(stream), session, signals, nullptr));
  if (end == terminal::SessionEnd::Detached) return Failure::plain("read escape sequence");
  return exit_code(context, id);
}

Outcome<int> exec(Context& context, const Invocation& invocation) {
  CHECK(check_name(invocation.argument(0)));
  bool detach = invocation.on("detach");
  bool tty = invocation.on("tty");
  if (!detach) CHECK(terminal::check_tty(invocation.on("interactive"), tty));
  std::string keys = detach_keys(context, invocation.text("detach-keys"));
  Size size = tty ? terminal::size_of(STDOUT_FILENO) : Size{};
  TRY(std::string id, create(context, invocation, keys, size));
  if (!detach) return attached(context, invocation, id, keys, size);
  Json body{{"Detach", true}, {"Tty", tty}};
  CHECK(
      context.engine().call({.method = "POST", .path = path_of("exec", id, "start"), .body = to_json(body)}));
  return 0;
}

constexpr std::array flags{
    Flag{'d', "detach", Type::Bool, "Run the command in the background"},
    Flag{.name = "detach-keys", .type = Type::String, .help = "Keys that detach from the command"},
    Flag{'e', "env", Type::List, "Set an environment variable (KEY=value, or KEY to pass on the caller's)",
         "", options::check_environment},
    Flag{.name = "env-file", .type = Type::List, .help = "Read environment variables from a file"},
    Flag{'i', "interactive", Type::Bool, "Keep standard input open"},
    Flag{.name = "privileged", .help = "Give the command all the host's privileges"},
    Flag{'t', "tty", Type::Bool, "Allocate a terminal"},
    Flag{'u', "user", Type::String, "User to run as (name|uid[:group|gid])"},
    Flag{'w', "workdir", Type::String, "Working directory in the container"},
};

}  // namespace

const Command exec_command{.usage = "[OPTIONS] CONTAINER COMMAND [ARG...]",
                           .summary = "Run a command in a running container",
                           .flags = flags,
                           .arity = grammar::at_least(2),
                           .action = exec,
                           .placement = grammar::FlagPlacement::BeforeArguments};

}  // namespace berth::cli::commands
