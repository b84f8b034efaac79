// A bucket's notifications as the document that S3's PutBucketNotificationConfiguration takes. Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/json_fwd.h"
#include "base/result.h"

namespace berth::cli::commands {

/// One event of type S3 of a SAM function.
struct BucketNotification {
  std::string id;
  std::string function_arn;
  std::vector<std::string> events;                             ///< "s3:ObjectCreated:*"
  std::vector<std::pair<std::string, std::string>> key_rules;  ///< prefix or suffix, and its value
};

/// From the event's Properties: Events (one or a list) and Filter.S3Key.Rules. InvalidArgument: says what is
/// wrong.
Result<BucketNotification> read_notification(const Json& properties);
std::string notification_document(const std::vector<BucketNotification>& notifications);

}  // namespace berth::cli::commands
