// ProjectEvents: what happens to a project's containers, as the engine tells it.
#pragma once

#include <string>
#include <vector>

#include "apps/berth/compose/session.h"
#include "apps/berth/output/progress.h"

namespace berth::cli::compose {

struct ContainerEvent {
  std::string action;  ///< "create", "start", "die", "destroy"
  std::string id, name, service;
  int64_t number = 0;
  bool one_off = false;
  int exit_code = 0;  ///< of "die"

  Observed container() const;
};

class ProjectEvents {
 public:
  /// From now on: nothing is missed that happens after this has returned.
  static Outcome<ProjectEvents> open(Session& session, const std::vector<std::string>& actions);
  /// Waits for the next ones. That the engine goes away is a failure.
  Outcome<std::vector<ContainerEvent>> next();

 private:
  explicit ProjectEvents(client::BodyReader answer) : answer_(std::move(answer)) {}

  client::BodyReader answer_;
  output::JsonCutter cutter_;
};

/// What a container is after an event; gone containers have ended.
struct EndState {
  bool goes_on = false;  ///< restarts by its policy, or is being restarted
  int64_t exit_code = 0;
  std::string started = {};  ///< "2026-01-02T..."
  std::string finished = {};
};
EndState end_state(client::Client& engine, const std::string& id);

}  // namespace berth::cli::compose
