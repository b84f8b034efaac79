// The facts of the process.
#include "engine/rootless.h"

#include <utility>

namespace berth::engine {
namespace {

RootlessFacts& facts_of_process() {
  static RootlessFacts facts;
  return facts;
}

}  // namespace

void set_rootless_facts(RootlessFacts facts) {
  facts_of_process() = std::move(facts);
}

const RootlessFacts& rootless_facts() {
  return facts_of_process();
}

}  // namespace berth::engine
