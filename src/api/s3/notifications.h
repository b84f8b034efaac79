// Notifications of buckets: which functions hear of which objects, as PutBucketNotificationConfiguration has
// it, and the events that they get (S3's record version 2.1). Parsing and the records are pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/lambda/services.h"
#include "base/json_fwd.h"
#include "base/result.h"
#include "io/task.h"

namespace berth::api::s3 {

struct NotificationRule {
  std::string id;
  std::string function_arn;
  std::vector<std::string> events;  ///< "s3:ObjectCreated:*", "s3:ObjectRemoved:Delete"
  std::string prefix, suffix;       ///< of keys

  /// `event` without "s3:", as records have it: "ObjectCreated:Put".
  bool wants(std::string_view event, std::string_view key) const;
};

/// InvalidArgument says which part is not understood or not supported: queues, topics and EventBridge are
/// not.
Result<std::vector<NotificationRule>> parse_notifications(std::string_view xml);

/// What has happened to an object.
struct ObjectChange {
  std::string_view event;  ///< "ObjectCreated:Put"
  std::string key;
  uint64_t size = 0;
  std::string etag = {};
};
/// {"Records": [...]}, one record. `sequencer` rises from change to change of a key.
Json notification_event(const functions::Realm& realm, const std::string& bucket,
                        const NotificationRule& rule, const ObjectChange& change, int64_t unix_nanoseconds,
                        const std::string& request_id);

/// Keeps the configuration of a bucket. InvalidArgument as parse_notifications() has it, or for a function
/// that does not exist; NotFound: no such bucket.
Result<void> set_notifications(FunctionServices& services, const functions::Realm& realm,
                               const std::string& bucket, const std::string& xml);
/// The document as it was given; empty: none.
Result<std::string> notifications_of(FunctionServices& services, const std::string& bucket);

/// Puts an event into the queue for every rule that wants it, and returns when all are on the disk: answer
/// the change afterwards, so that whoever was told of it can count on the event.
io::Task<void> notify(FunctionServices& services, functions::Realm realm, std::string bucket,
                      ObjectChange change, std::string request_id);

}  // namespace berth::api::s3
