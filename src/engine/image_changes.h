// The changes of `docker commit --change` and `docker import --change`: Dockerfile instructions applied to an
// image's configuration. Pure.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "spec/image.h"

namespace berth::engine {

/// CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR, HEALTHCHECK, SHELL.
/// Others, and malformed ones: InvalidArgument.
Result<void> apply_changes(const std::vector<std::string>& changes, spec::ExecutionConfig& config);

}  // namespace berth::engine
