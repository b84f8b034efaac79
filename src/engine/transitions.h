// The legal states of a container and what leads from one to the next, in one table. Nothing else assigns a
// container's status.
#pragma once

#include <optional>
#include <string_view>

#include "base/result.h"
#include "engine/records.h"

namespace berth::engine {

/// What happens to a container.
enum class Action {
  Start,         ///< its program has been exec'd
  StartFail,     ///< it could not be
  Exit,          ///< its process ended, for good
  AwaitRestart,  ///< its process ended, the restart policy will start it again
  GiveUp,        ///< the pending restart is dropped
  Pause,
  Unpause,
  Remove,      ///< removal begins
  RemoveFail,  ///< removal could not be finished
};
std::string_view to_string(Action action);

/// The status after `action`, or nothing when it is not legal in `from`.
std::optional<Status> next_status(Status from, Action action);

/// Performs the change, or answers WrongState (a defect of the caller, who has to ask the may_* questions).
Result<void> transition(ContainerState& state, Action action);

/// What a client may ask for, with docker's words for the refusal. `reference` is how the client named it.
Result<void> may_start(const ContainerRecord& record);  ///< NotModified when it runs
Result<void> may_stop(const ContainerRecord& record);   ///< NotModified when it does not run
Result<void> may_kill(const ContainerRecord& record, std::string_view reference);
Result<void> may_pause(const ContainerRecord& record);
Result<void> may_unpause(const ContainerRecord& record);
Result<void> may_exec(const ContainerRecord& record);
Result<void> may_attach(const ContainerRecord& record, std::string_view reference);
Result<void> may_remove(const ContainerRecord& record, std::string_view reference, bool force);

}  // namespace berth::engine
