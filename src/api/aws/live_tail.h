// CloudWatch Logs' StartLiveTail: a session that tells each second what was logged, as an event stream.
#pragma once

#include "api/lambda/services.h"
#include "base/json_fwd.h"
#include "io/task.h"

namespace berth::io {
class Exchange;
}

namespace berth::api::aws {

/// Answers the whole exchange: an error before the session begins, else frames until the client goes or three
/// hours have passed, as with AWS. `request` outlives the task.
io::Task<void> serve_live_tail(FunctionServices& services, io::Exchange& exchange, AwsCaller caller,
                               const Json& request);

}  // namespace berth::api::aws
