// Planning a process.
#include "launch/process_plan.h"

#include <linux/capability.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/format.h"
#include "launch/capability_names.h"
#include "launch/scheduling_plan.h"
#include "launch/seccomp_filter.h"

namespace berth::launch {
namespace {

constexpr std::string_view kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

struct RlimitName {
  std::string_view name;
  unsigned resource;
};

constexpr RlimitName kRlimits[] = {
    {"RLIMIT_AS", RLIMIT_AS},
    {"RLIMIT_CORE", RLIMIT_CORE},
    {"RLIMIT_CPU", RLIMIT_CPU},
    {"RLIMIT_DATA", RLIMIT_DATA},
    {"RLIMIT_FSIZE", RLIMIT_FSIZE},
    {"RLIMIT_LOCKS", RLIMIT_LOCKS},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
    {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
    {"RLIMIT_NICE", RLIMIT_NICE},
    {"RLIMIT_NOFILE", RLIMIT_NOFILE},
    {"RLIMIT_NPROC", RLIMIT_NPROC},
    {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
    {"RLIMIT_RTTIME", RLIMIT_RTTIME},
    {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    {"RLIMIT_STACK", RLIMIT_STACK},
};

/// The value of PATH in the environment: of several the last.
std::string_view search_path_of(const std::vector<std::string>& environment) {
  for (auto variable = environment.rbegin(); variable != environment.rend(); ++variable)
    if (variable->starts_with("PATH=")) return std::string_view(*variable).substr(5);
  return kDefaultPath;
}

/// Of variables that are given more than once the last stays, as runc and docker have it: programs find the
/// first, and would see what was meant to be overridden.
std::vector<std::string> last_of_each(const std::vector<std::string>& environment) {
  std::vector<std::string> kept;
  std::set<std::string_view> seen;
  for (auto variable = environment.rbegin(); variable != environment.rend(); ++variable) {
    std::string_view name = std::string_view(*variable).substr(0, variable->find('='));
    if (seen.insert(name).second) kept.push_back(*variable);
  }
  std::ranges::reverse(kept);
  return kept;
}

Result<void> plan_user(PlanBuilder& builder, const spec::User& user) {
  step::ResolveUser step{.named = static_cast<uint8_t>(user.name ? 1 : 0), .uid = user.uid, .gid = user.gid};
  if (user.name) {
    TRY(step.name, builder.text(*user.name));
  }
  std::vector<std::string> groups;
  for (uint32_t gid : user.additional_gids) groups.push_back(std::to_string(gid));
  groups.insert(groups.end(), user.additional_groups.begin(), user.additional_groups.end());
  TRY(step.additional_groups, builder.list(groups));
  builder.add(step);
  return {};
}

Result<void> plan_credentials(PlanBuilder& builder, const ProcessPlan& plan, const HostFacts& host) {
  const auto& process = plan.process;
  step::SetCredentials step;
  step.umask = process.user.umask.value_or(022);
  step.no_new_privileges = process.no_new_privileges ? 1 : 0;
  step.keep_groups = plan.keeps_groups ? 1 : 0;
  if (process.capabilities) {
    const auto& sets = *process.capabilities;
    TRY(step.bounding, capability_bits(sets.bounding));
    TRY(step.effective, capability_bits(sets.effective));
    TRY(step.permitted, capability_bits(sets.permitted));
    TRY(step.inheritable, capability_bits(sets.inheritable));
    TRY(step.ambient, capability_bits(sets.ambient));
    // Nobody can give what he has not.
    for (uint64_t* set : {&step.effective, &step.permitted, &step.inheritable, &step.ambient})
      *set &= host.capabilities;
    step.effective &= step.permitted;
    step.ambient &= step.permitted & step.inheritable;
    step.keep_sys_admin = plan.seccomp && !process.no_new_privileges ? 1 : 0;
  } else {
    step.keep_capabilities = 1;
  }
  builder.add(step);
  return {};
}

/// As late as may be: from here on the process has to do with what its program will have.
Result<void> plan_rlimits(PlanBuilder& builder, const spec::Process& process) {
  for (const auto& limit : process.rlimits) {
    const RlimitName* known = nullptr;
    for (const auto& entry : kRlimits)
      if (entry.name == limit.type) known = &entry;
    if (known == nullptr) return failure(Kind::InvalidArgument, "invalid rlimit type: {}", limit.type);
    if (limit.soft > limit.hard)
      return failure(Kind::InvalidArgument, "{}: the soft limit must not exceed the hard limit", limit.type);
    TRY(Text name, builder.text(limit.type));
    builder.add(step::SetRlimit{known->resource, limit.soft, limit.hard, name});
  }
  return {};
}

Result<void> plan_exec_step(PlanBuilder& builder, const ProcessPlan& plan) {
  step::Execute step;
  TRY(step.arguments, builder.list(plan.process.args));
  TRY(step.environment, builder.list(last_of_each(plan.process.env)));
  step.through_init = plan.through_init ? 1 : 0;
  builder.add(step);
  return {};
}

}  // namespace

Result<void> check_process(const spec::Process& process) {
  if (process.args.empty()) return Error(Kind::InvalidArgument, "no command specified");
  if (!process.cwd.starts_with('/'))
    return failure(Kind::InvalidArgument,
                   "the working directory '{}' is invalid, it needs to be an absolute path", process.cwd);
  return {};
}

bool makes_device_nodes(const HostFacts& host) {
  return (host.capabilities >> CAP_MKNOD & 1) != 0;
}

Result<void> plan_oom_score(PlanBuilder& builder, const spec::Process& process, const HostFacts& host,
                            int oom_score_now) {
  int wanted = process.oom_score_adj.value_or(oom_score_now);
  if (!makes_device_nodes(host)) {
    // Nobody there may lower a score, a keeper's included: as docker does without root, what cannot be had
    // is raised to what is there.
    oom_score_now = host.oom_score_adj;
    wanted = std::max(wanted, host.oom_score_adj);
  }
  if (wanted != oom_score_now) builder.add(step::SetOomScore{wanted});
  return {};
}

bool has_labels(const spec::Process& process) {
  bool confined = !process.apparmor_profile.empty() && process.apparmor_profile != "unconfined";
  return confined || !process.selinux_label.empty();
}

Result<void> plan_labels(PlanBuilder& builder, const spec::Process& process, const HostFacts& host,
                         Slot proc) {
  if (!process.apparmor_profile.empty() && process.apparmor_profile != "unconfined") {
    if (!host.apparmor)
      return failure(Kind::Unsupported, "apparmor profile \"{}\": AppArmor is not enabled on this host",
                     process.apparmor_profile);
    TRY(Text path, builder.text("thread-self/attr/apparmor/exec"));
    TRY(Text value, builder.text("exec " + process.apparmor_profile));
    builder.add(step::WriteProc{proc, path, value});
  }
  if (!process.selinux_label.empty()) {
    if (!host.selinux)
      return failure(Kind::Unsupported, "selinux label \"{}\": SELinux is not enabled on this host",
                     process.selinux_label);
    TRY(Text value, builder.text(process.selinux_label));
    // The session keyring is made before the program runs, and it is the program that must be allowed to use
    // it. Both are forgotten by the kernel at the exec.
    for (const char* attribute : {"thread-self/attr/exec", "thread-self/attr/keycreate"}) {
      TRY(Text path, builder.text(attribute));
      builder.add(step::WriteProc{proc, path, value});
    }
  }
  return {};
}

Result<void> plan_process(PlanBuilder& builder, const ProcessPlan& plan, const HostFacts& host) {
  const auto& process = plan.process;
  builder.add(step::StartSession{static_cast<uint8_t>(process.terminal ? 1 : 0)});
  CHECK(plan_scheduling(builder, process));
  if (plan.memory_policy != nullptr) CHECK(plan_memory_policy(builder, *plan.memory_policy));
  CHECK(plan_personality(builder, plan.personality));
  CHECK(plan_user(builder, process.user));
  TRY(Text directory, builder.text(process.cwd));
  builder.add(step::EnterDirectory{directory});
  CHECK(plan_rlimits(builder, process));
  CHECK(plan_credentials(builder, plan, host));
  TRY(Text program, builder.text(process.args.front()));
  TRY(Text search_path, builder.text(search_path_of(process.env)));
  builder.add(step::FindProgram{program, search_path});
  if (plan.await_release) builder.add(step::AwaitRelease{});
  if (plan.seccomp) {
    if (!host.seccomp_filter)
      return Error(Kind::Unsupported, "this kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)");
    TRY(auto filter, compile_seccomp(*plan.seccomp, host.architecture,
                                     plan.explains_denials ? Denials::Notify : Denials::Answer));
    builder.setup().denial_error = filter->denial_error;
    builder.add(step::ApplySeccomp{builder.blob(filter->program), filter->flags,
                                   static_cast<uint8_t>(filter->listens ? 1 : 0)});
  }
  return plan_exec_step(builder, plan);
}

}  // namespace berth::launch
