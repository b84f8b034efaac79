// Files as bodies of requests and answers.
#include "apps/berth/commands/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/berth/output/stream.h"
#include "base/id.h"

namespace berth::cli::commands {
namespace {

constexpr size_t piece_size = 1u << 20;

std::string reason(int error) {
  std::string text = ::strerror(error);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

}  // namespace

client::Producer content_of(int fd) {
  return [fd](client::BodyWriter& body) -> Outcome<void> {
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    std::string buffer(piece_size, '\0');
    while (true) {
      ssize_t got = ::read(fd, buffer.data(), buffer.size());
      if (got == 0) return {};
      if (got > 0) {
        CHECK(body.write({buffer.data(), static_cast<size_t>(got)}));
      } else if (errno != EINTR) {
        return refuse("read: {}", reason(errno));
      }
    }
  };
}

Outcome<sys::UniqueFd> open_input(const std::string& path) {
  sys::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return refuse("open {}: {}", path, reason(errno));
  struct stat status {};
  if (::fstat(file.get(), &status) == 0 && S_ISDIR(status.st_mode))
    return refuse("read {}: is a directory", path);
  return file;
}

Outcome<OutputFile> OutputFile::open(Context& context, const std::string& path, std::string_view verb) {
  OutputFile file;
  if (path.empty()) {
    if (context.out.is_terminal()) {
      return refuse("cowardly refusing to {} to a terminal. Use the -o flag or redirect", verb);
    }
    return file;
  }
  struct stat status {};
  bool exists = ::stat(path.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) {
    return refuse("failed to {}: cannot write to a directory: \"{}\"", verb, path);
  }
  file.path_ = path;
  bool special = exists && !S_ISREG(status.st_mode);
  if (!special) file.temporary_ = fmt::format("{}.{}.part", path, random_hex(4));
  const std::string& name = special ? file.path_ : file.temporary_;
  int flags = special ? O_WRONLY | O_CLOEXEC : O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
  file.file_.reset(::open(name.c_str(), flags, 0600));
  if (!file.file_) {
    file.temporary_.clear();
    return refuse("failed to {}: open {}: {}", verb, path, reason(errno));
  }
  file.fd_ = file.file_.get();
  return file;
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : file_(std::move(other.file_)),
      fd_(other.fd_),
      path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})) {}

OutputFile::~OutputFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Outcome<void> OutputFile::write(std::string_view bytes) {
  if (int error = output::write_fully(fd_, bytes); error != 0) {
    return refuse("write {}: {}", path_.empty() ? "standard output" : path_, reason(error));
  }
  return {};
}

Outcome<void> OutputFile::commit() {
  if (temporary_.empty()) return {};
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    return refuse("rename {} to {}: {}", temporary_, path_, reason(errno));
  }
  temporary_.clear();
  return {};
}

}  // namespace berth::cli::commands
