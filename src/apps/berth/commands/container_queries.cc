// top, port, diff: what a container runs, publishes and has changed.
#include <algorithm>
#include <charconv>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/targets.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/output/table.h"
#include "apps/berth/output/units.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using client::path_of;
using grammar::Invocation;

Outcome<int> top(Context& context, const Invocation& invocation) {
  const auto& arguments = invocation.arguments();
  CHECK(check_name(arguments[0]));
  client::Query query;
  std::vector<std::string> ps_options(arguments.begin() + 1, arguments.end());
  query.add_unless_empty("ps_args", fmt::format("{}", fmt::join(ps_options, " ")));
  TRY(auto reply,
      context.engine().call({.path = path_of("containers", arguments[0], "top"), .query = query}));
  TRY(Json json, parse_json(reply.body));
  TRY(auto titles, json_strings(json, "Titles"));
  std::string text = fmt::format("{}\n", fmt::join(titles, "\t"));
  if (auto processes = json.find("Processes"); processes != json.end() && processes->is_array()) {
    for (const Json& process : *processes) {
      std::vector<std::string> cells;
      for (const Json& cell : process) {
        if (cell.is_string()) cells.push_back(output::printable(cell.get<std::string>()));
      }
      text += fmt::format("{}\n", fmt::join(cells, "\t"));
    }
  }
  context.out.write(output::align_columns(text, {.min_width = 20, .padding = 3}));
  return 0;
}

std::string host_address(const Json& binding) {
  std::string ip = json_string(binding, "HostIp").value_or("");
  std::string port = json_string(binding, "HostPort").value_or("");
  bool six = ip.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", six ? "[" : "", ip, six ? "]" : "", port);
}

Outcome<std::string> wanted_port(const std::string& argument) {
  size_t slash = argument.find('/');
  std::string number = argument.substr(0, slash);
  std::string protocol = slash == std::string::npos ? "" : argument.substr(slash + 1);
  uint16_t port = 0;
  auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), port);
  if (error != std::errc() || end != number.data() + number.size()) {
    return Failure::plain(fmt::format("Error: invalid port ({})", number));
  }
  return fmt::format("{}/{}", number, protocol.empty() ? "tcp" : protocol);
}

Outcome<int> port(Context& context, const Invocation& invocation) {
  const auto& arguments = invocation.arguments();
  CHECK(check_name(arguments[0]));
  TRY(auto reply, context.engine().call({.path = path_of("containers", arguments[0], "json")}));
  TRY(Json container, parse_json(reply.body));
  Json ports = container.value("/NetworkSettings/Ports"_json_pointer, Json::object());
  std::vector<std::string> lines;
  std::string wanted;
  if (arguments.size() > 1) {
    TRY(wanted, wanted_port(arguments[1]));
  }
  for (const auto& [inside, bindings] : ports.items()) {
    if (!wanted.empty() && inside != wanted) continue;
    for (const Json& binding : bindings) {
      lines.push_back(wanted.empty() ? fmt::format("{} -> {}", inside, host_address(binding))
                                     : host_address(binding));
    }
  }
  if (lines.empty() && !wanted.empty()) {
    return Failure::plain(
        fmt::format("Error: No public port '{}' published for {}", arguments[1], arguments[0]));
  }
  std::sort(lines.begin(), lines.end(), output::natural_less);
  for (const std::string& line : lines) context.out.line(line);
  return 0;
}

Outcome<int> diff(Context& context, const Invocation& invocation) {
  CHECK(check_name(invocation.argument(0)));
  TRY(auto reply, context.engine().call({.path = path_of("containers", invocation.argument(0), "changes")}));
  TRY(Json changes, parse_json(reply.body, {.max_bytes = 256u << 20}));
  constexpr std::string_view kinds = "CAD";
  for (const Json& change : changes) {
    int64_t kind = json_int(change, "Kind").value_or(0);
    char letter = kind >= 0 && kind < 3 ? kinds[static_cast<size_t>(kind)] : '?';
    context.out.print("{} {}\n", letter, json_string(change, "Path").value_or(""));
  }
  return 0;
}

}  // namespace

const Command top_command{.usage = "CONTAINER [ps OPTIONS]",
                          .summary = "Show the processes of a container",
                          .arity = grammar::at_least(1),
                          .action = top,
                          .placement = grammar::FlagPlacement::BeforeArguments};
const Command port_command{.usage = "CONTAINER [PRIVATE_PORT[/PROTO]]",
                           .summary = "List published ports of a container, or the addresses of one of them",
                           .arity = grammar::between(1, 2),
                           .action = port};
const Command diff_command{.usage = "CONTAINER",
                           .summary = "List files that a container has added (A), changed (C) or deleted (D)",
                           .arity = grammar::exactly(1),
                           .action = diff};

}  // namespace berth::cli::commands
