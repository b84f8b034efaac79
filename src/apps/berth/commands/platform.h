// --platform os/arch[/variant].
#pragma once

#include <string>
#include <vector>

#include "apps/berth/failure.h"
#include "apps/berth/grammar/invocation.h"

namespace berth::cli::commands {

/// The JSON object that image routes take; empty for an empty text. Unknown words are refused as containerd
/// does.
Outcome<std::string> platform_json(const std::string& text);
/// Refuses what is not os/arch[/variant], an os or an architecture.
Outcome<void> check_platform(const std::string& text);
/// `--platform`, else DOCKER_DEFAULT_PLATFORM, of commands that make, pull or import.
std::string wanted_platform(const grammar::Invocation& invocation);
/// The same of a build, which may have several.
std::vector<std::string> wanted_platforms(const grammar::Invocation& invocation);

}  // namespace berth::cli::commands
