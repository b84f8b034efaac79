// Fuzz target: requests of SQS's query protocol, and attributes of messages as they are stored.
#include <cstdint>
#include <string_view>

#include "api/sqs/protocol.h"
#include "base/json.h"
#include "functions/queues/attributes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto query = io::HttpQuery::parse(text)) {
    Json input = api::sqs::input_of_query(*query);
    api::sqs::SqsRequest request{
        .protocol = api::sqs::Protocol::Query, .operation = "ReceiveMessage", .path = "/"};
    (void)api::sqs::result_reply(request, input, "id");
  }
  (void)functions::queues::md5_of_attributes(functions::queues::decode_attributes(text));
  return 0;
}
