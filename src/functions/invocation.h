// One event's life: what is asked, who answers, what comes of it. The Invoker's implementation owns the
// sandboxes; everything that calls functions (api/lambda/, function URLs, the queue, event sources) goes
// through this interface.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "functions/metering.h"
#include "functions/model.h"
#include "io/task.h"

namespace berth::functions {

/// Takes a streamed response. Calls come in order; an error ends the stream (the client has gone).
class ResponseStream {
 public:
  virtual ~ResponseStream() = default;
  /// Before the first byte; "application/vnd.awslambda.http-integration-response" carries a prelude.
  virtual io::Task<Result<void>> begin(std::string content_type) = 0;
  virtual io::Task<Result<void>> write(std::string_view bytes) = 0;
};

struct Invocation {
  FunctionVersionPtr function;
  std::string invoked_arn;            ///< as the caller named it: with alias or version, if any
  std::string request_id = {};        ///< a UUID; empty: one is made
  std::string payload;                ///< JSON
  std::string client_context = {};    ///< decoded JSON; empty: none
  std::string cognito_identity = {};  ///< JSON; empty: none
  std::string tenant = {};            ///< whose sandboxes serve it, where the function keeps tenants apart
  std::string trace_header = {};      ///< X-Amzn-Trace-Id of the caller; empty: one is made
  InvocationSource source = InvocationSource::Sync;
  bool log_tail = false;  ///< keep the last 4 KiB of this invocation's log
  bool debug = false;     ///< the time limit stands still while a debugger is attached to the sandbox
  ResponseStream* stream =
      nullptr;  ///< not null: bytes go there as they come, `payload` of the outcome stays empty
};

/// What came of it. A function that failed is an outcome, not an error.
struct InvocationOutcome {
  std::string request_id;
  std::string executed_version;
  std::string payload;         ///< the response, or the error document {"errorMessage", "errorType", ...}
  std::string function_error;  ///< empty: success; else "Unhandled" (or "Handled")
  std::string log_tail;        ///< raw bytes, if asked for
  std::string trace_header;
  InvocationRecord record;
};

/// Why an invocation was turned away, behind Kind::Exhausted (HTTP 429). Text of Error::message() is "Rate
/// Exceeded.".
enum class Throttle { None, Concurrency, ReservedConcurrency };

class Invoker {
 public:
  virtual ~Invoker() = default;

  /// Runs the event in a sandbox: a warm one, else a new one. Destroying the task does not stop the function.
  /// Errors are those of the service: Exhausted (throttled, see last_throttle()), Unavailable, Internal,
  /// InvalidArgument (the image cannot be run).
  virtual io::Task<Result<InvocationOutcome>> invoke(Invocation invocation) = 0;
  /// Of the error that invoke() just returned on this thread.
  virtual Throttle last_throttle() const = 0;

  /// The function's code or configuration has changed, or it was removed: idle sandboxes of versions other
  /// than `current` (nullptr: of all) end, busy ones after their event.
  virtual void function_changed(const Realm& realm, const std::string& name, FunctionVersionPtr current) = 0;
  /// Enforced from now on.
  virtual void set_concurrency(const Realm& realm, const std::string& name, ConcurrencySettings settings) = 0;
  /// Provisioned sandboxes that are ready / wanted, for one version.
  struct Provisioned {
    uint32_t wanted = 0, allocated = 0, available = 0;
    std::string failure = {};  ///< why some could not be initialised
  };
  virtual Provisioned provisioned(const Realm& realm, const std::string& name,
                                  const std::string& version) const = 0;
};

}  // namespace berth::functions
