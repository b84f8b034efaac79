// config: the project checked, resolved and printed, whole or in parts.
#include <array>

#include "apps/berth/archive/file_text.h"
#include "apps/berth/compose/config_hash.h"
#include "apps/berth/compose/images.h"
#include "apps/berth/compose/interpolation.h"
#include "apps/berth/compose/project_check.h"
#include "apps/berth/compose/provider.h"
#include "apps/berth/compose/request.h"
#include "apps/berth/compose/schema.h"
#include "apps/berth/compose/subcommand.h"
#include "apps/berth/output/table.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

using grammar::Command;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;
using grammar::Visibility;

bool as_json(const Invocation& invocation) {
  return invocation.text("format") == "json";
}

/// What is printed can be loaded again: a dollar of a value is no variable's.
void escape_dollars(Value& value) {
  for (size_t i = value.text.find('$'); i != std::string::npos; i = value.text.find('$', i + 2))
    value.text.insert(i, "$");
  for (Value& item : value.items) escape_dollars(item);
  for (auto& [key, member] : value.members) escape_dollars(member);
}

Outcome<void> print(Setup& setup, const Invocation& invocation, const Value& value, const Shape* order) {
  std::string text =
      as_json(invocation) ? to_pretty_json(to_json_value(value), 2) + "\n" : to_yaml(value, order);
  std::string file = invocation.text("output");
  if (!file.empty()) {
    CHECK(archive::write_text(file, text));
    return {};
  }
  setup.context.out.write(text);
  return {};
}

using Variables = std::map<std::string, TemplateVariable>;

/// In the order of docker's compose, whose readers look for lines.
std::string variables_as_json(const Variables& variables) {
  std::string members;
  for (const auto& [name, variable] : variables)
    members += fmt::format(
        "{}\n    {}: {{\n        \"Name\": {},\n        \"DefaultValue\": {},\n        \"PresenceValue\": "
        "{},\n        \"Required\": {}\n    }}",
        members.empty() ? "" : ",", to_json(name), to_json(name), to_json(variable.fallback),
        to_json(variable.replacement), variable.required);
  return members.empty() ? "{}\n" : fmt::format("{{{}\n}}\n", members);
}

std::string variables_as_yaml(const Variables& variables) {
  std::string text;
  for (const auto& [name, variable] : variables)
    text +=
        fmt::format("{}:\n    name: {}\n    defaultvalue: {}\n    presencevalue: {}\n    required: {}\n",
                    name, name, to_json(variable.fallback), to_json(variable.replacement), variable.required);
  return variables.empty() ? "{}\n" : text;
}

Outcome<void> print_variables(Setup& setup, const Invocation& invocation, LoadOptions options) {
  options.interpolate = false;
  TRY(Value model, load_model(options));
  std::map<std::string, TemplateVariable> variables;
  collect_variables(model, variables);
  if (invocation.given("format")) {
    setup.context.out.write(as_json(invocation) ? variables_as_json(variables)
                                                : variables_as_yaml(variables));
    return {};
  }
  std::string table = "NAME\tREQUIRED\tDEFAULT VALUE\tALTERNATE VALUE\n";
  for (const auto& [name, variable] : variables)
    table +=
        fmt::format("{}\t{}\t{}\t{}\n", name, variable.required, variable.fallback, variable.replacement);
  setup.context.out.write(output::align_columns(table));
  return {};
}

Outcome<void> pin_images(Setup& setup, Value& file, bool images_alone) {
  Value* services = file.find("services");
  if (services == nullptr) return {};
  for (auto& [name, service] : services->members) {
    if (Value* image = service.find("image")) {
      TRY(image->text, pinned_image(setup.context, image->text));
    }
    if (images_alone)
      std::erase_if(service.members, [](const auto& member) { return member.first != "image"; });
  }
  if (images_alone)
    std::erase_if(file.members, [](const auto& member) { return member.first != "services"; });
  return {};
}

Outcome<std::vector<std::string>> profiles_of(const Project& project) {
  std::set<std::string> names;
  for (const auto* group : {&project.services, &project.disabled}) {
    for (const auto& [name, service] : *group) {
      TRY(auto profiles, texts_of(service.config, "profiles", service.path()));
      names.insert(profiles.begin(), profiles.end());
    }
  }
  return std::vector<std::string>(names.begin(), names.end());
}

Outcome<std::vector<std::string>> hashes_of(const Project& project, const std::string& which) {
  std::vector<std::string> lines;
  std::set<std::string> wanted;
  for (size_t start = 0; which != "*" && start <= which.size();) {
    const size_t end = std::min(which.find(',', start), which.size());
    const std::string name = which.substr(start, end - start);
    if (!project.services.contains(name)) return Failure::plain(fmt::format("no such service: {}", name));
    wanted.insert(name);
    start = end + 1;
  }
  for (const auto& [name, service] : project.services) {
    if (which == "*" || wanted.contains(name))
      lines.push_back(fmt::format("{} {}", name, declared_hash(service)));
  }
  return lines;
}

template <class Map>
std::vector<std::string> keys_of(const Map& map) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : map) keys.push_back(key);
  return keys;
}

