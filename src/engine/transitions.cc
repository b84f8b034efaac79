// The table of container states.
#include "engine/transitions.h"

#include <algorithm>
#include <array>

#include "base/format.h"

namespace berth::engine {
namespace {

struct Row {
  Status from;
  Action action;
  Status to;
};

// clang-format off
constexpr std::array kTable = {
    Row{Status::Created,    Action::Start,        Status::Running},
    Row{Status::Created,    Action::StartFail,    Status::Created},
    Row{Status::Created,    Action::Remove,       Status::Removing},
    Row{Status::Running,    Action::Exit,         Status::Exited},
    Row{Status::Running,    Action::AwaitRestart, Status::Restarting},
    Row{Status::Running,    Action::Pause,        Status::Paused},
    Row{Status::Paused,     Action::Unpause,      Status::Running},
    Row{Status::Paused,     Action::Exit,         Status::Exited},
    Row{Status::Paused,     Action::AwaitRestart, Status::Restarting},
    Row{Status::Restarting, Action::Start,        Status::Running},
    Row{Status::Restarting, Action::StartFail,    Status::Exited},
    Row{Status::Restarting, Action::GiveUp,       Status::Exited},
    Row{Status::Restarting, Action::Remove,       Status::Removing},
    Row{Status::Exited,     Action::Start,        Status::Running},
    Row{Status::Exited,     Action::StartFail,    Status::Exited},
    Row{Status::Exited,     Action::AwaitRestart, Status::Restarting},
    Row{Status::Exited,     Action::Remove,       Status::Removing},
    Row{Status::Removing,   Action::RemoveFail,   Status::Dead},
    Row{Status::Dead,       Action::Remove,       Status::Removing},
};
// clang-format on

Error conflict(std::string message) {
  return Error(Kind::WrongState, std::move(message));
}

Error not_running(const ContainerRecord& record) {
  return conflict(fmt::format("container {} is not running", record.id));
}
Error restarting(const ContainerRecord& record) {
  return conflict(fmt::format("Container {} is restarting, wait until the container is running", record.id));
}

}  // namespace

std::string_view to_string(Status status) {
  switch (status) {
    case Status::Created:
      return "created";
    case Status::Running:
      return "running";
    case Status::Paused:
      return "paused";
    case Status::Restarting:
      return "restarting";
    case Status::Removing:
      return "removing";
    case Status::Exited:
      return "exited";
    case Status::Dead:
      return "dead";
  }
  return "dead";
}

std::string_view to_string(HealthStatus status) {
  switch (status) {
    case HealthStatus::None:
      return "none";
    case HealthStatus::Starting:
      return "starting";
    case HealthStatus::Healthy:
      return "healthy";
    case HealthStatus::Unhealthy:
      return "unhealthy";
  }
  return "none";
}

std::string_view to_string(Action action) {
  switch (action) {
    case Action::Start:
      return "start";
    case Action::StartFail:
      return "fail to start";
    case Action::Exit:
      return "exit";
    case Action::AwaitRestart:
      return "await a restart";
    case Action::GiveUp:
      return "give up restarting";
    case Action::Pause:
      return "pause";
    case Action::Unpause:
      return "unpause";
    case Action::Remove:
      return "be removed";
    case Action::RemoveFail:
      return "fail to be removed";
  }
  return "change";
}

bool is_alive(Status status) {
  return status == Status::Running || status == Status::Paused || status == Status::Restarting;
}

std::optional<Status> next_status(Status from, Action action) {
  auto row = std::find_if(kTable.begin(), kTable.end(),
                          [&](const Row& row) { return row.from == from && row.action == action; });
  if (row == kTable.end()) return std::nullopt;
  return row->to;
}

Result<void> transition(ContainerState& state, Action action) {
  auto to = next_status(state.status, action);
  if (!to) {
    return failure(Kind::WrongState, "a container that is {} cannot {}", to_string(state.status),
                   to_string(action));
  }
  state.status = *to;
  return {};
}

Result<void> may_start(const ContainerRecord& record) {
  switch (record.state.status) {
    case Status::Paused:
      return conflict("cannot start a paused container, try unpause instead");
    case Status::Running:
      return Error(Kind::NotModified, "container is already running");
    case Status::Removing:
    case Status::Dead:
      return conflict("container is marked for removal and cannot be started");
    default:
      return {};
  }
}

Result<void> may_stop(const ContainerRecord& record) {
  if (!is_alive(record.state.status)) return Error(Kind::NotModified, "container is already stopped");
  return {};
}

Result<void> may_kill(const ContainerRecord& record, std::string_view reference) {
  if (record.state.status == Status::Running || record.state.status == Status::Paused) return {};
  return conflict(
      fmt::format("cannot kill container: {}: container {} is not running", reference, record.id));
}

Result<void> may_pause(const ContainerRecord& record) {
  switch (record.state.status) {
    case Status::Running:
      return {};
    case Status::Paused:
      return conflict(fmt::format("Container {} is already paused", record.id));
    case Status::Restarting:
      return restarting(record);
    default:
      return not_running(record);
  }
}

Result<void> may_unpause(const ContainerRecord& record) {
  if (record.state.status == Status::Paused) return {};
  return conflict(fmt::format("Container {} is not paused", record.id));
}

Result<void> may_exec(const ContainerRecord& record) {
  switch (record.state.status) {
    case Status::Running:
      return {};
    case Status::Paused:
      return conflict(fmt::format("Container {} is paused, unpause the container before exec", record.id));
    case Status::Restarting:
      return restarting(record);
    default:
      return not_running(record);
  }
}

Result<void> may_attach(const ContainerRecord& record, std::string_view reference) {
  switch (record.state.status) {
    case Status::Paused:
      return conflict(fmt::format("container {} is paused, unpause the container before attach", reference));
    case Status::Restarting:
      return conflict(
          fmt::format("container {} is restarting, wait until the container is running", reference));
    case Status::Removing:
    case Status::Dead:
      return conflict("container is marked for removal and cannot be attached to");
    default:
      return {};
  }
}

Result<void> may_remove(const ContainerRecord& record, std::string_view reference, bool force) {
  if (record.state.status == Status::Removing) {
    return conflict(fmt::format("removal of container {} is already in progress", reference));
  }
  if (!is_alive(record.state.status) || force) return {};
  if (record.state.status == Status::Paused) {
    return conflict(fmt::format(
        "cannot remove container \"{}\": container is paused and must be unpaused first", reference));
  }
  return conflict(fmt::format(
      "cannot remove container \"{}\": container is {}: stop the container before removing or force remove",
      reference, to_string(record.state.status)));
}

}  // namespace berth::engine
