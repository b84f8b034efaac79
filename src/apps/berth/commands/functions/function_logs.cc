// function logs.
#include <time.h>

#include <array>
#include <set>

#include "apps/berth/client/function_client.h"
#include "apps/berth/commands/commands.h"
#include "apps/berth/grammar/invocation.h"
#include "base/clock.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using client::FunctionClient;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

/// CloudWatch Logs' calls do not wait for more; a follower asks again.
constexpr timespec kAskAgain{.tv_sec = 0, .tv_nsec = 250'000'000};
/// Events may come in late by as much: that far back is asked for again.
constexpr int64_t kLateMs = 5'000;

class Tail {
 public:
  Tail(Context& context, std::string group, bool timestamps)
      : context_(context), client_(context), group_(std::move(group)), timestamps_(timestamps) {}

  /// Prints what is new since the last time; the newest `last` events the first time, if that is not 0.
  Outcome<void> print_new(size_t last) {
    std::vector<Json> fresh;
    std::string token;
    do {
      Json input{{"logGroupName", group_}, {"startTime", std::max<int64_t>(from_ms_, 0)}};
      if (!token.empty()) input["nextToken"] = token;
      TRY(Json page, client_.target("Logs_20140328.FilterLogEvents", input));
      if (page.contains("events") && page["events"].is_array()) {
        for (Json& event : page["events"]) {
          if (seen_.insert(json_string(event, "eventId").value_or("")).second)
            fresh.push_back(std::move(event));
        }
      }
      token = json_string(page, "nextToken").value_or("");
    } while (!token.empty());
    size_t skip = last != 0 && fresh.size() > last ? fresh.size() - last : 0;
    for (size_t i = skip; i < fresh.size(); ++i) print(fresh[i]);
    for (const Json& event : fresh)
      newest_ms_ = std::max(newest_ms_, json_int(event, "timestamp").value_or(0));
    from_ms_ = std::max(from_ms_, newest_ms_ - kLateMs);
    if (seen_.size() > 200'000) seen_.clear();
    context_.out.flush();
    return {};
  }
  void since(int64_t ms) { from_ms_ = ms; }

 private:
  void print(const Json& event) {
    std::string message = json_string(event, "message").value_or("");
    while (!message.empty() && (message.back() == '\n' || message.back() == '\t')) message.pop_back();
    if (timestamps_) {
      int64_t ms = json_int(event, "timestamp").value_or(0);
      context_.out.print("{} ", to_rfc3339_fixed(from_unix_nanoseconds(ms * 1'000'000)));
    }
    context_.out.line(message);
  }

  Context& context_;
  FunctionClient client_;
  std::string group_;
  bool timestamps_;
  int64_t from_ms_ = 0, newest_ms_ = 0;
  std::set<std::string> seen_;
};

Outcome<int> logs(Context& context, const Invocation& invocation) {
  const std::string& name = invocation.argument(0);
  FunctionClient client(context);
  TRY(Json function, client.json({.path = client::function_path(name, "configuration")}));
  std::string group = "/aws/lambda/" + name;
  if (function.contains("LoggingConfig"))
    group = json_string(function["LoggingConfig"], "LogGroup").value_or(group);
  Tail tail(context, group, invocation.on("timestamps"));
  if (invocation.given("since")) {
    auto since = parse_time_reference(invocation.text("since"), now());
    if (!since) return refuse("invalid value for \"since\": {}", since.error().message());
    tail.since(to_unix_nanoseconds(*since) / 1'000'000);
  }
  auto last = static_cast<size_t>(std::max<int64_t>(invocation.number("tail"), 0));
  bool follow = invocation.on("follow");
  while (true) {
    auto printed = tail.print_new(last);
    // A function that has never run has no group yet.
    bool missing = !printed && (printed.error().not_found() || printed.error().http_status == 400);
    if (!printed && !missing) return printed.error();
    if (!follow || context.out.broken() != 0) return 0;
    last = 0;
    ::nanosleep(&kAskAgain, nullptr);
  }
}

constexpr std::array flags{
    Flag{'f', "follow", Type::Bool, "Go on with new lines as they come"},
    Flag{.name = "since",
         .type = Type::String,
         .help = "Show lines from this time on (\"2026-01-02T13:23:37Z\", \"10m\")"},
    Flag{'n', "tail", Type::Int, "Number of lines to show from the end", "0"},
    Flag{'t', "timestamps", Type::Bool, "Put the time before each line"},
};

}  // namespace

const Command function_logs_command{.usage = "[OPTIONS] FUNCTION",
                                    .summary = "Show what a function has logged",
                                    .flags = flags,
                                    .arity = grammar::exactly(1),
                                    .action = logs};

}  // namespace berth::cli::commands
