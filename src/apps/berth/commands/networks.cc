// network create, ls, rm, connect, disconnect.
#include <algorithm>
#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/container_rows.h"
#include "apps/berth/commands/targets.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/options/filters.h"
#include "apps/berth/options/ip_address.h"
#include "apps/berth/options/ipam.h"
#include "apps/berth/options/key_values.h"
#include "apps/berth/options/links.h"
#include "apps/berth/output/units.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using client::path_of;
using client::Query;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

Outcome<int> create(Context& context, const Invocation& invocation) {
  TRY(Json ipam, options::ipam_config({.driver = invocation.text("ipam-driver"),
                                       .subnets = invocation.list("subnet"),
                                       .ranges = invocation.list("ip-range"),
                                       .gateways = invocation.list("gateway"),
                                       .auxiliary = options::to_map(invocation.list("aux-address")),
                                       .options = options::to_map(invocation.list("ipam-opt"))}));
  Json body{{"Name", invocation.argument(0)},
            {"Driver", invocation.text("driver")},
            {"CheckDuplicate", true},
            {"Options", options::to_map(invocation.list("opt"))},
            {"Labels", options::to_map(invocation.list("label"))},
            {"IPAM", ipam},
            {"Internal", invocation.on("internal")},
            {"Attachable", invocation.on("attachable")},
            {"Ingress", invocation.on("ingress")},
            {"ConfigOnly", invocation.on("config-only")},
            {"Scope", invocation.text("scope")}};
  if (invocation.given("ipv4")) body["EnableIPv4"] = invocation.on("ipv4");
  if (invocation.given("ipv6")) body["EnableIPv6"] = invocation.on("ipv6");
  if (std::string from = invocation.text("config-from"); !from.empty())
    body["ConfigFrom"] = {{"Network", from}};
  TRY(auto reply,
      context.engine().call({.method = "POST", .path = "/networks/create", .body = to_json(body)}));
  TRY(Json network, parse_json(reply.body));
  if (auto warning = json_string(network, "Warning"); warning && !warning->empty()) context.warn(*warning);
  context.out.line(json_string(network, "Id").value_or(""));
  return 0;
}

RowFields network_row(const Json& network, Truncate truncate) {
  auto text = [&](std::string_view key) { return json_string(network, key).value_or(""); };
  auto flag = [&](std::string_view key) {
    return json_bool(network, key).value_or(false) ? "true" : "false";
  };
  std::string id = text("Id");
  auto created = parse_rfc3339(text("Created"));
  RowFields row;
  row.emplace_back("ID", truncate == Truncate::Yes ? output::short_id(id) : id);
  row.emplace_back("Name", text("Name"));
  row.emplace_back("Driver", text("Driver"));
  row.emplace_back("Scope", text("Scope"));
  row.emplace_back("IPv4", flag("EnableIPv4"));
  row.emplace_back("IPv6", flag("EnableIPv6"));
  row.emplace_back("Internal", flag("Internal"));
  row.emplace_back("Labels", labels_text(network));
  row.emplace_back("Label", label_method(labels_of(network)));
  row.emplace_back("CreatedAt", created ? output::utc_time(*created) : text("Created"));
  return row;
}

Outcome<int> list(Context& context, const Invocation& invocation) {
  std::string format = choose_format(context, invocation, "networks",
                                     {.table = "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
                                      .raw = "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\n"
                                             "scope: {{.Scope}}\n",
                                      .raw_quiet = "network_id: {{.ID}}"});
  const Headings headings{{"ID", "NETWORK ID"}, {"Name", "NAME"},         {"Driver", "DRIVER"},
                          {"Scope", "SCOPE"},   {"IPv4", "IPV4"},         {"IPv6", "IPV6"},
                          {"Labels", "LABELS"}, {"Internal", "INTERNAL"}, {"CreatedAt", "CREATED AT"}};
  TRY(Listing listing, Listing::create(format, headings, "*network.networkContext"));
  std::string filters = options::filters_json(options::parse_filters(invocation.list("filter")));
  TRY(auto reply,
      context.engine().call({.path = "/networks", .query = Query().add_unless_empty("filters", filters)}));
  TRY(Json answer, parse_json(reply.body, {.max_bytes = 64u << 20}));
  std::vector<Json> networks(answer.begin(), answer.end());
  std::sort(networks.begin(), networks.end(), [](const Json& left, const Json& right) {
    return output::natural_less(json_string(left, "Name").value_or(""),
                                json_string(right, "Name").value_or(""));
  });
  Truncate truncate = invocation.on("no-trunc") ? Truncate::No : Truncate::Yes;
  for (const Json& network : networks) CHECK(listing.add(network_row(network, truncate)));
  context.out.write(listing.text());
  return 0;
}

Outcome<int> remove(Context& context, const Invocation& invocation) {
  Tally tally(context);
  for (const std::string& name : invocation.arguments()) {
    auto valid = check_name(name);
    if (!tally.accept(valid)) continue;
    auto reply = context.engine().call({.method = "DELETE", .path = path_of("networks", name)});
    if (!reply && invocation.on("force") && reply.error().not_found()) continue;
    if (tally.accept(reply)) context.out.line(name);
  }
  if (tally.exit_code() == 0) return 0;
  return Failure::plain("exit status 1");
}

