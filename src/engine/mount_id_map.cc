// Mapped owners of single mounts.
#include "engine/mount_id_map.h"

#include <algorithm>
#include <charconv>

#include "base/format.h"
#include "launch/namespaces.h"
#include "sys/file.h"
#include "sys/mapped_tree.h"
#include "sys/placed_mounts.h"

namespace berth::engine {
namespace {

constexpr std::string_view option_name = "idmap";
constexpr size_t max_ranges = 340;  // of a user namespace (user_namespaces(7))
constexpr uint32_t all_ids = UINT32_MAX;

Error invalid(std::string_view word, std::string_view why) {
  return failure(Kind::InvalidArgument,
                 "invalid option \"{}\": {}; ranges are DISK-INSIDE-LENGTH, as in "
                 "\"idmap=uids=1000-0-1;gids=1000-0-1\"",
                 word.substr(0, 100), why);
}

std::string_view cut(std::string_view& text, char separator) {
  size_t at = text.find(separator);
  std::string_view part = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view() : text.substr(at + 1);
  return part;
}

std::optional<uint32_t> number(std::string_view text) {
  uint32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool overlap(uint32_t a, uint32_t a_size, uint32_t b, uint32_t b_size) {
  return a < uint64_t{b} + b_size && b < uint64_t{a} + a_size;
}

Result<IdRange> parse_range(std::string_view text, std::string_view word) {
  IdRange range;
  std::string_view rest = text;
  std::string_view disk = cut(rest, '-');
  std::string_view inside = cut(rest, '-');
  // podman writes the mark before the whole range as well.
  for (std::string_view* part : {&disk, &inside}) {
    if (!part->starts_with('@')) continue;
    range.relative = true;
    part->remove_prefix(1);
  }
  auto from = number(disk), to = number(inside), size = number(rest);
  if (!from || !to || !size || *size == 0) return invalid(word, fmt::format("\"{}\" is no range", text));
  if (uint64_t{*from} + *size > all_ids || uint64_t{*to} + *size > all_ids)
    return invalid(word, fmt::format("\"{}\" goes beyond the last id", text));
  range.disk = *from;
  range.inside = *to;
  range.size = *size;
  return range;
}

Result<std::vector<IdRange>> parse_ranges(std::string_view text, std::string_view word) {
  std::vector<IdRange> ranges;
  do {
    TRY(IdRange range, parse_range(cut(text, '#'), word));
    for (const IdRange& other : ranges) {
      if (overlap(range.disk, range.size, other.disk, other.size) ||
          (range.relative == other.relative && overlap(range.inside, range.size, other.inside, other.size)))
        return invalid(word, "its ranges overlap");
    }
    if (ranges.size() == max_ranges) return invalid(word, "too many ranges");
    ranges.push_back(range);
  } while (!text.empty());
  return ranges;
}

/// For a user namespace whose maps say: on the disk, inside.
std::vector<spec::IdMapping> mappings(const std::vector<IdRange>& ranges,
                                      const std::vector<spec::IdMapping>& container) {
  if (ranges.empty()) return {{.container_id = 0, .host_id = 0, .size = all_ids}};
  std::vector<spec::IdMapping> result;
  for (const IdRange& range : ranges) {
    uint32_t outside = range.relative ? outside_id(container, range.inside) : range.inside;
    result.push_back({.container_id = range.disk, .host_id = outside, .size = range.size});
  }
  return result;
}

}  // namespace

bool is_id_map_option(std::string_view word) {
  return word == option_name || word.starts_with("idmap=");
}

Result<MountIdMap> parse_id_map_option(std::string_view word) {
  MountIdMap map;
  if (word == option_name) return map;
  std::string_view rest = word.substr(option_name.size() + 1);
  if (rest.ends_with(';') || rest.ends_with('#')) return invalid(word, "it ends with a separator");
  do {
    std::string_view part = cut(rest, ';');
    bool users = part.starts_with("uids="), groups = part.starts_with("gids=");
    if (!users && !groups) return invalid(word, "expected uids= or gids=");
    auto& ranges = users ? map.uids : map.gids;
    if (!ranges.empty()) return invalid(word, "one of them is there twice");
    TRY(ranges, parse_ranges(part.substr(5), word));
  } while (!rest.empty());
  return map;
}

Result<std::optional<MountIdMap>> id_map_of_mode(std::string_view mode) {
  std::optional<MountIdMap> found;
  while (!mode.empty()) {
    std::string_view word = cut(mode, ',');
    if (!is_id_map_option(word)) continue;
    if (found) return invalid(word, "it is there twice");
    TRY(found, parse_id_map_option(word));
  }
  return found;
}

Result<void> check_id_map(const MountIdMap& map, std::string_view userns_mode, std::string_view destination) {
  bool has_namespace = !userns_mode.empty() && userns_mode != "host";
  if (!map.is_containers_own() || has_namespace) return {};
  return failure(
      Kind::InvalidArgument,
      "{}: \"idmap\" alone takes the maps of the container's user namespace, and it has none: run it with "
      "--userns auto, or name ids, as in \"idmap=uids=1000-0-1;gids=1000-0-1\"",
      destination);
}

bool has_id_maps(const std::vector<MountPoint>& mounts) {
  return std::ranges::any_of(mounts, [](const MountPoint& point) {
    auto map = id_map_of_mode(point.mode);
    return map && map->has_value();
  });
}

Result<void> place_id_mapped_mounts(const std::string& exec_dir, const std::vector<MountPoint>& mounts,
                                    const UserMaps& container, std::vector<spec::Mount>& planned) {
  size_t count = 0;
  for (const MountPoint& point : mounts) {
    TRY(auto map, id_map_of_mode(point.mode));
    if (!map) continue;
    auto mount = std::ranges::find_if(planned, [&](const spec::Mount& each) {
      return each.type == "bind" && each.destination == point.destination;
    });
    if (mount == planned.end()) continue;
    bool own = map->is_containers_own();
    std::string uids = launch::id_map_text(own ? container.uids : mappings(map->uids, container.uids));
    std::string gids = launch::id_map_text(own ? container.gids : mappings(map->gids, container.gids));
    TRY(auto users, sys::make_user_namespace(uids, gids));
    std::string place = fmt::format("{}/mapped{}", exec_dir, count++);
    CHECK(sys::place_mapped_directory(mount->source, users.get(), place));
    mount->source = place;
  }
  return {};
}

}  // namespace berth::engine
