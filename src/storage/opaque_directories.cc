// Whiteouts are devices, so the listing's types leave little to look at.
#include "storage/opaque_directories.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "storage/layer_names.h"
#include "sys/file.h"

namespace berth::storage {

Result<void> OpaqueDirectories::remove_whiteouts(const sys::RootDir& root) const {
  for (const std::string& path : paths_) {
    auto directory = root.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!directory) continue;
    TRY(std::vector<sys::DirEntry> entries, sys::list_dir(directory->get()));
    for (const sys::DirEntry& entry : entries) {
      if (entry.type != DT_CHR && entry.type != DT_UNKNOWN) continue;
      struct stat status {};
      bool found = ::fstatat(directory->get(), entry.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0;
      if (!found || !is_whiteout(status)) continue;
      if (::unlinkat(directory->get(), entry.name.c_str(), 0) != 0)
        return Error::from_errno("remove whiteout", path + "/" + entry.name, errno);
    }
  }
  return {};
}

}  // namespace berth::storage
