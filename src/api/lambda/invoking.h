// What Invoke and function URLs have in common.
#pragma once

#include "api/aws/reply.h"
#include "api/lambda/services.h"

namespace berth::functions {
class Invoker;
}

namespace berth::api::lambda {

/// ResourceConflictException while the base of its runtime is made.
aws::AwsResult<void> check_invocable(const FunctionServices& services,
                                     const functions::FunctionVersion& version);
/// The service's error for an invocation that was turned away: throttling with its reason, and so on.
aws::AwsError invocation_error(const functions::Invoker& invoker, const Error& error);

}  // namespace berth::api::lambda
