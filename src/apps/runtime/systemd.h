// systemd, as far as a container needs it: a scope is made around a process, changed, and ended.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "apps/runtime/scope_properties.h"
#include "base/result.h"
#include "sys/dbus_connection.h"

namespace berth::runtime {

class Systemd {
 public:
  /// The system's manager, or for an ordinary user his own ($XDG_RUNTIME_DIR). Its private socket, else by
  /// the bus that it is on. Unavailable: none answers.
  static Result<Systemd> connect();

  /// Makes the scope around `pid`, within half a minute. AlreadyExists: there is one of that name.
  /// InvalidArgument, Forbidden: as systemd says.
  Result<void> start_scope(const ScopeName& name, pid_t pid, std::vector<sys::DbusProperty> properties);
  Result<void> set_properties(const std::string& unit, const std::vector<sys::DbusProperty>& properties);
  /// Its processes end with it. One that has gone is success.
  Result<void> stop_scope(const std::string& unit);

  bool is_users() const { return users_; }

 private:
  Systemd(sys::DbusConnection connection, bool by_bus, bool users)
      : connection_(std::move(connection)), by_bus_(by_bus), users_(users) {}
  Result<sys::DbusMessage> manager(const char* method, const sys::DbusArguments& arguments);
  Result<void> subscribe();
  Result<std::string> job(const char* method, const sys::DbusArguments& arguments);

  sys::DbusConnection connection_;
  bool by_bus_;
  bool users_;
};

}  // namespace berth::runtime
