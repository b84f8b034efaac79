// Build: one build of a client, from what its frontend asks to an image, and from there to where the client
// wants it.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include <control.pb.h>
#include "apps/buildkit/engine_client.h"
#include "apps/buildkit/parameters.h"
#include "apps/buildkit/product.h"
#include "apps/buildkit/progress.h"
#include "apps/buildkit/session.h"
#include "base/result.h"

namespace berth::buildkit {

/// What the client's side of a gateway build returned.
struct Returned {
  Product product = {};  ///< without images: nothing was built
  std::optional<Error> error = {};
};

class Build {
 public:
  Build(std::string ref, const EngineClient& engine, SessionTable& sessions)
      : ref_(std::move(ref)), engine_(engine), sessions_(sessions), progress_(ref_) {}

  /// What comes with the request instead of from the session.
  struct Input {
    /// An archive piece by piece, empty at its end: the context.
    std::function<Result<std::string>()> body = {};
    std::string registries = {};  ///< X-Registry-Config
  };

  const std::string& ref() const { return ref_; }
  Progress& progress() { return progress_; }

  /// Control.Solve has come. WrongState: a second one.
  Result<void> begin(moby::buildkit::v1::SolveRequest request);
  void set_input(Input input);
  /// What a frontend gives.
  struct Outcome {
    Product product = {};  ///< without images: an answer to a call alone
    std::map<std::string, std::string> metadata = {};
  };
  /// Builds by the Dockerfile frontend, or answers a call of it. Waits for Control.Solve first.
  Result<Outcome> run_frontend(const std::string& frontend, const Attributes& attributes,
                               const Cancelled& cancelled);
  /// Names an image that run_frontend() made, for a client that gets a reference instead.
  std::string add_result(PlatformImage image);
  Result<PlatformImage> image_of(const std::string& reference) const;
  /// Of the images that run_frontend() made: whether nobody has asked for their provenance.
  bool has_provenance_by_default() const;

  void set_returned(Returned returned);
  /// Waits for set_returned().
  Result<Product> wait_for_return(const Cancelled& cancelled);

  /// Does with what was made what the request's exporters say; the answer's map.
  Result<std::map<std::string, std::string>> export_product(const Product& product,
                                                            const Cancelled& cancelled);

 private:
  Result<moby::buildkit::v1::SolveRequest> wait_for_request(const Cancelled& cancelled);

  std::string ref_;
  const EngineClient& engine_;
  SessionTable& sessions_;
  Progress progress_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<moby::buildkit::v1::SolveRequest> request_;
  std::optional<Returned> returned_;
  Input input_;
  std::map<std::string, PlatformImage> results_;
  bool provenance_by_default_ = false;
  std::string cache_manifest_;  ///< descriptor of a cache that was left with the client
};

class BuildTable {
 public:
  BuildTable(const EngineClient& engine, SessionTable& sessions) : engine_(engine), sessions_(sessions) {}
  /// The build of that name, made when nobody has mentioned it yet: calls about a build overtake each other.
  std::shared_ptr<Build> get(const std::string& ref);
  bool knows(const std::string& ref) const;

 private:
  const EngineClient& engine_;
  SessionTable& sessions_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Build>> builds_;
  std::vector<std::string> order_;  ///< oldest first
};

}  // namespace berth::buildkit
