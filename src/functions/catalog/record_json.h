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
/// Without the members that a new version has by itself; decode_version() reads it. For this process alone:
/// what a new version has may be another in the next berth.
std::string pack(const FunctionVersion& version);

/// A document that cannot be read: Corrupt.
Result<FunctionVersion> decode_version(std::string_view text);
Result<FunctionSettings> decode_settings(std::string_view text);
Result<LayerVersion> decode_layer(std::string_view text);
Result<EventSourceMapping> decode_mapping(std::string_view text);

}  // namespace berth::functions
