// What a function keeps in /tmp is not its memory, as on AWS, though the kernel counts a tmpfs to the group
// that writes it. So the group's limit follows what lies in /tmp: a notice of the kernel (cgroup v1) comes
// when usage nears the limit, and the limit is raised by what is in /tmp then. What a function takes for
// itself finds the limit where it was, a little above its memory size. On cgroup v2 /tmp counts as memory.
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "functions/sandbox/function_sandbox.h"

namespace berth::functions {
namespace {

constexpr uint64_t kMebibyte = 1 << 20;
/// Below the limit, where the notice comes: what a quick writer can write until it has been acted upon.
constexpr uint64_t kWindow = kMemorySlack - 4 * kMebibyte;

}  // namespace

io::Task<void> FunctionSandbox::guard_memory() {
  uint64_t memory = function().memory_mebibytes * kMebibyte;
  uint64_t most = memory + function().ephemeral_mebibytes * kMebibyte + kMemorySlack;
  uint64_t limit = memory + kMemorySlack;
  while (!container_->has_ended() && limit < most) {
    auto notice = container_->watch_memory(limit - kWindow);
    Result<void> armed;
    if (notice) {
      auto arm = [&notice] { return notice->arm(); };
      armed = co_await services_.loop.on_worker(arm);
    } else {
      armed = std::move(notice).error();
    }
    if (!armed) {
      log::debug("sandbox {}: {}", plan_.container_name, armed.error().message());
      co_return;
    }
    auto readable = co_await services_.loop.readable(notice->fd());
    uint64_t count = 0;
    [[maybe_unused]] ssize_t drained = ::read(notice->fd(), &count, sizeof count);
    if (!readable || container_->has_ended()) co_return;
    uint64_t wanted = std::min(memory + container_->shared_memory() + kMemorySlack, most);
    // No more in /tmp than was provided for: the next notice is for the next step, if it ever comes to that.
    wanted = std::max(wanted, limit);
    if (wanted == limit) {
      co_await services_.loop.sleep_for(std::chrono::milliseconds(2));
      continue;
    }
    if (auto set = container_->set_memory_limit(wanted); !set) {
      log::debug("sandbox {}: {}", plan_.container_name, set.error().message());
      co_return;
    }
    limit = wanted;
  }
}

}  // namespace berth::functions
