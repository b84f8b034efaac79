// Records of checkpoints.
#include "engine/checkpoint_record.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>

#include "base/format.h"
#include "base/json.h"
#include "engine/paths.h"
#include "sys/file.h"

namespace berth::engine {
namespace {

constexpr char kName[] = "checkpoint.json";
constexpr size_t kMaxSize = 256 << 10;
constexpr size_t kMaxDirectory = 4000;

}  // namespace

Result<void> check_checkpoint_name(const std::string& name) {
  auto legal = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.'; };
  bool fits = name.size() >= 2 && name.size() <= 128 &&
              std::isalnum(static_cast<unsigned char>(name.front())) != 0 && std::ranges::all_of(name, legal);
  if (fits) return {};
  return failure(Kind::InvalidArgument,
                 "Invalid checkpoint ID ({}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed, 2 to 128 of them",
                 name.substr(0, 128));
}

Result<std::string> checkpoints_of(const Core& core, const ContainerRecord& record,
                                   const std::string& directory) {
  if (directory.empty()) return core.container_dir(record.id) + "/checkpoints";
  bool fits = is_absolute(directory) && directory.size() <= kMaxDirectory &&
              directory.find('\0') == std::string::npos;
  if (!fits)
    return failure(Kind::InvalidArgument, "checkpoint directory \"{}\": it must be an absolute path",
                   directory.substr(0, 128));
  return fmt::format("{}/{}/checkpoints", clean_path(directory), record.id);
}

bool is_checkpoint(const std::string& path) {
  struct stat status {};
  return ::lstat((path + "/" + kName).c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

Result<void> write_checkpoint_record(int directory, const CheckpointRecord& record) {
  constexpr const char* kNew = "checkpoint.json.new";
  Json networks = Json::object();
  for (const auto& [name, addresses] : record.networks)
    networks[name] = {{"IPv4", addresses.ipv4}, {"IPv6", addresses.ipv6}};
  Json json{{"Container", record.container},
            {"Created", to_rfc3339(record.created)},
            {"Networks", std::move(networks)}};
  if (::unlinkat(directory, kNew, 0) != 0 && errno != ENOENT)
    return Error::from_errno("replace", kNew, errno);
  sys::UniqueFd file(::openat(directory, kNew, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return Error::from_errno("make", kNew, errno);
  CHECK(sys::write_all(file.get(), to_json(json)));
  if (::renameat(directory, kNew, directory, kName) != 0) return Error::from_errno("rename", kNew, errno);
  return {};
}

Result<CheckpointRecord> read_checkpoint_record(int directory) {
  sys::UniqueFd file(::openat(directory, kName, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0) return Error::from_errno("open", kName, errno);
  if (!S_ISREG(status.st_mode)) return failure(Kind::Corrupt, "{} is no file", kName);
  TRY(std::string text, sys::read_fd(file.get(), kMaxSize));
  return parse_checkpoint_record(text);
}

Result<CheckpointRecord> parse_checkpoint_record(std::string_view text) {
  auto read = [&]() -> Result<CheckpointRecord> {
    TRY(Json json, parse_json(text, {.max_bytes = kMaxSize, .max_depth = 4}));
    if (!json.is_object()) return failure(Kind::InvalidArgument, "it is no object");
    CheckpointRecord record;
    TRY(record.container, json_string(json, "Container"));
    TRY(std::string created, json_string(json, "Created"));
    TRY(record.created, parse_rfc3339(created));
    const Json* networks = json_member(json, "Networks");
    if (networks == nullptr) return record;
    if (!networks->is_object()) return failure(Kind::InvalidArgument, "Networks is no object");
    for (const auto& [name, addresses] : networks->items()) {
      if (!addresses.is_object()) return failure(Kind::InvalidArgument, "a network is no object");
      FormerAddresses& own = record.networks[name];
      TRY(own.ipv4, json_string(addresses, "IPv4"));
      TRY(own.ipv6, json_string(addresses, "IPv6"));
    }
    return record;
  };
  auto record = read();
  if (!record) return failure(Kind::Corrupt, "{}: {}", kName, record.error().message());
  return record;
}

}  // namespace berth::engine
