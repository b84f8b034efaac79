// --platform os/arch[/variant].
#pragma once

#include <string>

#include "apps/berth/failure.h"

namespace berth::cli::commands {

/// The JSON object that image routes take; empty for an empty text. Unknown words are refused as containerd
/// does.
Outcome<std::string> platform_json(const std::string& text);
/// Refuses what is not os/arch[/variant], an os or an architecture.
Outcome<void> check_platform(const std::string& text);

}  // namespace berth::cli::commands