Outcome<int> connect(Context& context, const Invocation& invocation) {
  CHECK(check_name(invocation.argument(0)));
  CHECK(check_name(invocation.argument(1)));
  Json ipam = Json::object();
  if (std::string ip = invocation.text("ip"); !ip.empty()) ipam["IPv4Address"] = ip;
  if (std::string ip = invocation.text("ip6"); !ip.empty()) ipam["IPv6Address"] = ip;
  if (auto local = invocation.list("link-local-ip"); !local.empty()) ipam["LinkLocalIPs"] = local;
  Json driver_options = Json::object();
  for (const auto& [name, value] : options::to_map(invocation.list("driver-opt")))
    driver_options[name] = value;
  Json endpoint{{"IPAMConfig", ipam},
                {"Links", invocation.list("link")},
                {"Aliases", invocation.list("alias")},
                {"DriverOpts", driver_options},
                {"GwPriority", invocation.number("gw-priority")}};
  Json body{{"Container", invocation.argument(1)}, {"EndpointConfig", endpoint}};
  CHECK(context.engine().call({.method = "POST",
                               .path = path_of("networks", invocation.argument(0), "connect"),
                               .body = to_json(body)}));
  return 0;
}

Outcome<int> disconnect(Context& context, const Invocation& invocation) {
  CHECK(check_name(invocation.argument(0)));
  CHECK(check_name(invocation.argument(1)));
  Json body{{"Container", invocation.argument(1)}, {"Force", invocation.on("force")}};
  CHECK(context.engine().call({.method = "POST",
                               .path = path_of("networks", invocation.argument(0), "disconnect"),
                               .body = to_json(body)}));
  return 0;
}

constexpr std::array create_flags{
    Flag{.name = "attachable", .help = "Let containers attach by hand"},
    Flag{.name = "aux-address", .type = Type::Map, .help = "Addresses to keep free (name=address)"},
    Flag{.name = "config-from", .type = Type::String, .help = "Network to copy the configuration from"},
    Flag{.name = "config-only", .help = "Create only a configuration"},
    Flag{'d', "driver", Type::String, "Driver of the network", "bridge"},
    Flag{.name = "gateway", .type = Type::Strings, .help = "Gateway of a subnet"},
    Flag{.name = "ingress", .help = "Create a routing-mesh network"},
    Flag{.name = "internal", .help = "No way out of the network"},
    Flag{.name = "ip-range",
         .type = Type::Strings,
         .help = "Give containers addresses from this part of a subnet"},
    Flag{.name = "ipam-driver",
         .type = Type::String,
         .help = "Driver of address management",
         .fallback = "default"},
    Flag{.name = "ipam-opt", .type = Type::Map, .help = "Option for the address management driver"},
    Flag{.name = "ipv4", .help = "Give containers IPv4 addresses", .fallback = "true"},
    Flag{.name = "ipv6", .help = "Give containers IPv6 addresses"},
    Flag{.name = "label",
         .type = Type::List,
         .help = "Label of the network (key=value)",
         .check = options::check_label},
    Flag{'o', "opt", Type::Map, "Option for the driver (key=value)"},
    Flag{.name = "scope", .type = Type::String, .help = "Scope of the network"},
    Flag{.name = "subnet", .type = Type::Strings, .help = "Subnet in CIDR form"},
};
constexpr std::array list_flags{
    Flag{'f', "filter", Type::Filter, "Show only networks that meet the condition (\"driver=bridge\")"},
    Flag{.name = "format", .type = Type::String, .help = list_format_help},
    Flag{.name = "no-trunc", .help = "Show ids in full"},
    Flag{'q', "quiet", Type::Bool, "Show only the networks' ids"},
};
constexpr std::array remove_flags{
    Flag{'f', "force", Type::Bool, "Do not complain about networks that are not there"}};
constexpr std::array connect_flags{
    Flag{.name = "alias", .type = Type::Strings, .help = "Further name of the container in this network"},
    Flag{.name = "driver-opt",
         .type = Type::Strings,
         .help = "Option for the driver (key=value)",
         .check = options::check_pair},
    Flag{.name = "gw-priority",
         .type = Type::Int,
         .help = "The network with the highest number gives the default gateway"},
    Flag{.name = "ip", .type = Type::String, .help = "IPv4 address (\"172.30.100.104\")"},
    Flag{.name = "ip6", .type = Type::String, .help = "IPv6 address (\"2001:db8::33\")"},
    Flag{.name = "link",
         .type = Type::List,
         .help = "Link to another container",
         .check = options::check_link},
    Flag{.name = "link-local-ip", .type = Type::Strings, .help = "Link-local address of the container"},
};
constexpr std::array disconnect_flags{
    Flag{'f', "force", Type::Bool, "Disconnect even if the container does not answer"}};

}  // namespace

const Command create_network_command{.usage = "[OPTIONS] NETWORK",
                                     .summary = "Create a network",
                                     .flags = create_flags,
                                     .arity = grammar::exactly(1),
                                     .action = create};
const Command list_networks_command{
    .usage = "[OPTIONS]", .summary = "List networks", .flags = list_flags, .action = list};
const Command remove_network_command{.usage = "NETWORK [NETWORK...]",
                                     .summary = "Remove one or more networks",
                                     .flags = remove_flags,
                                     .arity = grammar::at_least(1),
                                     .action = remove};
const Command connect_network_command{.usage = "[OPTIONS] NETWORK CONTAINER",
                                      .summary = "Connect a container to a network",
                                      .flags = connect_flags,
                                      .arity = grammar::exactly(2),
                                      .action = connect};
const Command disconnect_network_command{.usage = "[OPTIONS] NETWORK CONTAINER",
                                         .summary = "Disconnect a container from a network",
                                         .flags = disconnect_flags,
                                         .arity = grammar::exactly(2),
                                         .action = disconnect};

}  // namespace berth::cli::commands
