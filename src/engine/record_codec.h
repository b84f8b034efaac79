// The text form of records in the database: one JSON document for what a container is (written at create,
// rename and update), one for how it is doing (written at every transition, so it is small). Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/records.h"

namespace berth::engine {

std::string encode_definition(const ContainerRecord& record);
std::string encode_state(const ContainerRecord& record);
/// The record of the two documents. Corrupt when they are not what the encoders write.
Result<ContainerRecord> decode_container(std::string_view id, std::string_view name,
                                         std::string_view definition, std::string_view state);

std::string encode(const VolumeRecord& volume);
Result<VolumeRecord> decode_volume(std::string_view text);

std::string encode(const ExecRecord& exec);
Result<ExecRecord> decode_exec(std::string_view text);

}  // namespace berth::engine
