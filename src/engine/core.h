// Core: what all use cases share: the stores, the tables of living things, and the tasks. Internal to
// engine/. Use cases are functions over it, one file per subject; see lifecycle.h for those that call each
// other.
#pragma once

#include <functional>
#include <map>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/container_table.h"
#include "engine/engine.h"
#include "engine/recent_outcomes.h"
#include "engine/record_store.h"
#include "engine/registry_jobs.h"
#include "io/event_loop.h"
#include "io/sync.h"
#include "io/task_group.h"
#include "launch/host_facts.h"
#include "launch/keeper.h"
#include "network/networks.h"
#include "storage/content_store.h"
#include "storage/database.h"
#include "storage/image_store.h"
#include "storage/snapshotter.h"
#include "sys/cgroup.h"
#include "sys/netns.h"

namespace berth::engine {

class Core {
 public:
  Core(io::EventLoop& loop, EngineOptions options);
  ~Core();

  /// Runs `work` to its end whatever becomes of the task that waits for it.
  template <class T>
  io::Task<T> run_to_end(io::Task<T> work) {
    auto completion = std::make_shared<Completion<T>>();
    tasks.spawn(complete(completion, std::move(work)));
    co_await completion->done.wait();
    co_return std::move(*completion->value);
  }
  /// Work that nobody waits for; close() does, for a while.
  void in_background(io::Task<void> work) { background.spawn(std::move(work)); }

  std::string container_dir(std::string_view id) const;
  std::string exec_dir(std::string_view id) const;
  /// The database would not take the record: logged, since the container's life goes on.
  void save_state(const ContainerRecord& record);
  void save_definition(const ContainerRecord& record);
  /// Attributes that every event of a container has: its labels, image and name, plus `more`.
  void publish(const ContainerRecord& record, std::string action,
               std::map<std::string, std::string> more = {});

  io::EventLoop& loop;
  EngineOptions options;
  std::string id;
  std::string host_name;
  std::vector<spec::Ulimit> default_ulimits;  ///< of containers that give none
  sys::UniqueFd data_lock;                    ///< held while this engine lives
  sys::UniqueFd exec_lock;
  std::unique_ptr<storage::Database> database;
  std::optional<RecordStore> records;
  std::optional<storage::ContentStore> content;
  std::unique_ptr<storage::Snapshotter> snapshotter;
  std::unique_ptr<storage::ImageStore> image_store;
  std::unique_ptr<RegistryJobs> registry_jobs;
  std::unique_ptr<ImageQuota> image_quota;
  std::unique_ptr<network::Networks> network;
  std::unique_ptr<sys::NetnsPool> namespaces;
  std::optional<sys::CgroupHost> cgroups;
  launch::HostFacts host;
  std::optional<launch::KeeperProgram> keeper_program;
  EventLog events;

  ContainerTable containers;
  RecentOutcomes recent_outcomes;
  std::map<std::string, VolumeRecord, std::less<>> volumes;
  std::map<std::string, std::shared_ptr<Exec>, std::less<>> execs;
  /// Held while images are removed; create takes it, so that no image goes while a container is made of it.
  io::Mutex image_removal;
  /// Further holders of layers (the build cache), asked before images are removed.
  std::vector<std::function<void(storage::InUse&)>> layer_holders;
  uint64_t health_checks = 0;  ///< probes run, and of them those that failed
  uint64_t failed_health_checks = 0;
  uint64_t next_attachment = 1;
  bool collecting_trash = false;  ///< a worker empties the trash
  bool trash_waiting = false;     ///< ... and there is more
  /// Set while close() runs: nothing is restarted any more.
  bool closing = false;

  Containers containers_facade{*this};
  Images images_facade{*this};
  Volumes volumes_facade{*this};
  Networks networks_facade{*this};
  System system_facade{*this};
  Registries registries_facade{*this};

  // Last, so that they are destroyed first: their frames refer to everything above.
  io::TaskGroup background;
  io::TaskGroup tasks;

 private:
  template <class T>
  struct Completion {
    std::optional<T> value;
    io::Event done;
  };
  template <class T>
  static io::Task<void> complete(std::shared_ptr<Completion<T>> completion, io::Task<T> work) {
    completion->value.emplace(co_await std::move(work));
    completion->done.set();
  }
};

}  // namespace berth::engine
