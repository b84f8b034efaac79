// Questions about a spec's namespaces and id mappings. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "spec/runtime.h"

namespace berth::launch {

/// CLONE_NEW* of a type.
uint32_t clone_flag(spec::NamespaceType type);
const spec::Namespace* find_namespace(const std::vector<spec::Namespace>& namespaces,
                                      spec::NamespaceType type);
/// The container gets a new one of this type.
bool is_new(const std::vector<spec::Namespace>& namespaces, spec::NamespaceType type);
/// InvalidArgument when a type comes twice.
Result<void> check_namespaces(const std::vector<spec::Namespace>& namespaces);
/// True when the container's id is mapped; without mappings all are.
bool maps_id(const std::vector<spec::IdMapping>& mappings, uint32_t container_id);
/// Lines for /proc/<pid>/uid_map.
std::string id_map_text(const std::vector<spec::IdMapping>& mappings);

}  // namespace berth::launch
