// Builder: from a context and a Dockerfile to an image. The façade of this folder; everything is called and
// answers on the loop thread, and blocking work goes to the worker pool.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/result.h"
#include "build/cache.h"
#include "build/progress.h"
#include "io/cancel.h"
#include "io/task.h"
#include "spec/build_cache.h"
#include "spec/container.h"
#include "spec/image.h"
#include "spec/reference.h"
#include "storage/image_store.h"
#include "sys/fd.h"

namespace berth::build {

class CacheSource;
class ClientTransfers;
class StepKeeper;
class StepRunner;

/// Delivers the bytes of a build context's tar: the body of POST /build.
class ContextStream {
 public:
  virtual ~ContextStream() = default;
  /// The next bytes, of any length; empty at the end.
  virtual io::Task<Result<std::string>> next() = 0;
};

/// A tar, plain or compressed. One that is no tar is taken for a Dockerfile without context.
struct StreamContext {
  std::unique_ptr<ContextStream> stream;
};
/// A directory on this host; its .dockerignore is applied.
struct DirectoryContext {
  sys::UniqueFd directory;
};
/// http(s) URL of a tar or of a Dockerfile, or a git repository (spec::parse_git_place).
struct RemoteContext {
  std::string url;
  bool keep_git_directory = false;  ///< a repository's ".git" is part of the context
  std::string agent = {};           ///< socket of the SSH agent that opens a repository (git_program.h)
};
/// Nothing but BuildRequest::dockerfile_text.
struct NoContext {};
using BuildContext = std::variant<NoContext, StreamContext, DirectoryContext, RemoteContext>;

enum class CacheUse { Normal, Ignore };
enum class PullPolicy { Missing, Always };

struct BuildRequest {
  BuildContext context = NoContext{};
  std::string dockerfile = "Dockerfile";            ///< path within the context
  std::optional<std::string> dockerfile_text = {};  ///< instead of that file
  std::vector<std::string> tags = {};               ///< references as the user wrote them
  std::string target = {};                          ///< stage's name or index; empty: the last
  std::map<std::string, std::optional<std::string>> build_args = {};  ///< no value: declared, not set
  std::map<std::string, std::string> labels = {};
  std::string platform = {};  ///< "linux/amd64"; empty: the host's
  CacheUse cache = CacheUse::Normal;
  PullPolicy pull = PullPolicy::Missing;
  std::string network_mode = {};                    ///< of RUN: "default", "none", "host", a network's name
  std::vector<std::string> extra_hosts = {};        ///< "name:address"
  int64_t shm_size = 0;                             ///< bytes, 0 is the default
  spec::ContainerResources resources = {};          ///< memory, cpu, ulimits, cgroup_parent of RUN
  std::map<std::string, std::string> secrets = {};  ///< id -> content, for RUN --mount=type=secret
  std::map<std::string, std::string> agents = {};   ///< id -> socket of an SSH agent on this host
  /// What FROM and --from call an image -> the image (reference or id) that is meant: named contexts.
  std::map<std::string, std::string> contexts = {};
  std::shared_ptr<CacheSource> cache_source = {};  ///< what builds elsewhere have made
  /// The image's configuration carries the records of its steps, as BUILDKIT_INLINE_CACHE=1 asks for too.
  bool inline_cache = false;
  bool squash = false;  ///< the layers above the base become one
  /// As docker's classic builder has it: every step leaves an image without a name, and each stands on the
  /// one before, the first on that of FROM.
  bool step_images = false;
  /// With step_images: only steps that one of these images has are taken from memory; those that are not here
  /// have none. Not given: all that is remembered.
  std::optional<std::vector<std::string>> cache_from = {};
  std::shared_ptr<StepKeeper> step_keeper = {};  ///< with step_images: who gets the sandboxes that are kept
  /// Credentials per registry host, as X-Registry-Config has them (JSON); handed to the image source.
  std::string registry_config = {};
};

/// A step whose result others may use.
struct SharedStep {
  StepRecord record;
  bool of_target = false;  ///< of the stage that became the image, or the image itself
};

/// The step as others may know it, without its layer's place.
spec::BuildCacheRecord shared_record(const StepRecord& step);

struct BuildResult {
  Digest image_id;
  std::vector<std::string> tags = {};  ///< familiar, those that were set
  std::vector<SharedStep> steps = {};  ///< of all stages that were needed
};

struct BuildLimits {
  uint64_t max_context_bytes = uint64_t{64} << 30;
  uint64_t max_context_entries = 1'000'000;
  uint64_t max_download_bytes = uint64_t{16} << 30;
  uint64_t max_log_bytes = uint64_t{2} << 20;     ///< of one RUN's output that is passed on
  uint64_t max_cache_bytes = uint64_t{20} << 30;  ///< beyond it the least recently used records go
};

/// Where base images come from. The default finds those in the image store; the composition root gives one
/// that also pulls.
class ImageSource {
 public:
  struct Request {
    std::string reference;
    PullPolicy pull = PullPolicy::Missing;
    spec::Platform platform;
    std::string registry_config;
  };
  virtual ~ImageSource() = default;
  /// Missing: NotFound that names the way out. May report StepTransfer.
  virtual io::Task<Result<storage::Image>> resolve(Request request, ProgressSink& progress,
                                                   io::CancelToken cancel) = 0;
};

/// Finds base images in the image store alone.
class LocalImageSource : public ImageSource {
 public:
  explicit LocalImageSource(storage::ImageStore& images) : images_(images) {}
  io::Task<Result<storage::Image>> resolve(Request request, ProgressSink& progress,
                                           io::CancelToken cancel) override;

