// The table of SQS's operations. Private to api/sqs/.
#pragma once

#include <expected>

#include "api/sqs/sqs_api.h"

namespace berth::api::sqs {

template <class T>
class [[nodiscard]] SqsResult : public std::expected<T, SqsError> {
 public:
  using Base = std::expected<T, SqsError>;
  using Base::Base;
  SqsResult(SqsError error) : Base(std::unexpect, std::move(error)) {}  // NOLINT: implicit by design
  SqsResult(const Error& error);                                        // NOLINT: implicit by design
};

/// An engine error in SQS's terms.
SqsError sqs_error(const Error& error);

template <class T>
SqsResult<T>::SqsResult(const Error& error) : Base(std::unexpect, sqs_error(error)) {}

/// The output, null where the operation has none.
using Operation = io::Task<SqsResult<Json>> (*)(SqsCall& call);
/// nullptr: there is no such operation.
Operation find_operation(std::string_view name);

// What the files of operations share.
SqsError missing_parameter(std::string_view name);
SqsError invalid_parameter(std::string message);
SqsResult<std::string> required_string(const Json& input, const char* name);
/// Empty when it is missing or no string.
std::string string_or_empty(const Json& input, const char* name);
/// A number, also as text (the query protocol).
SqsResult<std::optional<int64_t>> optional_number(const Json& input, const char* name);
SqsResult<std::map<std::string, std::string>> string_map(const Json& input, const char* name);
std::vector<std::string> string_list(const Json& input, const char* name);
SqsResult<functions::queues::QueueName> queue_of(const SqsCall& call);
std::string url_of(const SqsCall& call, const std::string& name);

io::Task<SqsResult<Json>> send_message(SqsCall& call);
io::Task<SqsResult<Json>> send_message_batch(SqsCall& call);
io::Task<SqsResult<Json>> receive_message(SqsCall& call);
io::Task<SqsResult<Json>> delete_message(SqsCall& call);
io::Task<SqsResult<Json>> delete_message_batch(SqsCall& call);
io::Task<SqsResult<Json>> change_message_visibility(SqsCall& call);
io::Task<SqsResult<Json>> change_message_visibility_batch(SqsCall& call);

}  // namespace berth::api::sqs
