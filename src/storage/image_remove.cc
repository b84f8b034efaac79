// docker rmi and image prune: the rules by which names and images go.
#include <algorithm>

#include "base/format.h"
#include "storage/image_state.h"

namespace berth::storage {
namespace {

std::string short_id(std::string_view id) {
  if (id.starts_with("sha256:")) id.remove_prefix(7);
  return std::string(id.substr(0, 12));
}

/// At most one tag, and digests only of the same repository: removing by id then means the whole image.
bool is_single_reference(const std::vector<spec::Reference>& names) {
  if (names.size() <= 1) return true;
  std::set<std::string> digest_repositories;
  const spec::Reference* tag = nullptr;
  for (const spec::Reference& name : names) {
    if (name.digest()) {
      digest_repositories.insert(name.name());
    } else if (tag != nullptr) {
      return false;
    } else {
      tag = &name;
    }
  }
  const std::string repository = tag != nullptr ? tag->name() : names[0].name();
  return digest_repositories.size() == 1 && digest_repositories.contains(repository);
}

/// Whether an unforced removal minds references that are left.
enum class References { Matter, Ignored };
/// A conflict that stops the pruning of a parent, or the rest of an untagging, is no error.
enum class Manner { Loud, Quiet };

/// One removal, with `references` held throughout.
class Removal {
 public:
  Removal(ImageStore::State& state, const InUse& in_use) : state_(state), in_use_(in_use) {}

  Result<void> by_reference(std::string_view reference, const RemoveOptions& options) {
    TRY(Digest id, state_.find(reference));
    TRY(std::vector<spec::Reference> names, state_.table.names_of(id));
    TRY(bool by_name, is_name_of(id, reference));
    if (!by_name) {
      if (is_single_reference(names)) {
        CHECK(check_conflict(id, options.force, References::Ignored));
        CHECK(untag(names));
      }
      return remove_image(id, options.force, options.prune_parents, Manner::Loud);
    }
    const ImageUse* use = find_use(id, false);
    if (!options.force && is_single_reference(names) && use != nullptr) {
      return failure(
          Kind::WrongState,
          "conflict: unable to remove repository reference \"{}\" (must force) - container {} is using "
          "its referenced image {}",
          reference, short_id(use->container_id), id.short_hex());
    }
    TRY(spec::Reference name, spec::Reference::parse(reference));
    name = name.digest() ? name.with_tag("") : name.with_default_tag();
    CHECK(untag({name}));
    CHECK(untag_orphaned_digests(id, name));
    TRY(names, state_.table.names_of(id));
    // An index goes with the last name that has its digest, also where the image stays.
    if (!names.empty()) return sweep_indexes();
    return remove_image(id, options.force, options.prune_parents, Manner::Quiet);
  }

  Result<void> remove_image(const Digest& id, bool force, bool prune_parents, Manner manner) {
    if (auto conflict = check_conflict(id, force, References::Matter); !conflict) {
      TRY(bool dangling, is_dangling(id));
      if (manner == Manner::Quiet && (!dangling || find_use(id, false) != nullptr)) return {};
      return conflict;
    }
    TRY(auto row, state_.table.find(id));
    if (!row) return {};
    TRY(std::vector<spec::Reference> names, state_.table.names_of(id));
    CHECK(untag(names));
    CHECK(state_.table.remove(id));
    state_.configs.drop(id);
    removed_.push_back({RemovedName::Kind::Deleted, id.str()});
    CHECK(sweep(*row));
    if (!prune_parents || !row->parent) return {};
    return remove_image(*row->parent, false, true, Manner::Quiet);
  }

  std::vector<RemovedName> take() { return std::move(removed_); }
  uint64_t reclaimed() const { return reclaimed_; }

 private:
  const ImageUse* find_use(const Digest& id, bool running_only) const {
    for (const ImageUse& use : in_use_.images) {
      if (use.image == id && (use.running || !running_only)) return &use;
    }
    return nullptr;
  }

  /// Names come before ids, as everywhere.
  Result<bool> is_name_of(const Digest& id, std::string_view reference) {
    auto name = spec::Reference::parse(reference);
    if (!name) return false;
    TRY(auto named, state_.table.lookup(name->digest() ? name->with_tag("") : name->with_default_tag()));
    return named == id;
  }

  Result<bool> is_dangling(const Digest& id) {
    TRY(std::vector<spec::Reference> names, state_.table.names_of(id));
    TRY(std::vector<Digest> children, state_.table.children(id));
    return names.empty() && children.empty();
  }

