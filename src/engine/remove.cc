// Removing containers: from the tables at once, from the disk in the background.
#include "base/format.h"
#include "base/log.h"
#include "engine/container_network.h"
#include "engine/label_filters.h"
#include "engine/lifecycle.h"
#include "engine/links.h"
#include "engine/transitions.h"

namespace berth::engine {
namespace {

io::Task<void> empty_trash(Core& core) {
  auto emptied = co_await core.loop.on_worker(
      [&core](std::stop_token stop) { return core.snapshotter->empty_trash(stop); });
  if (!emptied) log::warn("{}", emptied.error().message());
}

/// One worker empties the trash for everybody who has thrown something away meanwhile.
io::Task<void> collect_trash(Core& core) {
  if (core.collecting_trash) {
    core.trash_waiting = true;
    co_return;
  }
  core.collecting_trash = true;
  do {
    core.trash_waiting = false;
    io::Task<void> emptied = empty_trash(core);
    co_await std::move(emptied);
  } while (core.trash_waiting);
  core.collecting_trash = false;
}

/// "/parent/alias": the link of one container to another.
Result<void> remove_link(Core& core, std::string_view reference) {
  std::string path(reference.starts_with('/') ? reference.substr(1) : reference);
  size_t slash = path.find('/');
  if (slash == std::string::npos) {
    return Error(Kind::WrongState, "Conflict, cannot remove the default link name of the container");
  }
  auto parent = core.containers.find(path.substr(0, slash));
  if (!parent)
    return failure(Kind::NotFound, "Cannot get parent {} for link name {}", path.substr(0, slash), path);
  std::string alias = path.substr(slash + 1);
  ContainerRecord& record = (*parent)->record;
  std::vector<LinkName> removed;
  std::erase_if(record.host_config.links, [&](const std::string& text) {
    auto link = parse_link(text);
    bool is_it = link && link->alias == alias;
    if (is_it) removed.push_back(*std::move(link));
    return is_it;
  });
  core.save_definition(record);
  if (!is_alive(record.state.status)) return {};
  for (const LinkName& link : removed) close_link(core, record, link);
  // Its /etc/hosts has the name no more.
  if (auto written = write_container_files(core, record); !written)
    log::warn("container {}: {}", record.short_id(), written.error().message());
  return {};
}

}  // namespace

void forget_container(Core& core, const ContainerHandle& container, RemoveVolumes volumes) {
  ContainerRecord& record = container->record;
  container->removed = true;
  ++container->generation;
  if (auto moved = transition(record.state, Action::Remove); !moved) log::warn("{}", moved.error().message());
  for (const auto& exec : container->execs) core.execs.erase(exec->record.id);
  container->pending.clear();
  core.containers.erase(*container);
  if (auto removed = core.records->remove_container(record.id); !removed) {
    log::error("container {}: {}", record.short_id(), removed.error().message());
  }
  if (volumes == RemoveVolumes::Yes) remove_anonymous_volumes(core, record);
  if (auto discarded = core.snapshotter->discard(record.id); !discarded) {
    log::warn("container {}: {}", record.short_id(), discarded.error().message());
  }
  core.in_background(collect_trash(core));
  core.publish(record, "destroy");
  settle_waits(*container, WaitCondition::Removed, {.status_code = record.state.exit_code});
}

io::Task<Result<void>> remove_container(Core& core, ContainerHandle container, std::string reference,
                                        RemoveContainer options) {
  ContainerRecord& record = container->record;
  if (container->removed) co_return Result<void>();
  bool force = options.force == Force::Yes;
  CO_CHECK(may_remove(record, reference, force));
  if (container->removing) {
    co_return failure(Kind::WrongState, "removal of container {} is already in progress", reference);
  }
  container->removing = true;
  if (record.state.status == Status::Restarting) cancel_restart(core, *container);
  if (container->run) {
    io::Task<Result<void>> kill = kill_container(core, container);
    auto killed = co_await std::move(kill);
    if (!killed && container->run) {
      container->removing = false;
      co_return failure(killed.error().kind(), "cannot remove container \"{}\": could not kill container: {}",
                        reference, killed.error().message());
    }
  }
  auto guard = co_await container->operation.lock();
  container->removing = false;
  if (container->removed) co_return Result<void>();
  // A start that was under way may have won the lock.
  CO_CHECK(may_remove(record, reference, false));
  // Whoever asked finds them gone when the answer comes.
  std::vector<std::string> volumes;
  if (options.volumes == RemoveVolumes::Yes) volumes = own_anonymous_volumes(core, record);
  forget_container(core, container, RemoveVolumes::No);
  io::Task<void> removal = remove_volumes(core, std::move(volumes));
  co_await std::move(removal);
  co_return Result<void>();
}

io::Task<Result<void>> Containers::remove(std::string reference, RemoveContainer options) {
  if (options.link) co_return remove_link(core_, reference);
  CO_TRY(auto container, core_.containers.find(reference));
  io::Task<Result<void>> remove = remove_container(core_, container, std::move(reference), options);
  co_return co_await core_.run_to_end(std::move(remove));
}

namespace {

/// Neither running nor about to: one that has just ended may still be cleared away.
bool is_over(const Container& container) {
  const Status status = container.record.state.status;
  return !is_alive(status) && status != Status::Removing && !container.removed &&
         (!container.run || container.run->exited.is_set());
}

}  // namespace

io::Task<Result<PruneContainersReport>> Containers::prune(Filters filters) {
  CO_CHECK(check_filters(filters, {"until", "label", "label!"}));
  CO_TRY(auto until, until_filter(filters));
  PruneContainersReport report;
  for (const ContainerHandle& container : core_.containers.all()) {
    if (!is_over(*container)) continue;
    if (until && container->record.created >= *until) continue;
    if (!labels_match(filters, container->record.config.labels)) continue;
    std::string id = container->record.id;
    auto measure = [this, &id] { return core_.snapshotter->usage(id); };
    auto bytes = co_await core_.loop.on_worker(measure);
    if (!is_over(*container)) continue;
    io::Task<Result<void>> remove = remove_container(core_, container, id, {});
    auto removed = co_await core_.run_to_end(std::move(remove));
    if (!removed) continue;
    report.ids.push_back(std::move(id));
    report.reclaimed_bytes += bytes ? *bytes : 0;
  }
  core_.events.publish("container", "prune", "", {{"reclaimed", std::to_string(report.reclaimed_bytes)}});
  co_return report;
}

}  // namespace berth::engine
