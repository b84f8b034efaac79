// What a starting daemon has to do about what an earlier one left: a pure function of the records and of what
// is seen on the host. recovery.cc looks and acts.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "engine/records.h"
#include "launch/exit_record.h"
#include "launch/keeper.h"

namespace berth::engine {

/// What is seen of one container.
struct Sighting {
  std::optional<launch::KeeperState> keeper;  ///< its keeper answers
  std::optional<launch::ExitRecord> exit;     ///< the record its last keeper left
};

namespace repair {
/// The keeper lives: listen to it again. `started`: its program runs though the record does not know yet.
struct Adopt {
  std::string id;
};
/// The process ended while no daemon looked.
struct RecordExit {
  std::string id;
  launch::ExitRecord exit;
};
/// It was running, and nobody knows how it ended (the machine went down).
struct RecordLoss {
  std::string id;
};
/// A restart was due.
struct Restart {
  std::string id;
};
/// A removal had begun.
struct FinishRemoval {
  std::string id;
};
/// The restart policy wants it up.
struct Start {
  std::string id;
};
}  // namespace repair

using Repair = std::variant<repair::Adopt, repair::RecordExit, repair::RecordLoss, repair::Restart,
                            repair::FinishRemoval, repair::Start>;

/// The repair of one container; nothing when it is as it should be.
std::optional<Repair> plan_repair(const ContainerRecord& record, const Sighting& sighting);

/// Names found in a directory that belong to no container: half-created or half-removed.
std::vector<std::string> leftovers(const std::vector<std::string>& found, const std::set<std::string>& known);

}  // namespace berth::engine
