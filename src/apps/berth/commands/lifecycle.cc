// stop, restart, kill, pause, unpause, rm, wait, rename.
#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/targets.h"
#include "apps/berth/grammar/invocation.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using client::path_of;
using client::Query;
using client::Request;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;
using grammar::Visibility;

Outcome<int> stop_or_restart(Context& context, const Invocation& invocation, std::string_view action) {
  if (invocation.given("time") && invocation.given("timeout")) {
    return refuse("conflicting options: cannot specify both --timeout and --time");
  }
  Query query;
  query.add_unless_empty("signal", invocation.text("signal"));
  for (std::string_view name : {"time", "timeout"}) {
    if (invocation.given(name)) query.add("t", invocation.text(name));
  }
  return perform_each(context, invocation.arguments(), [&](const std::string& name) {
    return Request{.method = "POST", .path = path_of("containers", name, action), .query = query};
  });
}

Outcome<int> stop(Context& context, const Invocation& invocation) {
  return stop_or_restart(context, invocation, "stop");
}

Outcome<int> restart(Context& context, const Invocation& invocation) {
  return stop_or_restart(context, invocation, "restart");
}

Outcome<int> kill(Context& context, const Invocation& invocation) {
  Query query;
  query.add_unless_empty("signal", invocation.text("signal"));
  return perform_each(context, invocation.arguments(), [&](const std::string& name) {
    return Request{.method = "POST", .path = path_of("containers", name, "kill"), .query = query};
  });
}

Outcome<int> pause(Context& context, const Invocation& invocation) {
  return perform_each(context, invocation.arguments(), [](const std::string& name) {
    return Request{.method = "POST", .path = path_of("containers", name, "pause")};
  });
}

Outcome<int> unpause(Context& context, const Invocation& invocation) {
  return perform_each(context, invocation.arguments(), [](const std::string& name) {
    return Request{.method = "POST", .path = path_of("containers", name, "unpause")};
  });
}

Outcome<int> remove(Context& context, const Invocation& invocation) {
  bool force = invocation.on("force");
  Query query;
  query.flag("force", force).flag("v", invocation.on("volumes")).flag("link", invocation.on("link"));
  std::vector<std::string> names;
  for (std::string name : invocation.arguments()) {
    if (name.starts_with('/')) name.erase(0, 1);
    names.push_back(std::move(name));
  }
  auto replies = request_each(context, names, [&](const std::string& name) {
    return Request{.method = "DELETE", .path = path_of("containers", name), .query = query};
  });
  Tally tally(context);
  for (size_t i = 0; i < names.size(); ++i) {
    if (!replies[i] && force && replies[i].error().not_found()) {
      context.report(replies[i].error());  // told, but what was asked for holds
    } else if (tally.accept(replies[i])) {
      context.out.line(names[i]);
    }
  }
  return tally.exit_code();
}

Outcome<int> wait(Context& context, const Invocation& invocation) {
  Tally tally(context);
  for (const std::string& name : invocation.arguments()) {
    auto valid = check_name(name);
    if (!tally.accept(valid)) continue;
    auto reply = context.engine().call({.method = "POST", .path = path_of("containers", name, "wait")});
    if (!tally.accept(reply)) continue;
    auto json = parse_json(reply->body);
    auto status = json ? json_int(*json, "StatusCode", -1) : Result<int64_t>(json.error());
    if (!status) return status.error();
    context.out.print("{}\n", *status);
    context.out.flush();
  }
  return tally.exit_code();
}

Outcome<int> rename(Context& context, const Invocation& invocation) {
  std::string from = invocation.argument(0);
  std::string to = invocation.argument(1);
  if (from.empty() || to.empty()) return refuse("Error: Neither old nor new names may be empty");
  auto reply = context.engine().call(
      {.method = "POST", .path = path_of("containers", from, "rename"), .query = Query().add("name", to)});
  if (reply) return 0;
  context.report(reply.error());
  return Failure::plain(fmt::format("Error: failed to rename container named {}", from));
}

constexpr Flag signal_flag{'s', "signal", Type::String, "Signal to send to the container"};

constexpr std::array stop_flags{
    signal_flag,
    Flag{'t', "timeout", Type::Int, "Seconds to wait before killing the container"},
    Flag{.name = "time", .type = Type::Int, .visibility = Visibility::Hidden},
};
constexpr std::array kill_flags{signal_flag};
constexpr std::array remove_flags{
    Flag{'f', "force", Type::Bool, "Kill a running container (SIGKILL) and remove it"},
    Flag{'l', "link", Type::Bool, "Remove the given link"},
    Flag{'v', "volumes", Type::Bool, "Remove the container's anonymous volumes too"},
};

constexpr std::string_view several = "[OPTIONS] CONTAINER [CONTAINER...]";
constexpr std::string_view several_plain = "CONTAINER [CONTAINER...]";

}  // namespace

const Command stop_command{.usage = several,
                           .summary = "Stop one or more running containers",
                           .flags = stop_flags,
                           .arity = grammar::at_least(1),
                           .action = stop};
const Command restart_command{.usage = several,
                              .summary = "Restart one or more containers",
                              .flags = stop_flags,
                              .arity = grammar::at_least(1),
                              .action = restart};
const Command kill_command{.usage = several,
                           .summary = "Kill one or more running containers",
                           .flags = kill_flags,
                           .arity = grammar::at_least(1),
                           .action = kill};
const Command pause_command{.usage = several_plain,
                            .summary = "Pause all processes within one or more containers",
                            .arity = grammar::at_least(1),
                            .action = pause};
const Command unpause_command{.usage = several_plain,
                              .summary = "Let paused containers go on",
                              .arity = grammar::at_least(1),
                              .action = unpause};
const Command remove_command{.usage = several,
                             .summary = "Remove one or more containers",
                             .flags = remove_flags,
                             .arity = grammar::at_least(1),
                             .action = remove};
const Command wait_command{.usage = several_plain,
                           .summary = "Wait until containers stop, then print their exit codes",
                           .arity = grammar::at_least(1),
                           .action = wait};
const Command rename_command{.usage = "CONTAINER NEW_NAME",
                             .summary = "Rename a container",
                             .arity = grammar::exactly(2),
                             .action = rename};

}  // namespace berth::cli::commands
