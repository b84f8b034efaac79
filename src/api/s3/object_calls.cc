// Requests about an object as a whole.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "api/s3/chunked_body.h"
#include "api/s3/notifications.h"
#include "api/s3/s3_call.h"
#include "base/clock.h"
#include "base/format.h"

namespace berth::api::s3 {
namespace {

constexpr uint64_t largest_object = uint64_t{5} << 40;

/// "Sat, 28 Nov 2026 06:05:11 GMT"
std::string http_time(Timestamp time) {
  time_t seconds = static_cast<time_t>(to_unix_nanoseconds(time) / 1'000'000'000);
  tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 40> text{};
  size_t size = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return std::string(text.data(), size);
}

}  // namespace

io::Task<void> S3Call::serve_object() {
  if (is("GET") && asks("uploadId")) {
    list_parts();
  } else if (is("GET") || is("HEAD")) {
    co_await get_object();
  } else if (is("PUT") && asks("uploadId")) {
    co_await put_part();
  } else if (is("PUT") && exchange_.header("X-Amz-Copy-Source")) {
    co_await copy_object();
  } else if (is("PUT") && (asks("tagging") || asks("acl"))) {
    [[maybe_unused]] auto body = co_await exchange_.read_body(document_bytes);
    send(200, "");
  } else if (is("PUT")) {
    co_await put_object();
  } else if (is("POST") && asks("uploads")) {
    begin_upload();
  } else if (is("POST") && asks("uploadId")) {
    co_await complete_upload();
  } else if (is("DELETE")) {
    co_await delete_object();
  } else {
    not_implemented();
  }
}

io::Task<void> S3Call::tell(std::string_view event, const ObjectInfo& info) {
  ObjectChange change{.event = event, .key = info.key, .size = info.size, .etag = info.etag};
  return notify(services_, caller_.realm, bucket_, std::move(change), caller_.request_id);
}

ObjectInfo S3Call::info_of_request() const {
  ObjectInfo info{
      .key = key_,
      .content_type = std::string(exchange_.header("Content-Type").value_or("binary/octet-stream"))};
  for (const auto& [name, value] : exchange_.request().headers.fields()) {
    constexpr std::string_view prefix = "x-amz-meta-";
    bool meta =
        name.size() > prefix.size() && io::equals_ignoring_case(name.substr(0, prefix.size()), prefix);
    if (!meta || info.metadata.size() >= 64) continue;
    std::string lower = name;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    info.metadata[lower] = value;
  }
  return info;
}

io::Task<Result<void>> S3Call::receive(functions::ObjectWriter& writer) {
  bool chunked = exchange_.header("X-Amz-Content-Sha256").value_or("").starts_with("STREAMING-") ||
                 exchange_.request().headers.has_token("Content-Encoding", "aws-chunked");
  ChunkedBody chunks;
  std::string buffer(buffer_bytes, '\0');
  while (true) {
    CO_TRY(size_t count, co_await exchange_.read_some(buffer));
    if (count == 0) break;
    std::string_view bytes = std::string_view(buffer).substr(0, count);
    std::string plain;
    if (chunked) {
      CO_CHECK(chunks.feed(bytes, plain));
      bytes = plain;
    }
    if (writer.size() + bytes.size() > largest_object) {
      co_return Error(Kind::InvalidArgument, "Your proposed upload exceeds the maximum allowed size");
    }
    auto write = [&] { return writer.write(bytes); };
    CO_CHECK(co_await work(write));
  }
  if (chunked && !chunks.ended()) co_return Error(Kind::InvalidArgument, "The chunked body ends too soon");
  co_return Result<void>();
}

io::Task<void> S3Call::put_object() {
  auto writer = buckets_.begin(bucket_);
  if (!writer) {
    fail(from_error(writer.error()));
    co_return;
  }
  auto received = co_await receive(**writer);
  if (!received) {
    if (received.error().kind() != Kind::Cancelled) fail(from_error(received.error()));
    co_return;
  }
  ObjectInfo info = info_of_request();
  auto keep = [&] { return buckets_.put(bucket_, std::move(*writer), std::move(info)); };
  auto kept = co_await work(keep);
  if (!kept) {
    fail(from_error(kept.error()));
    co_return;
  }
  co_await tell("ObjectCreated:Put", *kept);
  exchange_.set_header("ETag", "\"" + kept->etag + "\"");
  send(200, "");
}

io::Task<void> S3Call::copy_object() {
  std::string source = io::percent_decode(*exchange_.header("X-Amz-Copy-Source")).value_or("");
  if (source.starts_with('/')) source.erase(0, 1);
  size_t slash = source.find('/');
  std::string from = source.substr(0, slash);
  std::string key = slash == std::string::npos ? "" : source.substr(slash + 1);
  auto copy = [&]() -> Result<ObjectInfo> {
    TRY(auto object, buckets_.open_object(from, key));
    TRY(auto writer, buckets_.begin(bucket_));
    std::string buffer(buffer_bytes, '\0');
    while (true) {
      ssize_t count = ::read(object.file.get(), buffer.data(), buffer.size());
      if (count < 0) return Error::from_errno("read", key, errno);
      if (count == 0) break;
      CHECK(writer->write(std::string_view(buffer).substr(0, static_cast<size_t>(count))));
    }
    ObjectInfo info = object.info;
    info.key = key_;
    info.etag.clear();
    return buckets_.put(bucket_, std::move(writer), std::move(info));
  };
  auto kept = co_await work(copy);
  if (!kept) {
    fail(from_error(kept.error()));
    co_return;
  }
  co_await tell("ObjectCreated:Copy", *kept);
  send(200, fmt::format("<CopyObjectResult xmlns=\"{}\">{}{}</CopyObjectResult>", xml_namespace,
                        element("LastModified", iso_time(kept->modified)),
                        element("ETag", "\"" + kept->etag + "\"")));
}

io::Task<void> S3Call::get_object() {
  auto object = buckets_.open_object(bucket_, key_);
  if (!object) {
    fail(from_error(object.error()));
    co_return;
  }
  const ObjectInfo& info = object->info;
  exchange_.set_header("ETag", "\"" + info.etag + "\"");
  exchange_.set_header("Last-Modified", http_time(info.modified));
  for (const auto& [name, value] : info.metadata) exchange_.set_header(name, value);
  SentFile what{.size = info.size, .content_type = info.content_type};
  co_await s3::send_file(services_.loop, exchange_, std::move(object->file), std::move(what));
}

io::Task<void> S3Call::delete_object() {
  bool upload = asks("uploadId");
  auto removed = upload ? buckets_.abort_upload(query("uploadId")) : buckets_.remove_object(bucket_, key_);
  if (!removed) {
    fail(from_error(removed.error()));
    co_return;
  }
  ObjectInfo gone{.key = key_};
  if (!upload) co_await tell("ObjectRemoved:Delete", gone);
  send(204, "");
}

}  // namespace berth::api::s3
