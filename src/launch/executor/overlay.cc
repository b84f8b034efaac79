// Overlays: layer by layer through the new mount interface, or, before Linux 6.7, all in one string.
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "launch/executor/executor.h"
#include "sys/kernel_call.h"

namespace berth::launch {

namespace call = sys::call;

namespace {

constexpr size_t kMaxConfigString = 255;  ///< what fsconfig(2) takes
constexpr std::string_view kLower = "lowerdir+=";

/// A directory of an overlay: as a string, or by descriptor where it is too long for one (Linux 6.13).
long set_layer(int filesystem, const char* key, Text path) {
  if (path.size() <= kMaxConfigString)
    return call::configure(filesystem, FSCONFIG_SET_STRING, key, path.c_str());
  long fd = call::open(AT_FDCWD, path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fd;
  long error = call::configure(filesystem, FSCONFIG_SET_FD, key, nullptr, static_cast<int>(fd));
  call::close(static_cast<int>(fd));
  return error;
}

/// The data of mount(2) for an overlay. Where the layers' paths are too long together, they are given as
/// descriptors' links in /proc.
class OverlayData {
 public:
  enum class Layers { ByPath, ByDescriptor };
  explicit OverlayData(Layers layers) : layers_(layers) {}
  OverlayData(const OverlayData&) = delete;
  OverlayData& operator=(const OverlayData&) = delete;
  ~OverlayData() {
    for (size_t i = 0; i < count_; ++i) call::close(opened_[i]);
  }

  void add_lower(Text path) {
    data_.append(has_lower_ ? ":" : "lowerdir=");
    has_lower_ = true;
    add_path(path);
  }
  void add_directory(std::string_view key, Text path) {
    separate();
    data_.append(key);
    add_path(path);
  }
  void add_option(std::string_view option) {
    separate();
    data_.append(option);
  }

  long error() const {
    if (error_ < 0) return error_;
    return data_.overflowed() ? -E2BIG : 0;
  }
  const char* c_str() const { return data_.c_str(); }

 private:
  void separate() {
    if (!data_.empty()) data_.append(",");
  }
  void add_path(Text path) {
    if (layers_ == Layers::ByPath) return append_escaped(path.view());
    long fd =
        count_ == kMaxOpened ? -E2BIG : call::open(AT_FDCWD, path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
      error_ = fd;
      return;
    }
    opened_[count_++] = static_cast<int>(fd);
    data_.append("/proc/self/fd/");
    data_.append_number(static_cast<uint64_t>(fd));
  }
  /// mount(2) separates layers with ':' and options with ','.
  void append_escaped(std::string_view path) {
    for (char c : path) {
      if (c == ':' || c == ',' || c == '\\') data_.append("\\", 1);
      data_.append(&c, 1);
    }
  }

  static constexpr size_t kMaxOpened = 256;
  Layers layers_;
  PathBuffer data_;
  bool has_lower_ = false;
  long error_ = 0;
  int opened_[kMaxOpened];
  size_t count_ = 0;
};

void describe(const step::MountOverlay& step, OverlayData& data) {
  for (Text lower : step.lowers) data.add_lower(lower);
  if (!step.upper.empty()) {
    data.add_directory("upperdir=", step.upper);
    data.add_directory("workdir=", step.work);
  }
  for (Text option : step.options) data.add_option(option.view());
}

/// Where the mount stands for a moment: a directory that is there.
const char* place_of(const step::MountOverlay& step) {
  return (step.upper.empty() ? *step.lowers.begin() : step.upper).c_str();
}

Text after(Text parameter, std::string_view key) {
  return {parameter.c_str() + key.size(), static_cast<uint32_t>(parameter.size() - key.size())};
}

void describe(const step::NewFilesystem& step, OverlayData& data) {
  for (Text parameter : step.parameters)
    if (parameter.view().starts_with(kLower)) data.add_lower(after(parameter, kLower));
  for (Text parameter : step.parameters) {
    if (parameter.view().starts_with(kLower)) continue;
    bool directory = false;
    for (std::string_view key : {std::string_view("upperdir="), std::string_view("workdir=")}) {
      if (!parameter.view().starts_with(key)) continue;
      data.add_directory(key, after(parameter, key));
      directory = true;
    }
    if (!directory) data.add_option(parameter.view());
  }
}

const char* place_of(const step::NewFilesystem& step) {
  for (Text parameter : step.parameters)
    if (parameter.view().starts_with(kLower)) return after(parameter, kLower).c_str();
  return nullptr;
}

/// A detached overlay, or the error.
template <class Step>
long mount_by_string(const Step& step, OverlayData::Layers layers) {
  OverlayData data(layers);
  describe(step, data);
  if (long error = data.error(); error < 0) return error;
  // It has to stand somewhere for a moment; our mount namespace is private by now.
  const char* place = place_of(step);
  if (place == nullptr) return -EINVAL;
  if (long error = call::mount("overlay", place, "overlay", 0, data.c_str()); error < 0) return error;
  long fd = call::open_tree(AT_FDCWD, place, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  constexpr int kDetach = 2;
  call::unmount(place, kDetach);
  return fd;
}

template <class Step>
long mount_by_string(const Step& step) {
  long fd = mount_by_string(step, OverlayData::Layers::ByPath);
  if (fd == -E2BIG) fd = mount_by_string(step, OverlayData::Layers::ByDescriptor);
  return fd;
}

}  // namespace

long Executor::configure_overlay(int filesystem, const step::MountOverlay& step) {
  for (Text option : step.options)
    if (long error = set_parameter(filesystem, option); error < 0)
      return explain(filesystem, error, option.view());
  for (Text lower : step.lowers)
    if (long error = set_layer(filesystem, "lowerdir+", lower); error < 0)
      return explain(filesystem, error, lower.view());
  if (step.upper.empty()) return 0;
  if (long error = set_layer(filesystem, "upperdir", step.upper); error < 0)
    return explain(filesystem, error, step.upper.view());
  if (long error = set_layer(filesystem, "workdir", step.work); error < 0)
    return explain(filesystem, error, step.work.view());
  return 0;
}

long Executor::perform(const step::MountOverlay& step) {
  long opened = call::open_filesystem("overlay");
  if (opened < 0) return opened;
  int filesystem = static_cast<int>(opened);
  long error = configure_overlay(filesystem, step);
  bool configured = error >= 0;
  if (configured) {
    error = create_overlay(filesystem);
    if (error < 0) explain(filesystem, error, step.upper.view());
  }
  if (error >= 0) error = fill(step.slot, call::make_mount(filesystem, 0));
  call::close(filesystem);
  // Before Linux 6.7 there is no "lowerdir+", before 6.13 none by descriptor. Before 6.5 it is the creation
  // that fails, without a word.
  bool old = configured ? error == -EINVAL : error == -EINVAL || error == -EOPNOTSUPP;
  if (old && !(configured && reason_ == Reason::FilesystemMessage))
    return mount_overlay_by_string(step, error);
  return error;
}

/// After a quick restart the mount of the previous run may still be on its way out and hold the upper
/// directory.
long Executor::create_overlay(int filesystem) {
  constexpr int kPatience = 200;
  constexpr call::Time kPause{0, 5'000'000};
  long error = -EBUSY;
  for (int i = 0; i < kPatience; ++i) {
    error = call::configure(filesystem, FSCONFIG_CMD_CREATE, nullptr, nullptr);
    if (error != -EBUSY) return error;
    call::raw(__NR_nanosleep, call::address(&kPause), 0);
  }
  return error;
}

long Executor::mount_overlay_by_string(const step::MountOverlay& step, long error) {
  return finish_overlay_by_string(step.slot, mount_by_string(step), error, place_of(step));
}

long Executor::mount_overlay_by_string(const step::NewFilesystem& step, long error) {
  if (place_of(step) == nullptr) return error;
  long fd = mount_by_string(step);
  if (fd >= 0 && step.attributes != 0) {
    mount_attr attributes{.attr_set = step.attributes, .attr_clr = 0, .propagation = 0, .userns_fd = 0};
    if (long result = call::set_mount_attributes(static_cast<int>(fd), "", AT_EMPTY_PATH, attributes);
        result < 0) {
      call::close(static_cast<int>(fd));
      fd = result;
    }
  }
  return finish_overlay_by_string(step.slot, fd, error, "overlay");
}

/// `first`: what the new interface said. Its words stay where the string is refused as well.
long Executor::finish_overlay_by_string(Slot slot, long fd, long first, std::string_view subject) {
  if (fd == -EINVAL && reason_ == Reason::FilesystemMessage) return first;
  reason_ = Reason::None;
  subject_.clear();
  if (fd == -E2BIG) return blame(fd, "too many layers for this kernel");
  if (fd < 0) return blame(fd, subject);
  return fill(slot, fd);
}

}  // namespace berth::launch
