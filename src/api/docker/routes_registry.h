// The pull half of POST /images/create, which routes_images.cc shares with import.
#pragma once

#include <optional>

#include "api/docker/context.h"
#include "io/task.h"
#include "spec/image.h"

namespace berth::api {

io::Task<Result<void>> pull_image(Context& context, std::optional<spec::Platform> platform);

}  // namespace berth::api
