// function deploy, invoke, ls, rm, why; deploy.
#include <array>

#include "apps/berth/archive/file_text.h"
#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/functions/deploying.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/output/table.h"
#include "apps/berth/output/units.h"
#include "base/bytes.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using client::function_path;
using client::FunctionClient;
using client::percent_encode;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

constexpr size_t kMaxPayload = 64u << 20;

Outcome<std::map<std::string, std::string>> parameters_of(const Invocation& invocation) {
  std::map<std::string, std::string> parameters;
  for (const std::string& pair : invocation.list("parameter")) {
    size_t equals = pair.find('=');
    if (equals == pair.npos) return refuse("--parameter {}: it is NAME=VALUE", pair);
    parameters[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  return parameters;
}

Outcome<int> deploy_from_template(Context& context, const Invocation& invocation, const std::string& path) {
  TRY(auto parameters, parameters_of(invocation));
  CHECK(deploy_template(context, path, parameters));
  return 0;
}

Outcome<int> deploy_stack(Context& context, const Invocation& invocation) {
  std::string path = invocation.arguments().empty() ? "." : invocation.argument(0);
  std::string file = template_in(path);
  if (file.empty()) return refuse("{}: no template.yaml here; say which template", path);
  return deploy_from_template(context, invocation, file);
}

/// A template says all about its functions: what a flag says besides would be lost.
Outcome<void> refuse_flags_of_one_function(const Invocation& invocation, const std::string& file) {
  for (const char* flag :
       {"dead-letter", "durable", "env", "handler", "layer", "memory", "runtime", "timeout"}) {
    if (!invocation.given(flag)) continue;
    return refuse(
        "--{} is for a function without a template, and {} is one: change it there, or say --name for a "
        "function of its own",
        flag, file);
  }
  return {};
}

Outcome<int> deploy(Context& context, const Invocation& invocation) {
  std::string path = invocation.arguments().empty() ? "." : invocation.argument(0);
  std::string file = invocation.given("image") ? std::string() : template_in(path);
  if (!file.empty() && !invocation.given("name")) {
    CHECK(refuse_flags_of_one_function(invocation, file));
    return deploy_from_template(context, invocation, file);
  }
  TRY(FunctionSpec spec, spec_of(invocation));
  FunctionClient client(context);
  TRY(Deployed what, deploy_function(client, spec));
  context.out.print("{} {}\n", what == Deployed::Created ? "created" : "updated", spec.name);
  return 0;
}

Outcome<std::string> payload_of(const Invocation& invocation) {
  if (invocation.given("file")) {
    if (invocation.arguments().size() > 1)
      return refuse("give the payload as an argument or with --file, not both");
    TRY(std::string text, archive::read_text(invocation.text("file"), kMaxPayload));
    return text;
  }
  return invocation.arguments().size() > 1 ? invocation.argument(1) : std::string("{}");
}

Outcome<int> invoke(Context& context, const Invocation& invocation) {
  TRY(std::string payload, payload_of(invocation));
  FunctionClient client(context);
  client::FunctionRequest request{.method = "POST",
                                  .path = function_path(invocation.argument(0), "invocations"),
                                  .body = std::move(payload)};
  if (invocation.given("qualifier"))
    request.path += "?Qualifier=" + percent_encode(invocation.text("qualifier"));
  if (invocation.on("async")) request.headers.emplace_back("X-Amz-Invocation-Type", "Event");
  if (invocation.given("execution"))
    request.headers.emplace_back("X-Amz-Durable-Execution-Name", invocation.text("execution"));
  if (invocation.given("tenant")) request.headers.emplace_back("X-Amz-Tenant-Id", invocation.text("tenant"));
  if (invocation.on("debug")) request.headers.emplace_back("X-Berth-Debug", "true");
  if (invocation.on("log")) request.headers.emplace_back("X-Amz-Log-Type", "Tail");
  TRY(client::Reply reply, client.call(request));
  if (invocation.on("async")) {
    auto arn = reply.head.header("x-amz-durable-execution-arn");
    context.out.line(arn.empty() ? reply.head.header("x-amzn-requestid") : arn);
    return 0;
  }
  if (auto log = from_base64(reply.head.header("x-amz-log-result")); log && !log->empty()) {
    context.err.write(*log);
    if (log->back() != '\n') context.err.write("\n");
    context.err.flush();
  }
  context.out.line(reply.body);
  return reply.head.header("x-amz-function-error").empty() ? 0 : 1;
}

/// All pages of ListFunctions.
Outcome<std::vector<Json>> list_functions(FunctionClient& client) {
  std::vector<Json> functions;
  std::string marker;
  do {
    std::string path = "/2015-03-31/functions";
    if (!marker.empty()) path += "?Marker=" + percent_encode(marker);
    TRY(Json page, client.json({.path = path}));
    if (page.contains("Functions") && page["Functions"].is_array()) {
      for (Json& function : page["Functions"]) functions.push_back(std::move(function));
    }
    marker = json_string(page, "NextMarker").value_or("");
  } while (!marker.empty());
  return functions;
}

/// Sandboxes of functions, those that wait in the stock among them.
Outcome<int> list_sandboxes(Context& context) {
  FunctionClient client(context);
  TRY(Json document, client.json({.path = "/_berth/sandboxes"}));
  std::string text = "CONTAINER\tFUNCTION\tVERSION\tSTATE\tEVENTS\n";
  if (auto found = document.find("sandboxes"); found != document.end() && found->is_array()) {
    for (const Json& sandbox : *found) {
      auto cell = [&](const char* name) {
        return output::printable(json_string(sandbox, name).value_or(""));
      };
      text += fmt::format("{}\t{}\t{}\t{}\t{}\n", cell("container").substr(0, 12), cell("function"),
                          cell("version"), cell("state"), json_int(sandbox, "events").value_or(0));
    }
  }
  context.out.write(output::align_columns(text, {.min_width = 6, .padding = 3}));
  return 0;
}

Outcome<int> list(Context& context, const Invocation& invocation) {
  if (invocation.on("sandboxes")) return list_sandboxes(context);
  FunctionClient client(context);
  TRY(auto functions, list_functions(client));
  if (invocation.on("quiet")) {
    for (const Json& function : functions)
      context.out.line(output::printable(json_string(function, "FunctionName").value_or("")));
    return 0;
  }
  std::string text = "NAME\tRUNTIME\tHANDLER\tMEMORY\tTIMEOUT\tCODE\tMODIFIED\n";
  for (const Json& function : functions) {
    auto cell = [&](const char* name) { return output::printable(json_string(function, name).value_or("")); };
    std::string runtime = cell("Runtime");
    text +=
        fmt::format("{}\t{}\t{}\t{}MB\t{}s\t{}\t{}\n", cell("FunctionName"),
                    runtime.empty() ? "image" : runtime, cell("Handler"),
                    json_int(function, "MemorySize").value_or(0), json_int(function, "Timeout").value_or(0),
                    output::human_size(static_cast<double>(json_int(function, "CodeSize").value_or(0)), 3),
                    cell("LastModified").substr(0, 19));
  }
  context.out.write(output::align_columns(text, {.min_width = 6, .padding = 3}));
  return 0;
}

Outcome<int> remove(Context& context, const Invocation& invocation) {
  FunctionClient client(context);
  Tally tally(context);
  for (const std::string& name : invocation.arguments()) {
    auto removed = client.call({.method = "DELETE", .path = function_path(name)});
    if (tally.accept(removed)) context.out.line(name);
  }
  return tally.exit_code();
}

std::string milliseconds(uint64_t us) {
  return fmt::format("{:.2f} ms", static_cast<double>(us) / 1000.0);
}

Outcome<int> why(Context& context, const Invocation& invocation) {
  FunctionClient client(context);
  TRY(Json record, client.json({.path = "/_berth/invocations/" + percent_encode(invocation.argument(0))}));
  auto number = [&](const char* name) { return static_cast<uint64_t>(json_int(record, name).value_or(0)); };
  auto word = [&](const char* name) { return output::printable(json_string(record, name).value_or("")); };
  std::string text;
  auto row = [&](std::string_view what, std::string_view value, std::string_view note = {}) {
    text += fmt::format("{}\t{}\t{}\n", what, value, note);
  };
  row("request", word("requestId"));
  row("function", fmt::format("{}:{}", word("function"), word("version")));
  row("started", word("started"));
  row("outcome", word("status"), fmt::format("by {}", word("source")));
  if (word("initialization") == "warm") {
    row("start", "warm", "the sandbox was there: nothing was waited for");
  } else {
    uint64_t sandbox = number("sandboxUs"), runtime = number("runtimeUs"),
             extensions = number("extensionsUs");
    row("cold start", milliseconds(number("initUs")), word("initialization"));
    row("  sandbox", milliseconds(sandbox),
        json_bool(record, "pooled").value_or(false) ? "taken from the stock" : "made for it");
    row("  runtime", milliseconds(runtime),
        "until it asked for its first event, the function's imports included");
    if (extensions > 0) row("  extensions", milliseconds(extensions));
  }
  row("handler", milliseconds(number("durationUs")));
  row("CPU", milliseconds(number("cpuUs")));
  row("billed", fmt::format("{} ms", number("billedMs")), fmt::format("at {} MB", number("memoryMebibytes")));
  row("memory", output::binary_size(static_cast<double>(number("memoryPeakBytes"))), "peak of the sandbox");
  context.out.write(output::align_columns(text, {.min_width = 4, .padding = 3}));
  return 0;
}

Outcome<int> package_image(Context& context, const Invocation& invocation) {
  FunctionClient client(context);
  Json body{{"FunctionName", invocation.argument(0)}, {"Tag", invocation.argument(1)}};
  if (invocation.given("qualifier")) body["Qualifier"] = invocation.text("qualifier");
  CHECK(client.json({.method = "POST", .path = "/_berth/package/image", .body = to_json(body)}));
  context.out.line(invocation.argument(1));
  return 0;
}

Outcome<int> package_zip(Context& context, const Invocation& invocation) {
  FunctionClient client(context);
  TRY(client::Reply reply,
      client.call({.path = "/_berth/package/zip?image=" + percent_encode(invocation.argument(0))}));
  CHECK(archive::write_text(invocation.argument(1), reply.body));
  context.out.line(invocation.argument(1));
  return 0;
}

constexpr std::array package_flags{
    Flag{.name = "qualifier", .type = Type::String, .help = "Version or alias"},
};
constexpr std::array deploy_flags{
    Flag{.name = "dead-letter",
         .type = Type::String,
         .help = "ARN of the queue for events that failed for good"},
    Flag{.name = "durable",
         .type = Type::Duration,
         .help = "Make it a durable function, the executions of which may take that long (24h)"},
    Flag{'e', "env", Type::List, "Set an environment variable (NAME=VALUE, or NAME for its value here)"},
    Flag{.name = "handler", .type = Type::String, .help = "What the runtime calls (app.lambda_handler)"},
    Flag{.name = "image", .type = Type::String, .help = "Make the function of this image instead of code"},
    Flag{.name = "layer", .type = Type::List, .help = "ARN of a layer"},
    Flag{'m', "memory", Type::Bytes, "Memory of a sandbox (256m)"},
    Flag{.name = "name", .type = Type::String, .help = "Name of the function (default: the folder's)"},
    Flag{.name = "parameter", .type = Type::List, .help = "Parameter of a template (NAME=VALUE)"},
    Flag{.name = "runtime", .type = Type::String, .help = "python3.11, nodejs20.x, provided.al2023, ..."},
    Flag{.name = "timeout", .type = Type::Duration, .help = "Longest time of one invocation (30s)"},
};
constexpr std::array stack_flags{
    Flag{.name = "parameter", .type = Type::List, .help = "Parameter of the template (NAME=VALUE)"},
};
constexpr std::array invoke_flags{
    Flag{.name = "async", .help = "Put the event into the queue and print its id, or the execution's ARN"},
    Flag{.name = "debug", .help = "The time limit stands still while a debugger is attached"},
    Flag{.name = "execution", .type = Type::String, .help = "Name of a durable function's execution"},
    Flag{'f', "file", Type::String, "Read the payload from this file (- for standard input)"},
    Flag{.name = "log", .help = "Print the end of the invocation's log to standard error"},
    Flag{.name = "qualifier", .type = Type::String, .help = "Version or alias"},
    Flag{.name = "tenant", .type = Type::String, .help = "Tenant, for a function that keeps them apart"},
};
constexpr std::array list_flags{
    Flag{'q', "quiet", Type::Bool, "Only the names"},
    Flag{.name = "sandboxes", .help = "Sandboxes instead: what runs, what is frozen, what was prepared"},
};

}  // namespace

const Command deploy_function_command{
    .usage = "[OPTIONS] [DIR|ZIP|TEMPLATE]",
    .summary = "Make a function of a folder, a zip archive, an image or a template",
    .flags = deploy_flags,
    .arity = grammar::between(0, 1),
    .action = deploy};
const Command deploy_stack_command{.usage = "[OPTIONS] [TEMPLATE]",
                                   .summary = "Deploy the functions, queues and events of a SAM template",
                                   .flags = stack_flags,
                                   .arity = grammar::between(0, 1),
                                   .action = deploy_stack};
const Command invoke_function_command{.usage = "[OPTIONS] FUNCTION [PAYLOAD]",
                                      .summary = "Call a function and print what it returns",
                                      .flags = invoke_flags,
                                      .arity = grammar::between(1, 2),
                                      .action = invoke};
const Command list_functions_command{
    .usage = "[OPTIONS]", .summary = "List functions", .flags = list_flags, .action = list};
const Command remove_function_command{.usage = "FUNCTION [FUNCTION...]",
                                      .summary = "Remove functions",
                                      .arity = grammar::at_least(1),
                                      .action = remove};
const Command package_image_command{.usage = "[OPTIONS] FUNCTION IMAGE",
                                    .summary = "Make an image of a function's runtime, layers and code",
                                    .flags = package_flags,
                                    .arity = grammar::exactly(2),
                                    .action = package_image};
const Command package_zip_command{.usage = "IMAGE FILE",
                                  .summary = "Write the code within such an image as a zip archive",
                                  .arity = grammar::exactly(2),
                                  .action = package_zip};
const Command why_function_command{.usage = "REQUEST_ID",
                                   .summary = "Show where an invocation's milliseconds went",
                                   .arity = grammar::exactly(1),
                                   .action = why};

}  // namespace berth::cli::commands
