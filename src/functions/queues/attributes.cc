#include "functions/queues/attributes.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::functions::queues {
namespace {

struct NumberRule {
  std::string_view name;
  int64_t min, max;
  int64_t QueueSettings::*member;
};
constexpr std::array number_rules{
    NumberRule{"DelaySeconds", 0, 900, &QueueSettings::delay_seconds},
    NumberRule{"MaximumMessageSize", 1024, 1'048'576, &QueueSettings::maximum_message_size},
    NumberRule{"MessageRetentionPeriod", 60, 1'209'600, &QueueSettings::retention_seconds},
    NumberRule{"ReceiveMessageWaitTimeSeconds", 0, 20, &QueueSettings::receive_wait_seconds},
    NumberRule{"VisibilityTimeout", 0, 43'200, &QueueSettings::visibility_seconds}};

/// Kept and shown; they change nothing on one machine.
constexpr std::array<std::string_view, 5> kept{"Policy", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds",
                                               "SqsManagedSseEnabled", "RedriveAllowPolicy"};

Error invalid_value(std::string_view name) {
  return failure(Kind::InvalidArgument, "Invalid value for the parameter {}.", name);
}

Result<int64_t> parse_number(std::string_view name, std::string_view text, int64_t min, int64_t max) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < min || value > max)
    return invalid_value(name);
  return value;
}

Result<bool> parse_bool(std::string_view name, std::string_view text) {
  auto is = [text](std::string_view word) {
    return std::equal(text.begin(), text.end(), word.begin(), word.end(), [](char given, char wanted) {
      return std::tolower(static_cast<unsigned char>(given)) == wanted;
    });
  };
  if (is("true")) return true;
  if (is("false")) return false;
  return invalid_value(name);
}

Result<void> read_redrive(const std::string& text, QueueSettings& settings) {
  if (text.empty()) return {};  // removes the policy
  auto refuse = [&](std::string_view reason) {
    return failure(Kind::InvalidArgument, "Value {} for parameter RedrivePolicy is invalid. Reason: {}",
                   text.substr(0, 500), reason);
  };
  auto policy = parse_json(text, {.max_bytes = 16 << 10, .max_depth = 8});
  if (!policy || !policy->is_object()) return refuse("Redrive policy is not a valid JSON map.");
  auto arn = policy->find("deadLetterTargetArn");
  auto count = policy->find("maxReceiveCount");
  if (arn == policy->end() || !arn->is_string() || count == policy->end()) {
    return refuse(
        "Redrive policy does not contain mandatory attribute: deadLetterTargetArn or maxReceiveCount.");
  }
  std::string digits = count->is_string() ? count->get<std::string>() : to_json(*count);
  auto number = parse_number("maxReceiveCount", digits, 1, 1000);
  if (!number) return refuse("Invalid value for maxReceiveCount.");
  if (!parse_queue_arn(arn->get<std::string>())) return refuse("Invalid value for deadLetterTargetArn.");
  settings.dead_letter_arn = arn->get<std::string>();
  settings.max_receive_count = *number;
  return {};
}

Result<void> read_fifo(std::string_view key, const std::string& value, QueueSettings& settings) {
  if (key == "FifoQueue") {
    if (value != "true") return failure(Kind::Unsupported, "Unknown Attribute FifoQueue.");
    settings.order = Order::Fifo;
  } else if (key == "ContentBasedDeduplication") {
    TRY(settings.content_based_deduplication, parse_bool(key, value));
  } else if (key == "DeduplicationScope") {
    if (value != "queue" && value != "messageGroup") return invalid_value(key);
    settings.deduplication_per_group = value == "messageGroup";
  } else if (key == "FifoThroughputLimit") {
    if (value != "perQueue" && value != "perMessageGroupId") return invalid_value(key);
  } else {
    return failure(Kind::Unsupported, "Unknown Attribute {}.", key.substr(0, 100));
  }
  return {};
}

Result<void> read_attribute(const std::string& key, const std::string& value, QueueSettings& settings) {
  for (const NumberRule& rule : number_rules) {
    if (rule.name != key) continue;
    TRY(settings.*rule.member, parse_number(key, value, rule.min, rule.max));
    return {};
  }
  for (std::string_view name : kept) {
    if (name == key) return {};
  }
  if (key == "RedrivePolicy") return read_redrive(value, settings);
  return read_fifo(key, value, settings);
}

/// The characters of XML 1.0, which is what AWS admits in bodies. Not UTF-8: false.
bool only_xml_characters(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    auto byte = static_cast<unsigned char>(text[at]);
    if (byte < 0x80) {
      if (byte < 0x20 && byte != 9 && byte != 10 && byte != 13) return false;
      ++at;
      continue;
    }
    size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    if (byte < 0xc2 || byte > 0xf4 || at + length > text.size()) return false;
    uint32_t code = byte & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; ++i) {
      auto next = static_cast<unsigned char>(text[at + i]);
      if ((next & 0xc0) != 0x80) return false;
      code = code << 6 | (next & 0x3fu);
    }
    bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    if (overlong || surrogate || code == 0xfffe || code == 0xffff || code > 0x10ffff) return false;
    at += length;
  }
  return true;
}

