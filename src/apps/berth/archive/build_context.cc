// Contexts of builds.
#include "apps/berth/archive/build_context.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <set>

#include "apps/berth/archive/file_text.h"
#include "apps/berth/archive/relay.h"
#include "base/id.h"
#include "spec/dockerignore.h"
#include "storage/tar_header.h"
#include "storage/tar_writer.h"
#include "storage/tree_reader.h"
#include "sys/root_dir.h"

namespace berth::cli::archive {
namespace {

constexpr size_t max_dockerfile = 16u << 20;
constexpr size_t max_ignore_file = 4u << 20;

std::string reason(int error) {
  std::string text = ::strerror(error);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

Failure cannot_prepare(std::string_view why) {
  return refuse("unable to prepare context: {}", why);
}

Outcome<std::string> real_path(const std::string& path, std::string_view what) {
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), resolved) != nullptr) return std::string(resolved);
  return cannot_prepare(
      fmt::format("unable to evaluate symlinks in {}: lstat {}: {}", what, path, reason(errno)));
}

/// The folder's path in front taken away; nothing when `path` is not below it.
std::optional<std::string> below(const std::string& folder, const std::string& path) {
  std::string prefix = folder == "/" ? "/" : folder + "/";
  if (!path.starts_with(prefix)) return std::nullopt;
  return path.substr(prefix.size());
}

Outcome<void> read_outside(BuildContext& context, const std::string& path) {
  auto text = read_text(path, max_dockerfile);
  if (!text) return cannot_prepare(text.error().message());
  context.outside_dockerfile = std::move(*text);
  context.dockerfile = ".dockerfile." + random_hex(10);
  return {};
}

Outcome<spec::PatternSet> read_ignore_file(const BuildContext& context) {
  for (const std::string& candidate : spec::ignore_file_candidates(context.dockerfile)) {
    std::string path = context.folder + "/" + candidate;
    auto text = read_text(path, max_ignore_file);
    if (!text && text.error().kind() == Kind::NotFound) continue;
    if (!text) return refuse("failed to read {}: {}", candidate, text.error().message());
    TRY(auto patterns, spec::parse_ignore_file(*text));
    TRY(auto set, spec::PatternSet::create(patterns));
    return set;
  }
  TRY(auto none, spec::PatternSet::create({}));
  return none;
}

/// Writes what the ignore file leaves.
class Packer : public storage::TreeVisitor {
 public:
  Packer(storage::ByteSink& sink, const BuildContext& context, const spec::PatternSet& ignored)
      : tar_(sink), context_(context), ignored_(ignored), buffer_(256 * 1024, '\0') {}

  Result<bool> visit(const storage::TreeObject& object) override {
    bool directory = S_ISDIR(object.status.st_mode);
    bool needed = object.path == context_.dockerfile || object.path == ".dockerignore";
    bool leads_to_needed = directory && context_.dockerfile.starts_with(object.path + "/");
    if (!needed && ignored_.matches(object.path)) {
      // What is below may be included again by a later pattern.
      return directory && (leads_to_needed || ignored_.has_exceptions());
    }
    CHECK(write(object, directory));
    return directory;
  }

  Result<void> finish() {
    if (context_.outside_dockerfile) {
      storage::TarEntry entry;
      entry.name = context_.dockerfile;
      entry.mode = 0600;
      CHECK(tar_.file(entry, *context_.outside_dockerfile));
    }
    return tar_.finish();
  }

 private:
  Result<void> write(const storage::TreeObject& object, bool directory) {
    auto entry = storage::entry_of(object.status);
    if (!entry) return {};  // a socket
    entry->name = object.path + (directory ? "/" : "");
    entry->uid = 0;
    entry->gid = 0;
    entry->mtime.nanoseconds = 0;
    if (entry->type == storage::TarType::Symlink) return write_link(object, *entry);
    if (entry->type != storage::TarType::File) return tar_.header(*entry);
    if (object.status.st_nlink > 1) {
      // A further name of a file that was sent; its first name in the tree may have been left out.
      auto [sent, fresh] = sent_.try_emplace({object.status.st_dev, object.status.st_ino}, object.path);
      if (!fresh) {
        entry->type = storage::TarType::HardLink;
        entry->link = sent->second;
        entry->size = 0;
        return tar_.header(*entry);
      }
    }
    return write_file(object, *entry);
  }

