#include "engine/container_users.h"

#include <charconv>
#include <optional>
#include <string_view>
#include <vector>

#include "base/format.h"
#include "sys/file.h"

namespace berth::engine {
namespace {

std::optional<uint32_t> number_of(std::string_view text) {
  uint32_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// The fields of one line of the container's passwd or group file, which is data from inside: bounded.
/// `field` must be `value`; nothing when there is no such line.
std::vector<std::string> account_line(const sys::RootDir& root, const char* path, size_t field,
                                      std::string_view value) {
  auto file = root.open(path, 0);
  if (!file) return {};
  auto text = sys::read_fd(file->get(), size_t{4} << 20);
  if (!text) return {};
  std::string_view rest = *text;
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    std::vector<std::string> fields(1);
    for (const char c : line) {
      if (c == ':') {
        fields.emplace_back();
      } else {
        fields.back().push_back(c);
      }
    }
    if (fields.size() > 2 && fields[field] == value) return fields;
  }
  return {};
}

bool is_number_or_empty(std::string_view text) {
  return text.empty() || number_of(text).has_value();
}

}  // namespace

bool has_names(std::string_view user) {
  const size_t colon = user.find(':');
  return !is_number_or_empty(user.substr(0, colon)) ||
         (colon != user.npos && !is_number_or_empty(user.substr(colon + 1)));
}

Result<storage::FixedOwner> owner_of_user(const sys::RootDir& root, const std::string& text) {
  const size_t colon = text.find(':');
  const std::string user = text.substr(0, colon);
  const std::string group = colon == text.npos ? std::string() : text.substr(colon + 1);
  storage::FixedOwner owner;
  if (!user.empty()) {
    const auto number = number_of(user);
    const auto line = account_line(root, "/etc/passwd", number ? 2 : 0, user);
    if (line.empty() && !number)
      return failure(Kind::InvalidArgument, "unable to find user {}: no matching entries in passwd file",
                     user);
    owner.uid = number ? *number : number_of(line[2]).value_or(0);
    if (line.size() > 3) owner.gid = number_of(line[3]).value_or(0);
  }
  if (group.empty()) return owner;
  if (const auto number = number_of(group)) {
    owner.gid = *number;
    return owner;
  }
  const auto line = account_line(root, "/etc/group", 0, group);
  if (line.empty())
    return failure(Kind::InvalidArgument, "unable to find group {}: no matching entries in group file",
                   group);
  owner.gid = number_of(line[2]).value_or(0);
  return owner;
}

}  // namespace berth::engine
