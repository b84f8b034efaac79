#include "apps/berth/compose/provider.h"

#include <unistd.h>

#include <algorithm>

#include "apps/berth/compose/external_program.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

constexpr std::string_view plugin_folders[] = {
    "/usr/local/lib/docker/cli-plugins", "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins", "/usr/libexec/docker/cli-plugins"};

std::string type_of(const Service& service) {
  const Value* type = service.config.find("provider")->find("type");
  return type == nullptr ? std::string() : type->text;
}

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  return text;
}

/// What `PROGRAM compose metadata` tells of the options that a command takes.
struct CommandFacts {
  bool known = false;  ///< the program tells them
  std::map<std::string, bool> required = {};
};

class Provider {
 public:
  Provider(Session& session, const Service& service) : session_(session), service_(service) {}

  Outcome<ProviderVariables> run(std::string_view command) {
    CHECK(find());
    TRY(const CommandFacts facts, facts_of(command));
    TRY(auto arguments, arguments_for(command, facts));
    ExternalProgram program{.arguments = std::move(arguments),
                            .environment = environment(),
                            .directory = session_.project.directory};
    program.line = [this](std::string_view line) { return take(line); };
    session_.report.tell("Service", service_.name, command == "up" ? "Creating" : "Removing");
    TRY(const int code, run_program(program));
    if (code != 0)
      return Failure::plain(fmt::format("service \"{}\": its provider {} failed with exit code {}",
                                        service_.name, type_of(service_), code));
    session_.report.tell("Service", service_.name, command == "up" ? "Created" : "Removed");
    return std::move(variables_);
  }

 private:
  Outcome<void> find() {
    const std::string type = type_of(service_);
    std::vector<std::string> folders{session_.context.configuration().folder + "/cli-plugins"};
    folders.insert(folders.end(), std::begin(plugin_folders), std::end(plugin_folders));
    for (const std::string& folder : folders) {
      const std::string plugin = folder + "/docker-" + type;
      if (::access(plugin.c_str(), X_OK) == 0) {
        path_ = plugin;
        return {};
      }
    }
    path_ = find_program(type, session_.project.environment);
    if (!path_.empty()) return {};
    return Failure::plain(
        fmt::format("service \"{}\": its provider \"{}\" is neither a plugin of docker's nor a program in "
                    "PATH: install it, or take the service out",
                    service_.name, type));
  }

  Environment environment() const {
    Environment variables = session_.project.environment;
    variables["DOCKER_HOST"] = session_.context.endpoint().str();
    return variables;
  }

  /// Programs need not tell anything of themselves.
  Outcome<CommandFacts> facts_of(std::string_view command) {
    std::string text;
    ExternalProgram program{.arguments = {path_, "compose", "metadata"},
                            .environment = environment(),
                            .directory = session_.project.directory};
    program.line = [&text](std::string_view line) -> Outcome<void> {
      constexpr size_t most = size_t{1} << 20;
      if (text.size() + line.size() < most) text.append(line).append("\n");
      return {};
    };
    TRY(const int code, run_program(program));
    CommandFacts facts;
    const auto object = parse_json(text);
    if (code != 0 || !object || !object->is_object()) return facts;
    facts.known = object->contains("description") || object->contains("up") || object->contains("down");
    const Json* described = json_member(*object, command);
    const Json* parameters = described == nullptr ? nullptr : json_member(*described, "parameters");
    if (parameters == nullptr || !parameters->is_array()) return facts;
    for (const Json& parameter : *parameters) {
      const auto name = json_string(parameter, "name");
      const auto required = json_bool(parameter, "required");
      if (name && !name->empty()) facts.required[*name] = required && *required;
    }
    return facts;
  }

  Outcome<std::vector<std::string>> arguments_for(std::string_view command, const CommandFacts& facts) const {
    std::vector<std::string> arguments{path_, "compose", "--project-name=" + session_.project.name,
                                       std::string(command)};
    const Value* options = service_.config.find("provider")->find("options");
    const std::string place = service_.path() + ".provider.options";
    for (const auto& [name, required] : facts.required) {
      if (required && (options == nullptr || !options->has(name)))
        return complaint(*service_.config.find("provider"), place,
                         fmt::format("{} is missing: the provider {} needs it", name, type_of(service_)));
    }
    if (options != nullptr) {
      for (const auto& [name, value] : options->members) {
        if (facts.known && !facts.required.contains(name)) continue;
        TRY(const auto texts, as_texts(value, place));
        for (const std::string& text : texts) arguments.push_back(fmt::format("--{}={}", name, text));
      }
    }
    arguments.push_back(service_.name);
    return arguments;
  }

