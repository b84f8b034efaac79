// What routes_images.cc shares with the routes of registries: the pull half of POST /images/create,
// platforms.
#pragma once

#include <optional>

#include "api/docker/context.h"
#include "io/task.h"
#include "spec/image.h"

namespace berth::api {

/// {"os":...,"architecture":...,"variant":...}, as docker's clients send a platform since 1.46.
Result<spec::Platform> platform_of_json(std::string_view text);
io::Task<Result<void>> pull_image(Context& context, std::optional<spec::Platform> platform);

}  // namespace berth::api
