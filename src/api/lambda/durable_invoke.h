// Invoke of a durable function: it starts an execution, or finds the one of that name.
#pragma once

#include "api/lambda/call.h"
#include "functions/invocation.h"
#include "io/task.h"

namespace berth::api::lambda {

/// `event`: nobody waits for the end. The execution's ARN is in the answer's headers.
io::Task<AwsResult<Reply>> invoke_durable(Call& call, functions::Invocation invocation, bool event);
/// X-Amz-Durable-Execution-Name is for durable functions alone. InvalidParameterValueException.
AwsResult<void> check_not_durable(Call& call);

}  // namespace berth::api::lambda