 private:
  storage::ImageStore& images_;
};

struct CacheRecordInfo {
  std::string id;           ///< hex of the key
  std::string description;  ///< the instruction
  std::string type;         ///< "regular", "exec.cachemount", "source.http"
  uint64_t size = 0;        ///< bytes on disk that only the cache holds; 0 when shared with an image
  bool in_use = false;
  bool shared = false;
  Timestamp created;
  Timestamp last_used;
  uint64_t use_count = 0;
};

struct PruneRequest {
  bool all = false;                            ///< also records whose layers images share
  uint64_t keep_bytes = 0;                     ///< keep the most recently used up to this size
  std::optional<Timestamp> unused_since = {};  ///< only records not used after this
  std::vector<std::string> ids = {};           ///< only these (prefixes)
  std::vector<std::string> types = {};
};

struct PruneResult {
  std::vector<std::string> ids;
  uint64_t reclaimed_bytes = 0;
};

struct BuilderServices {
  io::EventLoop& loop;
  storage::Database& database;
  storage::ImageStore& images;
  ImageSource& image_source;
  StepRunner& runner;
  std::string data_root;  ///< uses <data_root>/tmp/build (emptied at open) and <data_root>/build
  BuildLimits limits = {};
  /// What containers hold, so that pruning can free layers at once. Without it they go when images are next
  /// collected.
  std::function<storage::InUse()> in_use = {};
};

class Builder {
 public:
  /// Ends and removes what an earlier daemon's builds have left.
  static io::Task<Result<std::unique_ptr<Builder>>> open(BuilderServices services);
  ~Builder();
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;

  /// Builds and tags. Cancelling ends the running step; whatever the end, nothing is left of unfinished
  /// steps. Reports everything to `progress`, which must outlive the task.
  io::Task<Result<BuildResult>> build(BuildRequest request, ProgressSink& progress, io::CancelToken cancel);

  /// `in_use` adds to BuilderServices::in_use.
  io::Task<Result<PruneResult>> prune(PruneRequest request, storage::InUse in_use);
  Result<std::vector<CacheRecordInfo>> disk_usage() const;
  /// What passes between builds and their clients beside the builds' own requests.
  ClientTransfers& transfers();
  storage::ImageStore& images();
  /// Ends when the work that goes on after builds (removing scratch files) is done.
  io::Task<void> wait_until_idle();

 private:
  struct State;
  explicit Builder(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace berth::build