bool good_attribute_name(std::string_view name) {
  if (name.empty() || name.size() > 256 || name.front() == '.' || name.back() == '.') return false;
  for (char c : name) {
    bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                c == '-' || c == '.';
    if (!good) return false;
  }
  return name.find("..") == name.npos;
}

Result<void> check_attribute(const std::string& name, const MessageAttribute& attribute) {
  if (!good_attribute_name(name)) {
    return failure(
        Kind::InvalidArgument,
        "Message (user) attributes name must only contain upper and lower score characters, digits, "
        "periods, hyphens and underscores; \"{}\" does not",
        name.substr(0, 100));
  }
  std::string_view base = std::string_view(attribute.type).substr(0, attribute.type.find('.'));
  if (base != "String" && base != "Number" && base != "Binary") {
    return failure(Kind::InvalidArgument,
                   "The type of message (user) attribute '{}' is invalid. You must use only the following "
                   "supported type prefixes: Binary, Number, String.",
                   name);
  }
  if (attribute.value.empty()) {
    return failure(Kind::InvalidArgument,
                   "Message (user) attribute '{}' must contain a non-empty value of type '{}'.", name, base);
  }
  if (base != "Binary" && !only_xml_characters(attribute.value)) {
    return failure(Kind::InvalidArgument,
                   "Message (user) attribute '{}' contains characters that are not valid in XML.", name);
  }
  return {};
}

Result<void> check_id(std::string_view parameter, const std::string& id) {
  bool good =
      id.size() <= 128 && std::all_of(id.begin(), id.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (good) return {};
  return failure(Kind::InvalidArgument,
                 "Value {} for parameter {} is invalid. Reason: {} can only include alphanumeric and "
                 "punctuation characters. 1 to 128 in length.",
                 id.substr(0, 500), parameter, parameter);
}

Result<void> check_fifo_message(const QueueRecord& queue, const NewMessage& message) {
  if (message.group_id.empty()) {
    return Error(Kind::InvalidArgument, "The request must contain the parameter MessageGroupId.");
  }
  if (message.deduplication_id.empty() && !queue.settings.content_based_deduplication) {
    return Error(Kind::InvalidArgument,
                 "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId "
                 "provided explicitly");
  }
  if (message.delay_seconds.value_or(0) != 0) {
    return failure(
        Kind::InvalidArgument,
        "Value {} for parameter DelaySeconds is invalid. Reason: The request include parameter that "
        "is not valid for this queue type.",
        *message.delay_seconds);
  }
  return {};
}

void append_sized(std::string& buffer, std::string_view text) {
  auto size = static_cast<uint32_t>(text.size());
  for (int shift = 24; shift >= 0; shift -= 8) buffer.push_back(static_cast<char>(size >> shift & 0xff));
  buffer += text;
}

}  // namespace

Result<QueueSettings> read_settings(const std::string& name,
                                    const std::map<std::string, std::string>& attributes) {
  QueueSettings settings;
  for (const auto& [key, value] : attributes) CHECK(read_attribute(key, value, settings));
  bool fifo = settings.order == Order::Fifo;
  for (std::string_view key : {"ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"}) {
    if (fifo || !attributes.contains(std::string(key))) continue;
    if (key == "ContentBasedDeduplication") return failure(Kind::Unsupported, "Unknown Attribute {}.", key);
    return failure(Kind::Unsupported, "You can specify the {} only when FifoQueue is set to true.", key);
  }
  CHECK(check_queue_name(name, settings.order));
  return settings;
}

