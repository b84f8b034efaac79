// Pull of one image: manifest, configuration, layers. Internal to registry/client.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "registry/client/client_state.h"
#include "storage/index_closure.h"

namespace berth::registry {

class Pull {
 public:
  /// `reference` has a tag or a digest.
  Pull(Client::State& state, const PullRequest& request, spec::Reference reference,
       std::shared_ptr<Teller> teller, std::stop_token stop);
  ~Pull();

  Result<Pulled> run();
  /// Instead of run(): layers alone, bottom first (pull_cache.cc); the top's chain id.
  Result<Digest> run_layers(const std::vector<const spec::BuildCacheLayer*>& chain);

 private:
  /// The layers' download and what is needed to unpack them.
  struct LayerWork {
    spec::Descriptor descriptor;
    Digest diff_id;
    Digest chain_id;
    std::optional<Digest> parent;
    bool unpacked = false;  ///< the layer is here, and only its bytes as the registry has them are wanted
    std::shared_ptr<BlobTransfer> transfer = {};
    std::shared_ptr<BlobListener> listener = {};
  };

  Result<void> resolve();
  Result<void> check_signatures();
  /// Everything that the index leads to, into the content store (pull_index.cc).
  Result<void> fetch_index();
  Result<void> fetch_index_blobs(const storage::IndexClosure& closure);
  Result<void> resolve_at(Repository& repository);
  Result<void> fetch_top(Repository& repository, const std::string& name,
                         const std::optional<Digest>& digest);
  Result<void> choose(Repository& repository, RemoteManifest document, int depth);
  Result<std::string> fetch_config();
  Result<void> plan_layers();
  // pull_layers.cc
  Result<void> fetch_layers();
  Result<void> finish_layers(const std::vector<LayerWork*>& missing);
  bool has_parent(const LayerWork& work) const;
  Result<void> wait_for_parent(const LayerWork& work);
  bool lacks_blob(const LayerWork& work) const;
  Result<void> keep_blob(LayerWork& work);
  Result<void> unpack(LayerWork& work);
  Result<void> unpack_from(LayerWork& work, storage::ByteSource& source);
  Result<bool> unpack_kept_blob(LayerWork& work);
  void start_transfer(LayerWork& work);
  Result<Pulled> finish();

  spec::Platform wanted() const { return request_.platform.value_or(spec::Platform::host()); }
  std::string tag_or_digest() const;
  /// The local image that the registry's answer means, when it is here already.
  std::optional<Digest> known(const Digest& top) const;
  std::optional<Digest> named_before() const;
  void tell(const std::string& id, std::string status, uint64_t current = 0, uint64_t total = 0);

  Client::State& state_;
  const PullRequest& request_;
  spec::Reference reference_;
  std::shared_ptr<Teller> teller_;
  std::stop_token stop_;
  storage::Lease lease_;
  std::vector<Endpoint> endpoints_;
  std::optional<Digest> top_;                     ///< of the manifest or index that the name means
  std::optional<Digest> image_;                   ///< when it is here already
  std::optional<RemoteManifest> index_;           ///< what top_ names, when it is an index
  std::optional<storage::IndexClosure> closure_;  ///< of it, with all_platforms, once it is here
  std::optional<RemoteManifest> manifest_;
  std::optional<spec::Manifest> parsed_;
  std::string config_bytes_;
  std::optional<spec::ImageConfig> config_;
  std::vector<LayerWork> layers_;
  std::stop_source layers_stop_;  ///< also when one of them has failed
  std::mutex layers_mutex_;
  std::condition_variable_any layer_done_;
};

}  // namespace berth::registry
