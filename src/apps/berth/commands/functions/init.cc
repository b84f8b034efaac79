// function init: a folder with a small function to begin with.
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "apps/berth/archive/file_text.h"
#include "apps/berth/commands/commands.h"
#include "apps/berth/context.h"
#include "apps/berth/grammar/invocation.h"
#include "sys/file.h"

namespace berth::cli::commands {
namespace {

using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

struct Start {
  std::string_view family;  ///< begin of the runtime's name
  std::string_view file;
  std::string_view handler;
  unsigned mode;
  std::string_view text;
};

constexpr std::array starts{
    Start{"python", "app.py", "app.lambda_handler", 0644, R"(def lambda_handler(event, context):
    name = event.get("name", "world")
    print("greeting", name)
    return {"message": f"Hello, {name}"}
)"},
    Start{"nodejs", "index.mjs", "index.handler", 0644, R"(export const handler = async (event) => {
  const name = event.name ?? "world";
  console.log("greeting", name);
  return { message: `Hello, ${name}` };
};
)"},
    Start{"provided", "bootstrap", "bootstrap", 0755, R"(#!/bin/sh
# The Runtime API in a shell: ask for an event, answer it, again.
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while true; do
  headers=$(mktemp)
  event=$(curl -sS -D "$headers" "$api/next")
  id=$(sed -n 's/^lambda-runtime-aws-request-id: *//Ip' "$headers" | tr -d '\r')
  echo "event $id" >&2
  curl -sS -X POST "$api/$id/response" -d "{\"message\":\"Hello\",\"event\":$event}"
done
)"},
};

std::string template_text(std::string_view runtime, std::string_view handler, std::string_view name) {
  return fmt::format(R"(AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
  Function:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: {}
      CodeUri: .
      Runtime: {}
      Handler: {}
      MemorySize: 128
      Timeout: 30
)",
                     name, runtime, handler);
}

/// The folder's name with what a function's name cannot have replaced; empty: nothing of it is left.
std::string function_name_of(std::string_view folder) {
  constexpr size_t longest = 64;
  std::string name;
  for (char c : folder) {
    bool good = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
    if (good || (!name.empty() && name.back() != '-')) name.push_back(good ? c : '-');
  }
  name.resize(std::min(name.size(), longest));
  while (name.ends_with('-')) name.pop_back();
  return name;
}

Outcome<int> init(Context& context, const Invocation& invocation) {
  std::string folder = invocation.argument(0);
  while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
  std::string runtime = invocation.text("runtime");
  const Start* chosen = nullptr;
  for (const Start& start : starts) {
    if (runtime.starts_with(start.family)) chosen = &start;
  }
  if (chosen == nullptr)
    return refuse("--runtime {}: there is a beginning for python3.x, nodejs2x.x and provided.al2023",
                  runtime);
  CHECK(sys::make_dirs(folder));
  std::string file = fmt::format("{}/{}", folder, chosen->file);
  std::string description = folder + "/template.yaml";
  for (const std::string& path : {file, description}) {
    if (::access(path.c_str(), F_OK) == 0) return refuse("{} exists already; it is left as it is", path);
  }
  std::string path = folder;
  if (char* resolved = ::realpath(folder.c_str(), nullptr)) {
    path = resolved;
    ::free(resolved);
  }
  std::string name = function_name_of(path.substr(path.rfind('/') + 1));
  if (name.empty()) return refuse("{}: no function can have its name: give another folder", folder);
  CHECK(archive::write_text(file, chosen->text, chosen->mode));
  CHECK(archive::write_text(description, template_text(runtime, chosen->handler, name)));
  context.out.print(
      "{}\n{}\n\nNext: berth function deploy {} && berth function invoke {} '{{\"name\":\"you\"}}'\n", file,
      description, folder, name);
  return 0;
}

constexpr std::array flags{Flag{.name = "runtime",
                                .type = Type::String,
                                .help = "python3.x, nodejs2x.x or provided.al2023",
                                .fallback = "python3.11"}};

}  // namespace

const Command init_function_command{.usage = "[OPTIONS] DIR",
                                    .summary = "Write a small function to begin with",
                                    .flags = flags,
                                    .arity = grammar::exactly(1),
                                    .action = init};

}  // namespace berth::cli::commands
