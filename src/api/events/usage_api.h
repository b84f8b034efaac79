// What the berth command asks beside AWS's operations: what was used, for `berth bill` and `berth function
// why` (GET
// /_berth/usage?from=&until= and GET /_berth/invocations/REQUEST_ID), and buckets of templates (PUT
// /_berth/buckets/NAME).
#pragma once

#include "api/aws/reply.h"
#include "io/http_message.h"
#include "io/task.h"

namespace berth::functions {
class BucketStore;
class Catalog;
class MeteringStore;
}  // namespace berth::functions

namespace berth::api::events {

io::Task<aws::Reply> answer_usage(const functions::Catalog& catalog, functions::MeteringStore& metering,
                                  functions::BucketStore& buckets, const io::HttpRequestHead& head);

}  // namespace berth::api::events
