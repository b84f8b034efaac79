// SqsApi: Amazon SQS's operations on the local queues, in both of its protocols.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "api/aws/reply.h"
#include "api/sqs/protocol.h"
#include "functions/queues/queues.h"
#include "io/task.h"

namespace berth::api::sqs {

/// One request as an operation sees it.
struct SqsCall {
  const Json& input;
  functions::Realm realm;
  std::string base_url;  ///< "http://127.0.0.1:4566"
  std::string path;
  functions::queues::Queues& queues;
};

class SqsApi {
 public:
  explicit SqsApi(functions::queues::Queues& queues) : queues_(queues) {}

  /// Answers a request that is_sqs() has claimed. `realm` is the client's (the region of its signature). May
  /// be destroyed while it waits for messages: then none is taken.
  io::Task<aws::Reply> handle(const io::HttpRequestHead& head, std::string body, functions::Realm realm);

 private:
  functions::queues::Queues& queues_;
};

}  // namespace berth::api::sqs
