// The containers there are, by id and by name. Names are taken before a container exists (a create that waits
// for something holds its name) and given back when it is gone.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/container.h"

namespace berth::engine {

class ContainerTable {
 public:
  /// By full id, name (with or without '/') or unambiguous id prefix, in this order. NotFound "No such
  /// container: x".
  Result<ContainerHandle> find(std::string_view reference) const;
  /// Null when there is none of this id.
  ContainerHandle by_id(std::string_view id) const;
  /// All, in no useful order.
  std::vector<ContainerHandle> all() const;
  /// Those with legacy links, by id.
  const std::map<std::string, ContainerHandle, std::less<>>& linking() const { return linking_; }
  size_t size() const { return by_id_.size(); }

  /// AlreadyExists with docker's words when the name belongs to another.
  Result<void> take_name(const std::string& name, const std::string& id);
  void release_name(const std::string& name);

  void insert(ContainerHandle container);
  /// Also gives its name back.
  void erase(const Container& container);

 private:
  std::map<std::string, ContainerHandle, std::less<>> by_id_;
  std::map<std::string, ContainerHandle, std::less<>> linking_;
  std::map<std::string, std::string, std::less<>> names_;  ///< name -> id
};

}  // namespace berth::engine
