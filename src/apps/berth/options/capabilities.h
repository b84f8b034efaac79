// Capabilities that are added and dropped, as docker's clients send them.
#pragma once

#include <string>
#include <vector>

namespace berth::cli::options {

struct CapabilityChanges {
  std::vector<std::string> add, drop;  ///< "CAP_NET_ADMIN" or "ALL"; sorted, each once
};

/// Adding wins over dropping; ALL swallows the rest of its list; RESET takes nothing. Any case, with or
/// without CAP_. Pure.
CapabilityChanges effective_capabilities(const std::vector<std::string>& add,
                                         const std::vector<std::string>& drop);

}  // namespace berth::cli::options
