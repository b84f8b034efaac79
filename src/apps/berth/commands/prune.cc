// prune of containers, images, volumes, networks, build cache, and all of them.
#include <algorithm>
#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/prompt.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/options/filters.h"
#include "apps/berth/output/units.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using grammar::Flag;
using grammar::Invocation;
using grammar::Type;
using options::Filters;

struct Pruned {
  std::string text;  ///< what was removed, with its heading
  int64_t bytes = 0;
};

Outcome<Json> prune_call(Context& context, std::string_view path, client::Query query,
                         const Filters& filters) {
  query.add_unless_empty("filters", options::filters_json(filters));
  TRY(auto reply, context.engine().call({.method = "POST", .path = std::string(path), .query = query}));
  TRY(Json report, parse_json(reply.body, {.max_bytes = 64u << 20}));
  return report;
}

Pruned report_of(const Json& report, std::string_view heading, std::string_view key) {
  Pruned pruned;
  auto names = json_strings(report, key).value_or(std::vector<std::string>());
  if (names.empty()) return pruned;
  pruned.text = fmt::format("{}:\n{}\n", heading, fmt::join(names, "\n"));
  pruned.bytes = json_int(report, "SpaceReclaimed").value_or(0);
  return pruned;
}

Outcome<Pruned> prune_containers(Context& context, const Filters& filters) {
  TRY(Json report, prune_call(context, "/containers/prune", {}, filters));
  return report_of(report, "Deleted Containers", "ContainersDeleted");
}

Outcome<Pruned> prune_networks(Context& context, const Filters& filters) {
  TRY(Json report, prune_call(context, "/networks/prune", {}, filters));
  return report_of(report, "Deleted Networks", "NetworksDeleted");
}

Outcome<Pruned> prune_volumes(Context& context, Filters filters, bool all) {
  if (all) filters.emplace_back("all", "true");
  TRY(Json report, prune_call(context, "/volumes/prune", {}, filters));
  return report_of(report, "Deleted Volumes", "VolumesDeleted");
}

Outcome<Pruned> prune_images(Context& context, Filters filters, bool all) {
  filters.emplace_back("dangling", all ? "false" : "true");
  TRY(Json report, prune_call(context, "/images/prune", {}, filters));
  Pruned pruned;
  auto deleted = report.find("ImagesDeleted");
  if (deleted == report.end() || !deleted->is_array() || deleted->empty()) return pruned;
  pruned.text = "Deleted Images:\n";
  for (const Json& one : *deleted) {
    std::string untagged = json_string(one, "Untagged").value_or("");
    pruned.text += untagged.empty() ? fmt::format("deleted: {}\n", json_string(one, "Deleted").value_or(""))
                                    : fmt::format("untagged: {}\n", untagged);
  }
  pruned.bytes = json_int(report, "SpaceReclaimed").value_or(0);
  return pruned;
}

Outcome<Pruned> prune_builds(Context& context, const Filters& filters, bool all, int64_t keep) {
  client::Query query;
  query.flag("all", all);
  if (keep > 0)
    query.add("keep-storage", fmt::format("{}", keep)).add("reserved-space", fmt::format("{}", keep));
  TRY(Json report, prune_call(context, "/build/prune", query, filters));
  Pruned pruned = report_of(report, "Deleted build cache objects", "CachesDeleted");
  pruned.bytes = json_int(report, "SpaceReclaimed").value_or(0);
  return pruned;
}

enum class Total { Shown, Hidden };

int show(Context& context, const Pruned& pruned, Total total = Total::Shown) {
  if (!pruned.text.empty()) context.out.line(pruned.text);
  if (total == Total::Shown) {
    context.out.print("Total reclaimed space: {}\n", output::human_size(static_cast<double>(pruned.bytes)));
  }
  return 0;
}

bool agreed(Context& context, const Invocation& invocation, std::string_view warning) {
  return invocation.on("force") || confirm(context, warning);
}

Filters filters_of(const Invocation& invocation) {
  return options::parse_filters(invocation.list("filter"));
}

Outcome<int> containers(Context& context, const Invocation& invocation) {
  if (!agreed(context, invocation,
              "WARNING! This will remove all stopped containers.\nAre you sure you want to continue?")) {
    return show(context, {});
  }
  TRY(Pruned pruned, prune_containers(context, filters_of(invocation)));
  return show(context, pruned);
}

Outcome<int> images(Context& context, const Invocation& invocation) {
  bool all = invocation.on("all");
  std::string warning =
      fmt::format("WARNING! This will remove all {}.\nAre you sure you want to continue?",
                  all ? "images without at least one container associated to them" : "dangling images");
  if (!agreed(context, invocation, warning)) return show(context, {});
  TRY(Pruned pruned, prune_images(context, filters_of(invocation), all));
  return show(context, pruned);
}

