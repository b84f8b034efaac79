// The functions by which a container's life goes on, for those use cases that call each other. Internal to
// engine/. Each file of the same subject has its own story: create.cc, start.cc, run.cc (what the keeper
// says), ending.cc (exit and restart), stop.cc, remove.cc, recovery.cc.
#pragma once

#include <string>

#include "engine/core.h"
#include "launch/exit_record.h"
#include "launch/launch_request.h"

namespace berth::engine {

/// Who asks for a start: a user's start begins a new history of restarts.
enum class StartReason { User, Policy };
/// `checkpoint`: the directory of the images that it is restored from; empty: its program is started.
io::Task<Result<void>> start_container(Core& core, ContainerHandle container, StartReason reason,
                                       std::string checkpoint = {});

/// Namespaces of other containers that the record's modes name; they must run.
Result<struct JoinedNamespaces> join_namespaces(Core& core, const ContainerRecord& record);
/// The container's specification as it is or will be started, and the namespace entries for an exec.
Result<struct ContainerPlan> plan_of(Core& core, const ContainerRecord& record);
/// Groups that a process of the container enters.
std::vector<launch::CgroupDirectory> group_directories(const sys::Cgroup& cgroup);

/// Begins to listen to the keeper of container->run.
void watch_run(Core& core, ContainerHandle container);
/// container->run could not be started: records why, tears it down, and tells who waits.
void run_failed(Core& core, const ContainerHandle& container, launch::LaunchFailure failure);
/// Tells of out-of-memory kills while it runs, when it has a memory limit.
void watch_memory(Core& core, const ContainerHandle& container);

/// The process has ended: records it, tells everyone, and then restarts, removes or leaves it.
void container_exited(Core& core, ContainerHandle container, const launch::ExitRecord& record);
/// Gives back what a run held, and sets torn_down. At once what others wait for (ports, addresses), in the
/// background what takes time.
void tear_down(Core& core, ContainerHandle container, std::shared_ptr<Run> run);
/// Wakes waits: those for an exit, or all (removed).
void settle_waits(Container& container, WaitCondition reached, const WaitOutcome& outcome);

/// Sends a signal to the init. WrongState when there is no process.
Result<void> signal_container(Core& core, const ContainerHandle& container, int signal);
/// Waits until the process has ended, or the time has passed (negative: for ever); whether it ended.
io::Task<bool> await_exit(Core& core, std::shared_ptr<Run> run, std::chrono::nanoseconds timeout);
/// Who asks for an end: after a user's no restart policy acts until a user starts it, after the engine's own
/// (live-restore=false) the next engine's start does.
enum class StopReason { User, Engine };
io::Task<Result<void>> stop_container(Core& core, ContainerHandle container, StopOptions options,
                                      StopReason reason = StopReason::User);
/// SIGKILL, and then some if need be; returns when it has ended.
io::Task<Result<void>> kill_container(Core& core, ContainerHandle container,
                                      StopReason reason = StopReason::User);
/// Stops all that runs, each within its own stop timeout, for an engine whose containers end with it.
io::Task<void> stop_with_engine(Core& core);
/// Drops a restart that is pending.
void cancel_restart(Core& core, Container& container);

/// Takes a container that has no process out of the tables; its files go in the background.
void forget_container(Core& core, const ContainerHandle& container, RemoveVolumes volumes);
io::Task<Result<void>> remove_container(Core& core, ContainerHandle container, std::string reference,
                                        RemoveContainer options);

void start_health_checks(Core& core, const ContainerHandle& container);
void stop_health_checks(Container& container);

/// A new exec that is in no table yet. WrongState when the container cannot take one.
Result<std::shared_ptr<Exec>> make_exec(const ContainerHandle& container, spec::ExecConfig config);
void publish_exec_create(Core& core, const ContainerRecord& record, const Exec& exec);
/// Returns when it runs, or could not be started.
io::Task<Result<void>> run_exec(Core& core, ContainerHandle container, std::shared_ptr<Exec> exec,
                                std::vector<launch::Attachment> clients);
/// What the keeper says of execs.
void exec_started(Core& core, const ContainerHandle& container, const launch::event::ExecStarted& event);
void exec_failed(Core& core, const ContainerHandle& container, const launch::event::ExecFailed& event);
void exec_exited(Core& core, const ContainerHandle& container, const launch::event::ExecExited& event);
/// The run has ended: so have its execs.
void execs_ended(Core& core, Container& container, Run& run);

/// Whether a connection that waits for a start has gone.
bool has_hung_up(int socket);

/// Where a volume's data lies (below it, "_data").
std::string volume_dir(const Core& core, std::string_view name);
/// InvalidArgument in docker's words, AlreadyExists.
Result<void> check_new_volume_name(const Core& core, const std::string& name);
void publish_volume(Core& core, const VolumeRecord& volume, std::string action,
                    std::map<std::string, std::string> more = {});
/// Ends renames that a kill has interrupted.
void finish_renames(Core& core);
/// Tells that a container's volumes are in use ("mount") or no longer ("unmount").
void publish_volumes(Core& core, const ContainerRecord& record, std::string_view action);
/// Volumes: makes those that a container names, and initialises new ones from its image.
io::Task<Result<void>> make_volumes(Core& core, ContainerRecord& record);
/// Names of the anonymous volumes that only this container uses.
std::vector<std::string> own_anonymous_volumes(const Core& core, const ContainerRecord& record);
/// Returns when they are gone; those that are in use stay.
io::Task<void> remove_volumes(Core& core, std::vector<std::string> names);
/// Those of own_anonymous_volumes(), in the background.
void remove_anonymous_volumes(Core& core, const ContainerRecord& record);

/// Layers and images that containers, builds and others hold.
storage::InUse in_use(Core& core);

}  // namespace berth::engine
