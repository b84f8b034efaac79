#include "api/s3/notifications.h"

#include <algorithm>

#include "api/aws/reply.h"
#include "api/aws/sigv4.h"
#include "api/s3/xml.h"
#include "base/clock.h"
#include "base/format.h"
#include "base/json.h"
#include "base/log.h"
#include "functions/async_queue.h"
#include "functions/buckets/bucket_store.h"
#include "functions/catalog/catalog.h"
#include "functions/catalog/names.h"
#include "functions/uuid.h"

namespace berth::api::s3 {
namespace {

constexpr size_t most_rules = 100;
constexpr std::string_view event_prefix = "s3:";
constexpr std::string_view known_kinds[] = {"s3:ObjectCreated:", "s3:ObjectRemoved:"};

Result<void> check_event(std::string_view event) {
  bool known = std::any_of(std::begin(known_kinds), std::end(known_kinds), [&](std::string_view kind) {
    return event.starts_with(kind) && event.size() > kind.size();
  });
  if (known) return {};
  return failure(Kind::InvalidArgument,
                 "The event '{}' is not supported for notifications: there are s3:ObjectCreated:* and "
                 "s3:ObjectRemoved:*",
                 event.substr(0, 100));
}

Result<NotificationRule> parse_rule(std::string_view xml) {
  NotificationRule rule{.id = first_element(xml, "Id"),
                        .function_arn = first_element(xml, "CloudFunction"),
                        .events = elements(xml, "Event"),
                        .prefix = {},
                        .suffix = {}};
  if (rule.function_arn.empty())
    return Error(Kind::InvalidArgument, "A CloudFunctionConfiguration names no function");
  if (rule.events.empty()) return Error(Kind::InvalidArgument, "A CloudFunctionConfiguration names no Event");
  for (const std::string& event : rule.events) CHECK(check_event(event));
  for (std::string_view filter : blocks(xml, "FilterRule")) {
    std::string name = first_element(filter, "Name");
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    if (name == "prefix") {
      rule.prefix = first_element(filter, "Value");
    } else if (name == "suffix") {
      rule.suffix = first_element(filter, "Value");
    } else {
      return Error(Kind::InvalidArgument, "filter rule name must be either prefix or suffix");
    }
  }
  return rule;
}

/// Form encoding: a space is a plus.
std::string encoded_key(const std::string& key) {
  std::string text = aws::uri_encode(key, aws::Slash::Keep);
  for (size_t at = text.find("%20"); at != std::string::npos; at = text.find("%20", at))
    text.replace(at, 3, "+");
  return text;
}

}  // namespace

bool NotificationRule::wants(std::string_view event, std::string_view key) const {
  if (!key.starts_with(prefix) || !key.ends_with(suffix)) return false;
  return std::any_of(events.begin(), events.end(), [&](std::string_view wanted) {
    wanted.remove_prefix(event_prefix.size());
    if (!wanted.ends_with('*')) return wanted == event;
    return event.starts_with(wanted.substr(0, wanted.size() - 1));
  });
}

Result<std::vector<NotificationRule>> parse_notifications(std::string_view xml) {
  auto documents = blocks(xml, "NotificationConfiguration");
  if (documents.size() != 1) return Error(Kind::InvalidArgument, "The XML is no NotificationConfiguration");
  for (std::string_view other : {"QueueConfiguration", "TopicConfiguration", "EventBridgeConfiguration"}) {
    if (blocks(documents.front(), other).empty()) continue;
    return failure(Kind::InvalidArgument, "{} is not supported here: notifications go to functions", other);
  }
  std::vector<NotificationRule> rules;
  for (std::string_view block : blocks(documents.front(), "CloudFunctionConfiguration")) {
    TRY(NotificationRule rule, parse_rule(block));
    rules.push_back(std::move(rule));
  }
  if (rules.size() > most_rules) {
    return failure(Kind::InvalidArgument, "A bucket has at most {} notification configurations", most_rules);
  }
  return rules;
}

Json notification_event(const functions::Realm& realm, const std::string& bucket,
                        const NotificationRule& rule, const ObjectChange& change, int64_t unix_nanoseconds,
                        const std::string& request_id) {
  Json object{{"key", encoded_key(change.key)}, {"sequencer", fmt::format("{:016X}", unix_nanoseconds)}};
  if (change.event.starts_with("ObjectCreated")) {
    object["size"] = change.size;
    object["eTag"] = change.etag;
  }
  Json record{{"eventVersion", "2.1"},
              {"eventSource", "aws:s3"},
              {"awsRegion", realm.region},
              {"eventTime", aws::iso_milliseconds(unix_nanoseconds)},
              {"eventName", change.event},
              {"userIdentity", {{"principalId", realm.account}}},
              {"requestParameters", {{"sourceIPAddress", "127.0.0.1"}}},
              {"responseElements", {{"x-amz-request-id", request_id}, {"x-amz-id-2", request_id}}},
              {"s3",
               {{"s3SchemaVersion", "1.0"},
                {"configurationId", rule.id},
                {"bucket",
                 {{"name", bucket},
                  {"ownerIdentity", {{"principalId", realm.account}}},
                  {"arn", "arn:aws:s3:::" + bucket}}},
                {"object", std::move(object)}}}};
  return {{"Records", Json::array({std::move(record)})}};
}

Result<void> set_notifications(FunctionServices& services, const functions::Realm& realm,
                               const std::string& bucket, const std::string& xml) {
  TRY(auto rules, parse_notifications(xml));
  for (const NotificationRule& rule : rules) {
    auto function = functions::parse_function_reference(rule.function_arn, realm);
    if (function && services.catalog.find(function->realm, function->name) != nullptr) continue;
    return failure(Kind::InvalidArgument,
                   "Unable to validate the following destination configurations: there is no function {}",
                   rule.function_arn.substr(0, 200));
  }
  return services.buckets.set_notifications(bucket, rules.empty() ? std::string() : xml);
}

Result<std::string> notifications_of(FunctionServices& services, const std::string& bucket) {
  return services.buckets.notifications(bucket);
}

io::Task<void> notify(FunctionServices& services, functions::Realm realm, std::string bucket,
                      ObjectChange change, std::string request_id) {
  auto document = services.buckets.notifications(bucket);
  if (!document || document->empty()) co_return;
  auto rules = parse_notifications(*document);
  if (!rules) co_return;
  int64_t time = to_unix_nanoseconds(berth::now());
  for (const NotificationRule& rule : *rules) {
    if (!rule.wants(change.event, change.key)) continue;
    auto function = functions::parse_function_reference(rule.function_arn, realm);
    if (!function || services.catalog.find(function->realm, function->name) == nullptr) {
      log::warn("bucket {}: its notifications go to {}, which does not exist", bucket, rule.function_arn);
      continue;
    }
    Json payload = notification_event(realm, bucket, rule, change, time, request_id);
    functions::AsyncEvent event{.realm = function->realm,
                                .function = function->name,
                                .qualifier = function->qualifier,
                                .request_id = functions::random_uuid(),
                                .payload = to_json(payload)};
    auto queued = co_await services.queue.enqueue(std::move(event));
    if (!queued)
      log::warn("bucket {}: {} was not told of {}: {}", bucket, rule.function_arn, change.key,
                queued.error().message());
  }
}

}  // namespace berth::api::s3
