// From a build to what is remembered of it: its record, and the blobs that the record names. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <control.pb.h>
#include "apps/buildkit/product.h"
#include "base/result.h"

namespace berth::buildkit {

struct RecordedBuild {
  moby::buildkit::v1::BuildHistoryRecord record;
  std::vector<std::string> blobs;
};

/// What is known at the beginning.
moby::buildkit::v1::BuildHistoryRecord begun_record(const moby::buildkit::v1::SolveRequest& request);

/// What is known at the end: `product` was made, or `outcome` is the failure; `progress` all its messages.
RecordedBuild ended_record(moby::buildkit::v1::BuildHistoryRecord record, const Product& product,
                           const Result<std::map<std::string, std::string>>& outcome,
                           const std::vector<moby::buildkit::v1::StatusResponse>& progress);

}  // namespace berth::buildkit
