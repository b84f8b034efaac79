// checkpoint create, ls, rm. A start from one is in start.cc.
#include <array>

#include "apps/berth/commands/checkpoint_commands.h"
#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/targets.h"
#include "apps/berth/grammar/invocation.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using client::path_of;
using client::Query;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

std::string checkpoints_of(const std::string& container) {
  return path_of("containers", container, "checkpoints");
}

Query directory_of(const Invocation& invocation) {
  Query query;
  if (std::string directory = invocation.text("checkpoint-dir"); !directory.empty())
    query.add("dir", directory);
  return query;
}

Outcome<int> create(Context& context, const Invocation& invocation) {
  CHECK(check_name(invocation.argument(0)));
  Json body{{"CheckpointID", invocation.argument(1)},
            {"CheckpointDir", invocation.text("checkpoint-dir")},
            {"Exit", !invocation.on("leave-running")}};
  CHECK(context.engine().call(
      {.method = "POST", .path = checkpoints_of(invocation.argument(0)), .body = to_json(body)}));
  context.out.line(invocation.argument(1));
  return 0;
}

Outcome<int> list(Context& context, const Invocation& invocation) {
  CHECK(check_name(invocation.argument(0)));
  TRY(auto reply, context.engine().call(
                      {.path = checkpoints_of(invocation.argument(0)), .query = directory_of(invocation)}));
  TRY(Json list, parse_json(reply.body));
  context.out.line("CHECKPOINT NAME");
  for (const Json& entry : list) context.out.line(json_string(entry, "Name").value_or(""));
  return 0;
}

Outcome<int> remove(Context& context, const Invocation& invocation) {
  CHECK(check_name(invocation.argument(0)));
  CHECK(check_name(invocation.argument(1)));
  std::string path =
      checkpoints_of(invocation.argument(0)) + "/" + client::percent_encode(invocation.argument(1));
  CHECK(context.engine().call({.method = "DELETE", .path = path, .query = directory_of(invocation)}));
  return 0;
}

constexpr Flag directory_flag{.name = "checkpoint-dir",
                              .type = Type::String,
                              .help = "A directory of the engine's host for checkpoints"};
constexpr std::array create_flags{
    directory_flag,
    Flag{.name = "leave-running", .help = "Let the container run on after the checkpoint"},
};
constexpr std::array directory_flags{directory_flag};

}  // namespace

const Command create_checkpoint_command{.usage = "[OPTIONS] CONTAINER CHECKPOINT",
                                        .summary = "Save a running container's processes, and end it",
                                        .flags = create_flags,
                                        .arity = grammar::exactly(2),
                                        .action = create};
const Command list_checkpoints_command{.usage = "[OPTIONS] CONTAINER",
                                       .summary = "List a container's checkpoints",
                                       .flags = directory_flags,
                                       .arity = grammar::exactly(1),
                                       .action = list};
const Command remove_checkpoint_command{.usage = "[OPTIONS] CONTAINER CHECKPOINT",
                                        .summary = "Remove a checkpoint",
                                        .flags = directory_flags,
                                        .arity = grammar::exactly(2),
                                        .action = remove};

}  // namespace berth::cli::commands
