// snapshot, rollback, clone of containers' file systems; volume rename, clone, export, import.
#include <unistd.h>

#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/targets.h"
#include "apps/berth/commands/transfer.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/output/units.h"
#include "base/clock.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using client::path_of;
using client::Query;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

std::string extension(std::string_view collection, const std::string& name, std::string_view action) {
  return "/berth" + path_of(collection, name, action);
}

/// "20260101-120000": a name that sorts by time.
std::string name_of_now() {
  std::string stamp = to_rfc3339(now());
  std::string name;
  for (char c : stamp.substr(0, 19)) {
    if (c >= '0' && c <= '9') name.push_back(c);
    if (c == 'T') name.push_back('-');
  }
  return name;
}

Outcome<int> list_snapshots(Context& context, const std::string& container) {
  TRY(auto reply, context.engine().call({.path = extension("containers", container, "snapshots")}));
  TRY(Json list, parse_json(reply.body));
  context.out.line(fmt::format("{:<24} {:<32} {}", "NAME", "CREATED", "SIZE"));
  for (const Json& entry : list) {
    double size = static_cast<double>(json_int(entry, "Size").value_or(0));
    context.out.line(fmt::format("{:<24} {:<32} {}", json_string(entry, "Name").value_or(""),
                                 json_string(entry, "Created").value_or(""), output::human_size(size)));
  }
  return 0;
}

Outcome<int> snapshot(Context& context, const Invocation& invocation) {
  const std::string& container = invocation.argument(0);
  CHECK(check_name(container));
  if (invocation.on("list")) return list_snapshots(context, container);
  std::string name = invocation.arguments().size() > 1 ? invocation.argument(1) : "";
  if (invocation.on("rm")) {
    if (name.empty()) return refuse("snapshot --rm needs the snapshot's name");
    CHECK(context.engine().call(
        {.method = "DELETE", .path = extension("containers", container, "snapshots") + "/" + name}));
    context.out.line(name);
    return 0;
  }
  if (name.empty()) name = name_of_now();
  CHECK(context.engine().call({.method = "POST",
                               .path = extension("containers", container, "snapshots"),
                               .query = Query().add("name", name)}));
  context.out.line(name);
  return 0;
}

Outcome<int> rollback(Context& context, const Invocation& invocation) {
  CHECK(check_name(invocation.argument(0)));
  CHECK(context.engine().call({.method = "POST",
                               .path = extension("containers", invocation.argument(0), "rollback"),
                               .query = Query().add("name", invocation.argument(1))}));
  context.out.line(invocation.argument(0));
  return 0;
}

Outcome<int> clone(Context& context, const Invocation& invocation) {
  CHECK(check_name(invocation.argument(0)));
  Query query;
  if (invocation.arguments().size() > 1) query.add("name", invocation.argument(1));
  TRY(auto reply, context.engine().call({.method = "POST",
                                         .path = extension("containers", invocation.argument(0), "clone"),
                                         .query = query}));
  TRY(Json made, parse_json(reply.body));
  for (const std::string& warning : json_strings(made, "Warnings").value_or(std::vector<std::string>()))
    context.warn(warning);
  context.out.line(json_string(made, "Id").value_or(""));
  return 0;
}

Outcome<int> change_volume(Context& context, const Invocation& invocation, std::string_view verb) {
  CHECK(check_name(invocation.argument(0)));
  CHECK(context.engine().call({.method = "POST",
                               .path = extension("volumes", invocation.argument(0), verb),
                               .query = Query().add("name", invocation.argument(1))}));
  context.out.line(invocation.argument(1));
  return 0;
}
Outcome<int> rename_volume(Context& context, const Invocation& invocation) {
  return change_volume(context, invocation, "rename");
}
Outcome<int> clone_volume(Context& context, const Invocation& invocation) {
  return change_volume(context, invocation, "clone");
}

Outcome<int> export_volume(Context& context, const Invocation& invocation) {
  CHECK(check_name(invocation.argument(0)));
  TRY(OutputFile file, OutputFile::open(context, invocation.text("output"), "export"));
  CHECK(context.engine().stream({.path = extension("volumes", invocation.argument(0), "archive")},
                                [&](std::string_view bytes) { return file.write(bytes); }));
  CHECK(file.commit());
  return 0;
}

Outcome<int> import_volume(Context& context, const Invocation& invocation) {
  CHECK(check_name(invocation.argument(0)));
  std::string source = invocation.arguments().size() > 1 ? invocation.argument(1) : "-";
  sys::UniqueFd file;
  if (source != "-") {
    TRY(file, open_input(source));
  } else if (::isatty(STDIN_FILENO) == 1) {
    return refuse("requested import from stdin, but stdin is a terminal");
  }
  client::Request request{.method = "PUT",
                          .path = extension("volumes", invocation.argument(0), "archive"),
                          .content_type = "application/x-tar"};
  auto ignore = [](std::string_view) -> Outcome<void> { return {}; };
  CHECK(context.engine().upload(request, content_of(file ? file.get() : STDIN_FILENO), ignore));
  context.out.line(invocation.argument(0));
  return 0;
}

constexpr std::array snapshot_flags{
    Flag{'l', "list", Type::Bool, "List the container's snapshots"},
    Flag{.name = "rm", .help = "Remove the snapshot"},
};
constexpr std::array export_flags{
    Flag{'o', "output", Type::String, "Write to this file instead of standard output"}};

}  // namespace

const Command snapshot_command{.usage = "[OPTIONS] CONTAINER [NAME]",
                               .summary = "Save what a container has written, to roll back to",
                               .flags = snapshot_flags,
                               .arity = grammar::between(1, 2),
                               .action = snapshot};
const Command rollback_command{.usage = "CONTAINER SNAPSHOT",
                               .summary = "Give a stopped container back the files of a snapshot",
                               .arity = grammar::exactly(2),
                               .action = rollback};
const Command clone_command{.usage = "CONTAINER [NAME]",
                            .summary = "Create a container with the settings and files of another",
                            .arity = grammar::between(1, 2),
                            .action = clone};
const Command rename_volume_command{.usage = "VOLUME NEW_NAME",
                                    .summary = "Rename a volume, also one that is in use",
                                    .arity = grammar::exactly(2),
                                    .action = rename_volume};
const Command clone_volume_command{.usage = "VOLUME NEW_NAME",
                                   .summary = "Make a copy of a volume",
                                   .arity = grammar::exactly(2),
                                   .action = clone_volume};
const Command export_volume_command{.usage = "[OPTIONS] VOLUME",
                                    .summary = "Write a volume's content to a tar archive",
                                    .flags = export_flags,
                                    .arity = grammar::exactly(1),
                                    .action = export_volume};
const Command import_volume_command{.usage = "VOLUME [FILE|-]",
                                    .summary = "Unpack a tar archive into a volume, making it if needed",
                                    .arity = grammar::between(1, 2),
                                    .action = import_volume};

}  // namespace berth::cli::commands
