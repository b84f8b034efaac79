// Package URLs of images, as provenance names them (package-url's "docker" type). Pure.
#pragma once

#include <string>

#include "spec/image.h"
#include "spec/reference.h"

namespace berth::spec {

/// "pkg:docker/app@1.0?platform=linux%2Famd64"; a digest in the name is "?digest=sha256:...&platform=...".
std::string docker_package_url(const Reference& name, const Platform& platform);

}  // namespace berth::spec
