// "nofile=1024:2048" as an ulimit.
#pragma once

#include <string_view>

#include "base/result.h"
#include "spec/container.h"

namespace berth::engine {

/// "name=soft[:hard]"; hard is soft when not given, -1 is unlimited. InvalidArgument.
Result<spec::Ulimit> parse_ulimit(std::string_view text);

}  // namespace berth::engine
