// Durable executions' requests and answers as Lambda's API has them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/aws/reply.h"
#include "base/json_fwd.h"
#include "functions/durable/executions.h"

namespace berth::api::lambda {

/// A checkpoint's Updates. InvalidParameterValueException names the update and the member.
aws::AwsResult<std::vector<functions::durable::OperationUpdate>> read_updates(const Json& updates);
/// An ErrorObject, or nothing. Returns its JSON text. InvalidParameterValueException.
aws::AwsResult<std::string> read_error(const Json* error);

Json execution_summary(const functions::durable::Execution& execution);
/// GetDurableExecution's answer.
Json execution_document(const functions::durable::ExecutionState& state, bool with_data);
Json event_document(const functions::durable::HistoryEvent& event, bool with_data);

/// DurableConfig of a request over what the function has (empty: it is being made), as JSON text.
/// InvalidParameterValueException.
aws::AwsResult<std::string> merge_durable_config(const Json& given, const std::string& held);

}  // namespace berth::api::lambda