/// The lines of what --services and the like ask for; none: the project itself is asked for.
Outcome<std::optional<std::vector<std::string>>> listed(const Project& project,
                                                        const Invocation& invocation) {
  using Lines = std::optional<std::vector<std::string>>;
  if (invocation.on("services")) return Lines(project.in_order());
  if (invocation.on("volumes")) return Lines(keys_of(project.volumes));
  if (invocation.on("networks")) return Lines(keys_of(project.networks));
  Lines lines(std::in_place);
  if (invocation.on("models")) {
    for (const auto& [key, model] : project.models.members)
      if (const Value* name = model.find("model")) lines->push_back(name->text);
    return lines;
  }
  if (invocation.given("hash")) {
    TRY(*lines, hashes_of(project, invocation.text("hash")));
    return lines;
  }
  if (invocation.on("profiles")) {
    TRY(*lines, profiles_of(project));
    return lines;
  }
  if (invocation.on("images")) {
    for (const auto& [name, service] : project.services)
      if (!is_provided(service)) lines->push_back(image_of(project, service));
    return lines;
  }
  if (invocation.on("environment")) {
    for (const auto& [name, value] : project.environment) lines->push_back(fmt::format("{}={}", name, value));
    return lines;
  }
  return Lines();
}

Outcome<int> config_of_templates(Setup& setup, const Invocation& invocation, LoadOptions options) {
  TRY(Value model, load_model(std::move(options)));
  if (invocation.on("quiet")) return 0;
  if (invocation.on("services")) {
    const Value* services = model.find("services");
    for (const auto& [name, service] : services == nullptr ? Value::Map() : services->members)
      setup.context.out.line(name);
    return 0;
  }
  const bool lock = invocation.on("lock-image-digests");
  if (lock || invocation.on("resolve-image-digests")) CHECK(pin_images(setup, model, lock));
  CHECK(print(setup, invocation, model, nullptr));
  return 0;
}

Outcome<int> config(Setup& setup, const Invocation& invocation) {
  LoadOptions options = setup.load_options(invocation.arguments());
  options.interpolate = !invocation.on("no-interpolate");
  options.resolve_paths = !invocation.on("no-path-resolution");
  options.check = !invocation.on("no-consistency");
  options.normalise = !invocation.on("no-normalize");
  const std::string format = invocation.text("format");
  if (format != "yaml" && format != "json")
    return refuse("unsupported format \"{}\": give yaml or json", format);
  if (invocation.on("variables")) {
    CHECK(print_variables(setup, invocation, std::move(options)));
    return 0;
  }
  if (!options.interpolate) return config_of_templates(setup, invocation, std::move(options));
  for (std::string_view list :
       {"services", "volumes", "networks", "models", "hash", "profiles", "images", "environment"})
    if (invocation.given(list)) options.resolve_environment = false;
  auto project = load_project(options);
  if (!project) return Failure::plain(project.error().message());
  Session session(setup.context, std::move(*project));
  for (const std::string& warning : session.project.warnings) session.report.warn(warning);
  if (invocation.on("quiet")) return 0;
  const auto& services = invocation.arguments();
  CHECK(session.services(services));
  if (!services.empty()) {
    auto wanted = session.project.with_dependencies(services);
    std::erase_if(session.project.services, [&](const auto& item) { return !wanted.contains(item.first); });
  }
  std::set<std::string> shown;
  for (const auto& [name, service] : session.project.services) shown.insert(name);
  if (options.check) CHECK(check_container_names(session.project, shown));
  if (!options.all_resources) session.project.drop_unused();
  TRY(auto lines, listed(session.project, invocation));
  if (lines) {
    for (const std::string& line : *lines) setup.context.out.line(line);
    return 0;
  }
  Value file = session.project.canonical(as_json(invocation) ? Project::Format::Json : Project::Format::Yaml);
  const bool lock = invocation.on("lock-image-digests");
  if (lock || invocation.on("resolve-image-digests")) CHECK(pin_images(setup, file, lock));
  escape_dollars(file);
  CHECK(print(setup, invocation, file, &file_shape));
  return 0;
}

constexpr std::array config_flags{
    Flag{.name = "environment", .help = "Print the variables that interpolation sees"},
    Flag{.name = "format", .type = Type::String, .help = "yaml or json", .fallback = "yaml"},
    Flag{.name = "hash",
         .type = Type::String,
         .help = "Print the configuration hash of services (\"*\": of all)"},
    Flag{.name = "images", .help = "Print names of images"},
    Flag{.name = "lock-image-digests", .help = "Print an override file with the images' digests"},
    Flag{.name = "models", .help = "Print names of models"},
    Flag{.name = "networks", .help = "Print names of networks"},
    Flag{.name = "no-consistency", .help = "Do not check what services refer to"},
    // As docker's compose 2.40 has it: env files are read in any case.
    Flag{.name = "no-env-resolution", .visibility = Visibility::Hidden},
    Flag{.name = "no-interpolate", .help = "Leave variables as they are"},
    Flag{.name = "no-normalize", .help = "Leave out defaults, and what follows from something else"},
    Flag{.name = "no-path-resolution", .help = "Leave paths as they are"},
    Flag{'o', "output", Type::String, "Write to a file"},
    Flag{.name = "profiles", .help = "Print names of profiles"},
    Flag{'q', "quiet", Type::Bool, "Only check the files"},
    Flag{.name = "resolve-image-digests", .help = "Print images with the digests that their registries tell"},
    Flag{.name = "services", .help = "Print names of services"},
    Flag{.name = "variables", .help = "Print the variables that the files use, with their defaults"},
    Flag{.name = "volumes", .help = "Print names of volumes"},
};

constexpr Command config_command{.usage = "[OPTIONS] [SERVICE...]",
                                 .summary = "Check, resolve and print the Compose file",
                                 .flags = config_flags,
                                 .arity = grammar::at_least(0)};

constexpr std::array table{
    Subcommand{"config", &config_command, config},
    Subcommand{"convert", &config_command, config},
};

}  // namespace

std::span<const Subcommand> config_subcommands() {
  return table;
}

}  // namespace berth::cli::compose
