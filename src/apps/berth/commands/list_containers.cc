// ps.
#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/container_rows.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/options/filters.h"
#include "base/json.h"
#include "base/json_elements.h"

namespace berth::cli::commands {
namespace {

using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

constexpr std::string_view table =
    "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";
constexpr std::string_view raw =
    "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\n"
    "state: {{- pad .State 1 0}}\nstatus: {{- pad .Status 1 0}}\nnames: {{.Names}}\nlabels: {{- pad .Labels "
    "1 0}}\n"
    "ports: {{- pad .Ports 1 0}}\n";

Outcome<int> list(Context& context, const Invocation& invocation) {
  std::string format = choose_format(context, invocation, "ps",
                                     {.table = table, .raw = raw, .raw_quiet = "container_id: {{.ID}}"});
  bool size = invocation.on("size");
  if (size && format == table) format += "\t{{.Size}}";
  if (size && format == raw) format += "size: {{.Size}}\n";
  TRY(Listing listing, Listing::create(format, container_headings, "*formatter.ContainerContext"));

  options::Filters filters = options::parse_filters(invocation.list("filter"));
  int64_t last = invocation.number("last");
  if (invocation.on("latest") && last == -1) last = 1;
  client::Query query;
  query.flag("all", invocation.on("all"));
  if (last > 0) query.add("limit", fmt::format("{}", last));
  // A template that shows the size asks for it, unless the flag says otherwise.
  bool wants_size = invocation.given("size") ? size : (!invocation.on("quiet") && listing.mentions("Size"));
  if (format == "{{json .}}") wants_size = invocation.given("size") ? size : true;
  query.flag("size", wants_size);
  query.add_unless_empty("filters", options::filters_json(filters));

  TRY(auto reply, context.engine().call({.path = "/containers/json", .query = query}));
  Truncate truncate = invocation.on("no-trunc") ? Truncate::No : Truncate::Yes;
  Timestamp time = now();
  RowDetail detail = format == table ? RowDetail::Table : RowDetail::All;
  Outcome<void> listed;
  auto add = [&](Json&& container) -> Result<void> {
    if (listed) listed = listing.add(container_row(container, truncate, time, detail));
    return {};
  };
  CHECK(for_each_element(reply.body, {.max_bytes = 256u << 20}, add));
  CHECK(listed);
  context.out.write(listing.text());
  return 0;
}

constexpr std::array flags{
    Flag{'a', "all", Type::Bool, "Show all containers, not only running ones"},
    Flag{'f', "filter", Type::Filter, "Show only containers that meet the condition"},
    Flag{.name = "format", .type = Type::String, .help = list_format_help},
    Flag{'n', "last", Type::Int, "Show the n containers made last, in any state", "-1"},
    Flag{'l', "latest", Type::Bool, "Show the container made last, in any state"},
    Flag{.name = "no-trunc", .help = "Show ids, commands and names in full"},
    Flag{'q', "quiet", Type::Bool, "Show only the containers' ids"},
    Flag{'s', "size", Type::Bool, "Show sizes on disk"},
};

}  // namespace

const Command list_containers_command{
    .usage = "[OPTIONS]", .summary = "List containers", .flags = flags, .action = list};

}  // namespace berth::cli::commands
