// ps(1)'s columns from /proc.
#include "engine/process_table.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "base/format.h"

namespace berth::engine {
namespace {

/// docker answers 500 to what its host's ps refuses.
constexpr Kind ps_refused = Kind::Internal;

struct ProcessInfo {
  int pid = 0;
  std::string comm;
  char state = '?';
  int64_t ppid = 0, pgid = 0, sid = 0, tty = 0, tpgid = 0;
  uint64_t user_ticks = 0, system_ticks = 0, start_ticks = 0, virtual_bytes = 0, resident_pages = 0;
  int64_t priority = 0, nice = 0, threads = 0;
  uint32_t uid = 0, gid = 0;
  std::string command_line;
};

struct HostTimes {
  double uptime = 0;  ///< seconds
  int64_t boot = 0;   ///< unix seconds
  int64_t now = 0;
  long ticks = 100;
  uint64_t memory = 1;  ///< bytes
  std::map<uint32_t, std::string> users;
};

std::string read_all(const std::string& path, size_t limit = size_t{64} << 10) {
  std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "re"), std::fclose);
  std::string text;
  if (!file) return text;
  text.resize(limit);
  text.resize(std::fread(text.data(), 1, limit, file.get()));
  return text;
}

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    size_t end = text.find_first_of(separators);
    if (end != 0) parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

