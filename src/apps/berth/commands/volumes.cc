// volume create, ls, rm.
#include <algorithm>
#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/container_rows.h"
#include "apps/berth/commands/targets.h"
#include "apps/berth/commands/volume_rows.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/options/filters.h"
#include "apps/berth/options/key_values.h"
#include "apps/berth/output/units.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using client::path_of;
using client::Query;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;
using grammar::Visibility;

Outcome<int> create(Context& context, const Invocation& invocation) {
  std::string name = invocation.text("name");
  if (!invocation.arguments().empty()) {
    if (!name.empty())
      return refuse(
          "conflicting options: cannot specify a volume-name through both --name and as a positional arg");
    name = invocation.argument(0);
  }
  Json body{{"Driver", invocation.text("driver")},
            {"DriverOpts", options::to_map(invocation.list("opt"))},
            {"Labels", options::to_map(invocation.list("label"))}};
  if (!name.empty()) body["Name"] = name;
  TRY(auto reply,
      context.engine().call({.method = "POST", .path = "/volumes/create", .body = to_json(body)}));
  TRY(Json volume, parse_json(reply.body));
  context.out.line(json_string(volume, "Name").value_or(""));
  return 0;
}

Outcome<int> list(Context& context, const Invocation& invocation) {
  std::string format = choose_format(context, invocation, "volumes",
                                     {.table = "table {{.Driver}}\t{{.Name}}",
                                      .raw = "name: {{.Name}}\ndriver: {{.Driver}}\n",
                                      .quiet = "{{.Name}}",
                                      .raw_quiet = "name: {{.Name}}"});
  TRY(Listing listing, Listing::create(format, volume_headings, "*formatter.volumeContext"));
  std::string filters = options::filters_json(options::parse_filters(invocation.list("filter")));
  TRY(auto reply,
      context.engine().call({.path = "/volumes", .query = Query().add_unless_empty("filters", filters)}));
  TRY(Json answer, parse_json(reply.body, {.max_bytes = 64u << 20}));
  std::vector<Json> volumes;
  if (auto found = answer.find("Volumes"); found != answer.end() && found->is_array()) {
    volumes.assign(found->begin(), found->end());
  }
  std::sort(volumes.begin(), volumes.end(), [](const Json& left, const Json& right) {
    return output::natural_less(json_string(left, "Name").value_or(""),
                                json_string(right, "Name").value_or(""));
  });
  for (const Json& volume : volumes) CHECK(listing.add(volume_row(volume)));
  context.out.write(listing.text());
  return 0;
}

Outcome<int> remove(Context& context, const Invocation& invocation) {
  Tally tally(context);
  for (const std::string& name : invocation.arguments()) {
    auto valid = check_name(name);
    if (!tally.accept(valid)) continue;
    auto reply = context.engine().call({.method = "DELETE",
                                        .path = path_of("volumes", name),
                                        .query = Query().flag("force", invocation.on("force"))});
    if (tally.accept(reply)) context.out.line(name);
  }
  return tally.exit_code();
}

constexpr std::array create_flags{
    Flag{'d', "driver", Type::String, "Driver of the volume", "local"},
    Flag{.name = "label",
         .type = Type::List,
         .help = "Label of the volume (key=value)",
         .check = options::check_label},
    Flag{.name = "name", .type = Type::String, .visibility = Visibility::Hidden},
    Flag{'o', "opt", Type::Map, "Option for the driver (key=value)"},
};
constexpr std::array list_flags{
    Flag{'f', "filter", Type::Filter, "Show only volumes that meet the condition (\"dangling=true\")"},
    Flag{.name = "format", .type = Type::String, .help = list_format_help},
    Flag{'q', "quiet", Type::Bool, "Show only the volumes' names"},
};
constexpr std::array remove_flags{
    Flag{'f', "force", Type::Bool, "Do not complain about volumes that are not there"}};

}  // namespace

const Headings volume_headings{
    {"ID", "ID"},
    {"Name", "VOLUME NAME"},
    {"Group", "GROUP"},
    {"Driver", "DRIVER"},
    {"Scope", "SCOPE"},
    {"Availability", "AVAILABILITY"},
    {"Mountpoint", "MOUNTPOINT"},
    {"Labels", "LABELS"},
    {"Links", "LINKS"},
    {"Size", "SIZE"},
    {"Status", "STATUS"},
};

RowFields volume_row(const Json& volume) {
  auto text = [&](std::string_view key) { return json_string(volume, key).value_or(""); };
  auto usage = volume.find("UsageData");
  bool known = usage != volume.end() && usage->is_object();
  RowFields row;
  row.emplace_back("Name", text("Name"));
  row.emplace_back("Driver", text("Driver"));
  row.emplace_back("Scope", text("Scope"));
  row.emplace_back("Mountpoint", text("Mountpoint"));
  row.emplace_back("Labels", labels_text(volume));
  row.emplace_back("Label", label_method(labels_of(volume)));
  row.emplace_back("Links",
                   known ? fmt::format("{}", json_int(*usage, "RefCount").value_or(0)) : std::string("N/A"));
  row.emplace_back("Size", known
                               ? output::human_size(static_cast<double>(json_int(*usage, "Size").value_or(0)))
                               : std::string("N/A"));
  for (const char* swarm : {"Group", "Availability", "Status"}) row.emplace_back(swarm, "N/A");
  return row;
}

const Command create_volume_command{.usage = "[OPTIONS] [VOLUME]",
                                    .summary = "Create a volume",
                                    .flags = create_flags,
                                    .arity = grammar::between(0, 1),
                                    .action = create};
const Command list_volumes_command{
    .usage = "[OPTIONS]", .summary = "List volumes", .flags = list_flags, .action = list};
const Command remove_volume_command{.usage = "[OPTIONS] VOLUME [VOLUME...]",
                                    .summary = "Remove volumes that no container uses",
                                    .flags = remove_flags,
                                    .arity = grammar::at_least(1),
                                    .action = remove};

}  // namespace berth::cli::commands
