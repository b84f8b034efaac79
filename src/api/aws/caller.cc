#include "api/aws/caller.h"

#include <algorithm>

#include "base/clock.h"
#include "base/sha256.h"
#include "functions/catalog/catalog.h"
#include "io/http_server.h"

namespace berth::api::aws {
namespace {

bool is_account(std::string_view text) {
  return text.size() == 12 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}
bool is_region(std::string_view text) {
  return !text.empty() && text.size() <= 32 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

}  // namespace

AwsCaller read_caller(const io::Exchange& exchange) {
  AwsCaller caller;
  caller.request_id = functions::new_revision_id();
  auto signature = read_signature(exchange.request());
  if (!signature) return caller;
  if (is_account(signature->access_key)) caller.realm.account = signature->access_key;
  if (is_region(signature->region)) caller.realm.region = signature->region;
  caller.access_key = std::move(signature->access_key);
  caller.service = std::move(signature->service);
  return caller;
}

AwsResult<void> check_caller(const FunctionServices& services, const io::Exchange& exchange,
                             std::string_view body) {
  if (services.keys.empty()) return {};
  auto signature = read_signature(exchange.request());
  if (!signature) return AwsError{403, "MissingAuthenticationTokenException", "Missing Authentication Token"};
  std::string hash = sha256(body).hex();
  auto verified = verify_signature(exchange.request(), *signature, services.keys, {.sha256_hex = hash},
                                   to_unix_nanoseconds(now()) / 1'000'000'000);
  if (verified) return {};
  bool unknown = services.keys.count(signature->access_key) == 0;
  return AwsError{403, unknown ? "UnrecognizedClientException" : "InvalidSignatureException",
                  verified.error().message()};
}

}  // namespace berth::api::aws