template <class T>
T number(std::string_view text) {
  T value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

HostTimes read_host(const std::string& proc) {
  HostTimes host;
  host.ticks = ::sysconf(_SC_CLK_TCK);
  host.memory =
      static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  host.uptime = std::strtod(read_all(proc + "/uptime").c_str(), nullptr);
  host.now = ::time(nullptr);
  host.boot = host.now - static_cast<int64_t>(host.uptime);
  std::string passwd = read_all("/etc/passwd", size_t{1} << 20);
  for (std::string_view line : split(passwd, "\n")) {
    auto fields = split(line, ":");
    if (fields.size() >= 3) host.users.emplace(number<uint32_t>(fields[2]), std::string(fields[0]));
  }
  return host;
}

/// proc(5): the name in field 2 may hold spaces and parentheses, so the last ')' ends it.
bool parse_stat(std::string_view text, ProcessInfo& info) {
  size_t open = text.find('(');
  size_t close = text.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return false;
  info.comm = text.substr(open + 1, close - open - 1);
  auto fields = split(text.substr(close + 1), " \n");
  if (fields.size() < 22) return false;
  info.state = fields[0][0];
  info.ppid = number<int64_t>(fields[1]);
  info.pgid = number<int64_t>(fields[2]);
  info.sid = number<int64_t>(fields[3]);
  info.tty = number<int64_t>(fields[4]);
  info.tpgid = number<int64_t>(fields[5]);
  info.user_ticks = number<uint64_t>(fields[11]);
  info.system_ticks = number<uint64_t>(fields[12]);
  info.priority = number<int64_t>(fields[15]);
  info.nice = number<int64_t>(fields[16]);
  info.threads = number<int64_t>(fields[17]);
  info.start_ticks = number<uint64_t>(fields[19]);
  info.virtual_bytes = number<uint64_t>(fields[20]);
  info.resident_pages = number<uint64_t>(fields[21]);
  return true;
}

std::optional<ProcessInfo> read_process(int pid, const std::string& proc) {
  std::string folder = proc + "/" + std::to_string(pid);
  ProcessInfo info;
  info.pid = pid;
  if (!parse_stat(read_all(folder + "/stat"), info)) return std::nullopt;
  std::string status_text = read_all(folder + "/status");
  for (std::string_view line : split(status_text, "\n")) {
    auto fields = split(line, "\t ");
    if (fields.size() < 3) continue;
    if (fields[0] == "Uid:") info.uid = number<uint32_t>(fields[2]);
    if (fields[0] == "Gid:") info.gid = number<uint32_t>(fields[2]);
  }
  info.command_line = read_all(folder + "/cmdline", 4096);
  while (!info.command_line.empty() && info.command_line.back() == '\0') info.command_line.pop_back();
  for (char& c : info.command_line) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  if (info.command_line.empty()) info.command_line = "[" + info.comm + "]";
  return info;
}

double running_seconds(const ProcessInfo& info, const HostTimes& host) {
  return std::max(0.0, host.uptime - static_cast<double>(info.start_ticks) / static_cast<double>(host.ticks));
}
int64_t cpu_seconds(const ProcessInfo& info, const HostTimes& host) {
  return static_cast<int64_t>((info.user_ticks + info.system_ticks) / static_cast<uint64_t>(host.ticks));
}
double cpu_percent(const ProcessInfo& info, const HostTimes& host) {
  double running = running_seconds(info, host);
  double used = static_cast<double>(info.user_ticks + info.system_ticks) / static_cast<double>(host.ticks);
  return running > 0 ? used * 100 / running : 0;
}

std::string user_name(uint32_t uid, const HostTimes& host) {
  auto it = host.users.find(uid);
  return it == host.users.end() ? std::to_string(uid) : it->second;
}

std::string clock_time(int64_t seconds) {
  return fmt::format("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
}
std::string elapsed_time(int64_t seconds) {
  if (seconds >= 86400) return fmt::format("{}-{}", seconds / 86400, clock_time(seconds % 86400));
  if (seconds >= 3600) return clock_time(seconds);
  return fmt::format("{:02}:{:02}", seconds / 60, seconds % 60);
}

std::string start_time(const ProcessInfo& info, const HostTimes& host) {
  time_t start = static_cast<time_t>(host.boot + static_cast<int64_t>(info.start_ticks) / host.ticks);
  tm parts{};
  ::localtime_r(&start, &parts);
  char text[32];
  const char* form = host.now - start < 86400 ? "%H:%M" : host.now - start < 86400 * 300 ? "%b%d" : "%Y";
  ::strftime(text, sizeof text, form, &parts);
  return text;
}

std::string terminal_name(int64_t device) {
  if (device == 0) return "?";
  int64_t major = device >> 8 & 0xfff;
  int64_t minor = (device & 0xff) | (device >> 12 & 0xfff00);
  if (major >= 136 && major <= 143) return fmt::format("pts/{}", minor + (major - 136) * 256);
  if (major == 4) return fmt::format("tty{}", minor);
  return "?";
}

std::string bsd_state(const ProcessInfo& info) {
  std::string text(1, info.state);
  if (info.nice < 0) text += '<';
  if (info.nice > 0) text += 'N';
  if (info.sid == info.pid) text += 's';
  if (info.threads > 1) text += 'l';
  if (info.tpgid > 0 && info.tpgid == info.pgid) text += '+';
  return text;
}

using Cell = std::function<std::string(const ProcessInfo&, const HostTimes&)>;
struct Column {
  std::string_view name;
  std::string_view title;
  Cell cell;
};

#define CELL(expression)                                                                          \
  [](const ProcessInfo& p [[maybe_unused]], const HostTimes& h [[maybe_unused]]) -> std::string { \
    return expression;                                                                            \
  }

const std::vector<Column>& columns() {
  static const std::vector<Column> all = {
      {"pid", "PID", CELL(std::to_string(p.pid))},
      {"ppid", "PPID", CELL(std::to_string(p.ppid))},
      {"pgid", "PGID", CELL(std::to_string(p.pgid))},
      {"pgrp", "PGRP", CELL(std::to_string(p.pgid))},
      {"sid", "SID", CELL(std::to_string(p.sid))},
      {"sess", "SESS", CELL(std::to_string(p.sid))},
      {"user", "USER", CELL(user_name(p.uid, h))},
      {"euser", "EUSER", CELL(user_name(p.uid, h))},
      {"uname", "USER", CELL(user_name(p.uid, h))},
      {"uid", "UID", CELL(std::to_string(p.uid))},
      {"euid", "EUID", CELL(std::to_string(p.uid))},
      {"gid", "GID", CELL(std::to_string(p.gid))},
      {"c", "C", CELL(std::to_string(std::min<int64_t>(99, static_cast<int64_t>(cpu_percent(p, h)))))},
      {"pcpu", "%CPU", CELL(fmt::format("{:.1f}", cpu_percent(p, h)))},
      {"%cpu", "%CPU", CELL(fmt::format("{:.1f}", cpu_percent(p, h)))},
      {"pmem", "%MEM",
       CELL(fmt::format("{:.1f}",
                        static_cast<double>(p.resident_pages * 4096) * 100 / static_cast<double>(h.memory)))},
      {"%mem", "%MEM",
       CELL(fmt::format("{:.1f}",
                        static_cast<double>(p.resident_pages * 4096) * 100 / static_cast<double>(h.memory)))},
      {"vsz", "VSZ", CELL(std::to_string(p.virtual_bytes / 1024))},
      {"rss", "RSS", CELL(std::to_string(p.resident_pages * 4))},
      {"stime", "STIME", CELL(start_time(p, h))},
      {"start", "STARTED", CELL(start_time(p, h))},
      {"start_time", "START", CELL(start_time(p, h))},
      {"tty", "TT", CELL(terminal_name(p.tty))},
      {"tt", "TT", CELL(terminal_name(p.tty))},
      {"time", "TIME", CELL(clock_time(cpu_seconds(p, h)))},
      {"cputime", "TIME", CELL(clock_time(cpu_seconds(p, h)))},
      {"etime", "ELAPSED", CELL(elapsed_time(static_cast<int64_t>(running_seconds(p, h))))},
      {"etimes", "ELAPSED", CELL(std::to_string(static_cast<int64_t>(running_seconds(p, h))))},
      {"stat", "STAT", CELL(bsd_state(p))},
      {"state", "S", CELL(std::string(1, p.state))},
      {"s", "S", CELL(std::string(1, p.state))},
      {"ni", "NI", CELL(std::to_string(p.nice))},
      {"nice", "NI", CELL(std::to_string(p.nice))},
      {"pri", "PRI", CELL(std::to_string(39 - p.priority))},
      {"nlwp", "NLWP", CELL(std::to_string(p.threads))},
      {"thcount", "THCNT", CELL(std::to_string(p.threads))},
      {"comm", "COMMAND", CELL(p.comm)},
      {"ucmd", "CMD", CELL(p.comm)},
      {"cmd", "CMD", CELL(p.command_line)},
      {"args", "COMMAND", CELL(p.command_line)},
      {"command", "COMMAND", CELL(p.command_line)},
      {"bsdtime", "TIME", CELL(fmt::format("{}:{:02}", cpu_seconds(p, h) / 60, cpu_seconds(p, h) % 60))},
  };
  return all;
}
#undef CELL

struct Chosen {
  const Column* column;
  std::string title;
};

Result<Chosen> find_column(std::string_view name) {
  std::optional<std::string> title;
  if (size_t equals = name.find('='); equals != std::string_view::npos) {
    title = std::string(name.substr(equals + 1));
    name = name.substr(0, equals);
  }
  for (const Column& column : columns()) {
    if (column.name == name) return Chosen{&column, title.value_or(std::string(column.title))};
  }
  std::string known;
  for (const Column& column : columns()) known.append(known.empty() ? "" : " ").append(column.name);
  return failure(ps_refused, "top: unknown column \"{}\"; there are: {}", name.substr(0, 64), known);
}

Result<std::vector<Chosen>> choose(std::string_view list) {
  std::vector<Chosen> chosen;
  for (std::string_view name : split(list, ", ")) {
    TRY(Chosen column, find_column(name));
    chosen.push_back(std::move(column));
  }
  if (chosen.empty()) return Error(ps_refused, "top: -o needs a list of columns");
  return chosen;
}

Result<std::vector<Chosen>> full_format() {
  TRY(auto chosen, choose("user=UID,pid,ppid,c,stime,tty=TTY,time,cmd"));
  return chosen;
}

/// A key of --sort: a column, and whether its greatest comes first.
struct SortKey {
  const Column* column;
  bool descending = false;
};

/// "comm", "-rss,+pid".
Result<std::vector<SortKey>> sort_keys(std::string_view list) {
  std::vector<SortKey> keys;
  for (std::string_view name : split(list, ", ")) {
    bool descending = name.starts_with('-');
    if (descending || name.starts_with('+')) name.remove_prefix(1);
    TRY(Chosen column, find_column(name.substr(0, name.find('='))));
    keys.push_back({column.column, descending});
  }
  if (keys.empty()) return Error(ps_refused, "top: --sort needs a list of columns");
  return keys;
}

/// Numbers by their value, all else as text.
int compare_cells(const std::string& a, const std::string& b) {
  double left = 0, right = 0;
  auto is_number = [](const std::string& text, double& value) {
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size();
  };
  if (is_number(a, left) && is_number(b, right)) return left < right ? -1 : left > right ? 1 : 0;
  return a.compare(b);
}

/// What is to be shown, and in which order.
struct View {
  std::vector<Chosen> columns;
  std::vector<SortKey> order;
};

/// -ef, -f, aux, -o list, -o list -o list, "-eo list", "-p" forms; letters that only select processes are
/// accepted, since the container's processes are the selection. --sort list, --sort=list.
Result<View> parse_options(std::string_view options) {
  auto words = split(options, " \t\n");
  std::vector<Chosen> chosen;
  std::vector<SortKey> order;
  bool bsd_user = false;
  for (size_t i = 0; i < words.size(); ++i) {
    std::string_view word = words[i];
    if (word.starts_with("--format=")) {
      TRY(auto more, choose(word.substr(9)));
      chosen.insert(chosen.end(), more.begin(), more.end());
      continue;
    }
    if (word == "--sort" || word.starts_with("--sort=")) {
      std::string_view list = word.size() > 6 ? word.substr(7) : std::string_view();
      if (list.empty() && ++i < words.size()) list = words[i];
      TRY(order, sort_keys(list));
      continue;
    }
    bool dashed = word.starts_with("-");
    if (dashed) word.remove_prefix(1);
    size_t format = word.find('o');
    for (char c : word.substr(0, format)) {
      bool known = std::string_view(dashed ? "eAafFlyjw" : "auxwef").find(c) != std::string_view::npos;
      if (!known) return failure(ps_refused, "top: unsupported ps option \"{}\"", words[i].substr(0, 64));
      if (!dashed && c == 'u') bsd_user = true;
    }
    if (format == std::string_view::npos) continue;
    std::string_view list = word.substr(format + 1);
    if (list.empty() && ++i < words.size()) list = words[i];
    TRY(auto more, choose(list));
    chosen.insert(chosen.end(), more.begin(), more.end());
  }
  if (chosen.empty() && bsd_user) {
    TRY(chosen, choose("user,pid,%cpu,%mem,vsz,rss,tty=TTY,stat,start_time,bsdtime,command"));
  } else if (chosen.empty()) {
    TRY(chosen, full_format());
  }
  return View{std::move(chosen), std::move(order)};
}

/// Equal ones stay in the order in which they came.
void sort_processes(std::vector<ProcessInfo>& processes, const std::vector<SortKey>& order,
                    const HostTimes& host) {
  std::stable_sort(processes.begin(), processes.end(), [&](const ProcessInfo& a, const ProcessInfo& b) {
    for (const SortKey& key : order) {
      int compared = compare_cells(key.column->cell(a, host), key.column->cell(b, host));
      if (compared != 0) return key.descending ? compared > 0 : compared < 0;
    }
    return false;
  });
}

}  // namespace

Result<ProcessTable> process_table(const std::vector<int>& pids, std::string_view options,
                                   const std::string& proc) {
  TRY(View view, parse_options(options));
  HostTimes host = read_host(proc);
  ProcessTable table;
  for (const Chosen& column : view.columns) table.titles.push_back(column.title);
  std::vector<ProcessInfo> processes;
  for (int pid : pids) {
    if (auto info = read_process(pid, proc)) processes.push_back(std::move(*info));
  }
  if (!view.order.empty()) sort_processes(processes, view.order, host);
  for (const ProcessInfo& info : processes) {
    std::vector<std::string> row;
    for (const Chosen& column : view.columns) row.push_back(column.column->cell(info, host));
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace berth::engine
