// Mark from the roots, sweep the rest.
#include "storage/gc_plan.h"

#include <algorithm>
#include <map>

namespace berth::storage {

GcPlan plan_collection(const GcInput& input) {
  std::map<Digest, const GcLayer*> by_chain;
  for (const GcLayer& layer : input.layers) by_chain.emplace(layer.chain_id, &layer);

  std::set<Digest> live_layers;
  std::set<Digest> live_blobs = input.blob_roots;
  for (const Digest& root : input.chain_roots) {
    auto it = by_chain.find(root);
    while (it != by_chain.end() && live_layers.insert(it->first).second) {
      if (it->second->blob) live_blobs.insert(*it->second->blob);
      if (!it->second->parent) break;
      it = by_chain.find(*it->second->parent);
    }
  }

  GcPlan plan;
  std::map<Digest, int> dead_children;
  for (const GcLayer& layer : input.layers) {
    if (live_layers.contains(layer.chain_id)) continue;
    dead_children.try_emplace(layer.chain_id, 0);
    if (layer.parent) ++dead_children[*layer.parent];
  }
  // Leaves first: a layer goes when nothing that is still there stands on it.
  std::vector<Digest> ready;
  for (const auto& [chain, children] : dead_children) {
    if (children == 0) ready.push_back(chain);
  }
  while (!ready.empty()) {
    Digest chain = std::move(ready.back());
    ready.pop_back();
    auto it = by_chain.find(chain);
    if (it == by_chain.end() || live_layers.contains(chain)) continue;
    if (it->second->parent && --dead_children[*it->second->parent] == 0) ready.push_back(*it->second->parent);
    plan.layers.push_back(std::move(chain));
  }
  std::set_difference(input.blobs.begin(), input.blobs.end(), live_blobs.begin(), live_blobs.end(),
                      std::back_inserter(plan.blobs));
  return plan;
}

}  // namespace berth::storage
