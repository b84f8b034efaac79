#include "api/lambda/code_source.h"

#include <algorithm>

#include "api/lambda/function_json.h"
#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"
#include "base/log.h"
#include "functions/buckets/bucket_store.h"
#include "io/event_loop.h"
#include "sys/file.h"

namespace berth::api::lambda {
namespace {

using functions::FunctionVersion;
using functions::Package;

AwsError unzip_failed(const Error& error) {
  if (error.kind() == Kind::Exhausted) return aws::invalid_parameter(error.message());
  if (error.message() == "Uploaded file must be a non-empty zip")
    return aws::invalid_parameter(error.message());
  if (error.kind() != Kind::InvalidArgument) return {500, "ServiceException", error.message()};
  return aws::invalid_parameter(
      fmt::format("Could not unzip uploaded file. Please check your file, then try to upload again. ({})",
                  error.message()));
}

io::Task<AwsResult<Package>> keep(Call& call, std::string bytes) {
  auto& packages = call.services().packages;
  auto work = [&] { return packages.add(bytes); };
  auto package = co_await call.services().loop.on_worker(work);
  if (!package) co_return unzip_failed(package.error());
  co_return std::move(*package);
}

io::Task<AwsResult<std::string>> read_object(Call& call, std::string bucket, std::string key) {
  auto& buckets = call.services().buckets;
  // What is uploaded directly is bounded more tightly than what lies in a bucket.
  const uint64_t limit = std::max(call.limits().zip_bytes, call.limits().unpacked_bytes);
  auto work = [&]() -> Result<std::string> {
    TRY(auto object, buckets.open_object(bucket, key));
    return sys::read_fd(object.file.get(), limit + 1);
  };
  auto bytes = co_await call.services().loop.on_worker(work);
  if (bytes && bytes->size() <= limit) co_return std::move(*bytes);
  if (bytes || bytes.error().kind() == Kind::Exhausted)
    co_return aws::invalid_parameter(fmt::format("Unzipped size must be smaller than {} bytes", limit));
  bool no_bucket = bytes.error().kind() == Kind::NotFound && !buckets.exists(bucket);
  std::string_view code = no_bucket ? "NoSuchBucket" : "NoSuchKey";
  std::string_view text =
      no_bucket ? "The specified bucket does not exist" : "The specified key does not exist.";
  if (bytes.error().kind() != Kind::NotFound) co_return bytes.error();
  co_return aws::invalid_parameter(
      fmt::format("Error occurred while GetObject. S3 Error Code: {}. S3 Error Message: {}", code, text));
}

}  // namespace

io::Task<AwsResult<Package>> take_zip(Call& call, const Json& source) {
  CO_TRY(auto bucket, text_member(source, "S3Bucket"));
  CO_TRY(auto key, text_member(source, "S3Key"));
  CO_TRY(auto mode, text_member(source, "S3ObjectStorageMode"));
  if (mode) CO_CHECK(check_enum(*mode, "code.s3ObjectStorageMode", {"COPY", "REFERENCE"}));
  const Json* zip = member(source, "ZipFile");
  if (zip != nullptr && mode == "REFERENCE") {
    co_return aws::invalid_parameter(
        "S3ObjectStorageMode REFERENCE is for code in a bucket: S3Bucket and S3Key.");
  }
  if (zip != nullptr && (bucket || key)) {
    co_return aws::invalid_parameter(
        "Please do not provide other FunctionCode parameters when providing a ZipFile.");
  }
  if (zip != nullptr) {
    if (!zip->is_string())
      co_return AwsError{400, "SerializationException", "ZipFile must be a base64 string"};
    const auto& text = zip->get_ref<const std::string&>();
    auto decode = [&] { return from_base64(text); };
    auto bytes = co_await call.services().loop.on_worker(decode);
    if (!bytes) co_return AwsError{400, "SerializationException", "ZipFile is not base64"};
    if (bytes->empty()) co_return aws::invalid_parameter("Uploaded file must be a non-empty zip");
    if (bytes->size() > call.limits().zip_bytes) {
      co_return AwsError{413, "RequestEntityTooLargeException",
                         fmt::format("Zipped size must be smaller than {} bytes", call.limits().zip_bytes)};
    }
    co_return co_await keep(call, std::move(*bytes));
  }
  if (!bucket || !key) co_return aws::invalid_parameter("Please provide a source for function code.");
  CO_TRY(auto version, text_member(source, "S3ObjectVersion"));
  if (version && *version != "null") {
    co_return aws::invalid_parameter(
        "Error occurred while GetObject. S3 Error Code: NoSuchVersion. S3 Error Message: The specified "
        "version does not exist. (Buckets keep no versions here: leave S3ObjectVersion out.)");
  }
  CO_TRY(auto bytes, co_await read_object(call, *bucket, *key));
  co_return co_await keep(call, std::move(bytes));
}

io::Task<AwsResult<Package>> take_code(Call& call, const Json& source, FunctionVersion& version) {
  CO_TRY(auto image, text_member(source, "ImageUri"));
  if (version.package == functions::PackageType::Image) {
    if (!image)
      co_return aws::invalid_parameter(
          "Please provide ImageUri when updating a function with packageType Image.");
    auto found = call.services().find_image(*image);
    if (!found && found.error().kind() == Kind::NotFound && call.services().pull_image) {
      io::Task<Result<FunctionImage>> pulling = call.services().pull_image(*image);
      found = co_await std::move(pulling);
    }
    if (!found) {
      co_return aws::invalid_parameter(
          fmt::format("Source image {} does not exist. Provide a valid source image. ({})", *image,
                      found.error().message()));
    }
    version.image = *image;
    version.image_id = found->id;
    version.code_sha256 = found->id.substr(found->id.find(':') + 1);
    version.code_size = 0;
    co_return Package{
        .digest = Digest::from_hex(version.code_sha256), .sha256 = {}, .size = 0, .directory = {}};
  }
  if (image)
    co_return aws::invalid_parameter(
        "Please don't provide ImageUri when updating a function with packageType Zip.");
  CO_TRY(Package package, co_await take_zip(call, source));
  CO_TRY(auto mode, text_member(source, "S3ObjectStorageMode"));
  CO_TRY(auto key, text_member(source, "SourceKMSKeyArn"));
  version.kept_members.erase(referenced_object);
  version.kept_members.erase(source_key);
  if (key && !key->empty()) version.kept_members[source_key] = *key;
  if (mode == "REFERENCE") {
    Json object{{"S3Bucket", source["S3Bucket"]}, {"S3Key", source["S3Key"]}};
    version.kept_members[referenced_object] = to_json(object);
  }
  version.code_sha256 = package.sha256;
  version.code_size = package.size;
  version.code_directory = package.directory;
  co_return package;
}

io::Task<AwsResult<void>> check_unpacked_size(Call& call, const FunctionVersion& version) {
  if (version.layers.empty() || version.package == functions::PackageType::Image) co_return AwsResult<void>();
  auto& packages = call.services().packages;
  auto work = [&]() -> Result<uint64_t> {
    TRY(uint64_t total, packages.unpacked_bytes(version.code_directory));
    for (const auto& layer : version.layers) {
      TRY(uint64_t bytes, packages.unpacked_bytes(layer.directory));
      total += bytes;
    }
    return total;
  };
  CO_TRY(uint64_t total, co_await call.services().loop.on_worker(work));
  if (total > call.limits().unpacked_bytes) {
    co_return aws::invalid_parameter(
        fmt::format("Function code combined with layers exceeds the maximum allowed size of {} bytes. The "
                    "actual size is {} bytes.",
                    call.limits().unpacked_bytes, total));
  }
  co_return AwsResult<void>();
}

io::Task<void> collect_code(FunctionServices& services) {
  auto doomed = services.packages.set_aside(services.catalog.code_directories());
  Result<void> removed;
  if (!doomed) {
    removed = doomed.error();
  } else if (!doomed->empty()) {
    auto work = [&] { return functions::PackageStore::remove(*doomed); };
    removed = co_await services.loop.on_worker(work);
  }
  if (!removed) log::warn("unused code of functions was not removed: {}", removed.error().message());
}

std::string code_location(const io::Exchange& exchange, std::string_view code_sha256) {
  auto raw = from_base64(code_sha256);
  std::string hex;
  if (raw) hex = to_hex({reinterpret_cast<const uint8_t*>(raw->data()), raw->size()});
  return fmt::format("http://{}/_berth/code/{}.zip", exchange.header("Host").value_or("127.0.0.1:4566"), hex);
}

}  // namespace berth::api::lambda
