// build, pull, push, images.
#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/compose/bake.h"
#include "apps/berth/compose/images.h"
#include "apps/berth/compose/request.h"
#include "apps/berth/compose/subcommand.h"
#include "apps/berth/output/table.h"
#include "apps/berth/output/units.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

using grammar::Command;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;
using grammar::Visibility;

Outcome<std::vector<std::string>> chosen(Session& session, const Invocation& invocation,
                                         std::string_view with_deps) {
  TRY(auto names, session.services(invocation.arguments()));
  if (!invocation.on(with_deps)) return names;
  auto all = session.project.with_dependencies(names);
  return std::vector<std::string>(all.begin(), all.end());
}

Outcome<int> build(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project(invocation.arguments(), Setup::EnvFiles::Left));
  CHECK(confirm_remote(*session, invocation));
  TRY(auto names, chosen(*session, invocation, "with-dependencies"));
  const BuildOptions options{.no_cache = invocation.on("no-cache"),
                             .pull = invocation.on("pull"),
                             .quiet = invocation.on("quiet"),
                             .push = invocation.on("push"),
                             .arguments = invocation.list("build-arg"),
                             .memory = invocation.text("memory"),
                             .ssh = invocation.list("ssh"),
                             .provenance = invocation.text("provenance"),
                             .sbom = invocation.text("sbom"),
                             .check = invocation.on("check")};
  if (invocation.on("print")) {
    TRY(const Json file, bake_file(session->project, names, options));
    setup.context.out.line(to_pretty_json(file, 2));
    return 0;
  }
  CHECK(build_images(*session, names, options));
  return 0;
}

Outcome<int> pull(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project(invocation.arguments(), Setup::EnvFiles::Left));
  TRY(auto names, chosen(*session, invocation, "include-deps"));
  CHECK(pull_images(*session, names,
                    {.ignore_failures = invocation.on("ignore-pull-failures"),
                     .ignore_buildable = invocation.on("ignore-buildable"),
                     .quiet = invocation.on("quiet"),
                     .policy = invocation.text("policy")}));
  return 0;
}

Outcome<int> push(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project(invocation.arguments(), Setup::EnvFiles::Left));
  TRY(auto names, chosen(*session, invocation, "include-deps"));
  CHECK(push_images(*session, names, invocation.on("ignore-push-failures")));
  return 0;
}

/// "linux/arm64/v8"
std::string platform_of(const Json& image) {
  std::string platform = fmt::format("{}/{}", json_string(image, "Os").value_or(""),
                                     json_string(image, "Architecture").value_or(""));
  const std::string variant = json_string(image, "Variant").value_or("");
  return variant.empty() ? platform : platform + "/" + variant;
}

/// When the image got its name, else when it was made.
std::string tagged_time(const Json& image) {
  const Json* metadata = json_member(image, "Metadata");
  const std::string tagged = metadata == nullptr ? "" : json_string(*metadata, "LastTagTime").value_or("");
  return tagged.empty() || tagged.starts_with("0001-") ? json_string(image, "Created").value_or("") : tagged;
}

std::string age_of(const std::string& time) {
  auto then = parse_rfc3339(time);
  return then ? output::time_ago(*then, now()) : "N/A";
}

Outcome<int> images(Setup& setup, const Invocation& invocation) {
  TRY(auto session, setup.project_or_name(invocation.arguments()));
  TRY(auto containers, chosen_containers(*session, invocation.arguments()));
  std::string table = "CONTAINER\tREPOSITORY\tTAG\tPLATFORM\tIMAGE ID\tSIZE\tCREATED\n";
  Json all = Json::array();
  std::set<std::string> ids;
  for (const Observed& container : containers) {
    auto json = call_json(setup.context.engine(), "GET", client::image_path(container.image_id, "json"));
    if (!json) continue;
    std::string id = output::short_id(container.image_id);
    size_t colon = container.image.rfind(':');
    bool tagged = colon != std::string::npos && container.image.find('/', colon) == std::string::npos;
    std::string repository = container.image.substr(0, tagged ? colon : std::string::npos);
    std::string tag = tagged ? container.image.substr(colon + 1) : "latest";
    int64_t size = json_int(*json, "Size").value_or(0);
    const std::string platform = platform_of(*json), tagged_at = tagged_time(*json);
    table += fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}\n", container.name, repository, tag, platform, id,
                         output::human_size(static_cast<double>(size), 3), age_of(tagged_at));
    all.push_back({{"ID", container.image_id},
                   {"ContainerName", container.name},
                   {"Repository", repository},
                   {"Tag", tag},
                   {"Platform", platform},
                   {"Size", size},
                   {"LastTagTime", tagged_at}});
    ids.insert(container.image_id);
  }
  if (invocation.on("quiet")) {
    for (const std::string& id : ids) setup.context.out.line(id.substr(id.find(':') + 1));
  } else if (invocation.text("format") == "json") {
    setup.context.out.line(to_json(all));
  } else {
    setup.context.out.write(output::align_columns(table));
  }
  return 0;
}

