// Classes of service in resctrl.
#include "apps/runtime/resctrl.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <map>
#include <optional>

#include "base/format.h"
#include "base/rollback.h"
#include "sys/file.h"

namespace berth::runtime {
namespace {

constexpr size_t kMaxSchemata = 4095;  // the kernel takes a page at a time
constexpr size_t kMaxName = 255;

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    while (line.starts_with(' ')) line.remove_prefix(1);
    if (!line.empty()) lines.emplace_back(line);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return lines;
}

Result<void> check_class(const std::string& name) {
  if (name == "/") return {};
  bool plain = !name.empty() && name.size() <= kMaxName &&
               name.find_first_of(std::string_view("/\n\0", 3)) == std::string::npos && name != "." &&
               name != ".." && name != "info" && name != "mon_groups" && name != "mon_data";
  if (!plain) return failure(Kind::InvalidArgument, "intelRdt: invalid closID \"{}\"", name);
  return {};
}

/// "L3:0=7f0;1=1f" as {"0": 0x7f0, "1": 0x1f}. Nothing when it is no such line.
struct Line {
  std::string resource;
  std::map<std::string, uint64_t> domains;
};
std::optional<Line> parse_line(std::string_view text) {
  Line line;
  size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  line.resource = text.substr(0, colon);
  int base = line.resource.starts_with("MB") ? 10 : 16;
  text.remove_prefix(colon + 1);
  while (!text.empty()) {
    size_t end = text.find(';');
    std::string_view domain = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (domain.empty() && text.empty()) break;
    size_t equals = domain.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    uint64_t value = 0;
    std::string_view number = domain.substr(equals + 1);
    while (number.starts_with(' ')) number.remove_prefix(1);
    auto [rest, error] = std::from_chars(number.data(), number.data() + number.size(), value, base);
    if (error != std::errc{} || rest != number.data() + number.size()) return std::nullopt;
    line.domains[std::string(domain.substr(0, equals))] = value;
  }
  return line;
}

/// Whether what stands in a schemata file has all that is wanted.
bool holds(const std::vector<std::string>& present, const std::string& wanted) {
  auto line = parse_line(wanted);
  if (!line) return false;
  for (const auto& each : present) {
    auto there = parse_line(each);
    if (!there || there->resource != line->resource) continue;
    return std::ranges::all_of(line->domains, [&](const auto& domain) {
      auto found = there->domains.find(domain.first);
      return found != there->domains.end() && found->second == domain.second;
    });
  }
  return false;
}

Result<std::vector<std::string>> schemata_of(const Json& rdt) {
  auto found = rdt.find("schemata");
  if (found == rdt.end() || found->is_null()) return std::vector<std::string>();
  if (found->is_string()) return lines_of(found->get<std::string>());
  TRY(auto texts, json_strings(rdt, "schemata"));
  std::vector<std::string> lines;
  for (const auto& text : texts)
    for (auto& line : lines_of(text)) lines.push_back(std::move(line));
  return lines;
}

Result<void> write_file(const std::string& path, std::string_view text) {
  sys::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file) return Error::from_errno("open", path, errno);
  // One write: the kernel takes each for a whole.
  if (::write(file.get(), text.data(), text.size()) < 0) return Error::from_errno("write", path, errno);
  return {};
}

Result<bool> make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) == 0) return true;
  if (errno == EEXIST) return false;
  if (errno == ENOSPC)
    return failure(Kind::Exhausted, "intelRdt: {}: the hardware has no further class of service or monitor",
                   path);
  return Error::from_errno("make directory", path, errno);
}

}  // namespace

Result<std::string> find_resctrl(std::string_view mountinfo) {
  for (const auto& line : lines_of(mountinfo)) {
    if (line.find(" - resctrl ") == std::string::npos) continue;
    size_t at = 0;
    for (int field = 0; field < 4; ++field) at = line.find(' ', at) + 1;
    return line.substr(at, line.find(' ', at) - at);
  }
  return Error(
      Kind::Unsupported,
      "intelRdt: this host has no resctrl filesystem mounted: \"mount -t resctrl resctrl /sys/fs/resctrl\" "
      "mounts it where processor and kernel have it");
}

