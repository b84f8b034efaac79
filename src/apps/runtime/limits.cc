// pause, resume, update.
#include <unistd.h>

#include <charconv>

#include "apps/runtime/container.h"
#include "apps/runtime/flags.h"
#include "apps/runtime/resctrl.h"
#include "apps/runtime/resources.h"
#include "apps/runtime/scope.h"
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
                                 {"cpu-burst"},
                                 {"cpu-idle"},
                                 {"l3-cache-schema"},
                                 {"mem-bw-schema"},
                                 {"kernel-memory"},
                                 {"kernel-memory-tcp"},
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
    TRY(text, read_given_file(path, kMaxResources));
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

/// "64M", "1g", "1048576"; "-1" is unlimited.
Result<void> read_bytes(const CommandLine& line, std::string_view flag, std::optional<int64_t>& field) {
  if (!line.has(flag)) return {};
  std::string text = line.text(flag);
  int64_t number = 0;
  auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view unit(rest, static_cast<size_t>(text.data() + text.size() - rest));
  if (unit.ends_with('b') || unit.ends_with('B')) unit.remove_suffix(1);
  constexpr std::string_view kUnits = "kmgt";
  size_t power = 0;
  if (unit.size() == 1) power = kUnits.find(static_cast<char>(unit[0] | 0x20)) + 1;
  if (error != std::errc{} || unit.size() > 1 || (unit.size() == 1 && power == 0) ||
      (power > 0 && number > (INT64_MAX >> (10 * power))))
    return failure(Kind::InvalidArgument, "invalid value for --{}: \"{}\" is no size", flag, text);
  field = number < 0 ? number : number << (10 * power);
  return {};
}

Result<void> update_resctrl(const CommandLine& line, const Record& record) {
  std::vector<std::string> lines;
  for (std::string_view flag : {"l3-cache-schema", "mem-bw-schema"})
    if (line.has(flag)) lines.push_back(line.text(flag));
  if (lines.empty()) return {};
  if (record.resctrl.empty())
    return failure(
        Kind::WrongState,
        "container {} has no class of service: --l3-cache-schema and --mem-bw-schema are for those that were "
        "created with intelRdt",
        record.id);
  return write_schemata(record.resctrl, lines);
}

Result<spec::Resources> resources_of_flags(const CommandLine& line) {
  spec::Resources resources;
  CHECK(read(line, "blkio-weight", resources.block_io.weight));
  CHECK(read(line, "cpu-period", resources.cpu.period));
  CHECK(read(line, "cpu-quota", resources.cpu.quota));
  CHECK(read(line, "cpu-burst", resources.cpu.burst));
  CHECK(read(line, "cpu-idle", resources.cpu.idle));
  CHECK(read(line, "cpu-share", resources.cpu.shares));
  CHECK(read(line, "cpu-rt-period", resources.cpu.realtime_period));
  CHECK(read(line, "cpu-rt-runtime", resources.cpu.realtime_runtime));
  CHECK(read_bytes(line, "memory", resources.memory.limit));
  CHECK(read_bytes(line, "memory-reservation", resources.memory.reservation));
  CHECK(read_bytes(line, "memory-swap", resources.memory.swap));
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
  CHECK(update_resctrl(line, container.record()));
  for (std::string_view flag : {"kernel-memory", "kernel-memory-tcp"})
    if (line.has(flag))
      settings.complaints.warn(fmt::format("--{} is ignored: kernels have no such limit any more", flag));
  if (line.has("resources")) {
    TRY(resources, resources_of_file(line.text("resources")));
  } else {
    TRY(resources, resources_of_flags(line));
  }
  TRY(auto group, group_of(container));
  sys::CgroupLimits limits = limits_of(resources);
  // Access to devices is set when a container is created, and never widened or narrowed later (as runc does).
  limits.devices.clear();
  // Without a limit of memory there is none of memory and swap together.
  if (limits.memory == -1 && !limits.memory_swap) limits.memory_swap = -1;
  // A limit of memory and swap together is one upon the limit of memory that is in force.
  if (limits.memory_swap.value_or(-1) > 0 && !limits.memory) {
    TRY(auto stats, group->stats());
    if (stats.memory.limit <= static_cast<uint64_t>(INT64_MAX))
      limits.memory = static_cast<int64_t>(stats.memory.limit);
  }
  if (resources.memory.check_before_update && limits.memory.value_or(-1) > 0) {
    TRY(auto stats, group->stats());
    if (stats.memory.usage > static_cast<uint64_t>(*limits.memory))
      return failure(Kind::InvalidArgument, "memory limit {} is below the current usage of {} bytes",
                     *limits.memory, stats.memory.usage);
  }
  CHECK(change_scope(container.record(), limits));
  TRY(auto warnings, group->apply(limits));
  for (const auto& warning : warnings) settings.complaints.warn(warning);
  return 0;
}

}  // namespace berth::runtime
