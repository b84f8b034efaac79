// The table of Lambda's operations: method and path to handler. Each group's file contributes its rows.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/lambda/call.h"
#include "io/task.h"

namespace berth::api::lambda {

/// How much of a body an operation takes.
enum class BodySize { Document, Code, Payload, Checkpoint };

struct Operation {
  std::string_view name;  ///< "CreateFunction"
  std::string_view method;
  std::string_view pattern;  ///< "/2015-03-31/functions/{}/code"
  AwsResult<Reply> (*answer)(Call&) = nullptr;
  io::Task<AwsResult<Reply>> (*work)(Call&) = nullptr;  ///< instead, when it has to wait
  BodySize body = BodySize::Document;
};

std::span<const Operation> function_operations();
std::span<const Operation> version_operations();
std::span<const Operation> invoke_operations();
std::span<const Operation> layer_operations();
std::span<const Operation> policy_operations();
std::span<const Operation> setting_operations();
std::span<const Operation> tag_operations();
std::span<const Operation> event_invoke_operations();
std::span<const Operation> url_operations();
std::span<const Operation> mapping_operations();
std::span<const Operation> durable_operations();
std::span<const Operation> rare_operations();

struct Match {
  const Operation* operation = nullptr;  ///< nullptr: there is none of this method and path
  bool path_known = false;               ///< ... but of this path
  std::vector<std::string> captures;
};
/// `target` as sent, with or without query.
Match find_operation(std::string_view method, std::string_view target);
/// "/2015-03-31/...": a path of the Lambda API.
bool is_dated_path(std::string_view path);

}  // namespace berth::api::lambda
