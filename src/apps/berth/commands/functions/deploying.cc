#include "apps/berth/commands/functions/deploying.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <array>

#include "apps/berth/archive/zip_file.h"
#include "apps/berth/grammar/invocation.h"
#include "base/bytes.h"
#include "base/json.h"
#include "sys/file.h"

namespace berth::cli::commands {
namespace {

using client::function_path;
using client::FunctionClient;

constexpr uint64_t kMaxCode = 1u << 30;
/// An hour: the base of a runtime comes over the network.
constexpr int kPolls = 36'000;

bool is_folder(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}
bool exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

struct Guess {
  std::string_view file, runtime, handler;
};
constexpr std::array guesses{Guess{"bootstrap", "provided.al2023", "bootstrap"},
                             Guess{"lambda_function.py", "python3.11", "lambda_function.lambda_handler"},
                             Guess{"app.py", "python3.11", "app.lambda_handler"},
                             Guess{"handler.py", "python3.11", "handler.handler"},
                             Guess{"main.py", "python3.11", "main.handler"},
                             Guess{"index.mjs", "nodejs20.x", "index.handler"},
                             Guess{"index.js", "nodejs20.x", "index.handler"},
                             Guess{"app.mjs", "nodejs20.x", "app.handler"},
                             Guess{"app.js", "nodejs20.x", "app.handler"}};

void pause_ms(long ms) {
  timespec time{.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1'000'000};
  ::nanosleep(&time, nullptr);
}

/// Members that both CreateFunction and UpdateFunctionConfiguration take.
Json configuration_of(const FunctionSpec& spec) {
  Json json{{"FunctionName", spec.name}, {"Environment", {{"Variables", spec.environment}}}};
  if (spec.image.empty()) {
    json["Runtime"] = spec.runtime;
    json["Handler"] = spec.handler;
  }
  json["Role"] = "arn:aws:iam::000000000000:role/berth";
  if (!spec.description.empty()) json["Description"] = spec.description;
  if (spec.memory_mebibytes) json["MemorySize"] = *spec.memory_mebibytes;
  if (spec.timeout_seconds) json["Timeout"] = *spec.timeout_seconds;
  if (spec.ephemeral_mebibytes) json["EphemeralStorage"] = {{"Size", *spec.ephemeral_mebibytes}};
  if (!spec.layers.empty()) json["Layers"] = spec.layers;
  if (spec.durable_seconds) json["DurableConfig"]["ExecutionTimeout"] = *spec.durable_seconds;
  if (spec.retention_days) json["DurableConfig"]["RetentionPeriodInDays"] = *spec.retention_days;
  if (!spec.dead_letter_arn.empty()) json["DeadLetterConfig"] = {{"TargetArn", spec.dead_letter_arn}};
  for (const auto& [name, text] : spec.configurations) {
    if (auto config = parse_json(text)) json[name] = std::move(*config);
  }
  return json;
}

Outcome<Json> code_of(const FunctionSpec& spec) {
  if (!spec.image.empty()) return Json{{"ImageUri", spec.image}};
  TRY(std::string zip, load_code(spec));
  return Json{{"ZipFile", to_base64(zip)}};
}

Outcome<void> put_code(FunctionClient& client, const FunctionSpec& spec) {
  TRY(Json code, code_of(spec));
  CHECK(client.json({.method = "PUT", .path = function_path(spec.name, "code"), .body = to_json(code)}));
  return {};
}

Outcome<Deployed> create(FunctionClient& client, const FunctionSpec& spec) {
  Json request = configuration_of(spec);
  TRY(request["Code"], code_of(spec));
  if (!spec.image.empty()) request["PackageType"] = "Image";
  if (!spec.architectures.empty()) request["Architectures"] = spec.architectures;
  if (!spec.tags.empty()) request["Tags"] = spec.tags;
  CHECK(client.json({.method = "POST", .path = "/2015-03-31/functions", .body = to_json(request)}));
  CHECK(wait_until_active(client, spec.name));
  return Deployed::Created;
}

}  // namespace

Outcome<void> guess_runtime(FunctionSpec& spec) {
  if (!spec.image.empty()) return {};
  bool folder = is_folder(spec.code);
  if (!folder) CHECK(load_code(spec));  // what is not there, or no zip, needs no guess
  if (spec.runtime.empty() || spec.handler.empty()) {
    for (const Guess& guess : guesses) {
      if (!folder || !exists(fmt::format("{}/{}", spec.code, guess.file))) continue;
      if (!spec.runtime.empty() && spec.runtime.substr(0, 6) != guess.runtime.substr(0, 6)) continue;
      if (spec.handler.empty()) spec.handler = guess.handler;
      if (spec.runtime.empty()) spec.runtime = guess.runtime;
      break;
    }
  }
  if (spec.runtime.starts_with("provided") && spec.handler.empty()) spec.handler = "bootstrap";
  if (!spec.runtime.empty() && !spec.handler.empty()) return {};
  return refuse(
      "{}: cannot tell the {}: say --runtime and --handler (looked for bootstrap, lambda_function.py, "
      "app.py, "
      "handler.py, main.py, index.js, index.mjs, app.js, app.mjs)",
      spec.code, spec.runtime.empty() ? "runtime" : "handler");
}

Outcome<std::string> load_code(const FunctionSpec& spec) {
  if (is_folder(spec.code)) {
    TRY(std::string zip, archive::zip_folder(spec.code, kMaxCode));
    return zip;
  }
  TRY(std::string bytes, sys::read_file(spec.code, kMaxCode));
  if (!bytes.starts_with("PK")) return refuse("{}: neither a folder nor a zip archive", spec.code);
  return bytes;
}

Outcome<void> wait_until_active(FunctionClient& client, const std::string& name) {
  bool told = false;
  for (int i = 0; i < kPolls; ++i) {
    TRY(Json function, client.json({.path = function_path(name, "configuration")}));
    std::string state = json_string(function, "State").value_or("");
    std::string update = json_string(function, "LastUpdateStatus").value_or("");
    for (auto [value, why] : {std::pair{state, "StateReason"}, {update, "LastUpdateStatusReason"}}) {
      if (value == "Failed")
        return refuse("function {}: {}", name, json_string(function, why).value_or("failed"));
    }
    if (state != "Pending" && update != "InProgress") return {};
    if (std::string why = json_string(function, "StateReason").value_or(""); !why.empty() && !told) {
      client.context().err.print("{}\n", why);
      client.context().err.flush();
      told = true;
    }
    pause_ms(i < 50 ? 10 : 100);
  }
  return refuse("function {} does not become active; see berthd's log", name);
}

Outcome<void> update_code(FunctionClient& client, const FunctionSpec& spec) {
  CHECK(put_code(client, spec));
  return wait_until_active(client, spec.name);
}

Outcome<Deployed> deploy_function(FunctionClient& client, const FunctionSpec& spec) {
  auto existing = client.json({.path = function_path(spec.name, "configuration")});
  if (!existing) {
    if (!existing.error().not_found()) return existing.error();
    return create(client, spec);
  }
  CHECK(put_code(client, spec));
  CHECK(client.json({.method = "PUT",
                     .path = function_path(spec.name, "configuration"),
                     .body = to_json(configuration_of(spec))}));
  if (!spec.tags.empty()) {
    std::string arn = json_string(*existing, "FunctionArn").value_or("");
    CHECK(client.json({.method = "POST",
                       .path = "/2017-03-31/tags/" + client::percent_encode(arn),
                       .body = to_json(Json{{"Tags", spec.tags}})}));
  }
  CHECK(wait_until_active(client, spec.name));
  return Deployed::Updated;
}

std::string template_in(const std::string& path) {
  if (is_folder(path)) {
    for (const char* name : {"template.yaml", "template.yml"}) {
      std::string file = fmt::format("{}/{}", path, name);
      if (exists(file)) return file;
    }
    return {};
  }
  return path.ends_with(".yaml") || path.ends_with(".yml") ? path : std::string();
}

Outcome<FunctionSpec> spec_of(const grammar::Invocation& invocation) {
  FunctionSpec spec;
  spec.image = invocation.text("image");
  if (!invocation.arguments().empty()) spec.code = invocation.argument(0);
  if (spec.code.empty() && spec.image.empty()) spec.code = ".";
  while (spec.code.size() > 1 && spec.code.ends_with('/')) spec.code.pop_back();
  spec.name = invocation.text("name");
  if (spec.name.empty() && !spec.code.empty()) {
    std::string path = spec.code;
    if (char* resolved = ::realpath(path.c_str(), nullptr)) {
      path = resolved;
      ::free(resolved);
    }
    spec.name = path.substr(path.rfind('/') + 1);
    if (spec.name.ends_with(".zip")) spec.name.resize(spec.name.size() - 4);
  }
  if (spec.name.empty()) return refuse("which function? say --name");
  spec.runtime = invocation.text("runtime");
  spec.handler = invocation.text("handler");
  if (invocation.given("memory")) spec.memory_mebibytes = invocation.number("memory") >> 20;
  if (invocation.given("timeout")) spec.timeout_seconds = invocation.number("timeout") / 1'000'000'000;
  spec.dead_letter_arn = invocation.text("dead-letter");
  if (invocation.given("durable")) spec.durable_seconds = invocation.number("durable") / 1'000'000'000;
  spec.layers = invocation.list("layer");
  for (const std::string& pair : invocation.list("env")) {
    size_t equals = pair.find('=');
    if (equals == pair.npos) {
      const char* value = ::getenv(pair.c_str());
      if (value != nullptr) spec.environment[pair] = value;
    } else {
      spec.environment[pair.substr(0, equals)] = pair.substr(equals + 1);
    }
  }
  CHECK(guess_runtime(spec));
  return spec;
}

}  // namespace berth::cli::commands
