// kill, delete.
#include <poll.h>
#include <regex.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "apps/runtime/create.h"
#include "apps/runtime/flags.h"
#include "apps/runtime/resctrl.h"
#include "apps/runtime/resources.h"
#include "apps/runtime/scope.h"
#include "apps/runtime/signals.h"
#include "base/format.h"
#include "launch/hooks.h"

namespace berth::runtime {
namespace {

constexpr Flag kKillFlags[] = {{"all", FlagKind::Switch, 'a'}, {"regex", FlagKind::Switch, 'r'}};
constexpr Flag kDeleteFlags[] = {{"force", FlagKind::Switch, 'f'}, {"regex", FlagKind::Switch, 'r'}};

Result<void> signal_all(const Container& container, int signal) {
  TRY(auto group, container.cgroup());
  if (!group) return {};
  if (signal == SIGKILL) return group->kill_all();
  TRY(auto pids, group->pids());
  for (pid_t pid : pids)
    if (::kill(pid, signal) != 0 && errno != ESRCH)
      return Error::from_errno("signal process", std::to_string(pid), errno);
  return {};
}

bool shares_pids(const Container& container) {
  auto spec = container.config();
  if (!spec) return false;
  return std::ranges::none_of((*spec)->namespaces, [](const spec::Namespace& each) {
    return each.type == spec::NamespaceType::Pid && each.path.empty();
  });
}

/// SIGKILL, and waits until the init has gone.
void kill_init(const Container& container) {
  auto init = container.init();
  if (!init) return;
  ::syscall(SYS_pidfd_send_signal, init->get(), SIGKILL, nullptr, 0);
  pollfd ended{init->get(), POLLIN, 0};
  constexpr int kPatience = 10'000;
  ::poll(&ended, 1, kPatience);
}

}  // namespace

Result<void> destroy_container(const Settings& settings, Container& container) {
  auto spec = container.config();
  TRY(auto group, container.cgroup());
  auto pids = group ? group->pids() : std::vector<pid_t>();
  if (group && (!pids || !pids->empty())) {
    // A frozen group does not die.
    (void)group->thaw();
    CHECK(group->kill_all());
  }
  kill_init(container);
  if (group) {
    if (auto ended = end_scope(container.record()); !ended) settings.complaints.warn(ended.error().message());
    CHECK(group->remove());
  }
  remove_own_parent(container.record().cgroup);
  remove_resctrl(container.record().resctrl_made);
  std::string state = container.state_json(
      Status::Stopped, spec ? (*spec)->annotations : std::map<std::string, std::string>());
  CHECK(container.remove());
  if (!spec) return {};
  if (auto done = launch::run_hooks((*spec)->hooks.poststop,
                                    {.what = "poststop", .directory = container.record().bundle}, state);
      !done)
    settings.complaints.warn(done.error().message());
  return {};
}

Result<int> kill(const Settings& settings, const std::vector<std::string>& words) {
  TRY(auto line, CommandLine::parse(words, kKillFlags));
  TRY(std::string id, line.argument(0, "the container's id"));
  TRY(int signal, parse_signal(line.arguments().size() > 1 ? line.arguments()[1] : "SIGTERM"));
  TRY(auto container, Container::look(settings.root, id));
  if (line.on("all")) {
    CHECK(signal_all(container, signal));
    return 0;
  }
  // With its pid namespace shared, the others do not die with the init.
  if (signal == SIGKILL && shares_pids(container)) {
    auto group = container.cgroup();
    auto pids = group && *group ? (*group)->pids() : std::vector<pid_t>();
    if (pids && !pids->empty()) {
      (void)(*group)->thaw();
      CHECK((*group)->kill_all());
      return 0;
    }
  }
  TRY(auto init, container.init());
  if (::syscall(SYS_pidfd_send_signal, init.get(), signal, nullptr, 0) != 0) {
    if (errno == ESRCH) return Error(Kind::Unavailable, "container not running");
    return Error::from_errno("signal container", id, errno);
  }
  // One that is frozen would not die until somebody thaws it.
  bool frozen = signal == SIGKILL && container.status() == Status::Paused;
  if (frozen) {
    TRY(auto group, container.cgroup());
    if (group) CHECK(group->thaw());
  }
  return 0;
}

namespace {

Result<void> remove_one(const Settings& settings, const std::string& id, bool force) {
  auto container = Container::open(settings.root, id);
  if (!container) {
    if (force && container.error().kind() == Kind::NotFound) return {};
    return std::move(container).error();
  }
  Status status = container->status();
  // One that was created and never started holds nobody's work.
  bool idle = status == Status::Stopped || status == Status::Created || status == Status::Creating;
  if (!idle && !force)
    return failure(Kind::WrongState, "cannot delete container {} that is not stopped: {}", id,
                   to_string(status));
  return destroy_container(settings, *container);
}

/// Ids that match an extended regular expression, as crun has it.
Result<std::vector<std::string>> matching_ids(const Settings& settings, const std::string& pattern) {
  regex_t expression;
  if (::regcomp(&expression, pattern.c_str(), REG_EXTENDED | REG_NOSUB) != 0)
    return failure(Kind::InvalidArgument, "invalid regular expression \"{}\"", pattern);
  auto ids = Container::list(settings.root);
  if (ids)
    std::erase_if(
        *ids, [&](const std::string& id) { return ::regexec(&expression, id.c_str(), 0, nullptr, 0) != 0; });
  ::regfree(&expression);
  return ids;
}

}  // namespace

Result<int> remove(const Settings& settings, const std::vector<std::string>& words) {
  TRY(auto line, CommandLine::parse(words, kDeleteFlags));
  TRY(std::string id, line.argument(0, "the container's id"));
  std::vector<std::string> ids{id};
  if (line.on("regex")) {
    TRY(ids, matching_ids(settings, id));
  }
  for (const auto& each : ids) CHECK(remove_one(settings, each, line.on("force")));
  return 0;
}

}  // namespace berth::runtime
