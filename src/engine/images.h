// Images as clients manage them: storage::ImageStore on worker threads, plus events, filters and what the
// containers keep in use.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/containers.h"
#include "engine/events.h"
#include "io/task.h"
#include "storage/bootstrap.h"
#include "storage/image_store.h"

namespace berth::engine {

class Core;

struct ListImages {
  bool all = false;          ///< intermediate ones too
  bool shared_size = false;  ///< compute ImageSummary::shared_bytes
  Filters filters = {};      ///< before dangling label reference since until
};

struct ImageSummary {
  storage::Image image;
  int containers = 0;
  std::optional<uint64_t> shared_bytes = {};
};

class Images {
 public:
  explicit Images(Core& core) : core_(core) {}

  /// NotFound: "No such image: x".
  Result<storage::Image> find(std::string_view reference) const;
  /// Newest first.
  io::Task<Result<std::vector<ImageSummary>>> list(ListImages query);
  io::Task<Result<std::vector<storage::HistoryItem>>> history(std::string reference);
  io::Task<Result<void>> tag(std::string reference, std::string repository, std::string tag);
  io::Task<Result<std::vector<storage::RemovedName>>> remove(std::string reference,
                                                             storage::RemoveOptions options);
  /// Filters: dangling (default true), until, label, label!.
  io::Task<Result<storage::PruneReport>> prune(Filters filters);

  /// The callbacks below are called on the loop thread while the task runs; sources and sinks are used on a
  /// worker thread and must live until the task has ended. Destroying the task stops the work.
  io::Task<Result<std::vector<storage::LoadedImage>>> load(storage::ByteSource& archive,
                                                           std::optional<spec::Platform> platform,
                                                           storage::ProgressCallback progress);
  /// With a platform: of images that came with others in an index, this one alone.
  io::Task<Result<void>> save(std::vector<std::string> references, std::optional<spec::Platform> platform,
                              storage::ByteSink& out);
  struct Import {
    std::string repository = {};
    std::string tag = {};
    std::string message = {};
    std::vector<std::string> changes = {};  ///< Dockerfile instructions
    std::optional<spec::Platform> platform = {};
  };
  io::Task<Result<Digest>> import(storage::ByteSource& archive, Import options,
                                  storage::ProgressCallback progress);
  /// berth bootstrap: "busybox", "debian:bookworm".
  io::Task<Result<storage::BootstrapResult>> bootstrap(std::string name,
                                                       std::function<void(std::string_view line)> progress);

 private:
  Core& core_;
};

}  // namespace berth::engine