  /// Children and running containers can never be overruled; names and stopped containers by force.
  Result<void> check_conflict(const Digest& id, bool force, References references) {
    auto conflict = [&](std::string_view forcing, std::string_view reason) {
      return failure(Kind::WrongState, "conflict: unable to delete {} ({}) - {}", id.short_hex(), forcing,
                     reason);
    };
    TRY(std::vector<Digest> children, state_.table.children(id));
    if (!children.empty()) return conflict("cannot be forced", "image has dependent child images");
    if (const ImageUse* use = find_use(id, true)) {
      return conflict("cannot be forced",
                      "image is being used by running container " + short_id(use->container_id));
    }
    if (force) return {};
    TRY(std::vector<spec::Reference> names, state_.table.names_of(id));
    if (references == References::Matter && !names.empty()) {
      return conflict("must be forced", "image is referenced in multiple repositories");
    }
    if (const ImageUse* use = find_use(id, false)) {
      return conflict("must be forced",
                      "image is being used by stopped container " + short_id(use->container_id));
    }
    return {};
  }

  Result<void> untag(const std::vector<spec::Reference>& names) {
    for (const spec::Reference& name : names) {
      CHECK(state_.table.remove_name(name));
      removed_.push_back({RemovedName::Kind::Untagged, name.familiar_string()});
    }
    return {};
  }

  /// With a repository's last tag its digests go too.
  Result<void> untag_orphaned_digests(const Digest& id, const spec::Reference& removed) {
    if (removed.digest()) return {};
    TRY(std::vector<spec::Reference> names, state_.table.names_of(id));
    std::vector<spec::Reference> digests;
    for (const spec::Reference& name : names) {
      if (name.name() != removed.name()) continue;
      if (!name.digest()) return {};
      digests.push_back(name);
    }
    return untag(digests);
  }

  Result<void> sweep_indexes() {
    TRY(Swept swept, state_.sweep(in_use_, {.layers = std::set<Digest>(), .blobs = std::set<Digest>()}));
    reclaimed_ += swept.bytes;
    return {};
  }

  /// The layers and blobs of the removed image that nothing else needs.
  Result<void> sweep(const ImageRow& row) {
    std::set<Digest> layers;
    std::set<Digest> blobs = {row.id};
    if (row.manifest) blobs.insert(*row.manifest);
    if (row.chain_id) {
      auto chain = state_.snapshotter.chain(*row.chain_id);
      if (!chain) return {};  // gone already: nothing to sweep
      for (const Layer& layer : *chain) {
        layers.insert(layer.chain_id);
        if (layer.blob) blobs.insert(layer.blob->digest);
      }
    }
    TRY(Swept swept, state_.sweep(in_use_, {.layers = std::move(layers), .blobs = std::move(blobs)}));
    reclaimed_ += swept.bytes;
    for (const Digest& chain : swept.layers) removed_.push_back({RemovedName::Kind::Deleted, chain.str()});
    return {};
  }

  ImageStore::State& state_;
  const InUse& in_use_;
  std::vector<RemovedName> removed_;
  uint64_t reclaimed_ = 0;
};

}  // namespace

Result<std::vector<RemovedName>> ImageStore::remove(std::string_view reference, const RemoveOptions& options,
                                                    const InUse& in_use) {
  std::lock_guard lock(state_->references);
  Removal removal(*state_, in_use);
  CHECK(removal.by_reference(reference, options));
  return removal.take();
}

Result<PruneReport> ImageStore::prune(const PruneOptions& options, const InUse& in_use) {
  PruneReport report;
  if (options.all) CHECK(content_.remove_partials());
  TRY(std::vector<Image> images, list(false));
  std::lock_guard lock(state_->references);
  Removal removal(*state_, in_use);
  for (const Image& image : images) {
    bool is_used = std::any_of(in_use.images.begin(), in_use.images.end(),
                               [&](const ImageUse& use) { return use.image == image.id; });
    bool is_named = !image.repo_tags.empty();
    if (is_used || (is_named && !options.all)) continue;
    Timestamp created = image.config->created.value_or(Timestamp{});
    if (options.created_before && created >= *options.created_before) continue;
    if (options.filter && !options.filter(image)) continue;
    // Forced: its own names are no obstacle. Children and users were looked at above, and are again.
    CHECK(removal.remove_image(image.id, true, true, Manner::Quiet));
  }
  report.removed = removal.take();
  report.reclaimed_bytes = removal.reclaimed();
  return report;
}

}  // namespace berth::storage
