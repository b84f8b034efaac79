// Uploads of an object in parts.
#include <algorithm>
#include <charconv>

#include "api/s3/s3_call.h"
#include "api/s3/xml.h"
#include "base/format.h"

namespace berth::api::s3 {

void S3Call::begin_upload() {
  auto id = buckets_.begin_upload(bucket_, info_of_request());
  if (!id) {
    fail(from_error(id.error()));
    return;
  }
  send(200, fmt::format("<InitiateMultipartUploadResult xmlns=\"{}\">{}{}{}</InitiateMultipartUploadResult>",
                        xml_namespace, element("Bucket", bucket_), element("Key", key_),
                        element("UploadId", *id)));
}

io::Task<void> S3Call::put_part() {
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

void S3Call::list_parts() {
  auto parts = buckets_.parts(query("uploadId"));
  if (!parts) {
    fail(from_error(parts.error()));
    return;
  }
  std::string list;
  for (const auto& part : *parts) {
    list += fmt::format("<Part>{}{}{}</Part>", element("PartNumber", std::to_string(part.number)),
                        element("ETag", "\"" + part.etag + "\""), element("Size", std::to_string(part.size)));
  }
  send(200, fmt::format("<ListPartsResult xmlns=\"{}\">{}{}{}<IsTruncated>false</IsTruncated>{}"
                        "</ListPartsResult>",
                        xml_namespace, element("Bucket", bucket_), element("Key", key_),
                        element("UploadId", query("uploadId")), list));
}

io::Task<void> S3Call::complete_upload() {
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
  send(200, fmt::format("<CompleteMultipartUploadResult xmlns=\"{}\">{}{}{}</CompleteMultipartUploadResult>",
                        xml_namespace, element("Bucket", bucket_), element("Key", key_),
                        element("ETag", "\"" + kept->etag + "\"")));
}

}  // namespace berth::api::s3
