// Making and loading the default AppArmor profile.
#include "launch/apparmor.h"

#include "base/format.h"
#include "sys/file.h"
#include "sys/host_program.h"

namespace berth::launch {
namespace {

constexpr std::string_view kName = "berth-default";
constexpr size_t kMaxProfiles = 4 << 20;

/// A second wall behind namespaces, masked paths and read-only mounts: what a container may do as far as
/// those let it, but never what reaches the kernel's settings, its memory or mounts. "deny" wins over what is
/// allowed.
constexpr std::string_view kText = R"(# Made by berthd, which loads it anew when it changes.
profile berth-default flags=(attach_disconnected,mediate_deleted) {
  file,
  network,
  capability,
  umount,
  unix,
  dbus,

  # Whoever runs the engine may end and stop what is inside; inside, all among themselves.
  signal (receive) peer=unconfined,
  signal (send, receive) peer=berth-default,
  ptrace (trace, read, tracedby, readby) peer=berth-default,

  deny mount,
  deny remount,
  deny pivot_root,

  # The kernel's settings and memory.
  deny @{PROC}/sys/** wkl,
  deny @{PROC}/sysrq-trigger rwkl,
  deny @{PROC}/kcore rwkl,
  deny @{PROC}/kmem rwkl,
  deny @{PROC}/mem rwkl,
  deny @{PROC}/{acpi,asound,bus,driver,fs,irq,mtrr,scsi,tty}/** wkl,

  # Of /sys only the groups of the container's own.
  deny /sys/[^f]** wkl,
  deny /sys/f[^s]** wkl,
  deny /sys/fs/[^c]** wkl,
  deny /sys/firmware/** rwkl,
  deny /sys/kernel/security/** rwkl,
  deny /sys/devices/virtual/powercap/** rwkl,
}
)";

Result<void> run_parser(const std::string& path) {
  TRY(auto parser, sys::HostProgram::start({"apparmor_parser", "--skip-cache", "--replace", path},
                                           {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}));
  TRY(std::string complaint, sys::read_fd(parser.standard_error(), 4096));
  TRY(int status, parser.wait());
  if (status == 0) return {};
  return failure(Kind::Unavailable, "apparmor_parser {}: {}", path,
                 complaint.substr(0, complaint.find('\n')));
}

}  // namespace

std::string apparmor_profile_text() {
  return "@{PROC}=/proc/\n\n" + std::string(kText);
}

ProfileState apparmor_profile_state(std::string_view name, const std::string& loaded) {
  auto text = sys::read_file(loaded, kMaxProfiles);
  if (!text || name.starts_with(':')) return ProfileState::Unknown;
  std::string line = fmt::format("{} (", name);
  if (text->starts_with(line) || text->find("\n" + line) != std::string::npos) return ProfileState::Loaded;
  return ProfileState::NotLoaded;
}

std::string default_apparmor_profile(const std::string& loaded) {
  bool there = apparmor_profile_state(kName, loaded) == ProfileState::Loaded;
  return there ? std::string(kName) : std::string();
}

Result<void> load_default_apparmor_profile(const HostFacts& host, const std::string& directory) {
  if (!host.apparmor) return {};
  std::string path = fmt::format("{}/apparmor-{}", directory, kName);
  std::string text = apparmor_profile_text();
  auto before = sys::read_file(path, kMaxProfiles);
  if (before && *before == text && !default_apparmor_profile().empty()) return {};
  CHECK(sys::write_file_atomic(path, text));
  auto loaded = run_parser(path);
  if (!loaded) return std::move(loaded).error().in("AppArmor profile berth-default");
  return {};
}

}  // namespace berth::launch
