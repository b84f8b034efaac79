#include "api/s3/s3_api.h"

#include "api/aws/reply.h"
#include "api/aws/sigv4.h"
#include "api/s3/s3_call.h"
#include "base/clock.h"
#include "base/format.h"

namespace berth::api::s3 {

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

std::string iso_time(Timestamp time) {
  return aws::iso_milliseconds(to_unix_nanoseconds(time));
}

std::string element(std::string_view name, std::string_view text) {
  return fmt::format("<{0}>{1}</{0}>", name, aws::xml_escape(text));
}

io::Task<void> S3Call::serve() {
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

void S3Call::read_place() {
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

bool S3Call::allowed() const {
  if (services_.keys.empty()) return true;
  auto signature = aws::read_signature(exchange_.request());
  std::string_view hash = exchange_.header("X-Amz-Content-Sha256").value_or("UNSIGNED-PAYLOAD");
  return signature && aws::verify_signature(exchange_.request(), *signature, services_.keys,
                                            {.sha256_hex = hash}, to_unix_nanoseconds(now()) / 1'000'000'000);
}

void S3Call::send(int status, std::string body) {
  if (!body.empty()) body.insert(0, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
  answer_ = Answer{status, std::move(body)};
}

void S3Call::fail(const S3Error& error) {
  std::string body;
  if (!is("HEAD")) {
    body =
        fmt::format("<Error>{}{}{}{}</Error>", element("Code", error.code), element("Message", error.message),
                    element("Resource", exchange_.path()), element("RequestId", caller_.request_id));
  }
  send(error.status, std::move(body));
}

void S3Call::not_implemented() {
  fail({501, "NotImplemented",
        "A header or query you provided implies functionality that is not implemented"});
}

void S3Call::serve_service() {
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

io::Task<void> serve(FunctionServices& services, io::Exchange& exchange, AwsCaller caller) {
  S3Call call(services, exchange, std::move(caller));
  co_await call.serve();
}

}  // namespace berth::api::s3
