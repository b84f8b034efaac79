// A minimal S3 over functions::BucketStore: buckets, objects, lists, ranges, multipart uploads; path style,
// and <bucket>.s3.localhost as virtual host.
#pragma once

#include <cstdint>
#include <string>

#include "api/lambda/services.h"
#include "io/task.h"
#include "sys/fd.h"

namespace berth::io {
class EventLoop;
class Exchange;
}  // namespace berth::io

namespace berth::api::s3 {

io::Task<void> serve(FunctionServices& services, io::Exchange& exchange, AwsCaller caller);

struct SentFile {
  uint64_t size = 0;
  std::string content_type;
};
/// Answers with a file, or the range of it that was asked for; HEAD with its length alone.
io::Task<void> send_file(io::EventLoop& loop, io::Exchange& exchange, sys::UniqueFd file, SentFile what);

}  // namespace berth::api::s3
