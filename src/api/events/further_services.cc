#include "api/events/further_services.h"

#include <algorithm>

#include "api/aws/caller.h"
#include "api/aws/reply.h"
#include "api/events/rules_api.h"
#include "api/events/secrets_api.h"
#include "api/events/usage_api.h"
#include "api/s3/notifications.h"
#include "api/sqs/sqs_api.h"
#include "base/json.h"
#include "functions/events/event_services.h"
#include "io/cancel.h"
#include "io/http_server.h"

namespace berth::api {
namespace {

/// A batch of a megabyte, percent-encoded, and its frame.
constexpr size_t kMaxBody = 4u << 20;
constexpr std::string_view kBuckets = "/_berth/buckets/", kNotification = "/notification";

io::Task<void> send(io::Exchange& exchange, aws::Reply reply) {
  for (const auto& [name, value] : reply.headers) exchange.set_header(name, value);
  [[maybe_unused]] auto sent = co_await exchange.respond(reply.status, reply.content_type, reply.body);
}

/// The body of a request that may be made; else the error has been sent.
io::Task<std::optional<std::string>> admit(FunctionServices& services, io::Exchange& exchange) {
  auto body = co_await exchange.read_body(kMaxBody);
  if (!body) {
    if (body.error().kind() != Kind::Cancelled) {
      aws::AwsError error{413, "RequestEntityTooLarge", body.error().message()};
      aws::Reply reply = aws::json_error_reply(error);
      co_await send(exchange, std::move(reply));
    }
    co_return std::nullopt;
  }
  if (auto allowed = aws::check_caller(services, exchange, *body); !allowed) {
    aws::Reply reply = aws::json_error_reply(allowed.error());
    co_await send(exchange, std::move(reply));
    co_return std::nullopt;
  }
  co_return std::move(*body);
}

io::Task<Result<aws::Reply>> answered(io::Task<aws::Reply> work) {
  co_return co_await std::move(work);
}

io::Task<void> serve_sqs(FunctionServices& services, functions::queues::Queues& queues,
                         io::Exchange& exchange, AwsCaller caller) {
  auto body = co_await admit(services, exchange);
  if (!body) co_return;
  sqs::SqsApi api(queues);
  // Who has gone away must not take a message with them.
  auto work = answered(api.handle(exchange.request(), std::move(*body), std::move(caller.realm)));
  auto reply = co_await io::unless_cancelled(std::move(work), exchange.client_gone());
  if (reply) co_await send(exchange, std::move(*reply));
}

io::Task<void> serve_rules(FunctionServices& services, functions::events::Rules& rules,
                           io::Exchange& exchange, AwsCaller caller) {
  auto body = co_await admit(services, exchange);
  if (!body) co_return;
  std::string target(exchange.header("X-Amz-Target").value_or(""));
  auto reply =
      co_await events::answer_rules(rules, std::move(target), std::move(*body), std::move(caller.realm));
  co_await send(exchange, std::move(reply));
}

/// What `berth deploy` asks for by a socket that S3's paths are not served on.
aws::Reply put_notifications(FunctionServices& services, const AwsCaller& caller, const std::string& bucket,
                             const std::string& document) {
  auto set = s3::set_notifications(services, caller.realm, bucket, document);
  if (set) return aws::json_reply(200, Json::object());
  bool missing = set.error().kind() == Kind::NotFound;
  return aws::json_error_reply(
      {missing ? 404 : 400, missing ? "NoSuchBucket" : "InvalidArgument", set.error().message()});
}

io::Task<void> serve_usage(FunctionServices& services, functions::MeteringStore& metering,
                           io::Exchange& exchange, AwsCaller caller) {
  auto body = co_await admit(services, exchange);
  if (!body) co_return;
  std::string_view bucket = exchange.path();
  if (exchange.method() == "PUT" && bucket.starts_with(kBuckets) && bucket.ends_with(kNotification)) {
    bucket.remove_prefix(kBuckets.size());
    bucket.remove_suffix(std::min(bucket.size(), kNotification.size()));
    aws::Reply set = put_notifications(services, caller, std::string(bucket), *body);
    co_await send(exchange, std::move(set));
    co_return;
  }
  auto reply =
      co_await events::answer_usage(services.catalog, metering, services.buckets, exchange.request());
  co_await send(exchange, std::move(reply));
}

io::Task<void> serve_secrets(FunctionServices& services, io::Exchange& exchange, AwsCaller caller) {
  auto body = co_await admit(services, exchange);
  if (!body) co_return;
  std::string target(exchange.header("X-Amz-Target").value_or(""));
  auto reply = events::answer_secrets(services.catalog, target, *body, std::move(caller.realm));
  co_await send(exchange, std::move(reply));
}

}  // namespace

void add_further_services(FunctionServices& services, functions::events::EventServices& events,
                          functions::MeteringStore& metering) {
  FunctionServices* all = &services;
  auto* queues = &events.queues();
  auto* rules = &events.rules();
  auto* records = &metering;
  services.further["sqs"] = [all, queues](io::Exchange& exchange, AwsCaller caller) {
    return serve_sqs(*all, *queues, exchange, std::move(caller));
  };
  services.further["events"] = [all, rules](io::Exchange& exchange, AwsCaller caller) {
    return serve_rules(*all, *rules, exchange, std::move(caller));
  };
  services.further["secretsmanager"] = [all](io::Exchange& exchange, AwsCaller caller) {
    return serve_secrets(*all, exchange, std::move(caller));
  };
  services.further["berth"] = [all, records](io::Exchange& exchange, AwsCaller caller) {
    return serve_usage(*all, *records, exchange, std::move(caller));
  };
}

}  // namespace berth::api
