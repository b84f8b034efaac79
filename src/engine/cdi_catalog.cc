// Reading CDI directories.
#include "engine/cdi_catalog.h"

#include <algorithm>
#include <set>

#include "base/format.h"
#include "sys/file.h"

namespace berth::engine {
namespace {

constexpr size_t kMaxFile = size_t{4} << 20;
constexpr size_t kMaxFiles = 1024;  ///< of one directory

std::vector<std::string> files_of(const std::string& directory) {
  std::vector<std::string> names;
  auto entries = sys::list_dir(directory);
  if (!entries) return names;
  for (const sys::DirEntry& entry : *entries) {
    if (entry.name.ends_with(".json") || entry.name.ends_with(".yaml")) names.push_back(entry.name);
  }
  std::ranges::sort(names);
  if (names.size() > kMaxFiles) names.resize(kMaxFiles);
  return names;
}

}  // namespace

CdiCatalog CdiCatalog::read(const std::vector<std::string>& directories) {
  CdiCatalog catalog;
  for (size_t i = 0; i < directories.size(); ++i) {
    for (const std::string& name : files_of(directories[i]))
      catalog.read_file(directories[i] + "/" + name, i);
  }
  std::erase_if(catalog.devices_, [](const auto& entry) { return entry.second.ambiguous; });
  return catalog;
}

void CdiCatalog::read_file(const std::string& path, size_t directory) {
  auto text = sys::read_file(path, kMaxFile);
  auto parsed = text ? spec::parse_cdi_spec(*text) : Result<spec::CdiSpec>(std::move(text).error());
  if (!parsed) {
    problems_.push_back(fmt::format("failed to load CDI Spec {}: {}", path, parsed.error().message()));
    return;
  }
  auto spec = std::make_shared<const spec::CdiSpec>(std::move(*parsed));
  for (size_t i = 0; i < spec->devices.size(); ++i)
    add(spec->kind + "=" + spec->devices[i].name,
        {.spec = spec, .index = i, .directory = directory, .path = path});
}

void CdiCatalog::add(std::string name, Device device) {
  auto [known, added] = devices_.try_emplace(std::move(name), device);
  if (added) return;
  if (known->second.directory < device.directory) {
    known->second = std::move(device);
    return;
  }
  known->second.ambiguous = true;
  problems_.push_back(fmt::format("conflicting device \"{}\" (specs \"{}\", \"{}\")", known->first,
                                  device.path, known->second.path));
}

std::vector<std::string> CdiCatalog::devices() const {
  std::vector<std::string> names;
  for (const auto& [name, device] : devices_) names.push_back(name);
  return names;
}

Result<spec::CdiEdits> CdiCatalog::edits_of(const std::vector<std::string>& names) const {
  spec::CdiEdits edits;
  std::set<const spec::CdiSpec*> seen;
  std::vector<std::string> unknown;
  for (const std::string& name : names) {
    auto found = devices_.find(name);
    if (found == devices_.end()) {
      unknown.push_back(name);
      continue;
    }
    const Device& device = found->second;
    if (seen.insert(device.spec.get()).second) edits.append(device.spec->edits);
    edits.append(device.spec->devices[device.index].edits);
  }
  if (unknown.empty()) return edits;
  std::string why = problems_.empty() ? std::string() : fmt::format(" ({})", fmt::join(problems_, "; "));
  return failure(Kind::NotFound, "unresolvable CDI devices {}{}", fmt::join(unknown, ", "), why);
}

}  // namespace berth::engine