  Outcome<void> take(std::string_view line) {
    const auto object = parse_json(line);
    if (!object || !object->is_object())
      return Failure::plain(fmt::format("service \"{}\": its provider wrote what is no message: {}",
                                        service_.name, line.substr(0, 256)));
    TRY(const std::string type, json_string(*object, "type"));
    TRY(const std::string message, json_string(*object, "message"));
    if (type == "info") {
      session_.report.tell("Service", service_.name, message.substr(0, message.find('\n')));
    } else if (type == "error") {
      return Failure::plain(fmt::format("service \"{}\": {}", service_.name, message));
    } else if (type == "setenv" || type == "rawsetenv") {
      return set(message, type == "setenv" ? upper(service_.name) + "_" : std::string());
    } else if (type != "debug") {
      return Failure::plain(
          fmt::format("service \"{}\": its provider sent a message of the unknown type \"{}\"", service_.name,
                      type.substr(0, 64)));
    }
    return {};
  }

  Outcome<void> set(const std::string& message, const std::string& prefix) {
    constexpr size_t most = 1024;
    const size_t equals = message.find('=');
    if (equals == std::string::npos || equals == 0)
      return Failure::plain(fmt::format("service \"{}\": its provider set \"{}\", which is no NAME=VALUE",
                                        service_.name, message.substr(0, 64)));
    if (variables_.size() >= most)
      return Failure::plain(
          fmt::format("service \"{}\": its provider sets too many variables", service_.name));
    variables_[prefix + message.substr(0, equals)] = message.substr(equals + 1);
    return {};
  }

  Session& session_;
  const Service& service_;
  std::string path_;
  ProviderVariables variables_;
};

}  // namespace

bool is_provided(const Service& service) {
  return service.config.find("provider") != nullptr;
}

Result<void> check_provider(const Service& service) {
  const Value& provider = *service.config.find("provider");
  const std::string path = service.path() + ".provider";
  if (!provider.is_map()) return complaint(provider, path, "must be a mapping with type and options");
  TRY(const std::string type, text_of(provider, "type", path));
  if (type.empty())
    return complaint(provider, path, "type is required: the program that provides the service");
  if (type == "compose") return complaint(provider, path, "\"compose\" is no provider");
  // A program of the user's, by its name: a path could name one that came with the project.
  if (type.find('/') != std::string::npos || type.starts_with('-'))
    return complaint(provider, path,
                     fmt::format("type \"{}\" must be a program's name in PATH, not a path", type));
  const Value* options = provider.find("options");
  if (options != nullptr && !options->is_map())
    return complaint(*options, path + ".options", "must be a mapping");
  for (const char* key : {"image", "build"}) {
    if (service.config.find(key) != nullptr)
      return complaint(provider, path, fmt::format("cannot be combined with {}", key));
  }
  return {};
}

Outcome<ProviderVariables> run_provider(Session& session, const Service& service, std::string_view command) {
  if (session.dry_run()) {
    session.report.tell("Service", service.name, command == "up" ? "Created" : "Removed");
    return ProviderVariables();
  }
  return Provider(session, service).run(command);
}

void add_provider_variables(Session& session, const std::string& service,
                            const ProviderVariables& variables) {
  const std::string prefix = upper(service) + "_";
  for (auto& [name, dependent] : session.project.services) {
    if (!dependent.depends_on.contains(service)) continue;
    if (dependent.config.find("environment") == nullptr)
      dependent.config.set("environment", Value::map(dependent.config.at));
    Value& environment = *dependent.config.find("environment");
    for (const auto& [variable, value] : variables) {
      const Value* known = environment.find(variable);
      if (known != nullptr && known->text != value && !variable.starts_with(prefix)) {
        session.report.warn(fmt::format("the provider of \"{}\" overrides the variable {} of service \"{}\"",
                                        service, variable, name));
      }
      environment.set(variable, Value::string(value, environment.at));
    }
  }
}

bool has_providers(const Project& project, const std::vector<std::string>& services) {
  return std::any_of(project.services.begin(), project.services.end(), [&](const auto& entry) {
    const bool chosen =
        services.empty() || std::find(services.begin(), services.end(), entry.first) != services.end();
    return chosen && is_provided(entry.second);
  });
}

Outcome<void> take_down_providers(Session& session, const std::vector<std::string>& services) {
  auto order = session.project.in_order();
  std::reverse(order.begin(), order.end());
  for (const std::string& name : order) {
    const Service& service = session.project.services.at(name);
    const bool chosen =
        services.empty() || std::find(services.begin(), services.end(), name) != services.end();
    if (!chosen || !is_provided(service)) continue;
    TRY([[maybe_unused]] const auto variables, run_provider(session, service, "down"));
  }
  return {};
}

}  // namespace berth::cli::compose
