// Walking /proc.
#include "sys/namespace_members.h"

#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <optional>

#include "base/format.h"
#include "sys/file.h"

namespace berth::sys {
namespace {

std::optional<ino_t> pid_namespace(std::string_view process) {
  struct stat status {};
  std::string path = fmt::format("/proc/{}/ns/pid", process);
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return status.st_ino;
}

/// utime, stime, cutime, cstime and rss of proc_pid_stat(5), behind the name, which may hold anything.
void add_usage(pid_t pid, ProcessUsage& sum) {
  auto text = read_file(fmt::format("/proc/{}/stat", pid), 4096);
  size_t name_end = text ? text->rfind(')') : std::string::npos;
  if (name_end == std::string::npos) return;
  uint64_t user = 0, kernel = 0;
  int64_t dead_user = 0, dead_kernel = 0, pages = 0;
  int found = std::sscanf(text->c_str() + name_end + 1,
                          " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64 " %" SCNd64
                          " %" SCNd64 " %*d %*d %*d %*d %*u %*u %" SCNd64,
                          &user, &kernel, &dead_user, &dead_kernel, &pages);
  constexpr int kWanted = 5;
  if (found != kWanted) return;
  uint64_t tick = 1'000'000'000 / static_cast<uint64_t>(::sysconf(_SC_CLK_TCK));
  sum.user_ns += (user + static_cast<uint64_t>(dead_user)) * tick;
  sum.kernel_ns += (kernel + static_cast<uint64_t>(dead_kernel)) * tick;
  sum.resident_bytes += static_cast<uint64_t>(pages) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  ++sum.processes;
}

}  // namespace

std::vector<pid_t> pid_namespace_members(pid_t init) {
  auto wanted = pid_namespace(std::to_string(init));
  if (!wanted) return {};
  std::vector<pid_t> members{init};
  if (wanted == pid_namespace("self")) return members;
  auto entries = list_dir("/proc");
  if (!entries) return members;
  for (const DirEntry& entry : *entries) {
    pid_t pid = 0;
    auto [end, error] = std::from_chars(entry.name.data(), entry.name.data() + entry.name.size(), pid);
    if (error != std::errc() || *end != '\0' || pid == init) continue;
    if (pid_namespace(entry.name) == wanted) members.push_back(pid);
  }
  return members;
}

ProcessUsage usage_of_processes(const std::vector<pid_t>& pids) {
  ProcessUsage sum;
  for (pid_t pid : pids) add_usage(pid, sum);
  return sum;
}

}  // namespace berth::sys
