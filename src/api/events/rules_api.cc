#include "api/events/rules_api.h"

#include <array>

#include "base/format.h"
#include "base/json.h"
#include "functions/uuid.h"

namespace berth::api::events {
namespace {

using aws::AwsError;
using aws::AwsResult;
using functions::events::Rule;
using functions::events::Rules;
using functions::events::RuleTarget;

struct RulesCall {
  Rules& rules;
  const Json& input;
  functions::Realm realm;
};
using Operation = io::Task<AwsResult<Json>> (*)(RulesCall& call);

AwsError rules_error(const Error& error) {
  switch (error.kind()) {
    case Kind::NotFound:
      return {400, "ResourceNotFoundException", error.message()};
    case Kind::InvalidArgument:
    case Kind::WrongState:
      return {400, "ValidationException", error.message()};
    case Kind::Exhausted:
      return {400, "LimitExceededException", error.message()};
    default:
      return {500, "InternalException", error.message()};
  }
}

AwsResult<std::string> text_of(const Json& input, const char* name) {
  auto text = json_string(input, name);
  if (!text) return AwsError{400, "ValidationException", text.error().message()};
  return *text;
}
AwsResult<std::string> required(const Json& input, const char* name) {
  TRY(std::string text, text_of(input, name));
  if (text.empty())
    return AwsError{400, "ValidationException",
                    fmt::format("1 validation error detected: Value at '{}' failed to "
                                "satisfy constraint: Member must not be null",
                                name)};
  return text;
}
AwsResult<std::string> rule_name(const Json& input, const char* member) {
  TRY(std::string name, required(input, member));
  bool good = name.size() <= 64;
  for (char c : name)
    good = good && (std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_');
  if (!good)
    return AwsError{
        400, "ValidationException",
        fmt::format("1 validation error detected: Value '{}' at 'name' failed to satisfy constraint: "
                    "Member must satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+",
                    name.substr(0, 100))};
  return name;
}

Json rule_json(const Rule& rule) {
  Json json{{"Name", rule.name},
            {"Arn", rule.arn()},
            {"State", rule.enabled ? "ENABLED" : "DISABLED"},
            {"EventBusName", "default"}};
  if (!rule.schedule.empty()) json["ScheduleExpression"] = rule.schedule;
  if (!rule.pattern.empty()) json["EventPattern"] = rule.pattern;
  if (!rule.description.empty()) json["Description"] = rule.description;
  return json;
}

io::Task<AwsResult<Json>> put_rule(RulesCall& call) {
  Rule rule{.realm = call.realm};
  CO_TRY(rule.name, rule_name(call.input, "Name"));
  CO_TRY(rule.description, text_of(call.input, "Description"));
  CO_TRY(rule.schedule, text_of(call.input, "ScheduleExpression"));
  CO_TRY(rule.pattern, text_of(call.input, "EventPattern"));
  CO_TRY(std::string state, text_of(call.input, "State"));
  rule.enabled = state != "DISABLED";
  std::string arn = rule.arn();
  auto put = co_await call.rules.put(std::move(rule));
  if (!put) co_return rules_error(put.error());
  co_return Json{{"RuleArn", arn}};
}

io::Task<AwsResult<Json>> describe_rule(RulesCall& call) {
  CO_TRY(std::string name, rule_name(call.input, "Name"));
  auto rule = call.rules.find(call.realm, name);
  if (!rule) co_return rules_error(rule.error());
  co_return rule_json(**rule);
}

io::Task<AwsResult<Json>> list_rules(RulesCall& call) {
  CO_TRY(std::string prefix, text_of(call.input, "NamePrefix"));
  Json rules = Json::array();
  for (const Rule* rule : call.rules.list(call.realm)) {
    if (rule->name.starts_with(prefix)) rules.push_back(rule_json(*rule));
  }
  co_return Json{{"Rules", std::move(rules)}};
}

io::Task<AwsResult<Json>> delete_rule(RulesCall& call) {
  CO_TRY(std::string name, rule_name(call.input, "Name"));
  auto removed = co_await call.rules.remove(call.realm, std::move(name), Rules::WithTargets::No);
  if (!removed) co_return rules_error(removed.error());
  co_return Json(nullptr);
}

io::Task<AwsResult<Json>> enable_rule(RulesCall& call) {
  CO_TRY(std::string name, rule_name(call.input, "Name"));
  auto done = co_await call.rules.set_enabled(call.realm, std::move(name), true);
  if (!done) co_return rules_error(done.error());
  co_return Json(nullptr);
}
io::Task<AwsResult<Json>> disable_rule(RulesCall& call) {
  CO_TRY(std::string name, rule_name(call.input, "Name"));
  auto done = co_await call.rules.set_enabled(call.realm, std::move(name), false);
  if (!done) co_return rules_error(done.error());
  co_return Json(nullptr);
}

io::Task<AwsResult<Json>> put_targets(RulesCall& call) {
  CO_TRY(std::string name, rule_name(call.input, "Rule"));
  std::vector<RuleTarget> targets;
  const Json* list = json_member(call.input, "Targets");
  if (list == nullptr || !list->is_array())
    co_return AwsError{400, "ValidationException", "Targets must be a list"};
  for (const Json& each : *list) {
    RuleTarget target;
    CO_TRY(target.id, required(each, "Id"));
    CO_TRY(target.arn, required(each, "Arn"));
    CO_TRY(target.input, text_of(each, "Input"));
    if (!target.input.empty() && !parse_json(target.input))
      co_return AwsError{400, "ValidationException",
                         fmt::format("JSON syntax error in input for target {}", target.id)};
    for (const char* unsupported : {"InputPath", "InputTransformer"}) {
      if (json_member(each, unsupported) != nullptr)
        co_return AwsError{400, "ValidationException",
                           fmt::format("{} of target {} is not supported: use Input, or the whole event",
                                       unsupported, target.id)};
    }
    targets.push_back(std::move(target));
  }
  auto put = co_await call.rules.put_targets(call.realm, std::move(name), std::move(targets));
  if (!put) co_return rules_error(put.error());
  co_return Json{{"FailedEntryCount", 0}, {"FailedEntries", Json::array()}};
}

io::Task<AwsResult<Json>> list_targets(RulesCall& call) {
  CO_TRY(std::string name, rule_name(call.input, "Rule"));
  auto rule = call.rules.find(call.realm, name);
  if (!rule) co_return rules_error(rule.error());
  Json targets = Json::array();
  for (const RuleTarget& target : (*rule)->targets) {
    Json json{{"Id", target.id}, {"Arn", target.arn}};
    if (!target.input.empty()) json["Input"] = target.input;
    targets.push_back(std::move(json));
  }
  co_return Json{{"Targets", std::move(targets)}};
}

io::Task<AwsResult<Json>> remove_targets(RulesCall& call) {
  CO_TRY(std::string name, rule_name(call.input, "Rule"));
  auto ids = json_strings(call.input, "Ids");
  if (!ids) co_return AwsError{400, "ValidationException", ids.error().message()};
  auto removed = co_await call.rules.remove_targets(call.realm, std::move(name), std::move(*ids));
  if (!removed) co_return rules_error(removed.error());
  co_return Json{{"FailedEntryCount", 0}, {"FailedEntries", Json::array()}};
}

/// One entry of PutEvents as the event that rules see.
Json event_of(const Json& entry, const functions::Realm& realm, const std::string& id) {
  Json event{{"version", "0"},
             {"id", id},
             {"detail-type", json_string(entry, "DetailType").value_or("")},
             {"source", json_string(entry, "Source").value_or("")},
             {"account", realm.account},
             {"time", to_rfc3339(now()).substr(0, 19) + "Z"},
             {"region", realm.region},
             {"resources", json_strings(entry, "Resources").value_or(std::vector<std::string>())}};
  auto detail = parse_json(json_string(entry, "Detail").value_or("{}"));
  event["detail"] = detail ? std::move(*detail) : Json::object();
  return event;
}

io::Task<AwsResult<Json>> put_events(RulesCall& call) {
  const Json* list = json_member(call.input, "Entries");
  if (list == nullptr || !list->is_array() || list->empty() || list->size() > 10)
    co_return AwsError{400, "ValidationException", "Entries must be a list of 1 to 10 events"};
  Json entries = Json::array();
  int failed = 0;
  for (const Json& entry : *list) {
    bool good = entry.is_object() && !json_string(entry, "Source").value_or("").empty() &&
                !json_string(entry, "DetailType").value_or("").empty() &&
                parse_json(json_string(entry, "Detail").value_or("")).has_value();
    if (!good) {
      ++failed;
      entries.push_back({{"ErrorCode", "InvalidArgument"},
                         {"ErrorMessage", "Source, DetailType and Detail (JSON) are needed."}});
      continue;
    }
    std::string id = functions::random_uuid();
    std::string event = to_json(event_of(entry, call.realm, id));
    auto delivered = co_await call.rules.deliver(call.realm, std::move(event));
    if (!delivered) co_return rules_error(delivered.error());
    entries.push_back({{"EventId", id}});
  }
  co_return Json{{"FailedEntryCount", failed}, {"Entries", std::move(entries)}};
}

struct NamedOperation {
  std::string_view name;
  Operation operation;
};
constexpr std::array operations{NamedOperation{"PutRule", put_rule},
                                NamedOperation{"DescribeRule", describe_rule},
                                NamedOperation{"ListRules", list_rules},
                                NamedOperation{"DeleteRule", delete_rule},
                                NamedOperation{"EnableRule", enable_rule},
                                NamedOperation{"DisableRule", disable_rule},
                                NamedOperation{"PutTargets", put_targets},
                                NamedOperation{"ListTargetsByRule", list_targets},
                                NamedOperation{"RemoveTargets", remove_targets},
                                NamedOperation{"PutEvents", put_events}};

}  // namespace

io::Task<aws::Reply> answer_rules(Rules& rules, std::string target, std::string body,
                                  functions::Realm realm) {
  std::string_view name = std::string_view(target).substr(target.find('.') + 1);
  auto input = parse_json(body.empty() ? "{}" : body);
  if (!input || !input->is_object()) {
    AwsError error{400, "SerializationException", "the request is not a JSON object"};
    co_return aws::json_error_reply(error);
  }
  for (const NamedOperation& known : operations) {
    if (known.name != name) continue;
    RulesCall call{rules, *input, std::move(realm)};
    auto output = co_await known.operation(call);
    if (!output) co_return aws::json_error_reply(output.error());
    aws::Reply reply;
    reply.content_type = "application/x-amz-json-1.1";
    reply.body = output->is_null() ? "{}" : to_json(*output);
    co_return reply;
  }
  AwsError unknown{400, "UnknownOperationException",
                   fmt::format("berth does not know {}", name.substr(0, 100))};
  co_return aws::json_error_reply(unknown);
}

}  // namespace berth::api::events
