// What was used, for `berth bill` and `berth function why`: GET /_berth/usage?from=&until= and
// GET /_berth/invocations/REQUEST_ID.
#pragma once

#include "api/aws/reply.h"
#include "io/http_message.h"
#include "io/task.h"

namespace berth::functions {
class Catalog;
class MeteringStore;
}  // namespace berth::functions

namespace berth::api::events {

io::Task<aws::Reply> answer_usage(const functions::Catalog& catalog, functions::MeteringStore& metering,
                                  const io::HttpRequestHead& head);

}  // namespace berth::api::events
