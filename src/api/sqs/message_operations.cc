// The operations on messages, single and in batches.
#include <algorithm>
#include <set>

#include "api/sqs/operations.h"
#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"
#include "functions/queues/attributes.h"

namespace berth::api::sqs {
namespace {

using functions::queues::Message;
using functions::queues::MessageAttribute;
using functions::queues::MessageAttributes;
using functions::queues::NewMessage;
using functions::queues::QueueName;
using functions::queues::Queues;
using functions::queues::ReceiveRequest;
using functions::queues::SentMessage;

constexpr size_t kMaxEntries = 10;

SqsResult<MessageAttributes> attributes_of(const Json& input, const char* name) {
  MessageAttributes attributes;
  auto map = input.find(name);
  if (map == input.end() || map->is_null()) return attributes;
  if (!map->is_object()) return invalid_parameter(fmt::format("{} must be a map.", name));
  for (const auto& [key, value] : map->items()) {
    if (!value.is_object())
      return invalid_parameter(fmt::format("The value of attribute {} must be a structure.", key));
    MessageAttribute attribute;
    attribute.type = string_or_empty(value, "DataType");
    if (attribute.type.empty()) {
      return invalid_parameter(
          fmt::format("The message attribute '{}' must contain non-empty message attribute type.", key));
    }
    if (attribute.binary()) {
      auto bytes = from_base64(string_or_empty(value, "BinaryValue"));
      if (!bytes)
        return invalid_parameter(fmt::format("The BinaryValue of attribute '{}' is not base64.", key));
      attribute.value = std::move(*bytes);
    } else {
      attribute.value = string_or_empty(value, "StringValue");
    }
    attributes.emplace(key, std::move(attribute));
  }
  return attributes;
}

SqsResult<NewMessage> message_of(const Json& input) {
  NewMessage message;
  TRY(message.body, required_string(input, "MessageBody"));
  TRY(message.attributes, attributes_of(input, "MessageAttributes"));
  TRY(MessageAttributes system, attributes_of(input, "MessageSystemAttributes"));
  if (auto trace = system.find("AWSTraceHeader"); trace != system.end())
    message.trace_header = trace->second.value;
  TRY(message.delay_seconds, optional_number(input, "DelaySeconds"));
  message.group_id = string_or_empty(input, "MessageGroupId");
  message.deduplication_id = string_or_empty(input, "MessageDeduplicationId");
  return message;
}

Json sent_json(const NewMessage& message, const SentMessage& sent) {
  Json json{{"MessageId", sent.message_id}, {"MD5OfMessageBody", functions::queues::md5_hex(message.body)}};
  std::string sum = functions::queues::md5_of_attributes(message.attributes);
  if (!sum.empty()) json["MD5OfMessageAttributes"] = sum;
  if (!message.trace_header.empty()) {
    MessageAttributes system{{"AWSTraceHeader", {"String", message.trace_header}}};
    json["MD5OfMessageSystemAttributes"] = functions::queues::md5_of_attributes(system);
  }
  if (!sent.sequence_number.empty()) json["SequenceNumber"] = sent.sequence_number;
  return json;
}

/// "All", "prefix.*" and exact names.
bool attribute_wanted(const std::vector<std::string>& wanted, const std::string& name) {
  return std::any_of(wanted.begin(), wanted.end(), [&](const std::string& pattern) {
    if (pattern == "All" || pattern == ".*" || pattern == name) return true;
    return pattern.ends_with(".*") && name.starts_with(pattern.substr(0, pattern.size() - 2));
  });
}

Json system_attributes(const Message& message, const functions::Realm& realm,
                       const std::vector<std::string>& wanted) {
  Json all{{"SenderId", realm.account},
           {"SentTimestamp", std::to_string(message.sent_ms)},
           {"ApproximateReceiveCount", std::to_string(message.receive_count)},
           {"ApproximateFirstReceiveTimestamp", std::to_string(message.first_received_ms)}};
  if (!message.trace_header.empty()) all["AWSTraceHeader"] = message.trace_header;
  if (!message.group_id.empty()) all["MessageGroupId"] = message.group_id;
  if (!message.deduplication_id.empty()) all["MessageDeduplicationId"] = message.deduplication_id;
  if (!message.sequence_number.empty()) all["SequenceNumber"] = message.sequence_number;
  if (!message.dead_letter_source.empty()) all["DeadLetterQueueSourceArn"] = message.dead_letter_source;
  Json chosen = Json::object();
  for (const auto& [name, value] : all.items()) {
    if (attribute_wanted(wanted, name)) chosen[name] = value;
  }
  return chosen;
}

Json received_json(const Message& message, const functions::Realm& realm,
                   const std::vector<std::string>& system, const std::vector<std::string>& user) {
  Json json{{"MessageId", message.message_id},
            {"ReceiptHandle", message.receipt_handle},
            {"MD5OfBody", functions::queues::md5_hex(message.body)},
            {"Body", message.body}};
  Json attributes = system_attributes(message, realm, system);
  if (!attributes.empty()) json["Attributes"] = std::move(attributes);
  MessageAttributes chosen;
  for (const auto& [name, attribute] : message.attributes) {
    if (attribute_wanted(user, name)) chosen.emplace(name, attribute);
  }
  if (chosen.empty()) return json;
  json["MD5OfMessageAttributes"] = functions::queues::md5_of_attributes(chosen);
  Json& map = json["MessageAttributes"];
  for (const auto& [name, attribute] : chosen) {
    map[name] = {{"DataType", attribute.type}};
    map[name][attribute.binary() ? "BinaryValue" : "StringValue"] =
        attribute.binary() ? to_base64(attribute.value) : attribute.value;
  }
  return json;
}

SqsResult<int64_t> number_within(const Json& input, const char* name, int64_t min, int64_t max,
                                 int64_t fallback) {
  TRY(auto value, optional_number(input, name));
  if (!value) return fallback;
  if (*value >= min && *value <= max) return *value;
  return invalid_parameter(
      fmt::format("Value {} for parameter {} is invalid. Reason: Must be >= {} and <= {}, if provided.",
                  *value, name, min, max));
}

/// The entries of a batch, each with an id of its own.
SqsResult<std::vector<const Json*>> entries_of(const Json& input, std::string_view operation) {
  std::vector<const Json*> entries;
  std::set<std::string> ids;
  auto list = input.find("Entries");
  if (list == input.end() || !list->is_array() || list->empty()) {
    return SqsError{"EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest",
                    fmt::format("There should be at least one {}RequestEntry in the request.", operation)};
  }
  if (list->size() > kMaxEntries) {
    return SqsError{
        "TooManyEntriesInBatchRequest", "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
        fmt::format("Maximum number of entries per request are 10. You have sent {}.", list->size())};
  }
  for (const Json& entry : *list) {
    if (!entry.is_object()) return invalid_parameter("Entries must be structures.");
    TRY(std::string id, required_string(entry, "Id"));
    bool good = !id.empty() && id.size() <= 80;
    for (char c : id) good = good && (std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_');
    if (!good) {
      return SqsError{
          "InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId",
          "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can "
          "be at most 80 letters long."};
    }
    if (!ids.insert(id).second) {
      return SqsError{"BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
                      fmt::format("Id {} repeated.", id)};
    }
    entries.push_back(&entry);
  }
  return entries;
}

void add_failure(Json& failed, const Json& entry, const SqsError& error) {
  failed.push_back({{"Id", entry["Id"]},
                    {"SenderFault", error.status < 500},
                    {"Code", error.code},
                    {"Message", error.message}});
}

Json batch_output(Json successful, Json failed) {
  Json output = Json::object();
  if (!successful.empty()) output["Successful"] = std::move(successful);
  if (!failed.empty()) output["Failed"] = std::move(failed);
  return output;
}

/// What a receipt handle that is refused is called.
SqsError receipt_error(const Error& error) {
  if (error.kind() == Kind::InvalidArgument)
    return {"ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", error.message()};
  return sqs_error(error);
}

}  // namespace

io::Task<SqsResult<Json>> send_message(SqsCall& call) {
  CO_TRY(QueueName queue, queue_of(call));
  CO_TRY(NewMessage message, message_of(call.input));
  CO_TRY(SentMessage sent, co_await call.queues.send(std::move(queue), message));
  co_return sent_json(message, sent);
}

io::Task<SqsResult<Json>> send_message_batch(SqsCall& call) {
  CO_TRY(QueueName queue, queue_of(call));
  CO_TRY(auto record, call.queues.find(queue));
  CO_TRY(auto entries, entries_of(call.input, "SendMessageBatch"));
  Json successful = Json::array(), failed = Json::array();
  std::vector<NewMessage> messages;
  std::vector<const Json*> sources;
  size_t bytes = 0;
  for (const Json* entry : entries) {
    auto message = message_of(*entry);
    if (!message) {
      add_failure(failed, *entry, message.error());
      continue;
    }
    bytes += functions::queues::message_size(*message);
    messages.push_back(std::move(*message));
    sources.push_back(entry);
  }
  if (bytes > 1'048'576) {
    co_return SqsError{
        "BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong",
        fmt::format("Batch requests cannot be longer than 1048576 bytes. You have sent {} bytes.", bytes)};
  }
  CO_TRY(auto outcomes, co_await call.queues.send_batch(std::move(queue), messages));
  for (size_t i = 0; i < outcomes.size(); ++i) {
    if (!outcomes[i]) {
      add_failure(failed, *sources[i], sqs_error(outcomes[i].error()));
      continue;
    }
    Json sent = sent_json(messages[i], *outcomes[i]);
    sent["Id"] = (*sources[i])["Id"];
    successful.push_back(std::move(sent));
  }
  co_return batch_output(std::move(successful), std::move(failed));
}

io::Task<SqsResult<Json>> receive_message(SqsCall& call) {
  CO_TRY(QueueName queue, queue_of(call));
  ReceiveRequest request;
  CO_TRY(auto asked, optional_number(call.input, "MaxNumberOfMessages"));
  int64_t most = asked.value_or(1);
  if (most < 1 || most > 10) {
    co_return invalid_parameter(fmt::format(
        "Value {} for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, "
        "if provided.",
        most));
  }
  request.max_messages = static_cast<uint32_t>(most);
  CO_TRY(int64_t hidden, number_within(call.input, "VisibilityTimeout", 0, 43'200, -1));
  if (hidden >= 0) request.visibility_seconds = hidden;
  CO_TRY(int64_t wait, number_within(call.input, "WaitTimeSeconds", 0, 20, -1));
  if (wait >= 0) request.wait_seconds = wait;
  std::vector<std::string> system = string_list(call.input, "MessageSystemAttributeNames");
  for (std::string& name : string_list(call.input, "AttributeNames")) system.push_back(std::move(name));
  std::vector<std::string> user = string_list(call.input, "MessageAttributeNames");
  CO_TRY(auto messages, co_await call.queues.receive(std::move(queue), request));
  if (messages.empty()) co_return Json::object();
  Json list = Json::array();
  for (const Message& message : messages) list.push_back(received_json(message, call.realm, system, user));
  co_return Json{{"Messages", std::move(list)}};
}

io::Task<SqsResult<Json>> delete_message(SqsCall& call) {
  CO_TRY(QueueName queue, queue_of(call));
  CO_TRY(std::string receipt, required_string(call.input, "ReceiptHandle"));
  std::vector<std::string> receipts{std::move(receipt)};
  CO_TRY(auto outcomes, co_await call.queues.remove_messages(std::move(queue), std::move(receipts)));
  if (!outcomes[0]) co_return receipt_error(outcomes[0].error());
  co_return Json(nullptr);
}

io::Task<SqsResult<Json>> delete_message_batch(SqsCall& call) {
  CO_TRY(QueueName queue, queue_of(call));
  CO_TRY([[maybe_unused]] auto record, call.queues.find(queue));
  CO_TRY(auto entries, entries_of(call.input, "DeleteMessageBatch"));
  std::vector<std::string> receipts;
  for (const Json* entry : entries) {
    CO_TRY(std::string receipt, required_string(*entry, "ReceiptHandle"));
    receipts.push_back(std::move(receipt));
  }
  CO_TRY(auto outcomes, co_await call.queues.remove_messages(std::move(queue), std::move(receipts)));
  Json successful = Json::array(), failed = Json::array();
  for (size_t i = 0; i < outcomes.size(); ++i) {
    if (outcomes[i]) {
      successful.push_back({{"Id", (*entries[i])["Id"]}});
    } else {
      add_failure(failed, *entries[i], receipt_error(outcomes[i].error()));
    }
  }
  co_return batch_output(std::move(successful), std::move(failed));
}

io::Task<SqsResult<Json>> change_message_visibility(SqsCall& call) {
  CO_TRY(QueueName queue, queue_of(call));
  CO_TRY(std::string receipt, required_string(call.input, "ReceiptHandle"));
  CO_TRY(int64_t seconds, number_within(call.input, "VisibilityTimeout", 0, 43'200, -1));
  if (seconds < 0) co_return missing_parameter("VisibilityTimeout");
  std::vector<Queues::VisibilityChange> changes{{std::move(receipt), seconds}};
  CO_TRY(auto outcomes, co_await call.queues.change_visibility(std::move(queue), std::move(changes)));
  if (!outcomes[0]) co_return receipt_error(outcomes[0].error());
  co_return Json(nullptr);
}

io::Task<SqsResult<Json>> change_message_visibility_batch(SqsCall& call) {
  CO_TRY(QueueName queue, queue_of(call));
  CO_TRY([[maybe_unused]] auto record, call.queues.find(queue));
  CO_TRY(auto entries, entries_of(call.input, "ChangeMessageVisibilityBatch"));
  std::vector<Queues::VisibilityChange> changes;
  for (const Json* entry : entries) {
    CO_TRY(std::string receipt, required_string(*entry, "ReceiptHandle"));
    CO_TRY(int64_t seconds, number_within(*entry, "VisibilityTimeout", 0, 43'200, 0));
    changes.push_back({std::move(receipt), seconds});
  }
  CO_TRY(auto outcomes, co_await call.queues.change_visibility(std::move(queue), std::move(changes)));
  Json successful = Json::array(), failed = Json::array();
  for (size_t i = 0; i < outcomes.size(); ++i) {
    if (outcomes[i]) {
      successful.push_back({{"Id", (*entries[i])["Id"]}});
    } else {
      add_failure(failed, *entries[i], receipt_error(outcomes[i].error()));
    }
  }
  co_return batch_output(std::move(successful), std::move(failed));
}

}  // namespace berth::api::sqs
