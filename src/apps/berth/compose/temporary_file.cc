// Texts as files.
#include "apps/berth/compose/temporary_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "apps/berth/output/stream.h"
#include "sys/fd.h"

namespace berth::cli::compose {

Outcome<TemporaryFile> TemporaryFile::create(std::string_view text) {
  TemporaryFile file;
  file.path_ = "/tmp/berth-compose-XXXXXX";
  sys::UniqueFd fd(::mkostemp(file.path_.data(), O_CLOEXEC));
  if (!fd) return Error::from_errno("create", std::exchange(file.path_, {}), errno);
  if (int error = output::write_fully(fd.get(), text); error != 0)
    return Error::from_errno("write", file.path_, error);
  return file;
}

TemporaryFile::~TemporaryFile() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

}  // namespace berth::cli::compose
