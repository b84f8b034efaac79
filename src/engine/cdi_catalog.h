// The host's CDI specifications (spec/cdi.h): files of the directories that the engine was given, read anew
// whenever they are asked for, since vendors' tools write them while the engine runs.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "spec/cdi.h"

namespace berth::engine {

class CdiCatalog {
 public:
  /// Reads *.json and *.yaml of the directories; of two devices with one name that of the later directory
  /// wins, and within a directory neither is there. A directory that is missing is none. Reads files: for a
  /// worker.
  static CdiCatalog read(const std::vector<std::string>& directories);

  /// Qualified names, sorted: "nvidia.com/gpu=0".
  std::vector<std::string> devices() const;
  bool has(const std::string& device) const { return devices_.contains(device); }
  /// What could not be read, one sentence each.
  const std::vector<std::string>& problems() const { return problems_; }
  /// The edits of these devices together, each specification's own once. NotFound names all that are unknown.
  Result<spec::CdiEdits> edits_of(const std::vector<std::string>& names) const;

 private:
  struct Device {
    std::shared_ptr<const spec::CdiSpec> spec;
    size_t index;      ///< in the specification
    size_t directory;  ///< the later, the stronger
    std::string path;  ///< of the file
    bool ambiguous = false;
  };
  void read_file(const std::string& path, size_t directory);
  void add(std::string name, Device device);

  std::map<std::string, Device> devices_;
  std::vector<std::string> problems_;
};

}  // namespace berth::engine
