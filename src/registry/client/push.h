// Push of an image's tags. Blobs leave as they came, what was never compressed is compressed once and kept,
// and the manifest is the one that the image came with when there is one. Internal to registry/client.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "registry/client/client_state.h"
#include "storage/index_closure.h"

namespace berth::registry {

class GrowingFile;

class Push {
 public:
  Push(Client::State& state, const PushRequest& request, const MessageCallback& tell, std::stop_token stop);
  ~Push();

  Result<std::vector<PushedTag>> run();
  /// Instead of run(): a build cache (push_cache.cc).
  Result<Digest> run_cache(const CachePush& request);

 private:
  struct Tag {
    std::string tag;
    storage::Image image;
  };
  /// What is sent for an image.
  struct Document {
    spec::Manifest manifest;
    std::string bytes;
  };

  Result<std::vector<Tag>> tags() const;
  Result<void> find_endpoint();
  Result<PushedTag> push_tag(const Tag& tag);
  /// The image's index, when it is kept whole and no platform is asked for; or the one image of it that is
  /// (push_index.cc). None: the image as it is unpacked.
  Result<std::optional<PushedTag>> push_kept(const Tag& tag);
  Result<PushedTag> push_closure(const Tag& tag, const storage::IndexClosure& closure);
  Result<void> send_blobs(const std::vector<spec::Descriptor>& blobs);
  Result<void> send_blob(Repository& repository, const spec::Descriptor& blob);
  /// Runs `send` for 0 to count-1 on a few threads; the first error ends the others.
  Result<void> send_all(size_t count, const std::function<Result<void>(Repository&, size_t)>& send);
  Result<std::vector<storage::Layer>> layers_of(const storage::Image& image) const;
  std::optional<Document> original(const storage::Image& image,
                                   const std::vector<storage::Layer>& layers) const;
  Result<Document> make_manifest(const storage::Image& image,
                                 const std::vector<storage::Layer>& layers) const;
  /// The configuration, where there is one, and the layers, all at once, bounded; the first error ends the
  /// others.
  Result<void> send_layers(const std::vector<storage::Layer>& layers, const std::optional<Document>& original,
                           const std::optional<Digest>& config);
  Result<void> send_layer(Repository& repository, storage::Layer layer, bool as_plain);
  Result<void> send_blob(Repository& repository, const storage::LayerBlob& blob, const std::string& id);
  Result<void> send_rest(Repository& repository, const storage::LayerBlob& blob, const std::string& location,
                         const std::string& id);
  Result<void> send_new(Repository& repository, const storage::Layer& layer, const std::string& id);
  Result<storage::LayerBlob> compress(const storage::Layer& layer, const std::string& id,
                                      GrowingFile& growing);
  Result<void> upload_plain(Repository& repository, const storage::Layer& layer, const std::string& id);
  /// From a repository of the same registry that has the blob, which is then told, else an upload that
  /// begins.
  Result<Repository::UploadStart> mount_or_begin(Repository& repository, const Digest& digest,
                                                 const std::string& id);
  /// Tells of its progress under `id`, unless that is empty.
  Result<void> upload(Repository& repository, const Digest& digest, uint64_t size,
                      const std::string& location, const std::string& id, uint64_t offset = 0);
  Result<void> send_config(Repository& repository, const Digest& id);
  Result<Digest> send_cache(const CachePush& request);
  /// Repositories of the same registry that have the blob, from the names of images here.
  std::vector<std::string> mount_sources(const Digest& digest) const;
  Repository open(const std::stop_token& stop) const;
  void tell(const std::string& id, std::string status, uint64_t current = 0, uint64_t total = 0);

  Client::State& state_;
  const PushRequest& request_;
  std::shared_ptr<Teller> teller_;
  std::stop_token outer_stop_;
  std::stop_source stop_;
  storage::Lease lease_;
  std::optional<Endpoint> endpoint_;
  std::map<Digest, std::set<std::string>> blob_repositories_;
  std::mutex mutex_;
  std::set<Digest> sent_;  ///< layers that have been seen to for an earlier tag
};

}  // namespace berth::registry
