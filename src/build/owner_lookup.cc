// Reading passwd and group.
#include "build/owner_lookup.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <optional>

#include "base/format.h"
#include "sys/file.h"

namespace berth::build {
namespace {

std::optional<uint32_t> parse_id(std::string_view text) {
  if (text.empty() || text.size() > 10) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  // The highest id means "none" to chown(2).
  if (value >= UINT32_MAX) return std::nullopt;
  return static_cast<uint32_t>(value);
}

/// Empty when the image has no such file.
Result<std::string> read_account_file(const sys::RootDir& root, const char* path) {
  constexpr size_t max_bytes = 8u << 20;
  auto fd = root.open(path, O_RDONLY | O_NONBLOCK);
  if (!fd && fd.error().kind() == Kind::NotFound) return std::string();
  if (!fd) return std::move(fd).error();
  struct stat status {};
  if (::fstat(fd->get(), &status) < 0 || !S_ISREG(status.st_mode)) {
    return failure(Kind::InvalidArgument, "the image's {} is no regular file", path);
  }
  return sys::read_fd(fd->get(), max_bytes);
}

/// "name:x:1000:100:..." -> fields of the line that begins with `name`.
struct AccountLine {
  std::string_view third;
  std::string_view fourth;
};
std::optional<AccountLine> find_account(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.starts_with(name) || line.size() <= name.size() || line[name.size()] != ':') continue;
    const auto next_field = [&line] {
      const size_t colon = std::min(line.find(':'), line.size());
      const std::string_view field = line.substr(0, colon);
      line.remove_prefix(std::min(colon + 1, line.size()));
      return field;
    };
    next_field();
    next_field();
    const std::string_view third = next_field();
    return AccountLine{third, next_field()};
  }
  return std::nullopt;
}

Result<OwnerIds> resolve_user(const sys::RootDir& root, const std::string& user) {
  if (user.empty()) return OwnerIds{};
  if (const auto number = parse_id(user)) return OwnerIds{*number, *number};
  TRY(const auto text, read_account_file(root, "/etc/passwd"));
  const auto line = find_account(text, user);
  const auto uid = line ? parse_id(line->third) : std::nullopt;
  const auto gid = line ? parse_id(line->fourth) : std::nullopt;
  if (!uid || !gid) {
    return failure(Kind::InvalidArgument, "unable to find user {}: no matching entries in passwd file", user);
  }
  return OwnerIds{*uid, *gid};
}

}  // namespace

Result<OwnerIds> resolve_owner(const sys::RootDir& root, const Owner& owner) {
  TRY(auto ids, resolve_user(root, owner.user));
  if (owner.group.empty()) return ids;
  if (const auto number = parse_id(owner.group)) {
    ids.gid = *number;
    return ids;
  }
  TRY(const auto text, read_account_file(root, "/etc/group"));
  const auto line = find_account(text, owner.group);
  const auto gid = line ? parse_id(line->third) : std::nullopt;
  if (!gid) {
    return failure(Kind::InvalidArgument, "unable to find group {}: no matching entries in group file",
                   owner.group);
  }
  ids.gid = *gid;
  return ids;
}

}  // namespace berth::build
