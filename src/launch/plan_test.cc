// Plans, asserted without root; and their encoding.
#include "launch/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/mount.h>
#include <linux/sched.h>

#include <map>
#include <random>

#include "launch/capability_names.h"
#include "launch/defaults.h"
#include "launch/mount_plan.h"
#include "launch/plan_codec.h"

namespace berth::launch {
namespace {

HostFacts modern_host() {
  HostFacts host;
  host.kernel = {6, 12};
  host.capabilities = (uint64_t{1} << kKnownCapabilities) - 1;
  host.last_capability = kKnownCapabilities - 1;
  host.cgroups = {{CgroupHierarchy::Version::V2, "/sys/fs/cgroup", {"cpu", "memory", "pids"}}};
  host.seccomp_filter = true;
  host.user_namespaces = true;
  return host;
}

HostFacts hybrid_host() {
  auto host = modern_host();
  using enum CgroupHierarchy::Version;
  host.cgroups = {{V1, "/sys/fs/cgroup/memory", {"memory"}},
                  {V1, "/sys/fs/cgroup/cpu,cpuacct", {"cpu", "cpuacct"}},
                  {V1, "/sys/fs/cgroup/systemd", {"name=systemd"}},
                  {V2, "/sys/fs/cgroup/unified", {}}};
  return host;
}

LaunchRequest basic_request(const HostFacts& host) {
  LaunchRequest request;
  request.id = "c1";
  request.spec = default_container_spec(host);
  request.spec.process.args = {"sh"};
  request.root =
      OverlayRoot{.lowers = {"/layers/b", "/layers/a"}, .upper = "/u", .work = "/w", .options = {}};
  request.exec_directory = "/run/berth/c1";
  request.exit_path = "/var/c1/exit";
  return request;
}

/// All steps of one type.
template <class S>
std::vector<S> steps_of(const LaunchPlan& plan) {
  std::vector<S> found;
  for (const auto& step : plan.steps)
    if (const auto* each = std::get_if<S>(&step)) found.push_back(*each);
  return found;
}

template <class S>
size_t position_of(const LaunchPlan& plan) {
  for (size_t i = 0; i < plan.steps.size(); ++i)
    if (std::holds_alternative<S>(plan.steps[i])) return i;
  return plan.steps.size();
}

LaunchPlan planned(const LaunchRequest& request, const HostFacts& host) {
  auto plan = plan_launch(request, host);
  EXPECT_TRUE(plan) << plan.error().message();
  return plan ? std::move(*plan) : LaunchPlan{};
}

TEST(PlanTest, OrderOfADefaultContainer) {
  auto host = modern_host();
  auto plan = planned(basic_request(host), host);
  EXPECT_EQ(plan.setup.clone_flags,
            uint64_t{CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWPID | CLONE_NEWIPC});
  // What must come before what.
  EXPECT_LT(position_of<step::Unshare>(plan), position_of<step::MountOverlay>(plan));
  EXPECT_LT(position_of<step::SetPropagation>(plan), position_of<step::MountOverlay>(plan));
  EXPECT_LT(position_of<step::MakeNode>(plan), position_of<step::MaskPath>(plan));
  EXPECT_LT(position_of<step::MaskPath>(plan), position_of<step::PivotRoot>(plan));
  EXPECT_LT(position_of<step::PivotRoot>(plan), position_of<step::ResolveUser>(plan));
  EXPECT_LT(position_of<step::EnterDirectory>(plan), position_of<step::SetCredentials>(plan));
  EXPECT_LT(position_of<step::SetCredentials>(plan), position_of<step::FindProgram>(plan));
  EXPECT_LT(position_of<step::FindProgram>(plan), position_of<step::ApplySeccomp>(plan));
  EXPECT_EQ(position_of<step::Execute>(plan), plan.steps.size() - 1);
  auto overlay = steps_of<step::MountOverlay>(plan).at(0);
  EXPECT_EQ(overlay.lowers.count(), 2U);
  EXPECT_EQ((*overlay.lowers.begin()).view(), "/layers/b");
  EXPECT_TRUE(steps_of<step::AwaitRelease>(plan).empty());
  EXPECT_EQ(steps_of<step::SetCredentials>(plan).at(0).inheritable, 0U);
  EXPECT_EQ(steps_of<step::SetCredentials>(plan).at(0).effective, 0xa80425fbU);
}

TEST(PlanTest, SharedSourcesAreTakenBeforePropagationChanges) {
  auto host = modern_host();
  auto request = basic_request(host);
  request.spec.mounts.push_back({"/data", "bind", "/srv/data", {"rbind", "rslave", "ro"}});
  auto plan = planned(request, host);
  EXPECT_LT(position_of<step::OpenTree>(plan), position_of<step::SetPropagation>(plan));
  auto tree = steps_of<step::OpenTree>(plan).at(0);
  EXPECT_EQ(tree.source.view(), "/srv/data");
  EXPECT_EQ(tree.recursive, 1);
  bool slave = false, readonly = false;
  for (const auto& change : steps_of<step::SetAttributes>(plan)) {
    if (change.slot != tree.slot) continue;
    slave |= change.propagation == MS_SLAVE && change.recursive == 1;
    readonly |= change.set == MOUNT_ATTR_RDONLY && change.recursive == 0;
  }
  EXPECT_TRUE(slave && readonly);
}

TEST(PlanTest, NamespacesByDescriptorAndPath) {
  auto host = modern_host();
  auto request = basic_request(host);
  request.network_from_fd = true;
  for (auto& each : request.spec.namespaces) {
    if (each.type == spec::NamespaceType::Pid) each.path = "/proc/7/ns/pid";
    if (each.type == spec::NamespaceType::Ipc) each.path = "/proc/7/ns/ipc";
  }
  auto plan = planned(request, host);
  EXPECT_EQ(plan.setup.clone_flags, uint64_t{CLONE_NEWNS | CLONE_NEWUTS});
  EXPECT_EQ(plan.setup.pid_namespace.view(), "/proc/7/ns/pid");
  auto joins = steps_of<step::JoinNamespace>(plan);
  ASSERT_EQ(joins.size(), 2U);
  EXPECT_EQ(joins[0].path.view(), "/proc/7/ns/ipc");
  EXPECT_EQ(joins[1].slot, kSlotNetwork);
  EXPECT_TRUE(steps_of<step::LoopbackUp>(plan).empty());
}

TEST(PlanTest, TheFirstSysfsMayBeGiven) {
  auto host = modern_host();
  auto request = basic_request(host);
  request.sysfs_from_fd = true;
  auto made = [](const LaunchPlan& plan) {
    auto all = steps_of<step::NewFilesystem>(plan);
    return std::count_if(all.begin(), all.end(), [](const auto& one) { return one.type.view() == "sysfs"; });
  };
  auto is_given = [](const auto& step) { return step.slot == kSlotSysfs; };
  auto plan = planned(request, host);
  EXPECT_EQ(made(plan), 0);
  auto changes = steps_of<step::SetAttributes>(plan);
  auto change = std::find_if(changes.begin(), changes.end(), is_given);
  ASSERT_NE(change, changes.end());
  EXPECT_EQ(change->set,
            uint64_t{MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC});
  auto attached = steps_of<step::Attach>(plan);
  auto place = std::find_if(attached.begin(), attached.end(), is_given);
  ASSERT_NE(place, attached.end());
  EXPECT_EQ(place->target.view(), "/sys");
  EXPECT_EQ(place->rule, static_cast<uint8_t>(TargetRule::OrdinaryDirectory));

  request.spec.mounts.push_back({"/other", "sysfs", "sysfs", {"ro"}});
  EXPECT_EQ(made(planned(request, host)), 1) << "there is one";
  request.spec.mounts.pop_back();
  for (auto& mount : request.spec.mounts)
    if (mount.type == "sysfs") mount.options.push_back("noatime");
  EXPECT_EQ(made(planned(request, host)), 1) << "nobody knows what is set already";
}

TEST(PlanTest, CgroupsOfV2AreEnteredByClone) {
  auto host = modern_host();
  auto request = basic_request(host);
  request.cgroups = {{"/sys/fs/cgroup/berth/c1"}};
  auto plan = planned(request, host);
  EXPECT_EQ(plan.setup.cgroup.view(), "/sys/fs/cgroup/berth/c1");
  EXPECT_TRUE(steps_of<step::EnterCgroup>(plan).empty());
}

TEST(PlanTest, CgroupsOfV1AreEnteredAndShown) {
  auto host = hybrid_host();
  auto request = basic_request(host);
  request.cgroups = {{"/sys/fs/cgroup/memory/berth/c1"}, {"/sys/fs/cgroup/cpu,cpuacct/berth/c1"}};
  auto plan = planned(request, host);
  EXPECT_EQ(steps_of<step::EnterCgroup>(plan).size(), 2U);
  EXPECT_LT(position_of<step::EnterCgroup>(plan), position_of<step::Unshare>(plan));
  std::vector<std::string> links;
  for (const auto& link : steps_of<step::MakeSymlink>(plan))
    if (link.target.view() == "cpu,cpuacct") links.emplace_back(link.path.view());
  EXPECT_EQ(links, (std::vector<std::string>{"cpu", "cpuacct"}));
}

TEST(PlanTest, BadRequests) {
  auto host = modern_host();
  auto expect = [&](auto change, std::string_view message) {
    auto request = basic_request(host);
    change(request);
    auto plan = plan_launch(request, host);
    ASSERT_FALSE(plan) << message;
    EXPECT_EQ(plan.error().message(), message);
  };
  expect([](auto& r) { r.spec.process.args.clear(); }, "no command specified");
  expect([](auto& r) { r.spec.process.cwd = "relative"; },
         "the working directory 'relative' is invalid, it needs to be an absolute path");
  expect(
      [](auto& r) {
        r.spec.mounts.push_back({"/../", "tmpfs", "tmpfs", {}});
      },
      "invalid specification: destination can't be '/'");
  expect([](auto& r) { r.spec.process.args = {std::string("a\0b", 3)}; }, "\"a\" contains a NUL byte");
  expect(
      [](auto& r) {
        r.spec.process.rlimits = {{"RLIMIT_BOGUS", 1, 1}};
      },
      "invalid rlimit type: RLIMIT_BOGUS");
  expect(
      [](auto& r) {
        r.spec.namespaces.push_back({spec::NamespaceType::Pid, ""});
      },
      "malformed spec file: duplicated ns");
  expect([](auto& r) { r.spec.sysctl["vm.swappiness"] = "1"; },
         "sysctl \"vm.swappiness\" is not in a separate kernel namespace");
  expect([](auto& r) { r.spec.sysctl["net.ipv4.x=1\nkernel.core_pattern"] = "1"; },
         "invalid sysctl \"net.ipv4.x=1\nkernel.core_pattern\"");
  expect([](auto& r) { r.spec.sysctl["kernel.hostname"] = "x"; },
         "sysctl \"kernel.hostname\" is not allowed: the name is what the field hostname says");
  expect(
      [](auto& r) {
        r.spec.domainname = "a";
        r.spec.sysctl["kernel/domainname"] = "b";
      },
      "sysctl \"kernel.domainname\" is \"b\", but the field domainname says \"a\"");
  expect([](auto& r) { r.spec.process.apparmor_profile = "docker-default"; },
         "apparmor profile \"docker-default\": AppArmor is not enabled on this host");
  expect([](auto& r) { r.root = OverlayRoot{}; }, "the container's root has no layers");
}

TEST(PlanTest, KeyringsRootsAndHooks) {
  auto host = modern_host();
  auto request = basic_request(host);
  auto plan = planned(request, host);
  ASSERT_EQ(steps_of<step::JoinKeyring>(plan).size(), 1u);
  EXPECT_EQ(steps_of<step::JoinKeyring>(plan)[0].name.view(), "_ses.c1");
  EXPECT_EQ(steps_of<step::AttachRoot>(plan)[0].at.view(), "/");
  EXPECT_EQ(steps_of<step::PivotRoot>(plan)[0].moves, 0);
  request.keeps_keyring = request.moves_root = true;
  request.root = DirectoryRoot{.path = "/bundle/rootfs", .seen_at_path = true};
  plan = planned(request, host);
  EXPECT_TRUE(steps_of<step::JoinKeyring>(plan).empty());
  EXPECT_EQ(steps_of<step::AttachRoot>(plan)[0].at.view(), "/bundle/rootfs");
  EXPECT_EQ(steps_of<step::PivotRoot>(plan)[0].moves, 1);
}

TEST(PlanTest, WithoutAMountNamespaceNothingIsMounted) {
  auto host = modern_host();
  auto request = basic_request(host);
  std::erase_if(request.spec.namespaces,
                [](const auto& each) { return each.type == spec::NamespaceType::Mount; });
  EXPECT_FALSE(plan_launch(request, host));
  request.may_share_mounts = true;
  EXPECT_FALSE(plan_launch(request, host)) << "layers would have to be mounted";
  request.root = DirectoryRoot{.path = "/bundle/rootfs"};
  auto plan = planned(request, host);
  EXPECT_EQ(steps_of<step::ChangeRoot>(plan).at(0).path.view(), "/bundle/rootfs");
  EXPECT_TRUE(steps_of<step::PivotRoot>(plan).empty());
  EXPECT_TRUE(steps_of<step::AttachRoot>(plan).empty());
  EXPECT_TRUE(steps_of<step::MaskPath>(plan).empty());
  EXPECT_TRUE(steps_of<step::MakeNode>(plan).empty());
  EXPECT_LT(position_of<step::ChangeRoot>(plan), position_of<step::ResolveUser>(plan));
}

TEST(PlanTest, LabelsAreSetBeforeWhatTheyAreFor) {
  auto host = modern_host();
  host.apparmor = host.selinux = true;
  auto request = basic_request(host);
  request.spec.process.apparmor_profile = "docker-default";
  request.spec.process.selinux_label = "system_u:system_r:container_t:s0:c1,c2";
  request.spec.mount_label = "system_u:object_r:container_file_t:s0:c1,c2";
  auto plan = planned(request, host);
  std::map<std::string, std::string> written;
  size_t last = 0;
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const auto* write = std::get_if<step::WriteProc>(&plan.steps[i]);
    if (write == nullptr || write->path.view().find("attr/") == std::string_view::npos) continue;
    written[std::string(write->path.view())] = std::string(write->value.view());
    last = i;
  }
  // As the kernel has them: Documentation/admin-guide/LSM/apparmor.rst, security/selinux/hooks.c
  // (selinux_setprocattr).
  EXPECT_EQ(written, (std::map<std::string, std::string>{
                         {"thread-self/attr/apparmor/exec", "exec docker-default"},
                         {"thread-self/attr/exec", "system_u:system_r:container_t:s0:c1,c2"},
                         {"thread-self/attr/keycreate", "system_u:system_r:container_t:s0:c1,c2"}}));
  EXPECT_LT(last, position_of<step::JoinKeyring>(plan));
  EXPECT_LT(last, position_of<step::PivotRoot>(plan))
      << "through a procfs that the container could not put there";
  EXPECT_LT(last, position_of<step::SetCredentials>(plan));
  bool labelled = false;
  for (const auto& made : steps_of<step::NewFilesystem>(plan)) {
    bool has = false;
    for (Text parameter : made.parameters)
      has |= parameter.view() == "context=system_u:object_r:container_file_t:s0:c1,c2";
    labelled |= has;
    bool kernels = made.type.view() == "proc" || made.type.view() == "sysfs";
    EXPECT_FALSE(kernels && has) << made.type.view();
  }
  EXPECT_TRUE(labelled);
}

TEST(PlanTest, GroupsAreKeptWhereAsked) {
  auto host = modern_host();
  auto request = basic_request(host);
  EXPECT_EQ(steps_of<step::SetCredentials>(planned(request, host)).at(0).keep_groups, 0);
  request.keeps_groups = true;
  EXPECT_EQ(steps_of<step::SetCredentials>(planned(request, host)).at(0).keep_groups, 1);
}

TEST(PlanTest, DevicesInAUserNamespaceAreMadeByTheCreator) {
  auto host = modern_host();
  auto request = basic_request(host);
  request.spec.namespaces.push_back({spec::NamespaceType::User, {}});
  request.spec.uid_mappings = request.spec.gid_mappings = {{0, 100000, 65536}};
  request.spec.devices = {{.path = "/dev/foo", .type = 'b', .major = 7, .minor = 9, .uid = 10, .gid = 70000}};
  EXPECT_TRUE(planned(request, host).node_mounts.empty());
  request.creator_prepares = true;
  auto nodes = planned(request, host).node_mounts;
  ASSERT_FALSE(nodes.empty());
  EXPECT_EQ(nodes.back().path, "/dev/foo");
  EXPECT_EQ(nodes.back().major, 7u);
  EXPECT_EQ(nodes.back().uid, 100010u);
  EXPECT_EQ(nodes.back().gid, 0u);  // not mapped
}

TEST(PlanTest, OfVariablesGivenTwiceTheLastStays) {
  auto host = modern_host();
  auto request = basic_request(host);
  request.spec.process.env = {"A=1", "PATH=/first", "HOME=/root", "A=2", "PATH=/last", "HOME=", "B"};
  auto plan = planned(request, host);
  const auto execute = steps_of<step::Execute>(plan).at(0);
  std::vector<std::string> environment;
  for (Text variable : execute.environment) environment.emplace_back(variable.view());
  // The executor takes an empty HOME from the accounts.
  EXPECT_EQ(environment, (std::vector<std::string>{"A=2", "PATH=/last", "HOME=", "B"}));
  EXPECT_EQ(steps_of<step::FindProgram>(plan).at(0).search_path.view(), "/last");
}

TEST(PlanTest, MountLabelsWhereTheHostHasThem) {
  auto host = modern_host();
  auto request = basic_request(host);
  request.spec.mount_label = "system_u:object_r:container_file_t:s0:c1,c2";
  auto labelled = [&] {
    std::vector<std::string> types;
    auto plan = planned(request, host);
    for (const auto& step : steps_of<step::NewFilesystem>(plan))
      for (Text parameter : step.parameters)
        if (parameter.view() == "context=" + request.spec.mount_label) types.emplace_back(step.type.view());
    return types;
  };
  EXPECT_TRUE(labelled().empty());
  host.selinux = true;
  EXPECT_THAT(labelled(), testing::UnorderedElementsAre("tmpfs", "tmpfs", "devpts"));
}

TEST(PlanTest, TooManyMounts) {
  auto host = modern_host();
  auto request = basic_request(host);
  for (int i = 0; i < 2000; ++i)
    request.spec.mounts.push_back({"/m" + std::to_string(i), "tmpfs", "tmpfs", {}});
  auto plan = plan_launch(request, host);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().kind(), Kind::Exhausted);
}

