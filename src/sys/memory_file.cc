// Sealed files in memory.
#include "sys/memory_file.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>

namespace berth::sys {
namespace {

#ifndef MFD_EXEC
constexpr unsigned MFD_EXEC = 0x10;  // Linux 6.3
constexpr unsigned MFD_NOEXEC_SEAL = 0x08;
#endif

Result<UniqueFd> make_memfd(const char* name, unsigned mode_flag) {
  int fd = ::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | mode_flag);
  if (fd < 0 && errno == EINVAL) fd = ::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return Error::from_errno("create memory file", name, errno);
  return UniqueFd(fd);
}

/// Whoever of the kernel's own looks at a page just then (reclaim, DAMON, compaction) makes it busy: the
/// kernel waits for a seventh of a second by itself, which is not always enough.
Result<void> seal(const UniqueFd& file) {
  constexpr int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  constexpr int attempts = 20;
  for (int attempt = 1; ::fcntl(file.get(), F_ADD_SEALS, seals) != 0; ++attempt) {
    if (errno != EBUSY || attempt == attempts) return Error::from_errno("seal memory file", {}, errno);
  }
  return {};
}

}  // namespace

Result<UniqueFd> make_sealed_file(const char* name, std::string_view content) {
  TRY(auto file, make_memfd(name, MFD_NOEXEC_SEAL));
  while (!content.empty()) {
    ssize_t written = ::write(file.get(), content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Error::from_errno("write memory file", name, errno);
    content.remove_prefix(static_cast<size_t>(written));
  }
  CHECK(seal(file));
  return file;
}

Result<UniqueFd> load_sealed_program(const char* path) {
  TRY(auto source, open_file(path, O_RDONLY));
  struct stat status;
  if (::fstat(source.get(), &status) != 0) return Error::from_errno("stat", path, errno);
  TRY(auto file, make_memfd("berth-keeper", MFD_EXEC));
  for (off_t left = status.st_size; left > 0;) {
    ssize_t copied = ::sendfile(file.get(), source.get(), nullptr, static_cast<size_t>(left));
    if (copied < 0 && errno == EINTR) continue;
    if (copied <= 0) return Error::from_errno("copy program", path, copied < 0 ? errno : EIO);
    left -= copied;
  }
  // As the init of a container it is executed by that container's user, who may have no capabilities at all.
  if (::fchmod(file.get(), 0555) != 0) return Error::from_errno("chmod program", path, errno);
  CHECK(seal(file));
  // What is open for writing anywhere cannot be executed.
  std::string again = "/proc/self/fd/" + std::to_string(file.get());
  return open_file(again.c_str(), O_RDONLY);
}

}  // namespace berth::sys
