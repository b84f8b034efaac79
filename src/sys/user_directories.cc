// XDG directories, and the checks that keep others out of them.
#include "sys/user_directories.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "base/format.h"
#include "sys/file.h"

namespace berth::sys {
namespace {

constexpr size_t kMaxPasswd = size_t{16} << 20;
constexpr size_t kPasswdFields = 7;

std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  while (true) {
    size_t colon = line.find(':');
    fields.push_back(line.substr(0, colon));
    if (colon == std::string_view::npos) return fields;
    line.remove_prefix(colon + 1);
  }
}

std::string absolute_variable(const char* name) {
  const char* value = ::getenv(name);
  return value != nullptr && value[0] == '/' ? std::string(value) : std::string();
}

/// A directory that is the user's alone; a link is none.
Result<void> check_private(const std::string& path, uid_t uid, mode_t forbidden) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return Error::from_errno("stat", path, errno);
  if (!S_ISDIR(status.st_mode)) return failure(Kind::Forbidden, "{} is not a directory", path);
  if (status.st_uid != uid)
    return failure(Kind::Forbidden,
                   "{} belongs to user {}, not to {}: set XDG_RUNTIME_DIR to a directory of your own", path,
                   status.st_uid, uid);
  if ((status.st_mode & forbidden) != 0)
    return failure(Kind::Forbidden, "{} is open to other users (mode {:o}): run \"chmod 700 {}\"", path,
                   status.st_mode & 07777, path);
  return {};
}

}  // namespace

Result<Account> find_account(uid_t uid) {
  TRY(std::string text, read_file("/etc/passwd", kMaxPasswd));
  std::string_view rest = text;
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    auto fields = fields_of(line);
    if (fields.size() < kPasswdFields) continue;
    uid_t id = 0;
    const char* end = fields[2].data() + fields[2].size();
    auto [stop, error] = std::from_chars(fields[2].data(), end, id);
    if (error != std::errc() || stop != end || id != uid) continue;
    return Account{.name = std::string(fields[0]), .home = std::string(fields[5])};
  }
  return failure(Kind::NotFound, "user {} is not in /etc/passwd", uid);
}

Result<std::string> user_runtime_directory(uid_t uid) {
  constexpr mode_t kWritableByOthers = 022;
  if (std::string given = absolute_variable("XDG_RUNTIME_DIR"); !given.empty()) {
    CHECK(check_private(given, uid, kWritableByOthers));
    return given + "/berth";
  }
  std::string common = fmt::format("/run/user/{}", uid);
  if (check_private(common, uid, kWritableByOthers)) return common + "/berth";
  std::string own = fmt::format("/tmp/berth-{}", uid);
  if (::mkdir(own.c_str(), 0700) != 0 && errno != EEXIST) return Error::from_errno("mkdir", own, errno);
  CHECK(check_private(own, uid, 077));
  return own;
}

Result<std::string> user_data_directory(uid_t uid) {
  if (std::string given = absolute_variable("XDG_DATA_HOME"); !given.empty()) return given + "/berth";
  std::string home = absolute_variable("HOME");
  if (home.empty()) {
    TRY(Account account, find_account(uid));
    home = account.home;
  }
  if (!home.starts_with('/') || home == "/")
    return failure(Kind::NotFound, "user {} has no home directory: set HOME or XDG_DATA_HOME", uid);
  return home + "/.local/share/berth";
}

}  // namespace berth::sys
