// Sources and sinks over descriptors and memory.
#include "storage/byte_stream.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/format.h"
#include "sys/file.h"

namespace berth::storage {
namespace {
constexpr size_t copy_buffer = 256 * 1024;
}

Result<size_t> FdSource::read(std::span<char> buffer) {
  while (true) {
    if (stop_.stop_requested()) return Error(Kind::Cancelled, "cancelled");
    ssize_t count = ::read(fd_, buffer.data(), buffer.size());
    if (count >= 0) return static_cast<size_t>(count);
    if (errno != EINTR) return Error::from_errno("read", {}, errno);
  }
}

Result<std::unique_ptr<FileSource>> FileSource::whole(sys::UniqueFd fd) {
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return Error::from_errno("stat", {}, errno);
  return std::make_unique<FileSource>(std::move(fd), 0, static_cast<uint64_t>(status.st_size));
}

Result<size_t> FileSource::read(std::span<char> buffer) {
  size_t wanted = static_cast<size_t>(std::min<uint64_t>(buffer.size(), left_));
  while (wanted > 0) {
    ssize_t count = ::pread(fd_, buffer.data(), wanted, static_cast<off_t>(offset_));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Error::from_errno("read", {}, errno);
    if (count == 0) return Error(Kind::Corrupt, "read: the file ends early");
    offset_ += static_cast<uint64_t>(count);
    left_ -= static_cast<uint64_t>(count);
    return static_cast<size_t>(count);
  }
  return size_t{0};
}

Result<size_t> StringSource::read(std::span<char> buffer) {
  size_t count = std::min(buffer.size(), bytes_.size());
  std::memcpy(buffer.data(), bytes_.data(), count);
  bytes_.remove_prefix(count);
  return count;
}

Result<void> FdSink::write(std::string_view bytes) {
  return sys::write_all(fd_, bytes);
}

Result<void> HashingSink::write(std::string_view bytes) {
  hash_.update(bytes);
  size_ += bytes.size();
  if (next_ != nullptr) return next_->write(bytes);
  return {};
}

Result<uint64_t> copy_stream(ByteSource& from, ByteSink& to, std::stop_token stop) {
  std::vector<char> buffer(copy_buffer);
  uint64_t total = 0;
  while (true) {
    if (stop.stop_requested()) return Error(Kind::Cancelled, "cancelled");
    TRY(size_t count, from.read(buffer));
    if (count == 0) return total;
    CHECK(to.write(std::string_view(buffer.data(), count)));
    total += count;
  }
}

Result<std::string> read_all(ByteSource& from, size_t max_bytes) {
  std::string text;
  std::vector<char> buffer(std::min<size_t>(copy_buffer, max_bytes + 1));
  while (true) {
    TRY(size_t count, from.read(buffer));
    if (count == 0) return text;
    if (text.size() + count > max_bytes) {
      return failure(Kind::Exhausted, "larger than the limit of {} bytes", max_bytes);
    }
    text.append(buffer.data(), count);
  }
}

}  // namespace berth::storage
