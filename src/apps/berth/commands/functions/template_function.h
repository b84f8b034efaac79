// A template's AWS::Serverless::Function.
#pragma once

#include "apps/berth/commands/functions/deploying.h"
#include "apps/berth/commands/functions/template_place.h"

namespace berth::cli::commands {

/// Refuses what deploying would leave out.
Outcome<void> check_function_properties(const Place& place);
/// `folder` is the template's, for paths in it.
Outcome<FunctionSpec> function_of_template(const Place& place, const std::string& folder);

}  // namespace berth::cli::commands
