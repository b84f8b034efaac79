// Repairs.
#include "engine/recovery_plan.h"

#include <algorithm>

#include "engine/restart_policy.h"

namespace berth::engine {
namespace {

bool keeper_holds_process(const Sighting& sighting) {
  return sighting.keeper && sighting.keeper->phase != launch::KeeperState::Phase::Exited;
}

/// The exit record on disk is of a run that the record has not seen the end of.
bool is_news(const ContainerRecord& record, const launch::ExitRecord& exit) {
  bool was_up = record.state.status == Status::Running || record.state.status == Status::Paused;
  return was_up || exit.finished > record.state.finished;
}

}  // namespace

std::optional<Repair> plan_repair(const ContainerRecord& record, const Sighting& sighting) {
  Status status = record.state.status;
  if (keeper_holds_process(sighting)) return repair::Adopt{record.id};
  if (status == Status::Removing || status == Status::Dead) return repair::FinishRemoval{record.id};
  if (sighting.exit && is_news(record, *sighting.exit)) return repair::RecordExit{record.id, *sighting.exit};
  if (status == Status::Running || status == Status::Paused) return repair::RecordLoss{record.id};
  if (status == Status::Restarting) return repair::Restart{record.id};
  bool wanted = status == Status::Exited &&
                restarts_with_daemon(record.host_config.restart_policy, record.manually_stopped, false,
                                     record.state.exit_code);
  if (wanted) return repair::Start{record.id};
  if (status == Status::Exited && record.host_config.auto_remove) return repair::FinishRemoval{record.id};
  return std::nullopt;
}

std::vector<std::string> leftovers(const std::vector<std::string>& found,
                                   const std::set<std::string>& known) {
  std::vector<std::string> unknown;
  for (const std::string& name : found) {
    bool is_id = name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (is_id && !known.contains(name)) unknown.push_back(name);
  }
  return unknown;
}

}  // namespace berth::engine
