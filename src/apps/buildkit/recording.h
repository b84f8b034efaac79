// Recording: one build on its way into the history.
#pragma once

#include <map>
#include <string>

#include "apps/buildkit/history.h"
#include "apps/buildkit/history_record.h"
#include "apps/buildkit/progress.h"

namespace berth::buildkit {

class Recording {
 public:
  /// Builds that clients call internal are left out.
  Recording(History& history, const moby::buildkit::v1::SolveRequest& request)
      : history_(history), left_out_(request.internal()), record_(begun_record(request)) {
    if (!left_out_) history_.begin(record_);
  }
  void end(const Product& product, const Result<std::map<std::string, std::string>>& outcome,
           const Progress& progress) {
    if (left_out_) return;
    auto messages = progress.messages();
    RecordedBuild build = ended_record(std::move(record_), product, outcome, messages);
    history_.complete(std::move(build.record), std::move(messages), std::move(build.blobs));
  }

 private:
  History& history_;
  bool left_out_;
  moby::buildkit::v1::BuildHistoryRecord record_;
};

}  // namespace berth::buildkit