Outcome<int> volumes(Context& context, const Invocation& invocation) {
  bool all = invocation.on("all");
  Filters filters = filters_of(invocation);
  if (all && options::has_filter(filters, "all")) {
    return refuse("conflicting options: cannot specify both --all and --filter all=1");
  }
  std::string warning = fmt::format(
      "WARNING! This will remove {} local volumes not used by at least one container.\n"
      "Are you sure you want to continue?",
      all ? "all" : "anonymous");
  if (!agreed(context, invocation, warning)) return show(context, {});
  TRY(Pruned pruned, prune_volumes(context, filters, all));
  return show(context, pruned);
}

Outcome<int> networks(Context& context, const Invocation& invocation) {
  if (!agreed(context, invocation,
              "WARNING! This will remove all custom networks not used by at least one container.\n"
              "Are you sure you want to continue?")) {
    return 0;
  }
  TRY(Pruned pruned, prune_networks(context, filters_of(invocation)));
  return show(context, pruned, Total::Hidden);
}

Outcome<int> builds(Context& context, const Invocation& invocation) {
  bool all = invocation.on("all");
  std::string warning =
      fmt::format("WARNING! This will remove all {}build cache. Are you sure you want to continue?",
                  all ? "" : "dangling ");
  if (!agreed(context, invocation, warning)) return show(context, {});
  TRY(Pruned pruned, prune_builds(context, filters_of(invocation), all, invocation.number("keep-storage")));
  return show(context, pruned);
}

std::string system_warning(const Invocation& invocation, const Filters& filters) {
  bool all = invocation.on("all");
  std::string text =
      "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one "
      "container\n";
  if (invocation.on("volumes")) text += "  - all anonymous volumes not used by at least one container\n";
  text += all ? "  - all images without at least one container associated to them\n"
              : "  - all dangling images\n";
  text += all ? "  - all build cache\n" : "  - unused build cache\n";
  if (!filters.empty()) {
    std::vector<std::string> lines;
    for (const auto& [name, value] : filters) lines.push_back(fmt::format("  - {}={}\n", name, value));
    std::sort(lines.begin(), lines.end());
    text += fmt::format("\n  Items to be pruned will be filtered with:\n{}", fmt::join(lines, ""));
  }
  return text + "\nAre you sure you want to continue?";
}

Outcome<int> everything(Context& context, const Invocation& invocation) {
  Filters filters = filters_of(invocation);
  bool all = invocation.on("all");
  bool with_volumes = invocation.on("volumes");
  if (with_volumes && options::has_filter(filters, "until")) {
    return refuse("ERROR: The \"until\" filter is not supported with \"--volumes\"");
  }
  if (!agreed(context, invocation, system_warning(invocation, filters))) return show(context, {});
  int64_t bytes = 0;
  auto add = [&](const Outcome<Pruned>& pruned) -> Outcome<void> {
    if (!pruned) return pruned.error();
    bytes += pruned->bytes;
    show(context, *pruned, Total::Hidden);
    return {};
  };
  CHECK(add(prune_containers(context, filters)));
  CHECK(add(prune_networks(context, filters)));
  if (with_volumes) CHECK(add(prune_volumes(context, filters, false)));
  CHECK(add(prune_images(context, filters, all)));
  CHECK(add(prune_builds(context, filters, all, 0)));
  return show(context, {"", bytes});
}

constexpr Flag force_flag{'f', "force", Type::Bool, "Do not ask first"};
constexpr Flag filter_flag{
    .name = "filter",
    .type = Type::Filter,
    .help = "Remove only what meets the condition (\"until=24h\", \"label=key=value\")"};
constexpr std::array plain_flags{filter_flag, force_flag};
constexpr std::array image_flags{
    Flag{'a', "all", Type::Bool, "Remove all unused images, not only dangling ones"}, filter_flag,
    force_flag};
constexpr std::array volume_flags{
    Flag{'a', "all", Type::Bool, "Remove all unused volumes, not only anonymous ones"}, filter_flag,
    force_flag};
constexpr std::array build_flags{
    Flag{'a', "all", Type::Bool, "Remove all build cache"},
    filter_flag,
    force_flag,
    Flag{.name = "keep-storage", .type = Type::Bytes, .help = "Cache to keep"},
};
constexpr std::array system_flags{
    Flag{'a', "all", Type::Bool, "Remove all unused images, not only dangling ones"}, filter_flag, force_flag,
    Flag{.name = "volumes", .help = "Remove unused anonymous volumes too"}};

}  // namespace

const Command prune_containers_command{.usage = "[OPTIONS]",
                                       .summary = "Remove all stopped containers",
                                       .flags = plain_flags,
                                       .action = containers};
const Command prune_images_command{
    .usage = "[OPTIONS]", .summary = "Remove unused images", .flags = image_flags, .action = images};
const Command prune_volumes_command{
    .usage = "[OPTIONS]", .summary = "Remove unused local volumes", .flags = volume_flags, .action = volumes};
const Command prune_networks_command{
    .usage = "[OPTIONS]", .summary = "Remove all unused networks", .flags = plain_flags, .action = networks};
const Command prune_builds_command{
    .usage = "[OPTIONS]", .summary = "Remove build cache", .flags = build_flags, .action = builds};
const Command prune_system_command{
    .usage = "[OPTIONS]", .summary = "Remove everything unused", .flags = system_flags, .action = everything};

}  // namespace berth::cli::commands
