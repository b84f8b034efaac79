// Normal forms of capabilities' names.
#include "apps/berth/options/capabilities.h"

#include <set>

namespace berth::cli::options {
namespace {

std::string normal_name(const std::string& text) {
  std::string name;
  for (char c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (c != ' ') name += c;
  }
  bool special = name == "ALL" || name == "RESET" || name.starts_with("CAP_");
  return special ? name : "CAP_" + name;
}

std::set<std::string> normal_names(const std::vector<std::string>& texts) {
  std::set<std::string> names;
  for (const std::string& text : texts) names.insert(normal_name(text));
  if (names.contains("ALL")) return {"ALL"};
  names.erase("RESET");
  return names;
}

}  // namespace

CapabilityChanges effective_capabilities(const std::vector<std::string>& add,
                                         const std::vector<std::string>& drop) {
  std::set<std::string> added = normal_names(add);
  CapabilityChanges changes{.add = {added.begin(), added.end()}, .drop = {}};
  for (const std::string& name : normal_names(drop)) {
    if (!added.contains(name)) changes.drop.push_back(name);
  }
  return changes;
}

}  // namespace berth::cli::options
