#include "functions/packages/package_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/format.h"
#include "base/id.h"
#include "base/rollback.h"
#include "functions/limits.h"
#include "sys/file.h"
#include "sys/root_dir.h"

namespace berth::functions {
namespace {

constexpr std::string_view staging_prefix = ".staging-";
constexpr size_t longest_link = 4096;

std::string base64_of(const Digest& digest) {
  auto raw = from_hex(digest.hex());
  return raw ? to_base64(*raw) : std::string();
}

/// The sandbox's user is not the owner, and archives made by programs often carry 0600: what the owner may
/// read or run, everyone may. Nobody may write, set-id bits do not exist.
uint32_t file_mode(uint32_t mode) {
  if (mode == 0) return 0644;
  uint32_t run = (mode & 0111) != 0 ? 0111 : 0;
  return 0444 | (mode & 0200) | run;
}

Result<void> write_entry(const ZipReader& zip, const ZipEntry& entry, const sys::RootDir& root) {
  size_t slash = entry.name.rfind('/');
  if (slash != std::string::npos) {
    CHECK(root.make_dirs(std::string_view(entry.name).substr(0, slash), 0755));
  }
  TRY(auto file, root.open(entry.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  storage::FdSink sink(file.get());
  CHECK(zip.extract(entry, sink));
  if (::fchmod(file.get(), file_mode(entry.mode)) != 0) return Error::from_errno("chmod", entry.name, errno);
  return {};
}

Result<void> write_link(const ZipReader& zip, const ZipEntry& entry, const sys::RootDir& root) {
  if (entry.size == 0 || entry.size > longest_link) {
    return failure(Kind::InvalidArgument, "the zip archive's link \"{}\" has no usable target", entry.name);
  }
  storage::StringSink target;
  CHECK(zip.extract(entry, target));
  if (target.text.find('\0') != std::string::npos) {
    return failure(Kind::InvalidArgument, "the zip archive's link \"{}\" has no usable target", entry.name);
  }
  size_t slash = entry.name.rfind('/');
  if (slash != std::string::npos) {
    CHECK(root.make_dirs(std::string_view(entry.name).substr(0, slash), 0755));
  }
  return root.symlink(target.text, entry.name);
}

}  // namespace

Result<void> unpack_zip(const ZipReader& zip, const std::string& path) {
  TRY(auto root, sys::RootDir::open(path, sys::Scope::Beneath));
  for (const ZipEntry& entry : zip.entries()) {
    if (entry.type == ZipEntry::Type::Directory) CHECK(root.make_dirs(entry.name, 0755));
    if (entry.type == ZipEntry::Type::File) CHECK(write_entry(zip, entry, root));
  }
  for (const ZipEntry& entry : zip.entries()) {
    if (entry.type == ZipEntry::Type::Symlink) CHECK(write_link(zip, entry, root));
  }
  return {};
}

PackageStore::PackageStore(std::string root, storage::ContentStore zips, LimitProfile profile)
    : code_(root + "/code"), zips_(std::move(zips)), profile_(profile) {}

Result<std::unique_ptr<PackageStore>> PackageStore::open(const std::string& root, LimitProfile profile) {
  CHECK(sys::make_dirs(root, 0711));
  CHECK(sys::make_dirs(root + "/code", 0755));
  TRY(auto zips, storage::ContentStore::open(root + "/packages"));
  TRY(auto entries, sys::list_dir(root + "/code"));
  for (const auto& entry : entries) {
    if (entry.name.starts_with(staging_prefix)) CHECK(sys::remove_tree(root + "/code/" + entry.name));
  }
  return std::unique_ptr<PackageStore>(new PackageStore(root, std::move(zips), profile));
}

std::shared_ptr<void> PackageStore::pin(const std::string& hex) {
  std::scoped_lock lock(pins_->mutex);
  ++pins_->counts[hex];
  auto unpin = [pins = pins_, hex](void*) {
    std::scoped_lock lock(pins->mutex);
    if (--pins->counts[hex] == 0) pins->counts.erase(hex);
  };
  return std::shared_ptr<void>(static_cast<void*>(this), std::move(unpin));
}

Result<Package> PackageStore::add(std::string_view zip) {
  Digest digest = sha256(zip);
  Package package{.digest = digest,
                  .sha256 = base64_of(digest),
                  .size = zip.size(),
                  .directory = directory_of(digest),
                  .pin = pin(digest.hex())};
  std::scoped_lock lock(unpacking_);
  if (::access(package.directory.c_str(), F_OK) != 0) CHECK(unpack(zip, digest));
  if (!zips_.contains(digest)) CHECK(zips_.put(zip));
  return package;
}

Result<void> PackageStore::unpack(std::string_view zip, const Digest& digest) {
  ZipLimits limits;
  limits.max_unpacked_bytes = limits_of(profile_).unpacked_bytes;
  TRY(auto reader, ZipReader::open(zip, limits));
  if (reader.entries().empty()) return Error(Kind::InvalidArgument, "Uploaded file must be a non-empty zip");
  std::string staging = fmt::format("{}/{}{}", code_, staging_prefix, random_hex(8));
  if (::mkdir(staging.c_str(), 0755) != 0) return Error::from_errno("mkdir", staging, errno);
  Rollback undo;
  undo.add([&staging] { [[maybe_unused]] auto removed = sys::remove_tree(staging); });
  CHECK(unpack_zip(reader, staging));
  // The catalog's word that the code is there must not outlive a power cut that the code does not.
  TRY(auto directory, sys::open_file(staging.c_str(), O_RDONLY | O_DIRECTORY));
  if (::syncfs(directory.get()) != 0) return Error::from_errno("sync", staging, errno);
  std::string target = directory_of(digest);
  if (::rename(staging.c_str(), target.c_str()) != 0) return Error::from_errno("rename", staging, errno);
  undo.keep();
  return {};
}

Result<sys::UniqueFd> PackageStore::open_zip(const Digest& digest) const {
  return zips_.open_blob(digest);
}
Result<uint64_t> PackageStore::zip_size(const Digest& digest) const {
  return zips_.size(digest);
}

Result<uint64_t> PackageStore::unpacked_bytes(const std::string& directory) const {
  TRY(auto usage, sys::disk_usage(directory));
  return usage.apparent_bytes;
}

Result<std::vector<std::string>> PackageStore::set_aside(const std::set<std::string>& in_use) {
  TRY(auto entries, sys::list_dir(code_));
  std::vector<std::string> doomed;
  for (const auto& entry : entries) {
    std::string path = code_ + "/" + entry.name;
    auto digest = Digest::parse("sha256:" + entry.name);
    if (!digest || in_use.count(path) != 0) continue;
    // add() pins before it looks whether the directory is there: it finds it, or unpacks anew.
    std::scoped_lock pins(pins_->mutex);
    if (pins_->counts.count(entry.name) != 0) continue;
    std::string aside = fmt::format("{}/{}{}", code_, staging_prefix, random_hex(8));
    if (::rename(path.c_str(), aside.c_str()) != 0) return Error::from_errno("rename", path, errno);
    CHECK(zips_.remove(*digest));
    doomed.push_back(std::move(aside));
  }
  return doomed;
}

Result<void> PackageStore::remove(const std::vector<std::string>& set_aside) {
  for (const auto& path : set_aside) CHECK(sys::remove_tree(path));
  return {};
}

}  // namespace berth::functions
