// Reading subordinate ids and id maps.
#include "sys/sub_ids.h"

#include <algorithm>
#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <optional>

#include "base/format.h"
#include "sys/file.h"

namespace berth::sys {
namespace {

constexpr size_t kMaxSubIdFile = size_t{4} << 20;
constexpr size_t kMaxMapLines = 340;  ///< UID_GID_MAP_MAX_EXTENTS since Linux 4.15
constexpr uint32_t kAllIds = UINT32_MAX;

std::optional<uint32_t> number(std::string_view text) {
  uint32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::vector<IdRange> parse_sub_ids(std::string_view text, std::string_view name, uid_t uid) {
  std::string id = std::to_string(uid);
  std::vector<IdRange> ranges;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    size_t first_colon = line.find(':');
    size_t second_colon = first_colon == line.npos ? line.npos : line.find(':', first_colon + 1);
    if (second_colon == line.npos) continue;
    std::string_view owner = line.substr(0, first_colon);
    if (owner != id && (name.empty() || owner != name)) continue;
    auto first = number(line.substr(first_colon + 1, second_colon - first_colon - 1));
    auto count = number(line.substr(second_colon + 1));
    if (!first || !count || *count == 0 || *first == 0 || *count > kAllIds - *first) continue;
    ranges.push_back({*first, *count});
  }
  return ranges;
}

std::vector<IdRange> read_sub_ids(const std::string& path, std::string_view name, uid_t uid) {
  auto text = read_file(path, kMaxSubIdFile);
  return text ? parse_sub_ids(*text, name, uid) : std::vector<IdRange>();
}

std::string id_map_of_user(uint32_t own, const std::vector<IdRange>& ranges) {
  std::string map = fmt::format("0 {} 1\n", own);
  uint32_t next = 1;
  size_t lines = 1;
  for (const IdRange& range : ranges) {
    if (++lines > kMaxMapLines) break;
    uint32_t count = std::min(range.count, kAllIds - next);
    map += fmt::format("{} {} {}\n", next, range.first, count);
    next += count;
  }
  return map;
}

uint32_t mapped_ids(const char* map_file) {
  auto text = read_file(map_file, 64 << 10);
  if (!text) return kAllIds;
  uint32_t next = 0;
  std::string_view rest = *text;
  while (!rest.empty()) {
    std::string line(rest.substr(0, rest.find('\n')));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    uint32_t inside = 0, outside = 0, count = 0;
    if (std::sscanf(line.c_str(), "%" SCNu32 " %" SCNu32 " %" SCNu32, &inside, &outside, &count) != 3) break;
    if (inside != next) break;
    next += count;
  }
  return next;
}

namespace {

bool look_at_own_map() {
  auto text = read_file("/proc/self/uid_map", 64 << 10);
  uint32_t inside = 1, outside = 1, count = 0;
  return !text ||
         (std::sscanf(text->c_str(), "%" SCNu32 " %" SCNu32 " %" SCNu32, &inside, &outside, &count) == 3 &&
          inside == 0 && outside == 0 && count == kAllIds);
}

}  // namespace

bool in_initial_user_namespace() {
  static const bool initial = look_at_own_map();
  return initial;
}

}  // namespace berth::sys
