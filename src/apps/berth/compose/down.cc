// down: containers, networks and what else a project has made are removed.
#include <algorithm>
#include <array>

#include "apps/berth/compose/converge.h"
#include "apps/berth/compose/provider.h"
#include "apps/berth/compose/request.h"
#include "apps/berth/compose/subcommand.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

using client::path_of;
using client::Query;
using grammar::Command;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

/// Keys of a section's resources that these services and what they depend on use; none: all, whatever uses
/// them.
using Keys = std::optional<std::set<std::string>>;

Keys keys_used_by(const Project& project, const std::vector<std::string>& services,
                  std::string_view section) {
  if (services.empty() || project.files.empty()) return std::nullopt;
  std::set<std::string> keys;
  for (const std::string& name : project.with_dependencies(services)) {
    const Value* used = project.services.at(name).config.find(section);
    if (used == nullptr) continue;
    for (const auto& [key, settings] : used->members) keys.insert(key);
    for (const Value& mount : used->items)
      if (const Value* source = mount.find("source")) keys.insert(source->text);
  }
  return keys;
}

bool is_among(const Keys& keys, const Json& resource, std::string_view label) {
  if (!keys) return true;
  const Json* labels = json_member(resource, "Labels");
  return labels != nullptr && keys->contains(json_string(*labels, label).value_or(""));
}

Outcome<void> remove_networks(Session& session, const Keys& keys) {
  auto engine = session.client();
  Query query;
  query.add("filters", label_filter(session.project.name));
  TRY(Json networks, call_json(*engine, "GET", "/networks", std::move(query)));
  for (const Json& network : networks) {
    if (!is_among(keys, network, label_network)) continue;
    TRY(std::string name, json_string(network, "Name"));
    TRY(std::string id, json_string(network, "Id"));
    session.report.tell("Network", name, "Removing");
    auto removed = call(*engine, "DELETE", path_of("networks", id));
    if (!removed && removed.error().http_status == 403) {
      session.report.tell("Network", name, "Resource is still in use");
      continue;
    }
    if (!removed && !removed.error().not_found()) return removed.error();
    session.report.tell("Network", name, "Removed");
  }
  return {};
}

Outcome<void> remove_volumes(Session& session, const Keys& keys) {
  auto engine = session.client();
  Query query;
  query.add("filters", label_filter(session.project.name));
  TRY(Json answer, call_json(*engine, "GET", "/volumes", std::move(query)));
  const Json* volumes = json_member(answer, "Volumes");
  for (const Json& volume : volumes == nullptr ? Json::array() : *volumes) {
    if (!is_among(keys, volume, label_volume)) continue;
    TRY(std::string name, json_string(volume, "Name"));
    session.report.tell("Volume", name, "Removing");
    auto removed = call(*engine, "DELETE", path_of("volumes", name));
    if (!removed && removed.error().http_status == 409) {
      session.report.tell("Volume", name, "Resource is still in use");
      continue;
    }
    if (!removed && !removed.error().not_found()) return removed.error();
    session.report.tell("Volume", name, "Removed");
  }
  return {};
}

/// Names of images that were built for the project, by their labels; with `orphans` also those of services
/// that the files no longer have.
Outcome<std::set<std::string>> images_built_for(Session& session, bool orphans) {
  Query query;
  query.add("filters", to_json(Json{{"label", {fmt::format("{}={}", label_project, session.project.name)}},
                                    {"dangling", {"false"}}}));
  TRY(Json images, call_json(*session.client(), "GET", "/images/json", std::move(query)));
  std::set<std::string> names;
  for (const Json& image : images) {
    const Json* labels = json_member(image, "Labels");
    const std::string service = labels == nullptr ? "" : json_string(*labels, label_service).value_or("");
    const bool known = orphans || session.project.files.empty() || session.project.services.contains(service);
    TRY(auto tags, json_strings(image, "RepoTags"));
    if (known && !tags.empty()) names.insert(tags.front());
  }
  return names;
}

Outcome<void> remove_images(Session& session, const std::string& which, bool orphans) {
  TRY(auto names, images_built_for(session, orphans));
  for (const auto& [name, service] : session.project.services) {
    if (is_provided(service)) continue;
    const bool has_name = service.config.find("image") != nullptr;
    if (!has_name || which == "all") names.insert(image_of(session.project, service));
  }
  for (const std::string& image : names) {
    auto removed = session.context.engine().call({.method = "DELETE", .path = client::image_path(image)});
    if (!removed && removed.error().not_found()) continue;
    session.report.tell("Image", image, removed ? "Removed" : removed.error().text());
  }
  return {};
}

Outcome<int> down(Setup& setup, const Invocation& invocation) {
  std::string images = invocation.text("rmi");
  if (!images.empty() && images != "all" && images != "local")
    return refuse("invalid value for --rmi: \"{}\"", images);
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  CHECK(require_services(*session, invocation.arguments()));
  TRY(auto containers, session->containers(Session::Scope::All));
  const auto& services = invocation.arguments();
  bool orphans = invocation.on("remove-orphans") || session->project.is_on("COMPOSE_REMOVE_ORPHANS");
  std::erase_if(containers, [&](const Observed& container) {
    bool known = session->project.services.contains(container.service) ||
                 session->project.disabled.contains(container.service);
    if (!services.empty())
      return std::find(services.begin(), services.end(), container.service) == services.end();
    return !known && !orphans && !session->project.files.empty();
  });
  bool volumes = invocation.on("volumes");
  auto timeout = timeout_of(invocation);
  CHECK(session->along(containers, reversed(Session::graph_of(containers)),
                       [&](client::Client& engine, const Observed& container) -> Outcome<void> {
                         CHECK(stop_container(*session, engine, container, timeout));
                         return remove_container(*session, engine, container, volumes);
                       }));
  CHECK(remove_networks(*session, keys_used_by(session->project, services, "networks")));
  if (volumes) CHECK(remove_volumes(*session, keys_used_by(session->project, services, "volumes")));
  if (services.empty() && !images.empty()) CHECK(remove_images(*session, images, orphans));
  if (has_providers(session->project, services)) {
    CHECK(confirm_remote(*session, invocation));  // what they are asked to do is said there
    CHECK(take_down_providers(*session, services));
  }
  return 0;
}

constexpr std::array down_flags{
    Flag{.name = "remove-orphans", .help = "Remove containers of services that the file no longer has"},
    Flag{.name = "rmi",
         .type = Type::String,
         .help = "Remove images, too: \"local\" (built, without a name of their own) or \"all\""},
    timeout_flag,
    Flag{'v', "volumes", Type::Bool, "Remove the project's volumes, too"},
    yes_flag,
};
constexpr Command down_command{.usage = "[OPTIONS] [SERVICE...]",
                               .summary = "Stop and remove containers and networks",
                               .flags = down_flags,
                               .arity = grammar::at_least(0)};
constexpr std::array table{Subcommand{"down", &down_command, down}};

}  // namespace

Outcome<int> take_down(Setup& setup) {
  Invocation invocation(down_command, "compose down");
  grammar::Parser parser(invocation);
  const char* words[] = {"--remove-orphans"};
  if (auto verdict = parser.parse(words); !verdict) return verdict.error();
  return down(setup, invocation);
}

std::span<const Subcommand> down_subcommands() {
  return table;
}

}  // namespace berth::cli::compose
