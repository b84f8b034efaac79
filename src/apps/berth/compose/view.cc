// top, port, events, stats, version.
#include <algorithm>
#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/compose/images.h"
#include "apps/berth/compose/provider.h"
#include "apps/berth/compose/request.h"
#include "apps/berth/compose/subcommand.h"
#include "apps/berth/options/moment.h"
#include "apps/berth/output/progress.h"
#include "apps/berth/output/table.h"
#include "apps/berth/output/units.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

using client::path_of;
using client::Query;
using grammar::Command;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;
using grammar::Visibility;

std::string text(const Json& json, std::string_view key) {
  return json_string(json, key).value_or("");
}

/// Processes of all containers in one table, whose columns are those that any of the containers has.
class ProcessTable {
 public:
  Outcome<void> add(const Observed& container, const Json& listed) {
    TRY(auto titles, json_strings(listed, "Titles"));
    for (const std::string& title : titles)
      if (std::find(titles_.begin(), titles_.end(), title) == titles_.end()) titles_.push_back(title);
    const Json* processes = json_member(listed, "Processes");
    for (const Json& process : processes == nullptr ? Json::array() : *processes) {
      std::map<std::string, std::string> row{{"SERVICE", container.service},
                                             {"#", fmt::format("{}", container.number)}};
      for (size_t i = 0; i < std::min(titles.size(), process.size()); ++i)
        if (process[i].is_string()) row[titles[i]] = process[i].get<std::string>();
      rows_.push_back(std::move(row));
    }
    return {};
  }

  std::string text() {
    if (rows_.empty()) return "";
    // The command stands last: it may be long.
    std::stable_partition(titles_.begin(), titles_.end(), [](const auto& title) { return title != "CMD"; });
    std::string table = fmt::format("{}\n", fmt::join(titles_, "\t"));
    for (auto& row : rows_) {
      std::vector<std::string> cells;
      for (const std::string& title : titles_) cells.push_back(row.contains(title) ? row[title] : "-");
      table += fmt::format("{}\n", fmt::join(cells, "\t"));
    }
    return output::align_columns(table);
  }

 private:
  std::vector<std::string> titles_{"SERVICE", "#"};
  std::vector<std::map<std::string, std::string>> rows_;
};

Outcome<int> top(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  TRY(auto containers, chosen_containers(*session, invocation.arguments()));
  ProcessTable table;
  for (const Observed& container : containers) {
    if (!container.running()) continue;
    TRY(const Json listed,
        call_json(setup.context.engine(), "GET", path_of("containers", container.id, "top")));
    CHECK(table.add(container, listed));
  }
  setup.context.out.write(table.text());
  return 0;
}

Outcome<int> port(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name({invocation.argument(0)}));
  int64_t index = invocation.given("index") ? invocation.number("index") : 0;
  TRY(Observed container, session->container(invocation.argument(0), index));
  TRY(Json json, call_json(setup.context.engine(), "GET", path_of("containers", container.id, "json")));
  std::string wanted = fmt::format("{}/{}", invocation.argument(1), invocation.text("protocol"));
  const Json* settings = json_member(json, "NetworkSettings");
  const Json* ports = settings == nullptr ? nullptr : json_member(*settings, "Ports");
  const Json* bindings = ports == nullptr ? nullptr : json_member(*ports, wanted);
  if (bindings == nullptr || bindings->empty()) {
    return Failure::plain(fmt::format("no port {} for container {}", wanted, container.name));
  }
  std::string address = text((*bindings)[0], "HostIp");
  if (address.find(':') != std::string::npos) address = "[" + address + "]";
  setup.context.out.print("{}:{}\n", address, text((*bindings)[0], "HostPort"));
  return 0;
}

