// The rows of /berth/images/... for the table of routes.
#pragma once

#include <span>

#include "api/docker/router.h"

namespace berth::api {

std::span<const Route> image_care_routes();
std::span<const Route> image_composition_routes();

}  // namespace berth::api
