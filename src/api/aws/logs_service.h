// CloudWatch Logs' calls over functions::FunctionLog, in AWS JSON 1.1: what `aws logs` needs to look at
// functions.
#pragma once

#include "api/lambda/services.h"
#include "io/task.h"

namespace berth::io {
class Exchange;
}

namespace berth::api::aws {

io::Task<void> serve_logs(FunctionServices& services, io::Exchange& exchange, AwsCaller caller);

}  // namespace berth::api::aws
