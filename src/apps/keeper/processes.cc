// From a plan to a running program, or to the reason why there is none.
#include <fcntl.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cerrno>

#include "apps/keeper/keeper.h"
#include "launch/executor/executor.h"
#include "launch/executor/file_status.h"
#include "launch/plan_codec.h"
#include "sys/kernel_call.h"

namespace berth::keeper {

namespace call = sys::call;
using launch::KeeperSetup;
using launch::PlanReader;
using launch::ProcessSays;
using launch::StepReport;
namespace notice = launch::notice;

namespace {

constexpr int kPipeSize = 1 << 20;
constexpr int kArrangeFailed = 125;

void close_all(std::array<int, 3>& fds) {
  for (int& fd : fds)
    if (fd >= 0) call::close(fd);
  fds = {-1, -1, -1};
}

/// Writes a small file of /proc. 0 or -errno.
long write_file(const char* path, std::string_view text) {
  long fd = call::open(AT_FDCWD, path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return fd;
  long written = call::write(static_cast<int>(fd), text.data(), text.size());
  call::close(static_cast<int>(fd));
  return written < 0 ? written : 0;
}

/// What id 0 of a map's lines ("0 100000 65536") is outside.
uint32_t root_of_map(std::string_view map) {
  while (!map.empty()) {
    std::string_view line = map.substr(0, map.find('\n'));
    map.remove_prefix(line.size() + (line.size() < map.size() ? 1 : 0));
    if (!line.starts_with("0 ")) continue;
    uint32_t id = 0;
    for (char c : line.substr(2)) {
      if (c < '0' || c > '9') break;
      id = id * 10 + static_cast<uint32_t>(c - '0');
    }
    return id;
  }
  return 0;
}

/// Copies a text behind `at`, and moves `at` past it.
Text keep_text(char*& at, Text text) {
  std::memcpy(at, text.c_str(), text.size() + 1);
  Text kept(at, text.size());
  at += text.size() + 1;
  return kept;
}

}  // namespace

long Keeper::start(Target& target, int plan_fd, const Given& given) {
  target.phase = Phase::Creating;
  if (long error = map_plan(target, plan_fd); error < 0) return error;
  auto plan = PlanReader::open({target.plan, target.plan_size});
  if (!plan) return -EBADMSG;
  const KeeperSetup& setup = plan->setup();
  bool is_init = &target == &init();
  if (is_init)
    if (long error = keep_setup(setup); error < 0) return error;
  if ((setup.restores != 0) != (given.criu >= 0)) return -EINVAL;
  restores_ = restores_ || setup.restores != 0;
  target.terminal = setup.terminal != 0;
  target.wait_for_release = setup.wait_for_release != 0;
  if (target.rows == 0) target.rows = setup.rows;
  if (target.columns == 0) target.columns = setup.columns;

  std::array<int, 3> theirs{-1, -1, -1};
  if (given.stdio == nullptr || target.terminal)
    if (long error = make_streams(target, setup, theirs); error < 0) return error;
  int pair[2];
  long error = call::raw(__NR_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, call::address(pair));
  if (error >= 0) {
    target.sync = pair[0];
    bool inherits = given.stdio != nullptr && !target.terminal;
    error = make_process(target, setup, pair[1], inherits ? *given.stdio : theirs, given);
    call::close(pair[1]);
  }
  close_all(theirs);
  if (error < 0) return error;
  size_t index = targets_.index(&target);
  watch(target.sync, Watch::Sync, index, EPOLLIN);
  watch(target.pidfd, Watch::Exit, index, EPOLLIN);
  watch_output(target);
  if (is_init && !settle_in()) return 0;
  if (is_init && target.wait_for_release && !restores_) tell(notice::Created{target.pid});
  update_clients(target);
  return 0;
}

long Keeper::map_plan(Target& target, int fd) {
  launch::FileStatus status;
  if (long error = launch::read_status(fd, status); error < 0) return error;
  if (status.size == 0 || status.size > launch::kMaxPlanBytes) return -EFBIG;
  void* memory = call::map(status.size, PROT_READ, MAP_PRIVATE, fd);
  if (call::map_failed(memory)) return -ENOMEM;
  target.plan = static_cast<const char*>(memory);
  target.plan_size = status.size;
  return 0;
}

void Keeper::release_plan(Target& target) {
  if (target.plan != nullptr) call::unmap(const_cast<char*>(target.plan), target.plan_size);
  target.plan = nullptr;
}

long Keeper::keep_setup(const KeeperSetup& setup) {
  const Text* texts[] = {&setup.id, &setup.exit_path, &setup.oom_path, &setup.exec_directory,
                         &setup.log_path};
  size_t size = sizeof(Kept);
  for (const Text* text : texts) size += text->size() + 1;
  void* memory = call::map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  if (call::map_failed(memory)) return -ENOMEM;
  char* at = static_cast<char*>(memory) + sizeof(Kept);
  kept_ = new (memory) Kept{.id = keep_text(at, setup.id),
                            .exit_path = keep_text(at, setup.exit_path),
                            .oom_path = keep_text(at, setup.oom_path),
                            .exec_directory = keep_text(at, setup.exec_directory),
                            .log_path = keep_text(at, setup.log_path),
                            .log_max_size = setup.log_max_size,
                            .log_max_files = setup.log_max_files};
  return 0;
}

long Keeper::make_streams(Target& target, const KeeperSetup& setup, std::array<int, 3>& theirs) {
  auto mode = static_cast<launch::StdinMode>(setup.stdin_mode);
  target.opens_stdin = mode != launch::StdinMode::Closed;
  // Of what is restored the terminal comes later (adopt_terminal), and criu wants none.
  if (target.terminal) return 0;
  long error = 0;
  if (target.opens_stdin) {
    int fds[2];
    error = call::pipe(fds, O_CLOEXEC);
    if (error < 0) return error;
    theirs[0] = fds[0];
    target.input = fds[1];
    call::control(target.input, F_SETFL, O_WRONLY | O_NONBLOCK);
  } else {
    error = call::open(AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC);
    if (error < 0) return error;
    theirs[0] = static_cast<int>(error);
  }
  for (size_t i = 0; i < 2; ++i) {
    int fds[2];
    error = call::pipe(fds, O_CLOEXEC);
    if (error < 0) return error;
    target.output[i] = fds[0];
    theirs[i + 1] = fds[1];
    call::control(fds[0], F_SETFL, O_RDONLY | O_NONBLOCK);
    // /dev/stdout has to be openable anew by the container's root.
    if (!setup.uid_map.empty())
      call::change_owner(fds[1], "", root_of_map(setup.uid_map.view()), root_of_map(setup.gid_map.view()),
                         AT_EMPTY_PATH);
    // Where the user's allowance of pipe pages is used up the default size does.
    if (is_init(target)) call::control(fds[1], F_SETPIPE_SZ, kPipeSize);
  }
  return 0;
}

long Keeper::make_process(Target& target, const KeeperSetup& setup, int child_sync,
                          const std::array<int, 3>& stdio, const Given& given) {
  const int network = given.network;
  launch::Executor::Descriptors descriptors{.keeper = child_sync, .stdio = stdio, .network = network};
  const launch::Executor::Descriptors::Filled sysfs{launch::kSlotSysfs, given.sysfs};
  if (given.sysfs >= 0) {
    descriptors.filled = &sysfs;
    descriptors.filled_count = 1;
  }
  long error = 0;
  if (setup.join_container != 0) {
    descriptors.init = init().pidfd;
    if (!joined_pid_namespace_) error = call::enter_namespace(init().pidfd, CLONE_NEWPID);
    if (error < 0) return error;
    joined_pid_namespace_ = true;
  } else if (!setup.pid_namespace.empty()) {
    long fd = call::open(AT_FDCWD, setup.pid_namespace.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fd;
    error = call::enter_namespace(static_cast<int>(fd), CLONE_NEWPID);
    call::close(static_cast<int>(fd));
    if (error < 0) return error;
    joined_pid_namespace_ = true;
  }
  if (setup.uses_init != 0) {
    long self = call::open(AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (self < 0) return self;
    descriptors.self_program = static_cast<int>(self);
  }
  if (!setup.time_offsets.empty()) {
    if (error = call::unshare(CLONE_NEWTIME); error < 0) return error;
    if (error = write_file("/proc/self/timens_offsets", setup.time_offsets.view()); error < 0) return error;
  }
  clone_args arguments{};
  int pidfd = -1;
  arguments.flags = setup.clone_flags | CLONE_PIDFD;
  arguments.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  arguments.exit_signal = 17;  // SIGCHLD, so that waitid finds it
  long group = -1;
  if (!setup.cgroup.empty()) {
    group = call::open(AT_FDCWD, setup.cgroup.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (group < 0) return group;
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<uint64_t>(group);
  }
  // Nobody joins from within a user namespace of his own: the process is born into its network namespace.
  long home = -1;
  if (network >= 0 && (setup.clone_flags & CLONE_NEWUSER) != 0) {
    home = call::open(AT_FDCWD, "/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (home < 0) return home;
    if (error = call::enter_namespace(network, CLONE_NEWNET); error < 0) return error;
  }
  long pid = call::raw(__NR_clone3, call::address(&arguments), sizeof arguments);
  if (pid == 0) {
    if (given.criu >= 0 && arrange_for_criu(descriptors, given.criu) < 0) call::exit(kArrangeFailed);
    launch::become_process(descriptors, {target.plan, target.plan_size});
  }
  if (home >= 0) {
    call::enter_namespace(static_cast<int>(home), CLONE_NEWNET);
    call::close(static_cast<int>(home));
  }
  if (group >= 0) call::close(static_cast<int>(group));
  if (descriptors.self_program >= 0) call::close(descriptors.self_program);
  if (pid < 0) return pid;
  target.pid = static_cast<int>(pid);
  target.pidfd = pidfd;
  return 0;
}

/// What can be done while the new process is busy with its steps. False when that failed, and the process is
/// gone.
bool Keeper::settle_in() {
  call::process_control(PR_SET_NAME, reinterpret_cast<unsigned long>("berth-keeper"));
  // The last to go when memory is short: without us nobody would know how the container ended. Needs
  // CAP_SYS_RESOURCE; without it, it stays as it is.
  write_file("/proc/self/oom_score_adj", "-999");
  oom_before_ = oom_count();
  bool ended_well = call::unlink(AT_FDCWD, kept_->exit_path.c_str()) >= 0;
  Text subject = kept_->exec_directory;
  long error = subject.empty() ? 0 : listen();
  if (error >= 0 && !kept_->log_path.empty()) {
    subject = kept_->log_path;
    error = log_.open(subject.c_str(), kept_->log_max_size, kept_->log_max_files, !ended_well);
  }
  if (error < 0) on_keeper_failed(init(), error, subject.view());
  return error >= 0;
}

void Keeper::on_sync(Target& target) {
  while (target.sync >= 0) {
    StepReport report;
    call::Piece piece{&report, sizeof report};
    struct {
      size_t length;
      int level;
      int type;
      int fd;
      int padding;
    } control{};
    msghdr message{};
    message.msg_iov = reinterpret_cast<iovec*>(&piece);
    message.msg_iovlen = 1;
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
    long size =
        call::raw(__NR_recvmsg, target.sync, call::address(&message), MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size == -EAGAIN || size == -EINTR) return;
    if (size < static_cast<long>(sizeof report.kind)) {
      close_watched(target.sync);
      if (target.said_executing)
        on_running(target);
      else
        on_keeper_failed(target, -ECHILD, {});
      return;
    }
    int fd = message.msg_controllen >= CMSG_LEN(sizeof(int)) && control.type == SCM_RIGHTS ? control.fd : -1;
    on_report(target, report, static_cast<size_t>(size), fd);
  }
}

void Keeper::on_report(Target& target, const StepReport& report, size_t size, int fd) {
  switch (report.kind) {
    case ProcessSays::MapUsers:
      // On failure its end of the pair closes, and it gives up.
      if (map_users(target) >= 0) proceed(target);
      return;
    case ProcessSays::Console:
      if (fd >= 0) adopt_terminal(target, fd);
      return;
    case ProcessSays::Hooks:
      target.phase = Phase::Hooks;
      tell(notice::Hooks{target.pid});
      if (!anybody_listens()) on_keeper_failed(target, -ECONNRESET, {});
      return;
    case ProcessSays::Listener:
      if (fd >= 0) adopt_filter(target, fd);
      return;
    case ProcessSays::Ready:
      if (target.wait_for_release) {
        target.phase = Phase::Ready;
        tell(notice::Ready{target.pid});
      } else {
        proceed(target);
      }
      return;
    case ProcessSays::Executing:
      target.said_executing = true;
      if (is_init(target) && !restores_) hold_mounts(target);
      return;
    case ProcessSays::Failed:
      if (size == sizeof report && report.subject_size < sizeof report.subject) on_failed(target, report);
      return;
  }
}

/// Keeps the container's mounts until we end ourselves. Otherwise its init would take them down while it
/// exits, a millisecond in which whoever waits for the container learns nothing.
void Keeper::hold_mounts(Target& target) {
  constexpr unsigned long kGetMountNamespace = 0xff03;  // PIDFD_GET_MNT_NAMESPACE, Linux 6.11
  mounts_ = static_cast<int>(call::device_control(target.pidfd, kGetMountNamespace, 0));
  if (mounts_ >= 0) return;
  launch::FixedBuffer<63> path("/proc/");
  path.append_number(static_cast<uint64_t>(target.pid));
  path.append("/ns/mnt");
  mounts_ = static_cast<int>(call::open(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC));
}

void Keeper::adopt_terminal(Target& target, int master) {
  target.input = target.output[0] = master;
  call::control(master, F_SETFL, O_RDWR | O_NONBLOCK);
  if (target.rows != 0 && target.columns != 0) set_window_size(target);
  watch_output(target);
  update_clients(target);
}

long Keeper::map_users(Target& target) {
  auto plan = PlanReader::open({target.plan, target.plan_size});
  if (!plan) return -EBADMSG;
  launch::FixedBuffer<63> path("/proc/");
  path.append_number(static_cast<uint64_t>(target.pid));
  size_t base = path.size();
  path.append("/gid_map");
  if (long error = write_file(path.c_str(), plan->setup().gid_map.view()); error < 0) return error;
  path.cut_to(base);
  path.append("/uid_map");
  return write_file(path.c_str(), plan->setup().uid_map.view());
}

long Keeper::proceed(Target& target) {
  target.phase = Phase::Creating;
  return call::write(target.sync, "!", 1);
}

void Keeper::on_running(Target& target) {
  if (restores_ && is_init(target)) return on_criu_running(target);
  target.phase = Phase::Running;
  target.started = wall_clock();
  release_plan(target);
  tell(notice::Started{target.token.text(), target.pid, target.started});
  update_clients(target);
  if (target.hung_up) hang_up(target);
}

/// The keeper itself could not do something, or the process died before exec without a word.
void Keeper::on_keeper_failed(Target& target, long error, std::string_view subject) {
  StepReport report;
  report.step = notice::kKeeperStep;
  report.error = static_cast<int32_t>(-error);
  report.subject_size = static_cast<uint32_t>(subject.size() < sizeof report.subject ? subject.size() : 0);
  std::memcpy(report.subject, subject.data(), report.subject_size);
  on_failed(target, report);
}

void Keeper::on_failed(Target& target, const StepReport& report) {
  close_watched(target.sync);
  if (target.pidfd >= 0) {
    constexpr int kKill = 9;
    call::send_signal(target.pidfd, kKill);
    reap(target, Wait::Yes);
  }
  release_plan(target);
  launch::FixedBuffer<sizeof report.subject> subject({report.subject, report.subject_size});
  tell(notice::Failed{.token = target.token.text(),
                      .step = report.step,
                      .reason = static_cast<uint32_t>(report.reason),
                      .error = report.error,
                      .signal = target.signal,
                      .subject = subject.text()});
  close_streams(target);
  // Refused leaves the connection itself alone: the daemon still has to say on it what went wrong.
  end_clients_of(target, launch::AttachEnd::Refused);
  if (is_init(target))
    over_ = true;
  else
    targets_.give_back(&target);
}

}  // namespace berth::keeper