constexpr std::array build_flags{
    Flag{.name = "build-arg", .type = Type::List, .help = "Value for an ARG (NAME=value)"},
    Flag{.name = "builder", .type = Type::String, .visibility = Visibility::Hidden},
    Flag{.name = "check", .help = "Check the Dockerfiles instead of building"},
    Flag{.name = "compress", .visibility = Visibility::Hidden},
    Flag{.name = "force-rm", .visibility = Visibility::Hidden},
    Flag{'m', "memory", Type::Bytes, "Memory limit of the build"},
    Flag{.name = "no-cache", .help = "Do not use the cache"},
    Flag{.name = "no-rm", .visibility = Visibility::Hidden},
    Flag{.name = "parallel", .visibility = Visibility::Hidden},
    Flag{.name = "print", .help = "Print the builds as a file for docker's bake instead"},
    Flag{.name = "progress", .type = Type::String, .visibility = Visibility::Hidden},
    Flag{.name = "provenance", .type = Type::String, .help = "Add a provenance attestation"},
    Flag{.name = "pull", .help = "Look for newer versions of the base images"},
    Flag{.name = "push", .help = "Push the images"},
    Flag{'q', "quiet", Type::Bool, "Print only the images' ids"},
    Flag{.name = "sbom", .type = Type::String, .visibility = Visibility::Hidden},
    Flag{.name = "ssh", .type = Type::List, .help = "Agent or keys for RUN --mount=type=ssh"},
    Flag{.name = "with-dependencies", .help = "Build dependencies, too"},
    yes_flag,
};
constexpr std::array pull_flags{
    Flag{.name = "ignore-buildable", .help = "Leave images that can be built alone"},
    Flag{.name = "ignore-pull-failures", .help = "Go on after a failure"},
    Flag{.name = "include-deps", .help = "Pull for dependencies, too"},
    Flag{.name = "no-parallel", .visibility = Visibility::Hidden},
    Flag{.name = "parallel", .visibility = Visibility::Hidden},
    Flag{.name = "policy", .type = Type::String, .help = "missing or always"},
    Flag{'q', "quiet", Type::Bool, "Pull without progress"},
};
constexpr std::array push_flags{
    Flag{.name = "ignore-push-failures", .help = "Go on after a failure"},
    Flag{.name = "include-deps", .help = "Push for dependencies, too"},
    Flag{'q', "quiet", Type::Bool, "Push without progress"},
};
constexpr std::array images_flags{
    Flag{.name = "format", .type = Type::String, .help = "table or json", .fallback = "table"},
    Flag{'q', "quiet", Type::Bool, "Print ids alone"},
};

constexpr std::string_view services = "[OPTIONS] [SERVICE...]";
constexpr auto any = grammar::at_least(0);
constexpr Command build_command{
    .usage = services, .summary = "Build images", .flags = build_flags, .arity = any};
constexpr Command pull_command{
    .usage = services, .summary = "Pull images", .flags = pull_flags, .arity = any};
constexpr Command push_command{
    .usage = services, .summary = "Push images", .flags = push_flags, .arity = any};
constexpr Command images_command{
    .usage = services, .summary = "List the images of containers", .flags = images_flags, .arity = any};

constexpr std::array table{Subcommand{"build", &build_command, build},
                           Subcommand{"pull", &pull_command, pull}, Subcommand{"push", &push_command, push},
                           Subcommand{"images", &images_command, images}};

}  // namespace

std::span<const Subcommand> image_subcommands() {
  return table;
}

}  // namespace berth::cli::compose
