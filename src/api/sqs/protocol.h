// SQS's two protocols, AWS JSON 1.0 and the older query protocol with XML answers, brought to one form: an
// operation's name and its input as the JSON protocol has it. Pure.
#pragma once

#include <string>
#include <string_view>

#include "api/aws/reply.h"
#include "base/json_fwd.h"
#include "io/http_message.h"

namespace berth::api::sqs {

enum class Protocol { Json, Query };

struct SqsRequest {
  Protocol protocol = Protocol::Json;
  std::string operation;  ///< "SendMessage"
  std::string path;       ///< the query protocol may name the queue by the path
};

/// Whether a request is for SQS: by X-Amz-Target, or by the service that it is signed for, or by an Action
/// with a queue's path.
bool is_sqs(const io::HttpRequestHead& head);

/// Reads operation and input. An AwsError for what cannot be read.
aws::AwsResult<SqsRequest> read_request(const io::HttpRequestHead& head, std::string_view body, Json& input);

/// "A.1.B=x" parameters as the JSON protocol's input. For tests.
Json input_of_query(const io::HttpQuery& query);

/// A result in the request's protocol.
aws::Reply result_reply(const SqsRequest& request, const Json& output, std::string_view request_id);

/// One of SQS's errors: its name in the JSON protocol, its code in the query protocol, and its words.
struct SqsError {
  std::string_view shape;  ///< "QueueDoesNotExist"
  std::string_view code;   ///< "AWS.SimpleQueueService.NonExistentQueue"
  std::string message;
  int status = 400;
};
aws::Reply error_reply(Protocol protocol, const SqsError& error, std::string_view request_id);

}  // namespace berth::api::sqs
