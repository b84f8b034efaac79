// Paths within layered images: resolved in the merged view, then found again layer by layer as overlayfs
// would.
#include "engine/image_subpath.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cerrno>
#include <climits>

#include "base/format.h"
#include "storage/layer_names.h"
#include "sys/detached_overlay.h"
#include "sys/fd.h"
#include "sys/root_dir.h"
#include "sys/sub_ids.h"

namespace berth::engine {
namespace {

/// What one layer says of a path.
enum class Share {
  None,      ///< nothing: look further down
  Hidden,    ///< hides the path in the layers below, and has none itself
  Part,      ///< a directory that merges with those below
  Complete,  ///< a file, or a directory that hides those below
};

bool is_opaque(int directory) {
  const char* name = sys::in_initial_user_namespace() ? storage::opaque_xattr : storage::user_opaque_xattr;
  const std::string path = fmt::format("/proc/self/fd/{}", directory);
  char value = 0;
  return ::getxattr(path.c_str(), name, &value, 1) == 1 && value == 'y';
}

Result<Share> share_of(const std::string& layer, std::string_view path) {
  sys::UniqueFd at(::open(layer.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!at) return Error::from_errno("open", layer, errno);
  bool hides = false;
  while (!path.empty()) {
    path.remove_prefix(1);  // '/'
    const std::string name(path.substr(0, path.find('/')));
    path.remove_prefix(name.size());
    sys::UniqueFd next(::openat(at.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!next && errno == ENOENT) return hides ? Share::Hidden : Share::None;
    if (!next) return Error::from_errno("open", layer, errno);
    struct stat status {};
    if (::fstat(next.get(), &status) < 0) return Error::from_errno("stat", layer, errno);
    if (!S_ISDIR(status.st_mode)) {
      const bool is_file = path.empty() && !storage::is_whiteout(status);
      return is_file ? Share::Complete : Share::Hidden;
    }
    hides = hides || is_opaque(next.get());
    at = std::move(next);
  }
  return hides ? Share::Complete : Share::Part;
}

/// The path of an opened file within the mount that it lies in, which nobody else sees.
Result<std::string> path_in_mount(int fd) {
  char path[PATH_MAX];
  const std::string link = fmt::format("/proc/self/fd/{}", fd);
  const ssize_t size = ::readlink(link.c_str(), path, sizeof path);
  if (size < 0) return Error::from_errno("read link", link, errno);
  std::string text(path, static_cast<size_t>(size));
  return text == "/" ? std::string() : text;
}

std::vector<std::string> view_options() {
  if (sys::in_initial_user_namespace()) return {"index=off", "metacopy=off", "redirect_dir=off"};
  return {"index=off", "metacopy=off", "redirect_dir=nofollow", "userxattr"};
}

}  // namespace

Error subpath_error(const std::string& base, const std::string& subpath, const Error& cause) {
  if (cause.errno_value() == EXDEV) {
    return failure(Kind::InvalidArgument, "path concatenation escapes the base directory: {} leads out of {}",
                   subpath, base);
  }
  return failure(Kind::InvalidArgument, "cannot access path {}/{}: {}", base, subpath, cause.message());
}

Result<LayerParts> find_in_layers(const std::vector<std::string>& layers, const std::string& subpath) {
  TRY(auto view, sys::open_detached_overlay({.lower = layers, .options = view_options()}));
  TRY(auto root, view.duplicate(sys::Scope::Beneath));
  auto opened = root.open_path(subpath);
  if (!opened) return subpath_error("the image", subpath, opened.error());
  TRY(const std::string path, path_in_mount(opened->get()));
  LayerParts parts;
  for (const std::string& layer : layers) {
    TRY(const Share share, share_of(layer, path));
    if (share == Share::Part || share == Share::Complete) parts.push_back(layer + path);
    if (share == Share::Hidden || share == Share::Complete) break;
  }
  if (parts.empty()) return failure(Kind::Internal, "path {} of the image is in none of its layers", subpath);
  return parts;
}

}  // namespace berth::engine
