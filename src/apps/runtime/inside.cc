// Planning processes that join a container.
#include "apps/runtime/inside.h"

#include <algorithm>

#include "apps/runtime/annotations.h"
#include "apps/runtime/facts.h"
#include "apps/runtime/other_users.h"
#include "base/format.h"
#include "launch/failpoint.h"

namespace berth::runtime {
namespace {

/// "--cgroup [CONTROLLER,...:]PATH": a group below the container's own.
Result<void> choose_subgroups(const std::vector<std::string>& choices,
                              std::vector<std::pair<std::string, std::string>>& directories) {
  for (const auto& choice : choices) {
    size_t colon = choice.find(':');
    std::string controllers = colon == std::string::npos ? "" : choice.substr(0, colon);
    std::string path = colon == std::string::npos ? choice : choice.substr(colon + 1);
    if (("/" + path + "/").find("/../") != std::string::npos)
      return failure(Kind::InvalidArgument, "bad sub cgroup path: {} is not a sub cgroup path", path);
    while (path.starts_with('/')) path.erase(0, 1);
    std::string_view rest = controllers;
    do {
      std::string_view wanted = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(rest.size(), wanted.size() + 1));
      bool found = false;
      for (auto& [directory, held] : directories) {
        if (!wanted.empty() && ("," + held + ",").find(fmt::format(",{},", wanted)) == std::string::npos)
          continue;
        found = true;
        if (!path.empty() && !directory.ends_with("/" + path)) directory += "/" + path;
      }
      if (!found) return failure(Kind::InvalidArgument, "unknown controller {}", wanted);
    } while (!rest.empty());
  }
  return {};
}

}  // namespace

Result<launch::ExecPlan> plan_inside(const Container& container, const spec::RuntimeSpec& spec,
                                     spec::Process process, int init,
                                     const std::vector<std::string>& subgroups) {
  launch::ExecRequest request;
  request.token = "exec";
  request.process = std::move(process);
  request.seccomp = spec.seccomp;
  request.memory_policy = spec.memory_policy;
  request.personality = spec.personality;
  request.container_id = container.record().id.substr(0, 128);
  request.stdin_mode = launch::StdinMode::Open;
  request.keeps_groups = keeps_groups(spec);
  TRY(request.namespaces, namespaces_to_join(spec.namespaces, container.record().pid, init));
  TRY(auto group, container.cgroup());
  if (group) {
    auto directories = group->directories();
    CHECK(choose_subgroups(subgroups, directories));
    for (const auto& [directory, controllers] : directories) request.cgroups.push_back({directory});
  }
  TRY(auto host, facts_for(request.namespaces));
  TRY(auto plan, launch::plan_exec(request, host));
  plan.setup.fail_at = launch::failing_step();
  return plan;
}

}  // namespace berth::runtime
