// Control files of one group, held open.
#include "sys/cgroup_controls.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

namespace berth::sys {
namespace {

bool has_controller(const std::string& controllers, const char* wanted) {
  return ("," + controllers + ",").find(std::string(",") + wanted + ",") != std::string::npos;
}

UniqueFd open_at(const std::string& directory, const char* file, int flags) {
  return UniqueFd(::open((directory + "/" + file).c_str(), flags | O_CLOEXEC));
}

/// The number at the start of the file, or behind `key` and a space.
uint64_t read_number(int fd, const char* key) {
  if (fd < 0) return 0;
  char text[512];
  ssize_t size = ::pread(fd, text, sizeof text - 1, 0);
  if (size <= 0) return 0;
  text[size] = '\0';
  const char* at = text;
  if (key != nullptr) {
    at = std::strstr(text, key);
    if (at == nullptr) return 0;
    at += std::strlen(key);
  }
  return std::strtoull(at, nullptr, 10);
}

}  // namespace

CgroupControls CgroupControls::open(const Cgroup& group) {
  CgroupControls controls;
  for (const auto& [directory, controllers] : group.directories()) {
    if (controllers.empty()) {
      if (auto freezer = open_at(directory, "cgroup.freeze", O_WRONLY)) {
        controls.freezer_ = std::move(freezer);
        controls.unified_freezer_ = true;
      }
      if (!controls.memory_peak_) controls.memory_peak_ = open_at(directory, "memory.peak", O_RDONLY);
      if (!controls.cpu_) {
        controls.cpu_ = open_at(directory, "cpu.stat", O_RDONLY);
        controls.unified_cpu_ = true;
      }
      continue;
    }
    if (has_controller(controllers, "memory")) {
      controls.memory_peak_ = open_at(directory, "memory.max_usage_in_bytes", O_RDONLY);
    }
    if (has_controller(controllers, "cpuacct")) {
      controls.cpu_ = open_at(directory, "cpuacct.usage", O_RDONLY);
      controls.unified_cpu_ = false;
    }
    if (has_controller(controllers, "freezer") && !controls.unified_freezer_) {
      controls.freezer_ = open_at(directory, "freezer.state", O_WRONLY);
    }
  }
  return controls;
}

Result<void> CgroupControls::write_state(const char* value) const {
  if (!freezer_) return Error(Kind::Unsupported, "this host has no freezer for control groups");
  if (::pwrite(freezer_.get(), value, std::strlen(value), 0) < 0) {
    return Error::from_errno("write", "freezer", errno);
  }
  return {};
}

Result<void> CgroupControls::freeze() {
  return write_state(unified_freezer_ ? "1" : "FROZEN");
}
Result<void> CgroupControls::thaw() {
  return write_state(unified_freezer_ ? "0" : "THAWED");
}

uint64_t CgroupControls::memory_peak() const {
  return read_number(memory_peak_.get(), nullptr);
}

uint64_t CgroupControls::cpu_microseconds() const {
  if (unified_cpu_) return read_number(cpu_.get(), "usage_usec ");
  return read_number(cpu_.get(), nullptr) / 1000;
}

uint64_t shared_memory_of(const Cgroup& group) {
  for (const auto& [directory, controllers] : group.directories()) {
    bool counts = controllers.empty() || has_controller(controllers, "memory");
    if (!counts) continue;
    UniqueFd stat = open_at(directory, "memory.stat", O_RDONLY);
    if (!stat) continue;
    std::string text(8192, '\0');
    ssize_t size = ::pread(stat.get(), text.data(), text.size() - 1, 0);
    if (size <= 0) continue;
    size_t at = text.find("\nshmem ");
    if (at != std::string::npos) return std::strtoull(text.c_str() + at + 7, nullptr, 10);
  }
  return 0;
}

Result<MemoryWatch> MemoryWatch::prepare(const Cgroup& group, uint64_t bytes) {
  for (const auto& [directory, controllers] : group.directories()) {
    if (!has_controller(controllers, "memory")) continue;
    MemoryWatch watch;
    watch.event_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!watch.event_) return Error::from_errno("create eventfd", {}, errno);
    watch.usage_ = open_at(directory, "memory.usage_in_bytes", O_RDONLY);
    watch.control_ = open_at(directory, "cgroup.event_control", O_WRONLY);
    if (!watch.usage_ || !watch.control_) return Error::from_errno("open", directory, errno);
    watch.order_ = std::to_string(watch.event_.get()) + " " + std::to_string(watch.usage_.get()) + " " +
                   std::to_string(bytes);
    return watch;
  }
  return Error(Kind::Unsupported, "this host does not tell when a group nears its memory limit");
}

Result<void> MemoryWatch::arm() const {
  if (::write(control_.get(), order_.data(), order_.size()) < 0)
    return Error::from_errno("watch", "memory of a group", errno);
  return {};
}

}  // namespace berth::sys
