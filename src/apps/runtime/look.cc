// state, list, ps, events.
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdio>
#include <ctime>
#include <set>

#include "apps/runtime/container.h"
#include "apps/runtime/flags.h"
#include "apps/runtime/settings.h"
#include "base/format.h"
#include "base/json.h"
#include "sys/file.h"
#include "sys/host_program.h"

namespace berth::runtime {
namespace {

constexpr Flag kListFlags[] = {{"format", FlagKind::Value, 'f'}, {"quiet", FlagKind::Switch, 'q'}};
constexpr Flag kPsFlags[] = {{"format", FlagKind::Value, 'f'}};
constexpr Flag kEventsFlags[] = {{"interval"}, {"stats", FlagKind::Switch}};

Result<void> print(std::string_view text) {
  return sys::write_all(STDOUT_FILENO, text);
}

std::map<std::string, std::string> annotations_of(const Container& container) {
  auto spec = container.config();
  return spec ? (*spec)->annotations : std::map<std::string, std::string>();
}

std::string table_of(const std::vector<Container>& containers) {
  std::string table = fmt::format("{:<24} {:<11} {:<11} {:<40} {:<34} {}\n", "ID", "PID", "STATUS", "BUNDLE",
                                  "CREATED", "OWNER");
  for (const Container& container : containers) {
    const Record& record = container.record();
    Status status = container.status();
    table +=
        fmt::format("{:<24} {:<11} {:<11} {:<40} {:<34} {}\n", record.id,
                    status == Status::Stopped ? 0 : record.pid, to_string(status), record.bundle,
                    to_rfc3339(record.created), record.owner == 0 ? "root" : std::to_string(record.owner));
  }
  return table;
}

/// The host's ps, less the lines of other processes.
Result<std::string> ps_table(const std::set<std::string>& pids, std::vector<std::string> flags) {
  if (flags.empty()) flags = {"-ef"};
  std::vector<std::string> command{"ps"};
  command.insert(command.end(), flags.begin(), flags.end());
  TRY(auto program, sys::HostProgram::start(
                        command, {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}));
  TRY(std::string output, sys::read_fd(program.standard_output(), 64u << 20));
  TRY(int code, program.wait());
  if (code != 0) return failure(Kind::InvalidArgument, "ps ended with {}", code);
  std::string table;
  size_t column = std::string::npos;
  std::string_view rest = output;
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    std::vector<std::string_view> fields;
    for (std::string_view left = line; !left.empty();) {
      left.remove_prefix(std::min(left.find_first_not_of(' '), left.size()));
      std::string_view field = left.substr(0, left.find(' '));
      left.remove_prefix(field.size());
      if (!field.empty()) fields.push_back(field);
    }
    if (column == std::string::npos) {
      for (size_t i = 0; i < fields.size(); ++i)
        if (fields[i] == "PID") column = i;
      if (column == std::string::npos) return Error(Kind::InvalidArgument, "ps printed no column PID");
      table.append(line).append("\n");
    } else if (column < fields.size() && pids.contains(std::string(fields[column]))) {
      table.append(line).append("\n");
    }
  }
  return table;
}

Json stats_of(const sys::CgroupStats& stats) {
  Json cpu = {{"usage",
               {{"total", stats.cpu.total_ns},
                {"percpu", stats.cpu.per_cpu_ns},
                {"kernel", stats.cpu.kernel_ns},
                {"user", stats.cpu.user_ns}}},
              {"throttling",
               {{"periods", stats.cpu.periods},
                {"throttledPeriods", stats.cpu.throttled_periods},
                {"throttledTime", stats.cpu.throttled_ns}}}};
  Json memory = {{"usage",
                  {{"limit", stats.memory.limit},
                   {"usage", stats.memory.usage},
                   {"max", stats.memory.max_usage},
                   {"failcnt", stats.memory.fail_count}}},
                 {"raw", stats.memory.stat}};
  auto entries = [](const std::vector<sys::CgroupBlockEntry>& from) {
    Json list = Json::array();
    for (const auto& each : from)
      list.push_back({{"major", each.major}, {"minor", each.minor}, {"op", each.op}, {"value", each.value}});
    return list;
  };
  return {{"cpu", cpu},
          {"memory", memory},
          {"pids", {{"current", stats.pids}, {"limit", stats.pids_limit}}},
          {"blkio",
           {{"ioServiceBytesRecursive", entries(stats.io_service_bytes)},
            {"ioServicedRecursive", entries(stats.io_serviced)}}}};
}

/// One line, in the order that runc's readers know.
Result<void> print_event(std::string_view type, const std::string& id, const Json& data) {
  std::string rest = data.is_null() ? "" : ",\"data\":" + to_json(data);
  return print(fmt::format("{{\"type\":\"{}\",\"id\":{}{}}}\n", type, to_json(Json(id)), rest));
}

Result<void> print_stats(const std::string& id, const sys::Cgroup& group) {
  TRY(auto stats, group.stats());
  return print_event("stats", id, stats_of(stats));
}

/// "100ms", "5s", "2m", "1h": whole numbers with a unit, as far as anybody writes them here.
Result<int> milliseconds_of(const std::string& text) {
  constexpr std::pair<std::string_view, int> kUnits[] = {
      {"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}};
  int number = 0;
  auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view unit(rest, static_cast<size_t>(text.data() + text.size() - rest));
  for (const auto& [name, factor] : kUnits)
    if (error == std::errc{} && unit == name && number > 0 && number <= INT_MAX / factor)
      return number * factor;
  return failure(Kind::InvalidArgument,
                 "--interval \"{}\": it must be a duration greater than 0, as \"500ms\" or \"5s\"", text);
}

/// One that is being made is waited for, as other runtimes show none before it is created. Not for long: it
/// may be a hook of the creation that asks. Who makes it holds a lock, so that one whose maker has died is no
/// reason to wait.
Result<Container> look_when_made(const std::string& root, const std::string& id) {
  constexpr int kLooks = 100;
  constexpr timespec kPause{0, 10'000'000};
  TRY(auto container, Container::look(root, id));
  for (int look = 0; look < kLooks && container.status() == Status::Creating; ++look) {
    sys::UniqueFd directory(::open((root + "/" + id).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    bool made = directory && ::flock(directory.get(), LOCK_SH | LOCK_NB) == 0;
    if (!made) ::nanosleep(&kPause, nullptr);
    TRY(container, Container::look(root, id));
    if (made) break;
  }
  return container;
}

}  // namespace

Result<int> state(const Settings& settings, const std::vector<std::string>& words) {
  TRY(auto line, CommandLine::parse(words, {}));
  TRY(std::string id, line.argument(0, "the container's id"));
  TRY(auto container, look_when_made(settings.root, id));
  CHECK(print(container.state_json(container.status(), annotations_of(container)) + "\n"));
  return 0;
}

Result<int> list(const Settings& settings, const std::vector<std::string>& words) {
  TRY(auto line, CommandLine::parse(words, kListFlags));
  if (settings.root_is_given && ::access(settings.root.c_str(), F_OK) != 0)
    return Error::from_errno("open", settings.root, errno);
  TRY(auto ids, Container::list(settings.root));
  std::vector<Container> containers;
  for (const auto& id : ids) {
    // One that is just being deleted is no failure.
    if (auto container = Container::look(settings.root, id)) containers.push_back(std::move(*container));
  }
  std::string text;
  if (line.on("quiet")) {
    for (const auto& container : containers) text += container.record().id + "\n";
  } else if (line.text("format") == "json") {
    for (const auto& container : containers)
      text += (text.empty() ? "[" : ",") +
              container.state_json(container.status(), annotations_of(container), Container::Layout::Compact);
    text = containers.empty() ? "null\n" : text + "]\n";
  } else if (line.text("format").empty() || line.text("format") == "table") {
    text = table_of(containers);
  } else {
    return failure(Kind::InvalidArgument, "invalid format \"{}\": it is \"table\" or \"json\"",
                   line.text("format"));
  }
  CHECK(print(text));
  return 0;
}

Result<int> ps(const Settings& settings, const std::vector<std::string>& words) {
  TRY(auto line, CommandLine::parse(words, kPsFlags, CommandLine::Order::FlagsFirst));
  TRY(std::string id, line.argument(0, "the container's id"));
  TRY(auto container, Container::look(settings.root, id));
  TRY(auto group, container.cgroup());
  std::vector<pid_t> pids;
  if (group) {
    TRY(pids, group->pids());
  }
  std::string format = line.text("format");
  if (format == "json") {
    CHECK(print(to_json(Json(pids)) + "\n"));
    return 0;
  }
  if (!format.empty() && format != "table")
    return failure(Kind::InvalidArgument, "invalid format \"{}\": it is \"table\" or \"json\"", format);
  std::set<std::string> names;
  for (pid_t pid : pids) names.insert(std::to_string(pid));
  const auto& arguments = line.arguments();
  TRY(std::string table, ps_table(names, {arguments.begin() + 1, arguments.end()}));
  CHECK(print(table));
  return 0;
}

Result<int> events(const Settings& settings, const std::vector<std::string>& words) {
  TRY(auto line, CommandLine::parse(words, kEventsFlags));
  TRY(std::string id, line.argument(0, "the container's id"));
  TRY(int interval, milliseconds_of(line.has("interval") ? line.text("interval") : "5s"));
  TRY(auto container, Container::look(settings.root, id));
  if (container.status() == Status::Stopped)
    return failure(Kind::WrongState, "container with id {} is not running", id);
  TRY(auto group, container.cgroup());
  if (!group) return failure(Kind::WrongState, "container {} has no cgroup", id);
  if (line.on("stats")) {
    CHECK(print_stats(id, *group));
    return 0;
  }
  TRY(auto init, container.init());
  TRY(uint64_t kills, group->oom_kills());
  auto oom = group->watch_oom();
  pollfd watched[] = {{init.get(), POLLIN, 0}, {oom ? oom->get() : -1, POLLIN, 0}};
  // The kernel (v1) tells of a shortage before it counts the kill that follows.
  constexpr int kSoon = 20, kLooks = 100;
  int looks = 0;
  while (true) {
    int ready = ::poll(watched, std::size(watched), looks > 0 ? std::min(interval, kSoon) : interval);
    if (ready > 0 && watched[1].revents != 0) {
      char drained[1024];
      if (::read(oom->get(), drained, sizeof drained) <= 0) watched[1].fd = -1;
      looks = kLooks;
    }
    auto now = group->oom_kills();
    if (now && *now > kills) {
      kills = *now;
      looks = 0;
      CHECK(print_event("oom", id, Json()));
    }
    if (watched[0].revents != 0) return 0;
    if (ready == 0 && looks-- <= 0) {
      looks = 0;
      CHECK(print_stats(id, *group));
    }
  }
}

}  // namespace berth::runtime
