// Destinations: where the sources of a COPY go, and what is made of each.
#include "build/copy_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/format.h"
#include "build/mode_change.h"
#include "build/owner_lookup.h"
#include "build/selection.h"
#include "build/tree_copier.h"
#include "storage/compression.h"
#include "storage/tar_header.h"

namespace berth::build {
namespace {

/// The path that `path` leads to within the root, whether that exists or not: links are followed also where
/// their target is missing, so that it is made there (as docker does), never outside.
Result<std::string> follow_links(const sys::RootDir& root, const std::string& path) {
  constexpr int most_links = 40;
  int links = 0;
  std::vector<std::string> left;  // next element last
  const auto put_before = [&left](std::string_view elements) {
    const size_t at = left.size();
    while (!elements.empty()) {
      const size_t end = std::min(elements.find('/'), elements.size());
      const std::string_view element = elements.substr(0, end);
      if (!element.empty() && element != ".")
        left.emplace(left.begin() + static_cast<ptrdiff_t>(at), element);
      elements.remove_prefix(std::min(end + 1, elements.size()));
    }
  };
  put_before(path);
  std::string done = "/";
  while (!left.empty()) {
    const std::string element = std::move(left.back());
    left.pop_back();
    if (element == "..") {
      done = parent_path(done);
      continue;
    }
    const std::string next = join_path(done, element);
    auto status = root.stat(next, sys::Follow::No);
    if (!status && status.error().errno_value() == ENOTDIR) {
      return failure(Kind::InvalidArgument, "cannot copy to non-directory: {}", done);
    }
    if (!status && status.error().kind() != Kind::NotFound) return std::move(status).error();
    if (!status || !S_ISLNK(status->st_mode)) {
      done = next;
      continue;
    }
    if (++links > most_links)
      return failure(Kind::InvalidArgument, "{}: too many levels of symbolic links", path);
    TRY(const auto link, root.readlink(next));
    if (link.starts_with('/')) done = "/";
    put_before(link);
  }
  return done;
}

Result<sys::RootDir> make_dirs_following(const sys::RootDir& root, const std::string& path, uint32_t mode,
                                         const OwnerIds& owner) {
  TRY(const auto target, follow_links(root, path));
  auto made = root.make_dirs(target, mode, owner.uid, owner.gid);
  if (!made && made.error().errno_value() == ENOTDIR) {
    return failure(Kind::InvalidArgument, "cannot copy to non-directory: {}", path);
  }
  return made;
}

class CopyOperation {
 public:
  CopyOperation(const CopyOp& op, const CopyContext& context) : op_(op), context_(context) {}

  Result<void> run() {
    CHECK(prepare());
    for (const auto& source : op_.sources) CHECK(copy_source(source));
    return {};
  }

 private:
  Result<void> prepare() {
    if (op_.owner) {
      TRY(owner_, resolve_owner(context_.root, *op_.owner));
    }
    if (!op_.chmod.empty()) {
      TRY(chmod_, ModeChange::parse(op_.chmod));
      // As BuildKit does it: an octal mode also counts for directories that are made for the destination.
      if (op_.chmod[0] >= '0' && op_.chmod[0] <= '9') directory_mode_ = chmod_->apply(0, true);
    }
    TRY(excludes_, spec::PatternSet::create(op_.excludes));
    must_be_directory_ = op_.destination.ends_with('/');
    return {};
  }

  const FileTree& tree_of(const CopyOp::Source& source) const { return *context_.inputs.at(source.input); }

  Result<sys::RootDir> make_dirs(const std::string& path) const {
    return make_dirs_following(context_.root, path, directory_mode_, owner_.value_or(OwnerIds{}));
  }

  Result<void> copy_source(const CopyOp::Source& source) {
    const FileTree& tree = tree_of(source);
    TRY(const auto roots, select_roots(tree, source));
    if (roots.size() > 1 && !must_be_directory_) {
      return Error(Kind::InvalidArgument,
                   "When using COPY with more than one source file, the destination must be a directory and "
                   "end with a /");
    }
    for (const auto& root : roots) CHECK(copy_root(tree, source, root));
    return {};
  }

