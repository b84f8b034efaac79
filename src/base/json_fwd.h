// Forward declaration of Json, for headers.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace berth {
using Json = nlohmann::json;
}
