// Blobs on disk: <root>/blobs/sha256/<hex>, written in <root>/ingest/<random> first, or in
// <root>/ingest/partial-<hex> when the writing may be resumed.
#include "storage/content_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "base/format.h"
#include "base/id.h"

namespace berth::storage {
namespace {

constexpr std::string_view partial_prefix = "partial-";
/// An interrupted download that nobody has gone on with for so long is not coming back.
constexpr time_t partial_age = time_t{7} * 24 * 3600;

enum class Partials { KeepYoung, RemoveAll };

/// Empties the folder of ingests. With RemoveAll those that are locked, being written now, stay.
Result<void> clean(const std::string& folder, Partials which) {
  TRY(std::vector<sys::DirEntry> entries, sys::list_dir(folder));
  for (const sys::DirEntry& entry : entries) {
    std::string path = folder + "/" + entry.name;
    if (entry.name.starts_with(partial_prefix)) {
      auto file = sys::open_file(path.c_str(), O_RDONLY | O_NOFOLLOW);
      struct stat status {};
      if (!file || ::fstat(file->get(), &status) != 0) continue;
      bool young = status.st_mtime > ::time(nullptr) - partial_age;
      if (which == Partials::KeepYoung && young) continue;
      if (::flock(file->get(), LOCK_EX | LOCK_NB) != 0) continue;
      (void)::unlink(path.c_str());
    } else if (which == Partials::KeepYoung) {
      CHECK(sys::remove_tree(path));
    }
  }
  return {};
}

}  // namespace

Ingest::Ingest(std::string blobs, std::string path, sys::UniqueFd fd, ExpectedBlob expected, Hashing hashing)
    : blobs_(std::move(blobs)),
      path_(std::move(path)),
      fd_(std::move(fd)),
      expected_(std::move(expected)),
      hashing_(hashing) {}

Ingest::~Ingest() {
  bool worth_keeping = leftover_ == Leftover::Keep && size_ > 0;
  if (!path_.empty() && !worth_keeping) ::unlink(path_.c_str());
}

void Ingest::discard() {
  leftover_ = Leftover::Remove;
}

Result<void> Ingest::restart() {
  if (::ftruncate(fd_.get(), 0) != 0 || ::lseek(fd_.get(), 0, SEEK_SET) != 0)
    return Error::from_errno("truncate", path_, errno);
  hash_ = Sha256();
  size_ = 0;
  digest_.reset();
  return {};
}

Result<void> Ingest::write(std::string_view bytes) {
  size_ += bytes.size();
  if (expected_.size && size_ > *expected_.size) {
    return failure(Kind::Corrupt, "blob is larger than the {} bytes announced", *expected_.size);
  }
  if (hashing_ == Hashing::WhileWriting) hash_.update(bytes);
  return sys::write_all(fd_.get(), bytes);
}

Result<Digest> Ingest::finish() {
  if (digest_) return *digest_;
  if (hashing_ == Hashing::Later) {
    FileSource source(fd_.get(), 0, size_);
    HashingSink sink(nullptr);
    CHECK(copy_stream(source, sink));
    digest_ = sink.finish();
  } else {
    digest_ = hash_.finish();
  }
  return *digest_;
}

Result<BlobInfo> Ingest::commit(sys::Durability durability) {
  TRY(Digest digest, finish());
  if (expected_.size && size_ != *expected_.size) {
    return failure(Kind::Corrupt, "blob has {} bytes where {} were announced", size_, *expected_.size);
  }
  if (expected_.digest && digest != *expected_.digest) {
    return failure(Kind::Corrupt, "blob is damaged: its digest is {} and not {}", digest.str(),
                   expected_.digest->str());
  }
  std::string target = blobs_ + "/" + digest.hex();
  BlobInfo info{.digest = digest, .size = size_};
  struct stat status {};
  if (::stat(target.c_str(), &status) == 0 && static_cast<uint64_t>(status.st_size) == size_) return info;

  if (::fchmod(fd_.get(), 0400) != 0) return Error::from_errno("chmod", path_, errno);
  if (durability == sys::Durability::Fsync) CHECK(sys::fsync_fd(fd_.get()));
  if (::rename(path_.c_str(), target.c_str()) != 0) return Error::from_errno("publish blob", target, errno);
  path_.clear();
  if (durability == sys::Durability::Fsync) CHECK(sys::fsync_dir(blobs_));
  return info;
}

Result<ContentStore> ContentStore::open(const std::string& root) {
  CHECK(sys::make_dirs(root + "/blobs/sha256", 0700));
  CHECK(sys::make_dirs(root + "/ingest", 0700));
  CHECK(clean(root + "/ingest", Partials::KeepYoung));
  return ContentStore(root);
}

Result<std::unique_ptr<Ingest>> ContentStore::begin(ExpectedBlob expected, Hashing hashing) const {
  std::string path = root_ + "/ingest/" + random_hex(16);
  TRY(sys::UniqueFd file, sys::open_file(path.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600));
  return std::unique_ptr<Ingest>(
      new Ingest(root_ + "/blobs/sha256", std::move(path), std::move(file), std::move(expected), hashing));
}

Result<std::unique_ptr<Ingest>> ContentStore::resume(ExpectedBlob expected) const {
  std::string path = root_ + "/ingest/" + std::string(partial_prefix) + expected.digest->hex();
  TRY(sys::UniqueFd file, sys::open_file(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  struct stat status {};
  struct stat named {};
  // The lock is worth something only on the file that still has the name.
  bool ours = ::flock(file.get(), LOCK_EX | LOCK_NB) == 0 && ::fstat(file.get(), &status) == 0 &&
              ::lstat(path.c_str(), &named) == 0 && named.st_ino == status.st_ino;
  if (!ours) return failure(Kind::Unavailable, "blob {} is being written", expected.digest->str());
  std::unique_ptr<Ingest> ingest(new Ingest(root_ + "/blobs/sha256", std::move(path), std::move(file),
                                            std::move(expected), Hashing::WhileWriting));
  ingest->leftover_ = Ingest::Leftover::Keep;
  auto left = static_cast<uint64_t>(status.st_size);
  if (ingest->expected_.size && left > *ingest->expected_.size) {
    CHECK(ingest->restart());
    return ingest;
  }
  FileSource source(ingest->fd_.get(), 0, left);
  std::vector<char> buffer(size_t{1} << 18);
  while (true) {
    TRY(size_t count, source.read(buffer));
    if (count == 0) break;
    ingest->hash_.update({buffer.data(), count});
  }
  if (::lseek(ingest->fd_.get(), 0, SEEK_END) < 0) return Error::from_errno("seek", ingest->path_, errno);
  ingest->size_ = left;
  return ingest;
}

Result<void> ContentStore::remove_partials() const {
  return clean(root_ + "/ingest", Partials::RemoveAll);
}

Result<BlobInfo> ContentStore::put(std::string_view bytes, sys::Durability durability) const {
  TRY(auto ingest, begin());
  CHECK(ingest->write(bytes));
  return ingest->commit(durability);
}

std::string ContentStore::blob_path(const Digest& digest) const {
  return root_ + "/blobs/sha256/" + digest.hex();
}

Result<sys::UniqueFd> ContentStore::open_blob(const Digest& digest) const {
  auto file = sys::open_file(blob_path(digest).c_str(), O_RDONLY | O_NOFOLLOW);
  if (!file && file.error().errno_value() == ENOENT)
    return failure(Kind::NotFound, "no such blob: {}", digest.str());
  return file;
}

Result<std::string> ContentStore::read(const Digest& digest, size_t max_bytes) const {
  TRY(sys::UniqueFd file, open_blob(digest));
  TRY(std::string bytes, sys::read_fd(file.get(), max_bytes));
  if (sha256(bytes) != digest) {
    return failure(Kind::Corrupt,
                   "blob {} is damaged on disk; remove the image that uses it and load it again",
                   digest.str());
  }
  return bytes;
}

Result<uint64_t> ContentStore::size(const Digest& digest) const {
  struct stat status {};
  if (::stat(blob_path(digest).c_str(), &status) != 0) {
    if (errno == ENOENT) return failure(Kind::NotFound, "no such blob: {}", digest.str());
    return Error::from_errno("stat blob", digest.str(), errno);
  }
  return static_cast<uint64_t>(status.st_size);
}

bool ContentStore::contains(const Digest& digest) const {
  return ::access(blob_path(digest).c_str(), F_OK) == 0;
}

Result<void> ContentStore::remove(const Digest& digest) const {
  if (::unlink(blob_path(digest).c_str()) != 0 && errno != ENOENT) {
    return Error::from_errno("remove blob", digest.str(), errno);
  }
  return {};
}

Result<uint64_t> ContentStore::disk_usage() const {
  TRY(sys::DiskUsage usage, sys::disk_usage(root_));
  return usage.allocated_bytes;
}

Result<std::vector<BlobInfo>> ContentStore::list() const {
  TRY(std::vector<sys::DirEntry> entries, sys::list_dir(root_ + "/blobs/sha256"));
  std::vector<BlobInfo> blobs;
  for (const sys::DirEntry& entry : entries) {
    auto digest = Digest::parse("sha256:" + entry.name);
    if (!digest) continue;
    // Removed by another thread since it was listed: not there.
    auto bytes = size(*digest);
    if (bytes) blobs.push_back({.digest = std::move(*digest), .size = *bytes});
  }
  return blobs;
}

}  // namespace berth::storage
