// Where a function's or layer's code comes from: a zip in the request, an object of a bucket, an image.
#pragma once

#include "api/lambda/call.h"
#include "base/json_fwd.h"
#include "functions/packages/package_store.h"
#include "io/task.h"

namespace berth::api::lambda {

/// A zip that has been kept and unpacked. `source` has ZipFile or S3Bucket and S3Key.
io::Task<AwsResult<functions::Package>> take_zip(Call& call, const Json& source);
/// Member of a version's kept ones, not shown as such: the object that its code refers to
/// (S3ObjectStorageMode REFERENCE), {"S3Bucket", "S3Key"}.
inline constexpr const char* referenced_object = "_ReferencedObject";
/// Likewise: the ARN of the key that the archive is said to be encrypted with (SourceKMSKeyArn).
inline constexpr const char* source_key = "_SourceKMSKeyArn";
/// Code of the version: zip or image, as `source` (FunctionCode, or UpdateFunctionCode's members) has it.
/// Returns what keeps the package until the catalog does.
io::Task<AwsResult<functions::Package>> take_code(Call& call, const Json& source,
                                                  functions::FunctionVersion& version);
/// Code and layers together stay below the limit.
io::Task<AwsResult<void>> check_unpacked_size(Call& call, const functions::FunctionVersion& version);
/// Removes code that nothing uses any more, beside the loop.
io::Task<void> collect_code(FunctionServices& services);
/// "http://127.0.0.1:4566/_berth/code/<sha256>.zip": where this port serves the archive.
std::string code_location(const io::Exchange& exchange, std::string_view code_sha256);

}  // namespace berth::api::lambda
