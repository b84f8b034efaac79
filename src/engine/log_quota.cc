// The bound on all logs.
#include "engine/log_quota.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/format.h"
#include "base/log.h"
#include "engine/log_cursor.h"

namespace berth::engine {
namespace {

using namespace std::chrono_literals;

constexpr auto interval = 30s;
constexpr int most_files = 1000;  // max-file's own limit

struct RotatedFile {
  timespec written{};
  uint64_t size = 0;
  std::string path;
};

uint64_t size_on_disk(const struct stat& status) {
  return static_cast<uint64_t>(status.st_blocks) * 512;
}

io::Task<void> enforce(Core& core) {
  std::vector<std::string> logs;
  for (const ContainerHandle& container : core.containers.all()) {
    if (!container->record.log_path.empty()) logs.push_back(container->record.log_path);
  }
  uint64_t limit = core.options.settings.log_total_bytes;
  auto work = [&logs, limit] { return enforce_log_quota(logs, limit); };
  auto left = co_await core.loop.on_worker(work);
  if (!left) {
    log::warn("logs: {}", left.error().message());
  } else if (*left > limit) {
    log::warn(
        "logs take {} bytes, more than --log-total-size allows: the files being written are within their own "
        "bounds (--log-opt max-size)",
        *left);
  }
}

}  // namespace

Result<uint64_t> enforce_log_quota(const std::vector<std::string>& logs, uint64_t limit) {
  uint64_t total = 0;
  std::vector<RotatedFile> rotated;
  for (const std::string& log : logs) {
    struct stat status {};
    if (::stat(log.c_str(), &status) == 0) total += size_on_disk(status);
    for (int number = 1; number <= most_files; ++number) {
      std::string path = fmt::format("{}.{}", log, number);
      if (::stat(path.c_str(), &status) != 0) break;
      total += size_on_disk(status);
      rotated.push_back({status.st_mtim, size_on_disk(status), std::move(path)});
    }
  }
  std::sort(rotated.begin(), rotated.end(), [](const RotatedFile& a, const RotatedFile& b) {
    if (a.written.tv_sec != b.written.tv_sec) return a.written.tv_sec < b.written.tv_sec;
    return a.written.tv_nsec < b.written.tv_nsec;
  });
  for (const RotatedFile& file : rotated) {
    if (total <= limit) break;
    if (::unlink(file.path.c_str()) != 0 && errno != ENOENT)
      return Error::from_errno("remove", file.path, errno);
    total -= std::min(total, file.size);
  }
  return total;
}

void check_log_quota(Core& core) {
  if (core.options.settings.log_total_bytes != 0 && !core.closing) core.in_background(enforce(core));
}

io::Task<void> watch_log_quota(Core& core) {
  while (true) {
    check_log_quota(core);
    co_await core.loop.sleep_for(interval);
  }
}

}  // namespace berth::engine
