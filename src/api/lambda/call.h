// Call: one request of Lambda's REST API as its handlers see it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/aws/reply.h"
#include "api/lambda/services.h"
#include "base/json_fwd.h"
#include "functions/catalog/catalog.h"
#include "functions/limits.h"
#include "io/http_server.h"

namespace berth::api::lambda {

using aws::AwsError;
using aws::AwsResult;
using aws::Reply;

class Call {
 public:
  Call(FunctionServices& services, io::Exchange& exchange, AwsCaller caller)
      : services_(services), exchange_(exchange), caller_(std::move(caller)) {}

  FunctionServices& services() { return services_; }
  functions::Catalog& catalog() { return services_.catalog; }
  io::Exchange& exchange() { return exchange_; }
  const functions::Realm& realm() const { return caller_.realm; }
  const std::string& request_id() const { return caller_.request_id; }
  const functions::Limits& limits() const { return functions::limits_of(services_.profile); }

  /// The value of the pattern's n-th placeholder, decoded.
  const std::string& capture(size_t index = 0) const { return captures_[index]; }
  std::string_view query(std::string_view name) const { return exchange_.query().get_or(name, {}); }
  /// The name in the path, with the qualifier of the query. ValidationException.
  AwsResult<functions::FunctionReference> function_reference() const;
  /// The function that the path names, which exists.
  AwsResult<const functions::FunctionEntry*> function() const;
  /// $LATEST, version or alias from name or query; empty: none was given.
  AwsResult<std::string> qualifier() const;

  const std::string& body() const { return body_; }
  std::string& body() { return body_; }
  /// The body as an object; an empty one is {}. SerializationException.
  AwsResult<Json> json() const;

  // Filled in by the dispatcher.
  void set_captures(std::vector<std::string> captures) { captures_ = std::move(captures); }
  void set_body(std::string body) { body_ = std::move(body); }

 private:
  FunctionServices& services_;
  io::Exchange& exchange_;
  AwsCaller caller_;
  std::vector<std::string> captures_;
  std::string body_;
};

/// One page of a list: MaxItems and Marker of the query. The marker is the position to go on from.
struct Page {
  size_t begin = 0, end = 0;
  std::string next_marker;
};
AwsResult<Page> page_of(const Call& call, size_t count, size_t default_items = 50);

/// {"<member>": items [, "NextMarker": ...]}
Reply page_reply(std::string_view member, Json items, const Page& page);

}  // namespace berth::api::lambda
