#include "apps/berth/archive/oci_layout.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/format.h"
#include "base/id.h"
#include "base/json.h"
#include "base/sha256.h"
#include "spec/image.h"
#include "sys/file.h"

namespace berth::cli::archive {
namespace {

constexpr size_t max_index_bytes = size_t{4} << 20;
constexpr const char* tag_annotation = "org.opencontainers.image.ref.name";

bool has_tag(const Json& entry, std::string_view tag) {
  const Json* annotations = json_member(entry, "annotations");
  if (annotations == nullptr) return false;
  auto name = json_string(*annotations, tag_annotation);
  return name && *name == tag;
}

/// The index's members; an empty list where there is no index yet.
Result<Json> read_index(const std::string& directory) {
  auto text = sys::read_file(directory + "/index.json", max_index_bytes);
  if (!text && text.error().kind() == Kind::NotFound) return Json::array();
  if (!text) return std::move(text).error();
  TRY(Json index, parse_json(*text));
  const Json* list = json_member(index, "manifests");
  if (list == nullptr || !list->is_array())
    return failure(Kind::InvalidArgument, "{}/index.json is no index of an OCI layout", directory);
  return *list;
}

}  // namespace

struct OciLayout::Blob::State {
  std::string path;
  std::string temporary;
  Digest digest;
  sys::UniqueFd file;
  Sha256 hash = {};
};

OciLayout::Blob::Blob(std::unique_ptr<State> state) : state_(std::move(state)) {}

OciLayout::Blob::Blob(Blob&&) noexcept = default;

OciLayout::Blob::~Blob() {
  if (state_) ::unlink(state_->temporary.c_str());
}

Result<void> OciLayout::Blob::write(std::string_view bytes) {
  state_->hash.update(bytes);
  return sys::write_all(state_->file.get(), bytes);
}

Result<void> OciLayout::Blob::commit() {
  if (state_->hash.finish() != state_->digest)
    return failure(Kind::Corrupt, "the engine sent another blob than {}", state_->digest.str());
  if (::rename(state_->temporary.c_str(), state_->path.c_str()) != 0)
    return Error::from_errno("rename", state_->temporary, errno);
  return {};
}

std::string OciLayout::blob_path(const Digest& digest) const {
  return directory_ + "/blobs/sha256/" + digest.hex();
}

Result<Digest> OciLayout::find(std::string_view tag) const {
  TRY(Json list, read_index(directory_));
  for (const Json& entry : list) {
    if (!has_tag(entry, tag)) continue;
    TRY(std::string digest, json_string(entry, "digest"));
    return Digest::parse(digest);
  }
  return failure(Kind::NotFound, "{} has no build cache \"{}\"", directory_, tag);
}

Result<sys::UniqueFd> OciLayout::open(const Digest& digest) const {
  std::string path = blob_path(digest);
  sys::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return Error::from_errno("open", path, errno);
  return file;
}

Result<std::string> OciLayout::read(const Digest& digest, size_t max_bytes) const {
  TRY(std::string bytes, sys::read_file(blob_path(digest), max_bytes));
  if (sha256(bytes) != digest)
    return failure(Kind::Corrupt, "{} is not what its name says: remove it", blob_path(digest));
  return bytes;
}

bool OciLayout::contains(const Digest& digest, uint64_t size) const {
  struct stat status {};
  return ::stat(blob_path(digest).c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         static_cast<uint64_t>(status.st_size) == size;
}

Result<void> OciLayout::create() const {
  CHECK(sys::make_dirs(directory_ + "/blobs/sha256"));
  return sys::write_file_atomic(directory_ + "/oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
}

Result<OciLayout::Blob> OciLayout::begin(const Digest& digest) const {
  std::string path = blob_path(digest);
  std::string temporary = path + ".tmp-" + random_hex(6);
  sys::UniqueFd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file) return Error::from_errno("create", temporary, errno);
  return Blob(std::make_unique<Blob::State>(
      Blob::State{std::move(path), std::move(temporary), digest, std::move(file)}));
}

Result<void> OciLayout::write(const Digest& digest, std::string_view bytes) const {
  if (contains(digest, bytes.size())) return {};
  TRY(Blob blob, begin(digest));
  CHECK(blob.write(bytes));
  return blob.commit();
}

Result<void> OciLayout::tag(std::string_view tag, const Digest& manifest, uint64_t size) const {
  TRY(Json list, read_index(directory_));
  Json kept = Json::array();
  for (Json& entry : list) {
    if (!has_tag(entry, tag)) kept.push_back(std::move(entry));
  }
  kept.push_back({{"mediaType", spec::media_type::oci_manifest},
                  {"digest", manifest.str()},
                  {"size", size},
                  {"annotations", {{tag_annotation, tag}}}});
  Json index = {{"schemaVersion", 2}, {"mediaType", spec::media_type::oci_index}, {"manifests", kept}};
  return sys::write_file_atomic(directory_ + "/index.json", to_json(index));
}

}  // namespace berth::cli::archive
