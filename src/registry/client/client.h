// Client: what berth asks of registries: pull, push, login, lookups. One per engine, from any thread; every
// call blocks its thread until it is done or stopped.
#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "registry/client/credentials.h"
#include "registry/client/message.h"
#include "registry/client/settings.h"
#include "spec/build_cache.h"
#include "spec/image.h"
#include "spec/reference.h"
#include "storage/image_store.h"

namespace berth::registry {

struct PullRequest {
  spec::Reference reference;  ///< with tag or digest, unless all tags are wanted
  bool all_tags = false;
  std::optional<spec::Platform> platform = {};  ///< none: the host's
  /// What an index leads to is kept whole, with the images of all platforms.
  bool all_platforms = false;
  Credentials credentials = {};
};

struct Pulled {
  spec::Reference reference;
  Digest image;
  bool newer = false;  ///< the name meant another image before, or none
};

struct PushRequest {
  spec::Reference reference;  ///< without a tag: all tags of the name
  /// Of an image whose index is kept whole: this one alone. None: the index.
  std::optional<spec::Platform> platform = {};
  Credentials credentials = {};
};

struct LoginAnswer {
  std::string identity_token;  ///< to be kept instead of the password; may be empty
};

/// What GET /distribution/{name}/json tells.
struct RemoteImage {
  spec::Descriptor descriptor;
  std::vector<spec::Platform> platforms;
};

struct SearchRequest {
  std::string term;  ///< "[host/]words"
  unsigned limit = 25;
  Credentials credentials = {};
};
struct SearchResult {
  std::string name;
  std::string description;
  int64_t stars = 0;
  bool official = false;
  bool automated = false;
};

struct CachePush {
  spec::Reference reference;  ///< with a tag
  spec::BuildCache cache;     ///< without layers: those of `chains` are put in
  /// The chain ids that the records lead to, by their place; none: an empty root.
  std::vector<std::optional<Digest>> chains;
  Credentials credentials = {};
};

/// Where a fetched build cache came from, and what it says.
struct FetchedCache {
  spec::Reference reference;
  spec::BuildCache cache;
};

class Client {
 public:
  /// `images` must outlive it.
  Client(Settings settings, storage::ImageStore& images);
  ~Client();

  /// Errors in docker's words: "pull access denied for x, repository does not exist or may require ...",
  /// "manifest for x:y not found: ...".
  Result<std::vector<Pulled>> pull(const PullRequest& request, const MessageCallback& tell,
                                   std::stop_token stop);
  Result<std::vector<PushedTag>> push(const PushRequest& request, const MessageCallback& tell,
                                      std::stop_token stop);
  /// Refused: Unauthenticated.
  Result<LoginAnswer> login(const Credentials& credentials, std::stop_token stop);
  Result<RemoteImage> inspect(const spec::Reference& reference, const Credentials& credentials,
                              std::stop_token stop);
  Result<std::vector<SearchResult>> search(const SearchRequest& request, std::stop_token stop);

  /// Layers, and the manifest of a build cache under the reference's tag; its digest.
  Result<Digest> push_cache(const CachePush& request, const MessageCallback& tell, std::stop_token stop);
  /// The records that a build cache has. An image or something else: InvalidArgument.
  Result<FetchedCache> fetch_cache(const spec::Reference& reference, const Credentials& credentials,
                                   std::stop_token stop);
  /// Brings the chain of the layer of that index into the snapshotter; its chain id.
  Result<Digest> fetch_cache_chain(const FetchedCache& from, size_t layer, const Credentials& credentials,
                                   const MessageCallback& tell, std::stop_token stop);

  const Settings& settings() const;

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace berth::registry
