// Where an event's outcome goes, and in which form: destinations' documents and dead letters as AWS words
// them. Pure.
#pragma once

#include <string>
#include <string_view>

#include "functions/events/event_store.h"
#include "functions/invocation.h"
#include "functions/queues/model.h"

namespace berth::functions::events {

/// What an ARN of a destination names.
enum class DestinationKind { Queue, Function, Unsupported };
DestinationKind destination_kind(std::string_view arn);

/// {"version":"1.0", "timestamp", "requestContext", "requestPayload", "responseContext", "responsePayload"}.
/// `outcome` is null when the function was never reached.
std::string destination_document(const StoredEvent& event, const FunctionVersion& function, Ending ending,
                                 const InvocationOutcome* outcome, int64_t now_ms);

/// The event itself, with RequestID, ErrorCode and ErrorMessage as message attributes.
queues::NewMessage dead_letter(const StoredEvent& event, Ending ending, const InvocationOutcome* outcome);

}  // namespace berth::functions::events
