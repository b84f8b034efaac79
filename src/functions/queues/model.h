// What a queue and its messages are, in the terms of Amazon SQS (API version 2012-11-05). Values without
// behaviour; limits are those that AWS documents.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "functions/model.h"

namespace berth::functions::queues {

enum class Order { Standard, Fifo };

/// Settings by which a queue behaves. The rest of what clients set is kept in QueueRecord::attributes.
struct QueueSettings {
  int64_t delay_seconds = 0;
  int64_t maximum_message_size = 1'048'576;
  int64_t retention_seconds = 345'600;
  int64_t receive_wait_seconds = 0;
  int64_t visibility_seconds = 30;
  Order order = Order::Standard;
  bool content_based_deduplication = false;
  bool deduplication_per_group = false;  ///< DeduplicationScope=messageGroup
  std::string dead_letter_arn = {};      ///< of RedrivePolicy; empty: none
  int64_t max_receive_count = 0;
};

struct QueueRecord {
  int64_t id = 0;
  Realm realm;
  std::string name;
  int64_t created_ms = 0, modified_ms = 0;
  std::map<std::string, std::string> attributes;  ///< as clients set them, by AWS's names
  std::map<std::string, std::string> tags;
  QueueSettings settings;
};

/// A user's attribute of a message, or the system attribute AWSTraceHeader.
struct MessageAttribute {
  std::string type;   ///< "String", "Number", "Binary", or one of them with a label: "Number.int"
  std::string value;  ///< bytes, if the type is binary
  bool binary() const { return type.starts_with("Binary"); }
};
using MessageAttributes = std::map<std::string, MessageAttribute>;

struct NewMessage {
  std::string body;
  MessageAttributes attributes = {};
  std::string trace_header = {};
  std::optional<int64_t> delay_seconds = {};
  std::string group_id = {};
  std::string deduplication_id = {};
};

struct SentMessage {
  std::string message_id;
  std::string sequence_number;  ///< FIFO only
};

struct Message {
  int64_t id = 0;
  std::string message_id, receipt_handle, body;
  MessageAttributes attributes;
  std::string trace_header, group_id, deduplication_id, sequence_number, dead_letter_source;
  int64_t sent_ms = 0, first_received_ms = 0, receive_count = 0;
};

struct QueueCounts {
  uint64_t visible = 0, in_flight = 0, delayed = 0;
};

struct ReceiveRequest {
  uint32_t max_messages = 1;
  std::optional<int64_t> visibility_seconds = {};
  std::optional<int64_t> wait_seconds = {};
};

/// "arn:aws:sqs:REGION:ACCOUNT:NAME"
std::string queue_arn(const Realm& realm, const std::string& name);

struct QueueName {
  Realm realm;
  std::string name;
};
/// Of an ARN as above; anything else: InvalidArgument.
Result<QueueName> parse_queue_arn(std::string_view arn);

/// How many bytes of a message count against MaximumMessageSize.
size_t message_size(const NewMessage& message);

}  // namespace berth::functions::queues
