// Verification: what images consist of, read back from the disk and held against its digests. Nothing is
// healed, and nothing that a verification reads is collected meanwhile.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "storage/image_store.h"

namespace berth::storage {

enum class VerifiedPart {
  Configuration,  ///< what an image's id is the digest of
  Manifest,       ///< of an image, or an index
  Blob,           ///< a layer's bytes as they came, or something that a repository of the registry holds
  Layer,          ///< an unpacked layer; its digest here is the diff id
};
std::string_view to_string(VerifiedPart part);  ///< "configuration", "manifest", "blob", "layer"

struct VerifyFault {
  std::vector<std::string> images;  ///< names (or ids) of all images that need the part; none: no image's
  VerifiedPart part;
  Digest digest;
  std::string trouble;  ///< "is missing", "has other bytes: ...", "/etc/passwd has other content"
};

struct VerifyReport {
  std::vector<std::string> images;  ///< looked at, by name (or id)
  uint64_t blobs = 0;
  uint64_t layers = 0;
  uint64_t bytes = 0;  ///< read from blobs and layers
  std::vector<VerifyFault> faults;
};

struct VerifyOptions {
  /// Images as users name them; none: all, and every blob of the store.
  std::vector<std::string> references = {};
  std::stop_token stop = {};
  ProgressCallback progress = {};
};

/// `database` is the one that the images are rows of. An unknown reference: NotFound. Faults are no error.
Result<VerifyReport> verify_images(ImageStore& images, Database& database, const VerifyOptions& options);

}  // namespace berth::storage
