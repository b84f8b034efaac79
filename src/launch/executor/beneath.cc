// Paths beneath a root.
#include "launch/executor/beneath.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <string_view>

#include "launch/executor/file_status.h"
#include "launch/executor/fixed_buffer.h"
#include "sys/kernel_call.h"

namespace berth::launch {
namespace {

namespace call = sys::call;

constexpr uint64_t kResolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
constexpr int kMaxLinks = 40;
// openat2 answers EAGAIN when a rename raced with ".."; a sibling can keep that up only for so long.
constexpr int kMaxRaces = 128;

long open_in_root(int root, const char* path, uint64_t flags) {
  long fd = -EAGAIN;
  for (int i = 0; i < kMaxRaces && fd == -EAGAIN; ++i)
    fd = call::open_beneath(root, path, flags | O_CLOEXEC, kResolve);
  return fd;
}

const char* or_dot(const PathBuffer& path) {
  return path.empty() ? "." : path.c_str();
}

/// Walks one path, making what is missing. `resolved_` never contains links or "..".
class Maker {
 public:
  Maker(int root, Make make, LastLink last) : root_(root), make_(make), last_(last) {}

  long run(std::string_view path) {
    pending_.assign(path);
    while (true) {
      if (pending_.overflowed() || resolved_.overflowed()) return -ENAMETOOLONG;
      std::string_view name = take_component();
      if (name.empty()) break;
      if (name == ".") continue;
      if (name == "..") {
        drop_component();
        continue;
      }
      component_.assign(name);
      if (component_.overflowed()) return -ENAMETOOLONG;
      if (long error = enter(); error < 0) return error;
    }
    return open_in_root(root_, or_dot(resolved_), O_PATH);
  }

 private:
  /// The next component; `pending_` loses it. Empty at the end.
  std::string_view take_component() {
    std::string_view rest = pending_.view().substr(offset_);
    size_t begin = rest.find_first_not_of('/');
    if (begin == std::string_view::npos) return {};
    rest.remove_prefix(begin);
    size_t size = rest.find('/');
    if (size == std::string_view::npos) size = rest.size();
    offset_ += begin + size;
    is_last_ = rest.find_first_not_of('/', size) == std::string_view::npos;
    return rest.substr(0, size);
  }

  void drop_component() {
    size_t slash = resolved_.view().rfind('/');
    resolved_.cut_to(slash == std::string_view::npos ? 0 : slash);
  }

  long enter() {
    size_t before = resolved_.size();
    if (!resolved_.empty()) resolved_.append("/");
    resolved_.append(component_.view());
    long fd = open_in_root(root_, resolved_.c_str(), O_PATH | O_NOFOLLOW);
    if (fd == -ENOENT && make_ != Make::Nothing) {
      if (long error = create(before); error < 0) return error;
      fd = open_in_root(root_, resolved_.c_str(), O_PATH | O_NOFOLLOW);
    }
    if (fd < 0) return fd;
    long result = 0;
    FileStatus status;
    if (long error = read_status(static_cast<int>(fd), status); error < 0) {
      result = error;
    } else if (S_ISLNK(status.mode)) {
      result = is_last_ && last_ == LastLink::Refuse ? -ELOOP : follow(static_cast<int>(fd), before);
    }
    call::close(static_cast<int>(fd));
    return result;
  }

  long create(size_t parent_size) {
    PathBuffer parent_path(resolved_.view().substr(0, parent_size));
    long parent = open_in_root(root_, or_dot(parent_path), O_PATH | O_DIRECTORY);
    if (parent < 0) return parent;
    int directory = static_cast<int>(parent);
    long result;
    if (is_last_ && make_ == Make::File) {
      result = call::open(directory, component_.c_str(), O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_WRONLY,
                          0644);
      if (result >= 0) result = call::close(static_cast<int>(result));
    } else {
      result = call::make_directory(directory, component_.c_str(), 0755);
    }
    call::close(directory);
    return result == -EEXIST ? 0 : result;
  }

  long follow(int link, size_t parent_size) {
    if (++links_ > kMaxLinks) return -ELOOP;
    char target[4096];
    long size = call::read_link(link, "", target, sizeof target);
    if (size < 0) return size;
    if (size == 0 || size == sizeof target) return -ENAMETOOLONG;
    PathBuffer next(std::string_view(target, static_cast<size_t>(size)));
    next.append("/");
    next.append(pending_.view().substr(offset_));
    if (next.overflowed()) return -ENAMETOOLONG;
    pending_.assign(next.view());
    offset_ = 0;
    resolved_.cut_to(target[0] == '/' ? 0 : parent_size);
    return 0;
  }

  int root_;
  Make make_;
  LastLink last_;
  PathBuffer pending_;
  size_t offset_ = 0;
  PathBuffer resolved_;
  FixedBuffer<255> component_;
  bool is_last_ = false;
  int links_ = 0;
};

}  // namespace

long open_path_beneath(int root, const char* path, LastLink last) {
  if (last == LastLink::Follow) return open_in_root(root, path, O_PATH);
  long fd = open_in_root(root, path, O_PATH | O_NOFOLLOW);
  FileStatus status;
  if (fd < 0) return fd;
  long error = read_status(static_cast<int>(fd), status);
  if (error >= 0 && !S_ISLNK(status.mode)) return fd;
  call::close(static_cast<int>(fd));
  return error < 0 ? error : -ELOOP;
}

long make_path_beneath(int root, const char* path, Make make, LastLink last) {
  long fd = open_path_beneath(root, path, last);
  if (fd != -ENOENT || make == Make::Nothing) return fd;
  return Maker(root, make, last).run(path);
}

long open_parent_beneath(int root, const char* path, const char** last_component) {
  std::string_view text(path);
  size_t slash = text.rfind('/');
  *last_component = slash == std::string_view::npos ? path : path + slash + 1;
  if (**last_component == 0) return -EINVAL;
  if (slash == std::string_view::npos) return root;
  PathBuffer parent(text.substr(0, slash));
  if (parent.overflowed()) return -ENAMETOOLONG;
  return make_path_beneath(root, or_dot(parent), Make::Directory);
}

}  // namespace berth::launch