  Result<void> copy_root(const FileTree& tree, const CopyOp::Source& source, const SelectedRoot& root) {
    if (root.is_directory) {
      TRY(const auto directory, make_dirs(op_.destination));
      return copy_into(tree, source, root, directory, "");
    }
    if (source.unpack != Unpack::No) {
      TRY(const bool archive, is_archive(tree, root.path));
      if (archive) return unpack(tree, root);
      if (source.unpack == Unpack::Yes)
        return failure(Kind::InvalidArgument, "{} is not an archive", root.name);
    }
    TRY(const auto target, file_target(root.name));
    TRY(const auto parent, make_dirs(parent_path(target)));
    return copy_into(tree, source, root, parent, std::string(base_name(target)));
  }

  /// Where a single file goes: into the destination if that is a directory, else in its place.
  Result<std::string> file_target(const std::string& name) const {
    if (must_be_directory_) {
      CHECK(make_dirs(op_.destination));
      return join_path(op_.destination, name);
    }
    TRY(const auto target, follow_links(context_.root, op_.destination));
    auto status = context_.root.stat(target, sys::Follow::No);
    if (!status && status.error().kind() != Kind::NotFound) return std::move(status).error();
    return status && S_ISDIR(status->st_mode) ? join_path(target, name) : target;
  }

  Result<void> copy_into(const FileTree& tree, const CopyOp::Source& source, const SelectedRoot& root,
                         const sys::RootDir& directory, const std::string& name) {
    const CopyAttributes attributes{
        .owner = owner_, .keep_owner = source.keep_owner, .chmod = chmod_, .mode = source.mode};
    TreeCopier copier(tree, directory, attributes);
    const SelectionVisitor visitor = [&](const std::string& path, const std::string& relative,
                                         const FileNode& node) -> Result<void> {
      if (relative.empty() && root.is_directory) return {};
      return copier.copy(path, relative.empty() ? name : relative, node);
    };
    CHECK(walk_selection(tree, root, source, excludes_, visitor, context_.stop));
    return copier.finish();
  }

  Result<void> unpack(const FileTree& tree, const SelectedRoot& root) {
    TRY(const auto directory, make_dirs(op_.destination));
    TRY(auto archive, tree.read(root.path));
    storage::UnpackOptions options{
        .limits = context_.limits, .root_entry = storage::RootEntry::Ignore, .stop = context_.stop};
    if (owner_) options.owner = storage::FixedOwner{owner_->uid, owner_->gid};
    auto unpacked = storage::unpack(*archive, directory, options);
    if (!unpacked) return std::move(unpacked).error().in("unpack", root.name);
    return {};
  }

  const CopyOp& op_;
  const CopyContext& context_;
  std::optional<OwnerIds> owner_;
  std::optional<ModeChange> chmod_;
  uint32_t directory_mode_ = 0755;
  spec::PatternSet excludes_;
  bool must_be_directory_ = false;
};

}  // namespace

Result<void> copy_files(const CopyOp& op, const CopyContext& context) {
  return CopyOperation(op, context).run();
}

Result<void> make_directory(const MakeDirectoryOp& op, const sys::RootDir& root) {
  OwnerIds owner;
  if (op.owner) {
    TRY(owner, resolve_owner(root, *op.owner));
  }
  auto made = make_dirs_following(root, op.path, 0755, owner);
  if (made) return {};
  if (made.error().kind() != Kind::InvalidArgument) return std::move(made).error();
  return failure(Kind::InvalidArgument, "cannot make the directory {}: file exists", op.path);
}

Result<bool> is_archive(const FileTree& tree, const std::string& path) {
  TRY(auto source, tree.read(path));
  auto plain = storage::decompress(*source);
  if (!plain) return false;
  std::string block(storage::tar_block, '\0');
  for (size_t have = 0; have < block.size();) {
    auto count = (*plain)->read(std::span(block).subspan(have));
    if (!count || *count == 0) return false;  // too short, or only looks compressed
    have += *count;
  }
  return !storage::is_zero_block(block) && storage::parse_tar_header(block).has_value();
}

}  // namespace berth::build
