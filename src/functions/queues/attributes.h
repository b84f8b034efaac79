// Attributes of queues and of messages: what clients may set, in which bounds and with which of AWS's words
// they are refused; and the MD5 sums that clients check. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "functions/queues/model.h"

namespace berth::functions::queues {

/// Checks the attributes of CreateQueue and SetQueueAttributes and reads the settings out of them. Unknown
/// names: Unsupported "Unknown Attribute X."; bad values: InvalidArgument "Invalid value for the parameter
/// X.".
Result<QueueSettings> read_settings(const std::string& name,
                                    const std::map<std::string, std::string>& attributes);

/// 1 to 80 letters, digits, '-' and '_'; a FIFO queue's name ends in ".fifo".
Result<void> check_queue_name(const std::string& name, Order order);

/// Bodies and attributes that AWS refuses: empty or too long (InvalidArgument), characters that XML does not
/// have (Corrupt).
Result<void> check_message(const QueueRecord& queue, const NewMessage& message);

/// MD5 in hex.
std::string md5_hex(std::string_view bytes);
/// As clients compute it to check MD5OfMessageAttributes; empty without attributes.
std::string md5_of_attributes(const MessageAttributes& attributes);

/// Message attributes as stored text and back (a compact JSON).
std::string encode_attributes(const MessageAttributes& attributes);
MessageAttributes decode_attributes(std::string_view text);

}  // namespace berth::functions::queues
