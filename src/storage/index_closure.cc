// Depth first, children before their parents.
#include "storage/index_closure.h"

#include <set>

#include "base/format.h"
#include "base/sha256.h"

namespace berth::storage {
namespace {

class Walk {
 public:
  Walk(const ReadDocument& read, const IndexLimits& limits) : read_(read), limits_(limits) {}

  Result<void> index(const IndexDocument& document, int depth) {
    if (depth > limits_.max_depth)
      return failure(Kind::Exhausted, "index {}: indexes are nested deeper than {}",
                     document.descriptor.digest.str(), limits_.max_depth);
    TRY(spec::Index parsed, spec::parse_index(document.bytes));
    for (const spec::Descriptor& child : parsed.manifests) {
      if (!seen_.insert(child.digest).second) continue;
      TRY(IndexDocument next, fetch(child));
      CHECK(spec::is_index_type(child.media_type) ? index(next, depth + 1) : manifest(next));
    }
    return add(document);
  }

  IndexClosure take() { return std::move(closure_); }

 private:
  Result<IndexDocument> fetch(const spec::Descriptor& descriptor) {
    if (!spec::is_index_type(descriptor.media_type) && !spec::is_manifest_type(descriptor.media_type)) {
      return failure(Kind::InvalidArgument, "an index names {}, which is neither manifest nor index",
                     descriptor.digest.str());
    }
    if (seen_.size() > limits_.max_documents)
      return failure(Kind::Exhausted, "an index leads to more than {} manifests", limits_.max_documents);
    TRY(std::string bytes, read_(descriptor));
    bool matches =
        static_cast<int64_t>(bytes.size()) == descriptor.size && sha256(bytes) == descriptor.digest;
    if (!matches)
      return failure(Kind::Corrupt, "manifest {} does not match its descriptor", descriptor.digest.str());
    return IndexDocument{descriptor, std::move(bytes)};
  }

  Result<void> manifest(const IndexDocument& document) {
    TRY(spec::Manifest parsed, spec::parse_manifest(document.bytes));
    uint64_t size = static_cast<uint64_t>(parsed.config.size);
    CHECK(blob(parsed.config));
    for (const spec::Descriptor& layer : parsed.layers) {
      size += static_cast<uint64_t>(layer.size);
      // Who may not be given foreign layers need not have them either.
      if (layer.urls.empty()) CHECK(blob(layer));
    }
    bool is_image = spec::is_config_type(parsed.config.media_type) && !is_attestation(document.descriptor);
    if (is_image) {
      closure_.images.push_back({.manifest = document.descriptor.digest,
                                 .image = parsed.config.digest,
                                 .platform = document.descriptor.platform.value_or(spec::Platform{}),
                                 .size = size});
    }
    return add(document);
  }

  Result<void> blob(const spec::Descriptor& descriptor) {
    if (!blobs_.insert(descriptor.digest).second) return {};
    if (blobs_.size() > limits_.max_blobs)
      return failure(Kind::Exhausted, "an index leads to more than {} blobs", limits_.max_blobs);
    closure_.blobs.push_back(descriptor);
    return {};
  }

  Result<void> add(const IndexDocument& document) {
    bytes_ += document.bytes.size();
    if (bytes_ > limits_.max_document_bytes)
      return failure(Kind::Exhausted, "an index leads to more than {} bytes of manifests",
                     limits_.max_document_bytes);
    closure_.documents.push_back(document);
    return {};
  }

  const ReadDocument& read_;
  const IndexLimits& limits_;
  std::set<Digest> seen_;
  std::set<Digest> blobs_;
  size_t bytes_ = 0;
  IndexClosure closure_;
};

}  // namespace

bool is_attestation(const spec::Descriptor& descriptor) {
  return descriptor.annotations.contains("vnd.docker.reference.type") ||
         (descriptor.platform && descriptor.platform->os == "unknown");
}

Result<IndexClosure> walk_index(const IndexDocument& index, const ReadDocument& read,
                                const IndexLimits& limits) {
  Walk walk(read, limits);
  CHECK(walk.index(index, 0));
  return walk.take();
}

const IndexImage* find_platform(const std::vector<IndexImage>& images, const spec::Platform& wanted) {
  const IndexImage* best = nullptr;
  for (const IndexImage& image : images) {
    if (!spec::matches(wanted, image.platform)) continue;
    bool exact = image.platform.variant == wanted.variant;
    if (best == nullptr || (exact && best->platform.variant != wanted.variant)) best = &image;
  }
  return best;
}

}  // namespace berth::storage
