// Engine: the façade of all use cases; api/ sees nothing below it. One per daemon, on the loop thread.
//
//   auto engine = loop.run_until_complete(Engine::open(loop, options));   // recovers what an earlier daemon
//   left
//   ... (*engine)->containers().start("web") ...
//   loop.run_until_complete((*engine)->close());                          // containers go on, unless
//                                                                         // live_restore is off
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "engine/container_defaults.h"
#include "engine/containers.h"
#include "engine/events.h"
#include "engine/images.h"
#include "engine/networks.h"
#include "engine/registries.h"
#include "engine/system.h"
#include "engine/user_remap.h"
#include "engine/volumes.h"
#include "io/event_loop.h"
#include "io/task.h"

namespace berth::sys {
class NetnsPool;
class CgroupHost;
}  // namespace berth::sys

namespace berth::launch {
class KeeperProgram;
struct HostFacts;
}  // namespace berth::launch

namespace berth::engine {

class Core;

/// What a running engine can be told anew (SIGHUP).
struct EngineSettings {
  int shutdown_timeout = 15;                      ///< seconds that close() waits for work in the background
  bool live_restore = true;                       ///< containers outlive the engine
  std::vector<std::string> default_ulimits = {};  ///< "nofile=1024:2048"
  std::vector<std::string> labels = {};           ///< of the engine, "key=value", shown by info
  std::vector<std::string> cdi_spec_dirs =
      {};  ///< of CDI specifications, the later the stronger; none: no CDI
  ContainerDefaults container_defaults = {};
  spec::LogConfig default_log = {};  ///< of containers that name no log driver
  uint64_t log_total_bytes = 0;      ///< all containers' logs together; 0: each has its own bound alone
  uint64_t storage_quota = 0;        ///< bytes of images on the disk; 0: none
  registry::Settings registry = {};
};

struct EngineOptions {
  std::string data_root = "/var/lib/berth";
  std::string exec_root = "/run/berth";
  std::string keeper_program;            ///< path of berth-keeper
  std::string cgroup_parent = {};        ///< empty: "/berth"
  network::NetworkOptions network = {};  ///< `instance` is filled in from exec_root when empty
  size_t ready_namespaces = 4;           ///< stock of network namespaces
  UserRemap user_remap = {};             ///< of containers that say nothing of user namespaces
  std::vector<std::string> hook_runner =
      {};  ///< program and arguments that run a launch::encode_hooks() file
  std::vector<std::string> authorization_plugins = {};  ///< shown by info; asking them is api/'s
  EngineSettings settings = {};
};

class ImageQuota;

class Engine {
 public:
  /// Opens the data root (locked against a second engine: WrongState), recovers, and restarts what restart
  /// policies ask for.
  static io::Task<Result<std::unique_ptr<Engine>>> open(io::EventLoop& loop, EngineOptions options);
  ~Engine();

  Containers& containers();
  Images& images();
  Volumes& volumes();
  Networks& networks();
  System& system();
  Registries& registries();
  EventLog& events();
  /// Pins of images, their last use, and the bound on their disk use.
  ImageQuota& image_quota();

  /// Takes over settings for what comes from now on, and publishes the event daemon/reload. InvalidArgument:
  /// nothing has changed.
  Result<void> reload(EngineSettings settings);

  /// Finishes work in the background (bounded) and lets go of the containers, which go on running; without
  /// live_restore they are stopped first.
  io::Task<void> close();

  /// Further holders of layers (the build cache), asked whenever images are removed.
  void add_layer_holder(std::function<void(storage::InUse&)> holder);
  /// What containers and the holders added above keep.
  storage::InUse layers_in_use() const;

  /// For the composition root alone: what build/ and others that are started beside the engine share with it.
  storage::ImageStore& image_store();
  storage::Snapshotter& snapshotter();
  storage::ContentStore& content_store();
  storage::Database& database();
  network::Networks& network();
  sys::NetnsPool& namespaces();
  const sys::CgroupHost& cgroups();
  const launch::KeeperProgram& keeper_program();
  const launch::HostFacts& host_facts();
  const EngineOptions& options() const;

 private:
  explicit Engine(std::unique_ptr<Core> core);
  std::unique_ptr<Core> core_;
};

}  // namespace berth::engine
