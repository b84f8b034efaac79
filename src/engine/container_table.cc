// Looking containers up.
#include "engine/container_table.h"

#include "base/format.h"
#include "engine/links.h"

namespace berth::engine {
namespace {

/// "app/db": what app calls db by a link. Null when there is no such link.
ContainerHandle linked_container(const ContainerTable& table, std::string_view path) {
  size_t slash = path.find('/');
  if (slash == path.npos) return nullptr;
  auto owner = table.find(path.substr(0, slash));
  if (!owner) return nullptr;
  for (const std::string& text : (*owner)->record.host_config.links) {
    auto link = parse_link(text);
    if (!link || link->alias != path.substr(slash + 1)) continue;
    auto other = table.find(link->container);
    return other ? *other : nullptr;
  }
  return nullptr;
}

}  // namespace

Result<ContainerHandle> ContainerTable::find(std::string_view reference) const {
  std::string_view name = reference.starts_with('/') ? reference.substr(1) : reference;
  if (name.empty()) return Error(Kind::InvalidArgument, "No container name or ID supplied");
  if (auto found = by_id_.find(reference); found != by_id_.end()) return found->second;
  if (auto named = names_.find(name); named != names_.end()) {
    if (auto found = by_id_.find(named->second); found != by_id_.end()) return found->second;
  }
  if (auto linked = linked_container(*this, name)) return linked;
  auto first = by_id_.lower_bound(reference);
  if (first == by_id_.end() || !first->first.starts_with(reference)) {
    return failure(Kind::NotFound, "No such container: {}", reference);
  }
  auto second = std::next(first);
  if (second != by_id_.end() && second->first.starts_with(reference)) {
    return failure(Kind::InvalidArgument, "multiple IDs found with provided prefix: {}", reference);
  }
  return first->second;
}

ContainerHandle ContainerTable::by_id(std::string_view id) const {
  auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second;
}

std::vector<ContainerHandle> ContainerTable::all() const {
  std::vector<ContainerHandle> list;
  list.reserve(by_id_.size());
  for (const auto& [id, container] : by_id_) list.push_back(container);
  return list;
}

Result<void> ContainerTable::take_name(const std::string& name, const std::string& id) {
  auto [entry, taken] = names_.emplace(name, id);
  if (taken) return {};
  return failure(
      Kind::AlreadyExists,
      "Conflict. The container name \"/{}\" is already in use by container \"{}\". You have to remove (or "
      "rename) that container to be able to reuse that name.",
      name, entry->second);
}

void ContainerTable::release_name(const std::string& name) {
  names_.erase(name);
}

void ContainerTable::insert(ContainerHandle container) {
  names_.emplace(container->record.name, container->record.id);
  if (!container->record.host_config.links.empty()) linking_[container->record.id] = container;
  by_id_[container->record.id] = std::move(container);
}

void ContainerTable::erase(const Container& container) {
  auto named = names_.find(container.record.name);
  if (named != names_.end() && named->second == container.record.id) names_.erase(named);
  linking_.erase(container.record.id);
  by_id_.erase(container.record.id);
}

}  // namespace berth::engine
