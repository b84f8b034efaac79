// EventPattern: the filters of event source mappings and rules, in EventBridge's language: exact values,
// null, prefix, suffix, equals-ignore-case, wildcard, anything-but, numeric, cidr, exists, $or. Pure.
#pragma once

#include <memory>
#include <string_view>

#include "base/json_fwd.h"
#include "base/result.h"

namespace berth::functions::events {

class EventPattern {
 public:
  /// InvalidArgument says what of the pattern is not one.
  static Result<EventPattern> parse(std::string_view text);
  bool matches(const Json& event) const;

 private:
  explicit EventPattern(std::shared_ptr<const Json> pattern) : pattern_(std::move(pattern)) {}
  std::shared_ptr<const Json> pattern_;
};

}  // namespace berth::functions::events