Result<void> check_queue_name(const std::string& name, Order order) {
  std::string_view stem = name;
  bool suffixed = stem.ends_with(".fifo");
  if (suffixed && order == Order::Fifo) stem.remove_suffix(5);
  bool good = !stem.empty() && name.size() <= 80 && (order == Order::Standard || suffixed);
  for (char c : stem) {
    good = good && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                    c == '-');
  }
  if (good) return {};
  if (order == Order::Fifo) {
    return Error(
        Kind::InvalidArgument,
        "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
        "must end with .fifo suffix and be 1 to 80 in length.");
  }
  return Error(Kind::InvalidArgument,
               "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length");
}

Result<void> check_message(const QueueRecord& queue, const NewMessage& message) {
  if (message.body.empty()) {
    return Error(Kind::InvalidArgument, "The request must contain the parameter MessageBody.");
  }
  if (!only_xml_characters(message.body)) {
    return Error(Kind::Corrupt,
                 "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | "
                 "#xE000 to #xFFFD | #x10000 to #x10FFFF");
  }
  if (message.attributes.size() > 10) {
    return failure(Kind::InvalidArgument,
                   "Number of message attributes [{}] exceeds the allowed maximum [10].",
                   message.attributes.size());
  }
  for (const auto& [name, attribute] : message.attributes) CHECK(check_attribute(name, attribute));
  if (message_size(message) > static_cast<size_t>(queue.settings.maximum_message_size)) {
    return failure(Kind::InvalidArgument,
                   "One or more parameters are invalid. Reason: Message must be shorter than {} bytes.",
                   queue.settings.maximum_message_size);
  }
  if (message.delay_seconds && (*message.delay_seconds < 0 || *message.delay_seconds > 900)) {
    return failure(Kind::InvalidArgument,
                   "Value {} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= "
                   "900.",
                   *message.delay_seconds);
  }
  CHECK(check_id("MessageGroupId", message.group_id));
  CHECK(check_id("MessageDeduplicationId", message.deduplication_id));
  if (queue.settings.order == Order::Fifo) return check_fifo_message(queue, message);
  if (!message.deduplication_id.empty()) {
    return failure(Kind::InvalidArgument,
                   "Value {} for parameter MessageDeduplicationId is invalid. Reason: The request include "
                   "parameter that is not valid for this queue type.",
                   message.deduplication_id);
  }
  return {};
}

std::string md5_hex(std::string_view bytes) {
  std::array<uint8_t, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_md5(), nullptr);
  return to_hex({digest.data(), size});
}

std::string md5_of_attributes(const MessageAttributes& attributes) {
  if (attributes.empty()) return {};
  std::string buffer;
  for (const auto& [name, attribute] : attributes) {  // std::map: sorted by name, as the sum wants it
    append_sized(buffer, name);
    append_sized(buffer, attribute.type);
    buffer.push_back(attribute.binary() ? 2 : 1);
    append_sized(buffer, attribute.value);
  }
  return md5_hex(buffer);
}

std::string encode_attributes(const MessageAttributes& attributes) {
  if (attributes.empty()) return {};
  Json json = Json::object();
  for (const auto& [name, attribute] : attributes) {
    json[name] = {attribute.type, attribute.binary() ? to_base64(attribute.value) : attribute.value};
  }
  return to_json(json);
}

MessageAttributes decode_attributes(std::string_view text) {
  MessageAttributes attributes;
  if (text.empty()) return attributes;
  auto json = parse_json(text);
  if (!json || !json->is_object()) return attributes;
  for (const auto& [name, pair] : json->items()) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string()) continue;
    MessageAttribute attribute{pair[0].get<std::string>(), pair[1].get<std::string>()};
    if (attribute.binary()) attribute.value = from_base64(attribute.value).value_or("");
    attributes.emplace(name, std::move(attribute));
  }
  return attributes;
}

}  // namespace berth::functions::queues
