// ARNs of durable executions, checkpoint tokens, and what a version's DurableConfig says. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "functions/durable/records.h"

namespace berth::functions::durable {

inline constexpr uint32_t longest_execution_seconds = 31'622'400;  ///< 366 days
inline constexpr uint32_t default_retention_days = 14;

struct DurableConfig {
  uint32_t timeout_seconds = 0;
  uint32_t retention_days = default_retention_days;
  std::string kms_key;  ///< shown, without effect
};
/// nullopt: the function is not durable.
std::optional<DurableConfig> durable_config_of(const FunctionVersion& version);

/// arn:aws:lambda:REGION:ACCOUNT:function:NAME:VERSION/durable-execution/EXECUTION/INVOCATION
struct ExecutionArn {
  Realm realm;
  std::string function, version, name, invocation;
};
/// InvalidArgument, in AWS's words.
Result<ExecutionArn> parse_execution_arn(std::string_view text);
std::string arn_of(const Execution& execution);
std::string function_arn_of(const Execution& execution);  ///< with the version

/// 1 to 64 of [a-zA-Z0-9-_].
bool is_execution_name(std::string_view text);
bool is_operation_id(std::string_view text);

/// The token that the next checkpoint of the invocation under way must bring. Nobody who was not given it can
/// guess it: the secret is random.
std::string token_of(const Execution& execution);

}  // namespace berth::functions::durable
