// Reading Compose files with what they include and extend, into one merged Value.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "apps/berth/compose/project.h"
#include "apps/berth/compose/remote_files.h"
#include "apps/berth/compose/value.h"
#include "base/result.h"

namespace berth::cli::compose {

class FileLoader {
 public:
  /// `remote` brings files from elsewhere.
  FileLoader(const Environment& environment, const LoadOptions& options, RemoteFiles& remote)
      : environment_(environment), options_(options), remote_(remote) {}

  /// The files merged in their order; relative paths are relative to `directory`.
  Result<Value> load(const std::vector<std::string>& files, const std::string& directory);
  /// Variables that were used and are not set.
  const std::set<std::string>& unset() const { return unset_; }
  /// Values of "secrets.NAME" and "configs.NAME" by the variables of the file that includes them.
  const std::map<std::string, std::string>& included_values() const { return included_values_; }

 private:
  Result<Value> load_one(const std::string& file, const std::string& directory,
                         const Environment& environment);
  /// The file's documents, checked and in their long forms.
  Result<std::vector<Value>> read(const std::string& file, const std::string& directory,
                                  const Environment& environment);
  Result<void> resolve_document(Value& value, const std::string& directory, const Environment& environment);
  Result<void> resolve_extends(Value& file, const std::string& name, const std::string& directory,
                               const Environment& environment, std::vector<std::string>& chain);
  /// The path of a file that an entry names: beneath `directory`, or fetched.
  Result<std::string> locate(const Value& entry, std::string_view what, const std::string& directory,
                             const std::string& name);
  Result<Value> include(const Value& entry, const std::string& directory, const Environment& environment);
  void resolve_variables(Value& included, const Environment& environment);
  Result<void> resolve_includes(Value& file, const std::string& directory, const Environment& environment);

  const Environment& environment_;
  const LoadOptions& options_;
  RemoteFiles& remote_;
  std::set<std::string> unset_;
  std::vector<std::string> including_;
  std::map<std::string, std::string> included_values_;
};

/// Variables of env files; those that `base` has keep their value.
Result<Environment> read_environment(const std::vector<std::string>& files, const Environment& base);

}  // namespace berth::cli::compose
