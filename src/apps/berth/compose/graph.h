// Work along a dependency graph: everything whose dependencies are done runs at once, up to a limit.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "apps/berth/failure.h"

namespace berth::cli::compose {

/// Each node's dependencies; those that are no nodes themselves count as done.
using Graph = std::map<std::string, std::set<std::string>>;

/// Calls `work` for every node, each on some thread, after all that it depends on. After a failure nothing
/// further begins; the first failure is returned when what runs has ended. The graph must have no cycle.
Outcome<void> run_graph(const Graph& graph, size_t limit,
                        const std::function<Outcome<void>(const std::string&)>& work);
/// The same edges the other way round: what must stop before what.
Graph reversed(const Graph& graph);

}  // namespace berth::cli::compose
