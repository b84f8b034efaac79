// Looking up who is meant, and what he may map.
#include "engine/user_remap.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>

#include "base/format.h"
#include "sys/file.h"

namespace berth::engine {
namespace {

/// Where nobody has ranges by convention (systemd's UIDS-GIDS.md: unused), for hosts whose /etc/subuid names
/// neither "berth" nor "containers".
constexpr sys::IdRange kDefaultRange{0x70000000, 0x0fff0000};
constexpr uint32_t kDefaultSize = 65536;
constexpr std::string_view kDockersUser = "dockremap";
constexpr size_t kMaxAccounts = size_t{4} << 20;

std::optional<uint32_t> number(std::string_view text) {
  uint32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

struct Account {
  std::string name;  ///< empty: the files know the number alone
  uint32_t id = UINT32_MAX;
};

/// A line of /etc/passwd or /etc/group by its name or its number.
std::optional<Account> find_account(const char* file, std::string_view wanted) {
  auto text = sys::read_file(file, kMaxAccounts);
  if (!text) return std::nullopt;
  auto id = number(wanted);
  std::string_view rest = *text;
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    size_t first = line.find(':');
    size_t second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos) continue;
    std::string_view field = line.substr(second + 1);
    auto own = number(field.substr(0, field.find(':')));
    std::string_view name = line.substr(0, first);
    if (own && (id ? *own == *id : name == wanted)) return Account{std::string(name), *own};
  }
  return std::nullopt;
}

Result<std::vector<sys::IdRange>> ranges_of(const char* file, const Account& account) {
  auto ranges = sys::read_sub_ids(file, account.name, account.id);
  if (!ranges.empty()) return ranges;
  return failure(Kind::NotFound,
                 "no ranges of subordinate ids found for {} in {}: give it one, such as \"{}:100000:65536\"",
                 account.name.empty() ? std::to_string(account.id) : account.name, file,
                 account.name.empty() ? std::to_string(account.id) : account.name);
}

UserRemap default_remap() {
  UserRemap remap{.uids = sys::read_sub_ids("/etc/subuid", kDockersUser, UINT32_MAX),
                  .gids = sys::read_sub_ids("/etc/subgid", kDockersUser, UINT32_MAX)};
  if (!remap.uids.empty() && !remap.gids.empty()) return remap;
  auto first_of = [](const char* file) {
    sys::IdRange range = reserved_ranges(file).front();
    return sys::IdRange{range.first, std::min(range.count, kDefaultSize)};
  };
  return {.uids = {first_of("/etc/subuid")}, .gids = {first_of("/etc/subgid")}};
}

}  // namespace

std::vector<sys::IdRange> reserved_ranges(const char* file) {
  for (const char* name : {"berth", "containers"}) {
    auto ranges = sys::read_sub_ids(file, name, UINT32_MAX);
    if (!ranges.empty()) return ranges;
  }
  return {kDefaultRange};
}

Result<UserRemap> find_user_remap(std::string_view text) {
  if (text.empty()) return UserRemap{};
  if (text == "default") return default_remap();
  size_t colon = text.find(':');
  std::string_view user = text.substr(0, colon);
  auto account = find_account("/etc/passwd", user);
  if (!account) return failure(Kind::NotFound, "userns-remap: no user \"{}\" in /etc/passwd", user);
  // subgid(5) has the users' names, as docker takes it; a group of its own where one is named.
  Account group = *account;
  if (colon != text.npos) {
    auto found = find_account("/etc/group", text.substr(colon + 1));
    if (!found)
      return failure(Kind::NotFound, "userns-remap: no group \"{}\" in /etc/group", text.substr(colon + 1));
    group = *found;
  }
  UserRemap remap;
  TRY(remap.uids, ranges_of("/etc/subuid", *account));
  TRY(remap.gids, ranges_of("/etc/subgid", group));
  return remap;
}

}  // namespace berth::engine
