// function executions, execution, execution-stop, execution-pause, execution-resume, execution-rm, callback.
#include <array>
#include <cmath>

#include "apps/berth/client/function_client.h"
#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/functions/execution_commands.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/output/table.h"
#include "apps/berth/output/units.h"
#include "base/clock.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using client::FunctionClient;
using client::percent_encode;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

std::string execution_path(std::string_view arn, std::string_view rest = {}) {
  return fmt::format("/2025-12-01/durable-executions/{}{}", percent_encode(arn), rest);
}

std::string word(const Json& object, std::string_view name) {
  return output::printable(json_string(object, name).value_or(""));
}

/// A time of the API: seconds since the epoch.
std::string time_of(const Json& object, const char* name) {
  auto found = object.find(name);
  if (found == object.end() || !found->is_number()) return {};
  double seconds = found->get<double>();
  if (!std::isfinite(seconds) || std::abs(seconds) > 9e9) return {};
  return to_rfc3339(from_unix_nanoseconds(std::llround(seconds * 1000) * 1'000'000));
}

/// All pages of a list, each item through `take` until it has had `most`.
template <class F>
Outcome<void> each_page(FunctionClient& client, const std::string& path, const char* list, F take) {
  std::string marker;
  do {
    std::string page_path = path;
    if (!marker.empty()) page_path += "&Marker=" + percent_encode(marker);
    TRY(Json page, client.json({.path = page_path}));
    if (auto items = page.find(list); items != page.end() && items->is_array()) {
      for (const Json& item : *items) take(item);
    }
    marker = json_string(page, "NextMarker").value_or("");
  } while (!marker.empty());
  return {};
}

Outcome<int> list_executions(Context& context, const Invocation& invocation) {
  FunctionClient client(context);
  std::string path =
      client::function_path(invocation.argument(0), "durable-executions", "2025-12-01") + "?MaxItems=1000";
  for (const std::string& status : invocation.list("status")) path += "&Statuses=" + percent_encode(status);
  if (invocation.given("name")) path += "&DurableExecutionName=" + percent_encode(invocation.text("name"));
  if (invocation.given("qualifier")) path += "&Qualifier=" + percent_encode(invocation.text("qualifier"));
  bool quiet = invocation.on("quiet");
  std::string text = "NAME\tSTATUS\tSTARTED\tENDED\tARN\n";
  CHECK(each_page(client, path, "DurableExecutions", [&](const Json& execution) {
    if (quiet) {
      context.out.line(word(execution, "DurableExecutionArn"));
      return;
    }
    text += fmt::format("{}\t{}\t{}\t{}\t{}\n", word(execution, "DurableExecutionName"),
                        word(execution, "Status"), time_of(execution, "StartTimestamp"),
                        time_of(execution, "EndTimestamp"), word(execution, "DurableExecutionArn"));
  }));
  if (!quiet) context.out.write(output::align_columns(text, {.min_width = 6, .padding = 3}));
  return 0;
}

/// What an event says: its payload, its error, or when it ends.
std::string note_of(const Json& event) {
  auto details = event.find(word(event, "EventType") + "Details");
  if (details == event.end() || !details->is_object()) return {};
  for (const char* name : {"Input", "Result", "Error", "Reason"}) {
    auto part = details->find(name);
    if (part == details->end() || !part->is_object()) continue;
    auto payload = part->find("Payload");
    if (payload == part->end()) continue;
    std::string text = payload->is_string() ? payload->get<std::string>() : to_json(*payload);
    return output::printable(text.substr(0, 120));
  }
  std::string id = word(*details, "CallbackId");
  return id.empty() ? time_of(*details, "ScheduledEndTimestamp") : "callback " + id;
}

Outcome<int> show_history(Context& context, FunctionClient& client, const std::string& arn) {
  std::string text = "ID\tTIME\tEVENT\tOPERATION\tNOTE\n";
  CHECK(each_page(client, execution_path(arn, "/history?MaxItems=1000"), "Events", [&](const Json& event) {
    std::string name = word(event, "Name");
    text += fmt::format("{}\t{}\t{}\t{}\t{}\n", json_int(event, "EventId").value_or(0),
                        time_of(event, "EventTimestamp"), word(event, "EventType"),
                        name.empty() ? word(event, "Id") : name, note_of(event));
  }));
  context.out.write(output::align_columns(text, {.min_width = 4, .padding = 3}));
  return 0;
}

Outcome<int> show_execution(Context& context, const Invocation& invocation) {
  FunctionClient client(context);
  if (invocation.on("history")) return show_history(context, client, invocation.argument(0));
  TRY(Json execution, client.json({.path = execution_path(invocation.argument(0))}));
  context.out.line(to_pretty_json(execution));
  return 0;
}

