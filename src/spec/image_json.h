// Pieces of image documents that image.cc and image_config.cc both read and write. Internal to spec.
#pragma once

#include <string_view>

#include "base/json.h"
#include "spec/image.h"

namespace berth::spec {

/// The array at `key`, null when missing or null; another type or more than `limit` elements:
/// InvalidArgument.
Result<const Json*> find_array(const Json& object, std::string_view key, size_t limit);
Result<Descriptor> parse_descriptor(const Json& object);
/// The platform keys of an object ("os", "architecture", "variant", "os.version", "os.features").
Result<Platform> parse_platform(const Json& object);
/// Those of them that are optional.
void add_platform_details(Json& object, const Platform& platform);

}  // namespace berth::spec
