// Local trees and tar.
#include "apps/berth/archive/local_tree.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/berth/archive/relay.h"
#include "spec/dockerignore.h"
#include "storage/archive.h"
#include "storage/tree_writer.h"
#include "sys/root_dir.h"

namespace berth::cli::archive {
namespace {

constexpr int max_links = 10;

std::string reason(int error) {
  std::string text = ::strerror(error);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

Failure path_failure(std::string_view operation, const std::string& path, int error) {
  return refuse("{} {}: {}", operation, path, reason(error));
}

Outcome<std::string> real_path(const std::string& path) {
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), resolved) == nullptr) return path_failure("lstat", path, errno);
  return std::string(resolved);
}

Outcome<std::string> link_target(const std::string& path) {
  char target[PATH_MAX];
  ssize_t length = ::readlink(path.c_str(), target, sizeof target);
  if (length < 0) return path_failure("readlink", path, errno);
  std::string text(target, static_cast<size_t>(length));
  if (text.starts_with('/')) return text;
  return spec::clean_path(split_path(path).folder + "/" + text);
}

}  // namespace

Outcome<CopySource> examine_source(const std::string& path, bool follow_link) {
  std::string resolved;
  std::string name;
  if (follow_link) {
    TRY(std::string real, real_path(path));
    Followed followed = follow(path, real);
    resolved = followed.path;
    name = followed.name;
  } else {
    // Only the folder's links are followed; the last element, with its ending, stays as it is.
    size_t slash = path.rfind('/');
    std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    TRY(std::string real, real_path(folder));
    std::string base = slash == std::string::npos ? path : path.substr(slash + 1);
    resolved = real == "/" ? "/" + base : real + "/" + base;
    if (has_trailing_slash(path) && base_of(path) != base_of(resolved)) name = base_of(path);
  }
  struct stat status {};
  if (::lstat(resolved.c_str(), &status) != 0) return path_failure("lstat", path, errno);
  return CopySource{resolved, S_ISDIR(status.st_mode), name};
}

Outcome<CopyDestination> examine_destination(const std::string& path) {
  std::string at = path;
  struct stat status {};
  for (int links = 0;; ++links) {
    if (::lstat(at.c_str(), &status) != 0) {
      if (errno != ENOENT) return path_failure("lstat", at, errno);
      std::string parent = split_path(at).folder;
      if (::stat(parent.c_str(), &status) != 0) return path_failure("stat", parent, errno);
      if (!S_ISDIR(status.st_mode)) return refuse("not a directory");
      return CopyDestination{at, false, false};
    }
    if (!S_ISLNK(status.st_mode)) return CopyDestination{at, true, S_ISDIR(status.st_mode)};
    if (links >= max_links) return refuse("too many levels of symbolic links in \"{}\"", path);
    TRY(at, link_target(at));
  }
}

Outcome<void> check_output_path(const std::string& path) {
  std::string parent = split_path(path).folder;
  struct stat status {};
  if (::stat(parent.c_str(), &status) != 0 && errno == ENOENT) {
    return refuse("invalid output path: directory \"{}\" does not exist", parent);
  }
  if (::stat(path.c_str(), &status) != 0) return {};
  if (S_ISDIR(status.st_mode) || S_ISREG(status.st_mode)) return {};
  std::string_view what =
      S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode) ? "got a device" : "got an irregular file";
  return refuse("invalid output path: \"{}\" must be a directory or a regular file: {}", path, what);
}

Outcome<void> write_archive(const CopySource& source, const std::string& entry_name,
                            const WriteBytes& write) {
  FailureSlot slot;
  RelaySink sink(write, slot);
  SplitPath parts = split_path(source.path);
  auto pack = [&]() -> Result<void> {
    if (source.is_directory) {
      TRY(auto tree, sys::RootDir::open(source.path, sys::Scope::Beneath));
      CHECK(storage::pack_tree(tree, sink, {.prefix = entry_name, .include_root = true}));
    } else {
      TRY(auto folder, sys::RootDir::open(parts.folder, sys::Scope::Beneath));
      CHECK(storage::pack_object(folder.fd(), parts.base, entry_name, sink));
    }
    return sink.flush();
  };
  if (auto packed = pack(); !packed) return slot.or_else(packed.error());
  return {};
}

Outcome<void> read_archive(const CopyPlan& plan, const ReadBytes& read) {
  FailureSlot slot;
  RelayChunks chunks(read, slot);
  storage::UnpackOptions options{.overwrite = storage::Overwrite::SameKindOnly,
                                 .ownership = storage::Ownership::Ignore,
                                 .root_entry = storage::RootEntry::Ignore};
  auto unpack = [&]() -> Result<void> {
    TRY(auto root, sys::RootDir::open(plan.folder, sys::Scope::Beneath));
    storage::TarReader reader(chunks, options.limits);
    storage::TreeWriter writer(root, options, nullptr);
    storage::TarEntry entry;
    while (true) {
      TRY(bool found, reader.next(entry));
      if (!found) break;
      entry.name = rename_entry(entry.name, plan);
      if (entry.type == storage::TarType::HardLink) entry.link = rename_entry(entry.link, plan);
      CHECK(writer.apply(entry, reader));
    }
    CHECK(reader.drain());
    return writer.finish();
  };
  if (auto unpacked = unpack(); !unpacked) return slot.or_else(unpacked.error());
  return {};
}

}  // namespace berth::cli::archive