Result<ResctrlGroup> plan_resctrl(const std::string& mount, const Json& rdt, const std::string& id) {
  if (!rdt.is_object()) return Error(Kind::InvalidArgument, "intelRdt is no object");
  ResctrlGroup group;
  TRY(std::string name, json_string(rdt, "closID"));
  TRY(std::string cache, json_string(rdt, "l3CacheSchema"));
  TRY(std::string bandwidth, json_string(rdt, "memBwSchema"));
  TRY(group.written, schemata_of(rdt));
  group.is_own = name.empty();
  if (group.is_own) name = id;
  CHECK(check_class(name));
  if (!bandwidth.empty() && (!bandwidth.starts_with("MB:") || bandwidth.find('\n') != std::string::npos))
    return failure(Kind::InvalidArgument, "intelRdt: memBwSchema \"{}\" is no line that begins with \"MB:\"",
                   bandwidth);
  group.compared = lines_of(cache);
  // The specification: bandwidth is what memBwSchema says.
  std::erase_if(group.compared, [](const auto& line) { return line.starts_with("MB:"); });
  if (!bandwidth.empty()) group.compared.push_back(bandwidth);
  size_t size = 0;
  for (const auto* lines : {&group.compared, &group.written})
    for (const auto& line : *lines) size += line.size() + 1;
  if (size > kMaxSchemata)
    return failure(Kind::InvalidArgument, "intelRdt: the schemata are longer than {} bytes", kMaxSchemata);
  group.directory = name == "/" ? mount : mount + "/" + name;
  for (const char* flag : {"enableMonitoring", "enableCMT", "enableMBM"}) {
    TRY(bool on, json_bool(rdt, flag));
    if (on) group.monitor = group.directory + "/mon_groups/" + id;
  }
  return group;
}

Result<std::vector<std::string>> make_resctrl(const ResctrlGroup& group) {
  std::vector<std::string> made;
  Rollback rollback;
  rollback.add([&made] { remove_resctrl(made); });
  bool asks = group.is_own || !group.compared.empty() || !group.written.empty();
  if (!asks && ::access(group.directory.c_str(), F_OK) != 0)
    return failure(Kind::NotFound,
                   "intelRdt: there is no class of service {}, and no schemata are given to make it of",
                   group.directory);
  if (asks) {
    TRY(bool fresh, make_directory(group.directory));
    if (fresh) made.push_back(group.directory);
  }
  if (!group.monitor.empty()) {
    TRY(bool fresh, make_directory(group.monitor));
    if (fresh) made.push_back(group.monitor);
  }
  rollback.keep();
  return made;
}

Result<void> write_schemata(const std::string& directory, const std::vector<std::string>& lines) {
  if (lines.empty()) return {};
  std::string text;
  for (const auto& line : lines) text += line + "\n";
  auto written = write_file(directory + "/schemata", text);
  if (written || written.error().errno_value() != EINVAL) return written;
  // Every class's parent has it; the kernel says there what it did not like.
  std::string parent = directory.substr(0, directory.rfind('/'));
  for (const auto& mount : {directory, parent})
    if (auto status = sys::read_file(mount + "/info/last_cmd_status", kMaxSchemata);
        status && !status->empty())
      return failure(Kind::InvalidArgument, "intelRdt: schemata of {}: {}", directory,
                     status->substr(0, status->find('\n')));
  return failure(Kind::InvalidArgument, "intelRdt: the kernel does not take the schemata of {}", directory);
}

Result<void> fill_resctrl(const ResctrlGroup& group, const std::vector<std::string>& made, pid_t pid) {
  bool fresh = std::ranges::find(made, group.directory) != made.end();
  if (fresh) {
    CHECK(write_schemata(group.directory, group.compared));
  } else if (!group.compared.empty()) {
    TRY(std::string text, sys::read_file(group.directory + "/schemata", 16 * kMaxSchemata));
    auto present = lines_of(text);
    for (const auto& line : group.compared)
      if (!holds(present, line))
        return failure(Kind::AlreadyExists, "intelRdt: the class of service {} is there, and is not \"{}\"",
                       group.directory, line);
  }
  CHECK(write_schemata(group.directory, group.written));
  CHECK(write_file(group.directory + "/tasks", std::to_string(pid)));
  if (!group.monitor.empty()) CHECK(write_file(group.monitor + "/tasks", std::to_string(pid)));
  return {};
}

void remove_resctrl(const std::vector<std::string>& made) {
  for (auto directory = made.rbegin(); directory != made.rend(); ++directory) ::rmdir(directory->c_str());
}

}  // namespace berth::runtime
