// Base images without a registry: "busybox" from the host's static busybox, "debian:<suite>" by mmdebstrap
// from the distribution's signed packages. Repeating a bootstrap replaces the name and nothing else.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "storage/image_store.h"

namespace berth::storage {

struct BootstrapOptions {
  /// Made and emptied again; on the data root's filesystem.
  std::string scratch_dir;
  /// One line of progress, without newline.
  std::function<void(std::string_view line)> progress = {};
  std::stop_token stop = {};
};

struct BootstrapResult {
  Digest id;
  std::string name;  ///< "busybox:latest", "debian:bookworm"
};

/// "busybox", "debian", "debian:bookworm", ... Unknown: InvalidArgument with what there is. A missing
/// program: NotFound with the package to install.
Result<BootstrapResult> bootstrap(ImageStore& images, std::string_view name, const BootstrapOptions& options);

/// Names that bootstrap() takes.
std::vector<std::string> bootstrap_names();

}  // namespace berth::storage
