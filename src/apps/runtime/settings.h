// What the global flags say.
#pragma once

#include <string>
#include <vector>

#include "apps/runtime/complaints.h"
#include "base/result.h"

namespace berth::runtime {

/// What --rootless and --cgroup-manager say of control groups.
enum class Groups {
  WherePossible,  ///< auto: on a host without any that can be written to there are none
  Forgiven,       ///< true: nor where making one is not permitted
  Demanded,       ///< false: no container without
  None,           ///< --cgroup-manager=disabled
};

struct Settings {
  std::string root;  ///< where containers are kept
  bool root_is_given = false;
  bool systemd_cgroup = false;
  Groups groups = Groups::WherePossible;
  std::string criu;  ///< a program; empty: CRIU in the environment, or "criu" in PATH
  Complaints complaints;
};

/// A verb: its exit code, or what went wrong.
using Verb = Result<int> (*)(const Settings& settings, const std::vector<std::string>& words);

Result<int> create(const Settings&, const std::vector<std::string>&);
Result<int> run(const Settings&, const std::vector<std::string>&);
Result<int> start(const Settings&, const std::vector<std::string>&);
Result<int> exec(const Settings&, const std::vector<std::string>&);
Result<int> kill(const Settings&, const std::vector<std::string>&);
Result<int> remove(const Settings&, const std::vector<std::string>&);
Result<int> state(const Settings&, const std::vector<std::string>&);
Result<int> list(const Settings&, const std::vector<std::string>&);
Result<int> ps(const Settings&, const std::vector<std::string>&);
Result<int> events(const Settings&, const std::vector<std::string>&);
Result<int> pause(const Settings&, const std::vector<std::string>&);
Result<int> resume(const Settings&, const std::vector<std::string>&);
Result<int> update(const Settings&, const std::vector<std::string>&);
Result<int> features(const Settings&, const std::vector<std::string>&);
Result<int> spec(const Settings&, const std::vector<std::string>&);
Result<int> checkpoint(const Settings&, const std::vector<std::string>&);
Result<int> restore(const Settings&, const std::vector<std::string>&);

}  // namespace berth::runtime
