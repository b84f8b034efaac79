#include "functions/queues/model.h"

#include "base/format.h"

namespace berth::functions::queues {

std::string queue_arn(const Realm& realm, const std::string& name) {
  return fmt::format("arn:aws:sqs:{}:{}:{}", realm.region, realm.account, name);
}

Result<QueueName> parse_queue_arn(std::string_view arn) {
  constexpr std::string_view start = "arn:aws:sqs:";
  std::string_view rest = arn;
  if (rest.starts_with(start)) {
    rest.remove_prefix(start.size());
    size_t region_end = rest.find(':');
    size_t account_end = region_end == rest.npos ? rest.npos : rest.find(':', region_end + 1);
    if (account_end != rest.npos && account_end + 1 < rest.size() &&
        rest.find(':', account_end + 1) == rest.npos) {
      return QueueName{{.account = std::string(rest.substr(region_end + 1, account_end - region_end - 1)),
                        .region = std::string(rest.substr(0, region_end))},
                       std::string(rest.substr(account_end + 1))};
    }
  }
  return failure(Kind::InvalidArgument, "\"{}\" is not the ARN of a queue: arn:aws:sqs:REGION:ACCOUNT:NAME",
                 arn.substr(0, 200));
}

size_t message_size(const NewMessage& message) {
  size_t size = message.body.size();
  for (const auto& [name, attribute] : message.attributes) {
    size += name.size() + attribute.type.size() + attribute.value.size();
  }
  return size;
}

}  // namespace berth::functions::queues
