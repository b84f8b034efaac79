// update --publish, --unpublish, --mount-add, --mount-rm, --env, --network-add.
#include "apps/berth/commands/live_update.h"

#include "apps/berth/options/key_values.h"
#include "apps/berth/options/mounts.h"
#include "apps/berth/options/ports.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using client::path_of;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

Json ports_json(const options::Ports& ports) {
  Json object = Json::object();
  for (const auto& [port, bindings] : ports.bindings) {
    Json list = Json::array();
    for (const auto& binding : bindings) {
      // "-p 80" alone leaves host and port open: for --unpublish that means every binding of the port.
      list.push_back({{"HostIp", binding.host_ip}, {"HostPort", binding.host_port}});
    }
    object[port] = std::move(list);
  }
  return object;
}

}  // namespace

const std::array<Flag, 6> live_update_flags{
    Flag{.name = "env",
         .type = Type::List,
         .help = "Set (NAME=value) or remove (NAME) an environment variable, from the next start on"},
    Flag{.name = "mount-add", .type = Type::Mount, .help = "Mount something into the running container"},
    Flag{.name = "mount-rm", .type = Type::List, .help = "Take the mount at this path away"},
    Flag{.name = "network-add", .type = Type::List, .help = "Connect to a network"},
    Flag{'p', "publish", Type::List, "Publish a port of the running container"},
    Flag{.name = "unpublish", .type = Type::List, .help = "End publishing: PORT[/PROTOCOL] or HOSTPORT:PORT"},
};

Outcome<Json> live_update_body(const Invocation& invocation) {
  Json body = Json::object();
  if (invocation.given("publish")) {
    TRY(auto ports, options::parse_ports(invocation.list("publish"), {}));
    body["Publish"] = ports_json(ports);
  }
  if (invocation.given("unpublish")) {
    TRY(auto ports, options::parse_ports(invocation.list("unpublish"), {}));
    body["Unpublish"] = ports_json(ports);
  }
  for (const std::string& text : invocation.list("mount-add")) {
    TRY(Json mount, options::parse_mount(text));
    body["Mounts"].push_back(std::move(mount));
  }
  for (const std::string& path : invocation.list("mount-rm")) body["Unmount"].push_back(path);
  for (const std::string& entry : invocation.list("env")) body["Env"].push_back(entry);
  if (body.empty()) return Json(nullptr);
  return body;
}

Outcome<void> send_live_update(Context& context, const Invocation& invocation, const Json& body,
                               const std::string& container, std::vector<std::string>& said) {
  for (const std::string& network : invocation.list("network-add")) {
    Json request = {{"Container", container}};
    CHECK(context.engine().call(
        {.method = "POST", .path = path_of("networks", network, "connect"), .body = to_json(request)}));
  }
  if (body.is_null()) return {};
  TRY(auto reply, context.engine().call({.method = "POST",
                                         .path = "/berth" + path_of("containers", container, "update"),
                                         .body = to_json(body)}));
  TRY(Json answer, parse_json(reply.body));
  TRY(auto warnings, json_strings(answer, "Warnings"));
  said.insert(said.end(), warnings.begin(), warnings.end());
  return {};
}

}  // namespace berth::cli::commands
