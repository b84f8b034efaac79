// Descriptors that outlive a checkpoint.
#include "launch/stdio_record.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/format.h"
#include "base/json.h"
#include "sys/fd.h"
#include "sys/file.h"

namespace berth::launch {
namespace {

constexpr char kName[] = "descriptors.json";
constexpr size_t kMaxSize = 64 << 10;
constexpr size_t kMost = 3;

std::string describe(int fd) {
  struct statx status {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, &status) != 0) return {};
  if (S_ISFIFO(status.stx_mode)) return fmt::format("pipe:[{}]", status.stx_ino);
  // Terminals are criu's --shell-job.
  bool lies_somewhere = S_ISREG(status.stx_mode) || (S_ISCHR(status.stx_mode) && ::isatty(fd) != 1);
  if (!lies_somewhere || (status.stx_mask & STATX_MNT_ID) == 0) return {};
  return fmt::format("file[{:x}:{:x}]", status.stx_mnt_id, status.stx_ino);
}

}  // namespace

std::vector<std::string> describe_stdio() {
  std::vector<std::string> all;
  for (int fd = 0; fd < static_cast<int>(kMost); ++fd) all.push_back(describe(fd));
  return all;
}

bool is_outside_file(std::string_view description) {
  return description.starts_with("file[") && description.ends_with(']');
}

bool can_be_given(std::string_view description) {
  return is_outside_file(description) || (description.starts_with("pipe:[") && description.ends_with(']'));
}

Result<void> write_descriptors(int directory, const std::vector<std::string>& stdio) {
  if (::unlinkat(directory, kName, 0) != 0 && errno != ENOENT)
    return Error::from_errno("replace", kName, errno);
  sys::UniqueFd file(::openat(directory, kName, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return Error::from_errno("make", kName, errno);
  return sys::write_all(file.get(), to_json(Json(stdio)));
}

Result<std::vector<std::string>> read_descriptors(int directory) {
  sys::UniqueFd file(::openat(directory, kName, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file && errno == ENOENT)
    return failure(Kind::NotFound, "there is no {} among the images: they are no checkpoint of a container",
                   kName);
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0) return Error::from_errno("open", kName, errno);
  if (!S_ISREG(status.st_mode)) return failure(Kind::InvalidArgument, "{} is no file", kName);
  TRY(std::string text, sys::read_fd(file.get(), kMaxSize));
  return parse_descriptors(text);
}

Result<std::vector<std::string>> parse_descriptors(std::string_view text) {
  TRY(Json json, parse_json(text, {.max_bytes = kMaxSize, .max_depth = 4}));
  if (json.is_null()) return std::vector<std::string>();
  if (!json.is_array()) return failure(Kind::InvalidArgument, "{} is no list", kName);
  std::vector<std::string> all;
  for (const auto& each : json) {
    if (!each.is_string()) return failure(Kind::InvalidArgument, "{} holds something that is no text", kName);
    if (all.size() == kMost)
      return failure(Kind::InvalidArgument, "{} has more than {} entries", kName, kMost);
    all.push_back(each.get<std::string>());
  }
  return all;
}

}  // namespace berth::launch
