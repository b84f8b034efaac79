// Making, listing and removing checkpoints.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/format.h"
#include "base/log.h"
#include "engine/checkpoint_record.h"
#include "engine/checkpoints.h"
#include "engine/lifecycle.h"
#include "engine/plan_container.h"
#include "engine/restore.h"
#include "engine/sandbox_table.h"
#include "engine/secrets.h"
#include "io/cancel.h"
#include "launch/criu.h"
#include "launch/criu_container.h"
#include "launch/failpoint.h"
#include "launch/stdio_record.h"
#include "sys/file.h"

namespace berth::engine {
namespace {

constexpr std::chrono::seconds kStreamsTimeout{10};
constexpr std::chrono::seconds kEndTimeout{30};

/// Everything that a dump needs, so that a worker can do it.
struct Dump {
  ContainerRecord record;
  std::shared_ptr<Run> run;
  spec::RuntimeSpec spec;
  std::vector<sys::CgroupHierarchy> hierarchies;
  std::string directory;  ///< of the checkpoint
  std::string work;       ///< for criu's log
  bool ends = true;
};

Error no_checkpoint(const ContainerRecord& record, const std::string& name) {
  return failure(Kind::NotFound, "checkpoint {} does not exist for container {}", name.substr(0, 128),
                 record.name);
}

Result<void> may_dump(const Core& core, const ContainerRecord& record, const NewCheckpoint& request) {
  switch (record.state.status) {
    case Status::Running:
      break;
    case Status::Paused:
      return failure(Kind::WrongState, "Container {} is paused: unpause it before it is checkpointed",
                     record.name);
    default:
      return failure(Kind::WrongState, "Container {} not running", record.name);
  }
  if (record.host_config.auto_remove && request.ends && request.directory.empty())
    return failure(
        Kind::WrongState,
        "container {} is removed when it ends (--rm), and its checkpoints with it: leave it running, or "
        "name a directory for the checkpoint",
        record.name);
  return may_checkpoint(core, record);
}

CheckpointRecord record_of(const ContainerRecord& container) {
  CheckpointRecord record{.container = container.id, .created = now(), .networks = {}};
  for (const auto& [name, settings] : container.endpoints)
    record.networks[name] = {settings.ip_address, settings.global_ipv6_address};
  return record;
}

std::vector<std::string> names_of_streams(const Run& run) {
  std::vector<std::string> names;
  for (uint64_t inode : run.streams)
    names.push_back(inode == 0 ? std::string() : fmt::format("pipe:[{}]", inode));
  return names;
}

/// The record is written when criu has all images, and before it lets go of the processes: should berthd end
/// now, there is a whole checkpoint, or none and a container that runs on.
Result<void> dump_into(const Dump& dump, const launch::Criu& criu, int images, int work) {
  CHECK(launch::write_descriptors(images, names_of_streams(*dump.run)));
  launch::CriuRequest request{.action = launch::CriuAction::Dump, .options = {}};
  launch::CriuOptions& options = request.options;
  options.images = images;
  options.work = work;
  options.log_file = "dump.log";
  options.config_file = launch::criu_config_file();
  options.leave_running = !dump.ends;
  options.file_locks = true;
  options.empty_network = true;
  CHECK(launch::describe_dump({.spec = dump.spec,
                               .pid = dump.run->pid,
                               .root = "/",
                               .stdio = names_of_streams(*dump.run),
                               .group = dump.run->cgroup.get(),
                               .hierarchies = dump.hierarchies},
                              options));
  request.notified = [&](const launch::CriuAnswer& told, sys::UniqueFd) -> Result<void> {
    CHECK(launch::failpoint("checkpoint." + told.script));
    return told.script == "post-dump" ? write_checkpoint_record(images, record_of(dump.record))
                                      : Result<void>();
  };
  CHECK(criu.run(request));
  return {};
}

/// What a daemon that was killed had begun goes. Anything else is somebody's.
Result<void> clear_place(const std::string& directory) {
  auto entries = sys::list_dir(directory);
  if (!entries && entries.error().kind() == Kind::NotFound) return {};
  if (!entries) return std::move(entries).error();
  auto is_ours = [](const sys::DirEntry& entry) { return entry.name == "descriptors.json"; };
  if (!entries->empty() && std::ranges::none_of(*entries, is_ours))
    return failure(Kind::AlreadyExists,
                   "{} exists and is no checkpoint of this engine: remove it, or choose another name",
                   directory);
  return sys::remove_tree(directory);
}

/// On a worker thread. On failure the container runs on and nothing of the checkpoint stays.
Result<void> make_images(const Dump& dump) {
  TRY(auto criu, launch::Criu::find());
  CHECK(launch::check_for_criu(dump.spec));
  CHECK(clear_place(dump.directory));
  CHECK(sys::make_dirs(dump.work, 0700));
  CHECK(sys::make_dirs(dump.directory, 0700));
  auto work = [&]() -> Result<void> {
    sys::UniqueFd images(::open(dump.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!images) return Error::from_errno("open", dump.directory, errno);
    sys::UniqueFd logs(::open(dump.work.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!logs) return Error::from_errno("open", dump.work, errno);
    return dump_into(dump, criu, images.get(), logs.get());
  };
  auto done = work();
  if (done) return {};
  // criu may have died over a group that it had frozen.
  if (auto thawed = dump.run->cgroup->thaw(); !thawed) log::warn("{}", thawed.error().message());
  if (auto gone = sys::remove_tree(dump.directory); !gone) log::warn("{}", gone.error().message());
  return failure(done.error().kind(), "{} (criu's log is in {})", done.error().message(), dump.work);
}

/// The specification as criu has to know it: what is bound where. Sources do not matter.
Result<spec::RuntimeSpec> dumped_spec(Core& core, const ContainerRecord& record) {
  ContainerRecord planned = record;
  const std::string& ipc = record.host_config.ipc_mode;
  if (ipc == "shareable" || ipc.starts_with("container:")) planned.shm_path = "/dev/shm";
  if (has_secrets(core, record.id))
    planned.mounts.push_back({.type = spec::MountType::Bind,
                              .source = secrets_mount(core.exec_dir(record.id)),
                              .destination = "/run/secrets",
                              .read_write = false});
  TRY(auto plan, plan_of(core, planned));
  name_network("/proc/self/ns/net", plan.spec);
  return std::move(plan.spec);
}

io::Task<Result<bool>> told(std::shared_ptr<Run> run) {
  co_await run->streams_told.wait();
  co_return true;
}

/// Which pipes the container was given, the keeper knows.
io::Task<Result<void>> ask_streams(std::shared_ptr<Run> run) {
  run->streams_told.reset();
  CO_CHECK(run->keeper->ask_streams());
  io::Task<Result<bool>> answer = told(run);
  auto heard =
      co_await io::with_deadline(std::move(answer), std::chrono::steady_clock::now() + kStreamsTimeout);
  if (!heard) co_return Error(Kind::DeadlineExceeded, "the container's berth-keeper does not answer");
  if (run->exited.is_set()) co_return Error(Kind::WrongState, "the container has ended");
  co_return Result<void>();
}

io::Task<Result<void>> create_checkpoint(Core& core, ContainerHandle container, NewCheckpoint request) {
  io::Mutex::Guard guard = co_await container->operation.lock();
  ContainerRecord& record = container->record;
  if (container->removed) co_return failure(Kind::NotFound, "No such container: {}", record.name);
  CO_CHECK(may_dump(core, record, request));
  CO_TRY(std::string parent, checkpoints_of(core, record, request.directory));
  std::string directory = parent + "/" + request.name;
  if (is_checkpoint(directory))
    co_return failure(
        Kind::AlreadyExists,
        "cannot checkpoint container {}: checkpoint with name {} already exists for container {}",
        record.name, request.name, record.name);
  std::shared_ptr<Run> run = container->run;
  io::Task<Result<void>> asking = ask_streams(run);
  auto asked = co_await std::move(asking);
  if (!asked) co_return std::move(asked).error().in("Cannot checkpoint container", record.name);
  if (container->run != run) co_return failure(Kind::WrongState, "Container {} not running", record.name);
  CO_TRY(auto spec, dumped_spec(core, record));
  Dump dump{.record = record,
            .run = run,
            .spec = std::move(spec),
            .hierarchies = core.cgroups->hierarchies(),
            .directory = std::move(directory),
            .work = criu_work_dir(core, record),
            .ends = request.ends};
  run->checkpointed = request.ends;
  auto work = [&dump] { return make_images(dump); };
  auto made = co_await core.loop.on_worker(work);
  if (!made) {
    run->checkpointed = false;
    co_return std::move(made).error().in("Cannot checkpoint container", record.name);
  }
  if (request.ends) {
    io::Task<bool> ending = await_exit(core, run, kEndTimeout);
    bool ended = co_await std::move(ending);
    if (!ended)
      co_return failure(Kind::DeadlineExceeded, "container {} has a checkpoint {}, but does not end",
                        record.name, request.name);
  }
  core.publish(record, "checkpoint", {{"checkpoint", request.name}});
  co_return Result<void>();
}

Result<std::vector<std::string>> names_in(const std::string& parent, const std::string& given) {
  std::vector<std::string> names;
  if (!given.empty() && ::access(given.c_str(), F_OK) != 0)
    return Error::from_errno("checkpoint directory", given, errno);
  auto entries = sys::list_dir(parent);
  if (!entries && entries.error().kind() == Kind::NotFound) return names;
  if (!entries) return std::move(entries).error();
  for (const sys::DirEntry& entry : *entries)
    if (check_checkpoint_name(entry.name) && is_checkpoint(parent + "/" + entry.name))
      names.push_back(entry.name);
  std::ranges::sort(names);
  return names;
}

}  // namespace

Checkpoints::Checkpoints(const Engine& engine) : core_(SandboxTable::core_of(engine)) {}

io::Task<Result<void>> Checkpoints::create(std::string reference, NewCheckpoint request) {
  CO_TRY(ContainerHandle container, core_.containers.find(reference));
  CO_CHECK(check_checkpoint_name(request.name));
  io::Task<Result<void>> work = create_checkpoint(core_, container, std::move(request));
  co_return co_await core_.run_to_end(std::move(work));
}

io::Task<Result<std::vector<std::string>>> Checkpoints::list(std::string reference, std::string directory) {
  CO_TRY(ContainerHandle container, core_.containers.find(reference));
  CO_TRY(std::string parent, checkpoints_of(core_, container->record, directory));
  auto work = [&] { return names_in(parent, directory); };
  co_return co_await core_.loop.on_worker(work);
}

io::Task<Result<void>> Checkpoints::remove(std::string reference, std::string name, std::string directory) {
  CO_TRY(ContainerHandle container, core_.containers.find(reference));
  CO_CHECK(check_checkpoint_name(name));
  CO_TRY(std::string parent, checkpoints_of(core_, container->record, directory));
  std::string path = parent + "/" + name;
  // Not while one is made or restored.
  io::Mutex::Guard guard = co_await container->operation.lock();
  if (!is_checkpoint(path)) co_return no_checkpoint(container->record, name);
  auto work = [&path] { return sys::remove_tree(path); };
  co_return co_await core_.loop.on_worker(work);
}

io::Task<Result<void>> Checkpoints::start(std::string reference, std::string name, std::string directory) {
  CO_TRY(ContainerHandle container, core_.containers.find(reference));
  CO_CHECK(check_checkpoint_name(name));
  CO_TRY(std::string parent, checkpoints_of(core_, container->record, directory));
  std::string path = parent + "/" + name;
  // Another container's, which its owner points at.
  if (!directory.empty() && !is_checkpoint(path)) path = directory + "/" + name;
  if (!is_checkpoint(path)) co_return no_checkpoint(container->record, name);
  CO_CHECK(may_checkpoint(core_, container->record));
  // Said before anything of the container is touched.
  auto look = []() -> Result<void> {
    CHECK(launch::Criu::find());
    return {};
  };
  auto usable = co_await core_.loop.on_worker(look);
  if (!usable) co_return std::move(usable).error();
  io::Task<Result<void>> start = start_container(core_, container, StartReason::User, std::move(path));
  co_return co_await core_.run_to_end(std::move(start));
}

}  // namespace berth::engine
