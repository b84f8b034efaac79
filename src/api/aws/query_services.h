// STS and the few calls of IAM that tools make for functions' roles, in AWS's query protocol (form in, XML
// out).
#pragma once

#include "api/lambda/services.h"
#include "io/task.h"

namespace berth::io {
class Exchange;
}

namespace berth::api::aws {

io::Task<void> serve_query(FunctionServices& services, io::Exchange& exchange, AwsCaller caller);

}  // namespace berth::api::aws
