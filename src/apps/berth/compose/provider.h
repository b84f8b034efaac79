// Services that a program provides instead of containers (`provider:`): compose's extension protocol
// (docs/extension.md of docker compose): PROGRAM compose --project-name=P up --OPTION=VALUE SERVICE, which
// tells in lines of JSON what it does and what those who depend on it need to know.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "apps/berth/compose/session.h"

namespace berth::cli::compose {

bool is_provided(const Service& service);

/// What is wrong with a `provider` section is told with its place.
Result<void> check_provider(const Service& service);

/// Variables for services that depend on it, with their whole names: "DATABASE_URL".
using ProviderVariables = std::map<std::string, std::string>;

/// `up` or `down`. The program must be in PATH, or a plugin of docker's (docker-TYPE).
Outcome<ProviderVariables> run_provider(Session& session, const Service& service, std::string_view command);

/// Adds the variables to what depends on `service`; the project's own values of that name are overwritten
/// only by raw ones, with a warning.
void add_provider_variables(Session& session, const std::string& service, const ProviderVariables& variables);

/// Whether there are providers among `services` (all of the project's without any).
bool has_providers(const Project& project, const std::vector<std::string>& services);

/// Runs `down` of the providers among `services` (all of the project's without any), those that others need
/// last.
Outcome<void> take_down_providers(Session& session, const std::vector<std::string>& services);

}  // namespace berth::cli::compose
