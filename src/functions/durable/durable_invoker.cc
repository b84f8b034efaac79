#include "functions/durable/durable_invoker.h"

#include "base/format.h"
#include "functions/catalog/names.h"
#include "functions/uuid.h"

namespace berth::functions::durable {
namespace {

/// Somebody wants the result, and not only to hand the event over.
bool waits(const Invocation& invocation) {
  return invocation.source != InvocationSource::Async && invocation.source != InvocationSource::Schedule;
}

}  // namespace

bool is_durable(const FunctionVersion& version) {
  return version.kept_members.contains("DurableConfig");
}

std::optional<NewExecution> new_execution_of(const FunctionVersion& version, std::string qualifier) {
  auto config = durable_config_of(version);
  if (!config) return std::nullopt;
  return NewExecution{.realm = version.realm,
                      .function = version.name,
                      .version = version.version,
                      .qualifier = std::move(qualifier),
                      .input = {},
                      .dead_letter_arn = version.dead_letter_arn,
                      .config = std::move(*config)};
}

Result<NewExecution> execution_for(const Invocation& invocation, LimitProfile profile) {
  TRY(auto reference, parse_function_reference(invocation.invoked_arn, invocation.function->realm));
  auto asked = new_execution_of(*invocation.function, reference.qualifier);
  if (!asked)
    return failure(Kind::InvalidArgument, "The function {} is not durable.", invocation.function->name);
  bool strict = profile == LimitProfile::Strict;
  if (strict && reference.qualifier.empty())
    return failure(Kind::InvalidArgument, "You cannot invoke a durable function using an unqualified ARN.");
  asked->source = invocation.source;
  asked->trace = invocation.trace_header;
  asked->input = invocation.payload;
  if (waits(invocation) && asked->config.timeout_seconds > durable_limits_of(profile).sync_seconds) {
    return failure(
        Kind::InvalidArgument,
        "You cannot synchronously invoke a durable function with an executionTimeout greater than 15 "
        "minutes.");
  }
  return std::move(*asked);
}

InvocationOutcome outcome_of(const ExecutionState& state, const Invocation& invocation) {
  InvocationOutcome outcome{.request_id = invocation.request_id,
                            .executed_version = state.execution.version,
                            .payload = state.result.value_or("null"),
                            .trace_header = invocation.trace_header};
  if (state.execution.status == ExecutionStatus::Succeeded) return outcome;
  outcome.function_error = "Unhandled";
  outcome.payload = error_for_client(state.execution.error);
  return outcome;
}

io::Task<Result<InvocationOutcome>> DurableInvoker::invoke(Invocation invocation) {
  if (executions_ == nullptr || !is_durable(*invocation.function))
    return invoker_.invoke(std::move(invocation));
  return run(std::move(invocation));
}

io::Task<Result<InvocationOutcome>> DurableInvoker::run(Invocation invocation) {
  CO_TRY(NewExecution asked, execution_for(invocation, profile_));
  if (invocation.request_id.empty()) invocation.request_id = random_uuid();
  // An event that comes again, because the daemon ended between this and the event's removal, finds its
  // execution.
  const bool is_event = !waits(invocation);
  if (is_event) asked.name = invocation.request_id;
  invocation.payload.clear();
  CO_TRY(Started started, co_await executions_->start_execution(std::move(asked)));
  if (is_event) {
    co_return InvocationOutcome{.request_id = invocation.request_id,
                                .executed_version = invocation.function->version,
                                .payload = "null",
                                .trace_header = invocation.trace_header};
  }
  CO_TRY(ExecutionState state, co_await executions_->wait_for(started.id));
  co_return outcome_of(state, invocation);
}

}  // namespace berth::functions::durable
