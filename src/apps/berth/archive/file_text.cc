// Reading and replacing small files.
#include "apps/berth/archive/file_text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/berth/output/stream.h"
#include "base/format.h"
#include "base/id.h"
#include "sys/fd.h"

namespace berth::cli::archive {
namespace {

std::string reason(int error) {
  std::string text = ::strerror(error);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

}  // namespace

Result<std::string> read_text(const std::string& path, size_t limit) {
  sys::UniqueFd file;
  int fd = STDIN_FILENO;
  if (path != "-") {
    file.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return failure(kind_of_errno(errno), "open {}: {}", path, reason(errno));
    fd = file.get();
  }
  std::string text;
  while (true) {
    size_t before = text.size();
    text.resize(before + 65536);
    ssize_t got = ::read(fd, text.data() + before, 65536);
    int error = errno;
    text.resize(before + (got > 0 ? static_cast<size_t>(got) : 0));
    if (got == 0) return text;
    if (got < 0 && error != EINTR) return failure(kind_of_errno(error), "read {}: {}", path, reason(error));
    if (text.size() > limit) return failure(Kind::InvalidArgument, "{} is larger than {} bytes", path, limit);
  }
}

Result<void> write_text(const std::string& path, std::string_view text, unsigned mode) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    // A pipe or /dev/stdout cannot be replaced, only written to.
    sys::UniqueFd target(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    int error = target ? output::write_fully(target.get(), text) : errno;
    if (error != 0) return failure(kind_of_errno(error), "open {}: {}", path, reason(error));
    return {};
  }
  std::string temporary = fmt::format("{}.{}", path, random_hex(6));
  sys::UniqueFd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!file) return failure(kind_of_errno(errno), "open {}: {}", path, reason(errno));
  int error = output::write_fully(file.get(), text);
  if (error == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(temporary.c_str());
    return failure(kind_of_errno(error), "write {}: {}", path, reason(error));
  }
  return {};
}

}  // namespace berth::cli::archive
