// Keeping secrets and handing them out.
#include "engine/secrets.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>

#include "base/format.h"
#include "engine/lifecycle.h"
#include "sys/file.h"
#include "sys/shared_memory.h"

namespace berth::engine {
namespace {

/// docker's bound of a swarm secret.
constexpr size_t largest_secret = size_t{500} << 10;
constexpr size_t most_secrets = 256;

std::string store_of(const Core& core, const std::string& container_id) {
  return core.container_dir(container_id) + "/secrets";
}

Result<void> check_secret(const Secret& secret) {
  auto fits = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.'; };
  bool named = !secret.id.empty() && secret.id.size() <= 128 && secret.id.front() != '.' &&
               std::all_of(secret.id.begin(), secret.id.end(), fits);
  if (!named) {
    return failure(
        Kind::InvalidArgument,
        "invalid secret id \"{}\": letters, digits, '_', '-' and '.', and it becomes a file's name",
        secret.id.substr(0, 128));
  }
  if (secret.content.size() > largest_secret)
    return failure(Kind::InvalidArgument, "secret \"{}\" is longer than {} bytes", secret.id, largest_secret);
  if ((secret.mode & ~0777u) != 0)
    return failure(Kind::InvalidArgument, "secret \"{}\": its mode has bits beyond 0777", secret.id);
  return {};
}

/// A file with content, owner and mode that nobody could read before it has them.
Result<void> write_secret(const std::string& path, std::string_view content, uid_t uid, gid_t gid,
                          mode_t mode) {
  ::unlink(path.c_str());
  TRY(auto file, sys::open_file(path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600));
  CHECK(sys::write_all(file.get(), content));
  if (::fchown(file.get(), uid, gid) != 0) return Error::from_errno("chown", path, errno);
  if (::fchmod(file.get(), mode) != 0) return Error::from_errno("chmod", path, errno);
  return {};
}

Result<void> keep(const std::string& store, const Secret& secret) {
  CHECK(sys::make_dirs(store, 0700));
  TRY(auto entries, sys::list_dir(store));
  if (entries.size() >= most_secrets)
    return failure(Kind::Exhausted, "a container has {} secrets at most", most_secrets);
  return write_secret(store + "/" + secret.id, secret.content, secret.uid, secret.gid, secret.mode);
}

}  // namespace

bool has_secrets(const Core& core, const std::string& container_id) {
  return ::access(store_of(core, container_id).c_str(), F_OK) == 0;
}

std::string secrets_mount(const std::string& exec_dir) {
  return exec_dir + "/secrets";
}

Result<std::string> prepare_secrets(Core& core, const std::string& container_id) {
  std::string store = store_of(core, container_id);
  std::string folder = secrets_mount(core.exec_dir(container_id));
  CHECK(sys::mount_private_memory(folder, static_cast<int64_t>(largest_secret * most_secrets)));
  TRY(auto entries, sys::list_dir(store));
  for (const sys::DirEntry& entry : entries) {
    std::string path = store + "/" + entry.name;
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) return Error::from_errno("stat", path, errno);
    TRY(std::string content, sys::read_file(path, largest_secret));
    CHECK(write_secret(folder + "/" + entry.name, content, status.st_uid, status.st_gid,
                       status.st_mode & 0777));
  }
  return folder;
}

io::Task<Result<void>> Containers::set_secret(std::string reference, Secret secret) {
  CO_CHECK(check_secret(secret));
  CO_TRY(ContainerHandle container, core_.containers.find(reference));
  io::Mutex::Guard guard = co_await container->operation.lock();
  if (container->removed) co_return failure(Kind::NotFound, "No such container: {}", reference);
  if (is_alive(container->record.state.status)) {
    co_return failure(Kind::WrongState, "container {} runs: secrets are given before its start", reference);
  }
  co_return keep(store_of(core_, container->record.id), secret);
}

}  // namespace berth::engine
