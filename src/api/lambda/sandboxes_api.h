// berth's own route GET /_berth/sandboxes: which sandboxes of functions there are and what they do, those
// that wait prepared among them. Registered as the further service "sandboxes".
#pragma once

#include "api/lambda/services.h"

namespace berth::functions {
class SandboxInvoker;
}

namespace berth::api {

/// {"prepared": bound of the stock, "sandboxes": [{"container", "function", "version", "account", "region",
/// "state", "events"}]}, by function. Both must outlive the task.
io::Task<void> serve_sandboxes(FunctionServices& services, const functions::SandboxInvoker& invoker,
                               io::Exchange& exchange);

}  // namespace berth::api
