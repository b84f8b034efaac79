// Deploying: making a function what a description of it says, and finding out what a folder of code wants.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "apps/berth/client/function_client.h"
#include "apps/berth/context.h"

namespace berth::cli::commands {

/// A function as deploy wants it.
struct FunctionSpec {
  std::string name;
  std::string code;  ///< folder, .zip, or empty with an image
  std::string image;
  std::string runtime, handler;
  std::string description;
  std::optional<int64_t> durable_seconds,
      retention_days;  ///< of a durable function: how long, and kept how long
  std::optional<int64_t> memory_mebibytes, timeout_seconds, ephemeral_mebibytes;
  std::map<std::string, std::string> environment;
  std::vector<std::string> layers;
  std::vector<std::string> architectures;
  std::map<std::string, std::string> tags;
  std::string dead_letter_arn;
  /// Members of the configuration that the API takes as they are: name to JSON, "LoggingConfig" ...
  std::map<std::string, std::string> configurations;
};

/// Fills in runtime and handler that are not given from what lies in the folder: bootstrap, index.js or .mjs,
/// lambda_function.py, app.py, main.py ... A Failure says what was looked for.
Outcome<void> guess_runtime(FunctionSpec& spec);

/// The zip of a folder, or the archive itself.
Outcome<std::string> load_code(const FunctionSpec& spec);

enum class Deployed { Created, Updated, Unchanged };
/// Creates or updates, and waits until the function can be called.
Outcome<Deployed> deploy_function(client::FunctionClient& client, const FunctionSpec& spec);
/// Code alone, of a function that exists.
Outcome<void> update_code(client::FunctionClient& client, const FunctionSpec& spec);
/// Says on standard error what it waits for: the base of a runtime may take minutes.
Outcome<void> wait_until_active(client::FunctionClient& client, const std::string& name);

/// Flags of `function deploy` and `function watch`.
Outcome<FunctionSpec> spec_of(const grammar::Invocation& invocation);

/// Deploys a SAM template, a function of which may be chosen by its logical id. Returns the functions' names.
struct DeployedFunction {
  std::string logical_id;
  FunctionSpec spec;
};
Outcome<std::vector<DeployedFunction>> deploy_template(Context& context, const std::string& path,
                                                       const std::map<std::string, std::string>& parameters);
/// template.yaml or template.yml of a folder, or the path itself if it is such a file; empty: none.
std::string template_in(const std::string& path);

}  // namespace berth::cli::commands
