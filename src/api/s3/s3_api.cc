#include "api/s3/s3_api.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

#include "api/aws/caller.h"
#include "api/aws/reply.h"
#include "api/aws/sigv4.h"
#include "api/s3/chunked_body.h"
#include "api/s3/notifications.h"
#include "api/s3/xml.h"
#include "base/clock.h"
#include "base/format.h"
#include "functions/buckets/bucket_store.h"
#include "functions/catalog/catalog.h"
#include "io/event_loop.h"
#include "io/http_server.h"

namespace berth::api::s3 {
namespace {

using functions::BucketStore;
using functions::ObjectInfo;

constexpr std::string_view xml_namespace = "http://s3.amazonaws.com/doc/2006-03-01/";
constexpr size_t document_bytes = 2 << 20;
constexpr size_t notification_bytes = 256 << 10;
constexpr uint64_t largest_object = uint64_t{5} << 40;
constexpr size_t buffer_bytes = 256 << 10;

struct S3Error {
  int status;
  std::string code, message;
};
template <class T>
using S3Result = std::expected<T, S3Error>;

S3Error from_error(const Error& error) {
  const std::string& text = error.message();
  switch (error.kind()) {
    case Kind::NotFound:
      if (text.find("bucket") != std::string::npos) return {404, "NoSuchBucket", text};
      return {404, text.find("upload") != std::string::npos ? "NoSuchUpload" : "NoSuchKey", text};
    case Kind::AlreadyExists:
      return {409, "BucketAlreadyOwnedByYou", text};
    case Kind::WrongState:
      return {409, "BucketNotEmpty", text};
    case Kind::InvalidArgument:
      if (text == "InvalidPart" || text == "InvalidPartOrder")
        return {400, text, "A part is not what was uploaded"};
      if (text.find("bucket") != std::string::npos) return {400, "InvalidBucketName", text};
      return {400, "InvalidArgument", text};
    default:
      return {500, "InternalError", text};
  }
}

/// "Sat, 28 Nov 2026 06:05:11 GMT"
std::string http_time(Timestamp time) {
  time_t seconds = static_cast<time_t>(to_unix_nanoseconds(time) / 1'000'000'000);
  tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 40> text{};
  size_t size = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return std::string(text.data(), size);
}

std::string iso_time(Timestamp time) {
  return aws::iso_milliseconds(to_unix_nanoseconds(time));
}

std::string element(std::string_view name, std::string_view text) {
  return fmt::format("<{0}>{1}</{0}>", name, aws::xml_escape(text));
}

/// One request.
class S3Call {
 public:
  S3Call(FunctionServices& services, io::Exchange& exchange, AwsCaller caller)
      : services_(services), exchange_(exchange), caller_(std::move(caller)), buckets_(services.buckets) {
    read_place();
  }

  io::Task<void> serve() {
    exchange_.set_header("x-amz-request-id", caller_.request_id);
    exchange_.set_header("Server", "AmazonS3");
    if (!allowed()) {
      fail({403, "AccessDenied", "The request is not signed with a key that this server knows."});
    } else if (bucket_.empty()) {
      serve_service();
    } else if (key_.empty()) {
      co_await serve_bucket();
    } else {
      co_await serve_object();
    }
    if (!answer_) co_return;
    std::string type = answer_->body.empty() ? "" : "application/xml";
    [[maybe_unused]] auto sent = co_await exchange_.respond(answer_->status, type, answer_->body);
  }

 private:
  // --- what is asked for

  void read_place() {
    std::string_view host = exchange_.header("Host").value_or("");
    host = host.substr(0, host.find(':'));
    std::string path = exchange_.path();
    path.erase(0, 1);
    size_t s3 = host.find(".s3.");
    if (s3 != std::string_view::npos && s3 > 0) {
      bucket_ = host.substr(0, s3);
      key_ = path;
      return;
    }
    size_t slash = path.find('/');
    bucket_ = path.substr(0, slash);
    if (slash != std::string::npos) key_ = path.substr(slash + 1);
  }

  /// The body's own hash is what the header says, or streamed, so the signature is over the header.
  bool allowed() const {
    if (services_.keys.empty()) return true;
    auto signature = aws::read_signature(exchange_.request());
    std::string_view hash = exchange_.header("X-Amz-Content-Sha256").value_or("UNSIGNED-PAYLOAD");
    return signature &&
           aws::verify_signature(exchange_.request(), *signature, services_.keys, {.sha256_hex = hash},
                                 to_unix_nanoseconds(now()) / 1'000'000'000);
  }

  bool asks(std::string_view parameter) const { return exchange_.query().get(parameter).has_value(); }
  std::string query(std::string_view name) const { return std::string(exchange_.query().get_or(name, "")); }
  bool is(std::string_view method) const { return exchange_.method() == method; }

  // --- answers

  // Kept until serve() sends it: what a co_await is given must not be a temporary that holds strings (g++
  // 12).
  void send(int status, std::string body) {
    if (!body.empty()) body.insert(0, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    answer_ = Answer{status, std::move(body)};
  }
  void fail(const S3Error& error) {
    std::string body;
    if (!is("HEAD")) {
      body = fmt::format("<Error>{}{}{}{}</Error>", element("Code", error.code),
                         element("Message", error.message), element("Resource", exchange_.path()),
                         element("RequestId", caller_.request_id));
    }
    send(error.status, std::move(body));
  }
  void not_implemented() {
    fail({501, "NotImplemented",
          "A header or query you provided implies functionality that is not implemented"});
  }

  template <class F>
  auto work(F& blocking) {
    return services_.loop.on_worker(blocking);
  }

  void serve_service() {
    if (!is("GET")) {
      not_implemented();
      return;
    }
    auto all = buckets_.list();
    if (!all) {
      fail(from_error(all.error()));
      return;
    }
    std::string list;
    for (const auto& bucket : *all) {
      list += fmt::format("<Bucket>{}{}</Bucket>", element("Name", bucket.name),
                          element("CreationDate", iso_time(bucket.created)));
    }
    send(200, fmt::format("<ListAllMyBucketsResult xmlns=\"{}\"><Owner>{}</Owner><Buckets>{}</Buckets>"
                          "</ListAllMyBucketsResult>",
                          xml_namespace, element("ID", caller_.realm.account), list));
  }

  // --- buckets

  io::Task<void> serve_bucket() {
    if (is("PUT")) {
      co_await put_bucket();
    } else if (is("HEAD")) {
      bool there = buckets_.exists(bucket_);
      if (there) exchange_.set_header("x-amz-bucket-region", caller_.realm.region);
      send(there ? 200 : 404, "");
    } else if (is("DELETE")) {
      delete_bucket();
    } else if (is("POST") && asks("delete")) {
      co_await delete_objects();
    } else if (is("GET")) {
      co_await get_bucket();
    } else {
      not_implemented();
    }
  }

  /// Functions that hear of the bucket's objects.
  io::Task<void> put_notifications() {
    auto body = co_await exchange_.read_body(notification_bytes);
    if (!body) {
      fail({400, "MalformedXML", "The request could not be read"});
      co_return;
    }
    auto set = set_notifications(services_, caller_.realm, bucket_, *body);
    if (!set && set.error().kind() == Kind::InvalidArgument) {
      fail({400, "InvalidArgument", set.error().message()});
    } else if (!set) {
      fail(from_error(set.error()));
    } else {
      send(200, "");
    }
  }

  void get_notifications() {
    auto document = notifications_of(services_, bucket_);
    if (!document) {
      fail(from_error(document.error()));
      return;
    }
    // As it was given, without its own heading.
    size_t begin = document->find("<NotificationConfiguration");
    send(200, begin == std::string::npos
                  ? fmt::format("<NotificationConfiguration xmlns=\"{}\"/>", xml_namespace)
                  : document->substr(begin));
  }

  io::Task<void> tell(std::string_view event, const ObjectInfo& info) {
    ObjectChange change{.event = event, .key = info.key, .size = info.size, .etag = info.etag};
    return notify(services_, caller_.realm, bucket_, std::move(change), caller_.request_id);
  }

  io::Task<void> put_bucket() {
    if (asks("notification")) {
      co_await put_notifications();
      co_return;
    }
    [[maybe_unused]] auto body = co_await exchange_.read_body(document_bytes);
    // Settings of a bucket (versioning, encryption, policy ...) are taken and change nothing.
    if (!exchange_.query().parameters().empty() && buckets_.exists(bucket_)) {
      send(200, "");
      co_return;
    }
    auto created = buckets_.create(bucket_, caller_.realm.region);
    if (!created && (created.error().kind() != Kind::AlreadyExists || caller_.realm.region != "us-east-1")) {
      fail(from_error(created.error()));
      co_return;
    }
    exchange_.set_header("Location", "/" + bucket_);
    send(200, "");
  }

  void delete_bucket() {
    if (!exchange_.query().parameters().empty()) {
      send(204, "");
      return;
    }
    auto removed = buckets_.remove(bucket_);
    if (!removed) {
      fail(from_error(removed.error()));
      return;
    }
    send(204, "");
  }

  io::Task<void> get_bucket() {
    if (!buckets_.exists(bucket_)) {
      fail({404, "NoSuchBucket", "The specified bucket does not exist"});
    } else if (asks("location")) {
      std::string region = caller_.realm.region == "us-east-1" ? "" : caller_.realm.region;
      send(200, fmt::format("<LocationConstraint xmlns=\"{}\">{}</LocationConstraint>", xml_namespace,
                            aws::xml_escape(region)));
    } else if (asks("versioning")) {
      send(200, fmt::format("<VersioningConfiguration xmlns=\"{}\"/>", xml_namespace));
    } else if (asks("notification")) {
      get_notifications();
    } else if (asks("versions")) {
      co_await list_versions();
    } else if (asks("uploads")) {
      send(200, fmt::format("<ListMultipartUploadsResult xmlns=\"{}\">{}<IsTruncated>false</IsTruncated>"
                            "</ListMultipartUploadsResult>",
                            xml_namespace, element("Bucket", bucket_)));
    } else {
      co_await list_objects();
    }
  }

  std::string shown_key(std::string_view key) const {
    return query("encoding-type") == "url" ? aws::uri_encode(key, aws::Slash::Keep) : std::string(key);
  }

  io::Task<void> list_objects() {
    bool v2 = query("list-type") == "2";
    functions::ListObjects wanted{.prefix = query("prefix"), .delimiter = query("delimiter")};
    std::string token = query(v2 ? "continuation-token" : "marker");
    wanted.after = token.empty() ? query("start-after") : token;
    if (std::string text = query("max-keys"); !text.empty()) {
      std::from_chars(text.data(), text.data() + text.size(), wanted.limit);
      wanted.limit = std::min<uint32_t>(wanted.limit, 1000);
    }
    auto listing = [&] { return buckets_.list_objects(bucket_, wanted); };
    auto page = co_await work(listing);
    if (!page) {
      fail(from_error(page.error()));
      co_return;
    }
    std::string body = fmt::format("<ListBucketResult xmlns=\"{}\">", xml_namespace);
    body += element("Name", bucket_) + element("Prefix", shown_key(wanted.prefix)) +
            element("MaxKeys", std::to_string(wanted.limit)) +
            element("IsTruncated", page->truncated ? "true" : "false");
    if (!wanted.delimiter.empty()) body += element("Delimiter", wanted.delimiter);
    if (!query("encoding-type").empty()) body += element("EncodingType", "url");
    if (v2) body += element("KeyCount", std::to_string(page->objects.size() + page->common_prefixes.size()));
    if (page->truncated) body += element(v2 ? "NextContinuationToken" : "NextMarker", page->last);
    if (v2 && !token.empty()) body += element("ContinuationToken", token);
    for (const ObjectInfo& object : page->objects) {
      body += fmt::format("<Contents>{}{}{}{}{}</Contents>", element("Key", shown_key(object.key)),
                          element("LastModified", iso_time(object.modified)),
                          element("ETag", "\"" + object.etag + "\""),
                          element("Size", std::to_string(object.size)), element("StorageClass", "STANDARD"));
    }
    for (const std::string& prefix : page->common_prefixes) {
      body += fmt::format("<CommonPrefixes>{}</CommonPrefixes>", element("Prefix", shown_key(prefix)));
    }
    body += "</ListBucketResult>";
    send(200, std::move(body));
  }

  /// There is one version of each object, "null", as in a bucket that never had versions.
  io::Task<void> list_versions() {
    functions::ListObjects wanted{.prefix = query("prefix"), .after = query("key-marker")};
    auto listing = [&] { return buckets_.list_objects(bucket_, wanted); };
    auto page = co_await work(listing);
    if (!page) {
      fail(from_error(page.error()));
      co_return;
    }
    std::string body = fmt::format("<ListVersionsResult xmlns=\"{}\">", xml_namespace);
    body += element("Name", bucket_) + element("Prefix", shown_key(wanted.prefix)) +
            element("MaxKeys", "1000") + element("IsTruncated", page->truncated ? "true" : "false");
    if (page->truncated) body += element("NextKeyMarker", shown_key(page->last));
    for (const ObjectInfo& object : page->objects) {
      body += fmt::format(
          "<Version>{}<VersionId>null</VersionId><IsLatest>true</IsLatest>{}{}{}</Version>",
          element("Key", shown_key(object.key)), element("LastModified", iso_time(object.modified)),
          element("ETag", "\"" + object.etag + "\""), element("Size", std::to_string(object.size)));
    }
    body += "</ListVersionsResult>";
    send(200, std::move(body));
  }

  io::Task<void> delete_objects() {
    auto body = co_await exchange_.read_body(document_bytes);
    if (!body) {
      fail({400, "MalformedXML", "The request could not be read"});
      co_return;
    }
    std::string report;
    for (const std::string& key : elements(*body, "Key")) {
      auto removed = buckets_.remove_object(bucket_, key);
      if (!removed) {
        fail(from_error(removed.error()));
        co_return;
      }
      ObjectInfo gone{.key = key};
      co_await tell("ObjectRemoved:Delete", gone);
      report += fmt::format("<Deleted>{}</Deleted>", element("Key", key));
    }
    send(200, fmt::format("<DeleteResult xmlns=\"{}\">{}</DeleteResult>", xml_namespace, report));
  }

  // --- objects

  io::Task<void> serve_object() {
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

  ObjectInfo info_of_request() const {
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

  /// Everything of the body into the writer; chunk signatures taken off.
  io::Task<Result<void>> receive(functions::ObjectWriter& writer) {
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

  io::Task<void> put_object() {
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

  io::Task<void> copy_object() {
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

  io::Task<void> get_object() {
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

  io::Task<void> delete_object() {
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

  // --- multipart

  void begin_upload() {
    auto id = buckets_.begin_upload(bucket_, info_of_request());
    if (!id) {
      fail(from_error(id.error()));
      return;
    }
    send(200, fmt::format(
                  "<InitiateMultipartUploadResult xmlns=\"{}\">{}{}{}</InitiateMultipartUploadResult>",
                  xml_namespace, element("Bucket", bucket_), element("Key", key_), element("UploadId", *id)));
  }

  io::Task<void> put_part() {
    uint32_t number = 0;
    std::string text = query("partNumber");
    std::from_chars(text.data(), text.data() + text.size(), number);
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
    auto etag = buckets_.put_part(query("uploadId"), number, std::move(*writer));
    if (!etag) {
      fail(from_error(etag.error()));
      co_return;
    }
    exchange_.set_header("ETag", "\"" + *etag + "\"");
    send(200, "");
  }

  void list_parts() {
    auto parts = buckets_.parts(query("uploadId"));
    if (!parts) {
      fail(from_error(parts.error()));
      return;
    }
    std::string list;
    for (const auto& part : *parts) {
      list +=
          fmt::format("<Part>{}{}{}</Part>", element("PartNumber", std::to_string(part.number)),
                      element("ETag", "\"" + part.etag + "\""), element("Size", std::to_string(part.size)));
    }
    send(200, fmt::format("<ListPartsResult xmlns=\"{}\">{}{}{}<IsTruncated>false</IsTruncated>{}"
                          "</ListPartsResult>",
                          xml_namespace, element("Bucket", bucket_), element("Key", key_),
                          element("UploadId", query("uploadId")), list));
  }

  io::Task<void> complete_upload() {
    auto body = co_await exchange_.read_body(document_bytes);
    std::vector<BucketStore::Part> parts;
    if (body) {
      auto numbers = elements(*body, "PartNumber"), etags = elements(*body, "ETag");
      for (size_t i = 0; i < std::min(numbers.size(), etags.size()); ++i) {
        BucketStore::Part part{.etag = etags[i]};
        std::from_chars(numbers[i].data(), numbers[i].data() + numbers[i].size(), part.number);
        std::erase(part.etag, '"');
        parts.push_back(std::move(part));
      }
    }
    std::string upload = query("uploadId");
    auto complete = [&] { return buckets_.complete_upload(bucket_, upload, parts); };
    auto kept = co_await work(complete);
    if (!kept) {
      fail(from_error(kept.error()));
      co_return;
    }
    co_await tell("ObjectCreated:CompleteMultipartUpload", *kept);
    send(200,
         fmt::format("<CompleteMultipartUploadResult xmlns=\"{}\">{}{}{}</CompleteMultipartUploadResult>",
                     xml_namespace, element("Bucket", bucket_), element("Key", key_),
                     element("ETag", "\"" + kept->etag + "\"")));
  }

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

}  // namespace

io::Task<void> serve(FunctionServices& services, io::Exchange& exchange, AwsCaller caller) {
  S3Call call(services, exchange, std::move(caller));
  co_await call.serve();
}

}  // namespace berth::api::s3
