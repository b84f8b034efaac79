// The catalog's records as the JSON documents that the database keeps.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "functions/catalog/records.h"

namespace berth::functions {

std::string encode(const FunctionVersion& version);
std::string encode(const FunctionSettings& settings);
std::string encode(const LayerVersion& layer);
std::string encode(const EventSourceMapping& mapping);
/// For this process alone: the values of members that a new version has otherwise, without names.
std::string pack(const FunctionVersion& version);
/// `packed` is what pack() gave.
FunctionVersion unpack(std::string_view packed);

/// A document that cannot be read: Corrupt.
Result<FunctionVersion> decode_version(std::string_view text);
Result<FunctionSettings> decode_settings(std::string_view text);
Result<LayerVersion> decode_layer(std::string_view text);
Result<EventSourceMapping> decode_mapping(std::string_view text);

}  // namespace berth::functions
