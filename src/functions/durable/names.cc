#include "functions/durable/names.h"

#include <algorithm>

#include "base/format.h"
#include "base/json.h"
#include "functions/catalog/names.h"

namespace berth::functions::durable {
namespace {

constexpr std::string_view kExecutionMark = "/durable-execution/";
constexpr size_t kLongestArn = 1024;

bool is_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

uint32_t number(const Json& config, const char* name, uint32_t fallback, uint32_t most) {
  auto value = json_int(config, name, fallback);
  return value && *value >= 1 && *value <= most ? static_cast<uint32_t>(*value) : fallback;
}

}  // namespace

std::optional<DurableConfig> durable_config_of(const FunctionVersion& version) {
  auto kept = version.kept_members.find("DurableConfig");
  if (kept == version.kept_members.end()) return std::nullopt;
  auto config = parse_json(kept->second);
  if (!config || !config->is_object()) return std::nullopt;
  return DurableConfig{.timeout_seconds = number(*config, "ExecutionTimeout", longest_execution_seconds,
                                                 longest_execution_seconds),
                       .retention_days = number(*config, "RetentionPeriodInDays", default_retention_days, 90),
                       .kms_key = json_string(*config, "KMSKeyArn").value_or("")};
}

Result<ExecutionArn> parse_execution_arn(std::string_view text) {
  auto refused = [&] {
    return failure(Kind::InvalidArgument, "Invalid Durable Execution ARN: {}", text.substr(0, 256));
  };
  size_t mark = text.find(kExecutionMark);
  if (text.size() > kLongestArn || mark == text.npos) return refused();
  std::string_view of_function = text.substr(0, mark), rest = text.substr(mark + kExecutionMark.size());
  size_t slash = rest.find('/');
  if (slash == rest.npos) return refused();
  ExecutionArn arn{.name = std::string(rest.substr(0, slash)),
                   .invocation = std::string(rest.substr(slash + 1))};
  auto function = parse_function_reference(of_function, {});
  if (!of_function.starts_with("arn:") || !function || !is_word(arn.name) || !is_word(arn.invocation))
    return refused();
  if (function->qualifier != latest_version && !is_version_number(function->qualifier)) return refused();
  arn.realm = function->realm;
  arn.function = function->name;
  arn.version = function->qualifier;
  return arn;
}

std::string function_arn_of(const Execution& execution) {
  return function_arn(execution.realm, execution.function) + ":" + execution.version;
}

std::string arn_of(const Execution& execution) {
  return fmt::format("{}{}{}/{}", function_arn_of(execution), kExecutionMark, execution.name,
                     execution.invocation);
}

bool is_execution_name(std::string_view text) {
  return text.size() <= 64 && is_word(text);
}
bool is_operation_id(std::string_view text) {
  return text.size() <= 64 && is_word(text);
}

std::string token_of(const Execution& execution) {
  return fmt::format("{}{:016x}", execution.invoking, execution.token);
}

}  // namespace berth::functions::durable