TEST(PlanTest, ExecJoinsTheContainer) {
  auto host = modern_host();
  ExecRequest request{.token = "e", .process = {.args = {"ls"}}};
  request.namespaces = default_container_spec(host).namespaces;
  auto plan = plan_exec(request, host);
  ASSERT_TRUE(plan);
  auto join = steps_of<step::JoinContainer>(*plan).at(0);
  EXPECT_EQ(join.types, uint32_t{CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP});
  EXPECT_EQ(plan->setup.clone_flags, 0U);
  EXPECT_EQ(plan->setup.join_container, 1);
}

TEST(CleanPathTest, Paths) {
  EXPECT_EQ(clean_path("/a/../b/./c//"), "/b/c");
  EXPECT_EQ(clean_path("../../etc"), "/etc");
  EXPECT_EQ(clean_path("/.."), "/");
  EXPECT_EQ(clean_path(""), "/");
}

TEST(PlanCodecTest, RoundTrip) {
  auto host = hybrid_host();
  auto request = basic_request(host);
  request.cgroups = {{"/sys/fs/cgroup/memory/berth/c1"}};
  auto plan = planned(request, host);
  auto bytes = encode_plan(plan);
  ASSERT_TRUE(bytes);
  auto reader = PlanReader::open(*bytes);
  ASSERT_TRUE(reader);
  EXPECT_EQ(reader->setup().id.view(), "c1");
  LaunchPlan copy;
  copy.setup = reader->setup();
  Step step;
  while (reader->next(step)) copy.steps.push_back(step);
  EXPECT_EQ(describe(copy), describe(plan));
  EXPECT_EQ(encode_plan(copy).value(), *bytes);
}

TEST(PlanCodecTest, DamagedPlansAreRefusedOrHarmless) {
  auto host = modern_host();
  auto bytes = encode_plan(planned(basic_request(host), host)).value();
  for (size_t size = 0; size < bytes.size(); size += 7) EXPECT_FALSE(PlanReader::open({bytes.data(), size}));
  EXPECT_FALSE(PlanReader::open(bytes + "x"));
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    std::string damaged = bytes;
    for (int changes = 0; changes < 3; ++changes)
      damaged[random() % damaged.size()] = static_cast<char>(random());
    if (auto reader = PlanReader::open(damaged)) {
      Step step;
      while (reader->next(step)) {
      }
    }
  }
}

}  // namespace
}  // namespace berth::launch
