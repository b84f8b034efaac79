// Where checkpoints lie and what is noted beside criu's images. Internal to engine/. Everything here is read
// as what somebody else may have written.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "engine/container_network.h"
#include "engine/core.h"
#include "engine/records.h"

namespace berth::engine {

/// checkpoint.json.
struct CheckpointRecord {
  std::string container;  ///< its id
  Timestamp created{};
  std::map<std::string, FormerAddresses> networks;  ///< what the container had, by name of the network
};

/// InvalidArgument in docker's words: two characters at least, at most 128.
Result<void> check_checkpoint_name(const std::string& name);
/// The directory that holds a container's checkpoints. InvalidArgument: `directory` is given and not
/// absolute.
Result<std::string> checkpoints_of(const Core& core, const ContainerRecord& record,
                                   const std::string& directory);
bool is_checkpoint(const std::string& path);

/// Into the directory of a checkpoint, whole or not at all; no link is followed.
Result<void> write_checkpoint_record(int directory, const CheckpointRecord& record);
/// NotFound: there is none. Corrupt: it is none of ours.
Result<CheckpointRecord> read_checkpoint_record(int directory);
Result<CheckpointRecord> parse_checkpoint_record(std::string_view text);

}  // namespace berth::engine
