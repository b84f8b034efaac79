// The keeper's loop and all that it does on events. One object, in zeroed static memory.
#pragma once

#include <cstdint>
#include <string_view>

#include "apps/keeper/log_writer.h"
#include "apps/keeper/state.h"
#include "launch/executor/executor.h"
#include "launch/executor/fixed_buffer.h"
#include "launch/keeper_protocol.h"
#include "launch/keeper_setup.h"
#include "launch/step_report.h"

namespace berth::keeper {

using launch::Text;

/// Descriptors that came with a message; those not taken are closed.
struct ReceivedFds {
  std::array<int, launch::kMaxMessageFds> fds;
  size_t count = 0;
  /// -1 when there are fewer.
  int take(size_t index);
  void close_rest();
};

/// What the keeper needs of the plan beyond the launch.
struct Kept {
  Text id;
  Text exit_path;
  Text oom_path;
  Text exec_directory;
  Text log_path;
  int64_t log_max_size;
  uint32_t log_max_files;
};

constexpr size_t kMaxDenials = 64;
/// A call that a filter has denied. Zero until it is filled in, as all of the keeper.
struct DeniedCall {
  int32_t pid;
  uint32_t architecture;  ///< AUDIT_ARCH_*
  uint32_t number;
};

class Keeper {
 public:
  /// Serves `control` (the daemon that started us) and everything after, until the container has ended.
  int run(int control);

 private:
  enum class Wait { No, Yes };
  enum class Stream { More, Empty, Ended };

  // keeper.cc: the loop
  bool watch(int fd, Watch what, size_t index, uint32_t events);
  void change(int fd, Watch what, size_t index, uint32_t events);
  void unwatch(int fd);
  void close_watched(int& fd);
  void dispatch(Watch what, size_t index, uint32_t events);
  bool finished();
  bool linger();

  // connections.cc: daemons
  long listen();
  void on_listener();
  void on_connection(Connection& connection, uint32_t events);
  void greet(Connection& connection);
  void drop(Connection& connection);
  void receive(Connection& connection);
  void flush(Connection& connection);
  void send(Connection& connection, std::string_view message);
  void send(Connection& connection, const launch::Notice& notice);
  void tell(const launch::Notice& notice);
  bool anybody_listens();
  void refuse(Connection& connection, const launch::Command& command, long error);
  /// Each carries out a command: 0, or -errno for CommandFailed.
  long perform(const launch::command::Launch&, ReceivedFds&);
  long perform(const launch::command::Attach&, ReceivedFds&);
  long perform(const launch::command::Release&, ReceivedFds&);
  long perform(const launch::command::NewExec&, ReceivedFds&);
  long perform(const launch::command::RunExec&, ReceivedFds&);
  long perform(const launch::command::Resize&, ReceivedFds&);
  long perform(const launch::command::Signal&, ReceivedFds&);
  long perform(const launch::command::CloseStdin&, ReceivedFds&);
  long perform(const launch::command::Adopt&, ReceivedFds&);
  long perform(const launch::command::AskStreams&, ReceivedFds&);
  Target* find_target(std::string_view token);
  Target& init() { return *targets_.find(0); }
  bool is_init(const Target& target) const { return targets_.index(&target) == 0; }
  long set_window_size(Target& target);

  // processes.cc: from plan to running program
  /// What came with the plan; -1: nothing.
  struct Given {
    int network = -1;
    int sysfs = -1;
    const std::array<int, 3>* stdio = nullptr;
    int criu = -1;
  };
  long start(Target& target, int plan_fd, const Given& given);
  long map_plan(Target& target, int fd);
  void release_plan(Target& target);
  long keep_setup(const launch::KeeperSetup& setup);
  long make_streams(Target& target, const launch::KeeperSetup& setup, std::array<int, 3>& theirs);
  long make_process(Target& target, const launch::KeeperSetup& setup, int child_sync,
                    const std::array<int, 3>& stdio, const Given& given);
  bool settle_in();
  void on_sync(Target& target);
  void on_report(Target& target, const launch::StepReport& report, size_t size, int fd);
  void hold_mounts(Target& target);
  void adopt_terminal(Target& target, int master);
  long map_users(Target& target);
  long proceed(Target& target);
  void on_running(Target& target);
  void on_keeper_failed(Target& target, long error, std::string_view subject);
  void on_failed(Target& target, const launch::StepReport& report);

  // ending.cc
  void on_exit(Target& target);
  bool reap(Target& target, Wait wait);
  void finish_init(Target& target);
  void finish_exec(Target& target);
  uint64_t oom_count();

  // restoring.cc: criu in the place of a new process
  static long arrange_for_criu(launch::Executor::Descriptors& descriptors, int socket);
  void on_criu_running(Target& target);
  long on_restored(Target& target);
  void on_restorer_end();
  void on_early_exit(Target& target);
  void fail_restore(long error);

  // denials.cc: calls that a filter asks about
  void adopt_filter(Target& target, int listener);
  void on_denial(int listener, uint32_t events);
  void tell_denial(const DeniedCall& denied);
  void repeat_denials(Connection& connection);

  // processes.cc
  void write_exit_record(const launch::notice::Exited& exited);

  // streams.cc: output to log and clients, input to processes
  void watch_output(Target& target);
  void on_output(Target& target, size_t stream, uint32_t events);
  Stream read_output(Target& target, size_t stream);
  void drain(Target& target);
  void close_output(Target& target, size_t stream);
  void hang_up(Target& target);
  void close_streams(Target& target);
  void deliver(Target& target, size_t stream, std::string_view bytes);
  void deliver_to(Client& client, size_t stream, std::string_view bytes);
  void update_flow(Target& target);
  bool takes_input(const Target& target) const;
  void read_client(Client& client);
  void take_input(Client& client, std::string_view bytes);
  void feed_target(Client& client);
  void update_input(Target& target);
  void on_input_room(Target& target);
  void on_input_end(Client& client);
  void on_client(Client& client, uint32_t events);
  void serve_client(Client& client, uint32_t events);
  void watch_client(Client& client);
  void update_clients(Target& target);
  void flush_client(Client& client);
  bool is_client(const Client& client);
  void end_client(Client& client, launch::AttachEnd reason);
  void end_clients_of(Target& target, launch::AttachEnd reason);
  void remove_client(Client& client);

  // Everything begins as zero (static memory).
  int epoll_;
  int listener_;
  int mounts_;  ///< the container's mount namespace, once it runs
  bool listening_;
  bool joined_pid_namespace_;  ///< children are born into the container's
  bool over_;                  ///< the container has ended, or never began
  bool lingers_;               ///< only clients are left to serve
  bool restores_;              ///< criu is at work, and nobody has said yet that it is done
  int criu_;                   ///< its pidfd, once its work has been adopted; kCriuGone: it has ended
  static constexpr int kCriuGone = 0x7fffffff;
  uint64_t oom_before_;
  uint16_t denial_error_;
  uint32_t denial_count_;
  std::array<DeniedCall, kMaxDenials> denials_;  ///< each call once
  Table<Connection, kMaxConnections> connections_;
  Table<Target, kMaxTargets> targets_;  ///< 0 is the container's init
  Table<Client, kMaxClients> clients_;
  LogWriter log_;
  Kept* kept_;  ///< null before the launch
};

/// Nanoseconds since 1970.
int64_t wall_clock();

}  // namespace berth::keeper
