// Repository: the requests of the distribution specification for one repository, with their answers checked.
// Over a Session; blocking; one thread at a time.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "registry/client/challenge.h"
#include "registry/client/session.h"
#include "spec/image.h"

namespace berth::registry {

struct ManifestHead {
  std::optional<Digest> digest;  ///< as the registry says; it need not
  std::string media_type;
  uint64_t size = 0;
};

struct RemoteManifest {
  std::string bytes;
  std::string media_type;
  Digest digest;  ///< of the bytes, which are what was asked for
};

/// Why the last request failed, for the words that users read.
struct RequestFailure {
  Trouble trouble = Trouble::None;
  long status = 0;      ///< 0: no answer
  RegistryError error;  ///< with a status
};

/// Manifests beyond this are refused (the specification asks for at least 4 MiB).
inline constexpr size_t max_manifest_bytes = size_t{8} << 20;

class Repository {
 public:
  explicit Repository(Session session) : session_(std::move(session)) {}

  /// By tag or digest.
  Result<ManifestHead> head_manifest(const std::string& reference);
  /// A digest is verified; a document whose own media type contradicts the answer's is refused
  /// (CVE-2021-41190).
  Result<RemoteManifest> get_manifest(const std::string& reference, const std::optional<Digest>& expected);
  /// A small blob, verified.
  Result<std::string> get_blob(const spec::Descriptor& descriptor, size_t max_bytes);
  /// All tags, following pages; bounded.
  Result<std::vector<std::string>> tags();

  /// What refers to a manifest (OCI 1.1); of registries that know no referrers the tag that stands for them.
  /// None: an empty index. Only artifacts of `artifact_type`, where the registry filters.
  Result<spec::Index> referrers(const Digest& digest, std::string_view artifact_type);

  Result<bool> has_blob(const Digest& digest);
  struct UploadStart {
    bool mounted = false;
    std::string location;  ///< where to send the bytes, unless mounted
  };
  /// With a digest and another repository: a mount is tried.
  Result<UploadStart> start_upload(const std::optional<Digest>& mount, const std::string& from);
  /// Sends bytes [offset, offset+size) as one chunk; the next location. On trouble ask upload_offset().
  Result<std::string> send_chunk(const std::string& location, storage::ByteSource& body, uint64_t offset,
                                 uint64_t size);
  /// Sends all that the body has, from the beginning, in one request whose size need not be known.
  Result<std::string> send_stream(const std::string& location, storage::ByteSource& body);
  /// How far an upload has come, and where it goes on.
  struct UploadState {
    uint64_t offset = 0;
    std::string location;
  };
  Result<UploadState> upload_state(const std::string& location);
  Result<void> finish_upload(const std::string& location, const Digest& digest);
  /// All of a blob in the request that ends its upload.
  Result<void> put_whole(const std::string& location, const Digest& digest, storage::ByteSource& body,
                         uint64_t size);
  Result<void> put_manifest(const std::string& reference, const std::string& bytes,
                            const std::string& media_type);

  const RequestFailure& last_failure() const { return failure_; }
  Session& session() { return session_; }
  std::string blob_target(const Digest& digest) const;

 private:
  HttpOutcome send(const Session::Request& request);
  /// The error of an answer or of none; remembers it.
  Error fail(const HttpOutcome& outcome);
  std::string target(const std::string& rest) const;
  Result<std::string> location_of(const HttpAnswer& answer);

  Session session_;
  RequestFailure failure_;
};

}  // namespace berth::registry
