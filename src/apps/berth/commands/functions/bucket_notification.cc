#include "apps/berth/commands/functions/bucket_notification.h"

#include "base/format.h"
#include "base/json.h"
#include "base/xml_text.h"

namespace berth::cli::commands {
namespace {

std::string element(std::string_view name, std::string_view text) {
  return fmt::format("<{}>{}</{}>", name, xml_escape(text), name);
}

Result<void> read_rules(const Json& filter, BucketNotification& notification) {
  const Json* key = json_member(filter, "S3Key");
  const Json* rules = key == nullptr ? nullptr : json_member(*key, "Rules");
  if (rules == nullptr || !rules->is_array())
    return Error(Kind::InvalidArgument, "Filter must have S3Key with Rules");
  for (const Json& rule : *rules) {
    TRY(std::string name, json_string(rule, "Name"));
    TRY(std::string value, json_string(rule, "Value"));
    if (name != "prefix" && name != "suffix")
      return failure(Kind::InvalidArgument, "a rule of Filter is of {}: it is prefix or suffix",
                     name.empty() ? "no name" : name);
    notification.key_rules.emplace_back(std::move(name), std::move(value));
  }
  return {};
}

}  // namespace

Result<BucketNotification> read_notification(const Json& properties) {
  BucketNotification notification;
  const Json* events = json_member(properties, "Events");
  if (events != nullptr && events->is_string()) {
    notification.events.push_back(events->get<std::string>());
  } else {
    TRY(notification.events, json_strings(properties, "Events"));
  }
  if (notification.events.empty())
    return Error(Kind::InvalidArgument, "Events must name one or more, as s3:ObjectCreated:*");
  if (const Json* filter = json_member(properties, "Filter")) CHECK(read_rules(*filter, notification));
  return notification;
}

std::string notification_document(const std::vector<BucketNotification>& notifications) {
  std::string text = "<NotificationConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  for (const BucketNotification& each : notifications) {
    text += "<CloudFunctionConfiguration>";
    text += element("Id", each.id) + element("CloudFunction", each.function_arn);
    for (const std::string& event : each.events) text += element("Event", event);
    if (!each.key_rules.empty()) {
      text += "<Filter><S3Key>";
      for (const auto& [name, value] : each.key_rules)
        text += "<FilterRule>" + element("Name", name) + element("Value", value) + "</FilterRule>";
      text += "</S3Key></Filter>";
    }
    text += "</CloudFunctionConfiguration>";
  }
  return text + "</NotificationConfiguration>";
}

}  // namespace berth::cli::commands
