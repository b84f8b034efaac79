#include "apps/berth/compose/watch_tree.h"

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <filesystem>

namespace berth::cli::compose {
namespace {

namespace filesystem = std::filesystem;

bool is_folder(const std::string& path) {
  std::error_code ignored;
  return filesystem::is_directory(path, ignored);
}

std::string folder_of(const std::string& path) {
  return filesystem::path(path).parent_path().string();
}

}  // namespace

Outcome<WatchTree> WatchTree::open() {
  WatchTree tree;
  tree.fd_.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!tree.fd_) return Error::from_errno("inotify_init1", "", errno);
  return tree;
}

Outcome<void> WatchTree::watch(const std::string& path) {
  constexpr uint32_t mask = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB;
  const int id = ::inotify_add_watch(fd_.get(), path.c_str(), mask);
  if (id >= 0) {
    paths_[id] = path;
    return {};
  }
  if (errno == ENOENT) return {};
  return Error::from_errno("watch", path, errno);
}

Outcome<void> WatchTree::add_folder(const std::string& folder) {
  CHECK(watch(folder));
  trees_.insert(folder);
  std::error_code ignored;
  for (const auto& entry : filesystem::directory_iterator(folder, ignored)) {
    const bool below = !entry.is_symlink(ignored) && entry.is_directory(ignored);
    if (below && entry.path().filename() != ".git") CHECK(add_folder(entry.path().string()));
  }
  return {};
}

Outcome<void> WatchTree::await(const std::string& path) {
  awaited_.insert(path);
  std::string above = folder_of(path);
  while (!is_folder(above) && above != folder_of(above)) above = folder_of(above);
  return watch(above);
}

Outcome<void> WatchTree::add(const std::string& path) {
  if (is_folder(path)) return add_folder(path);
  std::error_code ignored;
  return filesystem::exists(path, ignored) ? watch(folder_of(path)) : await(path);
}

/// Something new is somewhere: a path that was waited for may be there, or a folder nearer to it.
Outcome<void> WatchTree::look_for_awaited(std::set<std::string>& changed) {
  for (const std::string& path : std::set<std::string>(awaited_)) {
    std::error_code ignored;
    if (filesystem::exists(path, ignored)) {
      awaited_.erase(path);
      CHECK(add(path));
      changed.insert(path);
    } else {
      CHECK(await(path));
    }
  }
  return {};
}

Outcome<std::set<std::string>> WatchTree::changes(int stop) {
  std::set<std::string> changed;
  int patience = -1;
  while (true) {
    pollfd entries[2] = {{fd_.get(), POLLIN, 0}, {stop, POLLIN, 0}};
    const int ready = ::poll(entries, 2, patience);
    if (ready > 0 && entries[1].revents != 0) return std::set<std::string>();
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return Error::from_errno("poll", "inotify", errno);
    if (ready == 0) return changed;
    CHECK(take(changed));
    if (!changed.empty()) patience = 60;
  }
}

Outcome<void> WatchTree::take(std::set<std::string>& changed) {
  alignas(inotify_event) char buffer[64 * 1024];
  const ssize_t got = ::read(fd_.get(), buffer, sizeof buffer);
  if (got < 0)
    return errno == EAGAIN || errno == EINTR ? Outcome<void>()
                                             : Outcome<void>(Error::from_errno("read", "inotify", errno));
  for (char* at = buffer; at < buffer + got;) {
    const auto* event = reinterpret_cast<const inotify_event*>(at);
    at += sizeof(inotify_event) + event->len;
    const auto known = paths_.find(event->wd);
    if (known == paths_.end()) continue;
    const std::string path = event->len == 0 ? known->second : known->second + "/" + event->name;
    const bool new_folder = (event->mask & IN_ISDIR) != 0 && (event->mask & (IN_CREATE | IN_MOVED_TO)) != 0;
    if (new_folder && trees_.contains(known->second)) CHECK(add_folder(path));
    changed.insert(path);
  }
  return look_for_awaited(changed);
}

}  // namespace berth::cli::compose
