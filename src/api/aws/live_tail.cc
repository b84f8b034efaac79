#include "api/aws/live_tail.h"

#include <algorithm>

#include "api/aws/reply.h"
#include "api/lambda/event_stream.h"
#include "base/format.h"
#include "base/json.h"
#include "functions/function_log.h"
#include "functions/log/filter_pattern.h"
#include "functions/uuid.h"
#include "io/cancel.h"
#include "io/event_loop.h"
#include "io/http_server.h"

namespace berth::api::aws {
namespace {

using namespace std::chrono_literals;
using functions::LogEvent;
using functions::LogQuery;

constexpr size_t kMaxGroups = 10;
constexpr size_t kMaxEvents = 500;  // of one second; of more a part is shown
constexpr auto kTick = 1s;
constexpr auto kLongest = 3h;
constexpr const char* kJsonType = "application/json";

/// One group, and how far it has been told.
struct TailedGroup {
  std::string name, arn;
  uint64_t told = 0;
};

struct Session {
  std::vector<TailedGroup> groups;
  std::vector<std::string> streams, prefixes;
  std::string pattern_text;
  std::optional<functions::FilterPattern> pattern;
  int64_t since_ms = 0;
};

AwsError invalid(std::string message) {
  return {400, "InvalidParameterException", std::move(message)};
}

/// A group by name or ARN.
std::string name_of(std::string_view identifier) {
  constexpr std::string_view part = ":log-group:";
  size_t at = identifier.find(part);
  if (identifier.starts_with("arn:") && at != identifier.npos) identifier.remove_prefix(at + part.size());
  if (identifier.ends_with(":*")) identifier.remove_suffix(2);
  return std::string(identifier);
}

AwsResult<std::vector<std::string>> texts(const Json& request, const char* member) {
  auto list = json_strings(request, member);
  if (!list) return invalid(list.error().message());
  return std::move(*list);
}

AwsResult<Session> plan_session(FunctionServices& services, const functions::Realm& realm,
                                const Json& request) {
  Session session{.since_ms = to_unix_nanoseconds(now()) / 1'000'000};
  TRY(auto identifiers, texts(request, "logGroupIdentifiers"));
  if (identifiers.empty() || identifiers.size() > kMaxGroups)
    return invalid(fmt::format("logGroupIdentifiers must name 1 to {} log groups", kMaxGroups));
  TRY(session.streams, texts(request, "logStreamNames"));
  TRY(session.prefixes, texts(request, "logStreamNamePrefixes"));
  if (!session.streams.empty() && !session.prefixes.empty())
    return invalid("logStreamNames and logStreamNamePrefixes exclude each other");
  if (identifiers.size() > 1 && !(session.streams.empty() && session.prefixes.empty()))
    return invalid("log streams can be named for a single log group only");
  auto pattern = json_string(request, "logEventFilterPattern");
  if (!pattern) return invalid(pattern.error().message());
  session.pattern_text = *pattern;
  auto parsed = functions::FilterPattern::parse(session.pattern_text);
  if (!parsed) return invalid(parsed.error().message());
  session.pattern = std::move(*parsed);
  for (const std::string& identifier : identifiers) {
    std::string name = name_of(identifier);
    auto found = services.log.groups(realm, name);
    bool known = found && std::any_of(found->begin(), found->end(),
                                      [&](const auto& group) { return group.name == name; });
    if (!known) return AwsError{400, "ResourceNotFoundException", "The specified log group does not exist."};
    std::string arn = fmt::format("arn:aws:logs:{}:{}:log-group:{}", realm.region, realm.account, name);
    session.groups.push_back({.name = std::move(name), .arn = std::move(arn)});
  }
  return session;
}

bool is_wanted(const Session& session, const LogEvent& event) {
  const auto& prefixes = session.prefixes;
  bool stream = prefixes.empty() || std::any_of(prefixes.begin(), prefixes.end(), [&](const auto& prefix) {
                  return event.stream.starts_with(prefix);
                });
  return stream && session.pattern->matches(event.message);
}

/// What was logged since the last one.
io::Task<Json> next_update(functions::FunctionLog& log, const functions::Realm& realm, Session& session) {
  Json results = Json::array();
  bool sampled = false;
  for (TailedGroup& group : session.groups) {
    LogQuery query{.group = group.name,
                   .streams = session.streams,
                   .from_ms = session.since_ms,
                   .after_sequence = group.told};
    auto events = co_await log.read(realm, std::move(query));
    if (!events) continue;  // removed, perhaps to be made again
    for (const LogEvent& event : *events) {
      group.told = std::max(group.told, event.sequence);
      if (!is_wanted(session, event)) continue;
      if (results.size() == kMaxEvents) {
        sampled = true;
        continue;
      }
      results.push_back({{"logStreamName", event.stream},
                         {"logGroupIdentifier", group.arn},
                         {"message", event.message},
                         {"timestamp", event.time_ms},
                         {"ingestionTime", event.ingestion_ms}});
    }
  }
  co_return Json{{"sessionMetadata", {{"sampled", sampled}}}, {"sessionResults", std::move(results)}};
}

Json start_json(const Session& session, const std::string& request_id) {
  Json groups = Json::array();
  for (const TailedGroup& group : session.groups) groups.push_back(group.arn);
  return {{"requestId", request_id},
          {"sessionId", functions::random_uuid()},
          {"logGroupIdentifiers", std::move(groups)},
          {"logStreamNames", session.streams},
          {"logStreamNamePrefixes", session.prefixes},
          {"logEventFilterPattern", session.pattern_text}};
}

io::Task<Result<void>> tell(FunctionServices& services, io::Exchange& exchange, AwsCaller caller,
                            Session session) {
  std::string type = "application/vnd.amazon.eventstream";
  CO_CHECK(co_await exchange.begin(200, type));
  std::string frame = lambda::event_frame("initial-response", "application/x-amz-json-1.1", "{}");
  frame += lambda::event_frame("sessionStart", kJsonType, to_json(start_json(session, caller.request_id)));
  CO_CHECK(co_await exchange.write(frame));
  io::SteadyTime end = std::chrono::steady_clock::now() + kLongest;
  while (std::chrono::steady_clock::now() < end) {
    co_await services.loop.sleep_for(kTick);
    Json update = co_await next_update(services.log, caller.realm, session);
    frame = lambda::event_frame("sessionUpdate", kJsonType, to_json(update));
    CO_CHECK(co_await exchange.write(frame));
  }
  CO_CHECK(co_await exchange.finish());
  co_return Result<void>();
}

}  // namespace

io::Task<void> serve_live_tail(FunctionServices& services, io::Exchange& exchange, AwsCaller caller,
                               const Json& request) {
  auto session = plan_session(services, caller.realm, request);
  if (!session) {
    Reply refusal = json_error_reply(session.error());
    for (const auto& [name, value] : refusal.headers) exchange.set_header(name, value);
    std::string type = "application/x-amz-json-1.1";
    [[maybe_unused]] auto sent = co_await exchange.respond(refusal.status, type, refusal.body);
    co_return;
  }
  auto telling = tell(services, exchange, std::move(caller), std::move(*session));
  [[maybe_unused]] auto told = co_await io::unless_cancelled(std::move(telling), exchange.client_gone());
}

}  // namespace berth::api::aws
