// Overlay mounts through the new mount interface, never attached to a path.
#include "sys/detached_overlay.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "base/format.h"
#include "sys/overlay_by_string.h"
#include "sys/sub_ids.h"

namespace berth::sys {
namespace {

/// fsconfig(2) takes strings of up to 255 bytes; longer lists and paths need the descriptor form.
constexpr size_t max_config_string = 255;

/// The kernel explains a failed mount on the context's descriptor: "e overlay: ...".
std::string kernel_message(int context) {
  std::array<char, 512> buffer{};
  std::string text;
  ssize_t count = 0;
  while ((count = ::read(context, buffer.data(), buffer.size())) > 0) {
    std::string_view line(buffer.data(), static_cast<size_t>(count));
    while (!line.empty() && line.back() == '\n') line.remove_suffix(1);
    if (line.size() > 2 && line[1] == ' ') line.remove_prefix(2);
    if (!text.empty()) text += "; ";
    text += line;
  }
  return text;
}

Error overlay_error(int context, std::string_view step) {
  int error = errno;
  std::string detail = kernel_message(context);
  Error result = Error::from_errno("mount overlay", step, error);
  if (detail.empty()) return result;
  return std::move(result).in(detail);
}

int set_string(int context, const char* key, const std::string& value) {
  return static_cast<int>(::syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, value.c_str(), 0));
}

/// Whether overlayfs is told its layers one by one (Linux 6.7). Before 6.5 a context takes any word, and only
/// its creation fails.
bool takes_single_layers() {
  static const bool takes = [] {
    utsname host{};
    unsigned major = 0, minor = 0;
    if (::uname(&host) != 0 || std::sscanf(host.release, "%u.%u", &major, &minor) != 2) return true;
    return major > 6 || (major == 6 && minor >= 7);
  }();
  return takes;
}

/// By path when it fits, else by descriptor (Linux 6.13).
Result<void> set_path(int context, const char* key, const std::string& path) {
  if (path.size() <= max_config_string) {
    if (set_string(context, key, path) != 0) return overlay_error(context, path);
    return {};
  }
  TRY(UniqueFd directory, open_file(path.c_str(), O_PATH | O_DIRECTORY));
  if (::syscall(SYS_fsconfig, context, FSCONFIG_SET_FD, key, nullptr, directory.get()) != 0) {
    return overlay_error(context, path);
  }
  return {};
}

Result<void> set_option(int context, const std::string& option) {
  size_t equals = option.find('=');
  long result = equals == std::string::npos
                    ? ::syscall(SYS_fsconfig, context, FSCONFIG_SET_FLAG, option.c_str(), nullptr, 0)
                    : set_string(context, option.substr(0, equals).c_str(), option.substr(equals + 1));
  if (result != 0) return overlay_error(context, option);
  return {};
}

}  // namespace

Result<RootDir> open_detached_overlay(const OverlayLayers& layers) {
  if (layers.lower.empty()) return Error(Kind::InvalidArgument, "mount overlay: no layers");
  if (layers.lower.size() == 1 && layers.upper.empty()) return RootDir::open(layers.lower[0]);

  // Nothing in an image gets to act as a device or set-uid program through the engine's own view.
  unsigned attributes = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | (layers.upper.empty() ? MOUNT_ATTR_RDONLY : 0);
  OverlayLayers wanted = layers;
  // Marks of overlayfs lie in attributes that only the initial user namespace may touch, unless told so.
  if (!in_initial_user_namespace() && std::ranges::find(layers.options, "userxattr") == layers.options.end())
    wanted.options.push_back("userxattr");
  if (!takes_single_layers()) {
    TRY(UniqueFd mount, mount_overlay_by_string(wanted, attributes));
    return RootDir(std::move(mount));
  }

  UniqueFd context(static_cast<int>(::syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC)));
  if (!context) return Error::from_errno("mount overlay", "fsopen", errno);
  if (set_string(context.get(), "source", "overlay") != 0) return overlay_error(context.get(), "source");
  for (const std::string& lower : wanted.lower) CHECK(set_path(context.get(), "lowerdir+", lower));
  if (!wanted.upper.empty()) {
    CHECK(set_path(context.get(), "upperdir", wanted.upper));
    CHECK(set_path(context.get(), "workdir", wanted.work));
  }
  for (const std::string& option : wanted.options) CHECK(set_option(context.get(), option));
  if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return overlay_error(context.get(), "create");
  }
  UniqueFd mount(static_cast<int>(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, attributes)));
  if (!mount) return overlay_error(context.get(), "fsmount");
  return RootDir(std::move(mount));
}

}  // namespace berth::sys
