// Control groups of new containers.
#include "apps/runtime/own_group.h"

#include "apps/runtime/resources.h"
#include "base/format.h"
#include "base/json.h"
#include "launch/defaults.h"
#include "sys/file.h"

namespace berth::runtime {
namespace {

constexpr size_t kMaxConfig = 16u << 20;

/// Callers give nodes that every container needs no rule of their own.
spec::Resources with_default_devices(spec::Resources resources) {
  if (resources.devices.empty()) return resources;
  for (const auto& rule : launch::default_device_rules())
    if (rule.allow) resources.devices.push_back(rule);
  return resources;
}

/// Whoever froze a group that is there already did not expect a new container in it.
Result<void> check_not_frozen(const sys::CgroupHost& host, const std::string& path) {
  auto group = sys::Cgroup::open(host, path);
  if (!group) return {};
  auto state = (*group)->freeze_state();
  if (!state || *state == sys::FreezeState::Thawed) return {};
  return failure(Kind::WrongState, "container's cgroup unexpectedly frozen: {}: thaw it or remove it", path);
}

Result<sys::Cgroup::Created> make_none(Container& container, const sys::CgroupLimits& limits) {
  container.record().cgroup.clear();
  CHECK(container.save());
  TRY(auto nothing, sys::CgroupHost::detect_in({}, {}, {}));
  return sys::Cgroup::create(nothing, kOwnParent, limits);
}

}  // namespace

Result<std::unique_ptr<sys::Cgroup>> make_group(const Settings& settings, Container& container,
                                                const spec::RuntimeSpec& spec, StandIn& stand_in) {
  if (settings.systemd_cgroup)
    return make_scope(settings, container, spec, limits_of(with_default_devices(spec.resources)), stand_in);
  TRY(const auto* host, group_host());
  TRY(std::string path, group_path(spec.cgroups_path, container.record().id));
  if (settings.groups == Groups::Demanded && host->version() == sys::CgroupVersion::None)
    return Error(Kind::Unsupported,
                 "--rootless=false: this host has no control groups that can be written to; \"auto\" does "
                 "without");
  sys::CgroupLimits limits = limits_of(with_default_devices(spec.resources));
  sys::Cgroup::Created created;
  if (settings.groups == Groups::None) {
    TRY(created, make_none(container, limits));
  } else {
    if (!spec.cgroups_path.empty()) CHECK(check_not_frozen(*host, path));
    // Known before it is there: whoever finds a half-made container can take all of it away.
    container.record().cgroup = path;
    CHECK(container.save());
    auto made = sys::Cgroup::create(*host, path, limits);
    if (!made && settings.groups == Groups::Forgiven && made.error().kind() == Kind::Forbidden) {
      settings.complaints.warn(fmt::format("no control group: {}", made.error().message()));
      remove_own_parent(path);
      made = make_none(container, limits);
    }
    TRY(created, std::move(made));
  }
  for (const auto& warning : created.warnings) settings.complaints.warn(warning);
  return std::move(created.cgroup);
}

Result<ResctrlGroup> make_class_of_service(Container& container, const spec::RuntimeSpec& spec) {
  if (!spec.intel_rdt) return ResctrlGroup{};
  Record& record = container.record();
  TRY(std::string mounts, sys::read_file("/proc/self/mountinfo", kMaxConfig));
  TRY(std::string mount, find_resctrl(mounts));
  TRY(Json config, parse_json(record.config, {.max_bytes = kMaxConfig}));
  TRY(auto group, plan_resctrl(mount, config["linux"]["intelRdt"], record.id));
  record.resctrl = group.directory;
  TRY(record.resctrl_made, make_resctrl(group));
  CHECK(container.save());
  return group;
}

void remove_groups(const Record& record, sys::Cgroup* group) {
  if (group != nullptr) {
    (void)group->thaw();
    (void)group->kill_all();
  }
  (void)end_scope(record);
  if (group != nullptr) (void)group->remove();
  remove_own_parent(record.cgroup);
  remove_resctrl(record.resctrl_made);
}

}  // namespace berth::runtime