  Result<void> write_link(const storage::TreeObject& object, storage::TarEntry& entry) {
    char target[PATH_MAX];
    ssize_t length = ::readlinkat(object.parent_fd, object.name.c_str(), target, sizeof target);
    if (length < 0) return Error::from_errno("read link", object.path, errno);
    entry.link.assign(target, static_cast<size_t>(length));
    return tar_.header(entry);
  }

  Result<void> write_file(const storage::TreeObject& object, storage::TarEntry& entry) {
    sys::UniqueFd file(
        ::openat(object.parent_fd, object.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file) {
      return failure(kind_of_errno(errno), "error checking context: no permission to read from '{}': {}",
                     object.path, reason(errno));
    }
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) return Error::from_errno("stat", object.path, errno);
    entry.size = static_cast<uint64_t>(status.st_size);
    CHECK(tar_.header(entry));
    for (uint64_t left = entry.size; left > 0;) {
      ssize_t got = ::read(file.get(), buffer_.data(), std::min<uint64_t>(left, buffer_.size()));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Error::from_errno("read", object.path, errno);
      if (got == 0) {
        return failure(Kind::WrongState, "{} became shorter while it was being sent", object.path);
      }
      CHECK(tar_.content({buffer_.data(), static_cast<size_t>(got)}));
      left -= static_cast<uint64_t>(got);
    }
    return tar_.end_file();
  }

  storage::TarWriter tar_;
  const BuildContext& context_;
  const spec::PatternSet& ignored_;
  std::string buffer_;
  std::map<std::pair<dev_t, ino_t>, std::string> sent_;
};

}  // namespace

bool looks_like_archive(std::string_view beginning) {
  using namespace std::string_view_literals;
  for (std::string_view magic : {"\x1F\x8B"sv, "BZh"sv,
                                 "\xFD"sv
                                 "7zXZ\0"sv,
                                 "\x28\xB5\x2F\xFD"sv}) {
    if (beginning.starts_with(magic)) return true;
  }
  return beginning.size() >= storage::tar_block &&
         storage::parse_tar_header(beginning.substr(0, storage::tar_block)).has_value();
}

Outcome<BuildContext> examine_context(const std::string& path, const std::string& file) {
  BuildContext context;
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return cannot_prepare(fmt::format("path \"{}\" not found", path));
    return cannot_prepare(fmt::format("stat {}: {}", path, reason(errno)));
  }
  if (!S_ISDIR(status.st_mode)) return cannot_prepare(fmt::format("context must be a directory: {}", path));
  TRY(context.folder, real_path(path, "context path"));
  if (file == "-") {
    CHECK(read_outside(context, "-"));
    return context;
  }
  std::string dockerfile = file;
  if (dockerfile.empty()) {
    dockerfile = context.folder + "/Dockerfile";
    std::string lower = context.folder + "/dockerfile";
    if (::access(dockerfile.c_str(), F_OK) != 0 && ::access(lower.c_str(), F_OK) == 0) dockerfile = lower;
  }
  // A link may lead out of the context; what it leads to is then sent under a name of its own.
  TRY(std::string real, real_path(dockerfile, "Dockerfile path"));
  auto relative = below(context.folder, real);
  if (!relative) {
    CHECK(read_outside(context, real));
    return context;
  }
  context.dockerfile = *relative;
  return context;
}

Outcome<void> write_context(const BuildContext& context, const WriteBytes& write) {
  TRY(auto ignored, read_ignore_file(context));
  FailureSlot slot;
  RelaySink sink(write, slot);
  auto pack = [&]() -> Result<void> {
    TRY(auto tree, sys::RootDir::open(context.folder, sys::Scope::Beneath));
    Packer packer(sink, context, ignored);
    CHECK(storage::walk_tree(tree, packer, {}));
    CHECK(packer.finish());
    return sink.flush();
  };
  if (auto packed = pack(); !packed) return slot.or_else(packed.error());
  return {};
}

Outcome<void> write_dockerfile_alone(std::string_view dockerfile, const WriteBytes& write) {
  FailureSlot slot;
  RelaySink sink(write, slot);
  auto pack = [&]() -> Result<void> {
    storage::TarWriter tar(sink);
    storage::TarEntry entry;
    entry.name = "Dockerfile";
    entry.mode = 0600;
    CHECK(tar.file(entry, dockerfile));
    CHECK(tar.finish());
    return sink.flush();
  };
  if (auto packed = pack(); !packed) return slot.or_else(packed.error());
  return {};
}

}  // namespace berth::cli::archive
