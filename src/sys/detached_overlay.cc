// Overlay mounts through the new mount interface, never attached to a path.
#include "sys/detached_overlay.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/format.h"
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

Result<void> set_lowers(int context, const std::vector<std::string>& lowers) {
  for (size_t i = 0; i < lowers.size(); ++i) {
    if (i == 0 && lowers[0].size() <= max_config_string && set_string(context, "lowerdir+", lowers[0]) != 0) {
      if (errno != EINVAL) return overlay_error(context, lowers[0]);
      // Before Linux 6.5: all in one string.
      std::string joined;
      for (const std::string& lower : lowers) joined += (joined.empty() ? "" : ":") + lower;
      if (joined.size() > max_config_string) {
        return Error(Kind::Unsupported, "mount overlay: this many layers need Linux 6.5 or later");
      }
      if (set_string(context, "lowerdir", joined) != 0) return overlay_error(context, "lowerdir");
      return {};
    }
    if (i == 0 && lowers[0].size() <= max_config_string) continue;
    CHECK(set_path(context, "lowerdir+", lowers[i]));
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

  UniqueFd context(static_cast<int>(::syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC)));
  if (!context) return Error::from_errno("mount overlay", "fsopen", errno);
  if (set_string(context.get(), "source", "overlay") != 0) return overlay_error(context.get(), "source");
  CHECK(set_lowers(context.get(), layers.lower));
  if (!layers.upper.empty()) {
    CHECK(set_path(context.get(), "upperdir", layers.upper));
    CHECK(set_path(context.get(), "workdir", layers.work));
  }
  for (const std::string& option : layers.options) CHECK(set_option(context.get(), option));
  // Marks of overlayfs lie in attributes that only the initial user namespace may touch, unless told so.
  if (!in_initial_user_namespace() && std::ranges::find(layers.options, "userxattr") == layers.options.end())
    CHECK(set_option(context.get(), "userxattr"));
  if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return overlay_error(context.get(), "create");
  }
  // Nothing in an image gets to act as a device or set-uid program through the engine's own view.
  unsigned attributes = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | (layers.upper.empty() ? MOUNT_ATTR_RDONLY : 0);
  UniqueFd mount(static_cast<int>(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, attributes)));
  if (!mount) return overlay_error(context.get(), "fsmount");
  return RootDir(std::move(mount));
}

}  // namespace berth::sys
