// CacheMounts: the directories behind RUN --mount=type=cache. They outlive builds; prune removes them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "build/cache.h"
#include "io/sync.h"
#include "io/task.h"
#include "spec/dockerfile_mount.h"

namespace berth::build {

/// A cache directory in use; gives it back when destroyed.
class CacheMountUse {
 public:
  const std::string& path() const { return path_; }
  /// It was made for this use and is still empty.
  bool is_new() const { return is_new_; }

 private:
  friend class CacheMounts;
  std::string path_;
  bool is_new_ = false;
  io::Mutex::Guard lock_;
  std::shared_ptr<int> user_;
};

class CacheMounts {
 public:
  /// Directories are made below `root`.
  CacheMounts(Cache& cache, std::string root) : cache_(cache), root_(std::move(root)) {}

  /// Locked waits for the other user; Private takes a directory that nobody uses; Shared shares.
  io::Task<Result<CacheMountUse>> acquire(spec::RunMount mount);

  /// Bytes on disk; 0 when it is gone.
  uint64_t disk_usage(const std::string& id) const;
  bool in_use(const std::string& id) const;
  /// In use: WrongState.
  Result<void> remove(const std::string& id);

 private:
  struct State {
    io::Mutex lock;
    std::shared_ptr<int> users = std::make_shared<int>(0);
  };
  Result<CacheMountUse> open(const std::string& id, const spec::RunMount& mount);
  State& state(const std::string& id);

  Cache& cache_;
  std::string root_;
  std::map<std::string, std::unique_ptr<State>> states_;
};

}  // namespace berth::build
