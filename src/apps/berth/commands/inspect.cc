// inspect, and the inspecting commands of containers, images, volumes and networks.
#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/inspecting.h"
#include "apps/berth/commands/listing.h"
#include "apps/berth/commands/platform.h"
#include "apps/berth/commands/targets.h"
#include "apps/berth/grammar/invocation.h"

namespace berth::cli::commands {
namespace {

using client::image_path;
using client::path_of;
using client::Query;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

Outcome<std::string> fetch(Context& context, client::Request request) {
  TRY(auto reply, context.engine().call(request));
  return std::move(reply.body);
}

Outcome<std::string> fetch_container(Context& context, const std::string& name, bool size) {
  CHECK(check_name(name));
  return fetch(context, {.path = path_of("containers", name, "json"), .query = Query().flag("size", size)});
}

Outcome<std::string> fetch_image(Context& context, const std::string& name,
                                 const std::string& platform_json) {
  CHECK(check_name(name));
  return fetch(
      context,
      {.path = image_path(name, "json"),
       .query =
           Query().flag("manifests", platform_json.empty()).add_unless_empty("platform", platform_json)});
}

Outcome<std::string> fetch_network(Context& context, const std::string& name, bool verbose) {
  CHECK(check_name(name));
  return fetch(context, {.path = path_of("networks", name), .query = Query().flag("verbose", verbose)});
}

Outcome<std::string> fetch_volume(Context& context, const std::string& name) {
  CHECK(check_name(name));
  return fetch(context, {.path = path_of("volumes", name)});
}

Outcome<int> inspect_containers(Context& context, const Invocation& invocation) {
  return inspect_each(
      context, invocation.arguments(), invocation.text("format"),
      [&](const std::string& name) { return fetch_container(context, name, invocation.on("size")); });
}

Outcome<int> inspect_images(Context& context, const Invocation& invocation) {
  TRY(std::string platform, platform_json(invocation.text("platform")));
  return inspect_each(context, invocation.arguments(), invocation.text("format"),
                      [&](const std::string& name) { return fetch_image(context, name, platform); });
}

Outcome<int> inspect_networks(Context& context, const Invocation& invocation) {
  return inspect_each(
      context, invocation.arguments(), invocation.text("format"),
      [&](const std::string& name) { return fetch_network(context, name, invocation.on("verbose")); });
}

Outcome<int> inspect_volumes(Context& context, const Invocation& invocation) {
  return inspect_each(context, invocation.arguments(), invocation.text("format"),
                      [&](const std::string& name) { return fetch_volume(context, name); });
}

enum class Kind { Container, Image, Network, Volume };
struct KindName {
  Kind kind;
  std::string_view name;
};
/// In the order in which a name without --type is looked for.
constexpr std::array kinds{KindName{Kind::Container, "container"}, KindName{Kind::Image, "image"},
                           KindName{Kind::Network, "network"}, KindName{Kind::Volume, "volume"}};

Outcome<std::string> fetch_kind(Context& context, Kind kind, const std::string& name, bool size) {
  switch (kind) {
    case Kind::Container:
      return fetch_container(context, name, size);
    case Kind::Image:
      return fetch_image(context, name, "");
    case Kind::Network:
      return fetch_network(context, name, false);
    case Kind::Volume:
      return fetch_volume(context, name);
  }
  return refuse("unknown type");
}

/// Not an answer about this kind of object: the next kind is tried.
bool skippable(const Failure& failure) {
  return failure.not_found() || failure.message.find("not supported") != std::string::npos ||
         failure.message.find("invalid reference format") != std::string::npos;
}

Outcome<int> inspect(Context& context, const Invocation& invocation) {
  std::string type = invocation.text("type");
  if (invocation.given("type") && type.empty())
    return refuse(
        "type is empty: must be one of \"config\", \"container\", \"image\", \"network\", \"node\", "
        "\"plugin\", \"secret\", \"service\", \"task\", \"volume\"");
  bool known = type.empty();
  for (const KindName& kind : kinds) known = known || kind.name == type;
  if (!known) {
    constexpr std::array swarm{"config", "node", "plugin", "secret", "service", "task"};
    for (std::string_view other : swarm) {
      if (type == other) return refuse("berth has no objects of type \"{}\"", type);
    }
    return refuse("unknown type: \"{}\": must be one of \"container\", \"image\", \"network\", \"volume\"",
                  type);
  }
  bool size = invocation.on("size");
  return inspect_each(context, invocation.arguments(), invocation.text("format"),
                      [&](const std::string& name) -> Outcome<std::string> {
                        for (const KindName& kind : kinds) {
                          if (!type.empty() && kind.name != type) continue;
                          auto document = fetch_kind(context, kind.kind, name, size);
                          if (!document && type.empty() && skippable(document.error())) continue;
                          if (document && size && kind.kind != Kind::Container) {
                            context.warn(fmt::format("--size ignored for {}", kind.name));
                          }
                          return document;
                        }
                        return Failure::plain(fmt::format("Error: No such object: {}", name));
                      });
}

constexpr Flag format_flag{'f', "format", Type::String, inspect_format_help};
constexpr Flag size_flag{'s', "size", Type::Bool, "Show sizes on disk too"};
constexpr std::array inspect_flags{
    format_flag,
    Flag{'s', "size", Type::Bool, "Show sizes on disk too, if it is a container"},
    Flag{.name = "type", .type = Type::String, .help = "Look only for objects of this type"},
};
constexpr std::array container_flags{format_flag, size_flag};
constexpr std::array image_flags{
    format_flag,
    Flag{.name = "platform",
         .type = Type::String,
         .help = "Inspect this platform of a multi-platform image (os/arch)"},
};
constexpr std::array network_flags{format_flag,
                                   Flag{'v', "verbose", Type::Bool, "Show more, for diagnostics"}};
constexpr std::array volume_flags{format_flag};

}  // namespace

const Command inspect_command{.usage = "[OPTIONS] NAME|ID [NAME|ID...]",
                              .summary = "Show everything known of containers, images, networks or volumes",
                              .flags = inspect_flags,
                              .arity = grammar::at_least(1),
                              .action = inspect};
const Command inspect_container_command{.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
                                        .summary = "Show everything known of one or more containers",
                                        .flags = container_flags,
                                        .arity = grammar::at_least(1),
                                        .action = inspect_containers};
const Command inspect_image_command{.usage = "[OPTIONS] IMAGE [IMAGE...]",
                                    .summary = "Show everything known of one or more images",
                                    .flags = image_flags,
                                    .arity = grammar::at_least(1),
                                    .action = inspect_images};
const Command inspect_network_command{.usage = "[OPTIONS] NETWORK [NETWORK...]",
                                      .summary = "Show everything known of one or more networks",
                                      .flags = network_flags,
                                      .arity = grammar::at_least(1),
                                      .action = inspect_networks};
const Command inspect_volume_command{.usage = "[OPTIONS] VOLUME [VOLUME...]",
                                     .summary = "Show everything known of one or more volumes",
                                     .flags = volume_flags,
                                     .arity = grammar::at_least(1),
                                     .action = inspect_volumes};

}  // namespace berth::cli::commands
