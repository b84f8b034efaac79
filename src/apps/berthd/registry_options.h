// The registry that berthd serves by itself (--registry-addr ...), and what registries share with the engine.
#pragma once

#include "api/registry/registry_api.h"
#include "apps/berthd/options.h"
#include "base/result.h"

namespace berth::engine {
class Engine;
}

namespace berth::berthd {

/// Engine and loop must outlive what is made of it.
api::RegistryServices registry_services(io::EventLoop& loop, engine::Engine& engine);
/// Reads the files that the flags name.
Result<api::RegistrySettings> read_registry_files(const RegistryOptions& options);

}  // namespace berth::berthd
