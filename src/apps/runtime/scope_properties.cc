// Names and properties of scopes.
#include "apps/runtime/scope_properties.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/format.h"
#include "sys/cgroup_plan.h"

namespace berth::runtime {
namespace {

constexpr size_t kMaxUnitName = 255;
constexpr std::string_view kAnnotation = "org.systemd.property.";

bool is_unit_name(std::string_view name, std::string_view suffix) {
  return name.size() > suffix.size() && name.size() <= kMaxUnitName && name.ends_with(suffix) &&
         std::ranges::all_of(name, [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) ||
                  std::string_view(":_.\\-@").find(c) != std::string_view::npos;
         });
}

std::optional<uint64_t> read_number(std::string_view text) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<uint64_t> read_number_or_max(std::string_view text) {
  return text == "max" ? UINT64_MAX : read_number(text);
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
  return text;
}

/// "QUOTA PERIOD", "max", in microseconds. systemd counts whole percents: a part of one is rounded up, so
/// that the group's own file, which says it exactly, stays below its unit's.
bool add_cpu_quota(std::string_view text, std::vector<sys::DbusProperty>& properties) {
  constexpr uint64_t kUsualPeriod = 100'000, kSecond = 1'000'000, kPercent = 10'000;
  size_t space = text.find(' ');
  auto quota = read_number_or_max(text.substr(0, space));
  auto period = space == std::string_view::npos ? kUsualPeriod : read_number(trimmed(text.substr(space)));
  if (!quota || !period || *period == 0 || *period > kSecond) return false;
  uint64_t per_second = UINT64_MAX;
  if (*quota < UINT64_MAX / kSecond) {
    per_second = (*quota * kSecond + *period - 1) / *period;
    per_second = (per_second + kPercent - 1) / kPercent * kPercent;
  }
  properties.push_back({"CPUQuotaPeriodUSec", *period});
  properties.push_back({"CPUQuotaPerSecUSec", per_second});
  return true;
}

std::optional<std::vector<uint8_t>> bits_of(std::string_view list) {
  auto numbers = sys::parse_cpu_list(list);
  if (!numbers) return std::nullopt;
  std::vector<uint8_t> bits(numbers->empty() ? 0 : numbers->back() / 8 + 1);
  for (unsigned number : *numbers) bits[number / 8] |= static_cast<uint8_t>(1u << (number % 8));
  return bits;
}

struct NumberName {
  std::string_view file;
  const char* property;
};
constexpr NumberName kNumbers[] = {{"memory.max", "MemoryMax"},          {"memory.high", "MemoryHigh"},
                                   {"memory.low", "MemoryLow"},          {"memory.min", "MemoryMin"},
                                   {"memory.swap.max", "MemorySwapMax"}, {"pids.max", "TasksMax"},
                                   {"cpu.weight", "CPUWeight"}};

/// False: the value is none.
bool add_limit(const std::string& file, std::string_view value, std::vector<sys::DbusProperty>& properties) {
  for (const auto& [name, property] : kNumbers) {
    if (file != name) continue;
    auto number = read_number_or_max(value);
    if (number) properties.push_back({property, *number});
    return number.has_value();
  }
  if (file == "cpu.max") return add_cpu_quota(value, properties);
  if (file == "cpuset.cpus" || file == "cpuset.mems") {
    auto bits = bits_of(value);
    if (bits)
      properties.push_back({file == "cpuset.cpus" ? "AllowedCPUs" : "AllowedMemoryNodes", std::move(*bits)});
    return bits.has_value();
  }
  return true;
}

/// 'text' or "text", no escapes.
std::optional<std::string> read_quoted(std::string_view& text) {
  if (text.size() < 2 || (text[0] != '\'' && text[0] != '"')) return std::nullopt;
  size_t end = text.find(text[0], 1);
  if (end == std::string_view::npos) return std::nullopt;
  std::string value(text.substr(1, end - 1));
  if (value.find('\\') != std::string::npos) return std::nullopt;
  text = trimmed(text.substr(end + 1));
  return value;
}

std::optional<std::vector<std::string>> read_list(std::string_view text) {
  std::vector<std::string> values;
  if (!text.starts_with('[') || !text.ends_with(']')) return std::nullopt;
  text = trimmed(text.substr(1, text.size() - 2));
  while (!text.empty()) {
    auto value = read_quoted(text);
    if (!value) return std::nullopt;
    values.push_back(std::move(*value));
    if (text.empty()) break;
    if (text[0] != ',') return std::nullopt;
    text = trimmed(text.substr(1));
    if (text.empty()) return std::nullopt;
  }
  return values;
}

std::optional<sys::DbusValue> read_as(std::string_view type, std::string_view text) {
  if (type == "as") {
    auto list = read_list(text);
    if (list) return sys::DbusValue(std::move(*list));
  } else if (type == "s") {
    auto value = read_quoted(text);
    if (value && text.empty()) return sys::DbusValue(std::move(*value));
  } else if (type == "b") {
    if (text == "true" || text == "false") return sys::DbusValue(text == "true");
  } else {
    std::string_view prefix = type == "t" ? "uint64 " : "int32 ";
    if (text.starts_with(prefix)) text = trimmed(text.substr(prefix.size()));
    auto number = read_number(text);
    if (number && type == "t") return sys::DbusValue(*number);
    if (number && *number <= INT32_MAX) return sys::DbusValue(static_cast<int32_t>(*number));
  }
  return std::nullopt;
}

struct AllowedProperty {
  std::string_view name;
  std::string_view type;
};
constexpr AllowedProperty kAllowed[] = {
    {"After", "as"},      {"Before", "as"},    {"CollectMode", "s"},     {"DefaultDependencies", "b"},
    {"Description", "s"}, {"KillSignal", "i"}, {"TimeoutStopUSec", "t"}, {"TimeoutStopSec", "t"}};

}  // namespace

