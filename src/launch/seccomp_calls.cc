// Numbers of system calls.
#include "launch/seccomp_calls.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "base/format.h"
#include "launch/seccomp_filter.h"

namespace berth::launch {
namespace {

/// Calls that libseccomp 2.5 does not know. Since Linux 5.12 all architectures number new calls alike.
constexpr std::pair<std::string_view, int> kNewerCalls[] = {
    {"quotactl_fd", 443},       {"landlock_create_ruleset", 444},
    {"landlock_add_rule", 445}, {"landlock_restrict_self", 446},
    {"memfd_secret", 447},      {"process_mrelease", 448},
    {"futex_waitv", 449},       {"set_mempolicy_home_node", 450},
    {"cachestat", 451},         {"fchmodat2", 452},
    {"map_shadow_stack", 453},  {"futex_wake", 454},
    {"futex_wait", 455},        {"futex_requeue", 456},
    {"statmount", 457},         {"listmount", 458},
    {"lsm_get_self_attr", 459}, {"lsm_set_self_attr", 460},
    {"lsm_list_modules", 461},  {"mseal", 462},
    {"setxattrat", 463},        {"getxattrat", 464},
    {"listxattrat", 465},       {"removexattrat", 466},
    {"open_tree_attr", 467},    {"file_getattr", 468},
    {"file_setattr", 469}};

/// Calls that i386 used to make through socketcall() and ipc(); libseccomp gives no plain numbers for them.
constexpr std::pair<std::string_view, int> kDirectCallsX86[] = {
    {"socket", 359},  {"socketpair", 360}, {"bind", 361},       {"connect", 362},     {"listen", 363},
    {"accept4", 364}, {"getsockopt", 365}, {"setsockopt", 366}, {"getsockname", 367}, {"getpeername", 368},
    {"sendto", 369},  {"sendmsg", 370},    {"recvfrom", 371},   {"recvmsg", 372},     {"shutdown", 373},
    {"semget", 393},  {"semctl", 394},     {"shmget", 395},     {"shmctl", 396},      {"shmat", 397},
    {"shmdt", 398},   {"msgget", 399},     {"msgsnd", 400},     {"msgrcv", 401},      {"msgctl", 402}};

}  // namespace

std::optional<uint32_t> call_number(const std::string& name, const SeccompTarget& target) {
  int number = seccomp_syscall_resolve_name_arch(target.seccomp, name.c_str());
  if (number >= 0) return static_cast<uint32_t>(number);
  if (target.seccomp == SCMP_ARCH_X86)
    for (const auto& [direct, value] : kDirectCallsX86)
      if (direct == name) return static_cast<uint32_t>(value);
  for (const auto& [newer, value] : kNewerCalls)
    if (newer == name) return static_cast<uint32_t>(value) | (target.seccomp == SCMP_ARCH_X32 ? kX32Bit : 0);
  if (name == "uretprobe" && target.seccomp == SCMP_ARCH_X86_64) return 335;
  return std::nullopt;
}

bool is_known_call(const std::string& name) {
  return std::ranges::any_of(
             kSeccompTargets,
             [&](const SeccompTarget& target) { return call_number(name, target).has_value(); }) ||
         // Calls that libseccomp knows of another architecture have negative numbers on these.
         seccomp_syscall_resolve_name(name.c_str()) != __NR_SCMP_ERROR;
}

std::string call_name(uint32_t audit, uint32_t number) {
  for (const SeccompTarget& target : kSeccompTargets) {
    bool is_x32 = (number & kX32Bit) != 0 && audit == AUDIT_ARCH_X86_64;
    if (target.audit != audit || is_x32 != (target.seccomp == SCMP_ARCH_X32)) continue;
    if (char* name = seccomp_syscall_resolve_num_arch(target.seccomp, static_cast<int>(number))) {
      std::string text = name;
      std::free(name);
      return text;
    }
    for (const auto& [name, value] : kNewerCalls)
      if (static_cast<uint32_t>(value) == (number & ~kX32Bit)) return std::string(name);
  }
  return fmt::format("system call {}", number);
}

}  // namespace berth::launch
