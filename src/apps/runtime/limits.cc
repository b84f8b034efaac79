// pause, resume, update.
#include <unistd.h>

#include "apps/runtime/container.h"
#include "apps/runtime/flags.h"
#include "apps/runtime/resources.h"
#include "apps/runtime/settings.h"
#include "base/format.h"
#include "base/json.h"
#include "spec/runtime_json.h"
#include "sys/file.h"

namespace berth::runtime {
namespace {

constexpr size_t kMaxResources = 1u << 20;

constexpr Flag kUpdateFlags[] = {{"resources", FlagKind::Value, 'r'},
                                 {"blkio-weight"},
                                 {"cpu-period"},
                                 {"cpu-quota"},
                                 {"cpu-share"},
                                 {"cpu-rt-period"},
                                 {"cpu-rt-runtime"},
                                 {"cpuset-cpus"},
                                 {"cpuset-mems"},
                                 {"memory"},
                                 {"memory-reservation"},
                                 {"memory-swap"},
                                 {"pids-limit"}};

Result<std::unique_ptr<sys::Cgroup>> group_of(const Container& container) {
  TRY(auto group, container.cgroup());
  if (!group) return failure(Kind::WrongState, "container {} has no cgroup", container.record().id);
  return group;
}

Result<spec::Resources> resources_of_file(const std::string& path) {
  std::string text;
  if (path == "-") {
    TRY(text, sys::read_fd(STDIN_FILENO, kMaxResources));
  } else {
    TRY(text, sys::read_file(path, kMaxResources));
  }
  TRY(Json json, parse_json(text, {.max_bytes = kMaxResources, .max_depth = 16}));
  return spec::parse_runtime_resources(json);
}

/// A number, or nothing when the flag is not given.
template <class T>
Result<void> read(const CommandLine& line, std::string_view flag, std::optional<T>& field) {
  if (!line.has(flag)) return {};
  TRY(int64_t number, line.number(flag, 0));
  field = static_cast<T>(number);
  return {};
}

Result<spec::Resources> resources_of_flags(const CommandLine& line) {
  spec::Resources resources;
  CHECK(read(line, "blkio-weight", resources.block_io.weight));
  CHECK(read(line, "cpu-period", resources.cpu.period));
  CHECK(read(line, "cpu-quota", resources.cpu.quota));
  CHECK(read(line, "cpu-share", resources.cpu.shares));
  CHECK(read(line, "cpu-rt-period", resources.cpu.realtime_period));
  CHECK(read(line, "cpu-rt-runtime", resources.cpu.realtime_runtime));
  CHECK(read(line, "memory", resources.memory.limit));
  CHECK(read(line, "memory-reservation", resources.memory.reservation));
  CHECK(read(line, "memory-swap", resources.memory.swap));
  CHECK(read(line, "pids-limit", resources.pids_limit));
  resources.cpu.cpus = line.text("cpuset-cpus");
  resources.cpu.mems = line.text("cpuset-mems");
  return resources;
}

}  // namespace

Result<int> pause(const Settings& settings, const std::vector<std::string>& words) {
  TRY(auto line, CommandLine::parse(words, {}));
  TRY(std::string id, line.argument(0, "the container's id"));
  TRY(auto container, Container::open(settings.root, id));
  Status status = container.status();
  if (status != Status::Running && status != Status::Created)
    return Error(Kind::WrongState, "container not running or created: it cannot be paused");
  TRY(auto group, group_of(container));
  CHECK(group->freeze());
  return 0;
}

Result<int> resume(const Settings& settings, const std::vector<std::string>& words) {
  TRY(auto line, CommandLine::parse(words, {}));
  TRY(std::string id, line.argument(0, "the container's id"));
  TRY(auto container, Container::open(settings.root, id));
  if (container.status() != Status::Paused) return Error(Kind::WrongState, "container not paused");
  TRY(auto group, group_of(container));
  CHECK(group->thaw());
  return 0;
}

Result<int> update(const Settings& settings, const std::vector<std::string>& words) {
  TRY(auto line, CommandLine::parse(words, kUpdateFlags));
  TRY(std::string id, line.argument(0, "the container's id"));
  TRY(auto container, Container::open(settings.root, id));
  if (container.status() == Status::Stopped) return Error(Kind::WrongState, "container not running");
  spec::Resources resources;
  if (line.has("resources")) {
    TRY(resources, resources_of_file(line.text("resources")));
  } else {
    TRY(resources, resources_of_flags(line));
  }
  TRY(auto group, group_of(container));
  sys::CgroupLimits limits = limits_of(resources);
  // Access to devices is set when a container is created, and never widened or narrowed later (as runc does).
  limits.devices.clear();
  if (resources.memory.check_before_update && limits.memory.value_or(-1) > 0) {
    TRY(auto stats, group->stats());
    if (stats.memory.usage > static_cast<uint64_t>(*limits.memory))
      return failure(Kind::InvalidArgument, "memory limit {} is below the current usage of {} bytes",
                     *limits.memory, stats.memory.usage);
  }
  TRY(auto warnings, group->apply(limits));
  for (const auto& warning : warnings) settings.complaints.warn(warning);
  return 0;
}

}  // namespace berth::runtime