/// The same request for each ARN; prints those that were done.
Outcome<int> for_each_execution(Context& context, const Invocation& invocation, std::string_view method,
                                std::string_view rest, const std::string& body) {
  FunctionClient client(context);
  Tally tally(context);
  for (const std::string& arn : invocation.arguments()) {
    auto done = client.call({.method = method, .path = execution_path(arn, rest), .body = body});
    if (tally.accept(done)) context.out.line(arn);
  }
  return tally.exit_code();
}

Outcome<int> stop_executions(Context& context, const Invocation& invocation) {
  Json error = Json::object();
  if (invocation.given("reason")) error["ErrorMessage"] = invocation.text("reason");
  return for_each_execution(context, invocation, "POST", "/stop", to_json(error));
}

Outcome<int> pause_executions(Context& context, const Invocation& invocation) {
  Json body = Json::object();
  if (invocation.given("reason")) body["Reason"] = invocation.text("reason");
  if (invocation.on("timeout-runs")) body["ExecutionTimeoutPaused"] = false;
  return for_each_execution(context, invocation, "POST", "/pause", to_json(body));
}

Outcome<int> resume_executions(Context& context, const Invocation& invocation) {
  Json body = Json::object();
  if (invocation.given("reason")) body["Reason"] = invocation.text("reason");
  return for_each_execution(context, invocation, "POST", "/resume", to_json(body));
}

Outcome<int> remove_executions(Context& context, const Invocation& invocation) {
  return for_each_execution(context, invocation, "DELETE", "", "");
}

Outcome<int> answer_callback(Context& context, const Invocation& invocation) {
  const std::string& id = invocation.argument(0);
  const std::string& what = invocation.argument(1);
  bool more = invocation.arguments().size() > 2;
  if (what != "succeed" && what != "fail" && what != "heartbeat")
    return refuse("callback: {} is none of succeed, fail and heartbeat", what);
  if (what == "heartbeat" && more) return refuse("callback: a heartbeat brings nothing with it");
  std::string body;
  if (what == "succeed" && more) body = invocation.argument(2);
  if (what == "fail") body = to_json(more ? Json{{"ErrorMessage", invocation.argument(2)}} : Json::object());
  FunctionClient client(context);
  std::string path = fmt::format("/2025-12-01/durable-execution-callbacks/{}/{}", percent_encode(id), what);
  CHECK(client.call({.method = "POST", .path = path, .body = body}));
  context.out.line(id);
  return 0;
}

constexpr std::array list_flags{
    Flag{.name = "name", .type = Type::String, .help = "Only the execution of this name"},
    Flag{.name = "qualifier", .type = Type::String, .help = "Only those of this version or alias"},
    Flag{'q', "quiet", Type::Bool, "Only the ARNs"},
    Flag{.name = "status", .type = Type::List, .help = "Only those that are so (RUNNING, FAILED, ...)"},
};
constexpr std::array show_flags{
    Flag{.name = "history", .help = "Its events, one a line, instead"},
};
constexpr std::array stop_flags{
    Flag{.name = "reason", .type = Type::String, .help = "What the execution's error says"},
};
constexpr std::array pause_flags{
    Flag{.name = "reason", .type = Type::String, .help = "Kept in the history"},
    Flag{.name = "timeout-runs", .help = "The time limit of the execution does not stand still"},
};
constexpr std::array resume_flags{
    Flag{.name = "reason", .type = Type::String, .help = "Kept in the history"},
};

}  // namespace

const Command list_executions_command{.usage = "[OPTIONS] FUNCTION",
                                      .summary = "List the executions of a durable function",
                                      .flags = list_flags,
                                      .arity = grammar::exactly(1),
                                      .action = list_executions};
const Command show_execution_command{.usage = "[OPTIONS] ARN",
                                     .summary = "Show a durable execution, or what happened in it",
                                     .flags = show_flags,
                                     .arity = grammar::exactly(1),
                                     .action = show_execution};
const Command stop_execution_command{.usage = "[OPTIONS] ARN [ARN...]",
                                     .summary = "Stop durable executions for good",
                                     .flags = stop_flags,
                                     .arity = grammar::at_least(1),
                                     .action = stop_executions};
const Command pause_execution_command{.usage = "[OPTIONS] ARN [ARN...]",
                                      .summary = "Let durable executions rest: their function is not called",
                                      .flags = pause_flags,
                                      .arity = grammar::at_least(1),
                                      .action = pause_executions};
const Command resume_execution_command{.usage = "[OPTIONS] ARN [ARN...]",
                                       .summary = "Let paused durable executions go on",
                                       .flags = resume_flags,
                                       .arity = grammar::at_least(1),
                                       .action = resume_executions};
const Command remove_execution_command{
    .usage = "ARN [ARN...]",
    .summary = "Remove durable executions that are over, with their history",
    .arity = grammar::at_least(1),
    .action = remove_executions};
const Command answer_callback_command{.usage = "ID succeed|fail|heartbeat [RESULT|MESSAGE]",
                                      .summary = "Answer a callback that a durable execution waits for",
                                      .arity = grammar::between(2, 3),
                                      .action = answer_callback};

}  // namespace berth::cli::commands
