// Creating containers, for `create` and `run`.
#pragma once

#include <string>

#include "apps/berth/context.h"
#include "apps/berth/options/container_config.h"

namespace berth::cli::commands {

/// POST /containers/create; pulls the image as --pull says (progress on stderr), writes --cidfile, prints
/// warnings. Returns the id.
Outcome<std::string> create_container(Context& context, const grammar::Invocation& invocation,
                                      const options::ContainerConfig& config);

/// What container_config() needs from outside the flags.
options::ConfigContext config_context(Context& context, const grammar::Invocation& invocation);

/// A failure of `run` or `create` as docker shows it: with a hint at --help, and exit code 125, 126 or 127.
Failure with_hint(const Failure& failure, std::string_view command);

}  // namespace berth::cli::commands
