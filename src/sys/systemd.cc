// Calls of systemd's manager (org.freedesktop.systemd1).
#include "sys/systemd.h"

#include <unistd.h>

#include <cstdlib>

#include "base/format.h"
#include "sys/sub_ids.h"

namespace berth::sys {
namespace {

constexpr auto kPatience = std::chrono::seconds(30);
constexpr char kService[] = "org.freedesktop.systemd1";
constexpr char kManagerPath[] = "/org/freedesktop/systemd1";
constexpr char kManager[] = "org.freedesktop.systemd1.Manager";

DbusConnection::Deadline soon() {
  return std::chrono::steady_clock::now() + kPatience;
}

struct Place {
  std::string socket;
  bool by_bus = false;
};

/// "unix:path=/run/user/1000/bus,guid=..." and "unix:abstract=...": the socket. Empty for others.
std::string socket_of(std::string_view address) {
  address = address.substr(0, address.find(';'));
  for (auto [prefix, sign] : {std::pair{"unix:path=", ""}, std::pair{"unix:abstract=", "@"}}) {
    std::string_view known = prefix;
    if (!address.starts_with(known)) continue;
    address.remove_prefix(known.size());
    return fmt::format("{}{}", sign, address.substr(0, address.find(',')));
  }
  return {};
}

std::vector<Place> places(bool users) {
  if (!users) return {{"/run/systemd/private"}, {"/run/dbus/system_bus_socket", true}};
  std::vector<Place> result;
  const char* directory = std::getenv("XDG_RUNTIME_DIR");
  if (directory != nullptr && *directory == '/')
    result.push_back({fmt::format("{}/systemd/private", directory)});
  if (const char* address = std::getenv("DBUS_SESSION_BUS_ADDRESS"))
    if (std::string socket = socket_of(address); !socket.empty()) result.push_back({socket, true});
  if (directory != nullptr && *directory == '/') result.push_back({fmt::format("{}/bus", directory), true});
  return result;
}

}  // namespace

Result<Systemd> Systemd::connect() {
  bool users = ::geteuid() != 0 || !in_initial_user_namespace();
  std::string causes;
  for (const Place& place : places(users)) {
    auto connection = DbusConnection::open(place.socket, soon());
    if (!connection) {
      causes += fmt::format("{}{}", causes.empty() ? "" : "; ", connection.error().message());
      continue;
    }
    Systemd systemd(std::move(*connection), place.by_bus, users);
    CHECK(systemd.subscribe());
    return systemd;
  }
  if (causes.empty()) causes = "XDG_RUNTIME_DIR and DBUS_SESSION_BUS_ADDRESS are not set";
  return failure(Kind::Unavailable, "no systemd answers here ({})", causes);
}

Result<DbusMessage> Systemd::manager(const char* method, const DbusArguments& arguments) {
  return connection_.call(
      {.destination = by_bus_ ? kService : "", .path = kManagerPath, .interface = kManager, .member = method},
      arguments, soon());
}

/// On its private socket systemd tells everybody everything.
Result<void> Systemd::subscribe() {
  if (!by_bus_) return {};
  DbusCall bus{.destination = "org.freedesktop.DBus",
               .path = "/org/freedesktop/DBus",
               .interface = "org.freedesktop.DBus",
               .member = "Hello"};
  CHECK(connection_.call(bus, {}, soon()));
  bus.member = "AddMatch";
  DbusArguments rule;
  rule.text(fmt::format("type='signal',sender='{}',interface='{}',member='JobRemoved'", kService, kManager));
  CHECK(connection_.call(bus, rule, soon()));
  CHECK(manager("Subscribe", {}));
  return {};
}

/// A method that starts a job: what came of it ("done", "failed", "timeout", ...).
Result<std::string> Systemd::job(const char* method, const DbusArguments& arguments) {
  TRY(auto answer, manager(method, arguments));
  auto started = DbusReader(answer.body).text();
  if (!started) return failure(Kind::Corrupt, "{}: systemd's answer names no job", method);
  auto deadline = soon();
  while (true) {
    TRY(auto removed, connection_.signal("JobRemoved", deadline));
    DbusReader reader(removed.body);
    auto number = reader.number();
    auto job = reader.text(), unit = reader.text(), result = reader.text();
    if (!number || !result) return failure(Kind::Corrupt, "{}: systemd's signal cannot be read", method);
    if (*job == *started) return *result;
  }
}

Result<void> Systemd::start_scope(const ScopeName& name, pid_t pid, std::vector<DbusProperty> properties) {
  std::vector<DbusProperty> all{
      {"Slice", name.slice.empty() ? std::string(users_ ? "user.slice" : "system.slice") : name.slice},
      {"PIDs", std::vector<uint32_t>{static_cast<uint32_t>(pid)}},
      // The group is the container's affair from here on.
      {"Delegate", true},
      {"DefaultDependencies", false},
      {"CollectMode", std::string("inactive-or-failed")},
      {"MemoryAccounting", true},
      {"CPUAccounting", true},
      {"IOAccounting", true},
      {"TasksAccounting", true}};
  all.insert(all.end(), properties.begin(), properties.end());
  DbusArguments arguments;
  arguments.text(name.unit).text("fail").properties(all).no_auxiliary_units();
  auto result = job("StartTransientUnit", arguments);
  if (!result && result.error().kind() == Kind::AlreadyExists) {
    // It may be one that has failed and been left.
    (void)manager("ResetFailedUnit", DbusArguments().text(name.unit));
    result = job("StartTransientUnit", arguments);
  }
  if (!result) return std::move(result).error().in("make scope", name.unit);
  if (*result != "done")
    return failure(Kind::Unavailable,
                   "make scope {}: systemd's job ended as \"{}\": see \"systemctl status {}\"", name.unit,
                   *result, name.unit);
  return {};
}

Result<void> Systemd::join_scope(const std::string& unit, const std::string& subgroup, pid_t pid) {
  DbusArguments arguments;
  arguments.text(unit).text(subgroup).numbers({static_cast<uint32_t>(pid)});
  auto joined = manager("AttachProcessesToUnit", arguments);
  if (!joined) return std::move(joined).error().in("join scope", unit);
  return {};
}

Result<void> Systemd::set_properties(const std::string& unit, const std::vector<DbusProperty>& properties) {
  if (properties.empty()) return {};
  DbusArguments arguments;
  arguments.text(unit).boolean(true).properties(properties);
  auto set = manager("SetUnitProperties", arguments);
  if (!set) return std::move(set).error().in("change scope", unit);
  return {};
}

Result<void> Systemd::stop_scope(const std::string& unit) {
  DbusArguments arguments;
  arguments.text(unit).text("replace");
  auto result = job("StopUnit", arguments);
  if (!result && result.error().kind() != Kind::NotFound)
    return std::move(result).error().in("end scope", unit);
  return {};
}

}  // namespace berth::sys
