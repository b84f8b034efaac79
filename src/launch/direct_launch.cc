// The creator's side of a process without a keeper.
#include "launch/direct_launch.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/format.h"
#include "launch/birthplace.h"
#include "launch/executor/executor.h"
#include "launch/failure_text.h"
#include "launch/step_report.h"
#include "sys/device_node.h"
#include "sys/id_mapper.h"
#include "sys/kernel_call.h"
#include "sys/mapped_tree.h"
#include "sys/packet_socket.h"

namespace berth::launch {
namespace {

namespace call = sys::call;

Result<std::vector<sys::UniqueFd>> map_mounts(const LaunchPlan& plan) {
  std::vector<sys::UniqueFd> mounts;
  for (const MappedMount& mount : plan.mapped_mounts) {
    if (mount.uid_map.empty()) {
      unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (mount.recursive ? AT_RECURSIVE : 0);
      long plain = call::open_tree(AT_FDCWD, mount.source.c_str(), flags);
      if (plain < 0) return Error::from_errno("open mount source", mount.source, static_cast<int>(-plain));
      mounts.emplace_back(static_cast<int>(plain));
      continue;
    }
    TRY(auto users, sys::make_user_namespace(mount.uid_map, mount.gid_map));
    auto depth = [](bool recursive) {
      return recursive ? sys::TreeDepth::WithMountsBelow : sys::TreeDepth::MountAlone;
    };
    TRY(auto tree, sys::clone_mapped_tree(mount.source, depth(mount.recursive), users.get(),
                                          depth(mount.maps_recursively)));
    mounts.push_back(std::move(tree));
  }
  return mounts;
}

/// Where the creator may make no nodes either: the host's own, bound.
Result<void> make_nodes(const LaunchPlan& plan, std::vector<sys::UniqueFd>& mounts,
                        std::vector<Executor::Descriptors::Filled>& filled) {
  for (const NodeMount& node : plan.node_mounts) {
    auto mount = sys::make_node_mount(
        {.mode = node.mode, .major = node.major, .minor = node.minor, .uid = node.uid, .gid = node.gid});
    if (!mount) {
      long tree = call::open_tree(AT_FDCWD, node.path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
      if (tree < 0) return std::move(mount).error();
      mount = sys::UniqueFd(static_cast<int>(tree));
    }
    filled.push_back({node.slot, mount->get()});
    mounts.push_back(std::move(*mount));
  }
  return {};
}

struct Message {
  StepReport report;
  size_t size = 0;
  sys::UniqueFd fd;
};

/// The next thing that the process says; size 0: it has nothing more to say.
Result<Message> receive(int sync) {
  Message message;
  iovec piece{&message.report, sizeof message.report};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t size = -1;
  do size = ::recvmsg(sync, &header, MSG_CMSG_CLOEXEC);
  while (size < 0 && errno == EINTR);
  if (size < 0 && errno != ECONNRESET) return Error::from_errno("hear of the process", {}, errno);
  message.size = size > 0 ? static_cast<size_t>(size) : 0;
  if (const cmsghdr* first = CMSG_FIRSTHDR(&header); first != nullptr && first->cmsg_type == SCM_RIGHTS) {
    int fd;
    std::memcpy(&fd, CMSG_DATA(first), sizeof fd);
    message.fd.reset(fd);
  }
  return message;
}

Error failure_of(const Message& message, LaunchFailure* details) {
  notice::Failed failed;
  failed.step = message.report.step;
  failed.reason = static_cast<uint32_t>(message.report.reason);
  failed.error = message.report.error;
  std::string subject(message.report.subject,
                      std::min<size_t>(message.report.subject_size, sizeof message.report.subject - 1));
  failed.subject = Text(subject.c_str(), static_cast<uint32_t>(subject.size()));
  LaunchFailure failure = describe_failure(failed);
  if (details != nullptr) *details = failure;
  return Error(Kind::Internal, failure.message);
}

Result<void> proceed(const DirectProcess& process) {
  if (::send(process.sync.get(), "!", 1, MSG_NOSIGNAL) == 1) return {};
  return Error::from_errno("speak to the process", {}, errno);
}

void set_size(int master, const DirectProcess& process) {
  winsize size{.ws_row = process.rows, .ws_col = process.columns, .ws_xpixel = 0, .ws_ypixel = 0};
  if (process.rows != 0 && process.columns != 0) ::ioctl(master, TIOCSWINSZ, &size);
}

}  // namespace

void end_process(DirectProcess& process) {
  call::send_signal(process.pidfd.get(), SIGKILL);
  siginfo_t info{};
  ::waitid(P_PIDFD, static_cast<id_t>(process.pidfd.get()), &info, WEXITED);
  pollfd ended{process.pidfd.get(), POLLIN, 0};
  ::poll(&ended, 1, -1);  // where it is not our child (start)
}

Result<DirectProcess> clone_process(const LaunchPlan& plan, DirectRequest request) {
  ForeignUsers foreign = find_foreign_users(plan);
  LaunchPlan own;
  if (foreign.users != nullptr) {
    own.setup = plan.setup;
    own.steps = foreign.steps;  // their texts stay in the arena of `plan`
  }
  TRY(std::string encoded, encode_plan(foreign.users != nullptr ? own : plan));
  TRY(auto mounts, map_mounts(plan));
  std::vector<Executor::Descriptors::Filled> filled;
  for (size_t i = 0; i < mounts.size(); ++i) filled.push_back({plan.mapped_mounts[i].slot, mounts[i].get()});
  CHECK(make_nodes(plan, mounts, filled));
  TRY(auto pair, sys::make_packet_pair());
  if (foreign.users == nullptr) CHECK(enter_birthplace(plan.setup, request.container_init));

  Executor::Descriptors descriptors{.keeper = pair.second.get(),
                                    .stdio = request.stdio,
                                    .init = request.container_init,
                                    .start_listener = request.start_listener.get(),
                                    .outlives_creator = true,
                                    .inherited = request.inherited,
                                    .filled = filled.data(),
                                    .filled_count = filled.size()};
  clone_args arguments{};
  int pidfd = -1;
  arguments.flags = plan.setup.clone_flags;
  arguments.exit_signal = SIGCHLD;
  sys::UniqueFd group;
  if (!plan.setup.cgroup.empty()) {
    group.reset(::open(plan.setup.cgroup.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!group) return Error::from_errno("open", std::string(plan.setup.cgroup.view()), errno);
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<uint64_t>(group.get());
  }
  long pid = 0;
  if (foreign.users != nullptr) {
    TRY(pid, clone_among_foreign_users(foreign, plan.setup, arguments));
  } else {
    arguments.flags |= CLONE_PIDFD;
    arguments.pidfd = reinterpret_cast<uint64_t>(&pidfd);
    pid = call::raw(__NR_clone3, call::address(&arguments), sizeof arguments);
  }
  if (pid == 0) {
    // What the caller ignores (SIGPIPE, as many do) is not what the container's programs expect.
    for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
    become_process(descriptors, encoded);
  }
  if (pid < 0) return Error::from_errno("create namespaces", {}, static_cast<int>(-pid));
  // Our own child, which nobody else reaps: the number is still its own.
  if (pidfd < 0) pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  DirectProcess process{.pid = static_cast<pid_t>(pid),
                        .pidfd = sys::UniqueFd(pidfd),
                        .sync = std::move(pair.first),
                        .uid_map = std::string(plan.setup.uid_map.view()),
                        .gid_map = std::string(plan.setup.gid_map.view()),
                        .rows = plan.setup.rows,
                        .columns = plan.setup.columns};
  return process;
}

Result<DirectPhase> follow(DirectProcess& process, const DirectCallbacks& callbacks, LaunchFailure* failure) {
  bool executing = false;
  auto stop = [&process](Error error) {
    end_process(process);
    return error;
  };
  while (true) {
    auto message = receive(process.sync.get());
    if (!message) return stop(std::move(message).error());
    if (message->size == 0 && executing) return DirectPhase::Running;
    if (message->size == 0) return stop(Error(Kind::Internal, "the process ended before it could start"));
    Result<void> done;
    switch (message->report.kind) {
      case ProcessSays::MapUsers:
        // One that was joined has its maps.
        if (!process.uid_map.empty())
          done = sys::write_id_maps(process.pid, process.uid_map, process.gid_map);
        if (done) done = proceed(process);
        break;
      case ProcessSays::Hooks:
        if (callbacks.hooks) done = callbacks.hooks(process.pid);
        if (done) done = proceed(process);
        break;
      case ProcessSays::Console:
        set_size(message->fd.get(), process);
        if (callbacks.console) done = callbacks.console(std::move(message->fd));
        if (done) done = proceed(process);
        break;
      case ProcessSays::Listener:
        if (callbacks.seccomp) done = callbacks.seccomp(std::move(message->fd));
        break;
      case ProcessSays::Ready:
        return DirectPhase::Ready;
      case ProcessSays::Executing:
        executing = true;
        break;
      case ProcessSays::Failed:
        return stop(failure_of(*message, failure));
    }
    if (!done) return stop(std::move(done).error());
  }
}

}  // namespace berth::launch