Outcome<int> events(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  Query query;
  query.add("filters",
            to_json(Json{{"type", {"container"}},
                         {"label", {fmt::format("{}={}", label_project, session->project.name)}}}));
  Timestamp time = now();
  TRY(std::string since, options::api_time(invocation.text("since"), time));
  TRY(std::string until, options::api_time(invocation.text("until"), time));
  query.add_unless_empty("since", since).add_unless_empty("until", until);
  output::JsonCutter cutter;
  const auto& services = invocation.arguments();
  CHECK(setup.context.engine().stream(
      {.path = "/events", .query = query}, [&](std::string_view bytes) -> Outcome<void> {
        return cutter.feed(bytes, [&](std::string_view one) -> Outcome<void> {
          TRY(Json event, parse_json(one));
          const Json* actor = json_member(event, "Actor");
          const Json* attributes = actor == nullptr ? nullptr : json_member(*actor, "Attributes");
          if (attributes == nullptr) return {};
          std::string service = text(*attributes, label_service);
          if (!services.empty() && std::find(services.begin(), services.end(), service) == services.end())
            return {};
          Json shown = Json::object();
          for (const auto& [key, value] : attributes->items()) {
            if (!key.starts_with("com.docker.compose.")) shown[key] = value;
          }
          Timestamp at = from_unix_nanoseconds(json_int(event, "timeNano").value_or(0));
          if (invocation.on("json")) {
            setup.context.out.line(to_json(Json{{"time", output::local_rfc3339(at)},
                                                {"type", "container"},
                                                {"service", service},
                                                {"id", text(*actor, "ID")},
                                                {"action", text(event, "Action")},
                                                {"attributes", shown}}));
          } else {
            std::string pairs;
            for (const auto& [key, value] : shown.items())
              pairs += fmt::format("{}{}={}", pairs.empty() ? "" : ", ", key, value.get<std::string>());
            setup.context.out.print("{} container {} {} ({})\n", output::local_rfc3339(at),
                                    text(event, "Action"), text(*actor, "ID"), pairs);
          }
          setup.context.out.flush();
          return {};
        });
      }));
  return 0;
}

Outcome<int> version(Setup& setup, const Invocation& invocation) {
  if (invocation.on("short"))
    setup.context.out.line(BERTH_VERSION);
  else if (invocation.text("format") == "json")
    setup.context.out.print("{{\"version\":\"v{}\"}}\n", BERTH_VERSION);
  else
    setup.context.out.print("Berth Compose version v{}\n", BERTH_VERSION);
  return 0;
}

Outcome<int> stats(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  TRY(auto containers, chosen_containers(*session, invocation.arguments()));
  std::vector<std::string> words;
  for (std::string_view flag : {"no-stream", "no-trunc"})
    if (invocation.on(flag)) words.push_back(fmt::format("--{}", flag));
  if (invocation.given("format")) words.push_back("--format=" + invocation.text("format"));
  const size_t flags = words.size();
  for (const Observed& container : containers) {
    if (container.running() || invocation.on("all")) words.push_back(container.name);
  }
  if (words.size() == flags) return 0;
  return perform(setup.context, commands::stats_command, "stats", words);
}

constexpr std::array port_flags{
    Flag{.name = "index", .type = Type::Int, .help = "Number of the container"},
    Flag{.name = "protocol", .type = Type::String, .help = "tcp or udp", .fallback = "tcp"},
};
constexpr std::array events_flags{
    Flag{.name = "json", .help = "One JSON object per event"},
    Flag{.name = "since", .type = Type::String, .help = "Show events since this time"},
    Flag{.name = "until", .type = Type::String, .help = "Show events until this time"},
};
constexpr std::array version_flags{
    Flag{'f', "format", Type::String, "pretty or json"},
    Flag{.name = "short", .help = "The number alone"},
};
constexpr std::array stats_flags{
    Flag{'a', "all", Type::Bool, "Show containers that do not run, too"},
    Flag{.name = "format", .type = Type::String, .help = "table, json or a template"},
    Flag{.name = "no-stream", .help = "Print once"},
    Flag{.name = "no-trunc", .help = "Show ids in full"},
};

constexpr std::string_view services = "[OPTIONS] [SERVICE...]";
constexpr auto any = grammar::at_least(0);
constexpr Command top_command{.usage = "[SERVICE...]", .summary = "Show processes", .arity = any};
constexpr Command port_command{.usage = "[OPTIONS] SERVICE PRIVATE_PORT",
                               .summary = "Print where a port is published",
                               .flags = port_flags,
                               .arity = grammar::exactly(2)};
constexpr Command events_command{
    .usage = services, .summary = "Print events as they come", .flags = events_flags, .arity = any};
constexpr Command version_command{
    .usage = "[OPTIONS]", .summary = "Print the version", .flags = version_flags};
constexpr Command stats_command{
    .usage = services, .summary = "Show what containers use", .flags = stats_flags, .arity = any};

constexpr std::array table{
    Subcommand{"top", &top_command, top},
    Subcommand{"port", &port_command, port},
    Subcommand{"events", &events_command, events},
    Subcommand{"stats", &stats_command, stats},
    Subcommand{"version", &version_command, version},
};

}  // namespace

std::span<const Subcommand> view_subcommands() {
  return table;
}

}  // namespace berth::cli::compose
