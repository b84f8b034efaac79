// systemd, as far as containers need it: a scope is made around a process, joined, changed, and ended.
// docs/decisions/systemd-without-a-library.md
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "sys/dbus_connection.h"

namespace berth::sys {

struct ScopeName {
  std::string slice;  ///< "system.slice"; empty: the manager's usual one
  std::string unit;   ///< "docker-<id>.scope"
};

class Systemd {
 public:
  /// The system's manager, or for an ordinary user his own ($XDG_RUNTIME_DIR). Its private socket, else by
  /// the bus that it is on. Unavailable: none answers.
  static Result<Systemd> connect();

  /// Makes the scope around `pid`, within half a minute. AlreadyExists: there is one of that name.
  /// InvalidArgument, Forbidden: as systemd says.
  Result<void> start_scope(const ScopeName& name, pid_t pid, std::vector<DbusProperty> properties);
  /// Moves a process into a scope that is there: to its group `subgroup` ("/..." below the scope's, which
  /// must exist; empty: the scope's own). NotFound: there is no such scope.
  Result<void> join_scope(const std::string& unit, const std::string& subgroup, pid_t pid);
  Result<void> set_properties(const std::string& unit, const std::vector<DbusProperty>& properties);
  /// Its processes end with it. One that has gone is success.
  Result<void> stop_scope(const std::string& unit);

  bool is_users() const { return users_; }

 private:
  Systemd(DbusConnection connection, bool by_bus, bool users)
      : connection_(std::move(connection)), by_bus_(by_bus), users_(users) {}
  Result<DbusMessage> manager(const char* method, const DbusArguments& arguments);
  Result<void> subscribe();
  Result<std::string> job(const char* method, const DbusArguments& arguments);

  DbusConnection connection_;
  bool by_bus_;
  bool users_;
};

}  // namespace berth::sys
