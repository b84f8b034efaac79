// Who asks: read from the signature, and checked where keys are configured.
#pragma once

#include <string_view>

#include "api/aws/reply.h"
#include "api/lambda/services.h"

namespace berth::api::aws {

/// From the signature's credential; unsigned requests come from the default account.
AwsCaller read_caller(const io::Exchange& exchange);
/// Nothing without configured keys; else the request must be signed with one of them. The error has Lambda's
/// and the JSON services' type.
AwsResult<void> check_caller(const FunctionServices& services, const io::Exchange& exchange,
                             std::string_view body);

}  // namespace berth::api::aws
