// ps, ls, volumes: lists of what belongs to a project, and of projects.
#include <regex.h>

#include <algorithm>
#include <array>

#include "apps/berth/commands/container_rows.h"
#include "apps/berth/commands/volume_rows.h"
#include "apps/berth/compose/request.h"
#include "apps/berth/compose/subcommand.h"
#include "apps/berth/gotemplate/document.h"
#include "apps/berth/output/table.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

using client::Query;
using grammar::Command;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

std::string text(const Json& json, std::string_view key) {
  return json_string(json, key).value_or("");
}

std::string label_of(const Json& container, std::string_view key) {
  const Json* labels = json_member(container, "Labels");
  return labels == nullptr ? std::string() : text(*labels, key);
}

bool contains(const std::vector<std::string>& list, const std::string& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

bool is_alive(const std::string& state) {
  return state == "running" || state == "paused" || state == "restarting";
}

constexpr std::string_view container_table =
    "table {{.Name}}\t{{.Image}}\t{{.Command}}\t{{.Service}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}";

/// Those of the container command's list, and what compose knows besides.
commands::Headings headings() {
  commands::Headings all = commands::container_headings;
  for (auto [field, heading] :
       {std::pair{"Name", "NAME"}, {"Project", "PROJECT"}, {"Service", "SERVICE"}, {"Health", "HEALTH"}})
    all.emplace_back(field, heading);
  return all;
}

std::string name_of(const Json& container) {
  auto names = json_strings(container, "Names").value_or(std::vector<std::string>());
  for (const std::string& name : names) {
    if (name.find('/', 1) == std::string::npos) return name.substr(name.starts_with('/') ? 1 : 0);
  }
  return "";
}

/// "Up 3 seconds (healthy)"
std::string health_of(const std::string& status) {
  for (std::string_view word : {"healthy", "unhealthy", "health: starting"}) {
    if (status.find(fmt::format("({})", word)) != std::string::npos)
      return std::string(word == "health: starting" ? "starting" : word);
  }
  return "";
}

/// "Exited (3) 2 minutes ago"
int64_t exit_code_of(const std::string& status) {
  const size_t open = status.find("Exited (");
  return open == std::string::npos ? 0 : std::atoll(status.c_str() + open + 8);
}

Json publishers_of(const Json& container) {
  Json publishers = Json::array();
  const Json* ports = json_member(container, "Ports");
  for (const Json& port : ports == nullptr ? Json::array() : *ports) {
    publishers.push_back({{"URL", text(port, "IP")},
                          {"TargetPort", json_int(port, "PrivatePort").value_or(0)},
                          {"PublishedPort", json_int(port, "PublicPort").value_or(0)},
                          {"Protocol", text(port, "Type")}});
  }
  auto order = [](const Json& port) {
    return std::tuple(port["TargetPort"].get<int64_t>(), port["Protocol"].get<std::string>(),
                      port["PublishedPort"].get<int64_t>(), port["URL"].get<std::string>());
  };
  std::sort(publishers.begin(), publishers.end(),
            [&](const Json& a, const Json& b) { return order(a) < order(b); });
  return publishers;
}

Result<commands::RowFields> row_of(const Session& session, const Json& container,
                                   const Invocation& invocation) {
  const auto truncate = invocation.on("no-trunc") ? commands::Truncate::No : commands::Truncate::Yes;
  commands::RowFields row = commands::container_row(container, truncate, now());
  std::erase_if(row, [](const auto& field) { return field.first == "Platform"; });
  const std::string status = text(container, "Status");
  row.emplace_back("Name", name_of(container));
  row.emplace_back("Project", session.project.name);
  row.emplace_back("Service", label_of(container, label_service));
  row.emplace_back("Health", health_of(status));
  row.emplace_back("ExitCode", exit_code_of(status));
  TRY(auto publishers,
      gotemplate::parse_document(to_json(publishers_of(container)), gotemplate::Typing::Typed));
  row.emplace_back("Publishers", std::move(publishers));
  return row;
}

/// Containers that are asked for, by name.
Outcome<std::vector<Json>> listed_containers(Session& session, const Invocation& invocation) {
  Query query;
  query.add("all", "1").add("filters", label_filter(session.project.name));
  TRY(Json list, call_json(session.context.engine(), "GET", "/containers/json", std::move(query)));
  auto statuses = invocation.list("status");
  for (const std::string& filter : invocation.list("filter")) {
    if (!filter.starts_with("status="))
      return refuse("unknown filter \"{}\": only status=... is known", filter);
    statuses.push_back(filter.substr(7));
  }
  const auto& services = invocation.arguments();
  const bool all = invocation.on("all") || !statuses.empty();
  std::vector<Json> result;
  for (Json& container : list) {
    const std::string service = label_of(container, label_service), state = text(container, "State");
    const bool orphan = !session.project.files.empty() && !session.project.services.contains(service) &&
                        !session.project.disabled.contains(service);
    if (label_of(container, label_one_off) == "True" && !all) continue;
    if (orphan && !invocation.on("orphans")) continue;
    if (!statuses.empty() && !contains(statuses, state)) continue;
    if (!all && !is_alive(state)) continue;
    if (!services.empty() && !contains(services, service)) continue;
    result.push_back(std::move(container));
  }
  std::sort(result.begin(), result.end(),
            [](const Json& a, const Json& b) { return name_of(a) < name_of(b); });
  return result;
}

Outcome<int> list_containers(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  CHECK(require_services(*session, invocation.arguments()));
  TRY(auto containers, listed_containers(*session, invocation));
  output::Stream& out = setup.context.out;
  if (invocation.on("quiet")) {
    for (const Json& container : containers) out.line(text(container, "Id"));
    return 0;
  }
  if (invocation.on("services")) {
    std::set<std::string> names;
    for (const Json& container : containers) names.insert(label_of(container, label_service));
    for (const std::string& name : names) out.line(name);
    return 0;
  }
  std::string format = invocation.text("format");
  if (format.empty() || format == "table") format = container_table;
  TRY(auto listing, commands::Listing::create(format, headings(), "*formatter.ContainerContext"));
  for (const Json& container : containers) {
    TRY(auto row, row_of(*session, container, invocation));
    CHECK(listing.add(std::move(row)));
  }
  out.write(listing.text());
  return 0;
}

/// Whether `name` is `pattern`, or matches it as a regular expression: docker's rule for names.
bool name_matches(const std::string& pattern, const std::string& name) {
  if (pattern == name) return true;
  regex_t expression;
  if (::regcomp(&expression, pattern.c_str(), REG_EXTENDED | REG_NOSUB) != 0) return false;
  const bool matches = ::regexec(&expression, name.c_str(), 0, nullptr, 0) == 0;
  ::regfree(&expression);
  return matches;
}

Outcome<std::vector<std::string>> name_filters(const Invocation& invocation) {
  std::vector<std::string> patterns;
  for (const std::string& filter : invocation.list("filter")) {
    if (!filter.starts_with("name=")) return refuse("unknown filter \"{}\": only name=... is known", filter);
    patterns.push_back(filter.substr(5));
  }
  return patterns;
}

struct SeenProject {
  std::map<std::string, int> states;
  std::vector<std::string> files;

  /// "exited(1), running(2)"
  std::string status() const {
    std::string status;
    for (const auto& [state, count] : states)
      status += fmt::format("{}{}({})", status.empty() ? "" : ", ", state, count);
    return status;
  }

  void add_files(const std::string& list) {
    for (size_t start = 0; start <= list.size();) {
      const size_t end = std::min(list.find(',', start), list.size());
      const std::string file = list.substr(start, end - start);
      if (!contains(files, file)) files.push_back(file);
      start = end + 1;
    }
  }
};

Outcome<int> list_projects(Setup& setup, const Invocation& invocation) {
  TRY(auto patterns, name_filters(invocation));
  const std::string format = invocation.text("format");
  if (format != "table" && format != "json")
    return refuse("format \"{}\": berth compose ls has table and json", format);
  Query query;
  query.flag("all", invocation.on("all")).add("filters", to_json(Json{{"label", {label_project}}}));
  TRY(Json list, call_json(setup.context.engine(), "GET", "/containers/json", std::move(query)));
  std::map<std::string, SeenProject> projects;
  for (const Json& container : list) {
    const std::string name = label_of(container, label_project);
    const bool wanted =
        patterns.empty() || std::any_of(patterns.begin(), patterns.end(),
                                        [&](const auto& pattern) { return name_matches(pattern, name); });
    if (!wanted) continue;
    SeenProject& seen = projects[name];
    ++seen.states[text(container, "State")];
    seen.add_files(label_of(container, label_files));
  }
  Json all = Json::array();
  std::string table = "NAME\tSTATUS\tCONFIG FILES\n";
  for (const auto& [name, seen] : projects) {
    const std::string files = fmt::format("{}", fmt::join(seen.files, ","));
    table += fmt::format("{}\t{}\t{}\n", name, seen.status(), files);
    all.push_back({{"Name", name}, {"Status", seen.status()}, {"ConfigFiles", files}});
    if (invocation.on("quiet")) setup.context.out.line(name);
  }
  if (invocation.on("quiet")) return 0;
  if (format == "json")
    setup.context.out.line(to_json(all));
  else
    setup.context.out.write(output::align_columns(table));
  return 0;
}

Outcome<int> volumes(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  TRY(auto containers, chosen_containers(*session, invocation.arguments()));
  std::set<std::string> mounted;
  for (const Observed& container : containers)
    mounted.insert(container.volumes.begin(), container.volumes.end());
  Query query;
  query.add("filters", label_filter(session->project.name));
  TRY(Json answer, call_json(setup.context.engine(), "GET", "/volumes", std::move(query)));
  std::map<std::string, Json> wanted;
  const Json* all = json_member(answer, "Volumes");
  for (const Json& volume : all == nullptr ? Json::array() : *all) {
    const std::string name = text(volume, "Name");
    if (invocation.arguments().empty() || mounted.contains(name)) wanted.emplace(name, volume);
  }
  std::string format = invocation.text("format");
  if (format.empty() || format == "table") format = "table {{.Driver}}\t{{.Name}}";
  if (invocation.on("quiet")) format = "{{.Name}}";
  TRY(auto listing, commands::Listing::create(format, commands::volume_headings, "*formatter.volumeContext"));
  for (const auto& [name, volume] : wanted) CHECK(listing.add(commands::volume_row(volume)));
  setup.context.out.write(listing.text());
  return 0;
}

constexpr std::array ps_flags{
    Flag{'a', "all", Type::Bool, "Show stopped containers, too"},
    Flag{.name = "filter",
         .type = Type::List,
         .help = "Show only containers with this status (status=running)"},
    Flag{.name = "format", .type = Type::String, .help = commands::list_format_help},
    Flag{.name = "no-trunc", .help = "Show ids and commands in full"},
    Flag{.name = "orphans",
         .help = "Show containers of services that the file does not have",
         .fallback = "true"},
    Flag{'q', "quiet", Type::Bool, "Print ids alone"},
    Flag{.name = "services", .help = "Print names of services"},
    Flag{.name = "status", .type = Type::List, .help = "Show only containers with this status"},
};
constexpr std::array ls_flags{
    Flag{'a', "all", Type::Bool, "Show stopped projects, too"},
    Flag{.name = "filter", .type = Type::List, .help = "Show only projects of this name (name=...)"},
    Flag{.name = "format", .type = Type::String, .help = "table or json", .fallback = "table"},
    Flag{'q', "quiet", Type::Bool, "Print names alone"},
};
constexpr std::array volumes_flags{
    Flag{.name = "format", .type = Type::String, .help = commands::list_format_help},
    Flag{'q', "quiet", Type::Bool, "Print names alone"},
};

constexpr std::string_view services = "[OPTIONS] [SERVICE...]";
constexpr auto any = grammar::at_least(0);
constexpr Command ps_command{
    .usage = services, .summary = "List containers", .flags = ps_flags, .arity = any};
constexpr Command ls_command{.usage = "[OPTIONS]", .summary = "List projects that run", .flags = ls_flags};
constexpr Command volumes_command{
    .usage = services, .summary = "List the project's volumes", .flags = volumes_flags, .arity = any};

constexpr std::array table{
    Subcommand{"ps", &ps_command, list_containers},
    Subcommand{"ls", &ls_command, list_projects},
    Subcommand{"volumes", &volumes_command, volumes},
};

}  // namespace

std::span<const Subcommand> list_subcommands() {
  return table;
}

}  // namespace berth::cli::compose
