// What the functions' port serves besides Lambda, with the queue of events behind it: SQS, EventBridge's
// rules, Secrets Manager, and berth's own questions about use (/_berth/usage, /_berth/invocations/ID).
#pragma once

#include "api/lambda/services.h"

namespace berth::functions {
class MeteringStore;
namespace events {
class EventServices;
}
}  // namespace berth::functions

namespace berth::api {

/// Adds their handlers to services.further. All of them must outlive the API.
void add_further_services(FunctionServices& services, functions::events::EventServices& events,
                          functions::MeteringStore& metering);

}  // namespace berth::api
