// start.
#include <unistd.h>

#include <algorithm>

#include "apps/runtime/console.h"
#include "apps/runtime/create.h"
#include "apps/runtime/flags.h"
#include "apps/runtime/hooks_inside.h"
#include "base/format.h"
#include "base/json.h"
#include "launch/direct_launch.h"
#include "launch/failpoint.h"
#include "launch/hooks.h"
#include "sys/packet_socket.h"

namespace berth::runtime {
namespace {

Result<void> release(Container& container, const spec::RuntimeSpec& spec) {
  launch::DirectProcess process{.pid = container.record().pid};
  TRY(process.pidfd, container.init());
  TRY(process.sync, sys::connect_packet_socket(container.start_socket()));
  launch::DirectCallbacks callbacks;
  callbacks.seccomp = [&](sys::UniqueFd listener) {
    // runc and crun load the filter before their "created"; their agents know a first process by this status.
    return send_listener(container, Status::Creating, spec, process.pid, listener.get());
  };
  auto running = launch::follow(process, callbacks);
  if (!running) return std::move(running).error();
  return {};
}

bool asks_agent(const spec::Seccomp& seccomp) {
  return std::ranges::any_of(seccomp.syscalls,
                             [](const auto& rule) { return rule.action == "SCMP_ACT_NOTIFY"; });
}

}  // namespace

Result<void> send_listener(const Container& container, Status status, const spec::RuntimeSpec& spec,
                           pid_t pid, int listener) {
  const std::string& path = spec.seccomp->listener_path;
  if (path.empty()) return Error(Kind::InvalidArgument, "seccomp: SCMP_ACT_NOTIFY needs a listenerPath");
  Json state = Json::parse(container.state_json(status, spec.annotations), nullptr, false);
  // The version of the message, as crun's agents know it; the state has the specification's.
  Json message = {{"ociVersion", "0.2.0"},
                  {"fds", {"seccompFd"}},
                  {"pid", pid},
                  {"metadata", spec.seccomp->listener_metadata},
                  {"state", std::move(state)}};
  auto sent = send_with_descriptor(path, to_json(message), listener);
  // An agent that is asked nothing need not be there: the specification has its path ignored.
  if (!sent && asks_agent(*spec.seccomp))
    return failure(Kind::Unavailable, "failed to connect with seccomp agent: {}", sent.error().message());
  return {};
}

Result<void> start_container(const Settings& settings, Container& container, const spec::RuntimeSpec& spec) {
  CHECK(launch::failpoint("start.hooks"));
  CHECK(run_hooks_inside(container, spec, container.state_json(Status::Created, spec.annotations)));
  CHECK(launch::failpoint("start.release"));
  CHECK(release(container, spec));
  ::unlink(container.start_socket().c_str());
  auto done =
      launch::run_hooks(spec.hooks.poststart, {.what = "poststart", .directory = container.record().bundle},
                        container.state_json(Status::Running, spec.annotations));
  if (done) done = launch::failpoint("start.poststart");
  if (done) return {};
  if (auto group = container.cgroup(); group && *group) (void)(*group)->kill_all();
  (void)settings;
  return done;
}

Result<int> start(const Settings& settings, const std::vector<std::string>& words) {
  TRY(auto line, CommandLine::parse(words, {}));
  TRY(std::string id, line.argument(0, "the container's id"));
  TRY(auto container, Container::open(settings.root, id));
  switch (container.status()) {
    case Status::Created:
      break;
    case Status::Stopped:
      return Error(Kind::WrongState, "cannot start a container that has stopped");
    case Status::Running:
    case Status::Paused:
      return Error(Kind::WrongState, "cannot start an already running container");
    case Status::Creating:
      return Error(Kind::WrongState, "cannot start a container that is being created");
  }
  TRY(auto config, container.config());
  const spec::RuntimeSpec& spec = *config;
  CHECK(start_container(settings, container, spec));
  return 0;
}

}  // namespace berth::runtime
