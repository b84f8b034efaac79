// S3Call: one request to the buckets' API. Private to this folder.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "api/aws/caller.h"
#include "api/s3/s3_api.h"
#include "functions/buckets/bucket_store.h"
#include "io/event_loop.h"
#include "io/http_server.h"

namespace berth::api::s3 {

using functions::BucketStore;
using functions::ObjectInfo;

constexpr std::string_view xml_namespace = "http://s3.amazonaws.com/doc/2006-03-01/";
constexpr size_t document_bytes = 2 << 20;
constexpr size_t buffer_bytes = 256 << 10;

struct S3Error {
  int status;
  std::string code, message;
};
S3Error from_error(const Error& error);

/// A time as the documents have it: "2026-11-28T06:05:11.000Z".
std::string iso_time(Timestamp time);
/// <name>text</name>
std::string element(std::string_view name, std::string_view text);

/// One request.
class S3Call {
 public:
  S3Call(FunctionServices& services, io::Exchange& exchange, AwsCaller caller)
      : services_(services), exchange_(exchange), caller_(std::move(caller)), buckets_(services.buckets) {
    read_place();
  }

  io::Task<void> serve();

 private:
  // --- what is asked for

  void read_place();

  /// The body's own hash is what the header says, or streamed, so the signature is over the header.
  bool allowed() const;

  bool asks(std::string_view parameter) const { return exchange_.query().get(parameter).has_value(); }
  std::string query(std::string_view name) const { return std::string(exchange_.query().get_or(name, "")); }
  bool is(std::string_view method) const { return exchange_.method() == method; }

  // --- answers

  // Kept until serve() sends it: a co_await must not be given a temporary that holds strings (g++ 12).
  void send(int status, std::string body);
  void fail(const S3Error& error);
  void not_implemented();

  template <class F>
  auto work(F& blocking) {
    return services_.loop.on_worker(blocking);
  }

  void serve_service();

  // --- buckets

  io::Task<void> serve_bucket();

  /// Functions that hear of the bucket's objects.
  io::Task<void> put_notifications();
  void get_notifications();
  io::Task<void> tell(std::string_view event, const ObjectInfo& info);
  io::Task<void> put_bucket();
  void delete_bucket();
  io::Task<void> get_bucket();
  std::string shown_key(std::string_view key) const;
  io::Task<void> list_objects();

  /// There is one version of each object, "null", as in a bucket that never had versions.
  io::Task<void> list_versions();
  io::Task<void> delete_objects();

  // --- objects

  io::Task<void> serve_object();
  ObjectInfo info_of_request() const;

  /// Everything of the body into the writer; chunk signatures taken off.
  io::Task<Result<void>> receive(functions::ObjectWriter& writer);
  io::Task<void> put_object();
  io::Task<void> copy_object();
  io::Task<void> get_object();
  io::Task<void> delete_object();

  // --- multipart

  void begin_upload();
  io::Task<void> put_part();
  void list_parts();
  io::Task<void> complete_upload();

  FunctionServices& services_;
  io::Exchange& exchange_;
  AwsCaller caller_;
  BucketStore& buckets_;
  std::string bucket_, key_;
  struct Answer {
    int status;
    std::string body;
  };
  std::optional<Answer> answer_;
};

}  // namespace berth::api::s3
