// Working directories of containers that have not been started.
#include "engine/working_directory.h"

#include "engine/paths.h"
#include "sys/root_dir.h"

namespace berth::engine {
namespace {

bool may_lack_it(const Container& container) {
  const ContainerRecord& record = container.record;
  const std::string& path = record.config.working_dir;
  return !container.removed && container.run == nullptr && record.state.status == Status::Created &&
         record.state.started == Timestamp{} && !path.empty() && clean_path(path) != "/";
}

}  // namespace

io::Task<Result<void>> settle_working_directory_locked(Core& core, ContainerHandle container) {
  if (!may_lack_it(*container)) co_return Result<void>();
  const storage::Snapshotter* snapshotter = core.snapshotter.get();
  const std::string id = container->record.id;
  const std::optional<Digest> chain = container->record.chain_id;
  const std::string path = clean_path("/" + container->record.config.working_dir);
  auto work = [snapshotter, id, chain, path]() -> Result<void> {
    {
      TRY(sys::RootDir seen, snapshotter->view(id, chain, storage::ViewAccess::ReadOnly));
      if (seen.exists(path)) return {};
    }
    TRY(sys::RootDir root, snapshotter->view(id, chain, storage::ViewAccess::ReadWrite));
    CHECK(root.make_dirs(path, 0755));
    return {};
  };
  co_return co_await core.loop.on_worker(work);
}

io::Task<Result<void>> settle_working_directory(Core& core, ContainerHandle container) {
  if (!may_lack_it(*container)) co_return Result<void>();
  io::Mutex::Guard guard = co_await container->operation.lock();
  io::Task<Result<void>> settling = settle_working_directory_locked(core, container);
  co_return co_await std::move(settling);
}

}  // namespace berth::engine
