// Uploads: one file each, whose length is the offset at which the next byte belongs.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/clock.h"
#include "base/format.h"
#include "base/id.h"
#include "registry/server/store.h"

namespace berth::registry::server {

using storage::Statement;
using storage::Transaction;

namespace {

constexpr int64_t max_uploads = 10'000;
constexpr size_t id_bytes = 16;

bool is_upload_id(std::string_view id) {
  return id.size() == 2 * id_bytes && id.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Error unknown_upload(std::string_view id) {
  return failure(Kind::NotFound, "blob upload unknown to registry: {}", id.substr(0, 64));
}

}  // namespace

Upload::Upload(Store& store, std::string id, std::string repository, sys::UniqueFd file, uint64_t size)
    : store_(store),
      id_(std::move(id)),
      repository_(std::move(repository)),
      file_(std::move(file)),
      size_(size) {}

Upload::~Upload() {
  std::lock_guard lock(store_.mutex_);
  if (auto it = store_.progress_.find(id_); it != store_.progress_.end()) it->second.busy = false;
}

Result<void> Upload::append(std::string_view bytes) {
  if (auto written = sys::pwrite_all(file_.get(), bytes, size_); !written) {
    // A part may have been written: the length must not claim it.
    [[maybe_unused]] int cut_back = ::ftruncate(file_.get(), static_cast<off_t>(size_));
    return written;
  }
  // This request alone works on the upload, so its progress may be touched without the lock.
  Store::Progress* progress = nullptr;
  {
    std::lock_guard lock(store_.mutex_);
    progress = &store_.progress_[id_];
  }
  if (progress->hashed == size_) {
    progress->hash.update(bytes);
    progress->hashed += bytes.size();
  }
  size_ += bytes.size();
  return {};
}

Result<void> Upload::cut(uint64_t size) {
  if (::ftruncate(file_.get(), static_cast<off_t>(size)) != 0)
    return Error::from_errno("truncate", "upload", errno);
  size_ = size;
  std::lock_guard lock(store_.mutex_);
  store_.progress_[id_] = Store::Progress{.busy = true};
  return {};
}

/// From what was hashed while it came in, or by reading the file back: after a restart, a cut, or for
/// SHA-512.
Result<ContentDigest> Upload::digest(ContentDigest::Algorithm algorithm) {
  ContentHash hash(algorithm);
  if (algorithm == ContentDigest::Algorithm::Sha256) {
    std::lock_guard lock(store_.mutex_);
    Store::Progress& progress = store_.progress_[id_];
    if (progress.hashed == size_) {
      progress.hashed = UINT64_MAX;  // spent
      return progress.hash.finish();
    }
  }
  std::vector<char> buffer(1 << 20);
  for (uint64_t at = 0; at < size_;) {
    ssize_t got = ::pread(file_.get(), buffer.data(), buffer.size(), static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Error::from_errno("read back", "upload", got == 0 ? EIO : errno);
    hash.update({buffer.data(), static_cast<size_t>(got)});
    at += static_cast<uint64_t>(got);
  }
  return hash.finish();
}

std::string Store::upload_path(std::string_view id) const {
  return fmt::format("{}/{}", uploads_, id);
}

Result<std::unique_ptr<Upload>> Store::start_upload(std::string_view repository) {
  std::string id = random_hex(id_bytes);
  std::string path = upload_path(id);
  TRY(sys::UniqueFd file, sys::open_file(path.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600));
  auto record = [&]() -> Result<void> {
    TRY(Transaction transaction, database_.begin());
    {
      TRY(Statement count, database_.prepare("SELECT count(*) FROM registry_uploads"));
      CHECK(count.step());
      if (count.integer(0) >= max_uploads) {
        return failure(Kind::Exhausted,
                       "{} uploads are open: \"berth registry gc\" ends those that stand still", max_uploads);
      }
    }
    {
      TRY(Statement insert,
          database_.prepare("INSERT INTO registry_uploads(id, repository, created) VALUES(?, ?, ?)"));
      CHECK(insert.bind(id).bind(repository).bind(to_unix_nanoseconds(now())).run());
    }
    return transaction.commit();
  };
  if (auto recorded = record(); !recorded) {
    ::unlink(path.c_str());
    return std::move(recorded).error();
  }
  {
    std::lock_guard lock(mutex_);
    progress_[id].busy = true;
  }
  return std::unique_ptr<Upload>(
      new Upload(*this, std::move(id), std::string(repository), std::move(file), 0));
}

Result<std::unique_ptr<Upload>> Store::claim_upload(std::string_view repository, std::string_view id) {
  if (!is_upload_id(id)) return unknown_upload(id);
  {
    TRY(Statement select, database_.prepare("SELECT repository FROM registry_uploads WHERE id = ?"));
    TRY(bool found, select.bind(id).step());
    if (!found || select.text(0) != repository) return unknown_upload(id);
  }
  auto file = sys::open_file(upload_path(id).c_str(), O_RDWR | O_NOFOLLOW);
  if (!file) return unknown_upload(id);
  std::lock_guard lock(mutex_);
  Progress& progress = progress_[std::string(id)];
  if (progress.busy) return failure(Kind::WrongState, "another request works on upload {}", id);
  struct stat status {};
  if (::fstat(file->get(), &status) != 0) return Error::from_errno("stat", "upload", errno);
  progress.busy = true;
  return std::unique_ptr<Upload>(new Upload(*this, std::string(id), std::string(repository), std::move(*file),
                                            static_cast<uint64_t>(status.st_size)));
}

Result<void> Store::forget_upload(std::string_view id) {
  TRY(Statement remove, database_.prepare("DELETE FROM registry_uploads WHERE id = ?"));
  return remove.bind(id).run();
}

Result<StoredBlob> Store::finish_upload(std::unique_ptr<Upload> upload, const ContentDigest& expected) {
  TRY(ContentDigest own, upload->digest(expected.algorithm()));
  if (own != expected) {
    return failure(Kind::Corrupt, "provided digest {} did not match uploaded content: it is {}",
                   expected.str(), own.str());
  }
  // The content store names by SHA-256 whatever the repository calls it.
  TRY(ContentDigest name, expected.algorithm() == ContentDigest::Algorithm::Sha256
                              ? Result<ContentDigest>(own)
                              : upload->digest(ContentDigest::Algorithm::Sha256));
  TRY(Digest content, Digest::parse(name.str()));
  std::string path = upload_path(upload->id());
  CHECK(sys::fsync_fd(upload->file_.get()));

  TRY(Transaction transaction, database_.begin());
  CHECK(publish(path, content, upload->size()));
  TRY(int64_t repository, make_repository(upload->repository()));
  CHECK(link_blob(repository, expected, content, upload->size()));
  CHECK(forget_upload(upload->id()));
  CHECK(transaction.commit());
  StoredBlob stored{content, upload->size()};
  std::string id = upload->id();
  upload.reset();
  std::lock_guard lock(mutex_);
  progress_.erase(id);
  return stored;
}

Result<void> Store::cancel_upload(std::unique_ptr<Upload> upload) {
  std::string id = upload->id();
  ::unlink(upload_path(id).c_str());
  upload.reset();
  {
    std::lock_guard lock(mutex_);
    progress_.erase(id);
  }
  return forget_upload(id);
}

/// Ends uploads that nothing was written to for `age`, and files and rows without each other.
Result<void> Store::tidy_uploads(std::chrono::nanoseconds age, uint64_t& removed) {
  std::vector<std::string> recorded;
  {
    TRY(Statement select, database_.prepare("SELECT id FROM registry_uploads"));
    while (true) {
      TRY(bool row, select.step());
      if (!row) break;
      recorded.push_back(select.text(0));
    }
  }
  int64_t oldest = to_unix_nanoseconds(now()) - age.count();
  for (const std::string& id : recorded) {
    std::lock_guard lock(mutex_);
    auto progress = progress_.find(id);
    if (progress != progress_.end() && progress->second.busy) continue;
    struct stat status {};
    bool there = ::stat(upload_path(id).c_str(), &status) == 0;
    bool fresh = there && status.st_mtim.tv_sec * 1'000'000'000LL > oldest;
    if (fresh) continue;
    ::unlink(upload_path(id).c_str());
    if (progress != progress_.end()) progress_.erase(progress);
    CHECK(forget_upload(id));
    ++removed;
  }
  std::sort(recorded.begin(), recorded.end());
  TRY(std::vector<sys::DirEntry> files, sys::list_dir(uploads_));
  for (const sys::DirEntry& file : files) {
    struct stat status {};
    std::string path = upload_path(file.name);
    // A file that was just made is about to be recorded.
    bool orphan = !std::binary_search(recorded.begin(), recorded.end(), file.name) &&
                  ::stat(path.c_str(), &status) == 0 && status.st_mtim.tv_sec * 1'000'000'000LL <= oldest;
    if (orphan) ::unlink(path.c_str());
  }
  return {};
}

}  // namespace berth::registry::server
