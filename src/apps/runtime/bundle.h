// A bundle: the directory with a container's configuration and, usually, its root.
#pragma once

#include <string>

#include "base/result.h"
#include "spec/runtime.h"

namespace berth::runtime {

struct Bundle {
  std::string path;    ///< absolute
  std::string rootfs;  ///< absolute; it is there
  std::string config;  ///< the text of its configuration
  spec::RuntimeSpec spec;
};

/// `directory`: empty is the working directory. `config`: absolute, or in the bundle; 16 MiB at most.
Result<Bundle> read_bundle(const std::string& directory, const std::string& config);

/// Bind mounts of the configuration may be relative to the bundle.
void make_sources_absolute(spec::RuntimeSpec& spec, const std::string& bundle);

}  // namespace berth::runtime
