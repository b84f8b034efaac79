// What the functions' front ends work with: the façades of functions/, given by the composition root.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "api/aws/sigv4.h"
#include "base/result.h"
#include "functions/model.h"
#include "io/task.h"

namespace berth::io {
class EventLoop;
class Exchange;
}  // namespace berth::io
namespace berth::functions {
class AsyncQueue;
class BucketStore;
class Catalog;
class FunctionLog;
class Invoker;
class PackageStore;
class RuntimeBases;
namespace durable {
class DurableExecutions;
}
}  // namespace berth::functions

namespace berth::api {

/// An image that a function may be made of.
struct FunctionImage {
  std::string id;         ///< "sha256:..."
  std::string reference;  ///< with digest where the image has one
  uint64_t size = 0;
};

/// Who asks, and in which account and region.
struct AwsCaller {
  functions::Realm realm;
  std::string access_key;  ///< empty: not signed
  std::string service;     ///< of the credential's scope; empty: not signed
  std::string request_id;
};

struct FunctionServices {
  io::EventLoop& loop;
  functions::Catalog& catalog;
  functions::PackageStore& packages;
  functions::BucketStore& buckets;
  functions::Invoker& invoker;
  functions::durable::DurableExecutions& executions;
  functions::AsyncQueue& queue;
  functions::FunctionLog& log;
  /// NotFound when the engine has no such image.
  std::function<Result<FunctionImage>(std::string_view reference)> find_image;
  /// The image, pulled when the engine does not have it. Errors are those of the registry.
  std::function<io::Task<Result<FunctionImage>>(std::string reference)> pull_image = {};
  functions::RuntimeBases* bases = nullptr;  ///< nullptr: whatever functions run on is here
  functions::LimitProfile profile = functions::LimitProfile::Open;
  /// When there are any, requests must be signed with one of them.
  aws::SigningKeys keys = {};
  uint16_t port = 4566;  ///< that the API listens on, for URLs in answers to callers that name none
  /// Further services of the port by the name that credentials are scoped to ("sqs").
  using ServiceHandler = std::function<io::Task<void>(io::Exchange&, AwsCaller)>;
  std::map<std::string, ServiceHandler, std::less<>> further = {};
};

}  // namespace berth::api
