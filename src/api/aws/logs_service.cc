#include "api/aws/logs_service.h"

#include <algorithm>
#include <charconv>

#include "api/aws/caller.h"
#include "api/aws/live_tail.h"
#include "api/aws/reply.h"
#include "base/format.h"
#include "base/json.h"
#include "functions/function_log.h"
#include "functions/log/filter_pattern.h"
#include "io/event_loop.h"
#include "io/http_server.h"

namespace berth::api::aws {
namespace {

using functions::FunctionLog;
using functions::LogEvent;
using functions::LogQuery;

constexpr size_t document_bytes = 2 << 20;
constexpr std::string_view target_prefix = "Logs_20140328.";

struct LogsCall {
  FunctionServices& services;
  const functions::Realm& realm;
  const Json& request;

  std::string text(const char* name) const {
    auto found = json_string(request, name);
    return found ? *found : std::string();
  }
  std::optional<int64_t> number(const char* name) const {
    auto found = request.find(name);
    if (found == request.end() || !found->is_number_integer()) return std::nullopt;
    return found->get<int64_t>();
  }
  bool flag(const char* name, bool fallback) const {
    auto found = json_bool(request, name, fallback);
    return found ? *found : fallback;
  }
};

std::string group_arn(const functions::Realm& realm, std::string_view group) {
  return fmt::format("arn:aws:logs:{}:{}:log-group:{}", realm.region, realm.account, group);
}

/// A group by name or by ARN, as logGroupIdentifier has it.
std::string group_of(const LogsCall& call) {
  std::string name = call.text("logGroupName");
  if (name.empty()) name = call.text("logGroupIdentifier");
  constexpr std::string_view part = ":log-group:";
  if (size_t at = name.find(part); name.starts_with("arn:") && at != std::string::npos) {
    name = name.substr(at + part.size());
  }
  if (name.ends_with(":*")) name.resize(name.size() - 2);
  return name;
}

AwsError invalid(std::string message) {
  return {400, "InvalidParameterException", std::move(message)};
}

/// CloudWatch Logs' own types for what FunctionLog says.
AwsError logs_error(const Error& error) {
  switch (error.kind()) {
    case Kind::NotFound:
      return {400, "ResourceNotFoundException", error.message()};
    case Kind::AlreadyExists:
      return {400, "ResourceAlreadyExistsException", error.message()};
    case Kind::InvalidArgument:
      return invalid(error.message());
    default:
      return {500, "InternalFailure", error.message()};
  }
}

template <class T>
AwsResult<T> as_logs(Result<T> result) {
  if (!result) return logs_error(result.error());
  if constexpr (std::is_void_v<T>) {
    return {};
  } else {
    return std::move(*result);
  }
}

uint64_t position_of(std::string_view token) {
  uint64_t position = 0;
  std::from_chars(token.data(), token.data() + token.size(), position);
  return position;
}

/// One page of a list that is in memory; the token is the position.
template <class T, class Show>
Json page(const LogsCall& call, const std::vector<T>& items, const char* member, Show show) {
  size_t begin = std::min<size_t>(position_of(call.text("nextToken")), items.size());
  size_t limit = static_cast<size_t>(std::clamp<int64_t>(call.number("limit").value_or(50), 1, 1000));
  size_t end = std::min(items.size(), begin + limit);
  Json list = Json::array();
  for (size_t i = begin; i < end; ++i) list.push_back(show(items[i]));
  Json body{{member, std::move(list)}};
  if (end < items.size()) body["nextToken"] = std::to_string(end);
  return body;
}

AwsResult<Json> describe_groups(LogsCall& call) {
  std::string pattern = call.text("logGroupNamePattern");
  TRY(auto groups, as_logs(call.services.log.groups(call.realm, call.text("logGroupNamePrefix"))));
  if (!pattern.empty()) {
    std::erase_if(groups, [&](const auto& group) { return group.name.find(pattern) == std::string::npos; });
  }
  return page(call, groups, "logGroups", [&](const functions::LogGroupInfo& group) {
    Json json{{"logGroupName", group.name},
              {"creationTime", group.created_ms},
              {"metricFilterCount", 0},
              {"arn", group_arn(call.realm, group.name) + ":*"},
              {"logGroupArn", group_arn(call.realm, group.name)},
              {"logGroupClass", "STANDARD"},
              {"storedBytes", group.stored_bytes}};
    if (group.retention_days) json["retentionInDays"] = *group.retention_days;
    return json;
  });
}

AwsResult<Json> describe_streams(LogsCall& call) {
  std::string group = group_of(call);
  TRY(auto streams, as_logs(call.services.log.streams(call.realm, group, call.text("logStreamNamePrefix"))));
  bool by_time = call.text("orderBy") == "LastEventTime";
  std::sort(streams.begin(), streams.end(), [by_time](const auto& a, const auto& b) {
    return by_time ? std::tie(a.last_ms, a.name) < std::tie(b.last_ms, b.name) : a.name < b.name;
  });
  if (call.flag("descending", false)) std::reverse(streams.begin(), streams.end());
  return page(call, streams, "logStreams", [&](const functions::LogStreamInfo& stream) {
    Json json{{"logStreamName", stream.name},
              {"creationTime", stream.created_ms},
              {"arn", fmt::format("{}:log-stream:{}", group_arn(call.realm, group), stream.name)},
              {"uploadSequenceToken", "1"},
              {"storedBytes", 0}};
    if (stream.last_ms == 0) return json;
    json["firstEventTimestamp"] = stream.first_ms;
    json["lastEventTimestamp"] = stream.last_ms;
    json["lastIngestionTime"] = stream.last_ingestion_ms;
    return json;
  });
}

AwsResult<Json> create_group(LogsCall& call) {
  CHECK(as_logs(call.services.log.create_group(call.realm, group_of(call))));
  return Json(Json::object());
}
AwsResult<Json> create_stream(LogsCall& call) {
  CHECK(as_logs(call.services.log.create_stream(call.realm, group_of(call), call.text("logStreamName"))));
  return Json(Json::object());
}
AwsResult<Json> delete_stream(LogsCall& call) {
  CHECK(as_logs(call.services.log.remove_stream(call.realm, group_of(call), call.text("logStreamName"))));
  return Json(Json::object());
}
AwsResult<Json> delete_group(LogsCall& call) {
  CHECK(as_logs(call.services.log.remove_group(call.realm, group_of(call))));
  return Json(Json::object());
}
AwsResult<Json> put_retention(LogsCall& call) {
  auto days = call.number("retentionInDays");
  if (!days || *days < 1 || *days > 3653) return invalid("retentionInDays must be 1 to 3653");
  CHECK(as_logs(call.services.log.set_retention(call.realm, group_of(call), static_cast<uint32_t>(*days))));
  return Json(Json::object());
}
AwsResult<Json> delete_retention(LogsCall& call) {
  CHECK(as_logs(call.services.log.set_retention(call.realm, group_of(call), std::nullopt)));
  return Json(Json::object());
}
AwsResult<Json> list_tags(LogsCall&) {
  return Json{{"tags", Json::object()}};
}

/// PutLogEvents: what functions (or programs beside them) write themselves.
AwsResult<Json> put_events(LogsCall& call) {
  auto events = call.request.find("logEvents");
  if (events == call.request.end() || !events->is_array()) return invalid("logEvents is missing");
  std::string group = group_of(call), stream = call.text("logStreamName");
  TRY(auto streams, as_logs(call.services.log.streams(call.realm, group, stream)));
  bool known =
      std::any_of(streams.begin(), streams.end(), [&](const auto& each) { return each.name == stream; });
  if (!known) return AwsError{400, "ResourceNotFoundException", "The specified log stream does not exist."};
  for (const Json& event : *events) {
    auto time = event.is_object() ? json_int(event, "timestamp") : Result<int64_t>(int64_t{0});
    auto message = event.is_object() ? json_string(event, "message") : Result<std::string>(std::string());
    if (!time || !message || message->empty()) return invalid("each of logEvents has timestamp and message");
    call.services.log.append(call.realm, group, stream, *time, *message);
  }
  return Json{{"nextSequenceToken", "1"}};
}

// --- reading

/// GetLogEvents' tokens: "f/<sequence>" goes on after that event, "b/<sequence>" has no page before.
io::Task<AwsResult<Json>> get_events(LogsCall& call) {
  LogQuery query{.group = group_of(call)};
  query.streams = {call.text("logStreamName")};
  query.from_ms = call.number("startTime");
  query.until_ms = call.number("endTime");
  std::string token = call.text("nextToken");
  if (token.size() > 2) query.after_sequence = position_of(std::string_view(token).substr(2));
  query.limit = static_cast<uint32_t>(std::clamp<int64_t>(call.number("limit").value_or(10'000), 1, 10'000));
  uint32_t limit = query.limit;
  // The newest page comes first unless asked otherwise, so the whole stream is read and its end taken.
  bool from_head = call.flag("startFromHead", false) || !token.empty();
  if (!from_head) query.limit = 10'000;
  uint64_t last = query.after_sequence;
  auto streams = call.services.log.streams(call.realm, query.group, query.streams.front());
  if (!streams) co_return logs_error(streams.error());
  bool known = std::any_of(streams->begin(), streams->end(),
                           [&](const auto& each) { return each.name == query.streams.front(); });
  if (!known)
    co_return AwsError{400, "ResourceNotFoundException", "The specified log stream does not exist."};
  auto events = co_await call.services.log.read(call.realm, std::move(query));
  if (!events) co_return logs_error(events.error());
  if (events->size() > limit) events->erase(events->begin(), events->end() - limit);
  Json list = Json::array();
  for (const LogEvent& event : *events) {
    last = std::max(last, event.sequence);
    list.push_back(
        {{"timestamp", event.time_ms}, {"message", event.message}, {"ingestionTime", event.ingestion_ms}});
  }
  uint64_t first = events->empty() ? last : events->front().sequence;
  co_return Json{{"events", std::move(list)},
                 {"nextForwardToken", fmt::format("f/{}", last)},
                 {"nextBackwardToken", fmt::format("b/{}", first)}};
}

io::Task<AwsResult<Json>> filter_events(LogsCall& call) {
  LogQuery query{.group = group_of(call)};
  if (auto names = json_strings(call.request, "logStreamNames")) query.streams = *names;
  query.stream_prefix = call.text("logStreamNamePrefix");
  query.from_ms = call.number("startTime");
  if (auto end = call.number("endTime")) query.until_ms = *end + 1;  // endTime is included
  query.after_sequence = position_of(call.text("nextToken"));
  query.limit = static_cast<uint32_t>(std::clamp<int64_t>(call.number("limit").value_or(10'000), 1, 10'000));
  uint32_t limit = query.limit;
  auto pattern = functions::FilterPattern::parse(call.text("filterPattern"));
  if (!pattern) co_return logs_error(pattern.error());
  auto events = co_await call.services.log.read(call.realm, std::move(query));
  if (!events) co_return logs_error(events.error());
  Json list = Json::array();
  for (const LogEvent& event : *events) {
    if (!pattern->matches(event.message)) continue;
    list.push_back({{"logStreamName", event.stream},
                    {"timestamp", event.time_ms},
                    {"message", event.message},
                    {"ingestionTime", event.ingestion_ms},
                    {"eventId", fmt::format("{:056}", event.sequence)}});
  }
  Json body{{"events", std::move(list)}, {"searchedLogStreams", Json::array()}};
  if (events->size() >= limit) body["nextToken"] = std::to_string(events->back().sequence);
  co_return body;
}

struct LogsAction {
  std::string_view name;
  AwsResult<Json> (*answer)(LogsCall&) = nullptr;
  io::Task<AwsResult<Json>> (*work)(LogsCall&) = nullptr;
};
constexpr LogsAction actions[] = {
    {"DescribeLogGroups", describe_groups},
    {"DescribeLogStreams", describe_streams},
    {"CreateLogGroup", create_group},
    {"CreateLogStream", create_stream},
    {"DeleteLogGroup", delete_group},
    {"DeleteLogStream", delete_stream},
    {"PutRetentionPolicy", put_retention},
    {"DeleteRetentionPolicy", delete_retention},
    {"PutLogEvents", put_events},
    {"ListTagsForResource", list_tags},
    {"ListTagsLogGroup", list_tags},
    {"GetLogEvents", nullptr, get_events},
    {"FilterLogEvents", nullptr, filter_events},
};

const LogsAction* find_action(std::string_view name) {
  auto found = std::find_if(std::begin(actions), std::end(actions),
                            [&](const LogsAction& a) { return a.name == name; });
  return found == std::end(actions) ? nullptr : found;
}

io::Task<AwsResult<Json>> dispatch(FunctionServices& services, io::Exchange& exchange,
                                   const AwsCaller& caller, const std::string& body) {
  CO_CHECK(check_caller(services, exchange, body));
  std::string_view name = exchange.header("X-Amz-Target").value_or("").substr(target_prefix.size());
  const LogsAction* action = find_action(name);
  if (action == nullptr) {
    co_return AwsError{400, "UnknownOperationException", fmt::format("{} is not supported here", name)};
  }
  auto request = parse_json(body.empty() ? std::string_view("{}") : std::string_view(body));
  if (!request || !request->is_object())
    co_return AwsError{400, "SerializationException", "The body is no JSON object"};
  LogsCall call{services, caller.realm, *request};
  if (action->answer != nullptr) co_return action->answer(call);
  co_return co_await action->work(call);
}

}  // namespace

io::Task<void> serve_logs(FunctionServices& services, io::Exchange& exchange, AwsCaller caller) {
  auto body = co_await exchange.read_body(document_bytes);
  std::string_view name = exchange.header("X-Amz-Target").value_or("").substr(target_prefix.size());
  if (body && name == "StartLiveTail" && check_caller(services, exchange, *body)) {
    Json request = parse_json(*body).value_or(Json());
    co_await serve_live_tail(services, exchange, std::move(caller), request);
    co_return;
  }
  AwsResult<Json> answer = AwsError{413, "RequestEntityTooLargeException", "The body is too large"};
  if (body) answer = co_await dispatch(services, exchange, caller, *body);
  Reply reply = answer ? json_reply(200, *answer) : json_error_reply(answer.error());
  for (const auto& [name, value] : reply.headers) exchange.set_header(name, value);
  std::string type = "application/x-amz-json-1.1";
  [[maybe_unused]] auto sent = co_await exchange.respond(reply.status, type, reply.body);
}

}  // namespace berth::api::aws
