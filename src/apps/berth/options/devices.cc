// Devices and limits.
#include "apps/berth/options/devices.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "apps/berth/options/csv.h"
#include "apps/berth/options/key_values.h"
#include "apps/berth/options/quantity.h"
#include "base/format.h"
#include "base/json.h"
#include "spec/dockerignore.h"

namespace berth::cli::options {
namespace {

template <class Number>
bool parse_number(std::string_view text, Number& number) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

/// Some of r, w, m, each at most once.
bool is_device_mode(std::string_view mode) {
  if (mode.empty() || mode.find_first_not_of("rwm") != std::string_view::npos) return false;
  for (char c : {'r', 'w', 'm'}) {
    if (std::count(mode.begin(), mode.end(), c) > 1) return false;
  }
  return true;
}

Result<int64_t> parse_gpu_count(std::string_view text) {
  if (text == "all") return -1;
  int64_t count = 0;
  if (!parse_number(text, count)) {
    return failure(Kind::InvalidArgument,
                   "invalid count ({}): value must be either \"all\" or an integer: invalid syntax", text);
  }
  return count;
}

struct PathAndRate {
  std::string path;
  std::string rate;
};

/// "/dev/sda:1mb": the path must be one of a device.
Result<PathAndRate> split_rate(std::string_view value) {
  size_t colon = value.find(':');
  std::string path(value.substr(0, colon));
  if (colon == std::string_view::npos || path.empty()) {
    return failure(Kind::InvalidArgument, "bad format: {}", value);
  }
  if (!path.starts_with("/dev/"))
    return failure(Kind::InvalidArgument, "bad format for device path: {}", value);
  return PathAndRate{path, std::string(value.substr(colon + 1))};
}

template <auto parse>
Result<std::string> check_by(std::string_view value) {
  CHECK(parse(value));
  return std::string(value);
}

constexpr std::array limit_names{"core",    "cpu",      "data",   "fsize",      "locks",
                                 "memlock", "msgqueue", "nice",   "nofile",     "nproc",
                                 "rss",     "rtprio",   "rttime", "sigpending", "stack"};

}  // namespace

Result<Json> parse_device(std::string_view value) {
  auto bad = [&] { return failure(Kind::InvalidArgument, "bad format for path: {}", value); };
  auto parts = split(value, ':');
  if (parts.size() > 3 || parts[0].empty()) return bad();
  std::string inside = parts[0];
  std::string mode = "rwm";
  if (parts.size() == 2 && is_device_mode(parts[1])) {
    mode = parts[1];
  } else if (parts.size() >= 2) {
    inside = parts[1];
  }
  if (parts.size() == 3) {
    mode = parts[2];
    if (!is_device_mode(mode)) return failure(Kind::InvalidArgument, "bad mode specified: {}", mode);
  }
  if (!inside.starts_with('/')) return failure(Kind::InvalidArgument, "{} is not an absolute path", inside);
  inside = spec::clean_path(inside);
  std::string host = parts.size() == 1 || inside == parts[0] ? inside : parts[0];
  return Json{{"PathOnHost", host}, {"PathInContainer", inside}, {"CgroupPermissions", mode}};
}

Result<Json> parse_gpus(std::string_view value) {
  TRY(auto fields, split_csv(value));
  Json request{{"Driver", ""}, {"Count", 0}, {"Capabilities", Json::array({Json::array({"gpu"})})}};
  request["Options"] = Json::object();
  request["DeviceIDs"] = nullptr;
  std::vector<std::string> seen;
  for (const std::string& field : fields) {
    size_t equals = field.find('=');
    std::string key = field.substr(0, equals);
    std::string text = equals == std::string::npos ? "" : field.substr(equals + 1);
    if (std::find(seen.begin(), seen.end(), key) != seen.end()) {
      return failure(Kind::InvalidArgument, "gpu request key '{}' can be specified only once", key);
    }
    seen.push_back(key);
    if (equals == std::string::npos || key == "count") {
      TRY(int64_t count, parse_gpu_count(equals == std::string::npos ? key : text));
      request["Count"] = count;
      seen.push_back("count");
    } else if (key == "driver") {
      request["Driver"] = text;
    } else if (key == "device") {
      request["DeviceIDs"] = split(text, ',');
    } else if (key == "capabilities") {
      auto names = split(text, ',');
      names.push_back("gpu");
      request["Capabilities"] = Json::array({names});
    } else if (key == "options") {
      TRY(auto options, split_csv(text));
      request["Options"] = to_map(options);
    } else {
      return failure(Kind::InvalidArgument, "unexpected key '{}' in '{}'", key, field);
    }
  }
  bool counted = std::find(seen.begin(), seen.end(), "count") != seen.end();
  if (!counted && request["DeviceIDs"].is_null()) request["Count"] = 1;
  return request;
}

Result<Json> parse_ulimit(std::string_view value) {
  auto bad = [&] { return failure(Kind::InvalidArgument, "invalid ulimit argument: {}", value); };
  size_t equals = value.find('=');
  if (equals == std::string_view::npos) return bad();
  std::string name(value.substr(0, equals));
  if (std::find(limit_names.begin(), limit_names.end(), name) == limit_names.end()) {
    return failure(Kind::InvalidArgument, "invalid ulimit type: {}", name);
  }
  auto limits = split(value.substr(equals + 1), ':');
  if (limits.size() > 2) {
    return failure(Kind::InvalidArgument,
                   "too many limit value arguments - {}, can only have up to two, `soft[:hard]`",
                   value.substr(equals + 1));
  }
  int64_t soft = 0;
  if (!parse_number(limits[0], soft)) {
    return failure(Kind::InvalidArgument, "strconv.ParseInt: parsing \"{}\": invalid syntax", limits[0]);
  }
  int64_t hard = soft;
  if (limits.size() == 2 && !parse_number(limits[1], hard)) {
    return failure(Kind::InvalidArgument, "strconv.ParseInt: parsing \"{}\": invalid syntax", limits[1]);
  }
  if (hard != -1 && (soft == -1 || soft > hard)) {
    return failure(Kind::InvalidArgument,
                   "ulimit soft limit must be less than or equal to hard limit: {} > {}", soft, hard);
  }
  return Json{{"Name", name}, {"Soft", soft}, {"Hard", hard}};
}

Result<Json> parse_weight_device(std::string_view value) {
  TRY(PathAndRate parts, split_rate(value));
  uint16_t weight = 0;
  if (!parse_number(parts.rate, weight) || (weight != 0 && (weight < 10 || weight > 1000))) {
    return failure(Kind::InvalidArgument, "invalid weight for device: {}", value);
  }
  return Json{{"Path", parts.path}, {"Weight", weight}};
}

Result<Json> parse_throttle_bytes(std::string_view value) {
  TRY(PathAndRate parts, split_rate(value));
  auto rate = parse_bytes(parts.rate);
  if (!rate) {
    return failure(
        Kind::InvalidArgument,
        "invalid rate for device: {}. The correct format is <device-path>:<number>[<unit>]. Number must be a "
        "positive integer. Unit is optional and can be kb, mb, or gb",
        value);
  }
  return Json{{"Path", parts.path}, {"Rate", *rate}};
}

Result<Json> parse_throttle_operations(std::string_view value) {
  TRY(PathAndRate parts, split_rate(value));
  uint64_t rate = 0;
  if (!parse_number(parts.rate, rate)) {
    return failure(
        Kind::InvalidArgument,
        "invalid rate for device: {}. The correct format is <device-path>:<number>. Number must be a "
        "positive integer",
        value);
  }
  return Json{{"Path", parts.path}, {"Rate", rate}};
}

Result<std::string> check_gpus(std::string_view value) {
  return check_by<parse_gpus>(value);
}
Result<std::string> check_ulimit(std::string_view value) {
  return check_by<parse_ulimit>(value);
}
Result<std::string> check_weight_device(std::string_view value) {
  return check_by<parse_weight_device>(value);
}
Result<std::string> check_throttle_bytes(std::string_view value) {
  return check_by<parse_throttle_bytes>(value);
}
Result<std::string> check_throttle_operations(std::string_view value) {
  return check_by<parse_throttle_operations>(value);
}

Result<std::string> check_device_cgroup_rule(std::string_view value) {
  auto bad = [&] { return failure(Kind::InvalidArgument, "invalid device cgroup format '{}'", value); };
  auto parts = split(value, ' ');
  if (parts.size() != 3 || parts[0].size() != 1 ||
      std::string_view("acb").find(parts[0]) == std::string_view::npos) {
    return bad();
  }
  size_t colon = parts[1].find(':');
  if (colon == std::string::npos) return bad();
  for (const std::string& number : {parts[1].substr(0, colon), parts[1].substr(colon + 1)}) {
    uint32_t parsed = 0;
    if (number != "*" && !parse_number(number, parsed)) return bad();
  }
  if (parts[2].empty() || parts[2].size() > 3 || parts[2].find_first_not_of("rwm") != std::string::npos)
    return bad();
  return std::string(value);
}

Result<std::string> check_sysctl(std::string_view value) {
  constexpr std::array known{"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
                             "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"};
  size_t equals = value.find('=');
  std::string_view name = value.substr(0, equals);
  bool allowed = name.starts_with("net.") || name.starts_with("fs.mqueue.") ||
                 std::find(known.begin(), known.end(), name) != known.end();
  if (equals == std::string_view::npos || name.empty() || !allowed) {
    return failure(Kind::InvalidArgument, "sysctl '{}' is not allowed", value);
  }
  return std::string(value);
}

Result<std::string> check_stream(std::string_view value) {
  std::string name(value);
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (name == "stdin" || name == "stdout" || name == "stderr") return name;
  return failure(Kind::InvalidArgument, "valid streams are STDIN, STDOUT and STDERR");
}

}  // namespace berth::cli::options
