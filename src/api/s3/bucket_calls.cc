// Requests about a bucket: its life, its settings, what is in it.
#include <algorithm>
#include <charconv>

#include "api/aws/reply.h"
#include "api/s3/notifications.h"
#include "api/s3/s3_call.h"
#include "api/s3/xml.h"
#include "base/format.h"

namespace berth::api::s3 {
namespace {

constexpr size_t notification_bytes = 256 << 10;

}  // namespace

io::Task<void> S3Call::serve_bucket() {
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

io::Task<void> S3Call::put_notifications() {
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

void S3Call::get_notifications() {
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

io::Task<void> S3Call::put_bucket() {
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

void S3Call::delete_bucket() {
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

io::Task<void> S3Call::get_bucket() {
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

std::string S3Call::shown_key(std::string_view key) const {
  return query("encoding-type") == "url" ? aws::uri_encode(key, aws::Slash::Keep) : std::string(key);
}

io::Task<void> S3Call::list_objects() {
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

io::Task<void> S3Call::list_versions() {
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
    body +=
        fmt::format("<Version>{}<VersionId>null</VersionId><IsLatest>true</IsLatest>{}{}{}</Version>",
                    element("Key", shown_key(object.key)), element("LastModified", iso_time(object.modified)),
                    element("ETag", "\"" + object.etag + "\""), element("Size", std::to_string(object.size)));
  }
  body += "</ListVersionsResult>";
  send(200, std::move(body));
}

io::Task<void> S3Call::delete_objects() {
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

}  // namespace berth::api::s3
