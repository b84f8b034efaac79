// checkpoint.
#include <fcntl.h>
#include <unistd.h>

#include "apps/runtime/create.h"
#include "apps/runtime/criu_flags.h"
#include "base/format.h"
#include "launch/criu.h"
#include "launch/criu_container.h"
#include "launch/failpoint.h"
#include "launch/stdio_record.h"

namespace berth::runtime {
namespace {

/// A zero byte, once, as callers of lazy migration wait for.
void say_ready(int& descriptor) {
  if (descriptor < 0) return;
  (void)!::write(descriptor, "", 1);
  ::close(descriptor);
  descriptor = -1;
}

/// criu has frozen the group, and may have died over it: who ran before runs on.
void let_run_on(const Container& container, Status before) {
  if (before == Status::Paused) return;
  if (auto group = container.cgroup(); group && *group) (void)(*group)->thaw();
}

Result<void> dump(const Container& container, const spec::RuntimeSpec& spec, const launch::Criu& criu,
                  CriuFlags& flags) {
  launch::CriuRequest request{
      .action = flags.pre_dump ? launch::CriuAction::PreDump : launch::CriuAction::Dump,
      .options = flags.options};
  request.options.log_file = "dump.log";
  request.options.config_file = launch::criu_config_file();
  TRY(auto group, container.cgroup());
  const Record& record = container.record();
  CHECK(launch::describe_dump({.spec = spec,
                               .pid = record.pid,
                               .root = record.rootfs,
                               .stdio = record.stdio,
                               .group = group.get(),
                               .hierarchies = {}},
                              request.options));
  request.notified = [&flags](const launch::CriuAnswer& notification, sys::UniqueFd) -> Result<void> {
    if (notification.script == "status-ready") say_ready(flags.status_fd);
    return launch::failpoint("checkpoint." + notification.script);
  };
  CHECK(criu.run(request));
  return {};
}

}  // namespace

Result<int> checkpoint(const Settings& settings, const std::vector<std::string>& words) {
  TRY(auto line, CommandLine::parse(words, flags_of_checkpoint()));
  TRY(std::string id, line.argument(0, "the container's id"));
  TRY(auto flags, criu_flags(line));
  close_foreign_descriptors(0);
  TRY(auto container, Container::open(settings.root, id));
  Status status = container.status();
  if (status != Status::Running && status != Status::Paused)
    return failure(Kind::WrongState, "cannot checkpoint a container that is {}: it must run",
                   to_string(status));
  TRY(auto config, container.config());
  CHECK(launch::check_for_criu(*config));
  warn_of_criu_annotation(settings.complaints, *config);
  TRY(auto criu, launch::Criu::find(settings.criu));
  if (flags.options.track_memory || flags.options.lazy_pages)
    CHECK(criu.require(flags.options.track_memory, flags.options.lazy_pages));
  TRY(auto place, open_place(flags, PlaceOf::Checkpoint));
  if (!flags.pre_dump) CHECK(launch::write_descriptors(place.images.get(), container.record().stdio));
  if (auto dumped = dump(container, *config, criu, flags); !dumped) {
    let_run_on(container, status);
    return std::move(dumped).error();
  }
  if (flags.pre_dump || flags.options.leave_running) return 0;
  CHECK(destroy_container(settings, container));
  return 0;
}

}  // namespace berth::runtime