Result<sys::ScopeName> scope_name(const std::string& cgroups_path, const std::string& id) {
  sys::ScopeName name{.slice = {}, .unit = fmt::format("berth-runtime-{}.scope", id)};
  if (!cgroups_path.empty()) {
    size_t first = cgroups_path.find(':');
    size_t second = first == std::string::npos ? first : cgroups_path.find(':', first + 1);
    if (second == std::string::npos)
      return failure(Kind::InvalidArgument,
                     "--systemd-cgroup: cgroupsPath \"{}\" is not of the form \"slice:prefix:name\"",
                     cgroups_path);
    name.slice = cgroups_path.substr(0, first);
    std::string prefix = cgroups_path.substr(first + 1, second - first - 1);
    std::string own = cgroups_path.substr(second + 1);
    if (own.ends_with(".slice"))
      return failure(Kind::Unsupported,
                     "--systemd-cgroup: cgroupsPath \"{}\": a container gets a scope, not a slice",
                     cgroups_path);
    name.unit = fmt::format("{}{}{}.scope", prefix, prefix.empty() ? "" : "-", own);
  }
  bool slice_is_right =
      name.slice.empty() || name.slice == "-.slice" ||
      (is_unit_name(name.slice, ".slice") && name.slice[0] != '-' &&
       name.slice.find("--") == std::string::npos && name.slice.find("-.slice") == std::string::npos);
  if (!slice_is_right)
    return failure(Kind::InvalidArgument, "--systemd-cgroup: \"{}\" is no name of a slice", name.slice);
  if (!is_unit_name(name.unit, ".scope"))
    return failure(Kind::InvalidArgument,
                   "--systemd-cgroup: \"{}\" is no name of a scope: such have letters, digits, "
                   "\":\", \"_\", \".\", \"-\", \"@\", and {} bytes at most",
                   name.unit, kMaxUnitName);
  return name;
}

Result<std::vector<sys::DbusProperty>> limit_properties(const sys::CgroupLimits& limits) {
  std::vector<sys::DbusProperty> properties;
  for (const auto& write : sys::plan_v2_limits(limits))
    if (!add_limit(write.file, trimmed(write.value), properties))
      return failure(Kind::InvalidArgument, "invalid value for {}: \"{}\"", write.file, write.value);
  if (limits.blkio_weight) properties.push_back({"IOWeight", sys::io_weight_of_blkio(*limits.blkio_weight)});
  return properties;
}

Result<std::vector<sys::DbusProperty>> annotation_properties(
    const std::map<std::string, std::string>& annotations) {
  std::vector<sys::DbusProperty> properties;
  for (const auto& [key, text] : annotations) {
    if (!key.starts_with(kAnnotation)) continue;
    std::string_view name = std::string_view(key).substr(kAnnotation.size());
    auto allowed = std::ranges::find(kAllowed, name, &AllowedProperty::name);
    if (allowed == std::end(kAllowed))
      return failure(
          Kind::InvalidArgument,
          "annotation {}: this property of a scope is not for annotations, as images bring them along", key);
    auto value = read_as(allowed->type, trimmed(text));
    if (!value)
      return failure(Kind::InvalidArgument, "annotation {}: \"{}\" is no value of type \"{}\"", key, text,
                     allowed->type);
    if (name == "TimeoutStopSec") {
      constexpr uint64_t kMicroseconds = 1'000'000;
      uint64_t seconds = std::get<uint64_t>(*value);
      if (seconds > UINT64_MAX / kMicroseconds)
        return failure(Kind::InvalidArgument, "annotation {}: {} seconds are too many", key, seconds);
      properties.push_back({"TimeoutStopUSec", seconds * kMicroseconds});
    } else {
      properties.push_back({std::string(name), std::move(*value)});
    }
  }
  return properties;
}

}  // namespace berth::runtime
