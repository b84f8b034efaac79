// Images from what is here already: import of a root filesystem, commit and build, and what a registry has
// given.
#include "base/format.h"
#include "storage/image_state.h"

namespace berth::storage {
namespace {

/// Reports bytes read, not more often than every half mebibyte.
class CountingSource : public ByteSource {
 public:
  CountingSource(ByteSource& source, std::string status, const ProgressCallback& progress)
      : source_(source), status_(std::move(status)), progress_(progress) {}
  Result<size_t> read(std::span<char> buffer) override {
    TRY(size_t count, source_.read(buffer));
    total_ += count;
    if (progress_ && (count == 0 || total_ - reported_ >= 512 * 1024)) {
      reported_ = total_;
      progress_({.status = status_, .current = total_});
    }
    return count;
  }

 private:
  ByteSource& source_;
  std::string status_;
  const ProgressCallback& progress_;
  uint64_t total_ = 0;
  uint64_t reported_ = 0;
};

}  // namespace

Result<Digest> ImageStore::State::add_image(std::string_view config_bytes, const spec::ImageConfig& config,
                                            std::optional<Digest> parent, std::optional<Digest> manifest,
                                            const std::vector<spec::Reference>& names,
                                            const ProgressCallback& progress) {
  std::vector<Digest> chains = spec::chain_ids(config.diff_ids);
  Digest id = sha256(config_bytes);
  Lease lease(std::make_shared<Lease::State>(leases));
  lease.add_image(id);
  // No fsync on the way: the row that refers to it is not on the disk yet either, and start-up checks it.
  CHECK(content.put(config_bytes, sys::Durability::None));

  std::unique_lock lock(references);
  ImageRow row{.id = id, .parent = std::move(parent), .manifest = std::move(manifest), .last_tagged = now()};
  for (const Digest& chain : chains) {
    TRY(Layer layer, snapshotter.layer(chain));
    row.size += layer.size;
  }
  if (!chains.empty()) row.chain_id = chains.back();
  std::vector<NameRow> replaced;
  TRY(const bool named_so, has_names(id, names));
  TRY(auto existing, table.find(id));
  if (existing && named_so) row.last_tagged = existing->last_tagged;
  {
    TRY(Transaction transaction, database.begin());
    CHECK(table.insert(row));
    CHECK(set_names(id, names, replaced));
    CHECK(transaction.commit());
  }
  lock.unlock();
  for (const NameRow& name : replaced) {
    if (!progress) break;
    progress(
        {.status = fmt::format("The image {} already exists, renaming the old one with ID {} to empty string",
                               name.reference.familiar_string(), name.image.str())});
  }
  return id;
}

/// Nothing is tagged anew where all these names mean the image already.
Result<bool> ImageStore::State::has_names(const Digest& id, const std::vector<spec::Reference>& names) {
  for (const spec::Reference& given : names) {
    spec::Reference name = given.with_default_tag();
    if (name.tag().empty()) continue;
    TRY(const auto named, table.lookup(name.without_tag_and_digest().with_tag(name.tag())));
    if (named != id) return false;
  }
  return true;
}

Result<void> ImageStore::State::set_names(const Digest& id, const std::vector<spec::Reference>& names,
                                          std::vector<NameRow>& replaced) {
  for (const spec::Reference& given : names) {
    spec::Reference name = given.with_default_tag();
    // A name with tag and digest is two names.
    if (name.digest()) CHECK(table.set_name(name.with_tag(""), id));
    if (name.tag().empty()) continue;
    spec::Reference tag = name.without_tag_and_digest().with_tag(name.tag());
    TRY(std::optional<Digest> previous, table.lookup(tag));
    if (previous && *previous != id) replaced.push_back({tag, *previous});
    CHECK(table.set_name(tag, id));
  }
  return {};
}

Result<Digest> ImageStore::create(const NewImage& image) {
  spec::ImageConfig config = image.config;
  if (!config.created) config.created = now();
  if (config.platform.os.empty()) config.platform = spec::Platform::host();
  std::vector<Digest> chains = spec::chain_ids(config.diff_ids);
  std::optional<Digest> top;
  if (!chains.empty()) top = chains.back();
  if (top != image.chain_id) {
    return Error(Kind::Internal, "image configuration and layers do not belong together");
  }
  TRY(Digest id, state_->add_image(spec::serialise(config), config, image.parent, std::nullopt, image.tags));
  return id;
}

Result<Digest> ImageStore::receive(const ReceivedImage& image) {
  TRY(spec::ImageConfig config, spec::parse_image_config(image.config_bytes));
  return state_->add_image(image.config_bytes, config, std::nullopt, image.manifest, image.names);
}

Result<Digest> ImageStore::import(ByteSource& archive, const ImportOptions& options) {
  CountingSource counted(archive, "Importing", options.progress);
  TRY(Layer layer, snapshotter_.unpack(counted, {.limits = options.limits, .stop = options.stop}));
  Lease held = lease();
  held.add_chain(layer.chain_id);
  Timestamp created = options.created.value_or(now());
  spec::ImageConfig config{
      .created = created,
      .platform = options.platform.value_or(spec::Platform::host()),
      .config = options.config,
      .diff_ids = {layer.diff_id},
      .history = {
          {.created = created, .comment = options.message.empty() ? "Imported from -" : options.message}}};
  NewImage image{.config = std::move(config), .chain_id = layer.chain_id};
  if (options.reference) image.tags.push_back(*options.reference);
  return create(image);
}

}  // namespace berth::storage
