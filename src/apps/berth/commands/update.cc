// update, commit, export.
#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/live_update.h"
#include "apps/berth/commands/targets.h"
#include "apps/berth/commands/transfer.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/options/container_config.h"
#include "base/json.h"
#include "spec/reference.h"

namespace berth::cli::commands {
namespace {

using client::path_of;
using client::Query;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;
using grammar::Visibility;

struct Field {
  std::string_view flag;
  const char* key;
};
constexpr std::array numbers{Field{"blkio-weight", "BlkioWeight"},
                             Field{"cpu-period", "CpuPeriod"},
                             Field{"cpu-quota", "CpuQuota"},
                             Field{"cpu-rt-period", "CpuRealtimePeriod"},
                             Field{"cpu-rt-runtime", "CpuRealtimeRuntime"},
                             Field{"cpu-shares", "CpuShares"},
                             Field{"cpus", "NanoCpus"},
                             Field{"memory", "Memory"},
                             Field{"memory-reservation", "MemoryReservation"},
                             Field{"memory-swap", "MemorySwap"},
                             Field{"kernel-memory", "KernelMemory"},
                             Field{"pids-limit", "PidsLimit"}};
constexpr std::array texts{Field{"cpuset-cpus", "CpusetCpus"}, Field{"cpuset-mems", "CpusetMems"}};

Outcome<int> update(Context& context, const Invocation& invocation) {
  Json body = Json::object();
  for (auto [flag, key] : numbers) {
    if (invocation.given(flag)) body[key] = invocation.number(flag);
  }
  for (auto [flag, key] : texts) {
    if (invocation.given(flag)) body[key] = invocation.text(flag);
  }
  if (invocation.given("restart")) {
    TRY(auto policy, options::parse_restart_policy(invocation.text("restart")));
    body["RestartPolicy"] = {{"Name", policy.name}, {"MaximumRetryCount", policy.retries}};
  }
  TRY(Json live, live_update_body(invocation));
  bool plain = !body.empty();
  if (!plain && live.is_null() && !invocation.given("network-add"))
    return refuse("you must provide one or more flags when using this command");
  Tally tally(context);
  std::vector<std::string> warnings;
  for (const std::string& name : invocation.arguments()) {
    auto valid = check_name(name);
    if (!tally.accept(valid)) continue;
    if (plain) {
      auto reply = context.engine().call(
          {.method = "POST", .path = path_of("containers", name, "update"), .body = to_json(body)});
      if (!tally.accept(reply)) continue;
      auto json = parse_json(reply->body);
      auto said = json ? json_strings(*json, "Warnings") : Result<std::vector<std::string>>(json.error());
      if (said) warnings.insert(warnings.end(), said->begin(), said->end());
    }
    auto sent = send_live_update(context, invocation, live, name, warnings);
    if (!tally.accept(sent)) continue;
    context.out.line(name);
  }
  for (const std::string& warning : warnings) context.out.line(warning);
  return tally.exit_code();
}

Outcome<int> commit(Context& context, const Invocation& invocation) {
  CHECK(check_name(invocation.argument(0)));
  Query query;
  query.add("container", invocation.argument(0));
  if (invocation.arguments().size() > 1) {
    TRY(auto reference, spec::Reference::parse(invocation.argument(1)));
    if (reference.digest()) return refuse("refusing to create a tag with a digest reference");
    query.add("repo", reference.familiar_name());
    query.add("tag", reference.tag().empty() ? "latest" : reference.tag());
  }
  query.add_unless_empty("comment", invocation.text("message"));
  query.add_unless_empty("author", invocation.text("author"));
  for (const std::string& change : invocation.list("change")) query.add("changes", change);
  bool pause = invocation.on("pause") && !invocation.on("no-pause");
  if (!pause) query.add("pause", "0");
  TRY(auto reply, context.engine().call({.method = "POST", .path = "/commit", .query = query, .body = "{}"}));
  TRY(Json json, parse_json(reply.body));
  context.out.line(json_string(json, "Id").value_or(""));
  return 0;
}

Outcome<int> export_container(Context& context, const Invocation& invocation) {
  CHECK(check_name(invocation.argument(0)));
  TRY(OutputFile file, OutputFile::open(context, invocation.text("output"), "export"));
  CHECK(context.engine().stream({.path = path_of("containers", invocation.argument(0), "export")},
                                [&](std::string_view bytes) { return file.write(bytes); }));
  CHECK(file.commit());
  return 0;
}

constexpr std::array update_flags{
    Flag{.name = "blkio-weight", .type = Type::Uint16, .help = "Block I/O weight, 10 to 1000, or 0 for none"},
    Flag{.name = "cpu-period", .type = Type::Int, .help = "Length of a CPU period in microseconds"},
    Flag{.name = "cpu-quota", .type = Type::Int, .help = "Microseconds of CPU time per period"},
    Flag{.name = "cpu-rt-period", .type = Type::Int, .help = "Length of a real-time period in microseconds"},
    Flag{
        .name = "cpu-rt-runtime", .type = Type::Int, .help = "Microseconds of real-time CPU time per period"},
    Flag{'c', "cpu-shares", Type::Int, "CPU shares (relative weight)"},
    Flag{.name = "cpus", .type = Type::Decimal, .help = "Number of CPUs (1.5)"},
    Flag{.name = "cpuset-cpus", .type = Type::String, .help = "CPUs to run on (0-3, 0,1)"},
    Flag{.name = "cpuset-mems", .type = Type::String, .help = "Memory nodes to use (0-3, 0,1)"},
    Flag{.name = "kernel-memory", .type = Type::Bytes, .visibility = Visibility::Hidden},
    Flag{'m', "memory", Type::Bytes, "Memory limit"},
    Flag{.name = "memory-reservation", .type = Type::Bytes, .help = "Memory soft limit"},
    Flag{.name = "memory-swap",
         .type = Type::SwapBytes,
         .help = "Limit of memory and swap together; -1 for unlimited swap"},
    Flag{.name = "pids-limit", .type = Type::Int, .help = "Limit of processes (-1 for unlimited)"},
    Flag{.name = "restart", .type = Type::String, .help = "When to start the container again"},
};
constexpr std::array commit_flags{
    Flag{'a', "author", Type::String, "Author (\"Jane Doe <jane@example.com>\")"},
    Flag{'c', "change", Type::List, "Apply a Dockerfile instruction to the image"},
    Flag{'m', "message", Type::String, "Comment of the image"},
    Flag{.name = "no-pause", .visibility = Visibility::Hidden},
    Flag{'p', "pause", Type::Bool, "Pause the container meanwhile", "true"},
};
constexpr std::array export_flags{
    Flag{'o', "output", Type::String, "Write to this file instead of standard output"}};

}  // namespace

const Command update_command{.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
                             .summary = "Change limits, ports, mounts and restart policy of containers",
                             .flags = update_flags,
                             .more_flags = live_update_flags,
                             .arity = grammar::at_least(1),
                             .action = update};
const Command commit_command{.usage = "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
                             .summary = "Make an image of a container",
                             .flags = commit_flags,
                             .arity = grammar::between(1, 2),
                             .action = commit};
const Command export_command{.usage = "[OPTIONS] CONTAINER",
                             .summary = "Write a container's filesystem to a tar archive",
                             .flags = export_flags,
                             .arity = grammar::exactly(1),
                             .action = export_container};

}  // namespace berth::cli::commands
